//! Whether a newer kernel is installed than the one that runs.

use crate::collect::Roots;
use crate::collect::source;

/// Releases of the kernels that are installed, by `/lib/modules` and `/boot/vmlinuz-*`.
#[must_use]
pub fn installed(roots: &Roots) -> Vec<String> {
    let images = source::names(&roots.boot);
    let images = images
        .iter()
        .filter_map(|name| name.strip_prefix("vmlinuz-"))
        .map(str::to_owned);
    source::names(&roots.modules)
        .into_iter()
        .chain(images)
        .collect()
}

/// Whether one of the `installed` is of the same flavour as the `running` one, and newer.
#[must_use]
pub fn newer_is_installed(running: &str, installed: &[String]) -> bool {
    let same = installed
        .iter()
        .filter(|other| flavour(other) == flavour(running));
    let newest = same.map(|other| numbers(other)).max();
    newest.is_some_and(|newest| newest > numbers(running))
}

/// The numbers of a release in their order: `6.8.0-45-generic` has 6, 8, 0, 45.
fn numbers(release: &str) -> Vec<u64> {
    release
        .split(['.', '-', '+', '~', '_'])
        .map_while(|part| part.parse().ok())
        .collect()
}

/// What follows the numbers: `generic`, `amd64`, `fc41.x86_64` without its digits.
fn flavour(release: &str) -> String {
    let parts = release.split(['.', '-', '+', '~', '_']);
    let words = parts.skip_while(|part| part.parse::<u64>().is_ok());
    words
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
        .collect::<Vec<_>>()
        .join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newer(running: &str, installed: &[&str]) -> bool {
        let installed: Vec<String> = installed.iter().map(|name| (*name).to_owned()).collect();
        newer_is_installed(running, &installed)
    }

    #[test]
    fn only_a_newer_kernel_of_the_same_flavour_counts() {
        assert!(newer(
            "6.8.0-45-generic",
            &["6.8.0-45-generic", "6.8.0-47-generic"]
        ));
        assert!(newer("6.9.9-200.fc40.x86_64", &["6.10.3-200.fc41.x86_64"]));
        assert!(!newer(
            "6.8.0-47-generic",
            &["6.8.0-45-generic", "6.8.0-47-generic"]
        ));
        assert!(!newer("6.1.0-18-amd64", &["6.9.0-1-rt-amd64"]));
        assert!(!newer("6.1.0-9-amd64", &[]));
        assert!(
            newer("6.1.0-9-amd64", &["6.1.0-10-amd64"]),
            "ten is more than nine"
        );
    }
}
