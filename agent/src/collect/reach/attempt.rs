//! One attempt at one target, stage by stage.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, select_ok};
use rollcall_shared::time::{Clock, SinceBootMs};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{Url, is_same_holder};
use super::cause::{
    by_name_server, classify_lookup, in_words, no_name_server_answered, tls_in_words,
};
use super::certificate::{PublicTrust, Seen, Witness};
use super::exchange::{exchange, judge_status, redirect, request};
use super::fault::{Cause, Failure, Fault};
use super::filter;
use super::resolver;
use super::tunnel::{connect_request, tunnel};
use crate::collect::network::Proxy;

/// How long any one stage may take: a satellite link's handshake needs about 2 s.
pub const STAGE_TIMEOUT: Duration = Duration::from_millis(STAGE_MS);

/// How long one address may keep the next from being tried; RFC 8305 recommends 250 ms.
const ADDRESS_HEADSTART: Duration = Duration::from_millis(250);

/// Addresses of one name and one version of IP that are tried.
const ADDRESSES: usize = 4;

/// Why a version of IP was not tried where the attempt ended before.
const NOT_SO_FAR: &str = "the attempt ended before a connection";

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
    /// At a stage, and why.
    Failed(Failure),
}

/// What one version of IP did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// It led to the target.
    Reached,
    /// It did not.
    Failed,
    /// It was not tried, and why.
    Untried(&'static str),
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
    /// The filter that answered in the target's place, in words.
    pub blocked: Option<String>,
    /// The addresses that the lookup gave; they never leave the laptop.
    pub addresses: Vec<IpAddr>,
    /// Whether the target took a connection over IPv4.
    pub ipv4: Version,
    /// Whether it took one over IPv6.
    pub ipv6: Version,
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
            blocked: None,
            addresses: Vec::new(),
            ipv4: Version::Untried(NOT_SO_FAR),
            ipv6: Version::Untried(NOT_SO_FAR),
            certificate: None,
        }
    }

    /// An attempt at what is no address.
    #[must_use]
    pub fn unusable() -> Self {
        let cause = Fault::BadAddress.because("the configured address is not one");
        Self {
            outcome: Outcome::Failed(cause.at(Stage::Dns)),
            ..Self::begun()
        }
    }
}

impl Attempt {
    /// The stage at which it failed, if it did.
    #[must_use]
    pub const fn failed_at(&self) -> Option<Stage> {
        match &self.outcome {
            Outcome::Reached => None,
            Outcome::Failed(failure) => Some(failure.stage),
        }
    }
}

/// Tries one target, each stage for at most [`STAGE_TIMEOUT`]. `name_servers` are asked how a lookup
/// failed.
pub async fn run(
    url: &Url,
    proxy: Option<&Proxy>,
    name_servers: &[IpAddr],
    trust: &Arc<PublicTrust>,
    clock: &dyn Clock,
) -> Attempt {
    let mut try_ = Try {
        url,
        proxy,
        name_servers,
        trust,
        clock,
        other: None,
        attempt: Attempt::begun(),
    };
    if let Err(failure) = try_.stages().await {
        try_.attempt.outcome = Outcome::Failed(failure);
    }
    try_.finish().await
}

struct Try<'a> {
    url: &'a Url,
    proxy: Option<&'a Proxy>,
    name_servers: &'a [IpAddr],
    trust: &'a Arc<PublicTrust>,
    clock: &'a dyn Clock,
    /// The version of IP that was slower, and has until then.
    other: Option<(Connecting, SinceBootMs)>,
    attempt: Attempt,
}

