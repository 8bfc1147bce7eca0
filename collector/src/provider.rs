//! The district's own provider of identities, by OpenID Connect (Google Workspace, Entra ID, Keycloak):
//! who somebody is, and what follows from that.
//!
//! The flow is the authorization code flow with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636,
//! RFC 9700). What a signed token says is checked by the crate `jsonwebtoken` over `ring`, which both are
//! small; `openidconnect` would bring some sixty further crates, a second set of hash and curve
//! implementations, and `rsa`, which has an open advisory (RUSTSEC-2023-0071). The calls are made by the
//! client that channels use.
//!
//! - `config.rs`: the section `[oidc]`.
//! - `journey.rs`: what goes to the provider with somebody's browser and has to come back with it.
//! - `discovery.rs`: what the provider says of itself, and its keys, for an hour.
//! - `token.rs`: whether an ID token is genuine, for us, for this journey and of now.
//! - `grant.rs`: role and sites that follow from its claims.

pub mod config;
mod discovery;
mod grant;
mod journey;
mod token;

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use rollcall_shared::time::UnixMs;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::notify::http::{self, call};
use crate::notify::secret::Secret;
use config::OidcConfig;
use discovery::{Discovery, Metadata};
pub use grant::{Claims, Granted};
use journey::Journeys;

/// Where the provider sends people back, below `oidc.address`.
pub const CALLBACK: &str = "/sign-in/provider/callback";

/// Seconds for one call of the provider.
const TIMEOUT_S: u32 = 10;

/// People who come back at the same moment; others are asked to come again. Each waits for two calls.
const AT_ONCE: usize = 16;

/// A provider that people may sign in through.
pub struct Provider {
    config: OidcConfig,
    secret: Option<Secret>,
    client: reqwest::Client,
    discovery: Discovery,
    journeys: Journeys,
    places: Arc<Semaphore>,
}

/// Somebody whom the provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The provider.
    pub issuer: String,
    /// Whom it means, for ever.
    pub subject: String,
    /// What people call them: their address, or else the subject.
    pub name: String,
    /// What they may do and see.
    pub granted: Granted,
}

/// Why somebody was not let in. The words are for whoever signs in; what only an administrator can mend is
/// logged too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The provider does not answer, or not as it should.
    #[error("the provider of identities cannot be asked at present: {0}")]
    Unreachable(String),
    /// Too many come back at once.
    #[error("too many people sign in at once; please try again in some seconds")]
    Busy,
    /// The browser has not been sent there by us, or too long ago.
    #[error("this sign-in was not begun in this browser, or too long ago; please begin again")]
    Journey,
    /// The provider says no.
    #[error("the provider of identities says: {0}")]
    Provider(String),
    /// What it says of somebody does not hold.
    #[error("what the provider of identities says cannot be believed: {0}")]
    Token(String),
    /// Nothing is granted to them.
    #[error("{0}")]
    NoGrant(String),
    /// The name belongs to another account.
    #[error("{0}")]
    NameTaken(String),
    /// It could not be written down.
    #[error("the sign-in could not be stored: {0}")]
    Store(String),
}

/// What comes back with a browser.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The code, if the provider agreed.
    pub code: Option<String>,
    /// What was sent with the browser.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub issuer: Option<String>,
    /// Why the provider did not agree.
    pub error: Option<String>,
    /// The same in words.
    pub description: Option<String>,
}

/// Where a browser is sent, and the cookie that it gets for the way.
#[derive(Debug)]
pub struct Departure {
    /// The provider's address.
    pub address: String,
    /// The cookie's value.
    pub cookie: String,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct TokenProblem {
    error: String,
    error_description: Option<String>,
}

impl Provider {
    /// Reads the secret; nobody is called yet.
    ///
    /// # Errors
    /// When a file or variable cannot be read.
    pub fn build(config: OidcConfig) -> anyhow::Result<Self> {
        let (file, variable) = (&config.client_secret_file, &config.client_secret_env);
        let secret = Secret::read(file.as_deref(), variable.as_deref())
            .context("oidc.client_secret_file or oidc.client_secret_env")?;
        let client = http::client(TIMEOUT_S, config.ca_file.as_deref()).context("oidc.ca_file")?;
        Ok(Self {
            discovery: Discovery::new(config.issuer.clone()),
            journeys: Journeys::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            config,
            secret,
            client,
        })
    }

