//! A crowd of simulated laptops at a real collector: what it counts as acknowledged is stored, once;
//! and what such laptops report is what the agent would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser as _;
use rollcall_collector::store::{Store, StoreOptions};
use rollcall_shared::limits;
use rollcall_shared::time::{Clock as _, SystemClock};
use rollcall_tests::rig;
use rollcall_tests::rig::binaries;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::device::runtime;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::simulator::crowd::{Counts, CrowdOptions, EnrolOptions, enrol, run_here};
use rollcall_tests::simulator::live::Start;
use rollcall_tests::simulator::{Fleet, WallClock};

const LAPTOPS: u32 = 300;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    crowd: CrowdOptions,
}

/// A collector with a crowd's records, and the crowd's folder.
fn enrolled(folder: &std::path::Path) -> Collector {
    let collector = Collector::initialised(folder, "");
    let options = EnrolOptions {
        data: collector.data.clone(),
        crowd: folder.join("crowd"),
        devices: LAPTOPS,
        seed: 1,
    };
    runtime().block_on(enrol(&options)).unwrap();
    collector
}

fn options(folder: &std::path::Path, collector: &Collector, more: &str) -> CrowdOptions {
    let crowd = folder.join("crowd");
    let (crowd, address) = (crowd.to_str().unwrap(), collector.grpc.to_string());
    let given = [
        "rollcall-simulator",
        "--crowd",
        crowd,
        "--collector",
        &address,
    ];
    Line::parse_from(given.into_iter().chain(more.split_whitespace())).crowd
}

/// What the store has of each laptop; all of its sequences up to that were stored.
fn stored(collector: &Collector) -> BTreeMap<u32, u64> {
    let now = SystemClock.now().wall;
    let store = Store::open(&collector.data, StoreOptions::default(), now).unwrap();
    let fleet = Fleet::new(1);
    let of = |number| {
        let laptop = fleet.laptop(number);
        let stored = store.stored(laptop.device_id(), laptop.spool_id()).unwrap();
        let skew_ms = store.device(laptop.device_id()).unwrap().skew_ms;
        let is_wrong = !matches!(laptop.clock(), WallClock::Right(_));
        let reported = i64::try_from(limits::CLOCK_SKEW_REPORTED.as_millis()).unwrap();
        let skew_ms = skew_ms.unwrap_or_else(|| panic!("laptop {number} was never heard"));
        assert_eq!(
            skew_ms.abs() > reported,
            is_wrong,
            "laptop {number} is off by {skew_ms} ms"
        );
        (number, stored.0)
    };
    (0..LAPTOPS).map(of).collect()
}

/// A minute of 300 laptops in six seconds: each report acknowledged is stored once.
#[test]
fn a_crowd_is_stored_once_with_its_wrong_clocks_and_clones() {
    let folder = rig::folder();
    let mut collector = enrolled(folder.path());
    collector.run();
    let more = "--interval 5 --per-message 4 --speed 10 --seconds 6 --connect-rate 75";
    let options = options(folder.path(), &collector, more);
    let counts = run_here(&options, &AtomicBool::new(false)).unwrap();
    check_counts(&counts);
    let new = collector.metric("rollcall_store_reports_total").unwrap();
    let twice = collector
        .metric("rollcall_store_duplicate_reports_total")
        .unwrap();
    assert_eq!((new, twice), (counts.reports_in_all as f64, 0.0));
    collector.stop();
    let stored = stored(&collector);
    assert_eq!(stored.values().sum::<u64>(), counts.reports_in_all);
    // Twelve reports in a minute, sent by fours; where in its beat a laptop starts is its own.
    assert!(
        stored.values().all(|count| (8..=16).contains(count)),
        "{stored:?}"
    );
}

fn check_counts(counts: &Counts) {
    assert_eq!(
        (counts.connected, counts.unanswered),
        (u64::from(LAPTOPS), 0)
    );
    assert!(counts.lost.is_empty(), "{:?}", counts.lost);
    assert_eq!(counts.full_handshakes, u64::from(LAPTOPS));
    let latency = counts.latency.summary();
    // What is acknowledged after the measured time has a latency too.
    assert!(
        latency.count >= counts.messages && counts.messages > 500,
        "{latency:?}"
    );
    assert!(latency.p50 > 0.0 && latency.max < 10_000.0, "{latency:?}");
}

