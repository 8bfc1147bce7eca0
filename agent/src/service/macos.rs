//! launchd and the kernel: the routing socket's word that the network has changed. launchd starts and stops
//! the agent by signals and asks for no readiness.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SocketType};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use crate::collect;
pub use crate::collect::has_way_out;

/// A roaming laptop's link goes down and comes up, and its routes follow within this time.
const SETTLING: Duration = Duration::from_secs(3);

/// How often the routes are looked at where the kernel gives no routing socket.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// launchd is not told: a job that runs is ready.
pub const fn notify_ready() {}

/// launchd is not told: a job that ends has stopped.
pub const fn notify_stopping() {}

/// Notices that the machine's default routes are others than before. The routing socket only says when to
/// look, as route(4) describes it, so that a tunnel's link does not interrupt the stream.
#[derive(Debug)]
pub struct NetworkWatch {
    socket: Option<AsyncFd<OwnedFd>>,
    seen: Option<String>,
}

impl NetworkWatch {
    /// Watches from now on.
    #[must_use]
    pub fn open(_proc: &Path) -> Self {
        let socket = open_routing_socket().inspect_err(|error| {
            tracing::warn!(%error, "no routing socket: the routes are looked at every minute");
        });
        Self {
            socket: socket.ok(),
            seen: collect::surroundings(),
        }
    }

    /// Waits until the default routes have changed and settled.
    pub async fn changed(&mut self) {
        loop {
            self.something_happened().await;
            let now = collect::surroundings();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }

    async fn something_happened(&self) {
        let Some(socket) = &self.socket else {
            return sleep(LOOK_INTERVAL).await;
        };
        let Ok(mut ready) = socket.readable().await else {
            return sleep(LOOK_INTERVAL).await;
        };
        sleep(SETTLING).await;
        drain(socket.get_ref());
        ready.clear_ready();
    }
}

fn open_routing_socket() -> io::Result<AsyncFd<OwnedFd>> {
    let socket = rustix::net::socket(AddressFamily::ROUTE, SocketType::RAW, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    register(socket)
}

#[expect(
    unsafe_code,
    reason = "tokio asks its caller to vouch for the descriptor"
)]
fn register(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` that `AsyncFd` owns stays open, and is the same socket, until both are
    // dropped together.
    unsafe { AsyncFd::register(socket) }.map_err(Into::into)
}

/// Takes all messages away; their content does not matter, nor that some were lost.
fn drain(socket: &OwnedFd) {
    let mut buffer = [0_u8; 8192];
    for _ in 0..1000 {
        match rustix::net::recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((bytes, _)) if bytes > 0 => {}
            Err(rustix::io::Errno::NOBUFS) => {}
            _ => return,
        }
    }
}
