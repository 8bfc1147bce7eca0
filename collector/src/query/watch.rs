//! Watching: what a viewer may see as it is now, and after that each change.
//!
//! A watch keeps a mark of everything that it has told. Each look compares the marks with how things
//! stand, whatever the look was caused by, so that no change is missed and none is told twice. A
//! mark leaves out what each report moves (when a device was last heard), or every report would be a
//! change.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash as _, Hasher as _};
use std::ops::ControlFlow;

use rollcall_shared::id::DeviceId;

use super::alerts::AlertFilter;
use super::incidents::{IncidentAnswer, IncidentFilter};
use super::{AlertAnswer, DeviceAnswer, Query, QueryError, Viewer};
use crate::alert::AlertState;
use crate::device::DeviceState;
use crate::incident::IncidentState;

/// What kinds of things there are to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// Devices.
    Devices,
    /// Alerts that are pending or firing.
    Alerts,
    /// Open incidents.
    Incidents,
}

impl Watched {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Devices, Self::Alerts, Self::Incidents];

    /// The word for many of it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Alerts => "alerts",
            Self::Incidents => "incidents",
        }
    }

    /// The word for one of it.
    #[must_use]
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Devices => "device",
            Self::Alerts => "alert",
            Self::Incidents => "incident",
        }
    }
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A device that is new or has changed.
    Device(Box<DeviceAnswer>),
    /// An alert that is new or has changed.
    Alert(Box<AlertAnswer>),
    /// An incident that is new or has changed.
    Incident(Box<IncidentAnswer>),
    /// What is no longer there.
    Gone(Watched, String),
}

/// What has been told to one watcher.
#[derive(Debug)]
pub struct Watch {
    site: Option<String>,
    kinds: Vec<Watched>,
    told: HashMap<(Watched, String), u64>,
}

impl Watch {
    /// A watch of these kinds, none meaning all, at one site or everywhere.
    ///
    /// # Errors
    /// [`QueryError::Field`] names a kind that is none.
    pub fn new(site: Option<String>, kinds: &[String]) -> Result<Self, QueryError> {
        let kind = |word: &String| {
            let found = Watched::ALL.into_iter().find(|kind| kind.word() == word);
            found.ok_or_else(|| {
                let words: Vec<&str> = Watched::ALL.iter().map(|kind| kind.word()).collect();
                QueryError::field("kinds", format!("must be of {}", words.join(", ")))
            })
        };
        let given: Vec<Watched> = kinds.iter().map(kind).collect::<Result<_, _>>()?;
        Ok(Self {
            site,
            kinds: if given.is_empty() {
                Watched::ALL.to_vec()
            } else {
                given
            },
            told: HashMap::new(),
        })
    }

    /// What has changed since the last look; at the first look everything.
    ///
    /// # Errors
    /// [`QueryError::Store`] when the history cannot be read.
    pub fn look(&mut self, query: &Query, viewer: &Viewer) -> Result<Vec<Event>, QueryError> {
        let mut events = Vec::new();
        for kind in self.kinds.clone() {
            let found = match kind {
                Watched::Devices => self.devices(query, viewer),
                Watched::Alerts => self.alerts(query, viewer)?,
                Watched::Incidents => self.incidents(query, viewer),
            };
            self.note(kind, found, &mut events);
        }
        Ok(events)
    }

    fn devices(&self, query: &Query, viewer: &Viewer) -> Vec<(String, u64, Option<Event>)> {
        let mut firing: HashMap<DeviceId, u32> = HashMap::new();
        query.store.visit_open_alerts(|alert, _| {
            if alert.state == AlertState::Firing {
                *firing.entry(alert.key.device).or_default() += 1;
            }
        });
        let mut found = Vec::new();
        query.store.visit_devices(None, |state| {
            let site = state.device.site.as_str();
            let is_here = self.site.as_deref().is_none_or(|wanted| wanted == site);
            if viewer.sees(state) && is_here {
                let count = firing.get(&state.device.id).copied().unwrap_or(0);
                let (id, mark) = (state.device.id.to_string(), mark_of(state, count));
                let is_told = self.told.get(&(Watched::Devices, id.clone())) == Some(&mark);
                let event =
                    (!is_told).then(|| Event::Device(Box::new(query.describe_with(state, count))));
                found.push((id, mark, event));
            }
            ControlFlow::Continue(())
        });
        found
    }

