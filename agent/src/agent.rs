//! The whole agent: collect when it is due, spool, stream, and say how it fares.

use std::fs;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message as _;
use rollcall_proto::v1;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::error::chain;
use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock, Now};
use tokio::time::sleep;

use crate::collect::{self, BeaconTrust, Collect, Collected, Roots};
use crate::config::AgentConfig;
use crate::footprint;
use crate::identity::{Identity, IdentityError, Machine};
use crate::line::{AnySpool, Line};
use crate::paths::{Paths, replace_file};
use crate::service::{self, NetworkWatch};
use crate::spool::files::DiskFiles;
use crate::spool::{Spool, SpoolError, SpoolLimits, SpoolStats};
use crate::status::Status;

mod connection;

pub use connection::TokenSource;

/// The longest sleep between two looks at what is due.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// A sleep that lasted this much longer than asked for was the machine's own.
const ASLEEP_AFTER: Duration = Duration::from_secs(30);

/// Counts of the status that merely go on are written after so many intervals of sending.
const STATUS_INTERVALS: u32 = 3;

/// Changes of status within this time are written together.
const STATUS_SETTLING: Duration = Duration::from_millis(250);

/// All that an agent is built from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where its data lies.
    pub paths: Paths,
    /// `agent.toml`.
    pub config: AgentConfig,
    /// Where readings come from.
    pub roots: Roots,
    /// Where an enrolment token may come from.
    pub token: TokenSource,
}

/// Why an agent could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Its folder cannot be used.
    #[error("{file}: {source}")]
    Data {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
}

/// An agent that is ready to run.
pub struct Agent {
    setup: Setup,
    clock: Arc<dyn Clock>,
    line: Line,
    boot: BootId,
    machine: Machine,
    beacon_roots: Mutex<BeaconTrust>,
}

