//! Collect: reads this laptop's health, on a schedule, and decides what of it to report.
//!
//! Each probe has a pure parser beside a small reader below [`Roots`]. A probe that hangs is cut off
//! after its budget and costs one thread until it returns; the others go on. What cannot be read
//! says why. What Windows and macOS tell
//! is read in `windows`, `macos` and `portable`.

mod battery;
mod changes;
mod child;
mod cpu;
mod drive;
mod filesystem;
mod filling;
#[cfg(test)]
mod fuzz;
mod hardware;
#[cfg(any(target_os = "macos", all(test, not(windows))))]
mod macos;
mod memory;
mod mounts;
mod network;
mod os;
#[cfg(any(target_os = "macos", all(test, not(windows))))]
mod portable;
mod probe;
mod reach;
mod reader;
mod run;
mod saving;
mod source;
#[cfg(test)]
mod testing;
mod thermal;
mod updates;
mod vantage;
#[cfg(any(windows, test))]
mod windows;
mod words;

#[cfg(target_os = "macos")]
use macos as native;
#[cfg(windows)]
use windows as native;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::BootId;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::{Now, SinceBootMs};
use rustls::pki_types::CertificateDer;

use changes::{Changes, Rhythm};
pub use network::Proxy as SystemProxy;
use probe::{End, Probe};
use run::{Kept, Task};
pub use words::describe;

/// Where raw sources lie; tests point them elsewhere. Sizes of file systems, sockets and clocks are
/// the running machine's wherever the roots point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// `/etc`.
    pub etc: PathBuf,
    /// `/var`.
    pub var: PathBuf,
    /// `/run`.
    pub run: PathBuf,
    /// `/boot`, where kernels lie.
    pub boot: PathBuf,
    /// `/lib/modules`, a folder for each installed kernel.
    pub modules: PathBuf,
    /// The program `smartctl`; `None` where it is not installed.
    pub smartctl: Option<PathBuf>,
    /// The program `proxy` of libproxy; `None` where it is not installed.
    pub libproxy: Option<PathBuf>,
    /// A file of certificates in place of the public authorities that the agent knows, for tests.
    pub public_roots: Option<PathBuf>,
    /// Whether they are this machine's own, so that a system other than Linux is asked in its own ways.
    pub own: bool,
}

/// What there is to report.
#[derive(Debug, Clone, PartialEq)]
pub struct Collected {
    /// The readings, at most [`rollcall_shared::limits::READINGS_PER_REPORT`].
    pub readings: Vec<Reading>,
    /// Whether they are all that is known, and not just what changed.
    pub full: bool,
    /// Whether something changed for the worse or back, so that it must travel at once; also true
    /// of the first report and of one that was requested.
    pub urgent: bool,
}

/// How beacons are verified.
#[derive(Debug, Clone, Default)]
pub struct BeaconTrust {
    /// The authority's root certificates; empty before enrolment.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Schedules the probes and remembers what they counted and what was last reported.
#[derive(Debug)]
pub struct Collect {
    kept: Arc<Kept>,
    changes: Changes,
    last_run: BTreeMap<Probe, SinceBootMs>,
    forced: BTreeSet<Probe>,
    followed: Option<Arc<Configuration>>,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            smartctl: drive::program(),
            own: true,
            ..Self::under(Path::new("/"))
        }
    }
}

impl Roots {
    /// Whether readings come from a system that is not Linux.
    #[must_use]
    pub const fn is_native(&self) -> bool {
        self.own && !cfg!(target_os = "linux")
    }

    /// All sources below one folder, as in a tree copied from another machine. `smartctl` is the
    /// tree's own `usr/sbin/smartctl`, if it has one.
    #[must_use]
    pub fn under(root: &Path) -> Self {
        Self {
            sys: root.join("sys"),
            proc: root.join("proc"),
            etc: root.join("etc"),
            var: root.join("var"),
            run: root.join("run"),
            boot: root.join("boot"),
            modules: root.join("lib/modules"),
            smartctl: Some(root.join("usr/sbin/smartctl")).filter(|program| program.is_file()),
            libproxy: Some(root.join("usr/bin/proxy")).filter(|program| program.is_file()),
            public_roots: None,
            own: false,
        }
    }
}

