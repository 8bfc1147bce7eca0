//! When each push is due, and which reports it carries.

use std::ops::Range;
use std::time::Duration;

use clap::Args;

/// How the samples are sent.
#[derive(Debug, Clone, Args)]
pub(super) struct Load {
    /// The file of samples.
    #[arg(long)]
    pub series: std::path::PathBuf,
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
            series: std::path::PathBuf::new(),
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