impl Agent {
    /// Opens the spool of the data folder and builds an agent over it.
    ///
    /// # Errors
    /// [`BuildError`], such as that another agent uses the folder.
    pub fn build(setup: Setup, clock: Arc<dyn Clock>) -> Result<Self, BuildError> {
        let limits = SpoolLimits {
            bytes: setup.config.spool_bytes(),
            ..SpoolLimits::default()
        };
        let folder = setup.paths.spool();
        let files = DiskFiles::open(&folder).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => BuildError::Spool(SpoolError::Locked),
            _ => BuildError::Data {
                file: folder.display().to_string(),
                source,
            },
        })?;
        let (spool, recovery) = Spool::open_files(Box::new(files) as _, limits)?;
        tracing::info!(?recovery, "the spool is open");
        Ok(Self::build_over(setup, spool, clock))
    }

    /// Builds an agent over a spool that is open already.
    #[must_use]
    pub fn build_over(setup: Setup, spool: AnySpool, clock: Arc<dyn Clock>) -> Self {
        let configuration = load_configuration(&setup);
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            collector: setup.config.collector.as_ref().map(ToString::to_string),
            configuration_revision: configuration.revision,
            ..Status::default()
        };
        let line = Line::new(spool, configuration, status);
        let agent = Self {
            boot: collect::boot_id(&setup.roots),
            machine: Machine::read(&setup.roots),
            setup,
            clock,
            line,
            beacon_roots: Mutex::new(BeaconTrust { roots: Vec::new() }),
        };
        agent.write_status();
        agent
    }

    /// Runs until `shutdown` is done. Every report is durable before it is anything else, so that
    /// stopping needs no time.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.keep_collecting() => {}
            () = self.connect_while_awake() => {}
            () = self.keep_watch() => {}
            () = self.keep_status() => {}
        }
        self.line.note(|status| status.connected = false);
        self.write_status();
        tracing::info!("stopped");
    }

    /// A connection would be kept alive, or made anew, in a sleep that does not stop the process. It may be
    /// dropped at any point, as by a kill.
    async fn connect_while_awake(&self) {
        loop {
            tokio::select! {
                () = self.keep_connected() => return,
                () = service::asleep() => {}
            }
            self.line.note(|status| status.connected = false);
            service::awake().await;
        }
    }

    async fn keep_collecting(&self) {
        let mut collect = Collect::new(self.setup.roots.clone());
        let mut disturbed = self.line.watch_disturbed();
        let mut changed = self.line.watch_configuration();
        loop {
            let configuration = changed.borrow_and_update().clone();
            let before = self.clock.now().since_boot;
            let nap = collect
                .next_due(&configuration)
                .since(before)
                .min(LONGEST_SLEEP);
            tokio::select! {
                () = sleep(nap) => {}
                _ = changed.changed() => continue,
                _ = disturbed.changed() => {
                    disturbed.borrow_and_update();
                    collect.network_changed();
                }
            }
            service::awake().await;
            let now = self.clock.now();
            if now.since_boot.since(before) > nap + ASLEEP_AFTER {
                tracing::info!("the machine was asleep");
                self.line.disturb();
                disturbed.borrow_and_update();
                collect.network_changed();
            }
            if now.since_boot >= collect.next_due(&configuration) {
                self.collect(&mut collect, now, &configuration).await;
            }
        }
    }

    async fn keep_watch(&self) {
        let mut network = NetworkWatch::open(&self.setup.roots.proc);
        loop {
            network.changed().await;
            tracing::info!("the network has changed");
            self.line.disturb();
        }
    }

    async fn collect(&self, collect: &mut Collect, now: Now, configuration: &Configuration) {
        if self.line.take_full_wanted() {
            collect.request_full();
        }
        let trust = BeaconTrust {
            roots: self.beacon_trust(),
        };
        let own = spool_readings(self.line.spool().stats());
        let collected = collect.run_due(now, configuration, &trust, own).await;
        footprint::give_back();
        footprint::leave_code();
        let Some(collected) = collected else {
            return;
        };
        let urgent = collected.urgent;
        for payload in encode(collected, Taken::at(now, self.boot)) {
            if let Err(error) = self.line.append(&payload, urgent) {
                tracing::error!(error = %chain(&error), "a report could not be kept");
                self.line.want_full();
            }
        }
    }

    fn beacon_trust(&self) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        self.beacon_roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .roots
            .clone()
    }

    async fn keep_status(&self) {
        let mut status = self.line.watch_status();
        let mut written = self.write_status();
        let mut at = self.clock.now().since_boot;
        while status.changed().await.is_ok() {
            let ago = self.clock.now().since_boot.since(at);
            let schedule = self.line.watch_configuration().borrow().schedule;
            let interval = STATUS_INTERVALS * Duration::from_secs(schedule.send_s.into());
            let is_worth_it = status
                .borrow_and_update()
                .is_worth_writing(&written, ago, interval);
            if is_worth_it {
                sleep(STATUS_SETTLING).await;
                status.borrow_and_update();
                written = self.write_status();
                at = self.clock.now().since_boot;
            }
        }
    }

    fn write_status(&self) -> Status {
        let status = self.line.watch_status().borrow().clone();
        if let Err(error) = status.store(&self.setup.paths.status()) {
            tracing::warn!(%error, "the status could not be written");
        }
        status
    }

    /// Keeps the collector's configuration on disk and completes it by the local one.
    fn accept(&self, configuration: Configuration) -> Configuration {
        let complete = self.setup.config.complete(configuration.clone());
        if *self.line.watch_configuration().borrow() == complete {
            return complete;
        }
        let file = self.setup.paths.configuration();
        let kept = serde_json::to_vec_pretty(&configuration)
            .map_err(io::Error::from)
            .and_then(|bytes| replace_file(&file, &bytes));
        if let Err(error) = kept {
            tracing::warn!(%error, "the configuration could not be kept for the time offline");
        }
        complete
    }

    fn use_roots_of(&self, identity: &Identity) {
        let trust = BeaconTrust {
            roots: identity.roots().to_vec(),
        };
        *self
            .beacon_roots
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = trust;
    }

    fn load_identity(&self) -> Result<Option<Identity>, IdentityError> {
        Identity::load(&self.setup.paths)
    }
}

