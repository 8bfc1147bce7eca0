//! How a laptop of the crowd proves who it is: TLS 1.3 with its own certificate, and with the ticket
//! of its last connection where it has one.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use rollcall_shared::tls::{ALPN_HTTP2, ServerByAuthority, Trust, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, NamedGroup, SignatureScheme};

use super::roster::Roster;

/// What all laptops of a crowd share of TLS.
#[derive(Debug)]
pub struct Tls {
    roster: Arc<Roster>,
    shared: ClientConfig,
    resumes: bool,
}

impl Tls {
    /// TLS with the certificates of `roster`; without `resumes` each handshake is a full one.
    ///
    /// # Errors
    /// When the authority's certificate is none.
    pub fn new(roster: Arc<Roster>, resumes: bool) -> anyhow::Result<Self> {
        let verifier = Remembering {
            inner: ServerByAuthority::new(Trust::Roots(vec![roster.root.clone()]))
                .context("the crowd's authority")?,
            believed: Mutex::default(),
        };
        let mut shared = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        shared.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
        Ok(Self {
            roster,
            shared,
            resumes,
        })
    }

    /// The configuration of one laptop, which keeps its ticket from one connection to the next.
    #[must_use]
    pub fn of(&self, number: u32) -> Arc<ClientConfig> {
        let mut config = self.shared.clone();
        config.client_auth_cert_resolver = Arc::new(Own {
            roster: Arc::clone(&self.roster),
            number,
        });
        config.resumption = if self.resumes {
            Resumption::store(Arc::new(Ticket::default()))
        } else {
            Resumption::disabled()
        };
        Arc::new(config)
    }
}

/// Reads the laptop's key when a full handshake asks for it, and keeps it no longer.
#[derive(Debug)]
struct Own {
    roster: Arc<Roster>,
    number: u32,
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let keys = self.roster.keys(self.number).ok()?;
        let key = provider().key_provider.load_private_key(keys.key).ok()?;
        // The chain of an agent has the root too.
        let chain = vec![keys.certificate, self.roster.root.clone()];
        Some(Arc::new(CertifiedKey::new(chain, key)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The last ticket of one laptop. A shared store would let one laptop resume as another.
#[derive(Debug, Default)]
struct Ticket(Mutex<Option<Tls13ClientSessionValue>>);

impl ClientSessionStore for Ticket {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Verifies the collector's certificate as an agent does, and the same certificate only once: there
/// is one collector and a crowd of laptops. Its signature is verified in each handshake.
#[derive(Debug)]
struct Remembering {
    inner: ServerByAuthority,
    believed: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Remembering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
        if believed.as_ref() == Some(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        *believed = Some(end_entity.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
