//! A Letter: what a notification says, for people and for machines. Pure.

mod html;

use std::collections::BTreeMap;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;
use serde_json::json;

use crate::alert::{AlertId, AlertKey, AlertState, Audience, Severity};
use crate::evaluate::rules::RuleSet;
use crate::incident::{Cause, Finding, Incident};
use crate::notification::{DeviceName, Event, Notification, NotificationKey};

/// A notification with everything that a reader needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// What is told.
    pub notification: Notification,
    /// Whether it only tests the channel.
    pub is_test: bool,
    /// When the condition began, as the school's clocks show it.
    pub since: String,
    /// What staff are to do, in Markdown; empty when the rule is gone.
    pub runbook: String,
    /// What to tell the family, by language.
    pub family: BTreeMap<String, String>,
}

impl Letter {
    /// The letter of a notification, by the rules in force.
    #[must_use]
    pub fn new(notification: Notification, rules: &RuleSet) -> Self {
        let incident = &notification.incident;
        let leading = incident.leading();
        let rule = leading.and_then(|finding| rules.get(&finding.key.rule));
        let shared = rule.and_then(|rule| rule.shared.as_ref());
        let family = match (&incident.cause, shared) {
            (Cause::Shared { .. }, Some(shared)) if !shared.broadcast.is_empty() => {
                Some(&shared.broadcast)
            }
            _ => rule.map(|rule| &rule.family),
        };
        Self {
            is_test: false,
            since: rules.calendar.show(incident.since),
            runbook: rule.map(|rule| rule.runbook.clone()).unwrap_or_default(),
            family: family.cloned().unwrap_or_default(),
            notification,
        }
    }

    /// A letter that tests a channel.
    #[must_use]
    pub fn test(channel: &str, now: UnixMs) -> Self {
        let device = DeviceId::from_bytes([0; 16]);
        let finding = Finding {
            alert: AlertId::generate(),
            key: AlertKey {
                device,
                rule: "test".to_owned(),
                instance: String::new(),
            },
            title: "Test of this channel".to_owned(),
            evidence: "Somebody asked Rollcall to test this channel. No laptop is affected."
                .to_owned(),
            severity: Severity::Info,
            since: now,
            resolved: None,
        };
        let mut incident = Incident::new(Cause::Device(device), Audience::HelpDesk, &finding, now);
        incident.findings.push(finding);
        incident.told = 1;
        incident.sites = vec!["test".parse().expect("`test` is a label")];
        let notification = Notification {
            key: NotificationKey {
                incident: incident.id,
                number: incident.told,
                channel: channel.to_owned(),
            },
            event: Event::Fired,
            incident,
            devices: vec![DeviceName {
                id: device,
                name: "No laptop".to_owned(),
                tag: None,
                school: None,
            }],
            created: now,
            attempts: 0,
            due: now,
            last_error: String::new(),
            set_aside: false,
            is_by_hand: false,
        };
        Self {
            notification,
            is_test: true,
            since: now.to_string(),
            runbook: "There is nothing to do.".to_owned(),
            family: BTreeMap::new(),
        }
    }

    /// The idempotency key.
    #[must_use]
    pub fn key(&self) -> String {
        self.notification.key.to_string()
    }

    /// The key of the first letter about the same incident to the same channel.
    #[must_use]
    pub fn thread_key(&self) -> String {
        let key = &self.notification.key;
        let first = NotificationKey {
            number: 1,
            ..key.clone()
        };
        first.to_string()
    }

    /// The subject of an e-mail, on one line.
    #[must_use]
    pub fn subject(&self) -> String {
        let incident = &self.notification.incident;
        let word = match self.notification.event {
            Event::Resolved => "resolved",
            Event::Reopened => "again",
            _ => incident.severity.word(),
        };
        let title = self.title();
        let subject = format!(
            "[Rollcall] {word} {title}: {}, {}",
            self.what(),
            self.place()
        );
        subject.replace(char::is_control, " ")
    }

    /// The incident's title, with how many further findings it has.
    pub(super) fn title(&self) -> String {
        let incident = &self.notification.incident;
        let title = match (&incident.cause, incident.leading()) {
            (Cause::Device(_), Some(leading)) => &leading.title,
            _ => &incident.title,
        };
        let open = incident.findings.iter().filter(|f| f.resolved.is_none());
        match (&incident.cause, open.count()) {
            (Cause::Device(_), open @ 2..) => format!("{title} (and {} more)", open - 1),
            _ => title.clone(),
        }
    }

