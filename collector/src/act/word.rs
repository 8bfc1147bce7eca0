//! What people say about an alert or an incident, and what is no such thing.

use rollcall_shared::limits::LABEL_BYTES;
use rollcall_shared::time::UnixMs;

use super::{Acted, Action, writes};
use crate::alert::Severity;
use crate::evaluate::rules::{RuleSet, unknown};
use crate::incident::{Acknowledgement, Cause, Incident, IncidentState};
use crate::mark::{Assignment, Marks, NOTE_BYTES, Note, RULES, Subject};
use crate::query::{QueryError, Viewer};
use crate::silence::{Matchers, WORD_BYTES, WORDS, When};
use crate::store::{Store, Write};

/// How far ahead anything may be put off: a school year and its summer.
pub const LONGEST_MS: i64 = 400 * 86_400_000;

/// Alerts of the history that are looked through for one: about a year of 50 a day.
const LOOKED_THROUGH: usize = 20_000;

/// What is spoken about, as it stands.
struct Matter {
    severity: Severity,
    rules: Vec<String>,
    is_over: bool,
    /// The incident, where it is one that may still change.
    incident: Option<Incident>,
}

/// What is to be written of what somebody says.
pub(super) fn say(
    store: &Store,
    viewer: &Viewer,
    action: Action,
    now: UnixMs,
) -> Result<(Acted, Vec<Write>), QueryError> {
    let subject = subject_of(&action)?;
    let matter = matter(store, viewer, subject)?;
    let mut marks = store
        .marks(subject)
        .unwrap_or_else(|| Marks::new(subject, matter.rules.clone(), now));
    marks.changed = now;
    let mut incident = matter.incident.clone();
    let (verb, detail) = apply(viewer, action, &matter, &mut marks, incident.as_mut(), now)?;
    let word = match subject {
        Subject::Alert(_) => "alert",
        Subject::Incident(_) => "incident",
    };
    let id = subject.to_string();
    let id = id.split(' ').nth(1).unwrap_or_default();
    let mut written = vec![Write::PutMarks(marks.clone())];
    written.extend(incident.map(Write::PutIncident));
    written.push(writes::audit(
        viewer,
        &format!("{word}.{verb}"),
        id,
        detail,
        now,
    ));
    Ok((Acted::Marks(Box::new(marks)), written))
}

fn subject_of(action: &Action) -> Result<Subject, QueryError> {
    match action {
        Action::Acknowledge { subject, .. }
        | Action::Release { subject }
        | Action::Note { subject, .. }
        | Action::Assign { subject, .. }
        | Action::NotUseful { subject, .. }
        | Action::Useful { subject } => Ok(*subject),
        Action::Silence { .. } | Action::EndSilence { .. } => Err(QueryError::Failed),
    }
}

/// Puts what is said into the marks, and into the incident; answers with the audit line's words.
fn apply(
    viewer: &Viewer,
    action: Action,
    matter: &Matter,
    marks: &mut Marks,
    incident: Option<&mut Incident>,
    now: UnixMs,
) -> Result<(&'static str, String), QueryError> {
    let by = viewer.name.clone();
    let note = |text: String| Note {
        by: by.clone(),
        at: now,
        text,
    };
    match action {
        Action::Acknowledge { until, note, .. } => {
            check_text("note", &note, 0, NOTE_BYTES)?;
            check_until(until, now)?;
            if matter.is_over {
                let problem = "is over: there is nothing left to deal with";
                return Err(QueryError::field("id", problem));
            }
            let detail = format!("until {until}: {note}");
            let acknowledged = Some(Acknowledgement {
                by,
                at: now,
                until,
                note,
                severity: matter.severity,
            });
            if let Some(incident) = incident {
                incident.acknowledged.clone_from(&acknowledged);
            }
            marks.acknowledged = acknowledged;
            Ok(("acknowledge", detail))
        }
        Action::Release { .. } => {
            marks.acknowledged = None;
            if let Some(incident) = incident {
                incident.acknowledged = None;
            }
            Ok(("release", String::new()))
        }
        Action::Note { text, .. } => {
            check_text("text", &text, 1, NOTE_BYTES)?;
            marks.add_note(note(text.clone()));
            Ok(("note", text))
        }
        Action::Assign { to, .. } => {
            if let Some(to) = &to {
                check_text("to", to, 1, LABEL_BYTES)?;
            }
            let detail = to.clone().unwrap_or_else(|| "nobody".to_owned());
            marks.assigned = to.map(|to| Assignment { to, by, at: now });
            Ok(("assign", detail))
        }
        Action::NotUseful { note: text, .. } => {
            check_text("note", &text, 0, NOTE_BYTES)?;
            marks.not_useful = Some(note(text.clone()));
            if let Some(incident) = incident {
                incident.not_useful = Some(by);
            }
            Ok(("not-useful", text))
        }
        Action::Useful { .. } => {
            marks.not_useful = None;
            if let Some(incident) = incident {
                incident.not_useful = None;
            }
            Ok(("useful", String::new()))
        }
        Action::Silence { .. } | Action::EndSilence { .. } => Err(QueryError::Failed),
    }
}

