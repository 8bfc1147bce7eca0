//! `rollcall-simulator`: many laptops in one process, labelled as simulated.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use rollcall_agent::status::Status;
use rollcall_agent::stream::address::Address;
use rollcall_agent::stream::connector::Connector;
use rollcall_shared::time::{Clock, SystemClock};
use rollcall_tests::simulator::Fleet;
use rollcall_tests::streaming::{Plan, Streamer};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Laptops that enrol at a time.
const ENROL_AT_ONCE: usize = 16;

const PROGRESS: Duration = Duration::from_secs(10);

/// Simulates laptops that report to a collector. They belong to the group of their token, and their
/// models are called `Simulated`. The same seed gives the same laptops and the same lives.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many laptops.
    #[arg(long)]
    devices: u32,
    /// The collector, as host:port.
    #[arg(long)]
    collector: Address,
    /// A file with an enrolment token that may be used this often.
    #[arg(long)]
    token_file: PathBuf,
    /// Where the laptops keep their identities and spools.
    #[arg(long)]
    data: PathBuf,
    /// What all lives depend on.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seconds of life pass in one: with 60, an hour takes a minute.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let options = Options::parse();
    let plan = Arc::new(plan(&options)?);
    let running = simulate(plan, options.devices);
    tokio::select! {
        done = running => done,
        stopped = stop_asked() => stopped,
    }
}

fn plan(options: &Options) -> anyhow::Result<Plan> {
    let file = &options.token_file;
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let token = text
        .parse()
        .with_context(|| format!("{}", file.display()))?;
    let fits = options.speed.is_finite() && options.speed >= 0.0;
    anyhow::ensure!(fits, "--speed {}: not a number from 0 on", options.speed);
    Ok(Plan {
        connector: Connector {
            address: options.collector.clone(),
            proxy: None,
        },
        token,
        data: options.data.clone(),
        fleet: Fleet::new(options.seed),
        speed: options.speed,
        began: SystemClock.now(),
    })
}

async fn simulate(plan: Arc<Plan>, devices: u32) -> anyhow::Result<()> {
    let mut laptops = JoinSet::new();
    let places = Arc::new(Semaphore::new(ENROL_AT_ONCE));
    for number in 0..devices {
        let (plan, places) = (Arc::clone(&plan), Arc::clone(&places));
        laptops.spawn(async move {
            let _place = places.acquire().await;
            Streamer::open(plan, number)
                .await
                .with_context(|| format!("laptop {number}"))
        });
    }
    let mut running = JoinSet::new();
    let mut statuses = Vec::new();
    while let Some(opened) = laptops.join_next().await {
        let laptop = opened??;
        statuses.push(laptop.watch_status());
        running.spawn(async move { laptop.run().await });
        if statuses.len() % 100 == 0 {
            println!("{} of {devices} laptops are enrolled", statuses.len());
        }
    }
    println!("all {devices} laptops are enrolled");
    tokio::select! {
        () = tell(&statuses) => Ok(()),
        () = async { while running.join_next().await.is_some() {} } => Ok(()),
    }
}

async fn tell(statuses: &[watch::Receiver<Status>]) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        let connected = statuses
            .iter()
            .filter(|status| status.borrow().connected)
            .count();
        let last_ack = |status: &watch::Receiver<Status>| {
            status
                .borrow()
                .last_ack
                .as_ref()
                .map_or(0, |ack| ack.sequence)
        };
        let acknowledged: u64 = statuses.iter().map(last_ack).sum();
        println!(
            "{connected} of {} connected, {acknowledged} reports acknowledged",
            statuses.len()
        );
    }
}

async fn stop_asked() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
