//! The HTTP face: JSON for programs, pages for people, metrics for Prometheus.
//!
//! HTTP/1.1 only. Without TLS it listens on loopback addresses alone, and then answers only to the
//! names of the machine itself, so that a page of another origin cannot reach it by a name of its own
//! that resolves to 127.0.0.1 (DNS rebinding).

mod api;
mod body;
mod compress;
mod etag;
mod guard;
mod inventory;
mod openapi;
mod params;
mod problem;
mod rules;
mod write;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rollcall_shared::{limits, tls};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Query, dashboard, session};
use crate::reach_note::NOTED_EVERY_MS;
pub(super) use guard::{Origin, PAGE_POLICY, Peer};
pub(super) use openapi::{ENDPOINTS, Endpoint, WRITES, Write};
pub(super) use params::Parameters;
pub(super) use problem::Problem;

/// Connections at a time: 100 people with six connections each, and some scrapers. Each has at most
/// 32 KiB of buffers.
const CONNECTIONS: usize = 1024;

/// Pages at a time that hear of changes; the rest of the connections stays for what is asked. Others are
/// told to come later, and their pages work without.
const STREAMS: usize = 512;

/// Header lines of a request; browsers send about 20.
const HEADERS: usize = 64;

/// Bytes of a request's head, and of hyper's buffer.
const HEAD_BYTES: usize = 32 * 1024;

/// How long a request's head may take to arrive, and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long open requests may go on after the shutdown began.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// After an error of accept, such as too many open files, wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// The address; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The certificate; without one `listen` must be a loopback address.
    pub tls: Option<Arc<ServerConfig>>,
    /// Names besides `localhost` by which this machine is called in browsers.
    pub names: Vec<String>,
}

/// Why the face does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Tokens would travel in the clear.
    #[error(
        "HTTP on {0} would send API tokens unencrypted: give `http.certificate` and `http.key`, \
         or listen on a loopback address such as 127.0.0.1:8480"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error(
        "cannot listen on {address} for HTTP: {source}; another address is set by `http.listen`"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// The HTTP face, listening.
pub struct HttpServer {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    face: Face,
    address: SocketAddr,
}

/// What every handler shares.
#[derive(Clone)]
pub(super) struct Face {
    pub query: Query,
    pub sessions: Arc<session::Sessions>,
    pub counts: Arc<guard::Counts>,
    /// Set when the face stops: what streams without end ends then.
    pub closing: CancellationToken,
    /// Streams of events that may still begin.
    pub streams: Arc<Semaphore>,
    hosts: Arc<guard::Hosts>,
}

/// The configuration for TLS that browsers and scrapers get: version 1.3, no client certificate.
///
/// # Errors
/// When the key does not belong to the chain.
pub fn tls_config(identity: tls::Identity) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl HttpServer {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`ListenError`] names the address and the settings that would help.
    pub async fn bind(query: Query, config: HttpConfig) -> Result<Self, ListenError> {
        let listen = config.listen;
        if config.tls.is_none() && !listen.ip().is_loopback() {
            return Err(ListenError::NotLoopback(listen));
        }
        let failed = |source| ListenError::Bind {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let face = Face::new(query, config.tls.is_some(), &config.names);
        Ok(Self {
            listener,
            address,
            router: routes(&face),
            face,
            tls: config.tls.map(TlsAcceptor::from),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then lets open requests end for at most five seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let tasks = TaskTracker::new();
        tasks.spawn(note(self.face.query.clone(), shutdown.clone()));
        while let Some((stream, peer, place)) = self.next(&places, &shutdown).await {
            let router = self.router.clone().layer(axum::Extension(Peer(peer.ip())));
            let (tls, shutdown) = (self.tls.clone(), shutdown.clone());
            tasks.spawn(async move {
                converse(stream, tls, router, shutdown).await;
                drop(place);
            });
        }
        tasks.close();
        self.face.closing.cancel();
        if tokio::time::timeout(LAST_REQUESTS, tasks.wait())
            .await
            .is_err()
        {
            tracing::info!(
                open = tasks.len(),
                "closing HTTP connections that are still busy"
            );
        }
    }

    async fn next(
        &self,
        places: &Arc<Semaphore>,
        shutdown: &CancellationToken,
    ) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        loop {
            let place = tokio::select! {
                () = shutdown.cancelled() => return None,
                place = Arc::clone(places).acquire_owned() => place.ok()?,
            };
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => return Some((stream, peer, place)),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Every route, as the tests ask it.
#[cfg(test)]
pub(super) fn router(query: Query, secure: bool, names: &[String]) -> Router {
    routes(&Face::new(query, secure, names))
}

impl Face {
    fn new(query: Query, secure: bool, names: &[String]) -> Self {
        Self {
            query,
            sessions: Arc::new(session::Sessions::new(secure)),
            counts: Arc::default(),
            closing: CancellationToken::new(),
            streams: Arc::new(Semaphore::new(STREAMS)),
            hosts: Arc::new(guard::Hosts::new(secure, names)),
        }
    }
}

/// Every route, with what guards them.
fn routes(face: &Face) -> Router {
    let routes = api::routes()
        .merge(write::routes())
        .merge(rules::routes())
        .merge(inventory::routes())
        .merge(dashboard::routes());
    guard::guarded(routes, face).with_state(face.clone())
}

/// Notes how far laptops get, for the day's view; for the first time once they have come back after a start.
async fn note(query: Query, shutdown: CancellationToken) {
    let every = Duration::from_millis(NOTED_EVERY_MS.unsigned_abs());
    let mut until = every / 10;
    while tokio::time::timeout(until, shutdown.cancelled())
        .await
        .is_err()
    {
        until = every;
        if let Err(error) = query.note_reachability().await {
            tracing::warn!(%error, "what laptops reach could not be noted");
        }
    }
}

async fn converse(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    shutdown: CancellationToken,
) {
    let ended = match tls {
        None => serve(stream, router, shutdown).await,
        Some(tls) => {
            match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                Ok(Ok(stream)) => serve(stream, router, shutdown).await,
                Ok(Err(error)) => return tracing::debug!(%error, "no TLS with an HTTP client"),
                Err(_) => return tracing::debug!("an HTTP client was too slow with TLS"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    shutdown: CancellationToken,
) -> Result<(), hyper::Error> {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

#[cfg(test)]
mod tests;
