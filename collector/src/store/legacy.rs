//! What schema 1 wrote, and how it becomes schema 2. Nothing here is written any more.
//!
//! ```text
//! log entry := 1[1] arrival*
//! arrival   := device[16] spool[16] received[8] skew[8] count[4] report*
//! report    := corrected[8] length[4] rollcall.v1.Report
//! snapshot  := 1[1] through[8] last_report? last_seen? awake_since? skew? series*
//! series    := since[8] length[4] rollcall.v1.Reading
//! ```
//! Weeks stay as they are and are read beside what is merged: retention removes them.

use std::sync::Arc;

use prost::Message as _;
use rollcall_proto::convert::Admitted;
use rollcall_proto::v1;
use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::reading::Reading;
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;

use super::codec::{Decoder, Encoder, Problem, unpack};
use super::cursors::{Cursor, Cursors};
use super::frame::Chain;
use super::hot::{Hot, failed, put, put_pieces, remove};
use super::keys::{self, SCHEMA, TreeName, meta};
use super::log::EntryForm;
use super::memory::Entry;
use super::{Arrival, StoreError, snapshot};
use crate::device::{Device, Latest, SeriesKey};

/// The version of a snapshot of schema 1.
pub(super) const SNAPSHOT: u8 = 1;

/// The version of a log entry of schema 1.
const ENTRY: u8 = 1;

/// Changes in one transaction.
const AT_ONCE: usize = 256;

/// Brings schema 1 up to schema 2. Each step can be repeated: what was brought over says so itself, and
/// the new version's mark comes last.
pub(super) fn migrate(hot: &Hot) -> Result<(), StoreError> {
    migrate_log(hot)?;
    migrate_states(hot)?;
    empty(hot, TreeName::Cursors)?;
    // What names no incident can be read by nobody now; the evaluator tells anew who is to be told.
    empty(hot, TreeName::Outbox)?;
    let mark = put(TreeName::Meta, meta::SCHEMA, SCHEMA.to_be_bytes().to_vec());
    hot.database.commit(&[mark]).map_err(failed)
}

fn migrate_log(hot: &Hot) -> Result<(), StoreError> {
    let sealed = hot.number(meta::SEALED)?;
    // What a crash has left of the log that is sealed is in no form that is read today.
    let left = hot
        .database
        .range(TreeName::Log as usize, &[], &keys::log(sealed + 1));
    let left: Result<Vec<_>, _> = left.map(|pair| pair.map(|(key, _)| key)).collect();
    for keys in left.map_err(failed)?.chunks(AT_ONCE) {
        let ops: Vec<_> = keys.iter().map(|key| remove(TreeName::Log, key)).collect();
        hot.database.commit(&ops).map_err(failed)?;
    }
    for number in hot.log_numbers(sealed + 1)? {
        let bytes = hot.log_bytes(number)?;
        let entry = renew_entry(&bytes).map_err(|problem| StoreError::Damaged {
            place: format!("log entry {number}"),
            problem,
        })?;
        if let Some(entry) = entry {
            let ops = put_pieces(TreeName::Log, &keys::log(number), &entry);
            hot.database.commit(&ops).map_err(failed)?;
        }
    }
    Ok(())
}

/// The entry in today's form; `None` when it has it already.
fn renew_entry(bytes: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
    let bytes = unpack(bytes)?;
    if bytes.first() != Some(&ENTRY) {
        return Ok(None);
    }
    let (mut form, mut entry) = (Decoder(&bytes[1..]), EntryForm::new());
    while !form.is_empty() {
        let arrival = arrival(&mut form)?;
        // Each frame begins a chain, so that none needs what another transaction wrote.
        let mut frame = Encoder::default();
        Chain::default().encode(&arrival, &mut frame);
        entry.push(arrival.device, &frame.0);
    }
    Ok(Some(entry.finish()))
}

