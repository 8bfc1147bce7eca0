//! Answers about a device's past: one series, or many in one answer; from readings while the range is
//! short, and from roll-ups where it is longer than a chart is wide.

use rollcall_shared::limits;
use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::devices::metric_named;
use super::series::{Resolution, Window, thin};
use super::{At, Query, QueryError, Viewer};
use crate::device::{DeviceState, SeriesKey};
use crate::store::rollup::{Bucket, Rolled};

/// Most metrics that a request may name: those of the catalogue.
const MOST_METRICS: usize = 256;

/// Most points of a series where there are several in an answer: some hundred series of as many buckets
/// are some megabytes of JSON.
const MOST_POINTS_OF_EACH: usize = 2000;

/// Points of each series where the caller of several does not say.
pub const DEFAULT_POINTS_OF_EACH: u64 = 500;

/// Which series is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRequest {
    /// The metric's name.
    pub metric: String,
    /// The instance; empty where there is only one.
    pub instance: String,
    /// From when to when, how many points, and from what.
    pub window: Window,
}

/// Which series are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    /// The metrics' names; none means every number.
    pub metrics: Vec<String>,
    /// Only this instance; without it all of each metric.
    pub instance: Option<String>,
    /// From when to when, how many points of each, and from what.
    pub window: Window,
}

/// The points of one series, or of several.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PastAnswer {
    /// Where one metric was named.
    Series(SeriesAnswer),
    /// Where several were, or none.
    History(HistoryAnswer),
}

/// A value as JSON has it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes the answer")]
pub(super) enum AnyValue {
    Number(f64),
    Flag(bool),
    Text(String),
}

/// The points of a series.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SeriesAnswer {
    /// The metric's name.
    pub metric: &'static str,
    /// Its unit in UCUM notation; empty where there is none.
    pub unit: &'static str,
    /// The instance.
    pub instance: String,
    /// The first moment of the range.
    pub from_at: At,
    /// The last moment of the range.
    pub to_at: At,
    /// `raw`, or of which roll-ups this is: `15m`, `1h` or `1d`.
    pub resolution: &'static str,
    /// How long the stretch is that each point stands for; null for readings.
    pub step_s: Option<i64>,
    /// Whether readings were left out; the extremes are kept.
    pub thinned: bool,
    /// By ascending time.
    pub points: Vec<PointAnswer>,
}

/// One value and its time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PointAnswer {
    /// When it was read, by the collector's clock, or when its stretch begins.
    pub at: At,
    /// What was read; null when the reading could not be taken. Of a stretch the mean, where it is a number,
    /// and the last where it is not.
    #[serde(serialize_with = "value_or_null")]
    #[schemars(with = "Option<AnyValue>")]
    pub value: Value,
    /// Why it could not be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
    /// What else is known of a stretch.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<StretchAnswer>,
}

/// What is known of a stretch of time beside its mean.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StretchAnswer {
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The last good value.
    #[serde(serialize_with = "value_or_null")]
    #[schemars(with = "Option<AnyValue>")]
    pub last: Value,
    /// In how many reports it was read, or stood as it had been read before.
    pub count: u64,
}

/// The points of several series of one device.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HistoryAnswer {
    /// The device, by id.
    pub device: String,
    /// The first moment of the range.
    pub from_at: At,
    /// The last moment of the range.
    pub to_at: At,
    /// `raw`, or of which roll-ups this is: `15m`, `1h` or `1d`.
    pub resolution: &'static str,
    /// How long the stretch is that each point stands for; null for readings.
    pub step_s: Option<i64>,
    /// By metric, in the order of the catalogue, and instance.
    pub series: Vec<HistorySeries>,
}

/// The points of one of several series: lists of equal length, since that is shorter.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct HistorySeries {
    /// The metric's name.
    pub metric: &'static str,
    /// Its unit in UCUM notation; empty where there is none.
    pub unit: &'static str,
    /// The instance.
    pub instance: String,
    /// Whether readings were left out; the extremes are kept.
    pub thinned: bool,
    /// When each was read or begins, as milliseconds since 1970.
    pub at_ms: Vec<i64>,
    /// As `value` of a point.
    #[serde(serialize_with = "values_or_null")]
    #[schemars(with = "Vec<Option<AnyValue>>")]
    pub value: Vec<Value>,
    /// What else is known of stretches.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub stretches: Option<StretchLists>,
    /// Why some are null.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unavailable: Vec<WhyAnswer>,
}

