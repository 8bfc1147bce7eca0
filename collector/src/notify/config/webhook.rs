//! Signed webhooks as they are configured.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Wrong, check_secret, check_url};

/// A webhook by the Standard Webhooks specification.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to; `https://`, or `http://` to this very machine.
    pub url: String,
    /// A file with the secret that signs: `whsec_` and base64, or any text of 24 bytes or more.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// An environment variable with that secret.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// A file with the secret that is to replace it: while both are there, each call bears a signature
    /// of both, and the receiver can change over when it likes.
    #[serde(default)]
    pub next_secret_file: Option<PathBuf>,
    /// An environment variable with that secret.
    #[serde(default)]
    pub next_secret_env: Option<String>,
    /// A PEM file with the only authorities that the server's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl WebhookConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        check_url("url", &self.url)?;
        check_secret(
            "secret_file",
            self.secret_file.as_ref(),
            self.secret_env.as_ref(),
        )?;
        match (&self.next_secret_file, &self.next_secret_env) {
            (None, None) => Ok(()),
            (file, variable) => check_secret("next_secret_file", file.as_ref(), variable.as_ref()),
        }
    }
}
