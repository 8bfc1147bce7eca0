//! File systems: they fill over months, some in bursts, some to the brim, until somebody cleans up.

use rollcall_shared::metric;
use rollcall_shared::time::UnixMs;

use super::Moment;
use super::chance::Topic;
use super::laptop::{Laptop, Life};
use super::machines::Family;
use super::shares;
use super::sheet::Sheet;

/// Days from one clean-up to the next.
const FILL_DAYS: (f64, f64) = (150.0, 800.0);

/// The share of that time after which no more is added.
const FILLED_AT: f64 = 0.85;

/// Between which shares lies the most that a disk holds which somebody keeps from filling up, the share of the time
/// to its next clean-up after which it is first there, and how much is deleted each time.
const KEPT_BELOW: (f64, f64) = (0.86, 0.945);
const KEPT_FROM: f64 = 0.35;
const DELETED: (f64, f64) = (0.03, 0.12);

/// Nothing more can be saved where so much is used.
const FULLEST: f64 = 0.999;

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
    let is_kept = (shares::FULL_DISKS..shares::FULL_DISKS + shares::KEPT_DISKS).contains(&kind);
    let top = if kind < shares::FULL_DISKS {
        // Growth knows nothing of the limit: what grows so far becomes full.
        life.chance.between(Topic::BurstSize, 0.985, 0.999)
    } else if is_kept {
        life.chance
            .between(Topic::BurstSize, KEPT_BELOW.0, KEPT_BELOW.1)
    } else {
        life.chance.between(Topic::BurstSize, system + 0.02, 0.88)
    };
    let mut way = (life.age_days / (days * FILLED_AT)).min(1.0);
    if is_kept {
        way = kept(&life, top - system);
    } else if laptop.chance.holds(Topic::Burst, shares::BURSTY_DISKS) {
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
    (used.min(FULLEST) * 10_000.0).round() / 10_000.0
}

/// The way to the top of a disk that is kept below it by deleting something each time: a third of its time up, and
/// from then on back by as much each time.
fn kept(life: &Life, height: f64) -> f64 {
    let up_days = life.days * KEPT_FROM;
    if life.age_days <= up_days {
        return life.age_days / up_days;
    }
    let (low, high) = DELETED;
    let cut = (life.chance.between(Topic::Severity, low, high) / height).min(1.0);
    let since = (life.age_days - up_days) / up_days;
    1.0 - cut + since.rem_euclid(cut)
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

/// Writes what fills the disk, by class: the service of Linux sees updates alone.
pub fn write_classes(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let limit = laptop.machine.drive.size * OF_DRIVE;
    let used = utilization(laptop, moment.at) * limit;
    let mut write = |class: &str, bytes: f64| {
        let is_closed = laptop.machine.family == Family::Linux && class != "updates";
        if is_closed {
            sheet.missing(&metric::FILESYSTEM_CLASS_SIZE, class, "closed to the agent");
        } else {
            sheet.number(&metric::FILESYSTEM_CLASS_SIZE, class, bytes.round());
        }
    };
    write("updates", 1.5e9);
    write("temporary", 0.02 * limit);
    // What a pupil's disk fills with is what the pupil fetches.
    write("downloads", (used - 0.3 * limit).max(0.0) * 0.6);
}

fn write_efi(sheet: &mut Sheet) {
    let name = "/boot/efi";
    sheet.number(&metric::FILESYSTEM_LIMIT, name, 535_805_952.0);
    sheet.number(&metric::FILESYSTEM_FREE, name, 529_371_136.0);
    sheet.number(&metric::FILESYSTEM_UTILIZATION, name, 0.012);
    sheet.flag(&metric::FILESYSTEM_READ_ONLY, name, false);
    sheet.text(&metric::FILESYSTEM_TYPE, name, "vfat");
}
