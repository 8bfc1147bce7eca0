//! Prometheus Alertmanager by its API version 2, which groups, silences and routes on its own.
//!
//! Alerts are told when something changes, and again before they would expire: Alertmanager forgets what
//! nobody repeats. One laptop's incident is an alert for each finding; a shared one is one alert. The
//! labels of an alert are its identity there, so that only its severity may change, and what it was before
//! then ends by itself.

use std::collections::BTreeMap;

use anyhow::Context as _;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use rollcall_shared::time::UnixMs;
use serde_json::{Value, json};

use super::config::AlertmanagerConfig;
use super::letter::Letter;
use super::secret::Secret;
use super::{Outcome, http};
use crate::incident::{Cause, Finding, Incident, IncidentState};

/// Alerts in one call.
const AT_ONCE: usize = 200;

/// An alert that is not told again for so many rounds ends by itself.
const ROUNDS: i64 = 4;

/// Bytes of an annotation's text.
const TEXT_BYTES: usize = 4096;

/// An Alertmanager.
pub struct Alertmanager {
    client: Client,
    url: Url,
    labels: BTreeMap<String, String>,
    login: Option<(String, Secret)>,
    resend_ms: i64,
}

impl Alertmanager {
    /// Reads the password and the certificates.
    pub fn build(config: &AlertmanagerConfig, timeout_s: u32) -> anyhow::Result<Self> {
        let address = format!("{}/api/v2/alerts", config.url.trim_end_matches('/'));
        let password = Secret::read(
            config.password_file.as_deref(),
            config.password_env.as_deref(),
        );
        let password = password.context("password_file")?;
        Ok(Self {
            client: http::client(timeout_s, config.ca_file.as_deref())?,
            url: Url::parse(&address).context("url")?,
            labels: config.labels.clone(),
            login: config.username.clone().zip(password),
            resend_ms: i64::from(config.resend_s) * 1000,
        })
    }

    /// How often what still fires is told again, in milliseconds.
    pub const fn resend_ms(&self) -> i64 {
        self.resend_ms
    }

    /// Tells of a letter's incident.
    pub async fn send(&self, letter: &Letter, now: UnixMs) -> Outcome {
        self.post(&self.alerts(&letter.notification.incident, now))
            .await
    }

    /// Tells again of what is open.
    pub async fn resend<'a>(
        &self,
        open: impl Iterator<Item = &'a Incident>,
        now: UnixMs,
    ) -> Outcome {
        let alerts: Vec<Value> = open.flat_map(|i| self.alerts(i, now)).collect();
        for some in alerts.chunks(AT_ONCE) {
            let outcome = self.post(some).await;
            if outcome != Outcome::Delivered {
                return outcome;
            }
        }
        Outcome::Delivered
    }

    async fn post(&self, alerts: &[Value]) -> Outcome {
        let mut request = self.client.post(self.url.clone());
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password.expose()));
        }
        let body = Value::from(alerts.to_vec()).to_string();
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        http::outcome(request).await
    }

    fn alerts(&self, incident: &Incident, now: UnixMs) -> Vec<Value> {
        let until = now.plus_ms(ROUNDS * self.resend_ms);
        match &incident.cause {
            Cause::Device(_) => incident
                .findings
                .iter()
                .map(|finding| self.of_finding(incident, finding, until))
                .collect(),
            Cause::Shared {
                symptom,
                instance,
                scope,
            } => {
                let mut labels = self.labels(incident);
                labels.insert("alertname".to_owned(), symptom.clone());
                labels.insert("instance".to_owned(), instance.clone());
                labels.insert("scope".to_owned(), scope.to_string());
                labels.insert("severity".to_owned(), incident.severity.word().to_owned());
                let evidence = incident.leading().map_or("", |f| f.evidence.as_str());
                let text = format!(
                    "{} of {} laptops. {evidence}",
                    incident.most_devices, incident.exposed
                );
                vec![alert(
                    labels,
                    &incident.title,
                    &text,
                    incident.since,
                    end(incident, until),
                )]
            }
        }
    }

    fn of_finding(&self, incident: &Incident, finding: &Finding, until: UnixMs) -> Value {
        let mut labels = self.labels(incident);
        labels.insert("alertname".to_owned(), finding.key.rule.clone());
        labels.insert("instance".to_owned(), finding.key.instance.clone());
        labels.insert("device".to_owned(), finding.key.device.to_string());
        labels.insert("severity".to_owned(), finding.severity.word().to_owned());
        let end = finding.resolved.unwrap_or_else(|| end(incident, until));
        alert(
            labels,
            &finding.title,
            &finding.evidence,
            finding.since,
            end,
        )
    }

    fn labels(&self, incident: &Incident) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert("source".to_owned(), "rollcall".to_owned());
        labels.insert("audience".to_owned(), incident.audience.word().to_owned());
        labels.insert("incident".to_owned(), incident.id.to_string());
        if let Some(site) = &incident.site {
            labels.insert("site".to_owned(), site.to_string());
        }
        labels
    }
}

fn end(incident: &Incident, until: UnixMs) -> UnixMs {
    match incident.state {
        IncidentState::Open => until,
        IncidentState::Closed => incident.closed.unwrap_or(until),
    }
}

fn alert(
    mut labels: BTreeMap<String, String>,
    summary: &str,
    description: &str,
    since: UnixMs,
    end: UnixMs,
) -> Value {
    // An empty label is the same as none there.
    labels.retain(|_, value| !value.is_empty());
    let description = &description[..description.floor_char_boundary(TEXT_BYTES)];
    // What was over at once still has a length, since Alertmanager refuses an end before the start.
    let end = UnixMs(end.0.max(since.0 + 1));
    json!({
        "labels": labels,
        "annotations": { "summary": summary, "description": description },
        "startsAt": since.to_string(),
        "endsAt": end.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use crate::notification::Event;

    fn manager() -> Alertmanager {
        let text =
            "url = \"http://127.0.0.1:9093/\"\nresend_s = 30\nlabels = { district = \"north\" }\n";
        Alertmanager::build(&toml::from_str(text).unwrap(), 5).unwrap()
    }

    #[test]
    fn an_alert_keeps_its_labels_and_ends_when_it_is_over() {
        let manager = manager();
        assert_eq!(manager.url.as_str(), "http://127.0.0.1:9093/api/v2/alerts");
        let fired = letter(Event::Fired).notification.incident;
        let now = fired.since.plus_ms(1000);
        let firing = manager.alerts(&fired, now);
        assert_eq!(firing.len(), 1);
        assert_eq!(firing[0]["labels"]["alertname"], "battery-worn");
        assert_eq!(firing[0]["labels"]["district"], "north");
        assert_eq!(
            firing[0]["endsAt"],
            now.plus_ms(120_000).to_string(),
            "four rounds later, unless told again"
        );
        let mut over = fired.clone();
        over.end(fired.since.plus_ms(60_000));
        let resolved = manager.alerts(&over, now);
        assert_eq!(resolved[0]["labels"], firing[0]["labels"]);
        let end = fired.since.plus_ms(60_000).to_string();
        assert_eq!(resolved[0]["endsAt"], end);
    }
}
