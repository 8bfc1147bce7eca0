//! How long a stranger may keep its place before it has asked for something that it may have.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Sleep;

use super::accept::Caller;

/// Whether a connection was given what it asked for, once at least.
#[derive(Debug, Clone, Default)]
pub(super) struct Served(Arc<AtomicBool>);

/// The time that a connection without a certificate has for its first request.
#[derive(Debug)]
pub(super) struct Patience {
    served: Served,
    end: Pin<Box<Sleep>>,
}

impl Patience {
    /// Patience that begins now.
    pub fn new(served: Served, time: Duration) -> Self {
        Self {
            served,
            end: Box::pin(tokio::time::sleep(time)),
        }
    }

    /// Whether it is over; the connection's task is woken when it will be.
    pub fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        !self.served.0.load(Ordering::Relaxed) && self.end.as_mut().poll(context).is_ready()
    }
}

/// Notes that a connection was served: by an answer, which a call has once its request is complete.
/// A refusal is none, so that wrong tokens keep no place.
pub(super) async fn note_served(request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let response = next.run(request).await;
    if let Some(caller) = caller
        && is_served(response.status(), response.headers())
    {
        caller.served.0.store(true, Ordering::Relaxed);
    }
    response
}

/// A gRPC call that is refused has its status among the headers, one that is served has it after the
/// answer.
fn is_served(status: StatusCode, headers: &HeaderMap) -> bool {
    let grpc = headers.get("grpc-status");
    status.is_success() && grpc.is_none_or(|status| status == "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_refusal_serves_nobody() {
        let mut headers = HeaderMap::new();
        assert!(is_served(StatusCode::OK, &headers));
        assert!(!is_served(StatusCode::NOT_FOUND, &headers));
        headers.insert("grpc-status", HeaderValue::from_static("16"));
        assert!(!is_served(StatusCode::OK, &headers));
    }
}
