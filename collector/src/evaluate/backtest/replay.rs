//! One device of a history, from its first row to its last, through the evaluator.

use std::collections::BTreeSet;

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

use super::AlertLine;
use super::history::History;
use crate::alert::Alert;
use crate::device::{Device, DeviceState, Latest, SeriesKey, Standing};
use crate::evaluate::device::{AlertChange, Moment, evaluate};
use crate::evaluate::forecast::Outlook;
use crate::evaluate::rules::{RuleSet, Test};
use crate::evaluate::sites::Heard;

/// Rows that follow each other within this time are of one time awake. Recordings are coarser than
/// what an agent sends; hours apart, nobody knows whether the laptop slept between them.
const AWAKE_GAP_MS: i64 = 2 * 3_600_000;

/// What became of one device.
pub struct Replayed {
    /// Its name.
    pub device: String,
    /// Its first row.
    pub from: UnixMs,
    /// Its last row.
    pub to: UnixMs,
    /// What fired, in the order of firing.
    pub alerts: Vec<Told>,
    /// The rules that it had readings for, by number.
    pub judged: BTreeSet<usize>,
}

/// An alert that fired.
pub struct Told {
    /// When.
    pub fired: UnixMs,
    /// It in words.
    pub line: AlertLine,
    key: (String, String),
}

/// Replays the next device of `history`; `None` when there is no more.
///
/// # Errors
/// When a temporary file cannot be read.
pub fn replay(rules: &RuleSet, history: &mut History) -> anyhow::Result<Option<Replayed>> {
    let Some(name) = history.device().map(str::to_owned) else {
        return Ok(None);
    };
    let Some(first) = history.sample(&name)? else {
        return Ok(None);
    };
    let mut laptop = Laptop::new(name, first.at);
    laptop.read(&first.reading);
    while let Some(sample) = history.sample(&laptop.told.device)? {
        if sample.at != laptop.now {
            laptop.evaluate(rules);
            laptop.wait_until(sample.at);
        }
        laptop.read(&sample.reading);
    }
    laptop.evaluate(rules);
    Ok(Some(laptop.end()))
}

/// A laptop on its way through a history.
pub struct Laptop {
    now: UnixMs,
    state: DeviceState,
    outlook: Outlook,
    open: Vec<Alert>,
    told: Replayed,
}

impl Laptop {
    fn new(name: String, from: UnixMs) -> Self {
        let device = record(&name, from);
        Self::of(name, device, Outlook::default(), from)
    }

    /// A laptop whose record is known, and what is known of its past before the history.
    pub fn of(name: String, device: Device, outlook: Outlook, from: UnixMs) -> Self {
        let mut state = DeviceState::new(device);
        state.connected = true;
        let mut laptop = Self {
            now: from,
            state,
            outlook,
            open: Vec::new(),
            told: Replayed {
                device: name,
                from,
                to: from,
                alerts: Vec::new(),
                judged: BTreeSet::new(),
            },
        };
        laptop.wait_until(from);
        laptop
    }

    /// Lets time pass.
    pub fn wait_until(&mut self, at: UnixMs) {
        let gap = self.state.last_report.map(|last| at.since(last));
        if gap.is_none_or(|gap| gap > AWAKE_GAP_MS) {
            self.state.awake_since = Some(at);
            self.state.connected_since = Some(at);
        }
        self.state.last_report = Some(at);
        self.state.last_seen = Some(at);
        self.now = at;
    }

    /// Takes in a reading of now.
    pub fn read(&mut self, reading: &Reading) {
        if let Value::Text(text) = reading.value() {
            if reading.metric() == &metric::HOST_MODEL {
                self.state.device.model.clone_from(text);
            } else if reading.metric() == &metric::HOST_VENDOR {
                self.state.device.vendor.clone_from(text);
            }
        }
        let known = self.state.get(reading.metric(), reading.instance());
        if known.is_none_or(|latest| latest.value != *reading.value()) {
            let (value, since) = (reading.value().clone(), self.now);
            let key = SeriesKey::of(reading);
            self.state.note_radio(&key, &value);
            self.state.latest.insert(key, Latest { value, since });
        }
    }

    /// Evaluates it as it is now.
    pub fn evaluate(&mut self, rules: &RuleSet) {
        let state = self.outlook.add_to(&self.state, self.now);
        self.note_judged(rules, &state);
        let moment = Moment {
            now: self.now,
            lag_ms: 0,
            heard: Heard::default(),
        };
        for change in evaluate(rules, &state, &self.open, moment) {
            match change {
                AlertChange::Note(alert) => self.keep(alert),
                AlertChange::Fire(alert) => {
                    let told = Told::new(&self.told.device, &alert, self.now);
                    self.told.alerts.push(told);
                    self.keep(alert);
                }
                AlertChange::Withdraw(key) => self.open.retain(|alert| alert.key != key),
                AlertChange::Resolve(alert) => {
                    self.open.retain(|open| open.key != alert.key);
                    self.resolve(&alert);
                }
            }
        }
    }

    /// The moment that it has come to.
    pub const fn now(&self) -> UnixMs {
        self.now
    }

    /// What became of it.
    pub fn end(mut self) -> Replayed {
        self.told.to = self.now;
        self.told
    }

    fn note_judged(&mut self, rules: &RuleSet, state: &DeviceState) {
        for (number, rule) in rules.rules.iter().enumerate() {
            let Test::Readings(readings) = &rule.test else {
                continue;
            };
            if !self.told.judged.contains(&number)
                && readings
                    .faults
                    .iter()
                    .any(|fault| fault.instances(state).next().is_some())
            {
                self.told.judged.insert(number);
            }
        }
    }

    fn keep(&mut self, alert: Alert) {
        match self.open.iter_mut().find(|open| open.key == alert.key) {
            Some(open) => *open = alert,
            None => self.open.push(alert),
        }
    }

    fn resolve(&mut self, alert: &Alert) {
        let key = (alert.key.rule.as_str(), alert.key.instance.as_str());
        let of_key = |told: &&mut Told| (told.key.0.as_str(), told.key.1.as_str()) == key;
        if let Some(told) = self.told.alerts.iter_mut().rev().find(of_key) {
            told.line.resolved = Some(self.now.to_string());
        }
    }
}

impl Told {
    fn new(device: &str, alert: &Alert, now: UnixMs) -> Self {
        Self {
            fired: now,
            line: AlertLine {
                device: device.to_owned(),
                rule: alert.key.rule.clone(),
                instance: alert.key.instance.clone(),
                severity: alert.severity.to_string(),
                fired: now.to_string(),
                resolved: None,
                evidence: alert.evidence.clone(),
            },
            key: (alert.key.rule.clone(), alert.key.instance.clone()),
        }
    }
}

/// A record for a device of which nothing but a name is known.
fn record(name: &str, enrolled: UnixMs) -> Device {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let bytes = digest.as_ref()[..16]
        .try_into()
        .expect("a digest has 32 bytes");
    Device {
        id: DeviceId::from_bytes(bytes),
        site: "recorded".parse().expect("a label of letters"),
        group: None,
        enrolled,
        fingerprint: HardwareFingerprint::default(),
        vendor: String::new(),
        model: String::new(),
        agent_version: String::new(),
        standing: Standing::Active,
        cloned_from: None,
    }
}
