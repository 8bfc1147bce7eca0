//! Sessions of people who signed in with an API token.
//!
//! A session lives in memory only: after a restart everybody signs in again. Its cookie holds 256
//! random bits, of which the hash is kept. A session names a token, and the token is looked up anew
//! for every request, so that revoking it ends the sessions too.
//!
//! Forms carry a token of their own: the HMAC of the cookie that was set with the form, under a key
//! that this process made. A page of another site can make a browser send the form, but can read
//! neither the cookie nor the form.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use ring::hmac;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;

use super::access::random_bytes;

/// Sessions of one token: a help desk that shares one has perhaps ten people.
const OF_ONE_TOKEN: usize = 64;

/// Sessions of all tokens; each takes about 150 bytes.
const OF_ALL: usize = 8192;

/// A session that was not used for this long is over: two lessons.
const IDLE_MS: i64 = 2 * 3_600_000;

/// A session is over after this long in any case: a working day.
const LONGEST_MS: i64 = 12 * 3_600_000;

/// Who is signed in.
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
    form_key: hmac::Key,
    secure: bool,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    token: [u8; 32],
    began: UnixMs,
    used: UnixMs,
}

/// Which of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Names a session.
    Session,
    /// Belongs to a sign-in form that is not sent yet.
    Form,
}

impl Sessions {
    pub fn new(secure: bool) -> Self {
        Self {
            open: Mutex::default(),
            form_key: hmac::Key::new(hmac::HMAC_SHA256, &random_bytes()),
            secure,
        }
    }

    /// Begins a session of the token with this hash and returns the cookie's value.
    pub fn begin(&self, token: [u8; 32], now: UnixMs) -> String {
        let value = fresh_value();
        let mut open = self.open();
        open.retain(|_, session| !session.is_over(now));
        let own = open
            .values()
            .filter(|session| session.token == token)
            .count();
        if own >= OF_ONE_TOKEN {
            remove_oldest(&mut open, |session| session.token == token);
        } else if open.len() >= OF_ALL {
            remove_oldest(&mut open, |_| true);
        }
        let session = Session {
            token,
            began: now,
            used: now,
        };
        open.insert(sha256(value.as_bytes()), session);
        value
    }

    /// The hash of the token whose session this cookie's value names.
    pub fn token(&self, value: &str, now: UnixMs) -> Option<[u8; 32]> {
        let key = sha256(value.as_bytes());
        let mut open = self.open();
        let session = open.get_mut(&key)?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        session.used = session.used.max(now);
        Some(session.token)
    }

    pub fn end(&self, value: &str) {
        self.open().remove(&sha256(value.as_bytes()));
    }

    /// What a form must carry that was sent to the holder of this cookie. It is masked with new random
    /// bytes each time, so that nothing of it can be told from the length of compressed pages.
    pub fn form_token(&self, cookie: &str) -> String {
        let tag = hmac::sign(&self.form_key, cookie.as_bytes());
        let mask = random_bytes();
        let masked = tag.as_ref().iter().zip(mask).map(|(a, b)| a ^ b);
        let bytes: Vec<u8> = mask.into_iter().chain(masked).collect();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether a form was made for the holder of this cookie.
    pub fn is_form_token(&self, cookie: &str, given: &str) -> bool {
        let bytes = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
        let Some((mask, masked)) = bytes.split_first_chunk::<32>() else {
            return false;
        };
        let tag: Vec<u8> = mask.iter().zip(masked).map(|(a, b)| a ^ b).collect();
        masked.len() == mask.len() && hmac::verify(&self.form_key, cookie.as_bytes(), &tag).is_ok()
    }

    /// The value of one of our cookies, where the browser sent it once.
    pub fn cookie<'a>(&self, headers: &'a HeaderMap, cookie: Cookie) -> Option<&'a str> {
        let name = self.name(cookie);
        let mut values = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(given, _)| *given == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        }
    }

    /// The header that sets one of our cookies, or removes it where there is no value.
    pub fn set_cookie(&self, cookie: Cookie, value: Option<&str>) -> HeaderValue {
        let name = self.name(cookie);
        let secure = if self.secure { "; Secure" } else { "" };
        let age = if value.is_some() { "" } else { "; Max-Age=0" };
        let value = value.unwrap_or_default();
        let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}");
        HeaderValue::from_str(&line).expect("cookies are base64url")
    }

    /// `__Host-` makes browsers refuse the cookie from anybody but this host over TLS.
    const fn name(&self, cookie: Cookie) -> &'static str {
        match (cookie, self.secure) {
            (Cookie::Session, true) => "__Host-rollcall",
            (Cookie::Session, false) => "rollcall",
            (Cookie::Form, true) => "__Host-rollcall-form",
            (Cookie::Form, false) => "rollcall-form",
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value for a cookie that nobody can guess.
pub(super) fn fresh_value() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes())
}

