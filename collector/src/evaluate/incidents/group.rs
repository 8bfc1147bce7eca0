//! Where alerts go that belong to no incident yet.

use std::collections::BTreeMap;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::cause::{Exposed, Found, causes, wider};
use super::split::{describe, go_on_as};
use super::traits::Traits;
use super::{Desk, REOPEN_MS, add_finding, devices_of, is_open, mark, new_incident};
use crate::alert::{Alert, Audience};
use crate::evaluate::rules::{Rule, Shared};
use crate::incident::{Cause, FINDINGS, Incident, IncidentId, Scope};
use crate::notification::Event;

/// How soon an incident with late-comers is looked at again.
const LOOK_AGAIN_MS: i64 = 15_000;

/// How long after an alert was gathered it is looked for causes because of it. It is looked at its time, or as soon as
/// the one before is done.
const SEARCHED_MS: i64 = 5 * 60_000;

/// Alerts of one symptom and instance that may have one cause.
#[derive(Default)]
struct Pool<'a> {
    waiting: Vec<(&'a Alert, bool)>,
    /// Those that became incidents of single laptops a while ago.
    single: Vec<(&'a Alert, IncidentId)>,
}

impl<'a> Desk<'a> {
    pub(super) fn receive(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut pools: BTreeMap<(&'a str, &'a str), Pool<'a>> = BTreeMap::new();
        for (alert, has_waited) in waiting {
            if let Some(until) = (self.scene.held)(alert) {
                self.wake_at(until);
                continue;
            }
            match self.shared(alert) {
                Some(_) if self.join(alert) => {}
                Some(shared) => {
                    let key = (shared.symptom.as_str(), alert.key.instance.as_str());
                    let pool = pools.entry(key).or_default();
                    pool.waiting.push((alert, has_waited));
                }
                None => self.open_for_device(alert),
            }
        }
        // What explains others comes first: rules follow those that they depend on.
        let mut pools: Vec<_> = pools.into_iter().collect();
        pools.sort_by_key(|((symptom, _), _)| self.place_of(symptom));
        for ((symptom, instance), mut pool) in pools {
            pool.waiting.retain(|(alert, _)| !self.join(alert));
            self.divide(symptom, instance, pool);
        }
    }

    /// Where the first rule of a symptom stands among the rules.
    fn place_of(&self, symptom: &str) -> Option<usize> {
        let mut rules = self.scene.rules.rules.iter();
        rules.position(|rule| rule.shared.as_ref().is_some_and(|s| s.symptom == symptom))
    }

    /// Whether an incident of a symptom explains an alert: its rule depends on one of that symptom. So
    /// the outage of a site keeps the laptops that it hits from being told of one by one.
    fn is_explained_by(&self, symptom: &str, alert: &Alert) -> bool {
        let Some(rule) = self.rule(alert) else {
            return false;
        };
        let mut explaining = rule
            .depends_on
            .iter()
            .filter_map(|name| self.scene.rules.get(name)?.shared.as_ref());
        explaining.any(|shared| shared.symptom == symptom)
    }

    /// A late-comer to an incident whose cause it shares, or that explains it.
    fn join(&mut self, alert: &'a Alert) -> bool {
        let Some((traits, _)) = self.scene.fleet.laptop(alert.key.device) else {
            return false;
        };
        let Some(shared) = self.shared(alert) else {
            return false;
        };
        let fits = |incident: &&Incident| match &incident.cause {
            Cause::Shared {
                symptom,
                instance,
                scope,
            } => {
                let is_same = *symptom == shared.symptom && *instance == alert.key.instance;
                // A list of laptops that share nothing explains nothing of others.
                let is_cause = || *scope != Scope::Everywhere || !self.is_list(symptom);
                (is_same || (self.is_explained_by(symptom, alert) && is_cause()))
                    && traits.is_in(scope)
            }
            Cause::Device(_) => false,
        };
        let open = self.index.shared.iter().filter_map(|id| self.incident(*id));
        let found = open.into_iter().find(fits).map(|incident| incident.id);
        if let Some(id) = found {
            self.assign(alert, id);
            self.members.entry(id).or_default().push(alert);
            // Whether it has grown much is seen when it is followed next.
            self.wake_at(self.scene.now.plus_ms(LOOK_AGAIN_MS));
        }
        found.is_some()
    }

    /// Divides what waits into shared causes and single laptops, whenever one has waited for long
    /// enough; who shares no cause goes on waiting until it has waited alone for long enough.
    fn divide(&mut self, symptom: &str, instance: &str, mut pool: Pool<'a>) {
        let now = self.scene.now;
        let due = pool.waiting.iter().any(|(alert, has_waited)| {
            self.shared(alert)
                .is_some_and(|shared| *has_waited || Wait::of(alert, shared).is_due(now))
        });
        if due {
            self.add_singles(symptom, instance, &mut pool);
            self.find_causes(symptom, instance, &mut pool);
        }
        for (alert, has_waited) in pool.waiting {
            let Some(shared) = self.shared(alert) else {
                continue;
            };
            match Wait::of(alert, shared).next(now) {
                Some(next) if !has_waited => self.wake_at(next),
                _ => self.open_for_device(alert),
            }
        }
    }

    /// Alerts that were told alone lately may turn out to have been the first of many.
    fn add_singles(&self, symptom: &str, instance: &str, pool: &mut Pool<'a>) {
        for (id, alerts) in &self.members {
            let is_single = self
                .incident(*id)
                .is_some_and(|i| is_open(i) && matches!(i.cause, Cause::Device(_)));
            let alike = alerts.iter().filter(|alert| {
                self.shared(alert).is_some_and(|shared| {
                    let fired = alert.fired.unwrap_or(alert.since);
                    shared.symptom == symptom
                        && alert.key.instance == instance
                        && self.scene.now.since(fired) <= shared.within_ms
                })
            });
            if is_single {
                pool.single.extend(alike.map(|alert| (*alert, *id)));
            }
        }
    }

    fn find_causes(&mut self, symptom: &str, instance: &str, pool: &mut Pool<'a>) {
        let rules: Vec<&Rule> = self.rules_of(symptom);
        let Some(at_least) = rules
            .iter()
            .filter_map(|r| Some(r.shared.as_ref()?.at_least))
            .min()
        else {
            return;
        };
        let affected = self.affected(pool);
        if affected.len() < at_least as usize {
            return;
        }
        let exposed = self.exposed(&rules, instance, &affected);
        let found = causes(&exposed, at_least);
        if let Some((id, wider)) = self.wider(symptom, instance, &found, &affected) {
            self.widen(id, &wider, &affected, pool);
            // What is left is looked at anew.
            return self.find_causes(symptom, instance, pool);
        }
        for found in found {
            self.open_shared(symptom, instance, &found, &affected, pool);
        }
        if rules.iter().any(|rule| collects(rule)) {
            let left = pool.waiting.iter().map(|(alert, _)| *alert);
            let left: Vec<&Alert> = left.chain(pool.single.iter().map(|(a, _)| *a)).collect();
            let found = collected(devices_of(&left), exposed.len());
            if found.affected >= at_least {
                self.open_shared(symptom, instance, &found, &affected, pool);
            }
        }
    }

    /// The open incident whose cause turns out to be wider by those who wait, and that cause; `found` is what would
    /// be told beside it.
    fn wider(
        &self,
        symptom: &str,
        instance: &str,
        found: &[Found],
        affected: &BTreeMap<DeviceId, Traits>,
    ) -> Option<(IncidentId, Found)> {
        let rules = self.rules_of(symptom);
        let mut open = self.index.shared.iter().copied();
        open.find_map(|id| {
            let scope = self.incident(id)?.cause.scope_of(symptom, instance)?;
            let mut all = self.traits_of(self.members.get(&id)?);
            all.extend(affected.iter().map(|(id, traits)| (*id, traits.clone())));
            let exposed = self.exposed(&rules, instance, &all);
            let wider = wider(&exposed, scope, found)?;
            let has_late_comers = affected.values().any(|traits| traits.is_in(&wider.scope));
            has_late_comers.then_some((id, wider))
        })
    }

    /// An incident goes on as that of a wider cause, with the laptops that share it.
    fn widen(
        &mut self,
        id: IncidentId,
        wider: &Found,
        affected: &BTreeMap<DeviceId, Traits>,
        pool: &mut Pool<'a>,
    ) {
        let (alerts, single) = take(pool, &wider.scope, affected);
        let shared = alerts.first().and_then(|alert| self.shared(alert));
        let (Some(shared), Some(mut incident)) = (shared, self.incident(id).cloned()) else {
            return;
        };
        go_on_as(&mut incident, shared, wider);
        for alert in &alerts {
            self.assign(alert, id);
        }
        let members = self.members.entry(id).or_default();
        members.extend(&alerts);
        incident.devices = devices_of(members);
        incident.most_devices = incident.most_devices.max(incident.devices);
        self.tell(incident, Event::Updated);
        for (alert, from) in single {
            self.take_out(alert, from, id);
        }
    }

    pub(super) fn rules_of(&self, symptom: &str) -> Vec<&'a Rule> {
        let rules = self.scene.rules.rules.iter().map(|rule| &**rule);
        rules
            .filter(|rule| rule.shared.as_ref().is_some_and(|s| s.symptom == symptom))
            .collect()
    }

    /// Who could show a symptom, who of them does, and what they may share.
    pub(super) fn exposed(
        &self,
        rules: &[&Rule],
        instance: &str,
        affected: &BTreeMap<DeviceId, Traits>,
    ) -> Vec<Exposed> {
        let mut exposed = mark(self.scene.fleet.exposed(rules, instance), affected);
        if !rules.iter().any(|rule| rule.is_about_network()) {
            exposed.iter_mut().for_each(|e| e.traits.forget_network());
        }
        exposed
    }

    fn affected(&self, pool: &Pool<'_>) -> BTreeMap<DeviceId, Traits> {
        let waiting = pool.waiting.iter().map(|(alert, _)| *alert);
        let alerts = waiting.chain(pool.single.iter().map(|(alert, _)| *alert));
        alerts
            .filter_map(|alert| {
                let (traits, _) = self.scene.fleet.laptop(alert.key.device)?;
                Some((alert.key.device, traits))
            })
            .collect()
    }

    fn open_shared(
        &mut self,
        symptom: &str,
        instance: &str,
        found: &Found,
        affected: &BTreeMap<DeviceId, Traits>,
        pool: &mut Pool<'a>,
    ) {
        let (alerts, single) = take(pool, &found.scope, affected);
        let Some(shared) = alerts.first().and_then(|alert| self.shared(alert)) else {
            return;
        };
        let cause = Cause::Shared {
            symptom: symptom.to_owned(),
            instance: instance.to_owned(),
            scope: found.scope.clone(),
        };
        let mut incident = new_incident(cause, shared.audience, alerts[0], self.scene.now);
        describe(&mut incident, shared, instance, found);
        incident.devices = devices_of(&alerts);
        incident.most_devices = incident.devices;
        alerts.iter().take(FINDINGS).for_each(|alert| {
            add_finding(&mut incident, alert);
        });
        let worst = alerts.iter().map(|alert| alert.severity).max();
        incident.severity = worst.unwrap_or(incident.severity);
        for alert in &alerts {
            self.assign(alert, incident.id);
        }
        let into = incident.id;
        self.opened.insert(into);
        self.tell(incident, Event::Fired);
        for (alert, id) in single {
            self.take_out(alert, id, into);
        }
    }

    /// Takes a finding out of a laptop's own incident, since another explains it.
    fn take_out(&mut self, alert: &Alert, from: IncidentId, into: IncidentId) {
        if let Some(members) = self.members.get_mut(&from) {
            members.retain(|member| member.key != alert.key);
        }
        let is_empty = self.members.get(&from).is_none_or(Vec::is_empty);
        let Some(mut incident) = self.incident(from).cloned() else {
            return;
        };
        for finding in incident.findings.iter_mut().filter(|f| f.key == alert.key) {
            finding.resolved = Some(self.scene.now);
        }
        if !is_empty {
            return self.put(incident);
        }
        incident.merged_into = Some(into);
        incident.end(self.scene.now);
        self.tell(incident, Event::Resolved);
    }

    /// A finding of one laptop: it joins what its desk has open for it, or opens anew.
    fn open_for_device(&mut self, alert: &Alert) {
        let (device, now) = (alert.key.device, self.scene.now);
        if let Some(mut incident) = self.of_device(device, alert.audience).cloned() {
            let is_worse = is_worse(&incident, alert);
            let is_news = add_finding(&mut incident, alert);
            incident.recovered = None;
            self.assign(alert, incident.id);
            return if is_news && (is_worse || !incident.is_acknowledged(now)) {
                self.tell(incident, Event::Updated);
            } else {
                self.put(incident);
            };
        }
        let (mut incident, event) = match self.closed_lately(alert) {
            Some(incident) => (incident.reopen(now), Event::Reopened),
            None => {
                let cause = Cause::Device(device);
                let incident = new_incident(cause, alert.audience, alert, now);
                (incident, Event::Fired)
            }
        };
        incident.site = self.scene.fleet.laptop(device).map(|(_, site)| site);
        add_finding(&mut incident, alert);
        self.assign(alert, incident.id);
        self.opened.insert(incident.id);
        self.tell(incident, event);
    }

    fn of_device(&self, device: DeviceId, audience: Audience) -> Option<&Incident> {
        let id = self.index.of_device.get(&(device, audience))?;
        self.incident(*id)
    }

    /// The incident of the same finding that was closed last, where that was not long ago. One that
    /// was closed in this very decision is another's now.
    fn closed_lately(&self, alert: &Alert) -> Option<Incident> {
        let closed = self.index.closed_of_device.get(&alert.key.device)?;
        let candidates = closed.iter().filter_map(|id| self.scene.incidents.get(id));
        let fits = |incident: &&Incident| {
            !is_open(incident)
                && incident.audience == alert.audience
                && incident.merged_into.is_none()
                && incident.finding(&alert.key).is_some()
                && incident
                    .closed
                    .is_some_and(|at| at.plus_ms(REOPEN_MS) > self.scene.now)
        };
        candidates.filter(fits).max_by_key(|i| i.closed).cloned()
    }
}

