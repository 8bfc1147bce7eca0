//! Incidents: from firing alerts to what each desk deals with as one thing. Pure.
//!
//! ```text
//! firing alert -> held: silenced, or told only in school hours
//!              -> joins the open incident of its laptop, or one whose cause it shares
//!              -> waits: others may show the same soon            (rules with a `shared` table)
//!              -> opens an incident: of many laptops with one cause, or of this laptop alone
//! ```
//! Everything is derived anew from the firing alerts and the incidents, so a crash between the two
//! loses nothing: an alert without an incident is found again.
//!
//! Invariants:
//! - Of one laptop and one audience at most one incident is open; of one symptom, instance and scope too.
//! - An alert belongs to at most one open incident.
//! - What channels are told of an incident is numbered without a gap, beginning with 1.
//! - Of an incident whose every alert is silenced, and of one that somebody deals with while it is no
//!   worse, channels are told nothing but its end. What was left out is told when that runs out.

pub mod cause;
mod follow;
mod group;
mod split;
pub mod traits;

use std::collections::{BTreeMap, BTreeSet};

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;

use super::rules::{Rule, RuleSet, Shared};
use crate::alert::{Alert, AlertId, AlertKey, Audience};
use crate::incident::{
    Cause, EVIDENCE_BYTES, FINDINGS, Finding, Incident, IncidentId, IncidentState,
};
use crate::notification::Event;
use cause::Exposed;
use traits::Traits;

/// How long a closed incident of one laptop is opened again by the same finding: a school week's
/// weekend and a day on either side.
pub const REOPEN_MS: i64 = 4 * 86_400_000;

/// The first hold of an incident that came back: it must stay good for so long before it is closed.
/// Each return doubles it.
const FLAP_MS: i64 = 30 * 60_000;

/// The longest hold of an incident that comes back again and again: a school day and the evening.
const FLAP_LONGEST_MS: i64 = 12 * 3_600_000;

/// How long most devices must have recovered before a shared incident is closed: two rounds of
/// measurements.
const RECOVERED_MS: i64 = 5 * 60_000;

/// How long after the end of a shared incident a laptop must still show its symptom to have another reason:
/// two rounds of measurements, which reach each laptop that is awake.
const SEEN_AGAIN_MS: i64 = 10 * 60_000;

/// How long channels are not told again of an incident that merely grows.
const GROWING_MS: i64 = 15 * 60_000;

/// What the fleet looks like to the decision.
pub trait Fleet {
    /// A device's traits and site; `None` where it is gone.
    fn laptop(&self, device: DeviceId) -> Option<(Traits, Label)>;

    /// The devices on which one of these rules can be judged now for `instance`. It is asked seldom,
    /// since it looks at every device.
    fn exposed(&self, rules: &[&Rule], instance: &str) -> Vec<(DeviceId, Traits)>;
}

/// What is known when it is decided.
pub struct Scene<'a> {
    /// The rules in force.
    pub rules: &'a RuleSet,
    /// Every alert that fires.
    pub firing: &'a [Alert],
    /// Incidents that are open, and those that were closed within [`REOPEN_MS`].
    pub incidents: &'a BTreeMap<IncidentId, Incident>,
    /// Until when an alert must not be told; `None` where it may be.
    pub held: &'a dyn Fn(&Alert) -> Option<UnixMs>,
    /// Until when somebody wants to hear nothing of an alert, also where it was told before: it is
    /// silenced, or somebody deals with it.
    pub quiet: &'a dyn Fn(&Alert) -> Option<UnixMs>,
    /// Alerts that somebody dealt with until now: they are told again.
    pub lapsed: &'a BTreeSet<AlertId>,
    /// The devices.
    pub fleet: &'a dyn Fleet,
    /// The collector's time.
    pub now: UnixMs,
}

/// What is to change.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// Incidents as they are to be stored.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Alerts and the incident that they belong to from now on.
    pub assigned: BTreeMap<AlertKey, IncidentId>,
    /// What channels are to be told, in this order; the number is in the incident.
    pub told: Vec<(IncidentId, Event)>,
    /// When time alone brings about the next change.
    pub next: Option<UnixMs>,
}

/// What is to become of the incidents.
#[must_use]
pub fn decide(scene: &Scene<'_>) -> Decision {
    let mut desk = Desk::new(scene);
    desk.follow();
    desk.receive();
    desk.decision
}

