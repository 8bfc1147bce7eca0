//! A strict stand-in of a ticket system: a call that is not exactly as documented is refused and noted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    LogIn,
    Create,
    Find,
    Comment,
    Close,
    /// Closes, opens or comments, as the body says.
    Change,
}

/// A call as the system's documentation has it.
pub struct Route {
    pub does: Does,
    pub method: &'static str,
    /// With `{id}` for the ticket.
    pub path: &'static str,
    /// Headers that must be there, with their content.
    pub headers: Vec<(&'static str, String)>,
    /// The names of the query that must be there, and no others.
    pub query: Vec<&'static str>,
    /// The body's schema: `string`, `number`, `boolean` or a literal after `=`; `?` for what may be missing.
    pub body: Value,
}

/// A system.
pub struct Vendor {
    pub routes: Vec<Route>,
    pub created: StatusCode,
    /// A ticket as the answer to a create shows it.
    pub show: fn(&Ticket) -> Value,
    /// The answer to a search.
    pub list: fn(&[&Ticket]) -> Value,
    /// Where in the body of a change the new status is, and which mean closed.
    pub status: (&'static str, &'static [&'static str]),
}

/// A ticket of the stand-in.
#[derive(Debug, Clone, Default)]
pub struct Ticket {
    pub id: String,
    pub number: String,
    pub key: String,
    pub comments: u32,
    pub is_closed: bool,
}

#[derive(Default)]
struct Memory {
    tickets: Vec<Ticket>,
    complaints: Vec<String>,
    delay: bool,
    lose: bool,
    refuse: Option<u16>,
}

pub struct StandIn {
    pub url: String,
    memory: Arc<Mutex<Memory>>,
}

type Shared = (Arc<Vendor>, Arc<Mutex<Memory>>);

impl StandIn {
    pub async fn start(vendor: Vendor) -> Self {
        let memory = Arc::<Mutex<Memory>>::default();
        let shared: Shared = (Arc::new(vendor), Arc::clone(&memory));
        let router = Router::new().fallback(answer).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, memory }
    }

    /// The next create is done, and answered when nobody listens any more.
    pub fn delay_next_create(&self) {
        self.memory.lock().unwrap().delay = true;
    }

    /// The next create is not done, and not answered either.
    pub fn lose_next_create(&self) {
        self.memory.lock().unwrap().lose = true;
    }

    pub fn refuse_next_create(&self, status: u16) {
        self.memory.lock().unwrap().refuse = Some(status);
    }

    pub fn tickets(&self) -> Vec<Ticket> {
        self.memory.lock().unwrap().tickets.clone()
    }

    pub fn keys(&self) -> Vec<String> {
        let tickets = self.tickets().into_iter();
        tickets.map(|ticket| ticket.key).collect()
    }

    pub fn remove_all(&self) {
        self.memory.lock().unwrap().tickets.clear();
    }

    pub fn complaints(&self) -> Vec<String> {
        self.memory.lock().unwrap().complaints.clone()
    }
}

async fn answer(
    State((vendor, memory)): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let route = vendor.routes.iter().find_map(|route| {
        let id = matches(route.path, &path)?;
        (route.method == method.as_str()).then_some((route, id))
    });
    let Some((route, id)) = route else {
        let complaint = format!("{method} {path} is not documented");
        memory.lock().unwrap().complaints.push(complaint);
        return StatusCode::NOT_IMPLEMENTED.into_response();
    };
    let json: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if let Err(complaint) = check(route, &uri, &headers, &json) {
        memory
            .lock()
            .unwrap()
            .complaints
            .push(format!("{method} {path}: {complaint}"));
        return StatusCode::BAD_REQUEST.into_response();
    }
    let (delay, response) = act(&vendor, &memory, route, &id, &uri, &json);
    if delay {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    response
}

fn act(
    vendor: &Vendor,
    memory: &Mutex<Memory>,
    route: &Route,
    id: &str,
    uri: &Uri,
    json: &Value,
) -> (bool, Response) {
    let mut memory = memory.lock().unwrap();
    let plain = |status: StatusCode| (false, status.into_response());
    match route.does {
        Does::LogIn => (
            false,
            axum::Json(json!({ "session_token": "s-1" })).into_response(),
        ),
        Does::Create => {
            if let Some(status) = memory.refuse.take() {
                return plain(StatusCode::from_u16(status).unwrap());
            }
            if std::mem::take(&mut memory.lose) {
                return (true, StatusCode::GATEWAY_TIMEOUT.into_response());
            }
            let number = memory.tickets.len() + 41;
            let ticket = Ticket {
                id: format!("{number}"),
                number: format!("{number}"),
                key: key_in(&json.to_string()),
                ..Ticket::default()
            };
            let shown = (vendor.show)(&ticket);
            memory.tickets.push(ticket);
            let response = match shown {
                Value::String(text) => (vendor.created, text).into_response(),
                shown => (vendor.created, axum::Json(shown)).into_response(),
            };
            (std::mem::take(&mut memory.delay), response)
        }
        Does::Find => {
            let asked = format!("{}{json}", decoded(uri.query().unwrap_or_default()));
            let key = key_in(&asked);
            let found: Vec<&Ticket> = memory.tickets.iter().filter(|t| t.key == key).collect();
            (false, axum::Json((vendor.list)(&found)).into_response())
        }
        Does::Comment | Does::Close | Does::Change => {
            let Some(ticket) = memory.tickets.iter_mut().find(|ticket| ticket.id == id) else {
                return plain(StatusCode::NOT_FOUND);
            };
            match (route.does, json.pointer(vendor.status.0)) {
                (Does::Close, _) => ticket.is_closed = true,
                (Does::Change, Some(status)) => {
                    let status = status.as_str().map_or(status.to_string(), str::to_owned);
                    ticket.is_closed = vendor.status.1.contains(&status.as_str());
                }
                _ => ticket.comments += 1,
            }
            (false, axum::Json(json!({})).into_response())
        }
    }
}

/// The ticket in a path, empty where the pattern has none; `None` where it is another path.
fn matches(pattern: &str, path: &str) -> Option<String> {
    match pattern.split_once("{id}") {
        None => (pattern == path).then(String::new),
        Some((before, behind)) => {
            let id = path.strip_prefix(before)?.strip_suffix(behind)?;
            (!id.is_empty() && !id.contains('/')).then(|| id.to_owned())
        }
    }
}

fn check(route: &Route, uri: &Uri, headers: &HeaderMap, json: &Value) -> Result<(), String> {
    for (name, expected) in &route.headers {
        let found = headers.get(*name).and_then(|value| value.to_str().ok());
        if found != Some(expected) {
            return Err(format!("header {name} is {found:?}, not {expected:?}"));
        }
    }
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query: BTreeMap<String, String> = query.into_owned().collect();
    let names: Vec<&str> = query.keys().map(String::as_str).collect();
    let mut expected = route.query.clone();
    expected.sort_unstable();
    if names != expected {
        return Err(format!("the query has {names:?}, not {expected:?}"));
    }
    let kind = headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok());
    match (&route.body, kind) {
        (Value::Null, None) => Ok(()),
        (Value::Null, Some(kind)) => Err(format!("a body of {kind} where none belongs")),
        (_, Some("application/json")) => fits(&route.body, json, ""),
        (_, kind) => Err(format!("content-type is {kind:?}")),
    }
}

/// Whether a value fits a schema; members that the schema does not have are refused.
fn fits(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("body{at}: {value} is no {what}"));
    match (schema, value) {
        (Value::String(kind), _) => {
            let kind = kind.trim_end_matches('?');
            let is_right = match kind.strip_prefix('=') {
                Some(literal) => {
                    let written = value.to_string();
                    value.as_str() == Some(literal) || written == literal
                }
                None => match kind {
                    "string" => value.as_str().is_some_and(|text| !text.is_empty()),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    other => panic!("{other} is no kind"),
                },
            };
            match is_right {
                true => Ok(()),
                false => wrong(kind),
            }
        }
        (Value::Object(members), Value::Object(found)) => {
            for (name, schema) in members {
                let is_optional = schema.as_str().is_some_and(|kind| kind.ends_with('?'));
                match found.get(name) {
                    Some(value) => fits(schema, value, &format!("{at}.{name}"))?,
                    None if is_optional => {}
                    None => return Err(format!("body{at}: {name} is missing")),
                }
            }
            let unknown = found.keys().find(|name| !members.contains_key(*name));
            unknown.map_or(Ok(()), |name| {
                Err(format!("body{at}: {name} is not documented"))
            })
        }
        (Value::Array(kinds), Value::Array(found)) => found
            .iter()
            .try_for_each(|value| fits(&kinds[0], value, &format!("{at}[]"))),
        (Value::Object(_), _) => wrong("object"),
        _ => wrong("list"),
    }
}

fn decoded(query: &str) -> String {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .map(|(name, text)| format!("{name}={text}\n"))
        .collect()
}

/// The key in a text: an identity, with the number of a later ticket. It stands before its own like in the
/// letter's text, which names the incident too.
fn key_in(text: &str) -> String {
    let is_key = |part: &str| {
        part.len() == 36
            && part.bytes().filter(|byte| *byte == b'-').count() == 4
            && part
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
            && part.as_bytes()[14] == b'7'
    };
    let mut keys: Vec<String> = Vec::new();
    for at in 0..text.len().saturating_sub(35) {
        if let Some(part) = text.get(at..at + 36)
            && is_key(part)
        {
            let rest = &text[at + 36..];
            let number: String = match rest.strip_prefix('-') {
                Some(rest) => rest.chars().take_while(char::is_ascii_digit).collect(),
                None => String::new(),
            };
            keys.push(match number.is_empty() {
                true => part.to_owned(),
                false => format!("{part}-{number}"),
            });
        }
    }
    // The incident's identity is part of the text as well; a numbered key is longer than it.
    keys.into_iter().max_by_key(String::len).unwrap_or_default()
}
