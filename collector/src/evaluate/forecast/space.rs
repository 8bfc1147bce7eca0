//! When a file system will be full.
//!
//! Disk forecasts cry wolf at each download and at each recovery partition. So growth is a trend over
//! weeks that a burst does not bend, a forecast is only worth telling when little space is left, and a
//! file system that was full ever since it is watched is full by design.
//!
//! The trend is Theil-Sen's over 28 days; a second one over the last five days sees what fills a disk
//! within a week, and asks for growth on each of them. What was emptied at some height will be emptied
//! there again. Its thresholds were chosen on simulated laptops: no recorded histories of laptops' disks
//! with a known end are at hand.

use rollcall_shared::time::UnixMs;

use super::{DAY_MS, Point, Trend, When, sampled, trend, value_at};

/// Used share at which a file system counts as full: at this point systems stop updating.
pub const FULL: f64 = 0.98;

/// Used share below which no forecast is made: with a fifth of the space left there is time.
pub const GATE: f64 = 0.80;

/// Used share below which a file system that was filling is believed to be well again.
pub const CLEARED: f64 = 0.78;

/// How many days ahead a forecast is worth a word to the pupil: a school week
/// and the weekends beside it. On simulated disks 10 to 14 days find the same ones; each day more finds others in vain.
pub const HORIZON_DAYS: f64 = 12.0;

/// A file system whose used share never was below this is full by design: a recovery partition, an
/// image, a medium that cannot be written.
const ALWAYS_FULL: f64 = 0.95;

/// Days of the long trend, and days that it needs at least.
const LONG_DAYS: std::ops::RangeInclusive<usize> = 10..=28;

/// Days of the short trend.
const SHORT_DAYS: usize = 5;

/// How far above the line through the past the latest reading may lie without being a burst: three days
/// of growth that fills a disk in a month.
const BURST: f64 = 0.02;

/// How far above the highest of the weeks before a file system must be for the short trend to count.
const NEW_HIGH: f64 = 0.02;

/// How far back it counts that somebody emptied a file system, and by how much it must have fallen at once.
const KEPT_DAYS: i64 = 200;
const EMPTIED: f64 = 0.02;

/// From here on it was not kept below: it was as good as full.
const FILLED: f64 = 0.97;

/// How far above the height from which it was emptied before it must be to be on its way further.
const ABOVE_KEPT: f64 = 0.01;

/// Growth per day that is told from none: half a percent in a week.
const LEAST_GROWTH_PER_DAY: f64 = 0.005 / 7.0;

/// A date further away than this is not a forecast.
const FARTHEST_DAYS: f64 = 365.0;

/// How a file system stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Space {
    /// It is full, and was not always.
    Full,
    /// It will be full.
    Filling(When),
    /// It does not grow, or has much space left.
    Steady,
    /// It was full ever since it is watched.
    AlwaysFull,
    /// Less than ten days are known.
    TooShort,
}

/// The forecast at `now` from the used share (0 to 1) until then; `None` where nothing was reported.
#[must_use]
pub fn forecast(used: &[Point], now: UnixMs) -> Option<Space> {
    let latest = value_at(used, now)?;
    let until = used.partition_point(|(at, _)| *at <= now);
    if used[..until].iter().all(|(_, share)| *share >= ALWAYS_FULL) {
        return Some(Space::AlwaysFull);
    }
    if latest >= FULL {
        return Some(Space::Full);
    }
    if latest < kept_below(&used[..until], now) + ABOVE_KEPT {
        return Some(Space::Steady);
    }
    Some(filling(&daily(used, now), latest))
}

/// The highest point from which a file system was emptied again without having been full: whoever uses it
/// keeps it below. 0 where that never was, or where it was full in between and somebody had to help.
fn kept_below(used: &[Point], now: UnixMs) -> f64 {
    let from = now.plus_ms(-KEPT_DAYS * DAY_MS);
    let (mut kept, mut high) = (0.0_f64, 0.0_f64);
    for (_, share) in used.iter().filter(|(at, _)| *at >= from) {
        if *share < high - EMPTIED {
            kept = if high < FILLED { kept.max(high) } else { 0.0 };
            high = *share;
        }
        high = high.max(*share);
    }
    if kept >= GATE { kept } else { 0.0 }
}

impl Space {
    /// Whether it is full, or will be within [`HORIZON_DAYS`].
    #[must_use]
    pub fn soon_full(&self) -> bool {
        match self {
            Self::Full => true,
            Self::Filling(when) => when.days <= HORIZON_DAYS,
            Self::Steady | Self::AlwaysFull | Self::TooShort => false,
        }
    }

    /// The forecast in words with numbers.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Full => "it is full".to_owned(),
            Self::Filling(when) => {
                let latest = when
                    .latest_days
                    .map_or_else(|| "later".to_owned(), |latest| format!("{latest:.0}"));
                format!(
                    "full in {:.0} days ({:.0} to {latest})",
                    when.days, when.earliest_days
                )
            }
            Self::Steady => "it is not filling up".to_owned(),
            Self::AlwaysFull => "it was full ever since it is watched".to_owned(),
            Self::TooShort => "too little is known of it".to_owned(),
        }
    }
}

/// The least used share of each day's four quarters: what was there all day, not what came and went.
fn daily(used: &[Point], now: UnixMs) -> Vec<f64> {
    let quarters = sampled(used, now, DAY_MS / 4, 4 * LONG_DAYS.end());
    let whole = quarters.len() % 4;
    let least = |day: &[f64]| day.iter().copied().fold(f64::INFINITY, f64::min);
    quarters[whole..].chunks(4).map(least).collect()
}

