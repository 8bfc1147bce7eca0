//! What a channel does next with its part of the outbox. Pure.
//!
//! - What is told of an incident is told in the order of its numbers, and one at a time.
//! - An incident that was never attempted to be told and is over already is told not at all.
//! - An update that was never attempted and has a successor is left out.
//! - What was attempted is told to the end, since the receiver may have it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollcall_shared::backoff::Backoff;
use rollcall_shared::time::UnixMs;

use super::Outcome;
use crate::incident::IncidentId;
use crate::notification::{Event, Notification, NotificationKey};

/// The ceiling of the first wait after a failure: a server that restarts is back by the second.
const RETRY_FIRST: Duration = Duration::from_secs(5);

/// The longest wait: greylisting ends within 15 minutes.
const RETRY_LONGEST: Duration = Duration::from_secs(15 * 60);

/// Deliveries of one channel at a time: more would only open more connections to one server.
pub const AT_ONCE: usize = 4;

/// Bytes that are kept of the reason of a failure.
const ERROR_BYTES: usize = 300;

/// What is to be done now.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Delivered now, at most [`AT_ONCE`].
    pub deliver: Vec<Notification>,
    /// Taken out untold.
    pub withdraw: Vec<NotificationKey>,
    /// When there is something to be done again; `None` when only a change of the outbox brings it.
    pub next: Option<UnixMs>,
}

/// The plan for one channel's notifications, of which `allowed` may be delivered now.
#[must_use]
pub fn plan(of_channel: &[Notification], allowed: usize, now: UnixMs) -> Plan {
    let mut by_incident: BTreeMap<IncidentId, Vec<&Notification>> = BTreeMap::new();
    for notification in of_channel.iter().filter(|n| !n.set_aside) {
        let incident = notification.key.incident;
        by_incident.entry(incident).or_default().push(notification);
    }
    let mut plan = Plan::default();
    let mut heads: Vec<&Notification> = Vec::new();
    for mut of_incident in by_incident.into_values() {
        of_incident.sort_by_key(|notification| notification.key.number);
        let left_out = superfluous(&of_incident);
        heads.extend(of_incident.get(left_out));
        let withdrawn = of_incident[..left_out].iter();
        plan.withdraw.extend(withdrawn.map(|n| n.key.clone()));
    }
    heads.sort_by_key(|notification| (notification.due, notification.created));
    let due = heads.iter().filter(|n| n.due <= now);
    plan.deliver = due
        .take(allowed.min(AT_ONCE))
        .map(|n| (*n).clone())
        .collect();
    let delivered: BTreeSet<&NotificationKey> = plan.deliver.iter().map(|n| &n.key).collect();
    plan.next = heads
        .iter()
        .find(|n| !delivered.contains(&n.key))
        .map(|n| n.due.max(now));
    plan
}

/// How many at the head need not be told: all when it is over and nobody has heard of it; updates that
/// a later word overtakes.
fn superfluous(of_incident: &[&Notification]) -> usize {
    let untold = |notification: &&Notification| notification.attempts == 0;
    let (Some(first), Some(last)) = (of_incident.first(), of_incident.last()) else {
        return 0;
    };
    let is_unheard = matches!(first.event, Event::Fired | Event::Reopened) && untold(first);
    if is_unheard && last.event == Event::Resolved {
        return of_incident.len();
    }
    let later = of_incident.len() - 1;
    of_incident[..later]
        .iter()
        .take_while(|n| n.event == Event::Updated && untold(n))
        .count()
}

/// The notification after an attempt that did not succeed, with `random` in `[0, 1)`.
#[must_use]
pub fn after_failure(
    mut notification: Notification,
    outcome: &Outcome,
    now: UnixMs,
    random: f64,
) -> Notification {
    notification.attempts = notification.attempts.saturating_add(1);
    match outcome {
        Outcome::Delivered | Outcome::Partly(_) => {}
        Outcome::Retry { why, after_ms } => {
            let wait = wait_ms(notification.attempts, random).max(after_ms.unwrap_or(0));
            notification.due = now.plus_ms(wait);
            notification.last_error = cut(why);
        }
        Outcome::Rejected(why) => {
            notification.set_aside = true;
            notification.last_error = cut(why);
        }
    }
    notification
}

