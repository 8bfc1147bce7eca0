//! The forms of a file.

use std::io::{self, BufWriter, Write};

use rollcall_shared::reading::Value;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::parquet_file::ParquetFile;
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

/// A file that is being written.
pub(super) struct Sink<W: Write + Send> {
    file: File<W>,
    rows: u64,
}

enum File<W: Write + Send> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(BufWriter<W>),
    Parquet(Box<ParquetFile<W>>),
}

impl<W: Write + Send> Sink<W> {
    /// Begins a file.
    pub fn new(format: Format, out: W) -> io::Result<Self> {
        let file = match format {
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(COLUMNS)?;
                File::Csv(Box::new(csv))
            }
            Format::Jsonl => File::Jsonl(BufWriter::new(out)),
            Format::Parquet => File::Parquet(Box::new(ParquetFile::new(out)?)),
        };
        Ok(Self { file, rows: 0 })
    }

    /// Writes a row.
    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        self.rows += 1;
        match &mut self.file {
            File::Csv(csv) => csv.write_record(fields(row)).map_err(io::Error::from),
            File::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &object(row))?;
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

fn fields(row: &Row) -> [String; 6] {
    let (value, unavailable) = match row.reading.value() {
        Value::Number(number) => (number.to_string(), String::new()),
        Value::Flag(flag) => (flag.to_string(), String::new()),
        Value::Text(text) => (text.clone(), String::new()),
        Value::Unavailable(why) => (String::new(), reason(why).to_owned()),
    };
    [
        row.at.to_string(),
        row.device.to_string(),
        row.reading.metric().name.to_owned(),
        row.reading.instance().to_owned(),
        value,
        unavailable,
    ]
}

/// A reason is never empty in a file, where it would look like an empty text.
pub(super) const fn reason(why: &str) -> &str {
    if why.is_empty() { "unknown" } else { why }
}

fn object(row: &Row) -> serde_json::Value {
    let mut object = json!({
        "time": row.at.to_string(),
        "device": row.device.to_string(),
        "metric": row.reading.metric().name,
        "instance": row.reading.instance(),
    });
    let (key, value) = match row.reading.value() {
        Value::Number(number) => ("value", json!(number)),
        Value::Flag(flag) => ("value", json!(flag)),
        Value::Text(text) => ("value", json!(text)),
        Value::Unavailable(why) => ("unavailable", json!(reason(why))),
    };
    object[key] = value;
    object
}
