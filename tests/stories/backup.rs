//! A collector is lost and restored from a backup that was made while it ran: it is as it was then, the
//! laptops go on, and what was acknowledged in between is counted as a gap and stored by nobody twice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::binaries;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::load::Fleet;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, throughout};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::process::{Finished, run};
use rollcall_tests::rig::smtp::MailServer;
use rollcall_tests::rig::webhook::Receiver;

use crate::settings;

const LAPTOPS: usize = 20;
const GAPS: &str = "rollcall_store_missing_reports_total";

#[test]
fn backup_under_load_is_restored_and_laptops_go_on() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let mut fleet = Fleet::started(&collector, LAPTOPS);
    fleet.await_progress(3000, PATIENCE);
    let backups = folder.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let marks = fleet.marks();
    for _ in 0..3 {
        let out = backups.to_string_lossy().into_owned();
        let _ = collector
            .command(&["backup", "--out", &out, "--keep", "1"])
            .success();
    }
    let made = only_file(&backups);
    let sound = collector.command(&["check"]).success();
    assert!(sound.contains("all is as it was written"), "{sound}");
    fleet.await_progress(1500, PATIENCE);

    collector.kill();
    fleet.expect_set_back();
    let refused = restore(&collector, &made).failure();
    assert!(refused.contains("not empty"), "{refused}");
    fs::remove_dir_all(&collector.data).unwrap();
    let said = restore(&collector, &made).success();
    assert!(said.contains("20 devices"), "{said}");
    collector.run();
    fleet.await_progress(1500, PATIENCE);
    fleet.stop();
    eventually("everything but the gap, once", PATIENCE, || {
        fleet.compare(&collector)
    });
    let lost = fleet.lost();
    assert!(lost >= 1000, "the load between backup and loss: {lost}");
    for (mark, first) in marks.into_iter().zip(fleet.first_lost()) {
        assert!(
            first.is_none_or(|first| first > mark),
            "{first:?} of {mark} is not in the backup"
        );
    }
    let counted = collector.metric(GAPS).unwrap();
    assert!(
        (counted - lost as f64).abs() < 0.5,
        "{counted} of {lost} are counted"
    );
    let audit = collector.command(&["audit", "--limit", "1000"]).success();
    assert!(audit.contains("store.restore"), "{audit}");
    collector.stop();
    let sound = collector.command(&["check"]).success();
    assert!(sound.contains("all is as it was written"), "{sound}");
}

/// The backup is made while an e-mail waits; the laptop is repaired between backup and loss.
#[test]
fn backup_brings_alerts_and_outbox_back_and_the_agent_tells_what_has_changed() {
    let folder = rig::folder();
    let pki = Pki::make(folder.path());
    let mut mail = MailServer::start(folder.path(), &pki);
    let port = mail.port;
    mail.kill();
    let hook = Receiver::start();
    let config = settings::with_channels(folder.path(), port, &pki, &hook)
        .replace("full_s = 5", "full_s = 14400");
    let mut collector = Collector::start(folder.path(), &config);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    eventually("the call that it fired", PATIENCE, || ids(&hook, 1, 1));
    eventually("only the e-mail waits", PATIENCE, || waiting(&collector, 1));
    let file = folder.path().join("one.backup");
    let _ = collector
        .command(&["backup", "--out", &file.to_string_lossy()])
        .success();
    let fired = collector.alerts("firing").unwrap();

    laptop.set_battery("POWER_SUPPLY_ENERGY_FULL", "50000000");
    eventually("the call that it is over", PATIENCE, || ids(&hook, 2, 2));
    collector.kill();
    fs::remove_dir_all(&collector.data).unwrap();
    let _ = restore(&collector, &file).success();
    let mail = MailServer::start_on(folder.path(), &pki, port);
    collector.run();
    eventually("the e-mails that it fired and is over", PATIENCE, || {
        let mails = mail.mails();
        require(mails.len() == 2, || format!("{mails:#?}"))
    });
    eventually("an empty outbox", PATIENCE, || waiting(&collector, 0));
    let resolved = collector.alerts("resolved").unwrap();
    assert!(
        resolved.iter().any(|alert| alert["id"] == fired[0]["id"]),
        "{resolved:?}"
    );
    // What was told in the time that is lost is told once more, under the same id.
    throughout("no further call", QUIET, || ids(&hook, 3, 2));
    assert!(collector.metric(GAPS).unwrap() > 0.0);
    laptop.stop();
    collector.stop();
}

#[test]
fn backup_of_a_stopped_collector_is_whole_and_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = rig::folder();
    let collector = Collector::initialised(folder.path(), "");
    let file = folder.path().join("one.backup");
    let _ = collector
        .command(&["backup", "--out", &file.to_string_lossy()])
        .success();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let data = folder.path().join("restored");
    let mut command = Command::new(binaries::collector());
    command
        .args(["restore", "--from"])
        .arg(&file)
        .arg("--data")
        .arg(&data);
    let _ = run(&mut command, PATIENCE).success();
    for name in [
        "authority/authority.key",
        "authority/authority.pem",
        "admin-token",
    ] {
        let (was, is) = (collector.data.join(name), data.join(name));
        assert_eq!(fs::read(&was).unwrap(), fs::read(&is).unwrap(), "{name}");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&was), mode(&is), "{name}");
    }

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let fresh = folder.path().join("fresh");
    let mut command = Command::new(binaries::collector());
    command
        .args(["restore", "--from"])
        .arg(&file)
        .arg("--data")
        .arg(&fresh);
    let said = run(&mut command, PATIENCE).failure();
    assert!(said.contains("damaged at byte"), "{said}");
    assert!(!fresh.exists());
}

#[test]
fn check_says_what_is_damaged_with_a_status_of_its_own() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    collector.kill();
    let _ = collector.command(&["check"]).success();
    let file = collector.data.join("hot/db");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last - 40] ^= 4;
    fs::write(&file, &bytes).unwrap();
    let found = collector.command(&["check"]);
    assert_eq!(found.status.code(), Some(3), "{found:?}");
    for expected in ["hot: ", "lost: ", "to do: restore the latest backup"] {
        assert!(
            found.stdout.contains(expected),
            "{expected}: {}",
            found.stdout
        );
    }
    assert_eq!(fs::read(&file).unwrap(), bytes, "a check changes nothing");
    collector.spawn();
    let status = collector.process().wait(Duration::from_secs(30));
    assert!(status.code().is_some_and(|code| code > 0), "{status}");
    let log = collector.log();
    assert!(log.contains("durable") || log.contains("damaged"), "{log}");
}

fn restore(collector: &Collector, file: &Path) -> Finished {
    collector.command(&["restore", "--from", &file.to_string_lossy()])
}

fn only_file(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

fn waiting(collector: &Collector, count: u64) -> Result<(), String> {
    let outbox = collector.get("/api/v1/outbox")?;
    require(outbox["waiting"] == count, || outbox.to_string())
}

/// Whether so many calls were accepted, with so many different ids.
fn ids(hook: &Receiver, calls: usize, different: usize) -> Result<(), String> {
    let accepted = hook.accepted();
    let mut ids: Vec<&str> = accepted.iter().map(|call| call.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let exact = accepted.len() == calls && ids.len() == different;
    require(exact, || format!("{accepted:#?}"))
}
