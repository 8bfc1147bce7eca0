//! Fills a store with the laptops' history, past the wire: the store's own `append` and `seal`, so
//! that what lies on disk is what streams would have left there.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use rollcall_collector::store::{Arrival, Store, StoreOptions};
use rollcall_shared::id::Sequence;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock as _, Now, SinceBootMs, SystemClock, UnixMs};
use tokio::task::JoinSet;

use super::fleet::{Enrolled, Laptops};
use super::series::Series;

/// Reports of one laptop that are appended together: an hour.
const TOGETHER: usize = 60;

/// Laptops that are appended at the same time, so that they share a commit.
const AT_ONCE: usize = 512;

/// What to fill.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The collector's folder; it must not run.
    #[arg(long)]
    data: PathBuf,
    /// The file of samples.
    #[arg(long)]
    series: PathBuf,
    /// The file of identities.
    #[arg(long)]
    fleet: PathBuf,
    /// Laptops of the file of samples, over and over, until so many have a history.
    #[arg(long)]
    devices: usize,
    /// The sequence of the first report.
    #[arg(long, default_value_t = 1)]
    first_sequence: u64,
    /// The fleet's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seal what was appended, as time would.
    #[arg(long)]
    seal: bool,
    /// Then merge the days and weeks that are over, as time would.
    #[arg(long)]
    merge: bool,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let series = Series::read(&options.series)?;
    let laptops = Laptops::read(&options.fleet, options.seed)?;
    let now = SystemClock.now().wall;
    let store = Store::open(&options.data, StoreOptions::default(), now)?;
    let devices = options.devices.min(laptops.laptops.len());
    let mut samples = 0;
    for start in (0..series.header.reports).step_by(TOGETHER) {
        let end = (start + TOGETHER).min(series.header.reports);
        for chunk in (0..devices).collect::<Vec<_>>().chunks(AT_ONCE) {
            let mut tasks = JoinSet::new();
            for &device in chunk {
                let arrival = arrival(
                    options,
                    &series,
                    &laptops.laptops[device],
                    device,
                    start..end,
                );
                let Some(arrival) = arrival else { continue };
                samples += arrival
                    .reports
                    .iter()
                    .map(|(_, r)| r.readings.len())
                    .sum::<usize>();
                let store = store.clone();
                tasks.spawn(async move { store.append(arrival).await });
            }
            while let Some(done) = tasks.join_next().await {
                done?.context("append")?;
            }
        }
        if options.seal {
            store.seal(SystemClock.now().wall).await.context("seal")?;
        }
    }
    if options.merge {
        store.merge(SystemClock.now().wall).await.context("merge")?;
    }
    println!(
        "{}",
        serde_json::json!({ "samples": samples, "devices": devices })
    );
    Ok(())
}

/// An hour of a laptop; `None` where it slept.
fn arrival(
    options: &Options,
    series: &Series,
    laptop: &Enrolled,
    device: usize,
    hour: std::ops::Range<usize>,
) -> Option<Arrival> {
    let like = device % series.header.devices.len();
    let reports: Vec<(UnixMs, Report)> = hour
        .filter_map(|n| report(options, series, laptop, like, n))
        .collect();
    let (received, _) = *reports.last().map(|(at, report)| (at, report)).as_ref()?;
    Some(Arrival {
        device: laptop.device,
        spool: laptop.spool(),
        received: *received,
        reports,
        skew_ms: 0,
    })
}

fn report(
    options: &Options,
    series: &Series,
    laptop: &Enrolled,
    like: usize,
    n: usize,
) -> Option<(UnixMs, Report)> {
    let numbers = series.report(like, n)?;
    let at = series.at(n);
    let since_boot = SinceBootMs(at.0.unsigned_abs());
    let named = series.header.devices[like].series.iter().zip(numbers);
    let readings = named.filter_map(|((code, instance), number)| {
        let metric = metric::by_code(*code)?;
        Reading::new(metric, instance, Value::Number(*number)).ok()
    });
    let report = Report {
        sequence: Sequence(options.first_sequence + n as u64),
        taken: Taken::at(
            Now {
                wall: at,
                since_boot,
            },
            laptop.boot(),
        ),
        full: n == 0,
        urgent: false,
        readings: readings.collect(),
    };
    Some((at, report))
}
