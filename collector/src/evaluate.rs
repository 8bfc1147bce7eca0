//! Evaluate: from what is known of a device to alerts, on signal and on timer by one code path.
//!
//! The evaluation itself is pure and lies in [`device`]; here it is fed and its changes are committed
//! What channels are told of them is decided at the `desk`, incident by incident.

pub mod backtest;
pub mod book;
pub mod calendar;
pub mod condition;
mod desk;
pub mod device;
pub mod forecast;
pub mod incidents;
pub mod outlooks;
pub mod rules;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::device::DeviceState;
use crate::notify::route::Route;
use crate::store::{Change, Store, StoreError, Write};
use book::RuleBook;
use device::{AlertChange, Moment, evaluate};
use outlooks::Outlooks;

/// How long after a first signal others are gathered: short beside every hold, long beside a batch.
const GATHER: Duration = Duration::from_millis(200);

/// How often every device is evaluated, for what time alone brings about, such as absence.
const EVERY: Duration = Duration::from_secs(15);

/// How long the next round waits after one that could not be committed.
const RETRY: Duration = Duration::from_secs(5);

/// Changes that are committed at once: a flush for each would be the cost of a morning.
const WRITES: usize = 256;

/// What keeps the alerts right. There is one for each store, and nobody else writes alerts.
pub struct Evaluator {
    store: Store,
    book: RuleBook,
    routes: Vec<Route>,
    clock: Arc<dyn Clock>,
    outlooks: Outlooks,
}

/// Which devices the next round looks at.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Some(BTreeSet<DeviceId>),
    All,
}

impl Evaluator {
    /// Evaluates the devices of `store` by the rules of `book`, and writes to the outbox what `routes`
    /// are to be told.
    #[must_use]
    pub fn new(store: Store, book: RuleBook, routes: Vec<Route>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            book,
            routes,
            clock,
            outlooks: Outlooks::default(),
        }
    }

    /// Evaluates until shutdown.
    ///
    /// # Errors
    /// When the store has failed for good.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut changes = self.store.changes();
        let mut timer = tokio::time::interval(EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut attend_at = UnixMs(0);
        loop {
            let mut is_news = false;
            let mut due = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = timer.tick() => Due::All,
                () = self.book.changed() => Due::All,
                change = changes.recv() => {
                    is_news |= matches!(change, Ok(Change::Incidents));
                    match due_by(change) {
                        Some(due) => due,
                        None => continue,
                    }
                }
            };
            if due != Due::All {
                tokio::time::sleep(GATHER).await;
            }
            while let Some(change) = next_waiting(&mut changes) {
                is_news |= matches!(change, Ok(Change::Incidents));
                due.add(due_by(change));
            }
            match self.round_and_desk(&due, is_news, &mut attend_at).await {
                Ok(()) => {}
                Err(error @ (StoreError::Failed(_) | StoreError::Closed)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::warn!("alerts could not be stored: {error}");
                    tokio::time::sleep(RETRY).await;
                    timer.reset_immediately();
                }
            }
        }
    }

    async fn round_and_desk(
        &self,
        due: &Due,
        is_news: bool,
        attend_at: &mut UnixMs,
    ) -> Result<(), StoreError> {
        let is_news = self.round(due).await? || is_news;
        let now = self.clock.now().wall;
        // A clock that was set back makes it due too.
        let is_late = !(0..desk::LONGEST_REST_MS).contains(&attend_at.since(now));
        if is_news || is_late {
            *attend_at = self.attend().await?;
        }
        Ok(())
    }

    /// Evaluates the devices that are due; whether an alert began or ceased to fire.
    async fn round(&self, due: &Due) -> Result<bool, StoreError> {
        let states: Vec<Arc<DeviceState>> = match due {
            Due::All => self.store.devices(),
            Due::Some(ids) => ids.iter().filter_map(|id| self.store.device(*id)).collect(),
        };
        if *due == Due::All {
            let ids = states.iter().map(|state| state.device.id).collect();
            self.outlooks.keep(&ids);
        }
        let now = self.clock.now().wall;
        self.outlooks.read_some(&self.store, &states, now).await?;
        let (mut writes, mut is_news) = (Vec::new(), false);
        for (at, state) in states.iter().enumerate() {
            let of_device = self.writes_of(state, self.moment());
            is_news |= of_device.iter().any(desk::is_news);
            writes.extend(of_device);
            if writes.len() >= WRITES {
                self.store.commit(std::mem::take(&mut writes)).await?;
            }
            if at % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
        if !writes.is_empty() {
            self.store.commit(writes).await?;
        }
        Ok(is_news)
    }

    /// A change is read within a fast interval, and then waits to be sent with others.
    fn moment(&self) -> Moment {
        let schedule = self.store.configuration().schedule;
        Moment {
            now: self.clock.now().wall,
            lag_ms: (i64::from(schedule.send_s) + i64::from(schedule.fast_s)) * 1000,
        }
    }

    /// The changes of a device's alerts.
    fn writes_of(&self, state: &DeviceState, moment: Moment) -> Vec<Write> {
        let rules = self.book.rules();
        let open = self.store.open_alerts_of(state.device.id);
        let state = &self.outlooks.add_to(state, moment.now);
        let changes = evaluate(&rules, state, &open, moment);
        changes.iter().for_each(log);
        let writes = changes.into_iter().map(|change| match change {
            AlertChange::Note(alert) | AlertChange::Fire(alert) => Write::PutAlert(alert),
            AlertChange::Withdraw(key) => Write::RemoveAlert(key),
            AlertChange::Resolve(alert) => Write::ResolveAlert(alert),
        });
        writes.collect()
    }
}

impl Due {
    fn add(&mut self, more: Option<Self>) {
        match (&mut *self, more) {
            (Self::Some(ids), Some(Self::Some(others))) => ids.extend(others),
            (_, Some(Self::All)) => *self = Self::All,
            _ => {}
        }
    }
}

fn due_by(change: Result<Change, RecvError>) -> Option<Due> {
    match change {
        Ok(Change::Device(id)) => Some(Due::Some(BTreeSet::from([id]))),
        Ok(_) => None,
        Err(_) => Some(Due::All),
    }
}

fn next_waiting(
    changes: &mut tokio::sync::broadcast::Receiver<Change>,
) -> Option<Result<Change, RecvError>> {
    use tokio::sync::broadcast::error::TryRecvError;
    match changes.try_recv() {
        Ok(change) => Some(Ok(change)),
        Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    }
}

fn log(change: &AlertChange) {
    match change {
        AlertChange::Fire(alert) => {
            tracing::info!(device = %alert.key.device, rule = alert.key.rule, instance = alert.key.instance, "alert fires");
        }
        AlertChange::Resolve(alert) => {
            tracing::info!(device = %alert.key.device, rule = alert.key.rule, instance = alert.key.instance, "alert resolved");
        }
        AlertChange::Note(_) | AlertChange::Withdraw(_) => {}
    }
}

#[cfg(test)]
mod tests;
