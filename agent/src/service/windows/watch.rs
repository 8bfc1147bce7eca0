//! The network's own word that it has changed.

use std::ffi::c_void;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use windows::Win32::Foundation::{HANDLE, WIN32_ERROR};
use windows::Win32::NetworkManagement::IpHelper::{
    CancelMibChangeNotify2, MIB_IPINTERFACE_ROW, MIB_NOTIFICATION_TYPE, MIB_UNICASTIPADDRESS_ROW,
    NotifyIpInterfaceChange, NotifyUnicastIpAddressChange,
};
use windows::Win32::Networking::WinSock::AF_UNSPEC;

use crate::collect;

/// A roaming laptop's link goes down and comes up, and its addresses follow within this time.
const SETTLING: Duration = Duration::from_secs(3);

/// How often the gateways are looked at where Windows gives no notice.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Notices that the machine's gateways are others than before.
///
/// The notice only says when to look, so that a virtual machine's link does not interrupt the stream.
#[derive(Debug)]
pub struct NetworkWatch {
    changed: Arc<Notify>,
    notices: Vec<Notice>,
    seen: Option<String>,
}

impl NetworkWatch {
    /// Watches from now on.
    #[must_use]
    pub fn open(_proc: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let notices = vec![Notice::of_links(&changed), Notice::of_addresses(&changed)];
        let notices: Vec<Notice> = notices.into_iter().flatten().collect();
        if notices.is_empty() {
            tracing::warn!("no notice of changes: the gateways are looked at every minute");
        }
        Self {
            changed,
            notices,
            seen: collect::surroundings(),
        }
    }

    /// Waits until the gateways have changed and settled.
    pub async fn changed(&mut self) {
        loop {
            if self.notices.is_empty() {
                sleep(LOOK_INTERVAL).await;
            } else {
                self.changed.notified().await;
                sleep(SETTLING).await;
            }
            let now = collect::surroundings();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// A standing order for notices. What it points to is kept until the order is cancelled, which waits for
/// a notice that is being given.
#[derive(Debug)]
struct Notice {
    order: HANDLE,
    _told: Arc<Notify>,
}

#[expect(
    unsafe_code,
    reason = "Windows calls back with the pointer that it was given"
)]
// SAFETY: the order may be cancelled by any thread, and the handle is used for nothing else.
unsafe impl Send for Notice {}

impl Notice {
    #[expect(
        unsafe_code,
        reason = "Windows calls back with the pointer that it was given"
    )]
    fn of_links(told: &Arc<Notify>) -> Option<Self> {
        Self::order(told, |context, order| {
            // SAFETY: the context outlives the order, and the order's place is valid for this call.
            unsafe {
                NotifyIpInterfaceChange(AF_UNSPEC, Some(link_changed), Some(context), false, order)
            }
        })
    }

    #[expect(
        unsafe_code,
        reason = "Windows calls back with the pointer that it was given"
    )]
    fn of_addresses(told: &Arc<Notify>) -> Option<Self> {
        Self::order(told, |context, order| {
            // SAFETY: as for links.
            unsafe {
                NotifyUnicastIpAddressChange(
                    AF_UNSPEC,
                    Some(address_changed),
                    Some(context),
                    false,
                    order,
                )
            }
        })
    }

    fn order(
        told: &Arc<Notify>,
        place: impl FnOnce(*const c_void, *mut HANDLE) -> WIN32_ERROR,
    ) -> Option<Self> {
        let told = Arc::clone(told);
        let mut order = HANDLE::default();
        let placed = place(Arc::as_ptr(&told).cast(), &raw mut order);
        if placed.0 != 0 {
            tracing::debug!(code = placed.0, "no notice");
            return None;
        }
        Some(Self { order, _told: told })
    }
}

impl Drop for Notice {
    #[expect(unsafe_code, reason = "the order is cancelled by its handle")]
    fn drop(&mut self) {
        // SAFETY: the handle is that of a standing order, which is cancelled once.
        let _ = unsafe { CancelMibChangeNotify2(self.order) };
    }
}

#[expect(unsafe_code, reason = "the signature is Windows' own")]
unsafe extern "system" fn link_changed(
    context: *const c_void,
    _: *const MIB_IPINTERFACE_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: as `tell` asks.
    unsafe { tell(context) }
}

#[expect(unsafe_code, reason = "the signature is Windows' own")]
unsafe extern "system" fn address_changed(
    context: *const c_void,
    _: *const MIB_UNICASTIPADDRESS_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: as `tell` asks.
    unsafe { tell(context) }
}

/// # Safety
/// `context` is the pointer that was given with the order, which is not cancelled yet.
#[expect(unsafe_code, reason = "the context is a pointer")]
unsafe fn tell(context: *const c_void) {
    // SAFETY: the order keeps the `Notify` alive; `notify_one` may be called by any thread.
    unsafe { &*context.cast::<Notify>() }.notify_one();
}
