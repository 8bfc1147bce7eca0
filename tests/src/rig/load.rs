//! Many simulated laptops that stream at once, and remember what was acknowledged to them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::Status;

use super::collector::Collector;
use super::device::{Device, Session, runtime};
use super::patience::{eventually, require};

/// How many reports a laptop sends at a time.
const BATCH: u64 = 7;

/// How many stored reports a laptop sends once more when it comes back, as one does that has lost
/// its last acknowledgements.
const AGAIN: u64 = 5;

/// Reports are so far apart: a message that waits for a slow disk shifts the times of its reports by as
/// much, and their order shall stay.
const STEP_MS: u64 = 10_000;

const BEFORE_RECONNECT: Duration = Duration::from_millis(30);

/// Laptops under load, on a runtime of their own.
#[derive(Debug)]
pub struct Fleet {
    laptops: Vec<Arc<Laptop>>,
    load: Option<Load>,
    runtime: Runtime,
}

/// One laptop and what it knows.
#[derive(Debug)]
struct Laptop {
    device: Device,
    acknowledged: AtomicU64,
    broken_promise: Mutex<Option<String>>,
    /// Milliseconds between two messages.
    pause_ms: AtomicU64,
    /// How often its stream came up.
    streams: AtomicU64,
    /// Whether the collector may have been restored from a backup.
    may_be_set_back: AtomicBool,
    /// What was acknowledged and lost with the collector, each from the first to the last.
    lost: Mutex<Vec<(u64, u64)>>,
}

/// A load that goes on until it is stopped.
#[derive(Debug)]
struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Enrols this many laptops at a collector that runs.
    ///
    /// # Panics
    /// When the collector refuses one.
    #[must_use]
    pub fn enrolled(collector: &Collector, count: usize) -> Self {
        let token = collector.token(&["--site", "Lincoln", "--uses", "1000"]);
        let runtime = runtime();
        let enrol = async |number| {
            let serial = format!("LOAD-{number:04}");
            Laptop::enrolled(collector.grpc, &token, &serial).await
        };
        let laptops = (0..count).map(|number| {
            let laptop = runtime.block_on(enrol(number));
            Arc::new(laptop.expect("the collector enrols it"))
        });
        Self {
            laptops: laptops.collect(),
            load: None,
            runtime,
        }
    }

    /// Enrols laptops, and has all of them stream.
    ///
    /// # Panics
    /// When the collector refuses one.
    #[must_use]
    pub fn started(collector: &Collector, count: usize) -> Self {
        let mut fleet = Self::enrolled(collector, count);
        fleet.start(collector);
        fleet
    }

    /// Has all of them stream, and reconnect whenever their stream ends.
    pub fn start(&mut self, collector: &Collector) {
        let _inside = self.runtime.enter();
        let (grpc, stop) = (collector.grpc, Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        for laptop in &self.laptops {
            let (laptop, stop) = (Arc::clone(laptop), Arc::clone(&stop));
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let _ = laptop.stream(grpc, &stop).await;
                    tokio::time::sleep(BEFORE_RECONNECT).await;
                }
            });
        }
        self.load = Some(Load { stop, tasks });
    }

    /// Has them stop; what is under way ends with it.
    pub fn stop(&mut self) {
        if let Some(mut load) = self.load.take() {
            load.stop.store(true, Ordering::Relaxed);
            self.runtime.block_on(load.tasks.shutdown());
        }
    }

    /// How many reports have been acknowledged to all of them together.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let each = self.laptops.iter();
        each.map(|laptop| laptop.acknowledged.load(Ordering::SeqCst))
            .sum()
    }

    /// Waits until this many more reports have been acknowledged.
    ///
    /// # Panics
    /// When they are not within `limit`.
    pub fn await_progress(&self, reports: u64, limit: Duration) {
        let goal = self.acknowledged() + reports;
        eventually("acknowledgements", limit, || {
            let now = self.acknowledged();
            require(now >= goal, || format!("{now} of {goal}"))
        });
    }

    /// From now on a collector may have forgotten what it acknowledged, since it was restored from a
    /// backup. The laptops keep nothing of it, so they go on behind the gap.
    pub fn expect_set_back(&self) {
        for laptop in &self.laptops {
            laptop.may_be_set_back.store(true, Ordering::SeqCst);
        }
    }

    /// Has each laptop rest between two messages, for stories that go on for long.
    pub fn rest_between_messages(&self, pause: Duration) {
        let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        for laptop in &self.laptops {
            laptop.pause_ms.store(ms, Ordering::SeqCst);
        }
    }

    /// How often the streams of all of them together came up.
    #[must_use]
    pub fn streams(&self) -> u64 {
        let each = self.laptops.iter();
        each.map(|laptop| laptop.streams.load(Ordering::SeqCst))
            .sum()
    }

    /// How many reports were acknowledged and are lost with the collector that was restored.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let gaps = self
            .laptops
            .iter()
            .flat_map(|laptop| lock(&laptop.lost).clone());
        gaps.map(|(first, last)| last + 1 - first).sum()
    }

    /// The last sequence that was acknowledged to each laptop.
    #[must_use]
    pub fn marks(&self) -> Vec<u64> {
        let each = self.laptops.iter();
        each.map(|laptop| laptop.acknowledged.load(Ordering::SeqCst))
            .collect()
    }

    /// The first sequence that each laptop has lost with the collector, where it has lost any.
    #[must_use]
    pub fn first_lost(&self) -> Vec<Option<u64>> {
        let each = self.laptops.iter();
        each.map(|laptop| lock(&laptop.lost).first().map(|(first, _)| *first))
            .collect()
    }

    /// A collector that came back and had forgotten what it acknowledged, as a laptop saw it.
    #[must_use]
    pub fn broken_promise(&self) -> Option<String> {
        let mut each = self.laptops.iter();
        each.find_map(|laptop| lock(&laptop.broken_promise).clone())
    }

    /// Compares what the collector has with what it acknowledged: nothing missing, nothing twice,
    /// everything in order.
    ///
    /// # Errors
    /// What differs, for the first laptop that it differs for.
    pub fn compare(&self, collector: &Collector) -> Result<(), String> {
        if let Some(broken) = self.broken_promise() {
            return Err(broken);
        }
        for laptop in &self.laptops {
            let id = laptop.device.id.to_string();
            // Before the look at the store, since a load may go on.
            let acknowledged = laptop.acknowledged.load(Ordering::SeqCst);
            let points = collector.series(&id, "hw.battery.cycles", "BAT0")?;
            let values: Vec<u64> = points.iter().filter_map(as_sequence).collect();
            let lost = lock(&laptop.lost).clone();
            let stored = values.len() as u64 + lost.iter().map(|(a, b)| b + 1 - a).sum::<u64>();
            require(stored >= acknowledged, || {
                format!("{id}: {stored} reports are stored, {acknowledged} were acknowledged")
            })?;
            let is_lost = |at: &u64| {
                lost.iter()
                    .any(|(first, last)| (*first..=*last).contains(at))
            };
            let wrong = (1..)
                .filter(|at| !is_lost(at))
                .zip(&values)
                .find(|(expected, value)| expected != *value);
            require(wrong.is_none(), || {
                format!("{id}: (expected, stored) {wrong:?}")
            })?;
        }
        Ok(())
    }
}

