//! One attempt at one target, stage by stage.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::select_ok;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rollcall_shared::time::{Clock, SinceBootMs};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{Address, Url};
use super::certificate::{PublicTrust, Seen, Witness};
use crate::collect::network::Proxy;

/// How long any one stage may take: a satellite link's handshake needs about 2 s.
pub const STAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one address may keep the next from being tried; RFC 8305 recommends 250 ms.
const ADDRESS_HEADSTART: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried.
const ADDRESSES: usize = 6;

/// Bytes of a proxy's answer to CONNECT.
const PROXY_ANSWER_BYTES: usize = 8 * 1024;

/// The parts of an attempt, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A network link that is up.
    Link,
    /// An address on it.
    Address,
    /// The gateway.
    Gateway,
    /// The lookup of the name.
    Dns,
    /// The proxy, and what it says to CONNECT.
    Proxy,
    /// The connection.
    Tcp,
    /// The handshake and the certificate.
    Tls,
    /// Question and answer.
    Http,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Reached,
    /// At a stage, and why, without any address.
    Failed(Stage, String),
}

/// How far an attempt went.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// How it ended.
    pub outcome: Outcome,
    /// How the lookup ended, as the word of `dns.lookup.state`; `None` where none was needed.
    pub dns_state: Option<&'static str>,
    /// Seconds of the lookup.
    pub dns_s: Option<f64>,
    /// Seconds of the connection.
    pub tcp_s: Option<f64>,
    /// Seconds of the handshake.
    pub tls_s: Option<f64>,
    /// Seconds from question to answer.
    pub http_s: Option<f64>,
    /// The answer's status.
    pub status: Option<u16>,
    /// Where the answer sends the asker, if it does.
    pub redirect_host: Option<String>,
    /// The certificate that was shown.
    pub certificate: Option<Seen>,
}

impl Stage {
    /// Its word in `network.reachability.failed_stage`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Address => "address",
            Self::Gateway => "gateway",
            Self::Dns => "dns",
            Self::Proxy => "proxy",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
        }
    }
}

impl Attempt {
    const fn begun() -> Self {
        Self {
            outcome: Outcome::Reached,
            dns_state: None,
            dns_s: None,
            tcp_s: None,
            tls_s: None,
            http_s: None,
            status: None,
            redirect_host: None,
            certificate: None,
        }
    }

    /// An attempt at what is no address.
    #[must_use]
    pub fn unusable() -> Self {
        let why = "the configured address is not one".to_owned();
        Self {
            outcome: Outcome::Failed(Stage::Dns, why),
            ..Self::begun()
        }
    }
}

/// Tries one target, each stage for at most [`STAGE_TIMEOUT`].
pub async fn run(
    url: &Url,
    proxy: Option<&Proxy>,
    trust: &Arc<PublicTrust>,
    clock: &dyn Clock,
) -> Attempt {
    let mut try_ = Try {
        url,
        proxy,
        trust,
        clock,
        attempt: Attempt::begun(),
    };
    if let Err((stage, why)) = try_.stages().await {
        try_.attempt.outcome = Outcome::Failed(stage, why);
    }
    try_.attempt
}

type Failure = (Stage, String);

struct Try<'a> {
    url: &'a Url,
    proxy: Option<&'a Proxy>,
    trust: &'a Arc<PublicTrust>,
    clock: &'a dyn Clock,
    attempt: Attempt,
}

