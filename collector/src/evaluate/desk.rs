//! The desk: feeds [`incidents::decide`] from the store, and commits what it decides together with what
//! channels are to be told.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;

use super::condition::Truth;
use super::incidents::traits::Traits;
use super::incidents::{Decision, Fleet, REOPEN_MS, Scene, decide};
use super::rules::{Rule, RuleSet, Tell, Test};
use super::{Evaluator, WRITES};
use crate::alert::{Alert, AlertId, AlertState};
use crate::device::{DeviceState, Standing};
use crate::incident::{Cause, Incident, IncidentId, IncidentState, SITES};
use crate::mark::{Marks, Subject};
use crate::notification::{DEVICES, Event};
use crate::notify::route::{Concerned, device_name, notifications};
use crate::silence::{Silence, silenced_until};
use crate::store::{Store, StoreError, Write};

/// How often it is looked whether what is held until school begins may be told.
const HELD_MS: i64 = 5 * 60_000;

/// How long the desk rests at most while nothing happens.
pub(super) const LONGEST_REST_MS: i64 = 60 * 60_000;

impl Evaluator {
    /// Brings the incidents up to date with the firing alerts; answers when to look again at the latest.
    pub(super) async fn attend(&self) -> Result<UnixMs, StoreError> {
        // Somebody may acknowledge or silence meanwhile.
        let _decision = self.store.exclusive().await;
        let now = self.clock.now().wall;
        let firing = self.store.firing_alerts();
        let incidents = self.store.incidents();
        let words = Words::of(&self.store, now);
        let decision = self.decision(&firing, &incidents, &words, now);
        let next = decision.next;
        self.carry_out(decision, &firing, now).await?;
        self.forget_lapsed(words).await?;
        self.archive(&incidents, now).await?;
        let rest = now.plus_ms(LONGEST_REST_MS);
        Ok(next.map_or(rest, |next| next.min(rest)))
    }

    fn decision(
        &self,
        firing: &[Alert],
        incidents: &BTreeMap<IncidentId, Incident>,
        words: &Words,
        now: UnixMs,
    ) -> Decision {
        let rules = self.book.rules();
        let quiet = |alert: &Alert| {
            let state = self.store.device(alert.key.device)?;
            words.quiet_until(&rules, &state, alert, now)
        };
        decide(&Scene {
            rules: &rules,
            firing,
            incidents,
            held: &|alert: &Alert| held_until(&rules, alert, now).max(quiet(alert)),
            quiet: &quiet,
            lapsed: &words.lapsed,
            fleet: &StoredFleet(&self.store),
            now,
        })
    }

    async fn carry_out(
        &self,
        decision: Decision,
        firing: &[Alert],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let members = members(&decision, firing);
        let mut incidents = decision.incidents;
        let mut writes = Vec::new();
        for (id, event) in decision.told {
            // What channels are told and the incident that it is about are one batch.
            let Some(mut incident) = incidents.remove(&id) else {
                continue;
            };
            let concerned = self.concerned(&incident, members.get(&id));
            if !concerned.sites.is_empty() {
                incident.sites = concerned.sites.iter().take(SITES).cloned().collect();
            }
            let told = notifications(&mut incident, event, &concerned, &self.routes, now);
            log(&incident, event);
            writes.push(Write::PutIncident(incident));
            writes.extend(told.into_iter().map(Write::PutNotification));
            if writes.len() >= WRITES {
                self.store.commit(std::mem::take(&mut writes)).await?;
            }
        }
        writes.extend(incidents.into_values().map(Write::PutIncident));
        for alert in firing {
            if let Some(id) = decision.assigned.get(&alert.key) {
                let mut alert = alert.clone();
                alert.incident = Some(*id);
                writes.push(Write::PutAlert(alert));
            }
        }
        for writes in writes.chunks(WRITES) {
            self.store.commit(writes.to_vec()).await?;
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

    /// Moves incidents that cannot be opened again any more to the history.
    async fn archive(
        &self,
        incidents: &BTreeMap<IncidentId, Incident>,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let is_past = |incident: &&Incident| {
            let closed = incident.closed.map(|at| at.plus_ms(REOPEN_MS));
            incident.state == IncidentState::Closed && closed.is_some_and(|end| end <= now)
        };
        let past: Vec<&Incident> = incidents.values().filter(is_past).collect();
        for some in past.chunks(WRITES) {
            let writes = some.iter().map(|i| Write::ArchiveIncident((*i).clone()));
            self.store.commit(writes.collect()).await?;
        }
        Ok(())
    }

    fn concerned(&self, incident: &Incident, members: Option<&BTreeSet<DeviceId>>) -> Concerned {
        let mut devices = members.cloned().unwrap_or_default();
        if let Cause::Device(device) = incident.cause {
            devices.insert(device);
        }
        let states: Vec<_> = devices
            .iter()
            .filter_map(|device| self.store.device(*device))
            .collect();
        let sites: BTreeSet<Label> = states.iter().map(|s| s.device.site.clone()).collect();
        Concerned {
            sites: sites.into_iter().collect(),
            devices: states
                .iter()
                .take(DEVICES)
                .map(|s| device_name(s))
                .collect(),
        }
    }
}

/// What people said that bears on what channels are told.
struct Words {
    silences: Vec<Silence>,
    marks: BTreeMap<Subject, Marks>,
    /// Alerts whose acknowledgement has run out.
    lapsed: BTreeSet<AlertId>,
}

impl Words {
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

/// The fleet as the store knows it.
struct StoredFleet<'a>(&'a Store);

impl Fleet for StoredFleet<'_> {
    fn laptop(&self, device: DeviceId) -> Option<(Traits, Label)> {
        let state = self.0.device(device)?;
        Some((Traits::of(&state), state.device.site.clone()))
    }

    fn exposed(&self, rules: &[&Rule], instance: &str) -> Vec<(DeviceId, Traits)> {
        let states = self.0.devices();
        let exposed = states
            .iter()
            .filter(|state| rules.iter().any(|rule| is_exposed(rule, state, instance)));
        exposed
            .map(|state| (state.device.id, Traits::of(state)))
            .collect()
    }
}

/// Whether the device could show what the rule looks for.
fn is_exposed(rule: &Rule, state: &DeviceState, instance: &str) -> bool {
    if state.device.standing != Standing::Active || !rule.selects(state) {
        return false;
    }
    match &rule.test {
        Test::NotSeen { .. } => true,
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
