//! Whether a drive will fail soon, from its SMART attributes or its NVMe log.
//!
//! A card of points, the same for every maker, so that a technician can follow it. A drive is failing
//! from [`FAILING`] points. The card of spinning drives was fitted to the half of Backblaze's drives
//! (2013 to 2016, 43,636 drives) whose serial's SHA-256 begins with a bit of 0, by a logistic
//! regression over each drive's worst moment with weights that cannot be negative, then rounded; the
//! other half only tells how well it does. Gradient-boosted trees over the same attributes and their
//! past do no better there, so what is missing is not in these attributes: a third of the drives that
//! failed had shown none of these signs.
//!
//! For flash there is no such history to be had: the cards of SATA and NVMe drives rest on what the
//! drive itself declares (NVM Express Base Specification 2.0, figure 207) and on Schroeder et al.,
//! "Flash Reliability in Production" (FAST 2016): blocks go bad in bunches, wear alone predicts little.

use rollcall_shared::time::UnixMs;

use super::{DAY_MS, Point, value_at};

/// Points from which a drive is failing: where, on the half that was fitted, two alarms of three were
/// right and a healthy drive gave one in a hundred years.
pub const FAILING: u32 = 5;

/// Points below which a drive that was failing is believed to be well again: replaced sectors are two by
/// themselves, and a drive that has some after it was failing is not well.
pub const CLEARED: u32 = 2;

/// Points of a drive that says itself that it fails.
const DECLARED: u32 = 10;

/// How long growth counts: a month.
const RECENT_MS: i64 = 30 * DAY_MS;

/// A count above this is not one: some makers pack several numbers into one raw value, and broken
/// firmware fills it with ones. No drive has four milliard spare sectors.
const MOST_BELIEVED: f64 = 4_294_967_295.0;

/// How a drive stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveKind {
    /// Spinning disks.
    Hdd,
    /// Flash behind SATA.
    SataSsd,
    /// Flash behind NVMe.
    Nvme,
}

/// What is known of a drive, each a series in ascending order of time; empty where not reported.
#[derive(Debug, Clone, Copy, Default)]
pub struct DriveHistory<'a> {
    /// SMART 5, reallocated sectors, count.
    pub reallocated: &'a [Point],
    /// SMART 187, errors reported to the system as not correctable, count.
    pub reported: &'a [Point],
    /// SMART 197, sectors that could not be read and wait, count.
    pub pending: &'a [Point],
    /// SMART 198, sectors that could not be read in a background scan, count.
    pub offline: &'a [Point],
    /// Share of the writes that the drive is made for, 0 to about 3.
    pub endurance_used: &'a [Point],
    /// The drive's own verdict: 1 when it says that it fails, else 0.
    pub verdict_failed: &'a [Point],
    /// NVMe critical warning, bits.
    pub critical_warning: &'a [Point],
    /// NVMe available spare, percent.
    pub spare: &'a [Point],
    /// NVMe available spare threshold, percent.
    pub spare_threshold: &'a [Point],
    /// NVMe media and data integrity errors, count.
    pub media_errors: &'a [Point],
}

/// How bad a drive looks, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DriveRisk {
    /// The sum of the points.
    pub points: u32,
    /// What gave points, the most first, in words with numbers.
    pub reasons: Vec<Reason>,
    /// Whether anything that the card looks at was reported at all.
    pub known: bool,
}

/// One sign and its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// How many points it gave.
    pub points: u32,
    /// What was seen.
    pub text: String,
}

/// A line of a card: what is counted, and points from certain counts and growths of 30 days on.
struct Sign {
    what: &'static str,
    levels: &'static [(f64, u32)],
    growth: &'static [(f64, u32)],
}

