//! Answers about incidents: what each desk deals with as one thing.

use std::cmp::Reverse;

use rollcall_shared::time::UnixMs;
use schemars::JsonSchema;
use serde::Serialize;

use super::words::{NoteAnswer, assigned_to, notes};
use super::{At, Query, QueryError, Viewer};
use crate::alert::Severity;
use crate::incident::{Cause, Finding, Incident, IncidentState};
use crate::mark::{Marks, Subject};

/// Incidents in one answer; `left_out` counts the rest.
const SHOWN: usize = 500;

/// Which incidents are wanted. What is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only those in this state; `None` for those that are open.
    pub state: Option<IncidentState>,
    /// Only those with a device of this site.
    pub site: Option<String>,
    /// Only those that many laptops share, or only those of single laptops.
    pub shared: Option<bool>,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct IncidentAnswer {
    /// Its identity.
    pub id: String,
    /// One line that says what it is.
    pub title: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Whose work it is.
    pub audience: &'static str,
    /// Whether many laptops share it.
    pub shared: bool,
    /// What they have in common; empty for one laptop.
    pub scope: String,
    /// The laptop; empty where many share it.
    pub device: String,
    /// The sites of its devices.
    pub sites: Vec<String>,
    /// How sure it is that the devices share this cause, from 0 to 1.
    pub confidence: Option<f64>,
    /// How many devices it affects now.
    pub devices: u32,
    /// The most that it affected at one time.
    pub most_devices: u32,
    /// How many could have been affected when it was opened.
    pub exposed: u32,
    /// When its first finding began.
    pub since_at: At,
    /// When it was opened, or opened again.
    pub opened_at: At,
    /// When it was closed.
    pub closed_at: Option<At>,
    /// How often it was opened again.
    pub reopened: u32,
    /// Who deals with it.
    pub acknowledged_by: Option<String>,
    /// To whom it was given.
    pub assigned_to: Option<String>,
    /// What was noted, the latest last.
    pub notes: Vec<NoteAnswer>,
    /// The incident that took over what it had found.
    pub merged_into: Option<String>,
    /// Its first findings.
    pub findings: Vec<FindingAnswer>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FindingAnswer {
    /// The alert.
    pub alert: String,
    /// Whose.
    pub device: String,
    /// The rule's name.
    pub rule: String,
    /// Which battery, drive, file system or target; empty where there is only one.
    pub instance: String,
    /// The rule's title.
    pub title: String,
    /// What was seen, in words with numbers.
    pub evidence: String,
    /// When it began.
    pub since_at: At,
    /// When it was over.
    pub resolved_at: Option<At>,
}

/// Incidents, the gravest first; those that are closed, latest first.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct IncidentList {
    /// At most 500.
    pub incidents: Vec<IncidentAnswer>,
    /// How many more there are.
    pub left_out: u64,
}

impl Query {
    /// The incidents that match. Who may see some sites only sees those of these sites alone: an
    /// incident of the whole district tells of others.
    ///
    /// # Errors
    /// [`QueryError::Store`] when the history cannot be read.
    pub fn incidents(
        &self,
        viewer: &Viewer,
        filter: &IncidentFilter,
    ) -> Result<IncidentList, QueryError> {
        let state = filter.state.unwrap_or(IncidentState::Open);
        let is_wanted = |incident: &Incident| {
            incident.state == state && filter.admits(incident) && viewer.sees_all(&incident.sites)
        };
        let (shown, total) = match state {
            IncidentState::Open => self.open_incidents(is_wanted),
            IncidentState::Closed => self.last_closed_incidents(is_wanted)?,
        };
        Ok(IncidentList {
            left_out: total.saturating_sub(SHOWN) as u64,
            incidents: shown.iter().map(|each| self.tell_incident(each)).collect(),
        })
    }

    /// An incident with what people said about it.
    pub(super) fn tell_incident(&self, incident: &Incident) -> IncidentAnswer {
        let marks = self.store.marks(Subject::Incident(incident.id));
        IncidentAnswer::of(incident, marks.as_ref())
    }

    /// The gravest of the open incidents, and how many there are. A large fleet has thousands, of which only
    /// those that are shown are copied.
    fn open_incidents(&self, is_wanted: impl Fn(&Incident) -> bool) -> (Vec<Incident>, usize) {
        let now = self.now();
        let mut found = Vec::new();
        self.store.visit_incidents(|incident| {
            if is_wanted(incident) {
                let graver = Reverse((incident.severity, incident.devices));
                let order = (incident.is_acknowledged(now), graver, incident.since);
                found.push((order, incident.id));
            }
        });
        found.sort_unstable();
        let ids = found.iter().take(SHOWN).map(|(_, id)| *id);
        let shown = ids.filter_map(|id| self.store.incident(id));
        (shown.collect(), found.len())
    }

