//! Channels as they are configured.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use lettre::message::Mailbox;
use rollcall_shared::id::Label;
use serde::Deserialize;

use super::route::Route;
use crate::alert::{Audience, Severity};

/// Channels of one collector: one for each desk of a district, and each has a worker.
pub const CHANNELS: usize = 64;

/// Receivers of one e-mail channel; a list address serves more.
const RECEIVERS: usize = 20;

/// Where alerts are told. One `[[channel]]` of the collector's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ChannelConfig {
    /// E-mail.
    Smtp(SmtpConfig),
    /// A signed call of a URL.
    Webhook(WebhookConfig),
}

/// E-mail by SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
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
    /// The most messages in a minute.
    #[serde(default = "per_minute")]
    pub per_minute: u32,
    /// Seconds for one message, from connecting on.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// The server's name, which its certificate must bear.
    pub host: String,
    /// The server's port: 587 for `starttls`, 465 for `tls`, 25 otherwise, unless given.
    #[serde(default)]
    pub port: Option<u16>,
    /// How the connection is secured.
    #[serde(default)]
    pub security: Security,
    /// Who sends, where the server asks.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// An environment variable with the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// The sender, such as `Rollcall <rollcall@district.example>`.
    pub from: String,
    /// The receivers.
    pub to: Vec<String>,
    /// A PEM file with the only authorities that the server's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is secured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// TLS after a plain greeting; without it nothing is sent.
    #[default]
    Starttls,
    /// TLS from the first byte.
    Tls,
    /// None, to a server on this very machine.
    NoneOnLoopbackOnly,
}

/// A webhook by the Standard Webhooks specification.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
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
    /// The most calls in a minute.
    #[serde(default = "per_minute")]
    pub per_minute: u32,
    /// Seconds for one call.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// Where to; `https://`, or `http://` to this very machine.
    pub url: String,
    /// A file with the secret that signs: `whsec_` and base64, or any text of 24 bytes or more.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// An environment variable with that secret.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// A PEM file with the only authorities that the server's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
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

impl ChannelConfig {
    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Smtp(smtp) => &smtp.name,
            Self::Webhook(hook) => &hook.name,
        }
    }

    /// Takes relative paths as relative to `folder`, that of the configuration file.
    pub fn resolve(&mut self, folder: &Path) {
        let files = match self {
            Self::Smtp(smtp) => [&mut smtp.password_file, &mut smtp.ca_file],
            Self::Webhook(hook) => [&mut hook.secret_file, &mut hook.ca_file],
        };
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
    }

    /// What the channel wants to be told.
    #[must_use]
    pub fn route(&self) -> Route {
        let (audiences, sites, min_severity) = match self {
            Self::Smtp(smtp) => (&smtp.audiences, &smtp.sites, smtp.min_severity),
            Self::Webhook(hook) => (&hook.audiences, &hook.sites, hook.min_severity),
        };
        Route {
            channel: self.name().to_owned(),
            audiences: audiences.clone(),
            sites: sites.clone(),
            min_severity,
        }
    }

    /// The most messages in a minute.
    #[must_use]
    pub const fn per_minute(&self) -> u32 {
        match self {
            Self::Smtp(smtp) => smtp.per_minute,
            Self::Webhook(hook) => hook.per_minute,
        }
    }

    const fn timeout_s(&self) -> u32 {
        match self {
            Self::Smtp(smtp) => smtp.timeout_s,
            Self::Webhook(hook) => hook.timeout_s,
        }
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let name = self.name();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            return Err((
                "name",
                "1 to 32 lower-case letters, digits and `-`".to_owned(),
            ));
        }
        if !(1..=6000).contains(&self.per_minute()) {
            return Err((
                "per_minute",
                format!("{} lies outside 1 to 6000", self.per_minute()),
            ));
        }
        if !(1..=300).contains(&self.timeout_s()) {
            return Err((
                "timeout_s",
                format!("{} lies outside 1 to 300", self.timeout_s()),
            ));
        }
        match self {
            Self::Smtp(smtp) => smtp.check(),
            Self::Webhook(hook) => hook.check(),
        }
    }
}

