//! Act: what people do about what was found. Who may do it is decided here and nowhere else, and every
//! act leaves its line in the audit log, in the same batch.

mod word;
mod writes;

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

use crate::evaluate::rules::RuleSet;
use crate::mark::{Marks, Subject};
use crate::query::{QueryError, Viewer};
use crate::silence::{Kind, Matchers, SILENCES, Silence, SilenceId, When};
use crate::store::{Role, Store};
pub use word::{LONGEST_MS, check_text, sees_subject};

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Action {
    /// Deal with it: nothing is told of it again until then, unless it becomes worse.
    Acknowledge {
        /// What.
        subject: Subject,
        /// Until when.
        until: UnixMs,
        /// What there is to say; may be empty.
        note: String,
    },
    /// No longer deal with it.
    Release {
        /// What.
        subject: Subject,
    },
    /// Write something to it.
    Note {
        /// To what.
        subject: Subject,
        /// The text.
        text: String,
    },
    /// Give it to somebody, or to nobody.
    Assign {
        /// What.
        subject: Subject,
        /// To whom.
        to: Option<String>,
    },
    /// Say that it was of no use: it counts against its rules.
    NotUseful {
        /// What.
        subject: Subject,
        /// Why; may be empty.
        note: String,
    },
    /// Say that it was of use after all.
    Useful {
        /// What.
        subject: Subject,
    },
    /// Silence findings, or plan maintenance.
    Silence {
        /// Which of both.
        kind: Kind,
        /// Which findings.
        matchers: Matchers,
        /// When.
        when: When,
        /// Why.
        reason: String,
    },
    /// End a silence or a maintenance window for good.
    EndSilence {
        /// Which.
        id: SilenceId,
    },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acted {
    /// What is said now of the alert or incident.
    Marks(Box<Marks>),
    /// The silence as it is now.
    Silence(Box<Silence>),
}

/// Does it, durably, with its line in the audit log.
///
/// # Errors
/// [`QueryError`]: the field that is wrong and what would be right, a thing that is not there or that
/// the viewer may not see, a role or scope that does not reach, or the store's reason.
pub async fn act(
    store: &Store,
    rules: &RuleSet,
    viewer: &Viewer,
    action: Action,
    now: UnixMs,
) -> Result<Acted, QueryError> {
    viewer.require(Role::Technician)?;
    // The desk reads, decides and writes incidents too.
    let _decision = store.exclusive().await;
    let (acted, writes) = match action {
        Action::Silence {
            kind,
            matchers,
            when,
            reason,
        } => {
            let silence = new_silence(store, rules, viewer, kind, matchers, when, reason, now)?;
            writes::silence(viewer, silence, "create", now)
        }
        Action::EndSilence { id } => {
            let silence = ended(store, viewer, id, now)?;
            writes::silence(viewer, silence, "end", now)
        }
        about => word::say(store, viewer, about, now)?,
    };
    store.commit(writes).await?;
    Ok(acted)
}

#[expect(
    clippy::too_many_arguments,
    reason = "they are the fields of one action and who wants it"
)]
fn new_silence(
    store: &Store,
    rules: &RuleSet,
    viewer: &Viewer,
    kind: Kind,
    matchers: Matchers,
    when: When,
    reason: String,
    now: UnixMs,
) -> Result<Silence, QueryError> {
    check_text("reason", &reason, 1, crate::silence::REASON_BYTES)?;
    word::check_matchers(&matchers, rules)?;
    word::check_when(&when, now)?;
    may_silence(store, viewer, &matchers)?;
    let open = store.silences();
    if open.iter().filter(|known| !known.is_over(now)).count() >= SILENCES {
        let problem = format!("there are {SILENCES} silences already; end some first");
        return Err(QueryError::field("silence", problem));
    }
    Ok(Silence {
        id: SilenceId::generate(),
        kind,
        matchers,
        when,
        reason,
        author: viewer.name.clone(),
        created: now,
        ended: None,
    })
}

fn ended(
    store: &Store,
    viewer: &Viewer,
    id: SilenceId,
    now: UnixMs,
) -> Result<Silence, QueryError> {
    let found = store.silence(id);
    let mut silence = found.ok_or_else(|| QueryError::NotFound(format!("silence {id}")))?;
    may_silence(store, viewer, &silence.matchers)?;
    let by = viewer.name.clone();
    silence
        .ended
        .get_or_insert(crate::silence::Ended { by, at: now });
    Ok(silence)
}

/// Who sees some sites may silence these; the whole district is the admin's.
fn may_silence(store: &Store, viewer: &Viewer, matchers: &Matchers) -> Result<(), QueryError> {
    if matchers.is_everything() {
        viewer.require(Role::Admin)?;
        return viewer.require_all_sites();
    }
    if viewer.sees_everything() || viewer.sees_all(&matchers.sites) {
        return Ok(());
    }
    let sees = |id: &DeviceId| store.device(*id).is_some_and(|state| viewer.sees(&state));
    if !matchers.devices.is_empty() && matchers.devices.iter().all(sees) {
        return Ok(());
    }
    Err(QueryError::Forbidden(
        "your token is limited to some sites: name them in `sites`, or devices of theirs in `devices`",
    ))
}

/// The silences and maintenance windows that concern what a viewer sees, the latest first.
#[must_use]
pub fn silences(store: &Store, viewer: &Viewer) -> Vec<Silence> {
    let mut silences = store.silences();
    let of_theirs = |site: &Label| viewer.sees_site(site);
    let sees = |id: &DeviceId| store.device(*id).is_some_and(|state| viewer.sees(&state));
    silences.retain(|silence| {
        let Matchers { sites, devices, .. } = &silence.matchers;
        (sites.is_empty() || sites.iter().any(of_theirs))
            && (devices.is_empty() || devices.iter().any(sees))
    });
    silences.reverse();
    silences
}

#[cfg(test)]
mod tests;
