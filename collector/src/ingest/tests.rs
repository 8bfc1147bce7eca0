use std::sync::atomic::Ordering;

use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rollcall_proto::v1::agent_service_client::AgentServiceClient;
use rollcall_proto::v1::down::Message as Said;
use rollcall_proto::v1::up::Message as Heard;
use rollcall_shared::id::{BootId, DeviceId};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::refusal::REFUSAL_KEY;
use rollcall_shared::time::{Clock as _, SystemClock};
use rollcall_shared::tls::{Identity, Trust};
use rollcall_shared::token::TokenSecret;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::authority::ServerNames;
use crate::device::{SeriesKey, Standing};
use crate::store::{EnrolmentTokenRecord, StoreOptions, Write};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const PATIENCE: Duration = Duration::from_secs(10);

struct Line {
    _dir: tempfile::TempDir,
    store: Store,
    authority: Arc<Authority>,
    counters: Arc<IngestCounters>,
    configure: watch::Sender<Arc<Configuration>>,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
    address: SocketAddr,
    secret: TokenSecret,
}

/// A laptop with its key.
struct Laptop {
    key: KeyPair,
    serial: &'static str,
    chain: Vec<Vec<u8>>,
}

type Answers = Streaming<v1::Down>;

async fn line() -> Line {
    line_with(StoreOptions {
        reserve_bytes: 0,
        ..StoreOptions::default()
    })
    .await
}

async fn line_with(options: StoreOptions) -> Line {
    line_of(options, limits::CONNECT_TIMEOUT).await
}

async fn line_of(options: StoreOptions, patience: Duration) -> Line {
    let (dir, now) = (tempfile::tempdir().unwrap(), SystemClock.now().wall);
    let names = ServerNames {
        names: Vec::new(),
        addresses: vec!["127.0.0.1".parse().unwrap()],
    };
    let store = Store::create(dir.path(), options, now).unwrap();
    let authority = Arc::new(Authority::create(dir.path(), &names, now).unwrap());
    let secret = TokenSecret::generate();
    store
        .commit(vec![Write::PutToken(token(&secret, now))])
        .await
        .unwrap();
    let (configure, configuration) = watch::channel(Arc::new(Configuration::default()));
    let shutdown = CancellationToken::new();
    let clock = Arc::new(SystemClock);
    let mut ingest = Ingest::new(
        store.clone(),
        Arc::clone(&authority),
        clock,
        configuration,
        shutdown.clone(),
    );
    Arc::get_mut(&mut ingest.shared).unwrap().patience = patience;
    let counters = ingest.counters();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = Arc::new(ArcSwap::from_pointee(tls_config(&authority, now).unwrap()));
    let served = tokio::spawn(ingest.serve(listener, tls, Routes::default()));
    Line {
        _dir: dir,
        store,
        authority,
        counters,
        configure,
        shutdown,
        served,
        address,
        secret,
    }
}

fn token(secret: &TokenSecret, now: UnixMs) -> EnrolmentTokenRecord {
    EnrolmentTokenRecord {
        id: "t1".to_owned(),
        hash: secret.hash(),
        site: "Lincoln".parse().unwrap(),
        group: None,
        uses_left: None,
        uses: 0,
        expires: None,
        revoked: false,
        created: now,
        recent: Vec::new(),
    }
}

impl Line {
    async fn client(&self, laptop: Option<&Laptop>) -> AgentServiceClient<Channel> {
        self.client_by(self.config(laptop)).await.0
    }

    fn config(&self, laptop: Option<&Laptop>) -> Arc<rustls::ClientConfig> {
        let identity = laptop.map(|laptop| Identity {
            chain: laptop.chain.iter().map(|der| der.clone().into()).collect(),
            key: PrivateKeyDer::Pkcs8(laptop.key.serialize_der().into()),
        });
        let trust = Trust::Pinned(self.authority.fingerprint());
        Arc::new(tls::client_config(trust, identity).unwrap())
    }

