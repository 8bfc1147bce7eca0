//! What the store keeps in memory: the latest of everything, rebuilt at start from disk.
//!
//! Only what is durable on disk is applied here, and in the order of the log. Applying the same log
//! to the same snapshot gives the same memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::Write;
use super::codec::{Decoder, Problem};
use super::counts::FleetCounts;
use super::cursors::{Cursor, Cursors};
use super::frame::{Head, Step};
use super::keys::{Day, Place, RolledUp, Week};
use super::records::{ApiTokenRecord, EnrolmentTokenRecord};
use super::tail::{Segment, Tail};
use crate::alert::{Alert, AlertKey};
use crate::asset::Inventory;
use crate::device::{Device, DeviceState, Latests, awake_gap_ms};
use crate::edition::Edition;
use crate::incident::{Incident, IncidentId};
use crate::mark::{Marks, Subject};
use crate::memo::{Memo, MemoKey};
use crate::notification::{Notification, NotificationKey};
use crate::reach_note::ReachNote;
use crate::silence::{Silence, SilenceId};
use crate::user::User;

/// A message whose reports are all this much older than the last one is history.
const PAST_MS: i64 = 3_600_000;

/// Bytes of a tail after which its device is sealed out of turn: the backlog of a night.
const LARGE_BYTES: usize = 48 * 1024;

/// The memory of a store.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub devices: HashMap<DeviceId, Entry>,
    /// Every device, ascending: those that enrol later mostly come last.
    pub order: Vec<DeviceId>,
    /// The devices with `is_changed`, each once.
    pub changed: Vec<DeviceId>,
    pub cursors: Cursors,
    pub alerts: BTreeMap<AlertKey, Alert>,
    /// Devices and alerts, counted.
    pub counts: FleetCounts,
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub outbox: BTreeMap<NotificationKey, Notification>,
    pub silences: BTreeMap<SilenceId, Silence>,
    pub marks: BTreeMap<Subject, Marks>,
    pub memos: BTreeMap<MemoKey, Memo>,
    /// The versions of the rules, by number.
    pub editions: BTreeMap<u32, Arc<Edition>>,
    pub reach: BTreeMap<u8, Arc<ReachNote>>,
    /// Shared with who reads it; a reader keeps what it began to read.
    pub inventory: Arc<Inventory>,
    pub tokens: BTreeMap<String, EnrolmentTokenRecord>,
    pub api_tokens: BTreeMap<String, ApiTokenRecord>,
    pub users: BTreeMap<String, User>,
    pub configuration: Configuration,
    /// The last log entry that is durable.
    pub last_log: u64,
    /// The number of the last line of the audit log.
    pub audit_lines: u64,
    /// The seal that is under way: devices, and through which entry.
    pub interrupted: HashMap<DeviceId, u64>,
    /// Devices whose tail has become large, so that they are sealed out of turn.
    pub large: Vec<DeviceId>,
    /// The generations of days that take no more seals, and where each is read from.
    pub days: BTreeMap<(Day, u16), Place>,
    /// How far those of them are rolled up that are.
    pub rolled: BTreeMap<(Day, u16), RolledUp>,
    /// The day on which what came late was merged last.
    pub late_merged: Option<Day>,
    /// Up to where retention has come.
    pub retained: Option<UnixMs>,
    /// Readings whose series was one too many for its device, so that only history has them.
    pub series_left_out: u64,
}

/// A device in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub state: Arc<DeviceState>,
    /// How many of its streams are up: a new one may come before the old one is found dead.
    pub streams: u32,
    /// What it reported since it was sealed.
    pub tail: Tail,
    /// The log entry through which it is sealed: everything up to there is in history.
    pub sealed: u64,
    /// The last log entry that is part of `state`.
    pub through: u64,
    /// The last log entry that was part of the snapshot which `state` was rebuilt from.
    pub snapshot: u64,
    /// Whether something changed since the changed devices were last taken.
    is_changed: bool,
}

impl Entry {
    pub fn new(device: Device) -> Self {
        Self {
            state: Arc::new(DeviceState::new(device)),
            streams: 0,
            tail: Tail::default(),
            sealed: 0,
            through: 0,
            snapshot: 0,
            is_changed: false,
        }
    }
}

