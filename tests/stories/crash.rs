//! `kill -9` of the collector under load loses nothing acknowledged and stores nothing twice.

use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::load::Fleet;
use rollcall_tests::rig::patience::{PATIENCE, eventually};

const LAPTOPS: usize = 40;
const ROUNDS: u64 = 6;

#[test]
fn kills_of_the_collector_under_load_lose_nothing_acknowledged() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let mut fleet = Fleet::started(&collector, LAPTOPS);
    for round in 1..=ROUNDS {
        fleet.await_progress(500 + 211 * round, Duration::from_secs(120));
        collector.kill();
        collector.run();
    }
    fleet.await_progress(500, PATIENCE);
    fleet.stop();
    eventually("everything, once", PATIENCE, || fleet.compare(&collector));
    let again = collector
        .metric("rollcall_store_duplicate_reports_total")
        .unwrap();
    assert!(again > 0.0, "the load sends stored reports once more");
    collector.stop();
}
