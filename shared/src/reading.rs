//! A Reading: one metric of one instance, as it was or why it could not be had.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::metric::{Kind, Metric};

/// What was read. "Could not be had" is a value of its own: absence is not health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// A finite number in the metric's unit.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// A word of the metric's list, or free text of at most [`limits::TEXT_BYTES`] bytes.
    Text(String),
    /// The reading could not be taken; the text says why, for a technician.
    Unavailable(String),
}

/// One metric of one instance at the time of the report that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    metric: &'static Metric,
    instance: String,
    value: Value,
}

/// Why a value is not one of its metric.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReadingError {
    /// NaN or an infinity.
    #[error("{metric}: {value} is not a finite number")]
    NotFinite {
        /// The metric's name.
        metric: &'static str,
        /// What was given.
        value: f64,
    },
    /// A number outside the metric's range.
    #[error("{metric}: {value} lies outside {low} to {high} {unit}")]
    OutOfRange {
        /// The metric's name.
        metric: &'static str,
        /// What was given.
        value: f64,
        /// The least value allowed.
        low: f64,
        /// The greatest value allowed.
        high: f64,
        /// The metric's unit.
        unit: &'static str,
    },
    /// A word that is not in the metric's list.
    #[error("{metric}: `{word}` is not one of {}", words.join(", "))]
    UnknownWord {
        /// The metric's name.
        metric: &'static str,
        /// What was given.
        word: String,
        /// What would have been right.
        words: &'static [&'static str],
    },
    /// A number where a text belongs, or the like.
    #[error("{metric} is a {expected}, not a {given}")]
    WrongKind {
        /// The metric's name.
        metric: &'static str,
        /// The metric's kind in a word.
        expected: &'static str,
        /// The kind of what was given.
        given: &'static str,
    },
    /// A text or instance that is too long.
    #[error("{metric}: {what} has {bytes} bytes, more than {limit}")]
    TooLong {
        /// The metric's name.
        metric: &'static str,
        /// Which part is too long.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
}

impl Reading {
    /// A reading whose value is one of its metric.
    ///
    /// # Errors
    /// [`ReadingError`] says what is wrong with the value or the instance.
    pub fn new(
        metric: &'static Metric,
        instance: impl Into<String>,
        value: Value,
    ) -> Result<Self, ReadingError> {
        let instance = instance.into();
        check_length(metric, "the instance", &instance, limits::INSTANCE_BYTES)?;
        check_value(metric, &value)?;
        Ok(Self {
            metric,
            instance,
            value,
        })
    }

    /// A reading from the machine itself: what does not fit its metric becomes
    /// [`Value::Unavailable`] with the reason, and a text or instance that is too long is cut.
    #[must_use]
    pub fn measured(metric: &'static Metric, instance: &str, value: Value) -> Self {
        let instance = cut(instance, limits::INSTANCE_BYTES).to_owned();
        let value = match value {
            Value::Text(text) => Value::Text(cut(&text, limits::TEXT_BYTES).to_owned()),
            Value::Unavailable(why) => Value::Unavailable(cut(&why, limits::TEXT_BYTES).to_owned()),
            other => other,
        };
        match check_value(metric, &value) {
            Ok(()) => Self {
                metric,
                instance,
                value,
            },
            Err(error) => Self::unavailable(metric, &instance, &error.to_string()),
        }
    }

    /// A number read from the machine; see [`Reading::measured`].
    #[must_use]
    pub fn number(metric: &'static Metric, instance: &str, value: f64) -> Self {
        Self::measured(metric, instance, Value::Number(value))
    }

    /// A text or word read from the machine; see [`Reading::measured`].
    #[must_use]
    pub fn text(metric: &'static Metric, instance: &str, value: &str) -> Self {
        Self::measured(metric, instance, Value::Text(value.to_owned()))
    }

    /// A yes or no read from the machine; see [`Reading::measured`].
    #[must_use]
    pub fn flag(metric: &'static Metric, instance: &str, value: bool) -> Self {
        Self::measured(metric, instance, Value::Flag(value))
    }

    /// A reading that could not be taken, and why.
    #[must_use]
    pub fn unavailable(metric: &'static Metric, instance: &str, why: &str) -> Self {
        let instance = cut(instance, limits::INSTANCE_BYTES).to_owned();
        Self {
            metric,
            instance,
            value: Value::Unavailable(cut(why, limits::TEXT_BYTES).to_owned()),
        }
    }

