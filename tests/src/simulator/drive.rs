//! Drives: most of them only age; those of frail laptops fail, two of three with signs before.

use rollcall_shared::metric;
use rollcall_shared::time::UnixMs;

use super::Moment;
use super::chance::Topic;
use super::laptop::{Laptop, Life};
use super::machines::{DriveKind, Family};
use super::shares;
use super::sheet::Sheet;

/// A drive at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drive {
    life: Life,
    kind: DriveKind,
    /// How near failure is: 0 without a sign, 1 when it fails, more afterwards.
    decay: f64,
    failed: bool,
}

/// Days from failure until the drive is replaced: a ticket, an order, a visit.
const REPLACED_AFTER_DAYS: f64 = 21.0;

/// Days that a drive of a frail laptop lasts, replacement included.
const FRAIL_DAYS: (f64, f64) = (420.0, 800.0);

/// Days that any other is used before its laptop is retired.
const SOUND_DAYS: (f64, f64) = (2200.0, 3300.0);

/// Median days from the first sign to failure, by Backblaze's statistics 101, and its spread.
const LEAD_DAYS: (f64, f64) = (101.0, 0.5);

/// NVMe critical-warning bits: spare below threshold, and reliability degraded (NVM Express Base
/// Specification 2.0, figure 207).
const SPARE_LOW: f64 = 1.0;
const DEGRADED: f64 = 4.0;

impl Drive {
    /// The drive that is in a laptop at a moment.
    #[must_use]
    pub fn of(laptop: &Laptop, at: UnixMs) -> Self {
        let is_frail = laptop.fleet.spread(Topic::Frail, laptop.number) < shares::FRAIL_DRIVES;
        let (low, high) = if is_frail { FRAIL_DAYS } else { SOUND_DAYS };
        let days = laptop.chance.between(Topic::DriveLife, low, high);
        let life = laptop.life(Topic::Drive, Topic::DriveAge, days, at);
        let until_failure = days - REPLACED_AFTER_DAYS - life.age_days;
        let (median, spread) = LEAD_DAYS;
        let lead = median * (spread * life.chance.bell(Topic::Lead)).exp();
        let silent = life.chance.holds(Topic::Silent, shares::SILENT_FAILURES);
        let decay = if is_frail && !silent {
            (1.0 - until_failure / lead).max(0.0)
        } else {
            0.0
        };
        Self {
            life,
            kind: laptop.machine.drive.kind,
            decay,
            failed: is_frail && until_failure <= 0.0,
        }
    }

    /// Whether it shows signs of failure, or has failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failed || self.decay > 0.0
    }

    /// Whether it has failed.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// Hours in operation: five on an average day.
    fn hours(&self) -> f64 {
        (self.life.age_days * 5.0).floor()
    }

    /// A count that grows up to about `most` at failure, faster and faster.
    fn count(&self, most: f64) -> f64 {
        let severity = 0.3 + self.life.chance.fraction(Topic::Severity);
        (most * severity * self.decay.powi(2)).floor()
    }
}

/// Writes what a drive tells.
pub fn write(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let name = name(laptop);
    let model = &laptop.machine.drive;
    let drive = &moment.drive;
    sheet.text(&metric::DRIVE_MODEL, name, model.name);
    sheet.text(&metric::DRIVE_FIRMWARE, name, model.firmware);
    sheet.text(&metric::DRIVE_KIND, name, word(model.kind));
    sheet.number(&metric::DRIVE_SIZE, name, model.size);
    if model.kind == DriveKind::Emmc {
        sheet.missing(
            &metric::DRIVE_VERDICT,
            name,
            "the drive tells nothing of its health",
        );
        return;
    }
    sheet.text(
        &metric::DRIVE_VERDICT,
        name,
        if drive.failed { "failed" } else { "passed" },
    );
    let heat = 27.0 + 12.0 * moment.busy;
    sheet.number(&metric::DRIVE_TEMPERATURE, name, heat.round());
    sheet.number(&metric::DRIVE_POWER_ON, name, drive.hours());
    // A laptop is switched on about twice on a school day, and a worn drive refuses some commands.
    let cycles = (drive.life.age_days * 1.2).floor();
    sheet.number(&metric::DRIVE_POWER_CYCLES, name, cycles);
    sheet.number(&metric::DRIVE_IO_ERRORS, name, drive.count(12.0));
    match model.kind {
        DriveKind::Nvme => write_nvme(drive, name, sheet),
        _ => write_sata(drive, name, heat, sheet),
    }
}

