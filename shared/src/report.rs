//! A Report: what an agent read at one moment, the unit that is spooled, sent and stored.

use serde::{Deserialize, Serialize};

use crate::id::{BootId, Sequence, SpoolId};
use crate::reading::Reading;
use crate::time::{Now, SinceBootMs, UnixMs};

/// Readings of one moment. `full` reports carry every reading that the agent has; others only what
/// changed since the report before, so a reading that is left out stands as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its place in the spool; with device and spool it is the report's identity.
    pub sequence: Sequence,
    /// When it was taken, by the laptop's own clocks.
    pub taken: Taken,
    /// Whether every reading is in it. The first report after a start, a drop or a re-enrolment is.
    pub full: bool,
    /// Whether something changed for the worse (or back), so that it must travel at once.
    pub urgent: bool,
    /// The readings, at most [`crate::limits::READINGS_PER_REPORT`].
    pub readings: Vec<Reading>,
}

/// A moment by a laptop's own clocks, which may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What the wall clock said.
    pub wall: UnixMs,
    /// Which run of the kernel it was.
    pub boot: BootId,
    /// How long after boot, sleep included.
    pub since_boot: SinceBootMs,
}

/// Where a stream of reports comes from and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolPosition {
    /// Which spool.
    pub spool: SpoolId,
    /// The sequence of the oldest report that it still holds, or of the next to be written.
    pub next: Sequence,
}

/// How a laptop's clock relates to the collector's, worked out when a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReference {
    /// The laptop's clocks when it sent.
    pub device: Taken,
    /// The collector's clock when it received.
    pub server: UnixMs,
}

impl Taken {
    /// This moment, by clocks read as `now` during `boot`.
    #[must_use]
    pub const fn at(now: Now, boot: BootId) -> Self {
        Self {
            wall: now.wall,
            boot,
            since_boot: now.since_boot,
        }
    }
}

impl ClockReference {
    /// How far the laptop's wall clock is ahead of the collector's, in milliseconds.
    #[must_use]
    pub const fn skew_ms(&self) -> i64 {
        self.device.wall.since(self.server)
    }

    /// When, by the collector's clock, something was `taken`.
    ///
    /// Within the boot that is still running the time since boot counts, which no wrong or corrected
    /// wall clock disturbs. For an earlier boot the wall clock is moved by its present skew. Never
    /// later than the collector's own time and never more than [`crate::limits::REPORT_AGE`] before.
    #[must_use]
    pub fn correct(&self, taken: Taken) -> UnixMs {
        let age_ms = if taken.boot == self.device.boot {
            let age = self.device.since_boot.since(taken.since_boot);
            i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
        } else {
            self.device.wall.since(taken.wall)
        };
        let oldest = i64::try_from(crate::limits::REPORT_AGE.as_millis()).unwrap_or(i64::MAX);
        self.server.plus_ms(-age_ms.clamp(0, oldest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 86_400_000;
    const SERVER: UnixMs = UnixMs(1_790_000_000_000);

    fn reference(skew_ms: i64, boot: BootId) -> ClockReference {
        let device = Taken {
            wall: SERVER.plus_ms(skew_ms),
            boot,
            since_boot: SinceBootMs(3_600_000),
        };
        ClockReference {
            device,
            server: SERVER,
        }
    }

    #[test]
    fn ten_years_of_skew_do_not_move_a_report() {
        let boot = BootId::generate();
        for skew in [-10 * YEAR_MS, 0, 10 * YEAR_MS] {
            let reference = reference(skew, boot);
            assert_eq!(reference.skew_ms(), skew);
            // The wall clock was set by ten years between taking and sending: boot time decides.
            let taken = Taken {
                wall: SERVER,
                boot,
                since_boot: SinceBootMs(3_000_000),
            };
            assert_eq!(reference.correct(taken), SERVER.plus_ms(-600_000));
            let before = Taken {
                wall: SERVER.plus_ms(skew - 86_400_000),
                boot: BootId::generate(),
                since_boot: SinceBootMs(5),
            };
            assert_eq!(reference.correct(before), SERVER.plus_ms(-86_400_000));
        }
    }

    #[test]
    fn no_report_is_from_the_future_or_from_before_all_retention() {
        let reference = reference(0, BootId::generate());
        let mut taken = Taken {
            wall: SERVER.plus_ms(YEAR_MS),
            boot: BootId::generate(),
            since_boot: SinceBootMs(0),
        };
        assert_eq!(reference.correct(taken), SERVER);
        taken.wall = UnixMs(i64::MIN);
        assert_eq!(reference.correct(taken), SERVER.plus_ms(-400 * 86_400_000));
    }
}
