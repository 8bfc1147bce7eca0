use proptest::prelude::*;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};

use super::*;
use crate::alert::AlertId;
use crate::evaluate::device::laptop::{Laptop, MINUTE, START};
use crate::evaluate::device::{AlertChange, evaluate, evaluate_whole};

const RULES: &str = r#"
[calendar]
time-zone = "America/New_York"
[[rule]]
name = "hot"
title = "Hot"
severity = "warning"
audience = "help-desk"
all = [{ metric = "hw.temperature", op = "above", value = 90, clear = 80 }]
for = "5m"
clear-for = "3m"
runbook-text = "Cool it."
family.en = "It is hot."
[[rule]]
name = "throttled"
title = "Hot and worn"
severity = "info"
audience = "help-desk"
depends-on = ["hot"]
if = [{ metric = "hw.battery.charger.connected", op = "is", value = true }]
any = [
  { metric = "hw.temperature", op = "above", value = 70 },
  { metric = "hw.battery.charge", op = "below", value = "20 %", instances = "any" },
]
when = "school-hours"
runbook-text = "Look at it."
family.en = "It is slow."
[[rule]]
name = "missing"
title = "Missing"
severity = "warning"
audience = "help-desk"
kind = "not-seen"
school-days = 1
runbook-text = "Find it."
family.en = "Where is it?"
[[rule]]
name = "long-missing"
title = "Long missing"
severity = "warning"
audience = "help-desk"
depends-on = ["missing"]
kind = "not-seen"
school-days = 3
runbook-text = "Find it."
family.en = "Where is it?"
"#;

/// What happens to a laptop between two looks.
#[derive(Debug, Clone)]
enum Event {
    Heat(u8),
    HeatUnavailable,
    Charge(u8),
    Charger(bool),
    Report,
    Disconnect,
    Connect,
    Sleep(i64),
    Revoke,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (60..100_u8).prop_map(Event::Heat),
        1 => Just(Event::HeatUnavailable),
        2 => (0..100_u8).prop_map(Event::Charge),
        2 => any::<bool>().prop_map(Event::Charger),
        6 => Just(Event::Report),
        2 => Just(Event::Disconnect),
        2 => Just(Event::Connect),
        1 => (1..600_i64).prop_map(Event::Sleep),
        1 => Just(Event::Revoke),
    ]
}

/// Steps of fifteen seconds without anything, then an event.
fn history() -> impl Strategy<Value = Vec<(u16, Event)>> {
    let pause = prop_oneof![8 => 0..40_u16, 1 => 0..30_000_u16];
    prop::collection::vec((pause, event()), 1..16)
}

fn happen(laptop: &mut Laptop, event: &Event) {
    match event {
        Event::Heat(heat) => {
            laptop.read(&metric::TEMPERATURE, "cpu", Value::Number(f64::from(*heat)));
        }
        Event::HeatUnavailable => {
            let why = Value::Unavailable("gone".to_owned());
            laptop.read(&metric::TEMPERATURE, "cpu", why);
        }
        Event::Charge(charge) => {
            let charge = Value::Number(f64::from(*charge) / 100.0);
            laptop.read(&metric::BATTERY_CHARGE, "BAT0", charge);
        }
        Event::Charger(connected) => {
            laptop.read(&metric::CHARGER_CONNECTED, "BAT0", Value::Flag(*connected));
            laptop.read(&metric::CHARGER_CONNECTED, "cpu", Value::Flag(*connected));
        }
        Event::Report => laptop.report(),
        Event::Disconnect => laptop.disconnect(),
        Event::Connect => laptop.connect(),
        Event::Sleep(minutes) => laptop.sleep(minutes * MINUTE),
        Event::Revoke => laptop.state.device.standing = Standing::Revoked,
    }
}

/// An identity is made at random.
fn named(changes: Vec<AlertChange>) -> Vec<AlertChange> {
    let id: AlertId = "00000000-0000-7000-8000-000000000000".parse().unwrap();
    let name = |change| match change {
        AlertChange::Note(mut alert) => {
            alert.id = id;
            AlertChange::Note(alert)
        }
        AlertChange::Fire(mut alert) => {
            alert.id = id;
            AlertChange::Fire(alert)
        }
        AlertChange::Resolve(mut alert) => {
            alert.id = id;
            AlertChange::Resolve(alert)
        }
        withdrawn @ AlertChange::Withdraw(_) => withdrawn,
    };
    changes.into_iter().map(name).collect()
}

