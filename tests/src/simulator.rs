//! The fleet simulator's model: a school district's laptops as a pure function.
//!
//! (seed, number of the laptop, time) gives the readings of the catalogue as that laptop would have
//! taken them, in any order and without any state: batteries that drain over a school day and fade
//! over years, disks that fill, drives of which some fail, homes whose network comes and goes,
//! nights, weekends and holidays in two time zones, imaged clones, wrong clocks. [`shares`] declares
//! how many of each there are. Parts that wear out are replaced, so a fleet looks alike at any date.
//!
//! [`Fleet::fill`] walks through a time span without any network, for stores, rules and benchmarks;
//! the binary `rollcall-simulator` streams the same laptops to a collector.

mod battery;
pub mod calendar;
pub(crate) mod chance;
mod changes;
#[cfg(target_os = "linux")]
pub mod command;
#[cfg(target_os = "linux")]
pub mod crowd;
mod day;
mod descriptors;
mod drive;
mod faults;
mod filesystem;
mod fill;
#[cfg(target_os = "linux")]
pub mod history;
mod laptop;
pub mod live;
mod machines;
pub(crate) mod network;
pub mod scenario;
pub mod shares;
mod sheet;
mod stops;
mod system;
#[cfg(test)]
mod tests;
pub mod truth;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

pub use battery::{Battery, Cell, Firmware};
pub use changes::{Changed, Changes};
pub use day::{DayPlan, Place, Power, Span};
pub use drive::Drive;
pub use faults::Fault;
pub use fill::{Fill, Sample};
pub use laptop::{Home, Laptop, School, WallClock};
pub use machines::{DriveKind, DriveModel, Family, Machine, System};
pub use network::Outage;

use chance::Chance;
use scenario::Event;
use sheet::Sheet;

/// What lessons depend on, where nobody configures other targets.
pub const TARGETS: [&str; 3] = ["Google Classroom", "Canvas", "Clever"];

/// All laptops of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    seed: u64,
    event: Option<Event>,
}

/// A laptop that is awake at a moment, and all that its readings follow from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// The moment, by a clock that is right.
    pub at: UnixMs,
    /// The local date, in days since 1970-01-01.
    pub day: i64,
    /// When the laptop was last started.
    pub booted: UnixMs,
    /// Where it is.
    pub place: Place,
    /// How much is done with it, from 0 to 1.
    pub busy: f64,
    /// How its battery stands.
    pub power: Power,
    /// Its battery.
    pub battery: Battery,
    /// Its drive.
    pub drive: Drive,
    /// What fails of the network.
    pub outage: Option<Outage>,
}

/// Readings that are taken together, as often as the schedule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Processor, memory, heat, battery and links.
    Fast,
    /// Vantage, gateway, DNS and the reachability of targets.
    Network,
    /// File systems.
    Disk,
    /// The drive's health.
    Drive,
    /// System, updates and hardware.
    Slow,
}

impl Fleet {
    /// The fleet of a seed. It has no end: each laptop follows from its number alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, event: None }
    }

    /// The same fleet with something that befalls it.
    #[must_use]
    pub const fn with(self, event: Event) -> Self {
        Self {
            seed: self.seed,
            event: Some(event),
        }
    }

    /// What befalls it.
    #[must_use]
    pub const fn event(&self) -> Option<Event> {
        self.event
    }

    pub(crate) const fn chance(&self) -> Chance {
        Chance::seeded(self.seed)
    }

    /// The laptop with a number.
    #[must_use]
    pub fn laptop(&self, number: u32) -> Laptop {
        Laptop::new(*self, number)
    }
}

impl Probe {
    /// Every probe.
    pub const ALL: [Self; 5] = [
        Self::Fast,
        Self::Network,
        Self::Disk,
        Self::Drive,
        Self::Slow,
    ];

    /// Seconds between two readings by a schedule.
    #[must_use]
    pub const fn interval_s(self, schedule: &Schedule) -> u32 {
        match self {
            Self::Fast => schedule.fast_s,
            Self::Network => schedule.network_s,
            Self::Disk => schedule.disk_s,
            Self::Drive => schedule.drive_s,
            Self::Slow => schedule.slow_s,
        }
    }

    /// The probes of which an interval ends after `earlier` and not after `at`.
    pub fn due(schedule: &Schedule, earlier: UnixMs, at: UnixMs) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |probe| {
            let seconds = i64::from(probe.interval_s(schedule).max(1));
            earlier.seconds().div_euclid(seconds) < at.seconds().div_euclid(seconds)
        })
    }
}

impl Laptop {
    /// What holds for the laptop at a moment; `None` while it sleeps or starts, or its battery is empty.
    #[must_use]
    pub fn moment(&self, at: UnixMs) -> Option<Moment> {
        let local = self.school.zone.local(at);
        let plan = DayPlan::of(self, local.day);
        let span = plan.span_at(local.second)?;
        let event = self.event;
        if event.is_some_and(|event| event.closes_lid(self, span.place, at)) {
            return None;
        }
        let battery = Battery::of(self, at);
        let booted = self.booted(at);
        if (at.since(booted) as f64) < self.boot_s(booted) * 1000.0 {
            return None;
        }
        Some(Moment {
            at,
            day: local.day,
            booted,
            place: span.place,
            busy: span.busy,
            power: plan.power_at(local.second, &battery.cell())?,
            battery,
            drive: Drive::of(self, at),
            outage: network::fails(self, span.place, at),
        })
    }

    /// The readings of some probes at a moment.
    pub fn read(
        &self,
        moment: &Moment,
        probes: impl IntoIterator<Item = Probe>,
        targets: &[impl AsRef<str>],
    ) -> Vec<Reading> {
        let mut sheet = Sheet::of(self.machine.family);
        for probe in probes {
            match probe {
                Probe::Fast => {
                    system::write_fast(self, moment, &mut sheet);
                    battery::write(self, moment, &mut sheet);
                    network::write_links(self, moment, &mut sheet);
                }
                Probe::Network => network::write(self, moment, targets, &mut sheet),
                Probe::Disk => filesystem::write(self, moment, &mut sheet),
                Probe::Drive => drive::write(self, moment, &mut sheet),
                Probe::Slow => {
                    system::write(self, moment, &mut sheet);
                    filesystem::write_classes(self, moment, &mut sheet);
                }
            }
        }
        sheet.into_readings()
    }

    /// Every reading at a time; `None` while the laptop sleeps.
    #[must_use]
    pub fn readings(&self, at: UnixMs) -> Option<Vec<Reading>> {
        let moment = self.moment(at)?;
        Some(self.read(&moment, Probe::ALL, &TARGETS))
    }
}

impl Moment {
    /// Whether the laptop reaches a collector on the internet.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        self.outage.is_none()
    }
}
