use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollcall_shared::limits;
use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::time::days_from_civil;

use super::calendar::{DayKind, Local, Zone, kind_of};
use super::*;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn day(year: i64, month: u32, date: u32) -> i64 {
    days_from_civil(year, month, date)
}

/// Ten in the morning in the east on a Tuesday with lessons.
fn tuesday() -> UnixMs {
    Zone::Eastern.moment(Local {
        day: day(2026, 11, 17),
        second: 10 * 3600,
    })
}

fn number(readings: &[Reading], metric: &'static Metric) -> Option<f64> {
    readings
        .iter()
        .find(|reading| reading.metric() == metric)?
        .value()
        .as_number()
}

fn share(of: u32, holds: impl Fn(&Laptop) -> bool) -> f64 {
    let fleet = Fleet::new(1);
    (0..of)
        .filter(|number| holds(&fleet.laptop(*number)))
        .count() as f64
        / f64::from(of)
}

fn assert_near(what: &str, measured: f64, declared: f64, tolerance: f64) {
    assert!(
        (measured - declared).abs() <= tolerance,
        "{what}: {measured}, declared {declared}"
    );
}

#[test]
fn the_same_seed_gives_the_same_readings_and_another_gives_others() {
    let samples = |seed| -> Vec<Sample> {
        let from = tuesday();
        Fleet::new(seed)
            .fill(0..20, from, from.plus_ms(HOUR_MS), Duration::from_secs(60))
            .collect()
    };
    assert_eq!(samples(5), samples(5));
    assert_ne!(samples(5), samples(6));
    // Any moment stands by itself: nothing depends on the moments before it.
    let last = samples(5)
        .into_iter()
        .rev()
        .find(|sample| sample.at.seconds() % 3600 == 0 || sample.full);
    let last = last.expect("somebody opens the lid within the hour");
    assert_eq!(
        Fleet::new(5).laptop(last.device).readings(last.at),
        Some(last.readings)
    );
}

#[test]
fn every_reading_fits_the_catalogue_all_year_round() {
    let mut seen = BTreeSet::new();
    let mut most = 0;
    for laptop in (0..120).map(|n| Fleet::new(n).laptop(u32::try_from(n).unwrap())) {
        // Steps of 5 h 47 min visit every hour of the day.
        for at in (0..1500).map(|n| UnixMs(day(2026, 1, 1) * DAY_MS + n * 20_820_000)) {
            // A reading that does not fit panics where it is written.
            let Some(readings) = laptop.readings(at) else {
                continue;
            };
            most = most.max(readings.len());
            let keys: BTreeSet<_> = readings
                .iter()
                .map(|r| (r.metric().code, r.instance().to_owned()))
                .collect();
            assert_eq!(keys.len(), readings.len(), "nothing is read twice");
            seen.extend(readings.iter().map(|reading| reading.metric().code));
        }
    }
    assert!(
        (60..limits::READINGS_PER_REPORT).contains(&most),
        "{most} readings"
    );
    let collectors = [metric::CLOCK_OFFSET.code];
    let of_agent = [
        &metric::SPOOL_DROPPED,
        &metric::SPOOL_CORRUPT,
        &metric::SPOOL_BYTES,
        &metric::PROBE_STATE,
    ];
    let missing = metric::CATALOGUE.iter().filter(|metric| {
        !seen.contains(&metric.code)
            && !collectors.contains(&metric.code)
            && !of_agent.contains(metric)
    });
    assert_eq!(
        missing.map(|metric| metric.name).collect::<Vec<_>>(),
        [] as [&str; 0]
    );
}

#[test]
fn counters_do_not_go_back_while_a_part_lives() {
    let parts = [
        metric::BATTERY_CYCLES.code,
        metric::DRIVE_POWER_ON.code,
        metric::DRIVE_REALLOCATED.code,
        metric::NVME_WRITTEN.code,
    ];
    for laptop in (0..40).map(|number| Fleet::new(2).laptop(number)) {
        let mut last: BTreeMap<u16, f64> = BTreeMap::new();
        let mut falls = 0;
        for at in (0..700).map(|n| tuesday().plus_ms(n * 86_000_000)) {
            for reading in laptop.readings(at).unwrap_or_default() {
                let Some(value) = reading.value().as_number() else {
                    continue;
                };
                if parts.contains(&reading.metric().code) {
                    falls += u32::from(
                        last.insert(reading.metric().code, value)
                            .is_some_and(|before| before > value),
                    );
                }
            }
        }
        // Within 23 months a battery is replaced at most once, a frail drive twice, of which three
        // counters tell.
        assert!(falls <= 7, "laptop {}: {falls} falls", laptop.number());
    }
}

