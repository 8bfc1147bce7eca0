//! The proxies of the system: of WinHTTP, as `netsh winhttp` shows them, and of the account that the agent
//! runs under; the environment's come before both.

use crate::collect::network::Proxies;

/// What one source of proxies says, as it says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setting {
    /// `proxy:8080`, or `http=proxy:8080;https=proxy:8443`.
    pub proxy: String,
    /// `localhost;*.district.example;<local>`.
    pub bypass: String,
    /// The address of the PAC file; empty where none is named.
    pub script: String,
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
        let mut scripts = settings.iter().map(|setting| &setting.script);
        return match scripts.find(|script| !script.is_empty()) {
            Some(script) => Proxies::by_script(script),
            None => by_environment,
        };
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
pub use self::native::{ask_script, proxies};

#[cfg(windows)]
mod native {
    use windows::Win32::Foundation::{GlobalFree, HGLOBAL};
    use windows::Win32::Networking::WinHttp::{
        WINHTTP_ACCESS_TYPE_NO_PROXY, WINHTTP_AUTOPROXY_CONFIG_URL, WINHTTP_AUTOPROXY_OPTIONS,
        WINHTTP_CURRENT_USER_IE_PROXY_CONFIG, WINHTTP_PROXY_INFO, WinHttpCloseHandle,
        WinHttpGetDefaultProxyConfiguration, WinHttpGetIEProxyConfigForCurrentUser,
        WinHttpGetProxyForUrl, WinHttpOpen, WinHttpSetTimeouts,
    };
    use windows::core::{HSTRING, PCWSTR, PWSTR, w};

    use super::{Setting, proxies_of};
    use crate::collect::network::Proxies;
    use crate::collect::source::Sourced;
    use crate::collect::windows::failed;

    /// How long each step of fetching a script may take.
    const STEP_MS: i32 = 4000;

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
                script: String::new(),
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
                script: take(config.lpszAutoConfigUrl),
            }
        }
    }

    /// A session of WinHTTP, closed when it is dropped.
    struct Session(*mut core::ffi::c_void);

    impl Drop for Session {
        #[expect(unsafe_code, reason = "winhttp's handles")]
        fn drop(&mut self) {
            // SAFETY: the handle is this session's own and is closed once.
            let _ = unsafe { WinHttpCloseHandle(self.0) };
        }
    }

    /// What the script at an address chooses for a server: `proxy:8080;other:8081`, or nothing for the
    /// straight way.
    ///
    /// # Errors
    /// What Windows says, as where the script cannot be fetched.
    #[expect(unsafe_code, reason = "winhttp runs the script")]
    pub fn ask_script(script: &str, server: &str) -> Sourced<String> {
        let (script, server) = (HSTRING::from(script), HSTRING::from(server));
        // SAFETY: the texts end with a zero; the handle is checked and closed.
        let session = Session(unsafe {
            WinHttpOpen(
                w!("rollcall-agent"),
                WINHTTP_ACCESS_TYPE_NO_PROXY,
                PCWSTR::null(),
                PCWSTR::null(),
                0,
            )
        });
        if session.0.is_null() {
            return Err(failed("WinHttpOpen", &windows::core::Error::from_thread()));
        }
        let mut options = WINHTTP_AUTOPROXY_OPTIONS {
            dwFlags: WINHTTP_AUTOPROXY_CONFIG_URL,
            lpszAutoConfigUrl: PCWSTR(script.as_ptr()),
            ..WINHTTP_AUTOPROXY_OPTIONS::default()
        };
        let mut info = WINHTTP_PROXY_INFO::default();
        // SAFETY: texts and places outlive the call, which hands over what it allocated.
        unsafe {
            let _ = WinHttpSetTimeouts(session.0, STEP_MS, STEP_MS, STEP_MS, STEP_MS);
            WinHttpGetProxyForUrl(
                session.0,
                PCWSTR(server.as_ptr()),
                &raw mut options,
                &raw mut info,
            )
            .map_err(|error| failed("WinHttpGetProxyForUrl", &error))?;
            drop(take(info.lpszProxyBypass));
            Ok(take(info.lpszProxy))
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
            script: String::new(),
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
            script: "http://filter.school/p.pac".to_owned(),
            ..Setting::default()
        };
        let of = |settings: &[Setting]| proxies_of(&|_: &str| None, settings);
        let by_script = of(&[Setting::default(), script.clone()]);
        assert_eq!(by_script.script(), Some("http://filter.school/p.pac"));
        assert_eq!(
            (by_script.kind(), by_script.is_configured()),
            ("script", true)
        );
        assert!(by_script.towards("canvas.example", true).is_none());
        assert_eq!(of(&[Setting::default()]).kind(), "none");
        let named = of(&[script, setting("proxy:8080", "")]);
        assert_eq!(named.kind(), "manual", "what is named is used");
    }
}

#[cfg(all(test, windows))]
mod on_windows {
    use super::*;
    use crate::collect::testing::serve;

    const SCRIPT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\n\
        Connection: close\r\n\r\nfunction FindProxyForURL(url, host) {\r\n\
        if (shExpMatch(host, \"*.school\")) return \"DIRECT\";\r\n\
        return \"PROXY 127.0.0.1:3127; PROXY 127.0.0.1:3128\"; }\r\n";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_script_is_asked_for_its_choice() {
        let port = serve(SCRIPT).await;
        let ask = async |server: &'static str| {
            let script = format!("http://127.0.0.1:{port}/p.pac");
            let asked = tokio::task::spawn_blocking(move || ask_script(&script, server));
            asked.await.unwrap()
        };
        let chosen = ask("https://canvas.example:443/").await.unwrap();
        // Windows names both, Wine the first.
        assert!(chosen.starts_with("127.0.0.1:3127"), "{chosen}");
        assert_eq!(ask("https://sis.school:443/").await.unwrap(), "");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_script_that_is_not_there_is_told() {
        let asked = tokio::task::spawn_blocking(|| {
            ask_script("http://127.0.0.1:9/p.pac", "https://canvas.example/")
        });
        assert!(
            asked
                .await
                .unwrap()
                .unwrap_err()
                .contains("WinHttpGetProxyForUrl")
        );
    }
}
