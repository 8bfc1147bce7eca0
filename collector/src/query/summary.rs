//! The fleet in numbers.

use std::collections::{BTreeMap, HashMap};

use rollcall_shared::id::Label;
use schemars::JsonSchema;
use serde::Serialize;

use super::devices::is_simulated;
use super::{At, Query, Viewer};
use crate::alert::{AlertState, Severity};
use crate::device::version::{AgentVersions, VersionCounts};
use crate::device::{DeviceState, Standing};

/// How many there are of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeverityCounts {
    /// A pupil cannot work, or data are about to be lost.
    pub critical: u64,
    /// To be dealt with in the next days.
    pub warning: u64,
    /// Worth knowing.
    pub info: u64,
}

/// The devices and alerts that a viewer may see, counted.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
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
    /// The agents' versions by site, of devices that are in the fleet.
    pub agent_versions: Vec<AgentVersions>,
    /// Each site with a device, by name.
    pub sites: Vec<SiteSummary>,
}

/// The devices and alerts of one site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
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
        let mut summary = Summary::nothing(At(self.now()));
        let mut sites: HashMap<Label, SiteSummary> = HashMap::new();
        let mut versions = VersionCounts::default();
        self.visit_devices(viewer, |state| {
            summary.count(state);
            if state.device.standing == Standing::Active {
                versions.count(state.device.site.as_str(), &state.device.agent_version);
            }
            site_of(&mut sites, &state.device.site).count(state);
        });
        // Alerts come by device.
        let mut last = None;
        self.store.visit_open_alerts(|alert, state| {
            if !viewer.sees(state) {
                return;
            }
            if alert.state != AlertState::Firing {
                summary.pending += 1;
                return;
            }
            let is_first = last.replace(alert.key.device) != Some(alert.key.device);
            summary.firing.add(alert.severity);
            summary.needing_attention += u64::from(is_first);
            if let Some(site) = sites.get_mut(&state.device.site) {
                site.firing.add(alert.severity);
                site.needing_attention += u64::from(is_first);
            }
        });
        summary.agent_versions = versions.list();
        summary.sites = sites.into_values().collect();
        summary.sites.sort_unstable_by(|a, b| a.site.cmp(&b.site));
        summary
    }
}

impl Summary {
    fn nothing(counted_at: At) -> Self {
        let standing = Standing::ALL.iter().map(|standing| (standing.word(), 0));
        Self {
            counted_at,
            devices: 0,
            connected: 0,
            simulated: 0,
            needing_attention: 0,
            standing: standing.collect(),
            firing: SeverityCounts::default(),
            pending: 0,
            agent_versions: Vec::new(),
            sites: Vec::new(),
        }
    }

    fn count(&mut self, state: &DeviceState) {
        self.devices += 1;
        self.connected += u64::from(state.connected);
        self.simulated += u64::from(is_simulated(state));
        *self
            .standing
            .entry(state.device.standing.word())
            .or_default() += 1;
    }
}

impl SiteSummary {
    fn count(&mut self, state: &DeviceState) {
        self.devices += 1;
        self.connected += u64::from(state.connected);
    }
}

fn site_of<'a>(sites: &'a mut HashMap<Label, SiteSummary>, site: &Label) -> &'a mut SiteSummary {
    if !sites.contains_key(site) {
        let summary = SiteSummary {
            site: site.to_string(),
            ..SiteSummary::default()
        };
        sites.insert(site.clone(), summary);
    }
    sites.get_mut(site).expect("it was put there if it was not")
}
