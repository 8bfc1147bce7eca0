//! From an address to a gRPC channel: TCP, a proxy's CONNECT where there is one, TLS, HTTP/2.
//!
//! Each step that fails is told in words on which a technician can act.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use rollcall_shared::{limits, tls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::address::{Address, Proxy};
use super::filter;
use crate::collect::{self, Roots};
use crate::service;

/// Bytes of a proxy's answer to CONNECT; the answers of common proxies have less than 1 KiB.
const PROXY_ANSWER_BYTES: usize = 8 * 1024;

/// How to get to one collector.
#[derive(Debug, Clone)]
pub struct Connector {
    /// The collector.
    pub address: Address,
    /// The proxy on the way, if one is set.
    pub proxy: Option<Proxy>,
    /// Where the proxies of the system are looked up that are tried when the straight way fails; `None`
    /// where they are not.
    detours: Option<Roots>,
    /// How it speaks TLS with the identity that it has, and the tickets that it was given.
    known: Arc<Mutex<Option<Known>>>,
}

/// What connections of one identity share, so that the next resumes the session of the last. In
/// memory alone: whoever has the disk has no ticket.
#[derive(Debug, Clone)]
struct Known {
    certificate: CertificateDer<'static>,
    config: Arc<ClientConfig>,
    witness: Arc<Witness>,
}

/// Which step towards the collector failed, and what to look at.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// DNS has no answer.
    #[error("the name {host} was not found; check the address, and DNS on this network")]
    NameNotFound {
        /// The name that was looked up.
        host: String,
    },
    /// There is no network at all.
    #[error(
        "{address} was not found: this laptop has no network, since no link has a way out (no default \
         route)"
    )]
    NoNetwork {
        /// Where to.
        address: Address,
    },
    /// Something that speaks no TLS answered in the collector's place.
    #[error(
        "{address} is blocked by {filter}, which answers in the collector's place; have the collector \
         allowed there"
    )]
    Filtered {
        /// Where to.
        address: Address,
        /// The filter, as it names itself.
        filter: String,
    },
    /// Somebody answered that nobody listens there.
    #[error("{address} refused the connection; nothing listens there, or a firewall refuses")]
    Refused {
        /// Where to.
        address: Address,
    },
    /// A step took longer than it may.
    #[error("{step} at {address} took longer than {} s; a firewall may drop it", limits::CONNECT_TIMEOUT.as_secs())]
    TimedOut {
        /// The step that took too long.
        step: &'static str,
        /// Where to.
        address: Address,
    },
    /// Another failure of the network.
    #[error("{address} could not be reached: {source}")]
    Unreachable {
        /// Where to.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// The proxy did not open a tunnel.
    #[error(
        "the proxy {proxy} answered `{answer}` to CONNECT {address}{}",
        proxy_advice(answer)
    )]
    Proxy {
        /// The proxy.
        proxy: Proxy,
        /// Where to.
        address: Address,
        /// The first line of its answer.
        answer: String,
    },
    /// The certificate is of an authority that this agent does not trust.
    #[error(
        "{address} showed a certificate of another authority than the collector's, issued by \
         {issuer}{}; if that is a filter which inspects TLS, exempt the collector from it",
        filter_of(issuer)
    )]
    NotOurAuthority {
        /// Where to.
        address: Address,
        /// Who issued the certificate.
        issuer: String,
    },
    /// The certificate is for other names.
    #[error(
        "the certificate at {address} does not name {host}{presented}; make the collector's \
         certificate anew with this name, or use a name that it has"
    )]
    WrongName {
        /// Where to.
        address: Address,
        /// The name that was asked for.
        host: String,
        /// The names that the certificate has, in words.
        presented: String,
    },
    /// TLS failed otherwise.
    #[error("TLS with {address} failed: {source}")]
    Tls {
        /// Where to.
        address: Address,
        /// What TLS says.
        source: io::Error,
    },
    /// Our own key or certificate cannot be used.
    #[error("the identity of this agent cannot be used: {0}")]
    Identity(#[from] rustls::Error),
    /// HTTP/2 failed on a connection that TLS had opened.
    #[error("{address} ended the connection: {reason}")]
    Http {
        /// Where to.
        address: Address,
        /// What was said.
        reason: String,
    },
}

