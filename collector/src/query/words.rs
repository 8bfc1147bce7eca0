//! Answers about what people said: acknowledgements, notes, silences; and the acts that lead to them.

use rollcall_shared::time::UnixMs;
use schemars::JsonSchema;
use serde::Serialize;

use super::{At, Query, QueryError, Viewer};
use crate::act::{Acted, Action, act, sees_subject, silences};
use crate::incident::Acknowledgement;
use crate::mark::{Marks, Note, Subject};
use crate::silence::{Kind, Silence, When};

/// What people said about an alert or incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MarksAnswer {
    /// `alert` or `incident`.
    pub subject: &'static str,
    /// Its identity.
    pub id: String,
    /// Who deals with it; `None` where nobody does any more.
    pub acknowledged: Option<AcknowledgementAnswer>,
    /// To whom it was given.
    pub assigned_to: Option<String>,
    /// Who said that it was of no use.
    pub not_useful_by: Option<String>,
    /// What was noted, the latest last.
    pub notes: Vec<NoteAnswer>,
}

/// Somebody deals with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AcknowledgementAnswer {
    /// Who.
    pub by: String,
    /// Since when.
    pub at: At,
    /// Until when it counts.
    pub until: At,
    /// What they said.
    pub note: String,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NoteAnswer {
    /// Who.
    pub by: String,
    /// When.
    pub at: At,
    /// What.
    pub text: String,
}

/// A silence or maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SilenceAnswer {
    /// Its identity.
    pub id: String,
    /// `silence` or `maintenance`.
    pub kind: &'static str,
    /// Devices; an empty list admits all, here and below.
    pub devices: Vec<String>,
    /// Sites.
    pub sites: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Names of rules.
    pub rules: Vec<String>,
    /// Models, each whole or a beginning that ends in `*`.
    pub models: Vec<String>,
    /// `once`, `weekly` or `yearly`.
    pub repeats: &'static str,
    /// The days on which a weekly one begins.
    pub weekdays: Vec<&'static str>,
    /// Its beginning: a time, a time of the day such as `22:00`, or a day of the year such as `06-20`.
    pub from: String,
    /// Its end, in the same form; the last day of a yearly one.
    pub until: String,
    /// Until when it holds, where it holds now.
    pub holds_until: Option<At>,
    /// Whether it is over for good.
    pub over: bool,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub author: String,
    /// When it was made.
    pub created_at: At,
    /// Who ended it before its time.
    pub ended_by: Option<String>,
}

/// Silences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SilenceList {
    /// The latest first.
    pub silences: Vec<SilenceAnswer>,
}

/// Maintenance windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MaintenanceList {
    /// The latest first.
    pub maintenance: Vec<SilenceAnswer>,
}

impl Query {
    /// Says something about an alert or incident: who may, may here, in the name of `viewer`.
    ///
    /// # Errors
    /// [`QueryError`] as [`act`] has it.
    pub async fn say(&self, viewer: &Viewer, action: Action) -> Result<MarksAnswer, QueryError> {
        match self.act(viewer, action).await? {
            Acted::Marks(marks) => Ok(MarksAnswer::of(&marks, self.now())),
            Acted::Silence(_) => Err(QueryError::Failed),
        }
    }

    /// Makes or ends a silence or maintenance window.
    ///
    /// # Errors
    /// [`QueryError`] as [`act`] has it.
    pub async fn silence(
        &self,
        viewer: &Viewer,
        action: Action,
    ) -> Result<SilenceAnswer, QueryError> {
        match self.act(viewer, action).await? {
            Acted::Silence(silence) => Ok(self.tell_silence(&silence)),
            Acted::Marks(_) => Err(QueryError::Failed),
        }
    }

    async fn act(&self, viewer: &Viewer, action: Action) -> Result<Acted, QueryError> {
        let rules = self.book.rules();
        act(&self.store, &rules, viewer, action, self.now()).await
    }

    /// The silences or maintenance windows that concern what the viewer sees, the latest first.
    #[must_use]
    pub fn silences(&self, viewer: &Viewer, kind: Kind, all: bool) -> Vec<SilenceAnswer> {
        let now = self.now();
        let silences = silences(&self.store, viewer).into_iter();
        silences
            .filter(|silence| silence.kind == kind && (all || !silence.is_over(now)))
            .map(|silence| self.tell_silence(&silence))
            .collect()
    }

    /// What people said about an alert or incident.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] where there is none that the viewer may see.
    pub fn marks(&self, viewer: &Viewer, subject: Subject) -> Result<MarksAnswer, QueryError> {
        sees_subject(&self.store, viewer, subject)?;
        let now = self.now();
        let marks = self.store.marks(subject);
        let marks = marks.unwrap_or_else(|| Marks::new(subject, Vec::new(), now));
        Ok(MarksAnswer::of(&marks, now))
    }

    fn tell_silence(&self, silence: &Silence) -> SilenceAnswer {
        let (now, rules) = (self.now(), self.book.rules());
        let matchers = &silence.matchers;
        let (repeats, weekdays, from, until) = match &silence.when {
            When::Once { from, until } => ("once", Vec::new(), from.to_string(), until.to_string()),
            When::Weekly {
                weekdays,
                from,
                until,
            } => {
                let days = weekdays.iter().map(|day| day.word()).collect();
                ("weekly", days, from.to_string(), until.to_string())
            }
            When::Yearly { from, through } => {
                ("yearly", Vec::new(), from.to_string(), through.to_string())
            }
        };
        SilenceAnswer {
            id: silence.id.to_string(),
            kind: silence.kind.word(),
            devices: texts(&matchers.devices),
            sites: texts(&matchers.sites),
            groups: texts(&matchers.groups),
            rules: matchers.rules.clone(),
            models: matchers.models.clone(),
            repeats,
            weekdays,
            from,
            until,
            holds_until: silence.holds_until(&rules.calendar, now).map(At),
            over: silence.is_over(now),
            reason: silence.reason.clone(),
            author: silence.author.clone(),
            created_at: At(silence.created),
            ended_by: silence.ended.as_ref().map(|ended| ended.by.clone()),
        }
    }
}

impl MarksAnswer {
    fn of(marks: &Marks, now: UnixMs) -> Self {
        let (subject, id) = match marks.subject {
            Subject::Alert(id) => ("alert", id.to_string()),
            Subject::Incident(id) => ("incident", id.to_string()),
        };
        let acknowledged = marks.acknowledged.as_ref().filter(|a| a.until > now);
        Self {
            subject,
            id,
            acknowledged: acknowledged.map(AcknowledgementAnswer::of),
            assigned_to: assigned_to(marks),
            not_useful_by: marks.not_useful.as_ref().map(|said| said.by.clone()),
            notes: notes(marks),
        }
    }
}

/// To whom something was given.
pub(super) fn assigned_to(marks: &Marks) -> Option<String> {
    marks.assigned.as_ref().map(|assigned| assigned.to.clone())
}

/// What was noted about something, the latest last.
pub(super) fn notes(marks: &Marks) -> Vec<NoteAnswer> {
    marks.notes.iter().map(NoteAnswer::of).collect()
}

impl AcknowledgementAnswer {
    fn of(acknowledged: &Acknowledgement) -> Self {
        Self {
            by: acknowledged.by.clone(),
            at: At(acknowledged.at),
            until: At(acknowledged.until),
            note: acknowledged.note.clone(),
        }
    }
}

impl NoteAnswer {
    fn of(note: &Note) -> Self {
        Self {
            by: note.by.clone(),
            at: At(note.at),
            text: note.text.clone(),
        }
    }
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
