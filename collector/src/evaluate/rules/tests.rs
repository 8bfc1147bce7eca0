mod habits;

use proptest::prelude::*;
use rollcall_shared::metric::{self, Metric};

use super::super::device::laptop::{DAY, HOUR, Laptop, MINUTE};
use super::*;

const GIB: f64 = 1_073_741_824.0;

type Read<'a> = (&'static Metric, &'a str, Value);
type Readings<'a> = Vec<Read<'a>>;

fn number<'a>(metric: &'static Metric, instance: &'a str, value: f64) -> Read<'a> {
    (metric, instance, Value::Number(value))
}

fn word<'a>(metric: &'static Metric, i: &'a str, value: &str) -> Read<'a> {
    (metric, i, Value::Text(value.to_owned()))
}

fn flag<'a>(metric: &'static Metric, instance: &'a str, value: bool) -> Read<'a> {
    (metric, instance, Value::Flag(value))
}

fn target<'a>(name: &'a str, state: &str, stage: &str) -> Readings<'a> {
    vec![
        word(&metric::REACH_STATE, name, state),
        word(&metric::REACH_FAILED_STAGE, name, stage),
        word(&metric::REACH_CAUSE, name, "no answer"),
    ]
}

fn battery(state: &str, charge: f64) -> Readings<'static> {
    vec![
        flag(&metric::CHARGER_CONNECTED, "", true),
        number(&metric::BATTERY_CHARGE_LIMIT, "BAT0", 0.8),
        word(&metric::BATTERY_STATE, "BAT0", state),
        number(&metric::BATTERY_CHARGE, "BAT0", charge),
    ]
}

fn space(free_gib: f64) -> Readings<'static> {
    let size = 64.0 * GIB;
    vec![
        number(&metric::FILESYSTEM_LIMIT, "/", size),
        number(&metric::FILESYSTEM_FREE, "/", free_gib * GIB),
        number(&metric::FILESYSTEM_UTILIZATION, "/", 1.0 - free_gib / 64.0),
    ]
}

fn at<'a>(vantage: &str, mut readings: Readings<'a>) -> Readings<'a> {
    readings.push(word(&metric::VANTAGE, "", vantage));
    readings
}

/// What makes a default rule fire within eight days, what does not, and what clears it.
struct Case {
    rule: &'static str,
    harmless: Vec<Readings<'static>>,
    bad: Readings<'static>,
    good: Readings<'static>,
    says: &'static str,
}

fn case(
    rule: &'static str,
    harmless: Vec<Readings<'static>>,
    bad: Readings<'static>,
    good: Readings<'static>,
    says: &'static str,
) -> Case {
    Case {
        rule,
        harmless,
        bad,
        good,
        says,
    }
}

fn power_cases() -> Vec<Case> {
    let health = |share| vec![number(&metric::BATTERY_HEALTH, "BAT0", share)];
    let heat = |degrees| vec![number(&metric::BATTERY_TEMPERATURE, "BAT0", degrees)];
    let room = |degrees| vec![number(&metric::TEMPERATURE_HEADROOM, "cpu", degrees)];
    let mut other_charges = battery("not_charging", 0.3);
    other_charges.push(word(&metric::BATTERY_STATE, "BAT1", "charging"));
    let mut unplugged = battery("discharging", 0.3);
    unplugged[0] = flag(&metric::CHARGER_CONNECTED, "", false);
    vec![
        case(
            "battery-worn",
            vec![health(0.0), health(1.0), health(0.6), health(1.1)],
            health(0.41),
            health(0.97),
            "Battery BAT0: it holds 41 % of its design capacity (threshold 60 %)",
        ),
        case(
            "battery-not-charging",
            vec![
                battery("charging", 0.2),
                battery("not_charging", 0.75),
                other_charges,
                unplugged,
            ],
            battery("not_charging", 0.42),
            battery("charging", 0.43),
            "Battery BAT0 is not charging with the charger connected, at 42 %; it ought to charge below 65 %",
        ),
        case(
            "battery-hot",
            vec![heat(45.0)],
            heat(64.0),
            heat(40.0),
            "Battery BAT0 is at 64 °C",
        ),
        case(
            "overheating",
            vec![room(12.0)],
            room(1.0),
            room(30.0),
            "1 °C below its critical limit",
        ),
    ]
}

