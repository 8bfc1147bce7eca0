//! Roll-ups: what a series was like in each quarter of an hour, each hour and each day, so that the
//! chart of a year reads kilobytes.
//!
//! Hours and days are made of a day when it is merged, quarters of an hour of a week when its readings are
//! about to go: until then they are read from these, which tell more and are there anyway. They lie in
//! databases of their own for each [`Level`] and some weeks (see `keys`), so that each level is kept for as
//! long as it may, and goes by the folder. What comes late is a generation of its own day, and adds to what
//! is there when it is read.
//!
//! A value stands for the reports after it until its series is read again, since a report carries what
//! changed: the mean of a day is the mean over the reports of that day, not over the changes. It stands
//! for [`HOLD_MS`] at most, and for no time without reports: absence is not health.

mod band;
pub(super) mod form;
mod join;
mod read;
mod roll;
#[cfg(test)]
mod tests;
pub(super) mod write;

use clap::ValueEnum;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::device::SeriesKey;
use read::joined;
use roll::by_level_of;
pub use roll::coarser;
pub(super) use roll::{hours, roll, times_of};

/// How long a value stands at most: full reports come every four hours, and may be some minutes late.
pub const HOLD_MS: i64 = 4 * 3_600_000 + 15 * 60_000;

/// How long the stretches are that a roll-up tells of.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
pub enum Level {
    /// A quarter of an hour
    #[serde(rename = "15m")]
    #[value(name = "15m")]
    Quarter,
    /// An hour
    #[serde(rename = "1h")]
    #[value(name = "1h")]
    Hour,
    /// A day, in UTC
    #[serde(rename = "1d")]
    #[value(name = "1d")]
    Day,
}

/// What a series was like in one stretch of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// Its first moment.
    pub at: UnixMs,
    /// The reports in which it was read, or stood as it had been read before.
    pub count: u64,
    /// The last good value; why there was none where `count` is 0.
    pub last: Value,
    /// Of numbers.
    pub band: Option<Band>,
}

/// Between what and what numbers lay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The least.
    pub min: f64,
    /// The mean over the reports, to a thousandth of the widest band beside it.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

/// The buckets of one series, in the order of their time.
#[derive(Debug, Clone, PartialEq)]
pub struct Rolled {
    /// Which series of the device.
    pub key: SeriesKey,
    /// Those in which something is known of it.
    pub buckets: Vec<Bucket>,
}

impl Level {
    /// Every level, the finest first.
    pub const ALL: [Self; 3] = [Self::Quarter, Self::Hour, Self::Day];

    /// How long its stretches are, in milliseconds.
    #[must_use]
    pub const fn width_ms(self) -> i64 {
        match self {
            Self::Quarter => 15 * 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    /// Its name, for people and folders.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// The level of a name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }

    /// How many weeks are in one database: four to thirteen of them at a time, by the default retention.
    pub(super) const fn weeks(self) -> i64 {
        match self {
            Self::Quarter => 4,
            Self::Hour => 13,
            Self::Day => 52,
        }
    }
}
