//! The one writer: gathers what arrives within some milliseconds, makes it durable as one
//! transaction, applies it to the memory, and only then answers everybody who took part.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rollcall_shared::id::{DeviceId, Sequence, SpoolId};
use rollcall_shared::time::{Clock, SystemClock};
use tokio::sync::{mpsc, oneshot};

use super::codec::Encoder;
use super::counters::{count, set};
use super::database::Op;
use super::frame::{Chain, Head, Step};
use super::hot::{ROOM_TO_OPEN, free_bytes, put_pieces};
use super::keys::{self, TreeName, meta};
use super::log::EntryForm;
use super::shared::Shared;
use super::{Appended, Arrival, StoreError, Write, seal, snapshot};

/// Jobs that wait for the writer: beyond that, those who bring more wait.
pub(super) const JOBS: usize = 1024;

/// Reports in one transaction: at the largest about 32 MB.
const REPORTS_PER_COMMIT: usize = 8192;

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Store reports.
    Append(Arrival, oneshot::Sender<Result<Appended, StoreError>>),
    /// Change records; the operations say how on disk, the writes how in memory.
    Commit(Vec<Write>, Vec<Op>, oneshot::Sender<Result<(), StoreError>>),
    /// Set aside what devices have reported, for a seal.
    Freeze(Vec<DeviceId>, oneshot::Sender<Result<(), StoreError>>),
    /// What was set aside of these devices is in history: store their states.
    Sealed(Vec<DeviceId>, oneshot::Sender<Result<(), StoreError>>),
}