    fn alerts(
        &self,
        query: &Query,
        viewer: &Viewer,
    ) -> Result<Vec<(String, u64, Option<Event>)>, QueryError> {
        let filter = AlertFilter {
            site: self.site.clone(),
            ..AlertFilter::default()
        };
        let mut found = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let size = Some(super::page::LARGEST_SIZE as u64);
            let list = query.alerts(viewer, &filter, size, cursor.as_deref())?;
            found.extend(list.alerts.into_iter().map(|alert| {
                let mark = mark_text(&format!("{alert:?}"));
                (alert.id.clone(), mark, Some(Event::Alert(Box::new(alert))))
            }));
            cursor = list.next_page;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    fn incidents(&self, query: &Query, viewer: &Viewer) -> Vec<(String, u64, Option<Event>)> {
        let filter = IncidentFilter {
            site: self.site.clone(),
            ..IncidentFilter::default()
        };
        let open = query.store.incidents().into_values();
        let seen = open.filter(|incident| {
            incident.state == IncidentState::Open
                && filter.admits(incident)
                && viewer.sees_all(&incident.sites)
        });
        let found = seen.map(|incident| {
            let answer = query.tell_incident(&incident);
            let mark = mark_text(&format!("{answer:?}"));
            (
                answer.id.clone(),
                mark,
                Some(Event::Incident(Box::new(answer))),
            )
        });
        found.collect()
    }

    /// Keeps the new marks, and adds what is new, changed or gone to `events`.
    fn note(
        &mut self,
        kind: Watched,
        found: Vec<(String, u64, Option<Event>)>,
        events: &mut Vec<Event>,
    ) {
        let mut gone: BTreeMap<String, ()> = self
            .told
            .keys()
            .filter(|(of, _)| *of == kind)
            .map(|(_, id)| (id.clone(), ()))
            .collect();
        for (id, mark, event) in found {
            gone.remove(&id);
            if self.told.insert((kind, id), mark) != Some(mark) {
                events.extend(event);
            }
        }
        for id in gone.into_keys() {
            self.told.remove(&(kind, id.clone()));
            events.push(Event::Gone(kind, id));
        }
    }
}

/// What of a device counts as a change.
fn mark_of(state: &DeviceState, firing: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    let device = &state.device;
    (device.site.as_str(), &device.model, &device.agent_version).hash(&mut hasher);
    (device.standing.word(), state.connected, firing).hash(&mut hasher);
    hasher.finish()
}

fn mark_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::example::{Example, NOW};
    use crate::store::{Role, Write};

    fn all() -> Viewer {
        Viewer::new("board", Role::Viewer, Vec::new())
    }

    fn names(events: &[Event]) -> Vec<String> {
        let name = |event: &Event| match event {
            Event::Device(device) => format!("device at {}", device.site),
            Event::Alert(alert) => format!("alert {}", alert.rule),
            Event::Incident(incident) => format!("incident {}", incident.title),
            Event::Gone(kind, _) => format!("{} gone", kind.singular()),
        };
        let mut names: Vec<String> = events.iter().map(name).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn the_first_look_tells_everything_and_the_next_what_has_changed() {
        let example = Example::new().await;
        let mut watch = Watch::new(None, &["devices".to_owned(), "alerts".to_owned()]).unwrap();
        let first = watch.look(&example.query, &all()).unwrap();
        assert_eq!(
            names(&first),
            [
                "alert battery-worn",
                "alert disk-failing",
                "alert disk-full",
                "device at Hay",
                "device at Lincoln"
            ]
        );
        assert!(watch.look(&example.query, &all()).unwrap().is_empty());

        let mut alert = example.store.open_alerts_of(example.hay).remove(0);
        alert.state = AlertState::Resolved;
        alert.resolved = Some(NOW);
        let writes = vec![Write::ResolveAlert(alert)];
        example.store.commit(writes).await.unwrap();
        let next = watch.look(&example.query, &all()).unwrap();
        assert_eq!(names(&next), ["alert gone", "device at Hay"]);

        example.store.set_connected(example.lincoln, true, NOW);
        let next = watch.look(&example.query, &all()).unwrap();
        assert_eq!(names(&next), ["device at Lincoln"]);
    }

    #[tokio::test]
    async fn a_watch_shows_no_other_site_than_the_viewer_may_see() {
        let example = Example::new().await;
        let lincoln = vec!["Lincoln".parse().unwrap()];
        let viewer = Viewer::new("desk", Role::Viewer, lincoln);
        let mut watch = Watch::new(None, &[]).unwrap();
        let seen = format!("{:?}", watch.look(&example.query, &viewer).unwrap());
        assert!(seen.contains("Lincoln") && !seen.contains("Hay"), "{seen}");
        let mut of_site = Watch::new(Some("Hay".to_owned()), &[]).unwrap();
        assert!(of_site.look(&example.query, &viewer).unwrap().is_empty());
    }

    #[test]
    fn a_kind_that_is_none_is_named() {
        let error = Watch::new(None, &["laptops".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`kinds` must be of devices, alerts, incidents"
        );
    }
}
