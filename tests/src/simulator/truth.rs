//! What is really wrong with which laptop, from when until when: what alerts are measured by.
//!
//! Faults are named by the rule of `collector/rules/default.toml` that is there to find them. The
//! truth is the model's own and not what readings show: firmware that always tells the capacity of
//! a new battery hides a worn one, a drive may fail without a sign.

use std::io::{self, Write};
use std::ops::Range;

use rollcall_shared::time::UnixMs;

use super::calendar::DAY_S;
use super::chance::Topic;
use super::faults::Fault;
use super::laptop::{Home, Laptop, WallClock};
use super::machines::Family;
use super::{Battery, Drive, Fleet, filesystem, network, shares, stops, system};

/// Something that is wrong with a laptop for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// The number of the laptop.
    pub device: u32,
    /// What is wrong.
    pub fault: &'static str,
    /// From when on, or since before the time that was asked about.
    pub from: UnixMs,
    /// Until when; `None` where it outlasts the time that was asked about.
    pub until: Option<UnixMs>,
    /// What laptops with the same trouble have in common; empty where each has its own.
    pub cause: String,
}

/// A battery with less of its design capacity than this is worn, as the default rules have it.
const WORN_BELOW: f64 = 0.6;

/// A disk with more in use than this is nearly full, as the default rules have it.
const NEARLY_FULL: f64 = 0.9;

/// A disk with more in use than this is full for whoever wants to save something.
const FULL: f64 = 0.98;

/// Updates that have failed for so many days show three failures, as the default rules want them.
const FAILING_DAYS: f64 = 4.5;

const DAY_MS: i64 = DAY_S as i64 * 1000;

impl Fleet {
    /// Everything that is wrong with some laptops from a moment up to another, by laptop, then by
    /// fault, then by time; to the day, and outages to the half hour.
    pub fn truths(
        &self,
        devices: Range<u32>,
        from: UnixMs,
        until: UnixMs,
    ) -> impl Iterator<Item = Truth> {
        let fleet = *self;
        devices.flat_map(move |number| truths_of(&fleet.laptop(number), from, until))
    }
}

fn truths_of(laptop: &Laptop, from: UnixMs, until: UnixMs) -> Vec<Truth> {
    let mut truths = Vec::new();
    let mut note = |fault, step_ms, cause: &dyn Fn() -> String, holds: &dyn Fn(UnixMs) -> bool| {
        for (begin, end) in spans(from, until, step_ms, holds) {
            truths.push(Truth {
                device: laptop.number,
                fault,
                from: begin,
                until: end,
                cause: cause(),
            });
        }
    };
    let own = &String::new;
    let site = &|| format!("site:{}", laptop.school.name);
    let health = |at| Battery::of(laptop, at).true_health();
    note("battery-worn", DAY_MS, own, &|at| health(at) < WORN_BELOW);
    note("battery-not-charging", DAY_MS, own, &|_| {
        has_broken_port(laptop)
    });
    let used = |at| filesystem::utilization(laptop, at);
    note("disk-nearly-full", DAY_MS, own, &|at| {
        used(at) > NEARLY_FULL
    });
    note("disk-full", DAY_MS, own, &|at| used(at) > FULL);
    note("drive-failing", DAY_MS, own, &|at| {
        Drive::of(laptop, at).is_failing()
    });
    note("drive-failed", DAY_MS, own, &|at| {
        Drive::of(laptop, at).has_failed()
    });
    let failing = |at| system::failing_days(laptop, at);
    note("updates-failing", DAY_MS, own, &|at| {
        failing(at).is_some_and(|days| days > FAILING_DAYS)
    });
    for fault in Fault::ALL {
        note(fault.name(), DAY_MS, own, &|at| shows(fault, laptop, at));
    }
    note("crashing", DAY_MS, own, &|at| stops::is_sick(laptop, at));
    note("clock-wrong", DAY_MS, own, &|_| {
        !matches!(laptop.clock, WallClock::Right(_))
    });
    note("tls-intercepted", DAY_MS, own, &|_| {
        laptop.home == Home::Filtered
    });
    note("clone", DAY_MS, own, &|_| laptop.clone_of.is_some());
    note(
        "no-platform-at-school",
        network::SLOT_S * 1000,
        site,
        &|at| network::school_is_out(laptop, at),
    );
    add_event(laptop, from, until, &mut truths);
    truths
}

