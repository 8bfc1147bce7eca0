//! Runs one probe within its budget, whatever the probe does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_shared::configuration::Configuration;
use rollcall_shared::reading::Reading;
#[cfg(not(target_os = "linux"))]
use rollcall_shared::time::UnixMs;
use rollcall_shared::time::{Now, SystemClock};
use tokio::sync::OnceCell;

#[cfg(not(target_os = "linux"))]
use super::native;
use super::probe::{End, Probe};
use super::reader::Reader;
use super::source::Sourced;
use super::{BeaconTrust, Roots};
use super::{
    battery, cpu, drive, filesystem, filling, hardware, memory, network, os, reach, saving,
    thermal, updates, vantage,
};

/// How far apart the first two readings of the processor's counters are taken.
const CPU_SAMPLE: Duration = Duration::from_millis(250);

/// What the probes keep between runs.
#[derive(Debug)]
pub struct Kept {
    roots: Roots,
    reader: Reader,
    /// Probes whose thread has not returned yet.
    hanging: Mutex<BTreeSet<Probe>>,
    cpu: Mutex<Option<cpu::Times>>,
    drives: Mutex<drive::Awake>,
    place: Mutex<vantage::Place>,
    reach: Mutex<reach::Memory>,
    roams: Mutex<network::Roams>,
    public_trust: OnceCell<Arc<reach::PublicTrust>>,
    is_saving: AtomicBool,
}

/// What a probe needs to run.
#[derive(Debug, Clone)]
pub struct Task {
    /// What is kept between runs.
    pub kept: Arc<Kept>,
    /// What the collector asks for.
    pub configuration: Arc<Configuration>,
    /// How beacons are verified.
    pub trust: Arc<BeaconTrust>,
    /// When the run began.
    pub now: Now,
    /// How long each probe may take; [`Probe::budget`] but for tests.
    pub budget: fn(Probe) -> Duration,
}

impl Kept {
    /// Nothing kept yet.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            reader: Reader::default(),
            hanging: Mutex::default(),
            cpu: Mutex::default(),
            drives: Mutex::default(),
            place: Mutex::default(),
            reach: Mutex::default(),
            roams: Mutex::default(),
            public_trust: OnceCell::new(),
            is_saving: AtomicBool::new(false),
        }
    }
}

impl Kept {
    /// Forgets that the laptop was found to be away, so that every beacon is asked again, what the
    /// network does to names, and which proxies its script chose.
    pub fn forget_place(&self) {
        lock(&self.place).forget();
        lock(&self.reach).forget();
    }

    /// Whether the laptop saved its battery when that was last read.
    pub fn is_saving(&self) -> bool {
        self.is_saving.load(Ordering::Relaxed)
    }
}

/// Runs a probe; it ends within its budget, cut off if need be.
pub async fn run(probe: Probe, task: Task) -> End {
    let budget = (task.budget)(probe);
    // A task of its own: a panic in a probe is its own affair.
    let mut work = tokio::spawn(read(probe, task));
    match tokio::time::timeout(budget, &mut work).await {
        Ok(Ok(Ok(readings))) => End::Ok(readings),
        Ok(Ok(Err(why))) => End::CutOff(why),
        Ok(Err(error)) => {
            tracing::error!(probe = probe.name(), %error, "probe failed");
            End::Failed(format!("the probe {} failed", probe.name()))
        }
        Err(_) => {
            work.abort();
            tracing::warn!(
                probe = probe.name(),
                budget_s = budget.as_secs(),
                "probe cut off"
            );
            End::CutOff(format!("cut off after {budget:?}"))
        }
    }
}

async fn read(probe: Probe, task: Task) -> Sourced<Vec<Reading>> {
    let wall = task.now.wall;
    let clear_serial = task.configuration.clear_serial;
    #[cfg(not(target_os = "linux"))]
    if task.kept.roots.is_native()
        && !matches!(
            probe,
            Probe::Battery | Probe::Cpu | Probe::Drive | Probe::Reach | Probe::Vantage
        )
    {
        return on_thread(probe, &task, move |_| {
            native::read(probe, wall, clear_serial)
        })
        .await;
    }
    match probe {
        Probe::Os => on_thread(probe, &task, move |roots| os::read(roots, wall)).await,
        Probe::Updates => on_thread(probe, &task, move |roots| updates::read(roots, wall)).await,
        Probe::Hardware => {
            on_thread(probe, &task, move |roots| {
                hardware::read(roots, clear_serial)
            })
            .await
        }
        Probe::Battery => read_battery(&task).await,
        Probe::Filesystem => on_thread(probe, &task, filesystem::read).await,
        Probe::Filling => on_thread(probe, &task, filling::read).await,
        Probe::Memory => on_thread(probe, &task, memory::read).await,
        Probe::Thermal => on_thread(probe, &task, thermal::read).await,
        Probe::Link => read_links(&task).await,
        Probe::Network => on_thread(probe, &task, network::read).await,
        Probe::Cpu => read_cpu(&task).await,
        Probe::Drive => read_drives(&task).await,
        Probe::Reach => read_reach(&task).await,
        Probe::Vantage => read_vantage(&task).await,
    }
}