impl Connector {
    /// The way to this collector.
    #[must_use]
    pub fn new(address: Address, proxy: Option<Proxy>) -> Self {
        Self {
            address,
            proxy,
            detours: None,
            known: Arc::default(),
        }
    }

    /// The same, which tries the proxies of the system, looked up in `roots`, where the straight way fails.
    #[must_use]
    pub fn with_detours(self, roots: Roots) -> Self {
        Self {
            detours: Some(roots),
            ..self
        }
    }

    /// A channel over a connection that is up. It does not reconnect by itself: when a connection is
    /// tried again, the session decides.
    ///
    /// # Errors
    /// The step that failed.
    pub async fn channel(
        &self,
        trust: tls::Trust,
        identity: Option<tls::Identity>,
    ) -> Result<Channel, ConnectError> {
        let (config, witness) = self.config(trust, identity)?;
        let stream = self.secure(config, &witness).await?;
        let http = |error: tonic::transport::Error| ConnectError::Http {
            address: self.address.clone(),
            reason: innermost(&error),
        };
        let mut established = Some(stream);
        let connector = tower::service_fn(move |_: http::Uri| {
            let stream = established.take().map(TokioIo::new);
            let gone = || io::Error::new(io::ErrorKind::NotConnected, "the connection is gone");
            std::future::ready(stream.ok_or_else(gone))
        });
        let endpoint = self.endpoint().map_err(http)?;
        endpoint
            .connect_with_connector(connector)
            .await
            .map_err(http)
    }

    fn endpoint(&self) -> Result<Endpoint, tonic::transport::Error> {
        Ok(Endpoint::from_shared(format!("https://{}", self.address))?
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .http2_keep_alive_interval(limits::PING_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true))
    }

    /// How to speak TLS: as before, while the identity is the same one.
    fn config(
        &self,
        trust: tls::Trust,
        identity: Option<tls::Identity>,
    ) -> Result<(Arc<ClientConfig>, Arc<Witness>), ConnectError> {
        let own = identity
            .as_ref()
            .and_then(|identity| identity.chain.first());
        let own = own.cloned();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known
            .as_ref()
            .filter(|known| Some(&known.certificate) == own.as_ref())
        {
            return Ok((Arc::clone(&known.config), Arc::clone(&known.witness)));
        }
        let mut config = tls::client_config(trust.clone(), identity)?;
        let witness = Arc::new(Witness {
            inner: tls::ServerByAuthority::new(trust)?,
            issuer: Mutex::new(None),
        });
        let verifier = Arc::<Witness>::clone(&witness);
        config.dangerous().set_certificate_verifier(verifier);
        let config = Arc::new(config);
        *known = own.map(|certificate| Known {
            certificate,
            config: Arc::clone(&config),
            witness: Arc::clone(&witness),
        });
        Ok((config, witness))
    }