fn drive_cases() -> Vec<Case> {
    let errors = |count| vec![number(&metric::FILESYSTEM_ERRORS, "/", count)];
    let read_only = |is| vec![flag(&metric::FILESYSTEM_READ_ONLY, "/", is)];
    let verdict = |word_| vec![word(&metric::DRIVE_VERDICT, "sda", word_)];
    let worn = |share| vec![number(&metric::DRIVE_ENDURANCE_USED, "sda", share)];
    let log_entries = vec![number(&metric::NVME_ERROR_LOG_ENTRIES, "nvme0", 9000.0)];
    let one_sector = vec![number(&metric::DRIVE_REALLOCATED, "sda", 1.0)];
    let hot_drive = vec![number(&metric::NVME_CRITICAL_WARNING, "nvme0", 2.0)];
    let starting_up = vec![
        number(&metric::FILESYSTEM_LIMIT, "/boot", GIB),
        number(&metric::FILESYSTEM_FREE, "/boot", 0.05 * GIB),
        number(&metric::FILESYSTEM_UTILIZATION, "/boot", 0.95),
    ];
    vec![
        case(
            "disk-full",
            vec![space(2.0), starting_up.clone()],
            space(0.5),
            space(20.0),
            "/ has 512 MiB free of 64 GiB",
        ),
        case(
            "disk-nearly-full",
            vec![space(12.0), starting_up],
            space(3.0),
            space(20.0),
            "/ is 95.3 % full",
        ),
        case(
            "drive-failing",
            vec![verdict("passed"), log_entries, one_sector, hot_drive],
            verdict("failed"),
            verdict("passed"),
            "Drive sda has 10 points: the drive itself reports that it is failing",
        ),
        case(
            "drive-worn",
            vec![worn(0.9)],
            worn(1.07),
            worn(0.01),
            "has used 107 %",
        ),
        case(
            "file-system-read-only",
            vec![read_only(false)],
            read_only(true),
            read_only(false),
            "/ ought to be writable",
        ),
        case(
            "file-system-errors",
            vec![errors(0.0)],
            errors(3.0),
            errors(0.0),
            "/ has counted 3 errors",
        ),
    ]
}

fn system_cases() -> Vec<Case> {
    let clock = |seconds| vec![number(&metric::CLOCK_OFFSET, "", seconds)];
    let restart = |is| vec![flag(&metric::RESTART_PENDING, "", is)];
    let support = |days| vec![number(&metric::OS_SUPPORT_REMAINING, "", days)];
    let pressure = |share| vec![number(&metric::PRESSURE_MEMORY, "", share)];
    let updates = |failed, age| {
        vec![
            number(&metric::UPDATES_FAILED, "", failed),
            number(&metric::UPDATES_LAST_AGE, "", age),
        ]
    };
    vec![
        case(
            "clock-wrong",
            vec![clock(200.0), clock(-200.0)],
            clock(-7500.0),
            clock(1.0),
            "off by -2 h 5 min",
        ),
        case(
            "restart-pending",
            vec![restart(false)],
            restart(true),
            restart(false),
            "waits for a restart",
        ),
        case(
            "updates-failing",
            vec![updates(2.0, 30.0)],
            updates(0.0, 50.0),
            updates(0.0, 1.0),
            "50 days ago",
        ),
        case(
            "os-out-of-support",
            vec![support(3.0)],
            support(-30.0),
            support(700.0),
            "has ended",
        ),
        case(
            "memory-pressure",
            vec![pressure(0.15)],
            pressure(0.5),
            pressure(0.01),
            "50 % of the time",
        ),
    ]
}

