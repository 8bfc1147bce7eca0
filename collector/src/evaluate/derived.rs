//! Changes and rates: what the past of a series says now, in the form of a reading of its own, so that rules compare
//! it like any other.
//!
//! ```text
//! change  value now - value that held a window ago                      unit of the series
//! rate    growth within the window, a day or an hour; a counter that    unit of the series
//!         falls began anew, and what it counted since then is growth
//! changes how often the value became another one within the window      {change}
//! ```
//! Invariants:
//! - A reading stays as it is until the next one, whether the laptop slept or not: only changes travel.
//! - Change and rate are not there before the window has passed since the first reading: absence is not health.
//! - What rules have asked for is known for the whole process, each derivation once, at most [`MOST`] of them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rollcall_shared::metric::{Kind, Metric, Urgency};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::rules::quantity::show_ms;
use crate::device::{DeviceState, Latest, SeriesKey};

/// Codes from here on are those of derivations.
pub const DERIVED_CODES: u16 = 62_000;

/// Derivations of one process: those of 200 rules with some conditions each, and what was tried besides.
pub const MOST: usize = 2048;

/// The shortest window: a report comes every few minutes.
pub const SHORTEST_MS: i64 = 5 * 60_000;

/// The longest window: readings are kept for 35 days.
pub const LONGEST_MS: i64 = 30 * 86_400_000;

/// Points of one series that are kept: some for each hour of a day, or a dozen for each day of a month.
const POINTS: usize = 512;

/// Series of one device that are followed: as many as it has mounts, targets and drives.
const SERIES: usize = 128;

/// What is made of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Take {
    /// The difference to what held a window ago.
    Change,
    /// The growth in so many milliseconds, on average over the window.
    Rate(i64),
    /// How often it became another value.
    Changes,
}

/// What is made of which metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Derivation {
    /// The metric that it is made of.
    pub of: &'static Metric,
    /// What is made of it.
    pub take: Take,
    /// The window.
    pub over_ms: i64,
    /// What it is as a metric of the collector's own.
    pub metric: &'static Metric,
}

type Known = BTreeMap<(u16, Take, i64), &'static Derivation>;

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

/// Every derivation, for those who follow series.
static ALL: LazyLock<ArcSwap<Vec<&'static Derivation>>> = LazyLock::new(ArcSwap::default);

/// The metric that stands for a derivation; `None` once there are too many.
#[must_use]
pub fn derive(of: &'static Metric, take: Take, over_ms: i64) -> Option<&'static Metric> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(derivation) = known.get(&(of.code, take, over_ms)) {
        return Some(derivation.metric);
    }
    if known.len() >= MOST {
        return None;
    }
    let code = DERIVED_CODES + u16::try_from(known.len()).ok()?;
    // They are few, bounded, and as long-lived as the catalogue itself.
    let metric: &'static Metric = Box::leak(Box::new(metric_of(code, of, take, over_ms)));
    let derivation: &'static Derivation = Box::leak(Box::new(Derivation {
        of,
        take,
        over_ms,
        metric,
    }));
    known.insert((of.code, take, over_ms), derivation);
    ALL.store(Arc::new(known.values().copied().collect()));
    Some(metric)
}

/// Every derivation that rules have asked for.
#[must_use]
pub fn all() -> Arc<Vec<&'static Derivation>> {
    ALL.load_full()
}

