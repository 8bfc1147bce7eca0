use proptest::prelude::*;
use rollcall_shared::metric;
use rollcall_shared::reading::Value;

use super::laptop::{DAY, HOUR, LAG, Laptop, MINUTE};
use super::*;

fn rules(body: &str) -> RuleSet {
    let mut text = "calendar.time-zone = \"UTC\"\n".to_owned();
    for rule in body.split("---") {
        let rest = "runbook-text = \"x\"\nfamily.en = \"x\"\nseverity = \"warning\"\naudience = \"help-desk\"\ntitle = \"T\"\n";
        text.push_str(&format!("[[rule]]\n{rest}{rule}\n"));
    }
    RuleSet::parse("test.toml", &text).unwrap()
}

fn hot_rules() -> RuleSet {
    rules(
        "name = \"hot\"\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 90, clear = 80 }]\nfor = \"10m\"\nclear-for = \"5m\"",
    )
}

fn heat(laptop: &mut Laptop, degrees: f64) {
    laptop.read(&metric::TEMPERATURE, "cpu", Value::Number(degrees));
}

#[test]
fn it_fires_after_its_hold_and_says_what_was_seen() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 9 * MINUTE);
    assert!(laptop.firing().is_empty() && laptop.open.len() == 1);
    let changes = laptop.run(&rules, MINUTE);
    let Some(AlertChange::Fire(alert)) = changes.last() else {
        panic!("{changes:?}");
    };
    assert_eq!(
        alert.evidence,
        "hw.temperature of cpu is 95 °C (threshold 90 °C)"
    );
    assert_eq!(alert.held_ms, 10 * MINUTE);
}

#[test]
fn sleep_does_not_count_towards_the_hold() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 5 * MINUTE);
    laptop.sleep(8 * HOUR);
    laptop.run(&rules, 4 * MINUTE);
    assert!(laptop.firing().is_empty(), "9 minutes awake");
    laptop.run(&rules, MINUTE);
    assert_eq!(laptop.firing(), ["hot"]);
}

/// Only what changed travels: silence on a stream that is up is time awake, too.
#[test]
fn silence_counts_while_it_is_connected_and_not_otherwise() {
    let rules = hot_rules();
    for connected in [true, false] {
        let mut laptop = Laptop::new();
        heat(&mut laptop, 95.0);
        laptop.run(&rules, 0);
        if !connected {
            laptop.disconnect();
        }
        let mut fired_after = None;
        for minute in 1..60 {
            laptop.now = laptop.now.plus_ms(MINUTE);
            laptop.evaluate(&rules);
            if fired_after.is_none() && !laptop.firing().is_empty() {
                fired_after = Some(minute * MINUTE);
            }
        }
        assert_eq!(fired_after, connected.then_some(10 * MINUTE + LAG));
    }
}

/// Reports an hour apart on one stream are one time awake; with a break between them they are not.
#[test]
fn rare_reports_do_not_look_like_sleep() {
    let rules = rules(
        "name = \"hot\"\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 90 }]\nfor = \"3h\"",
    );
    let mut laptop = Laptop::new();
    heat(&mut laptop, 95.0);
    for _ in 0..3 {
        laptop.evaluate(&rules);
        laptop.now = laptop.now.plus_ms(HOUR);
        laptop.state.awake_since = Some(laptop.now);
        laptop.report();
    }
    laptop.evaluate(&rules);
    assert_eq!(laptop.firing(), ["hot"]);
}

#[test]
fn calendar_time_counts_through_sleep() {
    let rules = rules(
        "name = \"restart\"\nall = [{ metric = \"os.restart.pending\", op = \"is\", value = true }]\nfor-calendar = \"2d\"",
    );
    let mut laptop = Laptop::new();
    laptop.read(&metric::RESTART_PENDING, "", Value::Flag(true));
    laptop.run(&rules, MINUTE);
    laptop.sleep(DAY);
    laptop.run(&rules, MINUTE);
    assert!(laptop.firing().is_empty());
    laptop.sleep(DAY);
    laptop.run(&rules, MINUTE);
    assert_eq!(laptop.firing(), ["restart"]);
}

