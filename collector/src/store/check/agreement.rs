//! What the trees of the hot database say of each other: the log and the states; alerts, their devices
//! and what the channels are told of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rollcall_shared::id::DeviceId;

use super::super::codec::Decoder;
use super::super::frame::Chain;
use super::super::keys::{self, TreeName};
use super::super::log::LogEntry;
use super::super::snapshot;
use super::{CheckReport, Finding, HOT, RESTORE};
use crate::alert::Alert;
use crate::device::Device;
use crate::incident::{Incident, IncidentId};
use crate::notification::Notification;

/// What was read, as far as it is compared. It holds some kilobytes a device.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    devices: BTreeSet<DeviceId>,
    /// Through which entry each device is sealed.
    sealed: HashMap<DeviceId, u64>,
    /// The entries of the log.
    log: BTreeSet<u64>,
    /// What each device's frames have said, and the first that could not be read.
    chains: BTreeMap<DeviceId, (Chain, Option<String>)>,
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
            TreeName::Devices => {
                let device = serde_json::from_slice::<Device>(value);
                self.devices.extend(device.map(|device| device.id));
            }
            TreeName::State => {
                if let (Ok(device), Ok(sealed)) = (DeviceId::try_from(key), snapshot::sealed(value))
                {
                    self.sealed.insert(device, sealed);
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
            TreeName::Meta
            | TreeName::Cursors
            | TreeName::Days
            | TreeName::Silences
            | TreeName::Marks
            | TreeName::Memos
            | TreeName::Rules
            | TreeName::Assets
            | TreeName::Pupils
            | TreeName::Reach
            | TreeName::Tokens
            | TreeName::ApiTokens
            | TreeName::Users
            | TreeName::Audit => {}
        }
    }

    fn note_entry(&mut self, key: &[u8], value: &[u8]) {
        let Some(number) = keys::parse_log(key) else {
            return;
        };
        self.log.insert(number);
        let Ok(entry) = LogEntry::unpack(value) else {
            return;
        };
        for (device, frame) in entry.frames().flatten() {
            let (chain, problem) = self.chains.entry(device).or_default();
            let read = chain.decode(&mut Decoder(frame), |_, _, _| {});
            // What a device is sealed through does not count any more, and may lack its beginning.
            let sealed = self.sealed.get(&device).copied().unwrap_or_default();
            if let Err(found) = read
                && number > sealed
            {
                problem.get_or_insert_with(|| format!("entry {number}: {found}"));
            }
        }
    }

    fn missing_entries(&self) -> impl Iterator<Item = u64> {
        let (first, last) = (self.log.first(), self.log.last());
        let (first, last) = (first.copied().unwrap_or(1), last.copied().unwrap_or(0));
        (first..=last).filter(|number| !self.log.contains(number))
    }

    fn broken_chains(&self) -> impl Iterator<Item = (DeviceId, String)> {
        let broken = self.chains.iter();
        broken.filter_map(|(device, (_, problem))| Some((*device, problem.clone()?)))
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
        for missing in self.missing_entries() {
            let place = format!("log entry {missing}");
            tell(
                place,
                "it is missing".to_owned(),
                "some of the last reports",
            );
        }
        for (device, problem) in self.broken_chains() {
            let place = format!("log of device {device}");
            tell(place, problem, "the device's last reports");
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
}
