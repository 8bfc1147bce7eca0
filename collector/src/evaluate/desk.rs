//! The desk: feeds [`incidents::decide`] from the store, and commits what it decides together with what
//! channels are to be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;

use super::condition::Truth;
use super::incidents::traits::Traits;
use super::incidents::{Decision, Fleet, REOPEN_MS, Scene, decide};
use super::rules::{Rule, RuleSet, Tell, Test};
use super::{Evaluator, WRITES};
use crate::alert::{Alert, AlertId, AlertState};
use crate::asset::Inventory;
use crate::device::{DeviceState, Standing};
use crate::incident::{Cause, Incident, IncidentId, IncidentState, SITES};
use crate::mark::{Marks, Subject};
use crate::notification::{DEVICES, Event};
use crate::notify::route::{Concerned, Route, device_name, notifications};
use crate::silence::{Silence, silenced_until};
use crate::store::{Store, StoreError, Write};

/// How often it is looked whether what is held until school begins may be told.
const HELD_MS: i64 = 5 * 60_000;

/// A laptop that was heard within this time is one in use: a school day.
const IN_USE_MS: i64 = 8 * 60 * 60_000;

/// How long the desk rests at most while nothing happens.
pub(super) const LONGEST_REST_MS: i64 = 60 * 60_000;

impl Evaluator {
    /// Brings the incidents up to date with the firing alerts; answers when to look again at the latest.
    pub(super) async fn attend(&self) -> Result<UnixMs, StoreError> {
        // Somebody may acknowledge or silence meanwhile.
        let _decision = self.store.exclusive().await;
        let now = self.clock.now().wall;
        let rules = self.book.rules();
        let words = Words::of(&self.store, now);
        let floor = Floor {
            rules: &rules,
            firing: &self.store.firing_alerts(),
            incidents: &self.store.incidents(),
            words: &words,
            laptops: &self.store,
            inventory: &self.store.inventory(),
            routes: &self.routes,
            now,
        };
        let decision = floor.decide();
        let next = floor.next(&decision);
        let archived = floor.archived();
        self.commit_by_pieces(floor.carry_out(decision)).await?;
        self.forget_lapsed(words).await?;
        for some in archived.chunks(WRITES) {
            self.store.commit(some.to_vec()).await?;
        }
        Ok(next)
    }

    /// Commits pieces, each of which must be one batch, some at a time.
    async fn commit_by_pieces(&self, pieces: Vec<Vec<Write>>) -> Result<(), StoreError> {
        let mut writes = Vec::new();
        for piece in pieces {
            writes.extend(piece);
            if writes.len() >= WRITES {
                self.store.commit(std::mem::take(&mut writes)).await?;
            }
        }
        if !writes.is_empty() {
            self.store.commit(writes).await?;
        }
        Ok(())
    }

    /// Acknowledgements that ran out, and were told of, count no more.
    async fn forget_lapsed(&self, words: Words) -> Result<(), StoreError> {
        let lapsed = words.marks.into_values().filter(
            |marks| matches!(marks.subject, Subject::Alert(id) if words.lapsed.contains(&id)),
        );
        let lapsed = lapsed.map(|marks| {
            Write::PutMarks(Marks {
                acknowledged: None,
                ..marks
            })
        });
        let writes: Vec<Write> = lapsed.collect();
        for writes in writes.chunks(WRITES) {
            self.store.commit(writes.to_vec()).await?;
        }
        Ok(())
    }
}

/// Where laptops are kept: the store, or a rehearsal's memory.
pub(super) trait Laptops: Sync {
    /// One of them; `None` where it is gone.
    fn laptop(&self, device: DeviceId) -> Option<Arc<DeviceState>>;

    /// All of them.
    fn laptops(&self) -> Vec<Arc<DeviceState>>;
}

impl Laptops for Store {
    fn laptop(&self, device: DeviceId) -> Option<Arc<DeviceState>> {
        self.device(device)
    }

    fn laptops(&self) -> Vec<Arc<DeviceState>> {
        self.devices()
    }
}

