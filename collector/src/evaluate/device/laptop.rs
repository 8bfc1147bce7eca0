//! A laptop in tests: its state, its open alerts, and a clock that moves only when told.

use std::collections::BTreeMap;

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

use super::{AlertChange, Heard, Moment, evaluate};
use crate::alert::{Alert, AlertKey, AlertState};
use crate::device::{Device, DeviceState, Latest, SeriesKey, Standing};
use crate::evaluate::forecast::Outlook;
use crate::evaluate::rules::RuleSet;

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// How long a change may be on its way.
pub const LAG: i64 = 6 * MINUTE;

/// Wednesday 2026-09-02, 15:00 UTC.
pub const START: UnixMs = UnixMs(1_788_361_200_000);

/// A way to evaluate.
pub type Way = fn(&RuleSet, &DeviceState, &[Alert], Moment) -> Vec<AlertChange>;

pub struct Laptop {
    pub state: DeviceState,
    pub now: UnixMs,
    pub open: BTreeMap<AlertKey, Alert>,
    pub outlook: Outlook,
}

impl Laptop {
    pub fn new() -> Self {
        let device = Device {
            id: DeviceId::generate(),
            site: "Lincoln".parse().unwrap(),
            group: None,
            enrolled: START,
            fingerprint: HardwareFingerprint::default(),
            vendor: "LENOVO".to_owned(),
            model: "300e".to_owned(),
            agent_version: "0.1.0".to_owned(),
            standing: Standing::Active,
            cloned_from: None,
        };
        let mut state = DeviceState::new(device);
        state.connected = true;
        state.connected_since = Some(START);
        state.last_seen = Some(START);
        Self {
            state,
            now: START,
            open: BTreeMap::new(),
            outlook: Outlook::default(),
        }
    }

    /// Reads a value, from now on.
    pub fn read(&mut self, metric: &'static Metric, instance: &str, value: Value) {
        let reading = Reading::new(metric, instance, value).unwrap();
        let latest = Latest {
            value: reading.value().clone(),
            since: self.now,
        };
        let known = self.state.get(metric, instance);
        if known.is_none_or(|known| known.value != latest.value) {
            self.state.latest.insert(SeriesKey::of(&reading), latest);
        }
        self.report();
    }

    pub fn report(&mut self) {
        self.state.awake_since.get_or_insert(self.now);
        self.state.last_report = Some(self.now);
        self.state.last_seen = Some(self.now);
    }

    pub fn disconnect(&mut self) {
        self.state.connected = false;
        self.state.connected_since = None;
    }

    pub fn connect(&mut self) {
        self.state.connected = true;
        self.state.connected_since = Some(self.now);
        self.state.last_seen = Some(self.now);
    }

    /// Sleeps and wakes with a report.
    pub fn sleep(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.state.awake_since = None;
        self.state.connected_since = self.state.connected.then_some(self.now);
        self.report();
    }

    /// Is awake and evaluated once a minute.
    pub fn run(&mut self, rules: &RuleSet, ms: i64) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        let end = self.now.plus_ms(ms);
        loop {
            self.report();
            changes.extend(self.evaluate(rules));
            if self.now >= end {
                return changes;
            }
            self.now = self.now.plus_ms(MINUTE.min(end.since(self.now)));
        }
    }

    pub fn evaluate(&mut self, rules: &RuleSet) -> Vec<AlertChange> {
        self.evaluate_by(rules, evaluate)
    }

    /// Evaluates in one of the ways that there are, and applies what it finds.
    pub fn evaluate_by(&mut self, rules: &RuleSet, way: Way) -> Vec<AlertChange> {
        let changes = self.look(rules, way);
        for change in &changes {
            self.apply(change);
        }
        changes
    }

    /// What an evaluation finds; nothing is applied.
    pub fn look(&mut self, rules: &RuleSet, way: Way) -> Vec<AlertChange> {
        let open: Vec<Alert> = self.open.values().cloned().collect();
        let moment = Moment {
            now: self.now,
            lag_ms: LAG,
            heard: Heard::default(),
        };
        let state = self.outlook.add_to(&self.state, self.now);
        way(rules, &state, &open, moment)
    }

    fn apply(&mut self, change: &AlertChange) {
        match change {
            AlertChange::Note(alert) | AlertChange::Fire(alert) => {
                self.open.insert(alert.key.clone(), alert.clone());
            }
            AlertChange::Withdraw(key) => {
                self.open
                    .remove(key)
                    .expect("only an open alert is withdrawn");
            }
            AlertChange::Resolve(alert) => {
                assert!(alert.resolved.is_some() && alert.state == AlertState::Resolved);
                self.open
                    .remove(&alert.key)
                    .expect("only an open alert is resolved");
            }
        }
    }

    pub fn firing(&self) -> Vec<&str> {
        let firing = self
            .open
            .values()
            .filter(|alert| alert.state == AlertState::Firing);
        firing.map(|alert| alert.key.rule.as_str()).collect()
    }
}
