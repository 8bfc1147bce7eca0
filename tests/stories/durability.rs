//! Nothing acknowledged is lost, nothing is stored twice and nothing is torn: through kills and power cuts
//! at random moments, while reports come in, are sealed, expire, and are backed up; and through disks that
//! are full, read-only, slow or broken.
//!
//! `tests/run durability --long` is the long form: 300 rounds of the random story. `ROLLCALL_ROUNDS` sets
//! another number, `ROLLCALL_SEED` other moments.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::binaries;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::device::{Device, runtime};
use rollcall_tests::rig::load::Fleet;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, since_boot, throughout};
use rollcall_tests::rig::powercut::{Faults, PowerCut};

const LAPTOPS: usize = 12;

/// Rounds where nobody asks for more: each moment twice and more.
const ROUNDS: u32 = 16;

/// Rounds after which everything is compared, which takes longer than a round.
const COMPARE_EVERY: u32 = 25;

/// A few hundred reports a round, so that hundreds of rounds can be compared in the end.
const REST: Duration = Duration::from_millis(100);

/// Weeks of the laptop whose history expires.
const OLD_WEEKS: u64 = 52;

const DAY_MS: u64 = 86_400_000;

/// Fires once for each laptop, when its battery has had so many cycles: with that report.
const CYCLES: u64 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Load,
    Sealing,
    Starting,
    BackingUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kill,
    Cut,
}

