//! Systems other than Linux: the seam stands, the service does not yet. `macos.rs` and `windows.rs` take
//! its place.

use std::io;
use std::path::Path;

/// Would wait for the system's word to stop.
#[derive(Debug)]
pub struct StopSignal(());

impl StopSignal {
    /// Fails: the agent does not run on this system yet.
    ///
    /// # Errors
    /// Always `Unsupported`, with this reason.
    pub fn listen() -> io::Result<Self> {
        let words = format!(
            "rollcall-agent does not run on {} yet",
            std::env::consts::OS
        );
        Err(io::Error::new(io::ErrorKind::Unsupported, words))
    }

    /// Never comes.
    pub async fn received(self) {
        std::future::pending().await
    }
}

/// Nobody is to be told.
pub const fn notify_ready() {}

/// Nobody is to be told.
pub const fn notify_stopping() {}

/// Whether any link has a default route: not known here.
#[must_use]
pub const fn has_way_out() -> Option<bool> {
    None
}

/// Would notice that the network has changed.
#[derive(Debug)]
pub struct NetworkWatch(());

impl NetworkWatch {
    /// Watches nothing.
    #[must_use]
    pub const fn open(_proc: &Path) -> Self {
        Self(())
    }

    /// Never comes.
    pub async fn changed(&mut self) {
        std::future::pending().await
    }
}