    /// What it is about: a laptop, or how many.
    pub(super) fn what(&self) -> String {
        let incident = &self.notification.incident;
        match (&incident.cause, &self.notification.devices[..]) {
            (Cause::Device(_), [device, ..]) => device.name.clone(),
            (Cause::Device(_), []) => "Laptop".to_owned(),
            _ => format!("{} laptops", incident.most_devices),
        }
    }

    /// The site, or how many.
    pub(super) fn place(&self) -> String {
        match (
            &self.notification.incident.site,
            &self.notification.incident.sites[..],
        ) {
            (Some(site), _) | (None, [site]) => site.to_string(),
            (None, []) => "no site".to_owned(),
            (None, several) => format!("{} sites", several.len()),
        }
    }

    /// The text of an e-mail.
    #[must_use]
    pub fn text(&self) -> String {
        let incident = &self.notification.incident;
        let mut text = format!("{}\n", self.title());
        for finding in &incident.findings {
            text.push_str(&self.finding_line(finding));
        }
        text.push('\n');
        text.push_str(&self.facts());
        if self.notification.event == Event::Resolved {
            text.push_str(match incident.merged_into {
                Some(_) => "\nThis is part of a larger incident, which has a ticket of its own.\n",
                None => "\nThis is over; nothing is left to be done.\n",
            });
            return text;
        }
        text.push_str(&self.advice());
        text
    }

    /// The findings and facts without what to do: what fits a chat. What everybody may be told stays.
    #[must_use]
    pub fn brief(&self) -> String {
        let findings = self.notification.incident.findings.iter();
        let mut text: String = findings.map(|f| self.finding_line(f)).collect();
        text.push('\n');
        text.push_str(&self.facts());
        let is_shared = matches!(self.notification.incident.cause, Cause::Shared { .. });
        if is_shared && self.notification.event != Event::Resolved {
            text.push_str(&self.family_text());
        }
        text
    }

    /// What to tell the family, in every language.
    #[must_use]
    pub fn family_text(&self) -> String {
        let reader = self.reader();
        let texts = self.family.iter();
        texts
            .map(|(language, text)| format!("\n{reader} ({language})\n{}\n", text.trim()))
            .collect()
    }

    const fn reader(&self) -> &'static str {
        match self.notification.incident.cause {
            Cause::Device(_) => "For the family",
            Cause::Shared { .. } => "For all families",
        }
    }

    fn finding_line(&self, finding: &Finding) -> String {
        let over = match finding.resolved {
            Some(_) if self.notification.event != Event::Resolved => " (over)",
            _ => "",
        };
        let alone = self.notification.incident.findings.len() == 1;
        let title = match alone {
            true => String::new(),
            false => format!("{}: ", finding.title),
        };
        format!("{title}{}{over}\n", finding.evidence)
    }

    fn facts(&self) -> String {
        let Notification {
            incident, devices, ..
        } = &self.notification;
        let mut text = String::new();
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9} {value}\n"));
        line("Laptop:", &format!("{}, {}", self.what(), self.place()));
        for device in devices {
            let tag = device.tag.as_ref().map(|tag| format!(", asset tag {tag}"));
            let school = device.school.as_ref().map(|school| format!(", {school}"));
            let (tag, school) = (tag.unwrap_or_default(), school.unwrap_or_default());
            line("Device:", &format!("{}{tag}{school}", device.id));
        }
        let named = u32::try_from(devices.len()).unwrap_or(u32::MAX);
        if incident.devices > named {
            line("", &format!("and {} more", incident.devices - named));
        }
        line(
            "Since:",
            &format!("{}, that is {}", rfc_3339(incident.since), self.since),
        );
        if let Some(closed) = incident.closed {
            line("Resolved:", &rfc_3339(closed));
        }
        line("Severity:", incident.severity.word());
        line("For:", incident.audience.word());
        if let Some(confidence) = incident.confidence {
            let (affected, exposed) = (incident.most_devices, incident.exposed);
            let percent = (confidence * 100.0).round();
            let sure = format!("{affected} of {exposed} laptops there, {percent} % sure");
            line("Shared:", &sure);
        }
        let mut rules: Vec<&str> = incident
            .findings
            .iter()
            .map(|f| f.key.rule.as_str())
            .collect();
        rules.dedup();
        line("Rule:", &rules.join(", "));
        line("Incident:", &incident.id.to_string());
        text
    }

    fn advice(&self) -> String {
        let mut text = String::new();
        if !self.runbook.is_empty() {
            text.push_str(&format!(
                "\nWhat to do\n==========\n{}\n",
                self.runbook.trim()
            ));
        }
        text.push_str(&self.family_text());
        text
    }

    /// The body of a webhook: `type`, `timestamp` and `data` as Standard Webhooks recommends.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let Notification {
            incident,
            devices,
            created,
            ..
        } = &self.notification;
        let leading = incident.leading();
        json!({
            "type": format!("alert.{}", self.event_word()),
            "timestamp": created.to_string(),
            "data": {
                "incident": {
                    "id": incident.id.to_string(),
                    "number": incident.told,
                    "state": incident.state.word(),
                    "severity": incident.severity.word(),
                    "audience": incident.audience.word(),
                    "title": self.title(),
                    "shared": matches!(incident.cause, Cause::Shared { .. }),
                    "confidence": incident.confidence,
                    "devices": incident.devices,
                    "most_devices": incident.most_devices,
                    "since": incident.since.to_string(),
                    "opened": incident.opened.to_string(),
                    "closed": incident.closed.map(|at| at.to_string()),
                    "reopened": incident.reopened,
                    "merged_into": incident.merged_into.map(|id| id.to_string()),
                },
                "alert": leading.map(|finding| self.finding_json(finding)),
                "alerts": incident.findings.iter().map(|f| self.finding_json(f)).collect::<Vec<_>>(),
                "device": devices.first().map(device_json),
                "devices": devices.iter().map(device_json).collect::<Vec<_>>(),
                "site": self.place(),
                "sites": incident.sites.iter().map(rollcall_shared::id::Label::as_str).collect::<Vec<_>>(),
                "runbook": self.runbook,
                "family": self.family,
            },
        })
    }

    fn finding_json(&self, finding: &Finding) -> serde_json::Value {
        let state = match finding.resolved {
            Some(_) => AlertState::Resolved,
            None => AlertState::Firing,
        };
        json!({
            "id": finding.alert.to_string(),
            "device": finding.key.device.to_string(),
            "rule": finding.key.rule,
            "instance": finding.key.instance,
            "state": state.word(),
            "severity": finding.severity.word(),
            "audience": self.notification.incident.audience.word(),
            "title": finding.title,
            "evidence": finding.evidence,
            "since": finding.since.to_string(),
            "fired": self.notification.incident.opened.to_string(),
            "resolved": finding.resolved.map(|at| at.to_string()),
        })
    }

    fn event_word(&self) -> &'static str {
        if self.is_test {
            return "test";
        }
        self.notification.event.word()
    }
}