impl Memory {
    /// Applies a record that is durable now.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::PutDevice(device) => {
                self.counting(device.id, |memory| memory.put_device(device));
            }
            Write::PutToken(token) => {
                self.tokens.insert(token.id.clone(), token.clone());
            }
            Write::PutAlert(alert) => self.counting(alert.key.device, |memory| {
                memory.alerts.insert(alert.key.clone(), alert.clone());
            }),
            Write::RemoveAlert(key) => self.counting(key.device, |memory| {
                memory.alerts.remove(key);
            }),
            Write::ResolveAlert(alert) => self.counting(alert.key.device, |memory| {
                memory.alerts.remove(&alert.key);
            }),
            Write::PutIncident(incident) => {
                self.incidents.insert(incident.id, incident.clone());
            }
            Write::ArchiveIncident(incident) => {
                self.incidents.remove(&incident.id);
            }
            Write::PutNotification(notification) => {
                self.outbox
                    .insert(notification.key.clone(), notification.clone());
            }
            Write::RemoveNotification(key) => {
                self.outbox.remove(key);
            }
            Write::PutSilence(silence) => {
                self.silences.insert(silence.id, silence.clone());
            }
            Write::RemoveSilence(id) => {
                self.silences.remove(id);
            }
            Write::PutMarks(marks) => {
                self.marks.insert(marks.subject, marks.clone());
            }
            Write::RemoveMarks(subject) => {
                self.marks.remove(subject);
            }
            Write::PutMemo(memo) => {
                self.memos.insert(memo.key.clone(), memo.clone());
            }
            Write::RemoveMemo(key) => {
                self.memos.remove(key);
            }
            Write::PutEdition(edition) => {
                self.editions
                    .insert(edition.number, Arc::new(edition.clone()));
            }
            Write::RemoveEdition(number) => {
                self.editions.remove(number);
            }
            Write::PutAsset(asset) => Arc::make_mut(&mut self.inventory).put(asset.clone()),
            Write::RemoveAsset(tag) => Arc::make_mut(&mut self.inventory).remove(tag),
            Write::PutPupil(pupil) => {
                Arc::make_mut(&mut self.inventory).put_pupil(pupil.clone());
            }
            Write::RemovePupil(reference) => {
                Arc::make_mut(&mut self.inventory).remove_pupil(reference);
            }
            Write::PutReachNote(note) => {
                self.reach.insert(note.slot(), Arc::new(note.clone()));
            }
            Write::PutApiToken(token) => {
                self.api_tokens.insert(token.name.clone(), token.clone());
            }
            Write::RemoveApiToken(name) => {
                self.api_tokens.remove(name);
            }
            Write::PutUser(user) => {
                self.users.insert(user.name.clone(), user.clone());
            }
            Write::RemoveUser(name) => {
                self.users.remove(name);
            }
            Write::PutConfiguration(configuration) => self.configuration = configuration.clone(),
            Write::Audit(_) => {}
        }
    }

    /// Applies a frame that is durable now and was not stored before.
    pub fn append(
        &mut self,
        device: DeviceId,
        entry_of_log: u64,
        frame: &[u8],
        head: Head,
        steps: Vec<Step>,
    ) {
        let awake_ms = self.awake_gap_ms();
        let Some(entry) = self.devices.get_mut(&device) else {
            return;
        };
        let before = entry.tail.live().bytes();
        entry.tail.push(frame, entry_of_log);
        if before <= LARGE_BYTES && entry.tail.live().bytes() > LARGE_BYTES {
            self.large.push(device);
        }
        if entry_of_log <= entry.snapshot {
            return;
        }
        entry.through = entry_of_log;
        if !std::mem::replace(&mut entry.is_changed, true) {
            self.changed.push(device);
        }
        let state = Arc::make_mut(&mut entry.state);
        if is_of_the_past(state, &steps) {
            // The next frame says all its values again, since the state does not have these.
            entry.tail.chain = None;
        } else {
            for step in steps {
                self.series_left_out +=
                    state.apply_step(step.at, step.kept.as_deref(), step.changed, awake_ms);
            }
        }
        state.last_seen = state.last_seen.max(Some(head.received));
        state.skew_ms = Some(head.skew_ms);
        let cursor = Cursor {
            spool: head.spool,
            sequence: head.sequence,
            moved: entry_of_log,
        };
        self.cursors.advance(device, cursor);
    }

    /// Applies an entry of the log's frame at start; what is sealed does not count.
    pub fn replay(&mut self, device: DeviceId, number: u64, frame: &[u8]) -> Result<(), Problem> {
        let interrupted = self.interrupted.get(&device).copied().unwrap_or_default();
        let Some(entry) = self.devices.get_mut(&device) else {
            return Ok(());
        };
        if number <= entry.sealed {
            return Ok(());
        }
        if number > interrupted && entry.tail.live().through <= interrupted {
            entry.tail.freeze();
        }
        let mut chain = entry.tail.chain.take().unwrap_or_default();
        let (head, steps) = chain.decode(&mut Decoder(frame), |_, _, _| {})?;
        self.append(device, number, frame, head, steps);
        // What was written after it in the same transaction continues it, whatever it said to the state.
        if let Some(entry) = self.devices.get_mut(&device) {
            entry.tail.chain = Some(chain);
        }
        Ok(())
    }

    /// Ends the replay: what an interrupted seal was copying is set aside again, and the next frame of
    /// each device begins a chain.
    pub fn end_replay(&mut self) {
        for (device, entry) in &mut self.devices {
            let through = self.interrupted.get(device);
            if through.is_some_and(|through| entry.tail.live().through <= *through) {
                entry.tail.freeze();
            }
            entry.tail.chain = None;
        }
    }

    /// Notes that what was frozen of a device is in history.
    pub fn sealed(&mut self, device: DeviceId) {
        let Some(entry) = self.devices.get_mut(&device) else {
            return;
        };
        if let Some(frozen) = entry.tail.frozen() {
            entry.sealed = frozen.through;
        }
        entry.tail.forget_frozen();
    }

    /// The devices that are not sealed as far as they have reported.
    pub fn with_tail(&self) -> Vec<DeviceId> {
        let devices = self
            .devices
            .iter()
            .filter(|(_, entry)| !entry.tail.is_empty());
        devices.map(|(device, _)| *device).collect()
    }

    /// The corrected time of the newest report of all.
    pub fn newest_report(&self) -> Option<UnixMs> {
        self.devices
            .values()
            .filter_map(|entry| entry.state.last_report)
            .max()
    }

    /// Of which of these devices something can be set aside, and through which entry.
    pub fn marks(&self, devices: &[DeviceId]) -> Vec<(DeviceId, u64)> {
        let mark = |device: &DeviceId| {
            let tail = &self.devices.get(device)?.tail;
            let live = tail.live();
            (tail.frozen().is_none() && !live.is_empty()).then_some((*device, live.through))
        };
        devices.iter().filter_map(mark).collect()
    }

    /// What is set aside of these devices.
    pub fn frozen(&self, devices: &[DeviceId]) -> Vec<(DeviceId, Segment)> {
        let frozen = |device: &DeviceId| {
            let segment = self.devices.get(device)?.tail.frozen()?;
            Some((*device, segment.clone()))
        };
        devices.iter().filter_map(frozen).collect()
    }

    /// Through which entry a device is sealed, and what it reported after.
    pub fn unsealed(&self, device: DeviceId) -> (u64, Vec<Segment>) {
        let entry = self.devices.get(&device);
        entry.map_or((0, Vec::new()), |entry| {
            (entry.sealed, entry.tail.segments().cloned().collect())
        })
    }

    /// The generation of a day that takes seals.
    pub fn generation(&self, day: Day) -> u16 {
        let last = self.days.range((day, 0)..=(day, u16::MAX)).next_back();
        last.map_or(0, |((_, generation), _)| generation.saturating_add(1))
    }

    /// From here on a generation of a day is read from there.
    pub fn place_day(&mut self, day: (Day, u16), place: Place, rolled: RolledUp) {
        self.days.insert(day, place);
        if rolled != RolledUp::Not {
            self.rolled.insert(day, rolled);
        }
    }

    /// How far a generation of a day is rolled up.
    pub fn rolled_up(&self, day: (Day, u16)) -> RolledUp {
        self.rolled.get(&day).copied().unwrap_or_default()
    }

    /// Where a generation of a day is read from.
    pub fn place(&self, day: Day, generation: u16) -> Place {
        let known = self.days.get(&(day, generation));
        known.copied().unwrap_or(Place::Sealed)
    }

    /// The generations of days of a week that are read from a place.
    pub fn days_in(&self, week: Week, place: Place) -> Vec<(Day, u16)> {
        let days = self
            .days
            .range((week.start(), 0)..(Week(week.0 + 1).start(), 0));
        days.filter(|(_, found)| **found == place)
            .map(|(day, _)| *day)
            .collect()
    }

    /// Whether what came late has not been merged on this day, as far as is known.
    pub fn is_new_day(&mut self, today: Day) -> bool {
        self.late_merged.replace(today) != Some(today)
    }

    /// The first log entry that holds something which is not sealed.
    pub fn first_needed(&self) -> u64 {
        let needed = self.devices.values().filter_map(|entry| entry.tail.first());
        needed.min().unwrap_or(self.last_log + 1)
    }

    pub fn set_connected(&mut self, device: DeviceId, connected: bool, now: UnixMs) {
        self.counting(device, |memory| memory.connect(device, connected, now));
    }

    fn connect(&mut self, device: DeviceId, connected: bool, now: UnixMs) {
        let Some(entry) = self.devices.get_mut(&device) else {
            return;
        };
        entry.streams = if connected {
            entry.streams.saturating_add(1)
        } else {
            entry.streams.saturating_sub(1)
        };
        let state = Arc::make_mut(&mut entry.state);
        state.connected = entry.streams > 0;
        let since = state.connected_since.unwrap_or(now);
        state.connected_since = state.connected.then_some(since);
        state.last_seen = state.last_seen.max(Some(now));
        self.note_change(device);
    }

    /// The devices whose record, telemetry or connection changed since this was last asked.
    pub fn take_changed(&mut self) -> Vec<DeviceId> {
        let changed = std::mem::take(&mut self.changed);
        for device in &changed {
            if let Some(entry) = self.devices.get_mut(device) {
                entry.is_changed = false;
            }
        }
        changed
    }

    /// Puts a device's forecasts where rules look for them.
    pub fn set_forecasts(&mut self, device: DeviceId, forecasts: Arc<Latests>) {
        if let Some(entry) = self.devices.get_mut(&device) {
            Arc::make_mut(&mut entry.state).forecasts = forecasts;
        }
    }

    fn note_change(&mut self, device: DeviceId) {
        if let Some(entry) = self.devices.get_mut(&device)
            && !std::mem::replace(&mut entry.is_changed, true)
        {
            self.changed.push(device);
        }
    }

    /// Adds a device, which is not there yet.
    pub fn insert(&mut self, device: DeviceId, entry: Entry) {
        let place = self.order.partition_point(|known| *known < device);
        self.order.insert(place, device);
        self.devices.insert(device, entry);
    }

    /// The devices after one, ascending.
    pub fn after(&self, device: Option<DeviceId>) -> impl Iterator<Item = &Arc<DeviceState>> {
        let from = device.map_or(0, |after| {
            self.order.partition_point(|known| *known <= after)
        });
        let entries = self.order[from..]
            .iter()
            .filter_map(|id| self.devices.get(id));
        entries.map(|entry| &entry.state)
    }

    fn put_device(&mut self, device: &Device) {
        match self.devices.get_mut(&device.id) {
            Some(entry) => Arc::make_mut(&mut entry.state).device = device.clone(),
            None => {
                self.insert(device.id, Entry::new(device.clone()));
            }
        }
        self.note_change(device.id);
    }

    fn awake_gap_ms(&self) -> i64 {
        awake_gap_ms(&self.configuration.schedule)
    }
}

/// Whether reports are history, such as is brought over from elsewhere: it says nothing of the present.
fn is_of_the_past(state: &DeviceState, steps: &[Step]) -> bool {
    let Some(last) = state.last_report else {
        return false;
    };
    steps.iter().all(|step| last.since(step.at) > PAST_MS)
}
