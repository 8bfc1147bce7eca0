//! How worn a battery is, and when it passes the replacement line.
//!
//! A plain ratio of full to design capacity misleads: of 34 laptops whose firmware's history was read
//! (`battery/capacity_history.csv` of the development data), some report the full capacity as the
//! design capacity and move both, some report zeros or a design capacity that is wrong by three times
//! for a day, many drop by a tenth and come back when the gauge recalibrates, and one gets a new
//! battery. So health is taken over weeks, against a reference that these cannot move.

use rollcall_shared::time::UnixMs;

use super::{DAY_MS, Point, Trend, When, median, sampled, trend, value_at};

/// Health at which a battery is replaced. Makers call 80 % the end of life of a cell; school desks
/// replace below 60 %, where a laptop no longer lasts a school day.
pub const REPLACEMENT_LINE: f64 = 0.6;

/// Health above which a battery that was worn is believed to be well again, after a recalibration.
pub const CLEARED: f64 = 0.65;

/// Days over which the present health is the median: a gauge that errs recalibrates within weeks.
const SETTLED_DAYS: usize = 35;

/// Days after which a battery that never came above [`COLLAPSED`] is believed, without waiting for the
/// median: cells that give out do so within weeks.
const COLLAPSED_DAYS: usize = 10;

/// See [`COLLAPSED_DAYS`]; far enough below the line that no dip of a good battery stayed there.
const COLLAPSED: f64 = 0.5;

/// A share of the reference above this is a reading error; new batteries reach 1.1.
const MOST_BELIEVED: f64 = 1.25;

/// Between a reading and the next a new battery gains this share of the reference ...
const REPLACED_GAIN: f64 = 0.25;

/// ... and comes to at least this one, which no recalibration in the data did.
const REPLACED_HEALTH: f64 = 0.85;

/// Weeks that a trend needs, and weeks that it looks back at most.
const TREND_WEEKS: std::ops::RangeInclusive<usize> = 8..=39;

/// A loss slower than this, 2.5 % of the reference in a year, is not told from none.
const LEAST_LOSS_PER_WEEK: f64 = 0.025 / 52.0;

/// Batteries do not lose evenly: gauges recalibrate and cells give out. Of the dates given for 27
/// passings of lines in the histories, half came later and half earlier than said, eight of ten
/// between these multiples of the days said, whatever range the trend had.
const EARLIEST_SHARE: f64 = 0.33;

/// See [`EARLIEST_SHARE`].
const LATEST_SHARE: f64 = 7.0;

/// A date further away than this is not a forecast.
const FARTHEST_DAYS: f64 = 730.0;

/// What a battery's firmware reported, each a series in ascending order of time, in mWh.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatteryHistory<'a> {
    /// Capacity when new.
    pub design: &'a [Point],
    /// Capacity when full.
    pub full: &'a [Point],
}

/// What health is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The design capacity that the firmware reports most of the time.
    Design,
    /// The most that this battery has held while it was watched, because its firmware reports the full
    /// capacity as the design capacity. What it lost before is not known.
    OwnBest,
}

/// How worn a battery is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatteryForecast {
    /// Share of the reference that it holds, the median of the last five weeks, 0 to 1.25.
    pub health: f64,
    /// What that is a share of.
    pub reference: Reference,
    /// The reference, in mWh.
    pub reference_mwh: f64,
    /// Since when this battery is the one that is built in, or the first reading.
    pub since: UnixMs,
    /// Where it stands against the replacement line.
    pub line: Line,
}

/// Where a battery stands against the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Line {
    /// It is below.
    Passed,
    /// It will be, at the present loss.
    Expected(When),
    /// It does not lose enough to say when.
    NotForeseen,
    /// Too little is known: less than eight weeks of readings.
    TooShort,
}

/// The forecast at `now` from what was reported until then, against [`REPLACEMENT_LINE`]; `None` where
/// no reading can be believed.
#[must_use]
pub fn forecast(battery: &BatteryHistory<'_>, now: UnixMs) -> Option<BatteryForecast> {
    forecast_line(battery, REPLACEMENT_LINE, now)
}

