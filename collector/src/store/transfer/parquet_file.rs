//! Parquet, by columns, a group of rows at a time.

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric::Metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::Row;
use super::formats::{Record, reason};

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
pub(super) struct ParquetFile<W: Write + Send, R: Record> {
    writer: SerializedFileWriter<W>,
    group: R::Group,
    rows: usize,
}

/// The columns of some rows.
pub(super) trait Group<R>: Default {
    /// What they are, as Parquet says it.
    const SCHEMA: &'static str;

    /// Adds a row.
    fn push(&mut self, row: &R);

    /// Writes them, in the order of the schema.
    fn put<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError>;
}

/// What rows say first: when, whose and what.
#[derive(Default)]
pub(super) struct Names {
    times: Vec<i64>,
    devices: Vec<ByteArray>,
    metrics: Vec<ByteArray>,
    instances: Vec<ByteArray>,
}

/// What rows say last: a value of some kind, or why there is none.
#[derive(Default)]
pub(super) struct Values {
    names: Names,
    numbers: Optional<f64>,
    flags: Optional<bool>,
    texts: Optional<ByteArray>,
    reasons: Optional<ByteArray>,
}

/// A column in which a row may have nothing.
#[derive(Default)]
pub(super) struct Optional<T> {
    values: Vec<T>,
    /// 1 where a row has a value, else 0.
    there: Vec<i16>,
}

impl<W: Write + Send, R: Record> ParquetFile<W, R> {
    pub fn new(out: W) -> io::Result<Self> {
        let schema = parse_message_type(R::Group::SCHEMA).map_err(io::Error::other)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(io::Error::other)?,
            group: R::Group::default(),
            rows: 0,
        })
    }

    pub fn row(&mut self, row: &R) -> io::Result<()> {
        self.group.push(row);
        self.rows += 1;
        if self.rows < GROUP_ROWS {
            return Ok(());
        }
        self.put_group()
    }

    pub fn finish(mut self) -> io::Result<()> {
        if self.rows > 0 {
            self.put_group()?;
        }
        self.writer.close().map(drop).map_err(io::Error::other)
    }

    fn put_group(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        self.rows = 0;
        let mut writer = self.writer.next_row_group().map_err(io::Error::other)?;
        group
            .put(&mut writer)
            .and_then(|()| writer.close().map(drop))
            .map_err(io::Error::other)
    }
}

impl Names {
    pub fn push(&mut self, at: UnixMs, device: DeviceId, metric: &Metric, instance: &str) {
        self.times.push(at.0);
        self.devices.push(bytes(&device.to_string()));
        self.metrics.push(bytes(metric.name));
        self.instances.push(bytes(instance));
    }

    pub fn put<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        put::<Int64Type, W>(group, &self.times, None)?;
        for column in [&self.devices, &self.metrics, &self.instances] {
            put::<ByteArrayType, W>(group, column, None)?;
        }
        Ok(())
    }
}

impl Values {
    pub fn push_value(&mut self, value: &Value) {
        let (mut number, mut flag, mut text, mut why) = (None, None, None, None);
        match value {
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

    pub fn put_values<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        put_optional::<DoubleType, W>(group, &self.numbers)?;
        put_optional::<BoolType, W>(group, &self.flags)?;
        put_optional::<ByteArrayType, W>(group, &self.texts)?;
        put_optional::<ByteArrayType, W>(group, &self.reasons)
    }
}

impl Group<Row> for Values {
    const SCHEMA: &'static str = SCHEMA;

    fn push(&mut self, row: &Row) {
        let reading = &row.reading;
        self.names
            .push(row.at, row.device, reading.metric(), reading.instance());
        self.push_value(reading.value());
    }

    fn put<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        self.names.put(group)?;
        self.put_values(group)
    }
}

impl<T> Optional<T> {
    pub fn push(&mut self, value: Option<T>) {
        self.there.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

pub(super) fn put_optional<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Optional<T::T>,
) -> Result<(), ParquetError> {
    put::<T, W>(group, &column.values, Some(&column.there))
}

pub(super) fn put<T: DataType, W: Write + Send>(
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