    /// A client, and whether it resumed a session.
    async fn client_by(
        &self,
        config: Arc<rustls::ClientConfig>,
    ) -> (AgentServiceClient<Channel>, bool) {
        let address = self.address;
        let (resumed, was_resumed) = mpsc::channel(1);
        let connect = tower::service_fn(move |_| {
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
            let resumed = resumed.clone();
            async move {
                let stream = tokio::net::TcpStream::connect(address).await?;
                let name = ServerName::from(address.ip());
                let stream = connector.connect(name, stream).await?;
                let kind = stream.get_ref().1.handshake_kind();
                let _ = resumed.try_send(kind == Some(rustls::HandshakeKind::Resumed));
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("https://collector");
        let channel = endpoint.connect_with_connector(connect).await.unwrap();
        let mut was_resumed = was_resumed;
        let resumed = was_resumed.recv().await == Some(true);
        (AgentServiceClient::new(channel), resumed)
    }

    async fn enrol(
        &self,
        serial: &'static str,
        secret: &[u8],
        old: Option<&Laptop>,
    ) -> Result<(Laptop, DeviceId), Status> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(Vec::new()).unwrap();
        let request = v1::EnrollRequest {
            token_secret: secret.to_vec(),
            signing_request: params.serialize_request(&key).unwrap().der().to_vec(),
            hardware: Some(hardware(serial)),
            agent_version: "0.1.0".to_owned(),
        };
        let answer = self.client(old).await.enroll(request).await?.into_inner();
        let device = DeviceId::try_from(&answer.device[..]).unwrap();
        let chain = answer.certificate_chain;
        Ok((Laptop { key, serial, chain }, device))
    }

    async fn laptop(&self) -> (Laptop, DeviceId) {
        self.enrol("PF1A", self.secret.as_bytes(), None)
            .await
            .unwrap()
    }

    async fn stream(
        &self,
        laptop: &Laptop,
        hello: v1::Hello,
    ) -> Result<(mpsc::Sender<v1::Up>, Answers), Status> {
        let (up, messages) = mpsc::channel(16);
        up.send(v1::Up {
            message: Some(Heard::Hello(hello)),
        })
        .await
        .unwrap();
        let mut client = self.client(Some(laptop)).await;
        let answers = client
            .stream(ReceiverStream::new(messages))
            .await?
            .into_inner();
        Ok((up, answers))
    }
}

fn hardware(serial: &str) -> v1::Hardware {
    let fingerprint = HardwareFingerprint::from_serials(None, Some(serial), None);
    (&fingerprint).into()
}

fn hello(laptop: &Laptop) -> v1::Hello {
    v1::Hello {
        agent_version: "0.2.0".to_owned(),
        sent: Some(moment(0)),
        spool: vec![5; 16],
        next_sequence: 1,
        hardware: Some(hardware(laptop.serial)),
        configuration_revision: 0,
    }
}

fn moment(skew_ms: i64) -> v1::Moment {
    v1::Moment {
        wall_ms: SystemClock.now().wall.0 + skew_ms,
        boot: BootId::from_bytes([9; 16]).as_bytes().to_vec(),
        since_boot_ms: 600_000,
    }
}

fn reports(sequences: std::ops::RangeInclusive<u64>, skew_ms: i64) -> v1::Up {
    let report = |sequence| v1::Report {
        sequence,
        taken: Some(moment(skew_ms)),
        readings: vec![(&Reading::number(&metric::BATTERY_CHARGE, "BAT0", 0.5)).into()],
        ..v1::Report::default()
    };
    let reports = v1::Reports {
        sent: Some(moment(skew_ms)),
        reports: sequences.map(report).collect(),
    };
    v1::Up {
        message: Some(Heard::Reports(reports)),
    }
}

async fn next(answers: &mut Answers) -> Result<Option<Said>, Status> {
    let answer = tokio::time::timeout(PATIENCE, answers.message())
        .await
        .expect("an answer in time");
    Ok(answer?.and_then(|down| down.message))
}

fn refusal(status: &Status) -> Option<Refusal> {
    Refusal::from_word(status.metadata().get(REFUSAL_KEY)?.to_str().ok()?)
}

#[tokio::test]
async fn what_is_acknowledged_is_stored_and_the_second_time_is_the_first() {
    let line = line().await;
    let (laptop, device) = line.laptop().await;
    for round in 0..2 {
        let (up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
        let Some(Said::Welcome(welcome)) = next(&mut answers).await.unwrap() else {
            panic!("no Welcome");
        };
        assert_eq!(welcome.last_stored, round * 5);
        up.send(reports(1..=5, 0)).await.unwrap();
        let ack = next(&mut answers).await.unwrap();
        assert_eq!(ack, Some(Said::Ack(v1::Ack { sequence: 5 })));
        let state = line.store.device(device).unwrap();
        assert!(state.connected);
        assert_eq!(state.device.agent_version, "0.2.0");
    }
    let key = SeriesKey::new(&metric::BATTERY_CHARGE, "BAT0");
    let points = line
        .store
        .series(device, &key, UnixMs(0), UnixMs(i64::MAX / 2))
        .unwrap();
    assert_eq!(points.len(), 5);
    assert_eq!(line.store.counters().duplicates, 5);
}

#[tokio::test]
async fn ten_years_of_skew_keep_no_laptop_out_and_are_told() {
    let line = line().await;
    let (laptop, device) = line.laptop().await;
    let (up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut answers).await.unwrap();
    let ten_years = 3650 * 86_400_000;
    up.send(reports(1..=1, -ten_years)).await.unwrap();
    next(&mut answers).await.unwrap();
    let state = line.store.device(device).unwrap();
    let offset = state
        .get(&metric::CLOCK_OFFSET, "")
        .unwrap()
        .value
        .as_number()
        .unwrap();
    assert!((offset + 315_360_000.0).abs() < 10.0, "{offset}");
    let age = SystemClock.now().wall.since(state.last_report.unwrap());
    assert!((0..10_000).contains(&age), "{age}");
}

#[tokio::test]
async fn revocation_ends_an_open_stream_and_retirement_says_so() {
    for (standing, retired) in [(Standing::Revoked, false), (Standing::Retired, true)] {
        let line = line().await;
        let (laptop, device) = line.laptop().await;
        let (_up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
        next(&mut answers).await.unwrap();
        let mut record = line.store.device(device).unwrap().device.clone();
        record.standing = standing;
        line.store
            .commit(vec![Write::PutDevice(record)])
            .await
            .unwrap();
        let end = next(&mut answers).await;
        if retired {
            assert!(matches!(end, Ok(Some(Said::Retire(_)))), "{end:?}");
        } else {
            assert_eq!(refusal(&end.unwrap_err()), Some(Refusal::DeviceRevoked));
            assert_eq!(line.store.audit(1).unwrap()[0].outcome, "device-revoked");
        }
        let again = line.stream(&laptop, hello(&laptop)).await.unwrap_err();
        let expected = if retired {
            Refusal::DeviceRetired
        } else {
            Refusal::DeviceRevoked
        };
        assert_eq!(refusal(&again), Some(expected));
    }
}

/// A resumed session asks no authority about the certificate; it is judged all the same.
#[tokio::test]
async fn a_session_is_resumed_and_a_revoked_device_is_refused_on_it() {
    for standing in [Standing::Revoked, Standing::Retired] {
        let line = line().await;
        let (laptop, device) = line.laptop().await;
        let config = line.config(Some(&laptop));
        let open = async || {
            let (mut client, resumed) = line.client_by(Arc::clone(&config)).await;
            let (up, messages) = mpsc::channel(16);
            let hello = Heard::Hello(hello(&laptop));
            up.send(v1::Up {
                message: Some(hello),
            })
            .await
            .unwrap();
            let opened = client.stream(ReceiverStream::new(messages)).await;
            (opened.map(|answers| (up, answers.into_inner())), resumed)
        };
        for expected in [false, true, true] {
            let (opened, resumed) = open().await;
            let (_up, mut answers) = opened.unwrap();
            assert!(matches!(
                next(&mut answers).await,
                Ok(Some(Said::Welcome(_)))
            ));
            assert_eq!(resumed, expected);
            let state = line.store.device(device).unwrap();
            assert!(state.connected, "it is known by its certificate");
        }
        let mut record = line.store.device(device).unwrap().device.clone();
        record.standing = standing;
        line.store
            .commit(vec![Write::PutDevice(record)])
            .await
            .unwrap();
        let (opened, resumed) = open().await;
        assert!(resumed, "it has a ticket");
        assert_eq!(refusal(&opened.unwrap_err()), standing.refusal());
    }
}

/// What a laptop's own connection carries beside its stream, and what it may not.
#[tokio::test]
async fn a_laptop_renews_beside_its_stream() {
    let line = line().await;
    let (laptop, _) = line.laptop().await;
    let mut client = line.client(Some(&laptop)).await;
    let (up, messages) = mpsc::channel(16);
    up.send(v1::Up {
        message: Some(Heard::Hello(hello(&laptop))),
    })
    .await
    .unwrap();
    let streaming = client.stream(ReceiverStream::new(messages)).await.unwrap();
    let mut answers = streaming.into_inner();
    next(&mut answers).await.unwrap();
    let params = CertificateParams::new(Vec::new()).unwrap();
    let signing_request = params.serialize_request(&laptop.key).unwrap();
    let request = v1::RenewRequest {
        signing_request: signing_request.der().to_vec(),
    };
    let renewed = client.renew(request).await.unwrap().into_inner();
    assert!(!renewed.certificate_chain.is_empty());
    let long = v1::RenewRequest {
        signing_request: vec![0; 100_000],
    };
    let told = client.renew(long).await.unwrap_err();
    assert_eq!(told.code(), Code::OutOfRange);
    up.send(reports(1..=2, 0)).await.unwrap();
    let ack = next(&mut answers).await.unwrap();
    assert_eq!(ack, Some(Said::Ack(v1::Ack { sequence: 2 })));
}

#[tokio::test]
async fn a_clone_is_told_and_enrols_by_its_certificate() {
    let line = line().await;
    let (laptop, device) = line.laptop().await;
    let (_up, mut first) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut first).await.unwrap();

    let mut on_other_hardware = hello(&laptop);
    on_other_hardware.hardware = Some(hardware("PF1B"));
    let (_clones, mut answers) = line.stream(&laptop, on_other_hardware).await.unwrap();
    let told = next(&mut answers).await.unwrap_err();
    assert_eq!(refusal(&told), Some(Refusal::HardwareDiffers));
    let (clone, own) = line.enrol("PF1B", &[], Some(&laptop)).await.unwrap();
    assert_ne!(own, device);
    let (_up, mut answers) = line.stream(&clone, hello(&clone)).await.unwrap();
    assert!(matches!(
        next(&mut answers).await,
        Ok(Some(Said::Welcome(_)))
    ));
    assert!(
        line.store.device(device).unwrap().connected,
        "the first is not evicted"
    );
}

/// Two machines that were imaged from one disk and tell no serial number.
#[tokio::test]
async fn a_clone_without_serials_is_told_by_its_boot_and_enrols_by_its_certificate() {
    let line = line().await;
    let (laptop, device) = line.laptop().await;
    let of_boot = |laptop: &Laptop, boot: u8| {
        let mut hello = hello(laptop);
        hello.hardware = None;
        hello.sent.as_mut().unwrap().boot = vec![boot; 16];
        hello
    };
    let (_first, mut first) = line.stream(&laptop, of_boot(&laptop, 1)).await.unwrap();
    next(&mut first).await.unwrap();
    let (_second, mut second) = line.stream(&laptop, of_boot(&laptop, 2)).await.unwrap();
    let welcome = next(&mut second).await.unwrap();
    assert!(
        matches!(welcome, Some(Said::Welcome(_))),
        "it may have been started anew"
    );
    assert_eq!(next(&mut first).await.unwrap_err().code(), Code::Aborted);
    let too_early = line.enrol("PF1A", &[], Some(&laptop)).await.err().unwrap();
    assert_eq!(refusal(&too_early), Some(Refusal::TokenUnknown));

    let (_again, mut again) = line.stream(&laptop, of_boot(&laptop, 1)).await.unwrap();
    let told = next(&mut again).await.unwrap_err();
    assert_eq!(refusal(&told), Some(Refusal::HardwareDiffers));
    let (clone, own) = line.enrol("PF1A", &[], Some(&laptop)).await.unwrap();
    assert_ne!(own, device);
    let (_up, mut answers) = line.stream(&clone, of_boot(&clone, 1)).await.unwrap();
    assert!(matches!(
        next(&mut answers).await,
        Ok(Some(Said::Welcome(_)))
    ));
    assert!(line.store.device(device).unwrap().connected);
}

#[tokio::test]
async fn a_configuration_comes_at_connection_and_on_change() {
    let line = line().await;
    let (laptop, _) = line.laptop().await;
    let revision = |revision| Configuration {
        revision,
        ..Configuration::default()
    };
    line.configure.send_replace(Arc::new(revision(3)));
    let (_up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut answers).await.unwrap();
    for expected in [3, 4] {
        let Some(Said::Configuration(sent)) = next(&mut answers).await.unwrap() else {
            panic!("no configuration");
        };
        assert_eq!(sent.revision, expected);
        line.configure.send_replace(Arc::new(revision(4)));
    }
}

#[tokio::test]
async fn each_bad_message_has_its_answer_and_harms_nothing() {
    let line = line().await;
    let (laptop, device) = line.laptop().await;
    let nobody = line
        .client(None)
        .await
        .stream(tokio_stream::empty())
        .await
        .unwrap_err();
    assert_eq!(refusal(&nobody), Some(Refusal::CertificateMissing));

    let mut short = hello(&laptop);
    short.spool.pop();
    let (_up, mut answers) = line.stream(&laptop, short).await.unwrap();
    assert_eq!(
        refusal(&next(&mut answers).await.unwrap_err()),
        Some(Refusal::MessageMalformed)
    );

    let (up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut answers).await.unwrap();
    let mut poison = reports(1..=3, 0);
    if let Some(Heard::Reports(reports)) = &mut poison.message {
        reports.reports[2].taken = None;
    }
    up.send(poison).await.unwrap();
    let ack = next(&mut answers).await.unwrap();
    assert_eq!(
        ack,
        Some(Said::Ack(v1::Ack { sequence: 3 })),
        "it would come again for ever"
    );
    let mut large = reports(4..=4, 0);
    if let Some(Heard::Reports(reports)) = &mut large.message {
        let text = v1::reading::Value::Text("x".repeat(limits::MESSAGE_BYTES));
        reports.reports[0].readings[0].value = Some(text);
    }
    up.send(large).await.unwrap();
    assert_eq!(
        next(&mut answers).await.unwrap_err().code(),
        Code::OutOfRange
    );

    let counters = &line.counters;
    assert_eq!(counters.of(Reason::ReportMalformed), 1);
    assert_eq!(counters.of(Reason::MessageUnreadable), 1);
    assert_eq!(counters.of(Reason::MessageOutOfTurn), 1);
    assert_eq!(counters.refused(Refusal::CertificateMissing), 1);
    let state = line.store.device(device).unwrap();
    assert_eq!(state.latest.len(), 2, "charge and offset");
}

/// What a laptop may send, the store must be able to read again: the collector adds the offset of the
/// clock to it.
#[tokio::test]
async fn a_report_as_full_as_it_may_be_can_be_read_again() {
    let line = line().await;
    let (laptop, device) = line.laptop().await;
    let (up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut answers).await.unwrap();
    let mut full = reports(1..=1, 0);
    if let Some(Heard::Reports(reports)) = &mut full.message {
        let reading = |n: usize| Reading::number(&metric::BATTERY_CHARGE, &n.to_string(), 0.5);
        let readings = (0..limits::READINGS_PER_REPORT).map(|n| (&reading(n)).into());
        reports.reports[0].readings = readings.collect();
    }
    up.send(full).await.unwrap();
    let ack = next(&mut answers).await.unwrap();
    assert_eq!(ack, Some(Said::Ack(v1::Ack { sequence: 1 })));
    let key = SeriesKey::new(&metric::BATTERY_CHARGE, "7");
    let read = line
        .store
        .series(device, &key, UnixMs(0), UnixMs(i64::MAX / 2));
    assert_eq!(read.unwrap().len(), 1);
    line.store.seal(SystemClock.now().wall).await.unwrap();
}

#[tokio::test]
async fn a_wrong_token_and_another_authority_are_audited() {
    let (line, other) = (line().await, line().await);
    let wrong = line.enrol("PF1A", other.secret.as_bytes(), None).await;
    assert_eq!(refusal(&wrong.err().unwrap()), Some(Refusal::TokenUnknown));
    assert_eq!(line.store.audit(1).unwrap()[0].outcome, "token-unknown");
    let (stranger, _) = other.laptop().await;
    let config = {
        let identity = Identity {
            chain: stranger
                .chain
                .iter()
                .map(|der| der.clone().into())
                .collect(),
            key: PrivateKeyDer::Pkcs8(stranger.key.serialize_der().into()),
        };
        tls::client_config(Trust::Pinned(line.authority.fingerprint()), Some(identity)).unwrap()
    };
    let stream = tokio::net::TcpStream::connect(line.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::from(line.address.ip());
    if let Ok(mut stream) = connector.connect(name, stream).await {
        // In TLS 1.3 the client learns of its refusal with the first byte that it reads.
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
        assert!(read.is_err());
    }
    let audited = async {
        while line.store.audit(1).unwrap()[0].outcome != "handshake-failed" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, audited)
        .await
        .expect("an audit line in time");
    assert_eq!(line.counters.of(Reason::Handshake), 1);
}

#[tokio::test]
async fn wrong_tokens_keep_no_right_one_out_and_a_flood_hides_no_other_refusal() {
    let line = line().await;
    let (stranger, now) = (Peer::stranger(), SystemClock.now().wall);
    let shared = Ingest::new(
        line.store.clone(),
        Arc::clone(&line.authority),
        Arc::new(SystemClock),
        watch::channel(Arc::new(Configuration::default())).1,
        CancellationToken::new(),
    )
    .shared;
    for _ in 0..200 {
        let wrong = shared
            .refuse(Refusal::TokenUnknown, stranger, "enroll")
            .await;
        assert_eq!(refusal(&wrong), Some(Refusal::TokenUnknown));
    }
    shared
        .refuse(Refusal::DeviceRevoked, stranger, "stream")
        .await;
    assert_eq!(line.store.audit(1).unwrap()[0].outcome, "device-revoked");
    assert_eq!(shared.counters.of(Reason::AuditSuppressed), 180);

    let request = |secret: &[u8]| v1::EnrollRequest {
        token_secret: secret.to_vec(),
        ..v1::EnrollRequest::default()
    };
    let wrong = shared.enrol(stranger, &request(&[7; 24]), now).await;
    assert_eq!(wrong.unwrap_err(), Refusal::TooMany);
    let right = shared
        .enrol(stranger, &request(line.secret.as_bytes()), now)
        .await;
    assert_eq!(
        right.unwrap_err(),
        Refusal::RequestMalformed,
        "it came that far"
    );
}

/// Strangers who take every place they can get keep no laptop of the fleet out.
#[tokio::test]
async fn strangers_take_no_place_of_the_fleet() {
    let line = line().await;
    let (laptop, _) = line.laptop().await;
    let trust = Trust::Pinned(line.authority.fingerprint());
    let config = Arc::new(tls::client_config(trust, None).unwrap());
    let mut strangers = Vec::new();
    while line.counters.of(Reason::TooManyStrangers) == 0 {
        assert!(strangers.len() <= accept::STRANGERS + 8, "all were let in");
        let stream = tokio::net::TcpStream::connect(line.address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&config));
        let name = ServerName::from(line.address.ip());
        strangers.push(connector.connect(name, stream).await.unwrap());
    }
    let (_up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    let welcome = next(&mut answers).await.unwrap();
    assert!(matches!(welcome, Some(Said::Welcome(_))), "{welcome:?}");
}

/// Whoever connects without a certificate has little time, until it was given something.
#[tokio::test]
async fn a_stranger_that_is_given_nothing_keeps_no_place() {
    let options = StoreOptions {
        reserve_bytes: 0,
        ..StoreOptions::default()
    };
    let patience = Duration::from_millis(500);
    let line = line_of(options, patience).await;
    let connections = |count| {
        let line = &line;
        async move {
            while line.counters.connections.load(Ordering::Relaxed) != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    let request = |secret: &[u8]| {
        let (key, params) = (
            KeyPair::generate().unwrap(),
            CertificateParams::new(Vec::new()).unwrap(),
        );
        v1::EnrollRequest {
            token_secret: secret.to_vec(),
            signing_request: params.serialize_request(&key).unwrap().der().to_vec(),
            ..v1::EnrollRequest::default()
        }
    };
    let _silent = line.client(None).await;
    let mut wrong = line.client(None).await;
    wrong.enroll(request(&[7; 24])).await.unwrap_err();
    let mut right = line.client(None).await;
    right.enroll(request(line.secret.as_bytes())).await.unwrap();
    let (laptop, _) = line.laptop().await;
    let _fleet = line.client(Some(&laptop)).await;
    tokio::time::timeout(PATIENCE, connections(2))
        .await
        .expect("the silent and the wrong one go in time");
    assert_eq!(line.counters.of(Reason::StrangerSilent), 2);
    tokio::time::sleep(2 * patience).await;
    right.enroll(request(line.secret.as_bytes())).await.unwrap();
    let stayed = line.counters.connections.load(Ordering::Relaxed);
    assert_eq!((stayed, line.counters.of(Reason::StrangerSilent)), (2, 2));
}

#[tokio::test]
async fn a_strangers_request_is_short() {
    let line = line().await;
    let long = v1::EnrollRequest {
        signing_request: vec![0; CALL_BYTES],
        ..v1::EnrollRequest::default()
    };
    let told = line.client(None).await.enroll(long).await.unwrap_err();
    assert_eq!((told.code(), refusal(&told)), (Code::OutOfRange, None));
}

impl Peer {
    fn stranger() -> Self {
        Self {
            address: "192.0.2.9:40000".parse().unwrap(),
            certificate: None,
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_acknowledged() {
    let line = line_with(StoreOptions {
        reserve_bytes: u64::MAX,
        ..StoreOptions::default()
    })
    .await;
    let (laptop, _) = line.laptop().await;
    let (up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut answers).await.unwrap();
    up.send(reports(1..=1, 0)).await.unwrap();
    let told = next(&mut answers).await.unwrap_err();
    assert_eq!(
        (told.code(), refusal(&told)),
        (Code::Unavailable, Some(Refusal::StoreUnavailable))
    );
}

#[tokio::test]
async fn a_shutdown_ends_streams_and_serving() {
    let line = line().await;
    let (laptop, _) = line.laptop().await;
    let (_up, mut answers) = line.stream(&laptop, hello(&laptop)).await.unwrap();
    next(&mut answers).await.unwrap();
    line.shutdown.cancel();
    assert_eq!(
        next(&mut answers).await.unwrap_err().code(),
        Code::Unavailable
    );
    let ended = tokio::time::timeout(PATIENCE, line.served)
        .await
        .expect("an end in time");
    ended.unwrap().unwrap();
    assert_eq!(line.counters.streams.load(Ordering::Relaxed), 0);
}
