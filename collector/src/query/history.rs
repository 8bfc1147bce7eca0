//! The past of one device, in the form in which it is drawn: each series with its gaps, when the laptop
//! was awake, and where it was.
//!
//! Reports carry changes, so a value holds until the next one, as long as the laptop was awake. It was
//! not where nothing at all came for [`ASLEEP_MS`]. Ranges that are longer than a chart is wide are made of
//! roll-ups ([`rolled`]).

mod rolled;

use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::series::{Point, Resolution, Window, thin};
use super::{Query, QueryError, Viewer};
use crate::device::{DeviceState, SeriesKey};
use crate::store::rollup::Level;

/// A laptop that is awake sends something at least once an hour, since its uptime moves by more than the
/// dead band. What is longer than this was sleep, or nobody could be reached yet.
pub const ASLEEP_MS: i64 = 75 * 60_000;

/// How far before the range is looked for the values that hold at its beginning: as far as a full report
/// lies from the next.
const BEFORE_MS: i64 = 4 * 3_600_000;

/// A silence of one series that a small picture shows as a gap: longer than a weekend.
const PICTURE_GAP_MS: i64 = 3 * 86_400_000;

/// Points of each series: one for each pixel of a wide chart.
const POINTS: usize = 1200;

/// Stretches of each series where it is made of roll-ups: a year of days, and three pixels for each of them.
const STRETCHES: usize = 400;

/// Where a laptop was from when to when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// The first moment.
    pub from: UnixMs,
    /// The last moment.
    pub to: UnixMs,
    /// The site, or `None` off campus.
    pub site: Option<String>,
}

/// A series to be drawn.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was read.
    pub metric: &'static Metric,
    /// Of which part; empty where there is only one.
    pub instance: String,
    /// By ascending time: what holds from then on; `None` where nothing is known from then on.
    pub points: Vec<(UnixMs, Option<f64>)>,
    /// Where points are the means of stretches of time: between what the readings of each lay.
    pub bands: Vec<Band>,
}

/// Between what and what the readings of a stretch of time lay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The first moment of the stretch.
    pub from: UnixMs,
    /// The first moment after it.
    pub to: UnixMs,
    /// The least reading.
    pub min: f64,
    /// The greatest reading.
    pub max: f64,
}

/// The past of a device.
#[derive(Debug, Clone)]
pub struct History {
    /// The first moment.
    pub from: UnixMs,
    /// The last moment.
    pub to: UnixMs,
    /// How long the stretches are whose means the points are; `None` where points are readings.
    pub step_ms: Option<i64>,
    /// Where it was.
    pub stays: Vec<Stay>,
    /// The series, by code and instance.
    pub lines: Vec<Line>,
}

impl Query {
    /// What a device reported from `from` to `to` in the metrics that are `wanted`: readings while the range
    /// is short, and roll-ups where it is longer or lies before what is kept of readings.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for the device, [`QueryError::Field`] for the range, and
    /// [`QueryError::Store`] when the history cannot be read.
    pub fn history(
        &self,
        viewer: &Viewer,
        id: &str,
        (from, to): (UnixMs, UnixMs),
        wanted: impl Fn(&Metric) -> bool,
    ) -> Result<History, QueryError> {
        let state = self.visible_device(viewer, id)?;
        let now = self.now();
        let window = Window::new(Some(from), Some(to), Some(STRETCHES as u64), now)?;
        let drawn = |metric: &Metric| is_drawn(metric) && wanted(metric);
        match window.resolve(|level| self.store.oldest_at(level, now))? {
            Resolution::Raw => self.read(&state, (from, to), drawn),
            Resolution::Rolled(level) => self.rolled(&state, &window, level, drawn),
        }
    }

    /// The history made of readings.
    fn read(
        &self,
        state: &DeviceState,
        (from, to): (UnixMs, UnixMs),
        wanted: impl Fn(&Metric) -> bool,
    ) -> Result<History, QueryError> {
        let columns = self
            .store
            .columns(state.device.id, from.plus_ms(-BEFORE_MS), to)?;
        let mut times: Vec<UnixMs> = columns
            .iter()
            .flat_map(|column| column.points.iter().map(|(at, _)| *at))
            .collect();
        times.sort_unstable();
        let awake = awake(&times);
        let mut history = History::empty(from, to);
        for column in columns {
            let Some(metric) = metric::by_code(column.key.metric) else {
                continue;
            };
            if *metric == metric::VANTAGE {
                history.stays = stays(&column.points, &awake, from);
            }
            if wanted(metric) {
                history.lines.push(Line {
                    metric,
                    points: drawn(metric, column.points, &awake, from),
                    instance: column.key.instance,
                    bands: Vec::new(),
                });
            }
        }
        Ok(history)
    }