/// A connection over one version of IP, on its way.
type Connecting = BoxFuture<'static, (bool, Result<TcpStream, io::Error>)>;

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
        let lookup = tokio::net::lookup_host((peer.host.as_str(), peer.port));
        let found = match tokio::time::timeout(STAGE_TIMEOUT, lookup).await {
            Err(_) => Err(no_name_server_answered()),
            Ok(Err(error)) => Err(classify_lookup(&error.to_string())),
            Ok(Ok(found)) => Ok(found.collect::<Vec<_>>()),
        };
        let took = self.seconds_since(start);
        let found = match found {
            Ok(found) if found.is_empty() => {
                Err(Fault::NameNotFound.because("the name has no address"))
            }
            Ok(found) if found.iter().all(|at| at.ip().is_unspecified()) => Err(nowhere()),
            Ok(found) => Ok(found),
            Err(cause) => Err(cause_by_name_server(self.name_servers, cause, &peer.host).await),
        };
        if !peer.is_literal() {
            let word = |cause: &Cause| match cause.fault {
                Fault::Blocked => "ok",
                fault => fault.lookup_word(),
            };
            self.attempt.dns_state = Some(found.as_ref().map_or_else(word, |_| "ok"));
            self.attempt.dns_s = Some(took);
        }
        let found = found.map_err(|cause| cause.at(Stage::Dns))?;
        if self.proxy.is_none() && !peer.is_literal() {
            self.attempt.addresses = found.iter().map(SocketAddr::ip).collect();
        }
        Ok(found)
    }

    async fn connect(&mut self, addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
        let stage = if self.proxy.is_some() {
            Stage::Proxy
        } else {
            Stage::Tcp
        };
        let start = self.clock.now().since_boot;
        let (v6, v4): (Vec<_>, Vec<_>) = addresses.iter().partition(|at| at.is_ipv6());
        self.attempt.ipv4 = self.untried(&v4, "the target's name has no IPv4 address");
        self.attempt.ipv6 = self.untried(&v6, "the target's name has no IPv6 address");
        // RFC 8305: IPv6 first, and IPv4 after a moment.
        let wait = if v6.is_empty() {
            Duration::ZERO
        } else {
            ADDRESS_HEADSTART
        };
        let mut ways = Vec::new();
        ways.extend((!v6.is_empty()).then(|| over(true, v6, Duration::ZERO)));
        ways.extend((!v4.is_empty()).then(|| over(false, v4, wait)));
        let stream = bounded(stage, self.first(ways, start)).await?;
        self.attempt.tcp_s = Some(self.seconds_since(start));
        Ok(stream)
    }

    fn untried(&self, addresses: &[SocketAddr], none: &'static str) -> Version {
        if self.proxy.is_some() {
            Version::Untried("a proxy makes the connection")
        } else if addresses.is_empty() {
            Version::Untried(none)
        } else {
            Version::Failed
        }
    }

    /// The first way that leads there; the other one stays under way.
    async fn first(
        &mut self,
        mut ways: Vec<Connecting>,
        start: SinceBootMs,
    ) -> Result<TcpStream, Cause> {
        loop {
            let ((is_v6, result), _, mut rest) = futures_util::future::select_all(ways).await;
            self.note(is_v6, &result);
            match result {
                Ok(stream) => {
                    let until = SinceBootMs(start.0.saturating_add(STAGE_MS));
                    self.other = rest.pop().map(|other| (other, until));
                    return Ok(stream);
                }
                Err(error) if rest.is_empty() => return Err(in_words(&error)),
                Err(_) => ways = rest,
            }
        }
    }

    fn note(&mut self, is_v6: bool, result: &Result<TcpStream, io::Error>) {
        if self.proxy.is_some() {
            return;
        }
        let version = match result {
            Ok(_) => Version::Reached,
            Err(error) if in_words(error).fault == Fault::NoRoute => {
                Version::Untried("this network has no route for this version of IP")
            }
            Err(_) => Version::Failed,
        };
        *if is_v6 {
            &mut self.attempt.ipv6
        } else {
            &mut self.attempt.ipv4
        } = version;
    }

    /// Waits for the slower version of IP, as long as a stage may take from its start.
    async fn finish(mut self) -> Attempt {
        if let Some((other, until)) = self.other.take() {
            let left = until.since(self.clock.now().since_boot);
            if let Ok((is_v6, result)) = tokio::time::timeout(left, other).await {
                self.note(is_v6, &result);
            }
        }
        self.attempt
    }

    async fn shake_hands(
        &mut self,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Failure> {
        let failed = |why: String| Fault::TlsFailed.because(why).at(Stage::Tls);
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
            (Err(_), Some(refusal)) => Err(refusal.at(Stage::Tls)),
            (Err(failure), None) => Err(failure),
        }
    }

    async fn ask<S>(&mut self, stream: S) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = request(self.url, self.proxy)
            .map_err(|why| Fault::BadAddress.because(why).at(Stage::Http))?;
        let start = self.clock.now().since_boot;
        // What a public certificate covers is the target's own word.
        let is_own = self
            .attempt
            .certificate
            .as_ref()
            .is_some_and(|seen| seen.is_public);
        let answer = bounded(Stage::Http, exchange(stream, request, !is_own)).await?;
        self.attempt.http_s = Some(self.seconds_since(start));
        let status = answer.head.status.as_u16();
        self.attempt.status = Some(status);
        let redirect = redirect(&answer.head);
        if !is_own {
            let elsewhere = redirect
                .as_ref()
                .filter(|to| !is_same_holder(&to.address.host, &self.url.address.host))
                .map(|to| format!("{}{}", to.address.host, to.path));
            self.attempt.blocked = filter::blocker(&answer, elsewhere.as_deref());
        }
        self.attempt.redirect_host = redirect.map(|url| url.address.host);
        match &self.attempt.blocked {
            Some(why) => Err(Fault::Blocked.because(why.clone()).at(Stage::Http)),
            None => judge_status(status),
        }
    }

    fn seconds_since(&self, start: SinceBootMs) -> f64 {
        self.clock.now().since_boot.since(start).as_secs_f64()
    }
}

/// The system's resolver does not tell refusal from silence; the name server does.
async fn cause_by_name_server(servers: &[IpAddr], cause: Cause, name: &str) -> Cause {
    if cause.fault == Fault::NameNotFound || servers.is_empty() {
        return cause;
    }
    let told = resolver::ask(servers, name).await;
    by_name_server(&told).unwrap_or(cause)
}

/// [`STAGE_TIMEOUT`] in milliseconds.
const STAGE_MS: u64 = 5000;

/// Filters by name give 0.0.0.0 or :: for what they block.
fn nowhere() -> Cause {
    Fault::Blocked.because("the name server gives an address that leads nowhere, as filters do")
}

/// Connects over one version of IP, each address a moment after the one before it.
fn over(is_v6: bool, addresses: Vec<SocketAddr>, wait: Duration) -> Connecting {
    let tries = addresses.into_iter().take(ADDRESSES).zip(0_u32..);
    let tries = tries.map(move |(address, at)| {
        Box::pin(async move {
            tokio::time::sleep(wait + ADDRESS_HEADSTART * at).await;
            TcpStream::connect(address).await
        })
    });
    let tries = select_ok(tries.collect::<Vec<_>>());
    async move { (is_v6, tries.await.map(|(stream, _)| stream)) }.boxed()
}

async fn bounded<T>(
    stage: Stage,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(STAGE_TIMEOUT, work).await {
        Ok(result) => result.map_err(|cause| cause.at(stage)),
        Err(_) => {
            let why = format!("no answer within {} s", STAGE_TIMEOUT.as_secs());
            Err(Fault::ConnectionTimedOut.because(why).at(stage))
        }
    }
}
