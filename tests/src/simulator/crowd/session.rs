//! What a laptop of the crowd does next, purely: (plan, now) to a step. The engine acts.
//!
//! All times are microseconds of one clock. In the open loop a message has a time at which it is due
//! whatever the collector does, and its latency counts from there: who measured from the moment of
//! sending would not see the wait of all those who could not send (coordinated omission).

use std::collections::VecDeque;

use rollcall_shared::limits;

/// Before the first report a laptop has been running for this long.
const UP_MS: u64 = 600_000;

/// How a crowd sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// When the laptops begin to send.
    pub start_us: u64,
    /// After this nothing more is sent.
    pub end_us: u64,
    /// What lies between two reports of a laptop.
    pub interval_ms: u64,
    /// Reports in a message, where nothing is waiting.
    pub per_message: u32,
    /// Reports that wait at the start.
    pub backlog: u64,
    /// When messages are sent.
    pub pace: Pace,
}

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As reports come, this many times as fast as real ones.
    Open {
        /// How many times.
        speed: f64,
    },
    /// As soon as fewer than this many messages of the laptop are unacknowledged.
    Closed {
        /// How many.
        outstanding: usize,
        /// How far back in time the first report lies.
        history_ms: u64,
    },
    /// Never.
    Quiet,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this many reports, which were due at a time.
    Send {
        /// How many.
        reports: u64,
        /// When they were due.
        due_us: u64,
    },
    /// Nothing before this time.
    Until(u64),
    /// Nothing before an acknowledgement.
    Acknowledgement,
    /// Nothing any more.
    Done,
}

/// A message on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The count of reports up to its last one.
    pub up_to: u64,
    /// When it was due.
    pub due_us: u64,
    /// When it was sent.
    pub sent_us: u64,
}

/// A laptop of the crowd as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its number in the fleet.
    pub number: u32,
    /// Where in the interval it sends, from 0 to 1, so that not all send at once.
    phase: f64,
    /// The last sequence that the collector had before this run.
    base: Option<u64>,
    sent: u64,
    acknowledged: u64,
    credit: u64,
    paused_until_us: u64,
    on_the_way: VecDeque<Sent>,
}

impl Plan {
    /// Microseconds between two messages of a laptop, at least one; the largest number where there is
    /// no beat. A whole number, so that a beat's time and the count of beats by then always agree.
    fn period_us(&self) -> u64 {
        match self.pace {
            Pace::Open { speed } => {
                let real_us = (self.interval_ms * u64::from(self.per_message)) as f64 * 1000.0;
                ((real_us / speed) as u64).max(1)
            }
            Pace::Closed { .. } | Pace::Quiet => u64::MAX,
        }
    }

    /// How far before the start the first report was taken, so that at the end of a run that is
    /// faster than real the last one is from then.
    fn history_ms(&self) -> u64 {
        let waiting = (self.backlog + u64::from(self.per_message)) * self.interval_ms;
        match self.pace {
            Pace::Open { speed } => {
                let run_ms = (self.end_us - self.start_us) as f64 / 1000.0;
                waiting + ((speed - 1.0).max(0.0) * run_ms) as u64
            }
            Pace::Closed { history_ms, .. } => waiting + history_ms,
            Pace::Quiet => waiting,
        }
    }

    /// The laptop's time since boot at a moment, in milliseconds.
    #[must_use]
    pub fn since_boot_ms(&self, now_us: u64) -> u64 {
        UP_MS + self.history_ms() + now_us.saturating_sub(self.start_us) / 1000
    }

    /// The time since boot at which a laptop took its report with this index; never after now.
    #[must_use]
    pub fn taken_ms(&self, index: u64, now_us: u64) -> u64 {
        (UP_MS + index * self.interval_ms).min(self.since_boot_ms(now_us))
    }
}

impl Member {
    /// A laptop that has sent nothing; `phase` lies in `[0, 1)`.
    #[must_use]
    pub const fn new(number: u32, phase: f64) -> Self {
        Self {
            number,
            phase,
            base: None,
            sent: 0,
            acknowledged: 0,
            credit: 0,
            paused_until_us: 0,
            on_the_way: VecDeque::new(),
        }
    }

    /// Reports that the collector has acknowledged in this run.
    #[must_use]
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Messages on the way.
    #[must_use]
    pub const fn on_the_way(&self) -> &VecDeque<Sent> {
        &self.on_the_way
    }

    /// Whether a laptop that rests between messages may leave: everything is acknowledged, and nothing
    /// more is due. In the closed loop it leaves after each message.
    #[must_use]
    pub fn may_rest(&self, plan: &Plan, now_us: u64) -> bool {
        let is_closed = matches!(plan.pace, Pace::Closed { .. });
        let is_due = matches!(self.step(plan, now_us), Step::Send { .. });
        self.on_the_way.is_empty() && (is_closed || !is_due)
    }

