//! A Memo: what a channel has to remember beyond a restart, such as the number of a ticket.

use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::incident::IncidentId;

/// What a memo is about. At most one memo exists for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemoKey {
    /// The channel's name.
    pub channel: String,
    /// What is remembered.
    pub subject: Subject,
}

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The ticket of an incident.
    Ticket(IncidentId),
    /// The report that was sent last.
    Report,
}

/// What a channel remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memo {
    /// What it is about.
    pub key: MemoKey,
    /// What is known of it.
    pub content: Content,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Of a ticket.
    Ticket(Ticket),
    /// The time for which the last report was due.
    Reported(UnixMs),
}

/// A ticket of a help desk's system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The key by which it is found again; it is written into the ticket.
    pub key: String,
    /// Where it stands.
    pub state: TicketState,
    /// How the system's programs call it.
    pub id: String,
    /// How people call it.
    pub number: String,
    /// When its making was tried last, when it was found, or when it was closed.
    pub at: UnixMs,
    /// How many tickets the incident had before, each closed for longer than it is opened again.
    pub earlier: u32,
}

/// Where a ticket stands, as far as Rollcall did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketState {
    /// It was asked for, and there was no answer yet: it may exist.
    Asked,
    /// It is open.
    Open,
    /// Rollcall has closed it.
    Closed,
}

impl Subject {
    /// The subject in few characters, as keys spell it.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Ticket(incident) => format!("ticket {incident}"),
            Self::Report => "report".to_owned(),
        }
    }
}

impl Memo {
    /// The memo of an incident's ticket.
    #[must_use]
    pub fn of_ticket(channel: &str, incident: IncidentId, ticket: Ticket) -> Self {
        Self {
            key: MemoKey {
                channel: channel.to_owned(),
                subject: Subject::Ticket(incident),
            },
            content: Content::Ticket(ticket),
        }
    }
}
