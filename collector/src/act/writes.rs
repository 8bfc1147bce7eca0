//! What an act is in the store.

use rollcall_shared::time::UnixMs;

use super::Acted;
use crate::audit::AuditLine;
use crate::query::Viewer;
use crate::silence::Silence;
use crate::store::Write;

pub(super) fn silence(
    viewer: &Viewer,
    silence: Silence,
    verb: &str,
    now: UnixMs,
) -> (Acted, Vec<Write>) {
    let detail = format!("{}, {}: {}", silence.matchers, silence.when, silence.reason);
    let action = format!("{}.{verb}", silence.kind.word());
    let line = audit(viewer, &action, &silence.id.to_string(), detail, now);
    let writes = vec![Write::PutSilence(silence.clone()), line];
    (Acted::Silence(Box::new(silence)), writes)
}

pub(super) fn audit(
    viewer: &Viewer,
    action: &str,
    subject: &str,
    detail: String,
    now: UnixMs,
) -> Write {
    Write::Audit(AuditLine {
        at: now,
        actor: viewer.actor(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        outcome: "ok".to_owned(),
        detail,
    })
}
