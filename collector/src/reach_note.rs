//! A ReachNote: how far laptops got with what schools depend on at one moment, so that the day can be shown
//! when it is over, and after a restart too.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

/// How often it is noted.
pub const NOTED_EVERY_MS: i64 = 10 * 60_000;

/// Notes that are kept: a day.
pub const NOTES: u8 = 144;

/// Cells of a note, most of 20 targets at 100 sites: with their names about 130 bytes each, so that a day
/// takes at most 38 MB of memory, and 4 MB on disk. Further ones are not noted; the present shows them all.
pub const CELLS: usize = 2000;

/// Where laptops are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "site", rename_all = "kebab-case")]
pub enum Vantage {
    /// On the network of a site.
    OnCampus(String),
    /// On no school's network.
    OffCampus,
    /// Nobody can tell, as without beacons.
    Unknown,
}

/// How many laptops get to a target from one vantage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Those that reached it.
    pub reached: u32,
    /// Those that did not.
    pub failed: u32,
}

/// What is noted of one target at one vantage. Each site's laptops are counted apart, so that who may see
/// one site only is told of its laptops alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachCell {
    /// What was to be reached.
    pub target: String,
    /// From where.
    pub vantage: Vantage,
    /// The site that the laptops belong to.
    pub site: Label,
    /// How many got there.
    pub reached: Reached,
}

/// What was noted at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachNote {
    /// When.
    pub at: UnixMs,
    /// At most [`CELLS`].
    pub cells: Vec<ReachCell>,
}

impl Reached {
    /// The share that did not get through.
    #[must_use]
    pub fn failed_share(self) -> f64 {
        f64::from(self.failed) / f64::from((self.reached + self.failed).max(1))
    }

    /// Counts one laptop.
    pub fn count(&mut self, is_reached: bool) {
        if is_reached {
            self.reached += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Counts the laptops of another site.
    pub fn add(&mut self, other: Self) {
        self.reached += other.reached;
        self.failed += other.failed;
    }
}

impl ReachNote {
    /// Which of the day's notes it is: that of the day before makes room for it.
    #[must_use]
    pub fn slot(&self) -> u8 {
        let slot = self.at.0.div_euclid(NOTED_EVERY_MS);
        let slot = slot.rem_euclid(i64::from(NOTES));
        u8::try_from(slot).expect("there are fewer notes than that")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_a_slot_for_each_note_and_the_next_day_the_same() {
        let of = |ms: i64| {
            let at = UnixMs(1_790_000_000_000 + ms);
            ReachNote {
                at,
                cells: Vec::new(),
            }
            .slot()
        };
        let day: std::collections::BTreeSet<u8> = (0..i64::from(NOTES))
            .map(|n| of(n * NOTED_EVERY_MS))
            .collect();
        assert_eq!(day.len(), usize::from(NOTES));
        assert_eq!(of(0), of(86_400_000));
        assert_eq!(
            ReachNote {
                at: UnixMs(-1),
                cells: Vec::new()
            }
            .slot(),
            NOTES - 1
        );
    }
}
