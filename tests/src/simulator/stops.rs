//! How a laptop goes out without a clean end: crashes, a held power button, a battery that gives out.
//!
//! Each is drawn by the laptop and the day, once; what a system has on record at a moment is how many there
//! were in the 30 days before. Most laptops crash once in months, a few every week.

use rollcall_shared::time::UnixMs;

use super::chance::{Chance, Topic};
use super::day::DayPlan;
use super::faults::Fault;
use super::laptop::Laptop;

/// Days that a system keeps its records for.
const RECORDED_DAYS: i64 = 30;

/// Median crashes of a laptop in 30 days and the spread of their logarithm: 0.6 in the mean, and one laptop in
/// fifty above three.
const CRASHES: (f64, f64) = (0.25, 1.3);

/// The same of power buttons that somebody holds: 0.8 in the mean.
const BUTTONS: (f64, f64) = (0.4, 1.2);

/// Crashes in 30 days of a laptop with a fault that crashes it.
const FAULTY_CRASHES: f64 = 15.0;

/// Seconds from going out to being switched on again.
const OUT_S: u32 = 20;

/// How often a laptop goes out by itself and by hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Crashes in 30 days.
    pub crashes: f64,
    /// Held power buttons in 30 days.
    pub buttons: f64,
}

impl Rates {
    /// Those of a laptop without a fault.
    pub fn of(own: Chance) -> Self {
        let rate = |topic, (median, spread): (f64, f64)| {
            median * (spread * own.of(topic, 0).bell(topic)).exp()
        };
        Self {
            crashes: rate(Topic::Crashes, CRASHES),
            buttons: rate(Topic::Shutdowns, BUTTONS),
        }
    }
}

/// What a system has on record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Records {
    /// Crashes.
    pub crashes: u32,
    /// Shutdowns without a clean end, crashes among them.
    pub shutdowns: u32,
}

/// Crashes in 30 days from which on a laptop itself is at fault: three times what one has in the mean.
const SICK: f64 = 2.0;

/// Whether a laptop goes out so often that it, or how it is used, is at fault and not chance.
pub fn is_sick(laptop: &Laptop, at: UnixMs) -> bool {
    let faults = [Fault::Crashes, Fault::GivesOut];
    faults.iter().any(|fault| fault.holds(laptop, at))
        || laptop.rates.crashes >= SICK
        || laptop.rates.buttons >= SICK
}

/// What the records of the last 30 days hold at a moment.
pub fn records(laptop: &Laptop, at: UnixMs) -> Records {
    let zone = laptop.school.zone;
    let (from, now) = (
        zone.local(at.plus_ms(-RECORDED_DAYS * 86_400_000)),
        zone.local(at),
    );
    let mut records = Records::default();
    for day in from.day..=now.day {
        let counts = |second: u32| {
            (day > from.day || second > from.second) && (day < now.day || second <= now.second)
        };
        let is_edge = day == from.day || day == now.day;
        let crash = crashes(laptop, day).then(|| second_of(laptop, day, Topic::Crashes, is_edge));
        let button =
            is_held(laptop, day).then(|| second_of(laptop, day, Topic::Shutdowns, is_edge));
        let fall = gave_out(laptop, day).map(|(second, _)| second);
        let happened = |second: Option<u32>| u32::from(second.is_some_and(counts));
        let crash = happened(crash.flatten());
        records.crashes += crash;
        records.shutdowns += crash + happened(button.flatten()) + happened(fall);
    }
    records
}

/// When the laptop was started after it had gone out on a day, the last time up to a second of it.
pub fn started(laptop: &Laptop, day: i64, second: u32) -> Option<u32> {
    let after = |at: u32| at + OUT_S;
    let crash = crashes(laptop, day)
        .then(|| second_of(laptop, day, Topic::Crashes, true))
        .flatten()
        .map(after);
    let button = is_held(laptop, day)
        .then(|| second_of(laptop, day, Topic::Shutdowns, true))
        .flatten()
        .map(after);
    let fall = gave_out(laptop, day).map(|(_, next)| next);
    let all = [crash, button, fall].into_iter().flatten();
    all.filter(|started| *started <= second).max()
}

fn crashes(laptop: &Laptop, day: i64) -> bool {
    let more = if Fault::Crashes.holds(laptop, noon(day)) {
        FAULTY_CRASHES
    } else {
        0.0
    };
    let rate = laptop.rates.crashes + more;
    of_day(laptop, day).holds(Topic::Crashes, (rate / 30.0).min(0.9))
}

fn is_held(laptop: &Laptop, day: i64) -> bool {
    let rate = laptop.rates.buttons;
    of_day(laptop, day).holds(Topic::Shutdowns, (rate / 30.0).min(0.9))
}

/// When the battery gave out on a day, and when the laptop was opened again.
fn gave_out(laptop: &Laptop, day: i64) -> Option<(u32, u32)> {
    Fault::GivesOut
        .holds(laptop, noon(day))
        .then(|| DayPlan::of(laptop, day).gave_out())
        .flatten()
}

/// The second within a time with the lid open; `None` on a day without. What second it is matters at the ends of the
/// recorded time alone.
fn second_of(laptop: &Laptop, day: i64, topic: Topic, is_edge: bool) -> Option<u32> {
    let plan = DayPlan::of(laptop, day);
    let spans = plan.spans();
    if !is_edge {
        return spans.first().map(|span| span.from);
    }
    let chance = of_day(laptop, day).of(topic, 0);
    let span = spans.get((chance.fraction(topic) * spans.len() as f64) as usize)?;
    Some(chance.between(Topic::Slot, f64::from(span.from), f64::from(span.to)) as u32)
}

const fn of_day(laptop: &Laptop, day: i64) -> Chance {
    laptop.chance.of(Topic::Stop, day)
}

/// About noon of a day in both zones; a fault begins and ends with the day.
pub const fn noon(day: i64) -> UnixMs {
    UnixMs((day * 24 + 17) * 3_600_000)
}
