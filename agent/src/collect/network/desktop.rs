//! The proxy that desktops are told for all users of a laptop: GNOME by the key files of dconf, KDE by
//! `kioslaverc`. What a single user has set is his own.

use std::collections::BTreeMap;

use super::proxy::Proxies;
use crate::collect::Roots;
use crate::collect::source;

/// Key files that are read: a district sets a handful.
const FILES: usize = 64;

/// The proxies of the desktop that names any.
#[must_use]
pub fn proxies(roots: &Roots) -> Option<Proxies> {
    let kde = source::text(&roots.etc.join("xdg/kioslaverc")).unwrap_or_default();
    by_dconf(&dconf(roots)).or_else(|| by_kde(&parse(&kde)))
}

/// Keys by `group/key`.
type Keys = BTreeMap<String, String>;

/// Later files and databases overrule earlier ones, as dconf(7) says.
fn dconf(roots: &Roots) -> Keys {
    let folder = roots.etc.join("dconf/db");
    let databases = source::names(&folder).into_iter();
    let files = databases
        .filter(|name| name.ends_with(".d"))
        .flat_map(|name| {
            let database = folder.join(name);
            source::names(&database)
                .into_iter()
                .map(move |file| database.join(file))
        });
    let texts = files
        .take(FILES)
        .filter_map(|file| source::text(&file).ok());
    texts.flat_map(|text| parse(&text)).collect()
}

fn parse(text: &str) -> Keys {
    let mut group = String::new();
    let mut keys = Keys::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            name.clone_into(&mut group);
        } else if let Some((key, value)) = line.split_once('=') {
            let value = value.trim().trim_matches(['\'', '"']).to_owned();
            keys.insert(format!("{group}/{}", key.trim()), value);
        }
    }
    keys
}

/// By the schema `org.gnome.system.proxy`.
fn by_dconf(keys: &Keys) -> Option<Proxies> {
    let key = |name: &str| keys.get(&format!("system/proxy{name}")).map(String::as_str);
    match key("/mode")? {
        "auto" => Some(Proxies::by_script(
            key("/autoconfig-url").unwrap_or_default(),
        )),
        "manual" => {
            let proxy = |kind: &str| {
                let host = key(&format!("/{kind}/host")).filter(|host| !host.is_empty())?;
                Some(format!("http://{host}:{}", key(&format!("/{kind}/port"))?))
            };
            let (http, https) = (proxy("http"), proxy("https"));
            let lookup = |name: &str| match name {
                "http_proxy" => http.clone(),
                "https_proxy" => https.clone(),
                _ => None,
            };
            Some(Proxies::of(&lookup, "")).filter(Proxies::is_configured)
        }
        _ => None,
    }
}

/// `ProxyType` is 1 for a fixed proxy, 2 for a script, 3 for a script that is found by itself.
fn by_kde(keys: &Keys) -> Option<Proxies> {
    let key = |name: &str| {
        keys.get(&format!("Proxy Settings/{name}"))
            .map(String::as_str)
    };
    match key("ProxyType")? {
        "1" => {
            // KDE writes a space before the port.
            let proxy = |name: &str| key(name).map(|proxy| proxy.replace(' ', ":"));
            let lookup = |name: &str| match name {
                "http_proxy" => proxy("httpProxy"),
                "https_proxy" => proxy("httpsProxy"),
                _ => None,
            };
            Some(Proxies::of(&lookup, "")).filter(Proxies::is_configured)
        }
        "2" => Some(Proxies::by_script(
            key("Proxy Config Script").unwrap_or_default(),
        )),
        "3" => Some(Proxies::by_script("")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::tree_copy;
    use proptest::prelude::*;

    #[test]
    fn what_a_district_sets_for_all_desktops() {
        let (_folder, roots) = tree_copy();
        assert_eq!(proxies(&roots), None);
        let write = |path: &str, text: &str| {
            let file = roots.etc.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write(
            "xdg/kioslaverc",
            "[Proxy Settings]\nProxyType=1\nhttpsProxy=http://filter.school 3128\n",
        );
        let kde = proxies(&roots).unwrap();
        let proxy = kde.towards("canvas.example", true).unwrap();
        assert_eq!(
            (proxy.address.host.as_str(), proxy.address.port),
            ("filter.school", 3128)
        );
        assert_eq!(
            (kde.kind(), kde.towards("canvas.example", false)),
            ("manual", None)
        );

        let keys = "[system/proxy]\nmode='auto'\nautoconfig-url='http://wpad.school/wpad.dat'\n";
        write("dconf/db/local.d/00-proxy", keys);
        let by_script = proxies(&roots).unwrap();
        let script = Some("http://wpad.school/wpad.dat");
        assert_eq!((by_script.kind(), by_script.script()), ("script", script));
        let keys = "[system/proxy]\nmode='manual'\n[system/proxy/http]\nhost='p'\nport=8080\n";
        write("dconf/db/local.d/10-proxy", keys);
        let gnome = proxies(&roots).unwrap();
        assert_eq!(
            gnome.towards("x.example", false).unwrap().address.port,
            8080
        );
        write("dconf/db/local.d/20-none", "[system/proxy]\nmode='none'\n");
        assert_eq!(proxies(&roots).unwrap().kind(), "manual", "KDE's is left");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\[(system/proxy|Proxy Settings)\\]\n|(mode|ProxyType|httpProxy)=.{0,12}\n|.{0,20}){0,12}") {
            let keys = parse(&text);
            let _ = (by_dconf(&keys), by_kde(&keys));
        }
    }
}
