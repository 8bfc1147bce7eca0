//! A cut of the collector's power at random moments under load loses nothing acknowledged.

use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::load::Fleet;
use rollcall_tests::rig::patience::{PATIENCE, eventually};
use rollcall_tests::rig::powercut::PowerCut;

const LAPTOPS: usize = 12;

/// What survives of what is not durable, in percent, and after how many acknowledgements the power
/// goes: one round each.
const ROUNDS: [(u32, u64); 8] = [
    (0, 100),
    (50, 340),
    (0, 730),
    (90, 555),
    (20, 1200),
    (0, 61),
    (50, 905),
    (0, 402),
];

#[test]
fn power_cuts_under_load_lose_nothing_acknowledged() {
    let folder = rig::folder();
    let (mut collector, power) = PowerCut::around(folder.path(), "");
    let mut fleet = Fleet::started(&collector, LAPTOPS);
    for (seed, (keep_percent, reports)) in (1..).zip(ROUNDS) {
        fleet.await_progress(reports, Duration::from_secs(120));
        power.cut(collector.process(), seed, keep_percent);
        power.arm();
        collector.run();
        assert_eq!(
            fleet.broken_promise(),
            None,
            "after the cut with seed {seed}"
        );
    }
    fleet.await_progress(200, PATIENCE);
    fleet.stop();
    eventually("everything, once", PATIENCE, || fleet.compare(&collector));
    collector.stop();
}

/// With a disk that lies about syncs the same story must fail: otherwise it would prove nothing.
#[test]
fn power_cuts_on_a_disk_that_lies_are_noticed() {
    let folder = rig::folder();
    let mut collector = Collector::initialised(folder.path(), "");
    let power = PowerCut::prepare(folder.path());
    collector.run();
    let mut fleet = Fleet::enrolled(&collector, LAPTOPS);
    collector.stop();
    power.preload(&mut collector, true);
    power.arm();
    collector.run();
    fleet.start(&collector);
    fleet.await_progress(500, PATIENCE);
    power.cut(collector.process(), 1, 0);
    fleet.stop();
    power.arm();
    collector.spawn();
    let survived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        collector.await_ready();
        fleet.compare(&collector)
    }));
    assert!(
        !matches!(survived, Ok(Ok(()))),
        "acknowledged reports survived without a sync"
    );
}
