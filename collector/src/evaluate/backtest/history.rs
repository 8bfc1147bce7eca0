//! A recorded history: rows in any order become rows by device and time.
//!
//! Runs of [`RUN_ROWS`] rows are sorted in memory; where there is more than one, each is written to an
//! unnamed temporary file and they are merged. A row of a run:
//! `device u32 | time i64 | metric u16 | instance u32 | kind u8 | value u64`, little-endian, 27 bytes;
//! names and texts are numbers of a table that is held in memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

use super::{columns, open_csv, parse_time};

/// Rows that are sorted in memory: 2 million of 32 bytes are 64 MB.
pub const RUN_ROWS: usize = 2_000_000;

/// Bytes of a row of a run.
const ROW_BYTES: usize = 27;

/// Unknown metrics that are told apart in the summary.
const NAMED_REASONS: usize = 50;

/// The rows of a history, by device in the order of first appearance, then by time.
pub struct History {
    names: Names,
    rows: Rows,
    next: Option<Row>,
    used: u64,
    left_out: BTreeMap<String, u64>,
}

/// A reading of a device at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When.
    pub at: UnixMs,
    /// What.
    pub reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    device: u32,
    at: i64,
    metric: u16,
    instance: u32,
    kind: u8,
    value: u64,
}

enum Rows {
    Memory(std::vec::IntoIter<Row>),
    Merged(Merge),
}

/// Runs on disk, the smallest row of all of them next; of equal ones the earlier run's.
struct Merge {
    runs: Vec<BufReader<File>>,
    heads: BinaryHeap<Reverse<(u32, i64, usize)>>,
    rows: Vec<Option<Row>>,
}

/// Texts, each once.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    texts: Vec<Box<str>>,
}

impl History {
    /// Reads and sorts the rows of `path`.
    ///
    /// # Errors
    /// When the file cannot be read, a column is missing, or a time is not RFC 3339; the error names the
    /// line. A row of an unknown metric or of a value that its metric cannot have is left out and
    /// counted.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::read_in_runs(path, RUN_ROWS)
    }

    pub(super) fn read_in_runs(path: &Path, run_rows: usize) -> anyhow::Result<Self> {
        let mut csv = open_csv(path)?;
        let header = csv
            .headers()
            .with_context(|| path.display().to_string())?
            .clone();
        let at = columns(
            path,
            &header,
            ["time", "device", "metric", "instance", "value"],
        )?;
        let mut history = Self {
            names: Names::default(),
            rows: Rows::Memory(Vec::new().into_iter()),
            next: None,
            used: 0,
            left_out: BTreeMap::new(),
        };
        let (mut run, mut runs) = (Vec::new(), Vec::new());
        let mut record = csv::StringRecord::new();
        while csv
            .read_record(&mut record)
            .with_context(|| path.display().to_string())?
        {
            let fields = at.map(|column| record.get(column).unwrap_or_default().trim());
            let Some(time) = parse_time(fields[0]) else {
                let line = record.position().map_or(0, csv::Position::line);
                bail!(
                    "{}: line {line}: time `{}` is not RFC 3339, such as 2026-08-24T07:45:00Z",
                    path.display(),
                    fields[0]
                );
            };
            run.extend(history.row(time, &fields));
            if run.len() >= run_rows {
                runs.push(spill(&mut run)?);
            }
        }
        history.rows = if runs.is_empty() {
            sort(&mut run);
            Rows::Memory(run.into_iter())
        } else {
            runs.push(spill(&mut run)?);
            Rows::Merged(Merge::new(runs)?)
        };
        history.next = history.rows.next()?;
        Ok(history)
    }

    /// The device of the rows that come next.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        self.next.map(|row| self.names.text(row.device))
    }

    /// The next row of the device whose rows came last, or of the first; `None` when it has no more.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub fn sample(&mut self, device: &str) -> anyhow::Result<Option<Sample>> {
        let Some(row) = self
            .next
            .filter(|row| self.names.text(row.device) == device)
        else {
            return Ok(None);
        };
        self.next = self.rows.next()?;
        Ok(Some(self.sample_of(row)))
    }

    /// How many rows were used.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// How many rows were left out, by reason.
    #[must_use]
    pub fn left_out(&self) -> BTreeMap<String, u64> {
        self.left_out.clone()
    }

    fn row(&mut self, time: UnixMs, fields: &[&str; 5]) -> Option<Row> {
        let [_, device, name, instance, value] = fields;
        let reading = match reading(name, instance, value) {
            Ok(reading) => reading,
            Err(reason) => {
                self.leave_out(reason);
                return None;
            }
        };
        self.used += 1;
        let (kind, value) = match reading.value() {
            Value::Number(number) => (0, number.to_bits()),
            Value::Flag(flag) => (1, u64::from(*flag)),
            Value::Text(text) => (2, u64::from(self.names.number(text))),
            Value::Unavailable(why) => (3, u64::from(self.names.number(why))),
        };
        Some(Row {
            device: self.names.number(device),
            at: time.0,
            metric: reading.metric().code,
            instance: self.names.number(reading.instance()),
            kind,
            value,
        })
    }

    fn leave_out(&mut self, reason: String) {
        let is_known = self.left_out.contains_key(&reason) || self.left_out.len() < NAMED_REASONS;
        let reason = if is_known {
            reason
        } else {
            "other reasons".to_owned()
        };
        *self.left_out.entry(reason).or_default() += 1;
    }

    fn sample_of(&self, row: Row) -> Sample {
        let text = || self.names.text(row.value as u32).to_owned();
        let value = match row.kind {
            0 => Value::Number(f64::from_bits(row.value)),
            1 => Value::Flag(row.value != 0),
            2 => Value::Text(text()),
            _ => Value::Unavailable(text()),
        };
        let metric = metric::by_code(row.metric).expect("only rows of known metrics are kept");
        Sample {
            at: UnixMs(row.at),
            reading: Reading::measured(metric, self.names.text(row.instance), value),
        }
    }
}