#[test]
fn laptops_work_on_school_days_and_sleep_at_night() {
    let laptops: Vec<Laptop> = (0..300)
        .map(|number| Fleet::new(4).laptop(number))
        .collect();
    let awake = |date: i64, second: u32| {
        let at = |laptop: &Laptop| laptop.school().zone.moment(Local { day: date, second });
        laptops
            .iter()
            .filter(|laptop| laptop.moment(at(laptop)).is_some())
            .count()
    };
    let (school, weekend) = (day(2026, 11, 17), day(2026, 11, 21));
    let (holiday, summer) = (day(2026, 11, 26), day(2026, 7, 15));
    assert_eq!(
        (kind_of(school), kind_of(holiday), kind_of(summer)),
        (DayKind::School, DayKind::Holiday, DayKind::Summer)
    );
    let lesson = 10 * 3600 + 30 * 60;
    assert!(awake(school, lesson) > 200, "{}", awake(school, lesson));
    for night in [0, 2 * 3600, 5 * 3600, 24 * 3600 - 60] {
        assert_eq!(awake(school, night), 0);
    }
    let free = [awake(weekend, lesson), awake(holiday, lesson)];
    assert!(
        free.iter().all(|count| (10..90).contains(count)),
        "{free:?}"
    );
    assert!(awake(summer, lesson) < 30, "{}", awake(summer, lesson));
}

#[test]
fn lessons_are_on_campus_and_evenings_are_not() {
    let mut counts = BTreeMap::new();
    for laptop in (0..200).map(|number| Fleet::new(4).laptop(number)) {
        for (hour, lesson) in [(10, true), (13, true), (18, false), (20, false)] {
            let at = laptop.school().zone.moment(Local {
                day: day(2026, 11, 17),
                second: hour * 3600,
            });
            let Some(moment) = laptop.moment(at) else {
                continue;
            };
            let vantage = laptop.read(&moment, [Probe::Network], &TARGETS)[0]
                .value()
                .to_string();
            let on_campus = format!("on-campus:{}", laptop.school().name);
            assert!(vantage == "off-campus" || vantage == on_campus, "{vantage}");
            *counts.entry((lesson, vantage == on_campus)).or_insert(0) += 1;
        }
    }
    // Who is ill stays at home.
    assert!(
        counts[&(true, true)] > 20 * counts[&(true, false)],
        "{counts:?}"
    );
    assert!(
        counts[&(false, false)] > 50 && !counts.contains_key(&(false, true)),
        "{counts:?}"
    );
}

#[test]
fn a_battery_drains_over_a_school_day_and_is_full_the_next_morning() {
    let (mut drained, mut recovered) = (0, 0);
    for laptop in (0..200).map(|number| Fleet::new(9).laptop(number)) {
        let charge = |date, hour: f64| {
            let second = (hour * 3600.0) as u32;
            let at = laptop.school().zone.moment(Local { day: date, second });
            number(&laptop.readings(at)?, &metric::BATTERY_CHARGE)
        };
        let (morning, noon) = (
            charge(day(2026, 11, 17), 8.5),
            charge(day(2026, 11, 17), 14.5),
        );
        let Some((morning, noon)) = morning.zip(noon) else {
            continue;
        };
        drained += u32::from(noon < morning - 0.1);
        recovered += u32::from(charge(day(2026, 11, 18), 8.5).is_some_and(|next| next > noon));
    }
    assert!(
        drained > 60 && recovered > 50,
        "{drained} drained, {recovered} recovered"
    );
}

#[test]
fn batteries_are_worn_in_the_shares_of_real_ones() {
    let health = |laptop: &Laptop| Battery::of(laptop, tuesday()).true_health();
    // Of 96 real laptops 12 were below 60 % and 31 more below 80 %.
    assert_near(
        "below 60 %",
        share(4000, |laptop| health(laptop) < 0.6),
        0.125,
        0.03,
    );
    assert_near(
        "60 to 80 %",
        share(4000, |laptop| (0.6..0.8).contains(&health(laptop))),
        0.32,
        0.05,
    );
    let equal = |laptop: &Laptop| {
        let (full, design) = Battery::of(laptop, tuesday()).told_mwh();
        full == design
    };
    assert_near(
        "full equals design",
        share(4000, equal),
        shares::FROZEN_FIRMWARE + shares::MIRROR_FIRMWARE,
        0.01,
    );
}

