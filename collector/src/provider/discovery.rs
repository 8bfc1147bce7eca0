//! What a provider says of itself (OpenID Connect Discovery 1.0), and the keys that it signs with.
//!
//! Both are kept for an hour. A token with an unknown key has the keys read again, since providers replace
//! them, and not more often than every half minute; a provider that does not answer is left alone for some
//! seconds, so that a page that is loaded over and over does not call it each time.

use jsonwebtoken::jwk::Jwk;
use reqwest::header::ACCEPT;
use rollcall_shared::time::UnixMs;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::Refusal;
use super::config::check_address;
use crate::notify::http::call;

/// How long an answer is good.
const KEPT_MS: i64 = 3_600_000;

/// Keys are read again for an unknown one at most this often.
const KEYS_REST_MS: i64 = 30_000;

/// A provider that did not answer is asked again after this.
const FAILED_REST_MS: i64 = 5_000;

/// Keys of one provider; the large ones have about ten.
const KEYS: usize = 100;

/// What we use of a provider's description.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where codes are redeemed.
    pub token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// What is kept of a provider's answers.
pub(super) struct Discovery {
    issuer: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Metadata, UnixMs)>,
    keys: Option<(Vec<Jwk>, UnixMs)>,
    failed: Option<(Refusal, UnixMs)>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Metadata {
    /// Whether the secret is sent in a header, which is the default, or in the body.
    pub fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
    }

    fn parse(body: &[u8], issuer: &str) -> Result<Self, Refusal> {
        let wrong = |why: String| Err(Refusal::Unreachable(why));
        let metadata: Self = match serde_json::from_slice(body) {
            Ok(metadata) => metadata,
            Err(error) => return wrong(format!("its description cannot be read: {error}")),
        };
        if metadata.issuer != issuer {
            let own: String = metadata.issuer.chars().take(200).collect();
            return wrong(format!(
                "`oidc.issuer` is `{issuer}`, and it calls itself `{own}`; of Entra ID the issuer holds \
                 the tenant's id, not `common`"
            ));
        }
        let addresses = [
            ("authorization_endpoint", &metadata.authorization_endpoint),
            ("token_endpoint", &metadata.token_endpoint),
            ("jwks_uri", &metadata.jwks_uri),
        ];
        for (field, address) in addresses {
            if let Err(problem) = check_address(field, address) {
                return wrong(format!("its description is not safe: {problem}"));
            }
        }
        Ok(metadata)
    }
}

impl Discovery {
    pub fn new(issuer: String) -> Self {
        Self {
            issuer,
            known: Mutex::default(),
        }
    }

    /// What the provider says of itself.
    ///
    /// # Errors
    /// [`Refusal::Unreachable`].
    pub async fn metadata(
        &self,
        client: &reqwest::Client,
        now: UnixMs,
    ) -> Result<Metadata, Refusal> {
        let mut known = self.known.lock().await;
        self.metadata_of(&mut known, client, now).await
    }

    async fn metadata_of(
        &self,
        known: &mut Known,
        client: &reqwest::Client,
        now: UnixMs,
    ) -> Result<Metadata, Refusal> {
        if let Some((metadata, read)) = &known.metadata
            && is_within(*read, now, KEPT_MS)
        {
            return Ok(metadata.clone());
        }
        if let Some((refusal, failed)) = &known.failed
            && is_within(*failed, now, FAILED_REST_MS)
        {
            return Err(refusal.clone());
        }
        let issuer = self.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let read = get(client, &address).await;
        match read.and_then(|body| Metadata::parse(&body, &self.issuer)) {
            Ok(metadata) => {
                known.failed = None;
                known.metadata = Some((metadata.clone(), now));
                Ok(metadata)
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "the provider of identities");
                known.failed = Some((refusal.clone(), now));
                Err(refusal)
            }
        }
    }

    /// The provider's keys, with that of `key_id` where it has one.
    ///
    /// # Errors
    /// [`Refusal::Unreachable`].
    pub async fn keys(
        &self,
        client: &reqwest::Client,
        key_id: &str,
        now: UnixMs,
    ) -> Result<Vec<Jwk>, Refusal> {
        let mut known = self.known.lock().await;
        if let Some((keys, read)) = &known.keys {
            let is_there = |key: &Jwk| key.common.key_id.as_deref() == Some(key_id);
            let is_enough = key_id.is_empty() || keys.iter().any(is_there);
            let rest = if is_enough { KEPT_MS } else { KEYS_REST_MS };
            if is_within(*read, now, rest) {
                return Ok(keys.clone());
            }
        }
        let metadata = self.metadata_of(&mut known, client, now).await?;
        let body = get(client, &metadata.jwks_uri).await?;
        let keys = parse_keys(&body)?;
        known.keys = Some((keys.clone(), now));
        Ok(keys)
    }
}

/// Keys of kinds that we do not know are left out, and are no reason to refuse the others.
fn parse_keys(body: &[u8]) -> Result<Vec<Jwk>, Refusal> {
    let set: KeySet = serde_json::from_slice(body)
        .map_err(|_| Refusal::Unreachable("its keys cannot be read".to_owned()))?;
    let keys = set.keys.into_iter().take(KEYS);
    Ok(keys
        .filter_map(|key| serde_json::from_value(key).ok())
        .collect())
}

async fn get(client: &reqwest::Client, address: &str) -> Result<Vec<u8>, Refusal> {
    let request = client.get(address).header(ACCEPT, "application/json");
    let answer = call(request).await;
    let answer = answer.map_err(|no| Refusal::Unreachable(format!("{address}: {}", no.why)))?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    Err(Refusal::Unreachable(format!(
        "{address}: {}",
        answer.status
    )))
}

/// A clock that was set back ends it too.
const fn is_within(since: UnixMs, now: UnixMs, most_ms: i64) -> bool {
    let age = now.since(since);
    age >= 0 && age < most_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn described() -> Value {
        json!({"issuer": "https://id.example", "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/keys"})
    }

    fn parse(change: impl Fn(&mut Value)) -> Result<Metadata, Refusal> {
        let mut all = described();
        change(&mut all);
        Metadata::parse(all.to_string().as_bytes(), "https://id.example")
    }

    #[test]
    fn a_description_is_that_of_the_issuer_and_safe() {
        let metadata = parse(|_| {}).unwrap();
        assert!(metadata.takes_basic());
        let post = parse(|all| {
            all["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        });
        assert!(!post.unwrap().takes_basic());
        let other = parse(|all| all["issuer"] = json!("https://id.example/"));
        assert!(
            other
                .unwrap_err()
                .to_string()
                .contains("calls itself `https://id.example/`")
        );
        for field in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            let plain = parse(|all| all[field] = json!("http://id.example/x"));
            assert!(plain.unwrap_err().to_string().contains(field));
        }
        assert!(Metadata::parse(b"<html>", "https://id.example").is_err());
    }

    #[test]
    fn unknown_keys_are_left_out() {
        let keys = json!({"keys": [
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "1"},
            {"kty": "new", "kid": "2"},
            {"kid": "3"},
        ]});
        let keys = parse_keys(keys.to_string().as_bytes()).unwrap();
        assert_eq!(keys[0].common.key_id.as_deref(), Some("1"));
        assert!(parse_keys(b"{}").is_err());
    }
}
