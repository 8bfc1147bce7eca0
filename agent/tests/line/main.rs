//! The agent from enrolment to acknowledgement, against a collector that speaks the real wire.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod collector;
mod proxy;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message as _;
use rollcall_agent::agent::{Agent, Setup, TokenSource};
use rollcall_agent::collect::Roots;
use rollcall_agent::config::AgentConfig;
use rollcall_agent::identity::issue::{CallError, Credential, enroll};
use rollcall_agent::identity::{Identity, Machine};
use rollcall_agent::paths::Paths;
use rollcall_agent::spool::{Spool, SpoolLimits};
use rollcall_agent::status::Status;
use rollcall_agent::stream::address::Proxy;
use rollcall_agent::stream::connector::{ConnectError, Connector};
use rollcall_proto::v1;
use rollcall_shared::id::{BootId, DeviceId, Sequence};
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::{Clock, Now, SinceBootMs, SystemClock};
use rollcall_shared::token::{EnrolmentToken, TokenSecret};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use collector::Collector;

/// A laptop: a data folder and a tree of sources with a mainboard's serial number in it.
struct Laptop {
    folder: TempDir,
}

/// A laptop's clocks: the wall clock wrong by years, the time since boot ahead by what it slept.
#[derive(Default)]
struct ShiftedClock {
    wall_ms: i64,
    asleep_ms: AtomicU64,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Now {
        let Now { wall, since_boot } = SystemClock.now();
        let asleep_ms = self.asleep_ms.load(Ordering::Relaxed);
        Now {
            wall: wall.plus_ms(self.wall_ms),
            since_boot: SinceBootMs(since_boot.0 + asleep_ms),
        }
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Laptop {
    fn new(board: &str) -> Self {
        let laptop = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        laptop.set_board(board);
        laptop
    }

    /// Puts the disk's content onto other hardware.
    fn clone_to(&self, board: &str) -> Self {
        let clone = Self::new(board);
        copy_folder(self.paths().data(), clone.paths().data());
        clone
    }

    fn set_board(&self, board: &str) {
        let dmi = self.folder.path().join("root/sys/class/dmi/id");
        fs::create_dir_all(&dmi).unwrap();
        fs::write(dmi.join("product_uuid"), board).unwrap();
    }

    fn paths(&self) -> Paths {
        Paths::new(self.folder.path().join("data"))
    }

    fn roots(&self) -> Roots {
        Roots::under(&self.folder.path().join("root"))
    }

    fn config(&self, collector: &Collector) -> AgentConfig {
        let text = format!("collector = \"{}\"", collector.address);
        AgentConfig::parse(&text, Path::new("agent.toml")).unwrap()
    }

    fn start(&self, collector: &Collector, token: Option<&EnrolmentToken>) -> Running {
        self.start_with(self.config(collector), token)
    }

    fn start_with(&self, config: AgentConfig, token: Option<&EnrolmentToken>) -> Running {
        self.start_by(Arc::new(SystemClock), config, token)
    }

    fn start_by(
        &self,
        clock: Arc<dyn Clock>,
        config: AgentConfig,
        token: Option<&EnrolmentToken>,
    ) -> Running {
        let token = TokenSource {
            given: token.cloned(),
            ..TokenSource::default()
        };
        let setup = Setup {
            paths: self.paths(),
            config,
            roots: self.roots(),
            token,
        };
        let agent = Agent::build(setup, clock).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(agent.run(async {
            let _ = stopped.await;
        }));
        Running { stop, task }
    }

    fn device(&self) -> DeviceId {
        Identity::load(&self.paths()).unwrap().unwrap().device()
    }

    fn fill_spool(&self, reports: u64) {
        let (mut spool, _) = Spool::open(&self.paths().spool(), SpoolLimits::default()).unwrap();
        for _ in 0..reports {
            let taken = v1::Moment {
                boot: BootId::generate().as_bytes().to_vec(),
                ..v1::Moment::default()
            };
            let report = v1::Report {
                taken: Some(taken),
                ..v1::Report::default()
            };
            spool.append(&report.encode_to_vec()).unwrap();
        }
    }

    async fn wait_for_status(&self, what: &str, so: impl Fn(&Status) -> bool) {
        let file = self.paths().status();
        for _ in 0..600 {
            if Status::load(&file).is_ok_and(|status| so(&status)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: not within 30 s: {:?}", Status::load(&file));
    }

    async fn wait_for_problem(&self, words: &str) {
        let has = |status: &Status| {
            status
                .last_error
                .as_ref()
                .is_some_and(|e| e.words.contains(words))
        };
        self.wait_for_status(words, has).await;
    }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(2), self.task)
            .await
            .expect("within 2 s")
            .unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn contiguous(sequences: &[u64]) -> bool {
    sequences.iter().zip(1..).all(|(a, b)| *a == b)
}

#[tokio::test]
async fn a_laptop_enrols_streams_and_resumes_without_sending_again() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("three reports", |state| state.only_spool().len() >= 3)
        .await;
    laptop
        .wait_for_status("connected", |s| {
            s.connected && s.last_ack.is_some() && s.configuration_revision == 7
        })
        .await;
    running.stop().await;
    let status = Status::load(&laptop.paths().status()).unwrap();
    assert_eq!(status.device, Some(laptop.device().to_string()));
    assert!(!status.connected, "it says so when it stops");
    assert!(
        laptop.paths().configuration().exists(),
        "it goes on by it while offline"
    );

    let before = collector.state().only_spool().len();
    let running = laptop.start(&collector, None);
    collector
        .wait_until("more reports", |state| {
            state.only_spool().len() >= before + 2
        })
        .await;
    running.stop().await;
    let state = collector.state();
    assert!(contiguous(state.only_spool()), "{:?}", state.only_spool());
    assert_eq!((state.enrolled, state.repeated), (1, 0));
    assert!(
        state.full_reports >= 2,
        "the first report after each start is a full one"
    );
}

#[tokio::test]
async fn a_backlog_arrives_once_in_order_within_the_credit_through_lost_connections() {
    let collector = Collector::start().await;
    {
        let mut state = collector.state();
        state.credit = 10;
        state.configuration = None;
        state.messages_per_stream = Some(30);
    }
    let laptop = Laptop::new("board-1");
    laptop.fill_spool(700);
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("the backlog", |state| state.only_spool().len() >= 700)
        .await;
    collector.state().messages_per_stream = None;
    running.stop().await;
    let state = collector.state();
    assert!(contiguous(state.only_spool()));
    assert_eq!((state.repeated, state.over_credit), (0, 0));
    assert!(state.greeted >= 3, "{} streams", state.greeted);
}

#[tokio::test]
async fn what_was_acknowledged_leaves_the_spool() {
    let collector = Collector::start().await;
    collector.state().configuration = None;
    let laptop = Laptop::new("board-1");
    laptop.fill_spool(50);
    let running = laptop.start(&collector, Some(&collector.token));
    laptop
        .wait_for_status("all acknowledged", |s| s.spool.waiting == 0 && s.connected)
        .await;
    running.stop().await;
    let (spool, _) = Spool::open(&laptop.paths().spool(), SpoolLimits::default()).unwrap();
    assert!(spool.position().next > Sequence(50));
}

#[tokio::test]
async fn a_lost_collector_is_found_again() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    let running = laptop.start(&collector, Some(&collector.token));
    for round in 1..=3 {
        collector
            .wait_until("a stream", |state| state.greeted >= round)
            .await;
        collector.kick();
    }
    collector
        .wait_until("reports", |state| state.only_spool().len() >= 3)
        .await;
    running.stop().await;
    assert_eq!(collector.state().repeated, 0);
}

#[tokio::test]
async fn a_laptop_that_wakes_up_leaves_the_old_connection() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    let clock = Arc::new(ShiftedClock::default());
    let config = laptop.config(&collector);
    let running = laptop.start_by(Arc::clone(&clock) as _, config, Some(&collector.token));
    laptop
        .wait_for_status("connected", |status| status.connected)
        .await;
    assert_eq!(collector.state().greeted, 1);
    clock.asleep_ms.store(8 * 3_600_000, Ordering::Relaxed);
    collector
        .wait_until("a new stream", |state| state.greeted == 2)
        .await;
    running.stop().await;
    assert_eq!(collector.state().repeated, 0);
}

#[tokio::test]
async fn ten_years_of_clock_skew_keep_no_laptop_out() {
    const TEN_YEARS_MS: i64 = 3652 * 86_400_000;
    let collector = Collector::start().await;
    for (board, wall_ms) in [("board-1", TEN_YEARS_MS), ("board-2", -TEN_YEARS_MS)] {
        let laptop = Laptop::new(board);
        let clock = Arc::new(ShiftedClock {
            wall_ms,
            ..ShiftedClock::default()
        });
        let config = laptop.config(&collector);
        let running = laptop.start_by(clock, config, Some(&collector.token));
        let noticed = |status: &Status| {
            let skew_ms = status.clock_skew_ms.unwrap_or(0);
            status.last_ack.is_some() && (skew_ms - wall_ms).abs() < 60_000
        };
        laptop
            .wait_for_status("acknowledged, and the skew is known", noticed)
            .await;
        running.stop().await;
    }
    assert_eq!(
        collector.state().renewed,
        0,
        "the collector's clock tells when to renew"
    );
}

#[tokio::test]
async fn a_clone_takes_an_identity_of_its_own() {
    let collector = Collector::start().await;
    let original = Laptop::new("board-1");
    let running = original.start(&collector, Some(&collector.token));
    collector
        .wait_until("a report", |state| !state.only_spool().is_empty())
        .await;
    running.stop().await;
    let device = original.device();

    let clone = original.clone_to("board-2");
    let own_reports = fs::read_dir(clone.paths().spool()).unwrap().count();
    assert!(own_reports >= 2, "the clone has inherited a spool");
    let running = clone.start(&collector, None);
    collector
        .wait_until("the clone's spool", |state| state.stored.len() == 2)
        .await;
    running.stop().await;
    assert_ne!(clone.device(), device);
    let back = original.start(&collector, None);
    original
        .wait_for_status("the original is connected", |status| status.connected)
        .await;
    back.stop().await;
    assert_eq!(original.device(), device, "nobody is evicted");
    let state = collector.state();
    assert_eq!((state.enrolled, state.cloned), (1, 1));
    let senders: Vec<_> = state.senders.values().collect();
    assert!(senders.contains(&&device) && senders.contains(&&clone.device()));
}

#[tokio::test]
async fn a_collector_that_sees_other_hardware_makes_the_laptop_leave() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("a report", |state| !state.only_spool().is_empty())
        .await;
    let device = laptop.device();
    collector.state().refuse = Some(Refusal::HardwareDiffers);
    collector.kick();
    collector
        .wait_until("a clone", |state| state.cloned == 1)
        .await;
    collector.state().refuse = None;
    collector
        .wait_until("a stream of its own", |state| state.stored.len() == 2)
        .await;
    running.stop().await;
    assert_ne!(laptop.device(), device);
}

