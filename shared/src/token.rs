//! An enrolment token: one string with all that a laptop needs to trust a collector and be trusted.
//!
//! ```text
//! rc1.<secret, 24 bytes>.<SHA-256 of the authority's certificate, 32 bytes>
//! ```
//! Both parts are base64url without padding. The collector keeps only the secret's SHA-256: with
//! 192 random bits there is nothing to guess, so a slow hash would add nothing.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::limits;

const PREFIX: &str = "rc1";
const SECRET_BYTES: usize = 24;

/// SHA-256 of a certificate in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorityFingerprint(pub [u8; 32]);

/// The secret part of a token. It is never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; SECRET_BYTES]);

/// A token as a technician copies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// What proves to the collector that the laptop may enrol.
    pub secret: TokenSecret,
    /// What proves to the laptop that it speaks to its own collector.
    pub authority: AuthorityFingerprint,
}

/// Why a text is no token. The text itself is not repeated: it may be a secret with a typing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The form is another one.
    #[error(
        "this is not an enrolment token: one reads `rc1.` and two parts joined by a dot, \
         as `rollcall-collector token create` prints it"
    )]
    Form,
    /// A part is damaged, most likely cut off when copied.
    #[error("the enrolment token's {0} is damaged or incomplete; copy it again, whole")]
    Part(&'static str),
}

impl AuthorityFingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(sha256(certificate_der))
    }
}

impl TokenSecret {
    /// A new secret from the operating system's generator.
    ///
    /// # Panics
    /// Where the operating system gives no random bytes.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = [0; SECRET_BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the system gives random bytes");
        Self(bytes)
    }

    /// What the collector keeps in place of the secret.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(&self.0)
    }

    /// The secret for the wire; it travels only inside TLS.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl TryFrom<&[u8]> for TokenSecret {
    type Error = TokenError;

    fn try_from(bytes: &[u8]) -> Result<Self, TokenError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| TokenError::Part("secret"))
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(not shown)")
    }
}

impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = URL_SAFE_NO_PAD.encode(self.secret.0);
        write!(
            f,
            "{PREFIX}.{secret}.{}",
            URL_SAFE_NO_PAD.encode(self.authority.0)
        )
    }
}

impl FromStr for EnrolmentToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > limits::TOKEN_BYTES {
            return Err(TokenError::Form);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [PREFIX, secret, authority] = parts[..] else {
            return Err(TokenError::Form);
        };
        Ok(Self {
            secret: TokenSecret(part(secret, "secret")?),
            authority: AuthorityFingerprint(part(authority, "fingerprint of the authority")?),
        })
    }
}

fn part<const N: usize>(text: &str, name: &'static str) -> Result<[u8; N], TokenError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Part(name))?;
    bytes.try_into().map_err(|_| TokenError::Part(name))
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_copied() {
        let token = EnrolmentToken {
            secret: TokenSecret::generate(),
            authority: AuthorityFingerprint::of(b"certificate"),
        };
        let text = token.to_string();
        assert_eq!(format!(" {text}\n").parse(), Ok(token.clone()));
        assert!(
            !format!("{token:?}").contains(&text[4..30]),
            "Debug shows no secret"
        );
    }

    #[test]
    fn a_damaged_token_says_which_part() {
        let token = EnrolmentToken {
            secret: TokenSecret::generate(),
            authority: AuthorityFingerprint::of(b"certificate"),
        };
        let text = token.to_string();
        assert_eq!("hello".parse::<EnrolmentToken>(), Err(TokenError::Form));
        let cut = text[..text.len() - 5].parse::<EnrolmentToken>();
        assert_eq!(cut, Err(TokenError::Part("fingerprint of the authority")));
        let no_secret = format!("rc1.%%.{}", text.rsplit('.').next().unwrap());
        assert_eq!(
            no_secret.parse::<EnrolmentToken>(),
            Err(TokenError::Part("secret"))
        );
    }
}
