//! A spool as an agent has it whose collector was away for long: its own reports, over and over.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use rollcall_agent::paths::Paths;
use rollcall_agent::spool::{Spool, SpoolLimits};
use rollcall_shared::id::Sequence;

/// Bytes of the agent's own reports that are repeated.
const PATTERN_BYTES: usize = 64 * 1024;

/// Whose spool, and how much.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The data folder of an agent that does not run and has reports of its own that nobody took.
    #[arg(long)]
    data: PathBuf,
    /// Reports that it shall hold then.
    #[arg(long)]
    reports: u64,
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let folder = Paths::new(&options.data).spool();
    let (mut spool, _) = Spool::open(&folder, SpoolLimits::default())
        .with_context(|| format!("the spool {}", folder.display()))?;
    let own = spool.read_from(Sequence(0), PATTERN_BYTES)?;
    ensure!(
        !own.is_empty(),
        "{} holds no report to repeat",
        folder.display()
    );
    let held = |spool: &Spool| {
        let stats = spool.stats();
        stats.last.0 - stats.done.0
    };
    let missing = options.reports.saturating_sub(held(&spool));
    for record in own
        .iter()
        .cycle()
        .take(usize::try_from(missing).unwrap_or(usize::MAX))
    {
        spool.append_soon(&record.payload)?;
    }
    // Reading writes what is still kept in memory.
    let _ = spool.read_from(spool.stats().last, PATTERN_BYTES)?;
    let stats = spool.stats();
    println!(
        "{}",
        serde_json::json!({
            "reports": held(&spool), "bytes": stats.bytes, "dropped": stats.dropped,
        })
    );
    Ok(())
}
