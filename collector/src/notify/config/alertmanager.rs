//! Prometheus Alertmanager as it is configured.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Wrong, check_url, within};

/// Labels of one's own: more is no use to routes.
const LABELS: usize = 16;

/// Prometheus Alertmanager, by its API version 2.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Where it is, such as `https://alertmanager.district.example:9093`; the path of the API follows.
    pub url: String,
    /// How often what still fires is told again, in seconds. An alert ends by itself after four times
    /// that without being told.
    #[serde(default = "resend_s")]
    pub resend_s: u32,
    /// Labels that every alert bears besides Rollcall's own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Who calls, where a proxy in front asks.
    #[serde(default)]
    pub username: Option<String>,
    /// A file with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// An environment variable with the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// A PEM file with the only authorities that the server's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl AlertmanagerConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        check_url("url", &self.url)?;
        within("resend_s", self.resend_s, 1, 3600)?;
        if self.labels.len() > LABELS {
            return Err(("labels", format!("are more than {LABELS}")));
        }
        if let Some(name) = self.labels.keys().find(|name| !is_label(name)) {
            let problem = format!("`{name}` is no name of a label: letters, digits and `_`");
            return Err(("labels", problem));
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

fn is_label(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// A minute, as Prometheus itself does it.
const fn resend_s() -> u32 {
    60
}
