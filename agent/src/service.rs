//! The agent as the operating system's service: started, stopped, put to sleep, told of a changed network.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
pub mod windows;

#[cfg(target_os = "linux")]
pub use linux::{NetworkWatch, has_way_out, notify_ready, notify_stopping};
#[cfg(target_os = "macos")]
pub use macos::{NetworkWatch, has_way_out, notify_ready, notify_stopping};
#[cfg(unix)]
pub use unix::StopSignal;
#[cfg(windows)]
pub use windows::{NetworkWatch, StopSignal, has_way_out, notify_ready, notify_stopping};

/// Waits until the system sleeps without stopping the process, as Windows does in Modern Standby.
pub async fn asleep() {
    #[cfg(windows)]
    windows::asleep().await;
    #[cfg(not(windows))]
    std::future::pending::<()>().await;
}

/// Waits while the system is about to sleep or sleeps, where it says so; Linux and macOS stop the process
/// with the machine.
pub async fn awake() {
    #[cfg(windows)]
    windows::awake().await;
}
