//! The forms of a file.

use std::io::{self, BufWriter, Write};

use rollcall_shared::reading::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::parquet_file::{Group, ParquetFile, Values};
use super::{COLUMNS, Row};

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Comma-separated values with a line of names
    Csv,
    /// An object of JSON on each line
    Jsonl,
    /// Apache Parquet
    Parquet,
}

/// A row of some kind of file.
pub(super) trait Record: Sized {
    /// The names of its fields.
    const COLUMNS: &'static [&'static str];

    /// Its columns in Parquet.
    type Group: Group<Self>;

    /// Its fields, as texts.
    fn fields(&self) -> Vec<String>;

    /// Its fields that are there, with their own types.
    fn object(&self) -> serde_json::Value;
}

/// A file that is being written.
pub(super) struct Sink<W: Write + Send, R: Record> {
    file: File<W, R>,
    rows: u64,
}

enum File<W: Write + Send, R: Record> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(BufWriter<W>),
    Parquet(Box<ParquetFile<W, R>>),
}

impl<W: Write + Send, R: Record> Sink<W, R> {
    /// Begins a file.
    pub fn new(format: Format, out: W) -> io::Result<Self> {
        let file = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(R::COLUMNS)?;
                File::Csv(Box::new(csv))
            }
            Format::Jsonl => File::Jsonl(BufWriter::new(out)),
            Format::Parquet => File::Parquet(Box::new(ParquetFile::new(out)?)),
        };
        Ok(Self { file, rows: 0 })
    }

    /// Writes a row.
    pub fn row(&mut self, row: &R) -> io::Result<()> {
        self.rows += 1;
        match &mut self.file {
            File::Csv(csv) => csv.write_record(row.fields()).map_err(io::Error::from),
            File::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &row.object())?;
                out.write_all(b"\n")
            }
            File::Parquet(file) => file.row(row),
        }
    }

    /// Ends the file, and answers how many rows it has.
    pub fn finish(self) -> io::Result<u64> {
        match self.file {
            File::Csv(mut csv) => csv.flush()?,
            File::Jsonl(mut out) => out.flush()?,
            File::Parquet(file) => file.finish()?,
        }
        Ok(self.rows)
    }
}

impl Record for Row {
    const COLUMNS: &'static [&'static str] = &COLUMNS;

    type Group = Values;

    fn fields(&self) -> Vec<String> {
        let (value, unavailable) = texts(self.reading.value());
        vec![
            self.at.to_string(),
            self.device.to_string(),
            self.reading.metric().name.to_owned(),
            self.reading.instance().to_owned(),
            value,
            unavailable,
        ]
    }

    fn object(&self) -> serde_json::Value {
        let mut object = json!({
            "time": self.at.to_string(),
            "device": self.device.to_string(),
            "metric": self.reading.metric().name,
            "instance": self.reading.instance(),
        });
        put_value(&mut object, "value", self.reading.value());
        object
    }
}

/// A value and why there is none, one of them empty.
pub(super) fn texts(value: &Value) -> (String, String) {
    match value {
        Value::Number(number) => (number.to_string(), String::new()),
        Value::Flag(flag) => (flag.to_string(), String::new()),
        Value::Text(text) => (text.clone(), String::new()),
        Value::Unavailable(why) => (String::new(), reason(why).to_owned()),
    }
}

/// Puts a value under its key, or why there is none.
pub(super) fn put_value(object: &mut serde_json::Value, key: &str, value: &Value) {
    let (key, value) = match value {
        Value::Number(number) => (key, json!(number)),
        Value::Flag(flag) => (key, json!(flag)),
        Value::Text(text) => (key, json!(text)),
        Value::Unavailable(why) => ("unavailable", json!(reason(why))),
    };
    object[key] = value;
}

/// A reason is never empty in a file, where it would look like an empty text.
pub(super) const fn reason(why: &str) -> &str {
    if why.is_empty() { "unknown" } else { why }
}
