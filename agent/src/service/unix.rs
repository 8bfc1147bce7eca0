//! What systemd, launchd and a terminal have in common: signals to stop, and a socket of the kernel's that says
//! when the network may have changed.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// A roaming laptop's link goes down and comes up, and its routes follow within this time.
const SETTLING: Duration = Duration::from_secs(3);

/// How often the routes are looked at where the kernel gives no socket.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Messages that are taken away at once; a kernel that says more in between is heard again.
const MESSAGES: usize = 1000;

/// SIGTERM, as systemd and launchd send it, or SIGINT, as a terminal does.
#[derive(Debug)]
pub struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    pub async fn received(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The kernel's word that something about the network has changed. It only says when to look, so what its
/// messages say does not matter, nor that some were lost.
#[derive(Debug)]
pub(super) struct RouteNews {
    socket: Option<AsyncFd<OwnedFd>>,
    settling: Duration,
    look: Duration,
}

impl RouteNews {
    /// Listens to a socket that does not block; without one the routes are looked at from time to time.
    pub fn from(socket: io::Result<OwnedFd>) -> Self {
        let socket = socket.and_then(register).inspect_err(|error| {
            tracing::warn!(%error, "the kernel does not tell of routes: they are looked at every minute");
        });
        Self {
            socket: socket.ok(),
            settling: SETTLING,
            look: LOOK_INTERVAL,
        }
    }

    /// Waits until it is time to look.
    pub async fn came(&self) {
        let Some(socket) = &self.socket else {
            return sleep(self.look).await;
        };
        let Ok(mut ready) = socket.readable().await else {
            return sleep(self.look).await;
        };
        sleep(self.settling).await;
        drain(socket.get_ref());
        ready.clear_ready();
    }
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

fn drain(socket: &OwnedFd) {
    let mut buffer = [0_u8; 8192];
    for _ in 0..MESSAGES {
        match rustix::net::recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((bytes, _)) if bytes > 0 => {}
            Err(rustix::io::Errno::NOBUFS) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use tokio::time::timeout;

    use super::*;

    /// Long beside the times of these tests.
    const LONG: Duration = Duration::from_secs(30);

    fn news(socket: io::Result<OwnedFd>, look: Duration) -> RouteNews {
        RouteNews {
            settling: Duration::from_millis(1),
            look,
            ..RouteNews::from(socket)
        }
    }

    #[tokio::test]
    async fn what_was_said_is_heard_once_and_then_only_what_is_new() {
        let (mut kernel, ours) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let news = news(Ok(OwnedFd::from(ours)), LONG);
        kernel.write_all(b"up, down, up").unwrap();
        timeout(LONG, news.came()).await.expect("it is heard");
        let again = timeout(Duration::from_millis(50), news.came()).await;
        assert!(again.is_err(), "what was said before is taken away");
        kernel.write_all(b"down").unwrap();
        timeout(LONG, news.came()).await.expect("it is heard");
    }

    #[tokio::test]
    async fn without_a_socket_it_is_looked_from_time_to_time() {
        let none = || Err(io::ErrorKind::Unsupported.into());
        let news_in = |look| async move {
            timeout(Duration::from_millis(50), news(none(), look).came()).await
        };
        assert!(news_in(LONG).await.is_err());
        assert!(news_in(Duration::from_millis(1)).await.is_ok());
    }
}
