//! Time as a value. [`SystemClock`] is the only place in Rollcall that reads a clock.
//!
//! Two clocks are read together: the wall clock, which on a laptop may be wrong by years, and the
//! time since boot *including sleep*, which cannot jump. Everything else takes a [`Now`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A wall-clock time in milliseconds since 1970-01-01T00:00:00Z; negative before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

/// Milliseconds since the machine booted, sleep included.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SinceBootMs(pub u64);

/// Both clocks, read at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Now {
    /// What the wall clock says.
    pub wall: UnixMs,
    /// How long ago the machine booted.
    pub since_boot: SinceBootMs,
}

/// Where `now` comes from.
pub trait Clock: Send + Sync {
    /// Both clocks, read at this moment.
    fn now(&self) -> Now;
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now {
            wall: wall_clock(),
            since_boot: since_boot(),
        }
    }
}

impl SystemClock {
    /// Microseconds since the machine booted, sleep included: for measuring what takes less than a
    /// millisecond, never for a decision.
    #[must_use]
    pub fn micros(&self) -> u64 {
        since_boot_us()
    }
}

impl UnixMs {
    /// This time moved by `ms`, forward when positive; it stays within the range of the type.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

impl SinceBootMs {
    /// Time from `earlier` to this moment of the same boot; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for UnixMs {
    /// RFC 3339 in UTC with milliseconds, such as `2026-08-24T07:45:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z",
            ms % 1000
        )
    }
}

/// The date of a count of days since 1970-01-01, as (year, month, day) in the proleptic Gregorian
/// calendar. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
#[must_use]
pub const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month as u32, day as u32)
}

/// Days from 1970-01-01 to a date; the inverse of [`civil_from_days`], same source.
#[must_use]
pub const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let shifted_month = (month as i64 + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one reading of the wall clock"
)]
fn wall_clock() -> UnixMs {
    let now = std::time::SystemTime::now();
    let ms = match now.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| ms.saturating_neg())
        }
    };
    UnixMs(ms)
}

fn since_boot() -> SinceBootMs {
    SinceBootMs(since_boot_us() / 1000)
}

#[cfg(unix)]
fn since_boot_us() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    // macOS: CLOCK_MONOTONIC goes on while the machine sleeps; Linux calls that CLOCK_BOOTTIME.
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let spec = clock_gettime(clock);
    let us = i128::from(spec.tv_sec) * 1_000_000 + i128::from(spec.tv_nsec) / 1000;
    u64::try_from(us).unwrap_or(0)
}

#[cfg(windows)]
#[expect(
    clippy::disallowed_methods,
    reason = "the one reading of the monotonic clock"
)]
fn since_boot_us() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    // On Windows `Instant` is the performance counter, which goes on through sleep. Its zero is
    // not the boot, but it stays the same within a process, and differences are all that is used.
    static START: OnceLock<Instant> = OnceLock::new();
    let start = START.get_or_init(Instant::now);
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339() {
        assert_eq!(UnixMs(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            UnixMs(1_787_557_500_042).to_string(),
            "2026-08-24T07:45:00.042Z"
        );
        assert_eq!(UnixMs(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn dates_and_days_are_inverse() {
        for days in (-800_000..800_000).step_by(97) {
            let (y, m, d) = civil_from_days(days);
            assert_eq!(days_from_civil(y, m, d), days);
        }
        assert_eq!(civil_from_days(days_from_civil(2024, 2, 29)), (2024, 2, 29));
    }

    #[test]
    fn the_clock_since_boot_does_not_go_back() {
        let clock = SystemClock;
        let (a, b) = (clock.now(), clock.now());
        assert!(b.since_boot >= a.since_boot);
        assert!(clock.micros() / 1000 >= b.since_boot.0);
    }
}
