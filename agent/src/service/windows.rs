//! The Windows service: what its manager and the power say, how it is installed, and the network's word.

mod control;
mod registration;
mod standby;
mod watch;

pub use crate::collect::has_way_out;
pub use control::{StopSignal, asleep, awake, notify_ready, notify_stopping, run_as_service};
pub use registration::{install, start, stop, uninstall};
pub use watch::NetworkWatch;

/// The service's name, as `sc.exe` and installers use it.
pub const NAME: &str = "rollcall-agent";
