//! Export: walks over the devices, one after another, a week at a time.

use std::io::{self, Write};

use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::formats::{Format, Sink};
use super::{Row, Selection};
use crate::store::{Store, StoreError};

/// What of one device is held in memory at once: a week of one report a minute with 36 numbers has
/// 360,000 values, some 30 MB.
const WINDOW_MS: i64 = 7 * 86_400_000;

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
    let mut sink = Sink::new(format, out)?;
    for device in devices(store, selection) {
        for (from, to) in windows(store, device, selection)? {
            for row in rows(store, device, selection, from, to)? {
                sink.row(&row)?;
            }
        }
    }
    Ok(sink.finish()?)
}

fn devices(store: &Store, selection: &Selection) -> Vec<DeviceId> {
    let states = store.devices();
    let chosen = states
        .iter()
        .filter(|state| selection.has_device(&state.device));
    let mut devices: Vec<DeviceId> = chosen.map(|state| state.device.id).collect();
    devices.sort_unstable();
    devices
}

/// The spans of time in which the store may have something of a device, each with both its ends.
fn windows(
    store: &Store,
    device: DeviceId,
    selection: &Selection,
) -> Result<Vec<(UnixMs, UnixMs)>, StoreError> {
    let Some(last) = store.device(device).and_then(|state| state.last_report) else {
        return Ok(Vec::new());
    };
    let from = selection.from.max(store.oldest_kept(last)?);
    let to = selection.to.plus_ms(-1).min(last);
    let starts = (0..).map(|n| from.plus_ms(n * WINDOW_MS));
    let starts = starts.take_while(|start| *start <= to);
    Ok(starts
        .map(|start| (start, start.plus_ms(WINDOW_MS - 1).min(to)))
        .collect())
}

fn rows(
    store: &Store,
    device: DeviceId,
    selection: &Selection,
    from: UnixMs,
    to: UnixMs,
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for column in store.columns(device, from, to)? {
        let code = column.key.metric;
        let chosen = selection.metric.is_none_or(|metric| metric == code);
        let Some(metric) = metric::by_code(code).filter(|_| chosen) else {
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
