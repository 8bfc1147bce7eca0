//! One simulated laptop at the desk, and what its agent remembers.

use std::ops::Range;

use rollcall_collector::device::{Device, DeviceState, SeriesKey, Standing};
use rollcall_collector::evaluate::forecast::habit::{SLOTS_PER_HOUR, Sample};
use rollcall_collector::evaluate::rehearsal::Delivered;
use rollcall_shared::configuration::Schedule;
use rollcall_shared::metric::CLOCK_OFFSET;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use crate::simulator::calendar::Local;
use crate::simulator::{Changes, DayPlan, Laptop, Moment, Outage, Probe, TARGETS, network};

/// How long after its start a laptop is glanced at, at the earliest: longer than any start takes.
const SETTLED_MS: i64 = 20 * 60_000;

const HOUR_MS: i64 = 3_600_000;
const LOOK_MS: i64 = 5 * 60_000;

/// A laptop, and what its agent remembers.
pub struct Pupil {
    pub laptop: Laptop,
    changes: Changes,
    spool: Vec<Delivered>,
    is_connected: bool,
    /// When its probes were last looked at.
    looked: Option<UnixMs>,
    day: i64,
    /// When its lid is open on that day, in seconds.
    open: Vec<(u32, u32)>,
}

/// What a laptop did in a step.
pub struct Step {
    pub connected: Option<bool>,
    pub reports: Vec<Delivered>,
}

impl Pupil {
    pub fn new(laptop: Laptop) -> Self {
        Self {
            laptop,
            changes: Changes::default(),
            spool: Vec::new(),
            is_connected: false,
            looked: None,
            day: i64::MIN,
            open: Vec::new(),
        }
    }

    pub fn device(&self, enrolled: UnixMs) -> Device {
        let laptop = &self.laptop;
        Device {
            id: laptop.device_id(),
            site: laptop
                .school()
                .name
                .parse()
                .expect("a school's name is a label"),
            group: None,
            enrolled,
            fingerprint: laptop.fingerprint(),
            vendor: laptop.vendor().to_owned(),
            model: laptop.model(),
            agent_version: "0.1.0".to_owned(),
            standing: Standing::Active,
            cloned_from: None,
        }
    }

    pub fn step(
        &mut self,
        at: UnixMs,
        step_ms: i64,
        schedule: &Schedule,
        reaches: impl Fn(&Moment) -> bool,
    ) -> Step {
        let moment = self
            .may_be_open(at)
            .then(|| self.laptop.moment(at))
            .flatten()
            .map(|moment| self.began(moment, step_ms));
        let online = moment.as_ref().is_some_and(&reaches);
        if let Some(moment) = &moment
            && let Some(report) = self.report(moment, step_ms, schedule)
        {
            self.spool.push(report);
        }
        let connected = (online != self.is_connected).then_some(online);
        self.is_connected = online;
        let reports = if online {
            std::mem::take(&mut self.spool)
        } else {
            Vec::new()
        };
        Step { connected, reports }
    }

    /// Where the agent began to run within the step, the moment at which it did: an agent reports as soon as it is
    /// started or woken, and after a start it reports everything.
    fn began(&mut self, moment: Moment, step_ms: i64) -> Moment {
        let from = moment.at.plus_ms(-step_ms);
        let started_ms = (self.laptop.boot_s(moment.booted) * 1000.0) as i64;
        let started = moment.booted.plus_ms(started_ms);
        if started > from {
            self.changes.request_full();
            return self.laptop.moment(started).unwrap_or(moment);
        }
        let zone = self.laptop.school().zone;
        let local = zone.local(moment.at);
        let open = self
            .open
            .iter()
            .rev()
            .find(|(from, _)| *from <= local.second);
        let opened = open.map(|(second, _)| {
            zone.moment(Local {
                day: local.day,
                second: *second,
            })
        });
        match opened.filter(|opened| *opened > from) {
            Some(opened) => self.laptop.moment(opened).unwrap_or(moment),
            None => moment,
        }
    }

