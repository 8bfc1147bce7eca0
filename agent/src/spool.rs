//! The spool: reports wait here, on disk, until the collector says that it has stored them.
//!
//! ```text
//! lock                      held by the one agent that may use the folder
//! head                      two slots of 68 bytes, 4,096 bytes apart, written in turn:
//!                           "rcspool1" generation spool-id acknowledged dropped-through
//!                           dropped corrupt crc32
//! 0000000000000001.segment  records, oldest segment first; the name is the least sequence (in
//! 00000000000004b1.segment  hexadecimal) that the segment may hold; only the last one grows
//!
//! record: length u32 | crc32 of length, sequence and payload | sequence u64 | payload
//! ```
//! All numbers are little-endian. What holds at every moment, power loss included:
//!
//! - `append` returns after the record is durable. `append_soon` keeps the record in memory until
//!   some have come together, or something else is written or read: a kill or a power loss takes at
//!   most [`UNWRITTEN_REPORTS`] of them. `read_from`, by which reports are sent, and an orderly end
//!   write them first, so that none is sent that is not durable.
//! - A sequence that `append` has returned, or that was read, is never given to another report of
//!   the same spool. When
//!   the last segment ends in damage, which may hide sequences, a new segment begins beyond all
//!   that could be hidden, before the damage is cut off.
//! - The head is written before a segment that it makes superfluous is removed, so a segment that
//!   comes back with a lost directory entry is known to be superfluous. A write of the head touches
//!   the older slot only and needs no new room, so it works on a full disk.
//! - Files take at most [`SpoolLimits::bytes`]; the oldest segment goes first, and each report lost
//!   with it is counted in the head.
//! - Damage is skipped byte by byte up to the next record whose checksum is right. The segment is
//!   then written anew without it, so that each loss is counted once.
//! - Memory holds the list of segments and, for the time of a call, one segment.
//!
//! A head of which no slot can be read is followed by a new spool id. The records stay and are sent
//! under it: one that was stored already, with its acknowledgement lost together with the head, is
//! stored once more rather than one that was not being lost.
//!
//! Why no crate: `queue-file` 2.0 is durable and checksummed but ends at the first corrupt element,
//! grows instead of dropping the oldest, removes instead of keeping a cursor, and shows no
//! sequences. `yaque` 0.6 (2023) writes its state when dropped and never syncs. `okaywal` and
//! `commitlog` have had no release for years, and neither drops, counts or skips.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;

use rollcall_shared::id::{Sequence, SpoolId};
use rollcall_shared::limits;
use rollcall_shared::report::SpoolPosition;

mod damage;
pub mod files;
mod head;
#[cfg(test)]
mod power;
mod record;
mod recovery;
#[cfg(test)]
mod tests;

use damage::damaged_bytes;
use files::{DiskFiles, Files};
use head::Head;
use record::{Found, HEADER_BYTES, Scan};
use recovery::{list_segments, read_head};

const HEAD: &str = "head";
const FRESH_HEAD: &str = "head.new";
const REPAIRED: &str = "repaired.new";
const SEGMENT_SUFFIX: &str = ".segment";

/// Reports that `append_soon` keeps in memory: those of five minutes. Each write dirties two pages,
/// one of them the inode's, so that one report a minute would write 12 MB a day.
pub const UNWRITTEN_REPORTS: u64 = 5;

/// Bytes of those reports; one of changes has some 100.
const UNWRITTEN_BYTES: usize = 16 * 1024;

/// A segment of which all is acknowledged is left behind for a new one from this size on, so that a
/// laptop that is online keeps little on disk.
const LEAVE_BEHIND_BYTES: u64 = 64 * 1024;

/// How much a spool may take on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of one segment; at most a quarter of `bytes` is used.
    pub segment_bytes: u64,
}

/// A report as the spool keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the spool.
    pub sequence: Sequence,
    /// The bytes that were appended.
    pub payload: Vec<u8>,
}

/// What opening found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The spool has a new id, because there was none or its head could not be read.
    pub new_spool: bool,
    /// Records lost to damage, found now.
    pub corrupt: u64,
    /// Bytes of a write that power loss cut short; no report of a finished `append` was in them.
    pub torn_bytes: u64,
}

