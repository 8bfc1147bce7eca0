//! Feeds: what other systems of the district get of the telemetry. None unless one is configured.
//!
//! `files` writes each day's readings into a folder, for spreadsheets and data warehouses; `otlp` sends
//! the latest numbers to an observability stack. A feed reads the store and never holds it up: what
//! cannot be delivered now is tried again, and a laptop's latest value stands for those before it.

pub mod config;
mod files;
mod otlp;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_shared::time::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::query::MetricSource;
use crate::query::prometheus::{Exposition, FamilyKind};
use crate::store::Store;
use config::FeedConfig;
use files::Files;
use otlp::Otlp;

/// Every feed, ready to run.
pub struct Feeds {
    files: Vec<Files>,
    otlp: Vec<Otlp>,
    counts: Arc<Counts>,
}

/// What feeds have done, by their name.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<String, Arc<Count>>>);

/// What one feed has done.
#[derive(Debug, Default)]
struct Count {
    delivered: AtomicU64,
    failures: AtomicU64,
}

impl Counts {
    fn of(&self, name: &str) -> Arc<Count> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry(name.to_owned()).or_default())
    }
}

impl Count {
    fn deliver(&self, rows: u64) {
        self.delivered.fetch_add(rows, Ordering::Relaxed);
    }

    fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Feeds {
    /// Reads secrets and certificates.
    ///
    /// # Errors
    /// Which feed is not right, and in what.
    pub fn build(
        configured: &[FeedConfig],
        store: &Store,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let mut feeds = Self {
            files: Vec::new(),
            otlp: Vec::new(),
            counts: Arc::default(),
        };
        for feed in configured {
            let count = feeds.counts.of(feed.name());
            let (store, clock) = (store.clone(), Arc::clone(clock));
            match feed {
                FeedConfig::Files(config) => {
                    feeds
                        .files
                        .push(Files::new(config.clone(), store, clock, count));
                }
                FeedConfig::Otlp(config) => {
                    feeds.otlp.push(Otlp::build(config, store, count)?);
                }
            }
        }
        Ok(feeds)
    }

    /// Their counters for `/metrics`.
    #[must_use]
    pub fn source(&self) -> MetricSource {
        let counts = Arc::clone(&self.counts);
        Arc::new(move |out| expose(out, &counts))
    }

    /// Runs all of them until `ending`.
    ///
    /// # Errors
    /// When one of them panicked.
    pub async fn run(self, ending: CancellationToken) -> anyhow::Result<()> {
        let mut running = JoinSet::new();
        for feed in self.files {
            running.spawn(feed.run(ending.clone()));
        }
        for feed in self.otlp {
            running.spawn(feed.run(ending.clone()));
        }
        while let Some(ended) = running.join_next().await {
            ended?;
        }
        ending.cancelled().await;
        Ok(())
    }
}

fn expose(out: &mut Exposition, counts: &Counts) {
    let counts = counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut family = |name: &str, help: &str, of: fn(&Count) -> &AtomicU64| {
        let samples = counts.iter().map(|(feed, count)| {
            let value = of(count).load(Ordering::Relaxed) as f64;
            ([("feed", feed.as_str())], value)
        });
        out.family(name, FamilyKind::Counter, help, samples);
    };
    let help = "Rows of files and points that feeds have delivered.";
    family("rollcall_feed_delivered_total", help, |count| {
        &count.delivered
    });
    let help = "Deliveries of feeds that failed and are tried again.";
    family("rollcall_feed_failures_total", help, |count| {
        &count.failures
    });
}
