//! The past of a device as far as forecasts need it: a few series, thinned and bounded.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::{DAY_MS, Point};
use crate::device::{DeviceState, SeriesKey};

/// Points of one series: 400 days, four a day, and some more. Those of a laptop with one battery, one
/// drive and two file systems are about 100 KB if every series changes all the time.
const POINTS: usize = 2048;

/// Changes within this time become one, the last.
const THINNED_MS: i64 = DAY_MS / 4;

/// How far back a forecast looks.
pub const REACH_MS: i64 = 400 * DAY_MS;

/// The metrics that forecasts are made from.
static INPUTS: [&Metric; 19] = [
    &metric::BATTERY_DESIGN_CAPACITY,
    &metric::BATTERY_FULL_CAPACITY,
    &metric::BATTERY_HEALTH,
    &metric::FILESYSTEM_UTILIZATION,
    &metric::FILESYSTEM_CLASS_SIZE,
    &metric::DRIVE_VERDICT,
    &metric::DRIVE_SMART,
    &metric::DRIVE_REALLOCATED,
    &metric::DRIVE_PENDING,
    &metric::DRIVE_UNCORRECTABLE,
    &metric::DRIVE_ENDURANCE_USED,
    &metric::NVME_CRITICAL_WARNING,
    &metric::NVME_AVAILABLE_SPARE,
    &metric::NVME_SPARE_THRESHOLD,
    &metric::NVME_MEDIA_ERRORS,
    &metric::CRASHES,
    &metric::UNEXPECTED_SHUTDOWNS,
    &metric::UPDATES_FAILED,
    &metric::CHARGER_POWER,
];

/// SMART attributes that forecasts are made from.
const ATTRIBUTES: [&str; 4] = ["/5", "/187", "/197", "/198"];

/// The past of a device.
#[derive(Debug, Clone, Default)]
pub struct Past {
    series: BTreeMap<SeriesKey, Vec<Point>>,
}

/// Of which parts of a laptop something new was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// Of a battery.
    pub battery: bool,
    /// Of a file system.
    pub space: bool,
    /// Of a drive.
    pub drive: bool,
    /// Of how the laptop fares: crashes, updates, its charger, its days.
    pub habits: bool,
}

impl News {
    /// Something new of every part.
    pub const ALL: Self = Self {
        battery: true,
        space: true,
        drive: true,
        habits: true,
    };

    const fn note(&mut self, metric: u16) {
        if metric == metric::FILESYSTEM_UTILIZATION.code
            || metric == metric::FILESYSTEM_CLASS_SIZE.code
        {
            self.space = true;
        } else if metric <= metric::CRASHES.code || metric == metric::CHARGER_POWER.code {
            self.habits = true;
        } else if metric <= metric::BATTERY_HEALTH.code {
            self.battery = true;
        } else {
            self.drive = true;
        }
    }
}

impl Past {
    /// Whether a series is one that forecasts are made from.
    #[must_use]
    pub fn is_input(key: &SeriesKey) -> bool {
        if key.metric == metric::DRIVE_SMART.code {
            return ATTRIBUTES
                .iter()
                .any(|number| key.instance.ends_with(number));
        }
        is_input_code(key.metric)
    }

    /// Takes in what is new in a state, and tells of what.
    pub fn observe(&mut self, state: &DeviceState) -> News {
        let mut news = News::default();
        for (key, latest) in state.latest.iter().filter(|(key, _)| Self::is_input(key)) {
            if let Some(value) = number(&latest.value)
                && self.push(key, latest.since, value)
            {
                news.note(key.metric);
            }
        }
        news
    }

    /// Takes in a stored series that began before what is known of it.
    pub fn precede(&mut self, key: &SeriesKey, points: &[(UnixMs, Value)]) {
        let known = self.series.remove(key).unwrap_or_default();
        let older = points
            .iter()
            .filter(|(at, _)| known.first().is_none_or(|(first, _)| at < first))
            .filter_map(|(at, value)| Some((*at, number(value)?)));
        for (at, value) in older.chain(known.iter().copied()) {
            self.push(key, at, value);
        }
    }