    /// The history made of roll-ups.
    fn rolled(
        &self,
        state: &DeviceState,
        window: &Window,
        level: Level,
        wanted: impl Fn(&Metric) -> bool,
    ) -> Result<History, QueryError> {
        let (device, range) = (state.device.id, (window.from, window.to));
        let read = |level: Level, wanted: &dyn Fn(u16, &str) -> bool| {
            self.store
                .rolled(device, wanted, range, level, level.width_ms())
        };
        let is_wanted = |code: u16, _: &str| metric::by_code(code).is_some_and(&wanted);
        let is_place = |code: u16, _: &str| code == metric::VANTAGE.code;
        let step_ms = window.step_ms(level);
        // Where a laptop was at the end of a day is where it sleeps; so its days are made of hours.
        let (places, lines) = match level {
            Level::Day => (read(Level::Hour, &is_place)?, read(level, &is_wanted)?),
            _ => read(level, &|code, of| is_wanted(code, of) || is_place(code, of))?
                .into_iter()
                .partition(|rolled| is_place(rolled.key.metric, "")),
        };
        let mut history = History::empty(window.from, window.to);
        history.step_ms = Some(step_ms);
        let places = places.first().map_or(&[][..], |rolled| &rolled.buckets);
        history.stays = rolled::stays(places, level, range);
        history.lines = lines
            .into_iter()
            .filter_map(|line| rolled::line(line, step_ms, ASLEEP_MS, range))
            .collect();
        Ok(history)
    }
}

impl History {
    /// A past of which nothing is known.
    #[must_use]
    pub const fn empty(from: UnixMs, to: UnixMs) -> Self {
        Self {
            from,
            to,
            step_ms: None,
            stays: Vec::new(),
            lines: Vec::new(),
        }
    }
}

impl Query {
    /// One series of a device, for a small picture, made of hours: a page asks for dozens of these, and each
    /// night would be a gap, so that only a silence of more than [`PICTURE_GAP_MS`] is one.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for the device, [`QueryError::Field`] for the metric, and
    /// [`QueryError::Store`] when the history cannot be read.
    pub(super) fn week(
        &self,
        viewer: &Viewer,
        id: &str,
        (name, instance): (&str, &str),
        range: (UnixMs, UnixMs),
    ) -> Result<Line, QueryError> {
        let state = self.visible_device(viewer, id)?;
        let metric = super::devices::metric_named(name)?;
        let key = SeriesKey::new(metric, instance);
        // What is foreseen of a laptop as a whole is shown by the first of its parts.
        let is_wanted = |code: u16, of: &str| {
            code == key.metric && (of == key.instance || key.instance.is_empty())
        };
        let step_ms = Level::Hour.width_ms();
        let rolled = self
            .store
            .rolled(state.device.id, &is_wanted, range, Level::Hour, step_ms)?;
        let line = rolled.into_iter().next();
        let line = line.and_then(|line| rolled::line(line, step_ms, PICTURE_GAP_MS, range));
        Ok(line.unwrap_or(Line {
            metric,
            instance: key.instance,
            points: Vec::new(),
            bands: Vec::new(),
        }))
    }
}

/// Whether a metric's values can be drawn over time: numbers, yes and no, and words of a list.
#[must_use]
pub fn is_drawn(metric: &Metric) -> bool {
    metric.kind != Kind::Text
}

/// What a value is drawn at; a word of a list at its place in it.
#[must_use]
pub fn height(metric: &Metric, value: &Value) -> Option<f64> {
    match (value, metric.kind) {
        (Value::Number(number), _) => Some(*number),
        (Value::Flag(flag), _) => Some(f64::from(u8::from(*flag))),
        (Value::Text(word), Kind::State(words)) => {
            let place = words.iter().position(|known| known == word)?;
            Some(place as f64)
        }
        _ => None,
    }
}

/// Stretches of time without a silence that is longer than [`ASLEEP_MS`].
fn awake(times: &[UnixMs]) -> Vec<(UnixMs, UnixMs)> {
    let mut stretches: Vec<(UnixMs, UnixMs)> = Vec::new();
    for at in times {
        match stretches.last_mut() {
            Some((_, end)) if at.since(*end) <= ASLEEP_MS => *end = *at,
            _ => stretches.push((*at, *at)),
        }
    }
    stretches
}

