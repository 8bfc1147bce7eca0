//! The proxies of the system, as `scutil --proxy` shows them; the environment's come before them.

use crate::collect::network::Proxies;

/// What the system has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    http: Option<String>,
    https: Option<String>,
    exempt: Vec<String>,
    /// The address of the script that decides; empty where it is looked for in the network.
    script: Option<String>,
}

/// Lines of `key : value`; the exceptions are an array of lines with numbers for keys.
#[must_use]
pub fn parse(text: &str) -> Setting {
    let lines = text.lines().filter_map(|line| line.split_once(" : "));
    let lines: Vec<(&str, &str)> = lines
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let of = |wanted: &str| {
        lines
            .iter()
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| *value)
    };
    let proxy = |scheme: &str| {
        let is_on = of(&format!("{scheme}Enable")) == Some("1");
        let host = of(&format!("{scheme}Proxy")).filter(|_| is_on)?;
        let port = of(&format!("{scheme}Port")).unwrap_or("80");
        Some(format!("{host}:{port}"))
    };
    let exempt = lines.iter().filter(|(key, _)| key.parse::<u32>().is_ok());
    Setting {
        http: proxy("HTTP"),
        https: proxy("HTTPS"),
        exempt: exempt.map(|(_, host)| (*host).to_owned()).collect(),
        script: (of("ProxyAutoConfigEnable") == Some("1")).then(|| {
            of("ProxyAutoConfigURLString")
                .unwrap_or_default()
                .to_owned()
        }),
    }
}

/// The proxies by the environment, and by the system where that names none.
#[must_use]
pub fn proxies_of(environment: &dyn Fn(&str) -> Option<String>, setting: &Setting) -> Proxies {
    let by_environment = Proxies::of(environment, "");
    if by_environment.is_configured() {
        return by_environment;
    }
    if let (None, None, Some(script)) = (&setting.http, &setting.https, &setting.script) {
        return Proxies::by_script(script);
    }
    let lookup = |name: &str| match name {
        "http_proxy" => setting.http.clone(),
        "https_proxy" => setting.https.clone(),
        "no_proxy" => Some(setting.exempt.join(",")),
        _ => None,
    };
    Proxies::of(&lookup, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "<dictionary> {\n  ExceptionsList : <array> {\n    0 : *.local\n    1 : 169.254/16\n  }\n  \
        HTTPEnable : 0\n  HTTPProxy : old.example\n  HTTPSEnable : 1\n  HTTPSPort : 8443\n  \
        HTTPSProxy : proxy.example\n  ProxyAutoConfigEnable : 0\n}\n";

    #[test]
    fn a_proxy_that_is_on_and_one_that_is_not() {
        let setting = parse(TOLD);
        let proxies = proxies_of(&|_: &str| None, &setting);
        let https = proxies.towards("canvas.example", true).unwrap();
        assert_eq!(https.address.host, "proxy.example");
        assert!(proxies.towards("canvas.example", false).is_none());
        assert!(
            proxies.towards("printer.local", true).is_none(),
            "it is exempt"
        );
        let kind = |text: &str| proxies_of(&|_: &str| None, &parse(text)).kind();
        assert_eq!((kind(TOLD), kind("")), ("manual", "none"));
        assert_eq!(kind("  ProxyAutoConfigEnable : 1\n"), "script");
        let environment = |name: &str| (name == "https_proxy").then(|| "http://first:1".to_owned());
        let both = proxies_of(&environment, &setting);
        assert_eq!(
            both.towards("a.example", true).unwrap().address.host,
            "first"
        );
    }
}