#[test]
fn durability_kills_and_cuts_at_random_moments() {
    let rounds = rounds();
    let seed = std::env::var("ROLLCALL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut chance = Chance(seed.unwrap_or(7));
    let folder = rig::folder();
    let (mut collector, power) = PowerCut::around(folder.path(), &config(folder.path(), 400));
    let token = collector.token(&["--site", "Lincoln", "--uses", "1000"]);
    let mut fleet = Fleet::enrolled(&collector, LAPTOPS);
    runtime().block_on(fill_weeks(&collector, &token));
    fleet.rest_between_messages(REST);
    fleet.start(&collector);
    let mut told = Vec::new();
    for round in 1..=rounds {
        fleet.await_progress(20 + chance.below(400), Duration::from_secs(120));
        let (moment, end) = plan(round, &mut chance);
        // A start with a shorter retention removes a week, and so does the upkeep after it.
        let expired = u64::from(round).min(OLD_WEEKS / 2);
        collector.configure(&config(folder.path(), 400 - 7 * expired));
        let mut busy = begin(moment, &mut collector, folder.path());
        let keep_percent = [0, 20, 50, 90][chance.below(4) as usize];
        if moment == Moment::Starting {
            // In order to be starting it has to end first.
            finish(End::Kill, &power, &mut collector, round, keep_percent);
            power.arm();
            collector.spawn();
        }
        wait_ms(chance.below(match moment {
            Moment::Load => 30,
            Moment::Starting => 150,
            Moment::Sealing | Moment::BackingUp => 250,
        }));
        finish(end, &power, &mut collector, round, keep_percent);
        if let Some(child) = &mut busy {
            let _ = child.wait();
        }
        power.arm();
        collector.run();
        let broken = fleet.broken_promise();
        assert_eq!(
            broken, None,
            "round {round}: {end:?} while {moment:?}, {keep_percent} %"
        );
        told.push((moment, end));
        if round % COMPARE_EVERY == 0 {
            let _ = collector.command(&["upkeep", "--merge"]).success();
            compare(&fleet, &collector, round);
        }
    }
    fleet.await_progress(200, PATIENCE);
    fleet.stop();
    compare(&fleet, &collector, rounds);
    agree(&collector);
    collector.stop();
    let said = collector.command(&["check"]).success();
    assert!(said.contains("all is as it was written"), "{said}");
    let cuts = told.iter().filter(|(_, end)| *end == End::Cut).count();
    eprintln!(
        "{rounds} rounds, {cuts} of them power cuts, {} reports acknowledged, {} streams",
        fleet.acknowledged(),
        fleet.streams()
    );
}

fn rounds() -> u32 {
    let rounds = std::env::var("ROLLCALL_ROUNDS").ok();
    rounds
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(ROUNDS)
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Chance(u64);

impl Chance {
    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Each moment with each end in turn, so that a short form has all of them.
fn plan(round: u32, chance: &mut Chance) -> (Moment, End) {
    let moments = [
        Moment::Sealing,
        Moment::Load,
        Moment::Starting,
        Moment::BackingUp,
    ];
    let end = match chance.below(3) {
        0 => End::Kill,
        _ => End::Cut,
    };
    (moments[round as usize % moments.len()], end)
}

fn begin(moment: Moment, collector: &mut Collector, folder: &Path) -> Option<Child> {
    let out = folder.join("cut.backup");
    let out = out.to_string_lossy().into_owned();
    match moment {
        Moment::Load | Moment::Starting => None,
        Moment::Sealing => Some(start(collector, &["upkeep"])),
        Moment::BackingUp => Some(start(collector, &["backup", "--out", &out])),
    }
}

fn start(collector: &Collector, arguments: &[&str]) -> Child {
    let mut command = Command::new(binaries::collector());
    command.args(arguments).arg("--data").arg(&collector.data);
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().unwrap()
}

fn finish(end: End, power: &PowerCut, collector: &mut Collector, seed: u32, keep_percent: u32) {
    match end {
        End::Kill => collector.kill(),
        End::Cut => power.cut(collector.process(), seed, keep_percent),
    }
}

fn compare(fleet: &Fleet, collector: &Collector, round: u32) {
    eventually(
        &format!("everything, once, after round {round}"),
        PATIENCE,
        || fleet.compare(collector),
    );
}

/// Every laptop is beyond the threshold, so each has exactly one alert, the reading that it is of is in
/// the store, and the channel, which cannot be reached, has exactly one message of it.
fn agree(collector: &Collector) {
    eventually("one alert a laptop", PATIENCE, || {
        let firing = collector.alerts("firing")?;
        require(firing.len() == LAPTOPS, || {
            format!("{} alerts", firing.len())
        })
    });
    let firing = collector.alerts("firing").unwrap();
    for alert in &firing {
        let device = alert["device"]
            .as_str()
            .or_else(|| alert["device"]["id"].as_str());
        let points = collector
            .series(device.unwrap(), "hw.battery.cycles", "BAT0")
            .unwrap();
        let beyond = points.iter().filter_map(|point| point["value"].as_f64());
        assert!(beyond.fold(0.0, f64::max) >= CYCLES as f64, "{alert}");
    }
    eventually("one message an alert", PATIENCE, || {
        let outbox = collector.get("/api/v1/outbox")?;
        require(outbox["waiting"] == LAPTOPS, || outbox.to_string())
    });
}

fn config(folder: &Path, retention_days: u64) -> String {
    let rules = folder.join("rules.toml");
    let text = format!(
        "[[rule]]\nname = \"battery-worn\"\ntitle = \"Many cycles\"\nseverity = \"warning\"\n\
         audience = \"help-desk\"\nall = [{{ metric = \"hw.battery.cycles\", op = \"at-least\", \
         value = {CYCLES}, clear = 1, says = \"{{value}} cycles\" }}]\nfor = \"1s\"\n\
         runbook = \"battery-worn\"\n[rule.family]\nen = \"Many cycles.\"\n"
    );
    fs::write(&rules, text).unwrap();
    let secret = folder.join("hook-secret");
    fs::write(&secret, "whsec_YSB3ZWJob29rIHNlY3JldCBvZiAyNCBi").unwrap();
    format!(
        "rules = \"{}\"\n[store]\nretention_days = {retention_days}\nraw_days = {retention_days}\n[[channel]]\nname = \"hook\"\n\
         kind = \"webhook\"\nurl = \"http://127.0.0.1:9/hook\"\nsecret_file = \"{}\"\n",
        rules.display(),
        secret.display()
    )
}

/// A laptop with a report in each week of the last year, for the retention to remove.
async fn fill_weeks(collector: &Collector, token: &str) {
    let mut device = Device::enroll(collector.grpc, token, "OLD").await.unwrap();
    (device.history_ms, device.step_ms) = (OLD_WEEKS * 7 * DAY_MS, 7 * DAY_MS);
    let mut session = device.open(collector.grpc, 1).await.unwrap();
    // Few enough cycles for no alert.
    let reports = (1..OLD_WEEKS)
        .map(|week| (&device.report(week)).into())
        .collect();
    session.send(device.reports(reports)).await.unwrap();
    session.acknowledged(OLD_WEEKS - 1).await.unwrap();
}

/// Errors of the disk: the process ends with a clear word, a start meanwhile says it too, and when the
/// cause is gone everything that was acknowledged is there.
#[test]
fn durability_on_a_disk_that_refuses() {
    use rustix::io::Errno;
    let cases = [
        (
            Faults {
                error: Errno::NOSPC.raw_os_error(),
                ..Faults::default()
            },
            "No space left",
        ),
        (
            Faults {
                error: Errno::ROFS.raw_os_error(),
                ..Faults::default()
            },
            "Read-only file system",
        ),
        (
            Faults {
                sync_error: Errno::IO.raw_os_error(),
                ..Faults::default()
            },
            "Input/output error",
        ),
    ];
    let folder = rig::folder();
    let (mut collector, power) = PowerCut::around(folder.path(), "");
    let mut fleet = Fleet::started(&collector, LAPTOPS);
    for (faults, words) in cases {
        fleet.await_progress(300, PATIENCE);
        power.fault(faults);
        let status = collector.process().wait(PATIENCE);
        assert!(
            status.code().is_some_and(|code| code > 0),
            "{words}: {status}"
        );
        let before = collector.log();
        assert!(before.contains(words), "{words}: {before}");
        collector.spawn();
        let status = collector.process().wait(PATIENCE);
        assert!(
            status.code().is_some_and(|code| code > 0),
            "{words}: {status}"
        );
        let after = collector.log();
        assert!(after[before.len()..].contains(words), "{words}: {after}");
        power.fault(Faults::default());
        collector.run();
        fleet.await_progress(300, PATIENCE);
        assert_eq!(fleet.broken_promise(), None, "{words}");
    }
    fleet.stop();
    eventually("everything, once", PATIENCE, || fleet.compare(&collector));
    collector.stop();
}

/// Acknowledgements wait for a slow disk, the laptops stay, and nobody is told that they have gone.
#[test]
fn durability_on_a_disk_that_is_slow() {
    const DELAY_MS: u32 = 1500;
    let folder = rig::folder();
    let (mut collector, power) = PowerCut::around(folder.path(), "");
    let mut fleet = Fleet::started(&collector, LAPTOPS);
    fleet.await_progress(500, PATIENCE);
    let streams = fleet.streams();
    power.fault(Faults {
        sync_delay_ms: DELAY_MS,
        ..Faults::default()
    });
    let (began, commits) = (since_boot(), commits(&collector));
    fleet.await_progress(LAPTOPS as u64 * 7 * 4, Duration::from_secs(120));
    let took = since_boot().since(began).as_millis();
    let done = commits_since(&collector, commits);
    assert!(
        took + 500 >= u128::from(DELAY_MS) * u128::from(done.saturating_sub(1)),
        "{done} commits in {took} ms"
    );
    throughout("laptops that stay", QUIET, || {
        require(fleet.streams() == streams, || {
            format!("{} streams after {streams}", fleet.streams())
        })?;
        let devices = collector.devices()?;
        let away = devices
            .iter()
            .filter(|device| device["connected"] == false)
            .count();
        require(away == 0, || format!("{away} laptops are said to be away"))?;
        let firing = collector.alerts("firing")?;
        require(firing.is_empty(), || format!("{firing:?}"))
    });
    power.cut(collector.process(), 3, 50);
    power.fault(Faults::default());
    power.arm();
    collector.run();
    fleet.await_progress(300, PATIENCE);
    assert_eq!(fleet.broken_promise(), None);
    fleet.stop();
    eventually("everything, once", PATIENCE, || fleet.compare(&collector));
    collector.stop();
}

fn commits(collector: &Collector) -> u64 {
    collector.metric("rollcall_store_commits_total").unwrap() as u64
}

fn commits_since(collector: &Collector, before: u64) -> u64 {
    commits(collector) - before
}

#[expect(
    clippy::disallowed_methods,
    reason = "the random moment of a cut is what the story is about"
)]
fn wait_ms(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
