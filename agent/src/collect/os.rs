//! The operating system: name, support, restart, encryption, shutdowns, crashes.

pub mod environment;
mod kernel;
mod records;
mod support;

use std::collections::BTreeMap;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::Roots;
use super::mounts::{self, Mount};
use super::source::{self, Sourced};

/// Reads everything about the operating system except its updates.
#[must_use]
pub fn read(roots: &Roots, wall: UnixMs) -> Vec<Reading> {
    let release = source::text(&roots.etc.join("os-release")).map(|text| parse_release(&text));
    let kernel = source::text(&roots.proc.join("sys/kernel/osrelease"));
    let field = |keys: &[&str]| {
        release
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|fields| first(fields, keys))
    };
    let support = release
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|fields| support::days_left(fields, wall));
    vec![
        Reading::text(&metric::OS_TYPE, "", "linux"),
        source::text_or_why(&metric::OS_NAME, "", field(&["NAME", "ID"])),
        source::text_or_why(
            &metric::OS_VERSION,
            "",
            field(&["VERSION_ID", "BUILD_ID", "VERSION"]),
        ),
        source::text_or_why(&metric::OS_BUILD, "", kernel.clone()),
        source::number_or_why(&metric::OS_SUPPORT_REMAINING, "", support),
        source::number_or_why(&metric::UPTIME, "", uptime_s(roots)),
        source::number_or_why(&metric::BOOT_TIME, "", start_s(roots)),
        source::text_or_why(
            &metric::ENVIRONMENT,
            "",
            Ok(environment::name(roots).to_owned()),
        ),
        source::flag_or_why(
            &metric::RESTART_PENDING,
            "",
            restart_pending(roots, &kernel),
        ),
        source::text_or_why(
            &metric::DISK_ENCRYPTION,
            "",
            encryption(roots).map(str::to_owned),
        ),
        source::number_or_why(
            &metric::UNEXPECTED_SHUTDOWNS,
            "",
            records::unexpected_shutdowns(roots),
        ),
        source::number_or_why(&metric::CRASHES, "", records::crashes(roots)),
    ]
}

/// The identity of the distribution and those that it is like, such as `linuxmint ubuntu debian`.
///
/// # Errors
/// Why it is not known.
pub fn family(roots: &Roots) -> Sourced<String> {
    let release = parse_release(&source::text(&roots.etc.join("os-release"))?);
    let field = |key: &str| release.get(key).map_or("", String::as_str);
    Ok(format!("{} {}", field("ID"), field("ID_LIKE"))
        .trim()
        .to_owned())
}

/// Parses `os-release`, whose values may be quoted as a shell would.
#[must_use]
pub fn parse_release(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.filter_map(|line| line.trim().split_once('='));
    fields
        .map(|(key, value)| (key.to_owned(), unquote(value)))
        .collect()
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).replace('\\', "")
}

fn first(fields: &BTreeMap<String, String>, keys: &[&str]) -> Sourced<String> {
    let value = keys.iter().find_map(|key| fields.get(*key));
    value
        .cloned()
        .ok_or_else(|| format!("os-release has no {}", keys.join(" or ")))
}

/// The kernel's uptime counts sleep since Linux 2.6.
fn uptime_s(roots: &Roots) -> Sourced<f64> {
    let text = source::text(&roots.proc.join("uptime"))?;
    let seconds = text
        .split_whitespace()
        .next()
        .and_then(source::parse_number);
    seconds.ok_or_else(|| "/proc/uptime is malformed".to_owned())
}

/// The start by the wall clock and the seconds since then, in seconds since 1970.
#[cfg(any(not(target_os = "linux"), test))]
#[must_use]
pub fn boot_time_s(uptime_s: f64, wall: UnixMs) -> f64 {
    (wall.0 as f64 / 1e3 - uptime_s).max(0.0)
}

/// The line `btime` of `/proc/stat`, which follows the wall clock.
fn start_s(roots: &Roots) -> Sourced<f64> {
    let text = source::text(&roots.proc.join("stat"))?;
    let mut lines = text.lines();
    let seconds = lines.find_map(|line| source::parse_number(line.strip_prefix("btime ")?));
    seconds.ok_or_else(|| "/proc/stat does not tell the start".to_owned())
}