fn left(laptop: &Laptop, changes: &[AlertChange]) -> Left {
    Left {
        has_open: !laptop.open.is_empty(),
        is_changed: !changes.is_empty(),
        forecasts_stand_until: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One laptop is evaluated whole every fifteen seconds, the other by signal and agenda.
    #[test]
    fn only_what_is_due_is_evaluated_and_nothing_is_missed(history in history()) {
        let rules = RuleSet::parse("rules.toml", RULES).unwrap();
        let mut always = Laptop::new();
        let mut seldom = Laptop::new();
        seldom.state.device.id = always.state.device.id;
        let device = always.state.device.id;
        let mut agenda = Agenda::default();
        for (pause, event) in &history {
            for step in 0..=*pause {
                let is_signal = step == 0;
                if is_signal {
                    happen(&mut always, event);
                    happen(&mut seldom, event);
                } else {
                    always.now = always.now.plus_ms(SOON_MS);
                    seldom.now = always.now;
                }
                let found = always.evaluate_by(&rules, evaluate_whole);
                let is_due = agenda.take_due(seldom.now).contains(&device);
                let mut seen = Vec::new();
                if is_signal || is_due {
                    let before = left(&seldom, &[]).has_open;
                    seen = seldom.evaluate_by(&rules, evaluate);
                    let left = Left { has_open: before, ..left(&seldom, &seen) };
                    agenda.note(device, next_look(&rules, &seldom.state, left, seldom.now));
                }
                prop_assert_eq!(named(seen), named(found), "at {}", always.now);
            }
        }
    }
}

/// The short way out of an evaluation finds what the whole one finds, by the default rules.
#[test]
fn the_default_rules_find_the_same_on_the_short_way() {
    let rules = RuleSet::built_in();
    let mut laptop = Laptop::new();
    let values = [0.0, 0.02, 0.3, 0.55, 0.9, 0.97, 5.0, 88.0, 99.0];
    let words = [
        "charging",
        "not_charging",
        "failed",
        "unreachable",
        "off-campus",
        "off",
    ];
    let mut random = 7_u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let mut found = 0;
    for _ in 0..4000 {
        let metric = metric::CATALOGUE[next(metric::CATALOGUE.len())];
        let value = match next(4) {
            0 => Value::Text(words[next(words.len())].to_owned()),
            1 => Value::Flag(next(2) == 0),
            _ => Value::Number(values[next(values.len())]),
        };
        let instance = ["", "BAT0", "/", "nvme0n1"][next(4)];
        if Reading::new(metric, instance, value.clone()).is_ok() {
            laptop.read(metric, instance, value);
        }
        laptop.now = laptop.now.plus_ms(MINUTE);
        let whole = named(laptop.look(&rules, evaluate_whole));
        let short = laptop.evaluate_by(&rules, evaluate);
        found += short.len();
        assert_eq!(named(short), whole);
    }
    assert!(found > 100, "{found}");
}

#[test]
fn an_agenda_gives_each_device_once_and_all_when_the_clock_is_set_back() {
    let (a, b) = (DeviceId::generate(), DeviceId::generate());
    let mut agenda = Agenda::default();
    agenda.note(a, Some(START.plus_ms(20)));
    agenda.note(a, Some(START.plus_ms(10)));
    agenda.note(a, Some(START.plus_ms(30)));
    agenda.note(b, Some(START.plus_ms(40)));
    assert_eq!(agenda.take_due(START.plus_ms(9)), []);
    assert_eq!(agenda.take_due(START.plus_ms(35)), [a]);
    agenda.note(a, None);
    assert_eq!(agenda.take_due(START), [b], "the clock was set back");
    assert_eq!(agenda.waiting(), 0);
}

#[test]
fn an_agenda_does_not_grow_with_what_it_has_forgotten() {
    let device = DeviceId::generate();
    let mut agenda = Agenda::default();
    for n in (0..10 * STALE as i64).rev() {
        agenda.note(device, Some(START.plus_ms(n)));
    }
    assert!(agenda.queue.len() <= STALE + 2 && agenda.waiting() == 1);
}
