//! Readings as they are written down: nothing that does not fit the catalogue gets on the sheet, and nothing that the
//! laptop's system does not give.

use std::sync::LazyLock;

use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::sources::{self, Row, Standing};

use super::machines::Family;

/// Codes of the catalogue are smaller.
const CODES: usize = 256;

type Given = [bool; CODES];

/// What an agent on each system reads, by the table of sources.
static GIVEN: LazyLock<[Given; 3]> = LazyLock::new(|| {
    [
        given(|row| row.windows),
        given(|row| row.macos),
        given(|row| row.linux),
    ]
});

/// The readings of one moment.
#[derive(Debug)]
pub struct Sheet {
    readings: Vec<Reading>,
    given: &'static Given,
}

impl Sheet {
    /// A sheet of a laptop with a system of this family.
    pub fn of(family: Family) -> Self {
        let [windows, mac, linux] = &*GIVEN;
        Self {
            readings: Vec::with_capacity(96),
            given: match family {
                Family::Windows => windows,
                Family::Mac => mac,
                Family::Linux => linux,
            },
        }
    }

    /// What is on it.
    pub fn into_readings(self) -> Vec<Reading> {
        self.readings
    }

    /// Writes a number.
    pub fn number(&mut self, metric: &'static Metric, instance: &str, value: f64) {
        self.put(metric, instance, Value::Number(value));
    }

    /// Writes a text or a word.
    pub fn text(&mut self, metric: &'static Metric, instance: &str, value: &str) {
        self.put(metric, instance, Value::Text(value.to_owned()));
    }

    /// Writes a yes or no.
    pub fn flag(&mut self, metric: &'static Metric, instance: &str, value: bool) {
        self.put(metric, instance, Value::Flag(value));
    }

    /// Writes that a reading could not be taken, and why.
    pub fn missing(&mut self, metric: &'static Metric, instance: &str, why: &str) {
        self.put(metric, instance, Value::Unavailable(why.to_owned()));
    }

    fn put(&mut self, metric: &'static Metric, instance: &str, value: Value) {
        if !self.given[usize::from(metric.code)] {
            return;
        }
        let reading = Reading::new(metric, instance, value);
        self.readings
            .push(reading.expect("the model keeps within the catalogue"));
    }
}

fn given(of: fn(&Row) -> Standing) -> Given {
    let mut given = [false; CODES];
    for row in sources::ROWS {
        given[usize::from(row.metric.code)] = matches!(of(row), Standing::Collected(_));
    }
    given
}
