//! The fleet in numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rollcall_shared::id::{DeviceId, Label};
use serde::Serialize;

use super::devices::is_simulated;
use super::{At, Query, Viewer};
use crate::alert::{AlertState, Severity};
use crate::device::{DeviceState, Standing};

/// How many there are of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SeverityCounts {
    /// A pupil cannot work, or data are about to be lost.
    pub critical: u64,
    /// To be dealt with in the next days.
    pub warning: u64,
    /// Worth knowing.
    pub info: u64,
}

/// The devices and alerts that a viewer may see, counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// When it was counted.
    pub counted_at: At,
    /// All devices.
    pub devices: u64,
    /// Those whose stream is up.
    pub connected: u64,
    /// Those of the simulator.
    pub simulated: u64,
    /// Those with a firing alert.
    pub needing_attention: u64,
    /// By `active`, `revoked` and `retired`.
    pub standing: BTreeMap<&'static str, u64>,
    /// Firing alerts.
    pub firing: SeverityCounts,
    /// Alerts whose condition has not held for long enough yet.
    pub pending: u64,
    /// Each site with a device, by name.
    pub sites: Vec<SiteSummary>,
}

/// The devices and alerts of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SiteSummary {
    /// The site.
    pub site: String,
    /// Its devices.
    pub devices: u64,
    /// Those whose stream is up.
    pub connected: u64,
    /// Those with a firing alert.
    pub needing_attention: u64,
    /// Its firing alerts.
    pub firing: SeverityCounts,
}

impl SeverityCounts {
    fn add(&mut self, severity: Severity) {
        match severity {
            Severity::Critical => self.critical += 1,
            Severity::Warning => self.warning += 1,
            Severity::Info => self.info += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.critical + self.warning + self.info
    }
}

impl Query {
    /// The fleet that the viewer may see, counted.
    #[must_use]
    pub fn summary(&self, viewer: &Viewer) -> Summary {
        let devices = self.visible_devices(viewer);
        let mut summary = Summary::of_devices(At(self.now()), &devices);
        let mut sites = sites_of(&devices);
        let places: HashMap<DeviceId, &Label> = devices
            .iter()
            .map(|state| (state.device.id, &state.device.site))
            .collect();
        let mut needing: BTreeSet<DeviceId> = BTreeSet::new();
        for alert in self.store.open_alerts() {
            let Some(site) = places.get(&alert.key.device) else {
                continue;
            };
            if alert.state != AlertState::Firing {
                summary.pending += 1;
                continue;
            }
            summary.firing.add(alert.severity);
            let first = needing.insert(alert.key.device);
            if let Some(site) = sites.get_mut(*site) {
                site.firing.add(alert.severity);
                site.needing_attention += u64::from(first);
            }
        }
        summary.needing_attention = needing.len() as u64;
        summary.sites = sites.into_values().collect();
        summary
    }
}

impl Summary {
    fn of_devices(counted_at: At, devices: &[impl AsRef<DeviceState>]) -> Self {
        let count = |wanted: &dyn Fn(&DeviceState) -> bool| {
            devices
                .iter()
                .filter(|state| wanted(state.as_ref()))
                .count() as u64
        };
        let of = |standing: Standing| {
            let number = count(&|state| state.device.standing == standing);
            (standing.word(), number)
        };
        Self {
            counted_at,
            devices: devices.len() as u64,
            connected: count(&|state| state.connected),
            simulated: count(&is_simulated),
            needing_attention: 0,
            standing: Standing::ALL.iter().copied().map(of).collect(),
            firing: SeverityCounts::default(),
            pending: 0,
            sites: Vec::new(),
        }
    }
}

fn sites_of(devices: &[impl AsRef<DeviceState>]) -> BTreeMap<Label, SiteSummary> {
    let mut sites: BTreeMap<Label, SiteSummary> = BTreeMap::new();
    for state in devices.iter().map(AsRef::as_ref) {
        let site = sites.entry(state.device.site.clone()).or_default();
        site.site = state.device.site.to_string();
        site.devices += 1;
        site.connected += u64::from(state.connected);
    }
    sites
}
