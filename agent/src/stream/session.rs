//! When to connect, what to send and when to wait: (event, now) -> actions, and nothing else.
//!
//! ```text
//!            +--------- failure, silence: wait at random, longer each time ---------+
//!            v                                                                      |
//! Waiting --until--> Connecting --stream is open--> Greeting --Welcome--> Streaming-+
//!    ^  network changed, awake again: at once           |                     |
//!    +---------------------------------------------------+---- End(refused, retired)
//! ```
//! Time is time since boot, sleep included, so a deadline that passed during sleep has passed.

use std::collections::VecDeque;
use std::time::Duration;

use rollcall_shared::backoff::Backoff;
use rollcall_shared::id::Sequence;
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::SinceBootMs;

/// An acknowledgement that takes longer means that the collector hangs; storing takes milliseconds.
const ACK_TIMEOUT: Duration = Duration::from_secs(120);

/// A connection that lasted this long was a good one: the next failure is the first again. Two
/// machines that share an identity, which nothing in their hardware shows, take the stream from each
/// other; this keeps them from doing so every other second.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// What waits may go earlier by this part of the interval, where a report comes in just before.
const FLUSH_EARLIER: u32 = 10;

/// The longest pause that a collector may ask for; one that asks for more is taken at this.
const PAUSE_LONGEST: Duration = Duration::from_secs(3600);

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The time of [`Session::deadline`] has come.
    Timer,
    /// The stream is open and Hello is on its way.
    Opened,
    /// The connection could not be made or is lost.
    Lost,
    /// The collector refused.
    Refused(Refusal),
    /// The collector's first message.
    Welcome {
        /// The last sequence of this spool that it has stored.
        last_stored: Sequence,
        /// How many reports may be on the way.
        credit: u32,
    },
    /// Everything up to here is stored.
    Ack(Sequence),
    /// The collector wants less, or nothing for a while.
    SlowDown {
        /// How many reports may be on the way from now on.
        credit: u32,
        /// How long nothing is to be sent.
        wait: Duration,
    },
    /// The device has left the fleet.
    Retired,
    /// The spool holds one more report.
    Appended {
        /// Its sequence.
        last: Sequence,
        /// Whether it must travel at once.
        urgent: bool,
    },
    /// What [`Action::Send`] asked for is on its way.
    Sent {
        /// The last sequence that was read; that of [`Action::Send::through`] where there was none.
        last: Sequence,
        /// How many reports were sent.
        reports: u32,
    },
    /// The machine was asleep, or its network is another one.
    Disturbed,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connect, open the stream and send Hello.
    Connect,
    /// Drop the connection.
    Disconnect,
    /// Note in the spool that everything up to here is stored.
    Acknowledge(Sequence),
    /// Give the spool a new id: the collector knows sequences that the spool does not.
    RenewSpool,
    /// Send reports after `after` and up to `through`, at most so many.
    Send {
        /// The last sequence sent before.
        after: Sequence,
        /// The last sequence to send.
        through: Sequence,
        /// The most reports to send.
        at_most: u32,
    },
    /// Nothing more can be done with this identity.
    End(End),
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The collector refuses this identity.
    Refused(Refusal),
    /// The device has left the fleet.
    Retired,
}

/// One identity's dealings with one collector.
#[derive(Debug)]
pub struct Session {
    state: State,
    backoff: Backoff,
    /// How long ordinary reports may wait to travel together.
    send_interval: Duration,
    last: Sequence,
    /// Everything up to here goes as soon as credit allows.
    due_through: Sequence,
    /// When what waits becomes due.
    flush_at: Option<SinceBootMs>,
}

#[derive(Debug)]
enum State {
    Waiting { until: SinceBootMs },
    Connecting,
    Greeting { until: SinceBootMs },
    Streaming(Streaming),
    Ended,
}

#[derive(Debug)]
struct Streaming {
    since: SinceBootMs,
    sent: Sequence,
    /// The last sequence of each message that is not acknowledged, and its count of reports.
    in_flight: VecDeque<(Sequence, u32)>,
    credit: u32,
    paused_until: SinceBootMs,
    /// When the collector last acknowledged something or was last sent something while idle.
    heard: SinceBootMs,
}