#[test]
fn only_a_good_reading_past_the_clearing_limit_resolves() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 10 * MINUTE);
    heat(&mut laptop, 85.0);
    laptop.run(&rules, HOUR);
    assert_eq!(laptop.firing(), ["hot"], "85 lies between the limits");
    laptop.read(
        &metric::TEMPERATURE,
        "cpu",
        Value::Unavailable("gone".to_owned()),
    );
    laptop.run(&rules, HOUR);
    assert_eq!(laptop.firing(), ["hot"], "unavailable is not good");
    laptop.state.latest = crate::device::Latests::default();
    laptop.run(&rules, HOUR);
    assert_eq!(laptop.firing(), ["hot"], "absent is not good");
    heat(&mut laptop, 70.0);
    let changes = laptop.run(&rules, 6 * MINUTE);
    let Some(AlertChange::Resolve(alert)) = changes.last() else {
        panic!("{changes:?}");
    };
    assert!(alert.evidence.contains("is 70 °C"), "{}", alert.evidence);
}

#[test]
fn what_flaps_within_clear_for_stays_one_alert() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 10 * MINUTE);
    for _ in 0..10 {
        heat(&mut laptop, 70.0);
        laptop.run(&rules, 2 * MINUTE);
        heat(&mut laptop, 95.0);
        let changes = laptop.run(&rules, 3 * MINUTE);
        assert!(
            changes
                .iter()
                .all(|change| matches!(change, AlertChange::Note(_)))
        );
    }
    assert_eq!(laptop.firing(), ["hot"]);
}

#[test]
fn a_pending_alert_whose_condition_went_away_is_withdrawn() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 3 * MINUTE);
    heat(&mut laptop, 85.0);
    let changes = laptop.run(&rules, MINUTE);
    assert!(
        matches!(changes[..], [AlertChange::Withdraw(_)]),
        "{changes:?}"
    );
    assert!(laptop.open.is_empty());
}

#[test]
fn nothing_fires_while_a_backlog_comes_in() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    for _ in 0..60 {
        laptop.now = laptop.now.plus_ms(MINUTE);
        laptop.report();
    }
    let reported = laptop.now;
    laptop.now = laptop.now.plus_ms(7 * DAY);
    laptop.connect();
    assert!(matches!(
        laptop.evaluate(&rules)[..],
        [AlertChange::Note(_)]
    ));
    // It has delivered all and is cool again: nobody is told.
    laptop.sleep(0);
    heat(&mut laptop, 50.0);
    assert!(matches!(
        laptop.evaluate(&rules)[..],
        [AlertChange::Withdraw(_)]
    ));
    // Another that went away with its fault is told of, since no more is to come.
    laptop.state.last_report = Some(reported);
    laptop.disconnect();
    laptop
        .state
        .latest
        .values_mut()
        .for_each(|l| l.value = Value::Number(95.0));
    laptop
        .state
        .latest
        .values_mut()
        .for_each(|l| l.since = reported.plus_ms(-HOUR));
    laptop.state.awake_since = Some(reported.plus_ms(-HOUR));
    assert!(matches!(
        laptop.evaluate(&rules)[..],
        [AlertChange::Fire(_)]
    ));
}

#[test]
fn a_firing_rule_explains_those_that_depend_on_it() {
    let rules = rules(
        "name = \"part\"\ndepends-on = [\"whole\"]\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 60 }]\nfor = \"1m\"---name = \"whole\"\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 90 }]",
    );
    let mut laptop = Laptop::new();
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 5 * MINUTE);
    assert_eq!(laptop.firing(), ["whole"]);
    heat(&mut laptop, 70.0);
    laptop.run(&rules, 5 * MINUTE);
    assert_eq!(laptop.firing(), ["part"]);
}

#[test]
fn what_is_no_longer_ours_is_closed_with_the_reason() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    heat(&mut laptop, 95.0);
    laptop.run(&rules, 10 * MINUTE);
    let others = self::rules(
        "name = \"other\"\nall = [{ metric = \"hw.temperature\", op = \"above\", value = 99 }]",
    );
    let open: Vec<Alert> = laptop.open.values().cloned().collect();
    let changes = evaluate(
        &others,
        &laptop.state,
        &open,
        Moment {
            now: laptop.now,
            lag_ms: LAG,
            heard: Heard::default(),
        },
    );
    assert!(
        matches!(&changes[..], [AlertChange::Resolve(a)] if a.evidence.contains("the rule was removed"))
    );
    laptop.state.device.standing = Standing::Retired;
    let changes = laptop.evaluate(&rules);
    assert!(matches!(&changes[..], [AlertChange::Resolve(a)] if a.evidence.contains("retired")));
    heat(&mut laptop, 99.0);
    assert!(
        laptop.run(&rules, HOUR).is_empty(),
        "a retired laptop is not judged"
    );
}