/// The same against another line (a share of the reference, 0 to 1).
///
/// The loss is a Theil-Sen trend over 8 to 39 weeks, with a range for 80 %.
#[must_use]
pub fn forecast_line(
    battery: &BatteryHistory<'_>,
    line: f64,
    now: UnixMs,
) -> Option<BatteryForecast> {
    let readings = believable(battery, now);
    let (reference, reference_mwh) = reference(&readings)?;
    let shares = shares(&readings, reference_mwh);
    let built_in = &shares[last_replacement(&shares, now)..];
    let since = built_in.first()?.0;
    let health = settled(&sampled(built_in, now, DAY_MS, SETTLED_DAYS))?;
    Some(BatteryForecast {
        health,
        reference,
        reference_mwh,
        since,
        line: stand(built_in, health, line, now),
    })
}

impl BatteryForecast {
    /// Whether the battery should be replaced now.
    #[must_use]
    pub fn worn(&self) -> bool {
        self.health < REPLACEMENT_LINE
    }

    /// Whether readings have shown that it need not be replaced.
    #[must_use]
    pub fn cleared(&self) -> bool {
        self.health >= CLEARED
    }

    /// The forecast in words with numbers.
    #[must_use]
    pub fn words(&self) -> String {
        let of = match self.reference {
            Reference::Design => "of its design capacity",
            Reference::OwnBest => "of the most that it has held while watched",
        };
        let holds = format!("it holds {:.0} % {of}", self.health * 100.0);
        match self.line {
            Line::Expected(when) => {
                let days = when.days;
                let latest = when
                    .latest_days
                    .map_or_else(|| "later".to_owned(), |latest| format!("{latest:.0}"));
                let earliest = when.earliest_days;
                format!("{holds}; to be replaced in {days:.0} days ({earliest:.0} to {latest})")
            }
            Line::Passed | Line::NotForeseen | Line::TooShort => holds,
        }
    }
}

/// A full capacity, and the design capacity that was reported with it.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    at: UnixMs,
    full: f64,
    design: f64,
}

/// The readings until `now` in which neither capacity is zero or nothing.
fn believable(battery: &BatteryHistory<'_>, now: UnixMs) -> Vec<Capacity> {
    let until = battery.full.partition_point(|(at, _)| *at <= now);
    let first_design = battery.design.iter().find(|(_, design)| *design > 0.0);
    let pair = |(at, full): &Point| {
        let design = value_at(battery.design, *at).or_else(|| first_design.map(|first| first.1))?;
        let (at, full) = (*at, *full);
        (full > 0.0 && design > 0.0).then_some(Capacity { at, full, design })
    };
    battery.full[..until].iter().filter_map(pair).collect()
}

fn reference(readings: &[Capacity]) -> Option<(Reference, f64)> {
    if follows(readings) {
        let best = upper(readings.iter().map(|reading| reading.full).collect())?;
        return Some((Reference::OwnBest, best));
    }
    let design = median(readings.iter().map(|reading| reading.design).collect())?;
    Some((Reference::Design, design))
}

/// Whether the design capacity follows the full one: equal in nine of ten readings while it moves.
fn follows(readings: &[Capacity]) -> bool {
    let equal = |reading: &&Capacity| (reading.full - reading.design).abs() < 1.0;
    let same = readings.iter().filter(equal).count();
    let mut designs: Vec<i64> = readings
        .iter()
        .map(|reading| reading.design as i64)
        .collect();
    designs.sort_unstable();
    designs.dedup();
    same * 10 >= readings.len() * 9 && designs.len() > 2
}

/// The value that one in twenty exceeds, so that a single wild reading is no reference.
fn upper(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) * 19 / 20)
        .copied()
}

fn shares(readings: &[Capacity], reference_mwh: f64) -> Vec<Point> {
    let share = |reading: &Capacity| (reading.at, reading.full / reference_mwh);
    let believed = |(_, share): &Point| *share <= MOST_BELIEVED;
    readings.iter().map(share).filter(believed).collect()
}

