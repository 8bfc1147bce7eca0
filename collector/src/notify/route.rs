//! Which channels are told of what. Pure.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use crate::alert::{Audience, Severity};
use crate::asset::Asset;
use crate::device::DeviceState;
use crate::incident::Incident;
use crate::notification::{DeviceName, Event, Notification, NotificationKey};

/// What a channel wants to be told; an empty list admits all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel's name.
    pub channel: String,
    /// Whose work it takes.
    pub audiences: Vec<Audience>,
    /// Of which sites.
    pub sites: Vec<Label>,
    /// From which severity on.
    pub min_severity: Severity,
}

impl Route {
    /// Whether the channel wants to be told of an incident whose devices are of these sites.
    #[must_use]
    pub fn admits(&self, incident: &Incident, sites: &[Label]) -> bool {
        incident.severity >= self.min_severity
            && (self.audiences.is_empty() || self.audiences.contains(&incident.audience))
            && (self.sites.is_empty() || sites.iter().any(|site| self.sites.contains(site)))
    }
}

/// The notifications that belong into the same batch as a change of an incident, and the channels that
/// know of it from then on. Who has not heard of it yet hears that it fires, whatever is news to others;
/// of its end only those hear who know of it.
#[must_use]
pub fn notifications(
    incident: &mut Incident,
    event: Event,
    concerned: &Concerned,
    routes: &[Route],
    now: UnixMs,
) -> Vec<Notification> {
    let mut told = Vec::new();
    for route in routes {
        let event = match event {
            _ if incident.told_to.contains(&route.channel) => event,
            Event::Resolved => continue,
            _ if route.admits(incident, &concerned.sites) => Event::Fired,
            _ => continue,
        };
        incident.told_to.insert(route.channel.clone());
        told.push((route.channel.clone(), event));
    }
    let notification = |(channel, event): (String, Event)| Notification {
        key: NotificationKey {
            incident: incident.id,
            number: incident.told,
            channel,
        },
        event,
        incident: incident.clone(),
        devices: concerned.devices.clone(),
        created: now,
        attempts: 0,
        due: now,
        last_error: String::new(),
        set_aside: false,
        is_by_hand: false,
    };
    told.into_iter().map(notification).collect()
}

/// Whom an incident concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Concerned {
    /// The sites of its devices.
    pub sites: Vec<Label>,
    /// Its devices, as many as are named.
    pub devices: Vec<DeviceName>,
}

/// A device by the words that a ticket uses.
#[must_use]
pub fn device_name(state: &DeviceState, asset: Option<&Asset>) -> DeviceName {
    let device = &state.device;
    let name = format!("{} {}", device.vendor, device.model);
    let name = match name.trim() {
        "" => "Laptop".to_owned(),
        name => name.to_owned(),
    };
    let tag = asset.map(|asset| asset.tag.to_string());
    DeviceName {
        id: device.id,
        name: match &tag {
            Some(tag) => format!("{name} {tag}"),
            None => name,
        },
        tag,
        school: asset.and_then(|asset| asset.school.as_ref().map(ToString::to_string)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use crate::evaluate::device::laptop::START;

    fn route(channel: &str) -> Route {
        Route {
            channel: channel.to_owned(),
            audiences: Vec::new(),
            sites: Vec::new(),
            min_severity: Severity::Info,
        }
    }

    #[test]
    fn an_incident_is_told_to_those_who_want_it() {
        let letter = letter(Event::Fired).notification;
        let mut told_incident = letter.incident;
        let coach = Route {
            audiences: vec![Audience::TechnologyCoach],
            ..route("coach")
        };
        let grave = Route {
            min_severity: Severity::Critical,
            ..route("grave")
        };
        let elsewhere = Route {
            sites: vec!["Washington".parse().unwrap()],
            ..route("elsewhere")
        };
        let routes = [route("all"), coach, grave, elsewhere];
        let mut concerned = Concerned {
            sites: vec!["Lincoln".parse().unwrap()],
            devices: letter.devices,
        };
        let told = |incident: &mut Incident, event, concerned: &Concerned| -> Vec<String> {
            let told = notifications(incident, event, concerned, &routes, START);
            told.into_iter()
                .map(|n| format!("{} {}", n.key.channel, n.event.word()))
                .collect()
        };
        let incident = &mut told_incident;
        assert_eq!(told(incident, Event::Fired, &concerned), ["all fired"]);
        concerned.sites.push("Washington".parse().unwrap());
        assert_eq!(
            told(incident, Event::Updated, &concerned),
            ["all updated", "elsewhere fired"]
        );
        let nobody = Concerned::default();
        assert_eq!(
            told(incident, Event::Resolved, &nobody),
            ["all resolved", "elsewhere resolved"]
        );
    }
}
