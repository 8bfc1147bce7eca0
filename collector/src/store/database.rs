//! One sled database, and the guards without which it is not durable.
//!
//! sled 0.34.7 flushes with `sync_file_range`, which orders nothing and leaves the disk's cache as it
//! is. So each flush is followed by `fdatasync` of a descriptor of our own, and a new database is
//! synced with its folder before it takes anything in. What its recovery would lose in silence, the
//! tally notices; where it panics over damaged bytes, an error comes of it.

use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use super::OpenError;
use super::holes;
use super::tally::{self, Tally, Witness};
use super::tape::Tape;

/// Cheap reads after each commit let sled's epochs advance, without which memory grows: what it has
/// replaced is looked at after every 128 of them, 512 pieces at a time. So many after a commit whatever its
/// size, and so many for each of its operations, up to a fifth of a millisecond.
const DRAIN_READS: usize = 256;
const DRAIN_READS_PER_OP: usize = 8;
const DRAIN_READS_AT_MOST: usize = 2000;

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

/// Bytes of a database whose content is added up when it opens, where its log was replayed: about a
/// third of a second. A larger one is added up by `check`.
const ADD_UP_BYTES: u64 = 256 * 1024 * 1024;

/// A key and its value, or why they cannot be read.
pub(super) type Pair = io::Result<(Vec<u8>, Vec<u8>)>;

/// A database with its trees open.
#[derive(Debug)]
pub(super) struct Database {
    trees: Vec<sled::Tree>,
    /// The trees' names, and what stands for them in the tally.
    names: Arc<[String]>,
    marks: Vec<u64>,
    tally: Mutex<Tally>,
    witness: Witness,
    tape: Arc<Tape>,
    name: String,
    engine: sled::Db,
    file: File,
    path: PathBuf,
    /// Held by each iterator: the engine stays open as long as there is one.
    readers: Arc<()>,
}

impl Database {
    /// Opens the database in `path`, or makes one there; either way it is synced when this returns.
    pub fn open(path: &Path, trees: &[&str], cache_bytes: u64) -> Result<Self, OpenError> {
        let replayed_from = newest_snapshot(path);
        let mut database = Self::open_unchecked(path, trees, cache_bytes)?;
        let replayed = newest_snapshot(path) != replayed_from;
        database.compare_with_witness()?;
        if replayed && database.bytes() <= ADD_UP_BYTES {
            database.add_up()?;
        }
        Ok(database)
    }

    /// Opens a copy of a database whatever its tally says, and answers with what is wrong with it.
    pub fn open_damaged(
        path: &Path,
        trees: &[&str],
        cache_bytes: u64,
    ) -> Result<(Self, Vec<String>), OpenError> {
        let mut database = Self::open_unchecked(path, trees, cache_bytes)?;
        let mut problems = Vec::new();
        let compared = database.compare_with_witness();
        if let Err(error) = compared.and_then(|()| database.add_up()) {
            let told = error.to_string();
            let place = format!("{} is damaged: ", path.display());
            problems.push(told.strip_prefix(&place).unwrap_or(&told).to_owned());
        }
        Ok((database, problems))
    }

