//! Rows of what is rolled up: what a series was like in a stretch of time.

use std::io::Write;

use parquet::data_type::{DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric::Metric;
use serde_json::json;

use super::formats::{Record, put_value, texts};
use super::parquet_file::{Group, Names, Optional, Values, put, put_optional};
use crate::store::rollup::{Band, Bucket};

const SCHEMA: &str = "message rollcall {
    required int64 time (TIMESTAMP(MILLIS,true));
    required binary device (STRING);
    required binary metric (STRING);
    required binary instance (STRING);
    required int64 count;
    optional double min;
    optional double mean;
    optional double max;
    optional double last;
    optional boolean flag;
    optional binary text (STRING);
    optional binary unavailable (STRING);
}";

/// A row of a file of roll-ups.
pub(super) struct RolledRow {
    /// Whose.
    pub device: DeviceId,
    /// What.
    pub metric: &'static Metric,
    /// Of which battery, drive ...
    pub instance: String,
    /// When, and what it was like.
    pub bucket: Bucket,
}

/// How a number is read from a band.
type Part = fn(&Band) -> f64;

/// The parts of a band, by the names of their columns.
const PARTS: [(&str, Part); 3] = [
    ("min", |band| band.min),
    ("mean", |band| band.mean),
    ("max", |band| band.max),
];

impl Record for RolledRow {
    const COLUMNS: &'static [&'static str] = &[
        "time",
        "device",
        "metric",
        "instance",
        "count",
        PARTS[0].0,
        PARTS[1].0,
        PARTS[2].0,
        "last",
        "unavailable",
    ];

    type Group = Buckets;

    fn fields(&self) -> Vec<String> {
        let bucket = &self.bucket;
        let mut fields = vec![
            bucket.at.to_string(),
            self.device.to_string(),
            self.metric.name.to_owned(),
            self.instance.clone(),
            bucket.count.to_string(),
        ];
        let part = |(_, of): (_, fn(&Band) -> f64)| {
            let number = bucket.band.as_ref().map(of);
            number.map_or_else(String::new, |number| number.to_string())
        };
        fields.extend(PARTS.map(part));
        let (last, unavailable) = texts(&bucket.last);
        fields.extend([last, unavailable]);
        fields
    }

    fn object(&self) -> serde_json::Value {
        let mut object = json!({
            "time": self.bucket.at.to_string(),
            "device": self.device.to_string(),
            "metric": self.metric.name,
            "instance": self.instance,
            "count": self.bucket.count,
        });
        if let Some(band) = &self.bucket.band {
            for (name, of) in PARTS {
                object[name] = json!(of(band));
            }
        }
        put_value(&mut object, "last", &self.bucket.last);
        object
    }
}

/// Their columns.
#[derive(Default)]
pub(super) struct Buckets {
    names: Names,
    counts: Vec<i64>,
    bands: [Optional<f64>; 3],
    last: Values,
}

impl Group<RolledRow> for Buckets {
    const SCHEMA: &'static str = SCHEMA;

    fn push(&mut self, row: &RolledRow) {
        let bucket = &row.bucket;
        self.names
            .push(bucket.at, row.device, row.metric, &row.instance);
        self.counts
            .push(i64::try_from(bucket.count).unwrap_or(i64::MAX));
        for (column, (_, of)) in self.bands.iter_mut().zip(PARTS) {
            column.push(bucket.band.as_ref().map(of));
        }
        self.last.push_value(&bucket.last);
    }

    fn put<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        self.names.put(group)?;
        put::<Int64Type, W>(group, &self.counts, None)?;
        for column in &self.bands {
            put_optional::<DoubleType, W>(group, column)?;
        }
        self.last.put_values(group)
    }
}
