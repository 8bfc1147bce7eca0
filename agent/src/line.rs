//! What collecting and streaming share: the spool between them, and what each tells the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::Sequence;
use rollcall_shared::time::{Now, SinceBootMs, UnixMs};
use tokio::sync::watch;

use crate::spool::files::Files;
use crate::spool::{Spool, SpoolError};
use crate::status::{Ack, Problem, SpoolStatus, Status};
use crate::waiting::Waiting;

/// The spool of any kind of files.
pub type AnySpool = Spool<Box<dyn Files>>;

/// The middle of an agent. Everything in it is short-lived to lock and never held over an await.
#[derive(Debug)]
pub struct Line {
    spool: Mutex<AnySpool>,
    appended: watch::Sender<Appended>,
    configuration: watch::Sender<Configuration>,
    disturbed: watch::Sender<u64>,
    status: watch::Sender<Status>,
    full_wanted: AtomicBool,
    server_clock: Mutex<Option<ServerClock>>,
}

/// How far the spool has grown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// The last sequence that it holds.
    pub last: Sequence,
    /// The last one of those that must travel at once.
    pub urgent: Sequence,
}

/// The collector's clock, as a moment of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerClock {
    server: UnixMs,
    at: SinceBootMs,
}

impl ServerClock {
    /// What the collector's clock says now; it does not depend on the laptop's wall clock.
    #[must_use]
    pub fn now(&self, now: SinceBootMs) -> UnixMs {
        let passed = now.since(self.at).as_millis();
        self.server
            .plus_ms(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}

impl Line {
    /// A line over a spool, following `configuration` until the collector sends another.
    #[must_use]
    pub fn new(spool: AnySpool, configuration: Configuration, status: Status) -> Self {
        let last = spool.stats().last;
        let line = Self {
            spool: Mutex::new(spool),
            appended: watch::Sender::new(Appended {
                last,
                urgent: Sequence::NONE,
            }),
            configuration: watch::Sender::new(configuration),
            disturbed: watch::Sender::new(0),
            status: watch::Sender::new(status),
            full_wanted: AtomicBool::new(true),
            server_clock: Mutex::new(None),
        };
        line.note_spool();
        line
    }

    /// The spool, for one operation.
    pub fn spool(&self) -> MutexGuard<'_, AnySpool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a report and lets the stream know. An urgent one is durable at once, others are before
    /// they are sent.
    ///
    /// # Errors
    /// [`SpoolError`]; the report is then lost, and the next one has to be a full one.
    pub fn append(&self, payload: &[u8], urgent: bool) -> Result<Sequence, SpoolError> {
        let (appended, dropped) = {
            let mut spool = self.spool();
            let before = spool.stats().dropped;
            let appended = if urgent {
                spool.append(payload)
            } else {
                spool.append_soon(payload)
            };
            (appended, spool.stats().dropped > before)
        };
        if dropped || appended.is_err() {
            self.want_full();
        }
        let last = appended?;
        self.appended.send_modify(|appended| {
            appended.last = last;
            if urgent {
                appended.urgent = last;
            }
        });
        self.note_spool();
        Ok(last)
    }

    /// Tells how the spool grows.
    pub fn watch_appended(&self) -> watch::Receiver<Appended> {
        self.appended.subscribe()
    }

    /// The configuration that the agent follows.
    pub fn watch_configuration(&self) -> watch::Receiver<Configuration> {
        self.configuration.subscribe()
    }

    /// Follows another configuration from now on.
    pub fn follow(&self, configuration: Configuration) {
        self.status
            .send_modify(|status| status.configuration_revision = configuration.revision);
        self.configuration.send_if_modified(|followed| {
            let is_new = *followed != configuration;
            *followed = configuration;
            is_new
        });
    }

    /// Tells when the machine was asleep or its network is another one.
    pub fn watch_disturbed(&self) -> watch::Receiver<u64> {
        self.disturbed.subscribe()
    }

    /// The machine was asleep, or its network is another one.
    pub fn disturb(&self) {
        self.disturbed.send_modify(|count| *count += 1);
    }

    /// Asks for a report with every reading: the collector lacks what changes build upon.
    pub fn want_full(&self) {
        self.full_wanted.store(true, Ordering::Relaxed);
    }

    /// Whether such a report was asked for since the last call.
    pub fn take_full_wanted(&self) -> bool {
        self.full_wanted.swap(false, Ordering::Relaxed)
    }

    /// The state of the agent.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Changes what the agent says of itself.
    pub fn note(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    /// Notes a problem that has no more to say than its words.
    pub fn note_problem(&self, words: String, now: Now) {
        self.note_waiting(Waiting::Other, words, now);
    }

    /// Notes a problem and what it waits for, and logs it unless it is the last one again.
    pub fn note_waiting(&self, waiting: Waiting, words: String, now: Now) {
        let is_new = self
            .status
            .borrow()
            .last_error
            .as_ref()
            .is_none_or(|last| last.words != words);
        if is_new {
            tracing::warn!(problem = %words, "no connection to the collector");
        }
        self.note(|status| {
            status.connected = false;
            status.last_error = Some(Problem {
                words,
                at: now.wall,
                waiting,
            });
        });
    }

    /// Notes what the collector has stored.
    pub fn note_ack(&self, sequence: Sequence, now: Now) {
        self.note(|status| {
            status.last_ack = Some(Ack {
                sequence: sequence.0,
                at: now.wall,
            })
        });
        self.note_spool();
    }

    /// Notes how full the spool is.
    pub fn note_spool(&self) {
        let stats = self.spool().stats();
        let spool = SpoolStatus {
            bytes: stats.bytes,
            waiting: stats.last.0.saturating_sub(stats.done.0),
            dropped: stats.dropped,
            corrupt: stats.corrupt,
        };
        self.note(|status| status.spool = spool);
    }

    /// Notes what the collector's clock said at a moment.
    pub fn note_server_time(&self, server: UnixMs, now: Now) {
        let clock = ServerClock {
            server,
            at: now.since_boot,
        };
        *self
            .server_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(clock);
        self.note(|status| status.clock_skew_ms = Some(now.wall.since(server)));
    }

    /// The collector's clock, once it has told.
    pub fn server_now(&self, now: Now) -> Option<UnixMs> {
        let clock = *self
            .server_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        clock.map(|clock| clock.now(now.since_boot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collectors_clock_goes_on_without_the_laptops() {
        let clock = ServerClock {
            server: UnixMs(1_790_000_000_000),
            at: SinceBootMs(5_000),
        };
        assert_eq!(clock.now(SinceBootMs(65_000)), UnixMs(1_790_000_060_000));
    }
}
