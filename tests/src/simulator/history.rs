//! Months of a fleet without any network: for each laptop and day the reports that its agent would
//! have sent, into a store ([`store`]) or into files ([`export`]).
//!
//! A day begins with a full report, since the laptop has slept, and goes on with what changed; so a
//! laptop's day stands by itself and takes no memory before and after.

pub mod export;
pub mod files;
pub mod store;
#[cfg(test)]
mod tests;

use std::ops::Range;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::metric::CLOCK_OFFSET;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::calendar::{DAY_S, Local, Zone, last_school_day};
use super::changes::Changed;
use super::live::Start;
use super::scenario::{Event, Scenario};
use super::{Changes, Fleet, Laptop, Probe, TARGETS};

/// Which laptops, which days, and what befalls them.
#[derive(Debug, Clone, clap::Args)]
pub struct Past {
    /// How many laptops.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: u32,
    /// The number of the first of them.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub first: u32,
    /// How many days.
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=3660))]
    pub days: u32,
    /// Another seed gives another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// When the last day ends: `lesson`, `now`, or a local time such as 2026-09-01T08:00.
    #[arg(long, value_name = "WHEN", default_value = "now")]
    pub until: Start,
    /// Seconds between two looks at a laptop.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub step: u32,
    /// Something that befalls the fleet.
    #[arg(long, value_name = "NAME")]
    pub scenario: Option<Scenario>,
    /// When that begins [default: at nine of the last school day of the first half].
    #[arg(long, value_name = "WHEN", requires = "scenario")]
    pub scenario_at: Option<Start>,
}

/// What a laptop would have sent at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// When, by a clock that is right.
    pub at: UnixMs,
    /// What.
    pub changed: Changed,
}

const DAY_MS: i64 = DAY_S as i64 * 1000;

impl Past {
    /// The fleet with what befalls it, where it is really `now`.
    #[must_use]
    pub fn fleet(&self, now: UnixMs) -> Fleet {
        let fleet = Fleet::new(self.seed);
        let Some(scenario) = self.scenario else {
            return fleet;
        };
        let range = self.range(now);
        let half = UnixMs(range.start.0.midpoint(range.end.0));
        let nine = || {
            Zone::Eastern.moment(Local {
                day: last_school_day(Zone::Eastern, half),
                second: 9 * 3600,
            })
        };
        let from = self
            .scenario_at
            .map_or_else(nine, |start| start.moment(now));
        fleet.with(Event { scenario, from })
    }

    /// From when until when, where it is really `now`.
    #[must_use]
    pub fn range(&self, now: UnixMs) -> Range<UnixMs> {
        let until = self.until.moment(now);
        until.plus_ms(-i64::from(self.days) * DAY_MS)..until
    }

    /// The numbers of the laptops.
    #[must_use]
    pub const fn numbers(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.devices)
    }

    /// The days, each as a stretch of time; the first and the last may be cut.
    pub fn days(&self, now: UnixMs) -> impl Iterator<Item = Range<UnixMs>> + use<> {
        let Range { start, end } = self.range(now);
        // Between two and three at night in both zones nobody is awake.
        let night = |at: UnixMs| (at.0 - 8 * 3_600_000).div_euclid(DAY_MS);
        let first = night(start);
        (first..=night(end.plus_ms(-1))).map(move |day| {
            let begin = UnixMs(day * DAY_MS + 8 * 3_600_000);
            begin.max(start)..begin.plus_ms(DAY_MS).min(end)
        })
    }
}

impl Laptop {
    /// What the laptop would have sent within a stretch of time, looked at every `step_s` seconds, at
    /// best a day: the first report is full, as after a night's sleep.
    #[must_use]
    pub fn kept(&self, during: Range<UnixMs>, step_s: u32) -> Vec<Kept> {
        let schedule = Schedule::default();
        let (mut changes, mut kept) = (Changes::default(), Vec::new());
        let step_ms = i64::from(step_s) * 1000;
        let mut at = UnixMs((during.start.0 + step_ms - 1).div_euclid(step_ms) * step_ms);
        while at < during.end {
            if let Some(changed) = self.look(at, step_ms, &schedule, &mut changes) {
                kept.push(Kept { at, changed });
            }
            at = at.plus_ms(step_ms);
        }
        kept
    }

    fn look(
        &self,
        at: UnixMs,
        step_ms: i64,
        schedule: &Schedule,
        changes: &mut Changes,
    ) -> Option<Changed> {
        let moment = self.moment(at)?;
        let full = changes.is_full_due(at, schedule.full_s);
        let mut readings = if full {
            self.read(&moment, Probe::ALL, &TARGETS)
        } else {
            let due = Probe::due(schedule, at.plus_ms(-step_ms), at);
            self.read(&moment, due, &TARGETS)
        };
        if readings.is_empty() {
            return None;
        }
        // What the collector adds when a message comes.
        readings.push(Reading::number(&CLOCK_OFFSET, "", self.skew_s(at)));
        changes.take(at, readings, full)
    }

    /// How far its clock is ahead, in tenths of a second.
    fn skew_s(&self, at: UnixMs) -> f64 {
        (self.skew_ms(at) as f64 / 100.0).round() / 10.0
    }

    /// How far its clock is ahead, in milliseconds.
    #[must_use]
    pub fn skew_ms(&self, at: UnixMs) -> i64 {
        self.taken(at).wall.since(at)
    }
}
