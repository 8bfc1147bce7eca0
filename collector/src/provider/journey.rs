//! What goes to the provider with somebody's browser: state, nonce and the secret of PKCE.
//!
//! Nothing of it is kept here. The browser carries a cookie with random bytes and the time, under a tag that
//! only this process makes; the three values are derived from the random bytes. So nobody can fill a table
//! of journeys that others need, and whoever comes back without the cookie of this very browser has not
//! been sent by us.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;

use crate::query::access::{random_bytes, same_hash};

/// How long somebody may take at the provider: a second factor and a forgotten password.
const LONGEST_MS: i64 = 15 * 60_000;

/// Makes journeys, and knows them again.
#[derive(Debug)]
pub(super) struct Journeys(hmac::Key);

/// What belongs to one journey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Journey {
    /// What comes back with the browser.
    pub state: String,
    /// What comes back within the token.
    pub nonce: String,
    /// What proves, when the code is redeemed, that we asked for it.
    pub verifier: String,
}

impl Default for Journeys {
    fn default() -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &random_bytes()))
    }
}

impl Journeys {
    /// A new journey, and the cookie for it: `bytes.time.tag`.
    pub fn begin(&self, now: UnixMs) -> (Journey, String) {
        let seed = URL_SAFE_NO_PAD.encode(random_bytes());
        let body = format!("{seed}.{}", now.0);
        let cookie = format!("{body}.{}", self.tag("cookie", &body));
        (self.of(&body), cookie)
    }

    /// The journey of a cookie; `None` for one that is not ours or is over.
    pub fn end(&self, cookie: &str, now: UnixMs) -> Option<Journey> {
        let (body, tag) = cookie.rsplit_once('.')?;
        if !same(tag, &self.tag("cookie", body)) {
            return None;
        }
        let (_, began) = body.split_once('.')?;
        let age = now.since(UnixMs(began.parse().ok()?));
        (0..=LONGEST_MS).contains(&age).then(|| self.of(body))
    }

    fn of(&self, body: &str) -> Journey {
        Journey {
            state: self.tag("state", body),
            nonce: self.tag("nonce", body),
            verifier: self.tag("verifier", body),
        }
    }

    /// 43 characters of base64url: what RFC 7636 asks of a verifier at least.
    fn tag(&self, purpose: &str, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{purpose} {body}").as_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    }
}

impl Journey {
    /// Whether this is the state of this journey.
    pub fn is_state(&self, state: &str) -> bool {
        same(state, &self.state)
    }

    /// What the provider keeps of the verifier, `S256` of RFC 7636.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(sha256(self.verifier.as_bytes()))
    }
}

fn same(a: &str, b: &str) -> bool {
    same_hash(&sha256(a.as_bytes()), &sha256(b.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_787_557_500_000);

    #[test]
    fn a_journey_is_known_again_by_its_cookie_alone() {
        let journeys = Journeys::default();
        let (journey, cookie) = journeys.begin(NOW);
        assert_eq!(
            journeys.end(&cookie, NOW.plus_ms(LONGEST_MS)),
            Some(journey.clone())
        );
        assert_eq!(
            journeys.end(&cookie, NOW.plus_ms(LONGEST_MS + 1)),
            None,
            "too late"
        );
        assert_eq!(journeys.end(&cookie, NOW.plus_ms(-1)), None, "not begun");
        assert_eq!(
            Journeys::default().end(&cookie, NOW),
            None,
            "of another process"
        );
        let later = cookie.replace(&NOW.0.to_string(), &NOW.plus_ms(60_000).0.to_string());
        assert_eq!(
            journeys.end(&later, NOW.plus_ms(60_000)),
            None,
            "its time is bound"
        );
        for forged in ["", ".", "a.b.c", &cookie[1..]] {
            assert_eq!(journeys.end(forged, NOW), None, "{forged}");
        }
        assert!(journey.is_state(&journey.state) && !journey.is_state(&journey.nonce));
        let (other, _) = journeys.begin(NOW);
        assert_ne!(other, journey);
        assert_eq!(journey.verifier.len(), 43);
    }

    /// The example of RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_standard() {
        let journey = Journey {
            state: String::new(),
            nonce: String::new(),
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
        };
        assert_eq!(
            journey.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
