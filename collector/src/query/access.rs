//! Who asks: API tokens, and how often an address may be wrong about one.
//!
//! A token reads `rca_<base64url of 32 bytes>`. The collector keeps its SHA-256 only: with 256
//! random bits there is nothing to guess, so a slow hash would add nothing. For the same reason a
//! right token is always let in: the bound on wrong attempts keeps a mistaken script from filling
//! logs, and an attacker behind the school's one public address cannot lock the others out with it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;

/// Before the secret part of an API token, so that scanners for leaked secrets know it.
pub const TOKEN_PREFIX: &str = "rca_";

/// Wrong attempts that an address may make in a minute: a person typing needs far fewer.
pub const WRONG_PER_MINUTE: u32 = 20;

/// Addresses whose wrong attempts are counted apart; others share one count. 4,096 entries of about
/// 64 bytes take 256 KiB.
const ADDRESSES: usize = 4096;

const MINUTE_MS: i64 = 60_000;

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token came with the request.
    #[error(
        "an API token is needed: send `Authorization: Bearer {TOKEN_PREFIX}…`; `rollcall-collector` makes one"
    )]
    Missing,
    /// A token came, but no valid one.
    #[error("this API token is unknown or revoked")]
    Wrong,
    /// The name is unknown, or the password is not theirs.
    #[error("this name and password do not belong together")]
    WrongPassword,
    /// Too many passwords wait to be looked at.
    #[error("too many people sign in at once; try again in {retry_after_s} s")]
    Busy {
        /// Seconds until it is worth trying.
        retry_after_s: u32,
    },
    /// The address has been wrong too often.
    #[error("too many wrong attempts; try again in {retry_after_s} s")]
    TooMany {
        /// Seconds until the next attempt counts anew.
        retry_after_s: u32,
    },
}

/// Makes a new API token: the text to show once, and the hash to keep.
///
/// # Panics
/// Where the operating system gives no random bytes.
#[must_use]
pub fn generate_token() -> (String, [u8; 32]) {
    let text = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random_bytes()));
    let hash = hash_token(&text).expect("the form is that of a token");
    (text, hash)
}

/// Thirty-two bytes that nobody can guess.
///
/// # Panics
/// Where the operating system gives no random bytes.
#[must_use]
pub fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    bytes
}

/// The SHA-256 of a token's text, under which it is kept; `None` when the text has not the form of
/// one.
#[must_use]
pub fn hash_token(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let bytes = URL_SAFE_NO_PAD
        .decode(text.strip_prefix(TOKEN_PREFIX)?)
        .ok()?;
    (bytes.len() == 32).then(|| sha256(text.as_bytes()))
}

/// The token of an `Authorization` value; `None` when it has another scheme.
#[must_use]
pub fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_start())
}

/// Whether two hashes are equal, in a time that does not depend on where they differ.
#[must_use]
pub fn same_hash(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    std::hint::black_box(differing) == 0
}

/// Counts wrong attempts by address, a minute at a time.
#[derive(Debug, Default)]
pub struct Attempts {
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    minute_began: UnixMs,
    count: u32,
}

impl Attempts {
    /// Counts a wrong attempt and says what to answer.
    pub fn wrong(&self, address: IpAddr, now: UnixMs) -> Denied {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let address = place_for(&mut wrong, network_of(address), now);
        let entry = wrong.entry(address).or_insert(Wrong {
            minute_began: now,
            count: 0,
        });
        if is_over(entry, now) {
            *entry = Wrong {
                minute_began: now,
                count: 0,
            };
        }
        entry.count = entry.count.saturating_add(1);
        if entry.count <= WRONG_PER_MINUTE {
            return Denied::Wrong;
        }
        let left_ms = MINUTE_MS - now.since(entry.minute_began);
        let retry_after_s = u32::try_from(left_ms / 1000).unwrap_or(0) + 1;
        Denied::TooMany { retry_after_s }
    }
}

/// A clock that was set back ends the minute too.
fn is_over(wrong: &Wrong, now: UnixMs) -> bool {
    !(0..MINUTE_MS).contains(&now.since(wrong.minute_began))
}

/// Where attempts from `network` are counted: in its own place while there is room.
fn place_for(wrong: &mut HashMap<IpAddr, Wrong>, network: IpAddr, now: UnixMs) -> IpAddr {
    if wrong.contains_key(&network) {
        return network;
    }
    if wrong.len() >= ADDRESSES {
        wrong.retain(|_, entry| !is_over(entry, now));
    }
    if wrong.len() >= ADDRESSES {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        network
    }
}

/// The address itself, or the /64 that one customer has under IPv6 (RFC 6177).
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let (text, hash) = generate_token();
        assert!(text.starts_with("rca_") && text.len() == 4 + 43, "{text}");
        assert_eq!(hash_token(&format!(" {text}\n")), Some(hash));
        assert_ne!(generate_token().1, hash);
        for bad in ["", "rca_", "rca_abc", &text[1..], &format!("{text}AA")] {
            assert_eq!(hash_token(bad), None, "{bad}");
        }
    }

    #[test]
    fn hashes_are_compared_whole() {
        let hash = sha256(b"x");
        assert!(same_hash(&hash, &hash.clone()));
        for at in 0..32 {
            let mut other = hash;
            other[at] ^= 1;
            assert!(!same_hash(&hash, &other));
        }
    }

    #[test]
    fn only_the_bearer_scheme_carries_a_token() {
        assert_eq!(bearer("Bearer rca_x"), Some("rca_x"));
        assert_eq!(bearer("bearer  rca_x"), Some("rca_x"));
        assert_eq!(bearer("Basic rca_x"), None);
        assert_eq!(bearer("rca_x"), None);
    }

    #[test]
    fn wrong_attempts_are_bounded_by_address_and_minute() {
        let attempts = Attempts::default();
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = UnixMs(1_000_000);
        for _ in 0..WRONG_PER_MINUTE {
            assert_eq!(attempts.wrong(here, now), Denied::Wrong);
        }
        let later = now.plus_ms(50_000);
        assert_eq!(
            attempts.wrong(here, later),
            Denied::TooMany { retry_after_s: 11 }
        );
        assert_eq!(attempts.wrong(there, later), Denied::Wrong);
        assert_eq!(attempts.wrong(here, now.plus_ms(MINUTE_MS)), Denied::Wrong);
    }

    #[test]
    fn many_addresses_do_not_fill_the_memory() {
        let attempts = Attempts::default();
        for n in 0..3 * ADDRESSES as u128 {
            let address = IpAddr::V6(Ipv6Addr::from(n << 64 | 1));
            let _ = attempts.wrong(address, UnixMs(0));
        }
        assert!(attempts.wrong.lock().unwrap().len() <= ADDRESSES + 1);
    }

    #[test]
    fn neighbours_of_one_ipv6_customer_count_together() {
        let a = network_of("2001:db8:1:2::1".parse().unwrap());
        assert_eq!(a, network_of("2001:db8:1:2:3::9".parse().unwrap()));
        assert_ne!(a, network_of("2001:db8:1:3::1".parse().unwrap()));
        let mapped = network_of("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(mapped, "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
