//! Channels as they are configured: what all have in common here, the rest in a file for each kind.

mod alertmanager;
mod chat;
mod smtp;
mod ticket;
mod times;
mod webhook;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rollcall_shared::id::Label;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub use alertmanager::AlertmanagerConfig;
pub use chat::{ChatConfig, ChatStyle};
pub use smtp::{Security, SmtpConfig};
pub use ticket::{SecretSource, TicketConfig};
pub use times::{Days, DigestConfig, ReportConfig};
pub use webhook::WebhookConfig;

use super::route::Route;
use crate::alert::{Audience, Severity};

/// Channels of one collector: one for each desk of a district, and each has a worker.
pub const CHANNELS: usize = 64;

/// What every channel may say; the rest belongs to its kind.
const COMMON: [&str; 8] = [
    "name",
    "audiences",
    "sites",
    "min_severity",
    "per_minute",
    "timeout_s",
    "digest",
    "report",
];

/// Where alerts are told. One `[[channel]]` of the collector's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelConfig {
    /// What every channel may say.
    pub common: Common,
    /// How it is reached.
    pub kind: Kind,
}

/// What every channel may say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// The channel's unique name.
    pub name: String,
    /// Whose work it takes; empty for all.
    #[serde(default)]
    pub audiences: Vec<Audience>,
    /// Of which sites; empty for all.
    #[serde(default)]
    pub sites: Vec<Label>,
    /// From which severity on.
    #[serde(default = "info")]
    pub min_severity: Severity,
    /// The most messages or calls in a minute.
    #[serde(default = "per_minute")]
    pub per_minute: u32,
    /// Seconds for one message or call, from connecting on.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// When what was found is told together; `None` for each at once.
    #[serde(default)]
    pub digest: Option<DigestConfig>,
    /// When the week is reported; such a channel is told of nothing else.
    #[serde(default)]
    pub report: Option<ReportConfig>,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// E-mail.
    Smtp(SmtpConfig),
    /// A signed call of a URL.
    Webhook(WebhookConfig),
    /// A chat's webhook.
    Chat(ChatConfig),
    /// Prometheus Alertmanager.
    Alertmanager(AlertmanagerConfig),
    /// A help desk's ticket system.
    Ticket(TicketConfig),
}

impl<'de> Deserialize<'de> for ChannelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = toml::Table::deserialize(deserializer)?;
        let name = match rest.get("name").and_then(toml::Value::as_str) {
            Some(name) => format!("channel `{name}`"),
            None => "a channel without a name".to_owned(),
        };
        let wrong =
            |error: toml::de::Error| D::Error::custom(format!("{name}: {}", error.message()));
        let kind = rest.remove("kind");
        let common: toml::Table = COMMON
            .iter()
            .filter_map(|key| rest.remove_entry(*key))
            .collect();
        let common = common.try_into().map_err(wrong)?;
        let kind = match kind.as_ref().and_then(toml::Value::as_str) {
            Some("smtp") => Kind::Smtp(rest.try_into().map_err(wrong)?),
            Some("webhook") => Kind::Webhook(rest.try_into().map_err(wrong)?),
            Some("chat") => Kind::Chat(rest.try_into().map_err(wrong)?),
            Some("alertmanager") => Kind::Alertmanager(rest.try_into().map_err(wrong)?),
            Some("ticket") => Kind::Ticket(rest.try_into().map_err(wrong)?),
            _ => {
                let words = "`smtp`, `webhook`, `chat`, `alertmanager` or `ticket`";
                return Err(D::Error::custom(format!("{name}: kind: must be {words}")));
            }
        };
        Ok(Self { common, kind })
    }
}

