//! One question over HTTP/1.1, and the head of its answer.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::address::Url;
use super::attempt::{Failure, Stage};
use super::cause::http_in_words;
use super::tunnel::authorization;
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

/// Asks, and reads the head of the answer.
///
/// # Errors
/// Why there was none.
pub async fn exchange<S>(
    stream: S,
    request: http::Request<Empty<Bytes>>,
) -> Result<http::Response<hyper::body::Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| http_in_words(&error))?;
    let driver = AbortOnDrop(tokio::spawn(connection));
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| http_in_words(&error));
    drop(driver);
    response
}

/// A connection that nobody waits for any more is closed, however much the server has to say.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The host of a temporary redirect; a permanent one is the target's own doing.
#[must_use]
pub fn redirect_host<B>(response: &http::Response<B>) -> Option<String> {
    if !matches!(response.status().as_u16(), 302 | 303 | 307) {
        return None;
    }
    let location = response
        .headers()
        .get(http::header::LOCATION)?
        .to_str()
        .ok()?;
    Some(Url::parse(location)?.address.host)
}

/// Whether a status is an answer of the target.
///
/// # Errors
/// The stage that it speaks against, and why.
pub fn judge_status(status: u16) -> Result<(), Failure> {
    match status {
        407 => Err((
            Stage::Proxy,
            "the proxy asks for a name and password".to_owned(),
        )),
        511 => Err((
            Stage::Http,
            "a login page stands before the network (status 511)".to_owned(),
        )),
        500.. => Err((
            Stage::Http,
            format!("the server answered with status {status}"),
        )),
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
        };
        assert_eq!(redirect_host(&answer(302)).as_deref(), Some("portal.test"));
        assert_eq!(redirect_host(&answer(301)), None);
    }
}
