//! Answers about alerts, most urgent first; those that are over, latest first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;
use schemars::JsonSchema;
use serde::Serialize;

use super::devices::{device_name, is_simulated};
use super::page::{Page, SortKey};
use super::words::{NoteAnswer, assigned_to, notes};
use super::{At, Query, QueryError, Viewer};
use crate::alert::{Alert, AlertState, Severity};
use crate::device::DeviceState;
use crate::mark::Subject;
use crate::silence::silenced_until;

/// Alerts of the history that are read at once.
const BATCH: usize = 1000;

/// Alerts of the history that one answer may look through: about a year of 50 a day. A filter that
/// matches few of them gets a short page and the cursor to go on from.
const MOST_READ: usize = 20_000;

/// Which alerts are wanted. What is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Only those in this state; `None` for pending and firing.
    pub state: Option<AlertState>,
    /// Only those of devices of this site.
    pub site: Option<String>,
    /// Only those of this device, by its id as text.
    pub device: Option<String>,
}

/// An alert with its device and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AlertAnswer {
    /// This occurrence.
    pub id: String,
    /// Whose alert, by id.
    pub device: String,
    /// Vendor and model of the device.
    pub device_name: String,
    /// The device's site.
    pub site: String,
    /// Whether the device is one of the simulator's.
    pub simulated: bool,
    /// The rule's name.
    pub rule: String,
    /// The rule's title.
    pub title: String,
    /// Which battery, drive, file system or target; empty where there is only one.
    pub instance: String,
    /// Where it stands.
    pub state: AlertState,
    /// How much it matters.
    pub severity: Severity,
    /// Whose work it is.
    pub audience: &'static str,
    /// What was seen, in words with numbers.
    pub evidence: String,
    /// When the condition began to hold.
    pub since_at: At,
    /// When it began to fire.
    pub fired_at: Option<At>,
    /// When it was over.
    pub resolved_at: Option<At>,
    /// The metric that shows it best; `None` when the rule is no longer loaded.
    #[serde(skip)]
    pub metric: Option<&'static str>,
    /// Who deals with it.
    pub acknowledged_by: Option<String>,
    /// To whom it was given.
    pub assigned_to: Option<String>,
    /// Who said that it was of no use.
    pub not_useful_by: Option<String>,
    /// What was noted, the latest last.
    pub notes: Vec<NoteAnswer>,
    /// Until when nobody is told of it, where somebody silenced it.
    pub silenced_until: Option<At>,
    /// What staff do about it, in Markdown; empty when the rule is no longer loaded.
    pub runbook: String,
    /// What to tell the family, by language code; empty when the rule is no longer loaded.
    pub family: BTreeMap<String, String>,
}

/// A page of alerts.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AlertList {
    /// Firing before pending, critical before the rest, longest first; those that are over, latest
    /// first.
    pub alerts: Vec<AlertAnswer>,
    /// The cursor of the next page; `None` on the last.
    pub next_page: Option<String>,
}

/// Open alerts ascend by urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency {
    waiting: bool,
    severity: Reverse<Severity>,
    since: UnixMs,
    id: [u8; 16],
}

/// Alerts that are over ascend by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Age {
    resolved: Reverse<UnixMs>,
    id: Reverse<[u8; 16]>,
}

