//! Lines and stays made of roll-ups. A stretch of which nothing is known is a gap.

use std::collections::BTreeMap;

use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::{Band, Line, Stay, height, push};
use crate::store::rollup::{Bucket, Level, Rolled, coarser};

/// A line of a series: the mean of each stretch, or what held at its end where it is no number. `None` for a
/// metric that the catalogue does not know. Only a silence of more than `silence_ms` is a gap: a laptop that is
/// awake need not speak in every quarter of an hour.
pub(super) fn line(
    rolled: Rolled,
    step_ms: i64,
    silence_ms: i64,
    (from, to): (UnixMs, UnixMs),
) -> Option<Line> {
    let metric = metric::by_code(rolled.key.metric)?;
    let mut line = Line {
        metric,
        instance: rolled.key.instance,
        points: Vec::new(),
        bands: Vec::new(),
    };
    let buckets = coarser(&rolled.buckets, step_ms);
    for (place, bucket) in buckets.iter().enumerate() {
        let begin = bucket.at.max(from);
        let next = buckets.get(place + 1).map(|next| next.at);
        let end = end_of(bucket.at, next, (step_ms, silence_ms)).min(to);
        let value = match bucket.band {
            Some(band) => Some(band.mean),
            None => height(metric, &bucket.last),
        };
        push(&mut line.points, begin, value);
        if let Some(band) = bucket.band.filter(|band| band.min < band.max) {
            line.bands.push(Band {
                from: begin,
                to: end,
                min: band.min,
                max: band.max,
            });
        }
        if value.is_some() && next != Some(end) {
            push(&mut line.points, end, value);
            push(&mut line.points, end.plus_ms(1), None);
        }
    }
    Some(line)
}

/// Until when what is known of a stretch holds.
fn end_of(at: UnixMs, next: Option<UnixMs>, (step_ms, silence_ms): (i64, i64)) -> UnixMs {
    let own = at.plus_ms(step_ms);
    match next {
        Some(next) if next.since(at) <= step_ms.max(silence_ms) => next,
        _ => own,
    }
}

/// Where a laptop was, from what held at the end of each quarter of an hour or hour; of days, where it was on
/// campus if it was there at all.
pub(super) fn stays(places: &[Bucket], level: Level, (from, to): (UnixMs, UnixMs)) -> Vec<Stay> {
    let day_ms = Level::Day.width_ms();
    let known = places.iter().filter_map(|bucket| match &bucket.last {
        Value::Text(place) => Some((bucket.at.0, place.strip_prefix("on-campus:"))),
        _ => None,
    });
    let (stretches, width_ms): (Vec<_>, _) = match level {
        Level::Quarter | Level::Hour => (known.collect(), level.width_ms()),
        Level::Day => {
            let mut days: BTreeMap<i64, Option<&str>> = BTreeMap::new();
            for (at, site) in known {
                let day = days.entry(at.div_euclid(day_ms) * day_ms).or_default();
                *day = day.or(site);
            }
            (days.into_iter().collect(), day_ms)
        }
    };
    let mut stays: Vec<Stay> = Vec::new();
    for (at, site) in stretches {
        let (begin, end) = (UnixMs(at).max(from), UnixMs(at + width_ms).min(to));
        match stays.last_mut() {
            Some(last) if last.site.as_deref() == site && last.to == begin => last.to = end,
            _ if begin < end => stays.push(Stay {
                from: begin,
                to: end,
                site: site.map(ToOwned::to_owned),
            }),
            _ => {}
        }
    }
    stays
}

#[cfg(test)]
mod tests {
    use super::super::ASLEEP_MS;
    use super::*;
    use crate::device::SeriesKey;
    use crate::store::rollup;

    const HOUR: i64 = 3_600_000;

    fn hour(hour: i64) -> UnixMs {
        UnixMs(hour * HOUR)
    }

