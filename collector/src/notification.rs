//! A Notification: something that a channel must be told, kept in the outbox until it was told.

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertId};

/// An entry of the outbox. It is written in the same atomic batch as the alert's change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The idempotency key: the same for every attempt to deliver it.
    pub key: NotificationKey,
    /// The alert as it was then.
    pub alert: Alert,
    /// The site of the alert's device.
    pub site: Label,
    /// What the device is, in words for a ticket, such as its vendor and model.
    pub device_name: String,
    /// When it was written.
    pub created: UnixMs,
    /// How often its delivery was tried.
    pub attempts: u32,
    /// When it may be tried again.
    pub due: UnixMs,
    /// Why the last attempt failed; empty before any.
    pub last_error: String,
    /// Whether it was set aside, because no further attempt can succeed.
    pub set_aside: bool,
}

/// Which alert's change is told to which channel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NotificationKey {
    /// Which alert.
    pub alert: AlertId,
    /// `fired` or `resolved`.
    pub event: Event,
    /// The channel's name.
    pub channel: String,
}

/// What the notification says, in the order in which it must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// First.
    Fired,
    /// There is more to say while it goes on.
    Updated,
    /// What was over has come back.
    Reopened,
    /// It is over.
    Resolved,
}

impl Event {
    /// The event in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Updated => "updated",
            Self::Reopened => "reopened",
            Self::Resolved => "resolved",
        }
    }
}

impl std::fmt::Display for NotificationKey {
    /// The idempotency key as receivers see it: `<alert>.<event>.<channel>`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.alert, self.event.word(), self.channel)
    }
}