/// How full the spool is and what it has lost, over its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolStats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Reports dropped unacknowledged because there was no room.
    pub dropped: u64,
    /// Records lost to damage.
    pub corrupt: u64,
    /// The last sequence that is acknowledged or dropped.
    pub done: Sequence,
    /// The last sequence that was given.
    pub last: Sequence,
}

/// Why the spool could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The report is larger than any may be.
    #[error("a report of {0} bytes is larger than {max}", max = limits::REPORT_BYTES)]
    TooLarge(usize),
    /// Another agent uses the folder.
    #[error("the spool is in use by another rollcall-agent; stop that one first")]
    Locked,
    /// The file system refused, even after the oldest reports were dropped to make room.
    #[error("could not {doing} `{file}` of the spool")]
    Files {
        /// What was tried.
        doing: &'static str,
        /// Which file.
        file: String,
        /// What the file system says.
        source: io::Error,
    },
}

/// A bounded queue of reports on disk. See the module for the format and what it guarantees.
#[derive(Debug)]
pub struct Spool<F: Files = DiskFiles> {
    files: F,
    limits: SpoolLimits,
    head: Head,
    /// Ascending; the last one grows.
    segments: VecDeque<Segment>,
    next: u64,
    /// The last segment may end in part of a record that could not be taken back.
    tail_is_dirty: bool,
    /// The last segment holds records that power loss may still take.
    tail_is_unsynced: bool,
    /// Records that are not in a file yet; their sequences are the last that were given.
    unwritten: Vec<u8>,
    unwritten_reports: u64,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    first: u64,
    bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self {
            bytes: limits::SPOOL_BYTES,
            segment_bytes: limits::SPOOL_SEGMENT_BYTES,
        }
    }
}

impl Spool<DiskFiles> {
    /// Opens the spool of a folder, making one where there is none.
    ///
    /// # Errors
    /// [`SpoolError::Locked`] where another agent has it, or what the file system says.
    pub fn open(folder: &Path, limits: SpoolLimits) -> Result<(Self, Recovery), SpoolError> {
        let files = DiskFiles::open(folder).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => SpoolError::Locked,
            _ => failed("open", &folder.display().to_string(), source),
        })?;
        Self::open_files(files, limits)
    }
}

