//! Asking the collector for an identity: with a token, as a clone, or for a new certificate.

use std::future::Future;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rollcall_proto::v1;
use rollcall_proto::v1::agent_service_client::AgentServiceClient;
use rollcall_shared::id::DeviceId;
use rollcall_shared::limits;
use rollcall_shared::refusal::{REFUSAL_KEY, Refusal};
use rollcall_shared::time::UnixMs;
use rollcall_shared::tls::{self, Trust};
use rollcall_shared::token::{AuthorityFingerprint, EnrolmentToken};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::{DeviceRecord, Identity, Machine, pending};
use crate::paths::Paths;
use crate::stream::connector::{ConnectError, Connector, innermost};

/// By what an enrolment is allowed.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// A token that a technician made, and the former identity where there is one: a laptop that
    /// shows it stays the same device.
    Token(&'a EnrolmentToken, Option<&'a Identity>),
    /// The identity on a cloned disk, together with hardware that is not its own.
    Cloned(&'a Identity),
}

/// What the collector gave.
#[derive(Debug)]
pub struct Issued {
    /// The identity from now on.
    pub identity: Identity,
    /// The collector's clock when it answered.
    pub server_time: UnixMs,
}

/// Why the collector gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It could not be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It refused, and said why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call failed otherwise.
    #[error("{0}")]
    Failed(String),
    /// Its answer cannot be used.
    #[error("the collector's answer cannot be used: {0}")]
    Malformed(String),
}

impl CallError {
    /// Whether trying the same again in some seconds may help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Failed(_) => true,
            Self::Refused(refusal) => {
                matches!(refusal, Refusal::TooMany | Refusal::StoreUnavailable)
            }
            Self::Malformed(_) => false,
        }
    }
}

impl From<tonic::Status> for CallError {
    fn from(status: tonic::Status) -> Self {
        refusal_of(&status).map_or_else(|| Self::Failed(words_of(&status)), Self::Refused)
    }
}

/// A status without a refusal, in words. One that has a cause was made here, of a lost connection;
/// one without came from the collector.
fn words_of(status: &tonic::Status) -> String {
    let Some(cause) = std::error::Error::source(status) else {
        return format!(
            "the collector says: {} ({:?})",
            status.message(),
            status.code()
        );
    };
    let cause = innermost(cause);
    // rustls adds the address of its manual, which helps no technician.
    let cause = cause.split(": https://").next().unwrap_or_default();
    format!("the connection to the collector was lost: {cause}")
}

/// The refusal that travels beside a gRPC status.
#[must_use]
pub fn refusal_of(status: &tonic::Status) -> Option<Refusal> {
    let word = status.metadata().get(REFUSAL_KEY)?.to_str().ok()?;
    Refusal::from_word(word)
}

/// Gives this laptop an identity of its own, by a key that nobody else has seen and that is lost
/// with the answer.
///
/// # Errors
/// [`CallError`] says which step failed or why the collector refused.
pub async fn enroll(
    connector: &Connector,
    credential: Credential<'_>,
    machine: &Machine,
) -> Result<Issued, CallError> {
    request_identity(connector, credential, machine, Request::new()?).await
}

/// Enrols by a token, with a key that is kept until the identity is stored: when an answer is lost,
/// the next try is the same enrolment and costs no second use of the token.
///
/// # Errors
/// [`CallError`] says which step failed or why the collector refused.
pub async fn enroll_once(
    paths: &Paths,
    connector: &Connector,
    token: &EnrolmentToken,
    former: Option<&Identity>,
    machine: &Machine,
) -> Result<Issued, CallError> {
    let key = pending::key(paths, &machine.fingerprint)
        .map_err(|error| CallError::Failed(format!("the new key could not be kept: {error}")))?;
    let credential = Credential::Token(token, former);
    request_identity(connector, credential, machine, Request::over(key)?).await
}

