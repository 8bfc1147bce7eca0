//! What goes out of the store and comes into it as files that other programs read.
//!
//! A file has a row for each value, in long form, so that an export can be backtested and imported:
//!
//! | column | |
//! |---|---|
//! | time | RFC 3339 in UTC, to the millisecond |
//! | device | its id |
//! | metric | its name in the catalogue |
//! | instance | which battery, drive ...; empty where there is only one |
//! | value | a number, `true` or `false`, or a text; empty where there is none |
//! | unavailable | why there is none |
//!
//! CSV has these columns. A JSON line has them as keys, `value` with its own type. In Parquet `value`
//! is a number and `flag` and `text` have columns of their own. Rows are ordered by device, then by
//! time.
//!
//! With a [`Level`] a file has a row for each stretch of time instead, which tells what a series was like
//! in it. It begins with the same four columns (`time` is the stretch's first moment), and goes on with
//!
//! | column | |
//! |---|---|
//! | count | the reports in which the series was read, or stood as it had been read before |
//! | min, mean, max | of numbers; the mean is that over the reports |
//! | last | the last good value |
//! | unavailable | why there was none, where `count` is 0 |
//!
//! In Parquet `last` is a number and `flag` and `text` have columns of their own. What is rolled up cannot
//! be imported.

mod export;
mod formats;
mod import;
mod parquet_file;
mod rolled;
mod rows;
#[cfg(test)]
mod tests;

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use super::rollup::Level;
use crate::device::Device;

pub use export::{ExportError, export};
pub use formats::Format;
pub use import::{ImportOptions, ImportReport, import};

/// Which values are exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Of devices of this site only.
    pub site: Option<Label>,
    /// Of devices of this group only.
    pub group: Option<Label>,
    /// Of this device only.
    pub device: Option<DeviceId>,
    /// Of this metric only, by its code.
    pub metric: Option<u16>,
    /// From this time on.
    pub from: UnixMs,
    /// Before this time.
    pub to: UnixMs,
    /// Stretches of time of this length that begin in it, instead of every value.
    #[serde(default)]
    pub resolution: Option<Level>,
}

impl Selection {
    fn has_device(&self, device: &Device) -> bool {
        self.device.is_none_or(|id| id == device.id)
            && self.site.as_ref().is_none_or(|site| *site == device.site)
            && (self.group.is_none() || self.group == device.group)
    }

    fn has_metric(&self, code: u16) -> bool {
        self.metric.is_none_or(|metric| metric == code)
    }
}

/// A row of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// When.
    pub at: UnixMs,
    /// Whose.
    pub device: DeviceId,
    /// What.
    pub reading: Reading,
}

/// The columns of CSV, and the keys of a JSON line.
const COLUMNS: [&str; 6] = [
    "time",
    "device",
    "metric",
    "instance",
    "value",
    "unavailable",
];
