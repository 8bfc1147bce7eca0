//! Simulated laptops that are alive: each enrols and streams to a collector over mutual TLS, by the
//! agent's own identity, spool and stream. Only the readings are made up.
//!
//! ```text
//! DATA/lock             held by the one simulator that may use the folder
//! DATA/simulation.json  the seed
//! DATA/000042/identity  laptop 42's identity, as an agent keeps it
//! DATA/000042/spool     its spool, for the first laptops; the crowd's spools are in memory
//! ```
//! The laptops' day is the model's: it runs `--speed` times as fast as the real one and begins at
//! `--start`. Clocks and intervals on the wire are real, so a report is as old as it says.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rollcall_agent::config::AgentConfig;
use rollcall_agent::paths::{make_private_folder, replace_file};
use rollcall_agent::stream::address::Address;
use rollcall_shared::time::{Clock as _, SystemClock};
use rollcall_shared::token::EnrolmentToken;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

mod clocks;
mod connection;
mod laptop;
mod memory;
mod progress;
#[cfg(test)]
mod tests;

pub use clocks::Start;
pub use memory::MemoryFiles;

use super::Fleet;
use super::descriptors::{most_descriptors, provide_descriptors};
use clocks::ModelClock;
use laptop::LiveLaptop;
use progress::Progress;

/// Laptops that enrol at the same time: keys are made and certificates stored by them.
const ENROLLING: usize = 16;

/// Laptops that start in a second unless `--ramp-seconds` says otherwise.
const STARTS_PER_SECOND: f64 = 100.0;

/// File descriptors of a laptop with its spool on disk: a connection, a lock and a file at work.
const DESCRIPTORS_EACH: u64 = 3;

/// File descriptors of the process itself, with room.
const DESCRIPTORS_OWN: u64 = 64;

/// Which laptops run, how fast, and where they stream to.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many laptops.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: u32,
    /// The collector's address for agents.
    #[arg(long, value_name = "HOST:PORT")]
    pub collector: Address,
    /// A file with an enrolment token of at least N uses; laptops that have enrolled need none.
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Where the laptops keep their identities and spools from one run to the next.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Another seed gives another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many times as fast as the real one the laptops' day passes, from 0.001 to 100,000.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_speed)]
    pub speed: f64,
    /// When the laptops' day begins: `lesson` (the morning of the last school day), `now`, or a
    /// local time such as 2026-09-01T08:00.
    #[arg(long, value_name = "WHEN", default_value = "lesson")]
    pub start: Start,
    /// Over how many seconds the laptops are started [default: one for each hundred laptops].
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub ramp_seconds: Option<f64>,
    /// How many laptops have their spool on disk; those of the others are lost at the end.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub disk_spools: u32,
    /// Ends by itself this many seconds after all laptops were started, and prints what was counted
    /// meanwhile, as JSON.
    #[arg(long, value_name = "S", value_parser = parse_seconds)]
    pub count_seconds: Option<f64>,
}

/// What all laptops of a run share.
#[derive(Debug)]
struct World {
    fleet: Fleet,
    model: ModelClock,
    clock: SystemClock,
    collector: Address,
    agent: AgentConfig,
    token: Option<EnrolmentToken>,
    data: PathBuf,
    enrolling: Semaphore,
}

/// The content of `simulation.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Simulation {
    seed: u64,
}

