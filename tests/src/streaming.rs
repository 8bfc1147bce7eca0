//! A simulated laptop that streams: the agent's own identity, spool and stream, around a life that
//! [`crate::simulator`] invents.
//!
//! Life may pass faster than time (`speed`), and begins on a school day at ten, so that something is
//! to be seen. Times on the wire are those of the wall, moved where the laptop's clock is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prost::Message as _;
use rollcall_agent::identity::Identity;
use rollcall_agent::identity::issue::{self, Credential};
use rollcall_agent::line::Line;
use rollcall_agent::paths::Paths;
use rollcall_agent::spool::files::DiskFiles;
use rollcall_agent::spool::{Spool, SpoolLimits};
use rollcall_agent::status::Status;
use rollcall_agent::stream::connector::Connector;
use rollcall_agent::stream::session::End;
use rollcall_agent::stream::{self, Ended, Stream};
use rollcall_proto::v1;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock, Now, SinceBootMs, SystemClock, UnixMs};
use rollcall_shared::token::EnrolmentToken;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::simulator::calendar::{Local, Zone, last_school_day};
use crate::simulator::{Changed, Changes, Fleet, Laptop, Moment, Probe};

/// Bytes of a simulated spool: some days of reports, so that a thousand laptops fit on a small disk.
const SPOOL_BYTES: u64 = 1024 * 1024;

/// How often it is looked whether a laptop has woken, or is online again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// When life begins on a school day: at ten.
const LIFE_BEGINS_S: u32 = 10 * 3600;

/// What all laptops of a simulator share.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The way to the collector.
    pub connector: Connector,
    /// With what they enrol.
    pub token: EnrolmentToken,
    /// Where each keeps its identity and its spool, in a folder of its number.
    pub data: PathBuf,
    /// The laptops.
    pub fleet: Fleet,
    /// How many seconds of life pass in one.
    pub speed: f64,
    /// When the simulator began.
    pub began: Now,
}

/// A laptop that has enrolled.
#[derive(Debug)]
pub struct Streamer {
    laptop: Laptop,
    clock: LaptopClock,
    identity: Identity,
    line: Line,
    boot: BootId,
    plan: Arc<Plan>,
}

/// The machine's clocks, with a wall clock as wrong as the laptop's.
#[derive(Debug, Clone, Copy)]
struct LaptopClock {
    skew_ms: i64,
}

impl Clock for LaptopClock {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        Now {
            wall: now.wall.plus_ms(self.skew_ms),
            ..now
        }
    }
}

impl Plan {
    /// The moment of life that it is.
    #[must_use]
    pub fn life_now(&self) -> UnixMs {
        let day = last_school_day(Zone::Eastern, self.began.wall);
        let second = LIFE_BEGINS_S;
        let start = Zone::Eastern.moment(Local { day, second });
        let passed = SystemClock.now().since_boot.since(self.began.since_boot);
        start.plus_ms((passed.as_secs_f64() * self.speed * 1000.0) as i64)
    }
}

impl Streamer {
    /// Takes up the identity that it had in an earlier run, or enrols.
    ///
    /// # Errors
    /// Why it could not be enrolled, or its folder not be used.
    pub async fn open(plan: Arc<Plan>, number: u32) -> anyhow::Result<Self> {
        let laptop = plan.fleet.laptop(number);
        let paths = Paths::new(plan.data.join(format!("{number:06}")));
        let identity = match Identity::load(&paths)? {
            Some(identity) => identity,
            None => {
                let credential = Credential::Token(&plan.token, None);
                let issued = issue::enroll(&plan.connector, credential, &laptop.hardware()).await?;
                issued.identity.store(&paths)?;
                issued.identity
            }
        };
        let files = DiskFiles::open(&paths.spool()).context("the spool could not be opened")?;
        let limits = SpoolLimits {
            bytes: SPOOL_BYTES,
            ..SpoolLimits::default()
        };
        let (spool, _) = Spool::open_files(Box::new(files) as _, limits)?;
        let now = plan.life_now();
        Ok(Self {
            clock: LaptopClock {
                skew_ms: laptop.taken(now).wall.since(now),
            },
            laptop,
            identity,
            line: Line::new(spool, Configuration::default(), Status::default()),
            boot: BootId::generate(),
            plan,
        })
    }

    /// How it fares.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.line.watch_status()
    }

    /// Lives and streams until the collector retires it.
    pub async fn run(&self) {
        tokio::select! {
            () = self.keep_reporting() => {}
            () = self.keep_streaming() => {}
        }
    }

    async fn keep_reporting(&self) {
        let mut changes = Changes::default();
        let mut read = self.clock.now().wall;
        loop {
            let configuration = self.line.watch_configuration().borrow().clone();
            let now = self.clock.now();
            match self.laptop.moment(self.plan.life_now()) {
                None => changes.request_full(),
                Some(moment) => {
                    if self.line.take_full_wanted() {
                        changes.request_full();
                    }
                    let changed = self.collect(&moment, &configuration, &mut changes, (read, now));
                    if let Some(changed) = changed {
                        self.append(changed, Taken::at(now, self.boot));
                    }
                }
            }
            read = now.wall;
            sleep(Duration::from_secs(configuration.schedule.fast_s.into())).await;
        }
    }

    /// What is due since the last look and has changed.
    fn collect(
        &self,
        moment: &Moment,
        configuration: &Configuration,
        changes: &mut Changes,
        (read, now): (UnixMs, Now),
    ) -> Option<Changed> {
        let schedule = &configuration.schedule;
        let names = configuration.targets.iter();
        let targets: Vec<&str> = names.map(|target| target.name.as_str()).collect();
        let full = changes.is_full_due(now.wall, schedule.full_s);
        let readings = if full {
            self.laptop.read(moment, Probe::ALL, &targets)
        } else {
            let due = Probe::due(schedule, read, now.wall);
            self.laptop.read(moment, due, &targets)
        };
        changes.take(now.wall, readings, full)
    }

    fn append(&self, changed: Changed, taken: Taken) {
        let report = Report {
            sequence: Sequence::NONE,
            taken,
            full: changed.full,
            urgent: changed.urgent,
            readings: changed.readings,
        };
        let payload = v1::Report::from(&report).encode_to_vec();
        if let Err(error) = self.line.append(&payload, changed.urgent) {
            tracing::warn!(%error, "a simulated report could not be kept");
        }
    }

    async fn keep_streaming(&self) {
        loop {
            self.until(true).await;
            let ended = tokio::select! {
                ended = self.stream() => ended,
                () = self.until(false) => {
                    self.line.note(|status| status.connected = false);
                    continue;
                }
            };
            if ended == Ended::Session(End::Retired) {
                return;
            }
            tracing::warn!(?ended, device = %self.identity.device(), "a simulated stream ended");
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until the laptop is online, or no longer.
    async fn until(&self, online: bool) {
        loop {
            let moment = self.laptop.moment(self.plan.life_now());
            if moment.is_some_and(|moment| moment.is_online()) == online {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn stream(&self) -> Ended {
        let machine = self.laptop.hardware();
        stream::run(&Stream {
            connector: &self.plan.connector,
            identity: &self.identity,
            machine: &machine,
            line: &self.line,
            clock: &self.clock,
            boot: self.boot,
            accept: &|configuration| configuration,
            renew_not_before: SinceBootMs(u64::MAX),
        })
        .await
    }
}
