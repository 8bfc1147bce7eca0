//! TLS on a socket, without a buffer while nothing is under way: an idle laptop costs the state of its
//! keys and no more. `tokio-rustls` keeps 4 KiB for each connection; here what is read passes through
//! one buffer of each thread.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The largest TLS record with its head (RFC 8446, section 5.2), and a handshake's messages, which
/// have to fit in it together: a chain of certificates has some 2 KiB.
const RECORD_BYTES: usize = 5 + 16_384 + 256;

/// Bytes that may wait for the socket before no more is taken.
const UNSENT_BYTES: usize = 64 * 1024;

/// Bytes of plain text in one record.
const FRAGMENT_BYTES: usize = 16_384;

/// What a record adds to its plain text: a head, the kind within, and a tag.
const RECORD_OVERHEAD: usize = 5 + 1 + 16;

thread_local! {
    /// What is being read. Nothing is kept in it from one read to the next.
    static READING: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORD_BYTES]);
}

/// A server's side of a connection under TLS.
pub(super) struct Secure {
    tcp: TcpStream,
    tls: Box<UnbufferedServerConnection>,
    /// The beginning of a record whose end has not come.
    incoming: Vec<u8>,
    /// What was said to us and nobody has taken yet.
    plain: Vec<u8>,
    /// Records that wait for the socket.
    outgoing: Vec<u8>,
    /// The other side says no more.
    is_over: bool,
}

impl Secure {
    /// Shakes hands.
    ///
    /// # Errors
    /// As the socket and TLS have them; the other side has been told.
    pub async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(config).map_err(invalid)?;
        let mut secure = Self {
            tcp,
            tls: Box::new(tls),
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            is_over: false,
        };
        while secure.tls.is_handshaking() {
            std::future::poll_fn(|context| secure.poll_fill(context)).await?;
            std::future::poll_fn(|context| secure.poll_send(context)).await?;
            if secure.is_over {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(secure)
    }

    /// Whether something has come that was not taken.
    pub const fn has_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// Bytes that the socket has not taken yet.
    pub const fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    /// The certificates that the other side has shown, its own first; also on a resumed session.
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.peer_certificates()
    }

    /// Takes what was said to us.
    pub fn take_plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }

    /// Whether the other side says no more.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Encrypts what is to be said; [`Self::poll_send`] sends it.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn say(&mut self, plain: &[u8]) -> io::Result<()> {
        let mut incoming = std::mem::take(&mut self.incoming);
        let turned = self.turn(&mut incoming, Say::Plain(plain));
        incoming.drain(..turned?);
        self.incoming = compact(incoming);
        Ok(())
    }

    /// Sends what waits; ready when nothing waits any more.
    pub fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        while sent < self.outgoing.len() {
            match Pin::new(&mut self.tcp).poll_write(context, &self.outgoing[sent..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.outgoing.drain(..sent);
                    return Poll::Pending;
                }
            }
        }
        self.outgoing = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Reads once from the socket; ready when something has come, though it may not be whole.
    pub fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        READING.with_borrow_mut(|reading| self.poll_fill_by(context, reading))
    }

    fn poll_fill_by(
        &mut self,
        context: &mut Context<'_>,
        reading: &mut [u8],
    ) -> Poll<io::Result<()>> {
        let known = self.incoming.len();
        if known >= reading.len() {
            return Poll::Ready(Err(invalid("a record or a handshake that is too long")));
        }
        let mut buffer = ReadBuf::new(&mut reading[known..]);
        ready!(Pin::new(&mut self.tcp).poll_read(context, &mut buffer))?;
        let length = known + buffer.filled().len();
        if length == known {
            self.is_over = true;
            return Poll::Ready(Ok(()));
        }
        reading[..known].copy_from_slice(&self.incoming);
        let done = self.turn(&mut reading[..length], Say::Nothing);
        match done {
            Ok(done) => self.incoming = reading[done..length].to_vec(),
            Err(error) => {
                // The alert says why; whoever has gone does not hear it.
                let _ = self.poll_send(context);
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Lets TLS work on `records` until it wants more; returns how many bytes of them are done with.
    fn turn(&mut self, records: &mut [u8], say: Say<'_>) -> io::Result<usize> {
        let (mut done, mut said) = (0, false);
        loop {
            let status = self.tls.process_tls_records(&mut records[done..]);
            let UnbufferedStatus { mut discard, state } = status;
            let state = match state {
                Ok(state) => state,
                Err(error) => {
                    self.encode_alert(&mut records[done + discard..]);
                    return Err(invalid(error));
                }
            };
            let goes_on = match state {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        self.plain.extend_from_slice(record.payload);
                    }
                    true
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    grow(&mut self.outgoing, 0, |room| encoded(data.encode(room)))?;
                    true
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    true
                }
                ConnectionState::PeerClosed => {
                    self.is_over = true;
                    true
                }
                ConnectionState::WriteTraffic(mut traffic) if !said => {
                    said = true;
                    let outgoing = &mut self.outgoing;
                    match say {
                        Say::Nothing => {}
                        Say::Plain(plain) => {
                            let room = plain.len() + overhead(plain.len());
                            grow(outgoing, room, |room| {
                                encrypted(traffic.encrypt(plain, room))
                            })?;
                        }
                        Say::Goodbye => {
                            let room = 64;
                            grow(outgoing, room, |room| {
                                encrypted(traffic.queue_close_notify(room))
                            })?;
                        }
                    }
                    false
                }
                _ => false,
            };
            done += discard;
            if !goes_on {
                return match said || matches!(say, Say::Nothing | Say::Goodbye) {
                    true => Ok(done),
                    false => Err(io::ErrorKind::NotConnected.into()),
                };
            }
        }
    }
}