/// The upper half of full jitter: a wait of nearly nothing would be no wait.
fn wait_ms(attempts: u32, random: f64) -> i64 {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
    for _ in 1..attempts.min(16) {
        backoff.after_failure(0.0);
    }
    let wait = backoff.after_failure(0.5 + random / 2.0);
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn cut(why: &str) -> String {
    why[..why.floor_char_boundary(ERROR_BYTES)].to_owned()
}

/// How often a channel may deliver: so many in a minute, and no burst beyond them.
#[derive(Debug)]
pub struct Rate {
    per_minute: u32,
    tokens: f64,
    filled: UnixMs,
}

impl Rate {
    /// A full measure.
    #[must_use]
    pub fn new(per_minute: u32, now: UnixMs) -> Self {
        Self {
            per_minute,
            tokens: f64::from(per_minute),
            filled: now,
        }
    }

    /// How many may be delivered now.
    pub fn allowed(&mut self, now: UnixMs) -> usize {
        let passed_ms = now.since(self.filled).max(0) as f64;
        let full = f64::from(self.per_minute);
        self.tokens = (self.tokens + passed_ms * full / 60_000.0).min(full);
        self.filled = now;
        self.tokens as usize
    }

    /// Notes deliveries.
    pub fn take(&mut self, count: usize) {
        self.tokens = (self.tokens - count as f64).max(0.0);
    }

    /// Milliseconds until one more may be delivered.
    #[must_use]
    pub fn wait_ms(&self) -> i64 {
        let missing = (1.0 - self.tokens).max(0.0);
        (missing * 60_000.0 / f64::from(self.per_minute)).ceil() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;

    const NOW: UnixMs = UnixMs(1_788_361_200_000);

    fn pair() -> [Notification; 2] {
        let fired = letter(Event::Fired).notification;
        let mut resolved = fired.clone();
        (resolved.event, resolved.key.number) = (Event::Resolved, 2);
        [fired, resolved]
    }

    #[test]
    fn an_alert_is_told_before_its_resolution() {
        let [mut fired, resolved] = pair();
        fired.attempts = 1;
        fired.due = NOW.plus_ms(5000);
        let waiting = plan(&[resolved.clone(), fired.clone()], 9, NOW);
        assert_eq!((waiting.deliver.len(), waiting.next), (0, Some(fired.due)));
        let due = plan(&[resolved.clone(), fired.clone()], 9, fired.due);
        assert_eq!(due.deliver, [fired]);
        assert_eq!(
            plan(std::slice::from_ref(&resolved), 9, NOW).deliver,
            [resolved]
        );
    }

    #[test]
    fn what_is_over_before_anybody_heard_is_not_told() {
        let [fired, resolved] = pair();
        let plan = plan(&[fired.clone(), resolved.clone()], 9, NOW);
        assert_eq!(plan.withdraw, [fired.key, resolved.key]);
        assert!(plan.deliver.is_empty());
    }

    #[test]
    fn an_update_is_overtaken_by_the_next_word() {
        let [mut updated, mut resolved] = pair();
        (updated.event, updated.key.number) = (Event::Updated, 2);
        resolved.key.number = 3;
        let overtaken = plan(&[updated.clone(), resolved.clone()], 9, NOW);
        assert_eq!(overtaken.withdraw, [updated.key.clone()]);
        assert_eq!(overtaken.deliver, [resolved.clone()]);
        updated.attempts = 1;
        let begun = plan(&[updated.clone(), resolved], 9, NOW);
        assert_eq!((begun.deliver, begun.withdraw), (vec![updated], vec![]));
    }

    #[test]
    fn what_was_set_aside_stays_and_holds_up_nothing() {
        let [fired, resolved] = pair();
        let fired = after_failure(fired, &Outcome::Rejected("550 no".to_owned()), NOW, 0.5);
        assert!(fired.set_aside && fired.last_error == "550 no" && fired.attempts == 1);
        let plan = plan(&[fired, resolved.clone()], 9, NOW.plus_ms(1_000_000));
        assert_eq!((plan.deliver, plan.withdraw), (vec![resolved], vec![]));
    }

    #[test]
    fn waits_grow_to_a_quarter_of_an_hour_and_follow_the_receiver_s_wish() {
        let [mut fired, _] = pair();
        let mut waits = Vec::new();
        for _ in 0..12 {
            fired = after_failure(fired, &Outcome::retry("busy"), NOW, 1.0);
            waits.push(fired.due.since(NOW) / 1000);
        }
        assert_eq!(
            waits,
            [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]
        );
        let wish = Outcome::Retry {
            why: "429".to_owned(),
            after_ms: Some(3_600_000),
        };
        assert_eq!(
            after_failure(fired, &wish, NOW, 0.0).due.since(NOW),
            3_600_000
        );
    }

    #[test]
    fn a_rate_is_kept() {
        let mut rate = Rate::new(60, NOW);
        assert_eq!(rate.allowed(NOW), 60);
        rate.take(60);
        assert_eq!((rate.allowed(NOW), rate.wait_ms()), (0, 1000));
        assert_eq!(rate.allowed(NOW.plus_ms(2500)), 2);
        assert_eq!(rate.allowed(NOW.plus_ms(86_400_000)), 60);
    }

    #[test]
    fn few_go_at_once_and_the_rest_is_next() {
        let all: Vec<Notification> = (0..9).map(|_| letter(Event::Fired).notification).collect();
        let plan = plan(&all, 9, NOW);
        assert_eq!((plan.deliver.len(), plan.next), (AT_ONCE, Some(NOW)));
    }
}
