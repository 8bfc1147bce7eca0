//! A device's state as of a log entry, so that the log before it can go.
//!
//! ```text
//! snapshot := version[1] through[8] sealed[8] last_report? last_seen? awake_since? skew? cursors series*
//! cursors  := count (spool[16] sequence[8] moved[8])*
//! series   := metric text(instance) since value
//! ```
//! `since` is the difference to the series before; a value is drawn in `frame`. What version 1 wrote is
//! read by `legacy`.

use std::sync::Arc;

use rollcall_shared::id::{Sequence, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::codec::{Decoder, Encoder, Problem, pack, unpack};
use super::cursors::Cursor;
use super::frame::{count, put_count, put_text, put_value, text, value};
use super::memory::Entry;
use crate::device::{Latest, SeriesKey};

const VERSION: u8 = 2;
const NOTHING: Value = Value::Number(0.0);

/// Packs a device's state, as one that is sealed through an entry of the log.
pub(super) fn encode(entry: &Entry, cursors: &[Cursor], sealed: u64) -> Vec<u8> {
    let state = &entry.state;
    let mut form = Encoder::default();
    form.u8(VERSION);
    form.u64(entry.through);
    form.u64(sealed);
    form.maybe_i64(state.last_report.map(|at| at.0));
    form.maybe_i64(state.last_seen.map(|at| at.0));
    form.maybe_i64(state.awake_since.map(|at| at.0));
    form.maybe_i64(state.skew_ms);
    put_count(&mut form, cursors.len());
    for cursor in cursors {
        form.raw(cursor.spool.as_bytes());
        form.u64(cursor.sequence.0);
        form.u64(cursor.moved);
    }
    let mut before = 0;
    for (key, latest) in state.latest.iter() {
        put_count(&mut form, usize::from(key.metric));
        put_text(&mut form, &key.instance);
        form.varint(latest.since.0.wrapping_sub(before));
        before = latest.since.0;
        put_value(&mut form, &NOTHING, &latest.value);
    }
    pack(&form.0)
}

/// Puts a packed state back, and answers with its cursors. Readings that this version's catalogue does
/// not know are left out.
pub(super) fn restore(entry: &mut Entry, bytes: &[u8]) -> Result<Vec<Cursor>, Problem> {
    let bytes = unpack(bytes)?;
    if bytes.first() == Some(&super::legacy::SNAPSHOT) {
        return super::legacy::restore(entry, &bytes).map(|()| Vec::new());
    }
    let mut form = Decoder(&bytes);
    let version = form.u8()?;
    if version != VERSION {
        return Err(format!("its form {version} is unknown"));
    }
    entry.through = form.u64()?;
    entry.snapshot = entry.through;
    entry.sealed = form.u64()?;
    let state = Arc::make_mut(&mut entry.state);
    state.last_report = form.maybe_i64()?.map(UnixMs);
    state.last_seen = form.maybe_i64()?.map(UnixMs);
    state.awake_since = form.maybe_i64()?.map(UnixMs);
    state.skew_ms = form.maybe_i64()?;
    let cursors = read_cursors(&mut form)?;
    let (mut latest, mut before) = (Vec::new(), 0_i64);
    while !form.is_empty() {
        let metric = u16::try_from(count(&mut form)?).map_err(|error| error.to_string())?;
        let instance = text(&mut form)?;
        before = before.wrapping_add(form.varint()?);
        let (value, since) = (value(&mut form, &NOTHING)?, UnixMs(before));
        if metric::by_code(metric).is_some() {
            latest.push((SeriesKey { metric, instance }, Latest { value, since }));
        }
    }
    state.latest = latest.into_iter().collect();
    Ok(cursors)
}

/// Through which log entry the device of a packed state is sealed; 0 where schema 1 wrote it.
pub(super) fn sealed(bytes: &[u8]) -> Result<u64, Problem> {
    let bytes = unpack(bytes)?;
    let mut form = Decoder(&bytes);
    if form.u8()? != VERSION {
        return Ok(0);
    }
    form.u64()?;
    form.u64()
}

fn read_cursors(form: &mut Decoder<'_>) -> Result<Vec<Cursor>, Problem> {
    let mut cursors = Vec::new();
    for _ in 0..count(form)? {
        cursors.push(Cursor {
            spool: SpoolId::from_bytes(form.array()?),
            sequence: Sequence(form.u64()?),
            moved: form.u64()?,
        });
    }
    Ok(cursors)
}