    /// Whether the lid may be open: asked of every laptop at every step, so the day's plan is kept.
    fn may_be_open(&mut self, at: UnixMs) -> bool {
        let local = self.laptop.school().zone.local(at);
        if local.day != self.day {
            self.day = local.day;
            let plan = DayPlan::of(&self.laptop, local.day);
            self.open = plan.spans().iter().map(|s| (s.from, s.to)).collect();
        }
        let within = |(from, to): &(u32, u32)| (*from..*to).contains(&local.second);
        self.open.iter().any(within)
    }

    fn report(&mut self, moment: &Moment, step_ms: i64, schedule: &Schedule) -> Option<Delivered> {
        let at = moment.at;
        let full = self.changes.is_full_due(at, schedule.full_s);
        let mut readings = if full {
            self.laptop.read(moment, Probe::ALL, &TARGETS)
        } else {
            // What came due while it slept or just before, it reads as soon as it is awake.
            let looked = self.looked.unwrap_or(at.plus_ms(-step_ms));
            let due = Probe::due(schedule, looked, at);
            self.laptop.read(moment, due, &TARGETS)
        };
        self.looked = Some(at);
        readings.push(self.clock_offset(at));
        let changed = self.changes.take(at, readings, full)?;
        Some((at, changed.full, changed.readings))
    }

    /// What its days were like until a moment, by the hour.
    pub fn past(&self, days: i64, until: UnixMs) -> Vec<Sample> {
        let mut state = DeviceState::new(self.device(until));
        let hours = (-days * 24..0).map(|hour| until.plus_ms(hour * HOUR_MS));
        let mut samples = Vec::new();
        for moment in hours.filter_map(|at| self.laptop.moment(at)) {
            let readings = self.laptop.read(&moment, [Probe::Fast], &TARGETS);
            let read = readings
                .into_iter()
                .map(|reading| (SeriesKey::of(&reading), reading.value().clone()));
            state.apply_step(moment.at, None, read.collect(), HOUR_MS);
            state.radio_losses += self.losses(&moment);
            samples.extend(Sample::of(&state).map(|sample| Sample {
                slots: SLOTS_PER_HOUR,
                ..sample
            }));
        }
        samples
    }

    /// How often the radio is lost in the hour before a moment, as who looks every five minutes sees it.
    fn losses(&self, moment: &Moment) -> u64 {
        let is_lost = |look: i64| {
            let at = moment.at.plus_ms(-look * LOOK_MS);
            network::fails(&self.laptop, moment.place, at) == Some(Outage::Link)
        };
        let looks = (0..HOUR_MS / LOOK_MS).filter(|look| is_lost(*look) && !is_lost(look + 1));
        looks.count() as u64
    }

    /// A full report from the middle of the day's first time with the lid open, where it gets through.
    pub fn glance(
        &self,
        during: Range<UnixMs>,
        reaches: impl Fn(&Moment) -> bool,
    ) -> Option<Delivered> {
        let zone = self.laptop.school().zone;
        let local = zone.local(UnixMs(during.start.0.midpoint(during.end.0)));
        let plan = DayPlan::of(&self.laptop, local.day);
        let middles = plan.spans().iter().map(|span| {
            zone.moment(Local {
                day: local.day,
                second: span.from.midpoint(span.to),
            })
        });
        let mut moments = middles
            .filter(|at| during.contains(at))
            .filter_map(|at| self.laptop.moment(at));
        // A glance soon after a start would pass for the end of a long one.
        let moment = moments
            .find(|moment| moment.at.since(moment.booted) > SETTLED_MS && reaches(moment))?;
        let mut readings = self.laptop.read(&moment, Probe::ALL, &TARGETS);
        readings.push(self.clock_offset(moment.at));
        Some((moment.at, true, readings))
    }

    /// What the collector adds when a message comes, in tenths of a second.
    fn clock_offset(&self, at: UnixMs) -> Reading {
        let tenths = (self.laptop.skew_ms(at) as f64 / 100.0).round();
        Reading::number(&CLOCK_OFFSET, "", tenths / 10.0)
    }
}
