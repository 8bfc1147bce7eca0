//! The store: what the collector keeps, and the only stage that names its engine.
//!
//! [`Store::append`] and [`Store::commit`] return once what they were given is durable; everything
//! that reads sees only what is durable. After an error of the engine nothing is acknowledged any
//! more: the store is poisoned, [`Store::failed`] returns, and the process is to end and start anew.

mod archive;
mod backup;
pub mod block;
mod change;
mod check;
mod codec;
mod counters;
mod counts;
mod cursors;
mod database;
mod dense;
mod error;
mod frame;
#[cfg(test)]
mod guards;
mod history;
mod holes;
mod hot;
mod keys;
mod legacy;
mod log;
mod memory;
mod merge;
mod options;
mod read;
mod records;
mod renew;
mod restore;
mod retention;
pub mod rollup;
mod round;
mod seal;
mod shared;
mod snapshot;
mod tail;
mod tally;
mod tape;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transfer;
mod view;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use rollcall_shared::id::{DeviceId, Sequence, SpoolId};
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use archive::{End, Head};
pub use backup::{Backup, BackupError, BackupFile};
pub use change::{Change, Write};
pub use check::{CheckReport, Finding, check_store};
pub use counters::StoreCounters;
pub use counts::{Counts, Kind};
pub use error::{OpenError, StoreError};
use history::History;
use hot::Hot;
pub use options::StoreOptions;
pub use records::{ApiTokenRecord, EnrolmentTokenRecord, Role};
pub use restore::{BackupContent, RestoreError, restore, verify_backup};
use rollup::Level;
use shared::Shared;
use tape::Tape;
pub use transfer::{ExportError, Format, ImportOptions, ImportReport, Selection, export, import};
use writer::Job;

/// Reports of one device's spool, in ascending order of sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Whose reports.
    pub device: DeviceId,
    /// Of which spool.
    pub spool: SpoolId,
    /// Each with its time by the collector's clock.
    pub reports: Vec<(UnixMs, Report)>,
    /// When they came.
    pub received: UnixMs,
    /// How far the device's clock is ahead, in milliseconds.
    pub skew_ms: i64,
}

/// What became of an [`Arrival`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The last sequence of the spool that is durable.
    pub stored: Sequence,
    /// How many reports were new.
    pub new: usize,
    /// How many had been stored before and were dropped.
    pub duplicates: usize,
}

/// A cheap handle to the store; clones share it. The last one to go closes the store.
#[derive(Debug, Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Makes a store in `data`, which is made if it does not exist.
    ///
    /// # Errors
    /// [`OpenError`], in particular when there is one already.
    pub fn create(data: &Path, options: StoreOptions, now: UnixMs) -> Result<Self, OpenError> {
        Self::start(data, Hot::create(data)?, options, now)
    }

    /// Opens the store in `data`, and rebuilds its memory.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the folder.
    pub fn open(data: &Path, options: StoreOptions, now: UnixMs) -> Result<Self, OpenError> {
        Self::start(data, Hot::open(data)?, options, now)
    }

    fn start(data: &Path, hot: Hot, options: StoreOptions, now: UnixMs) -> Result<Self, OpenError> {
        let tape = Arc::new(Tape::default());
        let hot = hot.recorded_on(&tape);
        let history = History::open(data)?.recorded_on(&tape);
        let shared = Arc::new(Shared::new(hot, history, tape, options, now)?);
        shared.look_for_blobs();
        let (jobs, inbox) = mpsc::channel(writer::JOBS);
        let of_writer = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || of_writer.write(inbox))
            .map_err(|error| database::io_error(data, "cannot start its writer", error))?;
        let handle = Handle {
            shared,
            jobs: Some(jobs),
            writer: Some(writer),
        };
        Ok(Self {
            handle: Arc::new(handle),
        })
    }

    /// Stores reports; they are durable when this returns. Those that were stored before are
    /// dropped, and gaps in the sequence are allowed, since a full spool drops its oldest.
    ///
    /// # Errors
    /// [`StoreError`]; nothing may be acknowledged then.
    pub async fn append(&self, arrival: Arrival) -> Result<Appended, StoreError> {
        self.ask(|reply| Job::Append(arrival, reply)).await
    }

    /// The last sequence of a spool that is durable.
    ///
    /// # Errors
    /// [`StoreError::Failed`] once the store has failed.
    pub fn stored(&self, device: DeviceId, spool: SpoolId) -> Result<Sequence, StoreError> {
        self.shared().check()?;
        Ok(self.shared().memory().cursors.get(device, spool))
    }

    /// Makes changes, all or none; they are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed then.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut ops = Vec::new();
        for write in &writes {
            ops.extend(self.shared().ops_of(write)?);
        }
        self.change(writes, ops).await
    }

    async fn change(&self, writes: Vec<Write>, ops: Vec<database::Op>) -> Result<(), StoreError> {
        self.ask(|reply| Job::Commit(writes, ops, reply)).await
    }

    async fn freeze(&self, devices: Vec<DeviceId>) -> Result<(), StoreError> {
        self.ask(|reply| Job::Freeze(devices, reply)).await
    }

    async fn note_sealed(&self, devices: Vec<DeviceId>) -> Result<(), StoreError> {
        self.ask(|reply| Job::Sealed(devices, reply)).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        self.shared().check()?;
        let (reply, answer) = oneshot::channel();
        let jobs = self.handle.jobs.as_ref().ok_or(StoreError::Closed)?;
        let sent = jobs.send(job(reply)).await;
        sent.map_err(|_| self.shared().why_closed())?;
        answer.await.map_err(|_| self.shared().why_closed())?
    }

    /// Returns when the store has failed, with the reason: the process is to end then.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared().failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        let reason = failed.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_else(|| "the store is gone".to_owned())
    }

    /// Whether telemetry would be taken in now.
    ///
    /// # Errors
    /// [`StoreError::Full`] below the reserve, or why the store accepts nothing at all.
    pub fn accepts(&self) -> Result<(), StoreError> {
        self.shared().check()?;
        self.shared().check_reserve()
    }

    /// The oldest time of which anything is kept at `now`.
    ///
    /// # Errors
    /// [`StoreError::Failed`] once the store has failed.
    pub fn oldest_kept(&self, now: UnixMs) -> Result<UnixMs, StoreError> {
        self.shared().check()?;
        Ok(self.shared().options.oldest(now))
    }

    /// The oldest time of which there are roll-ups of a level at `now`, or every reading without one.
    #[must_use]
    pub fn oldest_at(&self, level: Option<Level>, now: UnixMs) -> UnixMs {
        let options = &self.shared().options;
        level.map_or_else(
            || options.oldest_raw(now),
            |level| options.oldest_rolled(level, now),
        )
    }

    /// Held while a decision about records is read, made and committed, so that two cannot be made
    /// on one state: the last use of a token, a device's standing.
    pub async fn exclusive(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared().exclusive.lock().await
    }

    /// What the store has counted since the start.
    #[must_use]
    pub fn counters(&self) -> StoreCounters {
        self.shared().counters.snapshot()
    }

    /// Hears of every change from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared().changes.subscribe()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

/// Gives back what the engine of a store that nobody has open has kept of its disk, where that takes
/// seconds at most.
pub fn give_back(data: &Path) {
    renew::at_rest(data);
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Without its senders the writer finishes what it has and ends.
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has been noted as a failure.
            let _ = writer.join();
        }
    }
}
