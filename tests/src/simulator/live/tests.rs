//! Live laptops against a collector that is just large enough: real TLS, real gRPC, a memory in
//! place of a store.

use clap::Parser as _;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa,
    KeyPair, SanType,
};
use rollcall_proto::convert::Admitted;
use rollcall_proto::v1::agent_service_server::{AgentService, AgentServiceServer};
use rollcall_proto::v1::{self, down, up};
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::refusal::{REFUSAL_KEY, Refusal};
use rollcall_shared::tls::{self, DeviceCertificate};
use rollcall_shared::token::{AuthorityFingerprint, TokenSecret};
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status, Streaming};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// What the collector has seen.
#[derive(Debug, Default)]
struct Seen {
    enrolled: u32,
    cloned: u32,
    uses: u32,
    streams: u32,
    reports: BTreeMap<DeviceId, Vec<Admitted>>,
    skews_ms: Vec<i64>,
    out_of_order: u32,
}

struct Shared {
    authority: CertifiedIssuer<'static, KeyPair>,
    secret: TokenSecret,
    seen: Mutex<Seen>,
}

#[derive(Clone)]
struct Service {
    peer: Option<DeviceCertificate>,
    shared: Arc<Shared>,
}

/// A collector whose token may be used `uses` times.
async fn collector(uses: u32) -> (Arc<Shared>, Address, EnrolmentToken) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let token = EnrolmentToken {
        secret: TokenSecret::generate(),
        authority: AuthorityFingerprint::of(authority.der()),
    };
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let identity = tls::Identity {
        chain: vec![certificate.der().clone(), authority.der().clone()],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    };
    let config = tls::server_config(identity, &[authority.der().clone()]).unwrap();
    let seen = Mutex::new(Seen {
        uses,
        ..Seen::default()
    });
    let shared = Arc::new(Shared {
        authority,
        secret: token.secret.clone(),
        seen,
    });
    let (acceptor, service) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(&shared));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp, acceptor.clone(), Arc::clone(&service)));
        }
    });
    (shared, address, token)
}

async fn serve(tcp: tokio::net::TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = acceptor.accept(tcp).await else {
        return;
    };
    let peer = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let peer = peer.map(|der| DeviceCertificate::from_der(der).unwrap());
    let service = AgentServiceServer::new(Service { peer, shared })
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Zstd);
    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .http2_only()
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
}

fn refused(refusal: Refusal) -> Status {
    let mut status = Status::permission_denied(refusal.sentence());
    status
        .metadata_mut()
        .insert(REFUSAL_KEY, refusal.word().parse().unwrap());
    status
}

impl Service {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap()
    }

    fn admit(&self, request: &v1::EnrollRequest) -> Result<(), Status> {
        let mut seen = self.seen();
        if request.token_secret.is_empty() {
            assert!(
                self.peer.is_some(),
                "a clone shows its original's certificate"
            );
            seen.cloned += 1;
            return Ok(());
        }
        assert_eq!(request.token_secret, self.shared.secret.as_bytes());
        seen.uses = seen
            .uses
            .checked_sub(1)
            .ok_or_else(|| refused(Refusal::TokenUsedUp))?;
        seen.enrolled += 1;
        Ok(())
    }

    async fn converse(
        self,
        mut up: Streaming<v1::Up>,
        down: mpsc::Sender<Result<v1::Down, Status>>,
    ) {
        let device = self.peer.unwrap().device;
        let mut stored = 0;
        while let Ok(Some(v1::Up {
            message: Some(message),
        })) = up.message().await
        {
            let answers = match message {
                up::Message::Hello(hello) => {
                    let skew_ms = hello.sent.unwrap().wall_ms - SystemClock.now().wall.0;
                    self.seen().skews_ms.push(skew_ms);
                    stored = hello.next_sequence - 1;
                    welcome(stored)
                }
                up::Message::Reports(reports) => {
                    for report in reports.reports {
                        self.seen().out_of_order += u32::from(report.sequence != stored + 1);
                        stored = report.sequence;
                        let admitted = Admitted::try_from(report).unwrap();
                        self.seen()
                            .reports
                            .entry(device)
                            .or_default()
                            .push(admitted);
                    }
                    vec![down::Message::Ack(v1::Ack { sequence: stored })]
                }
            };
            for message in answers {
                let _ = down
                    .send(Ok(v1::Down {
                        message: Some(message),
                    }))
                    .await;
            }
        }
    }
}

