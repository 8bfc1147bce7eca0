//! A collector just large enough to hold an agent to its word: real TLS, real gRPC, real
//! certificates, and a memory in place of a store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, DnType,
    IsCa, KeyPair, PublicKeyData as _, SanType, date_time_ymd,
};
use rollcall_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use rollcall_proto::v1::{self, down, up};
use rollcall_shared::id::DeviceId;
use rollcall_shared::refusal::{REFUSAL_KEY, Refusal};
use rollcall_shared::time::{Clock as _, SystemClock};
use rollcall_shared::tls::{self, DeviceCertificate};
use rollcall_shared::token::{AuthorityFingerprint, EnrolmentToken, TokenSecret};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// What the collector does and what it has seen.
pub struct State {
    /// Sequences by spool, in the order in which they came.
    pub stored: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Which device sent which spool.
    pub senders: BTreeMap<Vec<u8>, DeviceId>,
    /// Reports that came although they were stored already.
    pub repeated: u32,
    /// Reports that came although the credit was used up.
    pub over_credit: u32,
    /// Reports in all messages of all streams that are full.
    pub full_reports: u32,
    /// Streams greeted, certificates renewed, devices enrolled by token and as clones.
    pub greeted: u32,
    pub renewed: u32,
    pub enrolled: u32,
    /// The public keys that asked to enrol by token, and whether they get no answer.
    pub enrolment_keys: Vec<Vec<u8>>,
    pub loses_answers: bool,
    pub cloned: u32,
    /// How many reports may be on the way.
    pub credit: u32,
    /// The connection ends after so many messages.
    pub messages_per_stream: Option<u32>,
    /// Sent after Welcome.
    pub configuration: Option<v1::Configuration>,
    /// Sent after Welcome, in place of anything else.
    pub retire: bool,
    /// Every stream is refused with this.
    pub refuse: Option<Refusal>,
    /// Streams of certificates older than these are refused as expired.
    pub oldest_valid_ms: i64,
    /// How certificates are issued: from how many days ago to how many days ahead.
    pub life_days: (i64, i64),
    secret: [u8; 32],
}

/// A running collector; its tasks end with the test's runtime.
pub struct Collector {
    pub address: SocketAddr,
    pub token: EnrolmentToken,
    shared: Arc<Shared>,
}

struct Shared {
    authority: Authority,
    state: Mutex<State>,
    /// Counts up when all connections are to end.
    kicks: watch::Sender<u32>,
}

impl Collector {
    /// Starts on a free port of the loopback, with a certificate for 127.0.0.1 alone.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = authority("Rollcall test authority");
        let secret = TokenSecret::generate();
        let token = EnrolmentToken {
            authority: AuthorityFingerprint::of(authority.der()),
            secret: secret.clone(),
        };
        let state = State {
            stored: BTreeMap::new(),
            senders: BTreeMap::new(),
            repeated: 0,
            over_credit: 0,
            full_reports: 0,
            greeted: 0,
            renewed: 0,
            enrolled: 0,
            enrolment_keys: Vec::new(),
            loses_answers: false,
            cloned: 0,
            credit: 64,
            messages_per_stream: None,
            configuration: Some(every_second()),
            retire: false,
            refuse: None,
            oldest_valid_ms: i64::MIN,
            life_days: (0, 30),
            secret: secret.hash(),
        };
        let config = server_config(&authority);
        let (state, kicks) = (Mutex::new(state), watch::Sender::new(0));
        let shared = Arc::new(Shared {
            authority,
            state,
            kicks,
        });
        tokio::spawn(listen(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            Arc::clone(&shared),
        ));
        Self {
            address,
            token,
            shared,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Ends every connection.
    pub fn kick(&self) {
        self.shared.kicks.send_modify(|kicks| *kicks += 1);
    }

    /// Waits with patience until something is so.
    pub async fn wait_until(&self, what: &str, mut so: impl FnMut(&State) -> bool) {
        for _ in 0..600 {
            if so(&self.state()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: not within 30 s");
    }
}

impl State {
    /// All sequences of the one spool that there is.
    pub fn only_spool(&self) -> &[u64] {
        let mut spools = self.stored.values();
        let first = spools.next().map_or(&[][..], Vec::as_slice);
        assert!(spools.next().is_none(), "one spool only");
        first
    }
}

/// A configuration under which something happens every second.
pub fn every_second() -> v1::Configuration {
    let schedule = v1::Schedule {
        fast_s: 1,
        network_s: 3600,
        disk_s: 3600,
        drive_s: 3600,
        slow_s: 3600,
        send_s: 1,
        full_s: 2,
    };
    v1::Configuration {
        revision: 7,
        schedule: Some(schedule),
        ..v1::Configuration::default()
    }
}

pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub fn server_config(authority: &Authority) -> rustls::ServerConfig {
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let identity = tls::Identity {
        chain: vec![certificate.der().clone(), authority.der().clone()],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    };
    tls::server_config(identity, &[authority.der().clone()]).unwrap()
}

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(tcp, acceptor.clone(), Arc::clone(&shared)));
    }
}

