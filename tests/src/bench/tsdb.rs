//! Laptops that push the same samples to a time-series database: each by itself on a connection that
//! it keeps, or many together as through a gatherer, which is the cheapest for the database.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use rollcall_shared::time::{Clock as _, SinceBootMs, SystemClock};
use tokio::task::JoinSet;

use super::conversation::Conversation;
use super::http::{Connection, post};
use super::latency::Latencies;
use super::pushes::{Load, opened};
use super::series::Series;
use super::{influx_lines, remote_write};

/// What to send, and where to.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    load: Load,
    /// The database's address.
    #[arg(long)]
    server: SocketAddr,
    /// How the samples travel.
    #[arg(long)]
    protocol: Protocol,
    /// Laptops whose reports travel in one push.
    #[arg(long, default_value_t = 1)]
    gather: usize,
    /// Connections at most; each sends the pushes of several laptops in turn then.
    #[arg(long)]
    streams: Option<usize>,
}

/// How samples travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// InfluxDB's lines, with a field for each number.
    Lines,
    /// Prometheus' remote write.
    RemoteWrite,
}

/// A sender, what warms it up and what it sends.
struct Loaded {
    connection: Connection,
    pushes: Vec<(usize, Bytes)>,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let series = Arc::new(Series::read(&options.load.series)?);
    let loaded = open_all(options, &series).await?;
    let samples = samples(options, &series);
    let wire_bytes: usize = loaded
        .iter()
        .flat_map(|sender| &sender.pushes)
        .map(|(_, request)| request.len())
        .sum();
    Conversation::say(&serde_json::json!({
        "ready": true, "connections": loaded.len(), "samples": samples, "wire_bytes": wire_bytes,
    }))?;
    if !Conversation::heard().await? {
        return Ok(());
    }
    let started = SystemClock.now().since_boot;
    let (latencies, senders) = send_all(options, loaded, started).await?;
    let seconds = SystemClock.now().since_boot.since(started).as_secs_f64();
    Conversation::say(&serde_json::json!({
        "samples": samples, "seconds": seconds, "ack_ms": latencies.percentiles(),
    }))?;
    Conversation::heard().await?;
    drop(senders);
    Ok(())
}

/// The laptops of each sender: ranges that travel together.
fn groups(options: &Options) -> Vec<Vec<Range<usize>>> {
    let count = options.load.connections;
    let gather = options.gather.max(1);
    let ranges: Vec<Range<usize>> = (0..count)
        .step_by(gather)
        .map(|at| at..(at + gather).min(count))
        .collect();
    let senders = options
        .streams
        .unwrap_or(ranges.len())
        .clamp(1, ranges.len().max(1));
    let mut groups = vec![Vec::new(); senders];
    for (at, range) in ranges.into_iter().enumerate() {
        groups[at % senders].push(range);
    }
    groups
}

async fn open_all(options: &Options, series: &Arc<Series>) -> anyhow::Result<Vec<Loaded>> {
    let each = groups(options).into_iter().map(|group| {
        let (series, load) = (Arc::clone(series), options.load.clone());
        let (server, protocol) = (options.server, options.protocol);
        async move { open(server, protocol, &load, &group, &series).await }
    });
    opened(each).await
}

async fn open(
    server: SocketAddr,
    protocol: Protocol,
    load: &Load,
    group: &[Range<usize>],
    series: &Series,
) -> anyhow::Result<Loaded> {
    let mut connection = Connection::open(server).await?;
    let warm_up = load.from - 1..load.from;
    for devices in group {
        if let Some(request) = request(server, protocol, series, devices, &warm_up) {
            connection.exchange(&request).await.context("the warm-up")?;
        }
    }
    let mut pushes = Vec::new();
    for (number, reports) in load.pushes(series.header.reports).into_iter().enumerate() {
        for devices in group {
            let made = request(server, protocol, series, devices, &reports);
            pushes.extend(made.map(|request| (number, request)));
        }
    }
    Ok(Loaded { connection, pushes })
}

/// The request with some laptops' reports; `None` where they slept.
fn request(
    server: SocketAddr,
    protocol: Protocol,
    series: &Series,
    devices: &Range<usize>,
    reports: &Range<usize>,
) -> Option<Bytes> {
    let awake = |device| {
        reports
            .clone()
            .any(|report| series.report(device, report).is_some())
    };
    if !devices.clone().any(awake) {
        return None;
    }
    Some(match protocol {
        Protocol::Lines => {
            let lines = devices
                .clone()
                .map(|device| influx_lines::lines(series, device, reports.clone()));
            let text: String = lines.collect();
            post(
                server,
                "/write?db=rollcall&precision=ms",
                "",
                text.as_bytes(),
            )
        }
        Protocol::RemoteWrite => {
            let body = remote_write::body(series, devices.clone(), reports);
            let headers = "content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\n\
                           x-prometheus-remote-write-version: 0.1.0\r\n";
            post(server, "/api/v1/write", headers, &body)
        }
    })
}

async fn send_all(
    options: &Options,
    loaded: Vec<Loaded>,
    started: SinceBootMs,
) -> anyhow::Result<(Latencies, Vec<Connection>)> {
    let mut tasks = JoinSet::new();
    for (at, sender) in loaded.into_iter().enumerate() {
        let load = options.load.clone();
        tasks.spawn(async move { send(sender, &load, at, started).await });
    }
    let (mut latencies, mut connections) = (Latencies::default(), Vec::new());
    while let Some(sent) = tasks.join_next().await {
        let (seen, connection) = sent??;
        latencies.join(seen);
        connections.push(connection);
    }
    Ok((latencies, connections))
}

async fn send(
    mut sender: Loaded,
    load: &Load,
    at: usize,
    started: SinceBootMs,
) -> anyhow::Result<(Latencies, Connection)> {
    let mut seen = Latencies::default();
    for (number, request) in sender.pushes {
        let mut since = SystemClock.now().since_boot;
        if let Some(due) = load.due(at, number) {
            let due_at = SinceBootMs(started.0 + u64::try_from(due.as_millis()).unwrap_or(0));
            let left = due_at.since(since);
            if left > Duration::ZERO {
                tokio::time::sleep(left).await;
            }
            since = due_at;
        }
        sender.connection.exchange(&request).await?;
        let took = SystemClock.now().since_boot.since(since);
        seen.note(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    }
    Ok((seen, sender.connection))
}

/// Numbers that are sent while it is measured.
fn samples(options: &Options, series: &Series) -> u64 {
    let pushes = options.load.pushes(series.header.reports);
    let count = options.load.connections;
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
