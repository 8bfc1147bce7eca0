//! Parquet, by columns, a group of rows at a time.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use rollcall_shared::reading::Value;

use super::Row;
use super::formats::reason;

const SCHEMA: &str = "message rollcall {
    required int64 time (TIMESTAMP(MILLIS,true));
    required binary device (STRING);
    required binary metric (STRING);
    required binary instance (STRING);
    optional double value;
    optional boolean flag;
    optional binary text (STRING);
    optional binary unavailable (STRING);
}";

/// Rows that are held in memory until their columns are written: about 100 bytes each.
const GROUP_ROWS: usize = 200_000;

/// A file that is being written.
pub(super) struct ParquetFile<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    group: Group,
}

/// The columns of some rows.
#[derive(Default)]
struct Group {
    times: Vec<i64>,
    devices: Vec<ByteArray>,
    metrics: Vec<ByteArray>,
    instances: Vec<ByteArray>,
    numbers: Optional<f64>,
    flags: Optional<bool>,
    texts: Optional<ByteArray>,
    reasons: Optional<ByteArray>,
}

/// A column in which a row may have nothing.
#[derive(Default)]
struct Optional<T> {
    values: Vec<T>,
    /// 1 where a row has a value, else 0.
    there: Vec<i16>,
}

impl<W: Write + Send> ParquetFile<W> {
    pub fn new(out: W) -> io::Result<Self> {
        let schema = parse_message_type(SCHEMA).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(io::Error::other)?,
            group: Group::default(),
        })
    }

    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        self.group.push(row);
        if self.group.times.len() < GROUP_ROWS {
            return Ok(());
        }
        self.put_group()
    }

    pub fn finish(mut self) -> io::Result<()> {
        if !self.group.times.is_empty() {
            self.put_group()?;
        }
        self.writer.close().map(drop).map_err(io::Error::other)
    }

    fn put_group(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        let mut writer = self.writer.next_row_group().map_err(io::Error::other)?;
        group
            .put(&mut writer)
            .and_then(|()| writer.close().map(drop))
            .map_err(io::Error::other)
    }
}

impl Group {
    fn push(&mut self, row: &Row) {
        let reading = &row.reading;
        self.times.push(row.at.0);
        self.devices.push(bytes(&row.device.to_string()));
        self.metrics.push(bytes(reading.metric().name));
        self.instances.push(bytes(reading.instance()));
        let (mut number, mut flag, mut text, mut why) = (None, None, None, None);
        match reading.value() {
            Value::Number(value) => number = Some(*value),
            Value::Flag(value) => flag = Some(*value),
            Value::Text(value) => text = Some(bytes(value)),
            Value::Unavailable(value) => why = Some(bytes(reason(value))),
        }
        self.numbers.push(number);
        self.flags.push(flag);
        self.texts.push(text);
        self.reasons.push(why);
    }

    fn put<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        put::<Int64Type, W>(group, &self.times, None)?;
        for column in [&self.devices, &self.metrics, &self.instances] {
            put::<ByteArrayType, W>(group, column, None)?;
        }
        put::<DoubleType, W>(group, &self.numbers.values, Some(&self.numbers.there))?;
        put::<BoolType, W>(group, &self.flags.values, Some(&self.flags.there))?;
        put::<ByteArrayType, W>(group, &self.texts.values, Some(&self.texts.there))?;
        put::<ByteArrayType, W>(group, &self.reasons.values, Some(&self.reasons.there))
    }
}

impl<T> Optional<T> {
    fn push(&mut self, value: Option<T>) {
        self.there.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    there: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .expect("the schema has as many columns");
    column.typed::<T>().write_batch(values, there, None)?;
    column.close()
}

fn bytes(text: &str) -> ByteArray {
    ByteArray::from(text.as_bytes().to_vec())
}
