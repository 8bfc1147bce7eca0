//! Answers are sent compressed where that saves something.
//!
//! A page that holds a secret beside a text that somebody else chose could be measured through its
//! length; so the secret of a form is masked anew in each page (see `session`).

use std::io::Write as _;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};

use super::Problem;

/// Answers below this fit in one packet as they are.
const WORTH_BYTES: u64 = 1400;

/// Answers above this are files, which are sent as they are rather than held twice.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// Speed of the compression: a page of 60 kB takes about a millisecond.
const LEVEL: u32 = 4;

/// Compresses the answer of `next` where the client takes it and it is text of a known length.
pub(super) async fn compress(request: Request, next: Next) -> Response {
    let takes_it = takes_gzip(request.headers());
    let response = next.run(request).await;
    let length = response.body().size_hint().exact();
    let is_worth = length.is_some_and(|bytes| (WORTH_BYTES..=MOST_BYTES).contains(&bytes));
    if !takes_it || !is_worth || !is_text(response.headers()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(whole) = to_bytes(body, MOST_BYTES as usize).await else {
        return Problem::from(crate::query::QueryError::Failed).into_response();
    };
    let mut encoder = GzEncoder::new(Vec::with_capacity(whole.len() / 4), Compression::new(LEVEL));
    let packed = encoder.write_all(&whole).and_then(|()| encoder.finish());
    let Ok(packed) = packed else {
        return Response::from_parts(parts, Body::from(whole));
    };
    let gzip = HeaderValue::from_static("gzip");
    parts.headers.insert(header::CONTENT_ENCODING, gzip);
    let vary = HeaderValue::from_static("accept-encoding");
    parts.headers.append(header::VARY, vary);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(packed))
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|c| c.eq_ignore_ascii_case("gzip"));
        is_gzip && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
    kind.starts_with("text/") && !kind.starts_with("text/event-stream")
        || kind.starts_with("application/json")
        || kind.starts_with("image/svg+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_takes_gzip_gets_it() {
        let takes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            takes_gzip(&headers)
        };
        assert!(takes("gzip, deflate, br") && takes("br;q=1.0, gzip;q=0.8") && takes("GZIP"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes("br, gzip; q=0"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn streams_and_what_is_packed_already_stay_as_they_are() {
        let text = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            is_text(&headers)
        };
        assert!(text("text/html; charset=utf-8") && text("application/json"));
        assert!(!text("text/event-stream") && !text("application/octet-stream"));
    }
}
