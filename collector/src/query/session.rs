//! Sessions of people who signed in: with an API token, a password, or through a provider of identities.
//!
//! A session lives in memory only: after a restart everybody signs in again. Its cookie holds 256
//! random bits, of which the hash is kept. A session names its holder, who is looked up anew for every
//! request, so that revoking a token, removing a user or a new password ends the sessions too.
//!
//! Forms carry a token of their own: the HMAC of the cookie that was set with the form, under a key
//! that this process made. A page of another site can make a browser send the form, but can read
//! neither the cookie nor the form.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};
use ring::hmac;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;

use super::access::random_bytes;

/// Sessions of one holder: a help desk that shares a token has perhaps ten people.
const OF_ONE_HOLDER: usize = 64;

/// Sessions of all holders; each takes about 250 bytes.
const OF_ALL: usize = 8192;

/// A session that was not used for this long is over: two lessons.
const IDLE_MS: i64 = 2 * 3_600_000;

/// A session is over after this long in any case: a working day.
const LONGEST_MS: i64 = 12 * 3_600_000;

/// How long a browser is known after a sign-in, in seconds: half a year.
const DEVICE_S: u32 = 180 * 86_400;

/// How long somebody may take at the provider of identities, in seconds.
pub(super) const PROVIDER_S: u32 = 15 * 60;

/// Who is signed in.
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
    form_key: hmac::Key,
    secure: bool,
}

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// Of whoever knows the token with this hash.
    Token([u8; 32]),
    /// Of a user.
    User {
        /// The name.
        name: String,
        /// The stamp of the user's record when they signed in.
        stamp: [u8; 32],
    },
}

#[derive(Debug, Clone)]
struct Session {
    id: String,
    holder: Holder,
    address: IpAddr,
    began: UnixMs,
    used: UnixMs,
}

/// A session as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionLine {
    /// Names it in lists; whoever knows it is not let in by it.
    pub id: String,
    /// Whose it is.
    pub holder: Holder,
    /// From where it was begun.
    pub address: IpAddr,
    /// When it was begun.
    pub began: UnixMs,
    /// When it was used last.
    pub used: UnixMs,
}

/// Which of our cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cookie {
    /// Names a session.
    Session,
    /// Belongs to a sign-in form that is not sent yet.
    Form,
    /// Proves that the browser has signed in before; see `gate/guesses.rs`.
    Device,
    /// Belongs to somebody who is at the provider of identities.
    Provider,
}

impl Sessions {
    pub fn new(secure: bool) -> Self {
        Self {
            open: Mutex::default(),
            form_key: hmac::Key::new(hmac::HMAC_SHA256, &random_bytes()),
            secure,
        }
    }

    /// Begins a session and returns the cookie's value.
    pub fn begin(&self, holder: Holder, address: IpAddr, now: UnixMs) -> String {
        let value = fresh_value();
        let mut open = self.open();
        open.retain(|_, session| !session.is_over(now));
        let own = open.values().filter(|session| session.holder == holder);
        if own.count() >= OF_ONE_HOLDER {
            remove_oldest(&mut open, |session| session.holder == holder);
        } else if open.len() >= OF_ALL {
            remove_oldest(&mut open, |_| true);
        }
        let session = Session {
            id: URL_SAFE_NO_PAD.encode(&random_bytes()[..9]),
            holder,
            address,
            began: now,
            used: now,
        };
        open.insert(sha256(value.as_bytes()), session);
        value
    }

    /// Whose session this cookie's value names, and the session's id.
    pub fn holder(&self, value: &str, now: UnixMs) -> Option<(Holder, String)> {
        let key = sha256(value.as_bytes());
        let mut open = self.open();
        let session = open.get_mut(&key)?;
        if session.is_over(now) {
            open.remove(&key);
            return None;
        }
        session.used = session.used.max(now);
        Some((session.holder.clone(), session.id.clone()))
    }

