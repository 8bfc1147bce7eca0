//! The operating system, the hardware, and what moves by the minute: processor, memory, heat.

use rollcall_shared::metric;
use rollcall_shared::time::{UnixMs, civil_from_days, days_from_civil};

use super::Moment;
use super::battery::wobble;
use super::calendar::last_patch_day;
use super::chance::{Topic, weighted};
use super::faults::Fault;
use super::laptop::Laptop;
use super::machines::Family;
use super::sheet::Sheet;
use super::{shares, stops};

/// Days between the day that updates come and the day that a laptop installs them, at most.
const INSTALLED_WITHIN_DAYS: f64 = 12.0;

/// Days after which somebody repairs updates that fail.
const REPAIRED_AFTER_DAYS: f64 = 120.0;

/// Days over which dust gathers until it keeps the most heat in.
const DUST_DAYS: f64 = 14.0;

/// The revision of an update that breaks something.
const BAD_REVISION: u32 = 9999;
const BAD_DRIVER: &str = "22.999.0.1";

/// Writes what is read once in an hour: the system, its updates and the hardware.
pub fn write(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let patched = patched_day(laptop, moment.day);
    let system = laptop.system;
    sheet.text(&metric::OS_TYPE, "", family_word(laptop.machine.family));
    sheet.text(&metric::OS_NAME, "", system.name);
    sheet.text(&metric::OS_VERSION, "", system.version);
    sheet.text(&metric::OS_BUILD, "", &build(laptop, patched, moment.at));
    match system.support_ends {
        Some((year, month, date)) => {
            let left = days_from_civil(year, month, date) - moment.day;
            sheet.number(
                &metric::OS_SUPPORT_REMAINING,
                "",
                (left as f64).clamp(-20_000.0, 20_000.0),
            );
        }
        None => sheet.missing(
            &metric::OS_SUPPORT_REMAINING,
            "",
            "the vendor publishes no date",
        ),
    }
    sheet.number(
        &metric::UPTIME,
        "",
        (moment.at.since(moment.booted) / 1000) as f64,
    );
    let booted_s = moment.booted.seconds() as f64;
    sheet.number(&metric::BOOT_TIME, "", booted_s);
    sheet.text(&metric::ENVIRONMENT, "", "machine");
    write_updates(laptop, moment, patched, sheet);
    let encryption = if laptop.chance.holds(Topic::Encryption, shares::UNENCRYPTED) {
        "off"
    } else {
        "on"
    };
    sheet.text(&metric::DISK_ENCRYPTION, "", encryption);
    write_records(laptop, moment, sheet);
    write_hardware(laptop, sheet);
}

/// Writes what moves by the minute.
pub fn write_fast(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let noise = |topic| wobble(laptop.chance, topic, moment.at);
    let busy = (0.08 + 0.6 * moment.busy + 0.09 * noise(Topic::Busy)).clamp(0.005, 1.0);
    let small = 4.0 / (laptop.machine.memory / 1e9);
    let memory =
        (0.32 + 0.25 * small + 0.2 * moment.busy + 0.015 * noise(Topic::Slot)).clamp(0.1, 0.985);
    sheet.number(&metric::CPU_UTILIZATION, "", thousandth(busy));
    sheet.number(&metric::MEMORY_UTILIZATION, "", thousandth(memory));
    sheet.number(
        &metric::PAGING_UTILIZATION,
        "",
        thousandth((memory - 0.5).max(0.0) * 0.6),
    );
    if laptop.machine.family != Family::Windows {
        let load = busy * f64::from(laptop.machine.cpus) * 0.9;
        sheet.number(&metric::CPU_LOAD_15M, "", (load * 100.0).round() / 100.0);
    }
    if laptop.machine.family == Family::Linux {
        sheet.number(&metric::PRESSURE_CPU, "", thousandth(busy.powi(3) * 0.4));
        sheet.number(
            &metric::PRESSURE_MEMORY,
            "",
            thousandth((memory - 0.9).max(0.0)),
        );
        let slow = if Fault::SlowDrive.holds(laptop, moment.at) {
            0.12 + 0.4 * busy
        } else {
            0.0
        };
        let waits = (busy.powi(4) * 0.2 + slow).min(1.0);
        sheet.number(&metric::PRESSURE_IO, "", thousandth(waits));
    }
    write_heat(laptop, moment, busy, sheet);
}

fn write_heat(laptop: &Laptop, moment: &Moment, busy: f64, sheet: &mut Sheet) {
    let dust = Fault::Dust.days(laptop, moment.at);
    let critical = 100.0;
    let extra = dust.map_or(0.0, |days| 24.0 * (days / DUST_DAYS).min(1.0));
    // Two laptops of a model differ by some degrees, and so do rooms and laps from day to day.
    let own = 2.5 * laptop.chance.of(Topic::Room, 0).bell(Topic::Heat);
    let room = 2.5 * laptop.day_chance(moment.day).bell(Topic::Room);
    let now = wobble(laptop.chance, Topic::Heat, moment.at);
    let degrees = (36.0 + 34.0 * busy + extra + own + room + now).min(critical + 2.0);
    sheet.number(&metric::TEMPERATURE, "cpu", degrees.round());
    sheet.number(
        &metric::TEMPERATURE_HEADROOM,
        "cpu",
        critical - degrees.round(),
    );
    let hours = moment.at.since(moment.booted) as f64 / 3_600_000.0;
    // What dust causes is counted from when it came or the laptop was started, whichever is later.
    let dusty_hours = dust.map_or(0.0, |days| hours.min(days * 24.0));
    let per_hour = laptop.chance.between(Topic::Throttle, 40.0, 400.0);
    let throttled = hours * 0.05 + dusty_hours * per_hour;
    sheet.number(&metric::THROTTLE_EVENTS, "", throttled.floor());
    let fanless =
        laptop.machine.model == "MacBookAir10,1" || laptop.machine.cpu.contains("1.10GHz");
    if !fanless {
        let rpm = ((degrees - 40.0).max(0.0) * 75.0 + 1800.0).min(5900.0);
        sheet.number(&metric::FAN_SPEED, "fan1", (rpm / 10.0).round() * 10.0);
    }
}

