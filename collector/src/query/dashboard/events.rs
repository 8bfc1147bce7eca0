//! Tells open pages that something has changed. It says no more than that: a page then asks anew, and
//! sees what its viewer may see.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::{self, error::RecvError};

use super::SignedIn;
use crate::query::http::{Face, Problem};
use crate::query::{Query, Viewer};
use crate::store::Change;

/// Pages are told at most this often, however much changes.
const REST: Duration = Duration::from_secs(1);

/// After so long without a change a page hears that the collector is there: proxies close what is
/// silent, and readings that change nothing else are shown then.
const PULSE: Duration = Duration::from_secs(25);

/// A stream ends after so many words, about an hour: the browser then signs in anew by its cookie, which
/// may be over.
const WORDS: u32 = 144;

struct Watch {
    changes: broadcast::Receiver<Change>,
    query: Query,
    viewer: Viewer,
    closing: tokio_util::sync::CancellationToken,
    left: u32,
    _place: OwnedSemaphorePermit,
}

/// `changed` and `pulse`, as server-sent events.
pub(super) async fn stream(State(face): State<Face>, who: SignedIn) -> Response {
    let Ok(place) = face.streams.clone().try_acquire_owned() else {
        let detail = "too many pages hear of changes already; this one goes on without";
        let full = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "streams", detail);
        return full.into_response();
    };
    let watch = Watch {
        changes: face.query.store.changes(),
        query: face.query.clone(),
        viewer: who.viewer,
        closing: face.closing.clone(),
        left: WORDS,
        _place: place,
    };
    let words = stream::unfold(watch, |mut watch| async move {
        let word = watch.next().await?;
        let text = Bytes::from_static(word.as_bytes());
        Some((Ok::<_, Infallible>(text), watch))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream")];
    (headers, Body::from_stream(words)).into_response()
}

impl Watch {
    async fn next(&mut self) -> Option<&'static str> {
        let first = self.left == WORDS;
        self.left = self.left.checked_sub(1)?;
        if first {
            // The browser then knows that it is connected, and when to try again.
            return Some("retry: 5000\nevent: pulse\ndata:\n\n");
        }
        let closing = self.closing.clone();
        tokio::select! {
            () = closing.cancelled() => None,
            heard = tokio::time::timeout(PULSE, self.change()) => match heard {
                Ok(true) => {
                    tokio::time::sleep(REST).await;
                    self.changes = self.changes.resubscribe();
                    Some("event: changed\ndata:\n\n")
                }
                Ok(false) => None,
                Err(_) => Some("event: pulse\ndata:\n\n"),
            },
        }
    }

    /// Waits for a change that the viewer may hear of; `false` when the store is gone.
    async fn change(&mut self) -> bool {
        loop {
            match self.changes.recv().await {
                Ok(Change::Device(id)) => {
                    let state = self.query.store.device(id);
                    if state.is_some_and(|state| self.viewer.sees(&state)) {
                        return true;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => return true,
                Err(RecvError::Closed) => return false,
            }
        }
    }
}