    /// The sessions that are open, the one that was used last first.
    pub fn list(&self, now: UnixMs) -> Vec<SessionLine> {
        let mut open = self.open();
        open.retain(|_, session| !session.is_over(now));
        let mut lines: Vec<SessionLine> = open.values().map(Session::line).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.used));
        lines
    }

    /// Ends a session by its id.
    pub fn end_by_id(&self, id: &str) {
        self.open().retain(|_, session| session.id != id);
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
        let age = match (cookie, value) {
            (_, None) => "; Max-Age=0".to_owned(),
            (Cookie::Device, _) => format!("; Max-Age={DEVICE_S}"),
            (Cookie::Provider, _) => format!("; Max-Age={PROVIDER_S}"),
            (Cookie::Session | Cookie::Form, _) => String::new(),
        };
        // The provider sends people back by a link of its own, with which browsers send no strict cookie.
        let same_site = if cookie == Cookie::Provider {
            "Lax"
        } else {
            "Strict"
        };
        let value = value.unwrap_or_default();
        let line = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}{age}");
        HeaderValue::from_str(&line).expect("cookies are base64url")
    }

    /// `__Host-` makes browsers refuse the cookie from anybody but this host over TLS.
    const fn name(&self, cookie: Cookie) -> &'static str {
        match (cookie, self.secure) {
            (Cookie::Session, true) => "__Host-rollcall",
            (Cookie::Session, false) => "rollcall",
            (Cookie::Form, true) => "__Host-rollcall-form",
            (Cookie::Form, false) => "rollcall-form",
            (Cookie::Device, true) => "__Host-rollcall-device",
            (Cookie::Device, false) => "rollcall-device",
            (Cookie::Provider, true) => "__Host-rollcall-provider",
            (Cookie::Provider, false) => "rollcall-provider",
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
    fn line(&self) -> SessionLine {
        SessionLine {
            id: self.id.clone(),
            holder: self.holder.clone(),
            address: self.address,
            began: self.began,
            used: self.used,
        }
    }

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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn begin(sessions: &Sessions, token: u8, now: UnixMs) -> String {
        sessions.begin(Holder::Token([token; 32]), HERE, now)
    }

    #[test]
    fn a_session_ends_by_rest_by_age_and_on_request() {
        let sessions = Sessions::new(false);
        let value = begin(&sessions, 1, NOW);
        let (holder, id) = sessions.holder(&value, NOW).unwrap();
        assert_eq!(holder, Holder::Token([1; 32]));
        assert_ne!(id, value);
        assert_eq!(sessions.holder(&id, NOW), None, "the id lets nobody in");
        assert_eq!(sessions.holder("other", NOW), None);
        let mut now = NOW;
        while now.since(NOW) < LONGEST_MS - IDLE_MS {
            now = now.plus_ms(IDLE_MS);
            assert!(sessions.holder(&value, now).is_some(), "in use");
        }
        assert_eq!(sessions.holder(&value, NOW.plus_ms(LONGEST_MS + 1)), None);
        let idle = begin(&sessions, 1, NOW);
        assert_eq!(sessions.holder(&idle, NOW.plus_ms(IDLE_MS + 1)), None);
        let left = begin(&sessions, 1, NOW);
        sessions.end(&left);
        assert_eq!(sessions.holder(&left, NOW), None);
    }

    #[test]
    fn sessions_are_listed_and_ended_one_by_one() {
        let sessions = Sessions::new(false);
        let first = begin(&sessions, 1, NOW);
        let second = begin(&sessions, 2, NOW.plus_ms(1));
        let lines = sessions.list(NOW.plus_ms(1));
        let holders: Vec<&Holder> = lines.iter().map(|line| &line.holder).collect();
        assert_eq!(holders, [&Holder::Token([2; 32]), &Holder::Token([1; 32])]);
        sessions.end_by_id(&lines[0].id);
        assert_eq!(sessions.holder(&second, NOW), None);
        assert!(sessions.holder(&first, NOW).is_some());
        assert!(sessions.list(NOW.plus_ms(LONGEST_MS + 1)).is_empty());
    }

    #[test]
    fn many_sessions_of_one_holder_do_not_end_those_of_another() {
        let sessions = Sessions::new(false);
        let other = begin(&sessions, 2, NOW);
        let first = begin(&sessions, 1, NOW);
        for n in 1..=OF_ONE_HOLDER as i64 {
            begin(&sessions, 1, NOW.plus_ms(n));
        }
        assert_eq!(sessions.open().len(), OF_ONE_HOLDER + 1);
        assert!(sessions.holder(&first, NOW).is_none(), "the oldest went");
        assert!(sessions.holder(&other, NOW).is_some());
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
        let back = secure.set_cookie(Cookie::Provider, Some("abc"));
        assert_eq!(
            back,
            "__Host-rollcall-provider=abc; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=900"
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
