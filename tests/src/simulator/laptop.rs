//! One laptop: what stays the same of it, its clocks and its identity.

use rollcall_agent::identity;
use rollcall_shared::fingerprint::{HardwareFingerprint, hash_part};
use rollcall_shared::id::{BootId, DeviceId, SpoolId};
use rollcall_shared::report::Taken;
use rollcall_shared::time::{SinceBootMs, UnixMs};

use super::Fleet;
use super::calendar::{DAY_S, Local, Zone};
use super::chance::{Chance, Topic, weighted};
use super::day::DayPlan;
use super::faults::Fault;
use super::machines::{DriveKind, Family, Machine, System, machine_at, system_at};
use super::scenario::Event;
use super::shares;
use super::stops::{self, Rates};

/// A school and where it lies in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct School {
    /// Its place in the fleet, from 0.
    pub index: u32,
    /// Its name, which a reading's vantage carries.
    pub name: String,
    /// Its zone.
    pub zone: Zone,
}

/// How the network at a laptop's home is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// It works.
    Good,
    /// It fails for half an hour again and again.
    Flaky,
    /// A filter opens TLS and signs it anew.
    Filtered,
    /// There is none.
    Without,
}

/// What is wrong with a laptop's wall clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WallClock {
    /// Right to some seconds, given here in milliseconds.
    Right(i64),
    /// Off by this many milliseconds: a wrong zone, or a clock that nobody sets.
    Off(i64),
    /// The battery of the clock is empty: after each start it counts from the day it was made.
    Reset,
}

/// A laptop of the fleet. Everything of it follows from the fleet's seed and its number.
#[derive(Debug, Clone, PartialEq)]
pub struct Laptop {
    pub(super) number: u32,
    pub(super) chance: Chance,
    /// The fleet's chance: what laptops share, such as an outage of their school.
    pub(super) fleet: Chance,
    pub(super) school: School,
    pub(super) machine: &'static Machine,
    pub(super) system: &'static System,
    pub(super) home: Home,
    pub(super) clock: WallClock,
    pub(super) clone_of: Option<u32>,
    /// Days between two restarts.
    restart_every: i64,
    /// Crashes and held power buttons in 30 days.
    pub(super) rates: Rates,
    /// A bit for each fault that it is prone to: asked at every moment, and most are prone to none.
    pub(super) prone_to: u8,
    serial_hash: String,
    fleet_of: Fleet,
    pub(super) event: Option<Event>,
}

/// What the empty clock of a mainboard starts from: 2019-01-01.
const CLOCK_RESET: UnixMs = UnixMs(1_546_300_800_000);

/// When the first laptop of a fleet enrolled, 2026-08-03, and how long after it each next one.
const ENROLLED_FROM_MS: u64 = 1_785_751_200_000;
const ENROLLED_EACH_MS: u64 = 700;

/// A restart on a day on which nobody opens the lid is the system's own, in the night.
const RESTART_SECOND: u32 = 4 * 3600 + 1800;

/// How much longer a start takes that is slow.
const SLOW_START_S: f64 = 100.0;

impl Laptop {
    pub(super) fn new(of: Fleet, number: u32) -> Self {
        let (seed, fleet) = (of.seed, of.chance());
        let chance = fleet.of(Topic::Laptop, i64::from(number));
        let machine = machine_at(fleet.spread(Topic::Machine, number));
        let serial = serial(seed, number);
        let mut laptop = Self {
            number,
            chance,
            fleet,
            school: school_at(
                fleet.spread(Topic::School, number),
                number / SCHOOLS_SHARE_LAPTOPS,
            ),
            machine,
            system: system_at(machine.family, chance.fraction(Topic::System)),
            home: home_at(fleet.spread(Topic::Home, number)),
            clock: clock_of(fleet, chance, number),
            clone_of: clone_of(fleet, number),
            restart_every: restart_every(chance),
            rates: Rates::of(chance),
            prone_to: Fault::prone_to(fleet, number),
            serial_hash: hash_of("system-serial", &serial),
            fleet_of: of,
            event: of.event,
        };
        if let Some(event) = of.event {
            event.mark(&mut laptop);
        }
        laptop
    }

    /// A fraction of this laptop's own.
    pub(super) const fn own(&self, topic: Topic) -> f64 {
        self.chance.fraction(topic)
    }

    /// The place in the fleet of another laptop's school.
    pub(super) fn school_of(&self, number: u32) -> u32 {
        school_index(
            self.fleet.spread(Topic::School, number),
            number / SCHOOLS_SHARE_LAPTOPS,
        )
    }

