//! The section `[oidc]` of the collector's configuration.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rollcall_shared::id::Label;
use serde::Deserialize;

use super::CALLBACK;
use crate::store::Role;
use crate::user::SITES;

/// Grants of one provider: one for each school of a district, and role.
const GRANTS: usize = 256;

/// Through whom people sign in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// Who the provider is, exactly as it says itself, such as `https://accounts.google.com`.
    pub issuer: String,
    /// The address of the web page as browsers see it, such as `https://rollcall.district.example`.
    pub address: String,
    /// The client's id there.
    pub client_id: String,
    /// A file with the client's secret.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// An environment variable with it.
    #[serde(default)]
    pub client_secret_env: Option<String>,
    /// What the button says after "Sign in with".
    #[serde(default = "name")]
    pub name: String,
    /// What is asked for.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// A PEM file with the only authorities that the provider's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What follows from what the provider says; the first that fits counts.
    #[serde(default)]
    pub grant: Vec<GrantConfig>,
}

/// Who gets a role, and for which sites. Everything that is given has to fit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantConfig {
    /// What they may do: `viewer`, `technician` or `admin`.
    pub role: Role,
    /// The sites that they may see; empty for all.
    #[serde(default)]
    pub sites: Vec<Label>,
    /// Addresses of e-mail that the provider has verified.
    #[serde(default)]
    pub emails: Vec<String>,
    /// The domain of such an address.
    #[serde(default)]
    pub email_domain: Option<String>,
    /// The name of a claim, such as `groups`, `roles` or `hd`.
    #[serde(default)]
    pub claim: Option<String>,
    /// Values of the claim, of which one suffices.
    #[serde(default)]
    pub values: Vec<String>,
}

fn name() -> String {
    "your school account".to_owned()
}

fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(ToOwned::to_owned).into()
}

impl OidcConfig {
    /// Where the provider sends people back.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.address.trim_end_matches('/'))
    }

    /// Refuses what cannot work or is not safe.
    ///
    /// # Errors
    /// The field, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        check_address("oidc.issuer", &self.issuer)?;
        check_address("oidc.address", &self.address)?;
        if self.client_id.is_empty() {
            return Err(
                "oidc.client_id: is empty; the provider gives one to each application".to_owned(),
            );
        }
        if self.client_secret_file.is_some() && self.client_secret_env.is_some() {
            return Err(
                "oidc.client_secret_file: give either it or `client_secret_env`".to_owned(),
            );
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err("oidc.scopes: `openid` has to be among them".to_owned());
        }
        if self.grant.is_empty() {
            return Err(
                "oidc.grant: there is none, so that nobody could sign in; add `[[oidc.grant]]` with \
                 `role` and whom it is for"
                    .to_owned(),
            );
        }
        if self.grant.len() > GRANTS {
            return Err(format!("oidc.grant: there are more than {GRANTS}"));
        }
        for (at, grant) in self.grant.iter().enumerate() {
            grant
                .check()
                .map_err(|problem| format!("oidc.grant number {}: {problem}", at + 1))?;
        }
        Ok(())
    }

    /// Paths in the file are relative to its folder.
    pub fn resolve(&mut self, folder: &Path) {
        let paths = [&mut self.client_secret_file, &mut self.ca_file];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }
}

impl GrantConfig {
    fn check(&self) -> Result<(), String> {
        if self.claim.is_some() == self.values.is_empty() {
            return Err("`claim` and `values` are given together or not at all".to_owned());
        }
        if self.emails.is_empty() && self.email_domain.is_none() && self.claim.is_none() {
            return Err(
                "whom is it for? Give `emails`, `email_domain`, or `claim` and `values`".to_owned(),
            );
        }
        if let Some(domain) = &self.email_domain
            && (domain.contains('@') || !domain.contains('.'))
        {
            return Err(format!(
                "email_domain: `{domain}` is no domain such as district.example"
            ));
        }
        if let Some(wrong) = self.emails.iter().find(|email| !email.contains('@')) {
            return Err(format!("emails: `{wrong}` is no address of e-mail"));
        }
        if self.sites.len() > SITES {
            return Err(format!(
                "sites: there are more than {SITES}; leave it out for all"
            ));
        }
        Ok(())
    }
}

/// An address over TLS, or of this very machine.
///
/// # Errors
/// The field, and what would be right.
pub(super) fn check_address(field: &str, text: &str) -> Result<(), String> {
    let wrong = || {
        format!(
            "{field}: `{text}` is no `https://` address; `http://` is for this very machine only"
        )
    };
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?;
    let is_right = match url.scheme() {
        "https" => true,
        "http" => is_loopback(host),
        _ => false,
    };
    if !is_right {
        return Err(wrong());
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("{field}: `{text}` holds more than an address"));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str = "issuer = 'https://id.example'\naddress = 'https://rollcall.example'\n\
        client_id = 'rollcall'\n[[grant]]\nrole = 'viewer'\nemail_domain = 'district.example'\n";

    fn check(text: &str) -> Result<OidcConfig, String> {
        let config: OidcConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config)
    }

    #[test]
    fn the_least_that_is_right() {
        let config = check(RIGHT).unwrap();
        assert_eq!(
            config.callback(),
            "https://rollcall.example/sign-in/provider/callback"
        );
        assert_eq!(config.scopes, ["openid", "email", "profile"]);
    }

    #[test]
    fn each_mistake_names_its_field() {
        for (right, wrong, told) in [
            ("https://id.example", "http://id.example", "oidc.issuer"),
            (
                "https://id.example",
                "https://user:x@id.example",
                "oidc.issuer",
            ),
            (
                "https://rollcall.example",
                "rollcall.example",
                "oidc.address",
            ),
            ("'rollcall'", "''", "oidc.client_id"),
            (
                "email_domain = 'district.example'",
                "",
                "oidc.grant number 1: whom",
            ),
            (
                "email_domain = 'district.example'",
                "claim = 'groups'",
                "`claim` and `values`",
            ),
            ("'district.example'", "'@district.example'", "email_domain"),
            ("'viewer'", "'king'", "role"),
            ("client_id", "scopes = ['email']\nclient_id", "oidc.scopes"),
        ] {
            let text = RIGHT.replace(right, wrong);
            let error = check(&text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let (none, _) = RIGHT.split_once("[[grant]]").unwrap();
        assert!(check(none).unwrap_err().contains("[[oidc.grant]]"));
        assert!(check(&RIGHT.replace("https://id.example", "http://127.0.0.1:9")).is_ok());
        assert!(check(&RIGHT.replace("https://id.example", "http://[::1]:9")).is_ok());
        assert!(
            check(&RIGHT.replace("https://id.example", "http://localhost.evil.example")).is_err()
        );
    }
}