/// The collector's last configuration, or that of `agent.toml` before the first one.
#[must_use]
pub fn load_configuration(setup: &Setup) -> Configuration {
    match read_configuration(&setup.paths.configuration()) {
        Ok(configuration) => setup.config.complete(configuration),
        Err(error) if error.kind() == io::ErrorKind::NotFound => setup.config.configuration(),
        Err(error) => {
            tracing::warn!(%error, "the kept configuration is not followed");
            setup.config.configuration()
        }
    }
}

/// Forgets the kept configuration. Its revision counts at the collector that sent it only, and
/// another one would not send its own to a laptop that follows the same number.
pub fn forget_configuration(paths: &Paths) {
    match fs::remove_file(paths.configuration()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the kept configuration could not be removed");
        }
        _ => {}
    }
}

/// Reads a configuration in JSON.
///
/// # Errors
/// `InvalidData` names the file and the field.
pub fn read_configuration(file: &Path) -> io::Result<Configuration> {
    let wrong = |problem: String| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {problem}", file.display()),
        )
    };
    let bytes = fs::read(file)?;
    let configuration: Configuration =
        serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
    configuration.check().map_err(|e| wrong(e.to_string()))?;
    Ok(configuration)
}

/// What the agent reads of itself.
#[must_use]
pub fn spool_readings(stats: SpoolStats) -> Vec<Reading> {
    vec![
        Reading::number(&metric::SPOOL_DROPPED, "", stats.dropped as f64),
        Reading::number(&metric::SPOOL_CORRUPT, "", stats.corrupt as f64),
        Reading::number(&metric::SPOOL_BYTES, "", stats.bytes as f64),
    ]
}

/// The reports that carry what was collected: one, unless it is larger than a report may be. The
/// parts after the first say that they are changes to it.
fn encode(collected: Collected, taken: Taken) -> Vec<Vec<u8>> {
    let Collected {
        readings,
        full,
        urgent,
    } = collected;
    let report = Report {
        sequence: Sequence::NONE,
        taken,
        full,
        urgent,
        readings,
    };
    let encoded = v1::Report::from(&report).encode_to_vec();
    let fits = encoded.len() + SEQUENCE_BYTES <= limits::REPORT_BYTES
        && report.readings.len() <= limits::READINGS_PER_REPORT;
    if fits || report.readings.len() < 2 {
        return vec![encoded];
    }
    let mut readings = report.readings;
    let rest = readings.split_off(readings.len() / 2);
    let mut parts = encode(
        Collected {
            readings,
            full,
            urgent,
        },
        taken,
    );
    parts.extend(encode(
        Collected {
            readings: rest,
            full: false,
            urgent,
        },
        taken,
    ));
    parts
}

/// The field of the sequence, which is set when a report is sent.
const SEQUENCE_BYTES: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::time::{SinceBootMs, UnixMs};

    fn taken() -> Taken {
        let now = Now {
            wall: UnixMs(1),
            since_boot: SinceBootMs(1),
        };
        Taken::at(now, BootId::generate())
    }

    #[test]
    fn a_report_that_is_too_large_travels_in_parts() {
        let text = "x".repeat(limits::TEXT_BYTES);
        let reading = |n: usize| Reading::text(&metric::OS_NAME, &n.to_string(), &text);
        let readings: Vec<_> = (0..2000).map(reading).collect();
        let collected = Collected {
            readings: readings.clone(),
            full: true,
            urgent: true,
        };
        let parts = encode(collected, taken());
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < limits::REPORT_BYTES));
        let parts: Vec<_> = parts
            .iter()
            .map(|part| v1::Report::decode(&part[..]).unwrap())
            .collect();
        assert!(parts[0].full && parts[1..].iter().all(|part| !part.full && part.urgent));
        let sent: usize = parts.iter().map(|part| part.readings.len()).sum();
        assert_eq!(sent, readings.len());
    }

    #[test]
    fn a_kept_configuration_that_is_wrong_names_file_and_field() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("configuration.json");
        fs::write(&file, r#"{"schedule": {"fast_s": 0}}"#).unwrap();
        let error = read_configuration(&file).unwrap_err().to_string();
        assert!(
            error.contains("configuration.json: schedule.fast_s"),
            "{error}"
        );
    }
}