#[test]
fn firmware_jumps_and_moves_its_design_capacity_in_real_shares() {
    let start = tuesday();
    let told = |laptop: &Laptop| -> Vec<(f64, f64)> {
        let weeks =
            (0..52).map(|week| Battery::of(laptop, start.plus_ms(week * 7 * DAY_MS)).told_mwh());
        weeks.collect()
    };
    let falls = |laptop: &Laptop| {
        told(laptop)
            .windows(2)
            .any(|pair| pair[1].0 < pair[0].0 * 0.9)
    };
    let moves = |laptop: &Laptop| told(laptop).windows(2).any(|pair| pair[1].1 < pair[0].1);
    let falling = share(800, falls);
    assert!(
        (0.08..0.35).contains(&falling),
        "more than 10 % at once: {falling}"
    );
    assert_near(
        "moving design",
        share(800, moves),
        shares::MIRROR_FIRMWARE,
        0.02,
    );
}

#[test]
fn a_worn_battery_grows_worse_over_months() {
    let laptop = Fleet::new(1).laptop(3);
    let health =
        |months: i64| Battery::of(&laptop, tuesday().plus_ms(months * 30 * DAY_MS)).true_health();
    let falls = (0..24)
        .filter(|month| health(month + 1) < health(*month))
        .count();
    assert!(falls >= 23, "{falls}: it is replaced at most once");
}

#[test]
fn drives_fail_in_the_declared_share_and_most_tell_before() {
    // A frail drive lives 610 days on average; it shows signs for the last 120 in two of three.
    let failing = share(4000, |laptop| Drive::of(laptop, tuesday()).is_failing());
    let expected = shares::FRAIL_DRIVES
        * ((1.0 - shares::SILENT_FAILURES) * 135.0 + shares::SILENT_FAILURES * 21.0)
        / 610.0;
    assert_near("failing now", failing, expected, 0.008);
    let days = |laptop: &Laptop| -> Vec<Drive> {
        (0..900)
            .map(|n| Drive::of(laptop, tuesday().plus_ms(n * DAY_MS)))
            .collect()
    };
    let fails = share(400, |laptop| days(laptop).iter().any(Drive::has_failed));
    assert_near("failed within 900 days", fails, shares::FRAIL_DRIVES, 0.01);
    let warned = |laptop: &Laptop| {
        days(laptop)
            .windows(2)
            .any(|d| !d[0].has_failed() && d[1].has_failed() && d[0].is_failing())
    };
    let told = share(400, warned) / fails;
    assert!((0.5..0.9).contains(&told), "{told} told before they failed");
}

#[test]
fn smart_counters_grow_before_a_failure() {
    let fleet = Fleet::new(1);
    let mut grown = 0;
    for laptop in (0..600).map(|number| fleet.laptop(number)) {
        let mut counts = Vec::new();
        for at in (0..600).map(|n| tuesday().plus_ms(n * DAY_MS)) {
            let Some(moment) = laptop.moment(at).filter(|moment| moment.drive.is_failing()) else {
                continue;
            };
            let readings = laptop.read(&moment, [Probe::Drive], &TARGETS);
            counts.extend(number(&readings, &metric::DRIVE_REALLOCATED));
        }
        grown += u32::from(
            counts
                .first()
                .zip(counts.last())
                .is_some_and(|(first, last)| last > first),
        );
    }
    assert!(grown >= 3, "{grown}");
}

#[test]
fn clocks_are_wrong_in_the_declared_share() {
    let at = tuesday();
    let skew = |laptop: &Laptop| laptop.taken(at).wall.since(at).unsigned_abs();
    let reported = limits::CLOCK_SKEW_REPORTED.as_millis();
    let wrong = share(3000, |laptop| u128::from(skew(laptop)) > reported);
    assert_near("wrong clocks", wrong, shares::WRONG_CLOCKS, 0.004);
    let years = share(3000, |laptop| {
        laptop.clock() == WallClock::Reset && skew(laptop) > 1_000_000_000
    });
    assert!(years > 0.002, "{years}");
    // Time since boot is right for all, and grows within one boot.
    for laptop in (0..50).map(|number| Fleet::new(1).laptop(number)) {
        let (a, b) = (laptop.taken(at), laptop.taken(at.plus_ms(60_000)));
        assert_eq!((a.boot, b.since_boot.0), (b.boot, a.since_boot.0 + 60_000));
        assert_ne!(
            laptop.taken(at.plus_ms(70 * DAY_MS)).boot,
            a.boot,
            "restarted within 60 days"
        );
    }
}

