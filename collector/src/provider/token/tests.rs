use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::json;

const NOW: UnixMs = UnixMs(1_787_557_500_000);
const NOW_S: i64 = NOW.0 / 1000;

const EXPECTED: Expected<'_> = Expected {
    issuer: "https://id.example",
    client_id: "rollcall",
    nonce: "n-1",
};

/// A provider with one key of P-256.
struct Signer(EcdsaKeyPair, SystemRandom);

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self(
            EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap(),
            random,
        )
    }

    fn keys(&self, id: &str) -> Vec<Jwk> {
        let point = self.0.public_key().as_ref();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig",
            "x": part(&point[1..33]), "y": part(&point[33..])});
        vec![serde_json::from_value(key).unwrap()]
    }

    fn sign(&self, header: Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.0.sign(&self.1, message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn right() -> Value {
    json!({"iss": "https://id.example", "aud": "rollcall", "sub": "00u1", "nonce": "n-1",
        "exp": NOW_S + 300, "iat": NOW_S, "email": "anna@d.example"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = right();
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name),
        value => claims
            .as_object_mut()
            .unwrap()
            .insert(name.to_owned(), value),
    };
    claims
}

#[test]
fn what_a_genuine_token_says() {
    let signer = Signer::new();
    let keys = signer.keys("k1");
    let check = |claims: Value| {
        let token = signer.sign(json!({"alg": "ES256", "kid": "k1"}), &claims);
        verify(&token, &keys, &EXPECTED, NOW)
    };
    let claims = check(right()).unwrap();
    assert_eq!(
        (claims.subject.as_str(), claims.name().as_str()),
        ("00u1", "anna@d.example")
    );
    let own_party = json!({"aud": ["rollcall", "other"], "azp": "rollcall"});
    let mut several = right();
    several
        .as_object_mut()
        .unwrap()
        .extend(own_party.as_object().unwrap().clone());
    assert!(check(several).is_ok());
    assert!(
        check(with("exp", json!(NOW_S - LEEWAY_S))).is_ok(),
        "within the leeway"
    );
    assert!(
        check(with("iat", json!(NOW_S + LEEWAY_S))).is_ok(),
        "within the leeway"
    );
    for (claims, told) in [
        (with("iss", json!("https://evil.example")), "another issuer"),
        (with("aud", json!("other")), "another client"),
        (with("aud", json!(["rollcall", "other"])), "several clients"),
        (with("azp", json!("other")), "another client"),
        (with("nonce", json!("n-2")), "another sign-in"),
        (with("nonce", Value::Null), "another sign-in"),
        (
            with("exp", json!(NOW_S - LEEWAY_S - 1)),
            "expired 121 s ago",
        ),
        (with("exp", json!("soon")), "lacks one of"),
        (with("exp", Value::Null), "lacks one of"),
        (with("iat", json!(NOW_S + LEEWAY_S + 1)), "begins in 121 s"),
        (with("nbf", json!(NOW_S + 999)), "begins in 999 s"),
        (with("sub", json!("")), "names nobody"),
        (with("sub", json!("x".repeat(256))), "names nobody"),
        (with("sub", Value::Null), "lacks one of"),
    ] {
        let error = check(claims.clone()).unwrap_err().to_string();
        assert!(error.contains(told), "{claims}: {error}");
    }
}

#[test]
fn a_token_needs_the_signature_of_a_published_key() {
    let (signer, other) = (Signer::new(), Signer::new());
    let keys = signer.keys("k1");
    let header = json!({"alg": "ES256", "kid": "k1"});
    let refused = |token: &str| {
        verify(token, &keys, &EXPECTED, NOW)
            .unwrap_err()
            .to_string()
    };
    let forged = other.sign(header.clone(), &right());
    assert!(
        refused(&forged).contains("signature"),
        "{}",
        refused(&forged)
    );
    let genuine = signer.sign(header, &right());
    let (message, signature) = genuine.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let changed = URL_SAFE_NO_PAD.encode(with("sub", json!("admin")).to_string());
    assert!(refused(&format!("{head}.{changed}.{signature}")).contains("signature"));
    let unknown = signer.sign(json!({"alg": "ES256", "kid": "k2"}), &right());
    assert!(refused(&unknown).contains("does not publish"));
    // Neither our secret nor nothing at all is a signature.
    for alg in ["HS256", "none"] {
        let weak = signer.sign(json!({"alg": alg, "kid": "k1"}), &right());
        assert!(verify(&weak, &keys, &EXPECTED, NOW).is_err(), "{alg}");
    }
    // An algorithm of another kind than the key's.
    let confused = signer.sign(json!({"alg": "RS256", "kid": "k1"}), &right());
    assert!(refused(&confused).contains("does not publish"));
    for nothing in ["", "a.b.c", "..", &"x".repeat(BYTES + 1)] {
        assert!(verify(nothing, &keys, &EXPECTED, NOW).is_err());
    }
}

#[test]
fn without_an_id_the_only_key_of_the_kind_counts() {
    let (signer, other) = (Signer::new(), Signer::new());
    let token = signer.sign(json!({"alg": "ES256"}), &right());
    assert!(verify(&token, &signer.keys("k1"), &EXPECTED, NOW).is_ok());
    let two = [signer.keys("k1"), other.keys("k2")].concat();
    assert!(verify(&token, &two, &EXPECTED, NOW).is_err());
}
