//! Readings as they are written down: nothing that does not fit the catalogue gets on the sheet.

use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};

/// The readings of one moment.
#[derive(Debug, Default)]
pub struct Sheet(pub Vec<Reading>);

impl Sheet {
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
        let reading = Reading::new(metric, instance, value);
        self.0
            .push(reading.expect("the model keeps within the catalogue"));
    }
}