impl Query {
    /// The alerts that match, a page of them.
    ///
    /// # Errors
    /// [`QueryError::Field`] names what is wrong, [`QueryError::NotFound`] the device, and
    /// [`QueryError::Store`] says that the history cannot be read.
    pub fn alerts(
        &self,
        viewer: &Viewer,
        filter: &AlertFilter,
        size: Option<u64>,
        cursor: Option<&str>,
    ) -> Result<AlertList, QueryError> {
        if let Some(device) = &filter.device {
            self.visible_device(viewer, device)?;
        }
        if filter.state == Some(AlertState::Resolved) {
            return self.resolved(viewer, filter, Page::new(size, cursor)?);
        }
        let page: Page<Urgency> = Page::new(size, cursor)?;
        let device = filter.device.as_ref().and_then(|id| id.parse().ok());
        let mut keys = Vec::new();
        self.store.visit_open_alerts(|alert, state| {
            let is_wanted = filter.state.is_none_or(|state| alert.state == state)
                && device.is_none_or(|device: DeviceId| alert.key.device == device)
                && is_of_site(filter, state)
                && viewer.sees(state);
            let urgency = Urgency::of(alert);
            if is_wanted && page.after.is_none_or(|after| urgency > after) {
                keys.push((urgency, alert.key.clone()));
            }
        });
        keys.sort_unstable_by_key(|(urgency, _)| *urgency);
        let (shown, next_page) = page.cut(keys, |(urgency, _)| *urgency);
        // One that was closed in the meantime is left out.
        let alerts = shown
            .iter()
            .filter_map(|(_, key)| self.store.open_alert(key));
        let alerts = alerts.filter_map(|alert| self.show(viewer, filter, &alert));
        Ok(AlertList {
            alerts: alerts.collect(),
            next_page,
        })
    }

    /// The open alerts of a device, most urgent first.
    pub(super) fn open_alerts_of(&self, state: &DeviceState) -> Vec<AlertAnswer> {
        let mut alerts = self.store.open_alerts_of(state.device.id);
        alerts.sort_unstable_by_key(Urgency::of);
        alerts.iter().map(|alert| self.tell(alert, state)).collect()
    }

    fn resolved(
        &self,
        viewer: &Viewer,
        filter: &AlertFilter,
        page: Page<Age>,
    ) -> Result<AlertList, QueryError> {
        let mut shown = Vec::new();
        let (mut after, mut read) = (page.after, 0);
        let mut history_ends = false;
        while !history_ends && shown.len() <= page.size && read < MOST_READ {
            let batch = self.older_than(after)?;
            read += batch.len();
            history_ends = batch.is_empty();
            after = batch.last().map_or(after, |last| Some(Age::of(last)));
            shown.extend(batch.iter().filter_map(|alert| {
                let answer = self.show(viewer, filter, alert)?;
                Some((Age::of(alert), answer))
            }));
        }
        let (shown, mut next_page) = page.cut(shown, |(age, _)| *age);
        if next_page.is_none() && !history_ends {
            next_page = after.map(super::page::encode);
        }
        let alerts = shown.into_iter().map(|(_, answer)| answer).collect();
        Ok(AlertList { alerts, next_page })
    }

    /// The next alerts of the history after one, about [`BATCH`] of them; none at its end.
    fn older_than(&self, after: Option<Age>) -> Result<Vec<Alert>, QueryError> {
        let to = after.map_or(UnixMs(i64::MAX), |age| age.resolved.0);
        let mut limit = BATCH;
        loop {
            let mut batch = self.store.resolved_alerts(UnixMs(0), to, limit)?;
            let cut_off = batch.len() >= limit;
            batch.sort_unstable_by_key(Age::of);
            if cut_off {
                drop_last_moment(&mut batch);
            }
            batch.retain(|alert| after.is_none_or(|after| Age::of(alert) > after));
            if !batch.is_empty() || !cut_off {
                return Ok(batch);
            }
            limit *= 2;
        }
    }

    /// The alert, when the viewer may see it and it is wanted.
    fn show(&self, viewer: &Viewer, filter: &AlertFilter, alert: &Alert) -> Option<AlertAnswer> {
        let device = alert.key.device;
        let wanted = filter.device.as_ref();
        if wanted.is_some_and(|wanted| wanted.parse() != Ok(device)) {
            return None;
        }
        let state = self
            .store
            .device(device)
            .filter(|state| viewer.sees(state))?;
        is_of_site(filter, &state).then(|| self.tell(alert, &state))
    }

