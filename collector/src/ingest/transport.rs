//! A laptop's connection: TLS and a strict HTTP/2 of our own, which keep no buffers while it is idle.
//!
//! Connections with a device's certificate are served here, all others by `tonic`. The stream of
//! reports is conversed on directly; any other call goes to the routes that `tonic` serves too.

mod call;
mod hpack;
mod http2;
mod message;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rollcall_proto::v1;
use rollcall_proto::v1::agent_service_server::AgentServiceServer;
use rollcall_shared::id::DeviceId;
use tonic::server::NamedService as _;
use tonic::service::Routes;
use tonic::{Code, Status};

use super::accept::{Caller, Peer};
use super::secure::Secure;
use super::session::Session;
use super::{Ingest, Shared};
use crate::authority;
use call::Call;
use http2::{Http2, Request};

/// How long a connection may stay without a stream of reports: an agent opens its stream at once, and a
/// call takes no more than [`limits::CONNECT_TIMEOUT`].
const UNUSED: Duration = Duration::from_secs(60);

/// How long what a laptop is told may wait for it to take it.
const UNREAD: Duration = Duration::from_secs(60);

/// How long the last words may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Bytes of the first message of a stream: a Hello has some hundreds. Only who has said Hello counts as
/// one of the few streams of its device.
const HELLO_BYTES: usize = 16 * 1024;

/// Bytes that may wait for a laptop's window before who speaks has to wait.
const UNSENT_BYTES: usize = 64 * 1024;

/// A laptop's connection.
pub(super) struct Transport {
    secure: Secure,
    http: Http2,
    /// A message whose end has not come, of the stream that is conversed on.
    partial: Vec<u8>,
    call: Option<Box<Call>>,
    caller: Caller,
    routes: Routes,
}

/// The stream that is conversed on.
pub(super) struct Link<'a> {
    transport: &'a mut Transport,
    stream: u32,
    is_packed: bool,
    /// Bytes that the next message may have.
    most: usize,
}

/// Serves a connection until it ends.
pub(super) async fn serve(secure: Secure, caller: Caller, shared: Arc<Shared>, routes: Routes) {
    let mut transport = Transport {
        secure,
        http: Http2::new(),
        partial: Vec::new(),
        call: None,
        caller,
        routes,
    };
    // Whoever has gone needs no answer, and whoever breaks the protocol has had it.
    let _ = transport.serve(&shared).await;
    transport.http.leave(http2::Code::NoError);
    let _ = tokio::time::timeout(GOODBYE, transport.goodbye()).await;
}

impl Transport {
    async fn serve(&mut self, shared: &Arc<Shared>) -> io::Result<()> {
        // Whatever comes in between moves it not: a connection is for streams.
        let mut unused = std::pin::pin!(tokio::time::sleep(UNUSED));
        loop {
            match self.http.next_request(|_| true) {
                Some((stream, request)) if is_stream(&request) => {
                    Box::pin(self.converse(shared, stream, &request)).await;
                    unused.set(tokio::time::sleep(UNUSED));
                }
                Some((stream, request)) => self.begin_call(stream, request),
                None => {
                    let is_calling = self.call.is_some();
                    let turned = tokio::select! {
                        turned = self.turn() => turned,
                        () = shared.shutdown.cancelled(), if !is_calling => return Ok(()),
                        () = &mut unused => return Ok(()),
                    };
                    turned?;
                }
            }
        }
    }

    /// Converses on a stream of reports until it ends.
    async fn converse(&mut self, shared: &Arc<Shared>, stream: u32, request: &Request) {
        let peer = self.caller.peer;
        let ended = match admit(shared, peer, request).await {
            Ok((device, is_packed)) => {
                self.http
                    .respond(stream, &[(b"content-type", b"application/grpc")]);
                let link = Link {
                    transport: self,
                    stream,
                    is_packed,
                    most: HELLO_BYTES,
                };
                let ended = Session::new(Arc::clone(shared), peer, device, link)
                    .run()
                    .await;
                self.end(stream, ended, true);
                return;
            }
            Err(status) => Err(status),
        };
        self.end(stream, ended, false);
    }

