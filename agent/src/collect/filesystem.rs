//! File systems: size, space, inodes, read-only state, errors. Each device once.
//!
//! The mount table comes from [`Roots::proc`]; sizes come from the running system's `statvfs` of the
//! same mount points, wherever the roots point.

use std::collections::BTreeSet;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::mounts::{self, Mount};
use super::source::{self, Sourced};

/// File systems that are reported: limits.rs counts on 20.
const FILESYSTEMS: usize = 24;

/// Types that keep a person's or a system's files on a device of this laptop.
const KINDS: [&str; 19] = [
    "apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfsplus",
    "jfs", "msdos", "nilfs2", "ntfs", "ntfs3", "reiserfs", "vfat", "xfs", "zfs",
];

/// Mount points whose names say nothing about a person.
const PLAIN_POINTS: [&str; 18] = [
    "/",
    "/boot",
    "/boot/efi",
    "/efi",
    "/data",
    "/home",
    "/mnt",
    "/nix",
    "/opt",
    "/root",
    "/srv",
    "/sysroot",
    "/tmp",
    "/usr",
    "/var",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];

/// Space of a file system, in bytes and inodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// Size.
    pub bytes: f64,
    /// Free, the part reserved for root included.
    pub free_bytes: f64,
    /// What a user can still fill.
    pub available_bytes: f64,
    /// All inodes; zero where the file system makes them as needed.
    pub inodes: f64,
    /// Free inodes.
    pub free_inodes: f64,
}

/// Reads every file system once.
#[must_use]
pub fn read(roots: &Roots) -> Vec<Reading> {
    let mounts = match mounts::read(roots) {
        Ok(mounts) => mounts,
        Err(why) => {
            return vec![Reading::unavailable(
                &metric::FILESYSTEM_UTILIZATION,
                "",
                &why,
            )];
        }
    };
    let fstab = source::text(&roots.etc.join("fstab")).unwrap_or_default();
    named(choose(&mounts), |mount| &mount.point)
        .into_iter()
        .flat_map(|(name, mount)| {
            let errors = errors(roots, mount);
            readings(
                &name,
                mount,
                &space(&mount.point),
                is_meant_read_only(&fstab, &mount.point),
                errors,
            )
        })
        .collect()
}

/// One mount for each file system that counts: bind mounts, subvolumes and snapshots are the same
/// space again, and the mount nearest to the root names it. In a container the root is an overlay; what is
/// bound into it, such as its `/etc/hosts`, is a piece of the file system outside.
#[must_use]
pub fn choose(mounts: &[Mount]) -> Vec<&Mount> {
    let root = mounts.iter().rfind(|mount| mount.point == "/");
    let overlay = root.filter(|root| root.kind == "overlay");
    let is_own = |mount: &&Mount| overlay.is_none() || (mount.root == "/" && mount.point != "/");
    let counted = mounts.iter().filter(|mount| counts(mount));
    let mut candidates: Vec<&Mount> = counted.filter(is_own).chain(overlay).collect();
    candidates.sort_by_key(|mount| (mount.point != "/", mount.root != "/", mount.point.len()));
    let mut seen = BTreeSet::new();
    candidates.retain(|mount| {
        let pool = mount
            .source
            .split('/')
            .next()
            .filter(|_| mount.kind == "zfs")
            .unwrap_or(&mount.source);
        // Both, since btrfs has a number a subvolume, and a device may be mounted by two names.
        let is_new = !seen.contains(&mount.device) && !seen.contains(pool);
        seen.extend([mount.device.clone(), pool.to_owned()]);
        is_new
    });
    candidates.sort_by(|a, b| a.point.cmp(&b.point));
    candidates
}

fn counts(mount: &Mount) -> bool {
    let is_image = mount.source.starts_with("/dev/loop") && mount.point != "/";
    keeps_files(&mount.kind) && !is_image
}

