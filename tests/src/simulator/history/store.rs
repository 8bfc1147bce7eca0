//! A store filled with a fleet's past, by the store's own appends.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use rollcall_collector::store::{Arrival, Store, StoreOptions, Write};
use rollcall_shared::id::Sequence;
use rollcall_shared::limits;
use rollcall_shared::report::Report;
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};
use tokio::task::JoinSet;

use super::{Kept, Past};
use crate::simulator::Laptop;
use crate::simulator::crowd::enrol::record;

/// Laptops whose days are made and appended at the same time: one commit takes in all of them.
const AT_ONCE: usize = 512;

/// Device records in one commit.
const RECORDS: usize = 512;

/// Where to put the past.
#[derive(Debug, Clone, clap::Args)]
pub struct FillOptions {
    /// The data folder of a collector that does not run, as `rollcall-collector init` makes it.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Whose past, and which days.
    #[command(flatten)]
    pub past: Past,
}

/// What was filled in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    /// Reports.
    pub reports: u64,
    /// Readings in them.
    pub readings: u64,
}

/// Fills a store; what it has already of these laptops' spools stays, and the new follows it.
///
/// # Errors
/// When the store does not open or does not take it.
pub async fn fill(options: &FillOptions) -> anyhow::Result<Filled> {
    let now = SystemClock.now().wall;
    let store = open(options, now)?;
    let fleet = options.past.fleet(now);
    let laptops = options
        .past
        .numbers()
        .map(|number| Arc::new(fleet.laptop(number)));
    let laptops: Vec<Arc<Laptop>> = laptops.collect();
    let range = options.past.range(now);
    put_records(&store, &laptops, range.start).await?;
    let began = SystemClock.now().since_boot;
    let (mut filled, mut told_s) = (Filled::default(), 0);
    for day in options.past.days(now) {
        let mut days = JoinSet::new();
        for laptop in &laptops {
            if days.len() >= AT_ONCE {
                filled.add(joined(days.join_next().await)?);
            }
            let (store, laptop, day) = (store.clone(), Arc::clone(laptop), day.clone());
            let step = options.past.step;
            days.spawn(async move { append(&store, &laptop, laptop.kept(day, step)).await });
        }
        while let Some(done) = days.join_next().await {
            filled.add(joined(Some(done))?);
        }
        // The collector's upkeep does this once a minute.
        store.seal(day.end).await?;
        let passed = SystemClock.now().since_boot.since(began);
        if passed.as_secs() >= told_s + 5 || day.end == range.end {
            told_s = passed.as_secs();
            let rate = filled.reports as f64 / passed.as_secs_f64().max(0.001);
            let Filled { reports, readings } = filled;
            eprintln!(
                "up to {}: {reports} reports, {readings} readings ({rate:.0} reports/s)",
                day.end
            );
        }
    }
    Ok(filled)
}

fn joined<T>(done: Option<Result<anyhow::Result<T>, tokio::task::JoinError>>) -> anyhow::Result<T> {
    done.context("a laptop's day was lost")?
        .context("a laptop's day failed")?
}

impl Filled {
    const fn add(&mut self, other: Self) {
        self.reports += other.reports;
        self.readings += other.readings;
    }
}

fn open(options: &FillOptions, now: UnixMs) -> anyhow::Result<Store> {
    let store_options = StoreOptions::default();
    if options.data.exists() {
        return Ok(Store::open(&options.data, store_options, now)?);
    }
    Ok(Store::create(&options.data, store_options, now)?)
}

/// Laptops that a crowd has enrolled keep their records.
async fn put_records(store: &Store, laptops: &[Arc<Laptop>], from: UnixMs) -> anyhow::Result<()> {
    let known: HashMap<_, _> = store
        .devices()
        .into_iter()
        .map(|s| (s.device.id, ()))
        .collect();
    let new = laptops
        .iter()
        .filter(|laptop| !known.contains_key(&laptop.device_id()));
    let writes: Vec<Write> = new
        .map(|laptop| Write::PutDevice(record(laptop, from)))
        .collect();
    for part in writes.chunks(RECORDS) {
        store.commit(part.to_vec()).await?;
    }
    Ok(())
}

async fn append(store: &Store, laptop: &Laptop, kept: Vec<Kept>) -> anyhow::Result<Filled> {
    let (device, spool) = (laptop.device_id(), laptop.spool_id());
    let mut sequence = store.stored(device, spool)?;
    let mut filled = Filled::default();
    let mut kept = kept.into_iter().peekable();
    while kept.peek().is_some() {
        let part: Vec<Kept> = kept.by_ref().take(limits::REPORTS_PER_MESSAGE).collect();
        let received = part.last().map_or(UnixMs(0), |last| last.at);
        filled.reports += part.len() as u64;
        filled.readings += part
            .iter()
            .map(|kept| kept.changed.readings.len() as u64)
            .sum::<u64>();
        let reports = part.into_iter().map(|kept| {
            sequence = sequence.next();
            (kept.at, report(laptop, sequence, kept))
        });
        let arrival = Arrival {
            device,
            spool,
            reports: reports.collect(),
            received,
            skew_ms: laptop.skew_ms(received),
        };
        store.append(arrival).await?;
    }
    Ok(filled)
}

fn report(laptop: &Laptop, sequence: Sequence, kept: Kept) -> Report {
    Report {
        sequence,
        taken: laptop.taken(kept.at),
        full: kept.changed.full,
        urgent: kept.changed.urgent,
        readings: kept.changed.readings,
    }
}
