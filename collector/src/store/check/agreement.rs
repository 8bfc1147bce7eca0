//! What the trees of the hot database say of each other: log, cursors and marks; alerts, their devices
//! and what the channels are told of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rollcall_shared::id::{DeviceId, SpoolId};

use super::super::cursors::Cursor;
use super::super::keys::{self, TreeName, meta};
use super::super::log;
use super::{CheckReport, Finding, HOT, RESTORE};
use crate::alert::Alert;
use crate::device::Device;
use crate::incident::{Incident, IncidentId};
use crate::notification::Notification;

/// A device's spool.
type Of = (DeviceId, SpoolId);

/// What was read, as far as it is compared. It holds some 100 bytes a device.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    sealed: u64,
    sealing: u64,
    devices: BTreeSet<DeviceId>,
    cursors: HashMap<Of, Cursor>,
    /// The entries of the log, each with the first and the last sequence of each spool in it.
    log: BTreeMap<u64, BTreeMap<Of, (u64, u64)>>,
    incidents: BTreeSet<IncidentId>,
    /// The incidents that open alerts belong to.
    explained: BTreeSet<IncidentId>,
    alerting: BTreeSet<DeviceId>,
    outbox: Vec<Notification>,
}

impl Agreement {
    /// Takes note of a value, joined where it is in pieces. What cannot be read has been told already.
    pub fn note(&mut self, tree: TreeName, key: &[u8], value: &[u8]) {
        match tree {
            TreeName::Meta => self.note_mark(key, value),
            TreeName::Devices => {
                let device = serde_json::from_slice::<Device>(value);
                self.devices.extend(device.map(|device| device.id));
            }
            TreeName::Cursors => {
                if let Some((device, spool)) = keys::parse_cursor(key)
                    && let Some(cursor) = Cursor::parse(spool, value)
                {
                    self.cursors.insert((device, spool), cursor);
                }
            }
            TreeName::Log => self.note_entry(key, value),
            TreeName::Alerts | TreeName::AlertHistory => {
                let Ok(alert) = serde_json::from_slice::<Alert>(value) else {
                    return;
                };
                if tree == TreeName::Alerts {
                    self.alerting.insert(alert.key.device);
                    self.explained.extend(alert.incident);
                }
            }
            TreeName::Incidents | TreeName::IncidentHistory => {
                let incident = serde_json::from_slice::<Incident>(value);
                self.incidents.extend(incident.map(|incident| incident.id));
            }
            TreeName::Outbox => self
                .outbox
                .extend(serde_json::from_slice::<Notification>(value)),
            TreeName::State | TreeName::Tokens | TreeName::ApiTokens | TreeName::Audit => {}
        }
    }

    fn note_mark(&mut self, key: &[u8], value: &[u8]) {
        let number = value.try_into().map(u64::from_be_bytes).unwrap_or_default();
        match key {
            meta::SEALED => self.sealed = number,
            meta::SEALING => self.sealing = number,
            _ => {}
        }
    }

    fn note_entry(&mut self, key: &[u8], value: &[u8]) {
        let (Some(number), Ok(arrivals)) = (keys::parse_log(key), log::decode(value)) else {
            return;
        };
        let spools = self.log.entry(number).or_default();
        for arrival in arrivals {
            let sequences = arrival.reports.iter().map(|(_, report)| report.sequence.0);
            let (first, last) = (sequences.clone().min(), sequences.max());
            if let (Some(first), Some(last)) = (first, last) {
                let of = spools
                    .entry((arrival.device, arrival.spool))
                    .or_insert((first, last));
                *of = (of.0.min(first), of.1.max(last));
            }
        }
    }

    /// Tells what does not agree.
    pub fn compare(&self, report: &mut CheckReport) {
        let mut tell = |place: String, problem: String, lost: &str| {
            report.add(Finding {
                file: HOT.to_owned(),
                place,
                problem,
                lost: lost.to_owned(),
                remedy: RESTORE.to_owned(),
            });
        };
        if self.sealing < self.sealed && self.sealing > 0 {
            let problem = format!(
                "the seal up to {} is done, that up to {} was begun",
                self.sealed, self.sealing
            );
            tell(
                "meta".to_owned(),
                problem,
                "the line between log and history",
            );
        }
        for missing in self.missing_entries() {
            let place = format!("log entry {missing}");
            tell(place, "it is missing".to_owned(), "up to 256 reports");
        }
        for (device, spool, problem) in self.wrong_cursors() {
            let place = format!("cursors of device {device}, spool {spool}");
            tell(place, problem, "how far a laptop's reports have come");
        }
        for device in self.alerting.difference(&self.devices) {
            let place = format!("alerts of device {device}");
            tell(
                place,
                "there is no such device".to_owned(),
                "a laptop's record",
            );
        }
        for entry in self
            .outbox
            .iter()
            .filter(|entry| !self.incidents.contains(&entry.key.incident))
        {
            let place = format!("outbox {}", entry.key);
            tell(place, "there is no such incident".to_owned(), "an incident");
        }
        for incident in self.explained.difference(&self.incidents) {
            let place = format!("alerts of incident {incident}");
            tell(place, "there is no such incident".to_owned(), "an incident");
        }
    }

    fn missing_entries(&self) -> impl Iterator<Item = u64> {
        let last = self.log.keys().next_back().copied().unwrap_or(0);
        (self.sealed + 1..=last).filter(|number| !self.log.contains_key(number))
    }

    fn wrong_cursors(&self) -> Vec<(DeviceId, SpoolId, String)> {
        let mut reached = HashMap::new();
        let mut wrong = Vec::new();
        for (number, spools) in self.log.range(self.sealed + 1..) {
            for (of, (first, last)) in spools {
                if let Some((before, earlier)) = reached.insert(*of, (*last, *number))
                    && before >= *first
                {
                    let problem =
                        format!("log entries {earlier} and {number} both hold its report {first}");
                    wrong.push((of.0, of.1, problem));
                }
            }
        }
        for (of, (last, number)) in reached {
            let cursor = self.cursors.get(&of).map_or(0, |cursor| cursor.sequence.0);
            // A spool that moved longest ago may have been forgotten for newer ones.
            if cursor != last && self.cursors.contains_key(&of) {
                let problem =
                    format!("log entry {number} ends with {last}, the cursor says {cursor}");
                wrong.push((of.0, of.1, problem));
            }
        }
        wrong
    }
}
