//! How long answers took.

use serde::Serialize;

/// Every answer's time, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u64>);

/// What is told of them, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Percentiles {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
    count: usize,
}

impl Latencies {
    /// Notes one.
    pub fn note(&mut self, ms: u64) {
        self.0.push(ms);
    }

    /// Takes over another's.
    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// By nearest rank.
    pub fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        let at = |percent: usize| self.0.get(last * percent / 100).copied().unwrap_or(0);
        Percentiles {
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
            count: self.0.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_rank() {
        let mut latencies = Latencies::default();
        (0..=100).rev().for_each(|ms| latencies.note(ms));
        let told = latencies.percentiles();
        assert_eq!((told.p50, told.p90, told.p99, told.max), (50, 90, 99, 100));
        assert_eq!(Latencies::default().percentiles().max, 0);
    }
}