impl Secure {
    /// After an error TLS has nothing more to say than why.
    fn encode_alert(&mut self, records: &mut [u8]) {
        let status = self.tls.process_tls_records(records);
        if let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state {
            // Without room for it the other side hears no reason.
            let _ = grow(&mut self.outgoing, 0, |room| encoded(data.encode(room)));
        }
    }
}

/// What to say once TLS lets us.
#[derive(Clone, Copy)]
enum Say<'a> {
    Nothing,
    Plain(&'a [u8]),
    Goodbye,
}

/// Lets `write` append to a buffer, with more room where it says how much it needs.
fn grow(
    buffer: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> io::Result<Result<usize, usize>>,
) -> io::Result<()> {
    let length = buffer.len();
    loop {
        buffer.resize(length + room, 0);
        match write(&mut buffer[length..])? {
            Ok(written) => {
                buffer.truncate(length + written);
                return Ok(());
            }
            Err(required) if required <= room => return Err(invalid("TLS wants no more room")),
            Err(required) => room = required,
        }
    }
}

fn encoded(result: Result<usize, EncodeError>) -> io::Result<Result<usize, usize>> {
    match result {
        Ok(written) => Ok(Ok(written)),
        Err(EncodeError::InsufficientSize(size)) => Ok(Err(size.required_size)),
        Err(error) => Err(invalid(error)),
    }
}

fn encrypted(result: Result<usize, EncryptError>) -> io::Result<Result<usize, usize>> {
    match result {
        Ok(written) => Ok(Ok(written)),
        Err(EncryptError::InsufficientSize(size)) => Ok(Err(size.required_size)),
        Err(error) => Err(invalid(error)),
    }
}

const fn overhead(plain: usize) -> usize {
    (plain / FRAGMENT_BYTES + 1) * RECORD_OVERHEAD
}

/// What is empty shall hold no memory.
fn compact(bytes: Vec<u8>) -> Vec<u8> {
    if bytes.is_empty() { Vec::new() } else { bytes }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.plain.is_empty() && !self.is_over {
            ready!(self.poll_fill(context))?;
        }
        let length = self.plain.len().min(buffer.remaining());
        buffer.put_slice(&self.plain[..length]);
        self.plain.drain(..length);
        self.plain = compact(std::mem::take(&mut self.plain));
        // What TLS has to say by itself must not wait for us to speak.
        if !self.outgoing.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_send(context)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.len() > UNSENT_BYTES {
            ready!(self.poll_send(context))?;
        }
        let length = bytes.len().min(FRAGMENT_BYTES);
        self.say(&bytes[..length])?;
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut incoming = std::mem::take(&mut self.incoming);
        self.turn(&mut incoming, Say::Goodbye)?;
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