/// What is wrong with a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("channel `{channel}`: {field}: {problem}")]
pub struct ChannelError {
    /// The channel's name.
    pub channel: String,
    /// The field.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// A field, and what is wrong with it.
type Wrong = (&'static str, String);

impl ChannelConfig {
    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.common.name
    }

    /// Takes relative paths as relative to `folder`, that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        for file in self.files() {
            *file = folder.join(&*file);
        }
    }

    fn files(&mut self) -> Vec<&mut PathBuf> {
        let mut files = Vec::new();
        match &mut self.kind {
            Kind::Smtp(smtp) => files.extend([&mut smtp.password_file, &mut smtp.ca_file]),
            Kind::Webhook(hook) => {
                files.extend([
                    &mut hook.secret_file,
                    &mut hook.next_secret_file,
                    &mut hook.ca_file,
                ]);
            }
            Kind::Chat(chat) => files.extend([&mut chat.url_file, &mut chat.ca_file]),
            Kind::Alertmanager(manager) => {
                files.extend([&mut manager.password_file, &mut manager.ca_file]);
            }
            Kind::Ticket(ticket) => {
                files.extend([&mut ticket.preset_file, &mut ticket.ca_file]);
                files.extend(ticket.secrets.values_mut().map(|secret| &mut secret.file));
            }
        }
        files.into_iter().flatten().collect()
    }

    /// What the channel wants to be told.
    #[must_use]
    pub fn route(&self) -> Option<Route> {
        // A report is made of what is stored, and no incident is told for it.
        if self.common.report.is_some() {
            return None;
        }
        Some(Route {
            channel: self.name().to_owned(),
            audiences: self.common.audiences.clone(),
            sites: self.common.sites.clone(),
            min_severity: self.common.min_severity,
        })
    }

    /// The most messages in a minute.
    #[must_use]
    pub const fn per_minute(&self) -> u32 {
        self.common.per_minute
    }

    fn check(&self) -> Result<(), Wrong> {
        let name = self.name();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            return Err((
                "name",
                "1 to 32 lower-case letters, digits and `-`".to_owned(),
            ));
        }
        within("per_minute", self.common.per_minute, 1, 6000)?;
        within("timeout_s", self.common.timeout_s, 1, 300)?;
        self.check_times()?;
        match &self.kind {
            Kind::Smtp(smtp) => smtp.check(),
            Kind::Webhook(hook) => hook.check(),
            Kind::Chat(chat) => chat.check(),
            Kind::Alertmanager(manager) => manager.check(),
            Kind::Ticket(ticket) => ticket.check(),
        }
    }

    fn check_times(&self) -> Result<(), Wrong> {
        let is_read_by_people = matches!(self.kind, Kind::Smtp(_) | Kind::Chat(_));
        let for_people = |field| {
            let problem = "is for channels of kind `smtp` and `chat`, which people read";
            Err((field, problem.to_owned()))
        };
        match (&self.common.digest, &self.common.report) {
            (Some(_), Some(_)) => Err((
                "report",
                "a channel has either `digest` or `report`; make two channels".to_owned(),
            )),
            (Some(_), None) if !is_read_by_people => for_people("digest"),
            (None, Some(_)) if !is_read_by_people => for_people("report"),
            (Some(digest), None) => digest.check(),
            (None, Some(report)) => report.check(),
            (None, None) => Ok(()),
        }
    }
}

/// Checks what the types alone do not.
///
/// # Errors
/// The first channel and field that is not right.
pub fn check(channels: &[ChannelConfig]) -> Result<(), ChannelError> {
    for (at, channel) in channels.iter().enumerate() {
        let wrong = |(field, problem)| ChannelError {
            channel: channel.name().to_owned(),
            field,
            problem,
        };
        channel.check().map_err(wrong)?;
        if at >= CHANNELS {
            return Err(wrong((
                "name",
                format!("there are more than {CHANNELS} channels"),
            )));
        }
        if channels[..at]
            .iter()
            .any(|other| other.name() == channel.name())
        {
            return Err(wrong((
                "name",
                "is the name of an earlier channel too".to_owned(),
            )));
        }
    }
    Ok(())
}

fn within(field: &'static str, value: u32, low: u32, high: u32) -> Result<(), Wrong> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err((field, format!("{value} lies outside {low} to {high}")))
}

/// Whether a URL may be called: `https`, or `http` on this very machine, and nothing secret in it.
fn check_url(field: &'static str, text: &str) -> Result<(), Wrong> {
    let url = reqwest::Url::parse(text);
    let is_right = url
        .as_ref()
        .is_ok_and(|url| match (url.scheme(), url.host_str()) {
            ("https", Some(_)) => true,
            ("http", Some(host)) => is_loopback(host.trim_matches(['[', ']'])),
            _ => false,
        });
    if !is_right || text.len() > rollcall_shared::limits::URL_BYTES {
        let problem =
            format!("`{text}` is no `https://` address; `http://` is for this very machine only");
        return Err((field, problem));
    }
    if url.is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
        return Err((
            field,
            "holds a user or password, which would be logged".to_owned(),
        ));
    }
    Ok(())
}

/// A secret comes either from a file or from the environment.
fn check_secret(
    field: &'static str,
    file: Option<&PathBuf>,
    variable: Option<&String>,
) -> Result<(), Wrong> {
    match (file, variable) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => {
            let other = field.replace("_file", "_env");
            Err((field, format!("give either `{field}` or `{other}`")))
        }
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

const fn info() -> Severity {
    Severity::Info
}

/// One a second: more is a flood to people, and what hosted mail services allow.
const fn per_minute() -> u32 {
    60
}

/// Greylisting servers answer late, but seldom after half a minute.
const fn timeout_s() -> u32 {
    30
}

#[cfg(test)]
mod tests;
