//! Faults of single laptops that come at a known time and last until somebody repairs them: what a laptop
//! shows against its own past and its peers.

use rollcall_shared::time::UnixMs;

use super::calendar::DAY_S;
use super::chance::{Chance, Topic};
use super::laptop::Laptop;
use super::shares;

/// What befalls a part of a laptop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Dust keeps the heat in, more of it for two weeks.
    Dust,
    /// The drive answers slowly.
    SlowDrive,
    /// Starting takes long.
    SlowStart,
    /// The system crashes every other day.
    Crashes,
    /// A smaller charger is used than the one that belongs to it.
    SmallCharger,
    /// The battery gives out with charge left.
    GivesOut,
    /// The radio loses its network again and again.
    LinkDrops,
}

/// Days from one repair to the next, of a laptop that is prone to a fault.
const CYCLE_DAYS: f64 = 360.0;

/// Days that a fault lasts before somebody repairs it.
const LASTS_DAYS: f64 = 90.0;

impl Fault {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Dust,
        Self::SlowDrive,
        Self::SlowStart,
        Self::Crashes,
        Self::SmallCharger,
        Self::GivesOut,
        Self::LinkDrops,
    ];

    /// Its name: that of the rule that is there to find it, where there is one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dust => "overheating",
            Self::SlowDrive => "slower-than-before",
            Self::SlowStart => "boots-slowly",
            Self::Crashes => "crashes-more-than-peers",
            Self::SmallCharger => "charger-wrong",
            Self::GivesOut => "battery-collapses",
            Self::LinkDrops => "link-drops",
        }
    }

    /// The share of laptops that have it at any moment.
    const fn share(self) -> f64 {
        match self {
            Self::Dust => shares::HOT_LAPTOPS,
            _ => shares::OTHER_FAULTS,
        }
    }

    /// A bit for each fault that a laptop with a number is prone to.
    pub(super) fn prone_to(fleet: Chance, number: u32) -> u8 {
        let is_prone = |fault: &Self| {
            let prone = fault.share() * CYCLE_DAYS / LASTS_DAYS;
            fleet
                .of(Topic::Fault, *fault as i64)
                .spread(Topic::Fault, number)
                < prone
        };
        let prone = Self::ALL.into_iter().filter(is_prone);
        prone.fold(0, |bits, fault| bits | 1 << fault as u8)
    }

    /// Since how many days a laptop has it; `None` where it has not.
    #[must_use]
    pub fn days(self, laptop: &Laptop, at: UnixMs) -> Option<f64> {
        if laptop.prone_to & (1 << self as u8) == 0 {
            return None;
        }
        let source = laptop.fleet.of(Topic::Fault, self as i64);
        let phase = source.spread(Topic::FaultAge, laptop.number) * CYCLE_DAYS;
        let now = at.0 as f64 / (f64::from(DAY_S) * 1000.0) + phase;
        let sound_days = CYCLE_DAYS - LASTS_DAYS;
        let days = now.rem_euclid(CYCLE_DAYS) - sound_days;
        (days >= 0.0).then_some(days)
    }

    /// Whether a laptop has it.
    #[must_use]
    pub fn holds(self, laptop: &Laptop, at: UnixMs) -> bool {
        self.days(laptop, at).is_some()
    }
}
