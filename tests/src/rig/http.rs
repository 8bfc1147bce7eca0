//! A small HTTP client for addresses of this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, without the status line.
    pub head: String,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The values of a header, in their order.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.lines().filter_map(move |line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Asks with any method, headers and body.
///
/// # Errors
/// As [`get`].
pub fn ask(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Result<Answer, String> {
    let mut request = format!(
        "{method} {path} HTTP/1.0\r\nhost: {server}\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    request += body;
    let bytes =
        exchange(server, request.as_bytes()).map_err(|error| format!("{server}: {error}"))?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| format!("{server}{path}: no HTTP answer"))
}

/// Asks with GET, with an API token if there is one.
///
/// # Errors
/// When the server cannot be reached or does not speak HTTP.
pub fn get(server: SocketAddr, path: &str, token: Option<&str>) -> Result<Answer, String> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    get_as(server, path, bearer.as_deref())
}

/// Asks with GET, with what the header `authorization` is to say.
///
/// # Errors
/// As [`get`].
pub fn get_as(
    server: SocketAddr,
    path: &str,
    authorization: Option<&str>,
) -> Result<Answer, String> {
    let authorization =
        authorization.map_or_else(String::new, |text| format!("authorization: {text}\r\n"));
    // HTTP/1.0, so that the answer ends with the connection and is never chunked.
    let request = format!("GET {path} HTTP/1.0\r\nhost: {server}\r\n{authorization}\r\n");
    let bytes =
        exchange(server, request.as_bytes()).map_err(|error| format!("{server}: {error}"))?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| format!("{server}{path}: no HTTP answer"))
}

/// Asks with another method, with an API token and a body of JSON.
///
/// # Errors
/// As [`get`].
pub fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &serde_json::Value,
) -> Result<Answer, String> {
    let headers = [
        ("authorization", format!("Bearer {token}")),
        ("content-type", "application/json".to_owned()),
    ];
    ask(server, method, path, &headers, &body.to_string())
}

fn exchange(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(text: &str) -> Option<Answer> {
    let (top, body) = text.split_once("\r\n\r\n")?;
    let (first, head) = top.split_once("\r\n").unwrap_or((top, ""));
    let status = first.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