/// A crowd comes back after a crash of the collector and goes on where that stood; laptops that rest
/// between messages resume.
#[test]
fn a_crowd_outlives_the_collector() {
    let folder = rig::folder();
    let mut collector = enrolled(folder.path());
    collector.run();
    let more = "--closed 1 --resting 0.1 --seconds 120 --connect-rate 0 --changed-only";
    let options = options(folder.path(), &collector, more);
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let crowd = {
        let stop = std::sync::Arc::clone(&stop);
        std::thread::spawn(move || run_here(&options, &stop).unwrap())
    };
    let await_reports = |collector: &Collector, count: f64| {
        eventually("reports of the crowd", Duration::from_secs(60), || {
            let reports = collector
                .metric("rollcall_store_reports_total")
                .unwrap_or(0.0);
            require(reports > count, || format!("{reports} so far"))
        });
    };
    await_reports(&collector, 2000.0);
    collector.kill();
    collector.run();
    await_reports(&collector, 2000.0);
    // Some connect late, and a count of reports does not say that all have come back.
    eventually("word of every laptop", Duration::from_secs(60), || {
        let devices = collector.devices()?;
        let heard = |device: &&serde_json::Value| !device["clock_skew_ms"].is_null();
        let heard = devices.iter().filter(heard).count();
        require(heard == LAPTOPS as usize, || format!("{heard} so far"))
    });
    stop.store(true, Ordering::Relaxed);
    eventually("an end in order", PATIENCE, || {
        require(crowd.is_finished(), || "it still runs".to_owned())
    });
    let counts = crowd.join().unwrap();
    collector.stop();
    let stored: u64 = stored(&collector).values().sum();
    assert!(!counts.lost.is_empty(), "the crash was noticed");
    assert_eq!(counts.unanswered, 0);
    assert!(
        counts.resumed_handshakes > 0,
        "of {}",
        counts.full_handshakes
    );
    // The last acknowledgements before the crash may have been lost on the way.
    assert!(
        counts.reports_in_all <= stored,
        "{} of {stored}",
        counts.reports_in_all
    );
    assert!(
        counts.reports_in_all + 1000 > stored,
        "{} of {stored}",
        counts.reports_in_all
    );
}

/// What the model writes down looks like what the agent reads on this very machine: no reading that
/// an agent could not send, the same ones in the main, and about as large.
#[test]
fn the_models_reports_look_like_the_agents_own() {
    let folder = rig::folder();
    let mut command = std::process::Command::new(binaries::agent());
    let _ = command.args(["report", "--data"]).arg(folder.path());
    let output = command.output().unwrap();
    let real: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let real = real["report"]["readings"].as_array().unwrap();
    let of_real: BTreeSet<String> = real
        .iter()
        .map(|r| r["metric"].as_str().unwrap().to_owned())
        .collect();
    let at = Start::Lesson.moment(SystemClock.now().wall);
    let fleet = Fleet::new(1);
    let (mut of_model, mut counts) = (BTreeSet::new(), Vec::new());
    for readings in (0..200).filter_map(|number| fleet.laptop(number).readings(at)) {
        counts.push(readings.len());
        of_model.extend(
            readings
                .iter()
                .map(|reading| reading.metric().name.to_owned()),
        );
    }
    // What an agent says of itself, a live simulated laptop adds by the agent's own code.
    let of_laptop = |name: &&String| !name.starts_with("rollcall.");
    let unknown: Vec<&String> = of_real.difference(&of_model).filter(of_laptop).collect();
    assert!(
        unknown.is_empty(),
        "the agent reads what the model does not: {unknown:?}"
    );
    let mean = counts.iter().sum::<usize>() / counts.len();
    assert!(
        (40..160).contains(&mean),
        "{mean} readings a report, the agent has {}",
        real.len()
    );
}
