//! Batteries: how they fade, and what their firmware makes of it.
//!
//! Lithium-ion cells lose about a twelfth of their capacity a year in a pupil's hands, some three
//! times as much. Firmware tells that in its own way: some jumps when it measures anew, some always
//! says the capacity of a new battery, some moves the design capacity along.

use rollcall_shared::metric;

use super::Moment;
use super::chance::{Chance, Topic, weighted};
use super::day::Power;
use super::faults::Fault;
use super::laptop::{Laptop, Life};
use super::machines::Family;
use super::shares;
use super::sheet::Sheet;
use rollcall_shared::time::UnixMs;

/// What a battery can do now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Its true capacity in Wh.
    pub capacity_wh: f64,
    /// The power of its charger in W.
    pub charger_w: f64,
}

/// A battery and its firmware.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battery {
    life: Life,
    firmware: Firmware,
    design_mwh: f64,
    charger_w: f64,
    counts_cycles: bool,
    /// The share of its capacity that an event has cost.
    lost: f64,
}

/// How firmware tells of capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// As it is, but for small errors.
    Honest,
    /// It drifts, and jumps when a deep discharge lets it measure anew.
    Jumping,
    /// Always as new.
    Frozen,
    /// The design capacity always equals the full one.
    Mirror,
}

/// Years that a battery stays in use before it is replaced with its laptop or alone.
const LIFE_YEARS: (f64, f64) = (3.0, 5.5);

/// Median fading in a year, and its spread as a factor.
const FADE_PER_YEAR: (f64, f64) = (0.088, 0.5);

/// Full charges on an average day, weekends and the summer included.
const CYCLES_PER_DAY: (f64, f64) = (0.25, 0.6);

/// What a charger that is too small gives of what the right one does: 30 W of 45, 45 W of 65.
const SMALL_CHARGER: f64 = 0.68;

/// Less than this is left of no battery that is still in use.
const LEAST_HEALTH: f64 = 0.12;

impl Battery {
    /// The battery that is in a laptop at a moment.
    #[must_use]
    pub fn of(laptop: &Laptop, at: UnixMs) -> Self {
        let years = laptop
            .chance
            .between(Topic::BatteryLife, LIFE_YEARS.0, LIFE_YEARS.1);
        let life = laptop.life(Topic::Battery, Topic::BatteryAge, years * 365.25, at);
        Self {
            life,
            firmware: firmware_at(laptop.fleet.spread(Topic::Firmware, laptop.number)),
            design_mwh: laptop.machine.battery_mwh,
            charger_w: laptop.machine.charger_w,
            counts_cycles: laptop.fleet.spread(Topic::CountsCycles, laptop.number)
                < shares::COUNTED_CYCLES,
            lost: laptop
                .event
                .map_or(0.0, |event| event.battery_loss(laptop, at)),
        }
    }

    /// What it can do.
    #[must_use]
    pub fn cell(&self) -> Cell {
        Cell {
            capacity_wh: self.true_health() * self.design_mwh / 1000.0,
            charger_w: self.charger_w,
        }
    }

    /// Its true capacity as a share of the design capacity.
    #[must_use]
    pub fn true_health(&self) -> f64 {
        let chance = self.life.chance;
        let (median, spread) = FADE_PER_YEAR;
        let per_year = median * (spread * chance.bell(Topic::Fade)).exp();
        let new = 1.0 + chance.between(Topic::Initial, -0.03, 0.04);
        (new - self.lost - per_year * self.life.age_days / 365.25).max(LEAST_HEALTH)
    }

    /// Full charges so far.
    #[must_use]
    pub fn cycles(&self) -> f64 {
        let (low, high) = CYCLES_PER_DAY;
        (self.life.age_days * self.life.chance.between(Topic::Cycles, low, high)).floor()
    }

    /// The full and the design capacity as the firmware tells them, in whole mWh.
    #[must_use]
    pub fn told_mwh(&self) -> (f64, f64) {
        let truth = self.true_health() * self.design_mwh;
        let (full, design) = match self.firmware {
            Firmware::Honest => (truth * (1.0 + 0.004 * self.error(7.0)), self.design_mwh),
            Firmware::Jumping => (truth * self.jump(), self.design_mwh),
            Firmware::Frozen => (self.design_mwh, self.design_mwh),
            Firmware::Mirror => (truth, truth),
        };
        (full.round(), design.round())
    }

    /// An error that stays for some days.
    fn error(&self, days: f64) -> f64 {
        let period = (self.life.age_days / days) as i64;
        self.life
            .chance
            .of(Topic::Recalibration, period)
            .bell(Topic::RecalibrationSize)
    }

    /// A factor that changes at each measurement, once in three to nine weeks, by some percent as a
    /// rule and by more than a tenth now and then.
    fn jump(&self) -> f64 {
        let days = self.life.chance.between(Topic::Recalibration, 21.0, 63.0);
        let period = (self.life.age_days / days) as i64;
        let own = self.life.chance.of(Topic::Recalibration, period);
        let size = if own.holds(Topic::Recalibration, 0.12) {
            0.10
        } else {
            0.02
        };
        let since = (self.life.age_days / days).fract();
        (1.0 + size * own.bell(Topic::RecalibrationSize) - 0.01 * since).clamp(0.6, 1.15)
    }

    /// Firmware that says nothing for an hour, now and then: a twentieth of batteries.
    fn is_silent(&self, laptop: &Laptop, at: UnixMs) -> bool {
        laptop.chance.holds(Topic::Glitch, 0.05)
            && laptop
                .chance
                .of(Topic::Glitch, at.seconds() / 3600)
                .holds(Topic::Glitch, 0.02)
    }
}

