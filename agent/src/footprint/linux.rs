//! glibc's allocator, which keeps what is freed unless it is told not to, and the pages of the
//! program itself.

use std::ptr;

use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int, c_void, dl_phdr_info, size_t};

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

/// Takes the program's code and constants out of this process's memory. They stay in the system's
/// cache for as long as there is room, and come back, 64 KiB at a time, where they are used again.
#[expect(
    unsafe_code,
    reason = "the dynamic linker tells where the program lies"
)]
pub fn leave_code() {
    // SAFETY: the callback has the signature that dl_iterate_phdr(3) asks for, and takes no data.
    unsafe {
        libc::dl_iterate_phdr(Some(leave_segments), ptr::null_mut());
    }
}

/// Of the first object, which is the program, the segments that nothing can have written to.
#[expect(unsafe_code, reason = "the dynamic linker's own structures")]
unsafe extern "C" fn leave_segments(object: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    // SAFETY: the linker hands over a valid object, and as many headers as it says.
    let (base, headers) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        (
            object.dlpi_addr,
            std::slice::from_raw_parts(object.dlpi_phdr, count),
        )
    };
    let is_constant = |header: &&libc::Elf64_Phdr| {
        header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0
    };
    for header in headers.iter().filter(is_constant) {
        let start = (base + header.p_vaddr) & !(PAGE_BYTES - 1);
        let bytes = base + header.p_vaddr + header.p_memsz - start;
        let bytes = usize::try_from(bytes).unwrap_or(0);
        // SAFETY: a loadable segment without the right to write holds what the file holds, since
        // relocations are only made in writable ones; a page that is gone is read again.
        unsafe {
            libc::madvise(start as *mut c_void, bytes, libc::MADV_DONTNEED);
        }
    }
    // Anything but zero ends the iteration.
    1
}

/// Segments are aligned at least to this.
const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    #[test]
    fn code_that_was_left_goes_on_to_run() {
        let before: u64 = (1..=1000).sum();
        super::leave_code();
        super::give_back();
        assert_eq!((1..=1000).sum::<u64>(), before);
        assert_eq!(format!("{:.3}", 2.0_f64.sqrt()), "1.414");
    }
}
