//! Laptops that push the samples to a collector, each on a stream of its own.
//!
//! Every message is made before the clock starts. A laptop's push follows the acknowledgement of the
//! one before (the most that these laptops can do), or comes when it is due; the latter's time
//! counts from then, so that a collector that stalls is not spared.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use rollcall_proto::v1;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::Taken;
use rollcall_shared::time::{Clock as _, Now, SinceBootMs, SystemClock};
use tokio::task::JoinSet;

use super::conversation::Conversation;
use super::fleet::{Enrolled, Laptops, VERSION};
use super::grpc::{self, Stream};
use super::latency::Latencies;
use super::pushes::{Load, Senders, opened};
use super::series::{STEP_MS, Series};

/// What the laptops' clocks say of their boot: long before the first report.
const UPTIME: SinceBootMs = SinceBootMs(400 * 86_400_000);

/// What to send, and where to.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    senders: Senders,
    /// Connect, say Hello and send nothing.
    #[arg(long)]
    idle: bool,
}

/// A laptop and what it will send.
struct Loaded {
    stream: Stream,
    pushes: Vec<Push>,
}

/// A message and the sequence that acknowledges it.
pub(super) struct Push {
    pub frame: Bytes,
    pub last: u64,
}

impl Push {
    /// Its size on the wire.
    pub fn bytes(&self) -> usize {
        self.frame.len()
    }
}

/// What a laptop saw.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let series = Arc::new(Series::read(&options.load.series)?);
    let laptops = Arc::new(Laptops::read(&options.senders.fleet, options.senders.seed)?);
    let count = options.load.connections.min(laptops.laptops.len());
    let loaded = open_all(options, count, &laptops, &series).await?;
    let samples = samples(options, count, &series);
    let wire_bytes = wire_bytes(&loaded);
    Conversation::say(&serde_json::json!({
        "ready": true, "connections": count, "samples": samples, "wire_bytes": wire_bytes,
    }))?;
    if !Conversation::heard().await? {
        return Ok(());
    }
    let started = SystemClock.now().since_boot;
    let (seen, streams) = send_all(options, loaded, started).await?;
    let seconds = SystemClock.now().since_boot.since(started).as_secs_f64();
    Conversation::say(&serde_json::json!({
        "samples": samples, "seconds": seconds, "ack_ms": seen.latencies.percentiles(),
    }))?;
    Conversation::heard().await?;
    drop(streams);
    Ok(())
}

async fn open_all(
    options: &Options,
    count: usize,
    laptops: &Arc<Laptops>,
    series: &Arc<Series>,
) -> anyhow::Result<Vec<Loaded>> {
    let each = (0..count).map(|at| {
        let (laptops, series) = (Arc::clone(laptops), Arc::clone(series));
        let (load, senders, idle) = (options.load.clone(), options.senders.clone(), options.idle);
        async move { open(at, &load, &senders, &laptops, &series, idle).await }
    });
    opened(each).await
}

/// Opens a laptop's stream, has its warm-up acknowledged and makes its messages.
async fn open(
    at: usize,
    load: &Load,
    senders: &Senders,
    laptops: &Laptops,
    series: &Series,
    idle: bool,
) -> anyhow::Result<Loaded> {
    let (laptop, stored) = (&laptops.laptops[at], senders.stored);
    let clocks = Clocks::new(laptop, series, stored);
    let hello = hello(laptop, &clocks, stored + load.from as u64);
    let mut stream = Stream::open(senders.collector, laptops.tls(laptop)?, hello).await?;
    if idle {
        let pushes = Vec::new();
        return Ok(Loaded { stream, pushes });
    }
    let message = |range| clocks.message(at, range, series);
    let warm_up = load.from - 1..load.from;
    let last = stored + warm_up.end as u64;
    if stream.acknowledged < last
        && let Some(frame) = message(warm_up)?
    {
        stream.send(frame)?;
        stream.acknowledged(last).await?;
    }
    let mut pushes = Vec::new();
    for range in load.pushes(series.header.reports) {
        pushes.extend(clocks.push(at, range, series)?);
    }
    Ok(Loaded { stream, pushes })
}

/// What a laptop says first.
pub(super) fn hello(laptop: &Enrolled, clocks: &Clocks<'_>, next_sequence: u64) -> v1::Hello {
    v1::Hello {
        agent_version: VERSION.to_owned(),
        sent: Some((&clocks.sent).into()),
        spool: laptop.spool().as_bytes().to_vec(),
        next_sequence,
        hardware: Some(laptop.hardware.clone()),
        configuration_revision: 0,
    }
}

/// A laptop's clocks: they agree with the file's times, as of when its messages are made.
pub(super) struct Clocks<'a> {
    laptop: &'a Enrolled,
    sent: Taken,
    stored: u64,
}

