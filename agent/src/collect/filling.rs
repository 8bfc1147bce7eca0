//! What fills a disk, by class: updates, temporary files, downloads. Sizes alone: no name is kept, and no file opened.
//!
//! Folders of people are read where the system lets the agent: as a service of Windows it may, on Linux and macOS homes
//! are closed to it. A class of which one folder is closed has no size, since half of it would mislead.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};

/// Files and folders of one class that are looked at: some ten thousand a second on a slow drive, and a laptop with
/// more in such folders is told so.
const ENTRIES: usize = 50_000;

/// Where package managers of Linux keep what they fetched, below `/var/cache`.
const UPDATES_LINUX: [&str; 7] = [
    "apt/archives",
    "dnf",
    "libdnf5",
    "PackageKit",
    "zypp/packages",
    "pacman/pkg",
    "fwupd",
];

/// Homes that are looked at: a laptop that is lent has a handful.
#[cfg(any(not(target_os = "linux"), test))]
const HOMES: usize = 64;

/// Where the files of one class lie.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    /// Its name, which is the reading's instance.
    name: &'static str,
    /// Its folders, of which those that are not there take no room; or why they cannot be looked at.
    folders: Sourced<Vec<PathBuf>>,
}

/// Reads the size of each class on Linux, where the agent's service has a folder for temporary files of its own.
#[must_use]
pub fn read(roots: &Roots) -> Vec<Reading> {
    let cache = roots.var.join("cache");
    let updates = UPDATES_LINUX.iter().map(|folder| cache.join(folder));
    let closed = |what: &str| Err(format!("{what} are closed to the agent"));
    readings(&[
        class("updates", Ok(updates.collect())),
        class("temporary", closed("temporary files of others")),
        class("downloads", closed("homes")),
    ])
}

/// Reads the size of each class on Windows, whose service may read every profile.
#[cfg(any(windows, test))]
#[must_use]
pub fn read_windows() -> Vec<Reading> {
    let system = std::env::var_os("SystemRoot").unwrap_or_else(|| "C:\\Windows".into());
    let system = PathBuf::from(system);
    let users = system.parent().unwrap_or(&system).join("Users");
    let temporary = of_homes(&users, "AppData\\Local\\Temp").map(|mut temporary| {
        temporary.push(system.join("Temp"));
        temporary
    });
    readings(&[
        class(
            "updates",
            Ok(vec![system.join("SoftwareDistribution\\Download")]),
        ),
        class("temporary", temporary),
        class("downloads", of_homes(&users, "Downloads")),
    ])
}

/// Reads the size of each class on macOS, which may close folders of people to the agent.
#[cfg(any(target_os = "macos", all(test, not(windows))))]
#[must_use]
pub fn read_macos() -> Vec<Reading> {
    let paths = |paths: &[&str]| Ok(paths.iter().map(PathBuf::from).collect());
    readings(&[
        class("updates", paths(&["/Library/Updates"])),
        class(
            "temporary",
            paths(&["/private/tmp", "/private/var/tmp", "/private/var/folders"]),
        ),
        class("downloads", of_homes(Path::new("/Users"), "Downloads")),
    ])
}

const fn class(name: &'static str, folders: Sourced<Vec<PathBuf>>) -> Class {
    Class { name, folders }
}

/// A folder of each home.
#[cfg(any(not(target_os = "linux"), test))]
fn of_homes(homes: &Path, part: &str) -> Sourced<Vec<PathBuf>> {
    let names = source::try_names(homes)?.into_iter().take(HOMES);
    Ok(names.map(|name| homes.join(name).join(part)).collect())
}

fn readings(classes: &[Class]) -> Vec<Reading> {
    let sizes = classes.iter().map(|class| {
        let mut left = ENTRIES;
        let size = class.folders.clone().and_then(|folders| {
            let sizes = folders.iter().map(|folder| size(folder, &mut left));
            sizes.sum::<Sourced<f64>>()
        });
        source::number_or_why(&metric::FILESYSTEM_CLASS_SIZE, class.name, size)
    });
    sizes.collect()
}

