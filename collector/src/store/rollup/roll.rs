//! Points to buckets, and buckets to wider ones. Pure.

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::super::block::Column;
use super::{Band, Bucket, HOLD_MS, Level, Rolled, form};

/// The times of any of these columns, ascending, each once.
pub(in super::super) fn times_of(columns: &[Column]) -> Vec<UnixMs> {
    let points = columns.iter().flat_map(|column| &column.points);
    let mut times: Vec<UnixMs> = points.map(|(at, _)| *at).collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// What columns were like in each quarter of an hour. `times` are those of the device's reports,
/// ascending, those of the columns among them.
pub(in super::super) fn roll(columns: &[Column], times: &[UnixMs]) -> Vec<Rolled> {
    let rolled = columns.iter().map(|column| Rolled {
        key: column.key.clone(),
        buckets: of_column(column, times),
    });
    rolled.filter(|rolled| !rolled.buckets.is_empty()).collect()
}

/// What columns were like in each hour, as columns.
pub(in super::super) fn hours(
    columns: &[Column],
    times: &[UnixMs],
    generation: u16,
) -> Vec<Column> {
    let hours = by_level_of(&roll(columns, times), Level::Hour);
    form::to_columns(&hours, generation)
}

/// The stretches of a level from finer ones.
pub(super) fn by_level_of(rolled: &[Rolled], level: Level) -> Vec<Rolled> {
    let wider = |of: &Rolled| Rolled {
        key: of.key.clone(),
        buckets: coarser(&of.buckets, level.width_ms()),
    };
    rolled.iter().map(wider).collect()
}

fn of_column(column: &Column, times: &[UnixMs]) -> Vec<Bucket> {
    let mut buckets: Vec<Sum> = Vec::new();
    let (mut next, mut stands): (usize, Option<usize>) = (0, None);
    let first = column
        .points
        .first()
        .map_or(UnixMs(i64::MAX), |(at, _)| *at);
    let from = times.partition_point(|time| *time < first);
    for time in &times[from..] {
        while column.points.get(next).is_some_and(|(at, _)| at <= time) {
            stands = Some(next);
            next += 1;
        }
        let Some(value) = stands.map(|at| &column.points[at]) else {
            continue;
        };
        if time.since(value.0) > HOLD_MS {
            continue;
        }
        let start = floor(*time, Level::Quarter.width_ms());
        if buckets.last().is_none_or(|bucket| bucket.at != start) {
            buckets.push(Sum::at(start));
        }
        if let Some(bucket) = buckets.last_mut() {
            bucket.take(&value.1);
        }
    }
    buckets.into_iter().map(Sum::finish).collect()
}

/// A bucket in the making.
#[derive(Debug)]
struct Sum<'a> {
    at: UnixMs,
    count: u64,
    last: Option<&'a Value>,
    why: Option<&'a Value>,
    numbers: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl<'a> Sum<'a> {
    const fn at(at: UnixMs) -> Self {
        Self {
            at,
            count: 0,
            last: None,
            why: None,
            numbers: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    fn take(&mut self, value: &'a Value) {
        if !value.is_available() {
            self.why = Some(value);
            return;
        }
        self.count += 1;
        self.last = Some(value);
        if let Some(number) = value.as_number() {
            self.numbers += 1;
            self.sum += number;
            self.min = self.min.min(number);
            self.max = self.max.max(number);
        }
    }

    fn finish(self) -> Bucket {
        let last = self.last.or(self.why);
        let last = last.cloned().expect("a bucket is made for a value");
        // What is no number at last is a state, whatever it was before.
        let is_number = self.numbers > 0 && last.as_number().is_some();
        let band = is_number.then(|| Band {
            min: self.min,
            mean: (self.sum / self.numbers as f64).clamp(self.min, self.max),
            max: self.max,
        });
        Bucket {
            at: self.at,
            count: self.count,
            last,
            band,
        }
    }
}

/// Joins buckets, in the order of their time, that lie in the same stretch of `width_ms`. Of two that begin
/// at once, the second came later.
#[must_use]
pub fn coarser(buckets: &[Bucket], width_ms: i64) -> Vec<Bucket> {
    let mut joined: Vec<Bucket> = Vec::new();
    for bucket in buckets {
        let at = floor(bucket.at, width_ms);
        match joined.last_mut().filter(|last| last.at == at) {
            Some(last) => join(last, bucket),
            None => joined.push(Bucket {
                at,
                ..bucket.clone()
            }),
        }
    }
    joined
}

fn join(bucket: &mut Bucket, later: &Bucket) {
    bucket.band = match (bucket.band, later.band) {
        (Some(a), Some(b)) => Some(united((a, bucket.count), (b, later.count))),
        (one, other) => other.or(one),
    };
    if later.count > 0 || bucket.count == 0 {
        bucket.last.clone_from(&later.last);
    }
    bucket.count += later.count;
    if bucket.last.as_number().is_none() {
        bucket.band = None;
    }
}

fn united((a, of_a): (Band, u64), (b, of_b): (Band, u64)) -> Band {
    let (min, max) = (a.min.min(b.min), a.max.max(b.max));
    let share = of_b as f64 / ((of_a + of_b).max(1)) as f64;
    Band {
        min,
        mean: (a.mean + (b.mean - a.mean) * share).clamp(min, max),
        max,
    }
}

fn floor(at: UnixMs, width_ms: i64) -> UnixMs {
    UnixMs(at.0.div_euclid(width_ms) * width_ms)
}
