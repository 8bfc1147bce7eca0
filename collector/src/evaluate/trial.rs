//! Unit tests of rules, written beside them in a file: what a laptop reads and for how long, and whether
//! the rule then fires.
//!
//! ```toml
//! [[test]]
//! name = "a full disk is told and a cleared one is over"
//! rule = "disk-full"
//! [[test.step]]
//! read = [
//!   { metric = "system.filesystem.limit", instance = "/", value = "64 GiB" },
//!   { metric = "system.filesystem.free", instance = "/", value = "0.5 GiB" },
//! ]
//! for = "15m"
//! expect = "firing"
//! says = "512 MiB"
//! ```
//! A laptop is awake, connected and evaluated once a minute, unless a step is `while = "asleep"` or
//! `while = "offline"`. Readings stay as they are until a later step reads something else.

use std::fmt;
use std::sync::Arc;

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::metric::{Kind, Metric};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;
use serde::Deserialize;

use super::device::{AlertChange, Moment, evaluate, explain};
use super::forecast::{Outlook, metrics};
use super::rules::{RuleSet, quantity, unknown};
use super::sites::Heard;
use crate::alert::{Alert, AlertState};
use crate::device::{Device, DeviceState, FORECAST_CODES, Latest, SeriesKey, Standing};
use crate::inventory::readings::joined;

/// Tests of one file: several for each rule of the largest set.
const TESTS: usize = 1000;

/// Time that one test may last: a school term, of which each minute is evaluated while it is awake.
const LONGEST_MS: i64 = 120 * 86_400_000;

const MINUTE_MS: i64 = 60_000;