fn filling(days: &[f64], latest: f64) -> Space {
    if latest < GATE {
        return Space::Steady;
    }
    if let Some(when) = steep(days, latest) {
        return Space::Filling(when);
    }
    if days.len() < *LONG_DAYS.start() {
        return Space::TooShort;
    }
    trend(days)
        .filter(|growth| growth.slope_low > 0.0 && growth.level >= GATE)
        .and_then(|growth| when_full(&growth, without_burst(&growth, latest)))
        .map_or(Space::Steady, Space::Filling)
}

/// What is used without what came lately and may go again: that lies above the line.
fn without_burst(growth: &Trend, latest: f64) -> f64 {
    let is_burst = latest - growth.level > BURST;
    if is_burst { growth.level } else { latest }
}

/// The short trend, where every day grew by a third of it at least, a week will not pass before it is full, and it is fuller than
/// it ever was in the weeks before: what was emptied at this height once will be emptied again.
fn steep(days: &[f64], latest: f64) -> Option<When> {
    if days.len() < *LONG_DAYS.start() {
        return None;
    }
    let (before, recent) = days.split_at(days.len() - SHORT_DAYS);
    let highest = before.iter().copied().fold(0.0, f64::max);
    let growth = trend(recent)?;
    let least = LEAST_GROWTH_PER_DAY.max(growth.slope / 3.0);
    let grew = |pair: &[f64]| pair[1] - pair[0] >= least;
    if latest < highest + NEW_HIGH || !recent.windows(2).all(grew) {
        return None;
    }
    when_full(&growth, latest).filter(|when| when.days <= 7.0)
}

fn when_full(growth: &Trend, latest: f64) -> Option<When> {
    if growth.slope < LEAST_GROWTH_PER_DAY {
        return None;
    }
    let left = (FULL - latest).max(0.0);
    let days = left / growth.slope;
    (days <= FARTHEST_DAYS).then(|| When {
        days,
        earliest_days: left / growth.slope_high,
        latest_days: (growth.slope_low > 0.0).then(|| left / growth.slope_low),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily_series(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (0..)
            .map(|day: i64| UnixMs(day * DAY_MS))
            .zip(values)
            .collect()
    }

    fn judge(values: impl IntoIterator<Item = f64>) -> Space {
        let used = daily_series(values);
        forecast(&used, used.last().unwrap().0).unwrap()
    }

    #[test]
    fn a_steady_growth_gives_the_date_with_a_range() {
        let seen = judge((0..40).map(|day| 0.70 + 0.005 * f64::from(day)));
        let Space::Filling(when) = seen else {
            panic!("{seen:?}");
        };
        assert!(
            (15.0..19.0).contains(&when.days),
            "17 days are right: {when:?}"
        );
        assert!(when.earliest_days <= when.days && when.latest_days.unwrap() >= when.days);
        assert!(!seen.soon_full() && seen.words().starts_with("full in 17 days"));
    }

    #[test]
    fn a_burst_is_not_a_trend() {
        let download = (0..40).map(|day| if day < 38 { 0.80 } else { 0.93 });
        assert_eq!(judge(download), Space::Steady);
        let came_and_went = (0..40).map(|day| if day % 9 == 0 { 0.95 } else { 0.82 });
        assert_eq!(judge(came_and_went), Space::Steady);
    }

    #[test]
    fn a_weekly_clean_up_is_not_a_trend() {
        for days in 8..60 {
            let sawtooth = (0..days).map(|day| 0.82 + 0.015 * f64::from(day % 7));
            assert!(!judge(sawtooth).soon_full(), "after {days} days");
        }
    }

    /// A pupil who deletes a tenth whenever nine tenths are used does not need to be told each time; one who was helped
    /// after the disk had been full does.
    #[test]
    fn who_keeps_a_disk_from_filling_up_is_believed() {
        let day = |day: i32| f64::from(day);
        let kept = |days: i32| (0..days).map(move |n| 0.80 + 0.006 * day(n % 23));
        assert!(judge(kept(22)).soon_full(), "the first time nobody knows");
        for days in [44, 45, 68] {
            assert!(!judge(kept(days)).soon_full(), "after {days} days");
        }
        let beyond = kept(46).chain((0..26).map(|n| 0.80 + 0.006 * day(n)));
        assert!(judge(beyond).soon_full(), "higher than it ever was kept");
        let again = (0..62).map(|n| 0.80 + 0.0062 * day(n % 31));
        assert!(
            judge(again.take(59)).soon_full(),
            "it was full and was emptied"
        );
    }

    #[test]
    fn much_space_left_is_not_worth_a_forecast() {
        assert_eq!(
            judge((0..40).map(|day| 0.2 + 0.01 * f64::from(day))),
            Space::Steady
        );
    }

    #[test]
    fn a_file_system_that_was_always_full_is_left_alone() {
        assert_eq!(judge([1.0; 40]), Space::AlwaysFull);
        assert!(!judge([0.97, 0.98, 1.0]).soon_full());
        let became_full = judge((0..40).map(|day| if day < 20 { 0.7 } else { 0.99 }));
        assert!(became_full == Space::Full && became_full.soon_full());
    }

    #[test]
    fn what_fills_a_disk_within_a_week_is_seen() {
        let sudden = (0..40).map(|day| 0.70 + 0.04 * f64::from((day - 34).max(0)));
        assert!(judge(sudden).soon_full());
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(forecast(&[], UnixMs(0)), None);
        assert_eq!(judge([0.85, 0.86, 0.86]), Space::TooShort);
    }
}