/// The metric that a derivation is made of; the metric itself where it is none.
#[must_use]
pub fn source(metric: &'static Metric) -> &'static Metric {
    if metric.code < DERIVED_CODES {
        return metric;
    }
    let all = ALL.load();
    let found = all.iter().find(|d| d.metric.code == metric.code);
    found.map_or(metric, |derivation| derivation.of)
}

/// Whether a derivation fits a metric, and what would.
///
/// # Errors
/// What is wrong.
pub fn fits(of: &Metric, take: Take) -> Result<(), String> {
    let is_number = matches!(of.kind, Kind::Gauge { .. } | Kind::Counter { .. });
    match take {
        Take::Change | Take::Rate(_) if !is_number => Err(format!(
            "does not fit {}, which is a {}; `changes` counts how often it became another",
            of.name,
            of.kind.word()
        )),
        _ => Ok(()),
    }
}

fn metric_of(code: u16, of: &Metric, take: Take, over_ms: i64) -> Metric {
    let over = show_ms(over_ms);
    let (low, high) = match of.kind {
        Kind::Gauge { low, high } | Kind::Counter { low, high } => (low, high),
        _ => (0.0, 0.0),
    };
    let reach = high - low;
    let (name, unit, kind) = match take {
        Take::Change => (
            format!("change of {} over {over}", of.name),
            of.unit,
            Kind::Gauge {
                low: -reach,
                high: reach,
            },
        ),
        Take::Rate(per_ms) => {
            let per = if per_ms < DAY_MS { "an hour" } else { "a day" };
            // A share may pass its whole range many times, and is still shown as one.
            let high = if high <= 3.0 { 3.0 } else { 1e15 };
            let kind = Kind::Gauge { low: 0.0, high };
            (format!("{} {per} over {over}", of.name), of.unit, kind)
        }
        Take::Changes => (
            format!("changes of {} over {over}", of.name),
            "{change}",
            Kind::Gauge {
                low: 0.0,
                high: POINTS as f64,
            },
        ),
    };
    Metric {
        code,
        name: name.leak(),
        unit,
        kind,
        deadband: 0.0,
        urgency: Urgency::Never,
        meaning: "What the past of a series says, made by the collector.",
        privacy: "",
    }
}

const DAY_MS: i64 = 86_400_000;

/// The recent past of the series that derivations are made of.
#[derive(Debug, Clone, Default)]
pub struct Tracks {
    tracks: BTreeMap<SeriesKey, Vec<(UnixMs, Value)>>,
}

impl Tracks {
    /// Takes in what is new in a state.
    pub fn observe(&mut self, state: &DeviceState, wanted: &[&'static Derivation]) {
        for derivation in wanted {
            for (instance, latest) in state.instances(derivation.of) {
                let key = SeriesKey::new(derivation.of, instance);
                self.push(key, latest.since, &latest.value, derivation.over_ms);
            }
        }
    }

    /// Takes in a stored series that began before what is known of it.
    pub fn precede(&mut self, key: &SeriesKey, points: Vec<(UnixMs, Value)>) {
        let known = self.tracks.remove(key).unwrap_or_default();
        let first = known.first().map(|(at, _)| *at);
        let older = points
            .into_iter()
            .filter(|(at, _)| first.is_none_or(|first| *at < first));
        let all: Vec<_> = older.chain(known).collect();
        for (at, value) in all {
            self.push(key.clone(), at, &value, LONGEST_MS);
        }
    }

    fn push(&mut self, key: SeriesKey, at: UnixMs, value: &Value, over_ms: i64) {
        // What cannot be read is no value: the one before counts until a good one comes.
        if !value.is_available() {
            return;
        }
        let has_room = self.tracks.len() < SERIES || self.tracks.contains_key(&key);
        if !has_room {
            return;
        }
        let points = self.tracks.entry(key).or_default();
        let is_news = points
            .last()
            .is_none_or(|(last, known)| at > *last && known != value);
        if !is_news {
            return;
        }
        points.push((at, value.clone()));
        let longest = over_ms.max(LONGEST_MS);
        forget(points, at.plus_ms(-longest));
    }

    /// What derivations say at `now`, with the time since when, and until when that stands if nothing new
    /// comes.
    #[must_use]
    pub fn readings(
        &self,
        state: &DeviceState,
        wanted: &[&'static Derivation],
        now: UnixMs,
    ) -> (Vec<(SeriesKey, Latest)>, Option<UnixMs>) {
        let (mut found, mut until) = (Vec::new(), None::<UnixMs>);
        for derivation in wanted {
            for (instance, latest) in state.instances(derivation.of) {
                let Some(points) = self.tracks.get(&SeriesKey::new(derivation.of, instance)) else {
                    continue;
                };
                let next = next_change(points, derivation.over_ms, now);
                until = match (until, next) {
                    (Some(until), Some(next)) => Some(until.min(next)),
                    (until, next) => until.or(next),
                };
                // A laptop whose reading is not there now has none of these either.
                if !latest.value.is_available() {
                    continue;
                }
                if let Some(number) = work_out(points, derivation, now) {
                    let (value, since) = (Value::Number(number), latest.since.min(now));
                    let key = SeriesKey::new(derivation.metric, instance);
                    found.push((key, Latest { value, since }));
                }
            }
        }
        (found, until)
    }
}

/// When the next point leaves the window, so that what is derived may be another.
fn next_change(points: &[(UnixMs, Value)], over_ms: i64, now: UnixMs) -> Option<UnixMs> {
    let begin = now.plus_ms(-over_ms);
    let next = points.iter().find(|(at, _)| *at > begin)?;
    Some(next.0.plus_ms(over_ms))
}

fn work_out(points: &[(UnixMs, Value)], derivation: &Derivation, now: UnixMs) -> Option<f64> {
    let begin = now.plus_ms(-derivation.over_ms);
    let known = points.partition_point(|(at, _)| *at <= now);
    let points = &points[..known];
    let held = points
        .partition_point(|(at, _)| *at <= begin)
        .checked_sub(1);
    match derivation.take {
        Take::Change => {
            let then = points.get(held?)?.1.as_number()?;
            Some(points.last()?.1.as_number()? - then)
        }
        Take::Rate(per_ms) => {
            let window = points.get(held?..)?;
            let growth: f64 = window
                .windows(2)
                .map(|pair| growth(&pair[0].1, &pair[1].1))
                .sum();
            Some(growth * per_ms as f64 / derivation.over_ms as f64)
        }
        Take::Changes => {
            let window = points.get(held.unwrap_or(0)..)?;
            Some(window.len().saturating_sub(1) as f64)
        }
    }
}

/// How much a counter counted from one reading to the next: one that is less began anew.
fn growth(before: &Value, after: &Value) -> f64 {
    match (before.as_number(), after.as_number()) {
        (Some(before), Some(after)) if after >= before => after - before,
        (Some(_), Some(after)) => after.max(0.0),
        _ => 0.0,
    }
}

/// Drops what is out of reach, but the one value that still held then; of too many every second one of the older half,
/// so that a busy series keeps its beginning.
fn forget(points: &mut Vec<(UnixMs, Value)>, reach: UnixMs) {
    let gone = points.partition_point(|(at, _)| *at <= reach);
    if gone > 1 {
        points.drain(..gone - 1);
    }
    if points.len() > POINTS {
        let half = points.len() / 2;
        let mut place = 0;
        points.retain(|_| {
            place += 1;
            place > half || place % 2 == 1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::device::laptop::{DAY, HOUR, Laptop, MINUTE};
    use rollcall_shared::metric;

    fn numbers(points: &[(i64, f64)]) -> Vec<(UnixMs, Value)> {
        points
            .iter()
            .map(|(at, n)| (UnixMs(*at), Value::Number(*n)))
            .collect()
    }

    fn of(take: Take, over_ms: i64) -> Derivation {
        Derivation {
            of: &metric::BATTERY_CHARGE,
            take,
            over_ms,
            metric: &metric::BATTERY_CHARGE,
        }
    }

    #[test]
    fn a_change_is_the_difference_to_what_held_a_window_ago() {
        let points = numbers(&[(0, 0.9), (HOUR, 0.5)]);
        let change = |now: i64| work_out(&points, &of(Take::Change, HOUR), UnixMs(now));
        assert_eq!(change(HOUR - 1), None, "the window has not passed");
        let fell = change(HOUR).unwrap();
        assert!((fell + 0.4).abs() < 1e-9, "{fell}");
        assert_eq!(change(2 * HOUR - 1), Some(0.5 - 0.9));
        assert_eq!(
            change(2 * HOUR),
            Some(0.0),
            "it has been as it is for the window"
        );
        assert_eq!(
            next_change(&points, HOUR, UnixMs(HOUR)),
            Some(UnixMs(2 * HOUR))
        );
        assert_eq!(next_change(&points, HOUR, UnixMs(2 * HOUR)), None);
    }

    #[test]
    fn a_rate_goes_on_when_the_counter_begins_anew() {
        let points = numbers(&[(0, 10.0), (DAY, 14.0), (2 * DAY, 1.0), (3 * DAY, 3.0)]);
        let rate = |take, over: i64, now: i64| work_out(&points, &of(take, over), UnixMs(now));
        assert_eq!(
            rate(Take::Rate(DAY), 3 * DAY, 3 * DAY),
            Some((4.0 + 1.0 + 2.0) / 3.0)
        );
        assert_eq!(rate(Take::Rate(HOUR), DAY, DAY), Some(4.0 / 24.0));
        assert_eq!(rate(Take::Rate(DAY), 3 * DAY, 2 * DAY), None);
        assert_eq!(rate(Take::Rate(DAY), DAY, 30 * DAY), Some(0.0));
    }

    #[test]
    fn words_are_counted_by_how_often_they_became_others() {
        let word = |at: i64, word: &str| (UnixMs(at), Value::Text(word.to_owned()));
        let points = [word(0, "on"), word(DAY, "off"), word(2 * DAY, "on")];
        let changes =
            |over: i64, now: i64| work_out(&points, &of(Take::Changes, over), UnixMs(now));
        assert_eq!(changes(DAY, 0), Some(0.0));
        assert_eq!(changes(30 * DAY, 2 * DAY), Some(2.0));
        assert_eq!(changes(DAY, 2 * DAY + HOUR), Some(1.0));
        assert_eq!(changes(DAY, 9 * DAY), Some(0.0));
        assert!(fits(&metric::DISK_ENCRYPTION, Take::Change).is_err());
        assert!(fits(&metric::DISK_ENCRYPTION, Take::Changes).is_ok());
    }

    #[test]
    fn a_busy_series_stays_bounded_and_keeps_its_beginning() {
        let mut tracks = Tracks::default();
        let key = SeriesKey::new(&metric::BATTERY_CHARGE, "BAT0");
        for minute in 0..20_000_i64 {
            let value = Value::Number((minute % 7) as f64);
            tracks.push(key.clone(), UnixMs(minute * MINUTE), &value, LONGEST_MS);
        }
        let points = &tracks.tracks[&key];
        assert!(points.len() <= POINTS);
        assert_eq!(points[0].0, UnixMs(0));
        for instance in 0..200 {
            let key = SeriesKey::new(&metric::BATTERY_CHARGE, &instance.to_string());
            tracks.push(key, UnixMs(1), &Value::Number(1.0), LONGEST_MS);
        }
        assert_eq!(tracks.tracks.len(), SERIES);
    }

    const RULE: &str = "[[rule]]\nname = \"drop\"\ntitle = \"Drop\"\nseverity = \"info\"\naudience = \"help-desk\"\n\
        all = [{ metric = \"hw.battery.charge\", change = \"1h\", op = \"at-most\", value = \"-30 %\" }]\n\
        runbook-text = \"x\"\nfamily.en = \"x\"\n";

    #[test]
    fn a_rule_about_a_change_fires_and_is_over_by_time_alone() {
        let rules = crate::evaluate::rules::RuleSet::parse("t", RULE).unwrap();
        let mut laptop = Laptop::new();
        laptop.read(&metric::BATTERY_CHARGE, "BAT0", Value::Number(0.9));
        laptop.run(&rules, 50 * MINUTE);
        laptop.read(&metric::BATTERY_CHARGE, "BAT0", Value::Number(0.5));
        laptop.run(&rules, 9 * MINUTE);
        assert!(
            laptop.firing().is_empty(),
            "nobody knows what held an hour ago"
        );
        laptop.run(&rules, 10 * MINUTE);
        assert_eq!(laptop.firing(), ["drop"]);
        let evidence = laptop.open.values().next().unwrap().evidence.clone();
        assert!(
            evidence.contains("change of hw.battery.charge over 1 h of BAT0 is -40 %"),
            "{evidence}"
        );
        laptop.run(&rules, 2 * HOUR);
        assert!(laptop.firing().is_empty());
    }
}