async fn read_battery(task: &Task) -> Sourced<Vec<Reading>> {
    let read = |roots: &Roots| {
        #[cfg(not(target_os = "linux"))]
        if roots.is_native() {
            let readings = native::read(Probe::Battery, UnixMs(0), false);
            return (
                readings,
                native::is_saving().then(|| saving::LOW_POWER.to_owned()),
            );
        }
        (battery::read(roots), saving::profile(roots))
    };
    let (readings, profile) = on_thread(Probe::Battery, task, read).await?;
    let is_saving = saving::is_saving(&readings, profile.as_deref());
    if task.kept.is_saving.swap(is_saving, Ordering::Relaxed) != is_saving {
        tracing::info!(is_saving, "the battery's saver");
    }
    Ok(readings)
}

async fn read_cpu(task: &Task) -> Sourced<Vec<Reading>> {
    let known = *lock(&task.kept.cpu);
    let before = match known {
        Some(times) => Ok(times),
        None => {
            let first = on_thread(Probe::Cpu, task, cpu::read_times).await?;
            tokio::time::sleep(CPU_SAMPLE).await;
            first
        }
    };
    let (after, readings) = on_thread(Probe::Cpu, task, move |roots| {
        let after = cpu::read_times(roots);
        let readings = cpu::read(roots, &before, &after);
        (after, readings)
    })
    .await?;
    *lock(&task.kept.cpu) = after.ok();
    Ok(readings)
}

async fn read_links(task: &Task) -> Sourced<Vec<Reading>> {
    let mut roams = lock(&task.kept.roams).clone();
    let (readings, roams) = on_thread(Probe::Link, task, move |roots| {
        let readings = network::read_links(roots, &mut roams);
        (readings, roams)
    })
    .await?;
    *lock(&task.kept.roams) = roams;
    Ok(readings)
}

async fn read_drives(task: &Task) -> Sourced<Vec<Reading>> {
    #[cfg(not(target_os = "linux"))]
    if task.kept.roots.is_native() {
        return read_native_drives(task).await;
    }
    let drives = on_thread(Probe::Drive, task, drive::list).await?;
    let mut awake = lock(&task.kept.drives).clone();
    let readings = drive::read(&task.kept.roots, drives, &mut awake).await;
    *lock(&task.kept.drives) = awake;
    Ok(readings)
}

#[cfg(not(target_os = "linux"))]
async fn read_native_drives(task: &Task) -> Sourced<Vec<Reading>> {
    let told = on_thread(Probe::Drive, task, |_| {
        native::read(Probe::Drive, UnixMs(0), false)
    })
    .await?;
    let mut awake = lock(&task.kept.drives).clone();
    let program = task.kept.roots.smartctl.as_deref();
    let readings = drive::complete(program, told, native::smartctl_device, &mut awake).await;
    *lock(&task.kept.drives) = awake;
    Ok(readings)
}

async fn read_reach(task: &Task) -> Sourced<Vec<Reading>> {
    let targets = &task.configuration.targets;
    // Nothing on the way is asked before something is to be reached.
    if targets.is_empty() {
        return Ok(reach::untargeted());
    }
    let start = on_thread(Probe::Reach, task, start).await?;
    let trust = task.kept.public_trust.get_or_try_init(|| async {
        let load = |roots: &Roots| reach::PublicTrust::load(roots.public_roots.as_deref());
        let loaded = on_thread(Probe::Reach, task, load).await?;
        loaded.map(Arc::new).map_err(|error| error.to_string())
    });
    let trust = match trust.await {
        Ok(trust) => trust,
        Err(why) => return Ok(reach::untried(targets, &why)),
    };
    let mut memory = lock(&task.kept.reach).clone();
    let readings = reach::read(targets, &start, trust, &mut memory, &SystemClock).await;
    *lock(&task.kept.reach) = memory;
    Ok(readings)
}