/// Takes the alerts out of a pool whose laptops are in a scope, the oldest first; and those among them that are
/// told alone until now, with where.
fn take<'a>(
    pool: &mut Pool<'a>,
    scope: &Scope,
    affected: &BTreeMap<DeviceId, Traits>,
) -> (Vec<&'a Alert>, Vec<(&'a Alert, IncidentId)>) {
    let is_in = |alert: &Alert| {
        let traits = affected.get(&alert.key.device);
        traits.is_some_and(|traits| traits.is_in(scope))
    };
    let taken = pool.waiting.extract_if(.., |entry| is_in(entry.0));
    let mut alerts: Vec<&Alert> = taken.map(|(alert, _)| alert).collect();
    let single: Vec<_> = pool.single.extract_if(.., |entry| is_in(entry.0)).collect();
    alerts.extend(single.iter().map(|(alert, _)| *alert));
    alerts.sort_by_key(|alert| alert.since);
    (alerts, single)
}

/// Whether a rule's laptops are one list, whatever they share.
pub(super) fn collects(rule: &Rule) -> bool {
    rule.shared.as_ref().is_some_and(|shared| shared.collect)
}

/// What stands for the cause of a list.
fn collected(affected: u32, exposed: usize) -> Found {
    let exposed = u32::try_from(exposed).unwrap_or(u32::MAX);
    Found {
        scope: Scope::Everywhere,
        affected,
        exposed,
        confidence: f64::from(affected) / f64::from(exposed.max(1)),
    }
}

