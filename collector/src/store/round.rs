//! Whose turn it is to be sealed: every device once an hour, in the order of their keys, a few at a time.
//!
//! A round keeps the work even and the log short. The order of the keys keeps what is written at once
//! side by side on disk.

use std::collections::VecDeque;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

/// How long a round takes: an hour of a laptop's reports lies in one place, and a start replays as much.
const ROUND_MS: i64 = 60 * 60_000;

/// A round in progress.
#[derive(Debug)]
pub(super) struct Round {
    /// Those whose turn is still to come.
    waiting: VecDeque<DeviceId>,
    /// How many there were.
    all: usize,
    began: UnixMs,
}

impl Round {
    /// Whether everybody has had a turn.
    pub fn is_over(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A round over these devices that begins now.
    pub fn over(mut devices: Vec<DeviceId>, now: UnixMs) -> Self {
        devices.sort_unstable();
        Self {
            all: devices.len(),
            waiting: devices.into(),
            began: now,
        }
    }

    /// Those whose turn has come by `now`. A clock that was set back lets all go ahead.
    pub fn take(&mut self, now: UnixMs) -> Vec<DeviceId> {
        let back = now < self.began;
        let passed = if back {
            ROUND_MS
        } else {
            now.since(self.began).min(ROUND_MS)
        };
        let due = self.all as i64 * passed / ROUND_MS;
        let done = self.all - self.waiting.len();
        let due = usize::try_from(due).unwrap_or(0).saturating_sub(done);
        self.waiting.drain(..due.min(self.waiting.len())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_a_turn_within_the_hour_and_nobody_two() {
        let now = UnixMs(1_790_000_000_000);
        let devices: Vec<DeviceId> = (0..1000).map(|_| DeviceId::generate()).collect();
        let mut round = Round::over(devices.clone(), now);
        let mut sealed = Vec::new();
        for step in 0..=360 {
            let some = round.take(now.plus_ms(step * 10_000));
            assert!(some.len() <= 3, "{} at once", some.len());
            sealed.extend(some);
        }
        assert!(round.is_over() && sealed.is_sorted());
        assert_eq!(sealed.len(), devices.len());
        let mut round = Round::over(devices, now);
        assert_eq!(
            round.take(now.plus_ms(-1)).len(),
            1000,
            "the clock was set back"
        );
    }
}
