//! Records that belong to the store's neighbours: tokens for enrolment and for the API.

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};

/// What the holder of an API token may do. A later role may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read.
    Viewer,
    /// Read, and acknowledge.
    Technician,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, by ascending power.
    pub const ALL: &[Self] = &[Self::Viewer, Self::Technician, Self::Admin];

    /// The role in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Technician => "technician",
            Self::Admin => "admin",
        }
    }

    /// The role that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.word() == word)
    }
}

/// An API token, without the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiTokenRecord {
    /// Its unique name.
    pub name: String,
    /// SHA-256 of the token's text.
    pub hash: [u8; 32],
    /// What its holder may do.
    pub role: Role,
    /// The sites that its holder may see; empty for all.
    pub sites: Vec<Label>,
    /// When it was made.
    pub created: UnixMs,
    /// Whether it is no longer accepted.
    pub revoked: bool,
}

/// Enrolments that a token's record remembers: those of a room that is imaged at once and loses its
/// answers together. About 125 bytes each, so that the record stays within a value of the store.
const RECENT_ENROLMENTS: usize = 32;

/// An enrolment whose answer the laptop may not have had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentEnrolment {
    /// What `SigningRequest::key_hash` gives.
    pub key: [u8; 16],
    /// The device that it made.
    pub device: DeviceId,
}

/// An enrolment token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentTokenRecord {
    /// Its unique short name, for lists and for revoking it.
    pub id: String,
    /// What `TokenSecret::hash` gives.
    pub hash: [u8; 32],
    /// The site of the devices that enrol with it.
    pub site: Label,
    /// The group of those devices.
    pub group: Option<Label>,
    /// How often it may still be used; `None` for without limit.
    pub uses_left: Option<u32>,
    /// How often it was used.
    pub uses: u32,
    /// When it stops being accepted; `None` for never.
    pub expires: Option<UnixMs>,
    /// Whether somebody revoked it.
    pub revoked: bool,
    /// When it was made.
    pub created: UnixMs,
    /// Its last enrolments, the latest last.
    #[serde(default)]
    pub recent: Vec<RecentEnrolment>,
}

impl EnrolmentTokenRecord {
    /// Counts an enrolment by the key of its request.
    pub fn count(&mut self, key: [u8; 16], device: DeviceId) {
        self.uses += 1;
        self.uses_left = self.uses_left.map(|left| left.saturating_sub(1));
        if self.recent.len() >= RECENT_ENROLMENTS {
            self.recent.remove(0);
        }
        self.recent.push(RecentEnrolment { key, device });
    }

    /// The device that a request with this key has made, if that was one of the last.
    #[must_use]
    pub fn made_by(&self, key: [u8; 16]) -> Option<DeviceId> {
        let recent = self.recent.iter().rev().find(|recent| recent.key == key);
        recent.map(|recent| recent.device)
    }
}
