//! Whether links drop more often than they used to: days of counts, and the day from which on there are too many.
//!
//! Lids and walks between rooms make some days much worse than others, so one worse than all before it comes by
//! chance again and again. What is asked is therefore since when a rate above that of the worst day before explains
//! the counts so much better that it is no chance: a single day with very many drops says so at once, and few more on
//! each day say so together.

use super::habit::LEAST_VALUES;
use super::median;

/// Log likelihood ratio from which on more drops are no chance: one in a hundred.
///
/// Source: G. Lorden, "Procedures for Reacting to a Change in Distribution" (Annals of Mathematical Statistics 42,
/// 1971), by which a rate that is known beforehand is told wrongly once in `exp(limit)` days or less often. Here it is
/// estimated, and against the worst day; what that comes to is in `tests/BENCHMARKS.md`.
const NO_CHANCE: f64 = 4.6;

/// Log likelihood ratio by which a day must speak for what was usual to end it: one in twenty.
///
/// Source: A. Wald, "Sequential Tests of Statistical Hypotheses" (Annals of Mathematical Statistics 16, 1945).
const IS_OVER: f64 = 3.0;

/// The least rate by the hour that a worst day counts with: a drop a day of eight hours. Of a radio that has never
/// dropped it is not known how seldom it does.
const LEAST_RATE: f64 = 0.125;

/// Good days in a row after which what was bad before them is over.
const AS_BEFORE_DAYS: usize = 3;

/// What was counted on a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropDay {
    /// Times that links dropped.
    pub drops: f64,
    /// Hours awake that they count by.
    pub hours: f64,
    /// Whether it has lasted for long enough to end what was so on the day before.
    pub is_whole: bool,
}

/// How often links drop, and how often they used to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drops {
    /// Times an hour awake: since they drop more often, else on the last day.
    pub recent: f64,
    /// The days that `recent` is of.
    pub days: usize,
    /// The median of the days before, in times an hour; `None` for less than eight.
    pub before: Option<f64>,
    has_risen: bool,
}

/// The days from one on, as against all before it.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    rate: f64,
    ratio: f64,
}

impl Drops {
    /// Of days in their order, the last of which may not be over; `None` of none.
    #[must_use]
    pub fn of(days: &[DropDay]) -> Option<Self> {
        let (today, earlier) = days.split_last()?;
        // A day that has hardly begun ends nothing.
        let until_yesterday = || Self::risen(earlier).filter(|_| !today.is_whole);
        let as_ever = || Self {
            recent: today.rate(),
            days: 1,
            before: usual(earlier),
            has_risen: false,
        };
        let risen = Self::risen(days).or_else(until_yesterday);
        Some(risen.unwrap_or_else(as_ever))
    }

    /// What is so where they drop more often up to the last of these days.
    fn risen(days: &[DropDay]) -> Option<Self> {
        let run = likeliest_run(days).filter(|run| run.ratio >= NO_CHANCE)?;
        let before = usual(&days[..run.start])?;
        let is_over = days.last()?.ends(run.rate, before);
        (!is_over).then_some(Self {
            recent: run.rate,
            days: days.len() - run.start,
            before: Some(before),
            has_risen: true,
        })
    }

    /// By how much an hour links drop more often than in the days before; 0 where that may be chance, `None` where
    /// the past is too short.
    #[must_use]
    pub fn rise(&self) -> Option<f64> {
        let before = self.before?;
        Some(if self.has_risen {
            (self.recent - before).max(0.0)
        } else {
            0.0
        })
    }
}

impl DropDay {
    fn rate(&self) -> f64 {
        self.drops / self.hours
    }

    /// Whether a day is much likelier by the rate of before than by that of a run.
    fn ends(&self, run: f64, before: f64) -> bool {
        let before = before.max(LEAST_RATE);
        let for_run = self.drops * (run / before).ln() - (run - before) * self.hours;
        run > before && for_run <= -IS_OVER
    }
}

/// The median rate by the hour; `None` of less than eight days.
fn usual(days: &[DropDay]) -> Option<f64> {
    let rates = days.iter().map(DropDay::rate).collect();
    median(rates).filter(|_| days.len() >= LEAST_VALUES)
}

