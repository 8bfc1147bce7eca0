//! What of a message may be stored. Pure: (message, time) -> what is good, and what was wrong.

use prost::Message as _;
use rollcall_proto::convert::{Admitted, ConvertError};
use rollcall_proto::v1;
use rollcall_shared::id::Sequence;
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{ClockReference, Report, Taken};
use rollcall_shared::time::UnixMs;

/// What a message brought.
#[derive(Debug, PartialEq)]
pub struct Admission {
    /// The good reports with their corrected times, ascending.
    pub reports: Vec<(UnixMs, Report)>,
    /// The last sequence in the message, good or not: a bad report is passed by, or it would come
    /// again for ever.
    pub last: Sequence,
    /// Why reports were left out.
    pub malformed: Vec<ConvertError>,
    /// Why readings were left out of good reports.
    pub rejected: Vec<ConvertError>,
    /// Reports that claimed to be later than the message.
    pub future: usize,
    /// How far the laptop's clock is ahead.
    pub skew_ms: i64,
}

/// Sorts a message that was `received` now into what is good and what is not.
///
/// # Errors
/// When the message as a whole is wrong, so that nothing of it can be trusted.
pub fn admit(wire: v1::Reports, received: UnixMs) -> Result<Admission, ConvertError> {
    let clock = clock_reference(wire.sent, received)?;
    check_order(&wire.reports)?;
    let mut admission = Admission {
        reports: Vec::with_capacity(wire.reports.len()),
        last: Sequence(wire.reports.last().map_or(0, |report| report.sequence)),
        malformed: Vec::new(),
        rejected: Vec::new(),
        future: 0,
        skew_ms: clock.skew_ms(),
    };
    for report in wire.reports {
        match admit_report(report) {
            Ok(admitted) => admission.add(admitted, &clock),
            Err(error) => admission.malformed.push(error),
        }
    }
    Ok(admission)
}

/// A reading of the clock's offset, where it is worth one: the first, and each that differs from
/// the one before by more than the metric's deadband.
pub(super) fn clock_reading(latest: Option<&Value>, skew_ms: i64) -> Option<Reading> {
    let metric = &metric::CLOCK_OFFSET;
    let offset_s = (skew_ms as f64 / 100.0).round() / 10.0;
    let known = latest.and_then(Value::as_number);
    let moved = known.is_none_or(|known| (known - offset_s).abs() > metric.deadband);
    moved.then(|| Reading::number(metric, "", offset_s))
}

/// A text as records hold it: without control characters and not too long.
pub(super) fn short_text(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if plain.len() + letter.len_utf8() > limits::TEXT_BYTES {
            break;
        }
        plain.push(letter);
    }
    plain
}

impl Admission {
    fn add(&mut self, admitted: Admitted, clock: &ClockReference) {
        let mut report = admitted.report;
        // The offset is the collector's to tell.
        let is_offset = |reading: &Reading| reading.metric() == &metric::CLOCK_OFFSET;
        if report.readings.iter().any(is_offset) {
            report.readings.retain(|reading| !is_offset(reading));
        }
        let (taken, sent) = (report.taken, clock.device);
        if taken.boot == sent.boot && taken.since_boot > sent.since_boot {
            self.future += 1;
        }
        self.reports.push((clock.correct(taken), report));
        self.rejected.extend(admitted.rejected);
    }
}

fn clock_reference(
    sent: Option<v1::Moment>,
    received: UnixMs,
) -> Result<ClockReference, ConvertError> {
    let sent = rollcall_proto::convert::required("sent", sent)?;
    let device = Taken::try_from(sent).map_err(|error| error.within("sent"))?;
    Ok(ClockReference {
        device,
        server: received,
    })
}

fn check_order(reports: &[v1::Report]) -> Result<(), ConvertError> {
    let (count, most) = (reports.len(), limits::REPORTS_PER_MESSAGE);
    if count > most {
        return Err(ConvertError::new(
            "reports",
            format!("{count} are more than {most}"),
        ));
    }
    let unordered = reports
        .windows(2)
        .find(|pair| pair[0].sequence >= pair[1].sequence);
    match unordered {
        Some(pair) => Err(ConvertError::new(
            "reports",
            format!("{} comes before {}", pair[0].sequence, pair[1].sequence),
        )),
        None => Ok(()),
    }
}

fn admit_report(report: v1::Report) -> Result<Admitted, ConvertError> {
    let most = limits::REPORT_BYTES;
    let bytes = if is_surely_short(&report) {
        0
    } else {
        report.encoded_len()
    };
    if bytes > most {
        return Err(ConvertError::new(
            "report",
            format!("has {bytes} bytes, more than {most}"),
        ));
    }
    Admitted::try_from(report)
}

