//! The one writer: gathers what arrives within some milliseconds, makes it durable as one
//! transaction, applies it to the memory, and only then answers everybody who took part.

use std::collections::HashMap;
use std::sync::Arc;

use rollcall_shared::id::{DeviceId, Sequence, SpoolId};
use rollcall_shared::time::{Clock, SystemClock};
use tokio::sync::{mpsc, oneshot};

use super::counters::{count, set};
use super::cursors::Cursor;
use super::database::Op;
use super::hot::{ROOM_TO_OPEN, free_bytes, put, put_pieces, remove};
use super::keys::{self, TreeName};
use super::shared::Shared;
use super::{Appended, Arrival, Change, StoreError, Write, log, snapshot};

/// Jobs that wait for the writer: beyond that, those who bring more wait.
pub(super) const JOBS: usize = 1024;

/// Reports in one transaction: at the largest about 32 MB.
const REPORTS_PER_COMMIT: usize = 8192;

/// Reports in one entry of the log, so that reading one device's tail unpacks little.
const REPORTS_PER_ENTRY: usize = 256;

/// Bytes of one entry before it is compressed. With one more message of the largest size it stays
/// well below what may be unpacked: an entry that could not be read again would be a store that does
/// not open.
const ENTRY_BYTES: usize = 4 * 1024 * 1024;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Store reports.
    Append(Arrival, oneshot::Sender<Result<Appended, StoreError>>),
    /// Change records; the operations say how on disk, the writes how in memory.
    Commit(Vec<Write>, Vec<Op>, oneshot::Sender<Result<(), StoreError>>),
    /// Store the states of devices, so that the log before can go.
    Snapshot(Vec<DeviceId>, oneshot::Sender<Result<(), StoreError>>),
}

impl Job {
    fn reports(&self) -> usize {
        match self {
            Self::Append(arrival, _) => arrival.reports.len(),
            Self::Commit(..) | Self::Snapshot(..) => 1,
        }
    }
}

/// Does jobs until nobody can send any more, or the engine fails.
pub(super) fn run(shared: &Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return shared.fail(&format!("the writer has no runtime: {error}")),
    };
    while let Some(group) = runtime.block_on(gather(shared, &mut jobs)) {
        if shared.failure().is_none() {
            Group::new(shared, group).carry_out();
        }
    }
}

async fn gather(shared: &Shared, jobs: &mut mpsc::Receiver<Job>) -> Option<Vec<Job>> {
    let first = jobs.recv().await?;
    let mut reports = first.reports();
    let mut group = vec![first];
    let more = async {
        while reports < REPORTS_PER_COMMIT {
            let Some(job) = jobs.recv().await else {
                break;
            };
            reports += job.reports();
            group.push(job);
        }
    };
    // The end of the time is the ordinary end.
    let _ = tokio::time::timeout(shared.options.gather, more).await;
    Some(group)
}

/// What there is room for on the disk.
struct Room {
    telemetry: Result<(), StoreError>,
    records: Result<(), StoreError>,
}

type AppendReply = (oneshot::Sender<Result<Appended, StoreError>>, Appended);

/// One transaction in the making.
struct Group<'a> {
    shared: &'a Shared,
    ops: Vec<Op>,
    writes: Vec<Write>,
    arrivals: Vec<Arrival>,
    cursors: HashMap<(DeviceId, SpoolId), Sequence>,
    appended: Vec<AppendReply>,
    done: Vec<oneshot::Sender<Result<(), StoreError>>>,
    gaps: u64,
}

impl<'a> Group<'a> {
    fn new(shared: &'a Shared, jobs: Vec<Job>) -> Self {
        let mut group = Self {
            shared,
            ops: Vec::new(),
            writes: Vec::new(),
            arrivals: Vec::new(),
            cursors: HashMap::new(),
            appended: Vec::new(),
            done: Vec::new(),
            gaps: 0,
        };
        let room = Room {
            telemetry: shared.check_reserve(),
            records: shared.check_room(),
        };
        for job in jobs {
            group.add(job, &room);
        }
        group
    }

