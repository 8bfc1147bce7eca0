//! A laptop's stream whose messages were encoded before: gRPC frames over HTTP/2 over mutual TLS, as
//! an agent sends them, so that sending costs little of the machine that also runs the collector.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use rollcall_proto::v1;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A frame's head: whether it is compressed, and its length.
const HEAD: usize = 5;

/// An open stream.
pub(super) struct Stream {
    up: h2::SendStream<Bytes>,
    down: Down,
    /// The last stored sequence, as Welcome and acknowledgements tell.
    pub acknowledged: u64,
    /// How many reports may be on the way.
    pub credit: usize,
    /// How long nothing more should be sent.
    pub wait: Duration,
    /// How often the collector has changed the pace.
    pub slowed: u64,
    /// Whether the connection went on with what an earlier one had agreed on.
    pub resumed: bool,
}

/// What comes down: its head may be a message behind.
enum Down {
    Awaited(h2::client::ResponseFuture),
    Open(h2::RecvStream, BytesMut),
}

impl Stream {
    /// Connects, says Hello and waits for the Welcome.
    pub async fn open(
        collector: SocketAddr,
        tls: ClientConfig,
        hello: v1::Hello,
    ) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(collector).await.context("connect")?;
        tcp.set_nodelay(true)?;
        let name = ServerName::IpAddress(collector.ip().into());
        let tls = TlsConnector::from(Arc::new(tls)).connect(name, tcp).await;
        let tls = tls.context("the TLS handshake")?;
        let resumed = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let (client, connection) = h2::client::handshake(tls).await?;
        tokio::spawn(connection);
        let mut client = client.ready().await?;
        let (response, up) = client.send_request(request(collector)?, false)?;
        let mut stream = Self {
            up,
            down: Down::Awaited(response),
            acknowledged: 0,
            credit: 0,
            wait: Duration::ZERO,
            slowed: 0,
            resumed,
        };
        let hello = v1::up::Message::Hello(hello);
        stream.send(frame(hello)?)?;
        stream.welcomed().await?;
        Ok(stream)
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: Bytes) -> anyhow::Result<()> {
        Ok(self.up.send_data(frame, false)?)
    }

    /// Waits until everything up to a sequence is acknowledged.
    pub async fn acknowledged(&mut self, sequence: u64) -> anyhow::Result<()> {
        while self.acknowledged < sequence {
            match self.receive().await? {
                v1::down::Message::Ack(ack) => self.acknowledged = ack.sequence,
                v1::down::Message::SlowDown(slow) => {
                    self.credit = slow.credit as usize;
                    self.wait = Duration::from_millis(slow.wait_ms.into());
                    self.slowed += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn welcomed(&mut self) -> anyhow::Result<()> {
        loop {
            if let v1::down::Message::Welcome(welcome) = self.receive().await? {
                self.acknowledged = welcome.last_stored;
                self.credit = welcome.credit as usize;
                return Ok(());
            }
        }
    }

    async fn receive(&mut self) -> anyhow::Result<v1::down::Message> {
        loop {
            if let Down::Awaited(response) = &mut self.down {
                let response = response.await?;
                ensure!(
                    response.status().is_success(),
                    "the collector answered {}",
                    response.status()
                );
                if let Some(status) = response.headers().get("grpc-status") {
                    bail!("the collector refused: {status:?}");
                }
                self.down = Down::Open(response.into_body(), BytesMut::new());
            }
            let Down::Open(body, buffer) = &mut self.down else {
                continue;
            };
            if let Some(message) = take_frame(buffer)? {
                return Ok(message);
            }
            let Some(bytes) = body.data().await else {
                let trailers = body.trailers().await?;
                bail!("the collector ended the stream: {trailers:?}");
            };
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
            buffer.extend_from_slice(&bytes);
        }
    }
}

/// Takes a whole message off the buffer, if there is one.
fn take_frame(buffer: &mut BytesMut) -> anyhow::Result<Option<v1::down::Message>> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    ensure!(head[0] == 0, "a message down is compressed");
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if buffer.len() < HEAD + length {
        return Ok(None);
    }
    buffer.advance(HEAD);
    let down = v1::Down::decode(buffer.split_to(length))?;
    down.message
        .map(Some)
        .ok_or_else(|| anyhow!("a message down says nothing"))
}

/// A message up as it travels: compressed by zstd, as the agent compresses it.
pub(super) fn frame(message: v1::up::Message) -> anyhow::Result<Bytes> {
    let up = v1::Up {
        message: Some(message),
    };
    let packed = zstd::bulk::compress(&up.encode_to_vec(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
    let mut frame = BytesMut::with_capacity(HEAD + packed.len());
    frame.put_u8(1);
    frame.put_u32(u32::try_from(packed.len())?);
    frame.put_slice(&packed);
    Ok(frame.freeze())
}

fn request(collector: SocketAddr) -> anyhow::Result<http::Request<()>> {
    let uri = format!("https://{collector}/rollcall.v1.AgentService/Stream");
    let request = http::Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "zstd");
    Ok(request.body(())?)
}
