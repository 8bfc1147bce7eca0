//! The agent as the operating system's service: started, stopped, told of a changed network.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "windows")]
mod windows;

#[cfg(target_os = "linux")]
pub use linux::{NetworkWatch, StopSignal, notify_ready, notify_stopping};
#[cfg(target_os = "macos")]
pub use macos::{NetworkWatch, StopSignal, notify_ready, notify_stopping};
#[cfg(target_os = "windows")]
pub use windows::{NetworkWatch, StopSignal, notify_ready, notify_stopping};