#[tokio::test]
async fn a_certificate_is_renewed_early_and_after_it_has_expired() {
    let collector = Collector::start().await;
    collector.state().life_days = (21, 9);
    let early = Laptop::new("board-1");
    let running = early.start(&collector, Some(&collector.token));
    collector
        .wait_until("a renewal", |state| state.renewed == 1)
        .await;
    let device = early.device();
    early
        .wait_for_status("connected", |status| status.connected)
        .await;
    running.stop().await;
    assert_eq!(
        early.device(),
        device,
        "the same device, another certificate"
    );

    collector.state().life_days = (60, -30);
    let late = Laptop::new("board-2");
    collector.state().oldest_valid_ms = 0;
    let running = late.start(&collector, Some(&collector.token));
    collector
        .wait_until("enrolled", |state| state.enrolled == 2)
        .await;
    collector
        .wait_until("renewed by grace", |state| state.renewed == 2)
        .await;
    late.wait_for_status("connected", |status| status.connected)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn a_revoked_laptop_says_so() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("a stream", |state| state.greeted == 1)
        .await;
    running.stop().await;
    let device = laptop.device();
    collector.state().refuse = Some(Refusal::DeviceRevoked);
    let running = laptop.start(&collector, Some(&collector.token));
    laptop
        .wait_for_problem(Refusal::DeviceRevoked.sentence())
        .await;
    // Time in which it would have enrolled anew, many times over.
    tokio::time::sleep(Duration::from_millis(500)).await;
    running.stop().await;
    assert_eq!(
        collector.state().enrolled,
        1,
        "the token undoes no revocation"
    );
    assert_eq!(laptop.device(), device);
}

