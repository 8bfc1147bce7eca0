//! Waiting longer after each failure, at random, so that a fleet does not return as one.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait is uniform in `[0, min(longest, first * 2^n)]`.
/// Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits up to `first` after the first failure and never more than `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// Counts a failure and answers how long to wait, given `random` in `[0, 1)`.
    pub fn after_failure(&mut self, random: f64) -> Duration {
        let ceiling = self.ceiling();
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(random.clamp(0.0, 1.0))
    }

    /// How many failures came in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts again from the shortest wait.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first
            .checked_mul(factor)
            .map_or(self.longest, |wait| wait.min(self.longest))
    }
}

/// A number in `[0, 1)` from the operating system's generator.
///
/// # Panics
/// Where the operating system gives no random bytes, on which all of TLS depends as well.
#[must_use]
pub fn random_fraction() -> f64 {
    use ring::rand::SecureRandom;
    let mut bytes = [0_u8; 8];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    // 53 bits are what an f64 holds exactly.
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_to_the_longest_wait_and_resets() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        let waits: Vec<u64> = (0..70)
            .map(|_| backoff.after_failure(1.0).as_secs())
            .collect();
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 32, 60]);
        assert!(waits[7..].iter().all(|&s| s == 60));
        backoff.reset();
        assert_eq!(backoff.after_failure(0.5), Duration::from_millis(500));
        assert_eq!(backoff.after_failure(0.0), Duration::ZERO);
    }

    #[test]
    fn random_fractions_stay_in_range_and_differ() {
        let all: Vec<f64> = (0..100).map(|_| random_fraction()).collect();
        assert!(all.iter().all(|f| (0.0..1.0).contains(f)));
        assert!(all.iter().any(|f| *f < 0.5) && all.iter().any(|f| *f > 0.5));
    }
}
