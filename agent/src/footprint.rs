//! How little memory the agent holds: what it took for a moment is given back to the system.
//!
//! The readings of a minute need some 100 KiB, a handshake with the trusted roots about 1 MiB, and
//! compressing a backlog some MiB. What the allocator keeps of that for the next time would be held
//! for hours.

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
mod linux;

/// Makes the allocator give back what is freed. To be called once, before any thread begins.
pub fn keep_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    linux::keep_small();
}

/// Takes code that ran out of this process's memory. What runs every minute comes back within
/// microseconds; what ran at the start, or for a handshake, does not stay for it.
pub fn leave_code() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    linux::leave_code();
}

/// Gives back what the allocator holds and nobody uses.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    linux::give_back();
}
