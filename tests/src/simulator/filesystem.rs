//! File systems: they fill over months, some in bursts, some to the brim, until somebody cleans up.

use rollcall_shared::metric;
use rollcall_shared::time::UnixMs;

use super::Moment;
use super::chance::Topic;
use super::laptop::Laptop;
use super::machines::Family;
use super::shares;
use super::sheet::Sheet;

/// Days from one clean-up to the next.
const FILL_DAYS: (f64, f64) = (150.0, 800.0);

/// The share of that time after which no more is added.
const FILLED_AT: f64 = 0.85;

/// In how many steps a bursty disk fills.
const BURSTS: f64 = 8.0;

/// The share of a drive that the system's file system has; the rest is for recovery and firmware.
const OF_DRIVE: f64 = 0.94;

/// The used share of the system's file system at a moment.
#[must_use]
pub fn utilization(laptop: &Laptop, at: UnixMs) -> f64 {
    let (low, high) = FILL_DAYS;
    let days = laptop.chance.between(Topic::FillLife, low, high);
    let life = laptop.life(Topic::Fill, Topic::FillLife, days, at);
    // What a system and its programs take: more than half of the smallest drives.
    let system = (34e9 / laptop.machine.drive.size).clamp(0.12, 0.6);
    let kind = laptop.fleet.spread(Topic::Fill, laptop.number);
    let top = if kind < shares::FULL_DISKS {
        life.chance.between(Topic::BurstSize, 0.955, 0.995)
    } else {
        life.chance.between(Topic::BurstSize, system + 0.02, 0.88)
    };
    let mut way = (life.age_days / (days * FILLED_AT)).min(1.0);
    if laptop.chance.holds(Topic::Burst, shares::BURSTY_DISKS) {
        way = (way * BURSTS).floor() / BURSTS;
    }
    let daily = laptop
        .chance
        .of(Topic::Slot, at.seconds().div_euclid(6 * 3600))
        .bell(Topic::Fill)
        * 0.001;
    let used = system + (top - system) * way + daily;
    let used = laptop
        .event
        .map_or(used, |event| event.disk_use(laptop, used, at));
    (used * 10_000.0).round() / 10_000.0
}

/// Writes what the file systems tell.
pub fn write(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let family = laptop.machine.family;
    let (name, kind) = match family {
        Family::Windows => ("C:", "NTFS"),
        Family::Mac => ("/System/Volumes/Data", "apfs"),
        Family::Linux => ("/", "ext4"),
    };
    let limit = (laptop.machine.drive.size * OF_DRIVE / 4096.0).floor() * 4096.0;
    let used = utilization(laptop, moment.at);
    let read_only = moment.drive.has_failed() && laptop.chance.holds(Topic::Severity, 0.5);
    sheet.number(&metric::FILESYSTEM_LIMIT, name, limit);
    sheet.number(
        &metric::FILESYSTEM_FREE,
        name,
        (limit * (1.0 - used) / 4096.0).floor() * 4096.0,
    );
    sheet.number(&metric::FILESYSTEM_UTILIZATION, name, used);
    sheet.flag(
        &metric::FILESYSTEM_READ_ONLY,
        name,
        family == Family::Linux && read_only,
    );
    sheet.text(&metric::FILESYSTEM_TYPE, name, kind);
    if family == Family::Linux {
        let inodes = (used * 0.35 * 1000.0).round() / 1000.0;
        sheet.number(&metric::FILESYSTEM_INODE_UTILIZATION, name, inodes);
        let errors = if moment.drive.has_failed() { 7.0 } else { 0.0 };
        sheet.number(&metric::FILESYSTEM_ERRORS, name, errors);
        write_efi(sheet);
    }
}

fn write_efi(sheet: &mut Sheet) {
    let name = "/boot/efi";
    sheet.number(&metric::FILESYSTEM_LIMIT, name, 535_805_952.0);
    sheet.number(&metric::FILESYSTEM_FREE, name, 529_371_136.0);
    sheet.number(&metric::FILESYSTEM_UTILIZATION, name, 0.012);
    sheet.flag(&metric::FILESYSTEM_READ_ONLY, name, false);
    sheet.text(&metric::FILESYSTEM_TYPE, name, "vfat");
}
