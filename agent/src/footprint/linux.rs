//! glibc's allocator, which keeps what is freed unless it is told not to.

use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int};

/// Pieces from this size on are mapped by themselves, and gone when they are freed. Set once, it
/// does not grow with what is freed.
const MAPPED_BYTES: c_int = 64 * 1024;

/// Free memory at the end of the heap that is kept.
const KEPT_BYTES: c_int = 64 * 1024;

/// Threads share one heap: there are few, and they allocate for milliseconds.
const HEAPS: c_int = 1;

/// Sets the three.
#[expect(unsafe_code, reason = "glibc's allocator is told by its own functions")]
pub fn keep_small() {
    // SAFETY: mallopt(3) takes two numbers; glibc takes its lock while it changes a parameter.
    unsafe {
        libc::mallopt(M_ARENA_MAX, HEAPS);
        libc::mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
        libc::mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Gives back whole pages that are free, wherever in the heap they lie.
#[expect(unsafe_code, reason = "glibc's allocator is told by its own functions")]
pub fn give_back() {
    // SAFETY: malloc_trim(3) may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
