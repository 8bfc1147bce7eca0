//! What channels that call a URL share: the client, its trust, and what an answer means.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use rollcall_shared::error::chain;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::Outcome;

/// Bytes of an answer that are read: a page of found tickets.
const ANSWER_BYTES: usize = 1024 * 1024;

/// Bytes of an answer that are shown, to tell why it was no.
const SHOWN_BYTES: usize = 200;

/// The longest wait that a receiver may wish for.
const RETRY_AFTER_LONGEST_S: i64 = 3600;

/// An answer, whatever it says.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, as far as it is read.
    pub body: Vec<u8>,
    /// After how many milliseconds the receiver wants to be asked again.
    pub after_ms: Option<i64>,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct NoAnswer {
    /// Why.
    pub why: String,
    /// Whether the receiver cannot have had the call: there was no connection.
    pub was_not_sent: bool,
}

/// A client that follows no redirects and trusts the authorities of `ca_file`, or the system's.
pub fn client(timeout_s: u32, ca_file: Option<&Path>) -> anyhow::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls(ca_file)?)
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(timeout_s.into()))
        .user_agent(concat!("rollcall-collector/", env!("CARGO_PKG_VERSION")))
        .build()
        .context("HTTP client")
}

/// Makes a call. What goes wrong is told without the address, which may be a secret.
pub async fn call(request: RequestBuilder) -> Result<Answer, NoAnswer> {
    let failed = |error: reqwest::Error| NoAnswer {
        was_not_sent: error.is_connect() || error.is_builder(),
        why: chain(&error.without_url()),
    };
    let mut answer = request.send().await.map_err(failed)?;
    let (status, after_ms) = (answer.status(), retry_after_ms(&answer));
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Ok(None) => break,
            // The status has been read, and that decides unless it is a success.
            Err(_) if !status.is_success() => break,
            Err(error) => {
                return Err(NoAnswer {
                    why: chain(&error.without_url()),
                    was_not_sent: false,
                });
            }
        }
    }
    body.truncate(ANSWER_BYTES);
    Ok(Answer {
        status,
        body,
        after_ms,
    })
}

impl Answer {
    /// What the answer means. 408, 425, 429 and the 5xx class may pass.
    pub fn outcome(&self) -> Outcome {
        if self.status.is_success() {
            return Outcome::Delivered;
        }
        let why = self.words();
        if self.may_pass() {
            let after_ms = self.after_ms;
            return Outcome::Retry { why, after_ms };
        }
        if self.status.is_redirection() {
            return Outcome::Rejected(format!(
                "{}: redirects are not followed; set `url` to the place itself",
                self.status
            ));
        }
        Outcome::Rejected(why)
    }

    /// Whether a later call may succeed.
    pub fn may_pass(&self) -> bool {
        self.status.is_server_error()
            || [
                StatusCode::REQUEST_TIMEOUT,
                StatusCode::TOO_EARLY,
                StatusCode::TOO_MANY_REQUESTS,
            ]
            .contains(&self.status)
    }

    /// The status and the beginning of the body.
    pub fn words(&self) -> String {
        let shown = &self.body[..self.body.len().min(SHOWN_BYTES)];
        let text = String::from_utf8_lossy(shown).replace(char::is_control, " ");
        match text.trim() {
            "" => self.status.to_string(),
            text => format!("{}: {text}", self.status),
        }
    }
}

impl NoAnswer {
    /// A lost connection and a failed handshake may pass.
    pub fn outcome(self) -> Outcome {
        Outcome::retry(self.why)
    }
}

/// What became of a call that is made again as it is.
pub async fn outcome(request: RequestBuilder) -> Outcome {
    match call(request).await {
        Ok(answer) => answer.outcome(),
        Err(error) => error.outcome(),
    }
}

fn retry_after_ms(answer: &Response) -> Option<i64> {
    let wish = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds: i64 = wish.trim().parse().ok()?;
    Some(seconds.clamp(0, RETRY_AFTER_LONGEST_S) * 1000)
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