/// Writes what a battery tells.
pub fn write(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let name = laptop.battery_name();
    let battery = &moment.battery;
    let power = moment.power;
    sheet.text(&metric::BATTERY_STATE, name, state(&power));
    sheet.number(
        &metric::BATTERY_CHARGE,
        name,
        (power.charge * 100.0).round() / 100.0,
    );
    write_capacity(battery, laptop, moment.at, sheet);
    if battery.counts_cycles {
        sheet.number(&metric::BATTERY_CYCLES, name, battery.cycles());
    } else {
        sheet.missing(
            &metric::BATTERY_CYCLES,
            name,
            "the firmware does not count cycles",
        );
    }
    sheet.number(&metric::BATTERY_POWER, name, tenth(power.watts));
    let volts = 10.6 + 1.9 * power.charge + 0.01 * power.watts;
    sheet.number(
        &metric::BATTERY_VOLTAGE,
        name,
        (volts * 1000.0).round() / 1000.0,
    );
    let heat = 24.0 + 7.0 * moment.busy + 0.2 * power.watts.abs();
    sheet.number(&metric::BATTERY_TEMPERATURE, name, tenth(heat));
    // Only Apple's firmware tells of its cells.
    if laptop.machine.family == Family::Mac {
        for cell in ["1", "2", "3"] {
            let place = format!("{name}/{cell}");
            sheet.number(
                &metric::BATTERY_CELL_VOLTAGE,
                &place,
                (volts / 3.0 * 1000.0).round() / 1000.0,
            );
        }
    }
    let worn = battery.told_mwh().0 < 0.5 * battery.told_mwh().1;
    let condition = if worn { "service" } else { "good" };
    sheet.text(&metric::BATTERY_CONDITION, name, condition);
    write_time_left(name, &power, battery, sheet);
    sheet.number(&metric::BATTERY_CHARGE_LIMIT, name, power.limit);
    sheet.text(&metric::BATTERY_MODEL, name, laptop.machine.battery);
    sheet.flag(&metric::CHARGER_CONNECTED, "", power.charger);
    if power.charger {
        let is_small = Fault::SmallCharger.holds(laptop, moment.at)
            || laptop
                .day_chance(moment.day)
                .holds(Topic::Borrowed, shares::BORROWED_CHARGERS);
        let share = if is_small { SMALL_CHARGER } else { 1.0 };
        let watts = laptop.machine.charger_w * share;
        sheet.number(&metric::CHARGER_POWER, "", watts.round());
        let carries = power.watts >= 0.0;
        sheet.flag(&metric::CHARGER_ADEQUATE, "", carries);
    } else {
        sheet.missing(&metric::CHARGER_ADEQUATE, "", "no charger is connected");
        sheet.missing(&metric::CHARGER_POWER, "", "no charger is connected");
    }
}

fn write_capacity(battery: &Battery, laptop: &Laptop, at: UnixMs, sheet: &mut Sheet) {
    let name = laptop.battery_name();
    if battery.is_silent(laptop, at) {
        let all = [
            &metric::BATTERY_DESIGN_CAPACITY,
            &metric::BATTERY_FULL_CAPACITY,
            &metric::BATTERY_HEALTH,
        ];
        for metric in all {
            sheet.missing(metric, name, "the firmware says 0");
        }
        return;
    }
    let (full, design) = battery.told_mwh();
    sheet.number(&metric::BATTERY_DESIGN_CAPACITY, name, design);
    sheet.number(&metric::BATTERY_FULL_CAPACITY, name, full);
    sheet.number(
        &metric::BATTERY_HEALTH,
        name,
        (full / design * 10_000.0).round() / 10_000.0,
    );
}

fn write_time_left(name: &str, power: &Power, battery: &Battery, sheet: &mut Sheet) {
    let share = if power.watts < 0.0 {
        power.charge
    } else {
        power.limit - power.charge
    };
    if power.watts.abs() < 0.1 {
        sheet.missing(
            &metric::BATTERY_TIME_LEFT,
            name,
            "the battery neither gives nor takes",
        );
    } else {
        let seconds = share * battery.cell().capacity_wh / power.watts.abs() * 3600.0;
        sheet.number(
            &metric::BATTERY_TIME_LEFT,
            name,
            seconds.clamp(0.0, 200_000.0).round(),
        );
    }
}

fn state(power: &Power) -> &'static str {
    match power {
        Power { charger: false, .. } => "discharging",
        Power { watts, .. } if *watts > 0.0 => "charging",
        Power { charge, .. } if *charge > 0.97 => "full",
        Power { .. } => "not_charging",
    }
}

fn firmware_at(fraction: f64) -> Firmware {
    let told = shares::FROZEN_FIRMWARE + shares::MIRROR_FIRMWARE + shares::JUMPING_FIRMWARE;
    let kinds = [
        (1.0 - told, Firmware::Honest),
        (shares::JUMPING_FIRMWARE, Firmware::Jumping),
        (shares::FROZEN_FIRMWARE, Firmware::Frozen),
        (shares::MIRROR_FIRMWARE, Firmware::Mirror),
    ];
    *weighted(fraction, &kinds)
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A wobble that is the same for some seconds.
pub(super) fn wobble(chance: Chance, topic: Topic, at: UnixMs) -> f64 {
    const SECONDS: i64 = 5;
    chance
        .of(topic, at.seconds().div_euclid(SECONDS))
        .bell(topic)
}
