//! `init`: a new collector.

use anyhow::{Context as _, bail};
use rollcall_shared::limits;
use rollcall_shared::time::{Clock as _, SystemClock};

use super::{Names, Places};
use rustls::pki_types::DnsName;

use crate::authority::{Authority, ServerNames, write_secret};
use crate::config::Config;
use crate::control::{Answer, Request, execute};
use crate::evaluate::rules::RuleSet;
use crate::store::{Role, Store};

/// The name of the first API token.
const FIRST_TOKEN: &str = "admin";

pub(super) fn init(places: &Places, names: Names) -> anyhow::Result<()> {
    let names = ServerNames {
        names: names.name,
        addresses: names.address,
    };
    if names.names.is_empty() && names.addresses.is_empty() {
        bail!("`--name HOST` or `--address IP` says by what laptops reach the collector");
    }
    // A name that is none must not leave half a collector behind, which a second `init` refuses.
    if let Some(wrong) = names.names.iter().find(|name| !is_host_name(name)) {
        bail!("`--name {wrong}` is no host name such as rollcall.district.example");
    }
    let config = Config::read(places.config.as_deref())?;
    let now = SystemClock.now().wall;
    let data = &places.data;
    // The store comes first: it is what says whether the folder may be used.
    let store = Store::create(data, config.store_options(), now)?;
    Authority::create(data, &names, now)?;
    let authority = Authority::open(data, limits::CERTIFICATE_LIFE)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start")?;
    let request = Request::ApiTokenCreate {
        name: FIRST_TOKEN.to_owned(),
        role: Role::Admin,
        sites: Vec::new(),
    };
    let made = runtime.block_on(execute(
        &store,
        authority.fingerprint(),
        &RuleSet::built_in(),
        request,
        now,
    ));
    let Answer::Secret(token) = made.map_err(anyhow::Error::msg)? else {
        bail!("no admin token was made");
    };
    let file = data.join("admin-token");
    write_secret(&file, format!("{token}\n").as_bytes())?;
    println!("a new collector lies in {}", data.display());
    println!("its first admin API token is in {}", file.display());
    Ok(())
}

fn is_host_name(name: &str) -> bool {
    DnsName::try_from(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_name_that_is_none_leaves_no_half_collector() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            data: dir.path().join("data"),
            config: None,
        };
        for wrong in ["", "two words", "https://host", "host:443", "-x"] {
            let names = Names {
                name: vec!["collector.example".to_owned(), wrong.to_owned()],
                address: Vec::new(),
            };
            let error = init(&places, names).unwrap_err().to_string();
            assert!(error.contains("no host name"), "{wrong}: {error}");
        }
        let left: Vec<PathBuf> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}