/// Runs the laptops until `stop` is done, or for as long as the options say.
///
/// # Errors
/// In words: what stands in the way of starting.
pub async fn run(options: &Options, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let _lock = take_folder(&options.data, options.seed)?;
    let (devices, disk_spools) = (options.devices, options.disk_spools);
    provide_for(devices)?;
    let clock = SystemClock;
    let now = clock.now();
    let world = Arc::new(World {
        fleet: Fleet::new(options.seed),
        model: ModelClock::new(now, options.start.moment(now.wall), options.speed),
        clock,
        collector: options.collector.clone(),
        agent: AgentConfig::default(),
        token: read_token(&options.token_file, &options.data)?,
        data: options.data.clone(),
        enrolling: Semaphore::new(ENROLLING),
    });
    let mut laptops = Vec::new();
    for number in 0..devices {
        let laptop = LiveLaptop::open(&world, number, number < disk_spools);
        laptops.push(Arc::new(
            laptop.with_context(|| format!("laptop {number}"))?,
        ));
    }
    let progress = Progress::new(laptops.clone(), now);
    let ramp = options
        .ramp_seconds
        .unwrap_or(f64::from(devices) / STARTS_PER_SECOND);
    let mut tasks = start(laptops, Duration::from_secs_f64(ramp));
    let count = options.count_seconds.map(Duration::from_secs_f64);
    let ended = tokio::select! {
        () = stop => {
            eprintln!("{}", progress.line(&world));
            Ok(())
        }
        error = watch(&mut tasks) => Err(error),
        () = progress.tell_for_ever(&world) => Ok(()),
        counted = progress.count_after(Duration::from_secs_f64(ramp), count, &world) => {
            println!("{}", serde_json::to_string(&counted)?);
            Ok(())
        }
    };
    // Who runs next must find every spool closed.
    tasks.shutdown().await;
    ended
}

/// Starts one laptop after the other, spread over `ramp`.
fn start(laptops: Vec<Arc<LiveLaptop>>, ramp: Duration) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let count = laptops.len().max(1) as f64;
    for (at, laptop) in laptops.into_iter().enumerate() {
        let wait = ramp.mul_f64(at as f64 / count);
        tasks.spawn(async move {
            sleep(wait).await;
            laptop.run().await;
        });
    }
    tasks
}

/// A laptop's task ends by a mistake of this program only.
async fn watch(tasks: &mut JoinSet<()>) -> anyhow::Error {
    match tasks.join_next().await {
        Some(Err(error)) => anyhow::anyhow!(error).context("a simulated laptop failed"),
        Some(Ok(())) | None => anyhow::anyhow!("a simulated laptop ended"),
    }
}

/// Locks the data folder and sees that it holds laptops of this seed.
fn take_folder(data: &Path, seed: u64) -> anyhow::Result<File> {
    let named = || data.display().to_string();
    make_private_folder(data).with_context(named)?;
    let lock = File::create(data.join("lock")).with_context(named)?;
    if lock.try_lock().is_err() {
        bail!(
            "{}: another simulator uses this folder; stop it first, or choose another",
            named()
        );
    }
    let file = data.join("simulation.json");
    match fs::read(&file) {
        Ok(bytes) => {
            let known: Simulation = serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: is not what a simulator wrote", file.display()))?;
            if known.seed != seed {
                let theirs = known.seed;
                bail!(
                    "{} holds laptops of seed {theirs}: use --seed {theirs}, or another folder",
                    named()
                );
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            replace_file(&file, &serde_json::to_vec(&Simulation { seed })?).with_context(named)?;
        }
        Err(error) => return Err(error).with_context(|| file.display().to_string()),
    }
    Ok(lock)
}

/// The token; it may be missing where some laptops have enrolled before.
fn read_token(file: &Path, data: &Path) -> anyhow::Result<Option<EnrolmentToken>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(
            text.parse().with_context(|| file.display().to_string())?,
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound && data.join("000000").exists() => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("the token file {}", file.display())),
    }
}

/// Three files a laptop, as far as this system lets a process have them.
fn provide_for(devices: u32) -> anyhow::Result<()> {
    let most = most_descriptors();
    let needed = u64::from(devices) * DESCRIPTORS_EACH + DESCRIPTORS_OWN;
    if needed > most {
        let devices = most.saturating_sub(DESCRIPTORS_OWN) / DESCRIPTORS_EACH;
        bail!(
            "this system allows {most} open files to a process, which is enough for {devices} \
             laptops; raise the hard limit (`ulimit -Hn`), give a smaller --devices, or take a \
             `crowd`"
        );
    }
    provide_descriptors(needed)
}

pub(super) fn parse_speed(text: &str) -> Result<f64, String> {
    let speed = text
        .parse()
        .ok()
        .filter(|speed| (0.001..=100_000.0).contains(speed));
    speed.ok_or_else(|| format!("`{text}` is not a number from 0.001 to 100000"))
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text
        .parse()
        .ok()
        .filter(|seconds| (0.0..=1e7).contains(seconds));
    seconds.ok_or_else(|| format!("`{text}` is not a number of seconds from 0 to 10000000"))
}