async fn serve(tcp: tokio::net::TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut kicks = shared.kicks.subscribe();
    kicks.borrow_and_update();
    let Ok(stream) = acceptor.accept(tcp).await else {
        return;
    };
    let peer = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first().cloned());
    let peer = peer.map(CertificateDer::into_owned);
    let service = AgentServiceServer::new(Service { peer, shared })
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Zstd);
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::select! {
        _ = connection => {}
        _ = kicks.changed() => {}
    }
}

#[derive(Clone)]
struct Service {
    peer: Option<CertificateDer<'static>>,
    shared: Arc<Shared>,
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn device(&self) -> Result<DeviceCertificate, Status> {
        let peer = self
            .peer
            .as_ref()
            .ok_or_else(|| refused(Refusal::CertificateMissing))?;
        Ok(DeviceCertificate::from_der(peer).unwrap())
    }

    fn issue(&self, request: Vec<u8>, device: DeviceId) -> Vec<Vec<u8>> {
        let (ago, ahead) = self.state().life_days;
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request).unwrap();
        let today = SystemClock.now().wall.seconds() / 86_400;
        let at = |days: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(days.unsigned_abs() * 86_400)
        };
        request.params.subject_alt_names = vec![SanType::URI(device.to_uri().try_into().unwrap())];
        request.params.not_before = at(today - ago);
        request.params.not_after = at(today + ahead);
        let certificate = request.signed_by(&self.shared.authority).unwrap();
        vec![certificate.der().to_vec()]
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.shared.authority.der().to_vec()]
    }

    fn take(&self, spool: &[u8], reports: &v1::Reports, unacknowledged: &mut u32) -> u64 {
        let mut state = self.state();
        let count = u32::try_from(reports.reports.len()).unwrap();
        *unacknowledged += count;
        state.over_credit += unacknowledged.saturating_sub(state.credit);
        let mut last = 0;
        for report in &reports.reports {
            state.full_reports += u32::from(report.full);
            let stored = state.stored.entry(spool.to_vec()).or_default();
            last = report.sequence;
            if stored.last().is_some_and(|stored| *stored >= last) {
                state.repeated += 1;
            } else {
                stored.push(last);
            }
        }
        last
    }

    async fn converse(
        self,
        mut up: Streaming<v1::Up>,
        down: mpsc::Sender<Result<v1::Down, Status>>,
    ) {
        let Ok(Some(v1::Up {
            message: Some(up::Message::Hello(hello)),
        })) = up.message().await
        else {
            return;
        };
        let welcome = {
            let mut state = self.state();
            state.greeted += 1;
            state
                .senders
                .insert(hello.spool.clone(), self.device().unwrap().device);
            v1::Welcome {
                last_stored: state
                    .stored
                    .get(&hello.spool)
                    .and_then(|all| all.last().copied())
                    .unwrap_or(0),
                server_time_ms: SystemClock.now().wall.0,
                configuration_revision: 7,
                credit: state.credit,
            }
        };
        send(&down, down::Message::Welcome(welcome)).await;
        let retire = self.state().retire;
        if retire {
            let reason = "sold".to_owned();
            return send(&down, down::Message::Retire(v1::Retire { reason })).await;
        }
        let configuration = self.state().configuration.clone();
        if let Some(configuration) = configuration {
            send(&down, down::Message::Configuration(configuration)).await;
        }
        let mut unacknowledged = 0;
        let mut messages = 0;
        while let Ok(Some(v1::Up {
            message: Some(up::Message::Reports(reports)),
        })) = up.message().await
        {
            let last = self.take(&hello.spool, &reports, &mut unacknowledged);
            messages += 1;
            if self
                .state()
                .messages_per_stream
                .is_some_and(|most| messages >= most)
            {
                // Stored, but the acknowledgement is lost with the connection.
                return;
            }
            // An agent that does not wait for credit has time to show it.
            tokio::time::sleep(Duration::from_millis(5)).await;
            unacknowledged -= u32::try_from(reports.reports.len()).unwrap();
            send(&down, down::Message::Ack(v1::Ack { sequence: last })).await;
        }
    }
}

