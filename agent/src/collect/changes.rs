//! What of the fresh readings is worth sending. Pure.
//!
//! For every metric and instance the table holds the latest value and the value last sent. A report
//! carries what differs from the value last sent by more than the metric's deadband; a full report
//! carries the latest value of everything. What a probe no longer finds is sent once as unavailable
//! and then forgotten, so that nothing at the collector goes stale unseen. Where nothing differs for
//! long, an empty report says that the laptop was awake and all stood as it was: without it the
//! collector could not tell a quiet laptop from one that slept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rollcall_shared::limits;
use rollcall_shared::metric::{self, Metric, Urgency};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::SinceBootMs;

use super::Collected;
use super::probe::{End, Probe};

/// Why a reading that was there is no more.
pub const NO_LONGER_PRESENT: &str = "no longer present";

/// What was last read and what was last sent.
#[derive(Debug, Default)]
pub struct Changes {
    known: BTreeMap<Key, Known>,
    last_full: Option<SinceBootMs>,
    last_taken: Option<SinceBootMs>,
    full_requested: bool,
    overflow: u64,
}

/// How often there is a report whatever happens.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Between reports that carry everything.
    pub full: Duration,
    /// Between reports at all.
    pub quiet: Duration,
}

type Key = (u16, String);

#[derive(Debug)]
struct Known {
    probe: Option<Probe>,
    latest: Value,
    sent: Option<Value>,
    gone: bool,
}

impl Changes {
    /// Makes the next report full.
    pub fn request_full(&mut self) {
        self.full_requested = true;
    }

    /// Readings that found no room in a report, since the start.
    #[must_use]
    pub const fn overflow(&self) -> u64 {
        self.overflow
    }

    /// Takes in how probes ended at `now` and the `standing` readings that no probe took, and gives
    /// what of it to report; `None` where nothing is worth it.
    pub fn take(
        &mut self,
        now: SinceBootMs,
        rhythm: Rhythm,
        ends: Vec<(Probe, End)>,
        standing: Vec<Reading>,
    ) -> Option<Collected> {
        for (probe, end) in ends {
            self.note(probe, end);
        }
        self.note_readings(None, standing);
        let awaited = self.full_requested || self.last_full.is_none();
        let full = awaited
            || self
                .last_full
                .is_some_and(|last| now.since(last) >= rhythm.full);
        let mut collected = self.report(full);
        if full {
            self.last_full = Some(now);
            self.full_requested = false;
        }
        // The collector knows nothing of this laptop, or nothing that it may rely on.
        collected.urgent |= awaited;
        let quiet = self
            .last_taken
            .is_some_and(|last| now.since(last) >= rhythm.quiet);
        let worth_it = full || quiet || !collected.readings.is_empty();
        worth_it.then(|| {
            self.last_taken = Some(now);
            collected
        })
    }

    fn note(&mut self, probe: Probe, end: End) {
        match end {
            End::Ok(readings) => {
                let fresh = self.note_readings(Some(probe), readings);
                self.lose(probe, &fresh, NO_LONGER_PRESENT, true);
            }
            End::Failed(why) => self.lose(probe, &BTreeSet::new(), &why, false),
            End::CutOff(why) => self.lose(probe, &BTreeSet::new(), &why, false),
        }
    }

    fn note_readings(&mut self, probe: Option<Probe>, readings: Vec<Reading>) -> BTreeSet<Key> {
        let mut fresh = BTreeSet::new();
        for reading in readings {
            let key = (reading.metric().code, reading.instance().to_owned());
            fresh.insert(key.clone());
            let latest = rounded(reading.metric(), reading.value());
            let sent = self.known.remove(&key).and_then(|known| known.sent);
            self.known.insert(
                key,
                Known {
                    probe,
                    latest,
                    sent,
                    gone: false,
                },
            );
        }
        fresh
    }

    /// What the probe knew and did not find again is unavailable; `gone` for good, or until the
    /// probe works again.
    fn lose(&mut self, probe: Probe, fresh: &BTreeSet<Key>, why: &str, gone: bool) {
        let known = self.known.iter_mut();
        for (_, known) in
            known.filter(|(key, known)| known.probe == Some(probe) && !fresh.contains(*key))
        {
            known.latest = Value::Unavailable(why.to_owned());
            known.gone = gone;
        }
    }

