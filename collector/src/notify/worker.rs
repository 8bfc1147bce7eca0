//! A channel's worker: takes from the outbox what is due, sends it, and commits what came of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rollcall_shared::backoff::random_fraction;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

use super::config::ChannelConfig;
use super::letter::Letter;
use super::outbox::{Plan, Rate, after_failure, plan};
use super::{Channel, Outcome};
use crate::audit::AuditLine;
use crate::evaluate::book::RuleBook;
use crate::notification::{Notification, NotificationKey};
use crate::store::{Change, Store, StoreError, Write};

/// How long a worker rests at most: a change that it missed is found then.
const REST: Duration = Duration::from_secs(30);

/// How long it waits after a result that could not be committed.
const RETRY_COMMIT: Duration = Duration::from_secs(5);

/// Delivers one channel's part of the outbox.
pub struct Worker {
    name: String,
    per_minute: u32,
    channel: Channel,
    store: Store,
    book: RuleBook,
    clock: Arc<dyn Clock>,
}

impl Worker {
    pub fn new(
        config: &ChannelConfig,
        channel: Channel,
        store: Store,
        book: RuleBook,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name: config.name().to_owned(),
            per_minute: config.per_minute(),
            channel,
            store,
            book,
            clock,
        }
    }

    /// Delivers until shutdown.
    ///
    /// # Errors
    /// When the store has failed for good.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut changes = self.store.changes();
        let mut rate = Rate::new(self.per_minute, self.now());
        loop {
            let now = self.now();
            let plan = plan(&self.mine(), rate.allowed(now), now);
            rate.take(plan.deliver.len());
            let rest = self.rest(&plan, &rate, now);
            let step = async {
                match self.follow(plan).await? {
                    true => Ok(()),
                    false => self.wait(&mut changes, rest).await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                done = step => done?,
            }
        }
    }

    fn mine(&self) -> Vec<Notification> {
        let mut all = self.store.notifications();
        all.retain(|notification| notification.key.channel == self.name);
        all
    }

    /// Does what was planned; whether there was anything to do.
    async fn follow(&self, plan: Plan) -> anyhow::Result<bool> {
        let mut writes: Vec<Write> = plan
            .withdraw
            .iter()
            .flat_map(|key| self.withdrawn(key))
            .collect();
        let sent = join_all(plan.deliver.into_iter().map(|n| self.deliver(n))).await;
        writes.extend(sent.into_iter().flatten());
        if writes.is_empty() {
            return Ok(false);
        }
        self.commit(writes).await.map(|()| true)
    }

    async fn deliver(&self, notification: Notification) -> Vec<Write> {
        let letter = Letter::new(notification.clone(), &self.book.rules());
        let outcome = self.channel.send(&letter, self.now()).await;
        let now = self.now();
        let key = notification.key.clone();
        match &outcome {
            Outcome::Delivered => {
                tracing::info!(channel = self.name, key = %key, "delivered");
                let audit = self.audit(&key, "notification.deliver", "ok", String::new());
                return vec![Write::RemoveNotification(key), audit];
            }
            Outcome::Retry { why, .. } => {
                tracing::info!(channel = self.name, key = %key, attempts = notification.attempts + 1, why, "not delivered yet");
            }
            Outcome::Rejected(why) => {
                tracing::warn!(channel = self.name, key = %key, why, "set aside");
            }
        }
        let failed = after_failure(notification, &outcome, now, random_fraction());
        let audit = failed.set_aside.then(|| {
            self.audit(
                &key,
                "notification.deliver",
                "set_aside",
                failed.last_error.clone(),
            )
        });
        std::iter::once(Write::PutNotification(failed))
            .chain(audit)
            .collect()
    }

    fn withdrawn(&self, key: &NotificationKey) -> [Write; 2] {
        let why = "over before it was told".to_owned();
        let audit = self.audit(key, "notification.withdraw", "ok", why);
        [Write::RemoveNotification(key.clone()), audit]
    }

    fn audit(&self, key: &NotificationKey, action: &str, outcome: &str, detail: String) -> Write {
        Write::Audit(AuditLine {
            at: self.now(),
            actor: format!("channel {}", self.name),
            action: action.to_owned(),
            subject: key.to_string(),
            outcome: outcome.to_owned(),
            detail,
        })
    }

    /// Commits until it is stored: what was delivered must not be delivered again for a full disk.
    async fn commit(&self, writes: Vec<Write>) -> anyhow::Result<()> {
        loop {
            match self.store.commit(writes.clone()).await {
                Ok(()) => return Ok(()),
                Err(error @ (StoreError::Failed(_) | StoreError::Closed)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::warn!(
                        channel = self.name,
                        "the outbox could not be stored: {error}"
                    );
                    tokio::time::sleep(RETRY_COMMIT).await;
                }
            }
        }
    }

    fn rest(&self, plan: &Plan, rate: &Rate, now: UnixMs) -> Duration {
        let Some(next) = plan.next else {
            return REST;
        };
        let ms = next.since(now).max(rate.wait_ms()).max(0);
        Duration::from_millis(ms.unsigned_abs()).min(REST)
    }

    /// Returns after `rest`, or earlier when the outbox has changed.
    async fn wait(&self, changes: &mut Receiver<Change>, rest: Duration) -> anyhow::Result<()> {
        use tokio::sync::broadcast::error::RecvError;
        let changed = async {
            loop {
                match changes.recv().await {
                    Ok(Change::Outbox) | Err(RecvError::Lagged(_)) => return Ok(()),
                    Ok(_) => {}
                    Err(RecvError::Closed) => return Err(StoreError::Closed.into()),
                }
            }
        };
        tokio::time::timeout(rest, changed).await.unwrap_or(Ok(()))
    }

    fn now(&self) -> UnixMs {
        self.clock.now().wall
    }
}