impl Session {
    /// A session that connects at once. `last` is the last sequence that the spool holds.
    #[must_use]
    pub fn new(now: SinceBootMs, last: Sequence, send_interval: Duration) -> Self {
        Self {
            state: State::Waiting { until: now },
            backoff: Backoff::new(limits::RECONNECT_FIRST, limits::RECONNECT_LONGEST),
            send_interval,
            last,
            due_through: last,
            flush_at: None,
        }
    }

    /// What to do about an event. `random` in `[0, 1)` spreads the fleet's reconnections.
    pub fn handle(&mut self, event: Event, now: SinceBootMs, random: f64) -> Vec<Action> {
        match event {
            Event::Timer => self.on_timer(now, random),
            Event::Opened => self.on_opened(now),
            Event::Lost => self.on_lost(now, random),
            Event::Refused(refusal) => self.on_refused(refusal, now, random),
            Event::Retired => self.end(End::Retired),
            Event::Welcome {
                last_stored,
                credit,
            } => self.on_welcome(last_stored, credit, now, random),
            Event::Ack(sequence) => self.on_ack(sequence, now),
            Event::SlowDown { credit, wait } => self.on_slow_down(credit, wait, now),
            Event::Appended { last, urgent } => self.on_appended(last, urgent, now),
            Event::Sent { last, reports } => self.on_sent(last, reports, now),
            Event::Disturbed => self.on_disturbed(now, random),
        }
    }

