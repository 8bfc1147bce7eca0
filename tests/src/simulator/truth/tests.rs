use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::simulator::calendar::{Local, Zone};
use crate::simulator::scenario::{Event, Scenario};
use crate::simulator::{Outage, Place};
use clap::ValueEnum as _;
use rollcall_shared::metric;
use rollcall_shared::time::days_from_civil;

const HOUR_MS: i64 = 3_600_000;

/// Ten in the morning in the east, on a Tuesday with lessons.
fn tuesday() -> UnixMs {
    Zone::Eastern.moment(Local {
        day: days_from_civil(2026, 11, 17),
        second: 10 * 3600,
    })
}

fn event(scenario: Scenario) -> Fleet {
    let from = tuesday();
    Fleet::new(11).with(Event { scenario, from })
}

fn truths(fleet: Fleet, devices: u32, days: i64) -> Vec<Truth> {
    let until = tuesday().plus_ms(days * DAY_MS);
    fleet
        .truths(0..devices, tuesday().plus_ms(-HOUR_MS), until)
        .collect()
}

#[test]
fn the_truth_is_the_same_each_time_and_in_plausible_shares() {
    let all = truths(Fleet::new(11), 2000, 7);
    assert_eq!(all, truths(Fleet::new(11), 2000, 7));
    let mut devices: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for truth in &all {
        devices.entry(truth.fault).or_default().insert(truth.device);
    }
    let share = |fault| {
        devices
            .get(fault)
            .map_or(0.0, |those| those.len() as f64 / 2000.0)
    };
    let expected = [
        ("battery-worn", 0.09, 0.18),
        ("battery-not-charging", 0.01, 0.03),
        ("disk-nearly-full", 0.01, 0.10),
        ("drive-failing", 0.005, 0.04),
        ("updates-failing", 0.03, 0.05),
        ("overheating", 0.015, 0.025),
        ("clock-wrong", 0.02, 0.04),
        ("tls-intercepted", 0.01, 0.03),
        ("clone", 0.03, 0.05),
    ];
    for (fault, low, high) in expected {
        let share = share(fault);
        assert!((low..=high).contains(&share), "{fault}: {share}");
    }
    assert!(share("drive-failed") < share("drive-failing"));
}

#[test]
fn each_scenario_befalls_whom_its_truth_names() {
    for scenario in Scenario::value_variants() {
        let fleet = event(*scenario);
        let with = truths(fleet, 600, 40);
        let caused: Vec<&Truth> = with
            .iter()
            .filter(|truth| !truth.cause.is_empty())
            .collect();
        let befallen: BTreeSet<u32> = caused.iter().map(|truth| truth.device).collect();
        assert!(befallen.len() >= 20, "{scenario:?}: {}", befallen.len());
        for truth in caused.iter().filter(|t| t.cause.starts_with("site:")) {
            let site = fleet.laptop(truth.device).school().name.clone();
            assert_eq!(truth.cause, format!("site:{site}"));
        }
        for truth in caused.iter().filter(|t| t.cause.starts_with("model:")) {
            let model = fleet.laptop(truth.device).model();
            assert_eq!(truth.cause, format!("model:{model}"));
        }
    }
}

#[test]
fn who_is_in_an_outage_is_cut_off_and_nobody_else_is() {
    for scenario in [Scenario::SchoolOutage, Scenario::DistrictOutage] {
        let (fleet, quiet) = (event(scenario), Fleet::new(11));
        let (mut cut, mut others) = (0, 0);
        for number in 0..600 {
            for at in [tuesday().plus_ms(HOUR_MS), tuesday().plus_ms(26 * HOUR_MS)] {
                let laptop = fleet.laptop(number);
                let truth = fleet.truths(number..number + 1, at, at.plus_ms(1));
                let is_true = truth
                    .into_iter()
                    .any(|truth| truth.fault == "no-platform-at-school");
                let Some(moment) = laptop.moment(at).filter(|m| m.place == Place::Campus) else {
                    continue;
                };
                // A radio that loses its network for a minute is that laptop's own.
                let is_cut = moment.outage.is_some_and(|outage| outage != Outage::Link);
                assert_eq!(is_cut, is_true, "{scenario:?} {number}");
                let before = quiet.laptop(number).moment(at);
                assert_eq!(before.map(|m| m.booted), Some(moment.booted));
                (cut, others) = (cut + u32::from(is_true), others + u32::from(!is_true));
            }
        }
        assert!(
            cut > 40 && others > 100,
            "{scenario:?}: {cut} cut off, {others} not"
        );
    }
}

#[test]
fn a_bad_update_shows_in_the_build_and_in_a_link_that_comes_and_goes() {
    let fleet = event(Scenario::WifiUpdate);
    let (mut down, mut looks) = (0, 0);
    for truth in truths(fleet, 300, 6)
        .iter()
        .filter(|t| t.fault == "wifi-broken")
    {
        let laptop = fleet.laptop(truth.device);
        let builds = |at: UnixMs| {
            let readings = laptop.readings(at)?;
            let build = readings.iter().find(|r| *r.metric() == metric::OS_BUILD)?;
            Some(build.value().to_string())
        };
        for hour in 0..100 {
            let at = truth.from.plus_ms(hour * HOUR_MS);
            let Some(moment) = laptop.moment(at) else {
                continue;
            };
            looks += 1;
            down += u32::from(moment.outage == Some(Outage::Link));
            assert!(builds(at).is_some_and(|build| build.ends_with(".9999")));
        }
        let before = (1..60).find_map(|hour| builds(truth.from.plus_ms(-hour * HOUR_MS)));
        assert!(before.is_none_or(|build| !build.ends_with(".9999")));
    }
    let share = f64::from(down) / f64::from(looks);
    assert!(
        looks > 100 && (0.3..0.5).contains(&share),
        "{down} of {looks}"
    );
}

#[test]
fn a_batch_of_batteries_and_full_disks_grow_into_their_faults() {
    for (scenario, fault) in [
        (Scenario::BatteryBatch, "battery-worn"),
        (Scenario::FullDisks, "disk-full"),
    ] {
        let count = |fleet| {
            truths(fleet, 300, 40)
                .iter()
                .filter(|t| t.fault == fault)
                .count()
        };
        let (with, without) = (count(event(scenario)), count(Fleet::new(11)));
        assert!(
            with > without + 20,
            "{scenario:?}: {with}, ordinarily {without}"
        );
    }
}

#[test]
fn labels_are_what_a_backtest_reads_and_only_what_begins_within_the_time() {
    let fleet = event(Scenario::BatteryBatch);
    let (from, until) = (tuesday().plus_ms(-HOUR_MS), tuesday().plus_ms(60 * DAY_MS));
    let mut text = Vec::new();
    let named = |number: u32| format!("laptop-{number}");
    write_labels(fleet.truths(0..300, from, until), from, named, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert!(
        rows.iter()
            .filter(|row| row.contains(",battery-worn,2026-"))
            .count()
            > 20,
        "{text}"
    );
    let mut truth = Vec::new();
    write_truths(fleet.truths(0..300, from, until), named, &mut truth).unwrap();
    let truth = String::from_utf8(truth).unwrap();
    assert!(truth.starts_with("device,fault,from,until,cause\nlaptop-"));
    assert!(truth.lines().count() > rows.len());
}
