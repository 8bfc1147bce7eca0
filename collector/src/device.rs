//! A device as the collector knows it: its record, and its latest state.

mod latest;
pub mod version;

use std::sync::Arc;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;
use rollcall_shared::reading::Value;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

pub use latest::{Latest, Latests};

/// Codes from here on are the collector's own: forecasts, which no agent may send.
pub const FORECAST_CODES: u16 = 60_000;

/// Reports that follow each other within this many intervals belong to one time awake: an agent that
/// is awake has a report at each fast interval in which something changed, and at each sending
/// interval in any case.
const AWAKE_INTERVALS: i64 = 3;

/// Reports further apart than this have a sleep between them, in milliseconds.
#[must_use]
pub fn awake_gap_ms(schedule: &Schedule) -> i64 {
    AWAKE_INTERVALS * i64::from(schedule.fast_s.max(schedule.send_s)) * 1000
}

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

/// A device and the latest of everything that it reported. Rebuilt from the store at start.
#[derive(Debug, Clone)]
pub struct DeviceState {
    /// Its record.
    pub device: Device,
    /// The latest value of each series.
    pub latest: Latests,
    /// What is foreseen, in the form of readings; empty until its past was read. Not stored.
    pub forecasts: Arc<Latests>,
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
    /// How often a radio that was up has been found down since the collector knows the laptop: reports that it had
    /// to keep meanwhile count as well. Not stored.
    pub radio_losses: u64,
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
    pub fn new(device: Device) -> Self {
        Self {
            device,
            latest: Latests::default(),
            forecasts: Arc::default(),
            last_report: None,
            last_seen: None,
            connected: false,
            connected_since: None,
            awake_since: None,
            skew_ms: None,
            radio_losses: 0,
        }
    }

    /// Takes in what a report of `at`, by the collector's clock, has changed; `kept` are the series of a
    /// full report that names others than the one before. Reports further apart than `awake_ms` have a
    /// sleep between them. Answers how many readings were left out because their series were too many.
    pub fn apply_step(
        &mut self,
        at: UnixMs,
        kept: Option<&[SeriesKey]>,
        changed: Vec<(SeriesKey, Value)>,
        awake_ms: i64,
    ) -> u64 {
        self.take_time(at, awake_ms);
        for (key, value) in &changed {
            self.note_radio(key, value);
        }
        if let Some(kept) = kept {
            self.latest.keep_only(kept);
        }
        self.latest.renew(at, changed)
    }

    /// Counts a radio that is lost, before its reading is taken in. Every system tells a link's state; how often it
    /// dropped is counted by Linux alone.
    pub fn note_radio(&mut self, key: &SeriesKey, value: &Value) {
        if key.metric != metric::LINK_STATE.code {
            return;
        }
        let before = self.get(&metric::LINK_STATE, &key.instance);
        let is_lost = before.is_some_and(|before| is_loss(&before.value, value));
        self.radio_losses += u64::from(is_lost && self.is_radio(&key.instance));
    }

    /// Whether a link is one by radio.
    #[must_use]
    pub fn is_radio(&self, link: &str) -> bool {
        self.says(&metric::LINK_KIND, link, "wifi")
    }

    /// Whether the last reading of a state or text is this word.
    #[must_use]
    pub fn says(&self, metric: &Metric, instance: &str, word: &str) -> bool {
        let latest = self.get(metric, instance);
        latest.is_some_and(|latest| is_word(&latest.value, word))
    }

    fn take_time(&mut self, at: UnixMs, awake_ms: i64) {
        let gap = self.last_report.map(|last| at.since(last));
        if gap.is_none_or(|gap| gap > awake_ms) {
            self.awake_since = Some(at);
        }
        self.last_report = self.last_report.max(Some(at));
    }

    /// When a laptop that is not connected was last heard of; one that never was counts from its
    /// enrolment.
    #[must_use]
    pub fn heard_of(&self) -> UnixMs {
        let enrolled = self.device.enrolled;
        self.last_seen.map_or(enrolled, |seen| seen.max(enrolled))
    }

    /// The latest value of a series, or of a forecast.
    #[must_use]
    pub fn get(&self, metric: &Metric, instance: &str) -> Option<&Latest> {
        self.of(metric).get(metric.code, instance)
    }

    /// The latest value of every instance of a metric, or of a forecast.
    pub fn instances(&self, metric: &Metric) -> impl Iterator<Item = (&str, &Latest)> {
        self.of(metric).of(metric.code)
    }

    fn of(&self, metric: &Metric) -> &Latests {
        if metric.code < FORECAST_CODES {
            &self.latest
        } else {
            &self.forecasts
        }
    }
}

/// Whether a link that was in one state is lost by the next.
#[must_use]
pub fn is_loss(before: &Value, now: &Value) -> bool {
    is_word(before, "up") && is_word(now, "down")
}

fn is_word(value: &Value, word: &str) -> bool {
    matches!(value, Value::Text(text) if text == word)
}

#[cfg(test)]
mod tests {
    use rollcall_shared::metric::{LINK_KIND, LINK_STATE};

    use super::*;
    use crate::evaluate::device::laptop::Laptop;

    /// A laptop without its network cannot say so: it is said afterwards, by the reports that it kept.
    #[test]
    fn a_radio_that_was_lost_meanwhile_is_counted() {
        let mut state = Laptop::new().state;
        let mut told = |minute: i64, link: &str, metric: &Metric, word: &str| {
            let changed = vec![(SeriesKey::new(metric, link), Value::Text(word.to_owned()))];
            state.apply_step(UnixMs(minute * 60_000), None, changed, 900_000);
            state.radio_losses
        };
        told(0, "wifi0", &LINK_KIND, "wifi");
        told(0, "ethernet0", &LINK_KIND, "ethernet");
        assert_eq!(told(0, "wifi0", &LINK_STATE, "down"), 0, "it never was up");
        told(1, "wifi0", &LINK_STATE, "up");
        assert_eq!(told(2, "wifi0", &LINK_STATE, "down"), 1);
        assert_eq!(told(3, "wifi0", &LINK_STATE, "down"), 1);
        told(4, "wifi0", &LINK_STATE, "up");
        assert_eq!(told(9, "wifi0", &LINK_STATE, "down"), 2);
        told(9, "ethernet0", &LINK_STATE, "up");
        assert_eq!(told(10, "ethernet0", &LINK_STATE, "down"), 2, "a cable");
    }
}