/// What is known of stretches of time beside their means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct StretchLists {
    /// The least number of each.
    pub min: Vec<Option<f64>>,
    /// The greatest number of each.
    pub max: Vec<Option<f64>>,
    /// The last good value of each.
    #[serde(serialize_with = "values_or_null")]
    #[schemars(with = "Vec<Option<AnyValue>>")]
    pub last: Vec<Value>,
    /// In how many reports each was read or stood.
    pub count: Vec<u64>,
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyAnswer {
    /// Of which point.
    pub at_ms: i64,
    /// Why.
    pub why: String,
}

impl Query {
    /// The points of a series: readings, thinned to what was asked for, or roll-ups.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for the device, [`QueryError::Field`] for the metric, the instance or the
    /// range, and [`QueryError::Store`] when the history cannot be read.
    pub fn series(
        &self,
        viewer: &Viewer,
        id: &str,
        request: &SeriesRequest,
    ) -> Result<SeriesAnswer, QueryError> {
        let state = self.visible_device(viewer, id)?;
        let metric = metric_named(&request.metric)?;
        check_instance(&request.instance)?;
        let key = SeriesKey::new(metric, &request.instance);
        let is_wanted = |code: u16, instance: &str| code == key.metric && instance == key.instance;
        let past = self.past(&state, &is_wanted, &request.window)?;
        let Past {
            resolution,
            step_ms,
            series,
        } = past;
        let of = series.into_iter().next();
        let (points, thinned) = of.map_or_else(Default::default, |of| (of.points, of.thinned));
        Ok(SeriesAnswer {
            metric: metric.name,
            unit: metric.unit,
            instance: key.instance,
            from_at: At(request.window.from),
            to_at: At(request.window.to),
            resolution: resolution.word(),
            step_s: step_ms.map(|ms| ms / 1000),
            thinned,
            points,
        })
    }

    /// The points of several series of one device, read at once.
    ///
    /// # Errors
    /// As [`Query::series`]; also for `points`, of which there may be fewer here.
    pub fn histories(
        &self,
        viewer: &Viewer,
        id: &str,
        request: &HistoryRequest,
    ) -> Result<HistoryAnswer, QueryError> {
        let state = self.visible_device(viewer, id)?;
        let metrics = wanted_metrics(&request.metrics)?;
        check_instance(request.instance.as_deref().unwrap_or_default())?;
        if request.window.points > MOST_POINTS_OF_EACH {
            let bound = format!("must be at most {MOST_POINTS_OF_EACH} of each of several series");
            return Err(QueryError::field("points", bound));
        }
        let instance = request.instance.as_deref();
        let is_wanted = |code: u16, of: &str| {
            metrics.get(usize::from(code)) == Some(&true) && instance.is_none_or(|only| only == of)
        };
        let past = self.past(&state, &is_wanted, &request.window)?;
        let Past {
            resolution,
            step_ms,
            series,
        } = past;
        Ok(HistoryAnswer {
            device: state.device.id.to_string(),
            from_at: At(request.window.from),
            to_at: At(request.window.to),
            resolution: resolution.word(),
            step_s: step_ms.map(|ms| ms / 1000),
            series: series.into_iter().filter_map(HistorySeries::of).collect(),
        })
    }

    fn past(
        &self,
        state: &DeviceState,
        wanted: &dyn Fn(u16, &str) -> bool,
        window: &Window,
    ) -> Result<Past, QueryError> {
        let (device, now) = (state.device.id, self.now());
        let resolution = window.resolve(|level| self.store.oldest_at(level, now))?;
        let Resolution::Rolled(level) = resolution else {
            let columns = self
                .store
                .columns_of(device, wanted, window.from, window.to)?;
            let series = columns.into_iter().map(|column| {
                let (points, thinned) = thin(column.points, window.points);
                OfPast {
                    key: column.key,
                    points: points.into_iter().map(PointAnswer::from).collect(),
                    thinned,
                }
            });
            return Ok(Past {
                resolution,
                step_ms: None,
                series: series.collect(),
            });
        };
        let step_ms = window.step_ms(level);
        let range = (window.from, window.to);
        let rolled = self.store.rolled(device, wanted, range, level, step_ms)?;
        Ok(Past {
            resolution,
            step_ms: Some(step_ms),
            series: rolled.into_iter().map(OfPast::from).collect(),
        })
    }
}

