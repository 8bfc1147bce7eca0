//! Crashes and failing updates: counts that grow, and how much of that is chance.

use rollcall_shared::time::UnixMs;

use super::{DAY_MS, Point};

/// How long crashes count: a month.
pub const CRASHES_MS: i64 = 30 * DAY_MS;

/// Crashes that are an accident, whatever the peers do.
const ACCIDENTS: f64 = 2.0;

/// How likely it may be that so many crashes come by chance: one laptop in a thousand.
const CHANCE: f64 = 0.001;

/// How much a count has grown from one time to another. Systems forget old records, so a count that falls
/// has not grown; what was there when it was first seen does not count.
#[must_use]
pub fn grown(points: &[Point], from: UnixMs, to: UnixMs) -> f64 {
    let within = |pair: &&[Point]| pair[1].0 > from && pair[1].0 <= to;
    let steps = points.windows(2).filter(within);
    steps.map(|pair| (pair[1].1 - pair[0].1).max(0.0)).sum()
}

/// Crashes of a month beyond what its peers have (`expected`, the mean of one laptop); 0 where so many are
/// accident or chance.
///
/// Source: crashes as a Poisson process at the peers' rate, the tail computed exactly. The peers' rate is
/// taken as at least one crash in ten months, since a small fleet may have seen none.
#[must_use]
pub fn crash_excess(crashes: f64, expected: f64) -> f64 {
    let rate = expected.max(0.1);
    let is_chance = crashes <= ACCIDENTS || tail(crashes, rate) > CHANCE;
    if is_chance { 0.0 } else { crashes - rate }
}

/// The chance of at least `count` where `rate` are expected.
fn tail(count: f64, rate: f64) -> f64 {
    let (mut term, mut below, mut k) = ((-rate).exp(), 0.0, 0.0);
    while k < count {
        below += term;
        k += 1.0;
        term *= rate / k;
    }
    (1.0 - below).max(0.0)
}

/// For how many days update runs have failed without one that succeeded, 0 while they succeed: from when the
/// count of failures was last 0. A count that was never 0 has failed since it was first seen at least.
#[must_use]
pub fn failing_days(failures: &[Point], now: UnixMs) -> Option<f64> {
    let until = failures.partition_point(|(at, _)| *at <= now);
    let known = &failures[..until];
    let (_, latest) = known.last()?;
    if *latest <= 0.0 {
        return Some(0.0);
    }
    let last_good = known.iter().rposition(|(_, count)| *count <= 0.0);
    let since = known[last_good.map_or(0, |at| at + 1)].0;
    Some(now.since(since) as f64 / DAY_MS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(values: &[(i64, f64)]) -> Vec<Point> {
        let at = |(day, value): &(i64, f64)| (UnixMs(day * DAY_MS), *value);
        values.iter().map(at).collect()
    }

    #[test]
    fn records_that_are_forgotten_do_not_undo_crashes() {
        let crashes = days(&[(0, 4.0), (5, 5.0), (10, 2.0), (12, 3.0), (50, 4.0)]);
        assert_eq!(grown(&crashes, UnixMs(0), UnixMs(20 * DAY_MS)), 2.0);
        assert_eq!(
            grown(&crashes, UnixMs(20 * DAY_MS), UnixMs(60 * DAY_MS)),
            1.0
        );
        assert_eq!(grown(&[], UnixMs(0), UnixMs(1)), 0.0);
    }

    #[test]
    fn as_many_crashes_as_peers_have_are_no_news() {
        assert_eq!(crash_excess(2.0, 0.0), 0.0);
        assert!(crash_excess(3.0, 0.1) > 2.5);
        assert_eq!(crash_excess(3.0, 1.0), 0.0);
        assert_eq!(crash_excess(6.0, 4.0), 0.0);
        assert!(crash_excess(14.0, 4.0) > 9.0);
        assert!((tail(3.0, 1.0) - 0.0803).abs() < 0.0001);
        assert!((tail(0.0, 5.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn updates_fail_since_they_last_did_not() {
        let now = UnixMs(30 * DAY_MS);
        let failing = |values: &[(i64, f64)]| failing_days(&days(values), now);
        assert_eq!(failing(&[]), None);
        assert_eq!(failing(&[(0, 2.0), (20, 0.0)]), Some(0.0));
        assert_eq!(failing(&[(0, 0.0), (10, 1.0), (20, 2.0)]), Some(20.0));
        assert_eq!(failing(&[(12, 3.0)]), Some(18.0));
    }
}