struct Desk<'a> {
    scene: &'a Scene<'a>,
    /// The firing alerts of each open incident.
    members: BTreeMap<IncidentId, Vec<&'a Alert>>,
    /// Firing alerts of no open incident; whether they have waited for others already.
    waiting: Vec<(&'a Alert, bool)>,
    opened: BTreeSet<IncidentId>,
    /// Where in the decision it is told of.
    told: BTreeMap<IncidentId, usize>,
    index: Index,
    decision: Decision,
}

/// Where to find incidents without looking at all of them.
#[derive(Default)]
struct Index {
    of_device: BTreeMap<(DeviceId, Audience), IncidentId>,
    shared: BTreeSet<IncidentId>,
    closed_of_device: BTreeMap<DeviceId, Vec<IncidentId>>,
}

impl Index {
    fn of(incidents: &BTreeMap<IncidentId, Incident>) -> Self {
        let mut index = Self::default();
        incidents.values().for_each(|incident| index.add(incident));
        index
    }

    /// The open incident that tells of an alert which does not know it: a crash came between the two.
    fn telling(
        &self,
        incidents: &BTreeMap<IncidentId, Incident>,
        alert: &Alert,
    ) -> Option<IncidentId> {
        let id = self.of_device.get(&(alert.key.device, alert.audience))?;
        let finding = incidents.get(id)?.finding(&alert.key)?;
        (finding.alert == alert.id && finding.resolved.is_none()).then_some(*id)
    }

    /// Finds the incident from now on, or no longer.
    fn add(&mut self, incident: &Incident) {
        match (&incident.cause, is_open(incident)) {
            (Cause::Device(device), true) => {
                self.of_device
                    .insert((*device, incident.audience), incident.id);
            }
            (Cause::Device(device), false) => {
                let key = (*device, incident.audience);
                if self.of_device.get(&key) == Some(&incident.id) {
                    self.of_device.remove(&key);
                }
                let closed = self.closed_of_device.entry(*device).or_default();
                closed.push(incident.id);
            }
            (Cause::Shared { .. }, true) => {
                self.shared.insert(incident.id);
            }
            (Cause::Shared { .. }, false) => {
                self.shared.remove(&incident.id);
            }
        }
    }
}

impl<'a> Desk<'a> {
    fn new(scene: &'a Scene<'a>) -> Self {
        let index = Index::of(scene.incidents);
        let mut members: BTreeMap<IncidentId, Vec<&Alert>> = BTreeMap::new();
        let mut waiting = Vec::new();
        let mut decision = Decision::default();
        for alert in scene.firing {
            let open = alert
                .incident
                .filter(|id| scene.incidents.get(id).is_some_and(is_open));
            let known = open.or_else(|| index.telling(scene.incidents, alert));
            if let (None, Some(id)) = (open, known) {
                decision.assigned.insert(alert.key.clone(), id);
            }
            match known {
                Some(id) => members.entry(id).or_default().push(alert),
                None if is_left_over(scene, alert) => {}
                None => waiting.push((alert, false)),
            }
        }
        Self {
            scene,
            members,
            waiting,
            opened: BTreeSet::new(),
            told: BTreeMap::new(),
            index,
            decision,
        }
    }

    /// The incident as it is decided so far.
    fn incident(&self, id: IncidentId) -> Option<&Incident> {
        let changed = self.decision.incidents.get(&id);
        changed.or_else(|| self.scene.incidents.get(&id))
    }

    fn put(&mut self, incident: Incident) {
        self.index.add(&incident);
        self.decision.incidents.insert(incident.id, incident);
    }

    /// Channels are told of an incident. What was opened just now says everything already.
    fn tell(&mut self, mut incident: Incident, event: Event) {
        if self.opened.contains(&incident.id) && event == Event::Updated {
            return self.put(incident);
        }
        if let Some(place) = self.told.get(&incident.id) {
            // One decision, one word: the end of it outweighs the rest.
            if event == Event::Resolved {
                self.decision.told[*place].1 = event;
            }
            return self.put(incident);
        }
        let place = self.decision.told.len();
        self.told.insert(incident.id, place);
        incident.told += 1;
        incident.told_at = self.scene.now;
        incident.told_devices = incident.devices;
        self.decision.told.push((incident.id, event));
        self.put(incident);
    }