fn device_json(device: &DeviceName) -> serde_json::Value {
    json!({
        "id": device.id.to_string(),
        "name": device.name,
        "asset_tag": device.tag,
        "school": device.school,
    })
}

fn rfc_3339(at: UnixMs) -> String {
    UnixMs(at.seconds().saturating_mul(1000))
        .to_string()
        .replace(".000Z", "Z")
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn letter(event: Event) -> Letter {
        let now = UnixMs(1_788_361_200_000);
        let mut letter = Letter::test("desk", now);
        let told = &mut letter.notification;
        told.event = event;
        let incident = &mut told.incident;
        let finding = &mut incident.findings[0];
        finding.key.rule = "battery-worn".to_owned();
        finding.title = "Battery is worn out".to_owned();
        finding.severity = Severity::Warning;
        incident.title.clone_from(&finding.title);
        incident.severity = Severity::Warning;
        if event == Event::Resolved {
            (incident.told, told.key.number) = (2, 2);
            incident.end(now.plus_ms(86_400_000));
        }
        Letter::new(letter.notification, &RuleSet::built_in())
    }

    #[test]
    fn a_letter_says_what_where_since_when_and_what_to_do() {
        let letter = letter(Event::Fired);
        assert_eq!(
            letter.subject(),
            "[Rollcall] warning Battery is worn out: No laptop, test"
        );
        let text = letter.text();
        for part in [
            "2026-09-02T15:00:00Z",
            "## How to fix",
            "For the family (es)\nLa batería",
            "Rule:     battery-worn",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(letter.json()["type"], "alert.fired");
        assert_eq!(
            letter.json()["data"]["alert"]["since"],
            "2026-09-02T15:00:00.000Z"
        );
    }

    #[test]
    fn a_resolution_belongs_to_the_thread_of_its_alert() {
        let letter = letter(Event::Resolved);
        assert!(letter.subject().starts_with("[Rollcall] resolved Battery"));
        assert!(letter.text().contains("Resolved: 2026-09-03T15:00:00Z"));
        assert_ne!(letter.key(), letter.thread_key());
        assert!(letter.thread_key().ends_with(".1.desk"));
    }
}