impl Collect {
    /// Nothing read yet, so everything is due.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self {
            kept: Arc::new(Kept::new(roots)),
            changes: Changes::default(),
            last_run: BTreeMap::new(),
            forced: BTreeSet::new(),
            followed: None,
        }
    }

    /// Runs every probe that is due at `now` by the configuration's schedule. `None` where none is
    /// due, or where nothing that they found is worth a report. `agent_readings` are about the agent
    /// itself and are judged by the same deadbands.
    pub async fn run_due(
        &mut self,
        now: Now,
        configuration: &Configuration,
        trust: &BeaconTrust,
        agent_readings: Vec<Reading>,
    ) -> Option<Collected> {
        let due: Vec<Probe> = self.due(now.since_boot, configuration);
        if due.is_empty() {
            return None;
        }
        let followed = self.follow(configuration);
        let ends = self.run(&due, now, followed, trust).await;
        for probe in due {
            self.last_run.insert(probe, now.since_boot);
            self.forced.remove(&probe);
        }
        let states = ends.iter().map(|(probe, end)| end.state(*probe));
        let standing = states.chain(agent_readings).collect();
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let rhythm = Rhythm {
            full: seconds(configuration.schedule.full_s),
            quiet: seconds(configuration.schedule.send_s),
        };
        let left_out_before = self.changes.overflow();
        let collected = self.changes.take(now.since_boot, rhythm, ends, standing);
        let left_out = self.changes.overflow() - left_out_before;
        if left_out > 0 {
            tracing::warn!(left_out, "more readings than a report may have");
        }
        collected
    }

    /// Everything at once, for `rollcall-agent report`.
    pub async fn run_all(
        &mut self,
        now: Now,
        configuration: &Configuration,
        trust: &BeaconTrust,
    ) -> Vec<Reading> {
        let ends = self
            .run(&Probe::ALL, now, Arc::new(configuration.clone()), trust)
            .await;
        let mut readings: Vec<Reading> =
            ends.iter().map(|(probe, end)| end.state(*probe)).collect();
        readings.extend(ends.into_iter().flat_map(|(_, end)| match end {
            End::Ok(readings) => readings,
            End::Failed(_) | End::CutOff(_) => Vec::new(),
        }));
        readings
            .sort_by(|a, b| (a.metric().code, a.instance()).cmp(&(b.metric().code, b.instance())));
        readings
    }

    /// When the next probe is due; in the past where one is due already. Times are whole multiples
    /// of each interval since boot, so that intervals which divide each other fall together.
    #[must_use]
    pub fn next_due(&self, configuration: &Configuration) -> SinceBootMs {
        let due = Probe::ALL
            .iter()
            .map(|probe| self.due_at(*probe, configuration));
        due.min().unwrap_or(SinceBootMs(0))
    }

    /// Makes the next report full and urgent, and everything due, so that it comes now.
    pub fn request_full(&mut self) {
        self.changes.request_full();
        self.kept.forget_place();
        self.forced.extend(Probe::ALL);
    }

    /// Makes the probes of the network due.
    pub fn network_changed(&mut self) {
        self.kept.forget_place();
        self.forced.extend(Probe::OF_NETWORK);
    }

    /// Readings that found no room in a report, since the start.
    #[must_use]
    pub const fn overflow(&self) -> u64 {
        self.changes.overflow()
    }

    fn due(&self, now: SinceBootMs, configuration: &Configuration) -> Vec<Probe> {
        let due = Probe::ALL
            .into_iter()
            .filter(|probe| self.due_at(*probe, configuration) <= now);
        due.collect()
    }

    fn due_at(&self, probe: Probe, configuration: &Configuration) -> SinceBootMs {
        let Some(last) = self.last_run.get(&probe) else {
            return SinceBootMs(0);
        };
        if self.forced.contains(&probe) || self.is_changed_for(probe, configuration) {
            return SinceBootMs(0);
        }
        let stretch = if self.kept.is_saving() {
            saving::STRETCH
        } else {
            1
        };
        let interval = (probe.interval(&configuration.schedule) * stretch).as_millis();
        let interval = u64::try_from(interval).unwrap_or(u64::MAX).max(1);
        SinceBootMs(
            (last.0 / interval)
                .saturating_add(1)
                .saturating_mul(interval),
        )
    }

    /// Whether the configuration asks for something else of this probe than before.
    fn is_changed_for(&self, probe: Probe, configuration: &Configuration) -> bool {
        let Some(followed) = &self.followed else {
            return true;
        };
        match probe {
            Probe::Reach => followed.targets != configuration.targets,
            Probe::Vantage => followed.beacons != configuration.beacons,
            Probe::Hardware => followed.clear_serial != configuration.clear_serial,
            _ => false,
        }
    }

    /// A configuration may name two thousand beacons, so it is copied when it changes only.
    fn follow(&mut self, configuration: &Configuration) -> Arc<Configuration> {
        if let Some(followed) = &self.followed
            && **followed == *configuration
        {
            return Arc::clone(followed);
        }
        // Its beacons may be others.
        self.kept.forget_place();
        let followed = Arc::new(configuration.clone());
        self.followed = Some(Arc::clone(&followed));
        followed
    }

    async fn run(
        &self,
        probes: &[Probe],
        now: Now,
        configuration: Arc<Configuration>,
        trust: &BeaconTrust,
    ) -> Vec<(Probe, End)> {
        let task = Task {
            kept: Arc::clone(&self.kept),
            configuration,
            trust: Arc::new(trust.clone()),
            now,
            budget: Probe::budget,
        };
        let ends = probes.iter().map(|probe| run::run(*probe, task.clone()));
        probes.iter().copied().zip(join_all(ends).await).collect()
    }
}