    async fn secure(
        &self,
        config: Arc<ClientConfig>,
        witness: &Witness,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let tcp = self.tcp().await?;
        let name = ServerName::try_from(self.address.host().to_owned());
        let name = name.map_err(|_| ConnectError::NameNotFound {
            host: self.address.host().to_owned(),
        })?;
        let handshake = TlsConnector::from(config).connect(name, tcp);
        match timeout(limits::CONNECT_TIMEOUT, handshake).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) if is_no_tls(&source) => Err(self.name_filter(source).await),
            Ok(Err(source)) => Err(explain_tls(&self.address, source, witness.issuer())),
            Err(_) => Err(self.timed_out("the TLS handshake")),
        }
    }

    /// Who answers in clear where TLS was asked for, if it says so.
    async fn name_filter(&self, source: io::Error) -> ConnectError {
        let ask = async {
            let mut tcp = self.tcp().await.ok()?;
            filter::ask(&mut tcp, self.address.host())
                .await
                .ok()
                .flatten()
        };
        match timeout(limits::CONNECT_TIMEOUT, ask).await {
            Ok(Some(filter)) => ConnectError::Filtered {
                address: self.address.clone(),
                filter,
            },
            _ => explain_tls(&self.address, source, None),
        }
    }

    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        if let Some(proxy) = &self.proxy {
            return self.tunnel(proxy).await;
        }
        match open_tcp(&self.address).await {
            Err(straight) => self.detour(straight).await,
            open => open,
        }
    }

    /// By the proxies that the system knows, as for other programs. A proxy that answers has the last word,
    /// any other failure is that of the straight way.
    async fn detour(&self, straight: ConnectError) -> Result<TcpStream, ConnectError> {
        let Some(roots) = &self.detours else {
            return Err(straight);
        };
        let (host, port) = (self.address.host(), self.address.port());
        let mut said = straight;
        for proxy in collect::proxies_towards(roots, host, port).await {
            let Ok(proxy) = Proxy::of_system(&proxy) else {
                continue;
            };
            match self.tunnel(&proxy).await {
                Ok(tcp) => return Ok(tcp),
                Err(refused @ ConnectError::Proxy { .. }) => said = refused,
                Err(error) => tracing::debug!(%error, "a proxy of the system leads nowhere"),
            }
        }
        Err(said)
    }

    async fn tunnel(&self, proxy: &Proxy) -> Result<TcpStream, ConnectError> {
        let mut tcp = open_tcp(proxy.address()).await?;
        let tunnel = open_tunnel(&mut tcp, proxy, &self.address);
        match timeout(limits::CONNECT_TIMEOUT, tunnel).await {
            Ok(opened) => opened.map(|()| tcp),
            Err(_) => Err(self.timed_out("the proxy's CONNECT")),
        }
    }

    fn timed_out(&self, step: &'static str) -> ConnectError {
        ConnectError::TimedOut {
            step,
            address: self.address.clone(),
        }
    }
}

async fn open_tcp(address: &Address) -> Result<TcpStream, ConnectError> {
    let timed_out = |step| ConnectError::TimedOut {
        step,
        address: address.clone(),
    };
    let look_up = tokio::net::lookup_host((address.host(), address.port()));
    let found = timeout(limits::CONNECT_TIMEOUT, look_up)
        .await
        .map_err(|_| timed_out("looking the name up"))?;
    let not_found = || match service::has_way_out() {
        Some(false) => ConnectError::NoNetwork {
            address: address.clone(),
        },
        _ => ConnectError::NameNotFound {
            host: address.host().to_owned(),
        },
    };
    let candidates: Vec<_> = found.map_err(|_| not_found())?.collect();
    let mut last = not_found();
    // A host with a dead IPv6 route answers on its next address.
    let share = limits::CONNECT_TIMEOUT / u32::try_from(candidates.len().clamp(1, 4)).unwrap_or(1);
    for candidate in candidates {
        last = match timeout(share, TcpStream::connect(candidate)).await {
            Ok(Ok(tcp)) => {
                prepare(&tcp);
                return Ok(tcp);
            }
            Ok(Err(source)) => explain_tcp(address, source),
            Err(_) => timed_out("the connection"),
        };
    }
    Err(last)
}

/// Options that only make the connection better: without them it works as well.
fn prepare(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(tcp, true);
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::net::sockopt::set_tcp_keepidle(tcp, limits::KEEPALIVE_INTERVAL);
        let _ = rustix::net::sockopt::set_tcp_keepintvl(tcp, limits::KEEPALIVE_TIMEOUT);
    }
}

