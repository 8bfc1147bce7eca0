//! Whether an ID token is genuine, meant for us, of this journey, and of now (OpenID Connect Core 1.0,
//! section 3.1.3.7). Only signatures that need the provider's own key are taken: a token that is signed
//! with our secret, or not at all, is refused by its algorithm.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, Validation, decode, decode_header,
};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use rollcall_shared::time::UnixMs;
use serde_json::{Map, Value};

use super::Refusal;
use super::grant::Claims;

/// Seconds by which the provider's clock and ours may differ.
const LEEWAY_S: i64 = 120;

/// Bytes of a token: with 200 groups one has some 10 KB.
const BYTES: usize = 64 * 1024;

/// Characters of a subject (OpenID Connect Core 1.0, section 2).
const SUBJECT: usize = 255;

/// The signatures that are taken.
const TAKEN: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    /// Who signed it.
    pub issuer: &'a str,
    /// For whom it is.
    pub client_id: &'a str,
    /// What went with the browser.
    pub nonce: &'a str,
}

/// The id of the key that a token says it is signed with; empty where it says none.
///
/// # Errors
/// [`Refusal::Token`] for what is no token of a kind that is taken.
pub(super) fn key_id(token: &str) -> Result<String, Refusal> {
    if token.len() > BYTES {
        return Err(refused("its ID token is too large"));
    }
    let header = decode_header(token).map_err(|_| refused("its ID token is none"))?;
    if !TAKEN.contains(&header.alg) {
        return Err(Refusal::Token(format!(
            "its ID token is signed by {:?}; set the client there to RS256 or ES256",
            header.alg
        )));
    }
    Ok(header.kid.unwrap_or_default())
}

/// What a genuine token says.
///
/// # Errors
/// [`Refusal::Token`] says what does not hold.
pub(super) fn verify(
    token: &str,
    keys: &[Jwk],
    expected: &Expected<'_>,
    now: UnixMs,
) -> Result<Claims, Refusal> {
    install();
    let key_id = key_id(token)?;
    let algorithm = decode_header(token)
        .map_err(|_| refused("its ID token is none"))?
        .alg;
    let key = choose(keys, &key_id, algorithm.family())
        .ok_or_else(|| refused("its ID token is signed with a key that it does not publish"))?;
    let key = DecodingKey::from_jwk(key).map_err(|_| refused("its key cannot be read"))?;
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    // By our own clock, below.
    validation.validate_exp = false;
    let decoded = decode::<Map<String, Value>>(token, &key, &validation);
    let claims = decoded
        .map_err(|error| refused(words(error.kind())))?
        .claims;
    check_times(&claims, now)?;
    check_party(&claims, expected)?;
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if subject.is_empty() || subject.chars().count() > SUBJECT {
        return Err(refused("its ID token names nobody"));
    }
    Ok(Claims {
        subject: subject.to_owned(),
        all: claims,
    })
}

fn words(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "the signature of its ID token is wrong",
        ErrorKind::InvalidIssuer => "its ID token is of another issuer than `oidc.issuer`",
        ErrorKind::InvalidAudience => "its ID token is for another client than `oidc.client_id`",
        ErrorKind::MissingRequiredClaim(_) => "its ID token lacks one of exp, iss, aud and sub",
        _ => "its ID token is not well formed",
    }
}

fn refused(why: &str) -> Refusal {
    Refusal::Token(why.to_owned())
}

/// The key with this id, or without an id the only one of the kind.
fn choose<'a>(keys: &'a [Jwk], key_id: &str, family: AlgorithmFamily) -> Option<&'a Jwk> {
    let signs = |key: &&Jwk| {
        let common = &key.common;
        let is_of_family = DecodingKey::from_jwk(key).is_ok_and(|key| key.family() == family);
        is_of_family && !matches!(common.public_key_use, Some(PublicKeyUse::Encryption))
    };
    let mut fitting = keys.iter().filter(signs);
    if key_id.is_empty() {
        let only = fitting.next();
        return only.filter(|_| fitting.next().is_none());
    }
    fitting.find(|key| key.common.key_id.as_deref() == Some(key_id))
}

fn check_times(claims: &Map<String, Value>, now: UnixMs) -> Result<(), Refusal> {
    let now_s = now.0.div_euclid(1000);
    // Some providers write fractions.
    let time = |name: &str| claims.get(name).and_then(Value::as_f64).map(|s| s as i64);
    let expires = time("exp").ok_or_else(|| refused("its ID token never expires"))?;
    if now_s > expires.saturating_add(LEEWAY_S) {
        let late = now_s.saturating_sub(expires);
        return Err(Refusal::Token(format!(
            "its ID token expired {late} s ago; is the collector's clock right?"
        )));
    }
    for name in ["iat", "nbf"] {
        if let Some(begins) = time(name)
            && begins > now_s.saturating_add(LEEWAY_S)
        {
            let early = begins.saturating_sub(now_s);
            return Err(Refusal::Token(format!(
                "its ID token begins in {early} s; is the collector's clock right?"
            )));
        }
    }
    Ok(())
}

fn check_party(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Refusal> {
    let nonce = claims.get("nonce").and_then(Value::as_str);
    if nonce != Some(expected.nonce) {
        return Err(refused("its ID token belongs to another sign-in"));
    }
    let several = matches!(claims.get("aud"), Some(Value::Array(all)) if all.len() > 1);
    match claims.get("azp") {
        None if several => Err(refused(
            "its ID token is for several clients and says not for whom",
        )),
        Some(party) if party.as_str() != Some(expected.client_id) => {
            Err(refused("its ID token was made for another client"))
        }
        _ => Ok(()),
    }
}

/// Has `jsonwebtoken` verify by `ring`, the one that everything else here uses.
fn install() {
    static ONCE: Once = Once::new();
    static RING: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(JwtError::from(ErrorKind::InvalidAlgorithm)),
        verifier_factory: |algorithm, key| {
            if algorithm.family() != key.family() {
                return Err(JwtError::from(ErrorKind::InvalidAlgorithm));
            }
            Ok(Box::new(ByRing(*algorithm, key.clone())))
        },
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        // Only we install one.
        let _ = RING.install_default();
    });
}

struct ByRing(Algorithm, DecodingKey);

impl JwtVerifier for ByRing {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

impl Verifier<Vec<u8>> for ByRing {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), SignatureError> {
        let verified = match self.1.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = rsa(self.0).ok_or_else(SignatureError::new)?;
                RsaPublicKeyComponents { n, e }.verify(parameters, message, given)
            }
            DecodingKeyKind::SecretOrDer(key) => match self.0 {
                Algorithm::ES256 => by(&signature::ECDSA_P256_SHA256_FIXED, key, message, given),
                Algorithm::ES384 => by(&signature::ECDSA_P384_SHA384_FIXED, key, message, given),
                Algorithm::EdDSA => by(&signature::ED25519, key, message, given),
                _ => return Err(SignatureError::new()),
            },
        };
        verified.map_err(|_| SignatureError::new())
    }
}

fn by(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    given: &[u8],
) -> Result<(), ring::error::Unspecified> {
    UnparsedPublicKey::new(algorithm, key).verify(message, given)
}

const fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
