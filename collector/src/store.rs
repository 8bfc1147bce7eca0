//! The store: what the collector keeps, and the only stage that names its engine.
//!
//! [`Store::append`] and [`Store::commit`] return once what they were given is durable; everything
//! that reads sees only what is durable. After an error of the engine nothing is acknowledged any
//! more: the store is poisoned, [`Store::failed`] returns, and the process is to end and start anew.

mod archive;
mod backup;
pub mod block;
mod check;
mod codec;
mod counters;
mod counts;
mod cursors;
mod database;
mod dense;
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
mod writer;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::{DeviceId, Label, Sequence, SpoolId};
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::alert::{Alert, AlertId, AlertKey, AlertState};
use crate::asset::{Asset, Inventory, Pupil, Word};
use crate::audit::AuditLine;
use crate::device::{Device, DeviceState, Latests};
use crate::edition::Edition;
use crate::incident::{Incident, IncidentId};
use crate::mark::{Marks, Subject};
use crate::memo::{Memo, MemoKey};
use crate::notification::{Notification, NotificationKey};
use crate::reach_note::ReachNote;
use crate::silence::{Silence, SilenceId};
use crate::user::User;
pub use archive::{End, Head};
pub use backup::{Backup, BackupError, BackupFile};
pub use check::{CheckReport, Finding, check_store};
pub use counters::StoreCounters;
pub use counts::{Counts, Kind};
use history::History;
use hot::Hot;
use keys::TreeName;
pub use records::{ApiTokenRecord, EnrolmentTokenRecord, Role};
pub use restore::{BackupContent, RestoreError, restore, verify_backup};
use rollup::Level;
use shared::Shared;
use tape::Tape;
pub use transfer::{ExportError, Format, ImportOptions, ImportReport, Selection, export, import};
use writer::Job;

/// Devices or alerts that are shown to a visitor before writers have their turn: less than a millisecond.
const VISITED_AT_ONCE: usize = 4096;

const DAY_S: u64 = 86_400;

/// How a store is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of free disk below which no more telemetry is taken in.
    pub reserve_bytes: u64,
    /// How long alerts, incidents and the audit log are kept, and how old a report may be at most.
    pub retention: Duration,
    /// How long every single reading is kept, to the week; no longer than `retention`.
    pub raw_retention: Duration,
    /// How long roll-ups are kept, by [`Level`], the finest first, each to some weeks more.
    pub rollup_retention: [Duration; 3],
    /// How long a commit waits for others to join it.
    pub gather: Duration,
    /// Bytes of a week up to which it is written anew for each of its days and for what comes late; the days
    /// of a larger one lie beside each other until it is over.
    pub small_week_bytes: u64,
}

impl Default for StoreOptions {
    /// 512 MiB hold an hour of 100,000 laptops while somebody makes room; 35 days of every reading are
    /// a month to look into, a quarter year of quarters of an hour shows a term, 400 days of hours compare
    /// a school year with the one before, and five years of days outlive a laptop; 4 ms are about one
    /// flush of a laptop-class SSD; 64 MiB are the week of some 1,500 laptops, and written within seconds.
    fn default() -> Self {
        Self {
            reserve_bytes: 512 * 1024 * 1024,
            retention: Duration::from_secs(400 * DAY_S),
            raw_retention: Duration::from_secs(35 * DAY_S),
            rollup_retention: [100, 400, 1830].map(|days| Duration::from_secs(days * DAY_S)),
            gather: Duration::from_millis(4),
            small_week_bytes: 64 * 1024 * 1024,
        }
    }
}

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