impl Laptop {
    async fn enrolled(grpc: SocketAddr, token: &str, serial: &str) -> Result<Self, Status> {
        let mut device = Device::enroll(grpc, token, serial).await?;
        device.step_ms = STEP_MS;
        Ok(Self {
            device,
            acknowledged: AtomicU64::new(0),
            broken_promise: Mutex::new(None),
            pause_ms: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            may_be_set_back: AtomicBool::new(false),
            lost: Mutex::new(Vec::new()),
        })
    }

    async fn stream(&self, grpc: SocketAddr, stop: &AtomicBool) -> Result<(), Status> {
        let known = self.acknowledged.load(Ordering::SeqCst);
        let mut session = self.device.open(grpc, known + 1).await?;
        self.streams.fetch_add(1, Ordering::SeqCst);
        let stored = session.welcome.last_stored;
        let mut next = stored.saturating_sub(AGAIN) + 1;
        if stored < known && self.may_be_set_back.load(Ordering::SeqCst) {
            lock(&self.lost).push((stored + 1, known));
            next = known + 1;
        } else if stored < known {
            let id = self.device.id;
            let broken = format!("{id}: {known} were acknowledged, {stored} are said to be stored");
            *lock(&self.broken_promise) = Some(broken);
        }
        while !stop.load(Ordering::Relaxed) {
            // One batch is always on the way behind the one that is waited for.
            self.send(&session, next).await?;
            tokio::time::sleep(Duration::from_millis(self.pause_ms.load(Ordering::SeqCst))).await;
            session.acknowledged(next - 1).await?;
            next += BATCH;
            self.acknowledged
                .fetch_max(session.acknowledged, Ordering::SeqCst);
        }
        Ok(())
    }

    async fn send(&self, session: &Session, first: u64) -> Result<(), Status> {
        let reports = (first..first + BATCH).map(|at| (&self.device.report(at)).into());
        session.send(self.device.reports(reports.collect())).await
    }
}

fn as_sequence(point: &serde_json::Value) -> Option<u64> {
    let value = point["value"].as_f64()?;
    Some(value.round() as u64)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
