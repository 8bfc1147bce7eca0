//! An authority of the story's own, for its mail server and its receivers of webhooks.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

/// Files of an authority and of one server certificate for this machine.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
}

impl Pki {
    /// Makes both for `localhost` and 127.0.0.1, in files of `folder`.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        // A name distinct from the server's, since OpenSSL takes a certificate for self-signed by them.
        Self::of(folder, "Test authority")
    }

    /// As [`Pki::make`], with an authority of this name.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn of(folder: &Path, authority: &str) -> Self {
        let made = make(authority).expect("certificates for this machine can be made");
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            file
        };
        Self {
            authority: write("test-authority.pem", &made.authority),
            certificate: write("test-server.pem", &made.certificate),
            key: write("test-server.key", &made.key),
        }
    }
}

struct Made {
    authority: String,
    certificate: String,
    key: String,
}

fn make(name: &str) -> Result<Made, rcgen::Error> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, name);
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let loopback = std::net::Ipv4Addr::LOCALHOST;
    server
        .subject_alt_names
        .push(SanType::IpAddress(loopback.into()));
    let certificate = server.signed_by(&key, &issuer)?;
    Ok(Made {
        authority: authority_certificate.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}
