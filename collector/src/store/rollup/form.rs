//! Buckets as columns of a block, and back.
//!
//! ```text
//! series := statistic * 256 + metric, instance     the code of a metric is below 256
//! time   := the bucket's first moment + the generation of its day, in milliseconds
//! ```
//! The last value has a point in each bucket. What is the same in all buckets is left out: the least, the
//! greatest and the mean where they are the last value, and the count where it is that of the series
//! before. So a number that stands still, as most do, costs a name and itself. Means are rounded to a
//! thousandth of the widest band of the day.

use std::collections::{BTreeMap, HashMap};

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::super::block::{Column, Point, Wanted};
use super::{Band, Bucket, Rolled};
use crate::device::SeriesKey;

const LAST: u16 = 0;
const MIN: u16 = 1;
const MAX: u16 = 2;
const MEAN: u16 = 3;
const COUNT: u16 = 4;

/// A number of a band.
type Part<'a> = &'a dyn Fn(&Band) -> f64;

/// The buckets of a generation of a day.
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
        let decimals = decimals(buckets);
        let parts: [(u16, Part<'_>); 3] = [
            (MIN, &|band| band.min),
            (MAX, &|band| band.max),
            (MEAN, &|band| rounded(band, decimals)),
        ];
        for (statistic, number) in parts {
            let with_band = || buckets.iter().filter_map(|b| Some((b, b.band.as_ref()?)));
            if with_band().any(|(bucket, band)| Value::Number(number(band)) != bucket.last) {
                let points = with_band().map(|(b, band)| (at(b), Value::Number(number(band))));
                columns.push(of(statistic, points.collect()));
            }
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

/// The decimals to which the means of buckets are rounded; less than 0 for tens and hundreds, `None` where
/// that would not help.
fn decimals(buckets: &[Bucket]) -> Option<i32> {
    let bands = buckets.iter().filter_map(|bucket| bucket.band);
    let widest = bands.map(|band| band.max - band.min).fold(0.0, f64::max);
    let decimals = (-(widest / 1000.0).log10()).ceil();
    (-15.0..=15.0)
        .contains(&decimals)
        .then_some(decimals as i32)
}

fn rounded(band: &Band, decimals: Option<i32>) -> f64 {
    let Some(decimals) = decimals else {
        return band.mean;
    };
    let power = 10_f64.powi(decimals.abs());
    let near = match decimals {
        0.. => (band.mean * power).round() / power,
        _ => (band.mean / power).round() * power,
    };
    near.clamp(band.min, band.max)
}

/// Which columns are needed for some series: of the counts all, since one may stand for the next.
pub(in super::super) fn is_needed(metric: u16, instance: &str, wanted: Wanted<'_>) -> bool {
    metric >> 8 == COUNT || wanted(metric & 0xff, instance)
}

/// The buckets that columns tell of, by series; each `at` has the generation in it still.
pub(in super::super) fn from_columns(columns: Vec<Column>, wanted: Wanted<'_>) -> Vec<Rolled> {
    let mut series: BTreeMap<SeriesKey, [Vec<Point>; 5]> = BTreeMap::new();
    for column in columns {
        let (statistic, metric) = (column.key.metric >> 8, column.key.metric & 0xff);
        let key = SeriesKey {
            metric,
            instance: column.key.instance,
        };
        if let Some(points) = series
            .entry(key)
            .or_default()
            .get_mut(usize::from(statistic))
        {
            points.extend(column.points);
        }
    }
    let mut counts: HashMap<UnixMs, u64> = HashMap::new();
    let mut found = Vec::new();
    for (key, mut parts) in series {
        parts
            .iter_mut()
            .for_each(|points| points.sort_by_key(|(at, _)| *at));
        for (at, count) in &parts[usize::from(COUNT)] {
            counts.insert(*at, count.as_number().unwrap_or_default() as u64);
        }
        if wanted(key.metric, &key.instance) {
            let buckets = buckets(&parts, &counts);
            found.push(Rolled { key, buckets });
        }
    }
    found.retain(|rolled| !rolled.buckets.is_empty());
    found
}

fn buckets(parts: &[Vec<Point>; 5], counts: &HashMap<UnixMs, u64>) -> Vec<Bucket> {
    let [last, min, max, mean, _] = parts;
    let mut numbers = [min, max, mean].map(|points| points.iter().peekable());
    let bucket = |(at, last): &Point| {
        let [min, max, mean] = numbers.each_mut().map(|points| {
            while points.next_if(|(time, _)| time < at).is_some() {}
            points
                .peek()
                .filter(|(time, _)| time == at)
                .and_then(|(_, value)| value.as_number())
        });
        let band = last.as_number().map(|last| Band {
            min: min.unwrap_or(last),
            mean: mean.unwrap_or(last),
            max: max.unwrap_or(last),
        });
        Bucket {
            at: *at,
            count: counts.get(at).copied().unwrap_or_default(),
            last: last.clone(),
            band,
        }
    };
    last.iter().map(bucket).collect()
}
