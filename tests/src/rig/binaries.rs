//! The product's binaries, beside the test executable in the build folder.

use std::path::PathBuf;

/// The collector's binary.
#[must_use]
pub fn collector() -> PathBuf {
    find("rollcall-collector")
}

/// The agent's binary.
#[must_use]
pub fn agent() -> PathBuf {
    find("rollcall-agent")
}

/// The simulator's binary.
#[must_use]
pub fn simulator() -> PathBuf {
    find("rollcall-simulator")
}

fn find(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a process knows its own executable");
    let folders = here.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no `{name}` beside {}: run `tests/run`, which builds it",
            here.display()
        )
    })
}
