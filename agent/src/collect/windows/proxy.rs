//! The proxies of the system: of WinHTTP, as `netsh winhttp` shows them, and of the account that the agent
//! runs under; the environment's come before both. A PAC file is known to be there and is not followed: `collect::network` says why.

use crate::collect::network::Proxies;

/// What one source of proxies says, as it says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// `proxy:8080`, or `http=proxy:8080;https=proxy:8443`.
    pub proxy: String,
    /// `localhost;*.district.example;<local>`.
    pub bypass: String,
    /// Whether a PAC file is named.
    pub has_script: bool,
}

/// The proxies by the environment, and by the first setting that names one.
#[must_use]
pub fn proxies_of(environment: &dyn Fn(&str) -> Option<String>, settings: &[Setting]) -> Proxies {
    let by_environment = Proxies::of(environment, "");
    if by_environment.is_configured() {
        return by_environment;
    }
    let named = settings.iter().find(|setting| !setting.proxy.is_empty());
    let Some(setting) = named else {
        if settings.iter().any(|setting| setting.has_script) {
            return Proxies::by_script();
        }
        return by_environment;
    };
    let lookup = |name: &str| match name {
        "http_proxy" => of_scheme(&setting.proxy, "http"),
        "https_proxy" => of_scheme(&setting.proxy, "https"),
        "no_proxy" => Some(exempt(&setting.bypass)),
        _ => None,
    };
    Proxies::of(&lookup, "")
}

fn of_scheme(proxy: &str, scheme: &str) -> Option<String> {
    let mut parts = proxy.split([';', ' ']).filter(|part| !part.is_empty());
    let named = parts.find_map(|part| match part.split_once('=') {
        Some((of, proxy)) => of.eq_ignore_ascii_case(scheme).then_some(proxy),
        None => Some(part),
    });
    named.map(str::to_owned)
}

/// `<local>` means names without a dot, none of which is a target.
fn exempt(bypass: &str) -> String {
    let hosts = bypass
        .split([';', ' '])
        .filter(|host| !host.is_empty() && *host != "<local>");
    hosts.collect::<Vec<_>>().join(",")
}

#[cfg(windows)]
pub use self::native::proxies;

#[cfg(windows)]
mod native {
    use windows::Win32::Foundation::{GlobalFree, HGLOBAL};
    use windows::Win32::Networking::WinHttp::{
        WINHTTP_CURRENT_USER_IE_PROXY_CONFIG, WINHTTP_PROXY_INFO,
        WinHttpGetDefaultProxyConfiguration, WinHttpGetIEProxyConfigForCurrentUser,
    };
    use windows::core::PWSTR;

    use super::{Setting, proxies_of};
    use crate::collect::network::Proxies;

    /// The proxies of the system.
    pub fn proxies() -> Proxies {
        proxies_of(&|name: &str| std::env::var(name).ok(), &settings())
    }

    fn settings() -> Vec<Setting> {
        vec![of_winhttp(), of_account()]
    }

    #[expect(unsafe_code, reason = "winhttp fills structures")]
    fn of_winhttp() -> Setting {
        let mut info = WINHTTP_PROXY_INFO::default();
        // SAFETY: the place is valid for the call, which hands over what it allocated.
        unsafe {
            if WinHttpGetDefaultProxyConfiguration(&raw mut info).is_err() {
                return Setting::default();
            }
            Setting {
                proxy: take(info.lpszProxy),
                bypass: take(info.lpszProxyBypass),
                has_script: false,
            }
        }
    }

    #[expect(unsafe_code, reason = "winhttp fills structures")]
    fn of_account() -> Setting {
        let mut config = WINHTTP_CURRENT_USER_IE_PROXY_CONFIG::default();
        // SAFETY: the place is valid for the call, which hands over what it allocated.
        unsafe {
            if WinHttpGetIEProxyConfigForCurrentUser(&raw mut config).is_err() {
                return Setting::default();
            }
            Setting {
                proxy: take(config.lpszProxy),
                bypass: take(config.lpszProxyBypass),
                has_script: !take(config.lpszAutoConfigUrl).is_empty(),
            }
        }
    }

    /// # Safety
    /// The text is null, or ends with a zero and was allocated by winhttp for its caller.
    #[expect(unsafe_code, reason = "winhttp's texts")]
    unsafe fn take(text: PWSTR) -> String {
        if text.is_null() {
            return String::new();
        }
        // SAFETY: as the caller vouches; it is freed once.
        unsafe {
            let owned = String::from_utf16_lossy(text.as_wide());
            let _ = GlobalFree(Some(HGLOBAL(text.0.cast())));
            owned
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(proxy: &str, bypass: &str) -> Setting {
        Setting {
            proxy: proxy.to_owned(),
            bypass: bypass.to_owned(),
            has_script: false,
        }
    }

    #[test]
    fn one_proxy_for_all_or_one_for_each_scheme() {
        let none = |_: &str| None;
        let host = |proxies: &Proxies, target: &str, is_https| {
            proxies
                .towards(target, is_https)
                .map(|proxy| proxy.address.host.clone())
        };
        let all = proxies_of(
            &none,
            &[Setting::default(), setting("proxy:8080", "*.lan;<local>")],
        );
        assert_eq!(host(&all, "canvas.example", true).as_deref(), Some("proxy"));
        assert_eq!(host(&all, "sis.lan", true), None, "it is exempt");
        let each = proxies_of(
            &none,
            &[setting("http=one:80;https=two:81;ftp=three:82", "")],
        );
        assert_eq!(host(&each, "a.example", true).as_deref(), Some("two"));
        assert_eq!(host(&each, "a.example", false).as_deref(), Some("one"));
        let environment = |name: &str| (name == "https_proxy").then(|| "http://first:1".to_owned());
        let both = proxies_of(&environment, &[setting("proxy:8080", "")]);
        assert_eq!(host(&both, "a.example", true).as_deref(), Some("first"));
    }

    #[test]
    fn a_script_counts_as_configured_and_names_no_proxy() {
        let script = Setting {
            has_script: true,
            ..Setting::default()
        };
        let of = |settings: &[Setting]| proxies_of(&|_: &str| None, settings);
        let by_script = of(&[Setting::default(), script.clone()]);
        assert!(by_script.is_by_script() && by_script.is_configured());
        assert!(by_script.towards("canvas.example", true).is_none());
        assert_eq!(of(&[Setting::default()]).kind(), "none");
        let named = of(&[script, setting("proxy:8080", "")]);
        assert_eq!(named.kind(), "manual", "what is named is used");
    }
}