    /// When [`Event::Timer`] is wanted; none while only the other side or the spool can go on.
    #[must_use]
    pub fn deadline(&self) -> Option<SinceBootMs> {
        match &self.state {
            State::Waiting { until } | State::Greeting { until } => Some(*until),
            State::Connecting | State::Ended => None,
            State::Streaming(streaming) => [
                self.flush_at,
                streaming.pause_end(self.due_through),
                streaming.ack_deadline(),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    /// Whether reports flow.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// How long ordinary reports may wait from now on.
    pub const fn set_send_interval(&mut self, interval: Duration) {
        self.send_interval = interval;
    }

    fn on_timer(&mut self, now: SinceBootMs, random: f64) -> Vec<Action> {
        match &self.state {
            State::Waiting { until } if now >= *until => self.connect(),
            State::Greeting { until } if now >= *until => self.give_up(now, random),
            State::Streaming(streaming) if streaming.ack_deadline().is_some_and(|at| now >= at) => {
                self.give_up(now, random)
            }
            State::Streaming(_) => {
                if self.flush_at.is_some_and(|at| now >= at) {
                    self.make_all_due();
                }
                self.send(now)
            }
            _ => Vec::new(),
        }
    }

    fn on_opened(&mut self, now: SinceBootMs) -> Vec<Action> {
        if matches!(self.state, State::Connecting) {
            self.state = State::Greeting {
                until: later(now, limits::CONNECT_TIMEOUT),
            };
        }
        Vec::new()
    }

    fn on_lost(&mut self, now: SinceBootMs, random: f64) -> Vec<Action> {
        match &self.state {
            State::Waiting { .. } | State::Ended => return Vec::new(),
            State::Streaming(streaming) if now.since(streaming.since) >= GOOD_AFTER => {
                self.backoff.reset();
            }
            _ => {}
        }
        let wait = self.backoff.after_failure(random);
        self.state = State::Waiting {
            until: later(now, wait),
        };
        Vec::new()
    }

    fn give_up(&mut self, now: SinceBootMs, random: f64) -> Vec<Action> {
        self.on_lost(now, random);
        vec![Action::Disconnect]
    }

    fn on_refused(&mut self, refusal: Refusal, now: SinceBootMs, random: f64) -> Vec<Action> {
        match refusal {
            Refusal::TooMany | Refusal::StoreUnavailable | Refusal::MessageMalformed => {
                self.give_up(now, random)
            }
            _ => self.end(End::Refused(refusal)),
        }
    }

    fn end(&mut self, end: End) -> Vec<Action> {
        self.state = State::Ended;
        vec![Action::Disconnect, Action::End(end)]
    }

    fn connect(&mut self) -> Vec<Action> {
        self.state = State::Connecting;
        vec![Action::Connect]
    }

    fn on_welcome(
        &mut self,
        last_stored: Sequence,
        credit: u32,
        now: SinceBootMs,
        random: f64,
    ) -> Vec<Action> {
        if !matches!(self.state, State::Greeting { .. }) {
            return Vec::new();
        }
        if last_stored > self.last {
            // With a wait: on a full disk the spool may keep its id, and the next Welcome say the same.
            self.on_lost(now, random);
            return vec![Action::Disconnect, Action::RenewSpool];
        }
        self.state = State::Streaming(Streaming {
            since: now,
            sent: last_stored,
            in_flight: VecDeque::new(),
            credit,
            paused_until: now,
            heard: now,
        });
        // What has waited for a connection has waited long enough.
        self.make_all_due();
        let mut actions = vec![Action::Acknowledge(last_stored)];
        actions.extend(self.send(now));
        actions
    }

    fn on_ack(&mut self, sequence: Sequence, now: SinceBootMs) -> Vec<Action> {
        let State::Streaming(streaming) = &mut self.state else {
            return Vec::new();
        };
        // An acknowledgement of what was never sent is not believed.
        let sequence = sequence.min(streaming.sent);
        streaming.in_flight.retain(|(last, _)| *last > sequence);
        streaming.heard = now;
        let mut actions = vec![Action::Acknowledge(sequence)];
        actions.extend(self.send(now));
        actions
    }

    fn on_slow_down(&mut self, credit: u32, wait: Duration, now: SinceBootMs) -> Vec<Action> {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.credit = credit;
            streaming.paused_until = later(now, wait.min(PAUSE_LONGEST));
        }
        self.send(now)
    }

    fn on_appended(&mut self, last: Sequence, urgent: bool, now: SinceBootMs) -> Vec<Action> {
        self.last = self.last.max(last);
        if urgent {
            self.make_all_due();
        } else {
            let flush_at = *self
                .flush_at
                .get_or_insert_with(|| later(now, self.send_interval));
            // What is nearly due goes along, so that the machine wakes once for both.
            if flush_at.since(now) < self.send_interval / FLUSH_EARLIER {
                self.make_all_due();
            }
        }
        self.send(now)
    }

    fn on_sent(&mut self, last: Sequence, reports: u32, now: SinceBootMs) -> Vec<Action> {
        if let State::Streaming(streaming) = &mut self.state {
            streaming.sent = streaming.sent.max(last);
            if reports > 0 {
                if streaming.in_flight.is_empty() {
                    streaming.heard = now;
                }
                streaming.in_flight.push_back((last, reports));
            }
        }
        self.send(now)
    }

    fn on_disturbed(&mut self, now: SinceBootMs, random: f64) -> Vec<Action> {
        // A whole school opens its lids at once: even so they do not come in the same moment.
        let until = later(now, limits::RECONNECT_FIRST.mul_f64(random));
        match self.state {
            State::Ended => Vec::new(),
            State::Waiting { until: before } => {
                self.backoff.reset();
                self.state = State::Waiting {
                    until: until.min(before),
                };
                Vec::new()
            }
            State::Connecting | State::Greeting { .. } | State::Streaming(_) => {
                self.backoff.reset();
                self.state = State::Waiting { until };
                vec![Action::Disconnect]
            }
        }
    }

    fn make_all_due(&mut self) {
        self.due_through = self.last;
        self.flush_at = None;
    }

    fn send(&self, now: SinceBootMs) -> Vec<Action> {
        let State::Streaming(streaming) = &self.state else {
            return Vec::new();
        };
        let room = streaming.room();
        if streaming.sent >= self.due_through || room == 0 || now < streaming.paused_until {
            return Vec::new();
        }
        vec![Action::Send {
            after: streaming.sent,
            through: self.due_through,
            at_most: room,
        }]
    }
}

impl Streaming {
    fn room(&self) -> u32 {
        let in_flight: u32 = self.in_flight.iter().map(|(_, reports)| reports).sum();
        let most = u32::try_from(limits::REPORTS_PER_MESSAGE).unwrap_or(u32::MAX);
        self.credit.saturating_sub(in_flight).min(most)
    }

    fn pause_end(&self, due_through: Sequence) -> Option<SinceBootMs> {
        let holds = self.sent < due_through && self.room() > 0;
        holds.then_some(self.paused_until)
    }

    fn ack_deadline(&self) -> Option<SinceBootMs> {
        (!self.in_flight.is_empty()).then(|| later(self.heard, ACK_TIMEOUT))
    }
}

fn later(now: SinceBootMs, wait: Duration) -> SinceBootMs {
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    SinceBootMs(now.0.saturating_add(wait))
}

#[cfg(test)]
mod tests;
