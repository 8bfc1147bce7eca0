//! Buckets as columns of a block, and back.
//!
//! ```text
//! series := statistic * 256 + metric, instance     the code of a metric is below 256; see `band`
//! time   := the bucket's first moment + the generation of its day, in milliseconds
//! ```
//! The last value has a point in each bucket. What is the same in all buckets is left out: the least, the
//! greatest and the mean where they are the last value, and the count where it is that of the series
//! before. So a number that stands still, as most do, costs a name and itself. Means are rounded to a
//! thousandth of the widest band of the series in the value.

use std::collections::{BTreeMap, HashMap};

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::super::block::{Column, Point, Wanted};
use super::super::keys::{Day, Place, RolledUp};
use super::band::{self, COUNT, LAST, Tells};
use super::{Band, Bucket, Level, Rolled};
use crate::device::SeriesKey;

/// Buckets as columns; the generation is added to each `at`.
pub(in super::super) fn to_columns(rolled: &[Rolled], generation: u16) -> Vec<Column> {
    let mut columns = Vec::new();
    let mut counts_before: Vec<Point> = Vec::new();
    for Rolled { key, buckets } in rolled {
        let of = |statistic: u16, points: Vec<Point>| Column {
            key: SeriesKey {
                metric: statistic << 8 | key.metric,
                instance: key.instance.clone(),
            },
            points,
        };
        let at = |bucket: &Bucket| bucket.at.plus_ms(i64::from(generation));
        let last = buckets
            .iter()
            .map(|bucket| (at(bucket), bucket.last.clone()));
        columns.push(of(LAST, last.collect()));
        for (statistic, numbers) in band::columns(buckets) {
            let with_band = buckets.iter().filter(|bucket| bucket.band.is_some());
            let points = with_band
                .map(at)
                .zip(numbers.into_iter().map(Value::Number));
            columns.push(of(statistic, points.collect()));
        }
        let counts = buckets.iter();
        let counts: Vec<Point> = counts
            .map(|bucket| (at(bucket), Value::Number(bucket.count as f64)))
            .collect();
        if counts != counts_before {
            columns.push(of(COUNT, counts.clone()));
            counts_before = counts;
        }
    }
    columns
}

/// The generation of a day that a point is of.
pub(in super::super) fn day_of(at: UnixMs) -> (Day, u16) {
    let generation = at.0.rem_euclid(Level::Quarter.width_ms());
    (Day::of(at), u16::try_from(generation).unwrap_or(u16::MAX))
}

/// Whether a generation of a day is read from the folder of a level: what an interrupted run has left there
/// does not count.
pub(in super::super) fn is_in_folder(place: Place, rolled: RolledUp, level: Level) -> bool {
    match rolled {
        RolledUp::Not => false,
        RolledUp::Whole => true,
        RolledUp::Coarse => place == Place::Week && rolled.has(level),
    }
}

/// Which columns are needed for some series: of the counts all, since one may stand for the next.
pub(in super::super) fn is_needed(metric: u16, instance: &str, wanted: Wanted<'_>) -> bool {
    metric >> 8 == COUNT || wanted(metric & 0xff, instance)
}

/// What columns tell of one series: each by what it tells.
#[derive(Default)]
struct Parts {
    last: Vec<Point>,
    counts: Vec<Point>,
    bands: Vec<(Tells, Vec<Point>)>,
}

/// The buckets that columns tell of, by series; each `at` has the generation in it still.
pub(in super::super) fn from_columns(columns: Vec<Column>, wanted: Wanted<'_>) -> Vec<Rolled> {
    let mut series: BTreeMap<SeriesKey, Parts> = BTreeMap::new();
    for column in columns {
        let (statistic, metric) = (column.key.metric >> 8, column.key.metric & 0xff);
        let key = SeriesKey {
            metric,
            instance: column.key.instance,
        };
        let parts = series.entry(key).or_default();
        match Tells::of(statistic) {
            Some(Tells::Itself(LAST)) => parts.last.extend(column.points),
            Some(Tells::Itself(COUNT)) => parts.counts.extend(column.points),
            Some(tells) => parts.bands.push((tells, column.points)),
            None => {}
        }
    }
    let mut counts: HashMap<UnixMs, u64> = HashMap::new();
    let mut found = Vec::new();
    for (key, parts) in series {
        for (at, count) in &parts.counts {
            counts.insert(*at, count.as_number().unwrap_or_default() as u64);
        }
        if wanted(key.metric, &key.instance) {
            let buckets = buckets(parts, &counts);
            found.push(Rolled { key, buckets });
        }
    }
    found.retain(|rolled| !rolled.buckets.is_empty());
    found
}

fn buckets(mut parts: Parts, counts: &HashMap<UnixMs, u64>) -> Vec<Bucket> {
    parts.last.sort_by_key(|(at, _)| *at);
    let bucket = |(at, last): Point| Bucket {
        at,
        count: counts.get(&at).copied().unwrap_or_default(),
        band: last.as_number().map(|last| Band {
            min: last,
            mean: last,
            max: last,
        }),
        last,
    };
    let mut buckets: Vec<Bucket> = parts.last.into_iter().map(bucket).collect();
    parts.bands.sort_by_key(|(tells, _)| tells.is_mean());
    for (tells, points) in parts.bands {
        let mut rest = buckets.iter_mut().peekable();
        for (at, value) in points {
            while rest.next_if(|bucket| bucket.at < at).is_some() {}
            let Some(bucket) = rest.next_if(|bucket| bucket.at == at) else {
                continue;
            };
            if let (Some(number), Some(last)) = (value.as_number(), bucket.last.as_number())
                && let Some(band) = &mut bucket.band
            {
                tells.apply(number, last, band);
            }
        }
    }
    buckets
}
