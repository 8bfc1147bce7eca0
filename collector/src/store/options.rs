//! How a store is kept, and for how long what.

use std::time::Duration;

use rollcall_shared::time::UnixMs;

use super::rollup::Level;

const DAY_S: u64 = 86_400;

/// How a store is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes of free disk below which no more telemetry is taken in.
    pub reserve_bytes: u64,
    /// How long alerts, incidents and the audit log are kept, and how old a report may be at most.
    pub retention: Duration,
    /// How long every single reading is kept, to the week; no longer than `retention`.
    pub raw_retention: Duration,
    /// How long roll-ups are kept, by [`Level`], the finest first, each to some weeks more.
    pub rollup_retention: [Duration; 3],
    /// How long a commit waits for others to join it.
    pub gather: Duration,
    /// Bytes of a week up to which it is written anew for each of its days and for what comes late; the days
    /// of a larger one lie beside each other until it is over.
    pub small_week_bytes: u64,
}

impl Default for StoreOptions {
    /// 512 MiB hold an hour of 100,000 laptops while somebody makes room; 35 days of every reading are
    /// a month to look into, a quarter year of quarters of an hour shows a term, 400 days of hours compare
    /// a school year with the one before, and five years of days outlive a laptop; 4 ms are about one
    /// flush of a laptop-class SSD; 64 MiB are the week of some 1,500 laptops, and written within seconds.
    fn default() -> Self {
        Self {
            reserve_bytes: 512 * 1024 * 1024,
            retention: Duration::from_secs(400 * DAY_S),
            raw_retention: Duration::from_secs(35 * DAY_S),
            rollup_retention: [100, 400, 1830].map(|days| Duration::from_secs(days * DAY_S)),
            gather: Duration::from_millis(4),
            small_week_bytes: 64 * 1024 * 1024,
        }
    }
}

impl StoreOptions {
    /// The oldest time of which alerts and the audit log are kept, and that a report may have.
    pub(super) fn oldest(&self, now: UnixMs) -> UnixMs {
        before(now, self.retention)
    }

    /// The oldest time of which every reading is kept.
    pub(super) fn oldest_raw(&self, now: UnixMs) -> UnixMs {
        before(now, self.raw_retention.min(self.retention))
    }

    /// The oldest time of which there are roll-ups of a level.
    pub(super) fn oldest_rolled(&self, level: Level, now: UnixMs) -> UnixMs {
        before(now, self.rollup_retention[level as usize])
    }

    /// The oldest time of which anything of telemetry is kept.
    pub(super) fn oldest_of_all(&self, now: UnixMs) -> UnixMs {
        let rolled = Level::ALL.map(|level| self.oldest_rolled(level, now));
        rolled.into_iter().fold(self.oldest(now), UnixMs::min)
    }
}

fn before(now: UnixMs, time: Duration) -> UnixMs {
    now.plus_ms(-i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}
