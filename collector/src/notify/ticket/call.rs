//! The calls of a preset: from its templates to requests, and from answers to tickets.

use std::sync::Arc;

use anyhow::Context as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use super::super::http::{self, Answer, NoAnswer};
use super::super::preset::template::{self, Values, fill, fill_text};
use super::super::preset::{Auth, Preset, Request};

/// What is encoded in a path: everything but what RFC 3986 calls unreserved.
fn encode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match plain(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// A ticket as an answer shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its identity for programs.
    pub id: String,
    /// Its number for people.
    pub number: String,
    /// Whether it is closed.
    pub is_closed: bool,
}

/// What a call that must be answered by success came to.
pub enum Called {
    /// The answer, which is a success.
    Success(Answer),
    /// Another answer.
    Refused(Answer),
    /// None.
    Unanswered(NoAnswer),
}

/// A system, and what its preset needs to know.
pub struct Caller {
    client: Client,
    base: String,
    preset: Arc<Preset>,
    /// Settings and secrets; the latter reach headers alone.
    fixed: Values,
    /// The token of the last login.
    token: Mutex<Option<String>>,
}

impl Caller {
    pub fn new(client: Client, url: &str, preset: Arc<Preset>, fixed: Values) -> Self {
        Self {
            client,
            base: url.trim_end_matches('/').to_owned(),
            preset,
            fixed,
            token: Mutex::new(None),
        }
    }

    /// Makes a call with a letter's values. Where there is a login, it comes first, and once more when its
    /// token is refused.
    pub async fn call(&self, request: &Request, letter: &Values) -> anyhow::Result<Called> {
        let values = self.values(letter);
        let called = self.call_once(request, values.clone()).await?;
        match called {
            Called::Refused(answer)
                if self.preset.login.is_some() && answer.status == StatusCode::UNAUTHORIZED =>
            {
                *self.token.lock().await = None;
                self.call_once(request, values).await
            }
            called => Ok(called),
        }
    }

    async fn call_once(&self, request: &Request, mut values: Values) -> anyhow::Result<Called> {
        if self.preset.login.is_some() {
            let token = match self.log_in(&values).await? {
                Ok(token) => token,
                Err(called) => return Ok(called),
            };
            values.insert("login.token".to_owned(), Value::from(token));
        }
        let request = self.request(request, &values, true)?;
        Ok(settle(http::call(request).await))
    }