    /// Ends a stream with its status.
    fn end(&mut self, stream: u32, ended: Result<(), Status>, is_begun: bool) {
        self.partial = Vec::new();
        let status = ended.err().unwrap_or_else(|| Status::new(Code::Ok, ""));
        let mut headers = http::HeaderMap::new();
        if status.add_header(&mut headers).is_err() {
            return self.http.reset(stream, http2::Code::NoError);
        }
        if !is_begun {
            let kind = http::HeaderValue::from_static("application/grpc");
            headers.insert(http::header::CONTENT_TYPE, kind);
        }
        let status = (!is_begun).then_some(&b"200"[..]);
        self.http.finish(stream, status, &call::fields(&headers));
    }

    fn begin_call(&mut self, stream: u32, request: Request) {
        if self.call.is_some() {
            return self.http.reset(stream, http2::Code::Refused);
        }
        self.call = Some(Box::new(Call::new(stream, request)));
        self.go_on_with_call();
    }

    /// Lets the call have what came for it; it answers once its request is whole.
    fn go_on_with_call(&mut self) {
        let Some(call) = &mut self.call else {
            return;
        };
        let stream = call.stream;
        // What is being answered keeps its place: one at a time is the bound, wanted or not.
        if call.is_asked() {
            return;
        }
        if self.http.is_reset(stream) {
            self.http.reset(stream, http2::Code::NoError);
            self.call = None;
            return;
        }
        let (data, is_ended) = (self.http.take(stream), self.http.is_ended(stream));
        if !call.push(&data) {
            self.end_call(Err(Status::out_of_range("the request is too long")));
        } else if is_ended {
            call.ask(&self.routes, &self.caller);
        }
    }

    fn end_call(&mut self, answer: Result<call::Answer, Status>) {
        let Some(call) = self.call.take() else {
            return;
        };
        if self.http.is_reset(call.stream) {
            return self.http.reset(call.stream, http2::Code::NoError);
        }
        match answer {
            Ok(answer) => answer.send(call.stream, &mut self.http),
            Err(status) => self.end(call.stream, Err(status), false),
        }
        self.http.calm();
    }

    /// Waits until something has come, was sent or was answered. May be dropped at any time.
    async fn turn(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| self.poll_turn(context)).await
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.hand_over()?;
        if let Some(call) = &mut self.call
            && let Poll::Ready(answer) = call.poll(context)
        {
            self.end_call(answer);
            return Poll::Ready(Ok(()));
        }
        // Whoever takes no answers is not listened to any more.
        if self.secure.poll_send(context)?.is_pending() {
            return Poll::Pending;
        }
        // Something may have come together with the end of the handshake.
        if !self.secure.has_plain() && self.secure.poll_fill(context)?.is_pending() {
            return Poll::Pending;
        }
        let plain = self.secure.take_plain();
        let received = self.http.receive(&plain);
        self.hand_over()?;
        if let Err(broken) = received {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, broken)));
        }
        if self.secure.is_over() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.go_on_with_call();
        Poll::Ready(Ok(()))
    }

    /// Gives TLS what HTTP/2 has to say.
    fn hand_over(&mut self) -> io::Result<()> {
        let out = self.http.take_out();
        if out.is_empty() {
            return Ok(());
        }
        self.secure.say(&out)
    }

    async fn goodbye(&mut self) -> io::Result<()> {
        self.hand_over()?;
        std::future::poll_fn(|context| self.secure.poll_send(context)).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut self.secure).await
    }
}