/// Whether file systems of this type keep files on a device of this laptop.
#[must_use]
pub fn keeps_files(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// Each file system with the name that stands for its mount point, as many as are reported.
#[must_use]
pub fn named<T>(all: Vec<T>, point: impl Fn(&T) -> &str) -> Vec<(String, T)> {
    let mut names = BTreeSet::new();
    let first = all.into_iter().take(FILESYSTEMS);
    first
        .map(|one| (name(point(&one), &mut names), one))
        .collect()
}

/// What stands for a mount point: itself where it is a system's, else the class of its place.
fn name(point: &str, taken: &mut BTreeSet<String>) -> String {
    let name = class(point);
    let names = (1..).map(|n| {
        if n == 1 {
            name.clone()
        } else {
            format!("{name} {n}")
        }
    });
    let mut free = names.filter(|name| !taken.contains(name));
    let name = free.next().expect("the numbers do not end");
    taken.insert(name.clone());
    name
}

fn class(point: &str) -> String {
    if PLAIN_POINTS.contains(&point) {
        return point.to_owned();
    }
    // A drive letter of Windows.
    if let [letter @ b'A'..=b'Z', b':', b'\\'] = point.as_bytes() {
        return format!("{}:", char::from(*letter));
    }
    if point.starts_with("/run/media/") || point.starts_with("/media/") {
        return "/media".to_owned();
    }
    let first = point.split('/').nth(1).unwrap_or_default();
    let folder = format!("/{first}");
    if PLAIN_POINTS.contains(&folder.as_str()) {
        format!("{folder}/*")
    } else {
        "other".to_owned()
    }
}

/// Whether `fstab` wants it read-only, or it is a medium that somebody plugged in with a lock.
fn is_meant_read_only(fstab: &str, point: &str) -> bool {
    let lines = fstab
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let entry = lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| {
            fields
                .get(1)
                .is_some_and(|at| mounts::unescape(at) == point)
        });
    match entry {
        Some(fields) => fields
            .get(3)
            .is_some_and(|options| options.split(',').any(|option| option == "ro")),
        None => class(point) == "/media" || class(point) == "other",
    }
}

fn readings(
    name: &str,
    mount: &Mount,
    space: &Sourced<Space>,
    is_meant_read_only: bool,
    errors: Sourced<f64>,
) -> Vec<Reading> {
    let number = |metric, of: fn(&Space) -> Sourced<f64>| {
        source::number_or_why(
            metric,
            name,
            space.as_ref().map_err(Clone::clone).and_then(of),
        )
    };
    vec![
        number(&metric::FILESYSTEM_LIMIT, |space| Ok(space.bytes)),
        number(&metric::FILESYSTEM_FREE, |space| Ok(space.available_bytes)),
        number(&metric::FILESYSTEM_UTILIZATION, utilization),
        number(&metric::FILESYSTEM_INODE_UTILIZATION, inode_utilization),
        Reading::flag(
            &metric::FILESYSTEM_READ_ONLY,
            name,
            mount.read_only && !is_meant_read_only,
        ),
        source::number_or_why(&metric::FILESYSTEM_ERRORS, name, errors),
        Reading::text(&metric::FILESYSTEM_TYPE, name, &mount.kind),
    ]
}

/// As df(1) counts: what is reserved for root is neither used nor free.
fn utilization(space: &Space) -> Sourced<f64> {
    let used = space.bytes - space.free_bytes;
    let usable = used + space.available_bytes;
    if usable > 0.0 {
        Ok((used / usable).clamp(0.0, 1.0))
    } else {
        Err("the file system says a size of zero".to_owned())
    }
}

fn inode_utilization(space: &Space) -> Sourced<f64> {
    if space.inodes > 0.0 {
        Ok((1.0 - space.free_inodes / space.inodes).clamp(0.0, 1.0))
    } else {
        Err("this type makes inodes as needed".to_owned())
    }
}

/// ext4 counts what it met on its device, btrfs what it met on each of its devices.
fn errors(roots: &Roots, mount: &Mount) -> Sourced<f64> {
    let device = || {
        mounts::device_name(roots, mount)
            .ok_or_else(|| "the kernel does not name the device".to_owned())
    };
    match mount.kind.as_str() {
        "ext4" => source::number(
            &roots
                .sys
                .join("fs/ext4")
                .join(device()?)
                .join("errors_count"),
        ),
        "btrfs" => btrfs_errors(roots, mount),
        kind => Err(format!("{kind} does not count errors for others to read")),
    }
}

