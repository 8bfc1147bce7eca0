//! How often a password may be guessed, and by whom, so that nobody can lock out anybody else.
//!
//! A lock on a user's name alone would let everybody who knows the name lock its owner out. Guesses are
//! therefore counted where only the one who guesses is hurt:
//!
//! - **A browser that has signed in as this user before** carries a device cookie that proves it. Its
//!   guesses are counted for that cookie alone: nobody else's guesses bear on it, whatever happens
//!   elsewhere, also from the same address. This is the protocol of OWASP's *Slow Down Online Guessing
//!   Attacks with Device Cookies*
//!   (<https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies>).
//! - **Any other browser** is counted by (user, network), and by network over all users. The same user is
//!   let in from every other network, and from every known browser of this one. A network is an IPv4
//!   address or an IPv6 /64.
//!
//! What is left to somebody who guesses from behind the school's one address is to keep *new* browsers
//! behind that address from signing in by password for a quarter of an hour; those in use go on, and API
//! tokens and the provider of identities know no such count. OWASP's third count, over all unknown
//! browsers of a user, is left out: with it anybody could lock a user's new browsers out everywhere. What
//! holds many networks together down is the time that hashing takes (see `hashing.rs`), and passwords of
//! 15 characters.
//!
//! A guess is counted before it is hashed, so that many at once do not all slip through, and taken back
//! when it was right.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;

use crate::query::access::network_of;

/// Wrong guesses in one place until it has to wait.
const IN_ONE_PLACE: u32 = 10;

/// Wrong guesses from one network, over all users: a class of 30 that comes back from the holidays.
const FROM_ONE_NETWORK: u32 = 60;

/// For how long guesses count, from the first one on.
const WINDOW_MS: i64 = 15 * 60_000;

/// Places that are counted: about 100 bytes each. Where more are needed the oldest is forgotten, so that
/// whoever has that many networks gains some guesses, and nobody is shut out.
const PLACES: usize = 16_384;

/// Where guesses are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    key: [u8; 32],
    most: u32,
}

/// Guesses that were wrong, or are being looked at.
#[derive(Debug, Default)]
pub struct Guesses(Mutex<HashMap<[u8; 32], Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    began: UnixMs,
    guesses: u32,
}

/// It is too early for another guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// Seconds until the next one is looked at.
    pub seconds: u32,
    /// Whether this is the first one that is refused, which is worth a line in the audit log.
    pub is_first: bool,
}

impl Place {
    /// A browser that has signed in as this user before.
    pub fn of_device(name: &str, number: &[u8]) -> Self {
        Self::new(b"device", name, number, IN_ONE_PLACE)
    }

    /// Where any other browser's guesses count.
    pub fn of_stranger(name: &str, address: IpAddr) -> [Self; 2] {
        let network = network_of(address).to_string();
        [
            Self::new(b"user", name, network.as_bytes(), IN_ONE_PLACE),
            Self::new(b"network", "", network.as_bytes(), FROM_ONE_NETWORK),
        ]
    }

    fn new(kind: &[u8], name: &str, rest: &[u8], most: u32) -> Self {
        let text = [kind, name.as_bytes(), rest].join(&0);
        Self {
            key: sha256(&text),
            most,
        }
    }
}

impl Guesses {
    /// Counts a guess in all of these places, or in none where one of them has to wait.
    ///
    /// # Errors
    /// [`Wait`] says for how long.
    pub fn begin(&self, places: &[Place], now: UnixMs) -> Result<(), Wait> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            let count = counts
                .get_mut(&place.key)
                .filter(|count| !count.is_over(now));
            if let Some(count) = count
                && count.guesses >= place.most
            {
                let left_ms = WINDOW_MS - now.since(count.began);
                let is_first = count.guesses == place.most;
                count.guesses = place.most + 1;
                return Err(Wait {
                    seconds: u32::try_from(left_ms / 1000).unwrap_or(0) + 1,
                    is_first,
                });
            }
        }
        for place in places {
            make_room(&mut counts, place, now);
            let fresh = Count {
                began: now,
                guesses: 0,
            };
            let count = counts.entry(place.key).or_insert(fresh);
            if count.is_over(now) {
                *count = fresh;
            }
            count.guesses += 1;
        }
        Ok(())
    }

    /// Takes back a guess that was right.
    pub fn was_right(&self, places: &[Place]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            if let Some(count) = counts.get_mut(&place.key) {
                count.guesses = count.guesses.saturating_sub(1);
            }
        }
    }
}

