//! When a device is to be evaluated although nothing came from it. Pure, but for the agenda's own state.
//!
//! What an evaluation finds follows from a device's state and its open alerts, and from time in four
//! ways alone:
//! - a laptop that is connected and has an open alert: awake time passes, though it says nothing;
//! - a laptop that is not connected: school days pass, until a rule calls it absent;
//! - a forecast grows old;
//! - an evaluation that changed an alert may be followed by another, of what depends on it.
//!
//! For everything else the next look is at the next change, so that a district whose laptops are well
//! costs nothing while they say nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::rules::{RuleSet, Test};
use crate::device::{DeviceState, Standing};

/// How soon time alone is looked at again: short beside every hold.
pub const SOON_MS: i64 = 15_000;

/// Entries that count no more, beyond as many as do, before they are dropped.
const STALE: usize = 1024;

/// How an evaluation left a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Whether an alert was open before it.
    pub has_open: bool,
    /// Whether it changed an alert.
    pub is_changed: bool,
    /// When its forecasts grow old; `None` where it has none.
    pub forecasts_stand_until: Option<UnixMs>,
}

/// When a device has to be looked at next, unless it changes before; `None` for not at all.
#[must_use]
pub fn next_look(rules: &RuleSet, state: &DeviceState, left: Left, now: UnixMs) -> Option<UnixMs> {
    let soon = now.plus_ms(SOON_MS);
    if left.is_changed {
        return Some(soon);
    }
    if state.device.standing != Standing::Active {
        return None;
    }
    if state.connected && left.has_open {
        return Some(soon);
    }
    let absent = absent_at(rules, state, now);
    let next = [absent, left.forecasts_stand_until];
    next.into_iter().flatten().min().map(|at| at.max(soon))
}

/// When the next rule calls a laptop absent that is not connected.
fn absent_at(rules: &RuleSet, state: &DeviceState, now: UnixMs) -> Option<UnixMs> {
    if state.connected {
        return None;
    }
    let seen = state.heard_of();
    let days = rules.rules.iter().filter_map(|rule| match rule.test {
        Test::NotSeen { school_days } => Some(school_days),
        Test::Readings(_) | Test::SiteSilent => None,
    });
    let ends = days.filter_map(|days| rules.calendar.end_of_school_day(seen, days));
    ends.filter(|end| *end > now).min()
}

/// The devices that have to be looked at, by time.
#[derive(Debug, Default)]
pub struct Agenda {
    looks: HashMap<DeviceId, UnixMs>,
    /// Every entry of `looks`, and some that were there before.
    queue: BinaryHeap<Reverse<(UnixMs, DeviceId)>>,
    last: UnixMs,
}

impl Agenda {
    /// Notes when a device is to be looked at next. An earlier look stays: it does no harm.
    pub fn note(&mut self, device: DeviceId, next: Option<UnixMs>) {
        let Some(next) = next else {
            self.looks.remove(&device);
            return;
        };
        let known = self.looks.get(&device);
        if known.is_some_and(|known| *known <= next) {
            return;
        }
        self.looks.insert(device, next);
        self.queue.push(Reverse((next, device)));
        if self.queue.len() > 2 * self.looks.len() + STALE {
            let looks = self.looks.iter();
            self.queue = looks.map(|(device, at)| Reverse((*at, *device))).collect();
        }
    }

    /// The devices whose time has come; all of them when the clock was set back.
    pub fn take_due(&mut self, now: UnixMs) -> Vec<DeviceId> {
        if now < std::mem::replace(&mut self.last, now) {
            self.queue.clear();
            return self.looks.drain().map(|(device, _)| device).collect();
        }
        let mut due = Vec::new();
        while let Some(Reverse((at, device))) = self.queue.peek().copied() {
            if at > now {
                break;
            }
            self.queue.pop();
            if self.looks.get(&device) == Some(&at) {
                self.looks.remove(&device);
                due.push(device);
            }
        }
        due
    }

    /// How many devices wait for their time.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.looks.len()
    }
}

#[cfg(test)]
mod tests;