    fn add(&mut self, job: Job, room: &Room) {
        match job {
            Job::Commit(_, _, reply) | Job::Snapshot(_, reply) if room.records.is_err() => {
                // Whoever has gone in the meantime needs no answer.
                let _ = reply.send(room.records.clone());
            }
            Job::Append(arrival, reply) => match &room.telemetry {
                Ok(()) => self.add_arrival(arrival, reply),
                Err(error) => {
                    count(&self.shared.counters.refused_full, 1);
                    // Whoever has gone in the meantime needs no answer.
                    let _ = reply.send(Err(error.clone()));
                }
            },
            Job::Commit(writes, ops, reply) => {
                self.ops.extend(ops);
                self.writes.extend(writes);
                self.done.push(reply);
            }
            Job::Snapshot(devices, reply) => {
                let memory = self.shared.memory();
                let entries = devices
                    .iter()
                    .filter_map(|id| Some((id, memory.devices.get(id)?)));
                for (id, entry) in entries {
                    let bytes = snapshot::encode(entry);
                    self.ops
                        .extend(put_pieces(TreeName::State, id.as_bytes(), &bytes));
                }
                self.done.push(reply);
            }
        }
    }

    fn add_arrival(
        &mut self,
        mut arrival: Arrival,
        reply: oneshot::Sender<Result<Appended, StoreError>>,
    ) {
        let key = (arrival.device, arrival.spool);
        let before = self.cursor(key);
        let total = arrival.reports.len();
        let mut last = before;
        arrival.reports.retain(|(_, report)| {
            let new = report.sequence > last;
            last = last.max(report.sequence);
            new
        });
        let new = arrival.reports.len();
        let appended = Appended {
            stored: last,
            new,
            duplicates: total - new,
        };
        if new > 0 {
            let missing = (last.0 - before.0).saturating_sub(new as u64);
            // A laptop may claim any sequence, and may do so twice.
            self.gaps = self.gaps.saturating_add(missing);
            self.cursors.insert(key, last);
            self.arrivals.push(arrival);
        }
        self.appended.push((reply, appended));
    }

    fn cursor(&self, key: (DeviceId, SpoolId)) -> Sequence {
        let pending = self.cursors.get(&key).copied();
        pending.unwrap_or_else(|| {
            let (device, spool) = key;
            self.shared.memory().cursors.get(device, spool)
        })
    }

    fn carry_out(mut self) {
        let clock = SystemClock;
        let began = clock.now().since_boot;
        let entries = self.add_log();
        let forgotten = self.add_cursors(entries.last().copied());
        if !self.ops.is_empty() {
            if let Err(error) = self.shared.hot.database.commit(&self.ops) {
                return self.shared.fail(&error.to_string());
            }
            let took = clock.now().since_boot.since(began);
            count(&self.shared.counters.commits, 1);
            count(&self.shared.counters.commit_ms, took.as_millis() as usize);
        }
        self.remember(&entries, &forgotten);
        self.answer();
    }

    /// Adds the arrivals to the transaction, and answers with the log entry that each is in.
    fn add_log(&mut self) -> Vec<u64> {
        let mut number = self.shared.memory().last_log;
        let mut entries = Vec::with_capacity(self.arrivals.len());
        let mut rest = &self.arrivals[..];
        while !rest.is_empty() {
            let (entry, after) = rest.split_at(entry_length(rest));
            number += 1;
            let packed = log::encode(&entry.iter().collect::<Vec<_>>());
            self.ops
                .extend(put_pieces(TreeName::Log, &keys::log(number), &packed));
            entries.extend(entry.iter().map(|_| number));
            rest = after;
        }
        entries
    }

    /// Adds the cursors that the last log entry of this transaction moves, and answers with those
    /// that are forgotten for them.
    fn add_cursors(&mut self, moved: Option<u64>) -> Vec<(DeviceId, SpoolId)> {
        let mut moving: HashMap<DeviceId, Vec<SpoolId>> = HashMap::new();
        for ((device, spool), cursor) in self.moved_cursors(moved) {
            moving.entry(device).or_default().push(spool);
            let key = keys::cursor(device, spool);
            self.ops
                .push(put(TreeName::Cursors, &key, cursor.to_bytes()));
        }
        let memory = self.shared.memory();
        let superfluous = moving.iter().flat_map(|(device, spools)| {
            let gone = memory.cursors.superfluous(*device, spools);
            gone.into_iter().map(|spool| (*device, spool))
        });
        let forgotten: Vec<_> = superfluous.collect();
        let removals = forgotten
            .iter()
            .map(|(device, spool)| remove(TreeName::Cursors, &keys::cursor(*device, *spool)));
        self.ops.extend(removals);
        forgotten
    }

