//! Chats' webhooks as they are configured.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Wrong, check_secret};

/// An incoming webhook of a chat. Whoever knows its address may write there, so it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    /// Which chat.
    pub style: ChatStyle,
    /// A file with the address.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// An environment variable with the address.
    #[serde(default)]
    pub url_env: Option<String>,
    /// A PEM file with the only authorities that the server's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Which chat, by the form of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChatStyle {
    /// Slack, or what understands its messages.
    Slack,
    /// Microsoft Teams, by a workflow that posts adaptive cards.
    Teams,
    /// Google Chat.
    GoogleChat,
}

impl ChatConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        check_secret("url_file", self.url_file.as_ref(), self.url_env.as_ref())
    }
}
