//! What stands before every handler: the host check, the time limit, the token; and behind it: the
//! headers that keep an answer from being misused by a browser.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};

use super::{Face, Problem};
use crate::query::Viewer;

/// How long a request may take, its body and its turn included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's body: the largest form holds a token.
const BODY_BYTES: usize = 8 * 1024;

/// What an answer for programs may do in a browser: nothing.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// What a page may do: use our own style sheet, scripts and pictures, ask us, and send forms to us.
pub(in crate::query) const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; \
    script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::query) struct Peer(pub IpAddr);

/// The origin that a form was sent from, where the browser says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Origin {
    /// This server, or a client that is no browser.
    Own,
    /// Another site.
    Foreign,
}

/// Names under which the face may be addressed.
#[derive(Debug)]
pub(super) struct Hosts {
    /// `None` where TLS already proves the name.
    allowed: Option<Vec<String>>,
}

/// Requests by the status of their answer.
#[derive(Debug, Default)]
pub(in crate::query) struct Counts(Mutex<BTreeMap<u16, u64>>);

impl Counts {
    fn count(&self, status: StatusCode) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(status.as_u16()).or_default() += 1;
    }

    /// The counts so far, by status.
    pub fn by_status(&self) -> BTreeMap<u16, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Hosts {
    pub fn new(secure: bool, names: &[String]) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(ToOwned::to_owned);
        let all = own
            .into_iter()
            .chain(names.iter().map(|n| n.to_ascii_lowercase()));
        Self {
            allowed: (!secure).then(|| all.collect()),
        }
    }

    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(allowed) = &self.allowed else {
            return Ok(());
        };
        let mut named = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (named.next(), named.next()) else {
            let detail = "a request needs exactly one Host header";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "host", detail));
        };
        let hosts = [Some(host.to_str().unwrap_or_default()), uri.host()];
        let known = |host: &str| allowed.iter().any(|name| *name == name_of(host));
        if hosts.into_iter().flatten().all(known) {
            return Ok(());
        }
        let detail =
            "this collector is not called that; use localhost, or add the name to `http.names`";
        Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            detail,
        ))
    }
}

/// The host without its port, in lower case.
fn name_of(host: &str) -> String {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

/// Puts the guards around all routes.
pub(super) fn guarded(routes: Router<Face>, face: &Face) -> Router<Face> {
    routes
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(super::compress::compress))
        .layer(middleware::from_fn_with_state(face.clone(), guard))
}

async fn guard(State(face): State<Face>, request: Request, next: Next) -> Response {
    let mut response = match face.hosts.check(request.uri(), request.headers()) {
        Err(problem) => problem.into_response(),
        Ok(()) => tokio::time::timeout(REQUEST_TIMEOUT, next.run(request))
            .await
            .unwrap_or_else(|_| too_slow().into_response()),
    };
    face.counts.count(response.status());
    protect(response.headers_mut());
    response
}

fn too_slow() -> Problem {
    let detail = "the answer took longer than 30 s; ask for less";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", detail)
}

async fn method_not_allowed() -> Problem {
    let detail = "this address takes other methods; see the Allow header";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
}

/// Adds what a handler has not set itself. `same-origin`, not `no-referrer`: with the latter,
/// browsers send `Origin: null` with our own forms.
fn protect(headers: &mut HeaderMap) {
    let defaults = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, API_POLICY),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in defaults {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

impl Peer {
    fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<Self>().copied();
        peer.unwrap_or(Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

impl FromRequestParts<Face> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION);
        let authorization = header.map(|value| value.to_str().unwrap_or_default());
        Ok(face.query.viewer(authorization, Peer::of(parts).0)?)
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|v: &HeaderValue| v.to_str().ok())
        };
        let host = text(header::HOST).unwrap_or_default();
        let same_host = |origin: &str| origin.split_once("://").is_some_and(|(_, o)| o == host);
        let from_here = text(header::ORIGIN).is_none_or(same_host);
        let fetched = text(HeaderName::from_static("sec-fetch-site"));
        let same_site = fetched.is_none_or(|site| matches!(site, "same-origin" | "none"));
        Ok(if from_here && same_site {
            Self::Own
        } else {
            Self::Foreign
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_answered_in_the_clear() {
        let hosts = Hosts::new(false, &["rollcall.school.example".to_owned()]);
        let check = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            hosts.check(&Uri::from_static("/"), &headers).is_ok()
        };
        for good in [
            "localhost:8480",
            "LOCALHOST",
            "127.0.0.1:1",
            "[::1]:8480",
            "[::1]",
            "Rollcall.school.example",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:8480",
            "localhost.evil.example",
            "127.0.0.1.evil",
            "127.0.0.2",
            "localhost:x",
            "::1",
            "user@localhost",
        ] {
            assert!(!check(bad), "{bad}");
        }
        let absolute = Uri::from_static("http://evil.example/");
        let mut headers = HeaderMap::new();
        assert!(hosts.check(&absolute, &headers).is_err(), "no Host at all");
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        assert!(hosts.check(&absolute, &headers).is_err());
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(
            hosts.check(&Uri::from_static("/"), &headers).is_err(),
            "two"
        );
    }
}
