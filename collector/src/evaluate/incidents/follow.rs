//! What becomes of open incidents: findings go, devices recover, acknowledgements run out.

use super::group::collects;
use super::{Desk, GROWING_MS, SEEN_AGAIN_MS, devices_of, hold_ms, is_open};
use crate::alert::Alert;
use crate::incident::{Cause, Incident};
use crate::notification::Event;

impl<'a> Desk<'a> {
    pub(super) fn follow(&mut self) {
        let open: Vec<Incident> = self
            .scene
            .incidents
            .values()
            .filter(|i| is_open(i))
            .cloned()
            .collect();
        for incident in open {
            let members = self.members.get(&incident.id).cloned().unwrap_or_default();
            self.follow_one(incident, &members);
        }
    }

    fn follow_one(&mut self, before: Incident, members: &[&'a Alert]) {
        let mut incident = before.clone();
        let is_less = self.mark_resolved(&mut incident, members);
        incident.devices = devices_of(members);
        incident.most_devices = incident.most_devices.max(incident.devices);
        if self.has_recovered(&incident) {
            let since = *incident.recovered.get_or_insert(self.scene.now);
            let close_at = since.plus_ms(hold_ms(&incident));
            if close_at <= self.scene.now {
                return self.close(incident);
            }
            self.wake_at(close_at);
        } else {
            incident.recovered = None;
        }
        let is_quiet = self.is_quiet(members);
        let ran_out =
            !is_quiet && (self.acknowledgement_ran_out(&mut incident) || self.has_lapsed(members));
        let is_dealt_with = incident.acknowledged.is_some();
        let has_grown = self.has_grown(&incident, members);
        let has_halved = has_halved(&before, &incident);
        if has_grown || has_halved {
            let found = self.narrower(&incident, members);
            if !found.is_empty() {
                return self.split(incident, members, &found);
            }
        }
        if !is_quiet && (ran_out || has_grown || (is_less && !is_dealt_with)) {
            self.note_worst(&mut incident, members);
            return self.tell(incident, Event::Updated);
        }
        // What is worse and was not told is news once it may be.
        if !is_quiet {
            self.note_worst(&mut incident, members);
        }
        // What has fallen to half is stored, so that it is not asked again why.
        if has_halved || is_worth_storing(&before, &incident) {
            self.put(incident);
        }
    }

    /// Whether somebody silenced every one of these, or deals with it.
    fn is_quiet(&mut self, members: &[&'a Alert]) -> bool {
        let quiet: Vec<_> = members
            .iter()
            .filter_map(|alert| (self.scene.quiet)(alert))
            .collect();
        let first_end = quiet.iter().min().copied();
        first_end.into_iter().for_each(|end| self.wake_at(end));
        !members.is_empty() && quiet.len() == members.len()
    }

    fn has_lapsed(&self, members: &[&'a Alert]) -> bool {
        let mut ids = members.iter().map(|alert| alert.id);
        ids.any(|id| self.scene.lapsed.contains(&id))
    }

    /// The gravest that channels know of, or are told of now; an acknowledgement of less covers it then.
    fn note_worst(&self, incident: &mut Incident, members: &[&'a Alert]) {
        let worst = members.iter().map(|alert| alert.severity).max();
        incident.severity = incident.severity.max(worst.unwrap_or(incident.severity));
        if let Some(acknowledged) = &mut incident.acknowledged {
            acknowledged.severity = acknowledged.severity.max(incident.severity);
        }
    }

    /// Marks findings that are gone; whether one of a laptop that has others still is.
    fn mark_resolved(&self, incident: &mut Incident, members: &[&'a Alert]) -> bool {
        let mut is_less = false;
        for finding in &mut incident.findings {
            let goes_on = members.iter().any(|alert| alert.key == finding.key);
            if !goes_on && finding.resolved.is_none() {
                finding.resolved = Some(self.scene.now);
                is_less = true;
            }
        }
        is_less && !members.is_empty() && matches!(incident.cause, Cause::Device(_))
    }

    /// Closes it. Laptops that have not recovered have another reason if they go on to show the symptom:
    /// see `is_left_over`.
    fn close(&mut self, mut incident: Incident) {
        self.members.remove(&incident.id);
        incident.end(self.scene.now);
        // Who is still awake is looked at again when that can be told.
        self.wake_at(self.scene.now.plus_ms(SEEN_AGAIN_MS + 1));
        self.tell(incident, Event::Resolved);
    }

    fn acknowledgement_ran_out(&mut self, incident: &mut Incident) -> bool {
        let Some(until) = incident.acknowledged.as_ref().map(|a| a.until) else {
            return false;
        };
        if until > self.scene.now {
            self.wake_at(until);
            return false;
        }
        incident.acknowledged = None;
        true
    }

    /// One laptop is well when nothing is found any more, and so is a list; many with one cause are when
    /// three of four are.
    fn has_recovered(&self, incident: &Incident) -> bool {
        match &incident.cause {
            Cause::Shared { symptom, .. } if !self.is_list(symptom) => {
                incident.devices.saturating_mul(4) <= incident.most_devices
            }
            _ => incident.devices == 0,
        }
    }

    /// Whether laptops that show this are a list to be worked off.
    pub(super) fn is_list(&self, symptom: &str) -> bool {
        self.rules_of(symptom).into_iter().any(collects)
    }

    /// Whether the desk must hear that it is worse than it was told: twice as many devices, or graver.
    fn has_grown(&mut self, incident: &Incident, members: &[&'a Alert]) -> bool {
        let worst = members.iter().map(|alert| alert.severity).max();
        if worst.is_some_and(|worst| worst > incident.severity) {
            return true;
        }
        let is_twice = incident.devices >= 2 * incident.told_devices.max(1);
        let may_be_told = incident.told_at.plus_ms(GROWING_MS);
        let is_news = matches!(incident.cause, Cause::Shared { .. }) && is_twice;
        if is_news && may_be_told > self.scene.now {
            self.wake_at(may_be_told);
        }
        is_news && may_be_told <= self.scene.now
    }
}

/// Whether the laptops of a shared cause have become half of what they were.
fn has_halved(before: &Incident, after: &Incident) -> bool {
    let is_half = |incident: &Incident| incident.devices.saturating_mul(2) <= after.most_devices;
    matches!(after.cause, Cause::Shared { .. }) && is_half(after) && !is_half(before)
}

/// A crowd's count changes with every lid: it is stored when it has grown by an eighth.
fn is_worth_storing(before: &Incident, after: &Incident) -> bool {
    let grown = after.most_devices > before.most_devices + before.most_devices / 8;
    let same = Incident {
        devices: before.devices,
        most_devices: before.most_devices,
        ..after.clone()
    };
    grown || same != *before
}
