//! The agent as the operating system's service: started, stopped, told of a changed network.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{NetworkWatch, StopSignal, has_way_out, notify_ready, notify_stopping};
#[cfg(target_os = "linux")]
pub use linux::{NetworkWatch, StopSignal, has_way_out, notify_ready, notify_stopping};