/// A change of a record. Those of one [`Store::commit`] happen together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Makes or replaces a device's record.
    PutDevice(Device),
    /// Makes or replaces an enrolment token.
    PutToken(EnrolmentTokenRecord),
    /// Makes or replaces a pending or firing alert.
    PutAlert(Alert),
    /// Withdraws an alert that never fired.
    RemoveAlert(AlertKey),
    /// Moves an alert to the history; its `resolved` is set.
    ResolveAlert(Alert),
    /// Makes or replaces an incident.
    PutIncident(Incident),
    /// Moves a closed incident to the history.
    ArchiveIncident(Incident),
    /// Makes or replaces an entry of the outbox.
    PutNotification(Notification),
    /// Removes a delivered entry of the outbox.
    RemoveNotification(NotificationKey),
    /// Makes or replaces a silence or maintenance window.
    PutSilence(Silence),
    /// Forgets one that is long over.
    RemoveSilence(SilenceId),
    /// Makes or replaces what people said about an alert or incident.
    PutMarks(Marks),
    /// Forgets what was said.
    RemoveMarks(Subject),
    /// Makes or replaces what a channel remembers.
    PutMemo(Memo),
    /// Removes what a channel remembers.
    RemoveMemo(MemoKey),
    /// Makes a version of the rules; its number is new.
    PutEdition(Edition),
    /// Forgets a version of the rules.
    RemoveEdition(u32),
    /// Makes or replaces a laptop of the inventory.
    PutAsset(Asset),
    /// Forgets a laptop of the inventory.
    RemoveAsset(Word),
    /// Makes or replaces a pupil of a roster.
    PutPupil(Pupil),
    /// Forgets a pupil of a roster.
    RemovePupil(Word),
    /// Makes or replaces what was noted of the day.
    PutReachNote(ReachNote),
    /// Makes or replaces an API token.
    PutApiToken(ApiTokenRecord),
    /// Removes an API token, by name.
    RemoveApiToken(String),
    /// Makes or replaces somebody who signs in.
    PutUser(User),
    /// Removes somebody who signs in, by name.
    RemoveUser(String),
    /// Replaces the agents' configuration.
    PutConfiguration(Configuration),
    /// Adds a line to the audit log.
    Audit(AuditLine),
}

/// What has changed. A listener that lags has to assume that everything has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A device's record. Its telemetry and connection are told by [`Store::devices_changed`].
    Device(DeviceId),
    /// An alert.
    Alerts,
    /// An incident, or what people said that bears on it.
    Incidents,
    /// The outbox.
    Outbox,
    /// The agents' configuration.
    Configuration,
    /// The inventory.
    Inventory,
}