impl<F: Files> Spool<F> {
    /// Opens the spool that lies in `files`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open_files(files: F, limits: SpoolLimits) -> Result<(Self, Recovery), SpoolError> {
        let mut recovery = Recovery::default();
        let names = files.list().map_err(|e| failed("list", "", e))?;
        let segments = list_segments(&files, &names)?;
        let head = read_head(&files)?;
        let mut spool = Self {
            files,
            limits: limits.sensible(),
            head: head.unwrap_or_else(Head::new),
            segments,
            next: 1,
            tail_is_dirty: false,
            tail_is_unsynced: false,
            unwritten: Vec::new(),
            unwritten_reports: 0,
        };
        // Without any segment nothing on this disk tells which sequences were given already.
        if head.is_none() || spool.segments.is_empty() {
            recovery.new_spool = true;
            spool.renew()?;
        }
        spool.remove_left_overs(&names)?;
        spool.remove_done_segments()?;
        spool.next = spool.head.start();
        spool.recover_segments(&mut recovery)?;
        Ok((spool, recovery))
    }

    /// Keeps a report durably and gives it its sequence. Where there is no room, within the limit or
    /// on the disk, the oldest segments are dropped and counted.
    ///
    /// # Errors
    /// [`SpoolError::TooLarge`], or [`SpoolError::Files`] where nothing is left to drop; the spool
    /// stays as it was, and the next call tries anew.
    pub fn append(&mut self, payload: &[u8]) -> Result<Sequence, SpoolError> {
        self.append_with(payload, true)
    }

    /// Gives a report its sequence as [`Self::append`] does, and keeps it in memory until
    /// [`UNWRITTEN_REPORTS`] are written together, or until the next `append` or `read_from`.
    ///
    /// # Errors
    /// Those of [`Self::append`].
    pub fn append_soon(&mut self, payload: &[u8]) -> Result<Sequence, SpoolError> {
        self.append_with(payload, false)
    }

    fn append_with(&mut self, payload: &[u8], durably: bool) -> Result<Sequence, SpoolError> {
        if payload.len() > limits::REPORT_BYTES {
            return Err(SpoolError::TooLarge(payload.len()));
        }
        let sequence = self.next;
        let before = self.unwritten.len();
        self.unwritten.extend(record::encode(sequence, payload));
        self.unwritten_reports += 1;
        self.next += 1;
        let is_much =
            self.unwritten_reports >= UNWRITTEN_REPORTS || self.unwritten.len() >= UNWRITTEN_BYTES;
        if (durably || is_much)
            && let Err(error) = self.write_unwritten(durably)
        {
            self.unwritten.truncate(before);
            self.unwritten_reports -= 1;
            self.next = sequence;
            return Err(error);
        }
        Ok(Sequence(sequence))
    }

    /// Writes what is kept in memory, all or nothing of it.
    fn write_unwritten(&mut self, durably: bool) -> Result<(), SpoolError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.unwritten);
        let written = self.write_making_room(&records, durably);
        if written.is_ok() {
            self.unwritten_reports = 0;
        } else {
            self.unwritten = records;
        }
        written
    }

    fn write_making_room(&mut self, records: &[u8], durably: bool) -> Result<(), SpoolError> {
        self.make_room_for(records.len() as u64)?;
        loop {
            match self.write_records(records, durably) {
                Err(error) if error.is_full_disk() && self.segments.len() > 1 => {
                    self.drop_oldest()?;
                }
                written => return written,
            }
        }
    }

    /// The first sequence that is in no file.
    const fn written_end(&self) -> u64 {
        self.next - self.unwritten_reports
    }

    /// Records from `from` on that are not acknowledged, in order, as many as fit into `max_bytes`
    /// of payload and into one segment, at least one where there is any. Empty means that there is
    /// none from there on. All of them are durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read_from(
        &mut self,
        from: Sequence,
        max_bytes: usize,
    ) -> Result<Vec<Record>, SpoolError> {
        self.write_unwritten(true)?;
        self.sync_tail()?;
        let from = from.0.max(self.head.start());
        let holding = self
            .segments
            .partition_point(|segment| segment.first <= from);
        for at in holding.saturating_sub(1)..self.segments.len() {
            let records = self.read_segment(at, from, max_bytes)?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }

    /// Notes durably that everything up to `sequence` is stored, and removes the segments that hold
    /// nothing else. What is beyond the last sequence given is not believed.
    ///
    /// # Errors
    /// What the file system says; the acknowledgement then comes again.
    pub fn acknowledge(&mut self, sequence: Sequence) -> Result<(), SpoolError> {
        let sequence = sequence.0.min(self.next - 1);
        if sequence >= self.written_end() {
            self.write_unwritten(true)?;
        }
        if sequence <= self.head.acknowledged {
            return Ok(());
        }
        self.write_head(Head {
            acknowledged: sequence,
            ..self.head
        })?;
        self.remove_done_segments()
    }

    /// Which spool this is, and the oldest report that it holds or the next to be written.
    #[must_use]
    pub fn position(&self) -> SpoolPosition {
        let held = self
            .segments
            .front()
            .map_or(self.written_end(), |segment| segment.first);
        SpoolPosition {
            spool: self.head.spool,
            next: Sequence(held.max(self.head.start()).min(self.next)),
        }
    }

    /// How full it is and what it has lost.
    #[must_use]
    pub fn stats(&self) -> SpoolStats {
        SpoolStats {
            bytes: self.bytes(),
            dropped: self.head.dropped,
            corrupt: self.head.corrupt,
            done: Sequence(self.head.start() - 1),
            last: Sequence(self.next - 1),
        }
    }

    /// Takes a new spool id and keeps the reports: the collector has stored sequences under the old
    /// one that this disk does not know of, so a sequence given now could stand for two reports.
    ///
    /// # Errors
    /// What the file system says.
    pub fn renew(&mut self) -> Result<(), SpoolError> {
        self.write_fresh_head(Head {
            spool: SpoolId::generate(),
            ..self.head
        })
    }

    /// Takes a new spool id and forgets the reports, which are another machine's.
    ///
    /// # Errors
    /// What the file system says; the reports are forgotten all the same once the head is written.
    pub fn discard(&mut self) -> Result<(), SpoolError> {
        self.unwritten.clear();
        self.unwritten_reports = 0;
        self.write_fresh_head(Head {
            acknowledged: self.next - 1,
            ..Head::new()
        })?;
        while let Some(segment) = self.segments.pop_front() {
            self.remove(&segment.name())?;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        segments + head::FILE_BYTES as u64
    }

    fn make_room_for(&mut self, record_bytes: u64) -> Result<(), SpoolError> {
        while self.bytes() + record_bytes > self.limits.bytes && !self.segments.is_empty() {
            self.drop_oldest()?;
        }
        Ok(())
    }

    fn write_records(&mut self, records: &[u8], durably: bool) -> Result<(), SpoolError> {
        if self.needs_new_segment(records.len() as u64) {
            self.begin_segment(self.written_end())?;
        }
        let tail = self
            .segments
            .back()
            .copied()
            .expect("a segment was begun where there was none");
        let name = tail.name();
        let mut written = self.files.write_at(&name, tail.bytes, records);
        if durably {
            written = written.and_then(|()| self.files.sync(&name));
        }
        if let Err(source) = written {
            self.tail_is_dirty = self.files.truncate(&name, tail.bytes).is_err();
            return Err(failed("write", &name, source));
        }
        if let Some(tail) = self.segments.back_mut() {
            tail.bytes += records.len() as u64;
        }
        self.tail_is_unsynced = !durably;
        Ok(())
    }

    /// Makes durable what [`Self::append_soon`] has written.
    fn sync_tail(&mut self) -> Result<(), SpoolError> {
        let Some(tail) = self.segments.back().filter(|_| self.tail_is_unsynced) else {
            return Ok(());
        };
        let name = tail.name();
        self.files
            .sync(&name)
            .map_err(|e| failed("write", &name, e))?;
        self.tail_is_unsynced = false;
        Ok(())
    }

    fn needs_new_segment(&self, bytes: u64) -> bool {
        let Some(tail) = self.segments.back() else {
            return true;
        };
        let is_full = tail.bytes > 0 && tail.bytes + bytes > self.limits.segment_bytes;
        let is_done = self.head.start() == self.written_end() && tail.bytes >= LEAVE_BEHIND_BYTES;
        self.tail_is_dirty || is_full || is_done
    }

    /// Begins a segment durably. Where the last one is done with, it goes.
    fn begin_segment(&mut self, first: u64) -> Result<(), SpoolError> {
        self.sync_tail()?;
        let segment = Segment { first, bytes: 0 };
        let name = segment.name();
        let made = self
            .files
            .write_at(&name, 0, &[])
            .and_then(|()| self.files.truncate(&name, 0))
            .and_then(|()| self.files.sync_folder());
        made.map_err(|e| failed("begin", &name, e))?;
        self.segments.retain(|other| other.first != first);
        self.segments.push_back(segment);
        self.tail_is_dirty = false;
        self.remove_done_segments()
    }

    fn drop_oldest(&mut self) -> Result<(), SpoolError> {
        let Some(oldest) = self.segments.front().copied() else {
            return Ok(());
        };
        let through = self
            .segments
            .get(1)
            .map_or(self.written_end(), |segment| segment.first)
            - 1;
        let lost = self.count_held(oldest, through)?;
        self.write_head(Head {
            dropped_through: through.max(self.head.dropped_through),
            dropped: self.head.dropped + lost,
            ..self.head
        })?;
        self.remove_done_segments()?;
        if self
            .segments
            .front()
            .is_some_and(|segment| segment.first == oldest.first)
        {
            self.segments.pop_front();
            self.remove(&oldest.name())?;
        }
        Ok(())
    }

    fn count_held(&self, segment: Segment, through: u64) -> Result<u64, SpoolError> {
        let held = self.head.start()..=through;
        let bytes = self.read_file(&segment.name())?;
        let records = Scan::new(&bytes, segment.first).filter(|found| match found {
            Found::Record { sequence, .. } => held.contains(sequence),
            Found::Damage { .. } => false,
        });
        Ok(records.count() as u64)
    }

    fn read_segment(
        &mut self,
        at: usize,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Record>, SpoolError> {
        let wanted = from..self.end_of(at);
        let segment = self.segments[at];
        let bytes = self.read_file(&segment.name())?;
        let found: Vec<Found> = Scan::new(&bytes, segment.first).collect();
        let records = pick(&bytes, &found, &wanted, max_bytes);
        // A dirty tail ends in a record that was never given out; it is cut off with the segment.
        let is_dirty_tail = self.tail_is_dirty && at + 1 == self.segments.len();
        if damaged_bytes(&found) > 0 && !is_dirty_tail {
            self.repair(segment, &bytes, &found, wanted.end)?;
        }
        Ok(records)
    }

    fn end_of(&self, at: usize) -> u64 {
        self.segments
            .get(at + 1)
            .map_or(self.written_end(), |segment| segment.first)
    }

    /// Writes the next generation of the head into the older slot.
    fn write_head(&mut self, head: Head) -> Result<(), SpoolError> {
        let offset = self.head.next_offset();
        let head = Head {
            generation: self.head.generation + 1,
            ..head
        };
        let written = self
            .files
            .write_at(HEAD, offset, &head.encode())
            .and_then(|()| self.files.sync(HEAD));
        written.map_err(|e| failed("write", HEAD, e))?;
        self.head = head;
        Ok(())
    }

    /// Writes both slots at once, by way of a new file: the spool has a new id, and a damaged slot
    /// must not bring back the old one.
    fn write_fresh_head(&mut self, head: Head) -> Result<(), SpoolError> {
        let head = Head {
            generation: self.head.generation + 1,
            ..head
        };
        let written = self.replace(FRESH_HEAD, HEAD, &head.encode_file());
        written.map_err(|e| failed("make", HEAD, e))?;
        self.head = head;
        Ok(())
    }

    fn replace(&mut self, fresh: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let written = self
            .files
            .write_at(fresh, 0, bytes)
            .and_then(|()| self.files.truncate(fresh, bytes.len() as u64))
            .and_then(|()| self.files.sync(fresh));
        if written.is_err() {
            // On a full disk what was written of it would be in the way.
            let _ = self.files.remove(fresh);
        }
        written?;
        self.files.rename(fresh, name)?;
        self.files.sync_folder()
    }

    /// Removes segments of which every sequence is acknowledged or dropped, except the last.
    fn remove_done_segments(&mut self) -> Result<(), SpoolError> {
        while self
            .segments
            .get(1)
            .is_some_and(|second| second.first <= self.head.start())
        {
            let done = self.segments.pop_front().expect("there are two");
            self.remove(&done.name())?;
        }
        Ok(())
    }

    fn remove_left_overs(&mut self, names: &[String]) -> Result<(), SpoolError> {
        let fresh = names
            .iter()
            .filter(|name| [FRESH_HEAD, REPAIRED].contains(&name.as_str()));
        for name in fresh {
            match self.files.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", name, error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), SpoolError> {
        match self.files.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", name, error))
            }
            _ => Ok(()),
        }
    }

    fn read_file(&self, name: &str) -> Result<Vec<u8>, SpoolError> {
        self.files.read(name).map_err(|e| failed("read", name, e))
    }
}

impl<F: Files> Drop for Spool<F> {
    fn drop(&mut self) {
        if let Err(error) = self.write_unwritten(true) {
            tracing::warn!(%error, "the last reports were not written");
        }
    }
}

impl SpoolLimits {
    /// Room for the head, the largest report and four segments, whatever was asked for.
    fn sensible(self) -> Self {
        let least = head::FILE_BYTES as u64 + 4 * (limits::REPORT_BYTES + HEADER_BYTES) as u64;
        let bytes = self.bytes.max(least);
        Self {
            bytes,
            segment_bytes: self.segment_bytes.clamp(1, bytes / 4),
        }
    }
}

impl Segment {
    fn name(self) -> String {
        format!("{:016x}{SEGMENT_SUFFIX}", self.first)
    }
}

impl SpoolError {
    fn is_full_disk(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Files { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

fn failed(doing: &'static str, file: &str, source: io::Error) -> SpoolError {
    SpoolError::Files {
        doing,
        file: file.to_owned(),
        source,
    }
}

fn pick(bytes: &[u8], found: &[Found], wanted: &Range<u64>, max_bytes: usize) -> Vec<Record> {
    let mut room = max_bytes;
    let mut records = Vec::new();
    for found in found {
        let Found::Record {
            sequence, payload, ..
        } = found
        else {
            continue;
        };
        if !wanted.contains(sequence) {
            continue;
        }
        if payload.len() > room && !records.is_empty() {
            break;
        }
        room = room.saturating_sub(payload.len());
        records.push(Record {
            sequence: Sequence(*sequence),
            payload: bytes[payload.clone()].to_vec(),
        });
    }
    records
}
