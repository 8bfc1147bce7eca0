//! Fill mode: a fleet's readings over a time span, in order of time, without any network.

use std::ops::Range;
use std::time::Duration;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::{Fleet, Laptop, Probe, TARGETS};

/// What one laptop read at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The number of the laptop.
    pub device: u32,
    /// When, by a clock that is right.
    pub at: UnixMs,
    /// Whether it is everything: the first after sleep is.
    pub full: bool,
    /// The readings.
    pub readings: Vec<Reading>,
}

/// Samples of some laptops from a moment up to another, by time and then by laptop. It keeps the
/// laptops, some 300 bytes each, and nothing else.
#[derive(Debug)]
pub struct Fill {
    laptops: Vec<(Laptop, bool)>,
    schedule: Schedule,
    at: UnixMs,
    until: UnixMs,
    step_ms: i64,
    next: usize,
}

impl Fleet {
    /// The samples of `devices` from `from` to before `until`, one a `step` (at least a millisecond)
    /// while a laptop is awake. Each has the readings that are due by the default schedule.
    #[must_use]
    pub fn fill(&self, devices: Range<u32>, from: UnixMs, until: UnixMs, step: Duration) -> Fill {
        Fill {
            laptops: devices.map(|number| (self.laptop(number), false)).collect(),
            schedule: Schedule::default(),
            at: from,
            until,
            step_ms: i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1),
            next: 0,
        }
    }
}

impl Iterator for Fill {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        while self.at < self.until && !self.laptops.is_empty() {
            let at = self.at;
            let (laptop, awake) = &mut self.laptops[self.next];
            let sample = sample(laptop, awake, &self.schedule, at, self.step_ms);
            self.next += 1;
            if self.next == self.laptops.len() {
                self.next = 0;
                self.at = at.plus_ms(self.step_ms);
            }
            if sample.is_some() {
                return sample;
            }
        }
        None
    }
}

fn sample(
    laptop: &Laptop,
    awake: &mut bool,
    schedule: &Schedule,
    at: UnixMs,
    step_ms: i64,
) -> Option<Sample> {
    let Some(moment) = laptop.moment(at) else {
        *awake = false;
        return None;
    };
    let full = !std::mem::replace(awake, true);
    let readings = if full {
        laptop.read(&moment, Probe::ALL, &TARGETS)
    } else {
        laptop.read(
            &moment,
            Probe::due(schedule, at.plus_ms(-step_ms), at),
            &TARGETS,
        )
    };
    (!readings.is_empty()).then(|| Sample {
        device: laptop.number(),
        at,
        full,
        readings,
    })
}
