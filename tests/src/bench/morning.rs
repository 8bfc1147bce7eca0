//! The morning: every laptop connects at once and sends what its spool has kept overnight, as fast as
//! the collector lets it.
//!
//! A laptop has as many reports on the way as its credit allows, in messages of [`TOGETHER`], and waits
//! when it is told to, as an agent does. Its time counts from the moment at which all began.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use rollcall_proto::v1;
use rollcall_shared::time::{Clock as _, SinceBootMs, SystemClock};
use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::task::JoinSet;

use super::conversation::Conversation;
use super::fleet::Laptops;
use super::grpc::Stream;
use super::laptops::{Clocks, Push, hello};
use super::latency::Latencies;
use super::pushes::{Load, Senders, opened};
use super::series::Series;

/// Reports in a message: a quarter of the first credit, and all of the credit of a busy collector.
const TOGETHER: usize = 16;

/// What to send, and where to.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    senders: Senders,
    /// They have been connected before, and resume what they agreed on then.
    #[arg(long)]
    resume: bool,
}

/// A laptop that is about to be opened.
struct Closed {
    tls: ClientConfig,
    hello: v1::Hello,
    pushes: VecDeque<Push>,
}

/// What a laptop saw.
struct Seen {
    ms: u64,
    resumed: bool,
    slowed: u64,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let series = Arc::new(Series::read(&options.load.series)?);
    let laptops = Arc::new(Laptops::read(&options.senders.fleet, options.senders.seed)?);
    let count = options.load.connections.min(laptops.laptops.len());
    let mut closed = Vec::with_capacity(count);
    for at in 0..count {
        closed.push(prepare(options, at, &laptops, &series)?);
    }
    if options.resume {
        connect_before(options.senders.collector, &closed).await?;
    }
    let wire_bytes: usize = closed.iter().flat_map(|c| &c.pushes).map(Push::bytes).sum();
    Conversation::say(&serde_json::json!({
        "ready": true, "connections": count, "wire_bytes": wire_bytes,
    }))?;
    if !Conversation::heard().await? {
        return Ok(());
    }
    let began = SystemClock.now().since_boot;
    let mut tasks = JoinSet::new();
    for laptop in closed {
        tasks.spawn(open_and_send(options.senders.collector, laptop, began));
    }
    let (mut took, mut resumed, mut slowed, mut streams) = (Latencies::default(), 0, 0, Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (seen, stream) = done??;
        took.note(seen.ms);
        resumed += usize::from(seen.resumed);
        slowed += seen.slowed;
        streams.push(stream);
    }
    let seconds = SystemClock.now().since_boot.since(began).as_secs_f64();
    Conversation::say(&serde_json::json!({
        "seconds": seconds, "laptop_ms": took.percentiles(), "resumed": resumed, "slowed": slowed,
    }))?;
    Conversation::heard().await?;
    drop(streams);
    Ok(())
}

fn prepare(
    options: &Options,
    at: usize,
    laptops: &Laptops,
    series: &Series,
) -> anyhow::Result<Closed> {
    let laptop = &laptops.laptops[at];
    let clocks = Clocks::new(laptop, series, options.senders.stored);
    let mut tls = laptops.tls(laptop)?;
    if !options.resume {
        tls.resumption = Resumption::disabled();
    }
    let mut load = options.load.clone();
    load.reports_per_push = TOGETHER;
    let mut pushes = VecDeque::new();
    for range in load.pushes(series.header.reports) {
        pushes.extend(clocks.push(at, range, series)?);
    }
    let next = options.senders.stored + load.from as u64;
    Ok(Closed {
        tls,
        hello: hello(laptop, &clocks, next),
        pushes,
    })
}

/// The evening before: each connects and leaves.
async fn connect_before(collector: SocketAddr, closed: &[Closed]) -> anyhow::Result<()> {
    let each = closed.iter().map(|laptop| {
        let (tls, hello) = (laptop.tls.clone(), laptop.hello.clone());
        async move { Stream::open(collector, tls, hello).await.map(drop) }
    });
    let connected = opened(each).await;
    connected.map(drop).context("the evening before")
}

async fn open_and_send(
    collector: SocketAddr,
    laptop: Closed,
    began: SinceBootMs,
) -> anyhow::Result<(Seen, Stream)> {
    let mut stream = Stream::open(collector, laptop.tls, laptop.hello).await?;
    let (mut waiting, mut under_way) = (laptop.pushes, VecDeque::new());
    while !(waiting.is_empty() && under_way.is_empty()) {
        tokio::time::sleep(std::mem::take(&mut stream.wait)).await;
        // One message may always go: a credit of less would be none.
        while let Some(push) = waiting.front()
            && (under_way.is_empty() || (under_way.len() + 1) * TOGETHER <= stream.credit)
        {
            let frame: Bytes = push.frame.clone();
            under_way.push_back(push.last);
            stream.send(frame)?;
            waiting.pop_front();
        }
        if let Some(last) = under_way.pop_front() {
            stream.acknowledged(last).await?;
            under_way.retain(|last| *last > stream.acknowledged);
        }
    }
    let took = SystemClock.now().since_boot.since(began);
    let seen = Seen {
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        resumed: stream.resumed,
        slowed: stream.slowed,
    };
    Ok((seen, stream))
}