    fn assign(&mut self, alert: &Alert, incident: IncidentId) {
        self.decision.assigned.insert(alert.key.clone(), incident);
    }

    fn wake_at(&mut self, at: UnixMs) {
        let next = self.decision.next.map_or(at, |next| next.min(at));
        self.decision.next = Some(next);
    }

    fn rule(&self, alert: &Alert) -> Option<&'a Rule> {
        self.scene.rules.get(&alert.key.rule).map(|rule| &**rule)
    }

    fn shared(&self, alert: &Alert) -> Option<&'a Shared> {
        self.rule(alert)?.shared.as_ref()
    }
}

/// Whether an alert is what an incident that is over has left: the laptop was not heard of since then, asleep
/// as a rule. Absence is not health, so it fires on; but nobody is told again before it was seen again.
fn is_left_over(scene: &Scene<'_>, alert: &Alert) -> bool {
    let Some(id) = alert.incident else {
        return false;
    };
    let over = match scene.incidents.get(&id) {
        Some(incident) => incident.closed,
        // It is in the history: it was closed so long ago at least.
        None => Some(scene.now.plus_ms(-REOPEN_MS)),
    };
    over.is_some_and(|over| alert.observed <= over.plus_ms(SEEN_AGAIN_MS))
}

fn is_open(incident: &Incident) -> bool {
    incident.state == IncidentState::Open
}

/// How long an incident must have recovered before it is closed.
fn hold_ms(incident: &Incident) -> i64 {
    let base = match incident.cause {
        Cause::Device(_) => 0,
        Cause::Shared { .. } => RECOVERED_MS,
    };
    let flaps = match incident.reopened {
        0 => 0,
        returns => FLAP_MS << (returns - 1).min(8),
    };
    base.max(flaps.min(FLAP_LONGEST_MS))
}

fn finding(alert: &Alert) -> Finding {
    let evidence = &alert.evidence;
    Finding {
        alert: alert.id,
        key: alert.key.clone(),
        title: alert.title.clone(),
        evidence: evidence[..evidence.floor_char_boundary(EVIDENCE_BYTES)].to_owned(),
        severity: alert.severity,
        since: alert.since,
        resolved: None,
    }
}

/// Adds a finding, or brings it up to date; answers whether it is news.
fn add_finding(incident: &mut Incident, alert: &Alert) -> bool {
    let fresh = finding(alert);
    let known = incident.findings.iter_mut().find(|f| f.key == alert.key);
    incident.severity = incident.severity.max(alert.severity);
    incident.since = incident.since.min(alert.since);
    if let Some(known) = known {
        let is_news = known.resolved.is_some() || known.severity < fresh.severity;
        *known = fresh;
        return is_news;
    }
    if incident.findings.len() >= FINDINGS {
        match incident.findings.iter().position(|f| f.resolved.is_some()) {
            Some(over) => incident.findings.remove(over),
            None => return true,
        };
    }
    incident.findings.push(fresh);
    true
}

fn new_incident(cause: Cause, audience: Audience, alert: &Alert, now: UnixMs) -> Incident {
    Incident::new(cause, audience, &finding(alert), now)
}

fn devices_of(alerts: &[&Alert]) -> u32 {
    let devices: BTreeSet<DeviceId> = alerts.iter().map(|alert| alert.key.device).collect();
    u32::try_from(devices.len()).unwrap_or(u32::MAX)
}

/// Exposed devices, each with whether it is among the affected.
fn mark(exposed: Vec<(DeviceId, Traits)>, affected: &BTreeMap<DeviceId, Traits>) -> Vec<Exposed> {
    let mut marked: Vec<Exposed> = Vec::with_capacity(exposed.len());
    let mut seen = BTreeSet::new();
    for (device, traits) in exposed {
        let is_affected = affected.contains_key(&device);
        if is_affected {
            seen.insert(device);
        }
        marked.push(Exposed {
            traits,
            affected: is_affected,
        });
    }
    // A laptop that has just gone may be affected all the same.
    let gone = affected.iter().filter(|(device, _)| !seen.contains(device));
    marked.extend(gone.map(|(_, traits)| Exposed {
        traits: traits.clone(),
        affected: true,
    }));
    marked
}

#[cfg(test)]
mod tests;
