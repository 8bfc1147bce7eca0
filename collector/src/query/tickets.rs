//! The tickets of laptops, as the channels that opened them remember.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_shared::id::DeviceId;

use super::{At, Query};
use crate::incident::{Cause, Incident};
use crate::memo::{Content, Memo, MemoKey, Subject, Ticket, TicketState};
use crate::notify::config::Kind;

/// A ticket of the help desk's system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketAnswer {
    /// The channel that opened it.
    pub channel: String,
    /// How people call it; empty until the system has answered.
    pub number: String,
    /// Where it stands, in words.
    pub state: &'static str,
    /// What it is about.
    pub title: String,
    /// When that became so.
    pub at: At,
}

impl Query {
    /// The tickets of some devices: of each one's own incidents, and of shared ones that name it. Those whose
    /// incident is long over are in the help desk's system alone.
    pub(super) fn tickets_of(
        &self,
        devices: &BTreeSet<DeviceId>,
    ) -> BTreeMap<DeviceId, Vec<TicketAnswer>> {
        let of_tickets = |kind: &Kind| matches!(kind, Kind::Ticket(_));
        let channels = self.channels.iter().filter(|c| of_tickets(&c.kind));
        let channels: Vec<&str> = channels.map(|channel| channel.name()).collect();
        let mut found: BTreeMap<DeviceId, Vec<TicketAnswer>> = BTreeMap::new();
        if channels.is_empty() || devices.is_empty() {
            return found;
        }
        let mut incidents = Vec::new();
        self.store.visit_incidents(|incident| {
            for device in concerned(incident).intersection(devices) {
                incidents.push((*device, incident.id, incident.title.clone()));
            }
        });
        for (device, incident, title) in incidents {
            for channel in &channels {
                let key = MemoKey {
                    channel: (*channel).to_owned(),
                    subject: Subject::Ticket(incident),
                };
                let memo = self.store.memo(&key).map(|Memo { content, .. }| content);
                if let Some(Content::Ticket(ticket)) = memo {
                    let of_device = found.entry(device).or_default();
                    of_device.push(TicketAnswer::of(channel, ticket, title.clone()));
                }
            }
        }
        found
    }
}

fn concerned(incident: &Incident) -> BTreeSet<DeviceId> {
    match incident.cause {
        Cause::Device(device) => BTreeSet::from([device]),
        Cause::Shared { .. } => incident.findings.iter().map(|f| f.key.device).collect(),
    }
}

impl TicketAnswer {
    fn of(channel: &str, ticket: Ticket, title: String) -> Self {
        Self {
            channel: channel.to_owned(),
            number: ticket.number,
            state: match ticket.state {
                TicketState::Asked => "asked for",
                TicketState::Open => "open",
                TicketState::Closed => "closed",
            },
            title,
            at: At(ticket.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{Example, NOW};
    use super::*;
    use crate::incident::Finding;
    use crate::notify::config::ChannelConfig;
    use crate::store::Write;

    const CHANNEL: &str = "kind = \"ticket\"\nname = \"desk\"\npreset = \"request-tracker\"\nurl = \"https://rt.example\"\nsettings = { queue = \"Laptops\" }\nsecrets = { token = { file = \"/etc/token\" } }\n";

    #[tokio::test]
    async fn a_laptop_has_the_tickets_of_its_incidents_and_no_others() {
        let example = Example::new().await;
        let channel: ChannelConfig = toml::from_str(CHANNEL).unwrap();
        let query = example.query.clone().with_channels(&[channel]);
        let alerts = example.store.firing_alerts();
        let alert = alerts
            .iter()
            .find(|alert| alert.key.device == example.lincoln);
        let alert = alert.expect("Lincoln's laptop has an alert");
        let finding = Finding {
            alert: alert.id,
            key: alert.key.clone(),
            title: alert.title.clone(),
            evidence: "39 %".to_owned(),
            severity: alert.severity,
            since: alert.since,
            resolved: None,
        };
        let cause = Cause::Device(example.lincoln);
        let incident = Incident::new(cause, alert.audience, &finding, NOW);
        let ticket = Ticket {
            key: "rollcall-1".to_owned(),
            state: TicketState::Open,
            id: "7".to_owned(),
            number: "RT 7".to_owned(),
            at: NOW,
            earlier: 0,
        };
        let memo = Memo::of_ticket("desk", incident.id, ticket);
        let title = incident.title.clone();
        let writes = vec![Write::PutIncident(incident), Write::PutMemo(memo)];
        example.store.commit(writes).await.unwrap();
        let both = BTreeSet::from([example.lincoln, example.hay]);
        let found = query.tickets_of(&both);
        assert_eq!(found.len(), 1, "{found:?}");
        let known = &found[&example.lincoln][0];
        assert_eq!((known.number.as_str(), known.state), ("RT 7", "open"));
        assert_eq!(known.title, title);
        assert_eq!(
            example.query.tickets_of(&both),
            BTreeMap::new(),
            "no such channel"
        );
    }
}