/// The points of a series, with the end of each stretch, until which the last value held, and a gap after
/// it. After a sleep the value from before still holds, since what changes is sent; a full report comes
/// within [`BEFORE_MS`], and what is not in it is there no longer.
fn drawn(
    metric: &Metric,
    points: Vec<Point>,
    awake: &[(UnixMs, UnixMs)],
    from: UnixMs,
) -> Vec<(UnixMs, Option<f64>)> {
    let (points, _) = thin(points, POINTS);
    let mut drawn: Vec<(UnixMs, Option<f64>)> = Vec::with_capacity(points.len());
    let mut points = points.into_iter().peekable();
    let mut held = None;
    for (begin, end) in awake {
        let mut until = begin.plus_ms(BEFORE_MS).min(*end);
        if held.is_some() {
            push(&mut drawn, (*begin).max(from), held);
        }
        while let Some((at, value)) = points.next_if(|(at, _)| at <= end) {
            held = height(metric, &value);
            push(&mut drawn, at.max(from), held);
            until = *end;
        }
        if held.is_some() {
            push(&mut drawn, until.max(from), held);
            push(&mut drawn, until.plus_ms(1).max(from), None);
        }
    }
    // One gap is enough.
    drawn.dedup_by(|next, last| next.1.is_none() && last.1.is_none());
    drawn
}

/// Of several at one time the last one holds: all before the range fall onto its beginning.
fn push(drawn: &mut Vec<(UnixMs, Option<f64>)>, at: UnixMs, value: Option<f64>) {
    match drawn.last_mut() {
        Some(last) if last.0 == at => last.1 = value,
        _ => drawn.push((at, value)),
    }
}