async fn send(down: &mpsc::Sender<Result<v1::Down, Status>>, message: down::Message) {
    let _ = down
        .send(Ok(v1::Down {
            message: Some(message),
        }))
        .await;
}

fn public_key(request: &[u8]) -> Vec<u8> {
    let request = CertificateSigningRequestDer::from(request);
    let request = CertificateSigningRequestParams::from_der(&request).unwrap();
    request.public_key.der_bytes().to_vec()
}

fn refused(refusal: Refusal) -> Status {
    let mut status = Status::permission_denied(refusal.sentence());
    status
        .metadata_mut()
        .insert(REFUSAL_KEY, refusal.word().parse().unwrap());
    status
}

#[tonic::async_trait]
impl AgentService for Service {
    type StreamStream = Pin<Box<dyn Stream<Item = Result<v1::Down, Status>> + Send>>;

    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = request.into_inner();
        if request.token_secret.is_empty() {
            self.device()?;
            self.state().cloned += 1;
        } else {
            let secret = TokenSecret::try_from(request.token_secret.as_slice()).unwrap();
            let mut state = self.state();
            if secret.hash() != state.secret {
                return Err(refused(Refusal::TokenUnknown));
            }
            state.enrolled += 1;
            let request = &request.signing_request;
            state.enrolment_keys.push(public_key(request));
            if state.loses_answers {
                return Err(Status::unavailable("the line went dead"));
            }
        }
        let device = DeviceId::generate();
        Ok(Response::new(v1::EnrollResponse {
            device: device.as_bytes().to_vec(),
            certificate_chain: self.issue(request.signing_request, device),
            authority_roots: self.roots(),
            server_time_ms: SystemClock.now().wall.0,
        }))
    }

    async fn renew(
        &self,
        request: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        let device = self.device()?.device;
        {
            let mut state = self.state();
            state.renewed += 1;
            // Whatever is issued from here on is valid.
            state.life_days = (0, 30);
        }
        Ok(Response::new(v1::RenewResponse {
            certificate_chain: self.issue(request.into_inner().signing_request, device),
            authority_roots: self.roots(),
            server_time_ms: SystemClock.now().wall.0,
        }))
    }

    async fn stream(
        &self,
        request: Request<Streaming<v1::Up>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let certificate = self.device()?;
        {
            let state = self.state();
            if let Some(refusal) = state.refuse {
                return Err(refused(refusal));
            }
            if certificate.not_after.0 < state.oldest_valid_ms {
                return Err(refused(Refusal::CertificateExpired));
            }
        }
        let (down, answers) = mpsc::channel(16);
        tokio::spawn(self.clone().converse(request.into_inner(), down));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}
