//! One live laptop: it reads the model when readings are due and keeps the reports in its spool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prost::Message as _;
use rollcall_agent::agent::spool_readings;
use rollcall_agent::identity::Machine;
use rollcall_agent::line::{AnySpool, Line};
use rollcall_agent::paths::Paths;
use rollcall_agent::spool::files::DiskFiles;
use rollcall_agent::spool::{Spool, SpoolLimits, SpoolStats};
use rollcall_agent::status::Status;
use rollcall_proto::v1;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock as _, SinceBootMs, UnixMs};
use tokio::sync::watch;
use tokio::time::sleep;

use super::World;
use super::clocks::LaptopClock;
use super::memory::MemoryFiles;
use crate::simulator::{Changed, Changes, Laptop, Moment, Probe, TARGETS};

/// Bytes of a segment in memory; with all acknowledged, this is what a spool takes.
const MEMORY_SEGMENT_BYTES: u64 = 16 * 1024;

/// Bytes of a spool in memory at most: the least that a spool may be given, about 520 KiB.
const MEMORY_BYTES: u64 = 1;

/// Bytes of a spool on disk at most: a week offline at a report a minute.
const DISK_BYTES: u64 = 8 * 1024 * 1024;

/// What a laptop can do at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its lid is closed, or its battery empty.
    Asleep,
    /// It is awake and reaches nobody.
    Offline,
    /// It is awake and reaches the internet.
    Online,
}

/// A laptop that runs.
#[derive(Debug)]
pub struct LiveLaptop {
    pub(super) laptop: Laptop,
    pub(super) world: Arc<World>,
    pub(super) paths: Paths,
    pub(super) line: Line,
    pub(super) clock: LaptopClock,
    pub(super) boot: BootId,
    pub(super) machine: Machine,
    pub(super) phase: watch::Sender<Phase>,
    /// How the spool stood at the start.
    pub(super) began: SpoolStats,
}

impl LiveLaptop {
    /// Opens a laptop's spool; the folder is made where there is none.
    pub fn open(world: &Arc<World>, number: u32, on_disk: bool) -> anyhow::Result<Self> {
        let laptop = world.fleet.laptop(number);
        let paths = paths(world, number);
        let spool = open_spool(&paths, on_disk)?;
        let now = world.clock.now();
        let model = world.model.at(now);
        let began = spool.stats();
        Ok(Self {
            machine: Machine {
                fingerprint: laptop.fingerprint(),
                vendor: laptop.vendor().to_owned(),
                model: laptop.model(),
            },
            clock: LaptopClock::new(now, laptop.taken(model), model),
            boot: BootId::generate(),
            laptop,
            world: Arc::clone(world),
            paths,
            line: Line::new(spool, Configuration::default(), Status::default()),
            phase: watch::Sender::new(Phase::Asleep),
            began,
        })
    }

    /// Collects and streams for ever.
    pub async fn run(&self) {
        tokio::select! {
            () = self.keep_collecting() => {}
            () = self.keep_connected() => {}
        }
    }

    async fn keep_collecting(&self) {
        let mut changes = Changes::default();
        let mut configured = self.line.watch_configuration();
        let mut last = SinceBootMs(0);
        loop {
            let configuration = configured.borrow_and_update().clone();
            let now = self.clock.now();
            self.collect(&mut changes, last, &configuration);
            last = now.since_boot;
            tokio::select! {
                () = sleep(until_next(now.since_boot, configuration.schedule.fast_s)) => {}
                Ok(()) = configured.changed() => self.line.want_full(),
            }
        }
    }

    /// Looks at the model and keeps what is worth a report.
    fn collect(&self, changes: &mut Changes, last: SinceBootMs, configuration: &Configuration) {
        let model = self.world.model.at(self.world.clock.now());
        let moment = self.laptop.moment(model);
        self.phase.send_if_modified(|phase| {
            let before = std::mem::replace(phase, phase_of(moment.as_ref()));
            before != *phase
        });
        let Some(moment) = moment else { return };
        if self.line.take_full_wanted() {
            changes.request_full();
        }
        if let Some(changed) = self.read(&moment, changes, last, configuration) {
            self.keep(changed);
        }
    }

    fn read(
        &self,
        moment: &Moment,
        changes: &mut Changes,
        last: SinceBootMs,
        configuration: &Configuration,
    ) -> Option<Changed> {
        let schedule = &configuration.schedule;
        // Intervals count by the laptop's own clock since boot.
        let as_time =
            |since_boot: SinceBootMs| UnixMs(i64::try_from(since_boot.0).unwrap_or(i64::MAX));
        let now = as_time(self.clock.now().since_boot);
        let full = changes.is_full_due(now, schedule.full_s);
        let targets = targets(configuration);
        let mut readings = if full {
            self.laptop.read(moment, Probe::ALL, &targets)
        } else {
            self.laptop
                .read(moment, Probe::due(schedule, as_time(last), now), &targets)
        };
        if readings.is_empty() {
            return None;
        }
        readings.extend(spool_readings(self.line.spool().stats()));
        changes.take(now, readings, full)
    }

    fn keep(&self, changed: Changed) {
        let report = Report {
            sequence: Sequence::NONE,
            taken: Taken::at(self.clock.now(), self.boot),
            full: changed.full,
            urgent: changed.urgent,
            readings: changed.readings,
        };
        let payload = v1::Report::from(&report).encode_to_vec();
        if let Err(error) = self.line.append(&payload, report.urgent) {
            tracing::error!(%error, laptop = self.laptop.number(), "a report could not be kept");
            self.line.want_full();
        }
    }
}

/// Where a laptop's data lies.
pub fn paths(world: &World, number: u32) -> Paths {
    Paths::new(world.data.join(format!("{number:06}")))
}

fn open_spool(paths: &Paths, on_disk: bool) -> anyhow::Result<AnySpool> {
    let (spool, _) = if on_disk {
        let limits = SpoolLimits {
            bytes: DISK_BYTES,
            ..SpoolLimits::default()
        };
        let files = DiskFiles::open(&paths.spool()).context("its spool")?;
        Spool::open_files(Box::new(files) as _, limits)?
    } else {
        let limits = SpoolLimits {
            bytes: MEMORY_BYTES,
            segment_bytes: MEMORY_SEGMENT_BYTES,
        };
        Spool::open_files(Box::new(MemoryFiles::default()) as _, limits)?
    };
    Ok(spool)
}

fn phase_of(moment: Option<&Moment>) -> Phase {
    match moment {
        None => Phase::Asleep,
        Some(moment) if moment.is_online() => Phase::Online,
        Some(_) => Phase::Offline,
    }
}

/// The collector's targets, or the usual ones where it names none. Before it has said anything
/// there are none, so that nothing is reported that is not asked for later.
fn targets(configuration: &Configuration) -> Vec<&str> {
    if configuration.revision == 0 {
        return Vec::new();
    }
    if configuration.targets.is_empty() {
        return TARGETS.to_vec();
    }
    configuration
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect()
}

/// How long until the next whole multiple of an interval.
fn until_next(now: SinceBootMs, interval_s: u32) -> Duration {
    let interval_ms = u64::from(interval_s.max(1)) * 1000;
    Duration::from_millis(interval_ms - now.0 % interval_ms)
}
