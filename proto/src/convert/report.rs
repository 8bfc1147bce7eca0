//! Reports and readings.

use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{SinceBootMs, UnixMs};

use super::{ConvertError, required};
use crate::v1;

/// A report as it may be stored, and the readings that had to be left out of it.
///
/// One bad reading does not cost the others: an agent that is newer than the collector may well
/// know more metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// The report with its good readings.
    pub report: Report,
    /// Why each of the others was left out.
    pub rejected: Vec<ConvertError>,
}

impl TryFrom<v1::Report> for Admitted {
    type Error = ConvertError;

    fn try_from(wire: v1::Report) -> Result<Self, ConvertError> {
        if wire.sequence == 0 {
            return Err(ConvertError::new(
                "sequence",
                "is 0; the first report has 1",
            ));
        }
        let taken = required("taken", wire.taken)?;
        let taken = Taken::try_from(taken).map_err(|error| error.within("taken"))?;
        let count = wire.readings.len();
        if count > limits::READINGS_PER_REPORT {
            let most = limits::READINGS_PER_REPORT;
            return Err(ConvertError::new(
                "readings",
                format!("{count} are more than {most}"),
            ));
        }
        let mut readings = Vec::with_capacity(count);
        let mut rejected = Vec::new();
        for (at, reading) in wire.readings.into_iter().enumerate() {
            match Reading::try_from(reading) {
                Ok(reading) => readings.push(reading),
                Err(error) => rejected.push(error.within(&format!("readings[{at}]"))),
            }
        }
        let sequence = Sequence(wire.sequence);
        let (full, urgent) = (wire.full, wire.urgent);
        Ok(Self {
            report: Report {
                sequence,
                taken,
                full,
                urgent,
                readings,
            },
            rejected,
        })
    }
}

impl TryFrom<v1::Moment> for Taken {
    type Error = ConvertError;

    fn try_from(wire: v1::Moment) -> Result<Self, ConvertError> {
        let boot = BootId::try_from(&wire.boot[..]).map_err(|e| ConvertError::new("boot", e))?;
        Ok(Self {
            wall: UnixMs(wire.wall_ms),
            boot,
            since_boot: SinceBootMs(wire.since_boot_ms),
        })
    }
}

impl TryFrom<v1::Reading> for Reading {
    type Error = ConvertError;

    fn try_from(wire: v1::Reading) -> Result<Self, ConvertError> {
        let code = u16::try_from(wire.metric).ok();
        let metric = code.and_then(metric::by_code).ok_or_else(|| {
            ConvertError::new(
                "metric",
                format!("the catalogue has no code {}", wire.metric),
            )
        })?;
        let value = required("value", wire.value)?.into();
        Self::new(metric, wire.instance, value).map_err(|error| ConvertError::new("value", error))
    }
}

impl From<v1::reading::Value> for Value {
    fn from(wire: v1::reading::Value) -> Self {
        match wire {
            v1::reading::Value::Number(number) => Self::Number(number),
            v1::reading::Value::Flag(flag) => Self::Flag(flag),
            v1::reading::Value::Text(text) => Self::Text(text),
            v1::reading::Value::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<Value> for v1::reading::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(number),
            Value::Flag(flag) => Self::Flag(flag),
            Value::Text(text) => Self::Text(text),
            Value::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<&Reading> for v1::Reading {
    fn from(reading: &Reading) -> Self {
        Self {
            metric: u32::from(reading.metric().code),
            instance: reading.instance().to_owned(),
            value: Some(reading.value().clone().into()),
        }
    }
}

impl From<&Taken> for v1::Moment {
    fn from(taken: &Taken) -> Self {
        Self {
            wall_ms: taken.wall.0,
            boot: taken.boot.as_bytes().to_vec(),
            since_boot_ms: taken.since_boot.0,
        }
    }
}

impl From<&Report> for v1::Report {
    fn from(report: &Report) -> Self {
        Self {
            sequence: report.sequence.0,
            taken: Some((&report.taken).into()),
            full: report.full,
            urgent: report.urgent,
            readings: report.readings.iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let boot = BootId::generate();
        Report {
            sequence: Sequence(7),
            taken: Taken {
                wall: UnixMs(-5),
                boot,
                since_boot: SinceBootMs(9),
            },
            full: true,
            urgent: false,
            readings: vec![
                Reading::number(&metric::BATTERY_CHARGE, "BAT0", 0.5),
                Reading::text(&metric::OS_NAME, "", "Debian GNU/Linux"),
                Reading::flag(&metric::RESTART_PENDING, "", true),
                Reading::unavailable(&metric::DRIVE_VERDICT, "sda", "smartctl is not installed"),
            ],
        }
    }

    #[test]
    fn a_report_survives_the_wire() {
        let report = report();
        let admitted = Admitted::try_from(v1::Report::from(&report)).unwrap();
        assert_eq!(
            admitted,
            Admitted {
                report,
                rejected: Vec::new()
            }
        );
    }

    #[test]
    fn bad_readings_are_named_and_the_rest_is_kept() {
        let mut wire = v1::Report::from(&report());
        wire.readings[0].value = Some(v1::reading::Value::Number(f64::NAN));
        wire.readings[1].metric = 65_000;
        wire.readings[2].value = None;
        let admitted = Admitted::try_from(wire).unwrap();
        assert_eq!(admitted.report.readings.len(), 1);
        let said: Vec<String> = admitted.rejected.iter().map(ToString::to_string).collect();
        assert_eq!(
            said[0],
            "readings[0].value: hw.battery.charge: NaN is not a finite number"
        );
        assert_eq!(
            said[1],
            "readings[1].metric: the catalogue has no code 65000"
        );
        assert_eq!(said[2], "readings[2].value: is missing");
    }

    #[test]
    fn a_report_without_identity_is_refused() {
        let mut wire = v1::Report::from(&report());
        wire.sequence = 0;
        assert_eq!(
            Admitted::try_from(wire.clone()).unwrap_err().field,
            "sequence"
        );
        wire.sequence = 1;
        wire.taken.as_mut().unwrap().boot.pop();
        let error = Admitted::try_from(wire).unwrap_err().to_string();
        assert_eq!(error, "taken.boot: an identity has 16 bytes, not 15");
    }
}