/// Whether a report has few readings and so little text that its length need not be counted: none of its
/// readings can take more than a 256th of what a report may.
fn is_surely_short(report: &v1::Report) -> bool {
    const READINGS: usize = 128;
    const TEXT: usize = limits::REPORT_BYTES / 256;
    let is_short = |reading: &v1::Reading| {
        let value = match &reading.value {
            Some(v1::reading::Value::Text(text) | v1::reading::Value::Unavailable(text)) => {
                text.len()
            }
            _ => 0,
        };
        reading.instance.len() + value < TEXT
    };
    report.readings.len() <= READINGS && report.readings.iter().all(is_short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::id::BootId;

    const NOW: UnixMs = UnixMs(1_790_000_000_000);
    const TEN_YEARS_MS: i64 = 3650 * 86_400_000;

    fn moment(wall_ms: i64, since_boot_ms: u64) -> Option<v1::Moment> {
        Some(v1::Moment {
            wall_ms,
            boot: BootId::from_bytes([9; 16]).as_bytes().to_vec(),
            since_boot_ms,
        })
    }

    fn report(sequence: u64, since_boot_ms: u64) -> v1::Report {
        let charge = Reading::number(&metric::BATTERY_CHARGE, "BAT0", 0.5);
        v1::Report {
            sequence,
            taken: moment(0, since_boot_ms),
            readings: vec![(&charge).into()],
            ..v1::Report::default()
        }
    }

    fn message(reports: Vec<v1::Report>) -> v1::Reports {
        v1::Reports {
            sent: moment(NOW.0 - TEN_YEARS_MS, 600_000),
            reports,
        }
    }

    #[test]
    fn a_clock_that_is_ten_years_behind_is_corrected_and_told() {
        let admission = admit(message(vec![report(1, 540_000)]), NOW).unwrap();
        assert_eq!(admission.skew_ms, -TEN_YEARS_MS);
        assert_eq!(admission.reports[0].0, NOW.plus_ms(-60_000));
        let reading = clock_reading(None, admission.skew_ms).unwrap();
        assert_eq!(reading.value().as_number(), Some(-315_360_000.0));
        assert_eq!(
            clock_reading(Some(reading.value()), -TEN_YEARS_MS + 20_000),
            None
        );
    }

    #[test]
    fn a_bad_report_is_passed_by_and_the_others_are_kept() {
        let mut bad = report(2, 1);
        bad.taken = None;
        let admission = admit(message(vec![report(1, 1), bad.clone(), report(3, 1)]), NOW).unwrap();
        assert_eq!((admission.reports.len(), admission.malformed.len()), (2, 1));
        bad.sequence = 9;
        let admission = admit(message(vec![report(8, 1), bad]), NOW).unwrap();
        assert_eq!(admission.last, Sequence(9), "it would come again for ever");
    }

    #[test]
    fn what_is_from_the_future_is_counted_and_stored_as_of_now() {
        let admission = admit(message(vec![report(1, 900_000)]), NOW).unwrap();
        assert_eq!((admission.future, admission.reports[0].0), (1, NOW));
    }

    #[test]
    fn nan_and_unknown_codes_cost_one_reading_each() {
        let mut wire = report(1, 1);
        wire.readings.push(v1::Reading {
            metric: 51,
            value: Some(v1::reading::Value::Number(f64::NAN)),
            ..v1::Reading::default()
        });
        wire.readings.push(v1::Reading {
            metric: 60_000,
            ..v1::Reading::default()
        });
        let offset = Reading::number(&metric::CLOCK_OFFSET, "", 5.0);
        wire.readings.push((&offset).into());
        let admission = admit(message(vec![wire]), NOW).unwrap();
        assert_eq!(admission.reports[0].1.readings.len(), 1);
        assert_eq!(admission.rejected.len(), 2);
    }

    #[test]
    fn a_message_out_of_order_or_too_long_is_refused_whole() {
        let error = admit(message(vec![report(2, 1), report(1, 1)]), NOW).unwrap_err();
        assert_eq!(error.to_string(), "reports: 2 comes before 1");
        let twice = admit(message(vec![report(2, 1), report(2, 1)]), NOW);
        assert!(twice.is_err());
        let many = (1..=257).map(|n| report(n, 1)).collect();
        assert_eq!(admit(message(many), NOW).unwrap_err().field, "reports");
        let unsent = v1::Reports {
            sent: None,
            ..message(Vec::new())
        };
        assert_eq!(admit(unsent, NOW).unwrap_err().field, "sent");
    }

    #[test]
    fn a_report_that_is_too_long_is_found_whatever_its_shape() {
        let mut long = report(1, 1);
        long.readings[0].instance = "x".repeat(limits::REPORT_BYTES);
        let mut many = report(2, 1);
        many.readings = (0..limits::READINGS_PER_REPORT)
            .map(|_| {
                let text = Value::Text("x".repeat(80));
                let reading = Reading::new(&metric::OS_NAME, "", text).unwrap();
                (&reading).into()
            })
            .collect();
        for wire in [long, many] {
            assert!(wire.encoded_len() > limits::REPORT_BYTES);
            assert!(
                admit_report(wire)
                    .unwrap_err()
                    .problem
                    .contains("more than")
            );
        }
        let mut most = report(3, 1);
        let text = "x".repeat(limits::REPORT_BYTES / 256 - 1);
        most.readings = vec![
            v1::Reading {
                instance: text,
                ..most.readings[0].clone()
            };
            128
        ];
        assert!(is_surely_short(&most) && most.encoded_len() <= limits::REPORT_BYTES);
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let long = "ä".repeat(200) + "\n";
        assert_eq!(short_text(&long), "ä".repeat(128));
        assert_eq!(short_text("a\u{7}b"), "ab");
    }
}
