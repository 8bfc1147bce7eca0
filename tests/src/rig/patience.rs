//! Waiting for a condition, with a limit, and never for a duration.

use std::fmt::Display;
use std::time::Duration;

use rollcall_shared::time::{Clock, SinceBootMs, SystemClock, UnixMs};

/// How long a story waits for what should happen within a second or two. Generous, since the
/// machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

const BETWEEN_PROBES: Duration = Duration::from_millis(25);

/// Asks again and again until the probe has an answer, at most for `limit`.
///
/// # Panics
/// When there was none in time, with the last reason.
pub fn eventually<T, E: Display>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, E>,
) -> T {
    let start = since_boot();
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(reason) => {
                let waited = since_boot().since(start);
                assert!(waited < limit, "{what}: not within {limit:?}: {reason}");
            }
        }
        pause();
    }
}

/// Checks again and again that something holds, for the whole of `time`.
///
/// # Panics
/// As soon as it does not.
pub fn throughout<E: Display>(
    what: &str,
    time: Duration,
    mut probe: impl FnMut() -> Result<(), E>,
) {
    let start = since_boot();
    while since_boot().since(start) < time {
        if let Err(reason) = probe() {
            panic!("{what}: no longer: {reason}");
        }
        pause();
    }
}

/// `Ok` when it holds, otherwise the reason: for probes.
///
/// # Errors
/// The reason, when it does not hold.
pub fn require(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

/// The machine's time since boot.
#[must_use]
pub fn since_boot() -> SinceBootMs {
    SystemClock.now().since_boot
}

/// The machine's wall clock.
#[must_use]
pub fn wall_clock() -> UnixMs {
    SystemClock.now().wall
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two probes of a condition that has a limit"
)]
fn pause() {
    std::thread::sleep(BETWEEN_PROBES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_asked_until_it_answers() {
        let mut asked = 0;
        let answer = eventually("three", PATIENCE, || {
            asked += 1;
            if asked == 3 { Ok(asked) } else { Err(asked) }
        });
        assert_eq!(answer, 3);
    }

    #[test]
    #[should_panic(expected = "the moon: not within 60ms: still far")]
    fn patience_ends_with_the_last_reason() {
        let limit = Duration::from_millis(60);
        eventually("the moon", limit, || Err::<(), _>("still far"));
    }
}
