//! Forecasts: pure functions from what a device reported to what is coming, and when.
//!
//! They take plain series in ascending order of time, as the store and a recorded history give
//! them: a point is a change, and its value holds until the next. Each function names the source of
//! its figures, its units and its range; how well it does on recorded histories is printed by
//! `rollcall-evaluate-forecasts`.

pub mod battery;
pub mod classes;
pub mod drive;
pub mod drops;
pub mod habit;
pub mod metrics;
pub mod past;
pub mod peers;
pub mod rate;
pub mod space;

mod outlook;
mod standing;

use rollcall_shared::time::UnixMs;

pub use outlook::Outlook;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Values that a trend is taken over: a year of weeks or two months of days. Pairs grow with the
/// square, so this bounds a trend to about 2,000 slopes.
const TREND_VALUES: usize = 64;

/// A reading and when it came to be so.
pub type Point = (UnixMs, f64);

/// When something is expected, with a range; days are counted from the forecast's `now`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct When {
    /// Days until it is expected, 0 or more.
    pub days: f64,
    /// Days until it happens at the earliest: one in ten is earlier.
    pub earliest_days: f64,
    /// Days until it happens at the latest: one in ten is later; `None` where the past does not
    /// say, or it is years away.
    pub latest_days: Option<f64>,
}

/// A straight line through a series that outliers do not bend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Change per step, the median of the slopes of all pairs.
    pub slope: f64,
    /// The slope that nine of ten samples like this would exceed.
    pub slope_low: f64,
    /// The slope that nine of ten samples like this would not reach.
    pub slope_high: f64,
    /// Where the line stands at the last step.
    pub level: f64,
}

/// The value that held at `at`; before the first point `None`.
#[must_use]
pub fn value_at(points: &[Point], at: UnixMs) -> Option<f64> {
    let after = points.partition_point(|(time, _)| *time <= at);
    points.get(after.checked_sub(1)?).map(|(_, value)| *value)
}

/// The values that held at the end of each step of `step_ms` up to `until`, the oldest first: at most
/// `steps` of them, and none from before the first point.
#[must_use]
pub fn sampled(points: &[Point], until: UnixMs, step_ms: i64, steps: usize) -> Vec<f64> {
    let mut values: Vec<f64> = (0..steps)
        .map_while(|back| {
            let back = i64::try_from(back).unwrap_or(i64::MAX);
            value_at(
                points,
                until.plus_ms(back.saturating_mul(step_ms).saturating_neg()),
            )
        })
        .collect();
    values.reverse();
    values
}

/// The trend of evenly spaced values, of which the last 64 count; `None` for fewer than three.
///
/// Sources: H. Theil (1950) and P. K. Sen, "Estimates of the Regression Coefficient Based on Kendall's
/// Tau" (JASA 63, 1968), including its distribution-free range, here for 80 %. It stands up to 29 % of
/// the values being wrong; the range is widened where the errors have a memory.
#[must_use]
pub fn trend(values: &[f64]) -> Option<Trend> {
    let values = &values[values.len().saturating_sub(TREND_VALUES)..];
    if values.len() < 3 {
        return None;
    }
    let slopes = sorted(pair_slopes(values));
    let (slope, last) = (median_sorted(&slopes), values.len() - 1);
    let levels: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(at, value)| value + slope * (last - at) as f64)
        .collect();
    let level = median(levels.clone())?;
    let errors: Vec<f64> = levels.iter().map(|line| line - level).collect();
    let half_width = kendall_half_width(values.len()) * memory(&errors);
    let middle = slopes.len() as f64 / 2.0;
    Some(Trend {
        slope,
        slope_low: at_rank(&slopes, middle - half_width),
        slope_high: at_rank(&slopes, middle + half_width),
        level,
    })
}

/// The median; `None` of nothing.
#[must_use]
pub fn median(values: Vec<f64>) -> Option<f64> {
    (!values.is_empty()).then(|| median_sorted(&sorted(values)))
}

fn pair_slopes(values: &[f64]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(values.len() * values.len() / 2);
    for (at, from) in values.iter().enumerate() {
        for (steps, to) in (1_u32..).zip(&values[at + 1..]) {
            slopes.push((to - from) / f64::from(steps));
        }
    }
    slopes
}

/// Half of the 80 % range, in ranks of slopes: 1.28 deviations of Kendall's statistic over two.
fn kendall_half_width(n: usize) -> f64 {
    let n = n as f64;
    1.2816 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt() / 2.0
}

/// How much wider the range is because each error resembles the one before, 1 to 4.4. Source: S. Yue and
/// C. Wang, "The Mann-Kendall Test Modified by Effective Sample Size to Detect Trend in Serially
/// Correlated Hydrological Series" (Water Resources Management 18, 2004), for a memory of one step.
fn memory(errors: &[f64]) -> f64 {
    let total: f64 = errors.iter().map(|error| error * error).sum();
    let shared: f64 = errors.windows(2).map(|pair| pair[0] * pair[1]).sum();
    if total <= f64::EPSILON {
        return 1.0;
    }
    let likeness = (shared / total).clamp(0.0, 0.9);
    ((1.0 + likeness) / (1.0 - likeness)).sqrt()
}

fn at_rank(sorted: &[f64], rank: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[(rank.round().max(0.0) as usize).min(last)]
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median_sorted(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(values: &[(i64, f64)]) -> Vec<Point> {
        let at = |(day, value): &(i64, f64)| (UnixMs(day * DAY_MS), *value);
        values.iter().map(at).collect()
    }

    #[test]
    fn a_value_holds_until_the_next() {
        let points = days(&[(1, 10.0), (4, 20.0)]);
        assert_eq!(value_at(&points, UnixMs(0)), None);
        assert_eq!(value_at(&points, UnixMs(DAY_MS)), Some(10.0));
        assert_eq!(value_at(&points, UnixMs(4 * DAY_MS - 1)), Some(10.0));
        assert_eq!(value_at(&points, UnixMs(90 * DAY_MS)), Some(20.0));
        let daily = sampled(&points, UnixMs(5 * DAY_MS), DAY_MS, 30);
        assert_eq!(daily, [10.0, 10.0, 10.0, 20.0, 20.0]);
        assert_eq!(
            sampled(&points, UnixMs(5 * DAY_MS), DAY_MS, 2),
            [20.0, 20.0]
        );
    }

    #[test]
    fn a_line_is_found_through_outliers() {
        let mut values: Vec<f64> = (0..30).map(|day| 1.0 - 0.01 * f64::from(day)).collect();
        for wrong in [3, 9, 14, 15, 27] {
            values[wrong] = 0.05;
        }
        let line = trend(&values).unwrap();
        assert!((line.slope + 0.01).abs() < 0.001, "{line:?}");
        assert!((line.level - 0.71).abs() < 0.01, "{line:?}");
        assert!(line.slope_low <= line.slope && line.slope <= line.slope_high);
    }

    #[test]
    fn noise_without_a_trend_has_a_range_around_zero() {
        let values: Vec<f64> = (0..40).map(|i: i32| f64::from(i * 7919 % 101)).collect();
        let line = trend(&values).unwrap();
        assert!(line.slope_low < 0.0 && line.slope_high > 0.0, "{line:?}");
        assert_eq!(trend(&[1.0, 2.0]), None);
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }
}
