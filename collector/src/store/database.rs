//! One sled database, and the guards without which it is not durable.
//!
//! sled 0.34.7 flushes with `sync_file_range`, which orders nothing and leaves the disk's cache as it
//! is. So each flush is followed by `fdatasync` of a descriptor of our own, and a new database is
//! synced with its folder before it takes anything in.

use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use super::OpenError;

/// Cheap reads after each commit: they let sled's epochs advance, without which memory grows.
const DRAIN_READS: usize = 2000;

/// How often and how long to wait for a database that was just dropped: 5 s in all, where one takes
/// some milliseconds.
const RELEASE_LOOKS: u32 = 500;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// An insertion (with a value) or a removal (without).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Op {
    /// The number of the tree among those opened.
    pub tree: usize,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// A database with its trees open.
#[derive(Debug)]
pub(super) struct Database {
    trees: Vec<sled::Tree>,
    engine: sled::Db,
    file: File,
    path: PathBuf,
}

impl Database {
    /// Opens the database in `path`, or makes one there; either way it is synced when this returns.
    pub fn open(path: &Path, trees: &[&str], cache_bytes: u64) -> Result<Self, OpenError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None);
        await_release(path).map_err(|error| io_error(path, "cannot be locked", error))?;
        // sled asserts what it reads; on damaged files an assertion is how it says so.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()));
        let engine = opened
            .map_err(|_| damaged(path, "the engine gave up while reading it"))?
            .map_err(|error| from_sled(path, error))?;
        let trees: Result<Vec<_>, _> = trees.iter().map(|name| engine.open_tree(name)).collect();
        let trees = trees.map_err(|error| from_sled(path, error))?;
        engine.flush().map_err(|error| from_sled(path, error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.join("db"))
            .map_err(|error| io_error(&path.join("db"), "cannot be opened", error))?;
        sync_tree(path).map_err(|error| io_error(path, "cannot be synced", error))?;
        Ok(Self {
            trees,
            engine,
            file,
            path: path.to_owned(),
        })
    }

    /// Applies changes, all or none, and returns once they are durable.
    pub fn commit(&self, ops: &[Op]) -> io::Result<()> {
        let trees: Vec<&sled::Tree> = self.trees.iter().collect();
        let applied = trees[..].transaction(|views| {
            for op in ops {
                let view = &views[op.tree];
                match &op.value {
                    Some(value) => view.insert(&op.key[..], &value[..])?,
                    None => view.remove(&op.key[..])?,
                };
            }
            Ok::<(), ConflictableTransactionError<()>>(())
        });
        applied.map_err(|error| match error {
            TransactionError::Storage(error) => io::Error::from(error),
            TransactionError::Abort(()) => io::Error::other("a transaction aborted by itself"),
        })?;
        self.engine.flush()?;
        self.file.sync_data()?;
        self.drain();
        Ok(())
    }

    /// A value.
    pub fn get(&self, tree: usize, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = self.trees[tree].get(key)?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Every key that begins with `prefix`, and its value, in order.
    pub fn scan(
        &self,
        tree: usize,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = io::Result<(Vec<u8>, Vec<u8>)>> + use<> {
        let found = self.trees[tree].scan_prefix(prefix);
        found.map(|pair| {
            let (key, value) = pair?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }

    /// Every key from `from` up to but without `to`, and its value, in order.
    pub fn range(
        &self,
        tree: usize,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = io::Result<(Vec<u8>, Vec<u8>)>> + use<> {
        let found = self.trees[tree].range(from..to);
        found.map(|pair| {
            let (key, value) = pair?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Files in `blobs/`: values that outgrew their page and are not durable.
    pub fn blob_files(&self) -> u64 {
        let files = std::fs::read_dir(self.path.join("blobs"));
        files.map_or(0, |files| files.count() as u64)
    }

    fn drain(&self) {
        let Some(tree) = self.trees.first() else {
            return;
        };
        for _ in 0..DRAIN_READS {
            // Only its passing through sled's epoch matters.
            let _ = tree.contains_key([]);
        }
    }
}

/// Waits until a database that this process has just dropped is free: sled lets go of it on a thread
/// of its own. Others are kept away by the store's own lock.
#[expect(
    clippy::disallowed_methods,
    reason = "the engine offers nothing else to wait for"
)]
fn await_release(path: &Path) -> io::Result<()> {
    let Ok(file) = File::open(path.join("db")) else {
        return Ok(());
    };
    for _ in 0..RELEASE_LOOKS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(BETWEEN_LOOKS),
            done => return done.map_err(io::Error::from),
        }
    }
    // Whoever holds it for so long is somebody else, whom the engine's own error names.
    Ok(())
}

/// Syncs every file in a folder, the folders within it, itself, and its parent.
pub(super) fn sync_tree(path: &Path) -> io::Result<()> {
    sync_folder(path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folder(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(path)?.sync_all()
}

pub(super) fn io_error(path: &Path, problem: &'static str, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.display().to_string(),
        problem,
        source,
    }
}

fn damaged(path: &Path, problem: &str) -> OpenError {
    super::StoreError::Damaged {
        place: path.display().to_string(),
        problem: problem.to_owned(),
    }
    .into()
}

fn from_sled(path: &Path, error: sled::Error) -> OpenError {
    match error {
        sled::Error::Corruption { .. } => damaged(path, &error.to_string()),
        other => io_error(path, "the engine cannot open it", other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("week");
        let op = |key: &[u8], value: Option<&[u8]>| Op {
            tree: 0,
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        let db = Database::open(&path, &["t"], 1 << 20).unwrap();
        db.commit(&[op(b"a", Some(b"1")), op(b"b", Some(b"2"))])
            .unwrap();
        db.commit(&[op(b"a", None)]).unwrap();
        drop(db);
        let db = Database::open(&path, &["t"], 1 << 20).unwrap();
        assert_eq!(db.get(0, b"a").unwrap(), None);
        assert_eq!(db.get(0, b"b").unwrap(), Some(b"2".to_vec()));
        assert_eq!(db.blob_files(), 0);
    }

    #[test]
    fn a_damaged_database_is_an_error_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("week");
        drop(Database::open(&path, &["t"], 1 << 20).unwrap());
        std::fs::write(path.join("conf"), b"nothing like it").unwrap();
        assert!(Database::open(&path, &["t"], 1 << 20).is_err());
    }
}