    /// What to do at a moment on an open stream; off the stream, whether there is anything to send.
    #[must_use]
    pub fn step(&self, plan: &Plan, now_us: u64) -> Step {
        if plan.pace == Pace::Quiet || now_us >= plan.end_us {
            return Step::Done;
        }
        let from = self.paused_until_us.max(plan.start_us);
        if now_us < from {
            return Step::Until(from);
        }
        let credit = if self.base.is_some() { self.credit } else { 1 };
        let room = credit.saturating_sub(self.sent - self.acknowledged);
        match plan.pace {
            Pace::Open { .. } => self.open_step(plan, now_us, room),
            Pace::Closed { outstanding, .. } => {
                let reports = room.min(u64::from(plan.per_message));
                if reports == 0 || self.on_the_way.len() >= outstanding {
                    return Step::Acknowledgement;
                }
                Step::Send {
                    reports,
                    due_us: now_us,
                }
            }
            Pace::Quiet => Step::Done,
        }
    }

    fn open_step(&self, plan: &Plan, now_us: u64, room: u64) -> Step {
        let period = plan.period_us();
        let first = plan.start_us + (self.phase * period as f64) as u64;
        let due = |beat: u64| first.saturating_add(beat.saturating_mul(period));
        let beats = now_us
            .checked_sub(first)
            .map_or(0, |passed| passed / period + 1);
        let per_message = u64::from(plan.per_message);
        let waiting = plan.backlog + beats * per_message - self.sent;
        if waiting == 0 {
            return Step::Until(due(beats));
        }
        if room == 0 {
            return Step::Acknowledgement;
        }
        let Some(after_backlog) = self.sent.checked_sub(plan.backlog) else {
            let reports = waiting.min(room).min(limits::REPORTS_PER_MESSAGE as u64);
            return Step::Send {
                reports,
                due_us: now_us,
            };
        };
        let left = per_message - after_backlog % per_message;
        Step::Send {
            reports: left.min(room),
            due_us: due(after_backlog / per_message),
        }
    }

    /// Notes that reports were sent; the answer is the index of the first and its sequence.
    ///
    /// # Panics
    /// Before the first Welcome, when nothing may be sent.
    pub fn note_sent(&mut self, reports: u64, due_us: u64, now_us: u64) -> (u64, u64) {
        let first = self.sent;
        let base = self.base.expect("reports follow Welcome");
        self.sent += reports;
        self.on_the_way.push_back(Sent {
            up_to: self.sent,
            due_us,
            sent_us: now_us,
        });
        (first, base + first + 1)
    }

    /// Takes note of a lost connection: what was on the way is to be sent again, unless Welcome says
    /// that it arrived. The answer is how many messages that were.
    pub fn disconnect(&mut self) -> usize {
        self.sent = self.acknowledged;
        let lost = self.on_the_way.len();
        self.on_the_way.clear();
        lost
    }

    /// Takes note of Welcome: the collector has everything up to `last_stored`. The answer is how many reports that acknowledges.
    pub fn welcome(&mut self, last_stored: u64, credit: u32) -> u64 {
        let base = *self.base.get_or_insert(last_stored);
        let before = self.acknowledged;
        self.acknowledged = last_stored.saturating_sub(base).max(before);
        self.sent = self.acknowledged;
        self.credit = u64::from(credit);
        self.acknowledged - before
    }

    /// Takes note of an acknowledgement; `settled` hears of each message that it covers. The answer is
    /// how many reports were acknowledged.
    pub fn acknowledge(&mut self, sequence: u64, mut settled: impl FnMut(Sent)) -> u64 {
        let stored = sequence
            .saturating_sub(self.base.unwrap_or(0))
            .min(self.sent);
        while let Some(message) = self.on_the_way.pop_front_if(|sent| sent.up_to <= stored) {
            settled(message);
        }
        let new = stored.saturating_sub(self.acknowledged);
        self.acknowledged += new;
        new
    }