/// What lies before the desk at one moment. What it decides, and what is written of that, follows from
/// this alone.
pub(super) struct Floor<'a> {
    /// The rules in force.
    pub rules: &'a RuleSet,
    /// Every alert that fires.
    pub firing: &'a [Alert],
    /// Incidents that are open or may be opened again.
    pub incidents: &'a BTreeMap<IncidentId, Incident>,
    /// What people said.
    pub words: &'a Words,
    /// The fleet.
    pub laptops: &'a dyn Laptops,
    /// Asset tags and schools, as the inventory says.
    pub inventory: &'a Inventory,
    /// The channels.
    pub routes: &'a [Route],
    /// The collector's time.
    pub now: UnixMs,
}

impl Floor<'_> {
    /// What is to become of the incidents.
    pub fn decide(&self) -> Decision {
        let quiet = |alert: &Alert| {
            let state = self.laptops.laptop(alert.key.device)?;
            self.words.quiet_until(self.rules, &state, alert, self.now)
        };
        decide(&Scene {
            rules: self.rules,
            firing: self.firing,
            incidents: self.incidents,
            held: &|alert: &Alert| held_until(self.rules, alert, self.now).max(quiet(alert)),
            quiet: &quiet,
            lapsed: &self.words.lapsed,
            fleet: &KnownFleet(self.laptops, self.now),
            now: self.now,
        })
    }

    /// When the desk has to look again at the latest.
    pub fn next(&self, decision: &Decision) -> UnixMs {
        let rest = self.now.plus_ms(LONGEST_REST_MS);
        decision.next.map_or(rest, |next| next.min(rest))
    }

    /// What a decision writes, in pieces that are one batch each: an incident, and what channels are told
    /// of it.
    pub fn carry_out(&self, decision: Decision) -> Vec<Vec<Write>> {
        let members = members(&decision, self.firing);
        let mut incidents = decision.incidents;
        let mut pieces = Vec::new();
        for (id, event) in decision.told {
            let Some(mut incident) = incidents.remove(&id) else {
                continue;
            };
            let concerned = self.concerned(&incident, members.get(&id));
            if !concerned.sites.is_empty() {
                incident.sites = concerned.sites.iter().take(SITES).cloned().collect();
            }
            let told = notifications(&mut incident, event, &concerned, self.routes, self.now);
            log(&incident, event);
            let told = told.into_iter().map(Write::PutNotification);
            pieces.push(
                std::iter::once(Write::PutIncident(incident))
                    .chain(told)
                    .collect(),
            );
        }
        pieces.extend(
            incidents
                .into_values()
                .map(|incident| vec![Write::PutIncident(incident)]),
        );
        for alert in self.firing {
            if let Some(id) = decision.assigned.get(&alert.key) {
                let mut alert = alert.clone();
                alert.incident = Some(*id);
                pieces.push(vec![Write::PutAlert(alert)]);
            }
        }
        pieces
    }

    /// Incidents that cannot be opened again any more go to the history.
    pub fn archived(&self) -> Vec<Write> {
        let is_past = |incident: &&Incident| {
            let closed = incident.closed.map(|at| at.plus_ms(REOPEN_MS));
            incident.state == IncidentState::Closed && closed.is_some_and(|end| end <= self.now)
        };
        let past = self.incidents.values().filter(is_past);
        past.map(|incident| Write::ArchiveIncident(incident.clone()))
            .collect()
    }

    fn concerned(&self, incident: &Incident, members: Option<&BTreeSet<DeviceId>>) -> Concerned {
        let mut devices = members.cloned().unwrap_or_default();
        if let Cause::Device(device) = incident.cause {
            devices.insert(device);
        }
        let states: Vec<_> = devices
            .iter()
            .filter_map(|device| self.laptops.laptop(*device))
            .collect();
        let sites: BTreeSet<Label> = states.iter().map(|s| s.device.site.clone()).collect();
        Concerned {
            sites: sites.into_iter().collect(),
            devices: states
                .iter()
                .take(DEVICES)
                .map(|s| device_name(s, self.inventory.of(&s.device).map(AsRef::as_ref)))
                .collect(),
        }
    }
}

/// What people said that bears on what channels are told.
#[derive(Default)]
pub(super) struct Words {
    silences: Vec<Silence>,
    marks: BTreeMap<Subject, Marks>,
    /// Alerts whose acknowledgement has run out.
    lapsed: BTreeSet<AlertId>,
}