fn restart_pending(roots: &Roots, running: &Sourced<String>) -> Sourced<bool> {
    let marks = [
        roots.run.join("reboot-required"),
        roots.var.join("run/reboot-required"),
    ];
    if marks.iter().any(|mark| mark.exists()) {
        return Ok(true);
    }
    let installed = kernel::installed(roots);
    if installed.is_empty() {
        return Err(
            "no mark asks for a restart, and no installed kernels are found to compare".to_owned(),
        );
    }
    Ok(kernel::newer_is_installed(
        running.as_ref().map_err(Clone::clone)?,
        &installed,
    ))
}

/// Whether the devices under `/` and under `/home` are encrypted by dm-crypt.
fn encryption(roots: &Roots) -> Sourced<&'static str> {
    let mounts = mounts::read(roots)?;
    let root = mounts
        .iter()
        .find(|mount| mount.point == "/")
        .ok_or("no file system is mounted at /")?;
    let home = mounts
        .iter()
        .find(|mount| mount.point == "/home" && mount.root == "/");
    let root_is = is_encrypted(roots, root)?;
    let home_is = home.map_or(Ok(root_is), |home| is_encrypted(roots, home))?;
    Ok(match (root_is, home_is) {
        (true, true) => "on",
        (false, false) => "off",
        _ => "partial",
    })
}

fn is_encrypted(roots: &Roots, mount: &Mount) -> Sourced<bool> {
    let device = mounts::device_name(roots, mount);
    let device = device.filter(|_| mount.source.starts_with("/dev/"));
    let device = device.ok_or_else(|| {
        format!(
            "{} is no block device, so its encryption is not told",
            mount.kind
        )
    })?;
    let is_crypt = |device: &String| {
        let uuid = source::text(&roots.sys.join("block").join(device).join("dm/uuid"));
        uuid.is_ok_and(|uuid| uuid.starts_with("CRYPT-"))
    };
    Ok(mounts::stack(roots, &device).iter().any(is_crypt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, tree, tree_copy, value};
    use proptest::prelude::*;

    /// 2026-08-24.
    const WALL: UnixMs = UnixMs(1_787_557_500_000);

    #[test]
    fn the_worn_laptops_system() {
        let readings = read(&tree(), WALL);
        assert_eq!(value(&readings, "os.name", ""), "Ubuntu");
        assert_eq!(value(&readings, "os.version", ""), "24.04");
        assert_eq!(value(&readings, "os.build_id", ""), "6.8.0-45-generic");
        assert_eq!(number(&readings, "os.support.remaining", ""), Some(1011.0));
        assert_eq!(number(&readings, "system.uptime", ""), Some(123_456.78));
        assert_eq!(value(&readings, "os.restart.pending", ""), "no");
        assert_eq!(value(&readings, "os.disk_encryption", ""), "on");
    }

    #[test]
    fn a_mark_or_a_newer_kernel_asks_for_a_restart() {
        let (_folder, roots) = tree_copy();
        std::fs::write(
            roots.run.join("reboot-required"),
            "*** System restart required ***",
        )
        .unwrap();
        assert_eq!(value(&read(&roots, WALL), "os.restart.pending", ""), "yes");
        std::fs::remove_file(roots.run.join("reboot-required")).unwrap();
        std::fs::write(roots.boot.join("vmlinuz-6.8.0-47-generic"), "").unwrap();
        assert_eq!(value(&read(&roots, WALL), "os.restart.pending", ""), "yes");
    }

    #[test]
    fn a_disk_without_encryption() {
        let (_folder, roots) = tree_copy();
        std::fs::write(roots.sys.join("block/dm-0/dm/uuid"), "LVM-abc").unwrap();
        assert_eq!(value(&read(&roots, WALL), "os.disk_encryption", ""), "off");
    }

    #[test]
    fn quotes_are_a_shells() {
        let fields =
            parse_release("NAME=\"Fedora Linux\"\nVERSION_ID=42\n# X=1\nA='b c'\nbroken\n");
        assert_eq!(fields.get("NAME").map(String::as_str), Some("Fedora Linux"));
        assert_eq!(fields.get("A").map(String::as_str), Some("b c"));
        assert_eq!(fields.len(), 3);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([A-Z_]{0,8}=?[\"']?.{0,20}[\"']?\n){0,10}") {
            let _ = parse_release(&text);
        }
    }
}
