//! Where a target or a proxy is.

use std::net::IpAddr;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// An `http://` or `https://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether TLS is spoken.
    pub is_https: bool,
    /// Which server.
    pub address: Address,
    /// Path and query, `/` at least.
    pub path: String,
    /// Host and port as the request names them.
    pub authority: String,
}

impl Address {
    /// Parses `host`, `host:port` or `[v6]:port`.
    #[must_use]
    pub fn parse(text: &str, default_port: u16) -> Option<Self> {
        let authority: http::uri::Authority = text.parse().ok()?;
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = authority.port_u16().unwrap_or(default_port);
        (!host.is_empty()).then_some(Self { host, port })
    }

    /// Whether no lookup is needed.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

impl Url {
    /// The server alone, as a proxy's script is asked for it: neither path nor question.
    #[must_use]
    pub fn server(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}/", self.authority)
    }

    /// Parses a target's address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let is_https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        let default_port = if is_https { 443 } else { 80 };
        let authority = authority.as_str().rsplit('@').next()?.to_owned();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let address = Address::parse(&authority, default_port)?;
        Some(Self {
            is_https,
            address,
            path: path.to_owned(),
            authority,
        })
    }
}

/// Whether two hosts belong to one holder, as far as can be told without a list of the registries:
/// by their last two labels, or three where the second is short, as in `co.uk` or `k12.ca.us`.
#[must_use]
pub fn is_same_holder(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || holder(a).is_some_and(|holder_a| Some(holder_a) == holder(b))
}

fn holder(host: &str) -> Option<String> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let labels: Vec<&str> = host.trim_end_matches('.').rsplit('.').collect();
    let second_is_short = labels.len() > 2 && labels[1].len() <= 3;
    let count = if second_is_short { 3 } else { 2 };
    let holder = labels.into_iter().take(count).collect::<Vec<_>>().join(".");
    Some(holder.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_in_its_forms() {
        let url = Url::parse("https://canvas.example/login?x=1").unwrap();
        assert_eq!(
            (url.is_https, url.address.port, url.path.as_str()),
            (true, 443, "/login?x=1")
        );
        let v6 = Url::parse("http://[::1]:8080").unwrap();
        assert_eq!(
            (v6.address.host.as_str(), v6.address.port, v6.path.as_str()),
            ("::1", 8080, "/")
        );
        assert!(v6.address.is_literal());
        assert_eq!(Url::parse("ftp://x"), None);
        assert_eq!(Url::parse("https://"), None);
    }

    #[test]
    fn one_holder_by_the_last_labels() {
        assert!(is_same_holder("canvas.example.com", "www.EXAMPLE.com"));
        assert!(!is_same_holder("a.school.co.uk", "b.other.co.uk"));
        assert!(!is_same_holder("canvas.example", "portal.test"));
        assert!(!is_same_holder("192.0.2.1", "192.0.3.1"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(https?://)?.{0,40}", other in ".{0,20}") {
            let _ = (Url::parse(&text), Address::parse(&text, 1), is_same_holder(&text, &other));
        }
    }
}
