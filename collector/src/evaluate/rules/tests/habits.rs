//! The rules that compare a laptop with its own past and with its peers, by what the forecasts say.

use std::sync::Arc;

use rollcall_shared::reading::Reading;

use super::super::super::device::{AlertChange, Moment, evaluate, explain};
use super::super::super::forecast::metrics as forecast;
use super::super::super::sites::Heard;
use super::*;
use crate::alert::Alert;
use crate::device::{Latest, Latests, SeriesKey};

struct HabitCase {
    rule: &'static str,
    metric: &'static Metric,
    harmless: f64,
    bad: f64,
    between: f64,
    good: f64,
    words: &'static Metric,
}

const fn habit(
    rule: &'static str,
    metric: &'static Metric,
    [harmless, bad, between, good]: [f64; 4],
    words: &'static Metric,
) -> HabitCase {
    HabitCase {
        rule,
        metric,
        harmless,
        bad,
        between,
        good,
        words,
    }
}

static HABITS: [HabitCase; 11] = [
    habit(
        "charger-wrong",
        &forecast::CHARGER_SHORTFALL,
        [0.2, 0.31, 0.15, 0.0],
        &forecast::CHARGER_WORDS,
    ),
    habit(
        "battery-collapses",
        &forecast::BATTERY_FALLS,
        [1.0, 2.0, 1.0, 0.0],
        &forecast::BATTERY_FALLS_WORDS,
    ),
    habit(
        "hotter-than-peers",
        &forecast::HEAT_ABOVE_PEERS,
        [9.0, 24.0, 8.0, 0.0],
        &forecast::HEAT_WORDS,
    ),
    habit(
        "hotter-than-peers",
        &forecast::HEAT_RISE,
        [9.0, 14.0, 8.0, 0.0],
        &forecast::HEAT_WORDS,
    ),
    habit(
        "slower-than-before",
        &forecast::WAIT_RISE,
        [0.1, 0.3, 0.1, 0.0],
        &forecast::SLOW_WORDS,
    ),
    habit(
        "slower-than-before",
        &forecast::WAIT_ABOVE_PEERS,
        [0.1, 0.3, 0.1, 0.0],
        &forecast::SLOW_WORDS,
    ),
    habit(
        "slower-than-before",
        &forecast::THROTTLING_ABOVE_PEERS,
        [15.0, 200.0, 15.0, 0.0],
        &forecast::SLOW_WORDS,
    ),
    habit(
        "boots-slowly",
        &forecast::BOOT_ABOVE_PEERS,
        [50.0, 90.0, 40.0, 0.0],
        &forecast::BOOT_WORDS,
    ),
    habit(
        "boots-slowly",
        &forecast::BOOT_RISE,
        [50.0, 90.0, 40.0, 0.0],
        &forecast::BOOT_WORDS,
    ),
    habit(
        "crashes-more-than-peers",
        &forecast::CRASH_EXCESS,
        [2.5, 4.0, 2.0, 0.0],
        &forecast::CRASH_WORDS,
    ),
    habit(
        "link-drops",
        &forecast::LINK_DROPS_RISE,
        [0.4, 1.4, 0.3, 0.0],
        &forecast::LINK_DROPS_WORDS,
    ),
];

/// The names of the rules that are tested here.
pub fn rules() -> impl Iterator<Item = &'static str> {
    HABITS.iter().map(|case| case.rule)
}

/// What was foreseen for two days.
fn foresee(laptop: &mut Laptop, case: &HabitCase, value: f64) {
    let since = laptop.now.plus_ms(-2 * DAY);
    let said = [
        Reading::number(case.metric, "", value),
        Reading::text(case.words, "", "so it is and so it was"),
    ];
    let forecasts = said.iter().map(|reading| {
        let value = reading.value().clone();
        (SeriesKey::of(reading), Latest { value, since })
    });
    laptop.state.forecasts = Arc::new(forecasts.collect::<Latests>());
}

fn judge(laptop: &mut Laptop, rules: &RuleSet) -> Vec<AlertChange> {
    laptop.report();
    let open: Vec<Alert> = laptop.open.values().cloned().collect();
    let moment = Moment {
        now: laptop.now,
        lag_ms: 0,
        heard: Heard::default(),
    };
    evaluate(rules, &laptop.state, &open, moment)
}

