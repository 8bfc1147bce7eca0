//! The collector's own certificate authority: who is who in the fleet.
//!
//! ```text
//! DATA/authority/authority.pem   the root certificate; agents trust it and nothing else
//! DATA/authority/authority.key   its key, 0600
//! DATA/authority/server.pem      the collector's key and chain, 0600, made anew before it expires
//! DATA/authority/server.json     the names and addresses in it
//! ```

pub mod beacon;
mod enrol;
mod files;
mod issue;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rcgen::{Issuer, KeyPair};
use rollcall_shared::limits;
use rollcall_shared::time::UnixMs;
use rollcall_shared::tls::Identity;
use rollcall_shared::token::AuthorityFingerprint;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

pub use enrol::{Enrolled, Enrolment, admit, authenticate, enrol, knows_token, renew};
pub use files::{read_identity, write_identity, write_secret};
pub use issue::SigningRequest;

/// How long the root lives. Agents and collectors judge it by its key and not by its dates; the
/// dates are for other software.
const ROOT_LIFE: Duration = Duration::from_secs(20 * 366 * 86_400);

/// How long the collector's certificate lives: what browsers accept (398 days), and a day less.
const SERVER_LIFE: Duration = Duration::from_secs(397 * 86_400);

/// The server's certificate is made anew when less than this is left of its life.
const SERVER_RENEW: Duration = Duration::from_secs(120 * 86_400);

/// By what the collector is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNames {
    /// DNS names.
    pub names: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<IpAddr>,
}

/// The authority, ready to issue.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    life: Duration,
    /// When the root was made: no clock that says less is right.
    born: UnixMs,
}

impl Authority {
    /// Makes an authority in `data`, and the collector's first certificate.
    ///
    /// # Errors
    /// When there is one already, or its files cannot be written.
    pub fn create(data: &Path, names: &ServerNames, now: UnixMs) -> anyhow::Result<Self> {
        let folder = data.join("authority");
        if folder.join("authority.pem").exists() {
            bail!(
                "{} holds an authority already; it is not replaced",
                folder.display()
            );
        }
        files::make_folder(&folder)?;
        let key = KeyPair::generate().context("cannot make the authority's key")?;
        let root = issue::root(&key, now, ROOT_LIFE)?;
        write_secret(
            &folder.join("authority.key"),
            key.serialize_pem().as_bytes(),
        )?;
        let names = serde_json::to_vec(names).context("names have a form in JSON")?;
        files::write(&folder.join("server.json"), &names)?;
        // Last, since it says that there is an authority: what an interrupted run lacks is made anew.
        files::write(
            &folder.join("authority.pem"),
            files::pem(&[root]).as_bytes(),
        )?;
        let authority = Self::open(data, limits::CERTIFICATE_LIFE)?;
        authority.server_identity(now)?;
        Ok(authority)
    }

    /// Opens the authority in `data`; the certificates that it issues to devices live for `life`.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be.
    pub fn open(data: &Path, life: Duration) -> anyhow::Result<Self> {
        let folder = data.join("authority");
        let root = files::read_certificates(&folder.join("authority.pem"))?;
        let root = root
            .into_iter()
            .next()
            .context("authority.pem holds no certificate")?;
        let key = files::read_key_pair(&folder.join("authority.key"))?;
        issue::check_root(&root, &key)?;
        let issuer = Issuer::from_ca_cert_der(&root, key)
            .context("authority.pem is not the certificate of an authority")?;
        let born = issue::begin(&root).context("authority.pem holds no certificate")?;
        Ok(Self {
            folder,
            root,
            issuer,
            life,
            born,
        })
    }

    /// What a token carries, so that a laptop knows its own collector.
    #[must_use]
    pub fn fingerprint(&self) -> AuthorityFingerprint {
        AuthorityFingerprint::of(&self.root)
    }

    /// Every root that devices shall trust.
    #[must_use]
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.root.clone()]
    }

    /// By what the collector is called.
    ///
    /// # Errors
    /// When `server.json` cannot be read.
    pub fn server_names(&self) -> anyhow::Result<ServerNames> {
        let path = self.folder.join("server.json");
        let text =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The collector's chain, the root last, and its key; made anew when little of its life is left.
    ///
    /// # Errors
    /// When its files can be neither read nor made.
    pub fn server_identity(&self, now: UnixMs) -> anyhow::Result<Identity> {
        // Key and chain are one file, so that no crash leaves one without the other.
        let path = self.folder.join("server.pem");
        if let Ok(identity) = read_identity(&path, &path)
            && issue::lives_on(&identity.chain, now, SERVER_RENEW)
            && issue::is_whole(&identity, &self.root)
        {
            return Ok(identity);
        }
        let identity = self.issue_server(&self.server_names()?, now)?;
        let key = files::key_pem(&identity.key);
        let both = zeroize::Zeroizing::new(format!("{}{}", *key, files::pem(&identity.chain)));
        write_secret(&path, both.as_bytes())?;
        Ok(identity)
    }

    /// A certificate for the name of a device and the key in its request. A collector that has started
    /// before its clock was set, in 1970, still gives one that is good once the clock is right.
    ///
    /// # Errors
    /// When the request's key cannot be certified.
    pub fn issue_device(
        &self,
        device: rollcall_shared::id::DeviceId,
        request: &SigningRequest,
        now: UnixMs,
    ) -> Result<Vec<CertificateDer<'static>>, rcgen::Error> {
        let now = now.max(self.born);
        let certificate = issue::device(&self.issuer, device, request, now, self.life)?;
        Ok(vec![certificate, self.root.clone()])
    }

    /// A certificate and key for the beacon of a site, which answers as `names`.
    ///
    /// # Errors
    /// When a name is none.
    pub fn issue_beacon(
        &self,
        site: &rollcall_shared::id::Label,
        names: &ServerNames,
        now: UnixMs,
    ) -> anyhow::Result<Identity> {
        let uri = rollcall_shared::tls::beacon_uri(site.as_str());
        self.issue_listener(names, Some(uri), now)
    }

    fn issue_server(&self, names: &ServerNames, now: UnixMs) -> anyhow::Result<Identity> {
        self.issue_listener(names, None, now)
    }

    fn issue_listener(
        &self,
        names: &ServerNames,
        uri: Option<String>,
        now: UnixMs,
    ) -> anyhow::Result<Identity> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = issue::listener(&self.issuer, &key, names, uri, now, SERVER_LIFE)?;
        Ok(Identity {
            chain: vec![certificate, self.root.clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }
}

#[cfg(test)]
mod tests;