fn network_cases() -> Vec<Case> {
    let both = |a: &str, b: &str, stage: &str| {
        let mut all = target("Canvas", a, if a == "reachable" { "none" } else { stage });
        all.extend(target(
            "Mail",
            b,
            if b == "reachable" { "none" } else { stage },
        ));
        all
    };
    let (up, down) = ("reachable", "unreachable");
    let (school, home) = ("on-campus:Lincoln", "off-campus");
    let portal = |is| vec![flag(&metric::CAPTIVE_PORTAL, "", is)];
    let signed = |by: &str| at(home, vec![word(&metric::TLS_INTERCEPTED, "Canvas", by)]);
    vec![
        case(
            "captive-portal",
            vec![portal(false)],
            portal(true),
            portal(false),
            "login page",
        ),
        case(
            "tls-intercepted",
            vec![signed("none")],
            signed("NetFilter Inc"),
            signed("none"),
            "NetFilter Inc",
        ),
        case(
            "no-platform-at-school",
            vec![
                at(school, both(up, down, "tcp")),
                at(school, both(down, down, "link")),
                at(home, both(down, down, "tcp")),
            ],
            at(school, both(down, down, "dns")),
            at(school, both(up, up, "none")),
            "Canvas unreachable, Mail unreachable",
        ),
        case(
            "no-platform-from-home",
            vec![
                at(home, both(up, down, "tcp")),
                at(school, both(down, down, "dns")),
                both(down, down, "dns"),
            ],
            at(home, both(down, down, "dns")),
            at(home, both(up, up, "none")),
            "Canvas unreachable, Mail unreachable",
        ),
        case(
            "platform-unreachable-at-school",
            vec![
                at(school, both(up, up, "none")),
                at(home, both(down, up, "tls")),
            ],
            at(school, both(down, up, "tls")),
            at(school, both(up, up, "none")),
            "Canvas is unreachable; the stage that fails: tls; no answer",
        ),
        case(
            "platform-unreachable-from-home",
            vec![
                at(home, both(up, up, "none")),
                at(school, both(down, up, "tls")),
            ],
            at(home, both(down, up, "tls")),
            at(home, both(up, up, "none")),
            "Canvas is unreachable; the stage that fails: tls; no answer",
        ),
    ]
}

/// What came with readings that no rule had looked at.
fn further_cases() -> Vec<Case> {
    let charger = |power, charge, is| {
        vec![
            flag(&metric::CHARGER_CONNECTED, "", is),
            number(&metric::CHARGER_POWER, "", 18.0),
            number(&metric::BATTERY_POWER, "BAT0", power),
            number(&metric::BATTERY_CHARGE, "BAT0", charge),
        ]
    };
    let one = |metric, instance: &'static str, value| vec![number(metric, instance, value)];
    let encryption = |state| vec![word(&metric::DISK_ENCRYPTION, "", state)];
    let probe = |state| vec![word(&metric::PROBE_STATE, "battery", state)];
    let signal = |place, dbm| at(place, vec![number(&metric::LINK_SIGNAL, "wlan0", dbm)]);
    let (school, home) = ("on-campus:Lincoln", "off-campus");
    vec![
        case(
            "charger-weak",
            vec![
                charger(-9.0, 0.5, false),
                charger(-1.0, 0.5, true),
                charger(-9.0, 0.99, true),
            ],
            charger(-9.0, 0.5, true),
            charger(11.0, 0.5, true),
            "gives -9 W with the charger connected (threshold -2 W); it is at 50 %; the charger may give 18 W",
        ),
        case(
            "inodes-full",
            vec![one(&metric::FILESYSTEM_INODE_UTILIZATION, "/", 0.9)],
            one(&metric::FILESYSTEM_INODE_UTILIZATION, "/", 0.99),
            one(&metric::FILESYSTEM_INODE_UTILIZATION, "/", 0.5),
            "/ has used 99 %",
        ),
        case(
            "disk-not-encrypted",
            // A laptop that never was encrypted is a decision, and no fault.
            vec![encryption("on"), encryption("off")],
            encryption("partial"),
            encryption("on"),
            "Encryption of the system's disk: partial",
        ),
        case(
            "probe-failing",
            vec![probe("ok")],
            probe("cut_off"),
            probe("ok"),
            "The probe battery has cut off",
        ),
        case(
            "wifi-weak-at-school",
            vec![signal(school, -72.0), signal(home, -85.0)],
            signal(school, -82.0),
            signal(school, -60.0),
            "Link wlan0 has -82 dBm (threshold -75 dBm)",
        ),
        case(
            "processor-busy",
            vec![one(&metric::PRESSURE_CPU, "", 0.5)],
            one(&metric::PRESSURE_CPU, "", 0.8),
            one(&metric::PRESSURE_CPU, "", 0.1),
            "waited for the processor 80 % of the time",
        ),
        case(
            "storage-slow",
            vec![one(&metric::PRESSURE_IO, "", 0.3)],
            one(&metric::PRESSURE_IO, "", 0.7),
            one(&metric::PRESSURE_IO, "", 0.0),
            "waited for a drive 70 % of the time",
        ),
        case(
            "crashing",
            vec![
                one(&metric::CRASHES, "", 2.0),
                one(&metric::UNEXPECTED_SHUTDOWNS, "", 4.0),
            ],
            one(&metric::UNEXPECTED_SHUTDOWNS, "", 6.0),
            one(&metric::UNEXPECTED_SHUTDOWNS, "", 0.0),
            "6 shutdowns without a clean end are on record (threshold 6 shutdowns)",
        ),
        case(
            "drive-hot",
            vec![one(&metric::DRIVE_TEMPERATURE, "nvme0", 66.0)],
            one(&metric::DRIVE_TEMPERATURE, "nvme0", 78.0),
            one(&metric::DRIVE_TEMPERATURE, "nvme0", 45.0),
            "Drive nvme0 is at 78 °C (threshold 70 °C)",
        ),
    ]
}