/// What was read of some series.
struct Past {
    resolution: Resolution,
    step_ms: Option<i64>,
    series: Vec<OfPast>,
}

struct OfPast {
    key: SeriesKey,
    points: Vec<PointAnswer>,
    thinned: bool,
}

impl From<Rolled> for OfPast {
    fn from(rolled: Rolled) -> Self {
        Self {
            key: rolled.key,
            points: rolled.buckets.into_iter().map(PointAnswer::from).collect(),
            thinned: false,
        }
    }
}

impl From<(UnixMs, Value)> for PointAnswer {
    fn from((at, value): (UnixMs, Value)) -> Self {
        Self {
            at: At(at),
            unavailable: reason(&value),
            value,
            stretch: None,
        }
    }
}

impl From<Bucket> for PointAnswer {
    fn from(bucket: Bucket) -> Self {
        let mean = bucket.band.map(|band| Value::Number(band.mean));
        Self {
            at: At(bucket.at),
            unavailable: reason(&bucket.last),
            value: mean.unwrap_or_else(|| bucket.last.clone()),
            stretch: Some(StretchAnswer {
                min: bucket.band.map(|band| band.min),
                max: bucket.band.map(|band| band.max),
                last: bucket.last,
                count: bucket.count,
            }),
        }
    }
}

impl HistorySeries {
    /// A series whose metric the catalogue does not know (a newer schema's) is left out.
    fn of(past: OfPast) -> Option<Self> {
        let metric = metric::by_code(past.key.metric)?;
        let count = past.points.len();
        let is_rolled = past.points.iter().any(|point| point.stretch.is_some());
        let mut series = Self {
            metric: metric.name,
            unit: metric.unit,
            instance: past.key.instance,
            thinned: past.thinned,
            at_ms: Vec::with_capacity(count),
            value: Vec::with_capacity(count),
            stretches: is_rolled.then(StretchLists::default),
            unavailable: Vec::new(),
        };
        for point in past.points {
            let at_ms = point.at.0.0;
            series.at_ms.push(at_ms);
            series.value.push(point.value);
            let why = point.unavailable.map(|why| WhyAnswer { at_ms, why });
            series.unavailable.extend(why);
            if let (Some(lists), Some(stretch)) = (&mut series.stretches, point.stretch) {
                lists.min.push(stretch.min);
                lists.max.push(stretch.max);
                lists.last.push(stretch.last);
                lists.count.push(stretch.count);
            }
        }
        Some(series)
    }
}

/// By code, which metrics are wanted.
fn wanted_metrics(names: &[String]) -> Result<Vec<bool>, QueryError> {
    if names.len() > MOST_METRICS {
        let bound = format!("must be given at most {MOST_METRICS} times");
        return Err(QueryError::field("metric", bound));
    }
    let mut wanted = vec![false; 256];
    let every_number = metric::CATALOGUE.iter().filter(|metric| is_number(metric));
    let named: Result<Vec<&Metric>, _> = match names {
        [] => Ok(every_number.copied().collect()),
        _ => names.iter().map(|name| metric_named(name)).collect(),
    };
    for metric in named? {
        wanted[usize::from(metric.code)] = true;
    }
    Ok(wanted)
}

const fn is_number(metric: &Metric) -> bool {
    matches!(metric.kind, Kind::Gauge { .. } | Kind::Counter { .. })
}

fn check_instance(instance: &str) -> Result<(), QueryError> {
    if instance.len() <= limits::INSTANCE_BYTES {
        return Ok(());
    }
    let bound = format!("must have at most {} bytes", limits::INSTANCE_BYTES);
    Err(QueryError::field("instance", bound))
}

/// Why a value could not be read.
pub(super) fn reason(value: &Value) -> Option<String> {
    match value {
        Value::Unavailable(why) => Some(why.clone()),
        _ => None,
    }
}

pub(super) fn value_or_null<S: Serializer>(
    value: &Value,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Value::Number(number) => serializer.serialize_f64(*number),
        Value::Flag(flag) => serializer.serialize_bool(*flag),
        Value::Text(text) => serializer.serialize_str(text),
        Value::Unavailable(_) => serializer.serialize_none(),
    }
}

fn values_or_null<S: Serializer>(values: &[Value], serializer: S) -> Result<S::Ok, S::Error> {
    struct Plain<'a>(&'a Value);
    impl Serialize for Plain<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            value_or_null(self.0, serializer)
        }
    }
    serializer.collect_seq(values.iter().map(Plain))
}