const HDD_PENDING: Sign = Sign {
    what: "sectors that cannot be read (SMART 197, 198)",
    levels: &[(1.0, 3), (17.0, 2)],
    growth: &[(1.0, 1), (9.0, 2)],
};
const HDD_REPORTED: Sign = Sign {
    what: "errors that could not be corrected (SMART 187)",
    levels: &[(1.0, 1), (9.0, 1)],
    growth: &[(1.0, 3)],
};
const HDD_REALLOCATED: Sign = Sign {
    what: "sectors replaced by spares (SMART 5)",
    levels: &[(1.0, 2), (65.0, 1), (513.0, 2)],
    growth: &[(9.0, 2)],
};
const SSD_PENDING: Sign = Sign {
    what: "blocks that cannot be read (SMART 197, 198)",
    levels: &[(1.0, 1), (17.0, 1)],
    growth: &[(1.0, 2)],
};
const SSD_REPORTED: Sign = Sign {
    what: "errors that could not be corrected (SMART 187)",
    levels: &[(1.0, 1)],
    growth: &[(1.0, 2), (9.0, 1)],
};
const SSD_REALLOCATED: Sign = Sign {
    what: "blocks replaced by spares (SMART 5)",
    levels: &[(65.0, 1), (513.0, 1)],
    growth: &[(9.0, 2), (65.0, 1)],
};
const NVME_MEDIA: Sign = Sign {
    what: "errors of the medium (NVMe log)",
    levels: &[(1.0, 1), (65.0, 1)],
    growth: &[(1.0, 2), (9.0, 2)],
};

/// Bits of NVMe's critical warning that mean that data are in danger, and their words. Bit 1,
/// temperature, is not among them: a hot bag is no failing drive.
const NVME_WARNINGS: [(u8, &str); 4] = [
    (0x01, "spare blocks are used up"),
    (0x04, "reliability is degraded"),
    (0x08, "the medium has become read-only"),
    (0x10, "the protection of its memory has failed"),
];

/// How a drive looks at `now` (0 to about 20 points), by the card of its kind. Readings after `now`
/// do not count.
#[must_use]
pub fn risk(kind: DriveKind, drive: &DriveHistory<'_>, now: UnixMs) -> DriveRisk {
    let mut card = Card {
        now,
        risk: DriveRisk::default(),
    };
    card.verdict(drive);
    match kind {
        DriveKind::Hdd => {
            card.either(&HDD_PENDING, drive.pending, drive.offline);
            card.sign(&HDD_REPORTED, drive.reported);
            card.sign(&HDD_REALLOCATED, drive.reallocated);
        }
        DriveKind::SataSsd => {
            card.either(&SSD_PENDING, drive.pending, drive.offline);
            card.sign(&SSD_REPORTED, drive.reported);
            card.sign(&SSD_REALLOCATED, drive.reallocated);
            card.worn(drive);
        }
        DriveKind::Nvme => {
            card.warnings(drive);
            card.spare(drive);
            card.sign(&NVME_MEDIA, drive.media_errors);
            card.worn(drive);
        }
    }
    card.risk
        .reasons
        .sort_by_key(|reason| std::cmp::Reverse(reason.points));
    card.risk
}

impl DriveRisk {
    /// Whether the drive is failing.
    #[must_use]
    pub const fn failing(&self) -> bool {
        self.points >= FAILING
    }

    /// Whether good readings have shown that it is not failing; what is not known is not well.
    #[must_use]
    pub const fn cleared(&self) -> bool {
        self.known && self.points < CLEARED
    }

    /// The reasons in one line, with their points.
    #[must_use]
    pub fn words(&self) -> String {
        let reasons: Vec<String> = self
            .reasons
            .iter()
            .map(|reason| format!("{} ({})", reason.text, reason.points))
            .collect();
        format!("{} points: {}", self.points, reasons.join("; "))
    }
}

struct Card {
    now: UnixMs,
    risk: DriveRisk,
}

impl Card {
    fn latest(&mut self, series: &[Point]) -> Option<f64> {
        let value = value_at(series, self.now)?;
        self.risk.known = true;
        Some(value)
    }

    fn add(&mut self, points: u32, text: String) {
        if points > 0 {
            self.risk.points += points;
            self.risk.reasons.push(Reason { points, text });
        }
    }

    fn verdict(&mut self, drive: &DriveHistory<'_>) {
        if self
            .latest(drive.verdict_failed)
            .is_some_and(|failed| failed > 0.0)
        {
            self.add(
                DECLARED,
                "the drive itself reports that it is failing".to_owned(),
            );
        }
    }