impl Job {
    fn reports(&self) -> usize {
        match self {
            Self::Append(arrival, _) => arrival.reports.len(),
            Self::Commit(..) | Self::Freeze(..) | Self::Sealed(..) => 1,
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

type FreezeRequest = (Vec<DeviceId>, oneshot::Sender<Result<(), StoreError>>);

/// An arrival as it is in the log.
struct Frame {
    device: DeviceId,
    bytes: Vec<u8>,
    head: Head,
    steps: Vec<Step>,
    /// The log entry that it is in.
    entry: u64,
}

/// One transaction in the making.
struct Group<'a> {
    shared: &'a Shared,
    ops: Vec<Op>,
    writes: Vec<Write>,
    arrivals: Vec<Arrival>,
    cursors: HashMap<(DeviceId, SpoolId), Sequence>,
    appended: Vec<AppendReply>,
    freeze: Vec<FreezeRequest>,
    sealed: Vec<DeviceId>,
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
            freeze: Vec::new(),
            sealed: Vec::new(),
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
            Job::Commit(_, _, reply) | Job::Freeze(_, reply) | Job::Sealed(_, reply)
                if room.records.is_err() =>
            {
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
            Job::Freeze(devices, reply) => self.freeze.push((devices, reply)),
            Job::Sealed(devices, reply) => {
                self.add_states(&devices);
                self.sealed.extend(devices);
                self.done.push(reply);
            }
        }
    }

    /// Adds the states of devices, as sealed through what was set aside of them.
    fn add_states(&mut self, devices: &[DeviceId]) {
        let memory = self.shared.memory();
        for device in devices {
            let Some(entry) = memory.devices.get(device) else {
                continue;
            };
            let sealed = entry
                .tail
                .frozen()
                .map_or(entry.sealed, |frozen| frozen.through);
            let bytes = snapshot::encode(entry, memory.cursors.of(*device), sealed);
            self.ops
                .extend(put_pieces(TreeName::State, device.as_bytes(), &bytes));
        }
    }

    fn add_arrival(
        &mut self,
        mut arrival: Arrival,
        reply: oneshot::Sender<Result<Appended, StoreError>>,
    ) {
        let key = (arrival.device, arrival.spool);
        if !self.shared.memory().devices.contains_key(&arrival.device) {
            // Whoever has gone in the meantime needs no answer.
            let _ = reply.send(Err(StoreError::Unknown(arrival.device)));
            return;
        }
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
        let mut chains = self.take_chains();
        let frames = self.add_log(&mut chains);
        if !self.ops.is_empty() {
            if let Err(error) = self.shared.hot.database.commit(&self.ops) {
                return self.shared.fail(&error.to_string());
            }
            let took = clock.now().since_boot.since(began);
            count(&self.shared.counters.commits, 1);
            count(&self.shared.counters.commit_ms, took.as_millis() as usize);
        }
        self.remember(frames, chains);
        let freeze = std::mem::take(&mut self.freeze);
        let shared = self.shared;
        self.answer();
        freeze_all(shared, freeze);
    }

    /// The chains of those who have reported, out of the memory so that nobody waits for the encoding.
    fn take_chains(&self) -> HashMap<DeviceId, Box<Chain>> {
        if self.arrivals.is_empty() {
            return HashMap::new();
        }
        let mut memory = self.shared.memory_mut();
        let mut chains = HashMap::with_capacity(self.arrivals.len());
        for arrival in &self.arrivals {
            if let Some(entry) = memory.devices.get_mut(&arrival.device)
                && let Some(chain) = entry.tail.chain.take()
            {
                chains.insert(arrival.device, chain);
            }
        }
        chains
    }

    /// Adds the arrivals to the transaction.
    fn add_log(&mut self, chains: &mut HashMap<DeviceId, Box<Chain>>) -> Vec<Frame> {
        let mut number = self.shared.memory().last_log + 1;
        let mut frames = Vec::with_capacity(self.arrivals.len());
        let mut entry = EntryForm::new();
        let mut seen = HashSet::new();
        for arrival in &self.arrivals {
            let mut form = Encoder::default();
            let chain = chains.entry(arrival.device).or_default();
            // Whether the first said anything to the state is not known yet: the next says all of it.
            if !seen.insert(arrival.device) {
                **chain = Chain::default();
            }
            let steps = chain.encode(arrival, &mut form);
            let is_large = entry.push(arrival.device, &form.0);
            frames.push(Frame {
                device: arrival.device,
                bytes: form.0,
                head: Head::of(arrival),
                steps,
                entry: number,
            });
            if is_large {
                let full = std::mem::replace(&mut entry, EntryForm::new());
                self.ops.extend(log_entry(number, full));
                number += 1;
            }
        }
        if !entry.is_empty() {
            self.ops.extend(log_entry(number, entry));
        }
        frames
    }

    /// Applies what is durable now.
    fn remember(&self, frames: Vec<Frame>, mut chains: HashMap<DeviceId, Box<Chain>>) {
        {
            let mut memory = self.shared.memory_mut();
            self.writes.iter().for_each(|write| memory.apply(write));
            self.sealed.iter().for_each(|device| memory.sealed(*device));
            for frame in frames {
                memory.last_log = frame.entry;
                let Frame {
                    device,
                    bytes,
                    head,
                    steps,
                    entry,
                } = frame;
                if let Some(entry) = memory.devices.get_mut(&device)
                    && let Some(chain) = chains.remove(&device)
                {
                    entry.tail.chain = Some(chain);
                }
                memory.append(device, entry, &bytes, head, steps);
            }
            set(
                &self.shared.counters.series_left_out,
                memory.series_left_out,
            );
        }
        self.writes
            .iter()
            .filter_map(Write::change)
            .for_each(|change| self.shared.tell(change));
        self.shared.changed.notify_one();
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

/// Sets aside what devices have reported, once it is written that a seal has begun. No frame is in the
/// making now, so the next of each device begins a chain.
fn freeze_all(shared: &Shared, asked: Vec<FreezeRequest>) {
    for (devices, reply) in asked {
        let marks = shared.memory().marks(&devices);
        let ops = put_pieces(TreeName::Meta, meta::SEAL, &seal::put_marks(&marks));
        if let Err(error) = shared.hot.database.commit(&ops) {
            return shared.fail(&error.to_string());
        }
        let mut memory = shared.memory_mut();
        for (device, _) in &marks {
            if let Some(entry) = memory.devices.get_mut(device) {
                entry.tail.freeze();
            }
        }
        memory.interrupted = marks.into_iter().collect();
        // Whoever has gone in the meantime needs no answer.
        let _ = reply.send(Ok(()));
    }
}

fn log_entry(number: u64, entry: EntryForm) -> Vec<Op> {
    put_pieces(TreeName::Log, &keys::log(number), &entry.finish())
}
