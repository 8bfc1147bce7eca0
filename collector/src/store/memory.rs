//! What the store keeps in memory: the latest of everything, rebuilt at start from disk.
//!
//! Only what is durable on disk is applied here, and in the order of the log. Applying the same log
//! to the same snapshot gives the same memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::DeviceId;
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;

use super::cursors::Cursors;
use super::records::{ApiTokenRecord, EnrolmentTokenRecord};
use super::{Arrival, Write};
use crate::alert::{Alert, AlertKey};
use crate::device::{Device, DeviceState, Latest, SeriesKey};
use crate::incident::{Incident, IncidentId};
use crate::notification::{Notification, NotificationKey};

/// Reports that follow each other within this many intervals belong to one time awake: an agent that
/// is awake has a report at each fast interval in which something changed, and at each sending
/// interval in any case.
const AWAKE_INTERVALS: i64 = 3;

/// A report that is so much older than the last one is history, imported as a rule, and says nothing of
/// the present. Within an hour corrected times may well go back a little.
const HISTORY_MS: i64 = 3_600_000;

/// Series of one device whose latest value is kept: twice what a report may carry. Those that a full
/// report does not name any more go; a laptop that makes up ever new ones fills no memory.
const SERIES: usize = 2 * limits::READINGS_PER_REPORT;

/// The memory of a store.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub devices: HashMap<DeviceId, Entry>,
    pub cursors: Cursors,
    pub alerts: BTreeMap<AlertKey, Alert>,
    pub incidents: BTreeMap<IncidentId, Incident>,
    pub outbox: BTreeMap<NotificationKey, Notification>,
    pub tokens: BTreeMap<String, EnrolmentTokenRecord>,
    pub api_tokens: BTreeMap<String, ApiTokenRecord>,
    pub configuration: Configuration,
    /// The last log entry that is sealed: everything up to it is in history.
    pub sealed: u64,
    /// The last log entry of the seal that was begun last.
    pub sealing: u64,
    /// The last log entry that is durable.
    pub last_log: u64,
    /// The number of the last line of the audit log.
    pub audit_lines: u64,
    /// Readings whose series was one too many for its device, so that only history has them.
    pub series_left_out: u64,
}

/// A device in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub state: Arc<DeviceState>,
    /// How many of its streams are up: a new one may come before the old one is found dead.
    pub streams: u32,
    /// The log entries that hold reports of it and are not sealed, in ascending order.
    pub tail: Vec<u64>,
    /// The last log entry that is part of `state`.
    pub through: u64,
    /// The last log entry that was part of the snapshot which `state` was rebuilt from.
    pub snapshot: u64,
}

impl Entry {
    pub fn new(device: Device) -> Self {
        Self {
            state: Arc::new(DeviceState::new(device)),
            streams: 0,
            tail: Vec::new(),
            through: 0,
            snapshot: 0,
        }
    }
}

impl Memory {
    /// Applies a record that is durable now.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::PutDevice(device) => self.put_device(device),
            Write::PutToken(token) => {
                self.tokens.insert(token.id.clone(), token.clone());
            }
            Write::PutAlert(alert) => {
                self.alerts.insert(alert.key.clone(), alert.clone());
            }
            Write::RemoveAlert(key) => {
                self.alerts.remove(key);
            }
            Write::ResolveAlert(alert) => {
                self.alerts.remove(&alert.key);
            }
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
            Write::PutApiToken(token) => {
                self.api_tokens.insert(token.name.clone(), token.clone());
            }
            Write::RemoveApiToken(name) => {
                self.api_tokens.remove(name);
            }
            Write::PutConfiguration(configuration) => self.configuration = configuration.clone(),
            Write::Audit(_) => {}
        }
    }

    /// Applies reports that are durable now and were not stored before.
    pub fn append(&mut self, arrival: &Arrival, entry_of_log: u64) {
        let awake_ms = self.awake_gap_ms();
        let Some(entry) = self.devices.get_mut(&arrival.device) else {
            return;
        };
        if entry.tail.last() != Some(&entry_of_log) {
            entry.tail.push(entry_of_log);
        }
        if entry_of_log <= entry.snapshot {
            return;
        }
        entry.through = entry_of_log;
        let state = Arc::make_mut(&mut entry.state);
        for (at, report) in &arrival.reports {
            self.series_left_out += apply_report(state, *at, report, awake_ms);
        }
        state.last_seen = state.last_seen.max(Some(arrival.received));
        state.skew_ms = Some(arrival.skew_ms);
    }

    /// Forgets the log up to an entry that is sealed now.
    pub fn seal(&mut self, sealed: u64) {
        self.sealed = sealed;
        for entry in self.devices.values_mut() {
            let kept = entry.tail.partition_point(|number| *number <= sealed);
            entry.tail.drain(..kept);
        }
    }

    pub fn set_connected(&mut self, device: DeviceId, connected: bool, now: UnixMs) {
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
    }

    fn put_device(&mut self, device: &Device) {
        match self.devices.get_mut(&device.id) {
            Some(entry) => Arc::make_mut(&mut entry.state).device = device.clone(),
            None => {
                self.devices.insert(device.id, Entry::new(device.clone()));
            }
        }
    }

    fn awake_gap_ms(&self) -> i64 {
        let schedule = self.configuration.schedule;
        AWAKE_INTERVALS * i64::from(schedule.fast_s.max(schedule.send_s)) * 1000
    }
}

/// Answers how many readings were left out.
fn apply_report(state: &mut DeviceState, at: UnixMs, report: &Report, awake_ms: i64) -> u64 {
    let gap = state.last_report.map(|last| at.since(last));
    if gap.is_some_and(|gap| gap < -HISTORY_MS) {
        return 0;
    }
    if gap.is_none_or(|gap| gap > awake_ms) {
        state.awake_since = Some(at);
    }
    state.last_report = state.last_report.max(Some(at));
    if report.full {
        forget_what_is_gone(state, report);
    }
    let readings = report.readings.iter();
    let left_out = readings.filter(|reading| !apply_reading(state, at, reading));
    left_out.count() as u64
}

/// A full report carries every reading, so a series that is not in it exists no more. The clock's
/// offset is the exception: it is the collector's own, and comes only when it has changed.
fn forget_what_is_gone(state: &mut DeviceState, report: &Report) {
    let kept: std::collections::BTreeSet<SeriesKey> =
        report.readings.iter().map(SeriesKey::of).collect();
    state
        .latest
        .retain(|key, _| key.metric == metric::CLOCK_OFFSET.code || kept.contains(key));
}

fn apply_reading(state: &mut DeviceState, at: UnixMs, reading: &Reading) -> bool {
    let (key, value) = (SeriesKey::of(reading), reading.value());
    if state.latest.len() >= SERIES && !state.latest.contains_key(&key) {
        return false;
    }
    let latest = state.latest.entry(key);
    latest
        .and_modify(|latest| {
            if latest.value != *value {
                *latest = Latest {
                    value: value.clone(),
                    since: at,
                };
            }
        })
        .or_insert_with(|| Latest {
            value: value.clone(),
            since: at,
        });
    true
}
