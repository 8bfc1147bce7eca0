//! A simulated laptop: enrols and streams over the real wire, and does exactly what a story says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rollcall_proto::v1;
use rollcall_proto::v1::agent_service_client::AgentServiceClient;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Sequence, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::refusal::REFUSAL_KEY;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock, Now, SinceBootMs, SystemClock};
use rollcall_shared::tls::{self, Identity, Trust};
use rollcall_shared::token::EnrolmentToken;
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

/// How long a simulated laptop waits for a message.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Longer than any story's history, so that all of it is of the present boot.
const UPTIME_MS: u64 = 400 * 86_400_000;

/// How long before its enrolment a laptop's first report was taken, unless a story says otherwise.
const HISTORY_MS: u64 = 50 * 86_400_000;

/// A laptop that has enrolled.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its identity.
    pub id: DeviceId,
    /// What its Hello says of its hardware.
    pub hardware: v1::Hardware,
    /// Its spool.
    pub spool: SpoolId,
    /// Its present boot.
    pub boot: BootId,
    /// How far its wall clock is ahead of the truth.
    pub skew_ms: i64,
    /// How long before its enrolment its first report was taken, in milliseconds.
    pub history_ms: u64,
    /// The time from one report to the next, in milliseconds.
    pub step_ms: u64,
    /// Its clocks when it enrolled.
    started: Now,
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    roots: Vec<CertificateDer<'static>>,
}

/// An open stream.
#[derive(Debug)]
pub struct Session {
    /// What the collector answered to Hello.
    pub welcome: v1::Welcome,
    /// The last acknowledged sequence.
    pub acknowledged: u64,
    /// The last configuration that came.
    pub configuration: Option<v1::Configuration>,
    up: mpsc::Sender<v1::Up>,
    down: Streaming<v1::Down>,
}

/// A runtime for stories that simulate laptops.
///
/// # Panics
/// When the system has no threads left.
#[must_use]
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(2).enable_all().build();
    built.expect("a runtime can be built")
}

impl Device {
    /// Enrols a laptop with this serial number.
    ///
    /// # Errors
    /// What the collector answers.
    pub async fn enroll(collector: SocketAddr, token: &str, serial: &str) -> Result<Self, Status> {
        let token: EnrolmentToken = token.parse().map_err(refused)?;
        let key = KeyPair::generate().map_err(refused)?;
        let request = CertificateParams::default()
            .serialize_request(&key)
            .map_err(refused)?;
        let fingerprint =
            HardwareFingerprint::from_serials(Some(serial), Some(serial), Some(serial));
        let hardware = v1::Hardware {
            vendor: "Simulated".to_owned(),
            model: format!("Simulated {serial}"),
            ..v1::Hardware::from(&fingerprint)
        };
        let config = tls::client_config(Trust::Pinned(token.authority), None).map_err(refused)?;
        let channel = connect(collector, config).await?;
        let mut client = AgentServiceClient::new(channel);
        let request = v1::EnrollRequest {
            token_secret: token.secret.as_bytes().to_vec(),
            signing_request: request.der().to_vec(),
            hardware: Some(hardware.clone()),
            agent_version: "0.0.0-simulated".to_owned(),
        };
        let response = client.enroll(request).await?.into_inner();
        let certificates =
            |ders: Vec<Vec<u8>>| ders.into_iter().map(CertificateDer::from).collect();
        Ok(Self {
            id: DeviceId::try_from(&response.device[..]).map_err(refused)?,
            hardware,
            spool: SpoolId::generate(),
            boot: BootId::generate(),
            skew_ms: 0,
            history_ms: HISTORY_MS,
            step_ms: 1000,
            started: Now {
                since_boot: SinceBootMs(SystemClock.now().since_boot.0 + UPTIME_MS),
                ..SystemClock.now()
            },
            chain: certificates(response.certificate_chain),
            key: key.serialize_der(),
            roots: certificates(response.authority_roots),
        })
    }