    fn report(&mut self, full: bool) -> Collected {
        let mut collected = Collected {
            readings: Vec::new(),
            full,
            urgent: false,
        };
        for ((code, instance), known) in &mut self.known {
            let Some(metric) = metric::by_code(*code) else {
                continue;
            };
            let verdict = judge(metric, known.sent.as_ref(), &known.latest);
            if !full && verdict == Verdict::Leave {
                continue;
            }
            if collected.readings.len() == limits::READINGS_PER_REPORT {
                self.overflow += 1;
                continue;
            }
            collected.urgent |= verdict == Verdict::SendAtOnce;
            known.sent = Some(known.latest.clone());
            collected
                .readings
                .push(Reading::measured(metric, instance, known.latest.clone()));
        }
        self.known
            .retain(|_, known| !(known.gone && known.sent.as_ref() == Some(&known.latest)));
        collected
    }
}

/// A number to a tenth of its deadband, as a decimal. The rest is noise that nobody compares, and a
/// short decimal takes the collector one byte for ever where a ratio as it was computed takes seven.
fn rounded(metric: &Metric, value: &Value) -> Value {
    let Value::Number(number) = value else {
        return value.clone();
    };
    if metric.deadband <= 0.0 {
        return value.clone();
    }
    let digits = (metric.deadband / 10.0).log10().floor() as i32;
    // By a division by a power of ten, which gives exactly the decimal's own number.
    let rounded = if digits < 0 {
        let scale = 10_f64.powi(-digits);
        (number * scale).round() / scale
    } else {
        let scale = 10_f64.powi(digits);
        (number / scale).round() * scale
    };
    // Without the sign of a zero.
    Value::Number(rounded + 0.0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Leave,
    Send,
    SendAtOnce,
}

fn judge(metric: &Metric, sent: Option<&Value>, latest: &Value) -> Verdict {
    let Some(sent) = sent else {
        return first(metric, latest);
    };
    if sent == latest {
        return Verdict::Leave;
    }
    if !sent.is_available() || !latest.is_available() {
        return Verdict::Send;
    }
    if is_urgent(metric.urgency, sent, latest) {
        return Verdict::SendAtOnce;
    }
    match (sent.as_number(), latest.as_number()) {
        (Some(a), Some(b)) if (a - b).abs() <= metric.deadband => Verdict::Leave,
        _ => Verdict::Send,
    }
}

/// Nothing is known yet of what is new, such as a target that was just configured: where every
/// change is worth a message, the first value is too.
fn first(metric: &Metric, latest: &Value) -> Verdict {
    if metric.urgency == Urgency::Change && latest.is_available() {
        Verdict::SendAtOnce
    } else {
        Verdict::Send
    }
}

fn is_urgent(urgency: Urgency, sent: &Value, latest: &Value) -> bool {
    let numbers = sent.as_number().zip(latest.as_number());
    match urgency {
        Urgency::Never => false,
        Urgency::Change => true,
        Urgency::Increase => numbers.is_some_and(|(sent, latest)| latest > sent),
        Urgency::Above(edge) => {
            numbers.is_some_and(|(sent, latest)| (sent > edge) != (latest > edge))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::metric::{
        BATTERY_CHARGE, BATTERY_HEALTH, DRIVE_PENDING, FILESYSTEM_READ_ONLY, FILESYSTEM_UTILIZATION,
    };

    const RHYTHM: Rhythm = Rhythm {
        full: Duration::from_secs(3600),
        quiet: Duration::from_secs(1800),
    };

    fn ok(probe: Probe, readings: Vec<Reading>) -> Vec<(Probe, End)> {
        vec![(probe, End::Ok(readings))]
    }

    fn take(changes: &mut Changes, now: SinceBootMs, ends: Vec<(Probe, End)>) -> Option<Collected> {
        changes.take(now, RHYTHM, ends, Vec::new())
    }

    fn at(minute: u64) -> SinceBootMs {
        SinceBootMs(minute * 60_000)
    }

    fn charge(value: f64) -> Reading {
        Reading::number(&BATTERY_CHARGE, "BAT0", value)
    }

    #[test]
    fn a_number_travels_to_a_tenth_of_its_deadband() {
        use rollcall_shared::metric::{BATTERY_CYCLES, UPTIME};
        let number = |metric, value| rounded(metric, &Value::Number(value));
        assert_eq!(
            number(&BATTERY_CHARGE, 0.836_538_461_538_461_6),
            Value::Number(0.837)
        );
        assert_eq!(
            number(&BATTERY_HEALTH, 0.489_894_514),
            Value::Number(0.4899)
        );
        assert_eq!(number(&UPTIME, 7_261.0), Value::Number(7_300.0));
        assert_eq!(number(&BATTERY_CYCLES, 731.0), Value::Number(731.0));
        let zero = number(&BATTERY_CHARGE, -0.000_01);
        assert!(zero.as_number().is_some_and(|zero| zero.is_sign_positive()));
        let text = Value::Text("as it is".to_owned());
        assert_eq!(rounded(&BATTERY_CHARGE, &text), text);
    }

    #[test]
    fn the_first_report_is_full_and_a_small_change_stays_home() {
        let mut changes = Changes::default();
        let first = take(&mut changes, at(0), ok(Probe::Battery, vec![charge(0.5)])).unwrap();
        assert!(first.full && first.urgent);
        assert_eq!(first.readings, [charge(0.5)]);
        assert_eq!(
            take(&mut changes, at(1), ok(Probe::Battery, vec![charge(0.51)])),
            None
        );
        let moved = take(&mut changes, at(2), ok(Probe::Battery, vec![charge(0.53)])).unwrap();
        assert_eq!(
            (moved.full, moved.urgent, moved.readings),
            (false, false, vec![charge(0.53)])
        );
    }

    #[test]
    fn a_quiet_laptop_says_that_it_is_awake() {
        let mut changes = Changes::default();
        let same = || ok(Probe::Battery, vec![charge(0.5)]);
        take(&mut changes, at(0), same());
        assert_eq!(take(&mut changes, at(29), same()), None);
        let quiet = take(&mut changes, at(30), same()).unwrap();
        assert_eq!(
            (quiet.full, quiet.urgent, quiet.readings.len()),
            (false, false, 0)
        );
        assert_eq!(take(&mut changes, at(31), same()), None);
    }

    #[test]
    fn a_slow_drift_is_measured_from_what_was_sent() {
        let mut changes = Changes::default();
        take(&mut changes, at(0), ok(Probe::Battery, vec![charge(0.5)]));
        assert_eq!(
            take(&mut changes, at(1), ok(Probe::Battery, vec![charge(0.49)])),
            None
        );
        assert!(take(&mut changes, at(2), ok(Probe::Battery, vec![charge(0.475)])).is_some());
    }

    #[test]
    fn full_by_request_and_by_time_carries_what_other_probes_found() {
        let mut changes = Changes::default();
        let health = Reading::number(&BATTERY_HEALTH, "BAT0", 0.7);
        let pending = Reading::number(&DRIVE_PENDING, "sda", 0.0);
        let mut both = ok(Probe::Battery, vec![health.clone()]);
        both.extend(ok(Probe::Drive, vec![pending.clone()]));
        take(&mut changes, at(0), both);
        changes.request_full();
        let asked = take(
            &mut changes,
            at(1),
            ok(Probe::Battery, vec![health.clone()]),
        )
        .unwrap();
        assert_eq!((asked.full, asked.readings.len()), (true, 2));
        let early = take(
            &mut changes,
            at(60),
            ok(Probe::Battery, vec![health.clone()]),
        )
        .unwrap();
        assert_eq!((early.full, early.readings.len()), (false, 0));
        let timed = take(&mut changes, at(61), ok(Probe::Battery, vec![health])).unwrap();
        assert!(timed.full && !timed.urgent && timed.readings.contains(&pending));
    }

    #[test]
    fn what_worsens_travels_at_once_even_within_the_deadband() {
        let cases = [
            (
                Reading::number(&DRIVE_PENDING, "sda", 0.0),
                Reading::number(&DRIVE_PENDING, "sda", 8.0),
                true,
            ),
            (
                Reading::number(&DRIVE_PENDING, "sda", 8.0),
                Reading::number(&DRIVE_PENDING, "sda", 0.0),
                false,
            ),
            (
                Reading::number(&FILESYSTEM_UTILIZATION, "/", 0.949),
                Reading::number(&FILESYSTEM_UTILIZATION, "/", 0.951),
                true,
            ),
            (
                Reading::flag(&FILESYSTEM_READ_ONLY, "/", false),
                Reading::flag(&FILESYSTEM_READ_ONLY, "/", true),
                true,
            ),
            (
                Reading::unavailable(&FILESYSTEM_READ_ONLY, "/", "why"),
                Reading::flag(&FILESYSTEM_READ_ONLY, "/", true),
                false,
            ),
        ];
        for (before, after, urgent) in cases {
            let mut changes = Changes::default();
            take(&mut changes, at(0), ok(Probe::Drive, vec![before]));
            let report = take(&mut changes, at(1), ok(Probe::Drive, vec![after.clone()])).unwrap();
            assert_eq!((report.urgent, report.readings), (urgent, vec![after]));
        }
    }

    #[test]
    fn what_is_new_and_matters_travels_at_once() {
        let mut changes = Changes::default();
        take(&mut changes, at(0), ok(Probe::Battery, vec![charge(0.5)]));
        let flag = Reading::flag(&FILESYSTEM_READ_ONLY, "/", true);
        let new = take(&mut changes, at(1), ok(Probe::Filesystem, vec![flag])).unwrap();
        assert!(new.urgent && !new.full);
        let health = Reading::number(&BATTERY_HEALTH, "BAT1", 0.5);
        let new = take(&mut changes, at(2), ok(Probe::Drive, vec![health])).unwrap();
        assert!(!new.urgent);
    }

    #[test]
    fn what_disappears_is_sent_once_and_may_come_back() {
        let mut changes = Changes::default();
        take(&mut changes, at(0), ok(Probe::Battery, vec![charge(0.5)]));
        let gone = take(&mut changes, at(1), ok(Probe::Battery, Vec::new())).unwrap();
        assert_eq!(
            gone.readings,
            [Reading::unavailable(
                &BATTERY_CHARGE,
                "BAT0",
                NO_LONGER_PRESENT
            )]
        );
        assert!(!gone.urgent);
        assert_eq!(
            take(&mut changes, at(2), ok(Probe::Battery, Vec::new())),
            None
        );
        assert!(take(&mut changes, at(3), ok(Probe::Battery, vec![charge(0.5)])).is_some());
    }

    #[test]
    fn a_probe_that_was_cut_off_leaves_no_stale_value() {
        let mut changes = Changes::default();
        take(&mut changes, at(0), ok(Probe::Battery, vec![charge(0.5)]));
        let cut = || vec![(Probe::Battery, End::CutOff("cut off after 10 s".to_owned()))];
        let report = take(&mut changes, at(1), cut()).unwrap();
        assert_eq!(
            report.readings,
            [Reading::unavailable(
                &BATTERY_CHARGE,
                "BAT0",
                "cut off after 10 s"
            )]
        );
        assert_eq!(take(&mut changes, at(2), cut()), None);
        changes.request_full();
        assert_eq!(
            take(&mut changes, at(3), cut()).unwrap().readings.len(),
            1,
            "still known"
        );
    }

    #[test]
    fn a_report_has_a_bound_and_the_rest_follows() {
        let mut changes = Changes::default();
        let many = 0..=limits::READINGS_PER_REPORT;
        let many = many
            .map(|n| Reading::number(&BATTERY_CHARGE, &format!("BAT{n}"), 0.5))
            .collect();
        let first = take(&mut changes, at(0), ok(Probe::Battery, many)).unwrap();
        assert_eq!(
            (first.readings.len(), changes.overflow()),
            (limits::READINGS_PER_REPORT, 1)
        );
        let rest = take(&mut changes, at(1), Vec::new()).unwrap();
        assert_eq!(rest.readings.len(), 1);
    }
}
