//! What the handles of a store and its writer share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rollcall_shared::time::UnixMs;
use tokio::sync::{broadcast, mpsc, watch};

use super::codec::{pack, record};
use super::counters::{self, Counters};
use super::database::Op;
use super::history::History;
use super::hot::{self, Hot, put, remove};
use super::keys::{self, TreeName, meta};
use super::memory::Memory;
use super::rollup::Level;
use super::round::Round;
use super::tape::Tape;
use super::writer::{self, Job};
use super::{Change, StoreError, StoreOptions, Write};

/// Changes that a listener may be behind before it is told that it missed some: a second of reports
/// of the largest district.
const CHANGES: usize = 8192;

#[derive(Debug)]
pub(super) struct Shared {
    pub options: StoreOptions,
    pub hot: Hot,
    pub history: History,
    /// Records the commits of both while a backup runs.
    pub tape: Arc<Tape>,
    pub counters: Counters,
    pub changes: broadcast::Sender<Change>,
    /// Told when a device has changed; which ones, the memory knows.
    pub changed: tokio::sync::Notify,
    pub failure: watch::Sender<Option<String>>,
    pub exclusive: tokio::sync::Mutex<()>,
    /// Held by the one seal that is under way, and by a merge while it takes a day from the seals.
    pub sealing: tokio::sync::Mutex<Round>,
    /// Held by the one merge or roll-up that is under way: what is built has one place.
    pub merging: tokio::sync::Mutex<()>,
    /// Set when a merge is to end early.
    pub stop_merging: AtomicBool,
    memory: RwLock<Memory>,
    /// Held for reading by who reads series, for writing when parts of the history go.
    gate: RwLock<()>,
}

impl Shared {
    pub fn new(
        hot: Hot,
        history: History,
        tape: Arc<Tape>,
        options: StoreOptions,
        now: UnixMs,
    ) -> Result<Self, StoreError> {
        let memory = hot.load()?;
        Ok(Self {
            sealing: tokio::sync::Mutex::new(Round::over(memory.with_tail(), now)),
            memory: RwLock::new(memory),
            history,
            tape,
            counters: Counters::default(),
            changes: broadcast::Sender::new(CHANGES),
            changed: tokio::sync::Notify::new(),
            failure: watch::Sender::new(None),
            exclusive: tokio::sync::Mutex::new(()),
            merging: tokio::sync::Mutex::new(()),
            stop_merging: AtomicBool::new(false),
            gate: RwLock::new(()),
            options,
            hot,
        })
    }

    pub fn write(self: Arc<Self>, jobs: mpsc::Receiver<Job>) {
        let written = catch_unwind(AssertUnwindSafe(|| writer::run(&self, jobs)));
        if written.is_err() {
            self.fail("the writer panicked");
        }
    }

