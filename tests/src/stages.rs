//! What one report costs the collector behind its network, stage by stage, in processor time.
//!
//! ```text
//! message of a simulated laptop -> decode -> admit -> append (a real store) -> evaluate (all rules)
//! ```
//! Each wave is one message of every laptop. A wave passes one stage after the other, so that the
//! processor time of this process between two stages belongs to one of them. Making the messages is
//! not counted, nor is anything of TLS and HTTP/2. Laptops' clocks run by the model, as fast as the
//! stages can follow.

mod messages;
mod questions;
mod stopwatch;

pub(crate) use stopwatch::Stopwatch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::Context as _;
use clap::Parser;
use futures_util::stream::{self, StreamExt as _};
use prost::Message as _;
use rollcall_collector::evaluate::Evaluator;
use rollcall_collector::evaluate::book::RuleBook;
use rollcall_collector::evaluate::rules::RuleSet;
use rollcall_collector::ingest::admission::admit;
use rollcall_collector::store::{Arrival, Store, StoreOptions, Write};
use rollcall_proto::v1;
use rollcall_shared::time::{Clock, Now, SinceBootMs, UnixMs};
use serde::Serialize;

use messages::Sender;
use stopwatch::resident_bytes;

/// Appends that are under way at a time: streams of laptops, each with one message.
const APPENDING: usize = 512;

/// Measures what a report costs the collector's stages, in processor time, without a network.
#[derive(Debug, Clone, Parser)]
#[command(name = "rollcall-stages", version)]
pub struct Options {
    /// How many laptops.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: u32,
    /// Messages of each laptop that are measured.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    pub waves: u32,
    /// Reports in a message, a minute apart.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub per_message: u32,
    /// Readings of a report, numbers first; 0 for all that a laptop has.
    #[arg(long, default_value_t = 36)]
    pub readings: usize,
    /// Send only what changed by more than its dead band, as agents do.
    #[arg(long)]
    pub changed_only: bool,
    /// Another seed gives another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the store is made [default: the system's folder for temporary files].
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Also measure this many of each question about the whole fleet.
    #[arg(long, default_value_t = 0)]
    pub questions: u32,
    /// Where the figures are written as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// What was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Laptops.
    pub devices: u32,
    /// Reports that passed every stage.
    pub reports: u64,
    /// Readings in them.
    pub readings: u64,
    /// Bytes of a report on the wire, before compression.
    pub wire_bytes_per_report: f64,
    /// Microseconds of processor time to decode a report.
    pub decode_us: f64,
    /// To check it and correct its time.
    pub admit_us: f64,
    /// To make it durable and part of the memory.
    pub append_us: f64,
    /// To evaluate the rules, once after each message.
    pub evaluate_us: f64,
    /// All of it.
    pub total_us: f64,
    /// All of it, in seconds for a million readings.
    pub cpu_s_per_million_readings: f64,
    /// Devices times rules that were evaluated in a second of processor time.
    pub device_rules_per_cpu_s: f64,
    /// Microseconds of a device and a minute in which nothing came: what time alone brings about.
    pub idle_us_per_device_minute: f64,
    /// Resident bytes of this process for each laptop, messages left out.
    pub bytes_per_device: f64,
    /// Alerts that are open at the end.
    pub open_alerts: usize,
    /// Times of questions about the fleet.
    pub questions: Vec<questions::Answered>,
}

/// A clock that the model moves.
#[derive(Debug, Default)]
struct ModelTime(AtomicI64);