impl Try<'_> {
    async fn stages(&mut self) -> Result<(), Failure> {
        let addresses = self.look_up().await?;
        let mut stream = self.connect(&addresses).await?;
        if !self.url.is_https {
            return self.ask(stream).await;
        }
        if let Some(proxy) = self.proxy {
            let request = connect_request(&self.url.address, proxy);
            bounded(Stage::Proxy, tunnel(&mut stream, &request)).await?;
        }
        let stream = self.shake_hands(stream).await?;
        self.ask(stream).await
    }

    /// Looks up the proxy where there is one, since it looks up the target itself.
    async fn look_up(&mut self) -> Result<Vec<SocketAddr>, Failure> {
        let peer = self.proxy.map_or(&self.url.address, |proxy| &proxy.address);
        let start = self.clock.now().since_boot;
        let lookup = tokio::time::timeout(
            STAGE_TIMEOUT,
            tokio::net::lookup_host((peer.host.as_str(), peer.port)),
        );
        let found = lookup
            .await
            .map(|found| found.map(|found| found.take(ADDRESSES).collect::<Vec<_>>()));
        let (state, result) = match found {
            Err(_) => (
                "timed_out",
                Err("no name server answered in time".to_owned()),
            ),
            Ok(Err(error)) => classify_lookup(&error.to_string()),
            Ok(Ok(found)) if found.is_empty() => {
                ("not_found", Err("the name has no address".to_owned()))
            }
            Ok(Ok(found)) => ("ok", Ok(found)),
        };
        if !peer.is_literal() {
            self.attempt.dns_state = Some(state);
            self.attempt.dns_s = Some(self.seconds_since(start));
        }
        result.map_err(|why| (Stage::Dns, why))
    }

    async fn connect(&mut self, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let stage = if self.proxy.is_some() {
            Stage::Proxy
        } else {
            Stage::Tcp
        };
        let start = self.clock.now().since_boot;
        let tries = addresses.iter().zip(0_u32..).map(|(address, at)| {
            Box::pin(async move {
                tokio::time::sleep(ADDRESS_HEADSTART * at).await;
                TcpStream::connect(address).await
            })
        });
        let first = async {
            select_ok(tries)
                .await
                .map(|(stream, _)| stream)
                .map_err(|error| in_words(&error))
        };
        let stream = bounded(stage, first).await?;
        self.attempt.tcp_s = Some(self.seconds_since(start));
        Ok(stream)
    }

    async fn shake_hands(
        &mut self,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Failure> {
        let failed = |why: String| (Stage::Tls, why);
        let name = ServerName::try_from(self.url.address.host.clone());
        let name =
            name.map_err(|_| failed("the target's name cannot be in a certificate".to_owned()))?;
        let witness = Witness::new(Arc::clone(self.trust));
        let config = witness
            .client_config()
            .map_err(|error| failed(error.to_string()))?;
        let start = self.clock.now().since_boot;
        let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let shaken = bounded(Stage::Tls, async {
            shaken.await.map_err(|error| tls_in_words(&error))
        })
        .await;
        let seen = witness.seen();
        let refusal = seen.as_ref().and_then(|seen| seen.refusal.clone());
        self.attempt.certificate = seen;
        match (shaken, refusal) {
            (Ok(stream), _) => {
                self.attempt.tls_s = Some(self.seconds_since(start));
                Ok(stream)
            }
            (Err(_), Some(refusal)) => Err(failed(refusal)),
            (Err(failure), None) => Err(failure),
        }
    }

    async fn ask<S>(&mut self, stream: S) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = request(self.url, self.proxy).map_err(|why| (Stage::Http, why))?;
        let start = self.clock.now().since_boot;
        let response = bounded(Stage::Http, exchange(stream, request)).await?;
        self.attempt.http_s = Some(self.seconds_since(start));
        let status = response.status().as_u16();
        self.attempt.status = Some(status);
        self.attempt.redirect_host = redirect_host(&response);
        judge_status(status)
    }

    fn seconds_since(&self, start: SinceBootMs) -> f64 {
        self.clock.now().since_boot.since(start).as_secs_f64()
    }
}

async fn bounded<T>(
    stage: Stage,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(STAGE_TIMEOUT, work).await {
        Ok(result) => result.map_err(|why| (stage, why)),
        Err(_) => Err((
            stage,
            format!("no answer within {} s", STAGE_TIMEOUT.as_secs()),
        )),
    }
}