async fn request_identity(
    connector: &Connector,
    credential: Credential<'_>,
    machine: &Machine,
    request: Request,
) -> Result<Issued, CallError> {
    let (trust, identity, secret) = match credential {
        Credential::Token(token, former) => (
            Trust::Pinned(token.authority),
            shown(token, former)?,
            token.secret.as_bytes().to_vec(),
        ),
        Credential::Cloned(identity) => (
            identity.trust(),
            Some(identity.tls().map_err(ConnectError::from)?),
            Vec::new(),
        ),
    };
    let mut client = client(connector.channel(trust, identity).await?);
    let answer = bounded(client.enroll(v1::EnrollRequest {
        token_secret: secret,
        signing_request: request.der.clone(),
        hardware: Some(machine.into()),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    }));
    let answer = answer.await?;
    let device = DeviceId::try_from(answer.device.as_slice())
        .map_err(|error| CallError::Malformed(format!("device: {error}")))?;
    let collector = connector.address.clone();
    let record = DeviceRecord {
        device,
        collector,
        hardware: machine.fingerprint.clone(),
    };
    request.issued(
        record,
        answer.certificate_chain,
        answer.authority_roots,
        answer.server_time_ms,
    )
}

/// The former identity, unless it is of another authority: the handshake would end on it.
fn shown(
    token: &EnrolmentToken,
    former: Option<&Identity>,
) -> Result<Option<tls::Identity>, ConnectError> {
    let is_ours = |root: &CertificateDer<'_>| AuthorityFingerprint::of(root) == token.authority;
    let former = former.filter(|identity| identity.roots().iter().any(is_ours));
    Ok(former.map(Identity::tls).transpose()?)
}

/// Takes a new certificate, with a new key, for the same device.
///
/// # Errors
/// [`CallError`] says which step failed or why the collector refused.
pub async fn renew(connector: &Connector, identity: &Identity) -> Result<Issued, CallError> {
    let request = Request::new()?;
    let tls = identity.tls().map_err(ConnectError::from)?;
    let mut client = client(connector.channel(identity.trust(), Some(tls)).await?);
    let answer = bounded(client.renew(v1::RenewRequest {
        signing_request: request.der.clone(),
    }));
    let answer = answer.await?;
    let record = DeviceRecord {
        collector: connector.address.clone(),
        ..identity.record().clone()
    };
    request.issued(
        record,
        answer.certificate_chain,
        answer.authority_roots,
        answer.server_time_ms,
    )
}

/// A client that holds to the limits of the wire.
#[must_use]
pub fn client(channel: Channel) -> AgentServiceClient<Channel> {
    AgentServiceClient::new(channel)
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES)
}

async fn bounded<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, CallError> {
    match timeout(limits::CONNECT_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => {
            let seconds = limits::CONNECT_TIMEOUT.as_secs();
            let words = format!("the collector gave no answer within {seconds} s");
            Err(CallError::Failed(words))
        }
    }
}

/// A key and the request for a certificate over it.
struct Request {
    key: KeyPair,
    der: Vec<u8>,
}

impl Request {
    fn new() -> Result<Self, CallError> {
        Self::over(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Self::failed)?)
    }

    fn failed(error: rcgen::Error) -> CallError {
        CallError::Failed(format!("no key could be made: {error}"))
    }

    fn over(key: KeyPair) -> Result<Self, CallError> {
        let mut params = CertificateParams::default();
        // The collector gives the name; a request without one says nothing that it could believe.
        params.distinguished_name = DistinguishedName::new();
        let der = params
            .serialize_request(&key)
            .map_err(Self::failed)?
            .der()
            .to_vec();
        Ok(Self { key, der })
    }

    fn issued(
        &self,
        record: DeviceRecord,
        chain: Vec<Vec<u8>>,
        roots: Vec<Vec<u8>>,
        server_time_ms: i64,
    ) -> Result<Issued, CallError> {
        let certificates = |all: Vec<Vec<u8>>| all.into_iter().map(CertificateDer::from).collect();
        let key = self.key.serialize_pem();
        let identity = Identity::new(record, key, certificates(chain), certificates(roots))
            .map_err(CallError::Malformed)?;
        Ok(Issued {
            identity,
            server_time: UnixMs(server_time_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        let eof = std::io::Error::other("peer closed connection: https://docs.rs/rustls");
        let lost = CallError::from(tonic::Status::from_error(Box::new(eof))).to_string();
        assert_eq!(
            lost,
            "the connection to the collector was lost: peer closed connection"
        );
        let said = CallError::from(tonic::Status::unavailable("it is shutting down"));
        assert!(
            said.to_string()
                .contains("it is shutting down (Unavailable)"),
            "{said}"
        );
        let mut refused = tonic::Status::permission_denied("");
        let word = Refusal::TokenExpired.word().parse().unwrap();
        refused.metadata_mut().insert(REFUSAL_KEY, word);
        assert!(matches!(
            CallError::from(refused),
            CallError::Refused(Refusal::TokenExpired)
        ));
    }
}
