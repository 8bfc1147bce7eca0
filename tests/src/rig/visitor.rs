//! A browser without a screen: it keeps cookies, follows redirects and sends forms, on this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::http::{self, Answer};

/// Redirects in a row; signing in through a provider takes six.
const REDIRECTS: usize = 12;

/// One browser, which trusts nobody else's cookies.
#[derive(Debug, Default, Clone)]
pub struct Visitor {
    cookies: BTreeMap<(SocketAddr, String), String>,
    /// Who sits before it; the story's provider of identities asks by the header `x-account`.
    account: String,
}

/// What a browser shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it is.
    pub address: String,
    /// The status.
    pub status: u16,
    /// The page.
    pub body: String,
}

impl Page {
    /// The value of the form's own token.
    ///
    /// # Panics
    /// When the page has no form.
    #[must_use]
    pub fn form_token(&self) -> String {
        let (_, rest) = self
            .body
            .split_once("name=\"form\" value=\"")
            .unwrap_or_else(|| panic!("no form in {}: {}", self.address, self.body));
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

impl Visitor {
    /// A browser before which somebody sits whom the story's provider of identities knows.
    #[must_use]
    pub fn of(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            ..Self::default()
        }
    }

    /// Goes to an address, wherever that leads.
    ///
    /// # Panics
    /// When a server cannot be reached, or sends on for ever.
    pub fn open(&mut self, address: &str) -> Page {
        self.go("GET", address, "")
    }

    /// Sends a form.
    ///
    /// # Panics
    /// As [`Visitor::open`].
    pub fn send(&mut self, address: &str, fields: &str) -> Page {
        self.go("POST", address, fields)
    }

    /// Goes to an address and no further: the status, and where it leads.
    ///
    /// # Panics
    /// As [`Visitor::open`].
    pub fn step(&mut self, address: &str) -> (u16, String) {
        let answer = self.ask("GET", address, "");
        let next = location(&answer).unwrap_or_default().to_owned();
        (answer.status, next)
    }

    /// Signs in with a name and a password.
    ///
    /// # Panics
    /// As [`Visitor::open`].
    pub fn sign_in(&mut self, server: SocketAddr, name: &str, password: &str) -> Page {
        let address = format!("http://{server}/sign-in");
        let form = self.open(&address).form_token();
        let password = password.replace(' ', "+");
        self.send(
            &address,
            &format!("name={name}&password={password}&form={form}"),
        )
    }

    fn go(&mut self, method: &str, address: &str, body: &str) -> Page {
        let mut address = address.to_owned();
        let mut answer = self.ask(method, &address, body);
        for _ in 0..REDIRECTS {
            let Some(next) = location(&answer) else {
                return Page {
                    address,
                    status: answer.status,
                    body: answer.body,
                };
            };
            address = match next.strip_prefix('/') {
                Some(path) => format!("http://{}/{path}", server_of(&address).0),
                None => next.to_owned(),
            };
            answer = self.ask("GET", &address, "");
        }
        panic!("{address} leads on for ever");
    }

    fn ask(&mut self, method: &str, address: &str, body: &str) -> Answer {
        let (server, path) = server_of(address);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((of, _), _)| *of == server)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let headers = [
            ("cookie", cookies.join("; ")),
            ("x-account", self.account.clone()),
            (
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            ),
        ];
        let answer = http::ask(server, method, path, &headers, body)
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        for line in answer.lines("set-cookie") {
            self.keep(server, line);
        }
        answer
    }

    fn keep(&mut self, server: SocketAddr, line: &str) {
        let pair = line.split(';').next().unwrap_or_default();
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = (server, name.trim().to_owned());
        if line.contains("Max-Age=0") || value.is_empty() {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

fn location(answer: &Answer) -> Option<&str> {
    let is_redirect = matches!(answer.status, 301..=303 | 307 | 308);
    answer.lines("location").next().filter(|_| is_redirect)
}

fn server_of(address: &str) -> (SocketAddr, &str) {
    let rest = address.strip_prefix("http://").unwrap_or(address);
    let at = rest.find('/').unwrap_or(rest.len());
    let server = rest[..at].parse();
    (
        server.unwrap_or_else(|_| panic!("{address} is no address of this machine")),
        if at == rest.len() { "/" } else { &rest[at..] },
    )
}
