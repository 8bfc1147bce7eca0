//! This process's limit of open files.

use anyhow::Context as _;
#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files this process may have open after [`provide_descriptors`].
#[cfg(unix)]
#[must_use]
pub fn most_descriptors() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the limit of open files as far as `needed`; more than [`most_descriptors`] fails.
///
/// # Errors
/// When the system does not allow it.
#[cfg(unix)]
pub fn provide_descriptors(needed: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let wanted = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, wanted).context("the limit of open files could not be raised")
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
#[must_use]
pub const fn most_descriptors() -> u64 {
    u64::MAX
}

/// Elsewhere there is no such limit.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn provide_descriptors(_needed: u64) -> anyhow::Result<()> {
    Ok(())
}