fn reading(name: &str, instance: &str, value: &str) -> Result<Reading, String> {
    let metric = metric::by_name(name).ok_or_else(|| format!("metric `{name}` is not known"))?;
    let out_of = || format!("value of {name} that it cannot have");
    if value.is_empty() {
        return Err(format!("no value of {name}"));
    }
    let value = value_of(metric, value).ok_or_else(out_of)?;
    Reading::new(metric, instance, value).map_err(|_| out_of())
}

fn value_of(metric: &Metric, text: &str) -> Option<Value> {
    match metric.kind {
        Kind::Gauge { .. } | Kind::Counter { .. } => text.parse().ok().map(Value::Number),
        Kind::Flag => match text {
            "true" | "yes" | "1" => Some(Value::Flag(true)),
            "false" | "no" | "0" => Some(Value::Flag(false)),
            _ => None,
        },
        Kind::State(_) | Kind::Text => Some(Value::Text(text.to_owned())),
    }
}

/// By device and time; rows of one time keep the order of the file.
fn sort(run: &mut [Row]) {
    run.sort_by_key(|row| (row.device, row.at));
}

fn spill(run: &mut Vec<Row>) -> anyhow::Result<BufReader<File>> {
    sort(run);
    let cannot = "cannot write a temporary file; TMPDIR names the folder for it";
    let mut file = BufWriter::new(tempfile::tempfile().context(cannot)?);
    for row in run.drain(..) {
        file.write_all(&row.to_bytes()).context(cannot)?;
    }
    let mut file = file.into_inner().context(cannot)?;
    file.rewind().context(cannot)?;
    Ok(BufReader::with_capacity(256 * 1024, file))
}

impl Rows {
    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        match self {
            Self::Memory(rows) => Ok(rows.next()),
            Self::Merged(merge) => merge.next(),
        }
    }
}

impl Merge {
    fn new(runs: Vec<BufReader<File>>) -> anyhow::Result<Self> {
        let mut merge = Self {
            heads: BinaryHeap::with_capacity(runs.len()),
            rows: vec![None; runs.len()],
            runs,
        };
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        let Some(Reverse((_, _, run))) = self.heads.pop() else {
            return Ok(None);
        };
        let row = self.rows[run].take();
        self.advance(run)?;
        Ok(row)
    }

    fn advance(&mut self, run: usize) -> anyhow::Result<()> {
        let mut bytes = [0; ROW_BYTES];
        let reader = &mut self.runs[run];
        let mut filled = 0;
        while filled < ROW_BYTES {
            match reader
                .read(&mut bytes[filled..])
                .context("cannot read a temporary file")?
            {
                0 if filled == 0 => return Ok(()),
                0 => bail!("a temporary file ends within a row"),
                more => filled += more,
            }
        }
        let row = Row::from_bytes(&bytes);
        self.heads.push(Reverse((row.device, row.at, run)));
        self.rows[run] = Some(row);
        Ok(())
    }
}

impl Row {
    fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..4].copy_from_slice(&self.device.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.at.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.metric.to_le_bytes());
        bytes[14..18].copy_from_slice(&self.instance.to_le_bytes());
        bytes[18] = self.kind;
        bytes[19..].copy_from_slice(&self.value.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ROW_BYTES]) -> Self {
        fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
            bytes[at..at + N].try_into().expect("a row has 27 bytes")
        }
        Self {
            device: u32::from_le_bytes(part(bytes, 0)),
            at: i64::from_le_bytes(part(bytes, 4)),
            metric: u16::from_le_bytes(part(bytes, 12)),
            instance: u32::from_le_bytes(part(bytes, 14)),
            kind: bytes[18],
            value: u64::from_le_bytes(part(bytes, 19)),
        }
    }
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer than four milliard names");
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }

    fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}
