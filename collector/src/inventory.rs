//! Inventory: laptops, loans and rosters from CSV, taken in row by row.
//!
//! ```text
//! files -> table (columns by name) -> rows -> plan (pure: what changes, what is refused) -> one audit line
//! ```
//! A file is told by its columns: `asset_tag` makes it one of laptops and loans, `pupil` alone a roster, and
//! `sourcedId` one of `OneRoster`. Columns that are not known are named and never read, so that a name or an
//! address in them goes nowhere.

mod laptops;
mod plan;
pub mod readings;
mod roster;
mod table;

use rollcall_shared::time::UnixMs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::audit::AuditLine;
use crate::store::{Store, StoreError, Write};
pub use plan::{Plan, plan};

/// Bytes of all files of an import: 200,000 laptops with their loans.
pub const IMPORT_BYTES: usize = 32 * 1024 * 1024;

/// Files of an import: laptops, loans and the nine of `OneRoster` that schools send.
pub const FILES: usize = 16;

/// Laptops, and pupils, that an inventory may have: the largest district and as many again.
pub const MOST: usize = 1_000_000;

/// Bad rows that are named; of more there is only the count.
const NAMED: usize = 1000;

/// Changes that are committed at once.
const AT_ONCE: usize = 256;

/// A file that is to be imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryFile {
    /// What errors call it.
    pub name: String,
    /// Its CSV.
    pub text: String,
}

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InventoryReport {
    /// Whether nothing was stored.
    pub dry_run: bool,
    /// The files, in the order in which they were read.
    pub files: Vec<FileReport>,
    /// Laptops that were added, or would have been.
    pub laptops_added: u64,
    /// Laptops that were changed.
    pub laptops_changed: u64,
    /// Pupils that were added.
    pub pupils_added: u64,
    /// Pupils that were changed.
    pub pupils_changed: u64,
    /// Pupils that left.
    pub pupils_removed: u64,
    /// Rows that were refused; all others were taken.
    pub refused: u64,
    /// The first thousand of the refused rows, each with its file, its line and what is wrong.
    pub problems: Vec<String>,
}

/// What came of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileReport {
    /// Its name.
    pub name: String,
    /// What it is: `laptops`, `roster`, `oneroster orgs` and so on, or `not read`.
    pub kind: String,
    /// Its rows.
    pub rows: u64,
    /// Columns that were not read.
    pub left_out: Vec<String>,
}

impl InventoryReport {
    fn refuse(&mut self, file: &str, line: u64, problem: &str) {
        self.refused += 1;
        if self.problems.len() < NAMED {
            self.problems.push(format!("{file} line {line}: {problem}"));
        }
    }
}

/// Takes files in, in the name of `actor`, and says what came of it.
///
/// # Errors
/// [`StoreError`] when the store takes nothing in; the same import continues where it ended.
pub async fn import(
    store: &Store,
    files: &[InventoryFile],
    dry_run: bool,
    actor: &str,
    now: UnixMs,
) -> Result<InventoryReport, StoreError> {
    let _one_at_a_time = store.exclusive().await;
    let Plan { mut report, writes } = plan(files, &store.inventory());
    report.dry_run = dry_run;
    if dry_run {
        return Ok(report);
    }
    for some in writes.chunks(AT_ONCE) {
        store.commit(some.to_vec()).await?;
    }
    let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    let line = AuditLine {
        at: now,
        actor: actor.to_owned(),
        action: "inventory.import".to_owned(),
        subject: names.join(", ").chars().take(512).collect(),
        outcome: "ok".to_owned(),
        detail: format!(
            "{} laptops added, {} changed; {} pupils added, {} changed, {} left; {} rows refused",
            report.laptops_added,
            report.laptops_changed,
            report.pupils_added,
            report.pupils_changed,
            report.pupils_removed,
            report.refused
        ),
    };
    store.commit(vec![Write::Audit(line)]).await?;
    Ok(report)
}
