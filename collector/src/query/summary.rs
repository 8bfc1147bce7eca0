//! The fleet in numbers.

use std::collections::BTreeMap;

use rollcall_shared::id::Label;
use schemars::JsonSchema;
use serde::Serialize;

use super::devices::is_of_simulator;
use super::{At, Query, Viewer};
use crate::device::Standing;
use crate::device::version::{AgentVersions, VersionCounts};
use crate::store::Counts;

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
    fn add(&mut self, [info, warning, critical]: [u64; 3]) {
        self.info += info;
        self.warning += warning;
        self.critical += critical;
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
        let mut sites: BTreeMap<String, SiteSummary> = BTreeMap::new();
        let mut versions = VersionCounts::default();
        self.store.visit_counts(|site, kind, counts| {
            if !viewer.sees_site(site) {
                return;
            }
            summary.count(is_of_simulator(kind.group.as_ref()), counts);
            let active = counts.standing[Standing::Active as usize];
            if active > 0 {
                versions.count(site.as_str(), &kind.agent_version, active);
            }
            let of_site = sites.entry(site.to_string());
            of_site.or_default().count(site, counts);
        });
        summary.agent_versions = versions.list();
        summary.sites = sites.into_values().collect();
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

    fn count(&mut self, is_simulated: bool, counts: &Counts) {
        self.devices += counts.devices;
        self.connected += counts.connected;
        self.simulated += if is_simulated { counts.devices } else { 0 };
        self.needing_attention += counts.needing_attention;
        for (standing, count) in Standing::ALL.iter().zip(counts.standing) {
            *self.standing.entry(standing.word()).or_default() += count;
        }
        self.firing.add(counts.firing);
        self.pending += counts.pending;
    }
}

impl SiteSummary {
    fn count(&mut self, site: &Label, counts: &Counts) {
        self.site = site.to_string();
        self.devices += counts.devices;
        self.connected += counts.connected;
        self.needing_attention += counts.needing_attention;
        self.firing.add(counts.firing);
    }
}
