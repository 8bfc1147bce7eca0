//! Hashing passwords: a few at a time, beside the tasks that move bytes.
//!
//! A hash takes 19 MiB and some tens of milliseconds, which makes guessing slow and is itself something to
//! be flooded with. Browsers that are known have a lane of their own, which strangers cannot fill.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::user::{Password, PasswordHash};

/// Guesses of one lane that wait for their turn; more are told to come again. They wait two seconds at
/// most where a hash takes 60 ms.
const WAITING: usize = 32;

/// The two lanes, each with one hash at a time: 38 MiB together.
#[derive(Debug)]
pub struct Hashing {
    known: Lane,
    strangers: Lane,
}

#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// Too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Default for Hashing {
    fn default() -> Self {
        let lane = || Lane {
            places: Arc::new(Semaphore::new(WAITING)),
            turn: Arc::new(Semaphore::new(1)),
        };
        Self {
            known: lane(),
            strangers: lane(),
        }
    }
}

impl Hashing {
    /// Whether this is the password, found in its turn.
    ///
    /// # Errors
    /// [`Busy`] when too many wait.
    pub async fn matches(
        &self,
        is_known: bool,
        hash: PasswordHash,
        password: Password,
    ) -> Result<bool, Busy> {
        let lane = if is_known {
            &self.known
        } else {
            &self.strangers
        };
        let place = Arc::clone(&lane.places).try_acquire_owned();
        let place = place.map_err(|_| Busy)?;
        let turn = Arc::clone(&lane.turn).acquire_owned().await;
        // Whoever hangs up leaves the work to end in its turn.
        let work = tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            hash.matches(&password)
        });
        work.await.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn strangers_are_turned_away_before_known_browsers_wait() {
        let hashing = Hashing::default();
        let _full = hashing.strangers.places.acquire_many(WAITING as u32).await;
        let password = Password::new("correct horse battery".to_owned());
        let hash = PasswordHash::of(&password);
        let ask = |known| hashing.matches(known, hash.clone(), password.clone());
        assert_eq!(ask(false).await, Err(Busy));
        assert_eq!(ask(true).await, Ok(true));
    }
}