    fn last_closed_incidents(
        &self,
        is_wanted: impl Fn(&Incident) -> bool,
    ) -> Result<(Vec<Incident>, usize), QueryError> {
        let all = (UnixMs(0), UnixMs(i64::MAX));
        let mut found = self.store.closed_incidents(all.0, all.1, SHOWN)?;
        found.retain(&is_wanted);
        self.store.visit_incidents(|incident| {
            if is_wanted(incident) {
                found.push(incident.clone());
            }
        });
        found.sort_by_key(|incident| Reverse(incident.closed));
        let total = found.len();
        found.truncate(SHOWN);
        Ok((found, total))
    }
}

impl IncidentFilter {
    pub(super) fn admits(&self, incident: &Incident) -> bool {
        let is_shared = matches!(incident.cause, Cause::Shared { .. });
        let is_of = |site: &String| incident.sites.iter().any(|of| of.as_str() == site);
        self.shared.is_none_or(|wanted| wanted == is_shared) && self.site.as_ref().is_none_or(is_of)
    }
}

impl IncidentAnswer {
    fn of(incident: &Incident, marks: Option<&Marks>) -> Self {
        let (scope, device) = match &incident.cause {
            Cause::Device(device) => (String::new(), device.to_string()),
            Cause::Shared { scope, .. } => (scope.to_string(), String::new()),
        };
        Self {
            id: incident.id.to_string(),
            title: incident.title.clone(),
            state: incident.state.word(),
            severity: incident.severity,
            audience: incident.audience.word(),
            shared: device.is_empty(),
            scope,
            device,
            sites: incident.sites.iter().map(ToString::to_string).collect(),
            confidence: incident.confidence,
            devices: incident.devices,
            most_devices: incident.most_devices,
            exposed: incident.exposed,
            since_at: At(incident.since),
            opened_at: At(incident.opened),
            closed_at: incident.closed.map(At),
            reopened: incident.reopened,
            acknowledged_by: incident.acknowledged.as_ref().map(|a| a.by.clone()),
            assigned_to: marks.and_then(assigned_to),
            notes: marks.map(notes).unwrap_or_default(),
            merged_into: incident.merged_into.map(|id| id.to_string()),
            findings: incident.findings.iter().map(FindingAnswer::of).collect(),
        }
    }
}

impl FindingAnswer {
    fn of(finding: &Finding) -> Self {
        Self {
            alert: finding.alert.to_string(),
            device: finding.key.device.to_string(),
            rule: finding.key.rule.clone(),
            instance: finding.key.instance.clone(),
            title: finding.title.clone(),
            evidence: finding.evidence.clone(),
            since_at: At(finding.since),
            resolved_at: finding.resolved.map(At),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, NOW, label};
    use super::*;
    use crate::alert::{AlertId, AlertKey, Audience};
    use crate::incident::Scope;
    use crate::store::{Role, Write};

    fn incident(example: &Example, sites: &[&str], shared: bool) -> Incident {
        let finding = Finding {
            alert: AlertId::generate(),
            key: AlertKey {
                device: example.lincoln,
                rule: "no-platform-at-school".to_owned(),
                instance: String::new(),
            },
            title: "No learning platform can be reached".to_owned(),
            evidence: "seen".to_owned(),
            severity: Severity::Critical,
            since: NOW,
            resolved: None,
        };
        let cause = match shared {
            false => Cause::Device(example.lincoln),
            true => Cause::Shared {
                symptom: "no-platform".to_owned(),
                instance: String::new(),
                scope: Scope::Everywhere,
            },
        };
        let mut incident = Incident::new(cause, Audience::NetworkTeam, &finding, NOW);
        incident.findings.push(finding);
        incident.sites = sites.iter().map(|site| label(site)).collect();
        incident.devices = if shared { 40 } else { 1 };
        incident
    }

    #[tokio::test]
    async fn the_gravest_comes_first_and_nobody_sees_another_site() {
        let example = Example::new().await;
        let alone = incident(&example, &["Lincoln"], false);
        let district = incident(&example, &["Hay", "Lincoln"], true);
        let mut over = incident(&example, &["Hay"], true);
        over.end(NOW);
        let writes = [&alone, &district, &over].map(|i| Write::PutIncident(i.clone()));
        example.query.store.commit(writes.to_vec()).await.unwrap();
        let seen = |viewer: &Viewer, filter: IncidentFilter| -> Vec<String> {
            let list = example.query.incidents(viewer, &filter).unwrap();
            list.incidents
                .into_iter()
                .map(|incident| incident.id)
                .collect()
        };
        let all = Viewer::new("all", Role::Viewer, Vec::new());
        let lincoln = Viewer::new("lincoln", Role::Viewer, vec![label("Lincoln")]);
        let open = IncidentFilter::default;
        let (alone, district) = (alone.id.to_string(), district.id.to_string());
        assert_eq!(seen(&all, open()), [district.clone(), alone.clone()]);
        assert_eq!(seen(&lincoln, open()), [alone.as_str()]);
        let shared = IncidentFilter {
            shared: Some(true),
            ..open()
        };
        assert_eq!(seen(&all, shared), [district]);
        let closed = IncidentFilter {
            state: Some(IncidentState::Closed),
            ..open()
        };
        assert_eq!(seen(&all, closed.clone()), [over.id.to_string()]);
        assert_eq!(seen(&lincoln, closed), Vec::<String>::new());
    }
}
