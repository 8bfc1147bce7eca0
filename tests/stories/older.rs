//! Agent and collector of an older commit with those of today, both ways, and the update of each in place.
//! `tests/run` builds the older two from this repository's own history.

use std::path::PathBuf;

use rollcall_shared::time::UnixMs;
use rollcall_tests::rig;
use rollcall_tests::rig::agent::{Laptop, last_sequence};
use rollcall_tests::rig::binaries;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, wall_clock};

use crate::settings::QUICK;

/// Reports that an agent gathers while its collector is away: one of them at least holds every reading.
const GATHERED: u64 = 7;

/// The older program of this name, or the reason why there is none, told.
fn older(story: &str, name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("ROLLCALL_OLDER").map(PathBuf::from);
    let program = folder
        .map(|folder| folder.join(name))
        .filter(|file| file.is_file());
    if program.is_none() {
        let reason = std::env::var("ROLLCALL_NO_OLDER");
        rig::skip(
            story,
            &reason.unwrap_or_else(|_| "`tests/run older` has not built it".to_owned()),
        );
    }
    program
}

#[test]
fn an_older_agent_streams_to_this_collector_and_is_updated_in_place() {
    let Some(agent) = older("an older agent with this collector", "rollcall-agent") else {
        return;
    };
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let mut laptop = Laptop::new(folder.path(), "older");
    laptop.install(agent);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    await_report(&collector, &laptop);

    collector.kill();
    let away = gather(&laptop);
    laptop.stop();
    laptop.install(binaries::agent());
    laptop.run();
    collector.run();
    is_one_laptop_whose_reports_all_came(&collector, &laptop, away);
    laptop.stop();
    collector.stop();
}

#[test]
fn this_agent_streams_to_an_older_collector_which_is_updated_in_place() {
    let Some(program) = older("this agent with an older collector", "rollcall-collector") else {
        return;
    };
    let folder = rig::folder();
    let mut collector = Collector::initialised_by(program, folder.path(), QUICK);
    collector.run();
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let mut laptop = Laptop::new(folder.path(), "newer");
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    await_report(&collector, &laptop);

    collector.stop();
    let away = gather(&laptop);
    // The same data, the same addresses, today's program: its store is brought over.
    collector.update();
    collector.run();
    is_one_laptop_whose_reports_all_came(&collector, &laptop, away);
    laptop.stop();
    collector.stop();
}

fn await_report(collector: &Collector, laptop: &Laptop) {
    let id = laptop.device();
    eventually("a report", PATIENCE, || {
        let devices = collector.devices()?;
        let found = devices.iter().find(|device| device["id"] == id);
        let device = found.ok_or_else(|| format!("{devices:?}"))?;
        require(device["last_report_at"].is_string(), || format!("{device}"))
    });
    eventually("an acknowledgement", PATIENCE, || {
        let status = laptop.command(&["status"]);
        require(status.status.success(), || {
            format!("{}{}", status.stdout, status.stderr)
        })
    });
}

/// Waits until the laptop has gathered reports without its collector; the time in which it did.
fn gather(laptop: &Laptop) -> (UnixMs, UnixMs) {
    let (from, before) = (wall_clock(), last_sequence(&laptop.data));
    eventually("reports that wait", PATIENCE, || {
        let last = last_sequence(&laptop.data);
        require(last >= before + GATHERED, || {
            format!("{before}, now {last}")
        })
    });
    (from, wall_clock())
}

fn is_one_laptop_whose_reports_all_came(
    collector: &Collector,
    laptop: &Laptop,
    away: (UnixMs, UnixMs),
) {
    let id = laptop.device();
    eventually("all that waited", PATIENCE, || {
        let status = laptop.command(&["status"]);
        require(status.status.success(), || {
            format!("{}{}", status.stdout, status.stderr)
        })?;
        let devices = collector.devices()?;
        require(devices.len() == 1 && devices[0]["id"] == id, || {
            format!("{devices:?}")
        })?;
        let memory = ("system.memory.utilization", "");
        let points = collector.points_between(&id, memory, away)?;
        require(!points.is_empty(), || {
            "nothing of the time without a collector".to_owned()
        })?;
        let missing = collector.metric("rollcall_store_missing_reports_total")?;
        require(missing.abs() < 0.5, || {
            format!("{missing} reports are missing")
        })
    });
}
