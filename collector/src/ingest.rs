//! Ingest: authenticate -> de-duplicate -> append durably -> acknowledge.
//!
//! One port speaks TLS 1.3 and HTTP/2; [`AgentService`] is served on it beside whatever routes the
//! caller adds. Nothing is acknowledged before the store has made it durable.

mod accept;
pub mod admission;
mod boots;
mod counters;
mod pacing;
mod patience;
mod refuse;
mod seats;
mod secure;
mod session;
mod streams;
mod transport;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rollcall_proto::v1;
use rollcall_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use rollcall_shared::configuration::Configuration;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::{Clock, UnixMs};
use rollcall_shared::tls::{self, DeviceCertificate};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use tower::ServiceExt as _;

use crate::authority::{self, Authority, Enrolment};
use crate::store::Store;
use accept::Caller;
pub use accept::Peer;
use boots::Boots;
pub use counters::{IngestCounters, Reason};
use refuse::Refusals;
use seats::Seats;
use streams::Streams;

/// The longest request for a certificate: a signing request has [`limits::CSR_BYTES`] at most, the
/// rest of it far less. Strangers may send one, so that 512 of them hold 128 MB at most, with
/// [`STREAMS_PER_CONNECTION`] each.
const CALL_BYTES: usize = 16 * 1024;

/// HTTP/2 streams of one connection: an agent has one for reports and one for renewal.
const STREAMS_PER_CONNECTION: u32 = 16;

/// How long open streams may take to end at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What ingest is made of.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

/// What every stream shares.
struct Shared {
    store: Store,
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    configuration: watch::Receiver<Arc<Configuration>>,
    counters: Arc<IngestCounters>,
    refusals: Refusals,
    streams: Streams,
    seats: Seats,
    boots: Boots,
    /// Places for connections without a device's certificate.
    strangers: Arc<Semaphore>,
    /// How long such a connection may last without having been given anything.
    patience: Duration,
    /// The connections of laptops.
    laptops: TaskTracker,
    shutdown: CancellationToken,
}

impl Ingest {
    /// Ingest into `store`; agents follow `configuration`, and streams end at `shutdown`.
    #[must_use]
    pub fn new(
        store: Store,
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
        configuration: watch::Receiver<Arc<Configuration>>,
        shutdown: CancellationToken,
    ) -> Self {
        let counters = Arc::new(IngestCounters::default());
        let shared = Shared {
            refusals: Refusals::new(store.clone(), Arc::clone(&counters)),
            streams: Streams::default(),
            seats: Seats::default(),
            boots: Boots::default(),
            strangers: Arc::new(Semaphore::new(accept::STRANGERS)),
            // As long as an agent waits for the answer to its enrolment.
            patience: limits::CONNECT_TIMEOUT,
            store,
            authority,
            clock,
            configuration,
            counters,
            laptops: TaskTracker::new(),
            shutdown,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Arc<IngestCounters> {
        Arc::clone(&self.shared.counters)
    }

    /// Serves agents, and `routes` beside them, until the shutdown.
    ///
    /// # Errors
    /// When the server cannot go on.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Arc<ArcSwap<ServerConfig>>,
        routes: Routes,
    ) -> anyhow::Result<()> {
        let shutdown = self.shared.shutdown.clone();
        let watcher = tokio::spawn(streams::end_those_of_the_revoked(Arc::clone(&self.shared)));
        let shared = Arc::clone(&self.shared);
        let laptops = shared.laptops.clone();
        let routes = self.beside(routes).prepare();
        let connections = accept::connections(listener, tls, shared, routes.clone());
        let served = tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .layer(tower::util::MapRequestLayer::new(name_the_peer))
            .add_routes(routes)
            .serve_with_incoming_shutdown(connections, shutdown.clone().cancelled_owned());
        let ended = tokio::select! {
            served = served => served.context("the gRPC server failed"),
            () = past(shutdown) => Ok(()),
        };
        watcher.abort();
        // Each stream says its last words, and what is durable is acknowledged.
        laptops.close();
        let _ = tokio::time::timeout(SHUTDOWN, laptops.wait()).await;
        ended
    }
}

impl Ingest {
    /// The calls and the stream of agents beside other routes. Each has its own limit for a message:
    /// only a laptop of the fleet may send as much as the stream takes.
    fn beside(self, routes: Routes) -> Routes {
        let calls = AgentServiceServer::new(self.clone()).max_decoding_message_size(CALL_BYTES);
        let stream = AgentServiceServer::new(self)
            .max_decoding_message_size(limits::MESSAGE_BYTES)
            .accept_compressed(CompressionEncoding::Zstd)
            .map_request(|request: axum::extract::Request| request.map(tonic::body::Body::new));
        let path = format!("/{}/Stream", AgentServiceServer::<Self>::NAME);
        let router = routes.add_service(calls).into_axum_router();
        router
            .route_service(&path, stream)
            .layer(axum::middleware::from_fn(patience::note_served))
            .into()
    }
}

/// Returns when the time after the shutdown is over, in which streams may end by themselves.
async fn past(shutdown: CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(SHUTDOWN).await;
}

/// Tells a request who asks.
fn told_of_the_peer<B>(mut request: http::Request<B>, caller: Caller) -> http::Request<B> {
    request.extensions_mut().insert(caller);
    name_the_peer(request)
}

/// Puts the address where services that know nothing of devices look for it.
fn name_the_peer<B>(mut request: http::Request<B>) -> http::Request<B> {
    if let Some(Caller { peer, .. }) = request.extensions().get::<Caller>().cloned() {
        let address = tonic::transport::server::TcpConnectInfo {
            local_addr: None,
            remote_addr: Some(peer.address),
        };
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(peer);
    }
    request
}

impl Shared {
    fn now(&self) -> UnixMs {
        self.clock.now().wall
    }
}

fn peer_of<T>(request: &Request<T>) -> Peer {
    let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    request.extensions().get::<Peer>().copied().unwrap_or(Peer {
        address: nobody,
        certificate: None,
    })
}

#[tonic::async_trait]
impl AgentService for Ingest {
    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let (shared, peer, now) = (&self.shared, peer_of(&request), self.shared.now());
        let enrolled = shared.enrol(peer, request.get_ref(), now).await;
        let enrolled = match enrolled {
            Ok(enrolled) => enrolled,
            Err(refusal) => return Err(shared.refuse(refusal, peer, "enroll").await),
        };
        Ok(Response::new(v1::EnrollResponse {
            device: enrolled.device.as_bytes().to_vec(),
            certificate_chain: der(&enrolled.chain),
            authority_roots: der(&shared.authority.roots()),
            server_time_ms: now.0,
        }))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        let (shared, peer, now) = (&self.shared, peer_of(&request), self.shared.now());
        let csr = &request.get_ref().signing_request;
        let (store, authority) = (&shared.store, &shared.authority);
        let renewed = match authority::renew(store, authority, peer.certificate, csr, now) {
            Ok(renewed) => renewed,
            Err(refusal) => return Err(shared.refuse(refusal, peer, "renew").await),
        };
        shared
            .refusals
            .note(peer, "renew", renewed.device.to_string(), now)
            .await;
        Ok(Response::new(v1::RenewResponse {
            certificate_chain: der(&renewed.chain),
            authority_roots: der(&authority.roots()),
            server_time_ms: now.0,
        }))
    }