/// Where the readings of the battery that is built in now begin: after the last gain that is too great
/// for a recalibration, and that lasted for a day or three readings.
fn last_replacement(shares: &[Point], now: UnixMs) -> usize {
    let replaced = |at: &usize| {
        let lasting = &shares[*at..shares.len().min(at + 3)];
        let before = shares[at.saturating_sub(3)..*at]
            .iter()
            .map(|(_, share)| *share);
        let Some(before) = median(before.collect()) else {
            return false;
        };
        let is_new =
            |(_, share): &Point| *share >= REPLACED_HEALTH && share - before >= REPLACED_GAIN;
        let has_lasted = lasting.len() == 3 || now.since(shares[*at].0) >= DAY_MS;
        has_lasted && lasting.iter().all(is_new)
    };
    let last = (1..shares.len()).rev().find(replaced);
    last.map_or(0, |at| first_of(shares, at))
}

/// The search comes from the end and finds a reading of which most predecessors are the old battery's:
/// step back to the first of the new one.
fn first_of(shares: &[Point], mut at: usize) -> usize {
    while at > 0 && shares[at - 1].1 >= REPLACED_HEALTH {
        at -= 1;
    }
    at
}

/// The health that daily shares settle on.
fn settled(days: &[f64]) -> Option<f64> {
    let recent = &days[days.len().saturating_sub(COLLAPSED_DAYS)..];
    let collapsed = recent.len() == COLLAPSED_DAYS && recent.iter().all(|share| *share < COLLAPSED);
    median(if collapsed { recent } else { days }.to_vec())
}

fn stand(shares: &[Point], health: f64, line: f64, now: UnixMs) -> Line {
    if health < line {
        return Line::Passed;
    }
    let weeks = sampled(shares, now, 7 * DAY_MS, *TREND_WEEKS.end());
    if weeks.len() < *TREND_WEEKS.start() {
        return Line::TooShort;
    }
    let Some(loss) = trend(&weeks).filter(|loss| loss.slope <= -LEAST_LOSS_PER_WEEK) else {
        return Line::NotForeseen;
    };
    let margin = (present(&loss, health) - line).max(0.0);
    let days = |slope: f64| (slope < 0.0).then(|| 7.0 * margin / -slope);
    match (days(loss.slope), days(loss.slope_low)) {
        (Some(expected), Some(steepest)) if expected <= FARTHEST_DAYS => Line::Expected(When {
            days: expected,
            earliest_days: steepest.min(expected * EARLIEST_SHARE),
            latest_days: days(loss.slope_high)
                .map(|shallowest| shallowest.max(expected * LATEST_SHARE))
                .filter(|latest| *latest <= FARTHEST_DAYS),
        }),
        _ => Line::NotForeseen,
    }
}

