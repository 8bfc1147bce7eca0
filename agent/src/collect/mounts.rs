//! The mount table, and which block devices lie under a mounted file system. Source of the format:
//! proc_pid_mountinfo(5).

use std::path::{Path, PathBuf};

use super::Roots;
use super::source::{self, Sourced};

/// Devices that may lie on each other: file system, logical volume, encryption, RAID, partition.
const DEPTH: usize = 8;

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number, as `8:2`.
    pub device: String,
    /// Which folder of the file system is mounted; `/` unless it is a bind mount or a subvolume.
    pub root: String,
    /// Where it is mounted.
    pub point: String,
    /// Type of the file system.
    pub kind: String,
    /// What is mounted, such as `/dev/sda2`.
    pub source: String,
    /// Whether the file system itself, and not just this mount, is read-only.
    pub read_only: bool,
}

/// Reads the mount table.
///
/// # Errors
/// Why it could not be read.
pub fn read(roots: &Roots) -> Sourced<Vec<Mount>> {
    let text = source::text(&roots.proc.join("self/mountinfo"))?;
    Ok(text.lines().filter_map(parse_line).collect())
}

/// One line of the mount table.
#[must_use]
pub fn parse_line(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split_ascii_whitespace().skip(2);
    let (device, root, point) = (mount.next()?, mount.next()?, mount.next()?);
    let mut filesystem = filesystem.split_ascii_whitespace();
    let (kind, source) = (filesystem.next()?, filesystem.next()?);
    let options = filesystem.next().unwrap_or_default();
    Some(Mount {
        device: device.to_owned(),
        root: unescape(root),
        point: unescape(point),
        kind: kind.to_owned(),
        source: unescape(source),
        read_only: options.split(',').any(|option| option == "ro"),
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
#[must_use]
pub fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (escape, plain)| {
            text.replace(escape, plain)
        })
}

/// The kernel's name of a mounted device, such as `sda2` or `dm-0`.
#[must_use]
pub fn device_name(roots: &Roots, mount: &Mount) -> Option<String> {
    let by_number = std::fs::read_link(roots.sys.join("dev/block").join(&mount.device));
    if let Ok(link) = by_number {
        return Some(link.file_name()?.to_str()?.to_owned());
    }
    source_name(roots, mount)
}

/// The same by what is mounted, for file systems whose numbers are no device's.
#[must_use]
pub fn source_name(roots: &Roots, mount: &Mount) -> Option<String> {
    let name = Path::new(&mount.source).strip_prefix("/dev").ok()?;
    let name = name.file_name()?.to_str()?;
    Some(mapped(roots, name).unwrap_or_else(|| name.to_owned()))
}

/// `dm-N` of a name below `/dev/mapper`.
fn mapped(roots: &Roots, name: &str) -> Option<String> {
    let block = roots.sys.join("block");
    let mut devices = source::names(&block)
        .into_iter()
        .filter(|device| device.starts_with("dm-"));
    devices.find(|device| {
        source::text(&block.join(device).join("dm/name")).is_ok_and(|text| text == name)
    })
}

/// A device and all that lie below it, down to the drives, which come last.
#[must_use]
pub fn stack(roots: &Roots, device: &str) -> Vec<String> {
    let mut stack = vec![device.to_owned()];
    let mut at = 0;
    while at < stack.len() && stack.len() < DEPTH * DEPTH {
        let below = below(roots, &stack[at]);
        stack.extend(
            below
                .into_iter()
                .filter(|name| !stack.contains(name))
                .collect::<Vec<_>>(),
        );
        at += 1;
    }
    stack
}

fn below(roots: &Roots, device: &str) -> Vec<String> {
    let Some(path) = device_folder(roots, device) else {
        return Vec::new();
    };
    let slaves = source::names(&path.join("slaves"));
    let drive = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    match drive {
        Some(drive) if drive != "block" => vec![drive.to_owned()],
        _ => slaves,
    }
}

/// Where sysfs describes a drive or a partition.
fn device_folder(roots: &Roots, device: &str) -> Option<PathBuf> {
    let block = roots.sys.join("block");
    let whole = block.join(device);
    if whole.is_dir() {
        return Some(whole);
    }
    let mut drives = source::names(&block).into_iter();
    drives.find_map(|drive| Some(block.join(drive).join(device)).filter(|path| path.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::tree;
    use proptest::prelude::*;

    #[test]
    fn a_line_of_the_mount_table() {
        let line = "98 0 253:1 /@home /run/media/anna/My\\040Stick rw,relatime shared:1 - ext4 /dev/sda2 ro,errors=remount-ro";
        let mount = parse_line(line).unwrap();
        assert_eq!(
            (mount.device.as_str(), mount.root.as_str()),
            ("253:1", "/@home")
        );
        assert_eq!(mount.point, "/run/media/anna/My Stick");
        assert!(mount.read_only);
        let sandboxed = parse_line("1 0 8:1 / / ro - ext4 /dev/sda1 rw").unwrap();
        assert!(
            !sandboxed.read_only,
            "a service's own read-only view is not the file system's state"
        );
    }

    #[test]
    fn the_stack_below_the_worn_laptops_root() {
        let mounts = read(&tree()).unwrap();
        let root = mounts.iter().find(|mount| mount.point == "/").unwrap();
        let device = device_name(&tree(), root).unwrap();
        assert_eq!(stack(&tree(), &device), ["dm-0", "nvme0n1p3", "nvme0n1"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([0-9:/a-z\\\\ -]{0,40} - .{0,20}|.{0,40})") {
            let _ = parse_line(&text);
        }
    }
}