async fn read_vantage(task: &Task) -> Sourced<Vec<Reading>> {
    let around = on_thread(Probe::Vantage, task, around).await?;
    let mut place = lock(&task.kept.place).clone();
    let now = task.now.since_boot;
    let readings = vantage::read(&task.configuration, &task.trust, &around, now, &mut place).await;
    *lock(&task.kept.place) = place;
    Ok(readings)
}

/// What attempts at targets start from.
pub(super) fn start(roots: &Roots) -> network::Start {
    #[cfg(not(target_os = "linux"))]
    if roots.is_native() {
        return native::start();
    }
    network::start(roots)
}

fn around(roots: &Roots) -> vantage::Around {
    #[cfg(not(target_os = "linux"))]
    if roots.is_native() {
        return vantage::Around {
            ground: native::ground(),
            network: native::surroundings(),
        };
    }
    vantage::Around {
        ground: network::ground(roots),
        network: network::surroundings(roots),
    }
}

/// Reads files on the thread of [`Reader`]. A probe whose last reading still hangs does not get
/// another.
async fn on_thread<T: Send + 'static>(
    probe: Probe,
    task: &Task,
    read: impl FnOnce(&Roots) -> T + Send + 'static,
) -> Sourced<T> {
    if !lock(&task.kept.hanging).insert(probe) {
        return Err("an earlier run of this probe still hangs".to_owned());
    }
    let hold = Hold {
        kept: Arc::clone(&task.kept),
        probe,
    };
    let work = move || {
        let found = read(&hold.kept.roots);
        drop(hold);
        found
    };
    let found = task.kept.reader.run(work).await;
    let found = found.map_err(|error| format!("no thread for the probe: {error}"))?;
    Ok(found.unwrap_or_else(|| panic!("the probe {} panicked", probe.name())))
}

/// Holds a probe's place until its reading returns, by whatever way.
struct Hold {
    kept: Arc<Kept>,
    probe: Probe,
}

impl Drop for Hold {
    fn drop(&mut self) {
        lock(&self.kept.hanging).remove(&self.probe);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is replaced as a whole, so a panic elsewhere left nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn task() -> Task {
        Task {
            kept: Arc::new(Kept::new(super::super::testing::tree())),
            configuration: Arc::new(Configuration::default()),
            trust: Arc::default(),
            now: Now::default(),
            budget: |_| Duration::from_millis(300),
        }
    }

    #[tokio::test]
    async fn a_probe_that_hangs_gets_no_second_thread() {
        let task = task();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let hang = move |_: &Roots| {
            let _ = wait.recv();
        };
        let cut =
            tokio::time::timeout(Duration::from_millis(50), on_thread(Probe::Os, &task, hang))
                .await;
        assert!(cut.is_err());
        let again = on_thread(Probe::Os, &task, |_| ()).await;
        assert_eq!(
            again,
            Err("an earlier run of this probe still hangs".to_owned())
        );
        assert_eq!(
            on_thread(Probe::Memory, &task, |_| 1).await,
            Ok(1),
            "others go on"
        );
        drop(release);
        for _ in 0..200 {
            if on_thread(Probe::Os, &task, |_| ()).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the place was not given back");
    }

    #[tokio::test]
    async fn a_file_that_never_answers_costs_its_probe_and_no_other() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let (_folder, roots) = super::super::testing::tree_copy();
        let meminfo = roots.proc.join("meminfo");
        std::fs::remove_file(&meminfo).unwrap();
        // A pipe without a writer keeps its reader waiting, as a dead network mount does.
        mknodat(CWD, &meminfo, FileType::Fifo, Mode::RWXU, 0).unwrap();
        let kept = Arc::new(Kept::new(roots));
        let task = Task { kept, ..task() };
        let cut = run(Probe::Memory, task.clone()).await;
        assert_eq!(cut, End::CutOff("cut off after 300ms".to_owned()));
        let again = run(Probe::Memory, task.clone()).await;
        assert!(matches!(again, End::CutOff(why) if why.contains("still hangs")));
        assert!(matches!(run(Probe::Battery, task).await, End::Ok(_)));
        // Lets the thread that waits go.
        drop(
            std::fs::OpenOptions::new()
                .write(true)
                .open(&meminfo)
                .unwrap(),
        );
    }

    #[tokio::test]
    async fn a_panic_is_the_probes_own() {
        let task = task();
        let panicking = tokio::spawn(async move {
            on_thread(Probe::Os, &task, |_| panic!("on purpose"))
                .await
                .map(|(): ()| task)
        });
        assert!(panicking.await.is_err());
    }
}
