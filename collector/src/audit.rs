//! An audit line: who did what to whom, and how it ended.

use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

/// One line of the audit log. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When.
    pub at: UnixMs,
    /// Who: `admin` for the command line, `device <id>`, `api <token's name>`, or an address for
    /// somebody unknown.
    pub actor: String,
    /// What was attempted, such as `enroll`, `token.create`, `device.revoke`.
    pub action: String,
    /// What it was done to; empty where nothing is named.
    pub subject: String,
    /// `ok`, or the word of a [`rollcall_shared::refusal::Refusal`].
    pub outcome: String,
    /// What else is worth knowing, in words.
    pub detail: String,
}
