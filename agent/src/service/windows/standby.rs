//! Modern Standby: a laptop that sleeps this way is not suspended, and nobody tells its services.
//!
//! On such a machine the display goes off when it falls asleep and comes on when it wakes, and that is the
//! word a service can have ("How to get notified when going in and out of connected standby from a Windows
//! Service", Windows SDK's blog, 2014). Elsewhere a dark display means nothing, and nobody is asked.

use std::ffi::c_void;
use std::ptr;

use tokio::sync::watch;
use windows::Win32::Foundation::HANDLE;
use windows::Win32::System::Power::{
    CallNtPowerInformation, DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS, POWERBROADCAST_SETTING,
    PowerSettingRegisterNotification, SYSTEM_POWER_CAPABILITIES, SystemPowerCapabilities,
};
use windows::Win32::System::SystemServices::GUID_CONSOLE_DISPLAY_STATE;
use windows::Win32::UI::WindowsAndMessaging::{DEVICE_NOTIFY_CALLBACK, PBT_POWERSETTINGCHANGE};

/// Has `asleep` follow the display from now on, for as long as the process lives. Whether the machine has
/// Modern Standby at all, and Windows gives the word.
#[expect(unsafe_code, reason = "Windows calls back")]
pub fn follow(asleep: &'static watch::Sender<bool>) -> bool {
    if !has_modern_standby() {
        return false;
    }
    let order = Box::leak(Box::new(DEVICE_NOTIFY_SUBSCRIBE_PARAMETERS {
        Callback: Some(display_changed),
        Context: ptr::from_ref(asleep).cast_mut().cast(),
    }));
    let display = GUID_CONSOLE_DISPLAY_STATE;
    let mut registration = ptr::null_mut();
    // SAFETY: order, context and callback live as long as the process.
    let code = unsafe {
        PowerSettingRegisterNotification(
            &raw const display,
            DEVICE_NOTIFY_CALLBACK,
            HANDLE(ptr::from_mut(order).cast()),
            &raw mut registration,
        )
    };
    if code.is_err() {
        tracing::warn!(
            code = code.0,
            "Modern Standby is not told; work goes on in it"
        );
    }
    code.is_ok()
}

#[expect(unsafe_code, reason = "Windows fills a structure")]
fn has_modern_standby() -> bool {
    let mut capabilities = SYSTEM_POWER_CAPABILITIES::default();
    let size = size_of::<SYSTEM_POWER_CAPABILITIES>();
    // SAFETY: the place is as large as is said.
    let status = unsafe {
        CallNtPowerInformation(
            SystemPowerCapabilities,
            None,
            0,
            Some((&raw mut capabilities).cast()),
            u32::try_from(size).unwrap_or(0),
        )
    };
    status.is_ok() && capabilities.AoAc
}

/// What `GUID_CONSOLE_DISPLAY_STATE` says: 0 is off, 1 on, 2 dimmed. `None` for what is none of it.
fn is_dark(data: &[u8]) -> Option<bool> {
    match u32::from_le_bytes(data.try_into().ok()?) {
        0 => Some(true),
        1 | 2 => Some(false),
        _ => None,
    }
}

#[expect(unsafe_code, reason = "the signature is Windows' own")]
unsafe extern "system" fn display_changed(
    context: *const c_void,
    kind: u32,
    setting: *const c_void,
) -> u32 {
    if kind != PBT_POWERSETTINGCHANGE || setting.is_null() {
        return 0;
    }
    // SAFETY: the context is the sender that was given; the setting is as long as it says.
    let (asleep, data) = unsafe {
        let setting = setting.cast::<POWERBROADCAST_SETTING>();
        let length = (&raw const (*setting).DataLength).read_unaligned() as usize;
        let data = (&raw const (*setting).Data).cast::<u8>();
        (
            &*context.cast::<watch::Sender<bool>>(),
            std::slice::from_raw_parts(data, length),
        )
    };
    if let Some(is_dark) = is_dark(data) {
        asleep.send_if_modified(|asleep| std::mem::replace(asleep, is_dark) != is_dark);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_is_dark_or_not() {
        let said = |value: u32| is_dark(&value.to_le_bytes());
        assert_eq!(
            [said(0), said(1), said(2), said(3)],
            [Some(true), Some(false), Some(false), None]
        );
        assert_eq!(is_dark(&[0; 3]), None);
    }

    #[test]
    #[expect(unsafe_code, reason = "the callback is called as Windows calls it")]
    fn the_word_of_windows_reaches_who_waits() {
        let asleep = watch::channel(false).0;
        let tell = |kind: u32, state: u32| {
            let mut setting = [0_u8; size_of::<POWERBROADCAST_SETTING>() + 4];
            setting[16..20].copy_from_slice(&4_u32.to_le_bytes());
            setting[20..24].copy_from_slice(&state.to_le_bytes());
            let context = ptr::from_ref(&asleep).cast();
            // SAFETY: context and setting are what the callback is told that they are.
            let answered = unsafe { display_changed(context, kind, setting.as_ptr().cast()) };
            assert_eq!(answered, 0);
            *asleep.borrow()
        };
        assert!(tell(PBT_POWERSETTINGCHANGE, 0));
        assert!(
            tell(PBT_POWERSETTINGCHANGE, 9),
            "what is unknown changes nothing"
        );
        assert!(tell(0, 1), "another message changes nothing");
        assert!(!tell(PBT_POWERSETTINGCHANGE, 2));
    }
}
