//! Signed webhooks by the Standard Webhooks specification, version 1.
//!
//! Headers: `webhook-id` is the idempotency key, `webhook-timestamp` the seconds of this attempt,
//! `webhook-signature` is `v1,` and the base64 HMAC-SHA-256 of `<id>.<timestamp>.<body>`.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use ring::hmac;
use rollcall_shared::time::UnixMs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::Outcome;
use super::config::WebhookConfig;
use super::letter::Letter;
use super::secret::Secret;

/// Bytes of a secret as the specification wants it: 24 to 64.
const SECRET_BYTES: usize = 24;

/// Bytes of an answer that are read, to tell why it was no.
const ANSWER_BYTES: usize = 200;

/// The longest wait that a receiver may wish for.
const RETRY_AFTER_LONGEST_S: i64 = 3600;

/// A receiver and the key that signs for it.
pub struct Webhook {
    client: Client,
    url: Url,
    key: hmac::Key,
}

impl Webhook {
    /// Reads the secret and the certificates.
    pub fn build(config: &WebhookConfig) -> anyhow::Result<Self> {
        let secret = Secret::read(config.secret_file.as_deref(), config.secret_env.as_deref());
        let secret = secret
            .context("secret_file")?
            .context("secret_file: is missing")?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls(config.ca_file.as_deref())?)
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(config.timeout_s.into()))
            .user_agent(concat!("rollcall-collector/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("HTTP client")?;
        Ok(Self {
            client,
            url: Url::parse(&config.url).context("url")?,
            key: signing_key(&secret)?,
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
            .header("webhook-signature", sign(&self.key, &id, timestamp, &body))
            .body(body);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Outcome::Delivered,
            Ok(answer) => classify(answer).await,
            Err(error) => Outcome::retry(chain(&error.without_url())),
        }
    }
}

/// What an answer other than success means. 408, 425, 429 and the 5xx class may pass.
async fn classify(mut answer: Response) -> Outcome {
    let status = answer.status();
    let after_ms = retry_after_ms(&answer);
    let said = match answer.chunk().await {
        Ok(Some(bytes)) => {
            let text =
                String::from_utf8_lossy(&bytes[..bytes.len().min(ANSWER_BYTES)]).into_owned();
            format!(": {}", text.replace(char::is_control, " ").trim())
        }
        _ => String::new(),
    };
    let why = format!("{status}{said}");
    let may_pass = status.is_server_error()
        || [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status);
    if may_pass {
        return Outcome::Retry { why, after_ms };
    }
    if status.is_redirection() {
        return Outcome::Rejected(format!(
            "{status}: redirects are not followed; set `url` to the place itself"
        ));
    }
    Outcome::Rejected(why)
}

fn retry_after_ms(answer: &Response) -> Option<i64> {
    let seconds: i64 = answer
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(seconds.clamp(0, RETRY_AFTER_LONGEST_S) * 1000)
}

fn sign(key: &hmac::Key, id: &str, timestamp: i64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(tag.as_ref()))
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

fn tls(ca_file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let place = || format!("ca_file {}", file.display());
            for certificate in CertificateDer::pem_file_iter(file).with_context(place)? {
                roots
                    .add(certificate.with_context(place)?)
                    .with_context(place)?;
            }
            anyhow::ensure!(!roots.is_empty(), "{} holds no certificate", place());
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let config = ClientConfig::builder_with_provider(rollcall_shared::tls::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
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
        let signature = sign(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        std::fs::write(&file, "short").unwrap();
        let secret = Secret::read(Some(&file), None).unwrap().unwrap();
        assert!(signing_key(&secret).is_err());
    }
}