    type StreamStream = tokio_stream::Empty<Result<v1::Down, Status>>;

    /// Streams of laptops are served by [`transport`]; who comes here has no certificate of a device.
    async fn stream(
        &self,
        request: Request<Streaming<v1::Up>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (shared, peer) = (&self.shared, peer_of(&request));
        let refusal = match authority::authenticate(&shared.store, peer.certificate, shared.now()) {
            Ok(_) => Refusal::CertificateMissing,
            Err(refusal) => refusal,
        };
        Err(shared.refuse(refusal, peer, "stream").await)
    }
}

impl Shared {
    async fn enrol(
        &self,
        peer: Peer,
        request: &v1::EnrollRequest,
        now: UnixMs,
    ) -> Result<authority::Enrolled, Refusal> {
        let secret = &request.token_secret;
        // A right token is always let in: a school has one address, and one laptop with a wrong token
        // must not keep the others out.
        if self.refusals.too_many_from(peer.address.ip(), now)
            && !authority::knows_token(&self.store, secret)
            && peer.certificate.is_none()
        {
            return Err(Refusal::TooMany);
        }
        let hardware = request.hardware.clone().unwrap_or_default();
        let enrolment = Enrolment {
            secret,
            request: &request.signing_request,
            fingerprint: HardwareFingerprint::try_from(&hardware)
                .map_err(|_| Refusal::MessageMalformed)?,
            vendor: admission::short_text(&hardware.vendor),
            model: admission::short_text(&hardware.model),
            agent_version: admission::short_text(&request.agent_version),
            is_shared: peer
                .certificate
                .is_some_and(|certificate| self.boots.is_shared(certificate.device)),
            certificate: peer.certificate,
            address: peer.address.ip().to_string(),
        };
        authority::enrol(&self.store, &self.authority, enrolment, now).await
    }

    /// Counts and audits a refusal, and makes it a status.
    async fn refuse(&self, refusal: Refusal, peer: Peer, action: &str) -> Status {
        self.refusals
            .refuse(refusal, peer, action, self.now())
            .await;
        refuse::status(refusal)
    }
}

fn der(chain: &[rustls::pki_types::CertificateDer<'_>]) -> Vec<Vec<u8>> {
    chain.iter().map(|der| der.to_vec()).collect()
}

/// The TLS of the port, by the authority's present certificate.
///
/// # Errors
/// When the authority's files cannot be used.
pub fn tls_config(authority: &Authority, now: UnixMs) -> anyhow::Result<ServerConfig> {
    let identity = authority.server_identity(now)?;
    tls::server_config(identity, &authority.roots()).context("the server's certificate")
}

/// What a handshake's certificate says of the device; `None` for no certificate, or one of
/// something else.
fn device_of(chain: Option<&[rustls::pki_types::CertificateDer<'_>]>) -> Option<DeviceCertificate> {
    DeviceCertificate::from_der(chain?.first()?).ok()
}

#[cfg(test)]
mod tests;
