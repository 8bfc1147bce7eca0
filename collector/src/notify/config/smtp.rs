//! E-mail as it is configured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lettre::message::Mailbox;
use rollcall_shared::id::Label;
use serde::Deserialize;

use super::{Wrong, is_loopback};

/// Receivers of one e-mail channel; a list address serves more.
const RECEIVERS: usize = 20;

/// Sites with receivers of their own: the schools of a large district.
const SITES: usize = 500;

/// E-mail by SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
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
    /// Where servers report what they could not deliver later on; the sender unless given.
    #[serde(default)]
    pub bounces_to: Option<String>,
    /// The receivers.
    #[serde(default)]
    pub to: Vec<String>,
    /// The receivers of what concerns one site alone; those of `to` where a site is not named.
    #[serde(default)]
    pub to_by_site: BTreeMap<Label, Vec<String>>,
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

    pub(super) fn check(&self) -> Result<(), Wrong> {
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
        check_address("from", &self.from)?;
        self.bounces_to
            .iter()
            .try_for_each(|address| check_address("bounces_to", address))?;
        check_receivers("to", &self.to)?;
        if self.to_by_site.len() > SITES {
            return Err(("to_by_site", format!("names more than {SITES} sites")));
        }
        self.to_by_site
            .values()
            .try_for_each(|to| check_receivers("to_by_site", to))?;
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

fn check_receivers(field: &'static str, to: &[String]) -> Result<(), Wrong> {
    if to.is_empty() || to.len() > RECEIVERS {
        let problem = format!("has {} receivers; 1 to {RECEIVERS} are right", to.len());
        return Err((field, problem));
    }
    to.iter()
        .try_for_each(|address| check_address(field, address))
}

fn check_address(field: &'static str, text: &str) -> Result<(), Wrong> {
    match text.parse::<Mailbox>() {
        Ok(_) => Ok(()),
        Err(_) => {
            let problem = format!("`{text}` is no address such as desk@district.example");
            Err((field, problem))
        }
    }
}
