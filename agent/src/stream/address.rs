//! Where the collector is and how to get there: addresses and proxies as people write them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::collect::SystemProxy;

/// `host:port`; an IPv6 address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// An HTTP proxy that is asked to CONNECT. Its password is never shown by `Debug` or `Display`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Proxy {
    address: Address,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// Why a text is no address or proxy. A proxy's text is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is no address.
    #[error("`{0}` is not of the form host:port, such as rollcall.district.example:443")]
    Form(String),
    /// The text is no proxy.
    #[error("the proxy is not of the form http://host:port or http://user:password@host:port")]
    Proxy,
    /// The proxy itself would have to be reached by TLS.
    #[error("a proxy that is reached by https:// is not supported; use its http:// address")]
    ProxyOverTls,
}

impl Address {
    /// The host's name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Form(text.to_owned());
        let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let fits = if bracketed.is_some() {
            is_v6
        } else {
            !host.is_empty() && host.chars().all(plain)
        };
        let port = port
            .parse()
            .ok()
            .filter(|&port| port > 0 && fits)
            .ok_or_else(wrong)?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Proxy {
    /// The proxy that the environment names for `target`: `HTTPS_PROXY` or `https_proxy`, unless
    /// `NO_PROXY` or `no_proxy` names the target. `variable` looks a variable up.
    ///
    /// # Errors
    /// When the variable is set to something else than a proxy.
    pub fn from_environment(
        target: &Address,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, AddressError> {
        let either = |upper: &str, lower: &str| variable(upper).or_else(|| variable(lower));
        let excluded = either("NO_PROXY", "no_proxy").unwrap_or_default();
        let named = either("HTTPS_PROXY", "https_proxy").filter(|text| !text.trim().is_empty());
        if excluded
            .split(',')
            .any(|entry| excludes(entry.trim(), target.host()))
        {
            return Ok(None);
        }
        named.map(|text| text.parse()).transpose()
    }

    /// A proxy that the system is told of.
    ///
    /// # Errors
    /// When it is none that can be used.
    pub fn of_system(proxy: &SystemProxy) -> Result<Self, AddressError> {
        let address = Address {
            host: proxy.address.host.clone(),
            port: proxy.address.port,
        };
        let credentials = proxy.credentials.as_ref();
        let credentials = credentials.map_or_else(String::new, |known| format!("{known}@"));
        format!("http://{credentials}{address}").parse()
    }

    /// Where the proxy is.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The request that asks the proxy for a tunnel to `target`.
    #[must_use]
    pub fn connect_request(&self, target: &Address) -> String {
        let authorization = self.authorization.as_ref();
        let authorization = authorization
            .map(|value| format!("Proxy-Authorization: {value}\r\n"))
            .unwrap_or_default();
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n")
    }
}

impl FromStr for Proxy {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim().trim_end_matches('/');
        if text.starts_with("https://") {
            return Err(AddressError::ProxyOverTls);
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let authorization = match credentials {
            Some(text) => Some(basic_authorization(text).ok_or(AddressError::Proxy)?),
            None => None,
        };
        let address = address.parse().map_err(|_| AddressError::Proxy)?;
        Ok(Self {
            address,
            authorization,
        })
    }
}

impl TryFrom<String> for Proxy {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", self.address)
    }
}

/// Whether an entry of `NO_PROXY` covers a host: `*`, the host itself, or a domain above it.
fn excludes(entry: &str, host: &str) -> bool {
    let domain = entry
        .trim_start_matches("*.")
        .trim_start_matches('.')
        .to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    entry == "*"
        || (!domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}"))))
}

/// RFC 7617; user and password are percent-encoded in a URL.
fn basic_authorization(credentials: &str) -> Option<String> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut plain = percent_decode(user)?;
    plain.push(b':');
    plain.extend(percent_decode(password)?);
    Some(format!("Basic {}", STANDARD.encode(plain)))
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_as_people_write_them() {
        for text in ["rollcall.example:443", "127.0.0.1:8443", "[::1]:8443"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]:1".parse::<Address>().unwrap().host(), "::1");
        for text in [
            "rollcall.example",
            ":443",
            "host:0",
            "host:99999",
            "::1:443",
            "https://h:443",
            "[h]:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_carries_its_password_and_never_shows_it() {
        let proxy: Proxy = "http://pupil:p%40ss@proxy.example:3128/".parse().unwrap();
        let request = proxy.connect_request(&"rollcall.example:443".parse().unwrap());
        let expected = format!(
            "Proxy-Authorization: Basic {}\r\n",
            STANDARD.encode("pupil:p@ss")
        );
        assert!(
            request.starts_with("CONNECT rollcall.example:443 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains(&expected) && request.ends_with("\r\n\r\n"),
            "{request}"
        );
        assert_eq!(
            format!("{proxy} {proxy:?}"),
            "http://proxy.example:3128 Proxy(proxy.example:3128)"
        );
        assert_eq!(
            "https://p:1".parse::<Proxy>(),
            Err(AddressError::ProxyOverTls)
        );
        assert!(
            !"http://u:secret@"
                .parse::<Proxy>()
                .unwrap_err()
                .to_string()
                .contains("secret")
        );
    }

    #[test]
    fn the_environment_names_a_proxy_and_exceptions() {
        let target: Address = "rollcall.district.example:443".parse().unwrap();
        let look_up = |excluded: &'static str| {
            move |name: &str| match name {
                "https_proxy" => Some("http://proxy:3128".to_owned()),
                "NO_PROXY" => Some(excluded.to_owned()),
                _ => None,
            }
        };
        for excluded in [
            "*",
            "localhost, .district.example",
            "rollcall.district.example",
            "*.example",
        ] {
            assert_eq!(
                Proxy::from_environment(&target, look_up(excluded)),
                Ok(None),
                "{excluded}"
            );
        }
        for excluded in ["", "other.example", "trict.example"] {
            let proxy = Proxy::from_environment(&target, look_up(excluded)).unwrap();
            assert_eq!(proxy.unwrap().address().port(), 3128, "{excluded}");
        }
        assert_eq!(Proxy::from_environment(&target, |_| None), Ok(None));
    }
}
