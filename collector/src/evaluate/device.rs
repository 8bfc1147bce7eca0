//! The evaluation of one device: (rules, its state, its open alerts, now) to changes. Pure.
//!
//! ```text
//! nothing -> pending -> firing -> resolved
//!               \-> withdrawn: the condition went away before it had held for long enough
//! ```
//! Invariants:
//! - At most one alert is open for each key.
//! - An alert fires only once its condition has held for the rule's time, counted in time that the
//!   laptop was awake and reported (or, for `for-calendar`, in days on the wall).
//! - Only a good reading resolves: one that is missing or unavailable neither fires nor resolves, and
//!   neither does one that was taken where or when the rule is not judged.
//! - A laptop that is connected and says nothing is awake, and its readings are as they were: only what
//!   changed travels, so its state is known up to the time that a change may take to come.
//! - While a connected laptop still delivers what it kept offline, nothing fires: what began and
//!   ended within that backlog is nobody's work any more.
//! - Between the limit and the clearing limit a firing alert goes on. It resolves once it was good
//!   for `clear-for`, counted in awake time from when the condition was last noted to hold, which is
//!   noted every [`PROGRESS_MS`].

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_shared::time::UnixMs;

use super::condition::{Mode, Truth};
use super::rules::quantity::show_ms;
use super::rules::{Hold, Join, Readings, Rule, RuleSet, Test};
use super::sites::{Heard, Silence};
use crate::alert::{Alert, AlertId, AlertKey, AlertState};
use crate::device::{DeviceState, Standing};

/// Reports that came in later than this after they were taken are a backlog: three times the longest
/// time that ordinary reports wait to be sent.
pub const CATCHING_UP_MS: i64 = 15 * 60_000;

/// Bytes of an alert's evidence: some lines of a ticket, and well within a value of the store.
const EVIDENCE_BYTES: usize = 1024;

/// How long a connected laptop must have sent nothing for its backlog to be known to have ended:
/// acknowledgements go round in seconds.
const SETTLED_MS: i64 = 2 * 60_000;

/// How much time is counted before a pending alert is written again.
const COUNTED_MS: i64 = 60_000;

/// How often the progress of a firing alert is written: once in two reports or so.
pub const PROGRESS_MS: i64 = 2 * 60_000;

/// Open alerts of one rule on one device; a laptop has fewer mount points and targets than this.
const INSTANCES: usize = 64;

/// What is to become of an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertChange {
    /// It is pending, or goes on being what it is, with fresh evidence.
    Note(Alert),
    /// It begins to fire: somebody is to be told.
    Fire(Alert),
    /// It never fired and is gone.
    Withdraw(AlertKey),
    /// It is over: those who were told are to be told so.
    Resolve(Alert),
}

/// When a device is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The collector's time.
    pub now: UnixMs,
    /// How long a change may be on its way from a laptop that is connected, in milliseconds.
    pub lag_ms: i64,
    /// What is heard of its school.
    pub heard: Heard,
}

/// What changes for a device.
#[must_use]
pub fn evaluate(
    rules: &RuleSet,
    state: &DeviceState,
    open: &[Alert],
    moment: Moment,
) -> Vec<AlertChange> {
    evaluate_in(rules, state, open, moment, true)
}

/// The same on the long way, for tests: each rule is worked out for each of its subjects.
#[cfg(test)]
pub(crate) fn evaluate_whole(
    rules: &RuleSet,
    state: &DeviceState,
    open: &[Alert],
    moment: Moment,
) -> Vec<AlertChange> {
    evaluate_in(rules, state, open, moment, false)
}

fn evaluate_in(
    rules: &RuleSet,
    state: &DeviceState,
    open: &[Alert],
    moment: Moment,
    is_short: bool,
) -> Vec<AlertChange> {
    let now = moment.now;
    let mut changes = Vec::new();
    if state.device.standing != Standing::Active {
        let reason = match state.device.standing {
            Standing::Revoked => "the laptop was revoked",
            _ => "the laptop was retired",
        };
        changes.extend(open.iter().map(|alert| end(alert, reason, now)));
        return changes;
    }
    let mut firing: BTreeSet<&str> = BTreeSet::new();
    for rule in &rules.rules {
        let of_rule: Vec<&Alert> = open
            .iter()
            .filter(|alert| alert.key.rule == rule.name)
            .collect();
        let suppressed = rule
            .depends_on
            .iter()
            .any(|name| firing.contains(name.as_str()));
        let view = View {
            rules,
            rule,
            state,
            now,
            lag_ms: moment.lag_ms,
            heard: moment.heard,
            suppressed,
        };
        if is_short && of_rule.is_empty() && !view.may_open() {
            continue;
        }
        let changed = view.evaluate(&of_rule);
        if fires_after(&of_rule, &changed) {
            firing.insert(&rule.name);
        }
        changes.extend(changed);
    }
    let is_orphan = |alert: &&Alert| rules.get(&alert.key.rule).is_none();
    changes.extend(
        open.iter()
            .filter(is_orphan)
            .map(|a| end(a, "the rule was removed", now)),
    );
    changes
}

