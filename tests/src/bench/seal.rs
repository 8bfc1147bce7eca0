//! Seals a store, and tells what that costs: work that a collector puts off and does later, so that
//! a short measurement would never see it.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rollcall_collector::store::{Store, StoreOptions};
use rollcall_shared::time::{Clock as _, SystemClock};

/// Which store.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The collector's folder; it must not run.
    #[arg(long)]
    data: PathBuf,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let now = SystemClock.now().wall;
    let began = cpu_s()?;
    let store = Store::open(&options.data, StoreOptions::default(), now)?;
    let opened = cpu_s()?;
    store.seal(now).await.context("seal")?;
    let sealed = cpu_s()?;
    println!(
        "{}",
        serde_json::json!({ "open_cpu_s": opened - began, "seal_cpu_s": sealed - opened })
    );
    Ok(())
}

/// Processor time of this process so far, user and system, in seconds.
fn cpu_s() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    // Fields 14 and 15 of proc(5), in ticks of 10 ms; the third is the first after the name.
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: f64 = ticks.filter_map(|text| text.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}
