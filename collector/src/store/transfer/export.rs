//! Export: walks over the devices, one after another, a week of values or some thousand stretches at a time.

use std::io::{self, Write};

use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::formats::{Format, Record, Sink};
use super::rolled::RolledRow;
use super::{Row, Selection};
use crate::store::rollup::Level;
use crate::store::{Store, StoreError};

/// What of one device is held in memory at once: a week of one report a minute with 36 numbers has
/// 360,000 values, some 30 MB.
const WINDOW_MS: i64 = 7 * 86_400_000;

/// Stretches of each series that are: four weeks of quarters of an hour, some 10 MB.
const BUCKETS: i64 = 4 * 7 * 96;

/// Why an export was given up.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be written.
    #[error("what is exported cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes what is selected, and answers how many rows that were. It reads from disk: call it where
/// blocking is allowed.
///
/// # Errors
/// [`ExportError`]; what was written until then is no whole file.
pub fn export<W: Write + Send>(
    store: &Store,
    selection: &Selection,
    format: Format,
    out: W,
) -> Result<u64, ExportError> {
    match selection.resolution {
        None => write(store, selection, format, out, rows),
        Some(level) => {
            let of_level = |store: &Store, device, selection: &Selection, span| {
                rolled_rows(store, device, selection, span, level)
            };
            write(store, selection, format, out, of_level)
        }
    }
}

fn write<W: Write + Send, R: Record>(
    store: &Store,
    selection: &Selection,
    format: Format,
    out: W,
    rows: impl Fn(&Store, DeviceId, &Selection, Span) -> Result<Vec<R>, StoreError>,
) -> Result<u64, ExportError> {
    let mut sink = Sink::new(format, out)?;
    for device in devices(store, selection) {
        for span in spans(store, device, selection)? {
            for row in rows(store, device, selection, span)? {
                sink.row(&row)?;
            }
        }
    }
    Ok(sink.finish()?)
}

/// From when to when, both inclusive.
type Span = (UnixMs, UnixMs);

fn devices(store: &Store, selection: &Selection) -> Vec<DeviceId> {
    let states = store.devices();
    let chosen = states
        .iter()
        .filter(|state| selection.has_device(&state.device));
    let mut devices: Vec<DeviceId> = chosen.map(|state| state.device.id).collect();
    devices.sort_unstable();
    devices
}

/// The spans of time in which the store may have something of a device. Of stretches they hold whole
/// ones, the first that begins in what is selected first.
fn spans(store: &Store, device: DeviceId, selection: &Selection) -> Result<Vec<Span>, StoreError> {
    let Some(last) = store.device(device).and_then(|state| state.last_report) else {
        return Ok(Vec::new());
    };
    let (oldest, window_ms, width_ms) = match selection.resolution {
        None => (store.oldest_kept(last)?, WINDOW_MS, 1),
        Some(level) => {
            let window_ms = BUCKETS * level.width_ms();
            (
                store.oldest_at(Some(level), last),
                window_ms,
                level.width_ms(),
            )
        }
    };
    let from = selection.from.max(oldest);
    let from = UnixMs(from.0.saturating_add(width_ms - 1).div_euclid(width_ms) * width_ms);
    let to = selection.to.plus_ms(-1).min(last);
    let starts = (0..).map(|n| from.plus_ms(n * window_ms));
    let starts = starts.take_while(|start| *start <= to);
    Ok(starts
        .map(|start| (start, start.plus_ms(window_ms - 1).min(to)))
        .collect())
}

fn rows(
    store: &Store,
    device: DeviceId,
    selection: &Selection,
    (from, to): Span,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for column in store.columns_of(device, &|metric, _| selection.has_metric(metric), from, to)? {
        let Some(metric) = metric::by_code(column.key.metric) else {
            continue;
        };
        for (at, value) in column.points {
            let reading = Reading::measured(metric, &column.key.instance, value);
            rows.push(Row {
                at,
                device,
                reading,
            });
        }
    }
    // Stable: the rows of one time stay ordered by series.
    rows.sort_by_key(|row| row.at);
    Ok(rows)
}

fn rolled_rows(
    store: &Store,
    device: DeviceId,
    selection: &Selection,
    span: Span,
    level: Level,
) -> Result<Vec<RolledRow>, StoreError> {
    let wanted = |metric, _: &str| selection.has_metric(metric);
    let mut rows = Vec::new();
    for rolled in store.rolled(device, &wanted, span, level, level.width_ms())? {
        let Some(metric) = metric::by_code(rolled.key.metric) else {
            continue;
        };
        let row = |bucket| RolledRow {
            device,
            metric,
            instance: rolled.key.instance.clone(),
            bucket,
        };
        rows.extend(rolled.buckets.into_iter().map(row));
    }
    // Stable: the rows of one time stay ordered by series.
    rows.sort_by_key(|row| row.bucket.at);
    Ok(rows)
}
