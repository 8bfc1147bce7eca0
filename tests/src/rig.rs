//! The rig: starts, stops and kills the real binaries, and stands in for everything around them.
//!
//! Every wait is for a condition and has a limit ([`patience`]); every process ends with the story
//! that started it; every file lies in a folder of the story's own.

pub mod agent;
pub mod alertmanager;
pub mod binaries;
pub mod browser;
pub mod collector;
pub mod device;
pub mod fake_clock;
pub mod gate;
pub mod http;
pub mod load;
pub mod oidc;
pub mod patience;
pub mod pki;
pub mod ports;
pub mod postfix;
pub mod powercut;
pub mod process;
pub mod proxy;
pub mod relay;
pub mod request_tracker;
pub mod smtp;
pub mod system_tree;
pub mod visitor;
pub mod webhook;
pub mod wine;
pub mod world;

use std::path::PathBuf;

pub use agent::copy_tree;

/// A folder of a story's own, removed at its end.
///
/// # Panics
/// Where no temporary folder can be made.
#[must_use]
pub fn folder() -> tempfile::TempDir {
    let made = tempfile::Builder::new().prefix("rollcall-").tempdir();
    made.expect("a temporary folder can be made")
}

/// The top folder of the repository.
///
/// # Panics
/// Never: the crate lies one folder below it.
#[must_use]
pub fn repository() -> PathBuf {
    let parent = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    parent
        .expect("the tests lie in a folder of the repository")
        .to_owned()
}

/// Says that a story, or a part of one, cannot be told on this machine, and why. `tests/run` counts
/// it as skipped.
pub fn skip(story: &str, reason: &str) {
    use std::io::Write;
    eprintln!("skipped: {story}: {reason}");
    if let Some(file) = std::env::var_os("ROLLCALL_TESTS_SKIPPED") {
        let opened = std::fs::OpenOptions::new().append(true).open(file);
        if let Ok(mut file) = opened {
            let _ = writeln!(file, "{story}: {reason}");
        }
    }
}

/// Whether the tests run as root, which some stories need.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where a program of the system lies, if it is installed.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|file| file.is_file())
}
