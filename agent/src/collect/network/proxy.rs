//! Which proxy a request goes through, by the usual variables: `https_proxy`, `http_proxy`,
//! `all_proxy`, `no_proxy`, in either case.

use super::super::reach::Address;

/// The proxies that are configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exempt: Vec<String>,
    /// The address of the script that decides; empty where it is looked for in the network.
    script: Option<String>,
}

/// One proxy. Name and password, if it has them, are used and never reported.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub address: Address,
    /// `name:password`, percent-decoded by nobody: as it was written.
    pub credentials: Option<String>,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Proxies {
    /// The proxies by `environment`, and by the text of `/etc/environment` where that has none.
    pub fn of(environment: &dyn Fn(&str) -> Option<String>, file: &str) -> Self {
        let lookup = |name: &str| {
            let upper = name.to_ascii_uppercase();
            [name, &upper].iter().find_map(|name| {
                let value = environment(name).or_else(|| variable(file, name))?;
                (!value.is_empty()).then_some(value)
            })
        };
        let proxy = |name: &str| {
            lookup(name)
                .or_else(|| lookup("all_proxy"))
                .and_then(|text| parse(&text))
        };
        let exempt = lookup("no_proxy").unwrap_or_default();
        Self {
            http: proxy("http_proxy"),
            https: proxy("https_proxy"),
            exempt: exempt
                .split(',')
                .map(|host| host.trim().to_ascii_lowercase())
                .filter(|host| !host.is_empty())
                .collect(),
            script: lookup("auto_proxy"),
        }
    }

    /// That the script at an address decides; empty where it would have to be looked for in the network.
    #[must_use]
    pub fn by_script(address: &str) -> Self {
        Self {
            script: Some(address.trim().to_owned()),
            ..Self::default()
        }
    }

    /// Whether there is any.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.http.is_some() || self.https.is_some() || self.script.is_some()
    }

    /// The address of the script (PAC) that decides, where nothing else does.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        let script = self.script.as_deref();
        script.filter(|_| self.http.is_none() && self.https.is_none())
    }

    /// The word of `network.proxy.kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.script().is_some() {
            "script"
        } else if self.is_configured() {
            "manual"
        } else {
            "none"
        }
    }

    /// The proxy for a host, if it has one.
    #[must_use]
    pub fn towards(&self, host: &str, is_https: bool) -> Option<&Proxy> {
        let host = host.to_ascii_lowercase();
        let is_exempt = self.exempt.iter().any(|exempt| is_below(&host, exempt));
        let proxy = if is_https { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !is_exempt)
    }
}

fn is_below(host: &str, exempt: &str) -> bool {
    let domain = exempt.trim_start_matches("*.").trim_start_matches('.');
    exempt == "*"
        || host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn variable(file: &str, name: &str) -> Option<String> {
    let mut lines = file
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("export ").split_once('='));
    let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

/// `http://name:password@host:port/`; a proxy that is itself spoken to over TLS or SOCKS is none
/// that the agent can use.
pub(super) fn parse(text: &str) -> Option<Proxy> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (credentials, host) = match authority.rsplit_once('@') {
        Some((credentials, host)) => (Some(credentials.to_owned()), host),
        None => (None, authority),
    };
    // Without a port curl takes 1080; wget and browsers 80.
    Address::parse(host, 80).map(|address| Proxy {
        address,
        credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(pairs: &'static [(&str, &str)], file: &str) -> Proxies {
        let environment = |name: &str| {
            let pair = pairs.iter().find(|pair| pair.0 == name)?;
            Some(pair.1.to_owned())
        };
        Proxies::of(&environment, file)
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let file = "http_proxy=\"http://filter.school:3128/\"\nNO_PROXY=.school\n";
        let both = proxies(&[("https_proxy", "http://pupil:secret@other:8080")], file);
        let https = both.towards("canvas.example", true).unwrap();
        assert_eq!(
            (https.address.host.as_str(), https.address.port),
            ("other", 8080)
        );
        assert!(!format!("{both:?}").contains("secret"));
        assert_eq!(
            both.towards("canvas.example", false).unwrap().address.port,
            3128
        );
        assert_eq!(both.towards("sis.school", true), None);
    }

    #[test]
    fn what_is_exempt_goes_straight() {
        assert!(is_below("a.b.c", ".b.c") && is_below("b.c", "b.c") && is_below("x", "*"));
        assert!(!is_below("ab.c", "b.c"));
    }

    #[test]
    fn none_is_none() {
        assert!(!proxies(&[("http_proxy", "")], "PATH=/bin").is_configured());
        assert_eq!(parse("socks5://x:1"), None);
    }
}