fn write_updates(laptop: &Laptop, moment: &Moment, patched: i64, sheet: &mut Sheet) {
    let booted_day = laptop.school.zone.local(moment.booted).day;
    sheet.flag(&metric::RESTART_PENDING, "", booted_day <= patched);
    let is_out = moment.day - last_patch_day(moment.day);
    let waits = last_patch_day(moment.day) > patched - INSTALLED_WITHIN_DAYS as i64 && is_out < 2;
    let failing = failing_days(laptop, moment.at);
    let pending = failing.map_or(if waits { 3.0 } else { 0.0 }, |days| {
        2.0 + (days / 10.0).floor()
    });
    sheet.number(&metric::UPDATES_PENDING, "", pending);
    sheet.number(
        &metric::UPDATES_SECURITY_PENDING,
        "",
        (pending / 2.0).floor(),
    );
    let age = laptop
        .day_chance(moment.day)
        .between(Topic::Updates, 0.0, 3.0)
        .floor();
    sheet.number(
        &metric::UPDATES_LAST_AGE,
        "",
        failing.map_or(age, f64::floor),
    );
    sheet.number(
        &metric::UPDATES_FAILED,
        "",
        failing.map_or(0.0, |days| (days / 1.5).floor()),
    );
}

/// Since how many days updates fail, where they do.
pub fn failing_days(laptop: &Laptop, at: UnixMs) -> Option<f64> {
    let fails = laptop.fleet.spread(Topic::Updates, laptop.number) < shares::FAILING_UPDATES;
    fails.then(|| {
        laptop
            .life(Topic::Updates, Topic::Patch, REPAIRED_AFTER_DAYS, at)
            .age_days
    })
}

/// The day on which the last updates were installed.
fn patched_day(laptop: &Laptop, day: i64) -> i64 {
    let installed = |out: i64| {
        let chance = laptop.chance.of(Topic::Patch, out);
        out + (chance.fraction(Topic::Patch).powi(2) * INSTALLED_WITHIN_DAYS) as i64
    };
    let last = installed(last_patch_day(day));
    if last <= day {
        last
    } else {
        installed(last_patch_day(last_patch_day(day) - 1))
    }
}

/// The build with a revision that grows by the month; some laptops are a month or two behind.
fn build(laptop: &Laptop, patched: i64, at: UnixMs) -> String {
    if has_bad_update(laptop, at) {
        return format!("{}.{BAD_REVISION}", laptop.system.build);
    }
    let (year, month, _) = civil_from_days(patched);
    let behind = *weighted(
        laptop.chance.fraction(Topic::Build),
        &[(0.8, 0), (0.14, 1), (0.06, 4)],
    );
    let months = (year - 2020) * 12 + i64::from(month) - behind;
    match laptop.machine.family {
        Family::Windows => format!("{}.{}", laptop.system.build, 1000 + months * 67),
        Family::Mac => format!("{}{}", laptop.system.build, 40 + months * 3),
        Family::Linux => format!("{}-{}-generic", laptop.system.build, 20 + months),
    }
}

/// The radio's driver with its version: that of the kernel where it comes with it, and the same for every version of
/// Windows that an update brings it to.
pub fn radio_driver(laptop: &Laptop, at: UnixMs) -> String {
    let driver = laptop.machine.driver;
    if laptop.machine.family == Family::Linux {
        let day = laptop.school.zone.local(at).day;
        return format!("{driver} {}", build(laptop, patched_day(laptop, day), at));
    }
    match driver.rsplit_once(' ') {
        Some((name, _)) if has_bad_update(laptop, at) => format!("{name} {BAD_DRIVER}"),
        _ => driver.to_owned(),
    }
}

fn has_bad_update(laptop: &Laptop, at: UnixMs) -> bool {
    let event = laptop.event;
    event.is_some_and(|event| event.has_bad_update(laptop, at))
}

/// Shutdowns without a clean end and crashes that the last 30 days of records hold.
fn write_records(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let records = stops::records(laptop, moment.at);
    let shutdowns = f64::from(records.shutdowns);
    sheet.number(&metric::UNEXPECTED_SHUTDOWNS, "", shutdowns);
    sheet.number(&metric::CRASHES, "", f64::from(records.crashes));
}

fn write_hardware(laptop: &Laptop, sheet: &mut Sheet) {
    sheet.text(&metric::HOST_VENDOR, "", laptop.machine.vendor);
    sheet.text(&metric::HOST_MODEL, "", &laptop.model());
    sheet.text(&metric::HOST_SERIAL, "", laptop.serial_hash());
    sheet.text(
        &metric::FIRMWARE_VERSION,
        "",
        &format!("1.{}", laptop.chance.bits(Topic::Machine) % 9 + 10),
    );
    sheet.text(&metric::CPU_MODEL, "", laptop.machine.cpu);
    sheet.number(&metric::CPU_COUNT, "", f64::from(laptop.machine.cpus));
    sheet.number(&metric::MEMORY_LIMIT, "", laptop.machine.memory * 0.97);
}

const fn family_word(family: Family) -> &'static str {
    match family {
        Family::Windows => "windows",
        Family::Mac => "darwin",
        Family::Linux => "linux",
    }
}

fn thousandth(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