/// Why the store does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is nearly full.
    #[error(
        "the disk of the data folder has {free} bytes free, less than the reserve of {reserve}; \
         make room or lower `reserve_mb`"
    )]
    Full {
        /// Bytes free.
        free: u64,
        /// Bytes that must be free.
        reserve: u64,
    },
    /// The engine has failed, and only a restart helps.
    #[error("the store has failed and accepts nothing until the collector is restarted: {0}")]
    Failed(String),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
    /// Reports of a device that has no record.
    #[error("device {0} is not known, so its reports are not stored")]
    Unknown(DeviceId),
    /// A record is larger than any may be.
    #[error("{what} has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Which record.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// What was read is not what was written.
    #[error("{place} is damaged: {problem}")]
    Damaged {
        /// Which tree and key.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no store.
    #[error("{0} holds no Rollcall store; `rollcall-collector init --data DIR` makes one")]
    Missing(String),
    /// There is one already.
    #[error("{0} holds a Rollcall store already")]
    Exists(String),
    /// Files of something else are in the way.
    #[error("{path} is not a Rollcall data folder: {problem}")]
    Foreign {
        /// The folder.
        path: String,
        /// What shows it.
        problem: String,
    },
    /// Another process has it.
    #[error("{0} is in use by another rollcall-collector")]
    Locked(String),
    /// A newer Rollcall wrote it.
    #[error(
        "{path} has schema {found}, newer than {known}; use the newer rollcall-collector that wrote it"
    )]
    Newer {
        /// The folder.
        path: String,
        /// The schema found.
        found: u32,
        /// The newest schema that this version knows.
        known: u32,
    },
    /// The folder cannot be used.
    #[error("{path}: {problem}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried.
        problem: &'static str,
        /// What came of it.
        source: std::io::Error,
    },
    /// What was read is not what was written.
    #[error("{0}")]
    Damaged(#[from] StoreError),
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

    /// A device and its latest state.
    #[must_use]
    pub fn device(&self, device: DeviceId) -> Option<Arc<DeviceState>> {
        let memory = self.shared().memory();
        memory
            .devices
            .get(&device)
            .map(|entry| Arc::clone(&entry.state))
    }

    /// Every device and its latest state, in no order.
    #[must_use]
    pub fn devices(&self) -> Vec<Arc<DeviceState>> {
        let memory = self.shared().memory();
        memory
            .devices
            .values()
            .map(|entry| Arc::clone(&entry.state))
            .collect()
    }

    /// Shows every device to `visit`, in the order of their enrolment, until it breaks off; `after` one
    /// where that is given. Nothing is copied, and who writes waits for some thousand of them at most.
    pub fn visit_devices(
        &self,
        mut after: Option<DeviceId>,
        mut visit: impl FnMut(&Arc<DeviceState>) -> ControlFlow<()>,
    ) {
        loop {
            let memory = self.shared().memory();
            let mut seen = 0;
            for state in memory.after(after).take(VISITED_AT_ONCE) {
                if visit(state).is_break() {
                    return;
                }
                after = Some(state.device.id);
                seen += 1;
            }
            if seen < VISITED_AT_ONCE {
                return;
            }
        }
    }

    /// How many devices there are.
    #[must_use]
    pub fn device_count(&self) -> usize {
        self.shared().memory().devices.len()
    }

    /// Shows every alert that is pending or firing to `visit`, by key, with its device.
    pub fn visit_open_alerts(&self, mut visit: impl FnMut(&Alert, &DeviceState)) {
        let mut after: Option<AlertKey> = None;
        loop {
            let memory = self.shared().memory();
            let from = after.take().map_or(Bound::Unbounded, Bound::Excluded);
            let alerts = memory.alerts.range((from, Bound::Unbounded));
            let mut seen = 0;
            for (key, alert) in alerts.take(VISITED_AT_ONCE) {
                if let Some(entry) = memory.devices.get(&key.device) {
                    visit(alert, &entry.state);
                }
                seen += 1;
                if seen == VISITED_AT_ONCE {
                    after = Some(key.clone());
                }
            }
            if after.is_none() {
                return;
            }
        }
    }

    /// An alert that is pending or firing.
    #[must_use]
    pub fn open_alert(&self, key: &AlertKey) -> Option<Alert> {
        self.shared().memory().alerts.get(key).cloned()
    }

    /// An alert by its identity, open or among the last `most` that were resolved.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn alert(&self, id: AlertId, most: usize) -> Result<Option<Alert>, StoreError> {
        let open = {
            let memory = self.shared().memory();
            memory.alerts.values().find(|alert| alert.id == id).cloned()
        };
        if open.is_some() {
            return Ok(open);
        }
        let resolved = self.resolved_alerts(UnixMs(0), UnixMs(i64::MAX), most)?;
        Ok(resolved.into_iter().find(|alert| alert.id == id))
    }

    /// The identity of every device, ascending.
    #[must_use]
    pub fn device_ids(&self) -> Vec<DeviceId> {
        self.shared().memory().order.clone()
    }

    /// Notes that a stream of a device came up or went down.
    pub fn set_connected(&self, device: DeviceId, connected: bool, now: UnixMs) {
        self.shared()
            .memory_mut()
            .set_connected(device, connected, now);
        self.shared().changed.notify_one();
    }

    /// Returns when devices have changed since it last did. One listener alone may wait: the one that
    /// takes them.
    pub async fn devices_changed(&self) {
        self.shared().changed.notified().await;
    }

    /// The devices whose record, telemetry or connection changed since this was last asked, each once.
    #[must_use]
    pub fn take_changed(&self) -> Vec<DeviceId> {
        self.shared().memory_mut().take_changed()
    }

    /// Puts a device's forecasts where rules look for them. They are not stored.
    pub fn set_forecasts(&self, device: DeviceId, forecasts: Arc<Latests>) {
        self.shared().memory_mut().set_forecasts(device, forecasts);
    }

    /// Every alert that is pending or firing, by key.
    #[must_use]
    pub fn open_alerts(&self) -> Vec<Alert> {
        self.shared().memory().alerts.values().cloned().collect()
    }

    /// The pending and firing alerts of one device, by key.
    #[must_use]
    pub fn open_alerts_of(&self, device: DeviceId) -> Vec<Alert> {
        let memory = self.shared().memory();
        counts::alerts_of(&memory.alerts, device).cloned().collect()
    }

    /// Shows the counts of each site and each kind of device in it to `visit`; of those without a device
    /// there are none.
    pub fn visit_counts(&self, mut visit: impl FnMut(&Label, &Kind, &Counts)) {
        let memory = self.shared().memory();
        for (site, kind, counts) in memory.counts.iter() {
            visit(site, kind, counts);
        }
    }

    /// Alerts that were resolved from `from` to `to`, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn resolved_alerts(
        &self,
        from: UnixMs,
        to: UnixMs,
        limit: usize,
    ) -> Result<Vec<Alert>, StoreError> {
        let (from, to) = (keys::time(from), keys::time(to.plus_ms(1)));
        let tree = TreeName::AlertHistory;
        let found = self.shared().hot.database.range(tree as usize, &from, &to);
        found
            .rev()
            .take(limit)
            .map(|pair| hot::parse_record(tree, pair))
            .collect()
    }

    /// Incidents that are open or were closed lately, by id.
    #[must_use]
    pub fn incidents(&self) -> BTreeMap<IncidentId, Incident> {
        self.shared().memory().incidents.clone()
    }

    /// Shows every incident that is open or was closed lately to `visit`, without copying any.
    pub fn visit_incidents(&self, mut visit: impl FnMut(&Incident)) {
        for incident in self.shared().memory().incidents.values() {
            visit(incident);
        }
    }

    /// An incident that is open or was closed lately.
    #[must_use]
    pub fn incident(&self, id: IncidentId) -> Option<Incident> {
        self.shared().memory().incidents.get(&id).cloned()
    }

    /// Incidents that were closed from `from` to `to` and archived since, the latest first, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn closed_incidents(
        &self,
        from: UnixMs,
        to: UnixMs,
        limit: usize,
    ) -> Result<Vec<Incident>, StoreError> {
        let (from, to) = (keys::time(from), keys::time(to.plus_ms(1)));
        let tree = TreeName::IncidentHistory;
        let found = self.shared().hot.database.range(tree as usize, &from, &to);
        found
            .rev()
            .take(limit)
            .map(|pair| hot::parse_record(tree, pair))
            .collect()
    }

    /// The alerts that fire, by key.
    #[must_use]
    pub fn firing_alerts(&self) -> Vec<Alert> {
        let memory = self.shared().memory();
        let alerts = memory.alerts.values();
        let firing = alerts.filter(|alert| alert.state == AlertState::Firing);
        firing.cloned().collect()
    }

    /// The outbox, by key.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.shared().memory().outbox.values().cloned().collect()
    }

    /// What a channel remembers of something.
    #[must_use]
    pub fn memo(&self, key: &MemoKey) -> Option<Memo> {
        self.shared().memory().memos.get(key).cloned()
    }

    /// What all channels remember, by key.
    #[must_use]
    pub fn memos(&self) -> Vec<Memo> {
        self.shared().memory().memos.values().cloned().collect()
    }

    /// The last lines of the audit log, the latest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be read.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditLine>, StoreError> {
        let tree = TreeName::Audit;
        let found = self.shared().hot.database.scan(tree as usize, &[]);
        found
            .rev()
            .take(limit)
            .map(|pair| hot::parse_record(tree, pair))
            .collect()
    }

    /// Silences and maintenance windows, by their making.
    #[must_use]
    pub fn silences(&self) -> Vec<Silence> {
        self.shared().memory().silences.values().cloned().collect()
    }

    /// A silence or maintenance window.
    #[must_use]
    pub fn silence(&self, id: SilenceId) -> Option<Silence> {
        self.shared().memory().silences.get(&id).cloned()
    }

    /// What people said about an alert or incident.
    #[must_use]
    pub fn marks(&self, subject: Subject) -> Option<Marks> {
        self.shared().memory().marks.get(&subject).cloned()
    }

    /// All that people said about alerts and incidents, within retention.
    #[must_use]
    pub fn all_marks(&self) -> BTreeMap<Subject, Marks> {
        self.shared().memory().marks.clone()
    }

    /// The versions of the rules, by number.
    #[must_use]
    pub fn editions(&self) -> BTreeMap<u32, Arc<Edition>> {
        self.shared().memory().editions.clone()
    }

    /// What was noted of how far laptops got over the day, by ascending time; a note that is as old as its
    /// successor's day may still be among them.
    #[must_use]
    pub fn reach_notes(&self) -> Vec<Arc<ReachNote>> {
        let mut notes: Vec<_> = self.shared().memory().reach.values().cloned().collect();
        notes.sort_unstable_by_key(|note| note.at);
        notes
    }

    /// What the inventory says of a device.
    #[must_use]
    pub fn asset_of(&self, device: &Device) -> Option<Arc<Asset>> {
        self.shared().memory().inventory.of(device).cloned()
    }

    /// The inventory as it is now.
    #[must_use]
    pub fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.shared().memory().inventory)
    }

    /// The enrolment tokens, by id.
    #[must_use]
    pub fn tokens(&self) -> Vec<EnrolmentTokenRecord> {
        self.shared().memory().tokens.values().cloned().collect()
    }

    /// The API tokens, by name.
    #[must_use]
    pub fn api_tokens(&self) -> Vec<ApiTokenRecord> {
        self.shared()
            .memory()
            .api_tokens
            .values()
            .cloned()
            .collect()
    }

    /// Those who sign in to the web page, by name.
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        self.shared().memory().users.values().cloned().collect()
    }

    /// Somebody who signs in to the web page.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<User> {
        self.shared().memory().users.get(name).cloned()
    }

    /// The agents' configuration.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        self.shared().memory().configuration.clone()
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

