//! What has to be done from time to time: sealing, retention, and the server's certificate.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rollcall_shared::time::{Clock, UnixMs};
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::authority::Authority;
use crate::ingest;
use crate::store::{Store, StoreError};

/// How often it is looked whether there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How often what has expired is removed, and the certificate looked at.
const HOUR_MS: i64 = 3_600_000;

/// Who does it.
pub(super) struct Upkeep {
    store: Store,
    authority: Arc<Authority>,
    tls: Arc<ArcSwap<ServerConfig>>,
    clock: Arc<dyn Clock>,
}

impl Upkeep {
    pub fn new(
        store: Store,
        authority: Arc<Authority>,
        tls: Arc<ArcSwap<ServerConfig>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            authority,
            tls,
            clock,
        }
    }

    /// Does it until shutdown. A step that is under way ends first; it is short.
    ///
    /// # Errors
    /// When the store has failed.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tokio::try_join!(self.seal(shutdown.clone()), self.merge(shutdown))?;
        Ok(())
    }

    /// Merging a day of a large fleet takes an hour, and nothing waits for it.
    async fn merge(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut looked = UnixMs(0);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    // Somebody else may have asked for a merge.
                    self.store.stop_merging();
                    return Ok(());
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = self.now();
            if is_over(looked, now, HOUR_MS) {
                looked = now;
                let merging = async {
                    self.store.merge(now).await?;
                    self.store.roll_up().await
                };
                tokio::pin!(merging);
                let merged = tokio::select! {
                    merged = &mut merging => merged,
                    () = shutdown.cancelled() => {
                        self.store.stop_merging();
                        // It ends at the next device, and the next start goes on from there.
                        let _ = merging.await;
                        return Ok(());
                    }
                };
                bearable("merging", merged)?;
            }
        }
    }

    async fn seal(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut looked = UnixMs(0);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = self.now();
            bearable("sealing", self.store.seal_due(now).await)?;
            if is_over(looked, now, HOUR_MS) {
                looked = now;
                bearable("retention", self.store.enforce_retention(now).await)?;
                self.renew_certificate(now);
            }
        }
    }

    fn renew_certificate(&self, now: UnixMs) {
        match ingest::tls_config(&self.authority, now) {
            Ok(config) => self.tls.store(Arc::new(config)),
            Err(error) => tracing::warn!("the server's certificate stays as it was: {error:#}"),
        }
    }

    fn now(&self) -> UnixMs {
        self.clock.now().wall
    }
}

/// A clock that was set back makes it due too.
fn is_over(last: UnixMs, now: UnixMs, ms: i64) -> bool {
    !(0..ms).contains(&now.since(last))
}

/// Passes on what ends the process; everything else is tried again later.
fn bearable(what: &str, done: Result<(), StoreError>) -> anyhow::Result<()> {
    match done {
        Err(error @ (StoreError::Failed(_) | StoreError::Closed)) => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, what, "could not be done and is tried again");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_things_due() {
        let at = UnixMs(1_790_000_000_000);
        assert!(!is_over(at, at.plus_ms(HOUR_MS - 1), HOUR_MS));
        assert!(is_over(at, at.plus_ms(HOUR_MS), HOUR_MS));
        assert!(is_over(at, at.plus_ms(-1), HOUR_MS));
    }
}