impl Link<'_> {
    /// The next message of the laptop; `None` at the end of the stream. May be dropped at any time.
    ///
    /// # Errors
    /// When the connection is lost, or the message cannot be read.
    pub async fn message(&mut self) -> Result<Option<v1::Up>, Status> {
        loop {
            if let Some(message) = self.take()? {
                self.transport.http.calm();
                return Ok(Some(message));
            }
            let http = &self.transport.http;
            if http.is_reset(self.stream) {
                return Err(Status::cancelled("the laptop has cancelled the stream"));
            }
            if http.is_ended(self.stream) && http.waiting(self.stream) == 0 {
                return match self.transport.partial.is_empty() {
                    true => Ok(None),
                    false => Err(Status::internal("the stream ends within a message")),
                };
            }
            self.turn().await?;
        }
    }

    /// Says something to the laptop.
    ///
    /// # Errors
    /// When the connection is lost or the laptop does not listen.
    pub async fn say(&mut self, message: v1::Down) -> Result<(), Status> {
        let data = message::encode(&message);
        self.transport.http.send(self.stream, &data);
        self.transport.hand_over().map_err(lost)?;
        if self.is_taken() {
            // What is short goes at once; that it has gone is not waited for.
            return self.flush();
        }
        let taken = tokio::time::timeout(UNREAD, async {
            while !self.is_taken() {
                self.turn().await?;
            }
            Ok(())
        });
        let deaf = |_| Status::cancelled("the laptop does not listen any more");
        taken.await.map_err(deaf)?
    }

    fn is_taken(&self) -> bool {
        let transport = &self.transport;
        transport.http.unsent(self.stream) + transport.secure.unsent() <= UNSENT_BYTES
    }

    fn flush(&mut self) -> Result<(), Status> {
        // The next turn is woken when the socket takes more.
        let mut context = Context::from_waker(std::task::Waker::noop());
        match self.transport.secure.poll_send(&mut context) {
            Poll::Ready(Err(error)) => Err(lost(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// A message that has come whole.
    fn take(&mut self) -> Result<Option<v1::Up>, Status> {
        let transport = &mut *self.transport;
        if transport.http.waiting(self.stream) > 0 {
            let data = transport.http.take(self.stream);
            if transport.partial.is_empty() {
                transport.partial = data;
            } else {
                transport.partial.extend_from_slice(&data);
            }
        }
        let Some(length) = message::length(&transport.partial)? else {
            return Ok(None);
        };
        if length > self.most {
            return Err(Status::out_of_range("the first message is too long"));
        }
        if transport.partial.len() < length {
            return Ok(None);
        }
        self.most = usize::MAX;
        let message = message::decode(&transport.partial[..length], self.is_packed)?;
        transport.partial = transport.partial.split_off(length);
        Ok(Some(message))
    }

    /// Goes on with the connection; a call may be made on it, and another stream waits for its turn.
    async fn turn(&mut self) -> Result<(), Status> {
        self.transport.turn().await.map_err(lost)?;
        let is_call = |request: &Request| !is_stream(request);
        while let Some((stream, request)) = self.transport.http.next_request(is_call) {
            self.transport.begin_call(stream, request);
        }
        Ok(())
    }
}

/// The device that may stream, and whether its messages may be packed.
async fn admit(shared: &Shared, peer: Peer, request: &Request) -> Result<(DeviceId, bool), Status> {
    let device = match authority::authenticate(&shared.store, peer.certificate, shared.now()) {
        Ok(device) => device,
        Err(refusal) => return Err(shared.refuse(refusal, peer, "stream").await),
    };
    match request.field("grpc-encoding") {
        None | Some("identity") => Ok((device.id, false)),
        Some("zstd") => Ok((device.id, true)),
        Some(other) => {
            let words = format!("messages packed by `{other}` cannot be read, only by zstd");
            let mut status = Status::unimplemented(words);
            let known = tonic::metadata::MetadataValue::from_static("identity,zstd");
            status.metadata_mut().insert("grpc-accept-encoding", known);
            Err(status)
        }
    }
}

fn lost(error: io::Error) -> Status {
    Status::unavailable(format!("the connection is lost: {error}"))
}

fn is_stream(request: &Request) -> bool {
    let name = AgentServiceServer::<Ingest>::NAME;
    let path = request
        .path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(name));
    path == Some("/Stream") && request.method == "POST"
}