fn migrate_states(hot: &Hot) -> Result<(), StoreError> {
    let (sealed, cursors) = (hot.number(meta::SEALED)?, read_cursors(hot)?);
    let mut ops = Vec::new();
    for device in hot.records::<Device>(TreeName::Devices)? {
        let id = device.id;
        let mut entry = Entry::new(device);
        let bytes = hot.pieces(TreeName::State, id.as_bytes())?;
        if let Some(bytes) = &bytes {
            let damaged = |problem| StoreError::Damaged {
                place: format!("state/{id}"),
                problem,
            };
            let unpacked = unpack(bytes).map_err(damaged)?;
            if unpacked.first() != Some(&SNAPSHOT) {
                continue;
            }
            restore(&mut entry, &unpacked).map_err(damaged)?;
        }
        let bytes = snapshot::encode(&entry, cursors.of(id), sealed);
        ops.extend(put_pieces(TreeName::State, id.as_bytes(), &bytes));
        if ops.len() >= AT_ONCE {
            hot.database
                .commit(&std::mem::take(&mut ops))
                .map_err(failed)?;
        }
    }
    hot.database.commit(&ops).map_err(failed)
}

fn read_cursors(hot: &Hot) -> Result<Cursors, StoreError> {
    let mut cursors = Cursors::default();
    for pair in hot.database.scan(TreeName::Cursors as usize, &[]) {
        let (key, value) = pair.map_err(failed)?;
        let cursor = keys::parse_cursor(&key)
            .and_then(|(device, spool)| Some((device, parse_cursor(spool, &value)?)));
        let (device, cursor) = cursor.ok_or_else(|| StoreError::Damaged {
            place: format!("cursors/{}", key.escape_ascii()),
            problem: "it is not 32 and 16 bytes".to_owned(),
        })?;
        cursors.put(device, cursor);
    }
    Ok(cursors)
}

fn parse_cursor(spool: SpoolId, bytes: &[u8]) -> Option<Cursor> {
    let (sequence, moved) = bytes.split_at_checked(8)?;
    Some(Cursor {
        spool,
        sequence: rollcall_shared::id::Sequence(u64::from_be_bytes(sequence.try_into().ok()?)),
        moved: u64::from_be_bytes(moved.try_into().ok()?),
    })
}

fn empty(hot: &Hot, tree: TreeName) -> Result<(), StoreError> {
    let found = hot.database.scan(tree as usize, &[]);
    let keys: Result<Vec<_>, _> = found.map(|pair| pair.map(|(key, _)| key)).collect();
    for keys in keys.map_err(failed)?.chunks(AT_ONCE) {
        let ops: Vec<_> = keys.iter().map(|key| remove(tree, key)).collect();
        hot.database.commit(&ops).map_err(failed)?;
    }
    Ok(())
}

/// Puts a state back that schema 1 packed, unpacked here.
pub(super) fn restore(entry: &mut Entry, bytes: &[u8]) -> Result<(), Problem> {
    let mut form = Decoder(bytes);
    let version = form.u8()?;
    if version != SNAPSHOT {
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
        let since = UnixMs(form.i64()?);
        let wire = v1::Reading::decode(form.bytes()?).map_err(|error| error.to_string())?;
        if let Ok(reading) = Reading::try_from(wire) {
            let value = reading.value().clone();
            let key = SeriesKey::of(&reading);
            state.latest.insert(key, Latest { value, since });
        }
    }
    Ok(())
}

fn arrival(form: &mut Decoder<'_>) -> Result<Arrival, Problem> {
    let device = DeviceId::from_bytes(form.array()?);
    let spool = SpoolId::from_bytes(form.array()?);
    let (received, skew_ms, count) = (UnixMs(form.i64()?), form.i64()?, form.u32()?);
    let mut reports = Vec::new();
    for _ in 0..count {
        let at = UnixMs(form.i64()?);
        reports.push((at, report(form.bytes()?)?));
    }
    Ok(Arrival {
        device,
        spool,
        reports,
        received,
        skew_ms,
    })
}

fn report(bytes: &[u8]) -> Result<Report, Problem> {
    let wire = v1::Report::decode(bytes).map_err(|error| error.to_string())?;
    let admitted = Admitted::try_from(wire).map_err(|error| error.to_string())?;
    Ok(admitted.report)
}

#[cfg(test)]
mod tests;