fn cases() -> Vec<Case> {
    [
        further_cases(),
        power_cases(),
        drive_cases(),
        system_cases(),
        network_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn defaults() -> RuleSet {
    let mut rules = RuleSet::built_in();
    rules.calendar.zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
    rules
}

fn live(laptop: &mut Laptop, rules: &RuleSet, readings: &Readings<'_>) {
    for (metric, instance, value) in readings {
        laptop.read(metric, instance, value.clone());
    }
    laptop.run(rules, 3 * HOUR);
}

#[test]
fn each_default_rule_fires_and_clears() {
    let rules = defaults();
    for case in cases() {
        for harmless in &case.harmless {
            let mut laptop = Laptop::new();
            live(&mut laptop, &rules, harmless);
            assert!(
                !laptop.firing().contains(&case.rule),
                "{}: {harmless:?}",
                case.rule
            );
        }
        let mut laptop = Laptop::new();
        live(&mut laptop, &rules, &case.bad);
        let days = match case.rule {
            "restart-pending" => 7,
            "disk-not-encrypted" => 3,
            "probe-failing" => 1,
            _ => 0,
        };
        if days > 0 {
            assert!(laptop.firing().is_empty());
            laptop.sleep(days * DAY);
            live(&mut laptop, &rules, &case.bad);
        }
        assert_eq!(laptop.firing(), [case.rule], "{}", case.rule);
        let alert = laptop
            .open
            .values()
            .find(|a| a.key.rule == case.rule)
            .unwrap();
        assert!(alert.evidence.contains(case.says), "{}", alert.evidence);
        live(&mut laptop, &rules, &case.good);
        assert!(laptop.firing().is_empty(), "{} clears", case.rule);
    }
}

#[test]
fn a_laptop_is_missed_after_five_school_days_and_not_over_a_weekend() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    laptop.run(&rules, MINUTE);
    laptop.disconnect();
    // Wednesday: Thursday, Friday, Monday, Tuesday are four whole school days, Wednesday is the fifth.
    for day in 1..=6 {
        laptop.now = laptop.now.plus_ms(DAY);
        assert!(laptop.evaluate(&rules).is_empty(), "day {day}");
    }
    laptop.now = laptop.now.plus_ms(DAY + 6 * HOUR);
    laptop.evaluate(&rules);
    assert_eq!(laptop.firing(), ["not-seen"]);
    let alert = laptop.open.values().next().unwrap();
    assert!(
        alert
            .evidence
            .starts_with("Not seen for 5 school days, since 2026-09-02"),
        "{}",
        alert.evidence
    );
    laptop.connect();
    laptop.report();
    laptop.evaluate(&rules);
    assert!(laptop.open.is_empty());
}

#[test]
fn a_home_without_internet_is_no_fault_of_the_laptop() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    laptop.disconnect();
    live(
        &mut laptop,
        &rules,
        &at("off-campus", target("Canvas", "unreachable", "gateway")),
    );
    assert!(laptop.open.is_empty(), "{:?}", laptop.open);
    // Back in touch, before the next measurement: the time of the outage counts for nothing.
    laptop.connect();
    laptop.run(&rules, 5 * MINUTE);
    assert!(laptop.firing().is_empty());
}

