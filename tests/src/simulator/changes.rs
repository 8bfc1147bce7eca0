//! What of a laptop's readings is worth a report, by the catalogue's deadbands and urgencies: the
//! same rule that the agent follows, so that a simulated laptop sends as much as a real one.

use rollcall_shared::metric::{Metric, Urgency};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

/// What was last sent, in order of metric and instance.
#[derive(Debug, Default)]
pub struct Changes {
    sent: Vec<Reading>,
    last_full: Option<UnixMs>,
}

/// What there is to report.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The readings.
    pub readings: Vec<Reading>,
    /// Whether they are all that there are.
    pub full: bool,
    /// Whether something changed for the worse or back.
    pub urgent: bool,
}

impl Changes {
    /// Whether every probe must be read at `now`, since the next report is to be a full one.
    #[must_use]
    pub fn is_full_due(&self, now: UnixMs, full_s: u32) -> bool {
        let whole = |last: UnixMs| now.since(last) >= i64::from(full_s) * 1000;
        self.last_full.is_none_or(whole)
    }

    /// Makes the next report a full one.
    pub const fn request_full(&mut self) {
        self.last_full = None;
    }

    /// Takes what was read at `now`; `full` where that is everything.
    pub fn take(&mut self, now: UnixMs, readings: Vec<Reading>, full: bool) -> Option<Changed> {
        let awaited = full && self.last_full.is_none();
        let mut changed = Changed {
            readings: Vec::new(),
            full,
            urgent: awaited,
        };
        for reading in readings {
            match self.place_of(&reading) {
                Ok(at) => {
                    let before = self.sent[at].value();
                    let urgent = is_urgent(reading.metric(), before, reading.value());
                    if full || urgent || is_worth_sending(reading.metric(), before, reading.value())
                    {
                        changed.urgent |= urgent;
                        self.sent[at] = reading.clone();
                        changed.readings.push(reading);
                    }
                }
                Err(at) => {
                    self.sent.insert(at, reading.clone());
                    changed.readings.push(reading);
                }
            }
        }
        if full {
            self.last_full = Some(now);
        }
        (!changed.readings.is_empty()).then_some(changed)
    }

    fn place_of(&self, reading: &Reading) -> Result<usize, usize> {
        let key = (reading.metric().code, reading.instance());
        self.sent
            .binary_search_by(|sent| (sent.metric().code, sent.instance()).cmp(&key))
    }
}

fn is_worth_sending(metric: &Metric, before: &Value, now: &Value) -> bool {
    match before.as_number().zip(now.as_number()) {
        Some((before, now)) => (now - before).abs() > metric.deadband,
        None => before != now,
    }
}

fn is_urgent(metric: &Metric, before: &Value, now: &Value) -> bool {
    if before == now || !before.is_available() || !now.is_available() {
        return false;
    }
    let numbers = before.as_number().zip(now.as_number());
    match metric.urgency {
        Urgency::Never => false,
        Urgency::Change => true,
        Urgency::Increase => numbers.is_some_and(|(before, now)| now > before),
        Urgency::Above(edge) => {
            numbers.is_some_and(|(before, now)| (before > edge) != (now > edge))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::metric::{BATTERY_CHARGE, DRIVE_PENDING, OS_NAME};

    fn charge(value: f64) -> Reading {
        Reading::number(&BATTERY_CHARGE, "BAT0", value)
    }

    #[test]
    fn only_what_moved_is_sent_and_worse_is_urgent() {
        let mut changes = Changes::default();
        let pending = |count| Reading::number(&DRIVE_PENDING, "sda", count);
        let first = vec![
            charge(0.5),
            Reading::text(&OS_NAME, "", "Debian"),
            pending(0.0),
        ];
        assert!(changes.is_full_due(UnixMs(0), 60));
        let sent = changes.take(UnixMs(0), first.clone(), true).unwrap();
        assert!(sent.full && sent.urgent && sent.readings == first);
        assert!(
            !changes.is_full_due(UnixMs(59_999), 60) && changes.is_full_due(UnixMs(60_000), 60)
        );
        assert_eq!(changes.take(UnixMs(1000), vec![charge(0.51)], false), None);
        let moved = changes
            .take(UnixMs(2000), vec![charge(0.53), pending(0.0)], false)
            .unwrap();
        assert_eq!((moved.urgent, moved.readings), (false, vec![charge(0.53)]));
        let worse = changes
            .take(UnixMs(3000), vec![pending(8.0)], false)
            .unwrap();
        assert!(worse.urgent && !worse.full);
        let again = changes.take(UnixMs(60_000), first, true).unwrap();
        assert!(again.full && !again.urgent && again.readings.len() == 3);
    }
}