    /// Which metric this is a reading of.
    #[must_use]
    pub const fn metric(&self) -> &'static Metric {
        self.metric
    }

    /// Which battery, drive, file system, link or target was read; empty where there is only one.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// What was read.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.value
    }
}

impl Value {
    /// The number, where it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether the reading could be taken.
    #[must_use]
    pub const fn is_available(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "number",
            Self::Flag(_) => "flag",
            Self::Text(_) => "text",
            Self::Unavailable(_) => "reason",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(true) => f.write_str("yes"),
            Self::Flag(false) => f.write_str("no"),
            Self::Text(text) => f.write_str(text),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

fn check_value(metric: &'static Metric, value: &Value) -> Result<(), ReadingError> {
    match (metric.kind, value) {
        (_, Value::Unavailable(why)) => check_length(metric, "the reason", why, limits::TEXT_BYTES),
        (Kind::Gauge { low, high } | Kind::Counter { low, high }, Value::Number(number)) => {
            check_number(metric, *number, low, high)
        }
        (Kind::Flag, Value::Flag(_)) => Ok(()),
        (Kind::Text, Value::Text(text)) => {
            check_length(metric, "the text", text, limits::TEXT_BYTES)
        }
        (Kind::State(words), Value::Text(word)) => {
            if words.contains(&word.as_str()) {
                Ok(())
            } else {
                let word = cut(word, limits::TEXT_BYTES).to_owned();
                Err(ReadingError::UnknownWord {
                    metric: metric.name,
                    word,
                    words,
                })
            }
        }
        (kind, value) => Err(ReadingError::WrongKind {
            metric: metric.name,
            expected: kind.word(),
            given: value.kind(),
        }),
    }
}

fn check_number(
    metric: &'static Metric,
    value: f64,
    low: f64,
    high: f64,
) -> Result<(), ReadingError> {
    if !value.is_finite() {
        return Err(ReadingError::NotFinite {
            metric: metric.name,
            value,
        });
    }
    if value < low || value > high {
        let (metric, unit) = (metric.name, metric.unit);
        return Err(ReadingError::OutOfRange {
            metric,
            value,
            low,
            high,
            unit,
        });
    }
    Ok(())
}

const fn check_length(
    metric: &'static Metric,
    what: &'static str,
    text: &str,
    limit: usize,
) -> Result<(), ReadingError> {
    if text.len() <= limit {
        return Ok(());
    }
    Err(ReadingError::TooLong {
        metric: metric.name,
        what,
        bytes: text.len(),
        limit,
    })
}

fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric;

    #[test]
    fn a_value_must_be_one_of_its_metric() {
        let charge = &metric::BATTERY_CHARGE;
        assert!(Reading::new(charge, "BAT0", Value::Number(0.5)).is_ok());
        let nan = Reading::new(charge, "BAT0", Value::Number(f64::NAN)).unwrap_err();
        assert!(matches!(nan, ReadingError::NotFinite { .. }), "{nan}");
        let far = Reading::new(charge, "BAT0", Value::Number(1e9)).unwrap_err();
        assert!(far.to_string().contains("hw.battery.charge"), "{far}");
        let kind = Reading::new(charge, "BAT0", Value::Flag(true)).unwrap_err();
        assert_eq!(
            kind.to_string(),
            "hw.battery.charge is a number, not a flag"
        );
        let word = Reading::new(&metric::BATTERY_STATE, "", Value::Text("humming".into()));
        assert!(
            word.unwrap_err()
                .to_string()
                .contains("charging, discharging")
        );
    }

    #[test]
    fn a_measured_value_that_does_not_fit_says_why() {
        let reading = Reading::number(&metric::BATTERY_CHARGE, "BAT0", f64::INFINITY);
        assert!(!reading.value().is_available());
        let long = "é".repeat(limits::TEXT_BYTES);
        let Value::Text(text) = Reading::text(&metric::OS_NAME, "", &long).value().clone() else {
            panic!("a long text is cut, not refused");
        };
        assert!(text.len() <= limits::TEXT_BYTES && text.chars().all(|c| c == 'é'));
    }
}