/// The bytes that a folder's files take on the disk.
fn size(folder: &Path, left: &mut usize) -> Sourced<f64> {
    let mut bytes = 0.0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // What is not there, or not any more, takes no room.
            Err(error) if is_gone(error.kind()) => continue,
            Err(error) => return Err(format!("a folder is closed to the agent: {}", error.kind())),
        };
        for entry in entries.flatten() {
            *left = left
                .checked_sub(1)
                .ok_or("there are too many files to count")?;
            // Of the entry itself: a link leads elsewhere.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                bytes += on_disk(&metadata);
            }
        }
    }
    Ok(bytes)
}

const fn is_gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn on_disk(metadata: &Metadata) -> f64 {
    use std::os::unix::fs::MetadataExt as _;
    metadata.blocks() as f64 * 512.0
}

/// Files that lie in a cloud and are fetched when they are opened take no room.
#[cfg(windows)]
fn on_disk(metadata: &Metadata) -> f64 {
    use std::os::windows::fs::MetadataExt as _;
    /// `FILE_ATTRIBUTE_OFFLINE` and `FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS` of winnt.h.
    const ELSEWHERE: u32 = 0x1000 | 0x0040_0000;
    if metadata.file_attributes() & ELSEWHERE == 0 {
        metadata.len() as f64
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::reading::Value;

    fn write(root: &Path, path: &str, kib: usize) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![7; kib * 1024]).unwrap();
    }

    fn told(classes: &[Class]) -> Vec<(String, Value)> {
        let readings = readings(classes);
        let told = readings.iter();
        told.map(|r| (r.instance().to_owned(), r.value().clone()))
            .collect()
    }

    #[test]
    fn each_class_is_told_by_its_size_and_nothing_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "cache/a.deb", 64);
        write(root, "cache/partial/b.deb", 16);
        write(root, "tmp/x", 8);
        write(root, "home/ada/Downloads/secret-name.iso", 128);
        write(root, "home/ada/Documents/essay", 256);
        write(root, "home/bob/Downloads/film", 32);
        write(root, "home/bob/AppData/Temp/y", 4);
        let homes = root.join("home");
        let mut temporary = vec![root.join("tmp")];
        temporary.extend(of_homes(&homes, "AppData/Temp").unwrap());
        let classes = [
            class(
                "updates",
                Ok(vec![root.join("cache"), root.join("not-there")]),
            ),
            class("temporary", Ok(temporary)),
            class("downloads", of_homes(&homes, "Downloads")),
        ];
        let told = told(&classes);
        let kib = |value: &Value| value.as_number().unwrap() / 1024.0;
        let sizes: Vec<(&str, f64)> = told.iter().map(|(n, v)| (n.as_str(), kib(v))).collect();
        assert_eq!(
            sizes,
            [("updates", 80.0), ("temporary", 12.0), ("downloads", 160.0)]
        );
        assert!(!format!("{told:?}").contains("secret-name"));
    }

    #[test]
    fn linux_says_what_is_closed_to_it() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "var/cache/apt/archives/linux.deb", 96);
        let roots = Roots {
            var: folder.path().join("var"),
            ..Roots::default()
        };
        let readings = read(&roots);
        assert_eq!(readings[0].value(), &Value::Number(96.0 * 1024.0));
        assert!(
            readings[1..]
                .iter()
                .all(|reading| !reading.value().is_available())
        );
    }

    /// The folders of other systems are not here, and take no room.
    #[cfg(not(windows))]
    #[test]
    fn each_system_has_three_classes() {
        let folders = [read_windows(), read_macos()];
        for readings in folders {
            let names: Vec<&str> = readings.iter().map(Reading::instance).collect();
            assert_eq!(names, ["updates", "temporary", "downloads"]);
        }
        assert_eq!(read_windows()[0].value(), &Value::Number(0.0));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_leads_nowhere_and_half_a_class_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "big/file", 512);
        write(root, "tmp/small", 4);
        std::os::unix::fs::symlink(root.join("big"), root.join("tmp/link")).unwrap();
        let mut left = ENTRIES;
        assert_eq!(size(&root.join("tmp"), &mut left), Ok(4096.0));
        assert!(
            size(&root.join("tmp"), &mut 1)
                .unwrap_err()
                .contains("too many")
        );
        let closed = fs::read_dir("/proc/1/task/1/fd").is_err();
        if closed {
            let why = size(Path::new("/proc/1/task/1/fd"), &mut left).unwrap_err();
            assert!(why.contains("closed to the agent"), "{why}");
        }
    }
}
