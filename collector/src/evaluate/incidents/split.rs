//! When what was taken for one cause turns out to be two.

use std::collections::BTreeMap;

use rollcall_shared::id::DeviceId;

use super::cause::{Found, causes};
use super::traits::Traits;
use super::{Desk, devices_of};
use crate::alert::Alert;
use crate::evaluate::rules::Shared;
use crate::incident::{Cause, Incident, Scope};
use crate::notification::Event;

/// The least share of its laptops that narrower causes must explain for an incident to be split.
const EXPLAINED: f64 = 0.75;

impl<'a> Desk<'a> {
    /// The causes that explain what an incident affects now better than its own does, the strongest first;
    /// empty where its own still stands. It looks at every device, so it is asked when an incident has
    /// grown to twice or fallen to half.
    pub(super) fn narrower(&self, incident: &Incident, members: &[&Alert]) -> Vec<Found> {
        let Cause::Shared {
            symptom,
            instance,
            scope,
        } = &incident.cause
        else {
            return Vec::new();
        };
        if self.is_list(symptom) {
            return Vec::new();
        }
        let rules = self.rules_of(symptom);
        let at_least = rules
            .iter()
            .filter_map(|r| Some(r.shared.as_ref()?.at_least));
        let affected = self.traits_of(members);
        let exposed = self.exposed(&rules, instance, &affected);
        let found = causes(&exposed, at_least.min().unwrap_or(u32::MAX));
        let explained = |traits: &&Traits| found.iter().any(|found| traits.is_in(&found.scope));
        let share = affected.values().filter(explained).count() as f64;
        let stands = found
            .iter()
            .any(|found| found.scope == *scope || self.is_taken(incident, found));
        if stands || share < EXPLAINED * affected.len() as f64 {
            return Vec::new();
        }
        found
    }

    /// The incident goes on as that of the strongest cause; the laptops of the others are divided anew.
    /// What no cause explains stays where it is.
    pub(super) fn split(&mut self, mut incident: Incident, members: &[&'a Alert], found: &[Found]) {
        let Some((first, others)) = found.split_first() else {
            return;
        };
        let traits = self.traits_of(members);
        let leaves = |alert: &&Alert| {
            let traits = traits.get(&alert.key.device);
            traits.is_some_and(|traits| {
                !traits.is_in(&first.scope) && others.iter().any(|other| traits.is_in(&other.scope))
            })
        };
        let (gone, kept): (Vec<&Alert>, Vec<&Alert>) = members.iter().copied().partition(leaves);
        for finding in &mut incident.findings {
            if gone.iter().any(|alert| alert.key == finding.key) {
                finding.resolved.get_or_insert(self.scene.now);
            }
        }
        if let Some(shared) = kept.first().and_then(|alert| self.shared(alert)) {
            go_on_as(&mut incident, shared, first);
        }
        incident.devices = devices_of(&kept);
        incident.most_devices = incident.devices;
        self.members.insert(incident.id, kept);
        self.waiting
            .extend(gone.into_iter().map(|alert| (alert, true)));
        self.tell(incident, Event::Updated);
    }

    pub(super) fn traits_of(&self, members: &[&Alert]) -> BTreeMap<DeviceId, Traits> {
        let of = |alert: &&Alert| {
            let (traits, _) = self.scene.fleet.laptop(alert.key.device)?;
            Some((alert.key.device, traits))
        };
        members.iter().filter_map(of).collect()
    }

    /// Whether another open incident is about this cause already.
    fn is_taken(&self, incident: &Incident, found: &Found) -> bool {
        let Cause::Shared {
            symptom, instance, ..
        } = &incident.cause
        else {
            return false;
        };
        let wanted = Cause::Shared {
            symptom: symptom.clone(),
            instance: instance.clone(),
            scope: found.scope.clone(),
        };
        let others = self.index.shared.iter().filter(|id| **id != incident.id);
        others
            .filter_map(|id| self.incident(*id))
            .any(|other| other.cause == wanted)
    }
}

/// The incident is one of another cause from now on.
pub(super) fn go_on_as(incident: &mut Incident, shared: &Shared, found: &Found) {
    if let Cause::Shared {
        scope, instance, ..
    } = &mut incident.cause
    {
        scope.clone_from(&found.scope);
        let instance = instance.clone();
        describe(incident, shared, &instance, found);
    }
}

/// What an incident says of its cause.
pub(super) fn describe(incident: &mut Incident, shared: &Shared, instance: &str, found: &Found) {
    let what = shared.title.replace("{instance}", instance);
    // A list to be worked off claims no cause.
    let is_list = shared.collect && found.scope == Scope::Everywhere;
    incident.title = match is_list {
        true => what,
        false => format!("{what} {}", found.scope),
    };
    incident.site = match &found.scope {
        Scope::SiteNetwork(site) | Scope::SiteLink(site, _) => site.parse().ok(),
        _ => None,
    };
    incident.confidence = (!is_list).then_some(found.confidence);
    incident.exposed = found.exposed;
}