impl SmtpConfig {
    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::NoneOnLoopbackOnly => 25,
        })
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.host.is_empty() || self.host.contains(char::is_whitespace) {
            return Err(("host", "is the name or address of a mail server".to_owned()));
        }
        if self.security == Security::NoneOnLoopbackOnly && !is_loopback(&self.host) {
            let problem = format!(
                "`none-on-loopback-only` does not reach `{}`; use `starttls` or `tls`",
                self.host
            );
            return Err(("security", problem));
        }
        let address = |text: &String| {
            text.parse::<Mailbox>()
                .err()
                .map(|_| format!("`{text}` is no address such as desk@district.example"))
        };
        if let Some(problem) = address(&self.from) {
            return Err(("from", problem));
        }
        if self.to.is_empty() || self.to.len() > RECEIVERS {
            return Err((
                "to",
                format!(
                    "has {} receivers; 1 to {RECEIVERS} are right",
                    self.to.len()
                ),
            ));
        }
        if let Some(problem) = self.to.iter().find_map(address) {
            return Err(("to", problem));
        }
        match (&self.username, &self.password_file, &self.password_env) {
            (None, None, None) | (Some(_), Some(_), None) | (Some(_), None, Some(_)) => Ok(()),
            (None, _, _) => Err(("username", "is missing beside the password".to_owned())),
            _ => Err((
                "password_file",
                "give either `password_file` or `password_env`".to_owned(),
            )),
        }
    }
}

impl WebhookConfig {
    fn check(&self) -> Result<(), (&'static str, String)> {
        let url = reqwest::Url::parse(&self.url);
        let is_right = url
            .as_ref()
            .is_ok_and(|url| match (url.scheme(), url.host_str()) {
                ("https", Some(_)) => true,
                ("http", Some(host)) => is_loopback(host.trim_matches(['[', ']'])),
                _ => false,
            });
        if !is_right || self.url.len() > rollcall_shared::limits::URL_BYTES {
            let problem = format!(
                "`{}` is no `https://` address; `http://` is for this very machine only",
                self.url
            );
            return Err(("url", problem));
        }
        if url.is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            return Err((
                "url",
                "holds a user or password, which would be logged".to_owned(),
            ));
        }
        match (&self.secret_file, &self.secret_env) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err((
                "secret_file",
                "give either `secret_file` or `secret_env`".to_owned(),
            )),
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

fn is_loopback(host: &str) -> bool {
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
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        channel: Vec<ChannelConfig>,
    }

    const MAIL: &str = "[[channel]]\nkind = \"smtp\"\nname = \"desk\"\nhost = \"mail.example\"\nfrom = \"Rollcall <rollcall@d.example>\"\nto = [\"desk@d.example\"]\n";
    const HOOK: &str = "[[channel]]\nkind = \"webhook\"\nname = \"hook\"\nurl = \"https://desk.example/in\"\nsecret_file = \"/etc/secret\"\n";

    fn read(text: &str) -> Result<(), String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        check(&file.channel).map_err(|error| error.to_string())
    }

    #[test]
    fn channels_have_sensible_defaults() {
        let file: File = toml::from_str(&format!("{MAIL}{HOOK}")).unwrap();
        check(&file.channel).unwrap();
        let ChannelConfig::Smtp(smtp) = &file.channel[0] else {
            panic!("the first is e-mail");
        };
        assert_eq!((smtp.port(), smtp.security), (587, Security::Starttls));
        assert!(file.channel[1].route().audiences.is_empty());
        let mut hook = file.channel[1].clone();
        hook.resolve(Path::new("/opt"));
        assert_eq!(hook, file.channel[1], "an absolute path stays");
        let relative = HOOK.replace("/etc/secret", "secret");
        let mut file: File = toml::from_str(&relative).unwrap();
        file.channel[0].resolve(Path::new("/etc"));
        assert_eq!(file.channel[0], hook);
    }

    #[test]
    fn each_mistake_names_channel_and_field() {
        let mistakes = [
            (
                MAIL.replace("desk@d.example", "desk at d"),
                "channel `desk`: to: ",
            ),
            (
                format!("{MAIL}security = \"none-on-loopback-only\""),
                "channel `desk`: security: ",
            ),
            (
                format!("{MAIL}password_file = \"x\""),
                "channel `desk`: username: ",
            ),
            (
                format!("{MAIL}timeout_s = 0"),
                "channel `desk`: timeout_s: ",
            ),
            (
                format!("{MAIL}{MAIL}"),
                "channel `desk`: name: is the name of an earlier",
            ),
            (
                MAIL.replace("\"desk\"", "\"Help desk\""),
                "channel `Help desk`: name: ",
            ),
            (HOOK.replace("https", "http"), "channel `hook`: url: "),
            (
                HOOK.replace("https://", "https://user:secret@"),
                "channel `hook`: url: holds a user",
            ),
            (
                format!("{HOOK}secret_env = \"x\""),
                "channel `hook`: secret_file: ",
            ),
        ];
        for (text, message) in mistakes {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(message), "{error}");
        }
        assert!(
            read(&format!("{HOOK}secret = \"abc\""))
                .unwrap_err()
                .contains("unknown field `secret`")
        );
        assert_eq!(
            read(&HOOK.replace("https://desk.example", "http://127.0.0.1:8080")),
            Ok(())
        );
        assert_eq!(
            read(&HOOK.replace("https://desk.example", "http://[::1]:8080")),
            Ok(())
        );
    }
}
