//! Checking a store: every value of every tree, what the trees say of each other, and what the engine
//! would not say by itself. Nothing of the store is changed.
//!
//! The engine repairs a database when it opens it, which would be a change. So the databases of a folder
//! that nobody uses are copied to a scratch folder, one at a time, and the copies are opened. A running
//! collector is asked to look through what it has open; it goes on meanwhile, so what the trees say of
//! each other is not compared then.

mod agreement;
mod trees;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::backup::HOT;
use super::database::{Database, io_error};
use super::hot::remove_folder;
use super::keys::{Part, TreeName};
use super::{OpenError, Store};
use agreement::Agreement;
use trees::{HotTree, PartTree};

/// Findings that are told one by one; the rest is counted.
const FINDINGS: usize = 1000;

/// Memory for pages while everything is read once.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

const RESTORE: &str = "restore the latest backup into a new folder";

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The database or file, as a path within the data folder.
    pub file: String,
    /// Which tree and key, in words; empty where it is the whole file.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What is lost by it.
    pub lost: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.place.is_empty() { "" } else { ": " };
        writeln!(f, "{}{between}{}: {}", self.file, self.place, self.problem)?;
        writeln!(f, "    lost: {}", self.lost)?;
        write!(f, "    to do: {}", self.remedy)
    }
}