/// Without beacons the vantage is unavailable, and the rules for away from school hold everywhere.
#[test]
fn without_beacons_a_platform_is_still_missed() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    let why = Value::Unavailable("no beacon is configured".to_owned());
    laptop.read(&metric::VANTAGE, "", why);
    live(&mut laptop, &rules, &target("Canvas", "unreachable", "dns"));
    assert_eq!(laptop.firing(), ["no-platform-from-home"]);
}

/// A disk that fills by one percent a day is told of two weeks before it is full, and no sooner; a
/// clean-up ends it.
#[test]
fn a_disk_that_fills_for_weeks_is_foreseen() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    let mut fired_at = None;
    for day in 0..30 {
        let used = 0.65 + 0.01 * f64::from(day);
        laptop.read(&metric::FILESYSTEM_UTILIZATION, "/", Value::Number(used));
        let downloads = Value::Number(GIB * f64::from(day));
        laptop.read(&metric::FILESYSTEM_CLASS_SIZE, "downloads", downloads);
        laptop.run(&rules, 2 * HOUR);
        if laptop.firing() == ["disk-filling"] {
            fired_at.get_or_insert(used);
        }
        laptop.sleep(22 * HOUR);
    }
    let fired_at = fired_at.expect("it fills within two weeks");
    assert!((0.83..0.88).contains(&fired_at), "{fired_at}");
    let evidence = laptop.open.values().next().unwrap().evidence.clone();
    assert!(evidence.starts_with("/: full in"), "{evidence}");
    assert!(evidence.contains("; downloads take"), "{evidence}");
    assert!(evidence.contains("more than two weeks ago"), "{evidence}");
    laptop.read(&metric::FILESYSTEM_UTILIZATION, "/", Value::Number(0.4));
    laptop.run(&rules, 10 * MINUTE);
    assert!(laptop.open.is_empty(), "{:?}", laptop.open);
}

/// The gauge of a good battery errs for a week; a drive's old counts do not grow.
#[test]
fn a_forecast_stays_calm_where_a_threshold_would_not() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    for day in 0..60 {
        let full = if (40..47).contains(&day) {
            20_000.0
        } else {
            47_000.0
        };
        laptop.read(
            &metric::BATTERY_DESIGN_CAPACITY,
            "BAT0",
            Value::Number(50_000.0),
        );
        laptop.read(&metric::BATTERY_FULL_CAPACITY, "BAT0", Value::Number(full));
        laptop.read(&metric::DRIVE_SMART, "sda/5", Value::Number(40.0));
        laptop.read(&metric::DRIVE_SMART, "sda/187", Value::Number(3.0));
        laptop.run(&rules, HOUR);
        assert!(laptop.open.is_empty(), "day {day}: {:?}", laptop.open);
        laptop.sleep(23 * HOUR);
    }
    laptop.read(&metric::DRIVE_SMART, "sda/187", Value::Number(5.0));
    laptop.run(&rules, MINUTE);
    assert_eq!(laptop.firing(), ["drive-failing"]);
}

#[test]
fn a_charger_that_is_pulled_out_resolves_nothing() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    live(&mut laptop, &rules, &battery("not_charging", 0.4));
    laptop.read(&metric::CHARGER_CONNECTED, "", Value::Flag(false));
    laptop.run(&rules, HOUR);
    assert_eq!(laptop.firing(), ["battery-not-charging"]);
}

#[test]
fn each_default_rule_is_documented_and_tested() {
    let tested: Vec<&str> = cases()
        .iter()
        .map(|case| case.rule)
        .chain(["not-seen", "disk-filling"])
        // It is judged for whole schools, in `sites.rs`.
        .chain(["site-silent"])
        .chain(habits::rules())
        // What only the collector knows is tested in `default.test.toml`.
        .chain(["loaner-late", "lost-laptop-seen"])
        .chain(["retired-tag-seen", "laptop-swapped"])
        .collect();
    let rules = RuleSet::built_in();
    for rule in &rules.rules {
        for language in ["en", "es"] {
            let text = rule
                .family
                .get(language)
                .unwrap_or_else(|| panic!("{}: {language}", rule.name));
            assert!(text.len() > 40, "{}", rule.name);
        }
        for heading in [
            "What it means",
            "How to confirm",
            "How to fix",
            "What to tell the family",
            "When to escalate",
        ] {
            assert!(
                rule.runbook.contains(&format!("## {heading}\n\n")),
                "{}: {heading}",
                rule.name
            );
        }
        assert!(
            tested.contains(&rule.name.as_str()),
            "{} has no test",
            rule.name
        );
    }
    assert_eq!(
        runbooks::ALL.len(),
        rules.rules.len(),
        "each runbook belongs to a rule"
    );
}

