//! A wrong clock for a program, by `libfaketime` and without its wrapper: that one leaves a semaphore behind
//! when it is killed, and refuses to start when its number comes again.

use std::fs;
use std::path::Path;

/// The library, where Debian has it.
pub const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The library's name for what it shares, with the number of a process behind it.
const SHARED: [&str; 2] = ["sem.faketime_sem_", "faketime_shm_"];

/// A wrong clock; what the library has left of processes that are gone goes with it.
#[derive(Debug)]
pub struct FakeClock {
    library: String,
    time: String,
}

impl FakeClock {
    /// One that shows this time, in the words of the library: `+3650d`, `@2001-01-01 00:00:00`. `None` where it
    /// is not installed.
    #[must_use]
    pub fn showing(time: &str) -> Option<Self> {
        Path::new(LIBRARY).exists().then(|| Self {
            library: LIBRARY.to_owned(),
            time: time.to_owned(),
        })
    }

    /// The same for programs that find the library elsewhere.
    #[must_use]
    pub fn with_library_at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.library);
        self
    }

    /// What a program's environment needs for it. How long something takes stays true.
    #[must_use]
    pub fn variables(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME", &self.time),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }
}

impl Drop for FakeClock {
    fn drop(&mut self) {
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let process = SHARED.iter().find_map(|begin| name.strip_prefix(begin));
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
