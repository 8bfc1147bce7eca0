//! Answers about the collector itself: the outbox, the audit log, whether it is ready.

use std::collections::BTreeMap;

use rollcall_shared::id::Label;
use schemars::JsonSchema;
use serde::Serialize;

use super::{At, Query, QueryError, Viewer};
use crate::audit::AuditLine;
use crate::notification::Notification;
use crate::store::Role;

/// Entries of the outbox in one answer; the counts tell of all.
const OUTBOX_SHOWN: usize = 1000;

/// Lines of the audit log when the caller does not say.
const AUDIT_LINES: u64 = 100;

/// Most lines of the audit log in one answer.
pub(super) const MOST_AUDIT_LINES: usize = 1000;

/// Tries after which an entry that is still not delivered counts as stuck. The waits between nine
/// tries (5 s, doubled each time, three quarters of each on average) add up to 16 minutes: longer
/// than greylisting, so it is not that.
pub(super) const STUCK_ATTEMPTS: u32 = 9;

/// The outbox as a viewer may see it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OutboxAnswer {
    /// `empty`, `delivering` or `stuck`.
    pub state: &'static str,
    /// Entries that wait.
    pub waiting: u64,
    /// Entries that were tried often, or set aside.
    pub stuck: u64,
    /// The channels for which something waits, by name.
    pub channels: Vec<ChannelAnswer>,
    /// The oldest entries, stuck ones first.
    pub entries: Vec<OutboxEntry>,
}

/// A channel for which something waits.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChannelAnswer {
    /// Its name.
    pub name: String,
    /// Entries that wait.
    pub waiting: u64,
    /// Of these, those that are tried no more.
    pub set_aside: u64,
    /// When the oldest was written.
    pub oldest_at: At,
    /// Why the last attempt failed; empty where none did.
    pub last_error: String,
}

/// Something that a channel must be told.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct OutboxEntry {
    /// The idempotency key.
    pub key: String,
    /// Which channel.
    pub channel: String,
    /// `fired` or `resolved`.
    pub event: &'static str,
    /// The alert's title.
    pub title: String,
    /// Whose alert, by id.
    pub device: String,
    /// The device's site.
    pub site: String,
    /// When it was written.
    pub created_at: At,
    /// When it is tried next.
    pub due_at: At,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed; empty before any.
    pub last_error: String,
    /// Whether it is tried no more.
    pub set_aside: bool,
    /// Whether somebody should look at the channel.
    pub stuck: bool,
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AuditAnswer {
    /// When.
    pub at: At,
    /// Who.
    pub actor: String,
    /// What was attempted.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// `ok` or why not.
    pub outcome: String,
    /// What else is worth knowing.
    pub detail: String,
}

/// Lines of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AuditList {
    /// The latest first.
    pub lines: Vec<AuditAnswer>,
}

/// Whether the collector does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Readiness {
    /// Whether it does.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

impl Query {
    /// What waits to be told to a channel.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for a viewer.
    pub fn outbox(&self, viewer: &Viewer) -> Result<OutboxAnswer, QueryError> {
        viewer.require(Role::Technician)?;
        let mut waiting = self.store.notifications();
        waiting.retain(|entry| viewer.sees_all(&entry.incident.sites));
        waiting.sort_by_key(|entry| (!is_stuck(entry), entry.created));
        let stuck = waiting.iter().filter(|entry| is_stuck(entry)).count() as u64;
        Ok(OutboxAnswer {
            state: outbox_state(waiting.len(), stuck),
            waiting: waiting.len() as u64,
            stuck,
            channels: channels(&waiting),
            entries: waiting.iter().take(OUTBOX_SHOWN).map(entry).collect(),
        })
    }

    /// The last lines of the audit log, the latest first; 100 unless `lines` says otherwise.
    ///
    /// # Errors
    /// [`QueryError::Forbidden`] for all but an admin of every site, [`QueryError::Field`] names
    /// `lines`, and [`QueryError::Store`] says that the log cannot be read.
    pub fn audit(&self, viewer: &Viewer, lines: Option<u64>) -> Result<AuditList, QueryError> {
        viewer.require(Role::Admin)?;
        viewer.require_all_sites()?;
        let lines = usize::try_from(lines.unwrap_or(AUDIT_LINES))
            .ok()
            .filter(|lines| (1..=MOST_AUDIT_LINES).contains(lines))
            .ok_or_else(|| {
                QueryError::field("lines", format!("must be from 1 to {MOST_AUDIT_LINES}"))
            })?;
        let lines = self.store.audit(lines)?;
        Ok(AuditList {
            lines: lines.into_iter().map(AuditAnswer::from).collect(),
        })
    }

    /// Whether the store accepts and every other stage is up.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let mut reasons: Vec<String> = self.checks.iter().filter_map(|ok| ok().err()).collect();
        reasons.extend(self.store.accepts().err().map(|error| error.to_string()));
        Readiness {
            ready: reasons.is_empty(),
            reasons,
        }
    }
}

/// Whether somebody should look at the channel of this entry.
pub(super) const fn is_stuck(entry: &Notification) -> bool {
    entry.set_aside || entry.attempts >= STUCK_ATTEMPTS
}

const fn outbox_state(waiting: usize, stuck: u64) -> &'static str {
    match (waiting, stuck) {
        (0, _) => "empty",
        (_, 0) => "delivering",
        _ => "stuck",
    }
}

fn channels(waiting: &[Notification]) -> Vec<ChannelAnswer> {
    let mut by_name: BTreeMap<&str, Vec<&Notification>> = BTreeMap::new();
    for entry in waiting {
        by_name.entry(&entry.key.channel).or_default().push(entry);
    }
    let answer = |(name, entries): (&str, Vec<&Notification>)| {
        let oldest = entries.iter().map(|entry| entry.created).min()?;
        let failed = entries.iter().filter(|entry| !entry.last_error.is_empty());
        let last = failed.max_by_key(|entry| entry.due);
        Some(ChannelAnswer {
            name: name.to_owned(),
            waiting: entries.len() as u64,
            set_aside: entries.iter().filter(|entry| entry.set_aside).count() as u64,
            oldest_at: At(oldest),
            last_error: last.map_or_else(String::new, |entry| entry.last_error.clone()),
        })
    };
    by_name.into_iter().filter_map(answer).collect()
}

fn entry(entry: &Notification) -> OutboxEntry {
    let sites: Vec<&str> = entry.incident.sites.iter().map(Label::as_str).collect();
    OutboxEntry {
        key: entry.key.to_string(),
        channel: entry.key.channel.clone(),
        event: entry.event.word(),
        title: entry.incident.title.clone(),
        device: entry
            .devices
            .first()
            .map_or_else(String::new, |d| d.id.to_string()),
        site: sites.join(", "),
        created_at: At(entry.created),
        due_at: At(entry.due),
        attempts: entry.attempts,
        last_error: entry.last_error.clone(),
        set_aside: entry.set_aside,
        stuck: is_stuck(entry),
    }
}

impl From<AuditLine> for AuditAnswer {
    fn from(line: AuditLine) -> Self {
        Self {
            at: At(line.at),
            actor: line.actor,
            action: line.action,
            subject: line.subject,
            outcome: line.outcome,
            detail: line.detail,
        }
    }
}