#[test]
fn each_rule_of_habits_fires_and_clears_and_explains_itself() {
    let rules = defaults();
    for case in &HABITS {
        let name = format!("{} by {}", case.rule, case.metric.name);
        let mut laptop = Laptop::new();
        foresee(&mut laptop, case, case.harmless);
        assert!(judge(&mut laptop, &rules).is_empty(), "{name}");
        foresee(&mut laptop, case, case.bad);
        let changes = judge(&mut laptop, &rules);
        let [AlertChange::Fire(alert)] = changes.as_slice() else {
            panic!("{name}: {changes:?}");
        };
        assert_eq!(alert.key.rule, case.rule);
        assert!(
            alert.evidence.contains("so it is and so it was"),
            "{name}: {}",
            alert.evidence
        );
        let rule = rules.get(case.rule).unwrap();
        let said = explain(&rules, rule, &laptop.state, laptop.now);
        assert!(
            said.contains("holds, and fires after") && said.contains("so it is"),
            "{said}"
        );
        laptop.open.insert(alert.key.clone(), alert.clone());
        foresee(&mut laptop, case, case.between);
        let changes = judge(&mut laptop, &rules);
        let is_over = |change: &AlertChange| matches!(change, AlertChange::Resolve(_));
        assert!(!changes.iter().any(is_over), "{name}: {changes:?}");
        foresee(&mut laptop, case, case.good);
        let changes = judge(&mut laptop, &rules);
        assert!(changes.iter().any(is_over), "{name}: {changes:?}");
    }
}

/// From the readings on: a battery that twice falls from a third to off.
#[test]
fn a_battery_that_gives_out_twice_is_told() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    laptop.read(&metric::CHARGER_CONNECTED, "", Value::Flag(false));
    for fall in 0..2 {
        laptop.read(
            &metric::UNEXPECTED_SHUTDOWNS,
            "",
            Value::Number(f64::from(fall)),
        );
        laptop.read(&metric::BATTERY_CHARGE, "BAT0", Value::Number(0.31));
        laptop.run(&rules, HOUR);
        assert_eq!(laptop.firing(), [] as [&str; 0]);
        laptop.sleep(20 * MINUTE);
        laptop.read(
            &metric::UNEXPECTED_SHUTDOWNS,
            "",
            Value::Number(f64::from(fall + 1)),
        );
        laptop.read(&metric::BATTERY_CHARGE, "BAT0", Value::Number(0.04));
        laptop.run(&rules, 5 * MINUTE);
        laptop.sleep(DAY);
    }
    laptop.run(&rules, 20 * MINUTE);
    assert_eq!(laptop.firing(), ["battery-collapses"]);
    let evidence = &laptop.open.values().next().unwrap().evidence;
    assert!(
        evidence.contains("went out at 31 %, 31 % of charge"),
        "{evidence}"
    );
}

/// A laptop that seldom looks for updates, and fails each time: two failures in three weeks.
#[test]
fn updates_that_fail_for_three_weeks_are_told() {
    let rules = defaults();
    let mut laptop = Laptop::new();
    laptop.read(&metric::UPDATES_FAILED, "", Value::Number(1.0));
    laptop.run(&rules, 3 * HOUR);
    laptop.sleep(10 * DAY);
    laptop.read(&metric::UPDATES_FAILED, "", Value::Number(2.0));
    laptop.run(&rules, 3 * HOUR);
    assert!(laptop.firing().is_empty());
    laptop.sleep(12 * DAY);
    laptop.run(&rules, 3 * HOUR);
    assert_eq!(laptop.firing(), ["updates-failing"]);
    let evidence = &laptop.open.values().next().unwrap().evidence;
    assert!(evidence.contains("has succeeded for 22 days"), "{evidence}");
    laptop.read(&metric::UPDATES_FAILED, "", Value::Number(0.0));
    laptop.run(&rules, 3 * HOUR);
    assert!(laptop.firing().is_empty());
}
