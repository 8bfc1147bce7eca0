//! Signed webhooks by the Standard Webhooks specification, version 1.
//!
//! Headers: `webhook-id` is the idempotency key, `webhook-timestamp` the seconds of this attempt,
//! `webhook-signature` is `v1,` and the base64 HMAC-SHA-256 of `<id>.<timestamp>.<body>`. While a key is
//! being replaced there are two signatures, parted by a space, and a receiver takes either.
//! `deploy/helpdesk/webhook_receiver.py` is a receiver that verifies all of it.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use ring::hmac;
use rollcall_shared::time::UnixMs;

use super::config::WebhookConfig;
use super::letter::Letter;
use super::secret::Secret;
use super::{Outcome, http};

/// Bytes of a secret as the specification wants it: 24 to 64.
const SECRET_BYTES: usize = 24;

/// A receiver and the keys that sign for it.
pub struct Webhook {
    client: Client,
    url: Url,
    keys: Vec<hmac::Key>,
}

impl Webhook {
    /// Reads the secrets and the certificates.
    pub fn build(config: &WebhookConfig, timeout_s: u32) -> anyhow::Result<Self> {
        let secret = Secret::read(config.secret_file.as_deref(), config.secret_env.as_deref());
        let secret = secret
            .context("secret_file")?
            .context("secret_file: is missing")?;
        let next = Secret::read(
            config.next_secret_file.as_deref(),
            config.next_secret_env.as_deref(),
        );
        let secrets = [Some(secret), next.context("next_secret_file")?];
        let keys = secrets.iter().flatten().map(signing_key);
        Ok(Self {
            client: http::client(timeout_s, config.ca_file.as_deref())?,
            url: Url::parse(&config.url).context("url")?,
            keys: keys.collect::<anyhow::Result<_>>()?,
        })
    }

    /// Calls the receiver.
    pub async fn send(&self, letter: &Letter, now: UnixMs) -> Outcome {
        let (id, body) = (letter.key(), letter.json().to_string());
        let timestamp = now.seconds();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header(
                "webhook-signature",
                signatures(&self.keys, &id, timestamp, &body),
            )
            .body(body);
        http::outcome(request).await
    }
}

/// A signature by each key, parted by spaces.
fn signatures(keys: &[hmac::Key], id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let sign = |key: &hmac::Key| {
        let tag = hmac::sign(key, signed.as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    };
    keys.iter().map(sign).collect::<Vec<_>>().join(" ")
}

fn signing_key(secret: &Secret) -> anyhow::Result<hmac::Key> {
    let bytes = match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| anyhow::anyhow!("secret_file: after `whsec_` comes base64"))?,
        None => secret.expose().as_bytes().to_vec(),
    };
    let bytes = zeroize::Zeroizing::new(bytes);
    anyhow::ensure!(
        bytes.len() >= SECRET_BYTES,
        "secret_file: the secret has {} bytes; {SECRET_BYTES} or more are right, as `whsec_$(openssl rand -base64 24)` makes them",
        bytes.len()
    );
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own documentation.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secret = Secret::read(Some(&file), None).unwrap().unwrap();
        let key = signing_key(&secret).unwrap();
        let sign = |keys: &[hmac::Key]| {
            let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
            signatures(keys, id, 1_614_265_330, "{\"test\": 2432232314}")
        };
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(std::slice::from_ref(&key)), signature);
        let both = sign(&[key.clone(), key]);
        assert_eq!(both, format!("{signature} {signature}"));
        std::fs::write(&file, "short").unwrap();
        let secret = Secret::read(Some(&file), None).unwrap().unwrap();
        assert!(signing_key(&secret).is_err());
    }
}