impl Words {
    /// Silences alone: nobody has acknowledged anything.
    pub fn of_silences(silences: &[Silence], now: UnixMs) -> Self {
        let mut silences = silences.to_vec();
        silences.retain(|silence| !silence.is_over(now));
        Self {
            silences,
            ..Self::default()
        }
    }

    fn of(store: &Store, now: UnixMs) -> Self {
        let mut marks = store.all_marks();
        marks.retain(|_, marks| marks.acknowledged.is_some());
        let lapsed = marks.values().filter(|marks| marks.has_lapsed(now));
        let lapsed = lapsed.filter_map(|marks| match marks.subject {
            Subject::Alert(id) => Some(id),
            Subject::Incident(_) => None,
        });
        let mut silences = store.silences();
        silences.retain(|silence| !silence.is_over(now));
        Self {
            lapsed: lapsed.collect(),
            silences,
            marks,
        }
    }

    /// Until when nobody wants to hear of an alert.
    fn quiet_until(
        &self,
        rules: &RuleSet,
        state: &DeviceState,
        alert: &Alert,
        now: UnixMs,
    ) -> Option<UnixMs> {
        let (calendar, rule) = (&rules.calendar, &alert.key.rule);
        let silenced = silenced_until(&self.silences, calendar, &state.device, rule, now);
        let marks = self.marks.get(&Subject::Alert(alert.id));
        silenced.max(marks.and_then(|marks| marks.quiet_until(alert, now)))
    }
}

/// The devices of each incident that channels are to be told of.
fn members(decision: &Decision, firing: &[Alert]) -> BTreeMap<IncidentId, BTreeSet<DeviceId>> {
    let mut members: BTreeMap<IncidentId, BTreeSet<DeviceId>> = BTreeMap::new();
    for alert in firing {
        let id = decision
            .assigned
            .get(&alert.key)
            .copied()
            .or(alert.incident);
        if let Some(id) = id.filter(|id| decision.incidents.contains_key(id)) {
            members.entry(id).or_default().insert(alert.key.device);
        }
    }
    members
}

/// Until when an alert must not be told: one that is told in school hours only waits for them.
fn held_until(rules: &RuleSet, alert: &Alert, now: UnixMs) -> Option<UnixMs> {
    let rule = rules.get(&alert.key.rule)?;
    let is_held = rule.tell == Tell::SchoolHours && !rules.calendar.is_school_time(now);
    is_held.then(|| now.plus_ms(HELD_MS))
}

/// The fleet as it is known.
struct KnownFleet<'a>(&'a dyn Laptops, UnixMs);

impl Fleet for KnownFleet<'_> {
    fn laptop(&self, device: DeviceId) -> Option<(Traits, Label)> {
        let state = self.0.laptop(device)?;
        Some((Traits::of(&state), state.device.site.clone()))
    }

    fn exposed(&self, rules: &[&Rule], instance: &str) -> Vec<(DeviceId, Traits)> {
        let states = self.0.laptops();
        let exposed = states.iter().filter(|state| {
            rules
                .iter()
                .any(|rule| is_exposed(rule, state, instance, self.1))
        });
        exposed
            .map(|state| (state.device.id, Traits::of(state)))
            .collect()
    }
}

/// Whether the device could show what the rule looks for.
fn is_exposed(rule: &Rule, state: &DeviceState, instance: &str, now: UnixMs) -> bool {
    if state.device.standing != Standing::Active || !rule.selects(state) {
        return false;
    }
    match &rule.test {
        Test::NotSeen { .. } => true,
        Test::SiteSilent => state.connected || now.since(state.heard_of()) <= IN_USE_MS,
        Test::Readings(readings) => {
            (state.connected || !rule.connected)
                && rule.vantage.judge(state) == Truth::True
                && readings.faults.iter().any(|f| f.applies(state, instance))
        }
    }
}

fn log(incident: &Incident, event: Event) {
    tracing::info!(
        incident = %incident.id,
        event = event.word(),
        title = incident.title,
        devices = incident.devices,
        "channels are told"
    );
}

/// Whether a change of an alert is news to the desk.
pub(super) fn is_news(write: &Write) -> bool {
    match write {
        Write::PutAlert(alert) => alert.state == AlertState::Firing && alert.incident.is_none(),
        Write::ResolveAlert(alert) => alert.fired.is_some(),
        _ => false,
    }
}
