//! A channel's worker: takes from the outbox what is due, sends it, and commits what came of it.

mod reports;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rollcall_shared::backoff::random_fraction;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

use super::config::{ChannelConfig, Common, DigestConfig};
use super::digest::{self, Batch};
use super::letter::Letter;
use super::outbox::{Rate, after_failure, plan};
use super::{Channel, Outcome, Sent, slots};
use crate::audit::AuditLine;
use crate::evaluate::book::RuleBook;
use crate::incident::{Incident, IncidentState};
use crate::memo::{Content, Subject, TicketState};
use crate::notification::{Notification, NotificationKey};
use crate::store::{Change, Store, StoreError, Write};

/// How long a worker rests at most: a change that it missed is found then.
const REST: Duration = Duration::from_secs(30);

/// How long it waits after a result that could not be committed.
const RETRY_COMMIT: Duration = Duration::from_secs(5);

/// How often it looks whether it remembers what nobody will ask for any more.
const TIDY_MS: i64 = 6 * 3_600_000;

/// Delivers one channel's part of the outbox.
pub struct Worker {
    common: Common,
    channel: Channel,
    store: Store,
    book: RuleBook,
    clock: Arc<dyn Clock>,
}

/// What is to be done now.
enum Work {
    Single(Box<Notification>),
    Digest(Batch),
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
            common: config.common.clone(),
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
        let work = async {
            match self.common.report.clone() {
                Some(report) => self.run_reports(&report).await,
                None => self.run_outbox().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = work => ended,
        }
    }

    async fn run_outbox(&self) -> anyhow::Result<()> {
        let mut changes = self.store.changes();
        let mut rate = Rate::new(self.common.per_minute, self.now());
        let (mut tidied, mut repeated): (Option<UnixMs>, Option<UnixMs>) = (None, None);
        loop {
            let now = self.now();
            if tidied.is_none_or(|at| now.since(at) >= TIDY_MS) {
                self.tidy().await?;
                tidied = Some(now);
            }
            let repeat = self.repeat_ms();
            if let Some(every_ms) = repeat
                && repeated.is_none_or(|at| now.since(at) >= every_ms)
            {
                self.repeat(now).await;
                repeated = Some(now);
            }
            let (work, withdraw, next) = self.plan(rate.allowed(now), now);
            rate.take(work.len());
            if !self.follow(work, &withdraw).await? {
                let repeat_ms = repeat.map(|every| every - now.since(repeated.unwrap_or(now)));
                let rest = rest(next, repeat_ms, &rate, now);
                self.wait(&mut changes, rest).await?;
            }
        }
    }

    fn plan(
        &self,
        allowed: usize,
        now: UnixMs,
    ) -> (Vec<Work>, Vec<NotificationKey>, Option<UnixMs>) {
        let mine = self.mine();
        let Some(config) = &self.common.digest else {
            let plan = plan(&mine, allowed, now);
            let work = plan.deliver.into_iter().map(Box::new).map(Work::Single);
            return (work.collect(), plan.withdraw, plan.next);
        };
        let slot_of = |created| self.slot_of(config, created);
        let plan = digest::plan(&mine, slot_of, config.by_site, allowed, now);
        let work = plan.send.into_iter().map(Work::Digest);
        (work.collect(), plan.withdraw, plan.next)
    }

    /// The first due time after a notification was written; at once where there never is one, since
    /// nothing is dropped.
    fn slot_of(&self, config: &DigestConfig, created: UnixMs) -> UnixMs {
        let calendar = &self.book.rules().calendar;
        slots::next_digest(config, calendar, created.plus_ms(1)).unwrap_or(created)
    }

    fn mine(&self) -> Vec<Notification> {
        let mut all = self.store.notifications();
        all.retain(|notification| notification.key.channel == self.common.name);
        all
    }

    /// Does what was planned; whether there was anything to do.
    async fn follow(&self, work: Vec<Work>, withdraw: &[NotificationKey]) -> anyhow::Result<bool> {
        let mut writes: Vec<Write> = withdraw
            .iter()
            .flat_map(|key| self.withdrawn(key))
            .collect();
        let sent = join_all(work.into_iter().map(|work| self.deliver(work))).await;
        writes.extend(sent.into_iter().flatten());
        if writes.is_empty() {
            return Ok(false);
        }
        self.commit(writes).await.map(|()| true)
    }

    async fn deliver(&self, work: Work) -> Vec<Write> {
        match work {
            Work::Single(notification) => {
                let letter = Letter::new(*notification.clone(), &self.book.rules());
                let sent = self.channel.send(&letter, &self.store, self.now()).await;
                let key = notification.key.to_string();
                self.settle(vec![*notification], &key, sent)
            }
            Work::Digest(batch) => {
                let rules = self.book.rules();
                let shown = rules.calendar.show(batch.slot);
                let letter_of = |notification| Letter::new(notification, &rules);
                let post = batch.post(&self.common.name, &shown, letter_of);
                let sent = Sent {
                    outcome: self.channel.post(&post, self.now()).await,
                    writes: Vec::new(),
                    did: format!("{} notifications", batch.notifications.len()),
                };
                self.settle(batch.notifications, &post.key, sent)
            }
        }
    }