impl Count {
    /// A clock that was set back ends the window too.
    const fn is_over(&self, now: UnixMs) -> bool {
        let age = now.since(self.began);
        age < 0 || age >= WINDOW_MS
    }
}

fn make_room(counts: &mut HashMap<[u8; 32], Count>, place: &Place, now: UnixMs) {
    if counts.len() < PLACES || counts.contains_key(&place.key) {
        return;
    }
    counts.retain(|_, count| !count.is_over(now));
    if counts.len() >= PLACES {
        let oldest = counts.iter().min_by_key(|(_, count)| count.began);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_787_557_500_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_guesses_locks_out_nobody_else() {
        let guesses = Guesses::default();
        let attacker = Place::of_stranger("anna", address("10.0.0.9"));
        for _ in 0..IN_ONE_PLACE {
            assert_eq!(guesses.begin(&attacker, NOW), Ok(()));
        }
        let wait = guesses.begin(&attacker, NOW).unwrap_err();
        assert_eq!((wait.seconds, wait.is_first), (901, true));
        assert!(!guesses.begin(&attacker, NOW).unwrap_err().is_first);
        // Anna herself: elsewhere, in a browser that is known, and others behind the same address.
        let elsewhere = Place::of_stranger("anna", address("10.0.0.8"));
        assert_eq!(guesses.begin(&elsewhere, NOW), Ok(()));
        assert_eq!(
            guesses.begin(&[Place::of_device("anna", b"1")], NOW),
            Ok(())
        );
        let other = Place::of_stranger("ben", address("10.0.0.9"));
        assert_eq!(guesses.begin(&other, NOW), Ok(()));
        // And it ends.
        let later = NOW.plus_ms(WINDOW_MS);
        assert_eq!(guesses.begin(&attacker, later), Ok(()));
        let set_back = NOW.plus_ms(-1);
        assert_eq!(guesses.begin(&attacker, set_back), Ok(()));
    }

    #[test]
    fn a_network_is_bounded_over_all_users_and_known_browsers_are_not() {
        let guesses = Guesses::default();
        let from = address("2001:db8:1:2::9");
        for n in 0..FROM_ONE_NETWORK {
            let name = format!("user{n}");
            assert_eq!(guesses.begin(&Place::of_stranger(&name, from), NOW), Ok(()));
        }
        let same_network = address("2001:db8:1:2:ffff::1");
        let more = Place::of_stranger("carla", same_network);
        assert!(guesses.begin(&more, NOW).is_err());
        assert_eq!(
            guesses.begin(&[Place::of_device("carla", b"1")], NOW),
            Ok(())
        );
    }

    #[test]
    fn what_was_right_is_not_counted() {
        let guesses = Guesses::default();
        let place = Place::of_stranger("anna", address("10.0.0.9"));
        for _ in 0..3 * FROM_ONE_NETWORK {
            assert_eq!(guesses.begin(&place, NOW), Ok(()));
            guesses.was_right(&place);
        }
    }

    #[test]
    fn a_known_browser_is_bounded_too() {
        let guesses = Guesses::default();
        let place = [Place::of_device("anna", b"1")];
        let tries = (0..20).filter(|_| guesses.begin(&place, NOW).is_ok());
        assert_eq!(tries.count(), IN_ONE_PLACE as usize);
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let guesses = Guesses::default();
        for n in 0..PLACES + 100 {
            let place = Place::of_device("anna", &n.to_be_bytes());
            assert_eq!(guesses.begin(&[place], NOW.plus_ms(n as i64)), Ok(()));
        }
        assert_eq!(guesses.0.lock().unwrap().len(), PLACES);
    }
}