    /// The series of a metric and an instance, empty where nothing is known.
    #[must_use]
    pub fn of(&self, metric: &Metric, instance: &str) -> &[Point] {
        self.series
            .get(&SeriesKey::new(metric, instance))
            .map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, key: &SeriesKey, at: UnixMs, value: f64) -> bool {
        let Some(points) = self.series.get_mut(key) else {
            self.series.insert(key.clone(), vec![(at, value)]);
            return true;
        };
        let is_news = points
            .last()
            .is_none_or(|(last, known)| at > *last && value != *known);
        if is_news {
            if is_crowded(points, at) {
                points.pop();
            }
            points.push((at, value));
            forget(points, at);
        }
        is_news
    }
}

/// Whether the last point lies in the same quarter of a day as `at`. The first point is kept: growth is
/// counted from it.
fn is_crowded(points: &[Point], at: UnixMs) -> bool {
    let quarter = |at: UnixMs| at.0.div_euclid(THINNED_MS);
    points.len() > 1
        && points
            .last()
            .is_some_and(|(last, _)| quarter(*last) == quarter(at))
}

/// Drops what is out of reach, but the one value that still held then.
fn forget(points: &mut Vec<Point>, now: UnixMs) {
    let reach = now.plus_ms(-REACH_MS);
    let gone = points.partition_point(|(at, _)| *at <= reach);
    let over = points.len().saturating_sub(POINTS);
    let dropped = gone.saturating_sub(1).max(over);
    if dropped > 0 {
        points.drain(..dropped);
    }
}

/// Whether a metric is among [`INPUTS`]: asked of every series at every evaluation.
fn is_input_code(code: u16) -> bool {
    static TABLE: LazyLock<[bool; 256]> = LazyLock::new(|| {
        std::array::from_fn(|code| INPUTS.iter().any(|m| usize::from(m.code) == code))
    });
    TABLE.get(usize::from(code)).copied().unwrap_or_default()
}

/// A value as forecasts count it: the drive's verdict is 1 where it fails.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Text(word) => Some(f64::from(u8::from(word == "failed"))),
        Value::Flag(_) | Value::Unavailable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SeriesKey {
        SeriesKey::new(&metric::FILESYSTEM_UTILIZATION, "/")
    }

    #[test]
    fn a_busy_series_is_thinned_and_bounded_and_keeps_its_first_value() {
        let mut past = Past::default();
        for minute in 0..40_i64 {
            past.push(
                &key(),
                UnixMs(minute * 60_000),
                0.5 + minute as f64 / 1000.0,
            );
        }
        let points = past.of(&metric::FILESYSTEM_UTILIZATION, "/").to_vec();
        assert_eq!(points, [(UnixMs(0), 0.5), (UnixMs(39 * 60_000), 0.539)]);
        for quarter in 1..5000_i64 {
            past.push(&key(), UnixMs(quarter * THINNED_MS), (quarter % 2) as f64);
        }
        let points = past.of(&metric::FILESYSTEM_UTILIZATION, "/");
        assert!(points.len() <= 4 * 400 + 2, "{}", points.len());
    }

    #[test]
    fn what_the_store_knows_comes_before_what_was_seen() {
        let mut past = Past::default();
        past.push(&key(), UnixMs(9 * DAY_MS), 0.9);
        let stored = [
            (UnixMs(DAY_MS), Value::Number(0.1)),
            (UnixMs(2 * DAY_MS), Value::Unavailable("asleep".to_owned())),
            (UnixMs(9 * DAY_MS), Value::Number(0.9)),
        ];
        past.precede(&key(), &stored);
        let points = past.of(&metric::FILESYSTEM_UTILIZATION, "/");
        assert_eq!(points, [(UnixMs(DAY_MS), 0.1), (UnixMs(9 * DAY_MS), 0.9)]);
    }

    #[test]
    fn only_the_attributes_that_count_are_kept() {
        let smart = |instance| SeriesKey::new(&metric::DRIVE_SMART, instance);
        assert!(Past::is_input(&smart("sda/5")) && Past::is_input(&smart("sda/198")));
        assert!(!Past::is_input(&smart("sda/9")) && !Past::is_input(&smart("sda/175")));
        assert!(!Past::is_input(&SeriesKey::new(
            &metric::TEMPERATURE,
            "cpu"
        )));
    }
}
