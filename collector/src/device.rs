//! A device as the collector knows it: its record, and its latest state.

use std::collections::BTreeMap;

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

/// Whether a device may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It belongs to the fleet.
    Active,
    /// Its certificate is no longer accepted, because somebody said so.
    Revoked,
    /// It has left the fleet; its history stays.
    Retired,
}

impl Standing {
    /// What a device is told that may not speak; `None` where it may.
    #[must_use]
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Active => None,
            Self::Revoked => Some(Refusal::DeviceRevoked),
            Self::Retired => Some(Refusal::DeviceRetired),
        }
    }
}

/// What is kept of a device besides its telemetry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its identity.
    pub id: DeviceId,
    /// The site of the token that it enrolled with.
    pub site: Label,
    /// The group of that token.
    pub group: Option<Label>,
    /// When it enrolled.
    pub enrolled: UnixMs,
    /// What told its hardware apart when it enrolled.
    pub fingerprint: HardwareFingerprint,
    /// Manufacturer; empty while unknown.
    pub vendor: String,
    /// Model; empty while unknown.
    pub model: String,
    /// The agent's version at its last Hello.
    pub agent_version: String,
    /// Whether it may speak.
    pub standing: Standing,
    /// The device whose disk it was cloned from.
    pub cloned_from: Option<DeviceId>,
}

/// Which series of a device: a metric and its instance. Orders by code, then instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The metric's code.
    pub metric: u16,
    /// The instance; empty where there is only one.
    pub instance: String,
}

/// The latest value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// What was read.
    pub value: Value,
    /// When it came to be as it is, by the collector's clock.
    pub since: UnixMs,
}

/// A device and the latest of everything that it reported. Rebuilt from the store at start.
#[derive(Debug, Clone)]
pub struct DeviceState {
    /// Its record.
    pub device: Device,
    /// The latest value of each series.
    pub latest: BTreeMap<SeriesKey, Latest>,
    /// The corrected time of its last report.
    pub last_report: Option<UnixMs>,
    /// When the collector last heard of it, on a stream that is up or in a report.
    pub last_seen: Option<UnixMs>,
    /// Whether its stream is up.
    pub connected: bool,
    /// Since when a stream of it has been up without a break; `None` while none is. A laptop that sleeps
    /// loses its stream within [`rollcall_shared::limits::KEEPALIVE_INTERVAL`] and its timeout.
    pub connected_since: Option<UnixMs>,
    /// Since when its reports follow each other without a gap: it has not slept since then.
    pub awake_since: Option<UnixMs>,
    /// How far its clock is ahead of the collector's, in milliseconds.
    pub skew_ms: Option<i64>,
}

impl Standing {
    /// Every standing.
    pub const ALL: &[Self] = &[Self::Active, Self::Revoked, Self::Retired];

    /// The standing in one word, as it is serialised.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

impl SeriesKey {
    /// The series of `metric` and `instance`.
    #[must_use]
    pub fn new(metric: &Metric, instance: &str) -> Self {
        Self {
            metric: metric.code,
            instance: instance.to_owned(),
        }
    }

    /// The series that a reading belongs to.
    #[must_use]
    pub fn of(reading: &Reading) -> Self {
        Self::new(reading.metric(), reading.instance())
    }
}

impl DeviceState {
    /// A device of which nothing has been heard.
    #[must_use]
    pub const fn new(device: Device) -> Self {
        Self {
            device,
            latest: BTreeMap::new(),
            last_report: None,
            last_seen: None,
            connected: false,
            connected_since: None,
            awake_since: None,
            skew_ms: None,
        }
    }

    /// The latest value of a series.
    #[must_use]
    pub fn get(&self, metric: &Metric, instance: &str) -> Option<&Latest> {
        self.latest.get(&SeriesKey::new(metric, instance))
    }

    /// The latest value of every instance of a metric.
    pub fn instances(&self, metric: &Metric) -> impl Iterator<Item = (&str, &Latest)> {
        let code = metric.code;
        self.latest
            .range(
                SeriesKey {
                    metric: code,
                    instance: String::new(),
                }..,
            )
            .take_while(move |(key, _)| key.metric == code)
            .map(|(key, latest)| (key.instance.as_str(), latest))
    }
}
