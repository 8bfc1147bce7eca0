//! What is committed while a backup copies, so that the copy can be brought to one moment.
//!
//! sled has no snapshots: a copy of a database that is written meanwhile is of many moments. But each
//! change puts or removes whole values, so a copy with all changes since its beginning replayed over it,
//! in order, is the database at the end. The tape records those changes, of all databases in the order
//! of their commits, and is stopped between two commits: what a backup holds is what a crash at that
//! moment would have left.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::database::Op;

/// Bytes that may wait to be written to the backup. The writer never waits for a backup: one whose
/// receiver is so far behind is given up. 64 MiB are two minutes of 100,000 laptops.
pub(super) const TAPE_BYTES: usize = 64 * 1024 * 1024;

/// Something that happened to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A commit.
    Commit {
        /// The database's name.
        database: String,
        /// The names of its trees, by their numbers.
        trees: Arc<[String]>,
        /// What it changed.
        ops: Vec<Op>,
    },
    /// The database was removed.
    Removed {
        /// Its name.
        database: String,
    },
}

/// Records while somebody listens.
#[derive(Debug, Default)]
pub(super) struct Tape {
    /// Held for reading by each commit from before it begins until it is recorded; held for writing to
    /// begin, to stop, and to add a database, so that no commit is half inside.
    commits: RwLock<()>,
    recording: Mutex<Option<Recording>>,
}

#[derive(Debug, Default)]
struct Recording {
    /// The databases whose copy has not begun: the copy will see what changes there.
    not_yet: BTreeSet<String>,
    events: VecDeque<Event>,
    bytes: usize,
    overflowed: bool,
}

/// Why a tape does not record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TapeError {
    /// Another backup is under way.
    #[error("another backup is under way; wait until it is done")]
    Busy,
    /// Its events were not taken away fast enough.
    #[error(
        "more than {} MiB of changes wait to be written to the backup: what receives it is too slow",
        TAPE_BYTES >> 20
    )]
    Overflowed,
}

impl Tape {
    /// Says that a commit is under way; it is over when the answer is dropped.
    pub fn commit(&self) -> RwLockReadGuard<'_, ()> {
        self.commits.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what a commit has changed. Its guard is still held.
    pub fn record(&self, database: &str, trees: &Arc<[String]>, ops: &[Op]) {
        self.push(database, |database| Event::Commit {
            database,
            trees: Arc::clone(trees),
            ops: ops.to_vec(),
        });
    }

    /// Records that a database is gone.
    pub fn removed(&self, database: &str) {
        let _commit = self.commit();
        self.push(database, |database| Event::Removed { database });
    }

    /// Begins to record, but not yet what happens to these databases.
    pub fn start(&self, not_yet: BTreeSet<String>) -> Result<(), TapeError> {
        let _no_commit = self.between_commits();
        let mut recording = self.lock();
        if recording.is_some() {
            return Err(TapeError::Busy);
        }
        *recording = Some(Recording {
            not_yet,
            ..Recording::default()
        });
        Ok(())
    }

    /// Records what happens to a database from now on: its copy begins.
    pub fn include(&self, database: &str) {
        let _no_commit = self.between_commits();
        if let Some(recording) = self.lock().as_mut() {
            recording.not_yet.remove(database);
        }
    }

    /// Does something that no tape can tell of, unless one records now; none begins meanwhile.
    pub fn unless_recording<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let _none_begins = self.commit();
        if self.lock().is_some() {
            return None;
        }
        Some(work())
    }

    /// Takes what was recorded so far.
    pub fn take(&self) -> Result<VecDeque<Event>, TapeError> {
        match self.lock().as_mut() {
            Some(recording) => recording.take(),
            None => Ok(VecDeque::new()),
        }
    }

    /// Stops between two commits, and takes what is left.
    pub fn stop(&self) -> Result<VecDeque<Event>, TapeError> {
        let _no_commit = self.between_commits();
        match self.lock().take() {
            Some(mut recording) => recording.take(),
            None => Ok(VecDeque::new()),
        }
    }

    fn push(&self, database: &str, event: impl FnOnce(String) -> Event) {
        if let Some(recording) = self.lock().as_mut()
            && !recording.not_yet.contains(database)
        {
            recording.push(event(database.to_owned()));
        }
    }

    fn between_commits(&self) -> impl Drop + '_ {
        self.commits.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recording>> {
        self.recording
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    fn push(&mut self, event: Event) {
        self.bytes += event.bytes();
        if self.bytes > TAPE_BYTES {
            self.overflowed = true;
            self.events.clear();
        }
        if !self.overflowed {
            self.events.push_back(event);
        }
    }

    fn take(&mut self) -> Result<VecDeque<Event>, TapeError> {
        if self.overflowed {
            return Err(TapeError::Overflowed);
        }
        self.bytes = 0;
        Ok(std::mem::take(&mut self.events))
    }
}

impl Event {
    fn bytes(&self) -> usize {
        let of_op = |op: &Op| 64 + op.key.len() + op.value.as_ref().map_or(0, Vec::len);
        match self {
            Self::Commit { ops, .. } => 64 + ops.iter().map(of_op).sum::<usize>(),
            Self::Removed { .. } => 64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tape: &Tape, database: &str, bytes: usize) {
        tape.record(database, &Arc::from(["t".to_owned()]), &[op(bytes)]);
    }

    fn op(bytes: usize) -> Op {
        Op {
            tree: 0,
            key: vec![1],
            value: Some(vec![0; bytes]),
        }
    }

    #[test]
    fn it_records_between_start_and_stop_what_is_being_copied() {
        let tape = Tape::default();
        record(&tape, "hot", 1);
        tape.start(BTreeSet::from(["hot".to_owned()])).unwrap();
        assert_eq!(tape.start(BTreeSet::new()), Err(TapeError::Busy));
        record(&tape, "hot", 2);
        record(&tape, "2026-W10", 3);
        tape.include("hot");
        record(&tape, "hot", 4);
        tape.removed("2026-W10");
        let names: Vec<String> = tape
            .stop()
            .unwrap()
            .iter()
            .map(|e| format!("{e:?}"))
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(
            names[0].contains("W10") && names[1].contains("hot") && names[2].contains("Removed")
        );
        record(&tape, "hot", 5);
        assert_eq!(tape.take().unwrap(), VecDeque::new());
    }

    #[test]
    fn a_receiver_that_is_too_slow_ends_the_backup_and_nothing_else() {
        let tape = Tape::default();
        tape.start(BTreeSet::new()).unwrap();
        for _ in 0..=TAPE_BYTES >> 20 {
            record(&tape, "hot", 1 << 20);
        }
        assert_eq!(tape.take(), Err(TapeError::Overflowed));
        assert_eq!(tape.stop(), Err(TapeError::Overflowed));
        assert_eq!(tape.take().unwrap(), VecDeque::new());
    }
}