/// Wednesday 2026-09-02, 15:00 UTC: school time from Halifax to Denver.
const START: UnixMs = UnixMs(1_788_361_200_000);

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestFile {
    #[serde(default, rename = "test")]
    tests: Vec<TestTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TestTable {
    name: String,
    rule: String,
    /// When it begins; a Wednesday in school time where it is absent.
    at: Option<String>,
    site: Option<Label>,
    group: Option<Label>,
    model: Option<String>,
    #[serde(default, rename = "step")]
    steps: Vec<StepTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepTable {
    #[serde(default)]
    read: Vec<ReadTable>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    #[serde(default, rename = "while")]
    state: While,
    expect: Option<Expect>,
    says: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadTable {
    metric: String,
    #[serde(default)]
    instance: String,
    value: toml::Value,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum While {
    #[default]
    Awake,
    Asleep,
    Offline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Expect {
    Firing,
    Pending,
    Quiet,
}

/// What came of a file's tests.
#[derive(Debug, Default)]
pub struct TestReport {
    /// How many went as expected.
    pub passed: usize,
    /// What did not, in words.
    pub failed: Vec<String>,
    /// The rules that no test is about.
    pub untested: Vec<String>,
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failed
            .iter()
            .try_for_each(|line| writeln!(f, "FAILED {line}"))?;
        writeln!(f, "{} passed, {} failed", self.passed, self.failed.len())?;
        if !self.untested.is_empty() {
            writeln!(f, "no test is about: {}", self.untested.join(", "))?;
        }
        Ok(())
    }
}

/// Runs the tests of `text` against `rules`; `name` is what errors call the file.
///
/// # Errors
/// What is wrong with the file, with its line or the test's name, the field and the nearest word.
pub fn test_rules(rules: &RuleSet, name: &str, text: &str) -> Result<TestReport, String> {
    let file: TestFile = toml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
    if file.tests.len() > TESTS {
        return Err(format!("{name}: more than {TESTS} tests"));
    }
    let mut report = TestReport::default();
    let mut tested = Vec::new();
    for test in &file.tests {
        let of = |problem| format!("{name}: test `{}`: {problem}", test.name);
        match run(rules, test).map_err(of)? {
            None => report.passed += 1,
            Some(difference) => report.failed.push(of(difference)),
        }
        tested.push(test.rule.as_str());
    }
    let names = rules.rules.iter().map(|rule| rule.name.as_str());
    let untested = names.filter(|name| !tested.contains(name));
    report.untested = untested.map(str::to_owned).collect();
    Ok(report)
}

/// What differed from what is expected, in words; an error where the test itself is wrong.
fn run(rules: &RuleSet, test: &TestTable) -> Result<Option<String>, String> {
    let Some(rule) = rules.get(&test.rule) else {
        let known = rules.rules.iter().map(|rule| rule.name.as_str());
        return Err(format!("rule: {}", unknown("rule", &test.rule, known)));
    };
    if !test.steps.iter().any(|step| step.expect.is_some()) {
        return Err("no step has `expect`, so nothing is tested".to_owned());
    }
    let mut laptop = Laptop::new(test)?;
    let began = laptop.now;
    for (number, step) in test.steps.iter().enumerate() {
        let of = |problem: String| format!("step {}: {problem}", number + 1);
        laptop.step(rules, step).map_err(of)?;
        if laptop.now.since(began) > LONGEST_MS {
            return Err(of("the test lasts longer than 120 days".to_owned()));
        }
        if let Some(difference) = laptop.difference(&test.rule, step) {
            let why = explain(rules, rule, &laptop.with_forecasts(), laptop.now);
            return Ok(Some(of(format!("{difference}. {why}"))));
        }
    }
    Ok(None)
}

struct Laptop {
    now: UnixMs,
    state: DeviceState,
    outlook: Outlook,
    /// What only the collector knows, such as what its inventory says.
    said: Vec<Reading>,
    open: Vec<Alert>,
}

impl Laptop {
    fn new(test: &TestTable) -> Result<Self, String> {
        let now = match &test.at {
            None => START,
            Some(text) => {
                let at: jiff::Timestamp = text.parse().map_err(|_| {
                    format!("at: `{text}` is no time such as 2026-09-02T11:00:00-04:00")
                })?;
                UnixMs(at.as_millisecond())
            }
        };
        let device = Device {
            id: DeviceId::from_bytes([1; 16]),
            site: test
                .site
                .clone()
                .unwrap_or_else(|| "Lincoln".parse().expect("a word is a label")),
            group: test.group.clone(),
            enrolled: now,
            fingerprint: HardwareFingerprint::default(),
            vendor: String::new(),
            model: test.model.clone().unwrap_or_default(),
            agent_version: String::new(),
            standing: Standing::Active,
            cloned_from: None,
        };
        let mut laptop = Self {
            now,
            state: DeviceState::new(device),
            outlook: Outlook::default(),
            said: Vec::new(),
            open: Vec::new(),
        };
        laptop.connect();
        Ok(laptop)
    }

    fn step(&mut self, rules: &RuleSet, step: &StepTable) -> Result<(), String> {
        let lasts = match &step.lasts {
            None => 0,
            Some(text) => {
                quantity::duration_ms(text).map_err(|problem| format!("for: {problem}"))?
            }
        };
        if step.state != While::Awake && !step.read.is_empty() {
            return Err("read: nothing is read while the laptop is asleep or offline".to_owned());
        }
        for read in &step.read {
            self.read(read)?;
        }
        match step.state {
            While::Awake => self.stay_awake(rules, lasts),
            While::Asleep => {
                self.now = self.now.plus_ms(lasts);
                self.state.awake_since = None;
                self.connect();
                self.evaluate(rules);
            }
            While::Offline => {
                self.state.connected = false;
                self.state.connected_since = None;
                self.state.awake_since = None;
                self.now = self.now.plus_ms(lasts);
                self.evaluate(rules);
            }
        }
        Ok(())
    }

    fn connect(&mut self) {
        self.state.connected = true;
        self.state.connected_since = Some(self.now);
        self.state.last_seen = Some(self.now);
    }

    fn stay_awake(&mut self, rules: &RuleSet, lasts: i64) {
        if !self.state.connected {
            self.connect();
        }
        let end = self.now.plus_ms(lasts);
        loop {
            self.state.awake_since.get_or_insert(self.now);
            self.state.last_report = Some(self.now);
            self.state.last_seen = Some(self.now);
            self.evaluate(rules);
            if self.now >= end {
                return;
            }
            self.now = self.now.plus_ms(MINUTE_MS.min(end.since(self.now)));
        }
    }

    fn read(&mut self, read: &ReadTable) -> Result<(), String> {
        let metric = metrics::by_name(&read.metric).ok_or_else(|| {
            format!(
                "metric: {}",
                unknown("metric", &read.metric, metrics::names())
            )
        })?;
        let value = value_of(metric, &read.value).map_err(|problem| format!("value: {problem}"))?;
        let reading = Reading::new(metric, &read.instance, value)
            .map_err(|error| format!("{}: {error}", read.metric))?;
        if metric.code >= FORECAST_CODES {
            let same = |known: &Reading| SeriesKey::of(known) == SeriesKey::of(&reading);
            self.said.retain(|known| !same(known));
            self.said.push(reading);
            return Ok(());
        }
        let known = self.state.get(metric, &read.instance);
        if known.is_none_or(|latest| latest.value != *reading.value()) {
            let (value, since) = (reading.value().clone(), self.now);
            let latest = Latest { value, since };
            self.state.latest.insert(SeriesKey::of(&reading), latest);
        }
        Ok(())
    }

    fn with_forecasts(&mut self) -> DeviceState {
        let state = self.outlook.add_to(&self.state, self.now);
        if self.said.is_empty() {
            return state;
        }
        let joined = joined(
            &state.forecasts,
            &self.state.forecasts,
            &self.said,
            self.now,
        );
        self.state.forecasts = joined.into();
        DeviceState {
            forecasts: Arc::clone(&self.state.forecasts),
            ..state
        }
    }

    fn evaluate(&mut self, rules: &RuleSet) {
        let state = self.with_forecasts();
        let moment = Moment {
            now: self.now,
            lag_ms: 0,
            heard: Heard::default(),
        };
        for change in evaluate(rules, &state, &self.open, moment) {
            let key = match &change {
                AlertChange::Note(alert) | AlertChange::Fire(alert) => &alert.key,
                AlertChange::Resolve(alert) => &alert.key,
                AlertChange::Withdraw(key) => key,
            };
            self.open.retain(|open| open.key != *key);
            if let AlertChange::Note(alert) | AlertChange::Fire(alert) = change {
                self.open.push(alert);
            }
        }
    }

    fn difference(&self, rule: &str, step: &StepTable) -> Option<String> {
        let of_rule: Vec<&Alert> = self.open.iter().filter(|a| a.key.rule == rule).collect();
        let fires = |alert: &&&Alert| alert.state == AlertState::Firing;
        let found = match (of_rule.iter().any(|a| fires(&a)), of_rule.is_empty()) {
            (true, _) => Expect::Firing,
            (false, false) => Expect::Pending,
            (false, true) => Expect::Quiet,
        };
        if let Some(expected) = step.expect.filter(|expected| *expected != found) {
            return Some(format!(
                "expected {}, found {}",
                expected.word(),
                found.word()
            ));
        }
        let says = step.says.as_deref()?;
        let evidence: Vec<&str> = of_rule.iter().map(|a| a.evidence.as_str()).collect();
        (!evidence.iter().any(|text| text.contains(says)))
            .then(|| format!("`{says}` is not in the evidence: {}", evidence.join("; ")))
    }
}

impl Expect {
    const fn word(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Quiet => "quiet",
        }
    }
}

fn value_of(metric: &Metric, value: &toml::Value) -> Result<Value, String> {
    match (metric.kind, value) {
        (Kind::Gauge { .. } | Kind::Counter { .. }, toml::Value::Float(number)) => {
            Ok(Value::Number(*number))
        }
        (Kind::Gauge { .. } | Kind::Counter { .. }, toml::Value::Integer(number)) => {
            Ok(Value::Number(*number as f64))
        }
        (Kind::Gauge { .. } | Kind::Counter { .. }, toml::Value::String(text)) => {
            quantity::parse(metric, text).map(Value::Number)
        }
        (Kind::Flag, toml::Value::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::State(known), toml::Value::String(word)) if !known.contains(&word.as_str()) => {
            let what = format!("value of {}", metric.name);
            Err(unknown(&what, word, known.iter().copied()))
        }
        (Kind::State(_) | Kind::Text, toml::Value::String(word)) => Ok(Value::Text(word.clone())),
        (kind, _) => Err(format!("{} is a {}", metric.name, kind.word())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_TESTS: &str = include_str!("../../rules/default.test.toml");

    #[test]
    fn the_default_rules_pass_their_tests() {
        let mut rules = RuleSet::built_in();
        rules.calendar.zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        let report = test_rules(&rules, "default.test.toml", DEFAULT_TESTS).unwrap();
        assert_eq!(report.failed, Vec::<String>::new());
        assert!(report.passed >= 12, "{report}");
    }

    #[test]
    fn a_rule_that_is_changed_fails_its_test_and_says_why() {
        let changed =
            super::super::rules::DEFAULT_RULES.replace("value = \"1 GiB\"", "value = \"100 MiB\"");
        let changed = changed.replace("clear = \"3 GiB\"", "clear = \"1 GiB\"");
        let rules = RuleSet::parse("changed.toml", &changed).unwrap();
        let report = test_rules(&rules, "default.test.toml", DEFAULT_TESTS).unwrap();
        let failed = report.failed.join("\n");
        assert!(failed.contains("expected firing, found quiet"), "{failed}");
        assert!(failed.contains("disk-full: does not hold"), "{failed}");
    }

    #[test]
    fn a_test_that_is_wrong_is_named() {
        let rules = RuleSet::built_in();
        let refused = |text: &str| test_rules(&rules, "t.toml", text).unwrap_err();
        let of = |step: &str| {
            format!("[[test]]\nname = \"x\"\nrule = \"disk-full\"\n[[test.step]]\n{step}\n")
        };
        let wrong = of("expect = \"quiet\"").replace("disk-full", "disk-ful");
        assert!(refused(&wrong).contains("did you mean `disk-full`?"));
        assert!(refused(&of("")).contains("nothing is tested"));
        assert!(refused(&of("expect = \"fires\"")).contains("t.toml"));
        let metric = of("expect = \"quiet\"\nread = [{ metric = \"os.nam\", value = 1 }]");
        assert!(refused(&metric).contains("did you mean `os.name`?"));
        let value = metric.replace("os.nam", "os.name");
        assert!(
            refused(&value).contains("os.name is a"),
            "{}",
            refused(&value)
        );
        let long = of("expect = \"quiet\"\nfor = \"399d\"\nwhile = \"asleep\"");
        assert!(refused(&long).contains("longer than 120 days"));
    }
}