    fn bucket(at: i64, last: Value, band: Option<(f64, f64, f64)>) -> Bucket {
        let band = band.map(|(min, mean, max)| rollup::Band { min, mean, max });
        Bucket {
            at: hour(at),
            count: u64::from(last.is_available()),
            last,
            band,
        }
    }

    fn charge(at: i64, min: f64, max: f64) -> Bucket {
        let mean = f64::midpoint(min, max);
        bucket(at, Value::Number(max), Some((min, mean, max)))
    }

    fn line_of(buckets: Vec<Bucket>, step_ms: i64, range: (UnixMs, UnixMs)) -> Line {
        let key = SeriesKey::new(&metric::BATTERY_CHARGE, "BAT0");
        line(Rolled { key, buckets }, step_ms, ASLEEP_MS, range).unwrap()
    }

    #[test]
    fn stretches_that_follow_one_another_join_and_a_missing_one_is_a_gap() {
        let missing = Value::Unavailable("no battery".to_owned());
        let buckets = vec![
            charge(0, 0.2, 0.4),
            charge(1, 0.5, 0.5),
            charge(4, 0.6, 0.8),
            bucket(5, missing, None),
            charge(6, 0.0, 0.2),
        ];
        let line = line_of(buckets, HOUR, (hour(0), hour(9)));
        let known: Vec<_> = line
            .points
            .iter()
            .map(|(at, value)| (at.0, value.map(|value| (value * 10.0).round())))
            .collect();
        let expected = [
            (0, Some(3.0)),
            (HOUR, Some(5.0)),
            (2 * HOUR, Some(5.0)),
            (2 * HOUR + 1, None),
            (4 * HOUR, Some(7.0)),
            (5 * HOUR, None),
            (6 * HOUR, Some(1.0)),
            (7 * HOUR, Some(1.0)),
            (7 * HOUR + 1, None),
        ];
        assert_eq!(known, expected);
        let bands: Vec<_> = line.bands.iter().map(|b| (b.from, b.to)).collect();
        assert_eq!(
            bands,
            [(hour(0), hour(1)), (hour(4), hour(5)), (hour(6), hour(7))]
        );
    }

    #[test]
    fn a_quarter_without_a_word_is_no_sleep() {
        let quarter = 15 * 60_000;
        let mut buckets = vec![charge(0, 0.1, 0.3), charge(1, 0.1, 0.3)];
        buckets[1].at = UnixMs(3 * quarter);
        let line = line_of(buckets, quarter, (hour(0), hour(2)));
        let gaps = line.points.iter().filter(|(_, value)| value.is_none());
        assert_eq!(gaps.count(), 1, "only at the end: {line:?}");
    }

    #[test]
    fn what_begins_before_the_range_is_cut_to_it() {
        let middle = UnixMs(HOUR / 2);
        let line = line_of(
            vec![charge(0, 0.1, 0.3)],
            HOUR,
            (middle, UnixMs(HOUR / 4 * 3)),
        );
        assert_eq!(line.points[0].0, middle);
        assert_eq!(line.bands[0].to, UnixMs(HOUR / 4 * 3));
    }

    #[test]
    fn days_are_on_campus_when_it_was_there_at_all() {
        let at = |hour: i64, text: &str| bucket(hour, Value::Text(text.to_owned()), None);
        let places = [
            at(8, "on-campus:Hay"),
            at(9, "on-campus:Hay"),
            at(20, "off-campus"),
            at(33, "on-campus:Hay"),
            at(44, "off-campus"),
            at(90, "off-campus"),
        ];
        let range = (hour(0), hour(200));
        let spans = |level| -> Vec<_> {
            let found = stays(&places, level, range);
            let span = |s: &Stay| (s.from.0 / HOUR, s.to.0 / HOUR, s.site.is_some());
            found.iter().map(span).collect()
        };
        assert_eq!(spans(Level::Day), [(0, 48, true), (72, 96, false)]);
        let hours = [
            (8, 10, true),
            (20, 21, false),
            (33, 34, true),
            (44, 45, false),
            (90, 91, false),
        ];
        assert_eq!(spans(Level::Hour), hours);
    }
}
