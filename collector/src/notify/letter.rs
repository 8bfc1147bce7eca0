//! A Letter: what a notification says, for people and for machines. Pure.

use std::collections::BTreeMap;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;
use serde_json::json;

use crate::alert::{Alert, AlertId, AlertKey, AlertState, Audience, Severity};
use crate::evaluate::rules::RuleSet;
use crate::notification::{Event, Notification, NotificationKey};

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
        let rule = rules.get(&notification.alert.key.rule);
        Self {
            is_test: false,
            since: rules.calendar.show(notification.alert.since),
            runbook: rule.map(|rule| rule.runbook.clone()).unwrap_or_default(),
            family: rule.map(|rule| rule.family.clone()).unwrap_or_default(),
            notification,
        }
    }

    /// A letter that tests a channel.
    #[must_use]
    pub fn test(channel: &str, now: UnixMs) -> Self {
        let alert = Alert {
            id: AlertId::generate(),
            key: AlertKey {
                device: DeviceId::from_bytes([0; 16]),
                rule: "test".to_owned(),
                instance: String::new(),
            },
            state: AlertState::Firing,
            severity: Severity::Info,
            audience: Audience::HelpDesk,
            title: "Test of this channel".to_owned(),
            evidence: "Somebody asked Rollcall to test this channel. No laptop is affected."
                .to_owned(),
            since: now,
            held_ms: 0,
            observed: now,
            fired: Some(now),
            resolved: None,
        };
        let notification = Notification {
            key: NotificationKey {
                alert: alert.id,
                event: Event::Fired,
                channel: channel.to_owned(),
            },
            alert,
            site: "test".to_owned().try_into().expect("`test` is a label"),
            device_name: "No laptop".to_owned(),
            created: now,
            attempts: 0,
            due: now,
            last_error: String::new(),
            set_aside: false,
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

    /// The key of the first letter about the same alert to the same channel.
    #[must_use]
    pub fn thread_key(&self) -> String {
        let key = &self.notification.key;
        let first = NotificationKey {
            event: Event::Fired,
            ..key.clone()
        };
        first.to_string()
    }

    /// The subject of an e-mail, on one line.
    #[must_use]
    pub fn subject(&self) -> String {
        let Notification {
            alert,
            site,
            device_name,
            ..
        } = &self.notification;
        let word = match self.event_word() {
            "resolved" => "resolved",
            _ => alert.severity.word(),
        };
        let subject = format!("[Rollcall] {word} {}: {device_name}, {site}", alert.title);
        subject.replace(char::is_control, " ")
    }

    /// The text of an e-mail.
    #[must_use]
    pub fn text(&self) -> String {
        let alert = &self.notification.alert;
        let mut text = format!("{}\n{}\n\n", alert.title, alert.evidence);
        let laptop = format!(
            "{}, {}",
            self.notification.device_name, self.notification.site
        );
        let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9} {value}\n"));
        line("Laptop:", &laptop);
        line("Device:", &alert.key.device.to_string());
        line(
            "Since:",
            &format!("{}, that is {}", rfc_3339(alert.since), self.since),
        );
        if let Some(resolved) = alert.resolved {
            line("Resolved:", &rfc_3339(resolved));
        }
        line("Severity:", alert.severity.word());
        line("For:", alert.audience.word());
        line("Rule:", &alert.key.rule);
        if self.event_word() == "resolved" {
            text.push_str("\nThis is over; nothing is left to be done.\n");
            return text;
        }
        if !self.runbook.is_empty() {
            text.push_str(&format!(
                "\nWhat to do\n==========\n{}\n",
                self.runbook.trim()
            ));
        }
        for (language, family) in &self.family {
            text.push_str(&format!(
                "\nFor the family ({language})\n{}\n",
                family.trim()
            ));
        }
        text
    }

    /// The body of a webhook: `type`, `timestamp` and `data` as Standard Webhooks recommends.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let Notification {
            alert,
            site,
            device_name,
            created,
            ..
        } = &self.notification;
        json!({
            "type": format!("alert.{}", self.event_word()),
            "timestamp": created.to_string(),
            "data": {
                "alert": {
                    "id": alert.id.to_string(),
                    "rule": alert.key.rule,
                    "instance": alert.key.instance,
                    "state": alert.state.word(),
                    "severity": alert.severity.word(),
                    "audience": alert.audience.word(),
                    "title": alert.title,
                    "evidence": alert.evidence,
                    "since": alert.since.to_string(),
                    "fired": alert.fired.map(|at| at.to_string()),
                    "resolved": alert.resolved.map(|at| at.to_string()),
                },
                "device": {
                    "id": alert.key.device.to_string(),
                    "name": device_name,
                },
                "site": site.as_str(),
                "runbook": self.runbook,
                "family": self.family,
            },
        })
    }

    const fn event_word(&self) -> &'static str {
        if self.is_test {
            return "test";
        }
        self.notification.key.event.word()
    }
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
        told.key.event = event;
        told.alert.key.rule = "battery-worn".to_owned();
        told.alert.title = "Battery is worn out".to_owned();
        told.alert.severity = Severity::Warning;
        told.alert.resolved = (event == Event::Resolved).then_some(now.plus_ms(86_400_000));
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
        assert!(letter.thread_key().ends_with(".fired.desk"));
    }
}
