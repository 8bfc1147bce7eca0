//! The way through a proxy: CONNECT, by RFC 9110, section 9.3.6.

use base64::Engine as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::address::Address;
use super::cause::in_words;
use super::fault::{Cause, Fault};
use crate::collect::network::Proxy;

/// Bytes of a proxy's answer to CONNECT.
const PROXY_ANSWER_BYTES: usize = 8 * 1024;

/// The request that opens a way to the target.
#[must_use]
pub fn connect_request(target: &Address, proxy: &Proxy) -> String {
    let host = if target.host.contains(':') {
        format!("[{}]", target.host)
    } else {
        target.host.clone()
    };
    let at = format!("{host}:{}", target.port);
    let authorization =
        authorization(proxy).map(|value| format!("Proxy-Authorization: {value}\r\n"));
    format!(
        "CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{}\r\n",
        authorization.unwrap_or_default()
    )
}

/// What a proxy is told of name and password, if it is told any.
#[must_use]
pub fn authorization(proxy: &Proxy) -> Option<String> {
    let credentials = proxy.credentials.as_ref()?;
    Some(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(credentials)
    ))
}

/// Asks a proxy to pass everything on, and reads its answer up to the empty line.
///
/// # Errors
/// Why it does not.
pub async fn tunnel(stream: &mut TcpStream, request: &str) -> Result<(), Cause> {
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| in_words(&error))?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the empty line belongs to the target.
        answer.push(stream.read_u8().await.map_err(|error| in_words(&error))?);
        if answer.len() > PROXY_ANSWER_BYTES {
            return Err(Fault::ProxyRefused.because("the proxy's answer does not end"));
        }
    }
    judge_tunnel(&String::from_utf8_lossy(&answer))
}

fn judge_tunnel(answer: &str) -> Result<(), Cause> {
    let status = answer
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err(login_wanted()),
        Some(status) => {
            Err(Fault::ProxyRefused.because(format!("the proxy refused with status {status}")))
        }
        None => Err(Fault::ProxyRefused.because("the proxy's answer is not HTTP")),
    }
}

/// A proxy that does not know who asks.
#[must_use]
pub fn login_wanted() -> Cause {
    Fault::ProxyLogin.because("the proxy asks for a name and password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_refusal_is_named() {
        assert_eq!(
            judge_tunnel("HTTP/1.1 200 Connection established\r\n\r\n"),
            Ok(())
        );
        let asking = judge_tunnel("HTTP/1.1 407 x\r\n\r\n").unwrap_err();
        assert_eq!(asking, login_wanted());
        let refusing = judge_tunnel("HTTP/1.0 403 Filtered\r\n\r\n").unwrap_err();
        assert!(refusing.why.contains("403"), "{refusing:?}");
        assert!(judge_tunnel("SSH-2.0").is_err());
    }
}