impl Clock for ModelTime {
    fn now(&self) -> Now {
        Now {
            wall: UnixMs(self.0.load(Ordering::Relaxed)),
            since_boot: SinceBootMs(0),
        }
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be built");
    match runtime.block_on(measure(&options)) {
        Ok(figures) => {
            let text = serde_json::to_string_pretty(&figures).expect("figures are plain");
            println!("{text}");
            if let Some(file) = &options.json
                && let Err(error) = std::fs::write(file, text)
            {
                eprintln!("rollcall-stages: {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("rollcall-stages: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures as the options say.
///
/// # Errors
/// When the store cannot be made or fails.
pub async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let folder = match &options.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.context("no folder for the store")?;
    let mut senders = messages::senders(options);
    let clock = Arc::new(ModelTime(AtomicI64::new(messages::START.0)));
    let store = Store::create(folder.path(), StoreOptions::default(), messages::START)?;
    enrol(&store, &senders).await?;
    let book = RuleBook::of(RuleSet::built_in());
    let rules = book.rules().rules.len();
    let evaluator = Evaluator::new(store.clone(), book, Vec::new(), clock.clone());
    let line = Line {
        store: &store,
        evaluator: &evaluator,
        clock: &clock,
    };
    let mut figures = Figures {
        devices: options.devices,
        ..Figures::default()
    };
    let before = resident_bytes();
    // The first wave makes every series known, which happens once in a device's life.
    let mut spent = Spent::default();
    line.wave(messages::wave(&mut senders, 0, options), &mut spent)
        .await?;
    line.settle().await?;
    spent = Spent::default();
    for wave in 1..=options.waves {
        line.wave(messages::wave(&mut senders, wave, options), &mut spent)
            .await?;
    }
    figures.bytes_per_device =
        resident_bytes().saturating_sub(before) as f64 / f64::from(options.devices);
    figures.fill(&spent, rules);
    figures.idle_us_per_device_minute = line.idle(options.devices).await?;
    figures.open_alerts = store.open_alerts().len();
    figures.questions = questions::ask(&store, &clock, options.questions).await?;
    Ok(figures)
}

/// The stages.
struct Line<'a> {
    store: &'a Store,
    evaluator: &'a Evaluator,
    clock: &'a ModelTime,
}

/// Seconds of processor time, and what they were spent on.
#[derive(Debug, Default)]
struct Spent {
    decode: f64,
    admit: f64,
    append: f64,
    evaluate: f64,
    evaluated: u64,
    reports: u64,
    readings: u64,
    bytes: u64,
}

impl Line<'_> {
    async fn wave(&self, wave: messages::Wave, spent: &mut Spent) -> anyhow::Result<()> {
        self.clock.0.store(wave.received.0, Ordering::Relaxed);
        let mut watch = Stopwatch::start();
        let mut decoded = Vec::with_capacity(wave.messages.len());
        for (of, bytes) in &wave.messages {
            let up = v1::Up::decode(&bytes[..])?;
            let Some(v1::up::Message::Reports(reports)) = up.message else {
                anyhow::bail!("a message without reports");
            };
            decoded.push((of, reports));
        }
        spent.decode += watch.lap();
        let mut arrivals = Vec::with_capacity(decoded.len());
        for (of, reports) in decoded {
            let admission = admit(reports, wave.received)?;
            anyhow::ensure!(admission.rejected.is_empty() && admission.malformed.is_empty());
            arrivals.push(Arrival {
                device: of.device,
                spool: of.spool,
                reports: admission.reports,
                received: wave.received,
                skew_ms: admission.skew_ms,
            });
        }
        spent.admit += watch.lap();
        for arrival in &arrivals {
            spent.reports += arrival.reports.len() as u64;
            let readings = arrival
                .reports
                .iter()
                .map(|(_, report)| report.readings.len());
            spent.readings += readings.sum::<usize>() as u64;
        }
        spent.bytes += wave
            .messages
            .iter()
            .map(|(_, bytes)| bytes.len() as u64)
            .sum::<u64>();
        watch.lap();
        let mut appended = stream::iter(arrivals)
            .map(|arrival| self.store.append(arrival))
            .buffer_unordered(APPENDING);
        while let Some(done) = appended.next().await {
            done?;
        }
        spent.append += watch.lap();
        spent.evaluated += self.evaluator.evaluate_due().await?.devices as u64;
        spent.evaluate += watch.lap();
        Ok(())
    }

    /// Evaluates every device until the pasts of some were read, as in a collector that just started.
    async fn settle(&self) -> anyhow::Result<()> {
        for _ in 0..8 {
            self.evaluator.evaluate_all().await?;
        }
        Ok(())
    }

    /// Microseconds of a device and a minute in which nothing comes.
    async fn idle(&self, devices: u32) -> anyhow::Result<f64> {
        const MINUTES: i64 = 5;
        let mut watch = Stopwatch::start();
        for _ in 0..MINUTES * 4 {
            self.clock.0.fetch_add(15_000, Ordering::Relaxed);
            self.evaluator.evaluate_due().await?;
        }
        Ok(watch.lap() * 1e6 / f64::from(devices) / MINUTES as f64)
    }
}

impl Figures {
    fn fill(&mut self, spent: &Spent, rules: usize) {
        let each = |seconds: f64| seconds * 1e6 / spent.reports as f64;
        let total = spent.decode + spent.admit + spent.append + spent.evaluate;
        self.reports = spent.reports;
        self.readings = spent.readings;
        self.wire_bytes_per_report = spent.bytes as f64 / spent.reports as f64;
        self.decode_us = each(spent.decode);
        self.admit_us = each(spent.admit);
        self.append_us = each(spent.append);
        self.evaluate_us = each(spent.evaluate);
        self.total_us = each(total);
        self.cpu_s_per_million_readings = total * 1e6 / spent.readings as f64;
        self.device_rules_per_cpu_s = spent.evaluated as f64 * rules as f64 / spent.evaluate;
    }
}

async fn enrol(store: &Store, senders: &[Sender]) -> anyhow::Result<()> {
    for chunk in senders.chunks(1000) {
        let writes = chunk.iter().map(|sender| Write::PutDevice(sender.record()));
        store.commit(writes.collect()).await?;
    }
    for sender in senders {
        store.set_connected(sender.device, true, messages::START);
    }
    Ok(())
}