/// Why a rule does or does not fire for a device, in words with the readings.
#[must_use]
pub fn explain(rules: &RuleSet, rule: &Arc<Rule>, state: &DeviceState, now: UnixMs) -> String {
    let view = View {
        rules,
        rule,
        state,
        now,
        lag_ms: 0,
        heard: Heard::default(),
        suppressed: false,
    };
    view.explain()
}

/// One rule and one device at one moment.
struct View<'a> {
    rules: &'a RuleSet,
    rule: &'a Arc<Rule>,
    state: &'a DeviceState,
    now: UnixMs,
    lag_ms: i64,
    heard: Heard,
    suppressed: bool,
}

impl View<'_> {
    /// Whether an alert may open where none is. Most rules find nothing wrong with most laptops most of
    /// the time, and saying so asks for no memory and for no calendar.
    fn may_open(&self) -> bool {
        if self.suppressed {
            return false;
        }
        match &self.rule.test {
            Test::NotSeen { .. } => !self.state.connected,
            Test::SiteSilent => self.heard.silence.is_some(),
            Test::Readings(readings) => self.may_hold(readings),
        }
    }

    /// Whether the faults hold for any instance that the rule is judged for.
    fn may_hold(&self, readings: &Readings) -> bool {
        use super::condition::Over;
        let holds =
            |subject: &str| readings.judge(self.state, subject, Mode::Opening) == Truth::True;
        readings.deciding().iter().any(|fault| match fault.over {
            Over::Same => fault
                .instances(self.state)
                .any(|(subject, _)| holds(subject)),
            _ => fault.instances(self.state).next().is_some() && holds(""),
        })
    }

    fn evaluate(&self, open: &[&Alert]) -> Vec<AlertChange> {
        if !self.rule.selects(self.state) {
            let reason = "the rule no longer applies to this laptop";
            return open
                .iter()
                .map(|alert| end(alert, reason, self.now))
                .collect();
        }
        match &self.rule.test {
            Test::NotSeen { school_days } => self
                .evaluate_absence(*school_days, open.first().copied())
                .into_iter()
                .collect(),
            Test::SiteSilent => self
                .evaluate_silence(open.first().copied())
                .into_iter()
                .collect(),
            Test::Readings(readings) => self.evaluate_readings(readings, open),
        }
    }

    fn evaluate_readings(&self, readings: &Readings, open: &[&Alert]) -> Vec<AlertChange> {
        let mut subjects = self.subjects(readings);
        subjects.extend(open.iter().map(|alert| alert.key.instance.clone()));
        subjects
            .iter()
            .filter_map(|subject| {
                let alert = open
                    .iter()
                    .find(|alert| alert.key.instance == *subject)
                    .copied();
                self.evaluate_subject(readings, subject, alert)
            })
            .collect()
    }

    /// The instances that the rule is judged for: those of its first fault, or of every one where
    /// one suffices. A rule about all instances together has one subject without a name.
    fn subjects(&self, readings: &Readings) -> BTreeSet<String> {
        use super::condition::Over;
        let mut subjects = BTreeSet::new();
        for fault in readings.deciding() {
            match fault.over {
                Over::Same => {
                    subjects.extend(fault.instances(self.state).map(|(i, _)| i.to_owned()));
                }
                _ if fault.instances(self.state).next().is_some() => {
                    subjects.insert(String::new());
                }
                _ => {}
            }
        }
        while subjects.len() > INSTANCES {
            subjects.pop_last();
        }
        subjects
    }

    fn evaluate_subject(
        &self,
        readings: &Readings,
        subject: &str,
        alert: Option<&Alert>,
    ) -> Option<AlertChange> {
        let is_firing = alert.is_some_and(|alert| alert.state == AlertState::Firing);
        let mode = if is_firing {
            Mode::Clearing
        } else {
            Mode::Opening
        };
        let judgeable = self.judgeable(readings, subject);
        let fault = readings.judge(self.state, subject, mode);
        match alert {
            None if self.suppressed => None,
            None => (judgeable.and(fault) == Truth::True)
                .then(|| self.open(readings, subject))
                .flatten(),
            Some(alert) if is_firing => match (judgeable, fault) {
                (Truth::True, Truth::True) => self.note_firing(readings, alert),
                (Truth::True, Truth::False) => self.clear(readings, alert),
                _ => None,
            },
            Some(alert) => match judgeable.and(fault) {
                _ if self.suppressed => Some(AlertChange::Withdraw(alert.key.clone())),
                Truth::True => self.advance(readings, alert),
                Truth::False => Some(AlertChange::Withdraw(alert.key.clone())),
                Truth::Unknown => None,
            },
        }
    }

    /// Whether the readings were taken where and when the rule is judged.
    fn judgeable(&self, readings: &Readings, subject: &str) -> Truth {
        let at = self.state.last_report.unwrap_or(self.now);
        let in_time = !self.rule.school_hours || self.rules.calendar.is_school_time(at);
        let in_touch = !self.rule.connected || self.state.connected;
        let prerequisites = readings.prerequisites.iter();
        prerequisites
            .map(|condition| condition.judge(self.state, subject, Mode::Opening))
            .fold(self.rule.vantage.judge(self.state), Truth::and)
            .and(in_time.into())
            .and(in_touch.into())
    }

    fn open(&self, readings: &Readings, subject: &str) -> Option<AlertChange> {
        let observed = self.known()?.1;
        let since = self.since(readings, subject, observed);
        let alert = Alert {
            id: AlertId::generate(),
            key: self.key(subject),
            state: AlertState::Pending,
            severity: self.rule.severity,
            audience: self.rule.audience,
            title: self.rule.title.clone(),
            evidence: self.evidence(readings, subject, Mode::Opening),
            since,
            held_ms: self.awake_ms_since(since),
            observed,
            fired: None,
            resolved: None,
            incident: None,
        };
        Some(self.settle(readings, alert))
    }

    /// When the condition began to hold, as far as the readings tell. Rules that need touch with the
    /// collector count from now: before, nobody knows whether the network or the laptop was at fault.
    fn since(&self, readings: &Readings, subject: &str, observed: UnixMs) -> UnixMs {
        if self.rule.connected {
            return observed;
        }
        let telling = readings.telling(self.state, subject, Mode::Opening);
        let known = telling
            .iter()
            .filter_map(|fault| fault.since(self.state, subject));
        let began = match readings.join {
            Join::All => known.max(),
            Join::Any => known.min(),
        };
        began.unwrap_or(observed).min(observed)
    }

    /// A pending alert whose condition still holds. Where days on the wall count, its beginning is all
    /// that must be kept, so nothing is written until it fires.
    fn advance(&self, readings: &Readings, alert: &Alert) -> Option<AlertChange> {
        let mut alert = alert.clone();
        let before = alert.observed;
        self.count_time(&mut alert);
        self.refresh(readings, &mut alert);
        let counted = alert.observed.since(before);
        let is_counted = matches!(readings.hold, Hold::Awake(_)) && counted >= COUNTED_MS;
        match self.settle(readings, alert) {
            AlertChange::Note(_) if !is_counted => None,
            change => Some(change),
        }
    }

    fn settle(&self, readings: &Readings, mut alert: Alert) -> AlertChange {
        let has_held = match readings.hold {
            Hold::Awake(ms) => alert.held_ms >= ms,
            Hold::Calendar(ms) => alert.observed.since(alert.since) >= ms,
        };
        if !has_held || self.is_catching_up() {
            return AlertChange::Note(alert);
        }
        alert.state = AlertState::Firing;
        alert.fired = Some(self.now);
        AlertChange::Fire(alert)
    }

    fn note_firing(&self, readings: &Readings, alert: &Alert) -> Option<AlertChange> {
        let is_due = self.known()?.1.since(alert.observed) >= PROGRESS_MS;
        let is_changed = alert.severity != self.rule.severity
            || alert.audience != self.rule.audience
            || alert.title != self.rule.title;
        if !is_due && !is_changed {
            return None;
        }
        let mut alert = alert.clone();
        self.count_time(&mut alert);
        self.refresh(readings, &mut alert);
        Some(AlertChange::Note(alert))
    }

    fn clear(&self, readings: &Readings, alert: &Alert) -> Option<AlertChange> {
        if self.awake_ms_since(alert.observed) < readings.clear_for_ms {
            return None;
        }
        let mut alert = alert.clone();
        alert.evidence = self.evidence(readings, &alert.key.instance, Mode::Clearing);
        Some(AlertChange::Resolve(resolved(alert, self.now)))
    }

    fn evaluate_absence(&self, school_days: u32, alert: Option<&Alert>) -> Option<AlertChange> {
        let seen = self.last_seen();
        let missed = self.rules.calendar.school_days_between(seen, self.now);
        let is_absent = !self.state.connected && missed >= school_days;
        match alert {
            None if is_absent && !self.suppressed => {
                Some(AlertChange::Fire(self.absence(seen, missed, school_days)))
            }
            Some(alert) if !is_absent => {
                let mut alert = alert.clone();
                alert.evidence = format!("Seen again: {}", self.rules.calendar.show(seen));
                Some(AlertChange::Resolve(resolved(alert, self.now)))
            }
            _ => None,
        }
    }

    fn evaluate_silence(&self, open: Option<&Alert>) -> Option<AlertChange> {
        let Some(alert) = open else {
            let silence = self.heard.silence.filter(|_| !self.suppressed)?;
            return Some(AlertChange::Fire(self.silent(silence)));
        };
        let fired = alert.fired.unwrap_or(alert.since);
        let is_since = |at: Option<UnixMs>| at.is_some_and(|at| at > fired);
        if is_since(self.heard.here) {
            return Some(end(alert, "the laptop is heard of in its school", self.now));
        }
        is_since(self.heard.back).then(|| end(alert, "its school is heard of again", self.now))
    }

    fn silent(&self, silence: Silence) -> Alert {
        let when = self.rules.calendar.show(silence.since);
        let laptops = silence.laptops;
        let minutes = self.now.since(silence.since) / 60_000;
        Alert {
            evidence: format!(
                "Nothing was heard for {minutes} min of {laptops} laptops that were in touch in this school, since {when}"
            ),
            ..self.absence(self.last_seen(), 0, 0)
        }
    }

    fn absence(&self, seen: UnixMs, missed: u32, school_days: u32) -> Alert {
        let when = self.rules.calendar.show(seen);
        Alert {
            id: AlertId::generate(),
            key: self.key(""),
            state: AlertState::Firing,
            severity: self.rule.severity,
            audience: self.rule.audience,
            title: self.rule.title.clone(),
            evidence: format!(
                "Not seen for {missed} school days, since {when} (threshold {school_days} school days)"
            ),
            since: seen,
            held_ms: 0,
            observed: seen,
            fired: Some(self.now),
            resolved: None,
            incident: None,
        }
    }

    /// When the laptop was last heard of; one that never was counts from its enrolment.
    fn last_seen(&self) -> UnixMs {
        if self.state.connected {
            return self.now;
        }
        self.state.heard_of()
    }

    /// Whether a connected laptop still delivers what it kept offline.
    fn is_catching_up(&self) -> bool {
        let (Some(last), Some(seen)) = (self.state.last_report, self.state.last_seen) else {
            return false;
        };
        let is_settled = self.now.since(seen) >= SETTLED_MS;
        self.state.connected && !is_settled && seen.since(last) > CATCHING_UP_MS
    }

    /// The latest time in which the laptop is known to have been awake without a gap and its readings
    /// to have been as they are; `None` before its first report.
    fn known(&self) -> Option<(UnixMs, UnixMs)> {
        let last = self.state.last_report?;
        let awake = self.state.awake_since.unwrap_or(last);
        let Some(connected) = self.state.connected_since else {
            return Some((awake, last));
        };
        let through = self.now.plus_ms(-self.lag_ms);
        if connected <= last.plus_ms(self.lag_ms) {
            return Some((awake.min(connected), last.max(through)));
        }
        if connected <= through {
            return Some((connected, through));
        }
        Some((awake, last))
    }

    /// Time awake since `earlier`, as far as it is known: before the last gap nothing counts.
    fn awake_ms_since(&self, earlier: UnixMs) -> i64 {
        self.known()
            .map_or(0, |(from, to)| to.since(earlier.max(from)).max(0))
    }

    fn count_time(&self, alert: &mut Alert) {
        let more = self.awake_ms_since(alert.observed);
        alert.held_ms = alert.held_ms.saturating_add(more);
        alert.observed = self
            .known()
            .map_or(alert.observed, |(_, to)| to.max(alert.observed));
    }

    fn refresh(&self, readings: &Readings, alert: &mut Alert) {
        alert.severity = self.rule.severity;
        alert.audience = self.rule.audience;
        alert.title.clone_from(&self.rule.title);
        alert.evidence = self.evidence(readings, &alert.key.instance, Mode::Opening);
    }

    fn evidence(&self, readings: &Readings, subject: &str, mode: Mode) -> String {
        let telling = readings.telling(self.state, subject, mode);
        let mut parts: Vec<String> = Vec::new();
        for fault in telling {
            let part = fault.evidence(self.state, subject);
            if !part.is_empty() && !parts.contains(&part) {
                parts.push(part);
            }
        }
        let mut text = parts.join("; ");
        text.truncate(text.floor_char_boundary(EVIDENCE_BYTES));
        text
    }

    fn key(&self, subject: &str) -> AlertKey {
        AlertKey {
            device: self.state.device.id,
            rule: self.rule.name.clone(),
            instance: subject.to_owned(),
        }
    }

    fn explain(&self) -> String {
        let name = &self.rule.name;
        if !self.rule.selects(self.state) {
            return format!("{name}: not for this laptop, by its site, group, model or system");
        }
        match &self.rule.test {
            Test::SiteSilent => {
                format!("{name}: is judged for a whole school, by when its laptops were heard")
            }
            Test::NotSeen { school_days } => {
                let missed = self
                    .rules
                    .calendar
                    .school_days_between(self.last_seen(), self.now);
                format!("{name}: not seen for {missed} school days; fires at {school_days}")
            }
            Test::Readings(readings) => self.explain_readings(readings),
        }
    }

    fn explain_readings(&self, readings: &Readings) -> String {
        let name = &self.rule.name;
        let subjects = self.subjects(readings);
        if subjects.is_empty() {
            return format!("{name}: no reading to judge by");
        }
        let hold = match readings.hold {
            Hold::Awake(ms) => format!("{} awake", show_ms(ms)),
            Hold::Calendar(ms) => show_ms(ms),
        };
        let lines: Vec<String> = subjects
            .iter()
            .map(|subject| {
                let judgeable = self.judgeable(readings, subject);
                let verdict = match (
                    judgeable,
                    readings.judge(self.state, subject, Mode::Opening),
                ) {
                    (Truth::True, Truth::True) => format!("holds, and fires after {hold}"),
                    (Truth::True, Truth::False) => "does not hold".to_owned(),
                    (Truth::True, Truth::Unknown) => {
                        "cannot be judged: a reading is missing".to_owned()
                    }
                    _ => "is not judged here and now: its place, time or prerequisite is not given"
                        .to_owned(),
                };
                let evidence = self.evidence(readings, subject, Mode::Opening);
                format!("{name}: {verdict}. {evidence}")
            })
            .collect();
        lines.join("\n")
    }
}

fn fires_after(open: &[&Alert], changes: &[AlertChange]) -> bool {
    let resolved = |key: &AlertKey| {
        changes
            .iter()
            .any(|change| matches!(change, AlertChange::Resolve(a) if a.key == *key))
    };
    let goes_on = |alert: &&&Alert| alert.state == AlertState::Firing && !resolved(&alert.key);
    open.iter().any(|alert| goes_on(&alert))
        || changes
            .iter()
            .any(|change| matches!(change, AlertChange::Fire(_)))
}

/// The end of an alert for a reason that is not in the readings.
fn end(alert: &Alert, reason: &str, now: UnixMs) -> AlertChange {
    if alert.state == AlertState::Pending {
        return AlertChange::Withdraw(alert.key.clone());
    }
    let mut alert = alert.clone();
    alert.evidence = format!("Closed because {reason}. Last seen: {}", alert.evidence);
    AlertChange::Resolve(resolved(alert, now))
}

fn resolved(mut alert: Alert, now: UnixMs) -> Alert {
    alert.state = AlertState::Resolved;
    alert.resolved = Some(now);
    alert
}

#[cfg(test)]
pub(crate) mod laptop;
#[cfg(test)]
mod tests;