impl<'a> Clocks<'a> {
    pub fn new(laptop: &'a Enrolled, series: &Series, stored: u64) -> Self {
        let wall = SystemClock.now().wall;
        let late = wall.since(series.at(series.header.reports - 1)).max(0);
        let since_boot = SinceBootMs(UPTIME.0 + late.unsigned_abs());
        let sent = Taken::at(Now { wall, since_boot }, laptop.boot());
        Self {
            laptop,
            sent,
            stored,
        }
    }

    fn taken(&self, report: usize, series: &Series) -> Taken {
        let ago = (series.header.reports - 1 - report) as u64 * STEP_MS.unsigned_abs();
        let now = Now {
            wall: series.at(report),
            since_boot: SinceBootMs(UPTIME.0 - ago),
        };
        Taken::at(now, self.laptop.boot())
    }

    /// The push with these reports; `None` where the laptop slept through all of them.
    pub fn push(
        &self,
        at: usize,
        reports: std::ops::Range<usize>,
        series: &Series,
    ) -> anyhow::Result<Option<Push>> {
        let last = self.stored + reports.end as u64;
        let frame = self.message(at, reports, series)?;
        Ok(frame.map(|frame| Push { frame, last }))
    }

    /// The message with these reports; `None` where the laptop slept through all of them. The last
    /// report is always there otherwise, be it empty, so that it acknowledges the others.
    fn message(
        &self,
        at: usize,
        reports: std::ops::Range<usize>,
        series: &Series,
    ) -> anyhow::Result<Option<Bytes>> {
        let last = reports.end - 1;
        if reports.clone().all(|n| series.report(at, n).is_none()) {
            return Ok(None);
        }
        let wire = reports
            .filter(|n| *n == last || series.report(at, *n).is_some())
            .map(|report| v1::Report {
                sequence: self.stored + report as u64 + 1,
                taken: Some((&self.taken(report, series)).into()),
                full: report == 0,
                urgent: false,
                readings: readings(at, report, series),
            });
        let message = v1::up::Message::Reports(v1::Reports {
            sent: Some((&self.sent).into()),
            reports: wire.collect(),
        });
        grpc::frame(message).map(Some)
    }
}

fn readings(at: usize, report: usize, series: &Series) -> Vec<v1::Reading> {
    let names = &series.header.devices[at].series;
    let numbers = series.report(at, report).unwrap_or_default();
    let there = names
        .iter()
        .zip(numbers)
        .filter(|(_, number)| !number.is_nan());
    there
        .filter_map(|((code, instance), number)| {
            let metric = metric::by_code(*code)?;
            let reading = Reading::new(metric, instance, Value::Number(*number)).ok()?;
            Some((&reading).into())
        })
        .collect()
}

/// Sends everything, and gives the streams back so that nobody leaves before the others.
async fn send_all(
    options: &Options,
    loaded: Vec<Loaded>,
    started: SinceBootMs,
) -> anyhow::Result<(Seen, Vec<Stream>)> {
    let mut tasks = JoinSet::new();
    for (at, laptop) in loaded.into_iter().enumerate() {
        let load = options.load.clone();
        tasks.spawn(async move { send(laptop, &load, at, started).await });
    }
    let (mut all, mut streams) = (Seen::default(), Vec::new());
    while let Some(sent) = tasks.join_next().await {
        let (seen, stream) = sent??;
        all.latencies.join(seen.latencies);
        streams.push(stream);
    }
    Ok((all, streams))
}

async fn send(
    mut laptop: Loaded,
    load: &Load,
    at: usize,
    started: SinceBootMs,
) -> anyhow::Result<(Seen, Stream)> {
    let mut seen = Seen::default();
    for (number, push) in laptop.pushes.into_iter().enumerate() {
        let mut since = SystemClock.now().since_boot;
        if let Some(due) = load.due(at, number) {
            let due_at = SinceBootMs(started.0 + u64::try_from(due.as_millis()).unwrap_or(0));
            wait(due_at, since).await;
            since = due_at;
        }
        laptop.stream.send(push.frame)?;
        laptop.stream.acknowledged(push.last).await?;
        let took = SystemClock.now().since_boot.since(since);
        seen.latencies
            .note(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }
    Ok((seen, laptop.stream))
}

async fn wait(until: SinceBootMs, now: SinceBootMs) {
    let left = until.since(now);
    if left > Duration::ZERO {
        tokio::time::sleep(left).await;
    }
}

/// Numbers that are sent while it is measured.
fn samples(options: &Options, count: usize, series: &Series) -> u64 {
    if options.idle {
        return 0;
    }
    let pushes = options.load.pushes(series.header.reports);
    let there = |(device, report): (usize, usize)| {
        let numbers = series.report(device, report).unwrap_or_default();
        numbers.iter().filter(|number| !number.is_nan()).count() as u64
    };
    let reports = pushes.into_iter().flatten();
    reports
        .flat_map(|report| (0..count).map(move |device| (device, report)))
        .map(there)
        .sum()
}

fn wire_bytes(loaded: &[Loaded]) -> usize {
    let pushes = loaded.iter().flat_map(|laptop| &laptop.pushes);
    pushes.map(Push::bytes).sum()
}