fn judge_status(status: u16) -> Result<(), Failure> {
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

/// By the texts of getaddrinfo(3) in glibc, musl, and macOS.
fn classify_lookup(error: &str) -> (&'static str, Result<Vec<SocketAddr>, String>) {
    const UNKNOWN: [&str; 5] = [
        "Name or service not known",
        "No address associated",
        "Name does not resolve",
        "nodename nor servname",
        "Name has no usable address",
    ];
    if UNKNOWN.iter().any(|text| error.contains(text)) {
        return (
            "not_found",
            Err("the name is not known to the name server".to_owned()),
        );
    }
    let why = if error.contains("Temporary failure") || error.contains("Try again") {
        "the name server did not answer the question"
    } else {
        "the lookup failed"
    };
    ("failed", Err(why.to_owned()))
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::ConnectionReset => "the connection was reset".to_owned(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        io::ErrorKind::HostUnreachable => "the host is unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "the network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        kind => kind.to_string(),
    }
}

fn tls_in_words(error: &io::Error) -> String {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(error) => format!("TLS: {error}"),
        None => in_words(error),
    }
}

fn connect_request(target: &Address, proxy: &Proxy) -> String {
    let host = if target.host.contains(':') {
        format!("[{}]", target.host)
    } else {
        target.host.clone()
    };
    let at = format!("{host}:{}", target.port);
    let authorization =
        authorization(proxy).map(|value| format!("Proxy-Authorization: {value}\r\n"));
    format!(
        "CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{}\r\n",
        authorization.unwrap_or_default()
    )
}

fn authorization(proxy: &Proxy) -> Option<String> {
    let credentials = proxy.credentials.as_ref()?;
    Some(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(credentials)
    ))
}

/// Asks a proxy to pass everything on, and reads its answer up to the empty line.
async fn tunnel(stream: &mut TcpStream, request: &str) -> Result<(), String> {
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| in_words(&error))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the empty line belongs to the target.
        answer.push(stream.read_u8().await.map_err(|error| in_words(&error))?);
        if answer.len() > PROXY_ANSWER_BYTES {
            return Err("the proxy's answer does not end".to_owned());
        }
    }
    judge_tunnel(&String::from_utf8_lossy(&answer))
}

fn judge_tunnel(answer: &str) -> Result<(), String> {
    let status = answer
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err("the proxy asks for a name and password".to_owned()),
        Some(status) => Err(format!("the proxy refused with status {status}")),
        None => Err("the proxy's answer is not HTTP".to_owned()),
    }
}

/// A GET, since servers and portals answer HEAD each in their own way; only the head is read.
fn request(url: &Url, proxy: Option<&Proxy>) -> Result<http::Request<Empty<Bytes>>, String> {
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

async fn exchange<S>(
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

fn http_in_words(error: &hyper::Error) -> String {
    if error.is_parse() {
        return "the answer is not HTTP".to_owned();
    }
    if error.is_incomplete_message() {
        return "the connection was closed before an answer".to_owned();
    }
    let source =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.map_or_else(|| "the question could not be asked".to_owned(), in_words)
}

/// The host of a temporary redirect; a permanent one is the target's own doing.
fn redirect_host<B>(response: &http::Response<B>) -> Option<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_fails_in_words_without_the_name() {
        let (state, result) =
            classify_lookup("failed to lookup address information: Name or service not known");
        assert_eq!((state, result.is_err()), ("not_found", true));
        let (state, why) = classify_lookup(
            "failed to lookup address information: Temporary failure in name resolution",
        );
        assert_eq!(
            (state, why.unwrap_err().as_str()),
            ("failed", "the name server did not answer the question")
        );
    }

    #[test]
    fn the_proxys_refusal_is_named() {
        assert_eq!(
            judge_tunnel("HTTP/1.1 200 Connection established\r\n\r\n"),
            Ok(())
        );
        assert!(
            judge_tunnel("HTTP/1.1 407 x\r\n\r\n")
                .unwrap_err()
                .contains("password")
        );
        assert!(
            judge_tunnel("HTTP/1.0 403 Filtered\r\n\r\n")
                .unwrap_err()
                .contains("403")
        );
        assert!(judge_tunnel("SSH-2.0").is_err());
    }

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
