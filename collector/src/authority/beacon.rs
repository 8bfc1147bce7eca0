//! A beacon: a TLS endpoint that answers only inside a school, and by that says where a laptop is.
//!
//! It needs no data and no store; a site runs it on any machine that laptops reach on campus only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rollcall_shared::limits;
use rollcall_shared::tls::{self, Identity};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Handshakes at once: a school of 2,000 laptops that wake at the same bell needs some seconds.
const HANDSHAKES: usize = 256;

/// After an error of accept, such as too many open files, wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a beacon answers to whoever asks in HTTP; the handshake alone says it all.
const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

/// A beacon, listening.
#[derive(Debug)]
pub struct BeaconServer {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

impl BeaconServer {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address cannot be had, or the key does not belong to the certificate.
    pub async fn bind(listen: SocketAddr, identity: Identity) -> anyhow::Result<Self> {
        let config = ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .context("the key does not belong to the certificate")?;
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("cannot listen on {listen}; `--listen` sets another address")
        })?;
        Ok(Self {
            listener,
            tls: Arc::new(config),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let acceptor = TlsAcceptor::from(self.tls);
        let places = Arc::new(Semaphore::new(HANDSHAKES));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let answered = answer(&acceptor, stream);
                // Whoever does not finish is dropped, as is whoever broke off.
                let _ = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, answered).await;
                drop(place);
            });
        }
    }
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    stream.write_all(ANSWER).await?;
    stream.shutdown().await
}