    /// A connection with this laptop's certificate.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn client(
        &self,
        collector: SocketAddr,
    ) -> Result<AgentServiceClient<Channel>, Status> {
        Ok(AgentServiceClient::new(
            connect(collector, self.tls()?).await?,
        ))
    }

    /// How this laptop speaks TLS.
    ///
    /// # Errors
    /// Never with a certificate that a collector gave.
    pub fn tls(&self) -> Result<ClientConfig, Status> {
        let identity = Identity {
            chain: self.chain.clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())),
        };
        tls::client_config(Trust::Roots(self.roots.clone()), Some(identity)).map_err(refused)
    }

    /// Opens a stream, says Hello and waits for the Welcome.
    ///
    /// # Errors
    /// What the collector answers.
    pub async fn open(&self, collector: SocketAddr, next: u64) -> Result<Session, Status> {
        let mut client = self.client(collector).await?;
        let (up, messages) = mpsc::channel(16);
        let hello = v1::up::Message::Hello(self.hello(next));
        send(&up, hello).await?;
        let down = client
            .stream(ReceiverStream::new(messages))
            .await?
            .into_inner();
        let mut session = Session {
            welcome: v1::Welcome::default(),
            acknowledged: 0,
            configuration: None,
            up,
            down,
        };
        while session.welcome.server_time_ms == 0 {
            session.receive().await?;
        }
        Ok(session)
    }

    /// The first message of a stream.
    #[must_use]
    pub fn hello(&self, next: u64) -> v1::Hello {
        v1::Hello {
            agent_version: "0.0.0-simulated".to_owned(),
            sent: Some((&self.now()).into()),
            spool: self.spool.as_bytes().to_vec(),
            next_sequence: next,
            hardware: Some(self.hardware.clone()),
            configuration_revision: 0,
        }
    }

    /// This moment by the laptop's clocks; it booted 400 days before this machine.
    #[must_use]
    pub fn now(&self) -> Taken {
        let now = SystemClock.now();
        let since_boot = SinceBootMs(now.since_boot.0 + UPTIME_MS);
        let wall = now.wall.plus_ms(self.skew_ms);
        Taken::at(Now { wall, since_boot }, self.boot)
    }

    /// When a report was taken.
    fn taken(&self, sequence: u64) -> Taken {
        let now = self.now();
        let start = self.started.since_boot.0 - self.history_ms;
        let since_boot = SinceBootMs(start + sequence * self.step_ms);
        let ago = i64::try_from(now.since_boot.since(since_boot).as_millis()).unwrap_or(i64::MAX);
        let wall = now.wall.plus_ms(-ago);
        Taken::at(Now { wall, since_boot }, self.boot)
    }

    /// A report whose battery has as many cycles as its sequence: so that each can
    /// be told from every other in the series that the collector keeps.
    #[must_use]
    pub fn report(&self, sequence: u64) -> Report {
        let cycles = u32::try_from(sequence).unwrap_or(u32::MAX);
        Report {
            sequence: Sequence(sequence),
            taken: self.taken(sequence),
            full: sequence == 1,
            urgent: false,
            readings: vec![
                Reading::number(&metric::BATTERY_CYCLES, "BAT0", f64::from(cycles)),
                Reading::number(&metric::BATTERY_CHARGE, "BAT0", 0.5),
            ],
        }
    }

    /// The message that carries these reports.
    #[must_use]
    pub fn reports(&self, reports: Vec<v1::Report>) -> v1::up::Message {
        v1::up::Message::Reports(v1::Reports {
            sent: Some((&self.now()).into()),
            reports,
        })
    }
}

impl Session {
    /// Sends a message.
    ///
    /// # Errors
    /// When the stream is closed.
    pub async fn send(&self, message: v1::up::Message) -> Result<(), Status> {
        send(&self.up, message).await
    }

    /// Waits for one message and takes it into account.
    ///
    /// # Errors
    /// How the collector ended the stream, or that nothing came in time.
    pub async fn receive(&mut self) -> Result<v1::down::Message, Status> {
        let next = tokio::time::timeout(ANSWER_LIMIT, self.down.message()).await;
        let next = next.map_err(|_| Status::deadline_exceeded("no message in time"))??;
        let ended = || Status::aborted("the collector ended the stream");
        let message = next.and_then(|down| down.message).ok_or_else(ended)?;
        match &message {
            v1::down::Message::Welcome(welcome) => self.welcome = *welcome,
            v1::down::Message::Ack(ack) => self.acknowledged = ack.sequence,
            v1::down::Message::Configuration(configuration) => {
                self.configuration = Some(configuration.clone());
            }
            v1::down::Message::SlowDown(_) | v1::down::Message::Retire(_) => {}
        }
        Ok(message)
    }

    /// Waits until everything up to a sequence is acknowledged.
    ///
    /// # Errors
    /// As [`Session::receive`].
    pub async fn acknowledged(&mut self, sequence: u64) -> Result<(), Status> {
        while self.acknowledged < sequence {
            self.receive().await?;
        }
        Ok(())
    }
}

/// The word of the refusal that a status carries.
#[must_use]
pub fn refusal(status: &Status) -> Option<&str> {
    status.metadata().get(REFUSAL_KEY)?.to_str().ok()
}

async fn send(up: &mpsc::Sender<v1::Up>, message: v1::up::Message) -> Result<(), Status> {
    let up_message = v1::Up {
        message: Some(message),
    };
    let sent = up.send(up_message).await;
    sent.map_err(|_| Status::aborted("the stream is closed"))
}

async fn connect(collector: SocketAddr, config: ClientConfig) -> Result<Channel, Status> {
    let connector = TlsConnector::from(Arc::new(config));
    let endpoint = Endpoint::from_shared(format!("https://{collector}")).map_err(refused)?;
    let dial = tower::service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(collector).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::IpAddress(collector.ip().into());
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let endpoint = endpoint.connect_timeout(ANSWER_LIMIT);
    let channel = endpoint.connect_with_connector(dial).await;
    channel.map_err(|error| Status::unavailable(chain_of(&error)))
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn refused(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}
