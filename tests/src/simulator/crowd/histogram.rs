//! Durations by their frequency, in buckets of 1/32 of their size: percentiles of any number of
//! samples in some kilobytes, which add up over processes.

use serde::{Deserialize, Serialize};

/// Buckets of one power of two.
const PARTS: u64 = 32;

/// How often each duration was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum_us: f64,
    max_us: u64,
}

/// What a histogram says, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Samples.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The half of them took no longer.
    pub p50: f64,
    /// Nine of ten took no longer.
    pub p90: f64,
    /// 99 of hundred took no longer.
    pub p99: f64,
    /// 999 of thousand took no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Histogram {
    /// Counts a duration in microseconds.
    pub fn add(&mut self, us: u64) {
        let at = bucket(us);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.count += 1;
        self.sum_us += us as f64;
        self.max_us = self.max_us.max(us);
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own += more;
        }
        self.count += other.count;
        self.sum_us += other.sum_us;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// The least bound that `share` of the samples do not exceed, in microseconds.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_bound(at).min(self.max_us);
            }
        }
        self.max_us
    }

    /// Percentiles.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let ms = |us: u64| us as f64 / 1000.0;
        Summary {
            count: self.count,
            mean: self.sum_us / 1000.0 / self.count.max(1) as f64,
            p50: ms(self.quantile(0.5)),
            p90: ms(self.quantile(0.9)),
            p99: ms(self.quantile(0.99)),
            p999: ms(self.quantile(0.999)),
            max: ms(self.max_us),
        }
    }
}

fn bucket(us: u64) -> usize {
    if us < PARTS {
        return us as usize;
    }
    // The five bits after the highest say which part of a power of two it is.
    let power = u64::from(us.ilog2());
    let part = (us >> (power - 5)) - PARTS;
    ((power - 4) * PARTS + part) as usize
}

const fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PARTS {
        return bucket;
    }
    let (power, part) = (bucket / PARTS + 4, bucket % PARTS);
    ((PARTS + part + 1) << (power - 5)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut last = 0;
        for us in 0..200_000 {
            let at = bucket(us);
            assert!(at == last || at == last + 1, "{us}");
            let bound = upper_bound(at);
            assert!(bound >= us && bound <= us + us / 32, "{us}: {bound}");
            last = at;
        }
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let (mut even, mut odd) = (Histogram::default(), Histogram::default());
        for us in 1..=10_000 {
            if us % 2 == 0 {
                even.add(us)
            } else {
                odd.add(us)
            }
        }
        even.merge(&odd);
        let summary = even.summary();
        assert_eq!((summary.count, summary.max), (10_000, 10.0));
        assert!((summary.mean - 5.0).abs() < 0.01, "{summary:?}");
        for (is, wanted) in [(summary.p50, 5.0), (summary.p90, 9.0), (summary.p99, 9.9)] {
            assert!(is >= wanted && is < wanted * 1.04, "{summary:?}");
        }
        assert_eq!(Histogram::default().summary().p99, 0.0);
    }
}