#[tokio::test]
async fn an_identity_that_cannot_be_kept_yet_is_asked_for_once() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    // Where the new identity is prepared lies a file that is no folder: storing fails.
    fs::create_dir_all(laptop.paths().data()).unwrap();
    let in_the_way = laptop.paths().data().join("identity.next");
    fs::write(&in_the_way, "").unwrap();
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("an enrolment", |state| state.enrolled >= 1)
        .await;
    laptop.wait_for_problem("identity").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(collector.state().enrolled, 1);
    fs::remove_file(&in_the_way).unwrap();
    collector
        .wait_until("a stream", |state| state.greeted >= 1)
        .await;
    running.stop().await;
    assert_eq!(collector.state().enrolled, 1, "the identity it was given");
}

/// A second key would be a second enrolment, for which a token with one use is not good.
#[tokio::test]
async fn an_enrolment_whose_answer_is_lost_is_tried_again_with_the_same_key() {
    let collector = Collector::start().await;
    collector.state().loses_answers = true;
    let laptop = Laptop::new("board-1");
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("two tries", |state| state.enrolled >= 2)
        .await;
    running.stop().await;
    assert!(laptop.paths().pending().exists());
    collector.state().loses_answers = false;
    let running = laptop.start(&collector, Some(&collector.token));
    collector
        .wait_until("a stream", |state| state.greeted >= 1)
        .await;
    running.stop().await;
    let keys = collector.state().enrolment_keys.clone();
    assert!(
        keys.len() >= 3 && keys.iter().all(|key| *key == keys[0]),
        "{keys:?}"
    );
    assert!(!laptop.paths().pending().exists());
}

