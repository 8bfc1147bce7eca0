//! One question over HTTP/1.1, the head of its answer, and the start of a page that may be a filter's.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::address::Url;
use super::attempt::Stage;
use super::cause::http_in_words;
use super::fault::{Cause, Failure, Fault};
use super::tunnel::{authorization, login_wanted};
use crate::collect::network::Proxy;

/// A GET, since servers and portals answer HEAD each in their own way; only the head is read.
///
/// # Errors
/// When the address cannot be asked for.
pub fn request(url: &Url, proxy: Option<&Proxy>) -> Result<http::Request<Empty<Bytes>>, String> {
    let through = proxy.filter(|_| !url.is_https);
    let uri = if through.is_some() {
        format!("http://{}{}", url.authority, url.path)
    } else {
        url.path.clone()
    };
    let mut builder = http::Request::get(uri)
        .header(http::header::HOST, &url.authority)
        .header(
            http::header::USER_AGENT,
            concat!("rollcall-agent/", env!("CARGO_PKG_VERSION")),
        )
        .header(http::header::ACCEPT, "*/*")
        .header(http::header::CONNECTION, "close");
    if let Some(value) = through.and_then(authorization) {
        builder = builder.header(http::header::PROXY_AUTHORIZATION, value);
    }
    builder
        .body(Empty::new())
        .map_err(|_| "the configured address is not one".to_owned())
}

/// Bytes of a page that are looked at: a filter's page says what it is in its title.
const PAGE_BYTES: usize = 4096;

/// The head of an answer, and the first [`PAGE_BYTES`] of its page where those were asked for.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers.
    pub head: http::response::Parts,
    /// How the page begins.
    pub start: Vec<u8>,
}

/// Asks, and reads the head of the answer; with `reads_page` the start of its page too.
///
/// # Errors
/// Why there was none.
pub async fn exchange<S>(
    stream: S,
    request: http::Request<Empty<Bytes>>,
    reads_page: bool,
) -> Result<Answer, Cause>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| http_in_words(&error))?;
    let driver = AbortOnDrop(tokio::spawn(connection));
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| http_in_words(&error))?;
    let (head, body) = response.into_parts();
    let start = if reads_page {
        start_of(body).await
    } else {
        Vec::new()
    };
    drop(driver);
    Ok(Answer { head, start })
}

/// What came before the page ended, broke off, or was long enough.
async fn start_of(mut body: hyper::body::Incoming) -> Vec<u8> {
    let mut start = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            break;
        };
        let room = PAGE_BYTES - start.len();
        start.extend_from_slice(&data[..data.len().min(room)]);
        if start.len() >= PAGE_BYTES {
            break;
        }
    }
    start
}

/// A connection that nobody waits for any more is closed, however much the server has to say.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a temporary redirect leads; a permanent one is the target's own doing.
#[must_use]
pub fn redirect(head: &http::response::Parts) -> Option<Url> {
    if !matches!(head.status.as_u16(), 302 | 303 | 307) {
        return None;
    }
    let location = head.headers.get(http::header::LOCATION)?.to_str().ok()?;
    Url::parse(location)
}

/// Whether a status is an answer of the target.
///
/// # Errors
/// The stage that it speaks against, and why.
pub fn judge_status(status: u16) -> Result<(), Failure> {
    match status {
        407 => Err(login_wanted().at(Stage::Proxy)),
        511 => {
            let why = "a login page stands before the network (status 511)";
            Err(Fault::CaptivePortal.because(why).at(Stage::Http))
        }
        500.. => {
            let why = format!("the server answered with status {status}");
            Err(Fault::ServerError.because(why).at(Stage::Http))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_temporary_redirect_tells() {
        let answer = |status: u16| {
            http::Response::builder()
                .status(status)
                .header("location", "http://portal.test/login?a=b")
                .body(())
                .unwrap()
                .into_parts()
                .0
        };
        let portal = redirect(&answer(302)).map(|url| url.address.host);
        assert_eq!(portal.as_deref(), Some("portal.test"));
        assert_eq!(redirect(&answer(301)), None);
    }
}
