//! Evaluate: from what is known of a device to alerts, on signal and on timer by one code path.
//!
//! The evaluation itself is pure and lies in [`device`]; here it is fed and its changes are committed
//! What channels are told of them is decided at the `desk`, incident by incident.

pub mod backtest;
pub mod book;
pub mod calendar;
pub mod condition;
pub mod derived;
mod desk;
pub mod device;
pub mod due;
pub mod forecast;
pub mod incidents;
pub mod outlooks;
pub mod rehearsal;
pub mod rules;
pub mod sites;
pub mod trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_shared::configuration::Schedule;
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::{Clock, UnixMs};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio_util::sync::CancellationToken;

use crate::asset::Inventory;
use crate::device::DeviceState;
use crate::inventory::readings;
use crate::notify::route::Route;
use crate::store::{Change, Store, StoreError, Write};
use book::RuleBook;
use device::{AlertChange, Moment, evaluate};
use due::{Agenda, Left, next_look};
use outlooks::Outlooks;
use rules::RuleSet;
use sites::Sites;

/// How long after a first signal others are gathered: short beside every hold, long beside a batch.
const GATHER: Duration = Duration::from_millis(200);

/// How often it is looked which devices are due for what time alone brings about, such as absence.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the next round waits after one that could not be committed.
const RETRY: Duration = Duration::from_secs(5);

/// Changes that are committed at once: a flush for each would be the cost of a morning.
const WRITES: usize = 256;

/// Devices that are evaluated without a pause: about a tenth of a millisecond.
const UNPAUSED: usize = 64;

/// How long a device whose past was not read yet waits to be looked at, at the longest.
const UNREAD_MS: i64 = 5 * 60_000;

/// What keeps the alerts right. There is one for each store, and nobody else writes alerts.
pub struct Evaluator {
    store: Store,
    book: RuleBook,
    routes: Vec<Route>,
    clock: Arc<dyn Clock>,
    outlooks: Outlooks,
    agenda: Mutex<Agenda>,
    sites: Mutex<Sites>,
}

/// What a round found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// How many devices were evaluated.
    pub devices: usize,
    /// Whether an alert began or ceased to fire.
    pub is_news: bool,
}