    fn moved_cursors(&self, moved: Option<u64>) -> Vec<((DeviceId, SpoolId), Cursor)> {
        let moved = moved.unwrap_or_default();
        let cursor = |(key, sequence): (&(DeviceId, SpoolId), &Sequence)| {
            let (spool, sequence) = (key.1, *sequence);
            let cursor = Cursor {
                spool,
                sequence,
                moved,
            };
            (*key, cursor)
        };
        self.cursors.iter().map(cursor).collect()
    }

    /// Applies what is durable now.
    fn remember(&self, entries: &[u64], forgotten: &[(DeviceId, SpoolId)]) {
        {
            let mut memory = self.shared.memory_mut();
            self.writes.iter().for_each(|write| memory.apply(write));
            for (arrival, entry) in self.arrivals.iter().zip(entries) {
                memory.append(arrival, *entry);
            }
            for ((device, _), cursor) in self.moved_cursors(entries.last().copied()) {
                memory.cursors.put(device, cursor);
            }
            for (device, spool) in forgotten {
                memory.cursors.forget(*device, *spool);
            }
            memory.last_log = entries.last().copied().unwrap_or(memory.last_log);
            set(
                &self.shared.counters.series_left_out,
                memory.series_left_out,
            );
            let waiting = memory.last_log - memory.sealed.min(memory.last_log);
            set(&self.shared.counters.log_entries, waiting);
        }
        self.writes
            .iter()
            .filter_map(Write::change)
            .for_each(|change| self.shared.tell(change));
        for arrival in &self.arrivals {
            self.shared.tell(Change::Device(arrival.device));
        }
        self.count();
    }

    fn count(&self) {
        let counters = &self.shared.counters;
        let reports = self.arrivals.iter().flat_map(|arrival| &arrival.reports);
        count(&counters.reports, reports.clone().count());
        count(
            &counters.readings,
            reports.map(|(_, report)| report.readings.len()).sum(),
        );
        let duplicates = self
            .appended
            .iter()
            .map(|(_, appended)| appended.duplicates);
        count(&counters.duplicates, duplicates.sum());
        count(
            &counters.gaps,
            usize::try_from(self.gaps).unwrap_or(usize::MAX),
        );
        set(&counters.hot_bytes, self.shared.hot.database.bytes());
    }

    fn answer(self) {
        // Whoever has gone in the meantime needs no answer.
        for (reply, appended) in self.appended {
            let _ = reply.send(Ok(appended));
        }
        for reply in self.done {
            let _ = reply.send(Ok(()));
        }
    }
}

impl Shared {
    /// Whether the disk has room for telemetry.
    pub fn check_reserve(&self) -> Result<(), StoreError> {
        self.check_free(self.options.reserve_bytes)
    }

    /// Records are written below the reserve too, down to what the next start needs: a write that
    /// the disk refused would poison the store, and a store on a full disk does not open.
    pub fn check_room(&self) -> Result<(), StoreError> {
        self.check_free(ROOM_TO_OPEN)
    }

    fn check_free(&self, reserve: u64) -> Result<(), StoreError> {
        match free_bytes(&self.hot.folder) {
            Ok(free) => {
                set(&self.counters.free_bytes, free);
                if free < reserve {
                    return Err(StoreError::Full { free, reserve });
                }
                Ok(())
            }
            Err(error) => Err(StoreError::Failed(error.to_string())),
        }
    }
}

fn entry_length(arrivals: &[Arrival]) -> usize {
    let (mut reports, mut bytes) = (0, 0);
    let fits = arrivals.iter().take_while(|arrival| {
        reports += arrival.reports.len();
        bytes += log::most_bytes(arrival);
        reports <= REPORTS_PER_ENTRY && bytes <= ENTRY_BYTES
    });
    fits.count().max(1)
}