/// Every laptop reports every second, and is asked for one target.
fn welcome(stored: u64) -> Vec<down::Message> {
    let schedule = v1::Schedule {
        fast_s: 1,
        network_s: 1,
        disk_s: 2,
        drive_s: 2,
        slow_s: 2,
        send_s: 1,
        full_s: 3600,
    };
    let target = v1::Target {
        name: "Library".to_owned(),
        url: "https://library.example".to_owned(),
    };
    let configuration = v1::Configuration {
        revision: 3,
        schedule: Some(schedule),
        targets: vec![target],
        ..v1::Configuration::default()
    };
    let welcome = v1::Welcome {
        last_stored: stored,
        server_time_ms: SystemClock.now().wall.0,
        configuration_revision: 3,
        credit: 64,
    };
    vec![
        down::Message::Welcome(welcome),
        down::Message::Configuration(configuration),
    ]
}

#[tonic::async_trait]
impl AgentService for Service {
    type StreamStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::Down, Status>> + Send>>;

    async fn enroll(
        &self,
        request: Request<v1::EnrollRequest>,
    ) -> Result<Response<v1::EnrollResponse>, Status> {
        let request = request.into_inner();
        self.admit(&request)?;
        let device = DeviceId::generate();
        let csr = CertificateSigningRequestDer::from(request.signing_request);
        let mut csr = CertificateSigningRequestParams::from_der(&csr).unwrap();
        csr.params.subject_alt_names = vec![SanType::URI(device.to_uri().try_into().unwrap())];
        let certificate = csr.signed_by(&self.shared.authority).unwrap();
        Ok(Response::new(v1::EnrollResponse {
            device: device.as_bytes().to_vec(),
            certificate_chain: vec![certificate.der().to_vec()],
            authority_roots: vec![self.shared.authority.der().to_vec()],
            server_time_ms: SystemClock.now().wall.0,
        }))
    }

    async fn renew(
        &self,
        _: Request<v1::RenewRequest>,
    ) -> Result<Response<v1::RenewResponse>, Status> {
        Err(Status::unimplemented("nothing here lives that long"))
    }

