//! A Notification: something that a channel must be told, kept in the outbox until it was told.

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::incident::{Incident, IncidentId};

/// An entry of the outbox. It is written in the same atomic batch as the incident's change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// The idempotency key: the same for every attempt to deliver it.
    pub key: NotificationKey,
    /// What it says about the incident.
    pub event: Event,
    /// The incident as it was then.
    pub incident: Incident,
    /// What its devices are, in words for a ticket, such as vendor and model; at most [`DEVICES`].
    pub devices: Vec<DeviceName>,
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
    /// Whether somebody asked to try it again, who has looked whether the receiver has it.
    #[serde(default)]
    pub is_by_hand: bool,
}

/// Devices that a notification names; more are counted. Twenty lines fit a ticket and, with the
/// findings, a value of the store.
pub const DEVICES: usize = 20;

/// A device by the words that a ticket uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceName {
    /// Its identity.
    pub id: DeviceId,
    /// What it is, such as its vendor and model, with its asset tag where the inventory knows it.
    pub name: String,
    /// Its asset tag.
    #[serde(default)]
    pub tag: Option<String>,
    /// Its school, as the inventory says.
    #[serde(default)]
    pub school: Option<String>,
}

/// Which change of which incident is told to which channel. Those of one incident sort in the order in
/// which they must be told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NotificationKey {
    /// Which incident.
    pub incident: IncidentId,
    /// The number of what is told of it; the first is 1.
    pub number: u32,
    /// The channel's name.
    pub channel: String,
}

/// What the notification says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It began.
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
    /// The idempotency key as receivers see it: `<incident>.<number>.<channel>`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.incident, self.number, self.channel)
    }
}