/// Where the battery stands today: the settled health is as old as the middle of its days. After a
/// recalibration upwards the line through the past lies too low, so the higher of both counts.
fn present(loss: &Trend, health: f64) -> f64 {
    let settled_weeks = SETTLED_DAYS as f64 / 2.0 / 7.0;
    (health + loss.slope * settled_weeks).max(loss.level.min(health))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESIGN: f64 = 50_000.0;

    fn weekly(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        (0..)
            .map(|week: i64| UnixMs(week * 7 * DAY_MS))
            .zip(values)
            .collect()
    }

    fn judge(design: &[Point], full: &[Point]) -> BatteryForecast {
        let now = full.last().unwrap().0;
        forecast(&BatteryHistory { design, full }, now).unwrap()
    }

    fn falling(weeks: i32, per_week: f64) -> Vec<Point> {
        weekly((0..weeks).map(|week| DESIGN * (1.0 - per_week * f64::from(week))))
    }

    #[test]
    fn a_steady_loss_gives_the_date_with_a_range() {
        let seen = judge(&weekly([DESIGN]), &falling(31, 0.01));
        let Line::Expected(when) = seen.line else {
            panic!("{seen:?}");
        };
        assert!(
            (60.0..85.0).contains(&when.days),
            "70 days are right: {when:?}"
        );
        assert!(when.earliest_days <= when.days && when.latest_days.unwrap() >= when.days);
        assert!(
            seen.words().contains("to be replaced in"),
            "{}",
            seen.words()
        );
    }

    #[test]
    fn a_dip_of_the_gauge_is_not_wear() {
        let mut full = falling(30, 0.001);
        full[27].1 = 18_000.0;
        full[28].1 = 21_000.0;
        let seen = judge(&weekly([DESIGN]), &full);
        assert!(!seen.worn() && seen.health > 0.9, "{seen:?}");
    }

    #[test]
    fn a_battery_that_collapses_is_seen_within_days() {
        let mut full = falling(30, 0.001);
        let end = full[29].0;
        full.push((end.plus_ms(DAY_MS), 9_000.0));
        full.push((end.plus_ms(12 * DAY_MS), 8_000.0));
        let seen = judge(&weekly([DESIGN]), &full);
        assert!(seen.worn() && seen.health < 0.2, "{seen:?}");
    }

    #[test]
    fn zeros_and_nothing_are_not_readings() {
        let mut full = falling(30, 0.001);
        full[29].1 = 0.0;
        let mut design = weekly([DESIGN; 30]);
        design[28].1 = 0.0;
        assert!(judge(&design, &full).health > 0.9);
        let nothing = weekly([0.0; 9]);
        let battery = BatteryHistory {
            design: &nothing,
            full: &nothing,
        };
        assert_eq!(forecast(&battery, UnixMs(90 * DAY_MS)), None);
        assert_eq!(forecast(&BatteryHistory::default(), UnixMs(0)), None);
    }

    #[test]
    fn firmware_that_reports_full_as_design_is_measured_against_its_own_best() {
        let both = falling(46, 0.01);
        let seen = judge(&both, &both);
        assert_eq!(seen.reference, Reference::OwnBest);
        assert!(seen.worn() && seen.line == Line::Passed, "{seen:?}");
    }

    #[test]
    fn a_design_capacity_that_is_wrong_for_a_day_changes_nothing() {
        let mut design = weekly([DESIGN; 30]);
        let mut full = falling(30, 0.001);
        (design[12].1, full[12].1) = (3.0 * DESIGN, 2.2 * DESIGN);
        (design[29].1, full[29].1) = (3.0 * DESIGN, 2.2 * DESIGN);
        let seen = judge(&design, &full);
        assert_eq!(
            (seen.reference, seen.reference_mwh),
            (Reference::Design, DESIGN)
        );
        assert!((0.9..1.0).contains(&seen.health), "{seen:?}");
    }

    #[test]
    fn more_than_design_is_a_new_battery() {
        let seen = judge(&weekly([38_000.0]), &weekly([38_730.0; 20]));
        assert!(
            seen.health > 1.0 && seen.line == Line::NotForeseen,
            "{seen:?}"
        );
    }

    #[test]
    fn a_new_battery_ends_the_old_one_and_a_recalibration_does_not() {
        let mut full = falling(30, 0.02);
        let replaced = full.last().unwrap().0.plus_ms(7 * DAY_MS);
        full.extend((0..6).map(|week| (replaced.plus_ms(week * 7 * DAY_MS), 49_500.0)));
        let seen = judge(&weekly([DESIGN]), &full);
        assert!(seen.since == replaced && seen.health > 0.98, "{seen:?}");
        let one = &full[..31];
        let history = BatteryHistory {
            design: &weekly([DESIGN]),
            full: one,
        };
        let next_day = forecast(&history, replaced.plus_ms(DAY_MS)).unwrap();
        assert!(
            next_day.health > 0.98,
            "one reading that lasts a day: {next_day:?}"
        );
        let mut calibrated = falling(30, 0.015);
        for late in &mut calibrated[26..] {
            late.1 = DESIGN * 0.72;
        }
        let seen = judge(&weekly([DESIGN]), &calibrated);
        assert!(seen.since == UnixMs(0), "{seen:?}");
    }

    #[test]
    fn a_short_history_gives_health_but_no_date() {
        let seen = judge(&weekly([DESIGN]), &falling(4, 0.03));
        assert_eq!(seen.line, Line::TooShort);
        assert!(seen.health > 0.9);
    }
}
