//! Rows of CSV or JSON lines, each with its line, or with what is wrong with it.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context as _, bail};
use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;
use serde::Deserialize;

use super::{COLUMNS, Row};

/// Bytes of a line of JSON: an instance and a text of the greatest length, and names, twice over.
const LINE_BYTES: u64 = 4096;

/// Bytes before the first row in which the form shows.
const START_BYTES: usize = 1;

/// What came of a line.
pub(super) type Line = (u64, Result<Row, String>);

/// Reads rows of either form; gzip is undone. Calls `each` for every line.
pub(super) fn read(
    raw: impl Read,
    each: &mut dyn FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut raw = BufReader::new(raw);
    let is_packed = raw.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let unpacked: Box<dyn Read + '_> = match is_packed {
        true => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
        false => Box::new(raw),
    };
    let mut text = BufReader::new(unpacked);
    let start = text.fill_buf().context("the file cannot be read")?;
    match start.get(..START_BYTES) {
        None => Ok(()),
        Some(b"{") => read_json(text, each),
        Some(_) => read_csv(text, each),
    }
}

fn read_csv(
    text: impl Read,
    each: &mut dyn FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut csv = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let header = csv.headers().context("line 1")?.clone();
    let place = |name: &str| {
        let is_it = |column: &str| column.trim().trim_start_matches('\u{feff}') == name;
        header.iter().position(is_it)
    };
    let places = COLUMNS.map(place);
    for (name, place) in COLUMNS.iter().zip(places).take(5) {
        if place.is_none() {
            bail!(
                "line 1 has no column `{name}`; it needs {}",
                COLUMNS[..5].join(", ")
            );
        }
    }
    let mut record = csv::StringRecord::new();
    loop {
        let line = csv.position().line();
        match csv.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let line = record.position().map_or(line, csv::Position::line);
                let field = |at: usize| places[at].and_then(|at| record.get(at)).unwrap_or("");
                let fields: [&str; 6] = std::array::from_fn(field);
                each((line, row(&fields, text_value)))?;
            }
            Err(error) if error.is_io_error() => {
                return Err(error).context("the file cannot be read");
            }
            Err(error) => each((line, Err(error.to_string())))?,
        }
    }
}

#[derive(Deserialize)]
struct Object {
    time: String,
    device: String,
    metric: String,
    #[serde(default)]
    instance: String,
    value: Option<serde_json::Value>,
    #[serde(default)]
    unavailable: String,
}

fn read_json(
    mut text: impl BufRead,
    each: &mut dyn FnMut(Line) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut text).take(LINE_BYTES).read_until(b'\n', &mut line);
        if read.context("the file cannot be read")? == 0 {
            break;
        }
        if !line.ends_with(b"\n") && line.len() as u64 == LINE_BYTES {
            text.skip_until(b'\n')?;
            each((
                number,
                Err(format!("the line is longer than {LINE_BYTES} bytes")),
            ))?;
        } else if !line.trim_ascii().is_empty() {
            each((number, json_row(&line)))?;
        }
    }
    Ok(())
}

fn json_row(line: &[u8]) -> Result<Row, String> {
    let object: Object = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let given = object.value;
    let fields = [
        object.time.as_str(),
        &object.device,
        &object.metric,
        &object.instance,
        "",
        &object.unavailable,
    ];
    row(&fields, |metric, _| {
        match json_value(metric, given.as_ref())? {
            Value::Number(number) => Ok(Value::Number(exactly(line, number))),
            other => Ok(other),
        }
    })
}

/// A number as it is written: `serde_json` without its `float_roundtrip` is off by the last bit now and
/// then, and the next import would take the row for another.
fn exactly(line: &[u8], number: f64) -> f64 {
    let is_near = |exact: &f64| (exact - number).abs() <= number.abs() * 1e-14;
    let text = std::str::from_utf8(line).unwrap_or_default();
    let written = text.match_indices("\"value\"").find_map(|(at, key)| {
        let rest = text.get(at + key.len()..)?.trim_start().strip_prefix(':')?;
        let end = rest.find([',', '}'])?;
        rest.get(..end)?.trim().parse().ok()
    });
    written.filter(is_near).unwrap_or(number)
}

fn row(
    fields: &[&str; 6],
    value: impl FnOnce(&Metric, &str) -> Result<Value, String>,
) -> Result<Row, String> {
    let [time, device, name, instance, text, unavailable] = fields;
    let at: jiff::Timestamp = time
        .trim()
        .parse()
        .map_err(|_| format!("time `{time}` is not RFC 3339, such as 2026-08-24T07:45:00Z"))?;
    let device = device.trim().parse();
    let device = device.map_err(|error| format!("device: {error}"))?;
    let metric = metric::by_name(name.trim());
    let metric = metric.ok_or_else(|| format!("metric `{name}` is not in the catalogue"))?;
    let value = match *unavailable {
        "" => value(metric, text)?,
        why => Value::Unavailable(why.to_owned()),
    };
    let reading = Reading::new(metric, *instance, value).map_err(|error| error.to_string())?;
    let at = UnixMs(at.as_millisecond());
    Ok(Row {
        at,
        device,
        reading,
    })
}

fn text_value(metric: &Metric, text: &str) -> Result<Value, String> {
    let wrong = |what| format!("{}: `{text}` is no {what}", metric.name);
    match metric.kind {
        Kind::Gauge { .. } | Kind::Counter { .. } => {
            let number = text.trim().parse().map_err(|_| wrong("number"))?;
            Ok(Value::Number(number))
        }
        Kind::Flag => match text.trim() {
            "true" | "yes" | "1" => Ok(Value::Flag(true)),
            "false" | "no" | "0" => Ok(Value::Flag(false)),
            _ => Err(wrong("flag: true or false")),
        },
        Kind::State(_) | Kind::Text => Ok(Value::Text(text.to_owned())),
    }
}

fn json_value(metric: &Metric, value: Option<&serde_json::Value>) -> Result<Value, String> {
    match value {
        Some(serde_json::Value::Bool(flag)) => Ok(Value::Flag(*flag)),
        Some(serde_json::Value::String(text)) => Ok(Value::Text(text.clone())),
        Some(serde_json::Value::Number(number)) => {
            let number = number.as_f64();
            number
                .map(Value::Number)
                .ok_or_else(|| "value is too large".to_owned())
        }
        _ => Err(format!(
            "{} has no value, and no `unavailable` says why",
            metric.name
        )),
    }
}
