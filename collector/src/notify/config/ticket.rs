//! Ticket systems as they are configured: a preset, and what it asks for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{Wrong, check_secret, check_url};
use crate::notify::preset::{Preset, built_in};

/// A help desk's ticket system, reached as a preset describes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketConfig {
    /// The name of a preset that is built in, such as `request-tracker`.
    #[serde(default)]
    pub preset: Option<String>,
    /// A file with a preset of one's own.
    #[serde(default)]
    pub preset_file: Option<PathBuf>,
    /// Where the system is; the paths of the preset follow.
    pub url: String,
    /// What the preset asks for.
    #[serde(default)]
    pub settings: BTreeMap<String, toml::Value>,
    /// The secrets that the preset asks for.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// For how many days after its end a ticket is opened again instead of a new one; the preset's
    /// number unless given.
    #[serde(default)]
    pub reopen_days: Option<u32>,
    /// Seconds after a create without an answer until it counts as not done when the ticket is not
    /// found; the preset's number unless given.
    #[serde(default)]
    pub settle_s: Option<u32>,
    /// A PEM file with the only authorities that the server's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    /// A file with it.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// An environment variable with it.
    #[serde(default)]
    pub env: Option<String>,
}

impl TicketConfig {
    /// The preset, read and checked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_preset(&self) -> anyhow::Result<Preset> {
        match (&self.preset, &self.preset_file) {
            (Some(name), None) => built_in(name),
            (None, Some(file)) => Preset::read(file),
            _ => anyhow::bail!("give either `preset` or `preset_file`"),
        }
    }

    /// Checks what needs no file: that is looked at when the channel is built.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        check_url("url", &self.url)?;
        for (name, secret) in &self.secrets {
            check_secret("file", secret.file.as_ref(), secret.env.as_ref())
                .map_err(|(_, _)| ("secrets", format!("`{name}`: give either `file` or `env`")))?;
        }
        if self.preset.is_some() == self.preset_file.is_some() {
            return Err(("preset", "give either `preset` or `preset_file`".to_owned()));
        }
        if let Some(name) = &self.preset {
            let preset = built_in(name).map_err(|error| ("preset", error.to_string()))?;
            self.check_against(&preset)?;
        }
        Ok(())
    }

    /// Checks that what is given is what the preset asks for.
    ///
    /// # Errors
    /// The field, and what is missing or unknown.
    pub fn check_against(&self, preset: &Preset) -> Result<(), (&'static str, String)> {
        let known: Vec<&str> = preset.settings.keys().map(String::as_str).collect();
        for (name, value) in &self.settings {
            if !known.contains(&name.as_str()) {
                return Err(("settings", unknown(name, &known)));
            }
            if value.is_table() || value.is_datetime() {
                let problem = format!("`{name}` is a text, a number, a truth or a list of these");
                return Err(("settings", problem));
            }
        }
        for (name, setting) in &preset.settings {
            if setting.is_needed() && !self.settings.contains_key(name) {
                let problem = format!("`{name}` is missing: {}", setting.about);
                return Err(("settings", problem));
            }
        }
        let known: Vec<&str> = preset.secrets.keys().map(String::as_str).collect();
        if let Some(name) = self.secrets.keys().find(|n| !known.contains(&n.as_str())) {
            return Err(("secrets", unknown(name, &known)));
        }
        for (name, about) in &preset.secrets {
            if !self.secrets.contains_key(name) {
                return Err(("secrets", format!("`{name}` is missing: {about}")));
            }
        }
        Ok(())
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    format!(
        "the preset does not know `{name}`; it knows {}",
        known.join(", ")
    )
}