    fn sign(&mut self, sign: &Sign, series: &[Point]) {
        if let Some(value) = self.latest(series) {
            self.judge(sign, value, growth(series, self.now));
        }
    }

    /// The worse of two attributes that count the same sectors.
    fn either(&mut self, sign: &Sign, one: &[Point], other: &[Point]) {
        let values = [self.latest(one), self.latest(other)];
        let believed = values
            .into_iter()
            .flatten()
            .filter(|count| *count <= MOST_BELIEVED);
        if let Some(value) = believed.reduce(f64::max) {
            let grown = growth(one, self.now).max(growth(other, self.now));
            self.judge(sign, value, grown);
        }
    }

    fn judge(&mut self, sign: &Sign, value: f64, grown: f64) {
        if value > MOST_BELIEVED {
            return;
        }
        let points = points(sign.levels, value) + points(sign.growth, grown);
        let text = if grown > 0.0 {
            format!("{value} {}, {grown} more in 30 days", sign.what)
        } else {
            format!("{value} {}", sign.what)
        };
        self.add(points, text);
    }

    fn worn(&mut self, drive: &DriveHistory<'_>) {
        if let Some(used) = self.latest(drive.endurance_used)
            && used >= 1.0
        {
            let text = format!("{:.0} % of the writes that it is made for", used * 100.0);
            self.add(2, text);
        }
    }

    fn warnings(&mut self, drive: &DriveHistory<'_>) {
        let bits = self.latest(drive.critical_warning).unwrap_or(0.0) as u8;
        for (bit, words) in NVME_WARNINGS {
            if bits & bit != 0 {
                self.add(DECLARED, format!("the drive itself warns that {words}"));
            }
        }
    }

    fn spare(&mut self, drive: &DriveHistory<'_>) {
        let spare = self.latest(drive.spare);
        let threshold = value_at(drive.spare_threshold, self.now);
        if let (Some(spare), Some(threshold)) = (spare, threshold)
            && (1.0..=100.0).contains(&threshold)
            && spare <= threshold
        {
            let text =
                format!("{spare} % of its spare blocks left, its maker's limit is {threshold} %");
            self.add(DECLARED, text);
        }
    }
}

fn points(steps: &[(f64, u32)], value: f64) -> u32 {
    let reached = steps.iter().filter(|(from, _)| value >= *from);
    reached.map(|(_, points)| points).sum()
}

