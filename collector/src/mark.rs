//! Marks: what people said about an alert or an incident. They are kept beside it, since what the
//! evaluator writes of an alert and what people say come at any time.

use std::fmt;

use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertId, Severity};
use crate::incident::{Acknowledgement, IncidentId};

/// Notes of one thing that are kept; the oldest goes where more come. With their texts they stay within
/// a value of the store.
pub const NOTES: usize = 10;

/// Bytes of a note.
pub const NOTE_BYTES: usize = 320;

/// Rules that marks count against: as many as an incident names findings.
pub const RULES: usize = crate::incident::FINDINGS;

/// What somebody spoke about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// One alert.
    Alert(AlertId),
    /// An incident.
    Incident(IncidentId),
}

/// What people said about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// About what.
    pub subject: Subject,
    /// The rules that found it, at most [`RULES`].
    pub rules: Vec<String>,
    /// Who deals with it. Of an incident, what the incident itself says counts.
    pub acknowledged: Option<Acknowledgement>,
    /// Whose it is.
    pub assigned: Option<Assignment>,
    /// Who said that it was of no use; it counts against its rules.
    pub not_useful: Option<Note>,
    /// What was noted, the latest last, at most [`NOTES`].
    pub notes: Vec<Note>,
    /// When somebody said something last.
    pub changed: UnixMs,
}

/// What somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Who.
    pub by: String,
    /// When.
    pub at: UnixMs,
    /// What; may be empty where the act says enough.
    pub text: String,
}

/// Somebody gave it to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// To whom.
    pub to: String,
    /// Who gave it.
    pub by: String,
    /// When.
    pub at: UnixMs,
}

impl Subject {
    /// The sixteen bytes of its key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        match self {
            Self::Alert(id) => id.as_bytes(),
            Self::Incident(id) => id.as_bytes(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alert(id) => write!(f, "alert {id}"),
            Self::Incident(id) => write!(f, "incident {id}"),
        }
    }
}

impl Marks {
    /// Nothing was said yet.
    #[must_use]
    pub const fn new(subject: Subject, rules: Vec<String>, now: UnixMs) -> Self {
        Self {
            subject,
            rules,
            acknowledged: None,
            assigned: None,
            not_useful: None,
            notes: Vec::new(),
            changed: now,
        }
    }

    /// Adds a note; the oldest goes where there are too many.
    pub fn add_note(&mut self, note: Note) {
        if self.notes.len() >= NOTES {
            self.notes.remove(0);
        }
        self.notes.push(note);
    }

    /// Until when an alert need not be told, because somebody deals with it and it is no worse.
    #[must_use]
    pub fn quiet_until(&self, alert: &Alert, now: UnixMs) -> Option<UnixMs> {
        let acknowledged = self.acknowledged.as_ref()?;
        acknowledged
            .covers(alert.severity, now)
            .then_some(acknowledged.until)
    }

    /// Whether an acknowledgement of an alert has run out.
    #[must_use]
    pub fn has_lapsed(&self, now: UnixMs) -> bool {
        self.acknowledged.as_ref().is_some_and(|a| a.until <= now)
    }
}

impl Acknowledgement {
    /// Whether it still counts at `now` for what is as grave as this.
    #[must_use]
    pub fn covers(&self, severity: Severity, now: UnixMs) -> bool {
        self.until > now && severity <= self.severity
    }
}
