//! A clock that is wrong by ten years keeps no laptop out: its times are corrected, its skew is told.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::device::{Device, runtime};
use rollcall_tests::rig::fake_clock::FakeClock;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, wall_clock};
use serde_json::Value;

use crate::settings;

const YEAR_MS: i64 = 365 * 86_400_000;

fn quick(folder: &std::path::Path) -> String {
    let rules = settings::quick_rule(folder, "clock-wrong");
    format!("rules = \"{}\"\n{}", rules.display(), settings::QUICK)
}

#[test]
fn clocks_ten_years_off_are_corrected_and_reported() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), &quick(folder.path()));
    let token = collector.token(&["--site", "Lincoln", "--uses", "9"]);
    let runtime = runtime();
    for (serial, years) in [("AHEAD", 10), ("BEHIND", -10)] {
        let (device, mut session) = runtime.block_on(async {
            let enrolled = Device::enroll(collector.grpc, &token, serial).await;
            let mut device = enrolled.unwrap();
            device.skew_ms = years * YEAR_MS;
            let session = device.open(collector.grpc, 1).await.unwrap();
            (device, session)
        });
        let mut sequence = 0;
        let report = || {
            sequence += 1;
            let mut report = device.report(sequence);
            report.taken = device.now();
            runtime.block_on(async {
                let message = device.reports(vec![(&report).into()]);
                session.send(message).await.unwrap();
                session.acknowledged(sequence).await.unwrap();
            });
        };
        check_corrected(&collector, &device.id.to_string(), years, report);
    }
    collector.stop();
}

#[test]
fn the_agent_itself_gets_through_with_its_clock_ten_years_off() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), &quick(folder.path()));
    let token = collector.token(&["--site", "Lincoln", "--uses", "9"]);
    for (name, years) in [("ahead", 10), ("behind", -10)] {
        let time = format!("{:+}d", years * 365);
        let Some(clock) = FakeClock::showing(&time) else {
            return rig::skip(
                "the agent under a wrong clock",
                "`faketime` is not installed",
            );
        };
        let mut laptop = Laptop::new(folder.path(), name);
        laptop.set_serials(&format!("4c4c4544-0000-0000-0000-{name}"), name);
        let set = clock
            .variables()
            .map(|(name, value)| format!("{name}={value}"));
        let launcher: Vec<&str> = set.iter().map(String::as_str).collect();
        laptop.launch_by(&[&["env"], &launcher[..]].concat());
        let _ = laptop.enroll(collector.grpc, &token).success();
        laptop.run();
        let id = eventually("its first report", PATIENCE, || {
            let devices = collector.devices()?;
            let skewed = |device: &&Value| {
                let skew = device["clock_skew_ms"].as_i64().unwrap_or(0);
                device["last_report_at"].is_string() && skew.signum() == i64::signum(years)
            };
            let found = devices.iter().find(skewed);
            found
                .map(|device| device["id"].clone())
                .ok_or(format!("{devices:#?}"))
        });
        check_corrected(&collector, id.as_str().unwrap(), years, || {});
        laptop.stop();
    }
    collector.stop();
}

/// Checks what the collector makes of the clock; `report` has the laptop report once more.
fn check_corrected(collector: &Collector, id: &str, years: i64, mut report: impl FnMut()) {
    report();
    let device = eventually("the skew", PATIENCE, || {
        let device = collector.get(&format!("/api/v1/devices/{id}"))?;
        let skew_ms = device["clock_skew_ms"].as_i64().unwrap_or(0);
        let near = (skew_ms - years * YEAR_MS).abs() < 3 * 86_400_000;
        require(near, || format!("{skew_ms} ms: {device:#}"))?;
        Ok::<_, String>(device)
    });
    let now = wall_clock().to_string();
    let last = device["last_report_at"].as_str().unwrap();
    assert_eq!(
        last[..10],
        now[..10],
        "the report is stored with the true date"
    );
    eventually("an alert about the clock", PATIENCE, || {
        report();
        let alerts = collector.alerts("firing")?;
        let found = alerts.iter().any(|alert| {
            alert["device"] == id && alert["rule"].as_str().is_some_and(|r| r.contains("clock"))
        });
        require(found, || format!("{alerts:#?}"))
    });
}