/// The run of days up to the last that is the least likely by the rate of the worst day before it, where eight days
/// or more are before it; `None` where no run drops more often than that. No run goes on across [`AS_BEFORE_DAYS`] as
/// good as the eight oldest days: what was bad before them is known.
///
/// The ratio is that of Poisson's likelihoods with the run's own rate and with the worst: `n ln (n / e) - n + e` for
/// `n` drops where `e` were expected.
fn likeliest_run(days: &[DropDay]) -> Option<Run> {
    let mut worst_until = Vec::with_capacity(days.len());
    let mut worst = LEAST_RATE;
    for day in days {
        worst_until.push(worst);
        worst = worst.max(day.rate());
    }
    let as_before = usual(days.get(..LEAST_VALUES)?)?;
    let (mut drops, mut hours, mut good_days) = (0.0, 0.0, 0);
    let mut likeliest: Option<Run> = None;
    for start in (LEAST_VALUES..days.len()).rev() {
        drops += days[start].drops;
        hours += days[start].hours;
        good_days = if days[start].rate() <= as_before {
            good_days + 1
        } else {
            0
        };
        if good_days >= AS_BEFORE_DAYS {
            break;
        }
        let expected = worst_until[start] * hours;
        if drops <= expected {
            continue;
        }
        let ratio = drops * (drops / expected).ln() - drops + expected;
        if likeliest.is_none_or(|known| ratio > known.ratio) {
            let rate = drops / hours;
            likeliest = Some(Run { start, rate, ratio });
        }
    }
    likeliest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Days of six hours.
    fn days(counts: &[u32]) -> Vec<DropDay> {
        let day = |count: &u32| DropDay {
            drops: f64::from(*count),
            hours: 6.0,
            is_whole: true,
        };
        counts.iter().map(day).collect()
    }

    fn rise(counts: &[u32]) -> Option<f64> {
        Drops::of(&days(counts)).unwrap().rise()
    }

    const USUAL: [u32; 12] = [1, 4, 0, 2, 1, 5, 3, 0, 1, 2, 4, 1];

    fn after(counts: &[u32]) -> Option<f64> {
        rise(&[&USUAL, counts].concat())
    }

    #[test]
    fn a_day_that_is_somewhat_worse_than_all_others_is_chance() {
        assert_eq!(after(&[9]), Some(0.0));
        assert_eq!(after(&[9, 1, 3, 10]), Some(0.0));
    }

    #[test]
    fn very_many_drops_are_told_on_their_day_and_few_more_after_some_days() {
        let at_once = after(&[20]).unwrap();
        assert!((3.0..3.3).contains(&at_once), "{at_once}");
        assert_eq!(after(&[10, 9]), Some(0.0));
        let told = Drops::of(&days(&[&USUAL[..], &[10, 9, 10, 11, 9]].concat())).unwrap();
        assert_eq!(told.days, 5);
        assert!(told.rise().unwrap() > 1.3, "{told:?}");
    }

    #[test]
    fn a_good_day_ends_it_and_half_a_one_does_not() {
        let mut counted = days(&[&USUAL[..], &[20, 18, 0]].concat());
        assert_eq!(Drops::of(&counted).unwrap().rise(), Some(0.0));
        counted.last_mut().unwrap().is_whole = false;
        assert!(Drops::of(&counted).unwrap().rise().unwrap() > 1.0);
    }

    #[test]
    fn what_was_bad_once_is_known() {
        assert_eq!(after(&[20, 1, 0, 1, 20]), Some(0.0));
    }

    #[test]
    fn a_radio_that_never_dropped_may_drop_a_few_times() {
        assert_eq!(rise(&[0, 0, 0, 0, 0, 0, 0, 0, 3]), Some(0.0));
        assert!(rise(&[0, 0, 0, 0, 0, 0, 0, 0, 9]).unwrap() > 1.0);
        assert_eq!(rise(&[0, 0, 0, 0, 0, 0, 0, 20]), None, "too short a past");
        assert_eq!(Drops::of(&[]), None);
    }
}
