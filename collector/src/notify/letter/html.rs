//! A letter as HTML, for readers of e-mail and of tickets. Nothing is loaded from anywhere. Pure.

use super::{Letter, rfc_3339};
use crate::incident::Cause;
use crate::notification::Event;
use crate::notify::markup::{escape, markdown};

impl Letter {
    /// The text of an e-mail as HTML, without the page around it.
    #[must_use]
    pub fn html(&self) -> String {
        let incident = &self.notification.incident;
        let mut html = format!("<h2>{}</h2>\n", escape(&self.title()));
        let findings = incident.findings.iter();
        let items: String = findings
            .map(|finding| format!("<li>{}</li>\n", escape(self.finding_line(finding).trim())))
            .collect();
        html.push_str(&format!("<ul>\n{items}</ul>\n{}", self.facts_html()));
        if self.notification.event == Event::Resolved {
            html.push_str(match incident.merged_into {
                Some(_) => {
                    "<p>This is part of a larger incident, which has a ticket of its own.</p>\n"
                }
                None => "<p>This is over; nothing is left to be done.</p>\n",
            });
            return html;
        }
        if !self.runbook.is_empty() {
            html.push_str(&format!("<h3>What to do</h3>\n{}", markdown(&self.runbook)));
        }
        for (language, text) in &self.family {
            let (reader, language) = (self.reader(), escape(language));
            let text = escape(text.trim());
            html.push_str(&format!(
                "<h3>{reader} ({language})</h3>\n<blockquote lang=\"{language}\">{text}</blockquote>\n"
            ));
        }
        html
    }

    fn facts_html(&self) -> String {
        let incident = &self.notification.incident;
        let mut rows = vec![
            ("What", format!("{}, {}", self.what(), self.place())),
            (
                "Since",
                format!("{}, that is {}", rfc_3339(incident.since), self.since),
            ),
            ("Severity", incident.severity.word().to_owned()),
            ("For", incident.audience.word().to_owned()),
        ];
        if let Some(closed) = incident.closed {
            rows.push(("Resolved", rfc_3339(closed)));
        }
        match (&incident.cause, incident.confidence) {
            (Cause::Device(device), _) => rows.push(("Device", device.to_string())),
            (Cause::Shared { .. }, Some(confidence)) => rows.push((
                "Shared",
                format!(
                    "{} of {} laptops there, {} % sure",
                    incident.most_devices,
                    incident.exposed,
                    (confidence * 100.0).round()
                ),
            )),
            (Cause::Shared { .. }, None) => {}
        }
        rows.push(("Incident", incident.id.to_string()));
        let rows: String = rows
            .iter()
            .map(|(name, text)| {
                format!(
                    "<tr><th align=\"left\">{name}</th><td>{}</td></tr>\n",
                    escape(text)
                )
            })
            .collect();
        format!("<table>\n{rows}</table>\n")
    }
}
