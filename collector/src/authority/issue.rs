//! Certificates: what is in them, and for how long.

use std::time::Duration;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SanType, SerialNumber, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};
use rollcall_shared::id::DeviceId;
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::UnixMs;
use rollcall_shared::tls::Identity;
use rollcall_shared::token::sha256;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::ServerNames;

/// A request whose signature is right and whose key is of a kind that we certify. Names and
/// extensions that it asks for are ignored: the collector knows them better.
#[derive(Debug)]
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads and verifies a request.
    ///
    /// # Errors
    /// [`Refusal::RequestMalformed`] when it is too long, damaged, wrongly signed, or of another
    /// kind than ECDSA with P-256 or P-384, or Ed25519.
    pub fn parse(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > limits::CSR_BYTES {
            return Err(Refusal::RequestMalformed);
        }
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
                .map_err(|_| Refusal::RequestMalformed)?;
        // An uncompressed point has one byte and two coordinates.
        let kinds = [
            (&rcgen::PKCS_ECDSA_P256_SHA256, 65),
            (&rcgen::PKCS_ECDSA_P384_SHA384, 97),
            (&rcgen::PKCS_ED25519, 32),
        ];
        let key = &request.public_key;
        let known = kinds
            .iter()
            .any(|(kind, bytes)| key.algorithm() == *kind && key.der_bytes().len() == *bytes);
        if known {
            Ok(Self(request))
        } else {
            Err(Refusal::RequestMalformed)
        }
    }

    /// By what a request is known when it comes again: half of the SHA-256 of its public key.
    #[must_use]
    pub fn key_hash(&self) -> [u8; 16] {
        let hash = sha256(self.0.public_key.der_bytes());
        *hash.first_chunk().expect("a SHA-256 has 32 bytes")
    }
}

/// The root's certificate.
pub(super) fn root(
    key: &KeyPair,
    now: UnixMs,
    life: Duration,
) -> anyhow::Result<CertificateDer<'static>> {
    let mut params = params("Rollcall authority", now, life);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root = params
        .self_signed(key)
        .context("cannot sign the authority's certificate")?;
    Ok(der(&root))
}

/// The certificate of something that listens: the collector, or a beacon.
pub(super) fn listener(
    issuer: &Issuer<'_, KeyPair>,
    key: &KeyPair,
    names: &ServerNames,
    uri: Option<String>,
    now: UnixMs,
    life: Duration,
) -> anyhow::Result<CertificateDer<'static>> {
    let mut params = params("Rollcall collector", now, life);
    for name in &names.names {
        let text = name
            .as_str()
            .try_into()
            .with_context(|| format!("`{name}` is no host name"))?;
        params.subject_alt_names.push(SanType::DnsName(text));
    }
    let addresses = names
        .addresses
        .iter()
        .map(|address| SanType::IpAddress(*address));
    params.subject_alt_names.extend(addresses);
    if let Some(uri) = uri {
        let uri = uri
            .as_str()
            .try_into()
            .context("a beacon's URI is plain text")?;
        params.subject_alt_names.push(SanType::URI(uri));
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params
        .signed_by(key, issuer)
        .context("cannot sign a certificate")?;
    Ok(der(&certificate))
}

/// The certificate of a device.
pub(super) fn device(
    issuer: &Issuer<'_, KeyPair>,
    device: DeviceId,
    request: &SigningRequest,
    now: UnixMs,
    life: Duration,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = params("Rollcall device", now, life);
    params.subject_alt_names = vec![SanType::URI(device.to_uri().as_str().try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let request = CertificateSigningRequestParams {
        params,
        public_key: request.0.public_key.clone(),
    };
    Ok(der(&request.signed_by(issuer)?))
}

/// Whether the first certificate of a chain lives for longer than `left` from now.
pub(super) fn lives_on(chain: &[CertificateDer<'_>], now: UnixMs, left: Duration) -> bool {
    let parsed = chain
        .first()
        .and_then(|der| X509Certificate::from_der(der).ok());
    let ends_s = parsed.map(|(_, parsed)| parsed.validity().not_after.timestamp());
    let needed_s = now.seconds().saturating_add_unsigned(left.as_secs());
    ends_s.is_some_and(|ends_s| ends_s > needed_s)
}

/// Whether a root is as it was signed, and the key its own: with a damaged one no laptop would know its
/// collector, and nobody would say why.
pub(super) fn check_root(root: &CertificateDer<'_>, key: &KeyPair) -> anyhow::Result<()> {
    let (_, parsed) =
        X509Certificate::from_der(root).context("authority.pem holds no certificate")?;
    anyhow::ensure!(
        parsed.public_key().subject_public_key.data == key.public_key_raw(),
        "authority.key is not the key of the certificate in authority.pem"
    );
    parsed
        .verify_signature(None)
        .context("the certificate in authority.pem is not as it was signed")
}

/// Whether a chain is as it was signed by this root, and the key its own.
pub(super) fn is_whole(identity: &Identity, root: &CertificateDer<'_>) -> bool {
    let whole = || {
        let (_, leaf) = X509Certificate::from_der(identity.chain.first()?).ok()?;
        let (_, signer) = X509Certificate::from_der(root).ok()?;
        leaf.verify_signature(Some(signer.public_key())).ok()?;
        let key = KeyPair::try_from(&identity.key).ok()?;
        let same = leaf.public_key().subject_public_key.data == key.public_key_raw();
        (same && identity.chain.last() == Some(root)).then_some(())
    };
    whole().is_some()
}

/// When a certificate's life begins.
pub(super) fn begin(certificate: &CertificateDer<'_>) -> Option<UnixMs> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let begins_s = parsed.validity().not_before.timestamp();
    Some(UnixMs(begins_s.saturating_mul(1000)))
}

fn params(name: &str, now: UnixMs, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let epoch = date_time_ymd(1970, 1, 1);
    let since_epoch = Duration::from_secs(u64::try_from(now.seconds()).unwrap_or(0));
    params.not_before = epoch + since_epoch;
    params.not_after = epoch + since_epoch + life;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = Some(random_serial());
    params
}

fn der(certificate: &Certificate) -> CertificateDer<'static> {
    certificate.der().clone()
}

/// 127 random bits: a serial number is positive (RFC 5280, section 4.1.2.2).
fn random_serial() -> SerialNumber {
    let mut bytes = [0_u8; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}