    /// What is to be committed of an attempt.
    fn settle(&self, told: Vec<Notification>, subject: &str, sent: Sent) -> Vec<Write> {
        let now = self.now();
        let Sent {
            outcome,
            mut writes,
            did,
        } = sent;
        let (name, attempts) = (&self.common.name, told.iter().map(|n| n.attempts).max());
        let action = "notification.deliver";
        match &outcome {
            Outcome::Delivered => {
                tracing::info!(channel = name, key = subject, did, "delivered");
                writes.push(self.audit(subject, action, "ok", did));
            }
            Outcome::Partly(why) => {
                tracing::warn!(channel = name, key = subject, why, "not for all receivers");
                writes.push(self.audit(subject, action, "partly", why.clone()));
            }
            Outcome::Retry { why, .. } => {
                tracing::info!(
                    channel = name,
                    key = subject,
                    attempts,
                    why,
                    "not delivered yet"
                );
            }
            Outcome::Rejected(why) => {
                tracing::warn!(channel = name, key = subject, why, "set aside");
                writes.push(self.audit(subject, action, "set_aside", why.clone()));
            }
        }
        let is_told = matches!(outcome, Outcome::Delivered | Outcome::Partly(_));
        let random = random_fraction();
        writes.extend(told.into_iter().map(|notification| match is_told {
            true => Write::RemoveNotification(notification.key),
            false => Write::PutNotification(after_failure(notification, &outcome, now, random)),
        }));
        writes
    }

    fn withdrawn(&self, key: &NotificationKey) -> [Write; 2] {
        let why = "over before it was told".to_owned();
        let audit = self.audit(&key.to_string(), "notification.withdraw", "ok", why);
        [Write::RemoveNotification(key.clone()), audit]
    }

    fn audit(&self, subject: &str, action: &str, outcome: &str, detail: String) -> Write {
        let end = detail.floor_char_boundary(AUDIT_BYTES);
        Write::Audit(AuditLine {
            at: self.now(),
            actor: format!("channel {}", self.common.name),
            action: action.to_owned(),
            subject: subject.to_owned(),
            outcome: outcome.to_owned(),
            detail: detail[..end].to_owned(),
        })
    }

    /// Forgets the tickets of incidents that cannot come back: they are in the history.
    async fn tidy(&self) -> anyhow::Result<()> {
        let waiting = self.mine();
        let is_over = |memo: &crate::memo::Memo| match (&memo.key.subject, &memo.content) {
            (Subject::Ticket(incident), Content::Ticket(ticket)) => {
                ticket.state != TicketState::Asked
                    && self.store.incident(*incident).is_none()
                    && !waiting.iter().any(|n| n.key.incident == *incident)
            }
            _ => false,
        };
        let memos = self.store.memos().into_iter();
        let old: Vec<Write> = memos
            .filter(|memo| memo.key.channel == self.common.name && is_over(memo))
            .map(|memo| Write::RemoveMemo(memo.key))
            .collect();
        for some in old.chunks(TIDY_AT_ONCE) {
            self.commit(some.to_vec()).await?;
        }
        Ok(())
    }

    /// How often the channel wants to be told again of what is open.
    const fn repeat_ms(&self) -> Option<i64> {
        match &self.channel {
            Channel::Alertmanager(manager) => Some(manager.resend_ms()),
            _ => None,
        }
    }

    /// Tells again of what is open. What fails is told with the next round.
    async fn repeat(&self, now: UnixMs) {
        let Channel::Alertmanager(manager) = &self.channel else {
            return;
        };
        let is_mine = |incident: &&Incident| {
            incident.state == IncidentState::Open && incident.told_to.contains(&self.common.name)
        };
        let incidents = self.store.incidents();
        let open = incidents.values().filter(is_mine);
        match manager.resend(open, now).await {
            Outcome::Retry { why, .. } | Outcome::Rejected(why) => {
                tracing::warn!(
                    channel = self.common.name,
                    why,
                    "what is open is not told again"
                );
            }
            Outcome::Delivered | Outcome::Partly(_) => {}
        }
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
                        channel = self.common.name,
                        "the outbox could not be stored: {error}"
                    );
                    tokio::time::sleep(RETRY_COMMIT).await;
                }
            }
        }
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

/// Bytes of a line's detail in the audit log.
const AUDIT_BYTES: usize = 1000;

/// Memos that are removed in one transaction.
const TIDY_AT_ONCE: usize = 256;

fn rest(next: Option<UnixMs>, repeat_ms: Option<i64>, rate: &Rate, now: UnixMs) -> Duration {
    let due = next.map(|next| next.since(now).max(rate.wait_ms()));
    let least = due.into_iter().chain(repeat_ms).min();
    let Some(ms) = least else {
        return REST;
    };
    Duration::from_millis(ms.max(0).unsigned_abs()).min(REST)
}