impl Session {
    const fn is_over(&self, now: UnixMs) -> bool {
        now.since(self.used) > IDLE_MS || now.since(self.began) > LONGEST_MS
    }
}

fn remove_oldest(open: &mut HashMap<[u8; 32], Session>, among: impl Fn(&Session) -> bool) {
    let candidates = open.iter().filter(|(_, session)| among(session));
    let oldest = candidates.min_by_key(|(_, session)| session.used);
    if let Some(key) = oldest.map(|(key, _)| *key) {
        open.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_787_557_500_000);

    #[test]
    fn a_session_ends_by_rest_by_age_and_on_request() {
        let sessions = Sessions::new(false);
        let value = sessions.begin([1; 32], NOW);
        assert_eq!(sessions.token(&value, NOW), Some([1; 32]));
        assert_eq!(sessions.token("other", NOW), None);
        let mut now = NOW;
        while now.since(NOW) < LONGEST_MS - IDLE_MS {
            now = now.plus_ms(IDLE_MS);
            assert!(sessions.token(&value, now).is_some(), "in use");
        }
        assert_eq!(sessions.token(&value, NOW.plus_ms(LONGEST_MS + 1)), None);
        let idle = sessions.begin([1; 32], NOW);
        assert_eq!(sessions.token(&idle, NOW.plus_ms(IDLE_MS + 1)), None);
        let left = sessions.begin([1; 32], NOW);
        sessions.end(&left);
        assert_eq!(sessions.token(&left, NOW), None);
    }

    #[test]
    fn many_sessions_of_one_token_do_not_end_those_of_another() {
        let sessions = Sessions::new(false);
        let other = sessions.begin([2; 32], NOW);
        let first = sessions.begin([1; 32], NOW);
        for n in 1..=OF_ONE_TOKEN as i64 {
            sessions.begin([1; 32], NOW.plus_ms(n));
        }
        assert_eq!(sessions.open().len(), OF_ONE_TOKEN + 1);
        assert!(sessions.token(&first, NOW).is_none(), "the oldest went");
        assert!(sessions.token(&other, NOW).is_some());
    }

    #[test]
    fn a_form_belongs_to_its_cookie() {
        let sessions = Sessions::new(false);
        let token = sessions.form_token("cookie");
        assert!(sessions.is_form_token("cookie", &token));
        assert!(!sessions.is_form_token("another", &token));
        assert!(!Sessions::new(false).is_form_token("cookie", &token));
        assert!(!sessions.is_form_token("cookie", ""));
    }

    #[test]
    fn cookies_are_found_and_guarded() {
        let (plain, secure) = (Sessions::new(false), Sessions::new(true));
        let line = secure.set_cookie(Cookie::Session, Some("abc"));
        assert_eq!(
            line,
            "__Host-rollcall=abc; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        let gone = plain.set_cookie(Cookie::Form, None);
        assert!(gone.to_str().unwrap().ends_with("Max-Age=0"), "{gone:?}");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            "x=1; rollcall=abc;rollcall-form=d".parse().unwrap(),
        );
        assert_eq!(plain.cookie(&headers, Cookie::Session), Some("abc"));
        assert_eq!(plain.cookie(&headers, Cookie::Form), Some("d"));
        assert_eq!(secure.cookie(&headers, Cookie::Session), None);
        headers.append(header::COOKIE, "rollcall=evil".parse().unwrap());
        assert_eq!(
            plain.cookie(&headers, Cookie::Session),
            None,
            "planted beside ours"
        );
    }
}
