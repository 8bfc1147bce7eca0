//! Passwords: which are taken, and how they are kept.
//!
//! Kept is argon2id with 19 MiB, two passes and one lane, the first choice of OWASP's Password Storage
//! Cheat Sheet (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>), and a
//! salt of 128 random bits. The parameters stand beside each hash, so that later ones can be harder; a
//! hash that is kept under others is replaced when its owner signs in next.
//!
//! Taken is what has at least 15 characters, which NIST SP 800-63B-4 asks of passwords that stand alone,
//! and is not made of the user's own name or of very few characters. Nothing else is asked of it: rules
//! about kinds of characters make passwords worse, not better (the same source).

use std::collections::BTreeSet;
use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::query::access::{random_bytes, same_hash};

/// The fewest characters of a password.
pub const LEAST: usize = 15;

/// The most characters: a hash takes the same time for all of them.
pub const MOST: usize = 256;

/// Different characters that a password must have at least: `aaaaaaaaaaaaaaa` is one guess.
const DIFFERENT: usize = 6;

/// KiB of memory for one hash.
const MEMORY_KIB: u32 = 19 * 1024;

/// Passes over that memory.
const PASSES: u32 = 2;

/// Lanes of it.
const LANES: u32 = 1;

/// What a kept hash may ask for at most: a damaged record must not take the machine's memory.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 16;

/// A password in the clear: wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; 16],
    hash: [u8; 32],
}

impl Password {
    /// The password that somebody typed, without the end of its line.
    #[must_use]
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(Zeroizing::new(
            text.trim_end_matches(['\r', '\n']).to_owned(),
        ))
    }

    /// The password itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(not shown)")
    }
}

/// As text: between the command line and the collector, over a socket of their own.
impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl PasswordHash {
    /// Hashes a password with a new salt; takes about 30 ms and 19 MiB, so that it belongs beside the
    /// tasks that move bytes.
    #[must_use]
    pub fn of(password: &Password) -> Self {
        let mut made = Self::decoy();
        made.salt.copy_from_slice(&random_bytes()[..16]);
        made.hash = made
            .derive(password)
            .expect("the parameters are those of OWASP");
        made
    }

    /// What nobody's password gives: it is compared where there is no user, so that the answer takes as
    /// long.
    #[must_use]
    pub const fn decoy() -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: [0; 16],
            hash: [0; 32],
        }
    }

    /// Whether this is the password; takes as long as [`PasswordHash::of`].
    #[must_use]
    pub fn matches(&self, password: &Password) -> bool {
        self.derive(password)
            .is_some_and(|hash| same_hash(&hash, &self.hash))
    }

    /// Whether a new hash would be made with the same parameters.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.memory_kib == MEMORY_KIB && self.passes == PASSES && self.lanes == LANES
    }

    fn derive(&self, password: &Password) -> Option<[u8; 32]> {
        if self.memory_kib > MOST_MEMORY_KIB || self.passes > MOST_PASSES {
            return None;
        }
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hash = [0; 32];
        let password = password.expose().as_bytes();
        argon2
            .hash_password_into(password, &self.salt, &mut hash)
            .ok()?;
        Some(hash)
    }
}

/// Refuses a password that is easily guessed.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn check_password(name: &str, password: &Password) -> Result<(), String> {
    let text = password.expose();
    let characters = text.chars().count();
    if !(LEAST..=MOST).contains(&characters) {
        return Err(format!(
            "must have {LEAST} to {MOST} characters, such as four words; this one has {characters}"
        ));
    }
    if text.chars().any(char::is_control) {
        return Err("must be one line".to_owned());
    }
    let lower = text.to_lowercase();
    // What is left without the name and the product's has to be long enough to be guessed.
    let own = name.split(['@', '.']).filter(|part| part.len() > 3);
    let rest = own
        .chain(["rollcall", "password"])
        .fold(lower, |rest, word| rest.replace(word, ""));
    let different: BTreeSet<char> = rest.chars().collect();
    if different.len() < DIFFERENT || rest.chars().count() < LEAST / 2 {
        return Err(
            "is easily guessed: besides names it needs several different characters".to_owned(),
        );
    }
    Ok(())
}

/// A password of 100 random bits in four groups, without characters that are read wrongly.
#[must_use]
pub fn fresh_password() -> Password {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let bytes = random_bytes();
    let groups: Vec<String> = bytes[..20]
        .chunks(5)
        .map(|group| group.iter().map(letter).collect())
        .collect();
    Password(Zeroizing::new(groups.join("-")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn a_hash_knows_its_password_and_no_other() {
        let hash = PasswordHash::of(&password("correct horse battery\n"));
        assert!(hash.matches(&password("correct horse battery")));
        assert!(!hash.matches(&password("correct horse batterY")));
        assert!(!PasswordHash::decoy().matches(&password("correct horse battery")));
        assert_ne!(
            hash,
            PasswordHash::of(&password("correct horse battery")),
            "salted"
        );
        assert!(hash.is_current());
        let text = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<PasswordHash>(&text).unwrap(), hash);
        let greedy = PasswordHash {
            memory_kib: u32::MAX,
            ..hash
        };
        assert!(!greedy.matches(&password("correct horse battery")));
    }

    /// By the reference implementation (libargon2, through argon2-cffi 23): argon2id, 19 MiB, two passes.
    #[test]
    fn the_hash_is_that_of_the_reference() {
        let known = [
            170, 236, 174, 177, 247, 158, 184, 1, 155, 166, 44, 52, 246, 47, 163, 225, 82, 137,
            248, 143, 249, 135, 121, 174, 129, 222, 7, 130, 25, 146, 255, 31,
        ];
        let salt = std::array::from_fn(|n| n as u8);
        let hash = PasswordHash {
            salt,
            hash: known,
            ..PasswordHash::decoy()
        };
        assert_eq!((hash.memory_kib, hash.passes, hash.lanes), (19_456, 2, 1));
        assert!(hash.matches(&password("correct horse battery")));
    }

    #[test]
    fn easily_guessed_passwords_are_refused() {
        let check = |text: &str| check_password("anna.miller@school.example", &password(text));
        assert!(check("correct horse battery").is_ok());
        assert!(check("fourteen chars").unwrap_err().contains("has 14"));
        assert!(check(&"ab1".repeat(100)).unwrap_err().contains("has 300"));
        assert!(
            check("aaaaaaaaaaaaaaaaaaaa")
                .unwrap_err()
                .contains("easily")
        );
        assert!(check("RollcallPassword1").unwrap_err().contains("easily"));
        assert!(check("miller-school-2026").unwrap_err().contains("easily"));
        assert!(
            check("correct horse\tbattery")
                .unwrap_err()
                .contains("one line")
        );
        for _ in 0..100 {
            assert_eq!(check_password("anna", &fresh_password()), Ok(()));
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let shown = format!("{:?}", password("correct horse battery"));
        assert!(!shown.contains("horse"), "{shown}");
    }
}
