//! From a socket to a connection whose peer is known.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use rollcall_shared::limits;
use rollcall_shared::tls::DeviceCertificate;
use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::server::Connected;

use super::patience::{Patience, Served};
use super::secure::Secure;
use super::{Reason, Shared, device_of, transport};

/// Handshakes at once. One takes about 0.3 ms of a processor, so this is a queue of about 1.3 s for
/// two; those who come later wait in the kernel's. Whoever connects and says nothing holds a place
/// and about 10 KiB for [`limits::HANDSHAKE_TIMEOUT`]: with 512 places, 34 such connections a second
/// from one machine kept every laptop out.
const HANDSHAKES: usize = 8192;

/// Connections that have shaken hands and wait for the server.
const READY: usize = 64;

/// Connections without a device's certificate: an imaging room that enrols, and programs that ask the
/// query stage. Laptops of the fleet do not count, so that strangers cannot take their places.
pub(super) const STRANGERS: usize = 512;

/// After an error of accept, such as too many open files, wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its address. It identifies nobody: a school has one for all.
    pub address: SocketAddr,
    /// What its certificate says, if it has one of a device.
    pub certificate: Option<DeviceCertificate>,
}

/// What a request knows of its connection.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Who it is.
    pub peer: Peer,
    /// Whether it was given something.
    pub served: Served,
}

impl Peer {
    /// Who acts, for the audit.
    pub(super) fn actor(&self) -> String {
        match self.certificate {
            Some(certificate) => format!("device {}", certificate.device),
            None => self.address.ip().to_string(),
        }
    }

    /// The device, for the audit; empty without a certificate.
    pub(super) fn subject(&self) -> String {
        self.certificate
            .map_or_else(String::new, |certificate| certificate.device.to_string())
    }
}

/// A stranger's connection that has shaken hands.
pub(super) struct Connection {
    stream: Secure,
    caller: Caller,
    counted: Counted,
    /// Its place among the strangers, and how long it may keep that silently.
    place: Option<(OwnedSemaphorePermit, Patience)>,
}

/// A connection is counted for as long as this lives.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The strangers' connections that come in, until the shutdown; laptops of the fleet are served
/// apart from them, and may make calls to `routes` too.
pub(super) fn connections(
    listener: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    shared: Arc<Shared>,
    routes: Routes,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(READY);
    tokio::spawn(accept(listener, tls, shared, (routes, ready)));
    ReceiverStream::new(connections)
}

/// Where connections go: laptops to the routes, strangers to the server that is ready for them.
type Onward = (Routes, mpsc::Sender<io::Result<Connection>>);

async fn accept(
    listener: TcpListener,
    tls: Arc<ArcSwap<ServerConfig>>,
    shared: Arc<Shared>,
    onward: Onward,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.shutdown.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, shared) = (tls.load_full(), Arc::clone(&shared));
        let onward = onward.clone();
        tokio::spawn(async move {
            if let Some(secure) = shake_hands(tls, stream, address, &shared).await {
                welcome(secure, address, shared, onward).await;
            }
            drop(place);
        });
    }
}

async fn shake_hands(
    tls: Arc<ServerConfig>,
    stream: TcpStream,
    address: SocketAddr,
    shared: &Shared,
) -> Option<Secure> {
    prepare(&stream);
    let shaken = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, Secure::accept(stream, tls)).await;
    match shaken {
        Ok(Ok(secure)) => Some(secure),
        Ok(Err(error)) => {
            shared.note_bad_handshake(address, &error).await;
            None
        }
        Err(_) => {
            shared.counters.count(Reason::HandshakeTimeout, 1);
            None
        }
    }
}

/// Hands a connection on: a laptop of the fleet is served by a task of its own.
async fn welcome(secure: Secure, address: SocketAddr, shared: Arc<Shared>, onward: Onward) {
    let (routes, ready) = onward;
    let certificate = device_of(secure.peer_certificates());
    let served = Served::default();
    let peer = Peer {
        address,
        certificate,
    };
    let caller = Caller {
        peer,
        served: served.clone(),
    };
    if let Some(certificate) = certificate {
        let Some(seat) = shared.seats.take(certificate.device) else {
            return shared.counters.count(Reason::TooManyOfOne, 1);
        };
        let counted = Counted::new(Arc::clone(&shared));
        let laptops = shared.laptops.clone();
        laptops.spawn(async move {
            transport::serve(secure, caller, shared, routes).await;
            drop((counted, seat));
        });
        return;
    }
    let Some(place) = shared.place_for_stranger() else {
        return;
    };
    let patience = Patience::new(served, shared.patience);
    let connection = Connection {
        stream: secure,
        caller,
        counted: Counted::new(shared),
        place: Some((place, patience)),
    };
    // The server takes no more once it shuts down.
    let _ = ready.send(Ok(connection)).await;
}

/// Options of a socket. That a laptop is still there costs no message and nobody's processor: the
/// kernel asks after [`limits::KEEPALIVE_INTERVAL`] of silence, three times, and one that has gone is
/// noticed after about eight and a half minutes. Without them a connection works as well.
fn prepare(stream: &TcpStream) {
    // Acknowledgements are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(stream, limits::KEEPALIVE_INTERVAL);
        let _ = sockopt::set_tcp_keepintvl(stream, limits::KEEPALIVE_TIMEOUT);
        let _ = sockopt::set_tcp_keepcnt(stream, 3);
    }
}

impl Shared {
    fn place_for_stranger(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.strangers).try_acquire_owned();
        if place.is_err() {
            self.counters.count(Reason::TooManyStrangers, 1);
        }
        place.ok()
    }

    async fn note_bad_handshake(&self, address: SocketAddr, error: &io::Error) {
        self.counters.count(Reason::Handshake, 1);
        // Whoever only looks whether the port is open leaves without a word.
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return;
        }
        let peer = Peer {
            address,
            certificate: None,
        };
        let (outcome, detail) = ("handshake-failed", error.to_string());
        self.refusals
            .remark(peer, "connect", outcome, detail, self.now())
            .await;
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl Connection {
    /// Ends a stranger's connection that has brought no request in time.
    fn check_patience(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over = match &mut self.place {
            Some((_, patience)) => patience.is_over(context),
            None => false,
        };
        if !over {
            return Ok(());
        }
        // Its place is free from here on, and it is counted once.
        self.place = None;
        self.counted.0.counters.count(Reason::StrangerSilent, 1);
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_patience(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_patience(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_patience(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
