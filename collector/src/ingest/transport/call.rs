//! A call on a laptop's connection, such as a renewal: its request is gathered, its answer is sent
//! whole. Calls are short; what is long is refused.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full, Limited};
use rollcall_shared::limits;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::service::Routes;
use tower::ServiceExt as _;

use super::super::accept::Caller;
use super::super::{CALL_BYTES, told_of_the_peer};
use super::http2::{self, Http2, Request};

/// Bytes of a request: a message of [`CALL_BYTES`] is refused by the service, in its words.
const REQUEST_BYTES: usize = 2 * CALL_BYTES;

/// A call may take as long as an agent waits for its answer.
const CALL: std::time::Duration = limits::CONNECT_TIMEOUT;

/// It goes on by itself: who has begun to enrol and leaves has enrolled.
type Answering = JoinHandle<Result<Answer, Status>>;

/// A call under way.
pub(super) struct Call {
    /// Its stream.
    pub stream: u32,
    request: Option<Request>,
    body: Vec<u8>,
    answer: Option<Answering>,
}

/// What a call is answered.
#[derive(Debug)]
pub(super) struct Answer {
    status: http::StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Call {
    pub const fn new(stream: u32, request: Request) -> Self {
        Self {
            stream,
            request: Some(request),
            body: Vec::new(),
            answer: None,
        }
    }

    /// Whether its request is whole and being answered.
    pub const fn is_asked(&self) -> bool {
        self.answer.is_some()
    }

    /// Takes more of the request's body; false where it is too long.
    pub fn push(&mut self, data: &[u8]) -> bool {
        self.body.extend_from_slice(data);
        self.body.len() <= REQUEST_BYTES
    }

    /// Asks the routes.
    pub fn ask(&mut self, routes: &Routes, caller: &Caller) {
        let body = std::mem::take(&mut self.body);
        let request = self
            .request
            .take()
            .and_then(|request| assemble(request, body));
        let (routes, caller) = (routes.clone(), caller.clone());
        self.answer = Some(tokio::spawn(async move {
            let request = request.ok_or_else(|| Status::internal("the request is malformed"))?;
            let answered = answer(routes, told_of_the_peer(request, caller));
            let in_time = tokio::time::timeout(CALL, answered).await;
            in_time.unwrap_or_else(|_| Err(Status::deadline_exceeded("the call took too long")))
        }));
    }

    /// Its answer, once there is one.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer, Status>> {
        match &mut self.answer {
            Some(answer) => Pin::new(answer).poll(context).map(|answer| {
                answer.unwrap_or_else(|_| Err(Status::internal("the call has failed")))
            }),
            None => Poll::Pending,
        }
    }
}

fn assemble(request: Request, body: Vec<u8>) -> Option<http::Request<tonic::body::Body>> {
    let mut builder = http::Request::builder()
        .method(request.method.as_str())
        .uri(request.path.as_str())
        .version(http::Version::HTTP_2);
    for (name, value) in request.fields {
        builder = builder.header(name, value);
    }
    builder
        .body(tonic::body::Body::new(Full::new(Bytes::from(body))))
        .ok()
}

async fn answer(
    routes: Routes,
    request: http::Request<tonic::body::Body>,
) -> Result<Answer, Status> {
    let Ok(answered) = routes.oneshot(request).await;
    let (parts, body) = answered.into_parts();
    let body = Limited::new(body, limits::MESSAGE_BYTES).collect().await;
    let body = body.map_err(|error| Status::resource_exhausted(error.to_string()))?;
    Ok(Answer {
        status: parts.status,
        headers: parts.headers,
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    })
}

impl Answer {
    /// Sends it and ends its stream.
    pub fn send(self, stream: u32, http: &mut Http2) {
        let headers = fields(&self.headers);
        if self.body.is_empty() && self.trailers.is_none() {
            return http.finish(stream, Some(self.status.as_str().as_bytes()), &headers);
        }
        if self.status != http::StatusCode::OK {
            return http.reset(stream, http2::Code::NoError);
        }
        http.respond(stream, &headers);
        http.send(stream, &self.body);
        let trailers = self.trailers.unwrap_or_default();
        http.finish(stream, None, &fields(&trailers));
    }
}

/// Headers as HTTP/2 takes them.
pub(super) fn fields(headers: &HeaderMap) -> Vec<(&[u8], &[u8])> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
        .collect()
}
