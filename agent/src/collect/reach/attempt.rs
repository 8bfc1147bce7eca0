//! One attempt at one target, stage by stage.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_ok;
use rollcall_shared::time::{Clock, SinceBootMs};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Url;
use super::cause::{classify_lookup, in_words, tls_in_words};
use super::certificate::{PublicTrust, Seen, Witness};
use super::exchange::{exchange, judge_status, redirect_host, request};
use super::tunnel::{connect_request, tunnel};
use crate::collect::network::Proxy;

/// How long any one stage may take: a satellite link's handshake needs about 2 s.
pub const STAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one address may keep the next from being tried; RFC 8305 recommends 250 ms.
const ADDRESS_HEADSTART: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried.
const ADDRESSES: usize = 6;

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

/// The stage that failed, and why.
pub type Failure = (Stage, String);

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