/// Whether there is such a thing and the viewer may see it.
///
/// # Errors
/// [`QueryError::NotFound`] in both cases, so that they look the same.
pub fn sees_subject(store: &Store, viewer: &Viewer, subject: Subject) -> Result<(), QueryError> {
    matter(store, viewer, subject).map(|_| ())
}

fn matter(store: &Store, viewer: &Viewer, subject: Subject) -> Result<Matter, QueryError> {
    let missing = || QueryError::NotFound(subject.to_string());
    match subject {
        Subject::Alert(id) => {
            let alert = store.alert(id, LOOKED_THROUGH)?.ok_or_else(missing)?;
            let state = store.device(alert.key.device).ok_or_else(missing)?;
            if !viewer.sees(&state) {
                return Err(missing());
            }
            Ok(Matter {
                severity: alert.severity,
                is_over: alert.resolved.is_some(),
                rules: vec![alert.key.rule],
                incident: None,
            })
        }
        Subject::Incident(id) => {
            let lately = store.incident(id);
            let is_archived = lately.is_none();
            let incident = match lately {
                Some(incident) => incident,
                None => archived(store, id)?.ok_or_else(missing)?,
            };
            if !sees(store, viewer, &incident) {
                return Err(missing());
            }
            let mut rules: Vec<String> = incident
                .findings
                .iter()
                .map(|finding| finding.key.rule.clone())
                .collect();
            rules.sort_unstable();
            rules.dedup();
            rules.truncate(RULES);
            Ok(Matter {
                severity: incident.severity,
                rules,
                is_over: incident.state == IncidentState::Closed,
                incident: (!is_archived).then_some(incident),
            })
        }
    }
}

fn archived(
    store: &Store,
    id: crate::incident::IncidentId,
) -> Result<Option<Incident>, QueryError> {
    let closed = store.closed_incidents(UnixMs(0), UnixMs(i64::MAX), LOOKED_THROUGH)?;
    Ok(closed.into_iter().find(|incident| incident.id == id))
}

fn sees(store: &Store, viewer: &Viewer, incident: &Incident) -> bool {
    if viewer.sees_everything() {
        return true;
    }
    match incident.cause {
        Cause::Device(device) => store
            .device(device)
            .is_some_and(|state| viewer.sees(&state)),
        Cause::Shared { .. } => viewer.sees_all(&incident.sites),
    }
}

/// Whether a text may be stored and shown.
///
/// # Errors
/// [`QueryError::Field`] names `field`.
pub fn check_text(field: &str, text: &str, least: usize, most: usize) -> Result<(), QueryError> {
    let is_blank = least > 0 && text.trim().is_empty();
    let has_control = text.chars().any(|c| c.is_control() && c != '\n');
    if is_blank || text.len() > most || has_control {
        let problem = format!("must be {least} to {most} bytes of text without control characters");
        return Err(QueryError::field(field, problem));
    }
    Ok(())
}

pub(super) fn check_until(until: UnixMs, now: UnixMs) -> Result<(), QueryError> {
    if until <= now {
        return Err(QueryError::field(
            "until",
            format!("must be after now, {now}"),
        ));
    }
    if until.since(now) > LONGEST_MS {
        let days = LONGEST_MS / 86_400_000;
        return Err(QueryError::field(
            "until",
            format!("must be within {days} days"),
        ));
    }
    Ok(())
}

pub(super) fn check_when(when: &When, now: UnixMs) -> Result<(), QueryError> {
    match when {
        When::Once { from, until } => {
            check_until(*until, now)?;
            if from >= until {
                return Err(QueryError::field("from", "must be before `until`"));
            }
            Ok(())
        }
        When::Weekly { weekdays, .. } if weekdays.is_empty() || weekdays.len() > 7 => {
            let problem = "must name one to seven days such as monday";
            Err(QueryError::field("weekdays", problem))
        }
        When::Weekly { .. } | When::Yearly { .. } => Ok(()),
    }
}

pub(super) fn check_matchers(matchers: &Matchers, rules: &RuleSet) -> Result<(), QueryError> {
    let lists = [
        ("devices", matchers.devices.len()),
        ("sites", matchers.sites.len()),
        ("groups", matchers.groups.len()),
        ("rules", matchers.rules.len()),
        ("models", matchers.models.len()),
    ];
    for (field, count) in lists {
        if count > WORDS {
            let problem = format!("may name at most {WORDS}; make another silence for the rest");
            return Err(QueryError::field(field, problem));
        }
    }
    for model in &matchers.models {
        check_text("models", model, 1, WORD_BYTES)?;
    }
    for rule in &matchers.rules {
        if rules.get(rule).is_none() {
            let known = rules.rules.iter().map(|known| known.name.as_str());
            return Err(QueryError::field("rules", unknown("rule", rule, known)));
        }
    }
    Ok(())
}
