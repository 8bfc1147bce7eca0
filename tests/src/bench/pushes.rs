//! When each push is due, and which reports it carries.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Handshakes under way at a time.
const OPENING: usize = 32;

/// How the samples are sent.
#[derive(Debug, Clone, Args)]
pub(super) struct Load {
    /// The file of samples.
    #[arg(long)]
    pub series: PathBuf,
    /// How many laptops send: the first of the file.
    #[arg(long)]
    pub connections: usize,
    /// The first report to send; the one before it is sent as a warm-up.
    #[arg(long, default_value_t = 1)]
    pub from: usize,
    /// The report after the last to send; by default the end of the file.
    #[arg(long)]
    pub until: Option<usize>,
    /// Reports in a push.
    #[arg(long, default_value_t = 5)]
    pub reports_per_push: usize,
    /// Reports a second of all laptops together; without it each push follows the answer to the one
    /// before.
    #[arg(long)]
    pub rate: Option<f64>,
}

/// The laptops that send to a collector.
#[derive(Debug, Clone, Args)]
pub(super) struct Senders {
    /// The file of identities.
    #[arg(long)]
    pub fleet: PathBuf,
    /// The collector's address for agents.
    #[arg(long)]
    pub collector: SocketAddr,
    /// The fleet's seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many reports of these laptops' spools are stored already.
    #[arg(long, default_value_t = 0)]
    pub stored: u64,
}

/// What opening each sender came to, in their order; [`OPENING`] are being opened at a time.
pub(super) async fn opened<T: Send + 'static>(
    each: impl Iterator<Item = impl Future<Output = anyhow::Result<T>> + Send + 'static>,
) -> anyhow::Result<Vec<T>> {
    let places = Arc::new(Semaphore::new(OPENING));
    let mut tasks = JoinSet::new();
    for (at, opening) in each.enumerate() {
        let places = Arc::clone(&places);
        tasks.spawn(async move {
            let _place = places.acquire().await;
            (at, opening.await)
        });
    }
    let mut opened = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let (at, sender) = done?;
        opened.push((at, sender.with_context(|| format!("sender {at}"))?));
    }
    opened.sort_by_key(|(at, _)| *at);
    Ok(opened.into_iter().map(|(_, sender)| sender).collect())
}

impl Load {
    /// The reports of each push, in order.
    pub fn pushes(&self, reports: usize) -> Vec<Range<usize>> {
        let until = self.until.unwrap_or(reports).min(reports);
        (self.from..until)
            .step_by(self.reports_per_push.max(1))
            .map(|at| at..(at + self.reports_per_push).min(until))
            .collect()
    }

    /// How long after the start a laptop's push is due: laptops take turns, evenly spread.
    pub fn due(&self, laptop: usize, push: usize) -> Option<Duration> {
        let turns = push * self.connections + laptop;
        let a_second = self.rate? / self.reports_per_push as f64;
        Some(Duration::from_secs_f64(turns as f64 / a_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load() -> Load {
        Load {
            series: PathBuf::new(),
            connections: 10,
            from: 1,
            until: None,
            reports_per_push: 5,
            rate: Some(100.0),
        }
    }

    #[test]
    fn pushes_cover_the_reports_once() {
        assert_eq!(load().pushes(13), [1..6, 6..11, 11..13]);
        let short = Load {
            until: Some(7),
            ..load()
        };
        assert_eq!(short.pushes(13), [1..6, 6..7]);
    }

    #[test]
    fn laptops_take_turns() {
        assert_eq!(load().due(0, 1), Some(Duration::from_millis(500)));
        assert_eq!(load().due(3, 0), Some(Duration::from_millis(150)));
        assert_eq!(
            Load {
                rate: None,
                ..load()
            }
            .due(3, 0),
            None
        );
    }
}