    /// Its number in the fleet.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its identity in a store or crowd that was made without enrolment over the wire: the same for
    /// the same seed and number, and like a real one a UUID of version 7, by order of enrolment.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        let time_ms = ENROLLED_FROM_MS + self.number as u64 * ENROLLED_EACH_MS;
        let high = (time_ms << 16) | 0x7000 | (self.chance.bits(Topic::Device) & 0x0fff);
        let low = (self.chance.bits(Topic::Serial) >> 2) | (1 << 63);
        let id = ((high as u128) << 64) | low as u128;
        DeviceId::from_bytes(id.to_be_bytes())
    }

    /// The spool whose reports a crowd sends and a filled store holds.
    #[must_use]
    pub const fn spool_id(&self) -> SpoolId {
        let (high, low) = (
            self.chance.bits(Topic::Spool),
            self.chance.bits(Topic::Boot),
        );
        SpoolId::from_bytes((((high as u128) << 64) | low as u128).to_be_bytes())
    }

    /// Another laptop of the same fleet.
    #[must_use]
    pub fn sibling(&self, number: u32) -> Self {
        Self::new(self.fleet_of, number)
    }

    /// Its school.
    #[must_use]
    pub const fn school(&self) -> &School {
        &self.school
    }

    /// What is wrong with its wall clock.
    #[must_use]
    pub const fn clock(&self) -> WallClock {
        self.clock
    }

    /// The laptop whose disk it was imaged from, with the drive's serial number in the image.
    #[must_use]
    pub const fn clone_of(&self) -> Option<u32> {
        self.clone_of
    }

    /// Who made it.
    #[must_use]
    pub const fn vendor(&self) -> &'static str {
        self.machine.vendor
    }

    /// The model's name; it begins with `Simulated `.
    #[must_use]
    pub fn model(&self) -> String {
        format!("Simulated {}", self.machine.model)
    }

    /// Hashes of its serial numbers. A clone has its original's drive and a board of its own.
    #[must_use]
    pub fn fingerprint(&self) -> HardwareFingerprint {
        let drive = self.clone_of.unwrap_or(self.number);
        HardwareFingerprint::from_serials(
            Some(&format!(
                "board {}",
                serial(self.fleet_of.seed, self.number)
            )),
            Some(&serial(self.fleet_of.seed, self.number)),
            Some(&format!("drive {}", serial(self.fleet_of.seed, drive))),
        )
    }

    /// The hardware, as Enroll and Hello name it.
    #[must_use]
    pub fn hardware(&self) -> identity::Machine {
        identity::Machine {
            fingerprint: self.fingerprint(),
            vendor: self.machine.vendor.to_owned(),
            model: self.model(),
        }
    }

    /// What its own clocks say at a moment.
    #[must_use]
    pub fn taken(&self, at: UnixMs) -> Taken {
        let booted = self.booted(at);
        let since_boot = u64::try_from(at.since(booted)).unwrap_or(0);
        let wall = match self.clock {
            WallClock::Right(ms) | WallClock::Off(ms) => at.plus_ms(ms),
            WallClock::Reset => CLOCK_RESET.plus_ms(at.since(booted)),
        };
        let boot = self.chance.of(Topic::Boot, booted.seconds());
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&boot.bits(Topic::Boot).to_be_bytes());
        bytes[8..].copy_from_slice(&boot.bits(Topic::Serial).to_be_bytes());
        Taken {
            wall,
            boot: BootId::from_bytes(bytes),
            since_boot: SinceBootMs(since_boot),
        }
    }

    /// When it was last started before a moment: with the first opening of every few days, by its habit, and
    /// after it had gone out.
    #[must_use]
    pub fn booted(&self, at: UnixMs) -> UnixMs {
        let zone = self.school.zone;
        let local = zone.local(at);
        let phase = (self.chance.bits(Topic::Restart) % 1000).cast_signed();
        let planned = |today: i64| today - (today + phase).rem_euclid(self.restart_every);
        let opened = |day: i64| {
            let first = DayPlan::of(self, day).spans().first().map(|span| span.from);
            first.unwrap_or(RESTART_SECOND)
        };
        let (mut day, mut second) = (planned(local.day), opened(planned(local.day)));
        if day == local.day && local.second < second {
            day = planned(local.day - 1);
            second = opened(day);
        }
        let after_stop = (day..=local.day).rev().find_map(|of| {
            let until = if of == local.day { local.second } else { DAY_S };
            Some((of, stops::started(self, of, until)?))
        });
        let (day, second) = after_stop.map_or((day, second), |stop| stop.max((day, second)));
        zone.moment(Local { day, second })
    }

    /// How many seconds a start took, until the agent ran.
    #[must_use]
    pub fn boot_s(&self, booted: UnixMs) -> f64 {
        let usual = match self.machine.drive.kind {
            DriveKind::Nvme => 22.0,
            DriveKind::Ssd => 30.0,
            DriveKind::Emmc => 45.0,
            DriveKind::Hdd => 75.0,
        };
        let own = usual * self.chance.between(Topic::Restart, 0.8, 1.3);
        let bell = self
            .chance
            .of(Topic::Restart, booted.seconds())
            .bell(Topic::Restart);
        let slow = if Fault::SlowStart.holds(self, booted) {
            SLOW_START_S
        } else {
            0.0
        };
        (own * (1.0 + 0.08 * bell) + slow).round()
    }

    pub(super) fn serial_hash(&self) -> &str {
        &self.serial_hash
    }

    /// A source for one local day.
    pub(super) const fn day_chance(&self, day: i64) -> Chance {
        self.chance.of(Topic::Day, day)
    }

    /// How long ago the present life of a part began, which one it is, and a source for it. A part
    /// lives `low` to `high` days, the same laptop's always as long, and is then replaced; where in
    /// its life it stands is spread evenly over the fleet, at any date.
    pub(super) fn life(&self, part: Topic, age: Topic, days: f64, at: UnixMs) -> Life {
        let phase = self.fleet.spread(age, self.number) * days;
        let now = at.0 as f64 / (f64::from(DAY_S) * 1000.0) + phase;
        let index = (now / days).floor();
        Life {
            chance: self.chance.of(part, index as i64),
            age_days: now - index * days,
            days,
        }
    }

    /// The instance that the system names its battery by.
    pub(super) const fn battery_name(&self) -> &'static str {
        match self.machine.family {
            Family::Windows | Family::Linux => "BAT0",
            Family::Mac => "InternalBattery-0",
        }
    }
}