#[test]
fn clones_share_a_drive_and_no_board() {
    let fleet = Fleet::new(1);
    assert_near(
        "clones",
        share(2000, |laptop| laptop.clone_of().is_some()),
        shares::CLONES,
        0.004,
    );
    let clone = (0..200)
        .map(|n| fleet.laptop(n))
        .find(|laptop| laptop.clone_of().is_some())
        .unwrap();
    let original = fleet.laptop(clone.clone_of().unwrap());
    let (a, b) = (clone.fingerprint(), original.fingerprint());
    assert_eq!(a.drive_serial, b.drive_serial);
    assert!(!a.is_same_machine(&b) && original.clone_of().is_none());
}

#[test]
fn disks_fill_until_they_are_cleaned_up_and_some_are_full() {
    let full = share(3000, |laptop| {
        filesystem::utilization(laptop, tuesday()) > 0.95
    });
    assert!((0.01..0.04).contains(&full), "{full}");
    let full_once = share(300, |laptop| {
        (0..900).any(|n| filesystem::utilization(laptop, tuesday().plus_ms(n * DAY_MS)) > 0.95)
    });
    assert_near("full within 900 days", full_once, shares::FULL_DISKS, 0.02);
    let bursts = share(300, |laptop| {
        let weekly: Vec<f64> = (0..100)
            .map(|n| filesystem::utilization(laptop, tuesday().plus_ms(n * 7 * DAY_MS)))
            .collect();
        weekly.windows(2).any(|pair| pair[1] > pair[0] + 0.03)
    });
    assert!((0.05..0.4).contains(&bursts), "{bursts}");
}

#[test]
fn homes_are_flaky_in_the_declared_share_and_name_the_stage() {
    let flaky = |laptop: &Laptop| {
        (0..200)
            .filter(|n| {
                network::outage(laptop, Place::Home, tuesday().plus_ms(n * HOUR_MS)).is_some()
            })
            .count()
    };
    assert_near(
        "flaky",
        share(600, |laptop| (12..80).contains(&flaky(laptop))),
        shares::FLAKY_HOMES,
        0.02,
    );
    assert_near(
        "without",
        share(600, |laptop| flaky(laptop) == 200),
        shares::HOMES_WITHOUT,
        0.01,
    );
    let mut stages = BTreeSet::new();
    for laptop in (0..400).map(|number| Fleet::new(1).laptop(number)) {
        for n in 0..60 {
            let Some(moment) = laptop.moment(tuesday().plus_ms(n * 9 * HOUR_MS)) else {
                continue;
            };
            for reading in laptop.read(&moment, [Probe::Network], &TARGETS) {
                if reading.metric() == &metric::REACH_FAILED_STAGE {
                    stages.insert(reading.value().to_string());
                }
            }
        }
    }
    let all = ["none", "link", "address", "gateway", "dns", "tcp", "http"];
    assert!(
        all.iter().all(|stage| stages.contains(*stage)),
        "{stages:?}"
    );
}

#[test]
fn an_outage_of_a_school_is_everybodys() {
    let fleet = Fleet::new(1);
    let laptops: Vec<Laptop> = (0..400).map(|number| fleet.laptop(number)).collect();
    let mut outages = 0;
    for slot in 0..20_000 {
        let at = tuesday().plus_ms(slot * 1_800_000);
        let here = laptops
            .iter()
            .filter(|laptop| laptop.school() == laptops[0].school());
        let down: BTreeSet<bool> = here
            .take(5)
            .map(|laptop| network::outage(laptop, Place::Campus, at).is_some())
            .collect();
        assert_eq!(down.len(), 1, "all or nobody");
        outages += u32::from(down.contains(&true));
    }
    assert!((1..60).contains(&outages), "{outages}");
}

