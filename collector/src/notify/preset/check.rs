//! Whether a preset is right, without calling anybody. Pure.

use std::collections::BTreeSet;

use super::template;
use super::{Auth, Preset, Request};

/// Values of a ticket's letter, which every call may use.
pub const LETTER: [&str; 22] = [
    "key",
    "event",
    "subject",
    "title",
    "text",
    "html",
    "severity",
    "audience",
    "site",
    "sites",
    "rule",
    "evidence",
    "device",
    "device_name",
    "asset_tag",
    "school",
    "devices",
    "since",
    "incident",
    "runbook",
    "family",
    "is_shared",
];

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The longest window in which a ticket is opened again: incidents are, within four days.
const REOPEN_DAYS: u32 = 30;

/// The longest wait for a ticket to be found.
const SETTLE_S: u32 = 3600;

/// What a call may use besides the letter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Login,
    Search,
    Ticket,
}

impl Preset {
    /// Whether everything that it names is known.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.title.trim().is_empty() {
            return Err("title: is empty".to_owned());
        }
        if !self.documentation.starts_with("https://") {
            return Err("documentation: is an `https://` address".to_owned());
        }
        for (name, setting) in &self.settings {
            if setting.about.trim().is_empty() {
                return Err(format!("settings.{name}.about: is empty"));
            }
            if setting.optional && setting.default.is_some() {
                return Err(format!(
                    "settings.{name}: what has a default is never left out; drop `optional`"
                ));
            }
        }
        self.check_maps()?;
        self.check_auth()?;
        for (name, text) in &self.headers {
            self.check_header(&format!("headers.{name}"), name, text, Stage::Search)?;
        }
        if let Some(login) = &self.login {
            self.check_request("login.request", &login.request, Stage::Login)?;
            check_pointer("login.token", &login.token)?;
        }
        self.check_request("create.request", &self.create.request, Stage::Search)?;
        check_place("create.id", &self.create.id)?;
        check_place("create.number", &self.create.number)?;
        if !self.uses_key(&self.create.request) {
            return Err(
                "create.request: holds `{{key}}` nowhere, so that nothing can be found again"
                    .to_owned(),
            );
        }
        self.check_find()?;
        let steps = [
            ("comment", &self.comment),
            ("resolve", &self.resolve),
            ("reopen", &self.reopen),
        ];
        for (name, requests) in steps {
            for request in requests {
                self.check_request(name, request, Stage::Ticket)?;
            }
        }
        if self.reopen_days > REOPEN_DAYS {
            return Err(format!("reopen_days: is at most {REOPEN_DAYS}"));
        }
        if self.settle_s > SETTLE_S {
            return Err(format!("settle_s: is at most {SETTLE_S}"));
        }
        Ok(())
    }

    fn check_maps(&self) -> Result<(), String> {
        for (name, map) in &self.maps {
            let words: &[&str] = match map.from.as_str() {
                "severity" => &["info", "warning", "critical"],
                "audience" => &["help-desk", "technology-coach", "network-team", "broadcast"],
                "event" => &["fired", "updated", "reopened", "resolved"],
                other => {
                    return Err(format!(
                        "maps.{name}.from: `{other}` is none of `severity`, `audience`, `event`"
                    ));
                }
            };
            if let Some(word) = words.iter().find(|word| !map.to.contains_key(**word)) {
                return Err(format!("maps.{name}.to: `{word}` is missing"));
            }
            if let Some(word) = map.to.keys().find(|word| !words.contains(&word.as_str())) {
                let known = words.join(", ");
                return Err(format!("maps.{name}.to: `{word}` is none of {known}"));
            }
        }
        Ok(())
    }

    fn check_auth(&self) -> Result<(), String> {
        let check = |field: &str, text: &str| self.check_text(field, text, Stage::Login, true);
        match &self.auth {
            Auth::None => Ok(()),
            Auth::Bearer { token } => check("auth.token", token),
            Auth::Basic { user, password } => {
                check("auth.user", user)?;
                check("auth.password", password)
            }
            Auth::Header { name, value } => {
                check_header_name("auth.name", name)?;
                check("auth.value", value)
            }
        }
    }

    fn check_find(&self) -> Result<(), String> {
        let Some(find) = &self.find else {
            return Ok(());
        };
        self.check_request("find.request", &find.request, Stage::Search)?;
        if !self.uses_key(&find.request) {
            return Err("find.request: does not look for `{{key}}`".to_owned());
        }
        check_pointer("find.items", &find.items)?;
        for (field, place) in [
            ("find.id", &find.id),
            ("find.number", &find.number),
            ("find.status", &find.status),
        ] {
            check_pointer(field, place)?;
        }
        for (field, place) in [("find.key", &find.key), ("find.total", &find.total)] {
            place
                .iter()
                .try_for_each(|place| check_pointer(field, place))?;
        }
        if find.closed.is_empty() {
            return Err("find.closed: names no state".to_owned());
        }
        Ok(())
    }

    fn check_request(&self, name: &str, request: &Request, stage: Stage) -> Result<(), String> {
        if !METHODS.contains(&request.method.as_str()) {
            let known = METHODS.join(", ");
            return Err(format!(
                "{name}.method: `{}` is none of {known}",
                request.method
            ));
        }
        if !request.path.starts_with('/') || request.path.contains(['?', '#']) {
            return Err(format!(
                "{name}.path: `{}` begins with `/` and has neither `?` nor `#`; a query goes into `query`",
                request.path
            ));
        }
        self.check_text(&format!("{name}.path"), &request.path, stage, false)?;
        for (key, text) in &request.query {
            self.check_text(&format!("{name}.query.{key}"), text, stage, false)?;
        }
        for (key, text) in &request.headers {
            self.check_header(&format!("{name}.headers.{key}"), key, text, stage)?;
        }
        match &request.body {
            Some(_) if request.method == "GET" => Err(format!("{name}.body: a GET has none")),
            Some(body) => self.check_tree(&format!("{name}.body"), body, stage),
            None => Ok(()),
        }
    }

    fn check_header(
        &self,
        field: &str,
        name: &str,
        text: &str,
        stage: Stage,
    ) -> Result<(), String> {
        check_header_name(field, name)?;
        self.check_text(field, text, stage, true)
    }

    fn check_tree(&self, field: &str, tree: &toml::Value, stage: Stage) -> Result<(), String> {
        match tree {
            toml::Value::String(text) => self.check_text(field, text, stage, false),
            toml::Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.check_tree(field, item, stage)),
            toml::Value::Table(table) => table.iter().try_for_each(|(key, member)| {
                self.check_text(field, key, stage, false)?;
                self.check_tree(&format!("{field}.{key}"), member, stage)
            }),
            _ => Ok(()),
        }
    }

    /// Whether every placeholder is known where it stands; secrets stand in headers alone, which are
    /// never logged.
    fn check_text(
        &self,
        field: &str,
        text: &str,
        stage: Stage,
        may_be_secret: bool,
    ) -> Result<(), String> {
        let names = template::names(text).map_err(|error| format!("{field}: {error}"))?;
        let known = self.known(stage, may_be_secret);
        for name in names {
            if known.contains(&name) {
                continue;
            }
            if name.starts_with("secret.") && !may_be_secret {
                return Err(format!(
                    "{field}: a secret stands in a header or in `auth` only"
                ));
            }
            let near = known
                .iter()
                .max_by(|a, b| {
                    let likeness = |word: &str| strsim::jaro_winkler(&name, word);
                    likeness(a).total_cmp(&likeness(b))
                })
                .map(|near| format!("; did you mean `{{{{{near}}}}}`?"));
            let near = near.unwrap_or_default();
            return Err(format!("{field}: `{{{{{name}}}}}` is not known here{near}"));
        }
        Ok(())
    }

    fn known(&self, stage: Stage, may_be_secret: bool) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = BTreeSet::new();
        known.extend(self.settings.keys().map(|name| format!("settings.{name}")));
        if may_be_secret {
            known.extend(self.secrets.keys().map(|name| format!("secret.{name}")));
        }
        if stage == Stage::Login {
            return known;
        }
        if may_be_secret && self.login.is_some() {
            known.insert("login.token".to_owned());
        }
        known.extend(LETTER.map(str::to_owned));
        known.extend(self.maps.keys().map(|name| format!("maps.{name}")));
        if stage == Stage::Ticket {
            known.extend(["ticket.id", "ticket.number"].map(str::to_owned));
        }
        known
    }

    fn uses_key(&self, request: &Request) -> bool {
        let in_text = |text: &String| {
            template::names(text).is_ok_and(|names| names.iter().any(|name| name == "key"))
        };
        in_text(&request.path)
            || request.query.values().any(in_text)
            || request
                .body
                .as_ref()
                .is_some_and(|body| in_text(&body.to_string()))
    }
}

fn check_header_name(field: &str, name: &str) -> Result<(), String> {
    match reqwest::header::HeaderName::from_bytes(name.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{field}: `{name}` is no name of a header")),
    }
}

/// A JSON pointer, or `text` for the whole answer.
fn check_place(field: &str, place: &str) -> Result<(), String> {
    match place {
        "text" => Ok(()),
        place => check_pointer(field, place),
    }
}

fn check_pointer(field: &str, pointer: &str) -> Result<(), String> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(format!(
        "{field}: `{pointer}` is no JSON pointer such as `/ticket/id`"
    ))
}