    /// The token of the last login, or of a new one.
    async fn log_in(&self, values: &Values) -> anyhow::Result<Result<String, Called>> {
        let Some(login) = &self.preset.login else {
            return Ok(Ok(String::new()));
        };
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref() {
            return Ok(Ok(token.clone()));
        }
        let request = self.request(&login.request, values, false)?;
        let answer = match http::call(request).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => return Ok(Err(Called::Refused(answer))),
            // Nothing but the login was sent.
            Err(error) => {
                return Ok(Err(Called::Unanswered(NoAnswer {
                    was_not_sent: true,
                    ..error
                })));
            }
        };
        let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let found = text_at(&json, &login.token)
            .with_context(|| format!("login: its answer has nothing at `{}`", login.token))?;
        *token = Some(found.clone());
        Ok(Ok(found))
    }

    fn values(&self, letter: &Values) -> Values {
        let mut values = self.fixed.clone();
        values.extend(
            letter
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        for (name, map) in &self.preset.maps {
            let word = letter.get(&map.from).and_then(Value::as_str);
            let value = word.and_then(|word| map.to.get(word)).map(template::json);
            values.insert(format!("maps.{name}"), value.unwrap_or(Value::Null));
        }
        values
    }

    fn request(
        &self,
        request: &Request,
        values: &Values,
        is_authenticated: bool,
    ) -> anyhow::Result<RequestBuilder> {
        let path = fill_text(&request.path, values, encode)?;
        let mut url = Url::parse(&format!("{}{path}", self.base)).context("url")?;
        for (name, text) in &request.query {
            let text = fill_text(text, values, str::to_owned)?;
            url.query_pairs_mut().append_pair(name, &text);
        }
        let method = Method::from_bytes(request.method.as_bytes()).context("method")?;
        let mut built = self.client.request(method, url);
        let headers = [&self.preset.headers, &request.headers];
        let mut accepts = false;
        for (name, text) in headers.into_iter().flatten() {
            let is_of_login = !is_authenticated && text.contains("login.token");
            let filled = if is_of_login {
                continue;
            } else {
                fill_text(text, values, str::to_owned)?
            };
            // An optional setting that was not given.
            if filled.is_empty() {
                continue;
            }
            accepts |= name.eq_ignore_ascii_case("accept");
            built = built.header(header_name(name)?, header_value(name, &filled)?);
        }
        if !accepts {
            built = built.header(ACCEPT, "application/json");
        }
        built = self.authenticate(built, values)?;
        if let Some(body) = &request.body {
            let json = fill(body, values)?;
            built = built
                .header(CONTENT_TYPE, "application/json")
                .body(json.to_string());
        }
        Ok(built)
    }

    fn authenticate(
        &self,
        built: RequestBuilder,
        values: &Values,
    ) -> anyhow::Result<RequestBuilder> {
        let text = |text: &str| fill_text(text, values, str::to_owned);
        Ok(match &self.preset.auth {
            Auth::None => built,
            Auth::Bearer { token } => built.bearer_auth(text(token)?),
            Auth::Basic { user, password } => built.basic_auth(text(user)?, Some(text(password)?)),
            Auth::Header { name, value } => {
                built.header(header_name(name)?, header_value(name, &text(value)?)?)
            }
        })
    }

    /// The ticket that an answer to a create shows, where it shows one.
    pub fn created(&self, answer: &Answer) -> Option<Seen> {
        let create = &self.preset.create;
        let json = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let at = |place: &str| match place {
            "text" => {
                let text = String::from_utf8_lossy(&answer.body);
                let text = text.trim().trim_matches('"').to_owned();
                (!text.is_empty() && text.len() <= NUMBER_BYTES).then_some(text)
            }
            place => text_at(&json, place),
        };
        Some(Seen {
            id: at(&create.id)?,
            number: at(&create.number)?,
            is_closed: false,
        })
    }

    /// The tickets that an answer to a search shows: the first counts, should there be several.
    pub fn found(&self, answer: &Answer, key: &str) -> anyhow::Result<Vec<Seen>> {
        let find = self.preset.find.as_ref().context("find: is missing")?;
        let json: Value =
            serde_json::from_slice(&answer.body).context("find: its answer is no JSON")?;
        let total = find.total.as_ref().and_then(|place| text_at(&json, place));
        if total.as_deref() == Some("0") {
            return Ok(Vec::new());
        }
        let Some(items) = json.pointer(&find.items) else {
            anyhow::bail!("find: its answer has nothing at `{}`", find.items);
        };
        let items = items
            .as_array()
            .with_context(|| format!("find: there is no list at `{}`", find.items))?;
        let mut seen = Vec::new();
        for item in items {
            let holds = |place: &String| text_at(item, place).is_some_and(|t| t.contains(key));
            if !find.key.as_ref().is_none_or(holds) {
                continue;
            }
            let at = |place: &str| {
                text_at(item, place)
                    .with_context(|| format!("find: a ticket has nothing at `{place}`"))
            };
            let status = at(&find.status)?;
            seen.push(Seen {
                id: at(&find.id)?,
                number: at(&find.number)?,
                is_closed: find.closed.contains(&status),
            });
        }
        Ok(seen)
    }
}

/// Bytes of a ticket's number; a longer text is some page.
const NUMBER_BYTES: usize = 100;

fn settle(answered: Result<Answer, NoAnswer>) -> Called {
    match answered {
        Ok(answer) if answer.status.is_success() => Called::Success(answer),
        Ok(answer) => Called::Refused(answer),
        Err(error) => Called::Unanswered(error),
    }
}

/// A text, number or truth in a tree.
fn text_at(json: &Value, place: &str) -> Option<String> {
    let text = match json.pointer(place)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        // A list of marks, such as labels, is searched for the key as a whole.
        Value::Array(items) => serde_json::to_string(items).ok()?,
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn header_name(name: &str) -> anyhow::Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).with_context(|| format!("headers: {name}"))
}

/// Headers may hold secrets, so that they are never shown.
fn header_value(name: &str, text: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| anyhow::anyhow!("headers: {name}: holds what no header may"))?;
    value.set_sensitive(true);
    Ok(value)
}