    /// Takes note of a slow-down.
    pub fn slow_down(&mut self, credit: u32, wait_ms: u32, now_us: u64) {
        self.credit = u64::from(credit);
        self.paused_until_us = now_us + u64::from(wait_ms) * 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn plan(pace: Pace, backlog: u64) -> Plan {
        Plan {
            start_us: 10 * SECOND,
            end_us: 1000 * SECOND,
            interval_ms: 60_000,
            per_message: 5,
            backlog,
            pace,
        }
    }

    fn member(credit: u32) -> Member {
        let mut member = Member::new(3, 0.5);
        assert_eq!(member.welcome(100, credit), 0);
        member
    }

    fn send(reports: u64, due_s: u64) -> Step {
        Step::Send {
            reports,
            due_us: due_s * SECOND,
        }
    }

    /// A laptop that is told to wait until now would be asked again for ever.
    #[test]
    fn what_is_awaited_is_always_still_to_come() {
        for (speed, phase) in [(10.0, 0.123_456_7), (7.3, 0.999_999), (1.0, 1.0 / 3.0)] {
            let plan = plan(Pace::Open { speed }, 0);
            let mut member = Member::new(0, phase);
            member.welcome(0, 1000);
            let mut now = plan.start_us;
            for _ in 0..200 {
                match member.step(&plan, now) {
                    Step::Send { reports, due_us } => {
                        assert_eq!(due_us, now, "speed {speed}, phase {phase}");
                        let (_, sequence) = member.note_sent(reports, due_us, now);
                        member.acknowledge(sequence + reports - 1, |_| {});
                    }
                    Step::Until(at) => {
                        assert!(
                            at > now,
                            "speed {speed}, phase {phase}: {at} is not to come"
                        );
                        now = at;
                    }
                    Step::Acknowledgement | Step::Done => break,
                }
            }
        }
    }

    #[test]
    fn the_open_loop_has_a_beat_that_no_late_acknowledgement_moves() {
        let plan = plan(Pace::Open { speed: 60.0 }, 0);
        let mut member = member(10);
        // Five reports of a minute each, sixty times as fast: a message in five seconds.
        assert_eq!(member.step(&plan, 0), Step::Until(10 * SECOND));
        assert_eq!(member.step(&plan, 11 * SECOND), Step::Until(12_500_000));
        let due = |beat: u64| 12_500_000 + beat * 5 * SECOND;
        let at = 30 * SECOND;
        for beat in 0..2 {
            let step = member.step(&plan, at);
            assert_eq!(
                step,
                Step::Send {
                    reports: 5,
                    due_us: due(beat)
                }
            );
            assert_eq!(
                member.note_sent(5, due(beat), at),
                (beat * 5, 101 + beat * 5)
            );
        }
        assert_eq!(
            member.step(&plan, at),
            Step::Acknowledgement,
            "the credit is used up"
        );
        let mut settled = Vec::new();
        assert_eq!(member.acknowledge(105, |sent| settled.push(sent)), 5);
        assert_eq!(
            settled,
            [Sent {
                up_to: 5,
                due_us: due(0),
                sent_us: at
            }]
        );
        assert_eq!(
            member.step(&plan, at),
            Step::Send {
                reports: 5,
                due_us: due(2)
            }
        );
        assert_eq!(member.step(&plan, 1000 * SECOND), Step::Done);
    }

    #[test]
    fn a_backlog_goes_in_large_messages_and_by_the_credit() {
        let plan = plan(Pace::Open { speed: 1.0 }, 960);
        let mut member = member(64);
        let at = 11 * SECOND;
        assert_eq!(member.step(&plan, at), send(64, 11));
        member.note_sent(64, at, at);
        assert_eq!(member.step(&plan, at), Step::Acknowledgement);
        member.acknowledge(164, |_| {});
        member.slow_down(1, 2000, at);
        assert_eq!(member.step(&plan, at), Step::Until(13 * SECOND));
        assert_eq!(member.step(&plan, 13 * SECOND), send(1, 13));
    }

    #[test]
    fn after_a_lost_connection_what_was_not_stored_is_sent_again() {
        let pace = Pace::Closed {
            outstanding: 2,
            history_ms: 0,
        };
        let plan = plan(pace, 0);
        let mut member = member(64);
        for _ in 0..2 {
            assert_eq!(member.step(&plan, 20 * SECOND), send(5, 20));
            member.note_sent(5, 20 * SECOND, 20 * SECOND);
        }
        assert_eq!(member.step(&plan, 20 * SECOND), Step::Acknowledgement);
        // Seven of ten were stored when the connection broke.
        assert_eq!(member.disconnect(), 2);
        assert!(member.on_the_way().is_empty());
        assert_eq!(member.welcome(107, 64), 7);
        assert_eq!(member.note_sent(5, 0, 0), (7, 108));
        assert_eq!(member.acknowledge(112, |_| {}), 5);
        assert_eq!(member.acknowledged(), 12);
    }

    #[test]
    fn reports_are_an_interval_apart_and_never_from_the_future() {
        let plan = plan(Pace::Open { speed: 60.0 }, 30);
        let member = member(1000);
        for at in (11..1000).step_by(13).map(|s| s * SECOND) {
            let Step::Send { .. } = member.step(&plan, at) else {
                continue;
            };
            // The newest report that may be sent now.
            let beats = (at as f64 - 12_500_000.0) / 5e6;
            let newest = if beats < 0.0 {
                29
            } else {
                30 + (beats as u64) * 5 + 4
            };
            assert_eq!(plan.taken_ms(newest, at), UP_MS + newest * 60_000);
            assert!(plan.taken_ms(newest, at) <= plan.since_boot_ms(at));
        }
        assert_eq!(plan.taken_ms(u64::MAX / 70_000, 0), plan.since_boot_ms(0));
    }
}
