//! Whom a server's certificate comes from, and whether somebody on the way re-signed it.
//!
//! A target must be valid by the roots of this system, as its browsers see it. Where those trust it
//! and Mozilla's do not, somebody installed a root of his own: a filter that reads the traffic (or a
//! server of the district with its own authority, which looks the same).

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_shared::time::UnixMs;
use rollcall_shared::tls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::fault::{Cause, Fault};

/// The roots by which a public server is judged; loaded once, on first use.
#[derive(Debug)]
pub struct PublicTrust {
    verifier: Arc<WebPkiServerVerifier>,
    system: Arc<RootCertStore>,
    mozilla: RootCertStore,
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The issuer's organisation or common name.
    pub issuer: Option<String>,
    /// Why this system does not accept it; `None` where it does.
    pub refusal: Option<Cause>,
    /// Whether a public authority stands behind it.
    pub is_public: bool,
    /// Whether this system trusts its issuer, whatever else is wrong with it.
    pub is_issuer_trusted: bool,
}

impl Seen {
    /// Who re-signs the connection, if somebody does.
    #[must_use]
    pub fn interceptor(&self) -> Option<&str> {
        let is_resigned = !self.is_public && (self.refusal.is_none() || !self.is_issuer_trusted);
        is_resigned.then(|| self.issuer.as_deref().unwrap_or("an issuer without a name"))
    }
}

impl PublicTrust {
    /// Loads the roots of this system; a system without any is judged by Mozilla's, which its
    /// browsers bring along. `public_roots` is a file in place of Mozilla's, for tests.
    ///
    /// # Errors
    /// When no verifier can be made of them.
    pub fn load(public_roots: Option<&Path>) -> Result<Self, Error> {
        let mozilla = match public_roots {
            Some(file) => roots_of(file)?,
            None => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
        };
        let mut system = RootCertStore::empty();
        system.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let system = if system.is_empty() {
            mozilla.clone()
        } else {
            system
        };
        Self::of(system, mozilla)
    }

    /// Trust in these roots.
    ///
    /// # Errors
    /// When no verifier can be made of them.
    pub fn of(system: RootCertStore, mozilla: RootCertStore) -> Result<Self, Error> {
        let system = Arc::new(system);
        let roots = Arc::clone(&system);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, tls::provider()).build();
        let verifier = verifier.map_err(|error| Error::General(error.to_string()))?;
        Ok(Self {
            verifier,
            system,
            mozilla,
        })
    }
}

/// The roots of a file of PEM.
fn roots_of(file: &Path) -> Result<RootCertStore, Error> {
    let told =
        |error: &dyn std::fmt::Display| Error::General(format!("{}: {error}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| told(&error))?;
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.map_err(|error| told(&error))?)?;
    }
    Ok(store)
}

/// Whether one of the roots stands behind a certificate, whatever its dates and names.
fn is_signed_below(
    roots: &RootCertStore,
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> bool {
    let algorithms = tls::provider().signature_verification_algorithms.all;
    let verify = || -> Result<(), Error> {
        let now = tls::within_life(now, leaf, intermediates)?;
        let leaf = ParsedCertificate::try_from(leaf)?;
        verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms)
    };
    verify().is_ok()
}

/// Verifies by [`PublicTrust`] and remembers what it saw.
#[derive(Debug)]
pub struct Witness {
    trust: Arc<PublicTrust>,
    seen: Mutex<Option<Seen>>,
}

impl Witness {
    /// A verifier for one handshake.
    #[must_use]
    pub fn new(trust: Arc<PublicTrust>) -> Arc<Self> {
        Arc::new(Self {
            trust,
            seen: Mutex::new(None),
        })
    }

    /// How to speak TLS before this witness. Public servers may still speak version 1.2.
    ///
    /// # Errors
    /// When the crypto provider lacks what TLS needs.
    pub fn client_config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()?;
        let verifier: Arc<dyn ServerCertVerifier> = Arc::clone(self) as _;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// What was seen, if a certificate was shown.
    pub fn seen(&self) -> Option<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.trust.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let is_below = |roots| is_signed_below(roots, end_entity, intermediates, now);
        let issuer = tls::issuer_name(end_entity);
        let is_issuer_trusted = verified.is_ok() || is_below(&self.trust.system);
        let refusal = match &verified {
            Ok(_) => None,
            Err(_) if !is_issuer_trusted => Some(untrusted(issuer.as_deref())),
            Err(error) => Some(refusal(error)),
        };
        let is_public = is_below(&self.trust.mozilla);
        let seen = Seen {
            issuer,
            refusal,
            is_public,
            is_issuer_trusted,
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust
            .verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trust
            .verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.verifier.supported_verify_schemes()
    }
}

fn untrusted(issuer: Option<&str>) -> Cause {
    let issuer = issuer.unwrap_or("nobody named");
    let why = format!("the certificate is signed by `{issuer}`, which this system does not trust");
    Fault::TlsIntercepted.because(why)
}

/// In words for a technician, without the names that the certificate is for.
fn refusal(error: &Error) -> Cause {
    let Error::InvalidCertificate(error) = error else {
        return Fault::TlsFailed.because(format!("TLS: {error}"));
    };
    let day = |time: &UnixTime| {
        let ms = i64::try_from(time.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        UnixMs(ms).to_string().chars().take(10).collect::<String>()
    };
    match error {
        CertificateError::Expired => Fault::CertificateExpired
            .because("the certificate has expired, or the laptop's clock is ahead"),
        CertificateError::ExpiredContext { not_after, .. } => {
            Fault::CertificateExpired.because(format!(
                "the certificate expired on {}, or the laptop's clock is ahead",
                day(not_after)
            ))
        }
        CertificateError::NotValidYet => Fault::CertificateNotValidYet
            .because("the certificate is not valid yet, or the laptop's clock is behind"),
        CertificateError::NotValidYetContext { not_before, .. } => Fault::CertificateNotValidYet
            .because(format!(
                "the certificate is valid from {}, or the laptop's clock is behind",
                day(not_before)
            )),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Fault::CertificateInvalid.because("the certificate is for another name")
        }
        CertificateError::Revoked => {
            Fault::CertificateInvalid.because("the certificate is revoked")
        }
        other => {
            let why = format!("the certificate is not accepted: {other:?}");
            Fault::CertificateInvalid.because(why.chars().take(160).collect::<String>())
        }
    }
}