fn stays(points: &[Point], awake: &[(UnixMs, UnixMs)], from: UnixMs) -> Vec<Stay> {
    let mut stays: Vec<Stay> = Vec::new();
    for (at, (begun, value)) in points.iter().enumerate() {
        let Value::Text(place) = value else { continue };
        let next = points.get(at + 1).map(|(next, _)| *next);
        let stretch = awake.iter().find(|(_, end)| begun <= end);
        let until = stretch.map_or(*begun, |(_, end)| *end);
        let to = next.map_or(until, |next| next.min(until));
        if to < from || place.is_empty() {
            continue;
        }
        let site = place.strip_prefix("on-campus:").map(ToOwned::to_owned);
        stays.push(Stay {
            from: (*begun).max(from),
            to,
            site,
        });
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, NOW, label};
    use super::*;
    use crate::store::Role;

    const MINUTE: i64 = 60_000;

    fn at(minute: i64) -> UnixMs {
        UnixMs(minute * MINUTE)
    }

    #[test]
    fn a_value_holds_until_the_laptop_sleeps() {
        let times = [0, 1, 60, 300, 301].map(at);
        let awake = awake(&times);
        assert_eq!(awake, [(at(0), at(60)), (at(300), at(301))]);
        let points = vec![
            (at(0), Value::Number(0.5)),
            (at(1), Value::Number(0.6)),
            (at(300), Value::Number(0.9)),
        ];
        let drawn = drawn(&metric::BATTERY_CHARGE, points, &awake, at(0));
        let expected = [
            (at(0), Some(0.5)),
            (at(1), Some(0.6)),
            (at(60), Some(0.6)),
            (at(60).plus_ms(1), None),
            (at(300), Some(0.9)),
            (at(301), Some(0.9)),
            (at(301).plus_ms(1), None),
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn what_held_before_a_sleep_holds_after_it_until_a_full_report_would_say_so() {
        let awake = [(at(0), at(9)), (at(200), at(210)), (at(400), at(900))];
        let points = vec![(at(0), Value::Number(0.8))];
        let drawn = drawn(&metric::BATTERY_HEALTH, points, &awake, at(0));
        let known: Vec<_> = drawn
            .iter()
            .filter(|(_, v)| v.is_some())
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(known, [0, 9, 200, 210, 400, 640].map(at));
    }

    #[test]
    fn what_held_before_the_range_holds_at_its_beginning() {
        let awake = [(at(0), at(100))];
        let points = vec![(at(0), Value::Number(1.0)), (at(5), Value::Number(2.0))];
        let drawn = drawn(&metric::BATTERY_CHARGE, points, &awake, at(50));
        let expected = [
            (at(50), Some(2.0)),
            (at(100), Some(2.0)),
            (at(100).plus_ms(1), None),
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_reading_that_could_not_be_taken_is_a_gap_and_not_zero() {
        let awake = [(at(0), at(9))];
        let points = vec![
            (at(0), Value::Number(1.0)),
            (at(3), Value::Unavailable("no battery".to_owned())),
            (at(6), Value::Number(2.0)),
        ];
        let drawn = drawn(&metric::BATTERY_CHARGE, points, &awake, at(0));
        assert_eq!(drawn[1], (at(3), None));
        assert_eq!(drawn[2], (at(6), Some(2.0)));
    }

    #[test]
    fn words_and_flags_have_heights() {
        let state = |word: &str| height(&metric::BATTERY_STATE, &Value::Text(word.to_owned()));
        assert_eq!((state("charging"), state("full")), (Some(0.0), Some(2.0)));
        assert_eq!(state("exploded"), None);
        let flag = height(&metric::RESTART_PENDING, &Value::Flag(true));
        assert_eq!(flag, Some(1.0));
        assert!(!is_drawn(&metric::OS_NAME));
    }

    #[test]
    fn a_stay_ends_with_the_next_one_or_with_sleep() {
        let awake = [(at(0), at(50)), (at(200), at(260))];
        let place = |minute, text: &str| (at(minute), Value::Text(text.to_owned()));
        let points = [
            place(0, "on-campus:Lincoln"),
            place(30, "off-campus"),
            place(200, "off-campus"),
        ];
        let found = stays(&points, &awake, at(10));
        let spans: Vec<_> = found
            .iter()
            .map(|s| (s.from, s.to, s.site.as_deref()))
            .collect();
        let expected = [
            (at(10), at(30), Some("Lincoln")),
            (at(30), at(50), None),
            (at(200), at(260), None),
        ];
        assert_eq!(spans, expected);
    }

    #[tokio::test]
    async fn a_real_store_gives_lines_stays_and_nothing_of_foreign_devices() {
        let example = Example::new().await;
        let viewer = Viewer::new("x", Role::Viewer, vec![label("Lincoln")]);
        let range = (NOW.plus_ms(-3_600_000), NOW);
        let ask = |id: String| {
            let wanted = |metric: &Metric| metric.code < 80;
            example.query.history(&viewer, &id, range, wanted)
        };
        let history = ask(example.lincoln.to_string()).unwrap();
        let names: Vec<_> = history.lines.iter().map(|line| line.metric.name).collect();
        assert_eq!(names, ["os.restart.pending", "hw.battery.charge"]);
        assert_eq!(
            history.lines[1].points.len(),
            21,
            "twenty readings and the end"
        );
        assert_eq!((history.step_ms, history.lines[1].bands.len()), (None, 0));
        assert_eq!(history.stays[0].site.as_deref(), Some("Lincoln"));
        assert!(ask(example.hay.to_string()).is_err());
    }

    #[tokio::test]
    async fn a_longer_range_is_made_of_stretches_with_their_bands() {
        let example = Example::new().await;
        let viewer = Viewer::new("x", Role::Viewer, vec![label("Lincoln")]);
        let id = example.lincoln.to_string();
        for (days, step_minutes) in [(7, 30), (30, 120), (365, 1440)] {
            let range = (NOW.plus_ms(-days * 86_400_000), NOW);
            let wanted = |metric: &Metric| *metric == metric::BATTERY_CHARGE;
            let history = example.query.history(&viewer, &id, range, wanted).unwrap();
            assert_eq!(history.step_ms, Some(step_minutes * MINUTE), "{days} days");
            let line = &history.lines[0];
            let known = || line.points.iter().filter_map(|(_, value)| *value);
            assert!(known().count() > 0 && !line.bands.is_empty(), "{line:?}");
            let (low, high) = (
                known().fold(f64::MAX, f64::min),
                known().fold(f64::MIN, f64::max),
            );
            let least = line.bands.iter().map(|b| b.min).fold(f64::MAX, f64::min);
            let most = line.bands.iter().map(|b| b.max).fold(f64::MIN, f64::max);
            assert!(least <= low && high <= most, "{line:?}");
            assert_eq!(history.stays[0].site.as_deref(), Some("Lincoln"));
            assert!(
                history.lines.len() == 1,
                "where it was is no line of its own"
            );
        }
    }
}