async fn open_tunnel(
    tcp: &mut TcpStream,
    proxy: &Proxy,
    address: &Address,
) -> Result<(), ConnectError> {
    let broken = |source| ConnectError::Unreachable {
        address: proxy.address().clone(),
        source,
    };
    let request = proxy.connect_request(address);
    tcp.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the answer belongs to TLS already.
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < PROXY_ANSWER_BYTES {
        match tcp.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(broken(error)),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let first = text.lines().next().unwrap_or_default();
    if is_success(first) && answer.ends_with(b"\r\n\r\n") {
        return Ok(());
    }
    let answer = first
        .chars()
        .filter(|c| !c.is_control())
        .take(120)
        .collect();
    Err(ConnectError::Proxy {
        proxy: proxy.clone(),
        address: address.clone(),
        answer,
    })
}

fn is_success(status_line: &str) -> bool {
    let mut words = status_line.split(' ');
    let version = words
        .next()
        .is_some_and(|version| version.starts_with("HTTP/1."));
    version
        && words
            .next()
            .is_some_and(|code| code.len() == 3 && code.starts_with('2'))
}

fn proxy_advice(answer: &str) -> &'static str {
    if answer.contains(" 407") {
        "; it asks for a user name and a password, which `proxy` in agent.toml can hold"
    } else {
        "; it may have to be told to allow the collector"
    }
}

fn explain_tcp(address: &Address, source: io::Error) -> ConnectError {
    let address = address.clone();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { address },
        io::ErrorKind::TimedOut => ConnectError::TimedOut {
            step: "the connection",
            address,
        },
        io::ErrorKind::NetworkUnreachable if service::has_way_out() == Some(false) => {
            ConnectError::NoNetwork { address }
        }
        _ => ConnectError::Unreachable { address, source },
    }
}

/// Whether the other end answered something that is no TLS.
fn is_no_tls(source: &io::Error) -> bool {
    let error = source.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(error, Some(rustls::Error::InvalidMessage(_)))
}

/// The product that an issuer's name gives away, in brackets.
fn filter_of(issuer: &str) -> String {
    filter::product(issuer).map_or_else(String::new, |product| format!(" (the filter {product})"))
}

fn explain_tls(address: &Address, source: io::Error, issuer: Option<String>) -> ConnectError {
    use CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    let certificate = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .and_then(|error| match error {
            rustls::Error::InvalidCertificate(why) => Some(why.clone()),
            _ => None,
        });
    let host = address.host().to_owned();
    let address = address.clone();
    match certificate {
        Some(UnknownIssuer | BadSignature) => {
            let issuer = issuer.unwrap_or_else(|| "somebody who is not named".to_owned());
            ConnectError::NotOurAuthority { address, issuer }
        }
        Some(NotValidForNameContext { presented, .. }) => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            let presented = format!(", only {}", names.join(", "));
            ConnectError::WrongName {
                address,
                host,
                presented,
            }
        }
        Some(NotValidForName) => ConnectError::WrongName {
            address,
            host,
            presented: String::new(),
        },
        _ => ConnectError::Tls { address, source },
    }
}

/// A name as rustls presents it, such as `DnsName("rollcall.example")`, without its wrapping.
fn plain_name(presented: &str) -> &str {
    let inner = presented
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(presented).trim_matches('"')
}

/// The last error of a chain, which is the one that says something.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Lets the shared verifier decide and remembers who issued a certificate that it refused.
#[derive(Debug)]
struct Witness {
    inner: tls::ServerByAuthority,
    issuer: Mutex<Option<String>>,
}

impl Witness {
    fn issuer(&self) -> Option<String> {
        self.issuer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if verified.is_err() {
            let issuer = tls::issuer_name(end_entity);
            *self.issuer.lock().unwrap_or_else(PoisonError::into_inner) = issuer;
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificates_names_are_told_plainly() {
        assert_eq!(
            plain_name("DnsName(\"rollcall.example\")"),
            "rollcall.example"
        );
        assert_eq!(plain_name("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(plain_name("other"), "other");
    }

    #[test]
    fn only_a_success_opens_a_tunnel() {
        assert!(is_success("HTTP/1.1 200 Connection established"));
        assert!(is_success("HTTP/1.0 200"));
        for line in [
            "HTTP/1.1 407 Proxy Authentication Required",
            "HTTP/1.1 2000",
            "SSH-2.0 200",
            "",
        ] {
            assert!(!is_success(line), "{line}");
        }
    }
}