fn write_sata(drive: &Drive, name: &str, heat: f64, sheet: &mut Sheet) {
    // Spare sectors come in groups of eight; a healthy drive has replaced a few at most.
    let reallocated = drive.count(80.0) * 8.0;
    let pending = drive.count(24.0);
    let uncorrectable = drive.count(40.0);
    sheet.number(&metric::DRIVE_REALLOCATED, name, reallocated);
    sheet.number(&metric::DRIVE_PENDING, name, pending);
    sheet.number(&metric::DRIVE_UNCORRECTABLE, name, uncorrectable);
    let cable = (drive.life.chance.fraction(Topic::Used).powi(6) * 40.0).floor();
    sheet.number(&metric::DRIVE_CRC_ERRORS, name, cable);
    if drive.kind == DriveKind::Ssd {
        sheet.number(
            &metric::DRIVE_ENDURANCE_USED,
            name,
            (endurance(drive) * 100.0).floor() / 100.0,
        );
    }
    let raw = [
        ("5", reallocated),
        ("9", drive.hours()),
        ("187", uncorrectable),
        ("194", heat.round()),
        ("197", pending),
        ("198", pending),
    ];
    for (attribute, value) in raw {
        sheet.number(&metric::DRIVE_SMART, &format!("{name}/{attribute}"), value);
    }
}

fn write_nvme(drive: &Drive, name: &str, sheet: &mut Sheet) {
    let chance = drive.life.chance;
    let spare = (100.0 - 95.0 * drive.decay.powi(2)).max(1.0).round();
    let threshold = 10.0;
    let mut warning = 0.0;
    if spare < threshold {
        warning += SPARE_LOW;
    }
    if drive.failed {
        warning += DEGRADED;
    }
    sheet.number(&metric::NVME_CRITICAL_WARNING, name, warning);
    sheet.number(&metric::NVME_AVAILABLE_SPARE, name, spare);
    sheet.number(&metric::NVME_SPARE_THRESHOLD, name, threshold);
    sheet.number(
        &metric::NVME_PERCENTAGE_USED,
        name,
        (endurance(drive) * 100.0).floor(),
    );
    sheet.number(&metric::NVME_MEDIA_ERRORS, name, drive.count(60.0));
    // Above zero on four of ten healthy drives.
    let chatty = if chance.holds(Topic::Used, 0.4) {
        drive.life.age_days * 0.3 + 1.0
    } else {
        0.0
    };
    sheet.number(
        &metric::NVME_ERROR_LOG_ENTRIES,
        name,
        (chatty + drive.count(120.0)).floor(),
    );
    let unsafe_per_day = chance.between(Topic::Shutdowns, 0.005, 0.06);
    sheet.number(
        &metric::NVME_UNSAFE_SHUTDOWNS,
        name,
        (drive.life.age_days * unsafe_per_day).floor(),
    );
    let hot_minutes = chance.fraction(Topic::Heat).powi(4) * 0.2;
    for (metric, share) in [
        (&metric::NVME_WARNING_TEMPERATURE_TIME, 1.0),
        (&metric::NVME_CRITICAL_TEMPERATURE_TIME, 0.02),
    ] {
        let minutes = drive.life.age_days * hot_minutes * share;
        sheet.number(metric, name, minutes.floor());
    }
    let units_per_day = chance.between(Topic::Fill, 8_000.0, 40_000.0);
    sheet.number(
        &metric::NVME_WRITTEN,
        name,
        (drive.life.age_days * units_per_day).floor(),
    );
}

/// The used share of the writes that a drive is made for: most laptops never use the half.
fn endurance(drive: &Drive) -> f64 {
    let per_year = drive.life.chance.between(Topic::Used, 0.01, 0.07);
    per_year * drive.life.age_days / 365.25 + 0.6 * drive.decay.min(1.5)
}

fn name(laptop: &Laptop) -> &'static str {
    match (laptop.machine.family, laptop.machine.drive.kind) {
        (Family::Mac, _) => "disk0",
        (_, DriveKind::Nvme) => "nvme0",
        (_, DriveKind::Emmc) => "mmcblk0",
        (_, DriveKind::Hdd | DriveKind::Ssd) => "sda",
    }
}

const fn word(kind: DriveKind) -> &'static str {
    match kind {
        DriveKind::Hdd => "hdd",
        DriveKind::Ssd => "ssd",
        DriveKind::Nvme => "nvme",
        DriveKind::Emmc => "emmc",
    }
}
