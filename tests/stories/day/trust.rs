//! The authorities of the day: a public one, the district's filter, which the laptop trusts, and a
//! stranger's, which it does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rollcall_shared::tls;
use rollcall_tests::rig::world::Manner;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

type Authority = CertifiedIssuer<'static, KeyPair>;

pub struct Trust {
    /// What the laptop takes for the public authorities.
    pub public: PathBuf,
    /// What its system trusts.
    pub system: PathBuf,
    authority: Authority,
    district: Authority,
    stranger: Authority,
}

impl Trust {
    pub fn make(folder: &Path) -> Self {
        let (authority, district, stranger) = (
            authority("Public Trust"),
            authority("District Web Filter"),
            authority("Stranger in the Middle"),
        );
        let (public, system) = (folder.join("public.pem"), folder.join("system.pem"));
        std::fs::write(&public, authority.pem()).unwrap();
        std::fs::write(&system, authority.pem() + &district.pem()).unwrap();
        Self {
            public,
            system,
            authority,
            district,
            stranger,
        }
    }

    pub fn canvas(&self) -> TlsAcceptor {
        acceptor(&self.authority, 2090)
    }

    pub fn expired(&self) -> TlsAcceptor {
        acceptor(&self.authority, 2021)
    }

    pub fn stranger(&self) -> TlsAcceptor {
        acceptor(&self.stranger, 2090)
    }

    /// The district's filter, between the laptop and a server.
    pub fn interceptor(&self, server: &str) -> Manner {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Manner::Intercept(
            acceptor(&self.district, 2090),
            server.parse().unwrap(),
            ServerName::try_from("canvas.test").unwrap(),
            Arc::new(config),
        )
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::OrganizationName, name);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// TLS as `canvas.test` with a certificate that ends with the year before `until`.
fn acceptor(authority: &Authority, until: i32) -> TlsAcceptor {
    let mut params = CertificateParams::new(vec!["canvas.test".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