/// By the kernel's `Documentation/ABI/testing/sysfs-fs-btrfs`; the file is there since Linux 5.14. A
/// subvolume has a number of its own, so that only the source names the device.
fn btrfs_errors(roots: &Roots, mount: &Mount) -> Sourced<f64> {
    let name = mounts::source_name(roots, mount).ok_or("the kernel does not name the device")?;
    let all = roots.sys.join("fs/btrfs");
    let mut pools = source::names(&all).into_iter().map(|pool| all.join(pool));
    let pool = pools
        .find(|pool| pool.join("devices").join(&name).exists())
        .ok_or("the kernel does not list this btrfs")?;
    let devices = source::names(&pool.join("devinfo")).into_iter();
    let texts = devices.filter_map(|device| {
        source::text(&pool.join("devinfo").join(device).join("error_stats")).ok()
    });
    let counts = texts.filter_map(|text| sum_of_errors(&text));
    counts
        .reduce(|a, b| a + b)
        .ok_or_else(|| "this kernel does not tell what btrfs has counted".to_owned())
}

/// Lines such as `write_errs 0`.
fn sum_of_errors(stats: &str) -> Option<f64> {
    let numbers = stats
        .lines()
        .filter_map(|line| source::parse_number(line.split_whitespace().nth(1)?));
    numbers.reduce(|a, b| a + b)
}

/// The used share of the inodes of the file system at a mount point.
#[cfg(any(target_os = "macos", all(test, unix)))]
pub fn inode_utilization_at(point: &str) -> Sourced<f64> {
    space(point).and_then(|space| inode_utilization(&space))
}

#[cfg(unix)]
fn space(point: &str) -> Sourced<Space> {
    let stat = rustix::fs::statvfs(point).map_err(|error| format!("statvfs: {error}"))?;
    let block = stat.f_frsize as f64;
    Ok(Space {
        bytes: stat.f_blocks as f64 * block,
        free_bytes: stat.f_bfree as f64 * block,
        available_bytes: stat.f_bavail as f64 * block,
        inodes: stat.f_files as f64,
        free_inodes: stat.f_ffree as f64,
    })
}