/// How much a count has grown in the last 30 days, or since it was first seen; 0 when it has not, and
/// when one of the two values is not believed.
fn growth(series: &[Point], now: UnixMs) -> f64 {
    let Some(value) = value_at(series, now) else {
        return 0.0;
    };
    let before = value_at(series, now.plus_ms(-RECENT_MS)).unwrap_or(series[0].1);
    if value > MOST_BELIEVED || before > MOST_BELIEVED {
        return 0.0;
    }
    (value - before).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(values: &[(i64, f64)]) -> Vec<Point> {
        let at = |(day, value): &(i64, f64)| (UnixMs(day * DAY_MS), *value);
        values.iter().map(at).collect()
    }

    fn on(day: i64) -> UnixMs {
        UnixMs(day * DAY_MS)
    }

    #[test]
    fn a_healthy_drive_has_no_points_and_an_unknown_one_is_not_well() {
        let zero = days(&[(0, 0.0)]);
        let drive = DriveHistory {
            reallocated: &zero,
            pending: &zero,
            ..DriveHistory::default()
        };
        let healthy = risk(DriveKind::Hdd, &drive, on(9));
        assert!(healthy.cleared() && !healthy.failing() && healthy.points == 0);
        for kind in [DriveKind::Hdd, DriveKind::SataSsd, DriveKind::Nvme] {
            let unknown = risk(kind, &DriveHistory::default(), on(9));
            assert!(!unknown.cleared() && !unknown.failing(), "{kind:?}");
        }
    }

    #[test]
    fn one_old_reallocated_sector_is_not_a_failure_but_a_growing_bunch_is() {
        let old = days(&[(0, 1.0)]);
        let growing = days(&[(0, 1.0), (100, 40.0)]);
        let with = |series| DriveHistory {
            reallocated: series,
            ..DriveHistory::default()
        };
        assert_eq!(risk(DriveKind::Hdd, &with(&old), on(200)).points, 2);
        assert_eq!(risk(DriveKind::Hdd, &with(&growing), on(101)).points, 4);
        let many = days(&[(0, 1.0), (100, 90.0)]);
        let risk_then = risk(DriveKind::Hdd, &with(&many), on(101));
        assert!(risk_then.failing(), "{}", risk_then.words());
        assert!(risk_then.words().contains("89 more in 30 days"));
        let later = risk(DriveKind::Hdd, &with(&many), on(140));
        assert!(!later.failing() && !later.cleared(), "{}", later.words());
    }

    #[test]
    fn pending_sectors_that_are_rewritten_clear_again() {
        let pending = days(&[(0, 0.0), (10, 24.0), (60, 0.0)]);
        let drive = DriveHistory {
            pending: &pending,
            ..DriveHistory::default()
        };
        assert!(!risk(DriveKind::Hdd, &drive, on(9)).failing());
        assert!(risk(DriveKind::Hdd, &drive, on(10)).failing());
        assert!(risk(DriveKind::Hdd, &drive, on(60)).cleared());
    }

    #[test]
    fn pending_and_offline_count_the_same_sectors_once() {
        let eight = days(&[(0, 8.0)]);
        let drive = DriveHistory {
            pending: &eight,
            offline: &eight,
            ..DriveHistory::default()
        };
        assert_eq!(risk(DriveKind::Hdd, &drive, on(90)).points, 3);
    }

    #[test]
    fn a_packed_raw_value_is_not_a_count() {
        let packed = days(&[(0, 0.0), (5, 47_244_640_266.0)]);
        let drive = DriveHistory {
            reported: &packed,
            pending: &packed,
            ..DriveHistory::default()
        };
        assert_eq!(risk(DriveKind::Hdd, &drive, on(6)).points, 0);
    }

    #[test]
    fn a_drive_that_says_so_is_failing_whatever_its_kind() {
        let yes = days(&[(0, 0.0), (3, 1.0)]);
        let drive = DriveHistory {
            verdict_failed: &yes,
            ..DriveHistory::default()
        };
        for kind in [DriveKind::Hdd, DriveKind::SataSsd, DriveKind::Nvme] {
            assert!(!risk(kind, &drive, on(2)).failing());
            assert!(risk(kind, &drive, on(3)).failing());
        }
    }

    #[test]
    fn an_nvme_drive_is_judged_by_its_warnings_and_spare_but_not_by_heat_or_wear_alone() {
        let judge = |warning: f64, spare: f64, used: f64| {
            let (warning, spare, used) = (
                days(&[(0, warning)]),
                days(&[(0, spare)]),
                days(&[(0, used)]),
            );
            let threshold = days(&[(0, 10.0)]);
            let drive = DriveHistory {
                critical_warning: &warning,
                spare: &spare,
                spare_threshold: &threshold,
                endurance_used: &used,
                ..DriveHistory::default()
            };
            risk(DriveKind::Nvme, &drive, on(1)).failing()
        };
        assert!(!judge(2.0, 100.0, 0.1), "a hot drive");
        assert!(!judge(0.0, 100.0, 1.4), "a worn drive that is well");
        assert!(judge(1.0, 4.0, 0.9) && judge(8.0, 100.0, 0.1) && judge(0.0, 9.0, 0.2));
    }

    #[test]
    fn errors_of_flash_count_when_they_grow() {
        let old = days(&[(0, 12.0)]);
        let new = days(&[(0, 0.0), (50, 12.0)]);
        let with = |media_errors| DriveHistory {
            media_errors,
            ..DriveHistory::default()
        };
        assert!(!risk(DriveKind::Nvme, &with(&old), on(60)).failing());
        assert!(risk(DriveKind::Nvme, &with(&new), on(60)).failing());
    }
}