/// A life of a part that is replaced at its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Life {
    pub chance: Chance,
    pub age_days: f64,
    pub days: f64,
}

fn serial(seed: u64, number: u32) -> String {
    format!("SIM{seed:X}-{number:06}")
}

fn hash_of(name: &str, text: &str) -> String {
    let hash = hash_part(name, text).expect("a simulated serial number is no placeholder");
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn home_at(fraction: f64) -> Home {
    let homes = [
        (
            1.0 - shares::FLAKY_HOMES - shares::FILTERED_HOMES - shares::HOMES_WITHOUT,
            Home::Good,
        ),
        (shares::FLAKY_HOMES, Home::Flaky),
        (shares::FILTERED_HOMES, Home::Filtered),
        (shares::HOMES_WITHOUT, Home::Without),
    ];
    *weighted(fraction, &homes)
}

fn clock_of(fleet: Chance, chance: Chance, number: u32) -> WallClock {
    if fleet.spread(Topic::Clock, number) >= shares::WRONG_CLOCKS {
        return WallClock::Right((chance.bell(Topic::ClockSize) * 2000.0) as i64);
    }
    let hours = chance.between(Topic::ClockSize, 1.0, 9.0).floor() as i64;
    let kinds = [
        (0.5, WallClock::Off(hours * 3_600_000)),
        (0.2, WallClock::Off(-hours * 11 * 60_000)),
        (0.3, WallClock::Reset),
    ];
    *weighted(chance.fraction(Topic::Clock), &kinds)
}

/// The laptop before it that is no clone itself.
fn clone_of(fleet: Chance, number: u32) -> Option<u32> {
    let is_clone = |n: u32| fleet.spread(Topic::Clone, n) < shares::CLONES;
    is_clone(number)
        .then(|| (0..number).rev().find(|n| !is_clone(*n)))
        .flatten()
}

fn restart_every(chance: Chance) -> i64 {
    let habits = [(0.5, (1.0, 4.0)), (0.35, (5.0, 15.0)), (0.15, (20.0, 61.0))];
    let (low, high) = *weighted(chance.fraction(Topic::Habit), &habits);
    chance.between(Topic::Restart, low, high) as i64
}

/// Six schools share out 2,400 laptops, the next six the next, so that a school has 400 and where a
/// laptop goes does not depend on how many there are.
const SCHOOLS_SHARE_LAPTOPS: u32 = 2400;
const SCHOOLS_TOGETHER: u32 = 6;

fn school_index(fraction: f64, block: u32) -> u32 {
    block * SCHOOLS_TOGETHER + (fraction * f64::from(SCHOOLS_TOGETHER)) as u32
}

fn school_at(fraction: f64, block: u32) -> School {
    const NAMES: [&str; 12] = [
        "Lincoln",
        "Washington",
        "Roosevelt",
        "Douglass",
        "Franklin",
        "Carver",
        "Hamilton",
        "Keller",
        "Jefferson",
        "Tubman",
        "Edison",
        "Earhart",
    ];
    const LEVELS: [&str; 3] = ["Elementary School", "Middle School", "High School"];
    let index = school_index(fraction, block);
    let at = index as usize;
    let (name, level, round) = (NAMES[at % 12], LEVELS[at % 3], at / 36);
    // 12 and 3 are not coprime: the level turns once more with each dozen.
    let level = if (at / 12).is_multiple_of(3) {
        level
    } else {
        LEVELS[(at + at / 12) % 3]
    };
    let name = if round == 0 {
        format!("{name} {level}")
    } else {
        format!("{name} {level} {}", round + 1)
    };
    // Two of three schools lie east of the line.
    let zone = if index % 3 == 2 {
        Zone::Central
    } else {
        Zone::Eastern
    };
    School { index, name, zone }
}