/// What a round holds to, for all of its devices.
struct Round {
    rules: Arc<RuleSet>,
    inventory: Arc<Inventory>,
    lag_ms: i64,
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
            agenda: Mutex::default(),
            sites: Mutex::default(),
        }
    }

    /// Evaluates until shutdown.
    ///
    /// # Errors
    /// When the store has failed for good.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut changes = self.store.changes();
        let mut attend_at = UnixMs(0);
        // After a start and after a failure nothing is known of what was due.
        let mut is_all = true;
        loop {
            if !is_all {
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    () = self.book.changed() => is_all = true,
                    () = self.store.devices_changed() => tokio::time::sleep(GATHER).await,
                    _ = timer.tick() => {}
                }
            }
            let heard = heard(&mut changes);
            let done = self
                .round_and_desk(is_all || heard.inventory, heard.incidents, &mut attend_at)
                .await;
            is_all = done.is_err();
            match done {
                Ok(()) => {}
                Err(error @ (StoreError::Failed(_) | StoreError::Closed)) => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::warn!("alerts could not be stored: {error}");
                    tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
    }

    async fn round_and_desk(
        &self,
        is_all: bool,
        is_told: bool,
        attend_at: &mut UnixMs,
    ) -> Result<(), StoreError> {
        let found = if is_all {
            self.evaluate_all().await?
        } else {
            self.evaluate_due().await?
        };
        let now = self.clock.now().wall;
        // A clock that was set back makes it due too.
        let is_late = !(0..desk::LONGEST_REST_MS).contains(&attend_at.since(now));
        if found.is_news || is_told || is_late {
            *attend_at = self.attend().await?;
        }
        Ok(())
    }

    /// Evaluates the devices that changed or whose time has come.
    ///
    /// # Errors
    /// [`StoreError`] when the changes cannot be stored; then all devices are to be evaluated.
    pub async fn evaluate_due(&self) -> Result<Found, StoreError> {
        let mut due = self.store.take_changed();
        due.extend(self.look_at_sites());
        due.extend(self.agenda().take_due(self.clock.now().wall));
        due.sort_unstable();
        due.dedup();
        self.round(&due).await
    }

    /// Evaluates every device.
    ///
    /// # Errors
    /// [`StoreError`] when the changes cannot be stored.
    pub async fn evaluate_all(&self) -> Result<Found, StoreError> {
        // What changed up to here is among them.
        let _ = self.store.take_changed();
        let _ = self.look_at_sites();
        let all = self.store.device_ids();
        self.outlooks.keep(&all.iter().copied().collect());
        self.round(&all).await
    }

    async fn round(&self, due: &[DeviceId]) -> Result<Found, StoreError> {
        let clock = self.clock.as_ref();
        self.outlooks.read_some(&self.store, due, clock).await?;
        let round = self.new_round();
        let (mut writes, mut is_news) = (Vec::new(), false);
        for devices in due.chunks(UNPAUSED) {
            for device in devices {
                let of_device = self.look_at(*device, &round);
                is_news |= of_device.iter().any(desk::is_news);
                writes.extend(of_device);
                if writes.len() >= WRITES {
                    self.store.commit(std::mem::take(&mut writes)).await?;
                }
            }
            tokio::task::yield_now().await;
        }
        if !writes.is_empty() {
            self.store.commit(writes).await?;
        }
        Ok(Found {
            devices: due.len(),
            is_news,
        })
    }

    fn new_round(&self) -> Round {
        Round {
            rules: self.book.rules(),
            lag_ms: lag_ms(&self.store.configuration().schedule),
            inventory: self.store.inventory(),
        }
    }

    /// Evaluates a device and notes when it is to be looked at next.
    fn look_at(&self, device: DeviceId, round: &Round) -> Vec<Write> {
        let now = self.clock.now().wall;
        let Some(known) = self.store.device(device) else {
            return Vec::new();
        };
        let (state, stand_until) = self.with_forecasts(known, &round.inventory, now);
        let open = self.store.open_alerts_of(device);
        let moment = Moment {
            now,
            lag_ms: round.lag_ms,
            heard: self.sites().heard(&state, now),
        };
        let changes = evaluate(&round.rules, &state, &open, moment);
        let left = Left {
            has_open: !open.is_empty(),
            is_changed: !changes.is_empty(),
            forecasts_stand_until: stand_until,
        };
        let next = next_look(&round.rules, &state, left, now);
        self.agenda().note(device, next);
        writes_of(changes)
    }

    /// The state with the forecasts of now, and when they are to be looked at next.
    fn with_forecasts(
        &self,
        state: Arc<DeviceState>,
        inventory: &Inventory,
        now: UnixMs,
    ) -> (Arc<DeviceState>, Option<UnixMs>) {
        let Some((forecasts, until)) = self.outlooks.of(&state, now) else {
            return (state, Some(now.plus_ms(UNREAD_MS)));
        };
        let said = readings::readings(&state.device, inventory, now);
        let (forecasts, until) = if said.is_empty() {
            (forecasts, until)
        } else {
            let joined = readings::joined(&forecasts, &state.forecasts, &said, now);
            let same = joined == *state.forecasts;
            let joined = if same {
                Arc::clone(&state.forecasts)
            } else {
                joined.into()
            };
            // What is late is late from the next day on.
            (joined, until.min(tomorrow(now)))
        };
        if Arc::ptr_eq(&forecasts, &state.forecasts) {
            return (state, Some(until));
        }
        self.store
            .set_forecasts(state.device.id, Arc::clone(&forecasts));
        let state = DeviceState {
            forecasts,
            ..DeviceState::clone(&state)
        };
        (Arc::new(state), Some(until))
    }

    /// The devices whose school fell silent or is heard again.
    fn look_at_sites(&self) -> Vec<DeviceId> {
        let (rules, now) = (self.book.rules(), self.clock.now().wall);
        let devices = std::cell::OnceCell::new();
        let laptops = || {
            let devices = devices.get_or_init(|| self.store.devices());
            devices.iter().map(AsRef::as_ref).collect()
        };
        self.sites().look(laptops, &rules.calendar, now)
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        // It is made anew within a minute.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        // A panic leaves at worst a device that is looked at once too often.
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a change may be on its way: it is read within a fast interval, and then waits to be sent with
/// others.
fn lag_ms(schedule: &Schedule) -> i64 {
    (i64::from(schedule.send_s) + i64::from(schedule.fast_s)) * 1000
}

/// The changes of a device's alerts.
fn writes_of(changes: Vec<AlertChange>) -> Vec<Write> {
    changes.iter().for_each(log);
    let writes = changes.into_iter().map(|change| match change {
        AlertChange::Note(alert) | AlertChange::Fire(alert) => Write::PutAlert(alert),
        AlertChange::Withdraw(key) => Write::RemoveAlert(key),
        AlertChange::Resolve(alert) => Write::ResolveAlert(alert),
    });
    writes.collect()
}

/// What changed beside devices.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    incidents: bool,
    inventory: bool,
}

/// What somebody changed since this was last asked; a listener that lags has to assume everything.
fn heard(changes: &mut Receiver<Change>) -> Heard {
    let mut heard = Heard::default();
    loop {
        match changes.try_recv() {
            Ok(Change::Incidents) => heard.incidents = true,
            Ok(Change::Inventory) => heard.inventory = true,
            Ok(_) => {}
            Err(TryRecvError::Lagged(_)) => {
                heard = Heard {
                    incidents: true,
                    inventory: true,
                };
            }
            Err(TryRecvError::Empty | TryRecvError::Closed) => return heard,
        }
    }
}

/// When the next day begins in UTC.
fn tomorrow(now: UnixMs) -> UnixMs {
    const DAY_MS: i64 = 86_400_000;
    UnixMs((now.0.div_euclid(DAY_MS) + 1) * DAY_MS)
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