/// Every metric that laptops send is looked at by a default rule, or it is said why none looks.
#[test]
fn every_metric_has_a_rule_or_a_reason() {
    let looked_at = coverage::looked_at(&RuleSet::built_in());
    for metric in metric::CATALOGUE {
        let reason = coverage::WITHOUT_RULE
            .iter()
            .find(|(name, _)| *name == metric.name);
        match reason {
            None => assert!(
                looked_at.contains(metric.name),
                "no default rule looks at {}: write one, or say why not in coverage.rs",
                metric.name
            ),
            Some((name, reason)) => {
                assert!(!looked_at.contains(name), "{name} has a rule and a reason");
                assert!(reason.len() > 20, "{name}: {reason}");
            }
        }
    }
    for (name, _) in coverage::WITHOUT_RULE {
        assert!(metric::by_name(name).is_some(), "{name} is no metric");
    }
}

const RULE: &str = r#"
[calendar]
time-zone = "UTC"

[[rule]]
name = "worn"
title = "Worn"
severity = "warning"
audience = "help-desk"
all = [{ metric = "hw.battery.health", op = "below", value = "60 %", clear = "65 %" }]
if = [{ metric = "hw.battery.state", op = "is-not", value = "full" }]
for = "10m"
vantage = "any"
when = "any-time"
runbook = "battery-worn"
family.en = "x"
"#;

