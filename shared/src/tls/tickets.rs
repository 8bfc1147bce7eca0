//! Tickets by which a laptop resumes its TLS session, so that a morning's reconnect costs a collector
//! less than half: sealed by a key that the collector alone has, and remembered by nobody but the
//! laptop.
//!
//! A ticket holds the certificate that the laptop showed, so that who it is, whether it is revoked and
//! whether its certificate has expired is judged on a resumed connection as on any other. The key lives
//! in memory and is replaced; a restart, a new certificate or a new authority ends all tickets.

use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::TicketRotator;
use rustls::server::ProducesTickets;
use rustls::{Error, crypto::GetRandomFailed};

/// A key seals tickets for this long and opens them for twice as long: laptops that sleep from Friday
/// afternoon to Monday morning resume. TLS 1.3 allows seven days (RFC 8446, section 4.6.1).
const KEY_LIFE_S: u32 = 3 * 86_400;

/// Seals and opens tickets by keys that are replaced.
///
/// # Errors
/// When the system has no random numbers.
pub(super) fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    let rotator = TicketRotator::new(KEY_LIFE_S, || Ok(Box::new(Sealed::new()?)));
    Ok(Arc::new(
        rotator.map_err(|_| Error::FailedToGetRandomBytes)?,
    ))
}

/// One key.
struct Sealed {
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}

impl Sealed {
    fn new() -> Result<Self, GetRandomFailed> {
        let (random, mut key) = (SystemRandom::new(), [0; 32]);
        random.fill(&mut key).map_err(|_| GetRandomFailed)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| GetRandomFailed)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            random,
        })
    }
}

impl ProducesTickets for Sealed {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        KEY_LIFE_S
    }

    /// The nonce, then what is sealed. Random nonces of 96 bits are safe for 2^32 tickets of one key
    /// (NIST SP 800-38D, section 8.3): 500,000 laptops would have to connect 8,000 times in three days.
    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NONCE_LEN + plain.len() + MAX_TAG_LEN);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let (nonce, sealed) = (
            Nonce::assume_unique_for_key(nonce),
            &mut ticket[NONCE_LEN..],
        );
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let length = self
            .key
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_opened_by_its_key_alone_and_only_unchanged() {
        let (ours, theirs) = (Sealed::new().unwrap(), Sealed::new().unwrap());
        let ticket = ours.encrypt(b"who it is").unwrap();
        assert_eq!(ours.decrypt(&ticket).unwrap(), b"who it is");
        assert_ne!(ours.encrypt(b"who it is").unwrap(), ticket);
        assert_eq!(theirs.decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(ours.decrypt(&changed), None, "byte {at}");
            assert_eq!(ours.decrypt(&ticket[..at]), None);
        }
    }
}
