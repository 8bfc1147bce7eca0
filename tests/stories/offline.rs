//! A week offline, with the agent killed in between, is stored once, complete and in order.

use prost::Message as _;
use rollcall_agent::paths::Paths;
use rollcall_agent::spool::{Spool, SpoolLimits};
use rollcall_proto::v1;
use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock, SystemClock};
use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use std::time::Duration;

use crate::settings::QUICK;

/// One report a minute for a week.
const WEEK: u64 = 7 * 24 * 60;

#[test]
fn a_week_offline_with_kills_is_stored_once_complete_and_in_order() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    collector.kill();

    fill_spool(&laptop);
    // The agent goes on while it is offline, and is killed in the middle of it.
    for _ in 0..3 {
        let before = waiting(&laptop);
        laptop.run();
        eventually("reports while offline", PATIENCE, || {
            let now = waiting(&laptop);
            require(now > before.max(WEEK), || format!("{now} wait"))
        });
        laptop.kill();
    }

    // Killed while it catches up, too; and so is the collector.
    collector.run();
    let device = collector.devices().unwrap()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for share in [4, 2] {
        laptop.run();
        await_stored(&collector, WEEK / share);
        laptop.kill();
        collector.kill();
        collector.run();
    }
    laptop.run();
    eventually("the whole week", Duration::from_secs(120), || {
        let cycles = cycles(&collector, &device)?;
        require(cycles.len() as u64 >= WEEK, || {
            format!("{} of {WEEK} reports", cycles.len())
        })
    });
    let stored = cycles(&collector, &device).unwrap();
    let expected: Vec<u64> = (1..=WEEK).collect();
    assert_eq!(stored, expected, "each once and in order");
    eventually("an empty spool", PATIENCE, || {
        let status = laptop.command(&["status"]);
        let text = format!("{}{}", status.stdout, status.stderr);
        require(status.status.success(), || text)
    });
    laptop.stop();
    collector.stop();
}

/// Puts a week of reports into the spool as the agent itself does. The battery that they speak of is
/// not the laptop's own, so that its series holds nothing else.
fn fill_spool(laptop: &Laptop) {
    let paths = Paths::new(&laptop.data);
    let limits = SpoolLimits {
        bytes: limits::SPOOL_BYTES,
        segment_bytes: limits::SPOOL_SEGMENT_BYTES,
    };
    let (mut spool, _) = Spool::open(&paths.spool(), limits).unwrap();
    let (now, boot) = (SystemClock.now(), BootId::generate());
    for minute in 1..=WEEK {
        let ago_ms = i64::try_from((WEEK - minute) * 60_000).unwrap();
        let wall = now.wall.plus_ms(-ago_ms);
        let report = Report {
            sequence: Sequence(0),
            taken: Taken::at(rollcall_shared::time::Now { wall, ..now }, boot),
            full: false,
            urgent: false,
            readings: vec![Reading::number(
                &metric::BATTERY_CYCLES,
                "BAT9",
                f64::from(u32::try_from(minute).unwrap()),
            )],
        };
        spool
            .append(&v1::Report::from(&report).encode_to_vec())
            .unwrap();
    }
    assert_eq!(spool.stats().dropped, 0, "a week fits");
}

/// How many reports the spool has been given.
fn waiting(laptop: &Laptop) -> u64 {
    rig::agent::last_sequence(&laptop.data)
}

fn await_stored(collector: &Collector, reports: u64) {
    eventually("some of the week", PATIENCE, || {
        let stored = collector.metric("rollcall_store_reports_total")?;
        require(stored >= reports as f64, || {
            format!("{stored} of {reports}")
        })
    });
}

fn cycles(collector: &Collector, device: &str) -> Result<Vec<u64>, String> {
    let points = collector.series(device, "hw.battery.cycles", "BAT9")?;
    let values = points.iter().filter_map(|point| point["value"].as_f64());
    Ok(values.map(|value| value.round() as u64).collect())
}
