//! A user: somebody who signs in to the web page with a password, or through the district's own provider
//! of identities.
//!
//! What a user may do and see is what an API token may: a role and sites. A user has a secret of their own
//! that is made anew with each password; sessions and known browsers are bound to it, so that a new
//! password ends them all.

mod password;

use ring::hmac;
use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;
use serde::{Deserialize, Serialize};

use crate::store::Role;
pub use password::{LEAST, MOST, Password, PasswordHash, check_password, fresh_password};

/// Users of one collector: the staff of a large district. About 600 bytes each.
pub const USERS: usize = 10_000;

/// Characters of a user's name: an address of e-mail is one.
pub const NAME_CHARACTERS: usize = 100;

/// Sites of one user, so that the record stays within a value of the store.
pub const SITES: usize = 30;

/// Somebody who signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The unique name, in lower case.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The sites that they may see; empty for all.
    pub sites: Vec<Label>,
    /// When the user was made.
    pub created: UnixMs,
    /// How they prove who they are.
    pub entry: Entry,
    /// Random bytes that are made anew with the password; see the module.
    pub secret: [u8; 32],
}

/// How a user proves who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// With a password.
    Password {
        /// Its hash.
        hash: Box<PasswordHash>,
        /// When it was set.
        since: UnixMs,
    },
    /// Through a provider of identities, which names them by a subject that it never gives to others.
    Provider {
        /// Who the provider is.
        issuer: String,
        /// Whom it means.
        subject: String,
        /// When it vouched for them last.
        seen: UnixMs,
    },
}

impl User {
    /// What a session remembers, to know that nothing ended it since.
    #[must_use]
    pub fn stamp(&self) -> [u8; 32] {
        sha256(&[b"session".as_slice(), &self.secret].concat())
    }

    /// The proof that a browser with this number has signed in as this user before.
    #[must_use]
    pub fn device_proof(&self, number: &[u8]) -> hmac::Tag {
        hmac::sign(&self.device_key(), number)
    }

    /// Whether a browser with this number has signed in as this user before, with the password of now.
    #[must_use]
    pub fn knows_device(&self, number: &[u8], proof: &[u8]) -> bool {
        hmac::verify(&self.device_key(), number, proof).is_ok()
    }

    fn device_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.secret)
    }
}

/// The form under which a user's name is kept.
///
/// # Errors
/// What is wrong with it.
pub fn user_name(text: &str) -> Result<String, String> {
    let name = text.trim().to_lowercase();
    let is_fine = |c: char| c.is_alphanumeric() || ".-_@+'".contains(c);
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS || !name.chars().all(is_fine) {
        return Err(format!(
            "must have 1 to {NAME_CHARACTERS} letters, digits or . - _ @ + ', such as `anna` or \
             `anna@school.example`"
        ));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::access::random_bytes;

    #[test]
    fn names_have_one_form() {
        assert_eq!(
            user_name(" Anna.O'Neil@School.Example "),
            Ok("anna.o'neil@school.example".into())
        );
        assert_eq!(user_name("Zoë"), Ok("zoë".into()));
        for wrong in ["", " ", "two words", "a\nb", "<b>", "a;b", &"x".repeat(101)] {
            assert!(user_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_new_secret_forgets_sessions_and_browsers() {
        let mut user = User {
            name: "anna".to_owned(),
            role: Role::Viewer,
            sites: Vec::new(),
            created: UnixMs(0),
            entry: Entry::Provider {
                issuer: "https://id.example".to_owned(),
                subject: "1".to_owned(),
                seen: UnixMs(0),
            },
            secret: random_bytes(),
        };
        let (stamp, proof) = (user.stamp(), user.device_proof(b"browser"));
        assert!(user.knows_device(b"browser", proof.as_ref()));
        assert!(!user.knows_device(b"another", proof.as_ref()));
        user.secret = random_bytes();
        assert!(!user.knows_device(b"browser", proof.as_ref()));
        assert_ne!(user.stamp(), stamp);
    }
}