/// What a check has looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Databases that were read.
    pub databases: u64,
    /// Values that were read.
    pub values: u64,
    /// What is wrong, the first thousand.
    pub findings: Vec<Finding>,
    /// What is wrong beyond those.
    pub more: u64,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds something that is wrong.
    pub fn add(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

/// Checks the store in `data`, which nobody may use meanwhile, by way of copies in `scratch`, a folder
/// that is made and removed again and needs room for the largest database.
///
/// # Errors
/// [`OpenError`] when there is no store, it is in use, or cannot be copied.
pub fn check_store(data: &Path, scratch: &Path) -> Result<CheckReport, OpenError> {
    if !data.join(HOT).is_dir() {
        return Err(OpenError::Missing(data.display().to_string()));
    }
    let _lock = lock(data)?;
    let mut report = CheckReport::default();
    let checked = check_databases(data, scratch, &mut report);
    remove_folder(scratch).map_err(|error| io_error(scratch, "cannot be removed", error))?;
    checked.map(|()| report)
}

impl Store {
    /// Looks through everything that a running store holds; it reads for as long as that takes.
    #[must_use]
    pub fn check_running(&self) -> CheckReport {
        let mut report = CheckReport::default();
        let shared = self.shared();
        check_hot(&shared.hot.database, &mut report, None);
        let parts = match shared.history.parts() {
            Ok(parts) => parts,
            Err(error) => {
                report.add(of_file("history", &error.to_string(), "its days", RESTORE));
                return report;
            }
        };
        for part in parts {
            match shared.history.existing(part) {
                Ok(Some(database)) => check_part(&database, part, &mut report),
                Ok(None) => {}
                Err(error) => report.add(damaged_part(part, &error.to_string())),
            }
        }
        report
    }
}

fn check_databases(data: &Path, scratch: &Path, report: &mut CheckReport) -> Result<(), OpenError> {
    let words = TreeName::ALL.map(TreeName::word);
    if let Some(hot) = open_copy(data, HOT, &words, scratch, report)? {
        let mut agreement = Agreement::default();
        check_hot(&hot, report, Some(&mut agreement));
    }
    for part in parts(data)? {
        let name = format!("history/{}", part.folder());
        if let Some(database) = open_copy(data, &name, part.trees(), scratch, report)? {
            check_part(&database, part, report);
        }
    }
    Ok(())
}

fn parts(data: &Path) -> Result<Vec<Part>, OpenError> {
    let folder = data.join("history");
    let mut parts = Vec::new();
    let entries = fs::read_dir(&folder).map_err(|error| io_error(&folder, "cannot be read", error));
    for entry in entries? {
        let entry = entry.map_err(|error| io_error(&folder, "cannot be read", error))?;
        parts.extend(entry.file_name().to_str().and_then(Part::from_folder));
    }
    parts.sort_unstable();
    Ok(parts)
}

/// A copy of a database, open; what already its opening shows is told.
fn open_copy(
    data: &Path,
    name: &str,
    trees: &[&str],
    scratch: &Path,
    report: &mut CheckReport,
) -> Result<Option<Database>, OpenError> {
    let (from, copy) = (data.join(name), scratch.join("copy"));
    remove_folder(&copy)
        .and_then(|()| copy_folder(&from, &copy))
        .map_err(|error| io_error(&from, "cannot be copied to the scratch folder", error))?;
    let blobs = fs::read_dir(from.join("blobs")).map_or(0, Iterator::count);
    if blobs > 0 {
        let problem = format!("{blobs} values lie outside the log, where they are not durable");
        let lost = "nothing yet; a power cut could take them";
        report.add(of_file(&format!("{name}/blobs"), &problem, lost, RESTORE));
    }
    let (lost, remedy) = whole(name);
    match Database::open_damaged(&copy, trees, CACHE_BYTES) {
        Ok((database, problems)) => {
            for problem in problems {
                report.add(of_file(name, &problem, &lost, &remedy));
            }
            Ok(Some(database))
        }
        Err(error) => {
            let problem = error.to_string().replace(&copy.display().to_string(), name);
            report.add(of_file(name, &problem, &lost, &remedy));
            Ok(None)
        }
    }
}

fn check_hot(database: &Database, report: &mut CheckReport, mut agreement: Option<&mut Agreement>) {
    report.databases += 1;
    for tree in TreeName::ALL {
        let mut checked = HotTree::new(tree);
        for pair in database.scan(tree as usize, &[]) {
            report.values += 1;
            match pair {
                Ok((key, value)) => checked.take(&key, &value, report, agreement.as_deref_mut()),
                Err(error) => report.add(unreadable(HOT, tree.word(), &error)),
            }
        }
        checked.end(report, agreement.as_deref_mut());
    }
    if let Some(agreement) = agreement {
        agreement.compare(report);
    }
}

fn check_part(database: &Database, part: Part, report: &mut CheckReport) {
    report.databases += 1;
    for (number, tree) in part.trees().iter().enumerate() {
        let checked = PartTree::new(part, tree);
        for pair in database.scan(number, &[]) {
            report.values += 1;
            match pair {
                Ok((key, value)) => checked.take(&key, &value, report),
                Err(error) => {
                    let name = format!("history/{}", part.folder());
                    report.add(unreadable(&name, tree, &error));
                }
            }
        }
    }
}

fn unreadable(name: &str, tree: &str, error: &io::Error) -> Finding {
    let (lost, remedy) = whole(name);
    Finding {
        file: name.to_owned(),
        place: tree.to_owned(),
        problem: format!("cannot be read on: {error}"),
        lost,
        remedy,
    }
}

fn damaged_part(part: Part, problem: &str) -> Finding {
    let name = format!("history/{}", part.folder());
    let (lost, remedy) = whole(&name);
    of_file(&name, problem, &lost, &remedy)
}

fn of_file(file: &str, problem: &str, lost: &str, remedy: &str) -> Finding {
    Finding {
        file: file.to_owned(),
        place: String::new(),
        problem: problem.to_owned(),
        lost: lost.to_owned(),
        remedy: remedy.to_owned(),
    }
}

/// What is lost with a database that is damaged as a whole, and what to do.
fn whole(name: &str) -> (String, String) {
    match name.strip_prefix("history/") {
        Some(part) => (
            format!("some or all readings of {part}; nothing else"),
            format!("{RESTORE}, or stop the collector and move {name} away: all else is kept"),
        ),
        None => (
            "some of the last reports, records or alerts; which, cannot be told".to_owned(),
            RESTORE.to_owned(),
        ),
    }
}

fn lock(data: &Path) -> Result<Option<File>, OpenError> {
    let path = data.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(&path, "cannot be opened", error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(data.display().to_string())),
        Err(error) => Err(io_error(&path, "cannot be locked", error.into())),
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            // A file system that can share the blocks does.
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