#[tokio::test]
async fn a_retired_laptop_stays_away_though_it_has_a_token() {
    let collector = Collector::start().await;
    collector.state().retire = true;
    let laptop = Laptop::new("board-1");
    let running = laptop.start(&collector, Some(&collector.token));
    laptop
        .wait_for_problem("has retired this device: sold")
        .await;
    let device = laptop.device();
    {
        let mut state = collector.state();
        state.retire = false;
        state.refuse = Some(Refusal::DeviceRevoked);
    }
    // It looks again after five to ten seconds, whether a person has taken it back.
    laptop
        .wait_for_problem(Refusal::DeviceRevoked.sentence())
        .await;
    running.stop().await;
    assert_eq!((collector.state().enrolled, laptop.device()), (1, device));
    let status = Status::load(&laptop.paths().status()).unwrap();
    assert!(status.retired, "it goes on saying so");
}

/// One that was off when it was retired learns it when it connects.
#[tokio::test]
async fn a_laptop_that_was_retired_while_it_was_off_says_so() {
    let collector = Collector::start().await;
    let laptop = Laptop::new("board-1");
    collector.state().refuse = Some(Refusal::DeviceRetired);
    let running = laptop.start(&collector, Some(&collector.token));
    laptop
        .wait_for_problem(Refusal::DeviceRetired.sentence())
        .await;
    running.stop().await;
    assert_eq!(collector.state().enrolled, 1, "its token undoes nothing");
    let status = Status::load(&laptop.paths().status()).unwrap();
    assert!(status.retired);
}

#[tokio::test]
async fn the_way_through_a_proxy_is_found_and_its_refusal_told() {
    let collector = Collector::start().await;
    let proxy = proxy::start("pupil", "p@ss").await;
    let laptop = Laptop::new("board-1");
    let with_proxy = |credentials: &str| AgentConfig {
        proxy: Some(
            format!("http://{credentials}{}", proxy.address)
                .parse::<Proxy>()
                .unwrap(),
        ),
        ..laptop.config(&collector)
    };
    let running = laptop.start_with(with_proxy(""), Some(&collector.token));
    laptop.wait_for_problem("407").await;
    running.stop().await;
    assert_eq!(collector.state().enrolled, 0);

    let running = laptop.start_with(with_proxy("pupil:p%40ss@"), Some(&collector.token));
    collector
        .wait_until("reports", |state| state.only_spool().len() >= 2)
        .await;
    running.stop().await;
    assert!(
        proxy.tunnels() >= 2,
        "enrolment and stream both go through it"
    );
}

async fn enrolment_error(connector: &Connector, token: &EnrolmentToken) -> CallError {
    let laptop = Laptop::new("board-1");
    let credential = Credential::Token(token, None);
    enroll(connector, credential, &Machine::read(&laptop.roots()))
        .await
        .unwrap_err()
}

fn connector(address: &str) -> Connector {
    Connector::new(address.parse().unwrap(), None)
}

#[tokio::test]
async fn each_way_to_fail_has_its_own_words() {
    let collector = Collector::start().await;
    let address = collector.address.to_string();
    let wrong = EnrolmentToken {
        secret: TokenSecret::generate(),
        ..collector.token.clone()
    };
    let error = enrolment_error(&connector(&address), &wrong).await;
    assert!(
        matches!(error, CallError::Refused(Refusal::TokenUnknown)),
        "{error}"
    );

    let other = Collector::start().await;
    let error = enrolment_error(&connector(&address), &other.token).await;
    let intercepted = matches!(&error, CallError::Connect(ConnectError::NotOurAuthority { issuer, .. })
        if issuer == "Rollcall test authority");
    assert!(intercepted, "{error}");

    let by_name = format!("localhost:{}", collector.address.port());
    let error = enrolment_error(&connector(&by_name), &collector.token).await;
    let named = matches!(&error, CallError::Connect(ConnectError::WrongName { presented, .. })
        if presented == ", only 127.0.0.1");
    assert!(named, "{error}");

    let loopback = format!("127.0.0.2:{}", collector.address.port());
    let error = enrolment_error(&connector(&loopback), &collector.token).await;
    assert!(
        matches!(error, CallError::Connect(ConnectError::Refused { .. })),
        "{error}"
    );

    let error = enrolment_error(&connector("no-such-host.invalid:443"), &collector.token).await;
    assert!(
        matches!(error, CallError::Connect(ConnectError::NameNotFound { .. })),
        "{error}"
    );
}