    async fn stream(
        &self,
        request: Request<Streaming<v1::Up>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        self.seen().streams += 1;
        let (down, answers) = mpsc::channel(16);
        tokio::spawn(self.clone().converse(request.into_inner(), down));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A simulator that runs until it is stopped.
struct Run {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

fn options(data: &Path, address: &Address, token: &EnrolmentToken, more: &[&str]) -> Options {
    let file = data.join("token");
    make_private_folder(data).unwrap();
    fs::write(&file, token.to_string()).unwrap();
    let (address, data) = (address.to_string(), data.join("laptops"));
    let given = [
        "rollcall-simulator",
        "--collector",
        &address,
        "--token-file",
        file.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--ramp-seconds",
        "0.2",
        // A Tuesday with lessons.
        "--start",
        "2026-11-17T10:20",
    ];
    Line::try_parse_from(given.into_iter().chain(more.iter().copied()))
        .unwrap()
        .options
}

fn begin(options: Options) -> Run {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move { run(&options, async { drop(stopped.await) }).await });
    Run { stop, task }
}

impl Run {
    async fn end(self) {
        let _ = self.stop.send(());
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("it stops at once").unwrap().unwrap();
    }
}

async fn wait_until(shared: &Shared, what: &str, so: impl Fn(&Seen) -> bool) {
    for _ in 0..PATIENCE.as_millis() / 20 {
        if so(&shared.seen.lock().unwrap()) {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!(
        "{what}: not within {PATIENCE:?}; {:?}",
        shared.seen.lock().unwrap().streams
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn laptops_enrol_stream_stop_and_come_back_as_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, address, token) = collector(40).await;
    let few = ["--devices", "40", "--disk-spools", "20", "--speed", "30"];
    let first = begin(options(folder.path(), &address, &token, &few));
    wait_until(&shared, "most report", |seen| seen.reports.len() > 25).await;
    wait_until(&shared, "many reports each", |seen| {
        seen.reports.values().any(|all| all.len() > 3)
    })
    .await;
    first.end().await;
    let known: BTreeSet<DeviceId> = {
        let mut seen = shared.seen.lock().unwrap();
        assert!(seen.cloned > 0, "some are clones");
        check_reports(&seen);
        std::mem::take(&mut seen.reports).into_keys().collect()
    };
    let second = begin(options(folder.path(), &address, &token, &few));
    let back = |seen: &Seen| {
        seen.reports
            .keys()
            .filter(|device| known.contains(device))
            .count()
    };
    wait_until(&shared, "most report again", |seen| {
        back(seen) + 4 > known.len()
    })
    .await;
    second.end().await;
    // Only who is awake enrols, so who slept the first time may enrol now; nobody does twice.
    let has_enrolled = |number: &u32| {
        folder
            .path()
            .join(format!("laptops/{number:06}/identity"))
            .exists()
    };
    let identities = (0..40).filter(has_enrolled).count();
    let seen = shared.seen.lock().unwrap();
    assert_eq!(identities, (seen.enrolled + seen.cloned) as usize);
    assert_eq!(seen.out_of_order, 0);
}

fn check_reports(seen: &Seen) {
    assert_eq!(seen.out_of_order, 0);
    for reports in seen.reports.values() {
        assert!(
            reports[0].report.full && reports.iter().all(|admitted| admitted.rejected.is_empty())
        );
        let readings = reports
            .iter()
            .flat_map(|admitted| &admitted.report.readings);
        let named = |wanted: &'static metric::Metric| {
            readings.clone().filter(move |r| r.metric() == wanted)
        };
        assert!(
            named(&metric::HOST_MODEL)
                .all(|model| model.value().to_string().starts_with("Simulated "))
        );
        let targets: BTreeSet<&str> = named(&metric::REACH_STATE)
            .map(|reading| reading.instance())
            .collect();
        assert!(
            targets.iter().all(|target| *target == "Library"),
            "as the collector asked: {targets:?}"
        );
    }
    let asked = seen
        .reports
        .values()
        .flatten()
        .flat_map(|admitted| &admitted.report.readings);
    assert!(asked.clone().any(|reading| reading.instance() == "Library"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_clocks_travel_on_the_wire_and_the_others_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, address, token) = collector(60).await;
    let wrong = (0..60).filter(|number| {
        !matches!(
            Fleet::new(1).laptop(*number).clock(),
            crate::simulator::WallClock::Right(_)
        )
    });
    assert!(wrong.count() > 0);
    let running = begin(options(
        folder.path(),
        &address,
        &token,
        &["--devices", "60", "--disk-spools", "0", "--speed", "60"],
    ));
    wait_until(&shared, "most connect", |seen| seen.streams > 45).await;
    running.end().await;
    let seen = shared.seen.lock().unwrap();
    let off = seen
        .skews_ms
        .iter()
        .filter(|skew| skew.abs() > 300_000)
        .count();
    assert!((1..8).contains(&off), "{:?}", seen.skews_ms);
    assert!(
        seen.skews_ms
            .iter()
            .filter(|skew| skew.abs() < 30_000)
            .count()
            > 40
    );
}

#[tokio::test]
async fn a_used_up_token_leaves_the_enrolled_ones_running() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, address, token) = collector(5).await;
    let running = begin(options(
        folder.path(),
        &address,
        &token,
        &["--devices", "20", "--seed", "2"],
    ));
    wait_until(&shared, "five report", |seen| seen.reports.len() >= 5).await;
    running.end().await;
    let seen = shared.seen.lock().unwrap();
    assert_eq!((seen.enrolled, seen.uses), (5, 0));
}

#[tokio::test]
async fn it_counts_for_a_time_and_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (shared, address, token) = collector(10).await;
    let counting = options(
        folder.path(),
        &address,
        &token,
        &["--devices", "10", "--count-seconds", "3"],
    );
    let ended = tokio::time::timeout(PATIENCE, run(&counting, std::future::pending())).await;
    ended.expect("it ends by itself").unwrap();
    assert!(shared.seen.lock().unwrap().streams > 4);
}

#[tokio::test]
async fn a_folder_in_use_or_of_another_seed_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (_, address, token) = collector(1).await;
    let data = folder.path().join("laptops");
    let held = take_folder(&data, 1).unwrap();
    let error = take_folder(&data, 1).unwrap_err().to_string();
    assert!(
        error.contains("another simulator uses this folder"),
        "{error}"
    );
    drop(held);
    let other = options(
        folder.path(),
        &address,
        &token,
        &["--devices", "1", "--seed", "2"],
    );
    let error = run(&other, std::future::pending())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("seed 1: use --seed 1"), "{error}");
    let missing = Options {
        seed: 1,
        token_file: folder.path().join("none"),
        ..other
    };
    let error = run(&missing, std::future::pending())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("the token file"), "{error}");
}

#[test]
fn options_that_make_no_sense_name_what_would() {
    let parse = |more: &[&str]| {
        let given = [
            "rollcall-simulator",
            "--collector",
            "h:1",
            "--token-file",
            "t",
            "--data",
            "d",
        ];
        Line::try_parse_from(given.iter().chain(more))
            .unwrap_err()
            .to_string()
    };
    assert!(parse(&["--devices", "0"]).contains("--devices"));
    assert!(parse(&["--devices", "1", "--speed", "0"]).contains("0.001 to 100000"));
    assert!(parse(&["--devices", "1", "--count-seconds=-1"]).contains("from 0 to"));
    assert!(parse(&["--devices", "1", "--start", "soon"]).contains("2026-09-01T08:00"));
}
