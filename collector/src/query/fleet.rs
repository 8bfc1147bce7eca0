//! The fleet as a table: small rows of all devices, to be filtered, sorted and counted at once.
//!
//! A page of 100,000 devices must come within 50 ms, and may be sorted by anything. So the table is
//! made from the store's memory once for many answers, with each text in it once, and an answer goes
//! over numbers alone. How long a table is kept follows from what it cost.

mod find;
mod rows;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::{Clock, Now, UnixMs};
use serde::Serialize;

use super::{Query, QueryError, Viewer};
use crate::alert::Severity;
pub(in crate::query) use find::MOST_ROWS;
pub use find::{Count, FleetFilter, FleetPage, FleetRequest, Sort};
use rows::{Row, Word, Words};

/// A table is kept for this many times as long as it took to make: a twentieth of a processor goes into
/// it at most. 100,000 devices take about 100 ms, and are then at most 2 s old.
const KEPT: u64 = 20;

/// A table that took less than this is made anew each time: what changes is then seen at once.
const QUICK_MS: u64 = 5;

/// A table that is too old is shown once more while the next one is made, unless it is older than this.
const OLDEST_MS: u64 = 30_000;

/// A device that nobody heard of for so long is quiet: longer than a weekend and a holiday.
pub const QUIET_MS: i64 = 7 * 86_400_000;

/// How a device is, as far as one knows. A later one is more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It has left the fleet, or may not speak.
    Away,
    /// It was heard of lately, and nothing is wrong.
    Well,
    /// It was not heard of for a week: that is not health.
    Quiet,
    /// Something worth knowing.
    Info,
    /// Something to be dealt with in the next days.
    Warning,
    /// A pupil cannot work, or data are about to be lost.
    Critical,
}

/// A device as the table of the fleet shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetRow {
    /// Its identity as text.
    pub id: String,
    /// Vendor and model.
    pub name: String,
    /// Its asset tag; empty where the inventory does not know it.
    pub tag: String,
    /// Its school, as the inventory says; empty where it does not.
    pub school: String,
    /// Its site.
    pub site: String,
    /// Its group; empty where it has none.
    pub group: String,
    /// Operating system and version.
    pub os: String,
    /// The agent's version.
    pub agent: String,
    /// How it is.
    pub health: Health,
    /// Its gravest alert; empty where nothing fires.
    pub title: String,
    /// How many alerts fire.
    pub firing: u32,
    /// Since when the gravest alert holds.
    pub since: Option<UnixMs>,
    /// Share of its capacity that the worst battery holds.
    pub battery: Option<f32>,
    /// Share of the fullest file system that is used.
    pub disk: Option<f32>,
    /// `on-campus:<site>`, `off-campus`, or empty.
    pub place: String,
    /// Whether its stream is up.
    pub connected: bool,
    /// When it was last heard of.
    pub seen: Option<UnixMs>,
    /// Whether it is one of the simulator's.
    pub simulated: bool,
}

/// Every device at one moment.
#[derive(Debug)]
pub struct Fleet {
    words: Words,
    rows: Vec<Row>,
    /// The words that are sites of devices.
    sites: Vec<Word>,
}

/// The last table that was made.
#[derive(Debug, Default)]
pub(super) struct Kept {
    table: Mutex<Option<Table>>,
    is_making: AtomicBool,
}

#[derive(Debug, Clone)]
struct Table {
    fleet: Arc<Fleet>,
    /// Since the machine booted, in milliseconds.
    made: u64,
    cost: u64,
}

impl Health {
    /// Every health, the most urgent first.
    pub const ALL: [Self; 6] = [
        Self::Critical,
        Self::Warning,
        Self::Info,
        Self::Quiet,
        Self::Well,
        Self::Away,
    ];

    /// The health in one word, as addresses and files spell it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Well => "well",
            Self::Quiet => "quiet",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// The health that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|health| health.word() == word)
    }

    /// Whether an alert fires.
    #[must_use]
    pub fn needs_attention(self) -> bool {
        self >= Self::Info
    }
}

impl From<Severity> for Health {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

impl Kept {
    fn table(&self) -> std::sync::MutexGuard<'_, Option<Table>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Query {
    /// The devices that match, a page of them in the wanted order, and counts of what could be wanted.
    ///
    /// # Errors
    /// [`QueryError::Field`] when the search is too long or the page does not exist.
    pub fn fleet(&self, viewer: &Viewer, request: &FleetRequest) -> Result<FleetPage, QueryError> {
        self.whole_fleet().find(viewer, request)
    }

    /// The ids of the devices with firing alerts that match, most urgent first, a page of them.
    pub(super) fn urgent(
        &self,
        viewer: &Viewer,
        site: Option<&str>,
        skip: usize,
        most: usize,
    ) -> (Vec<DeviceId>, usize) {
        self.whole_fleet().urgent(viewer, site, skip, most)
    }

    /// The table, made anew where the last one is too old. Nobody waits for that who can be shown the last
    /// one.
    pub(super) fn whole_fleet(&self) -> Arc<Fleet> {
        let now = self.clock.now();
        let Some(table) = self.kept.table().clone() else {
            return self.make_fleet(now);
        };
        if table.age(now) >= OLDEST_MS {
            return self.make_fleet(now);
        }
        if !table.is_fresh(now) && !self.kept.is_making.swap(true, Ordering::AcqRel) {
            let query = self.clone();
            let made = std::thread::Builder::new()
                .name("fleet".to_owned())
                .spawn(move || {
                    query.make_fleet(query.clock.now());
                    query.kept.is_making.store(false, Ordering::Release);
                });
            if let Err(error) = made {
                tracing::warn!(%error, "no thread for the table of the fleet; it is made while somebody waits");
                self.kept.is_making.store(false, Ordering::Release);
                return self.make_fleet(now);
            }
        }
        table.fleet
    }

    fn make_fleet(&self, began: Now) -> Arc<Fleet> {
        let fleet = Arc::new(Fleet::of(&self.store, began.wall));
        let cost = since_boot(self.clock.as_ref()).saturating_sub(began.since_boot.0);
        *self.kept.table() = (cost >= QUICK_MS).then(|| Table {
            fleet: Arc::clone(&fleet),
            made: began.since_boot.0,
            cost,
        });
        fleet
    }
}

impl Table {
    const fn age(&self, now: Now) -> u64 {
        now.since_boot.0.saturating_sub(self.made)
    }

    const fn is_fresh(&self, now: Now) -> bool {
        self.age(now) < self.cost * (KEPT + 1)
    }
}

fn since_boot(clock: &dyn Clock) -> u64 {
    clock.now().since_boot.0
}

#[cfg(test)]
mod tests;
