//! Buckets as columns of a block, and back.
//!
//! ```text
//! series := statistic * 256 + metric, instance     the code of a metric is below 256; see `band`
//! time   := the bucket's first moment + the generation of its day, in milliseconds; far later where the
//!           point tells how far from the last value the least or the greatest is: see `band`
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
        let mut last: Vec<Point> = last.collect();
        let with_band = buckets.iter().filter(|bucket| bucket.band.is_some());
        let with_band: Vec<UnixMs> = with_band.map(at).collect();
        let sides = band::sides(buckets);
        for (side, apart) in sides.apart.into_iter().enumerate() {
            let apart = apart.unwrap_or_default().into_iter().map(Value::Number);
            let beside = with_band.iter().map(|at| band::beside(*at, side));
            last.extend(beside.zip(apart));
        }
        columns.push(of(LAST, last));
        for (statistic, numbers) in sides.columns {
            let numbers = numbers.into_iter().map(Value::Number);
            columns.push(of(
                statistic,
                with_band.iter().copied().zip(numbers).collect(),
            ));
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
    let (at, _) = band::told_of(at);
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
    apart: [Vec<Point>; 2],
    counts: Vec<Point>,
    bands: Vec<(Tells, Vec<Point>)>,
}

impl Parts {
    /// Sorts the points of a column of last values by what they tell.
    fn take_last(&mut self, points: Vec<Point>) {
        for (at, value) in points {
            let (at, side) = band::told_of(at);
            let of = match side {
                Some(side) => &mut self.apart[side],
                None => &mut self.last,
            };
            of.push((at, value));
        }
    }
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
            Some(Tells::Itself(LAST)) => parts.take_last(column.points),
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
    let [below, above] = &mut parts.apart;
    each(&mut buckets, below, |number, last, band| {
        band.min = band::moved(last, -number).unwrap_or(last);
    });
    each(&mut buckets, above, |number, last, band| {
        band.max = band::moved(last, number).unwrap_or(last);
    });
    parts.bands.sort_by_key(|(tells, _)| tells.is_mean());
    for (tells, points) in &mut parts.bands {
        each(&mut buckets, points, |number, last, band| {
            tells.apply(number, last, band);
        });
    }
    buckets
}

/// Gives each number of a column with the last value and the band of its bucket.
fn each(buckets: &mut [Bucket], points: &mut [Point], mut give: impl FnMut(f64, f64, &mut Band)) {
    points.sort_by_key(|(at, _)| *at);
    let mut rest = buckets.iter_mut().peekable();
    for (at, value) in points {
        while rest.next_if(|bucket| bucket.at < *at).is_some() {}
        let Some(bucket) = rest.next_if(|bucket| bucket.at == *at) else {
            continue;
        };
        if let (Some(number), Some(last)) = (value.as_number(), bucket.last.as_number())
            && let Some(band) = &mut bucket.band
        {
            give(number, last, band);
        }
    }
}
