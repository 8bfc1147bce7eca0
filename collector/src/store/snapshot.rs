//! A device's state as of a log entry, so that the log before it can go.
//!
//! ```text
//! snapshot := version[1] through[8] last_report? last_seen? awake_since? skew? series*
//! series   := since[8] length[4] rollcall.v1.Reading
//! ```

use std::sync::Arc;

use prost::Message as _;
use rollcall_proto::v1;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::codec::{Decoder, Encoder, Problem, pack, unpack};
use super::memory::Entry;
use crate::device::{DeviceState, Latest, SeriesKey};

const VERSION: u8 = 1;
const LEVEL: i32 = 1;

/// Packs a device's state.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let state = &entry.state;
    let mut form = Encoder::default();
    form.u8(VERSION);
    form.u64(entry.through);
    form.maybe_i64(state.last_report.map(|at| at.0));
    form.maybe_i64(state.last_seen.map(|at| at.0));
    form.maybe_i64(state.awake_since.map(|at| at.0));
    form.maybe_i64(state.skew_ms);
    for (key, latest) in &state.latest {
        form.i64(latest.since.0);
        let reading = v1::Reading {
            metric: u32::from(key.metric),
            instance: key.instance.clone(),
            value: Some(latest.value.clone().into()),
        };
        form.bytes(&reading.encode_to_vec());
    }
    pack(&form.0, LEVEL)
}

/// Puts a packed state back. Readings that this version's catalogue does not know are left out.
pub(super) fn restore(entry: &mut Entry, bytes: &[u8]) -> Result<(), Problem> {
    let bytes = unpack(bytes)?;
    let mut form = Decoder(&bytes);
    let version = form.u8()?;
    if version != VERSION {
        return Err(format!("its form {version} is unknown"));
    }
    entry.through = form.u64()?;
    entry.snapshot = entry.through;
    let state = Arc::make_mut(&mut entry.state);
    state.last_report = form.maybe_i64()?.map(UnixMs);
    state.last_seen = form.maybe_i64()?.map(UnixMs);
    state.awake_since = form.maybe_i64()?.map(UnixMs);
    state.skew_ms = form.maybe_i64()?;
    while !form.is_empty() {
        put_series(state, &mut form)?;
    }
    Ok(())
}

fn put_series(state: &mut DeviceState, form: &mut Decoder<'_>) -> Result<(), Problem> {
    let since = UnixMs(form.i64()?);
    let wire = v1::Reading::decode(form.bytes()?).map_err(|error| error.to_string())?;
    if let Ok(reading) = Reading::try_from(wire) {
        let value = reading.value().clone();
        state
            .latest
            .insert(SeriesKey::of(&reading), Latest { value, since });
    }
    Ok(())
}