#[cfg(not(unix))]
fn space(_point: &str) -> Sourced<Space> {
    Err("this system has no statvfs".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{tree, value};

    const TABLE: &str = "\
27 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw
28 27 8:2 /srv/x /srv rw - ext4 /dev/sda2 rw
29 27 0:20 / /proc rw - proc proc rw
30 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro
31 27 7:2 / /opt/image rw - ext4 /dev/loop2 rw
32 27 0:44 / /mnt/share rw - nfs4 server:/x rw
33 27 8:17 / /media/anna/ANNAS\\040STICK ro - vfat /dev/sdb1 ro
34 27 8:33 / /run/media/anna/OTHER rw - exfat /dev/sdc1 rw
35 27 0:50 /@ /home rw - btrfs /dev/sda3 rw
36 27 0:51 /@snapshots /var/snap rw - btrfs /dev/sda3 rw
37 27 0:60 / /var/lib/x/merged rw - overlay overlay rw
38 27 8:49 / /home/anna/Private rw - ext4 /dev/sdd1 ro";

    fn table() -> Vec<Mount> {
        TABLE.lines().filter_map(mounts::parse_line).collect()
    }

    #[test]
    fn each_device_counts_once() {
        let mounts = table();
        let points: Vec<&str> = choose(&mounts)
            .iter()
            .map(|mount| mount.point.as_str())
            .collect();
        assert_eq!(
            points,
            [
                "/",
                "/home",
                "/home/anna/Private",
                "/media/anna/ANNAS STICK",
                "/run/media/anna/OTHER"
            ]
        );
    }

    #[test]
    fn a_container_counts_its_own_root_and_nothing_that_was_bound_into_it() {
        let table = "\
500 400 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/l
501 500 0:61 / /proc rw - proc proc rw
502 500 8:2 /var/lib/docker/containers/1/hosts /etc/hosts rw - ext4 /dev/sda2 rw
503 500 8:2 /srv/school /srv rw - ext4 /dev/sda2 rw
504 500 8:17 / /data rw - ext4 /dev/sdb1 rw";
        let mounts: Vec<Mount> = table.lines().filter_map(mounts::parse_line).collect();
        let chosen = choose(&mounts).into_iter();
        let points: Vec<&str> = chosen.map(|mount| mount.point.as_str()).collect();
        assert_eq!(points, ["/", "/data"]);
    }

    #[test]
    fn wsl_counts_its_own_disk_once_and_none_of_windows() {
        let table = "\
60 50 8:32 / / rw,relatime - ext4 /dev/sdc rw
61 60 0:31 / /mnt/wsl rw - tmpfs none rw
62 60 0:32 / /usr/lib/wsl/drivers ro - 9p drivers ro
63 60 8:32 / /mnt/wslg/distro ro,relatime - ext4 /dev/sdc rw
64 60 0:40 / /mnt/c rw - 9p C:\\134 rw
65 60 8:32 /snap/core /var/lib/snapd/core ro - ext4 /dev/sdc rw";
        let mounts: Vec<Mount> = table.lines().filter_map(mounts::parse_line).collect();
        let chosen = choose(&mounts).into_iter();
        let points: Vec<&str> = chosen.map(|mount| mount.point.as_str()).collect();
        assert_eq!(points, ["/"]);
    }

    #[test]
    fn no_name_of_a_person_travels() {
        let mut taken = BTreeSet::new();
        let mounts = table();
        let names: Vec<String> = choose(&mounts)
            .iter()
            .map(|mount| name(&mount.point, &mut taken))
            .collect();
        assert_eq!(names, ["/", "/home", "/home/*", "/media", "/media 2"]);
        assert_eq!(name("/annas-things", &mut taken), "other");
        assert_eq!(name("/var/annas-things", &mut taken), "/var/*");
    }

    #[test]
    fn read_only_by_intent_is_no_fault() {
        let fstab =
            "# comment\nUUID=1 / ext4 errors=remount-ro 0 1\n/dev/sda3 /usr ext4 ro,noatime 0 2\n";
        assert!(!is_meant_read_only(fstab, "/"));
        assert!(is_meant_read_only(fstab, "/usr"));
        assert!(!is_meant_read_only("", "/home/anna/Private"));
        assert!(is_meant_read_only("", "/media/anna/STICK"));
    }

    #[test]
    fn what_is_reserved_for_root_is_not_free() {
        let space = Space {
            bytes: 100.0,
            free_bytes: 10.0,
            available_bytes: 5.0,
            inodes: 0.0,
            free_inodes: 0.0,
        };
        assert_eq!(utilization(&space), Ok(90.0 / 95.0));
        assert!(inode_utilization(&space).is_err());
        let nothing = Space {
            bytes: 0.0,
            free_bytes: 0.0,
            available_bytes: 0.0,
            ..space
        };
        assert!(utilization(&nothing).is_err());
    }

    #[test]
    fn what_btrfs_has_counted() {
        let (_folder, roots) = crate::collect::testing::tree_copy();
        let line = "35 27 0:50 /@ /home rw - btrfs /dev/sda3 rw";
        let mount = mounts::parse_line(line).unwrap();
        assert!(
            errors(&roots, &mount)
                .unwrap_err()
                .contains("does not list")
        );
        let pool = roots.sys.join("fs/btrfs/0b1f");
        for (file, text) in [
            ("devices/sda3/size", "1"),
            (
                "devinfo/1/error_stats",
                "write_errs 2\nread_errs 0\ncorruption_errs 5\n",
            ),
        ] {
            let file = pool.join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        assert_eq!(errors(&roots, &mount), Ok(7.0));
    }

    #[test]
    fn the_worn_laptops_root_has_counted_errors() {
        let readings = read(&tree());
        assert_eq!(value(&readings, "system.filesystem.errors", "/"), "0");
        assert_eq!(value(&readings, "system.filesystem.read_only", "/"), "no");
        assert_eq!(
            value(&readings, "system.filesystem.type", "/boot/efi"),
            "vfat"
        );
    }
}