/// Whether a finding must be told to who deals with the rest: it is graver than what they know, or of
/// another kind and as grave.
fn is_worse(incident: &Incident, alert: &Alert) -> bool {
    let Some(acknowledged) = &incident.acknowledged else {
        return true;
    };
    let is_known = incident
        .findings
        .iter()
        .any(|f| f.key.rule == alert.key.rule);
    alert.severity > acknowledged.severity || (!is_known && alert.severity == acknowledged.severity)
}

/// Until when an alert waits for others.
struct Wait {
    /// When it is looked whether they have one cause.
    gathered: UnixMs,
    /// When its laptop is told of alone.
    alone: UnixMs,
}

impl Wait {
    fn of(alert: &Alert, shared: &Shared) -> Self {
        let fired = alert.fired.unwrap_or(alert.since);
        Self {
            gathered: fired.plus_ms(shared.gather_ms),
            alone: fired.plus_ms(shared.alone_ms),
        }
    }

    /// Whether it is to be looked now. Each alert asks for it once, soon after it was gathered, and at its end: the
    /// whole fleet is looked at.
    fn is_due(&self, now: UnixMs) -> bool {
        let gathered = self.gathered..self.gathered.plus_ms(SEARCHED_MS);
        gathered.contains(&now) || self.alone <= now
    }

    /// When it is to be looked next; `None` where it has waited for long enough.
    fn next(&self, now: UnixMs) -> Option<UnixMs> {
        let times = [self.gathered, self.alone];
        times.into_iter().find(|at| *at > now)
    }
}