impl StoreOptions {
    fn oldest(&self, now: UnixMs) -> UnixMs {
        before(now, self.retention)
    }

    fn oldest_raw(&self, now: UnixMs) -> UnixMs {
        before(now, self.raw_retention.min(self.retention))
    }

    fn oldest_rolled(&self, level: Level, now: UnixMs) -> UnixMs {
        before(now, self.rollup_retention[level as usize])
    }

    /// The oldest time of which anything of telemetry is kept.
    fn oldest_of_all(&self, now: UnixMs) -> UnixMs {
        let rolled = Level::ALL.map(|level| self.oldest_rolled(level, now));
        rolled.into_iter().fold(self.oldest(now), UnixMs::min)
    }
}

fn before(now: UnixMs, time: Duration) -> UnixMs {
    now.plus_ms(-i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

impl Write {
    fn change(&self) -> Option<Change> {
        match self {
            Self::PutDevice(device) => Some(Change::Device(device.id)),
            Self::PutAlert(_) | Self::RemoveAlert(_) | Self::ResolveAlert(_) => {
                Some(Change::Alerts)
            }
            Self::PutIncident(_)
            | Self::ArchiveIncident(_)
            | Self::PutSilence(_)
            | Self::RemoveSilence(_)
            | Self::PutMarks(_)
            | Self::RemoveMarks(_) => Some(Change::Incidents),
            Self::PutNotification(_) | Self::RemoveNotification(_) => Some(Change::Outbox),
            Self::PutConfiguration(_) => Some(Change::Configuration),
            Self::PutAsset(_) | Self::RemoveAsset(_) | Self::PutPupil(_) | Self::RemovePupil(_) => {
                Some(Change::Inventory)
            }
            Self::PutToken(_)
            | Self::PutEdition(_)
            | Self::RemoveEdition(_)
            | Self::PutReachNote(_)
            | Self::PutMemo(_)
            | Self::RemoveMemo(_)
            | Self::PutApiToken(_)
            | Self::RemoveApiToken(_)
            | Self::PutUser(_)
            | Self::RemoveUser(_)
            | Self::Audit(_) => None,
        }
    }
}
