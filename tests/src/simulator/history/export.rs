//! The same samples in other stores' own import formats, so that all are fed alike. Text, words and
//! readings that could not be taken stay out: those stores keep numbers.
//!
//! Each format is a function from some laptops' reports to bytes; who sends them where is the
//! benchmark's. Labels are `device` and, where there is one, `instance`; names are the catalogue's
//! with `_` for what is no letter or digit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::encoding::encode_varint;
use rollcall_shared::metric::Metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

use super::Kept;

/// What one laptop sent, under the name that the device label has.
#[derive(Debug, Clone, Copy)]
pub struct OfDevice<'a> {
    /// The value of the label `device`.
    pub device: &'a str,
    /// Its reports by time.
    pub kept: &'a [Kept],
}

type Series<'a> = BTreeMap<(u16, &'a str), (&'static Metric, Vec<(UnixMs, f64)>)>;

impl<'a> OfDevice<'a> {
    /// Its numbers, by metric and instance.
    fn series(&self) -> Series<'a> {
        let mut all = Series::new();
        for kept in self.kept {
            for reading in &kept.changed.readings {
                let Some(value) = number(reading) else {
                    continue;
                };
                let key = (reading.metric().code, reading.instance());
                let (_, points) = all.entry(key).or_insert((reading.metric(), Vec::new()));
                points.push((kept.at, value));
            }
        }
        all
    }

    /// How many numbers it has.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let readings = self.kept.iter().flat_map(|kept| &kept.changed.readings);
        readings.filter_map(number).count() as u64
    }
}

fn number(reading: &Reading) -> Option<f64> {
    match reading.value() {
        Value::Number(value) => Some(*value),
        Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
        Value::Text(_) | Value::Unavailable(_) => None,
    }
}

/// Appends rows `time,device,metric,instance,value` as `rollcall-collector backtest` reads them: texts
/// too, but nothing that could not be taken.
///
/// # Errors
/// What the writer meets.
pub fn csv(of: OfDevice<'_>, out: &mut csv::Writer<impl std::io::Write>) -> csv::Result<()> {
    for kept in of.kept {
        let time = kept.at.to_string();
        for reading in kept
            .changed
            .readings
            .iter()
            .filter(|r| r.value().is_available())
        {
            let value = reading.value().to_string();
            let name = reading.metric().name;
            out.write_record([&time, of.device, name, reading.instance(), &value])?;
        }
    }
    Ok(())
}

/// Appends VictoriaMetrics' JSON lines (`/api/v1/import`), one a series.
pub fn json_lines(of: OfDevice<'_>, out: &mut String) {
    for ((_, instance), (metric, points)) in of.series() {
        let name = plain_name(metric.name);
        let _ = write!(
            out,
            r#"{{"metric":{{"__name__":"{name}","device":{:?}"#,
            of.device
        );
        if !instance.is_empty() {
            let _ = write!(out, r#","instance":{}"#, serde_json::Value::from(instance));
        }
        out.push_str(r#"},"values":["#);
        join(out, points.iter().map(|(_, value)| value));
        out.push_str(r#"],"timestamps":["#);
        join(out, points.iter().map(|(at, _)| at.0));
        out.push_str("]}\n");
    }
}

/// Appends InfluxDB's line protocol with times in milliseconds: a line for each instance of a report,
/// with a field for each metric.
pub fn influx_lines(of: OfDevice<'_>, out: &mut String) {
    for kept in of.kept {
        let mut lines: BTreeMap<&str, String> = BTreeMap::new();
        for reading in &kept.changed.readings {
            let Some(value) = number(reading) else {
                continue;
            };
            let fields = lines.entry(reading.instance()).or_default();
            let comma = if fields.is_empty() { "" } else { "," };
            let _ = write!(
                fields,
                "{comma}{}={value}",
                plain_name(reading.metric().name)
            );
        }
        for (instance, fields) in lines {
            let _ = write!(out, "laptop,device={}", influx_tag(of.device));
            if !instance.is_empty() {
                let _ = write!(out, ",instance={}", influx_tag(instance));
            }
            let _ = writeln!(out, " {fields} {}", kept.at.0);
        }
    }
}

/// Appends `TimeSeries` of a `prometheus.WriteRequest` (remote write 1.0). The request is the
/// concatenation over laptops, compressed by [`snappy`], or by zstd where VictoriaMetrics listens.
pub fn remote_write(of: OfDevice<'_>, out: &mut Vec<u8>) {
    let (mut series, mut part) = (Vec::new(), Vec::new());
    for ((_, instance), (metric, points)) in of.series() {
        series.clear();
        // Labels go by name.
        label("__name__", &plain_name(metric.name), &mut part, &mut series);
        label("device", of.device, &mut part, &mut series);
        if !instance.is_empty() {
            label("instance", instance, &mut part, &mut series);
        }
        for (at, value) in points {
            part.clear();
            part.push(FIXED_64_1);
            part.extend_from_slice(&value.to_le_bytes());
            part.push(VARINT_2);
            encode_varint(at.0.cast_unsigned(), &mut part);
            field(2, &part, &mut series);
        }
        field(1, &series, out);
    }
}

/// The body of a remote write request.
///
/// # Panics
/// Above 4 GiB, which no request has.
#[must_use]
pub fn snappy(request: &[u8]) -> Vec<u8> {
    let compressed = snap::raw::Encoder::new().compress_vec(request);
    compressed.expect("a request is below 4 GiB")
}

/// Field 1 as a double, and field 2 as a varint.
const FIXED_64_1: u8 = 1 << 3 | 1;
const VARINT_2: u8 = 2 << 3;

fn label(name: &str, value: &str, part: &mut Vec<u8>, series: &mut Vec<u8>) {
    part.clear();
    field(1, name.as_bytes(), part);
    field(2, value.as_bytes(), part);
    field(1, part, series);
}

fn field(number: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn plain_name(name: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

fn influx_tag(text: &str) -> String {
    let mut tag = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, ',' | '=' | ' ') {
            tag.push('\\');
        }
        tag.push(letter);
    }
    tag
}

fn join<T: std::fmt::Display>(out: &mut String, items: impl Iterator<Item = T>) {
    for (at, item) in items.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{item}");
    }
}