    fn tell(&self, alert: &Alert, state: &DeviceState) -> AlertAnswer {
        let guidance = (self.guidance)(&alert.key.rule).unwrap_or_default();
        let marks = self.store.marks(Subject::Alert(alert.id));
        let acknowledged = marks.as_ref().and_then(|m| m.acknowledged.as_ref());
        let acknowledged = acknowledged.filter(|a| a.until > self.now());
        let not_useful = marks.as_ref().and_then(|m| m.not_useful.as_ref());
        AlertAnswer {
            id: alert.id.to_string(),
            device: alert.key.device.to_string(),
            device_name: device_name(state),
            site: state.device.site.to_string(),
            simulated: is_simulated(state),
            rule: alert.key.rule.clone(),
            title: alert.title.clone(),
            instance: alert.key.instance.clone(),
            state: alert.state,
            severity: alert.severity,
            audience: alert.audience.word(),
            evidence: alert.evidence.clone(),
            since_at: At(alert.since),
            fired_at: alert.fired.map(At),
            resolved_at: alert.resolved.map(At),
            metric: guidance.metric,
            acknowledged_by: acknowledged.map(|a| a.by.clone()),
            assigned_to: marks.as_ref().and_then(assigned_to),
            not_useful_by: not_useful.map(|said| said.by.clone()),
            notes: marks.as_ref().map(notes).unwrap_or_default(),
            silenced_until: self.silenced_until(alert, state),
            runbook: guidance.runbook,
            family: guidance.family,
        }
    }
}

impl Query {
    fn silenced_until(&self, alert: &Alert, state: &DeviceState) -> Option<At> {
        if alert.state == AlertState::Resolved {
            return None;
        }
        let (rules, silences) = (self.book.rules(), self.store.silences());
        let rule = &alert.key.rule;
        let until = silenced_until(&silences, &rules.calendar, &state.device, rule, self.now());
        until.map(At)
    }
}

fn is_of_site(filter: &AlertFilter, state: &DeviceState) -> bool {
    let site = filter.site.as_deref();
    site.is_none_or(|site| state.device.site.as_str() == site)
}

/// The moment at which a batch was cut off may be there in part only: the next batch has all of it.
fn drop_last_moment(batch: &mut Vec<Alert>) {
    let last = batch.last().and_then(|alert| alert.resolved);
    batch.retain(|alert| alert.resolved != last);
}

impl Urgency {
    fn of(alert: &Alert) -> Self {
        Self {
            waiting: alert.state != AlertState::Firing,
            severity: Reverse(alert.severity),
            since: alert.since,
            id: *alert.id.as_bytes(),
        }
    }
}

impl Age {
    fn of(alert: &Alert) -> Self {
        Self {
            resolved: Reverse(alert.resolved.unwrap_or_default()),
            id: Reverse(*alert.id.as_bytes()),
        }
    }
}

impl SortKey for Urgency {
    const KIND: u8 = b'a';

    fn to_bytes(self) -> Vec<u8> {
        let place = Severity::ALL.iter().position(|s| *s == self.severity.0);
        let mut bytes = vec![u8::from(self.waiting), place.unwrap_or(0) as u8];
        bytes.extend(self.since.0.to_be_bytes());
        bytes.extend(self.id);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[waiting, severity], rest) = bytes.split_first_chunk()?;
        let (since, id) = rest.split_first_chunk()?;
        Some(Self {
            waiting: waiting != 0,
            severity: Reverse(*Severity::ALL.get(usize::from(severity))?),
            since: UnixMs(i64::from_be_bytes(*since)),
            id: id.try_into().ok()?,
        })
    }
}

impl SortKey for Age {
    const KIND: u8 = b'r';

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.resolved.0.0.to_be_bytes().to_vec();
        bytes.extend(self.id.0);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (resolved, id) = bytes.split_first_chunk()?;
        Some(Self {
            resolved: Reverse(UnixMs(i64::from_be_bytes(*resolved))),
            id: Reverse(id.try_into().ok()?),
        })
    }
}
