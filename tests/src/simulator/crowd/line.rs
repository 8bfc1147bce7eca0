//! One connection of the crowd: a socket that never blocks, TLS and HTTP/2 over it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as StdStream};
use std::sync::Arc;

use mio::net::TcpStream;
use rollcall_proto::v1;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use super::http2::{End, Http2};

/// What rustls reads at once; less than this came means that the socket is empty.
const READ: usize = 4096;

/// A connection.
#[derive(Debug)]
pub struct Line {
    socket: TcpStream,
    tls: ClientConnection,
    http2: Http2,
    /// When it was begun.
    pub began_us: u64,
    /// Whether Welcome has come.
    pub is_welcome: bool,
    /// Whether reports went over it.
    pub has_sent: bool,
    /// Whether its handshake was counted.
    pub is_counted: bool,
    is_closed: bool,
}

/// Bytes that went either way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    /// Sent.
    pub up: u64,
    /// Received.
    pub down: u64,
}

/// Begins to connect from `source`, or from where the system chooses.
///
/// # Errors
/// What the system says.
pub fn begin(to: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if let Some(source) = source {
        bind(&socket, &SocketAddr::from((source, 0)))?;
    }
    match connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = TcpStream::from_std(StdStream::from(socket));
    socket.set_nodelay(true)?;
    Ok(socket)
}

impl Line {
    /// A connection over `socket`; the call and `hello` are sent with the end of the handshake.
    ///
    /// # Errors
    /// When TLS does not take the configuration.
    pub fn new(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        authority: &str,
        hello: &[u8],
        now_us: u64,
    ) -> io::Result<Self> {
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        // Credit bounds what is sent, so that nothing is ever cut off here.
        tls.set_buffer_limit(None);
        let mut out = Vec::with_capacity(512);
        let mut http2 = Http2::call(authority, "/rollcall.v1.AgentService/Stream", &mut out);
        http2.send(hello, false, &mut out);
        tls.writer().write_all(&out)?;
        Ok(Self {
            socket,
            tls,
            http2,
            began_us: now_us,
            is_welcome: false,
            has_sent: false,
            is_counted: false,
            is_closed: false,
        })
    }

    /// The socket, to be registered.
    pub const fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// How the handshake went, once it is over.
    #[must_use]
    pub fn handshake(&self) -> Option<HandshakeKind> {
        if self.tls.is_handshaking() {
            None
        } else {
            self.tls.handshake_kind()
        }
    }

    /// How the collector ended the call, if it did.
    #[must_use]
    pub const fn ended(&self) -> Option<End> {
        self.http2.ended()
    }

    /// Whether the collector has closed the connection.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Takes in what has come and answers it.
    ///
    /// # Errors
    /// When the connection has broken.
    pub fn receive(
        &mut self,
        to_its_end: bool,
        heard: &mut Vec<v1::Down>,
        traffic: &mut Traffic,
    ) -> io::Result<()> {
        let mut out = Vec::new();
        loop {
            let count = match self.tls.read_tls(&mut self.socket) {
                Ok(0) => {
                    self.is_closed = true;
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            traffic.down += count as u64;
            self.tls.process_new_packets().map_err(io::Error::other)?;
            self.read_plain(&mut out, heard)?;
            if count < READ && !to_its_end {
                break;
            }
        }
        self.tls.writer().write_all(&out)?;
        self.flush(traffic)
    }

    fn read_plain(&mut self, out: &mut Vec<u8>, heard: &mut Vec<v1::Down>) -> io::Result<()> {
        let mut plain = [0; READ];
        loop {
            match self.tls.reader().read(&mut plain) {
                Ok(0) => {
                    self.is_closed = true;
                    return Ok(());
                }
                Ok(count) => {
                    let received = self.http2.receive(&plain[..count], out, heard);
                    received.map_err(io::Error::other)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When the connection has broken.
    pub fn send(
        &mut self,
        message: &[u8],
        is_compressed: bool,
        traffic: &mut Traffic,
    ) -> io::Result<()> {
        let mut out = Vec::with_capacity(message.len() + 32);
        self.http2.send(message, is_compressed, &mut out);
        self.tls.writer().write_all(&out)?;
        self.flush(traffic)
    }

    /// Ends the call and the connection in order.
    pub fn finish(&mut self, traffic: &mut Traffic) {
        let mut out = Vec::new();
        self.http2.finish(&mut out);
        let _ = self.tls.writer().write_all(&out);
        self.tls.send_close_notify();
        let _ = self.flush(traffic);
    }

    /// Sends what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// When the connection has broken.
    pub fn flush(&mut self, traffic: &mut Traffic) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(count) => traffic.up += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A connection that does not stand yet is told so in two ways.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