#[test]
fn a_rule_explains_itself() {
    let (rules, mut laptop) = (hot_rules(), Laptop::new());
    let rule = Arc::clone(rules.get("hot").unwrap());
    assert_eq!(
        explain(&rules, &rule, &laptop.state, laptop.now),
        "hot: no reading to judge by"
    );
    heat(&mut laptop, 95.0);
    let text = explain(&rules, &rule, &laptop.state, laptop.now);
    assert!(
        text.contains("fires after 10 min awake") && text.contains("95 °C"),
        "{text}"
    );
}

/// The evaluation is the same in a backtest as in service: what decides reads no file, clock or store.
#[test]
fn what_decides_does_no_input_or_output() {
    let files = [
        include_str!("../device.rs"),
        include_str!("../condition.rs"),
        include_str!("../calendar.rs"),
        include_str!("../rules/check.rs"),
        include_str!("../../notify/outbox.rs"),
        include_str!("../../notify/route.rs"),
        include_str!("../../notify/letter.rs"),
    ];
    for text in files {
        for word in [
            "std::fs",
            "std::net",
            "tokio",
            "crate::store",
            "SystemClock",
        ] {
            assert!(
                !text.contains(word),
                "{word} in {}",
                text.lines().next().unwrap()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// At most one alert for each key, no firing without its hold, no resolution without a good value.
    #[test]
    fn invariants_hold_for_any_life(steps in prop::collection::vec((0_u8..4, 1_i64..9, any::<bool>()), 1..60)) {
        let (rules, mut laptop) = (hot_rules(), Laptop::new());
        for (what, minutes, sleeps) in steps {
            match what {
                0 => heat(&mut laptop, 95.0),
                1 => heat(&mut laptop, 85.0),
                2 => heat(&mut laptop, 70.0),
                _ => laptop.read(&metric::TEMPERATURE, "cpu", Value::Unavailable("x".to_owned())),
            }
            if sleeps {
                laptop.sleep(minutes * HOUR);
            }
            for change in laptop.run(&rules, minutes * MINUTE) {
                match change {
                    AlertChange::Fire(alert) => {
                        prop_assert_eq!(what, 0);
                        prop_assert!(alert.held_ms >= 10 * MINUTE);
                    }
                    AlertChange::Resolve(_) => prop_assert_eq!(what, 2),
                    _ => {}
                }
            }
            prop_assert!(laptop.open.len() <= 1);
        }
    }
}

/// A school that fell silent explains why its laptops are absent; who is heard of in the school again is not silent any
/// more, and who is heard of at home says nothing of the school.
#[test]
fn a_silent_school_is_told_of_each_of_its_laptops_until_one_is_heard_there_and_explains_their_absence()
 {
    let rules = RuleSet::built_in();
    let mut laptop = Laptop::new();
    laptop.run(&rules, MINUTE);
    laptop.disconnect();
    let silence = Silence {
        since: laptop.now,
        laptops: 30,
    };
    let look = |laptop: &mut Laptop, heard: Heard| {
        let moment = Moment {
            now: laptop.now,
            lag_ms: LAG,
            heard,
        };
        let open: Vec<Alert> = laptop.open.values().cloned().collect();
        evaluate(&rules, &laptop.state, &open, moment)
    };
    laptop.now = laptop.now.plus_ms(HOUR);
    let heard = Heard {
        silence: Some(silence),
        back: Some(silence.since),
        here: Some(silence.since),
    };
    let changes = look(&mut laptop, heard);
    let [AlertChange::Fire(alert)] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(
        (alert.key.rule.as_str(), alert.since),
        ("site-silent", silence.since)
    );
    assert!(
        alert
            .evidence
            .starts_with("Nothing was heard for 60 min of 30 laptops"),
        "{}",
        alert.evidence
    );
    laptop.open.insert(alert.key.clone(), alert.clone());
    laptop.now = laptop.now.plus_ms(14 * DAY);
    let at_home = Heard {
        silence: None,
        back: Some(silence.since),
        here: None,
    };
    assert_eq!(look(&mut laptop, at_home), [], "nobody misses it");
    for back in [
        Heard {
            here: Some(laptop.now),
            ..at_home
        },
        Heard {
            back: Some(laptop.now),
            ..at_home
        },
    ] {
        let changes = look(&mut laptop, back);
        assert!(
            matches!(changes.as_slice(), [AlertChange::Resolve(alert), ..] if alert.key.rule == "site-silent"),
            "{changes:?}"
        );
    }
}
