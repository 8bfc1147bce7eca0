//! A watch as a stream: looks again on each change and from time to time, and tells what is new.

use std::pin::Pin;
use std::time::Duration;

use futures_util::Stream;
use rollcall_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Fleet, given};
use crate::query::access;
use crate::query::watch::Watch;
use crate::query::{Query, QueryError, Viewer};

/// Watches at a time. A look at 100,000 devices takes some tens of milliseconds, and a watch keeps
/// about 100 bytes of each.
pub(super) const WATCHES: usize = 16;

/// The least time between two looks, so that a storm of changes is told in a few.
const REST: Duration = Duration::from_secs(1);

/// The longest time between two looks: connections come and go without a signal.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Events on the way to a watcher that reads slowly; the next look waits for it.
const EVENTS: usize = 256;

/// What a watcher hears.
pub type Events = Pin<Box<dyn Stream<Item = Result<v1::WatchEvent, Status>> + Send>>;

type Teller = mpsc::Sender<Result<v1::WatchEvent, Status>>;

impl Fleet {
    /// Begins to watch for whoever sent this `Authorization`, who was let in already.
    pub(super) fn begin_watch(
        &self,
        authorization: String,
        wanted: v1::WatchRequest,
    ) -> Result<Events, Status> {
        let watch = Watch::new(given(wanted.site), &wanted.kinds)?;
        let place = std::sync::Arc::clone(&self.watches).try_acquire_owned();
        let place = place.map_err(|_| {
            Status::resource_exhausted(format!("{WATCHES} watches are open already; end one"))
        })?;
        let (teller, events) = mpsc::channel(EVENTS);
        let (query, ending) = (self.query.clone(), self.ending.clone());
        tokio::spawn(async move {
            let work = follow(query, authorization, watch, &teller, place);
            tokio::select! {
                () = ending.cancelled() => {}
                () = teller.closed() => {}
                ended = work => {
                    if let Err(status) = ended {
                        // Whoever has left needs no reason.
                        let _ = teller.send(Err(status)).await;
                    }
                }
            }
        });
        Ok(Box::pin(ReceiverStream::new(events)))
    }
}

async fn follow(
    query: Query,
    authorization: String,
    mut watch: Watch,
    teller: &Teller,
    _place: OwnedSemaphorePermit,
) -> Result<(), Status> {
    let mut changes = query.store.changes();
    let mut is_first = true;
    loop {
        let viewer = still_valid(&query, &authorization)?;
        let looked = query.answer(move |query| {
            let events = watch.look(query, &viewer)?;
            Ok::<_, QueryError>((watch, events))
        });
        let (kept, events) = looked.await?;
        watch = kept;
        for event in events {
            tell(teller, event.into()).await?;
        }
        if std::mem::take(&mut is_first) {
            let event = Some(v1::watch_event::Event::Current(true));
            tell(teller, v1::WatchEvent { event }).await?;
        }
        tokio::time::sleep(REST).await;
        await_change(&mut changes).await;
    }
}

/// A token that was revoked meanwhile ends its watches.
fn still_valid(query: &Query, authorization: &str) -> Result<Viewer, Status> {
    access::bearer(authorization)
        .and_then(access::hash_token)
        .and_then(|hash| query.viewer_of_hash(&hash))
        .ok_or_else(|| Status::unauthenticated("the token has been revoked"))
}

async fn tell(teller: &Teller, event: v1::WatchEvent) -> Result<(), Status> {
    let sent = teller.send(Ok(event)).await;
    sent.map_err(|_| Status::cancelled("the watcher has left"))
}

/// Waits for a change or for the time of the next look; takes all changes that are there already.
async fn await_change<T: Clone>(changes: &mut broadcast::Receiver<T>) {
    let changed = async {
        // Lagging behind means that something has changed, too.
        let _ = changes.recv().await;
        while !matches!(
            changes.try_recv(),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed)
        ) {}
    };
    tokio::select! {
        () = changed => {}
        () = tokio::time::sleep(LOOK_EVERY) => {}
    }
}
