//! What needs attention, as a desk deals with it: causes that many laptops share first, then laptops,
//! the most urgent first, each with everything that is wrong with it.

use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::fleet::Health;
use super::{
    AlertAnswer, DeviceAnswer, FleetFilter, FleetRequest, IncidentAnswer, IncidentFilter, Query,
    QueryError, Sort, TicketAnswer, Viewer,
};
use crate::alert::AlertState;
use crate::device::DeviceState;
use crate::evaluate::forecast::metrics::{
    BATTERY_REPLACEMENT, BATTERY_WORDS, FILESYSTEM_FULL, FILESYSTEM_WORDS, NOT_FORESEEN_DAYS,
};

/// Shared incidents that are shown; the rest are counted.
const INCIDENTS: usize = 20;

const DAY_MS: i64 = 86_400_000;

/// What needs attention, a page of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionAnswer {
    /// Causes that many laptops share, the gravest first; those that somebody deals with last.
    pub incidents: Vec<IncidentAnswer>,
    /// How many more of them there are.
    pub incidents_left_out: usize,
    /// Laptops, the most urgent first.
    pub devices: Vec<Urgent>,
    /// How many laptops need attention in all.
    pub total: usize,
    /// How many devices there are by health.
    pub healths: Vec<(Health, u64)>,
    /// The sites that there are.
    pub sites: Vec<String>,
    /// How many devices the viewer may see.
    pub visible: usize,
}

/// A laptop that needs attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Urgent {
    /// Which.
    pub device: DeviceAnswer,
    /// What fires, the most urgent first.
    pub alerts: Vec<AlertAnswer>,
    /// What is foreseen, the soonest first.
    pub foreseen: Vec<Foreseen>,
    /// Its tickets.
    pub tickets: Vec<TicketAnswer>,
}

/// Something that is foreseen.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// Of which battery or file system.
    pub instance: String,
    /// What will be.
    pub what: &'static str,
    /// About when.
    pub at: UnixMs,
    /// In words, with its range; may be empty.
    pub words: String,
}

impl Query {
    /// What needs attention at a site, or everywhere; `skip` laptops are left out, and at most `most`
    /// are shown.
    ///
    /// # Errors
    /// [`QueryError::Store`] when the history cannot be read.
    pub fn attention(
        &self,
        viewer: &Viewer,
        site: Option<&str>,
        skip: usize,
        most: usize,
    ) -> Result<AttentionAnswer, QueryError> {
        let filter = IncidentFilter {
            state: None,
            site: site.map(ToOwned::to_owned),
            shared: Some(true),
        };
        let mut incidents = self.incidents(viewer, &filter)?;
        let left_out = incidents.incidents.len().saturating_sub(INCIDENTS);
        incidents.incidents.truncate(INCIDENTS);
        let (ids, total) = self.urgent(viewer, site, skip, most);
        let mut tickets = self.tickets_of(&ids.iter().copied().collect());
        let states = ids.into_iter().filter_map(|id| self.store.device(id));
        let urgencies = states.map(|state| {
            let tickets = tickets.remove(&state.device.id).unwrap_or_default();
            self.urgency(&state, tickets)
        });
        let counted = self.counts(viewer, site)?;
        Ok(AttentionAnswer {
            incidents_left_out: left_out + incidents.left_out as usize,
            incidents: incidents.incidents,
            devices: urgencies.collect(),
            total,
            healths: counted.healths,
            sites: counted.sites.into_iter().map(|site| site.text).collect(),
            visible: counted.visible,
        })
    }

    fn counts(&self, viewer: &Viewer, site: Option<&str>) -> Result<super::FleetPage, QueryError> {
        let request = FleetRequest {
            filter: FleetFilter {
                site: site.map(ToOwned::to_owned),
                ..FleetFilter::default()
            },
            sort: Sort::default(),
            reversed: false,
            skip: 0,
            most: 0,
        };
        let mut page = self.fleet(viewer, &request)?;
        page.sites.sort_by(|a, b| a.text.cmp(&b.text));
        Ok(page)
    }

    fn urgency(&self, state: &DeviceState, tickets: Vec<TicketAnswer>) -> Urgent {
        let mut alerts = self.open_alerts_of(state);
        alerts.retain(|alert| alert.state == AlertState::Firing);
        Urgent {
            device: self.describe(state),
            alerts,
            foreseen: foreseen(state, self.now()),
            tickets,
        }
    }
}

/// What the forecasts of a device say, the soonest first.
pub(super) fn foreseen(state: &DeviceState, now: UnixMs) -> Vec<Foreseen> {
    let kinds = [
        (
            &BATTERY_REPLACEMENT,
            &BATTERY_WORDS,
            "Battery passes the replacement line",
        ),
        (&FILESYSTEM_FULL, &FILESYSTEM_WORDS, "File system is full"),
    ];
    let mut found = Vec::new();
    for (metric, words, what) in kinds {
        for (instance, latest) in state.instances(metric) {
            let Value::Number(days) = latest.value else {
                continue;
            };
            if days >= NOT_FORESEEN_DAYS {
                continue;
            }
            let words = match state.get(words, instance).map(|latest| &latest.value) {
                Some(Value::Text(words)) => words.clone(),
                _ => String::new(),
            };
            found.push(Foreseen {
                instance: instance.to_owned(),
                what,
                at: now.plus_ms((days * DAY_MS as f64) as i64),
                words,
            });
        }
    }
    found.sort_by_key(|foreseen| foreseen.at);
    found
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, label};
    use super::*;
    use crate::store::Role;

    #[tokio::test]
    async fn laptops_come_by_urgency_and_only_those_that_may_be_seen() {
        let example = Example::new().await;
        let seen = |sites: &[&str], site: Option<&str>| {
            let sites = sites.iter().map(|site| label(site)).collect();
            let viewer = Viewer::new("x", Role::Viewer, sites);
            let answer = example.query.attention(&viewer, site, 0, 10).unwrap();
            let ids: Vec<_> = answer.devices.iter().map(|d| d.device.id.clone()).collect();
            assert_eq!(ids.len(), answer.total);
            ids
        };
        let (lincoln, hay) = (example.lincoln.to_string(), example.hay.to_string());
        assert_eq!(
            seen(&[], None),
            [lincoln.clone(), hay.clone()],
            "critical before warning"
        );
        assert_eq!(seen(&[], Some("Hay")), std::slice::from_ref(&hay));
        assert_eq!(seen(&["Hay"], None), [hay]);
        assert_eq!(seen(&["Hay"], Some("Lincoln")), Vec::<String>::new());
        let viewer = Viewer::new("x", Role::Viewer, Vec::new());
        let answer = example.query.attention(&viewer, None, 0, 1).unwrap();
        assert_eq!((answer.devices.len(), answer.total), (1, 2));
        assert_eq!(
            answer.devices[0].alerts.len(),
            1,
            "what is pending is not told"
        );
    }
}
