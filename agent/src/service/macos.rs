//! launchd and the kernel: the routing socket's word that the network has changed. launchd starts and stops
//! the agent by signals and asks for no readiness.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, SocketType};

use super::unix::RouteNews;
use crate::collect;
pub use crate::collect::has_way_out;

/// launchd is not told: a job that runs is ready.
pub const fn notify_ready() {}

/// launchd is not told: a job that ends has stopped.
pub const fn notify_stopping() {}

/// Notices that the machine's default routes are others than before. The routing socket only says when to
/// look, as route(4) describes it, so that a tunnel's link does not interrupt the stream.
#[derive(Debug)]
pub struct NetworkWatch {
    news: RouteNews,
    seen: Option<String>,
}

impl NetworkWatch {
    /// Watches from now on.
    #[must_use]
    pub fn open(_proc: &Path) -> Self {
        Self {
            news: RouteNews::from(open_routing_socket()),
            seen: collect::surroundings(),
        }
    }

    /// Waits until the default routes have changed and settled.
    pub async fn changed(&mut self) {
        loop {
            self.news.came().await;
            let now = collect::surroundings();
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn open_routing_socket() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(AddressFamily::ROUTE, SocketType::RAW, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}