    /// What a change of a record is on disk.
    pub fn ops_of(&self, write: &Write) -> Result<Vec<Op>, StoreError> {
        let op = match write {
            Write::PutDevice(device) => put(
                TreeName::Devices,
                device.id.as_bytes(),
                record("a device", device)?,
            ),
            Write::PutToken(token) => put(
                TreeName::Tokens,
                token.id.as_bytes(),
                record("a token", token)?,
            ),
            Write::PutAlert(alert) => put(
                TreeName::Alerts,
                &keys::alert(&alert.key),
                record("an alert", alert)?,
            ),
            Write::RemoveAlert(key) => remove(TreeName::Alerts, &keys::alert(key)),
            Write::ResolveAlert(alert) => {
                let history = put(
                    TreeName::AlertHistory,
                    &keys::resolved(alert),
                    record("an alert", alert)?,
                );
                return Ok(vec![
                    remove(TreeName::Alerts, &keys::alert(&alert.key)),
                    history,
                ]);
            }
            Write::PutIncident(incident) => put(
                TreeName::Incidents,
                incident.id.as_bytes(),
                record("an incident", incident)?,
            ),
            Write::ArchiveIncident(incident) => {
                let history = put(
                    TreeName::IncidentHistory,
                    &keys::closed(incident),
                    record("an incident", incident)?,
                );
                let gone = remove(TreeName::Incidents, incident.id.as_bytes());
                return Ok(vec![gone, history]);
            }
            Write::PutNotification(entry) => {
                let key = keys::notification(&entry.key);
                put(TreeName::Outbox, &key, record("a notification", entry)?)
            }
            Write::RemoveNotification(key) => remove(TreeName::Outbox, &keys::notification(key)),
            Write::PutSilence(silence) => put(
                TreeName::Silences,
                silence.id.as_bytes(),
                record("a silence", silence)?,
            ),
            Write::RemoveSilence(id) => remove(TreeName::Silences, id.as_bytes()),
            Write::PutMarks(marks) => put(
                TreeName::Marks,
                marks.subject.as_bytes(),
                record("what was said", marks)?,
            ),
            Write::RemoveMarks(subject) => remove(TreeName::Marks, subject.as_bytes()),
            Write::PutMemo(memo) => put(
                TreeName::Memos,
                &keys::memo(&memo.key),
                record("a memo", memo)?,
            ),
            Write::RemoveMemo(key) => remove(TreeName::Memos, &keys::memo(key)),
            Write::PutEdition(edition) => {
                let json = serde_json::to_vec(edition).expect("it is plain data");
                let prefix = keys::edition(edition.number);
                return Ok(hot::put_pieces(TreeName::Rules, &prefix, &json));
            }
            Write::RemoveEdition(number) => {
                let known = self.memory().editions.get(number).cloned();
                let json =
                    known.map(|known| serde_json::to_vec(&*known).expect("it is plain data"));
                let prefix = keys::edition(*number);
                return Ok(json.map_or_else(Vec::new, |json| {
                    hot::remove_pieces(TreeName::Rules, &prefix, &json)
                }));
            }
            Write::PutAsset(asset) => put(
                TreeName::Assets,
                asset.tag.as_str().as_bytes(),
                record("a laptop of the inventory", asset)?,
            ),
            Write::RemoveAsset(tag) => remove(TreeName::Assets, tag.as_str().as_bytes()),
            Write::PutPupil(pupil) => put(
                TreeName::Pupils,
                pupil.reference.as_str().as_bytes(),
                record("a pupil", pupil)?,
            ),
            Write::RemovePupil(reference) => {
                remove(TreeName::Pupils, reference.as_str().as_bytes())
            }
            Write::PutReachNote(note) => {
                let json = serde_json::to_vec(note).expect("it is plain data");
                return Ok(hot::put_pieces(
                    TreeName::Reach,
                    &[note.slot()],
                    &pack(&json),
                ));
            }
            Write::PutApiToken(token) => put(
                TreeName::ApiTokens,
                token.name.as_bytes(),
                record("a token", token)?,
            ),
            Write::RemoveApiToken(name) => remove(TreeName::ApiTokens, name.as_bytes()),
            Write::PutUser(user) => put(
                TreeName::Users,
                user.name.as_bytes(),
                record("a user", user)?,
            ),
            Write::RemoveUser(name) => remove(TreeName::Users, name.as_bytes()),
            Write::PutConfiguration(configuration) => {
                let json = serde_json::to_vec(configuration).expect("it has text keys only");
                return Ok(hot::put_pieces(TreeName::Meta, meta::CONFIGURATION, &json));
            }
            Write::Audit(line) => {
                let mut memory = self.memory_mut();
                memory.audit_lines += 1;
                let key = keys::audit(line.at, memory.audit_lines);
                put(TreeName::Audit, &key, record("an audit line", line)?)
            }
        };
        Ok(vec![op])
    }

    /// The oldest time that is kept, as far as retention has come.
    pub fn oldest(&self) -> UnixMs {
        let retained = self.memory().retained;
        retained.map_or(UnixMs(i64::MIN), |retained| self.options.oldest(retained))
    }

    /// The oldest time of which every reading is kept, as far as retention has come.
    pub fn oldest_raw(&self) -> UnixMs {
        let retained = self.memory().retained;
        retained.map_or(UnixMs(i64::MIN), |retained| {
            self.options.oldest_raw(retained)
        })
    }

    /// The oldest time of which roll-ups of a level are kept, as far as retention has come.
    pub fn oldest_rolled(&self, level: Level) -> UnixMs {
        let retained = self.memory().retained;
        retained.map_or(UnixMs(i64::MIN), |retained| {
            self.options.oldest_rolled(level, retained)
        })
    }

    pub fn look_for_blobs(&self) {
        let files = self.hot.database.blob_files();
        counters::set(&self.counters.blob_files, files);
        if files > 0 {
            tracing::error!(
                files,
                "the store holds values outside its log, which are not durable"
            );
        }
    }

    /// Poisons the store: nothing is acknowledged from here on.
    pub fn fail(&self, reason: &str) {
        tracing::error!(reason, "the store has failed");
        counters::set(&self.counters.failed, 1);
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| reason.to_owned());
            first
        });
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    pub fn check(&self) -> Result<(), StoreError> {
        self.failure()
            .map_or(Ok(()), |reason| Err(StoreError::Failed(reason)))
    }

    pub fn why_closed(&self) -> StoreError {
        self.failure()
            .map_or(StoreError::Closed, StoreError::Failed)
    }

    pub fn tell(&self, change: Change) {
        // Without a listener there is nobody to tell.
        let _ = self.changes.send(change);
    }

    pub fn open_gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn close_gate(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}
