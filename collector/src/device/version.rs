//! How an agent's version stands to this collector's.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// Minor versions between agent and collector across which both understand each other: recorded bytes
/// of every release are read by the tests.
pub const MINORS_APART: u64 = 2;

/// What a version means for whoever updates the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VersionStanding {
    /// The collector's own.
    Current,
    /// Older, and understood.
    Older,
    /// Newer, and understood: the collector is to be updated first the next time.
    Newer,
    /// Older than is promised to be understood: update these laptops.
    TooOld,
    /// Newer than is promised to be understood: update the collector.
    TooNew,
    /// None that can be read.
    Unknown,
}

/// Laptops of one site with one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AgentVersions {
    /// The site.
    pub site: String,
    /// The version, as the agents say it.
    pub version: String,
    /// How many.
    pub devices: u64,
    /// What it means.
    pub standing: VersionStanding,
}

/// Counts laptops by site and version.
#[derive(Debug, Default)]
pub struct VersionCounts(BTreeMap<(String, String), u64>);

impl VersionStanding {
    /// Of an agent's version, at a collector of this version.
    #[must_use]
    pub fn of(agent: &str, collector: &str) -> Self {
        let (Some(agent), Some(own)) = (parts(agent), parts(collector)) else {
            return Self::Unknown;
        };
        let is_far = agent.0 != own.0 || agent.1.abs_diff(own.1) > MINORS_APART;
        match (agent.cmp(&own), is_far) {
            (std::cmp::Ordering::Equal, _) => Self::Current,
            (std::cmp::Ordering::Less, false) => Self::Older,
            (std::cmp::Ordering::Greater, false) => Self::Newer,
            (std::cmp::Ordering::Less, true) => Self::TooOld,
            (std::cmp::Ordering::Greater, true) => Self::TooNew,
        }
    }

    /// The word, and what to do where something is to be done.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Older => "older",
            Self::Newer => "newer than the collector",
            Self::TooOld => "TOO OLD: update these laptops",
            Self::TooNew => "TOO NEW: update the collector",
            Self::Unknown => "unknown",
        }
    }
}

impl VersionCounts {
    /// Counts some laptops.
    pub fn count(&mut self, site: &str, version: &str, devices: u64) {
        let key = (site.to_owned(), version.to_owned());
        *self.0.entry(key).or_default() += devices;
    }

    /// What was counted, by site and version.
    #[must_use]
    pub fn list(self) -> Vec<AgentVersions> {
        let own = env!("CARGO_PKG_VERSION");
        let line = |((site, version), devices): ((String, String), u64)| AgentVersions {
            standing: VersionStanding::of(&version, own),
            site,
            version,
            devices,
        };
        self.0.into_iter().map(line).collect()
    }
}

/// `major.minor.patch`, with whatever a build adds behind it left out.
fn parts(version: &str) -> Option<(u64, u64, u64)> {
    let numbers = version.split(['-', '+']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse().ok());
    let parts = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minor_versions_either_way_are_understood() {
        let of = |agent| VersionStanding::of(agent, "0.4.1");
        assert_eq!(of("0.4.1"), VersionStanding::Current);
        assert_eq!(of("0.4.1-rc.1"), VersionStanding::Current);
        assert_eq!(of("0.4.0"), VersionStanding::Older);
        assert_eq!(of("0.2.9"), VersionStanding::Older);
        assert_eq!(of("0.1.9"), VersionStanding::TooOld);
        assert_eq!(of("0.6.0"), VersionStanding::Newer);
        assert_eq!(of("0.7.0"), VersionStanding::TooNew);
        assert_eq!(of("1.0.0"), VersionStanding::TooNew);
        for odd in ["", "0.4", "0.4.1.2", "old"] {
            assert_eq!(of(odd), VersionStanding::Unknown, "{odd}");
        }
    }

    #[test]
    fn laptops_are_counted_by_site_and_version() {
        let mut counts = VersionCounts::default();
        for (site, version) in [("B", "0.1.0"), ("A", "9.0.0"), ("B", "0.1.0"), ("B", "")] {
            counts.count(site, version, 1);
        }
        let list = counts.list();
        let short: Vec<_> = list
            .iter()
            .map(|l| (&*l.site, &*l.version, l.devices))
            .collect();
        assert_eq!(short, [("A", "9.0.0", 1), ("B", "", 1), ("B", "0.1.0", 2)]);
        assert_eq!(list[0].standing, VersionStanding::TooNew);
    }
}