/// What tells this machine from another that was imaged from the same disk, hashed.
#[must_use]
pub fn fingerprint(roots: &Roots) -> HardwareFingerprint {
    #[cfg(not(target_os = "linux"))]
    if roots.is_native() {
        return native::fingerprint();
    }
    hardware::fingerprint(roots)
}

/// The maker and the model, as readings tell them; empty where the machine does not.
#[must_use]
pub fn maker_and_model(roots: &Roots) -> (String, String) {
    #[cfg(not(target_os = "linux"))]
    if roots.is_native() {
        return native::maker_and_model();
    }
    hardware::maker_and_model(roots)
}

/// What tells one network from another on this laptop; `None` where no gateway is known. It is compared and
/// never reported.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn surroundings() -> Option<String> {
    native::surroundings()
}

/// Whether any link has a gateway; `None` where the system does not say.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn has_way_out() -> Option<bool> {
    native::has_way_out()
}

/// The proxies by which the system would go to a server over HTTPS, in their order; none where it would go
/// straight, or where the script that chooses them cannot be asked.
pub async fn proxies_towards(roots: &Roots, host: &str, port: u16) -> Vec<SystemProxy> {
    let own = roots.clone();
    let Ok(start) = tokio::task::spawn_blocking(move || run::start(&own)).await else {
        return Vec::new();
    };
    let Some(script) = start.proxies.script() else {
        return start
            .proxies
            .towards(host, true)
            .cloned()
            .into_iter()
            .collect();
    };
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let server = format!("https://{bracketed}:{port}/");
    let servers = [server.clone()];
    let mut ways = network::Ways::default();
    let now = SinceBootMs::default();
    if let Err(why) = ways
        .look(&start.interpreter, script, &servers, None, now)
        .await
    {
        tracing::debug!(%why, "the proxy's script was not asked");
    }
    let ways = ways.to(&server).unwrap_or_default();
    ways.iter().filter_map(|way| way.proxy().cloned()).collect()
}

/// The kernel's own identity of this boot; a new one for each start of the agent where it has none.
#[must_use]
pub fn boot_id(roots: &Roots) -> BootId {
    // Elsewhere there is no such folder, or somebody has made one.
    if !cfg!(target_os = "linux") {
        return BootId::generate();
    }
    let text = source::text(&roots.proc.join("sys/kernel/random/boot_id"));
    text.ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(BootId::generate)
}

#[cfg(test)]
mod tests;
