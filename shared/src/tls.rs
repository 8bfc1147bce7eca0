//! TLS for both sides: version 1.3 only, with one crypto provider, chosen here once.
//!
//! No clock decides whether a laptop may speak. An agent believes a collector's certificate by its
//! authority and name, not by its dates, since the laptop's clock may be wrong by years. A collector
//! lets an expired device certificate through the handshake, and [`DeviceCertificate`] tells the
//! stages after it, which allow such a device to renew itself and nothing else.

mod tickets;

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::id::{BEACON_URI_PREFIX, DeviceId};
use crate::time::UnixMs;
use crate::token::AuthorityFingerprint;

/// The protocol that gRPC speaks, as ALPN names it.
pub const ALPN_HTTP2: &[u8] = b"h2";

/// Sessions that an agent remembers for resumption; it has one collector.
const SESSIONS: usize = 8;

/// A certificate chain, the holder's own certificate first, and its key.
#[derive(Debug)]
pub struct Identity {
    /// The chain in DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// By what an agent knows its collector.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By the fingerprint in an enrolment token, before the first enrolment. The collector presents
    /// its authority's certificate as the last of its chain.
    Pinned(AuthorityFingerprint),
    /// By the authority's root certificates, more than one while an authority is being replaced.
    Roots(Vec<CertificateDer<'static>>),
}

/// The crypto provider of the whole product.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// How an agent speaks to its collector. Who uses it for more than one connection resumes sessions.
///
/// # Errors
/// When a root is no certificate, or the key does not belong to the chain.
pub fn client_config(trust: Trust, identity: Option<Identity>) -> Result<ClientConfig, Error> {
    let verifier = ServerByAuthority::new(trust)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// How a collector answers agents. A client without a certificate passes the handshake, since it may
/// want to enrol; one with a certificate of another authority does not.
///
/// # Errors
/// When a root is no certificate, or the key does not belong to the chain.
pub fn server_config(
    identity: Identity,
    device_roots: &[CertificateDer<'static>],
) -> Result<ServerConfig, Error> {
    let verifier = ClientOfAnyDate::new(device_roots)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    // A laptop needs one ticket: it gets another with each connection.
    config.ticketer = tickets::ticketer()?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// What a device's certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// The device that it names.
    pub device: DeviceId,
    /// When its life begins.
    pub not_before: UnixMs,
    /// When its life ends.
    pub not_after: UnixMs,
}

impl DeviceCertificate {
    /// Reads a certificate that the handshake has verified.
    ///
    /// # Errors
    /// When it cannot be read or does not name exactly one device.
    pub fn from_der(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        let parsed = parse(certificate)?;
        let mut devices = uri_names(&parsed)
            .into_iter()
            .filter_map(|uri| DeviceId::from_uri(uri).ok());
        let (Some(device), None) = (devices.next(), devices.next()) else {
            return Err(Error::General(
                "the certificate does not name one device".to_owned(),
            ));
        };
        let validity = parsed.validity();
        Ok(Self {
            device,
            not_before: UnixMs(validity.not_before.timestamp().saturating_mul(1000)),
            not_after: UnixMs(validity.not_after.timestamp().saturating_mul(1000)),
        })
    }
}

/// The site that a beacon's certificate names.
///
/// # Errors
/// When the certificate cannot be read or names no site.
pub fn beacon_site(certificate: &CertificateDer<'_>) -> Result<String, Error> {
    let parsed = parse(certificate)?;
    let site = uri_names(&parsed).into_iter().find_map(|uri| {
        let hex = uri.strip_prefix(BEACON_URI_PREFIX)?;
        String::from_utf8(bytes_from_hex(hex)?).ok()
    });
    site.ok_or_else(|| Error::General("the certificate names no beacon".to_owned()))
}

/// The URI that names a beacon of `site` in its certificate.
#[must_use]
pub fn beacon_uri(site: &str) -> String {
    let hex: String = site.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{BEACON_URI_PREFIX}{hex}")
}

/// The organisation, or else the common name, of a certificate's issuer: who re-signs a connection.
#[must_use]
pub fn issuer_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = parse(certificate).ok()?;
    let issuer = parsed.issuer();
    let name = issuer
        .iter_organization()
        .chain(issuer.iter_common_name())
        .next()?;
    name.as_str().ok().map(ToOwned::to_owned)
}

/// Verifies a collector, or a beacon, by its authority and name and never by a date.
#[derive(Debug)]
pub struct ServerByAuthority {
    trust: Trust,
    by_roots: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerByAuthority {
    /// A verifier that trusts as told.
    ///
    /// # Errors
    /// When a root is no certificate, or there is none.
    pub fn new(trust: Trust) -> Result<Self, Error> {
        let by_roots = match &trust {
            Trust::Pinned(_) => None,
            Trust::Roots(roots) => Some(verifier_of(roots)?),
        };
        Ok(Self { trust, by_roots })
    }

    fn verifier(&self, chain: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
        match (&self.by_roots, &self.trust) {
            (Some(verifier), _) => Ok(Arc::clone(verifier)),
            (None, Trust::Pinned(pin)) => {
                let root = chain
                    .iter()
                    .find(|der| AuthorityFingerprint::of(der) == *pin);
                let root = root.ok_or(CertificateError::UnknownIssuer)?;
                verifier_of(&[root.clone().into_owned()])
            }
            (None, Trust::Roots(roots)) => verifier_of(roots),
        }
    }
}

impl ServerCertVerifier for ServerByAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = within_life(now, end_entity, intermediates)?;
        self.verifier(intermediates)?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Verifies devices by their authority; whether a certificate has expired is for the next stage.
#[derive(Debug)]
struct ClientOfAnyDate(Arc<dyn ClientCertVerifier>);

impl ClientOfAnyDate {
    fn new(roots: &[CertificateDer<'static>]) -> Result<Self, Error> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(store_of(roots)?), provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
        Ok(Self(verifier))
    }
}

impl ClientCertVerifier for ClientOfAnyDate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now = within_life(now, end_entity, intermediates)?;
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The time nearest to `now` at which every certificate of the chain is valid.
///
/// # Errors
/// When a certificate cannot be read.
pub fn within_life(
    now: UnixTime,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<UnixTime, Error> {
    let (mut first, mut last) = (0_i64, i64::MAX);
    for certificate in std::iter::once(end_entity).chain(intermediates) {
        let parsed = parse(certificate)?;
        first = first.max(parsed.validity().not_before.timestamp());
        last = last.min(parsed.validity().not_after.timestamp());
    }
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let at = u64::try_from(now.min(last).max(first)).unwrap_or(0);
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        at,
    )))
}

fn verifier_of(roots: &[CertificateDer<'static>]) -> Result<Arc<WebPkiServerVerifier>, Error> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(store_of(roots)?), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

fn store_of(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    Ok(store)
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|_| CertificateError::BadEncoding.into())
}

fn uri_names<'a>(certificate: &X509Certificate<'a>) -> Vec<&'a str> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let uri = |name: &GeneralName<'a>| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(uri)
        .collect()
}

fn bytes_from_hex(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests;
