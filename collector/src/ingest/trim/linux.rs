//! glibc's allocator, which gives back what lies between pieces in use only when it is told to.

/// Gives back whole pages that are free, wherever in the heaps they lie.
#[expect(unsafe_code, reason = "glibc's allocator is told by its own function")]
pub(super) fn give_back() {
    // SAFETY: malloc_trim(3) may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