#[test]
fn schools_lie_in_two_zones_and_models_are_marked_as_simulated() {
    let fleet = Fleet::new(1);
    let laptops: Vec<Laptop> = (0..3000).map(|number| fleet.laptop(number)).collect();
    let schools: BTreeSet<&str> = laptops
        .iter()
        .map(|laptop| laptop.school().name.as_str())
        .collect();
    assert_eq!(schools.len(), 12, "six for each 2,400: {schools:?}");
    let zones: BTreeSet<bool> = laptops
        .iter()
        .map(|laptop| laptop.school().zone == Zone::Central)
        .collect();
    assert_eq!(zones.len(), 2);
    let many: BTreeSet<String> = (0..500_000)
        .step_by(300)
        .map(|n| fleet.laptop(n).school().name.clone())
        .collect();
    let indices: BTreeSet<u32> = (0..500_000)
        .step_by(300)
        .map(|n| fleet.laptop(n).school().index)
        .collect();
    assert_eq!(many.len(), indices.len(), "no two schools share a name");
    let models: BTreeSet<String> = laptops.iter().map(Laptop::model).collect();
    assert_eq!(models.len(), 10);
    for readings in laptops
        .iter()
        .filter_map(|laptop| laptop.readings(tuesday()))
    {
        let model = readings
            .iter()
            .find(|reading| reading.metric() == &metric::HOST_MODEL)
            .unwrap();
        assert!(model.value().to_string().starts_with("Simulated "));
    }
}

#[test]
fn a_day_of_changes_is_as_small_as_an_agents() {
    let schedule = Schedule::default();
    let (mut reports, mut readings, mut days) = (0, 0, 0);
    for laptop in (0..30).map(|number| Fleet::new(1).laptop(number)) {
        let mut changes = Changes::default();
        let midnight = laptop.school().zone.moment(Local {
            day: day(2026, 11, 17),
            second: 0,
        });
        days += 1;
        for minute in 0..1440 {
            let at = midnight.plus_ms(minute * 60_000);
            let Some(moment) = laptop.moment(at) else {
                continue;
            };
            let full = changes.is_full_due(at, schedule.full_s);
            let due: Vec<Probe> = if full {
                Probe::ALL.to_vec()
            } else {
                Probe::due(&schedule, at.plus_ms(-60_000), at).collect()
            };
            if let Some(changed) = changes.take(at, laptop.read(&moment, due, &TARGETS), full) {
                reports += 1;
                readings += changed.readings.len();
            }
        }
    }
    let (reports, readings) = (reports / days, readings / days);
    assert!((50..420).contains(&reports), "{reports} reports a day");
    assert!((300..4000).contains(&readings), "{readings} readings a day");
}

#[test]
fn every_state_word_is_one_of_its_metric() {
    // `Reading::new` checks it; this makes sure that states are exercised at all.
    let states = metric::CATALOGUE
        .iter()
        .filter(|metric| matches!(metric.kind, Kind::State(_)));
    let mut words: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for laptop in (0..400).map(|number| Fleet::new(8).laptop(number)) {
        for n in 0..12 {
            for reading in laptop
                .readings(tuesday().plus_ms(n * HOUR_MS))
                .unwrap_or_default()
            {
                words
                    .entry(reading.metric().name)
                    .or_default()
                    .insert(reading.value().to_string());
            }
        }
    }
    let fixed = [
        "rollcall.probe.state",
        "system.network.link.kind",
        "host.environment",
        "network.proxy.kind",
    ];
    for metric in states.filter(|metric| !fixed.contains(&metric.name)) {
        assert!(
            words[metric.name].len() > 1,
            "{}: {:?}",
            metric.name,
            words[metric.name]
        );
    }
}

#[test]
fn a_fill_goes_by_time_and_then_by_laptop_and_begins_with_everything() {
    let from = tuesday();
    let until = from.plus_ms(30 * 60_000);
    let fill = Fleet::new(1).fill(10..40, from, until, Duration::from_secs(60));
    let samples: Vec<Sample> = fill.collect();
    assert!(samples.is_sorted_by_key(|sample| (sample.at, sample.device)));
    assert!(
        samples
            .iter()
            .all(|sample| (from..until).contains(&sample.at))
    );
    let mut met = BTreeSet::new();
    for sample in &samples {
        if met.insert(sample.device) {
            assert!(sample.full && sample.readings.len() > 60);
        }
    }
    let partial = samples.iter().filter(|sample| !sample.full);
    let sizes: BTreeSet<usize> = partial.map(|sample| sample.readings.len()).collect();
    assert!(
        sizes.len() > 2,
        "every fifth minute has more to read: {sizes:?}"
    );
    assert!((10..40).contains(met.last().expect("somebody is awake")));
    let nobody = Fleet::new(1).fill(5..5, from, until, Duration::ZERO);
    assert_eq!(nobody.count(), 0);
}