/// What an event does shows in the model by itself where it changes a part of the laptop, and then
/// gives the cause; what it does to networks is added.
fn add_event(laptop: &Laptop, from: UnixMs, until: UnixMs, truths: &mut Vec<Truth>) {
    let Some(effect) = laptop.event.and_then(|event| event.effect(laptop)) else {
        return;
    };
    let (begins, ends) = (
        effect.from.max(from),
        effect.until.unwrap_or(until).min(until),
    );
    if begins >= ends {
        return;
    }
    let is_its = |truth: &&mut Truth| {
        truth.fault == effect.fault && truth.from >= begins && truth.from < ends
    };
    if effect.changes_parts {
        for truth in truths.iter_mut().filter(is_its) {
            truth.cause.clone_from(&effect.cause);
        }
        return;
    }
    truths.push(Truth {
        device: laptop.number,
        fault: effect.fault,
        from: begins,
        until: (ends < until).then_some(ends),
        cause: effect.cause,
    });
}

/// Whether a laptop has a fault that its system can show: a drive's waiting is told by Linux alone, what a charger gives
/// not by Windows, and heat and a battery that gives out not by macOS.
fn shows(fault: Fault, laptop: &Laptop, at: UnixMs) -> bool {
    let family = laptop.machine.family;
    let tells = match fault {
        Fault::SlowDrive => family == Family::Linux,
        Fault::SmallCharger => family != Family::Windows,
        Fault::Dust | Fault::GivesOut => family != Family::Mac,
        Fault::SlowStart | Fault::Crashes | Fault::LinkDrops => true,
    };
    tells && fault.holds(laptop, at)
}

fn has_broken_port(laptop: &Laptop) -> bool {
    laptop.own(Topic::Port) < shares::BROKEN_PORTS
}

/// The stretches of a time in which something holds, looked at every `step_ms`.
fn spans(
    from: UnixMs,
    until: UnixMs,
    step_ms: i64,
    holds: &dyn Fn(UnixMs) -> bool,
) -> Vec<(UnixMs, Option<UnixMs>)> {
    let (mut found, mut begun, mut at) = (Vec::new(), None, from);
    while at < until {
        match (holds(at), begun) {
            (true, None) => begun = Some(at),
            (false, Some(begin)) => {
                found.push((begin, Some(at)));
                begun = None;
            }
            _ => {}
        }
        // On the boundaries of steps, so that what begins with one is told to begin with it.
        at = UnixMs((at.0.div_euclid(step_ms) + 1) * step_ms);
    }
    found.extend(begun.map(|begin| (begin, None)));
    found
}

/// Writes `device,fault,from,until,cause` as CSV.
///
/// # Errors
/// What writing meets.
pub fn write_truths(
    truths: impl Iterator<Item = Truth>,
    name: impl Fn(u32) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["device", "fault", "from", "until", "cause"])?;
    for truth in truths {
        let until = truth
            .until
            .map(|until| until.to_string())
            .unwrap_or_default();
        let from = truth.from.to_string();
        csv.write_record([
            &name(truth.device),
            truth.fault,
            &from,
            &until,
            &truth.cause,
        ])?;
    }
    csv.flush()
}

/// Writes the events that `rollcall-collector backtest` scores forecasts by, `device,event,time`: a
/// battery that is worn, a disk that is full, a drive that fails, within the time and not before.
///
/// # Errors
/// What writing meets.
pub fn write_labels(
    truths: impl Iterator<Item = Truth>,
    from: UnixMs,
    name: impl Fn(u32) -> String,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["device", "event", "time"])?;
    for truth in truths.filter(|truth| truth.from > from) {
        let event = match truth.fault {
            "battery-worn" => "battery-worn",
            "disk-full" => "disk-filling",
            "drive-failed" => "drive-failing",
            _ => continue,
        };
        csv.write_record([&name(truth.device), event, &truth.from.to_string()])?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests;