#[test]
fn each_mistake_names_line_rule_field_and_the_nearest_word() {
    assert!(RuleSet::parse("r.toml", RULE).is_ok());
    let mistakes = [
        (
            "hw.battery.health",
            "hw.battery.helth",
            "r.toml:10: rule `worn`: metric: `hw.battery.helth` is no metric; did you mean `hw.battery.health`?",
        ),
        (
            "\"full\"",
            "\"ful\"",
            "r.toml:11: rule `worn`: value: `ful` is no value of hw.battery.state; did you mean `full`?",
        ),
        (
            "help-desk",
            "helpdesk",
            "r.toml:9: rule `worn`: audience: `helpdesk` is no audience; did you mean `help-desk`?",
        ),
        (
            "\"warning\"",
            "\"warnig\"",
            "r.toml:8: rule `worn`: severity: `warnig` is no severity; did you mean `warning`?",
        ),
        (
            "\"below\"",
            "\"belo\"",
            "r.toml:10: rule `worn`: op: `belo` is no operator; did you mean `below`?",
        ),
        (
            "\"below\"",
            "\"is\"",
            "r.toml:10: rule `worn`: op: `is` does not fit hw.battery.health, which is a number; use above or below",
        ),
        (
            "60 %",
            "60 &",
            "r.toml:10: rule `worn`: value: `&` is no unit of hw.battery.health; did you mean `1`?",
        ),
        (
            "60 %",
            "600 %",
            "r.toml:10: rule `worn`: value: 6 lies outside 0 to 2 1, the values of hw.battery.health",
        ),
        (
            "65 %",
            "55 %",
            "r.toml:10: rule `worn`: clear: must lie at or above `value`, on its good side",
        ),
        (
            "10m",
            "10min.",
            "r.toml:12: rule `worn`: for: `min.` is no unit of time; there are: s, m, h, d",
        ),
        (
            "\"any\"",
            "\"campus\"",
            "r.toml:13: rule `worn`: vantage: `campus` is no vantage; did you mean `on-campus`?",
        ),
        (
            "any-time",
            "anytime",
            "r.toml:14: rule `worn`: when: `anytime` is no time; did you mean `any-time`?",
        ),
        (
            "battery-worn",
            "battery-wron",
            "r.toml:15: rule `worn`: runbook: `battery-wron` is no runbook; did you mean `battery-worn`?",
        ),
        (
            "\"UTC\"",
            "\"Mars\"",
            "r.toml:3: time-zone: `Mars` is no time zone such as `America/New_York`, `UTC` or `system`",
        ),
        (
            "value = \"60 %\"",
            "value = \"60 %\", otherwise = \"50 %\"",
            "r.toml:10: rule `worn`: otherwise: stands beside `value-of` alone",
        ),
        (
            "family.en",
            "shared.gather = \"1h\"\nshared.alone = \"30m\"\nfamily.en",
            "r.toml:17: rule `worn`: shared.alone: is shorter than `gather`, for which every laptop waits",
        ),
        (
            "family.en",
            "kind = \"site-silent\"\nfamily.en",
            "r.toml:11: rule `worn`: kind: a rule of `kind = \"site-silent\"` has no conditions",
        ),
        (
            "family.en",
            "depends-on = [\"worm\"]\nfamily.en",
            "r.toml:16: rule `worn`: depends-on: `worm` is no rule; did you mean `worn`?",
        ),
    ];
    for (right, wrong, message) in mistakes {
        let error = RuleSet::parse("r.toml", &RULE.replacen(right, wrong, 1)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let field = RuleSet::parse("r.toml", &RULE.replace("severity", "severty")).unwrap_err();
    assert!(
        field
            .to_string()
            .starts_with("r.toml:8: rule `worn`: severty: unknown field"),
        "{field}"
    );
    assert!(
        field.to_string().ends_with("did you mean `severity`?"),
        "{field}"
    );
    assert!(
        RuleSet::parse("r.toml", "[[rule")
            .unwrap_err()
            .to_string()
            .starts_with("r.toml:1: ")
    );
}

#[test]
fn a_name_that_is_an_address_is_refused() {
    for word in [
        "another", "change", "preview", "restore", "validate", "versions",
    ] {
        let named = RULE.replacen("\"worn\"", &format!("\"{word}\""), 1);
        let error = RuleSet::parse("r.toml", &named).unwrap_err().to_string();
        let says = format!("name: `{word}` is an address of the API; choose another name");
        assert!(error.ends_with(&says), "{error}");
    }
    let near = RULE.replacen("\"worn\"", "\"changes\"", 1);
    assert!(RuleSet::parse("r.toml", &near).is_ok());
}

#[test]
fn circles_and_doubles_are_rejected() {
    let circle = RULE.replace("family.en", "depends-on = [\"worn\"]\nfamily.en");
    let error = RuleSet::parse("r.toml", &circle).unwrap_err();
    assert!(error.to_string().contains("in a circle: worn"), "{error}");
    let double = format!(
        "{RULE}{}",
        RULE.replace("[calendar]\ntime-zone = \"UTC\"\n", "")
    );
    let error = RuleSet::parse("r.toml", &double).unwrap_err();
    assert!(error.to_string().contains("earlier rule"), "{error}");
}

#[test]
fn a_school_s_own_file_extends_the_defaults() {
    let own = format!(
        "extend-default = true\ndisable = [\"tls-intercepted\"]\n{}",
        RULE.replace("\"worn\"", "\"battery-worn\"")
    );
    let rules = RuleSet::parse("r.toml", &own).unwrap();
    assert_eq!(rules.get("battery-worn").unwrap().title, "Worn");
    assert!(rules.get("tls-intercepted").is_none());
    assert_eq!(rules.rules.len(), RuleSet::built_in().rules.len() - 1);
    let wrong = own.replace("tls-intercepted", "tls-interceptd");
    let error = RuleSet::parse("r.toml", &wrong).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("did you mean `tls-intercepted`?"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_the_reader_panic(at in 0_usize..700, cut in 0_usize..40, insert in "\\PC{0,12}") {
        let at = RULE.floor_char_boundary(at.min(RULE.len()));
        let end = RULE.floor_char_boundary((at + cut).min(RULE.len()));
        let text = format!("{}{insert}{}", &RULE[..at], &RULE[end..]);
        if let Err(error) = RuleSet::parse("r.toml", &text) {
            prop_assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1);
        }
    }
}
