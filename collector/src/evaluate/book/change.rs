//! Changing the rules: checked first, then durable with its line in the audit log, then in force.

use rollcall_shared::time::{Clock, UnixMs};

use super::{InForce, RuleBook, UNFILED};
use crate::audit::AuditLine;
use crate::edition::{Edition, NOTE_BYTES, Origin, surplus};
use crate::evaluate::rules::{RuleError, RuleSet};
use crate::store::{Store, StoreError, Write};

/// What is to be known of a change besides its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleChange {
    /// Who changes them.
    pub by: String,
    /// Why; at most [`NOTE_BYTES`].
    pub note: String,
    /// The version that was edited; the change is refused when another one holds by now.
    pub based_on: Option<u32>,
}

/// Why rules were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The text is not right.
    #[error("{0}")]
    Wrong(#[from] RuleError),
    /// The note is too long.
    #[error("has more than {NOTE_BYTES} bytes")]
    Note,
    /// Somebody else changed them meanwhile.
    #[error(
        "version {found} holds by now, and the change was made to version {based_on}: look at it and try again"
    )]
    Stale {
        /// The version in force.
        found: u32,
        /// The version that was edited.
        based_on: u32,
    },
    /// They could not be stored.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl RuleBook {
    /// Puts a text in force as a new version, and answers its number. What holds already makes none.
    ///
    /// # Errors
    /// [`ChangeError`]; the rules in force stay.
    pub async fn replace(
        &self,
        store: &Store,
        text: &str,
        change: RuleChange,
        now: UnixMs,
    ) -> Result<u32, ChangeError> {
        if change.note.len() > NOTE_BYTES {
            return Err(ChangeError::Note);
        }
        let _one_at_a_time = store.exclusive().await;
        let found = self.in_force();
        if let Some(based_on) = change.based_on.filter(|based_on| *based_on != found.number) {
            let found = found.number;
            return Err(ChangeError::Stale { found, based_on });
        }
        let rules = RuleSet::parse(UNFILED, text)?;
        if *found.text == *text {
            return Ok(found.number);
        }
        let edition = next(store, text, Origin::Api, change, now);
        let number = edition.number;
        store.commit(writes(store, edition, "rules.change")).await?;
        self.put_in_force(InForce {
            rules: rules.into(),
            text: text.into(),
            number,
            origin: Some(Origin::Api),
        });
        Ok(number)
    }

    /// Stores what the file says as a version, once it is in force.
    pub(super) async fn store_file(&self, store: &Store, clock: &dyn Clock) -> anyhow::Result<()> {
        let _one_at_a_time = store.exclusive().await;
        let found = self.in_force();
        let change = RuleChange {
            by: "admin".to_owned(),
            ..RuleChange::default()
        };
        let edition = next(store, &found.text, Origin::File, change, clock.now().wall);
        let number = edition.number;
        store.commit(writes(store, edition, "rules.file")).await?;
        self.put_in_force(InForce {
            number,
            ..InForce::clone(&found)
        });
        Ok(())
    }
}

fn next(store: &Store, text: &str, origin: Origin, change: RuleChange, now: UnixMs) -> Edition {
    let last = store.editions().keys().next_back().copied();
    Edition {
        number: last.unwrap_or_default().saturating_add(1),
        at: now,
        by: change.by,
        note: change.note,
        origin,
        text: text.to_owned(),
    }
}

/// The edition, its line in the audit log, and the end of those that are too many.
fn writes(store: &Store, edition: Edition, action: &str) -> Vec<Write> {
    let gone = surplus(&store.editions(), edition.text.len());
    let line = AuditLine {
        at: edition.at,
        actor: edition.by.clone(),
        action: action.to_owned(),
        subject: format!("version {}", edition.number),
        outcome: "ok".to_owned(),
        detail: edition.note.clone(),
    };
    let mut writes = vec![Write::PutEdition(edition), Write::Audit(line)];
    writes.extend(gone.into_iter().map(Write::RemoveEdition));
    writes
}