    pub(super) fn open_unchecked(
        path: &Path,
        trees: &[&str],
        cache_bytes: u64,
    ) -> Result<Self, OpenError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None);
        await_release(path).map_err(|error| io_error(path, "cannot be locked", error))?;
        let (engine, opened) =
            guarded(|| open_engine(&config, trees)).map_err(|error| from_io(path, error))?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.join("db"))
            .map_err(|error| io_error(&path.join("db"), "cannot be opened", error))?;
        holes::make(&file)
            .map_err(|error| io_error(&path.join("db"), "cannot be looked through", error))?;
        let witness = Witness::open(path)
            .map_err(|error| io_error(&path.join(tally::WITNESS), "cannot be opened", error))?;
        sync_tree(path).map_err(|error| io_error(path, "cannot be synced", error))?;
        Ok(Self {
            names: trees.iter().map(|name| (*name).to_owned()).collect(),
            marks: trees.iter().map(|name| tally::of_tree(name)).collect(),
            trees: opened,
            tally: Mutex::default(),
            witness,
            tape: Arc::default(),
            name: name_of(path),
            engine,
            file,
            path: path.to_owned(),
            readers: Arc::default(),
        })
    }

    /// From now on its commits are recorded on this tape while a backup runs.
    #[must_use]
    pub fn recorded_on(mut self, tape: &Arc<Tape>) -> Self {
        self.tape = Arc::clone(tape);
        self
    }

    /// The last part of its folder's name, under which a backup knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The trees' names, in the order of their numbers.
    pub fn tree_names(&self) -> &[String] {
        &self.names
    }

    /// Applies changes, all or none, and returns once they are durable.
    pub fn commit(&self, ops: &[Op]) -> io::Result<()> {
        let _between_start_and_end_of_a_tape = self.tape.commit();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally = guarded(|| self.apply(ops, *tally))?;
        guarded(|| self.engine.flush())?;
        self.sync_data()?;
        self.witness.note(tally.commits)?;
        self.tape.record(&self.name, &self.names, ops);
        self.drain(ops.len());
        Ok(())
    }

    /// Makes durable what the engine has written.
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        note_synced(&self.path.join("db"));
        Ok(())
    }

    fn apply(&self, ops: &[Op], before: Tally) -> io::Result<Tally> {
        let trees: Vec<&sled::Tree> = self.trees.iter().collect();
        let applied = trees[..].transaction(|views| {
            let mut tally = before;
            tally.commits += 1;
            for op in ops {
                let (view, tree) = (&views[op.tree], self.marks[op.tree]);
                let old = match &op.value {
                    Some(value) => {
                        tally.add(tally::weight(tree, &op.key, value));
                        view.insert(&op.key[..], &value[..])?
                    }
                    None => view.remove(&op.key[..])?,
                };
                if let Some(old) = old {
                    tally.subtract(tally::weight(tree, &op.key, &old));
                }
            }
            let of_tally = views.last().expect("the tree of the tally is the last");
            of_tally.insert(tally::KEY, tally.to_bytes())?;
            Ok::<Tally, ConflictableTransactionError<()>>(tally)
        });
        applied.map_err(|error| match error {
            TransactionError::Storage(error) => io::Error::from(error),
            TransactionError::Abort(()) => io::Error::other("a transaction aborted by itself"),
        })
    }

    /// Puts a value outside of any commit, and so in order: see `dense`. It is durable, and the tally
    /// knows of it, after the next commit.
    pub fn put_alone(&self, tree: usize, key: &[u8], value: &[u8]) -> io::Result<()> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let old = guarded(|| self.trees[tree].insert(key, value))?;
        tally.add(tally::weight(self.marks[tree], key, value));
        if let Some(old) = old {
            tally.subtract(tally::weight(self.marks[tree], key, &old));
        }
        Ok(())
    }

    /// Lets the engine write what it holds, and keeps its memory flat.
    pub fn write_out(&self) -> io::Result<()> {
        guarded(|| self.engine.flush())?;
        self.drain(usize::MAX);
        Ok(())
    }

    /// A value.
    pub fn get(&self, tree: usize, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = guarded(|| self.trees[tree].get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    /// Every key that begins with `prefix`, and its value, in order.
    pub fn scan(
        &self,
        tree: usize,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Pair> + use<> {
        self.guard(self.trees[tree].scan_prefix(prefix))
    }

    /// Every key from `from` up to but without `to`, and its value, in order.
    pub fn range(
        &self,
        tree: usize,
        from: &[u8],
        to: &[u8],
    ) -> impl DoubleEndedIterator<Item = Pair> + use<> {
        self.guard(self.trees[tree].range(from..to))
    }

    fn guard(&self, iter: sled::Iter) -> Guarded {
        Guarded {
            iter: Some(iter),
            _reader: Arc::clone(&self.readers),
        }
    }

    /// Whether an iterator still reads it. Then it cannot be opened a second time, even once this is gone.
    pub fn is_read(&self) -> bool {
        Arc::strong_count(&self.readers) > 1
    }

    /// Takes up the tally, and refuses a database that has fewer commits than were durable.
    fn compare_with_witness(&mut self) -> Result<(), OpenError> {
        let tree = self.trees.len() - 1;
        let found = self.get(tree, tally::KEY);
        let found = found.map_err(|error| from_io(&self.path, error))?;
        let noted = self.witness.noted();
        let noted =
            noted.map_err(|error| io_error(&self.path, "its witness is unreadable", error))?;
        let tally = match (found.as_deref().map(Tally::parse), noted) {
            (Some(Some(tally)), noted) if tally.commits >= noted.unwrap_or(0) => tally,
            (Some(Some(tally)), noted) => {
                let (there, noted) = (tally.commits, noted.unwrap_or_default());
                let lost = noted - there;
                return Err(damaged(
                    &self.path,
                    &format!("the last {lost} of {noted} commits that were durable are lost"),
                ));
            }
            (None, None) => return self.adopt(),
            (Some(None), _) | (None, Some(_)) => {
                return Err(damaged(&self.path, "its tally is lost or damaged"));
            }
        };
        *self.tally.get_mut().unwrap_or_else(PoisonError::into_inner) = tally;
        self.note_witness()
    }

    /// A database that is new, or was made before there were tallies.
    fn adopt(&mut self) -> Result<(), OpenError> {
        let content = self.content()?;
        *self.tally.get_mut().unwrap_or_else(PoisonError::into_inner) = Tally {
            commits: 0,
            content,
        };
        self.commit(&[])
            .map_err(|error| io_error(&self.path, "cannot be written", error))
    }

    fn note_witness(&self) -> Result<(), OpenError> {
        let commits = self
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .commits;
        self.witness
            .note(commits)
            .map_err(|error| io_error(&self.path, "its witness cannot be written", error))
    }

    /// Compares the content with the tally: it reads everything.
    pub fn add_up(&self) -> Result<(), OpenError> {
        let found = self.content()?;
        let expected = self
            .tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .content;
        if found == expected {
            return Ok(());
        }
        Err(damaged(
            &self.path,
            "some of what was durable is lost: its content does not add up",
        ))
    }

    fn content(&self) -> Result<u64, OpenError> {
        let mut tally = Tally::default();
        for (at, (name, tree)) in self.names.iter().zip(&self.marks).enumerate() {
            for pair in self.scan(at, &[]) {
                let (key, value) = pair.map_err(|error| {
                    let place = self.path.join(name);
                    from_io(&place, error)
                })?;
                tally.add(tally::weight(*tree, &key, &value));
            }
        }
        Ok(tally.content)
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

    fn drain(&self, ops: usize) {
        let Some(tree) = self.trees.first() else {
            return;
        };
        let reads = ops.saturating_mul(DRAIN_READS_PER_OP);
        for _ in 0..reads.saturating_add(DRAIN_READS).min(DRAIN_READS_AT_MOST) {
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
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folder(&entry.path())?;
        } else {
            sync(&entry.path())?;
        }
    }
    sync(path)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    note_synced(path);
    Ok(())
}

#[cfg(not(test))]
const fn note_synced(_: &Path) {}

#[cfg(test)]
fn note_synced(path: &Path) {
    SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
}

#[cfg(test)]
thread_local! {
    static SYNCED: std::cell::RefCell<Vec<PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What this thread has synced since it was last asked.
#[cfg(test)]
pub(super) fn take_synced() -> Vec<PathBuf> {
    SYNCED.take()
}

pub(super) fn io_error(path: &Path, problem: &'static str, source: io::Error) -> OpenError {
    OpenError::Io {
        path: path.display().to_string(),
        problem,
        source,
    }
}

/// What the engine reads, with its panics as errors: an assertion is how it says that bytes are damaged.
struct Guarded {
    iter: Option<sled::Iter>,
    _reader: Arc<()>,
}

impl Guarded {
    fn step(
        &mut self,
        next: impl FnOnce(&mut sled::Iter) -> Option<sled::Result<Read>>,
    ) -> Option<Pair> {
        let iter = self.iter.as_mut()?;
        let pair = guarded(|| next(iter).transpose()).transpose()?;
        if pair.is_err() {
            // An iterator that failed would fail for ever.
            self.iter = None;
        }
        Some(pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }
}

type Read = (sled::IVec, sled::IVec);

impl Iterator for Guarded {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for Guarded {
    fn next_back(&mut self) -> Option<Pair> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// Does something with the engine. It asserts what it reads: on damaged bytes a panic is how it says so.
fn guarded<T, E>(work: impl FnOnce() -> Result<T, E>) -> io::Result<T>
where
    io::Error: From<E>,
{
    let done = catch_unwind(AssertUnwindSafe(work));
    let done = done.map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        let said = said
            .unwrap_or("without a word")
            .lines()
            .next()
            .unwrap_or_default();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the engine gave up over damaged bytes: {said}"),
        )
    })?;
    Ok(done?)
}

fn open_engine(config: &sled::Config, trees: &[&str]) -> sled::Result<(sled::Db, Vec<sled::Tree>)> {
    let engine = config.open()?;
    let names = trees.iter().chain([&tally::TREE]);
    let opened: sled::Result<Vec<_>> = names.map(|name| engine.open_tree(name)).collect();
    let opened = opened?;
    engine.flush()?;
    Ok((engine, opened))
}

/// The newest of the engine's snapshots of its page table: a new one is made where the log was replayed.
fn newest_snapshot(path: &Path) -> Option<std::ffi::OsString> {
    let names = std::fs::read_dir(path).ok()?.flatten();
    let names = names.map(|entry| entry.file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("snap."))
        .max()
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn damaged(path: &Path, problem: &str) -> OpenError {
    super::StoreError::Damaged {
        place: path.display().to_string(),
        problem: problem.to_owned(),
    }
    .into()
}

/// What is not the system's error is the engine's word for damage, a panic of its included.
fn from_io(path: &Path, error: io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::InvalidData
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::NotFound
        | io::ErrorKind::Other
        | io::ErrorKind::UnexpectedEof => damaged(path, &error.to_string()),
        _ => io_error(path, "the engine cannot open it", error),
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
    fn a_tail_that_the_engine_would_lose_in_silence_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("week");
        let db = Database::open(&path, &["t"], 1 << 20).unwrap();
        for n in 0..20_u8 {
            let op = Op {
                tree: 0,
                key: vec![n],
                value: Some(vec![n; 50]),
            };
            db.commit(&[op]).unwrap();
        }
        drop(db);
        let whole = std::fs::read(path.join("db")).unwrap();
        let at = whole.windows(50).position(|bytes| bytes == [15; 50]);
        let mut damaged = whole.clone();
        damaged[at.unwrap() + 20] ^= 1;
        std::fs::write(path.join("db"), &damaged).unwrap();
        for _ in 0..2 {
            let error = Database::open(&path, &["t"], 1 << 20)
                .unwrap_err()
                .to_string();
            assert!(error.contains("are lost"), "{error}");
        }
    }

    #[test]
    fn a_database_without_a_tally_is_taken_up_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("week");
        let plain = sled::open(&path).unwrap();
        plain.open_tree("t").unwrap().insert(b"a", b"1").unwrap();
        drop(plain);
        let db = Database::open(&path, &["t"], 1 << 20).unwrap();
        assert_eq!(db.get(0, b"a").unwrap(), Some(b"1".to_vec()));
        db.add_up().unwrap();
        drop(db);
        Database::open(&path, &["t"], 1 << 20)
            .unwrap()
            .add_up()
            .unwrap();
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