    /// What people call it, for the button.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Who it says it is.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Sends somebody there.
    ///
    /// # Errors
    /// [`Refusal::Unreachable`].
    pub async fn depart(&self, now: UnixMs) -> Result<Departure, Refusal> {
        let metadata = self.discovery.metadata(&self.client, now).await?;
        let (journey, cookie) = self.journeys.begin(now);
        let mut address = reqwest::Url::parse(&metadata.authorization_endpoint)
            .map_err(|error| Refusal::Unreachable(error.to_string()))?;
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.callback())
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &journey.state)
            .append_pair("nonce", &journey.nonce)
            .append_pair("code_challenge", &journey.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(Departure {
            address: address.into(),
            cookie,
        })
    }

    /// Finds out who comes back.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn arrive(
        &self,
        cookie: Option<&str>,
        returned: Returned,
        now: UnixMs,
    ) -> Result<Vouched, Refusal> {
        let journey = cookie.and_then(|cookie| self.journeys.end(cookie, now));
        let journey = journey.ok_or(Refusal::Journey)?;
        if !returned.state.is_some_and(|state| journey.is_state(&state)) {
            return Err(Refusal::Journey);
        }
        if returned
            .issuer
            .is_some_and(|issuer| issuer != self.config.issuer)
        {
            return Err(Refusal::Token("another provider answers".to_owned()));
        }
        if let Some(error) = returned.error {
            return Err(Refusal::Provider(said(
                &error,
                returned.description.as_deref(),
            )));
        }
        let code = returned.code.ok_or(Refusal::Journey)?;
        let _place = self.places.try_acquire().map_err(|_| Refusal::Busy)?;
        let metadata = self.discovery.metadata(&self.client, now).await?;
        let token = self.redeem(&metadata, &code, &journey.verifier).await?;
        let key_id = token::key_id(&token)?;
        let keys = self.discovery.keys(&self.client, &key_id, now).await?;
        let expected = token::Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &journey.nonce,
        };
        let claims = token::verify(&token, &keys, &expected, now)?;
        self.vouched(claims)
    }

    fn vouched(&self, claims: Claims) -> Result<Vouched, Refusal> {
        let granted = grant::decide(&self.config.grant, &claims).map_err(Refusal::NoGrant)?;
        Ok(Vouched {
            issuer: self.config.issuer.clone(),
            name: claims.name(),
            subject: claims.subject,
            granted,
        })
    }

    /// Exchanges the code for the ID token.
    async fn redeem(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> Result<String, Refusal> {
        let request = self.token_request(metadata, code, verifier);
        let answer = call(request)
            .await
            .map_err(|no| Refusal::Unreachable(no.why))?;
        if !answer.status.is_success() {
            // RFC 6749 section 5.2; the code may have been used before, or the secret be wrong.
            let problem = serde_json::from_slice::<TokenProblem>(&answer.body);
            return Err(match problem {
                Ok(TokenProblem {
                    error,
                    error_description,
                }) => Refusal::Provider(said(&error, error_description.as_deref())),
                Err(_) => Refusal::Unreachable(format!("its token address: {}", answer.status)),
            });
        }
        let answer: TokenAnswer = serde_json::from_slice(&answer.body)
            .map_err(|_| Refusal::Token("its answer is no JSON".to_owned()))?;
        answer.id_token.ok_or_else(|| {
            Refusal::Token("it gave no ID token; is `openid` in oidc.scopes?".to_owned())
        })
    }

    fn token_request(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> reqwest::RequestBuilder {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.config.callback())
            .append_pair("code_verifier", verifier);
        let mut request = self.client.post(&metadata.token_endpoint);
        match &self.secret {
            Some(secret) if metadata.takes_basic() => {
                let basic = basic(&self.config.client_id, secret.expose());
                request = request.header(AUTHORIZATION, basic);
            }
            secret => {
                body.append_pair("client_id", &self.config.client_id);
                if let Some(secret) = secret {
                    body.append_pair("client_secret", secret.expose());
                }
            }
        }
        request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(body.finish())
    }
}

/// RFC 6749 section 2.3.1: both parts are encoded as in a form.
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", STANDARD.encode(pair))
}

/// A provider's words, short and on one line.
fn said(error: &str, description: Option<&str>) -> String {
    let text = match description {
        Some(description) => format!("{error}: {description}"),
        None => error.to_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
