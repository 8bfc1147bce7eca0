//! What opening a spool does, and what is done about damage.

use std::collections::VecDeque;
use std::io;

use super::damage::{
    count_lost, damaged_bytes, end_of_tail, ends_in_damage, torn_bytes, without_damage,
};
use super::files::{Files, LOCK};
use super::head::Head;
use super::record::{Found, HEADER_BYTES, Scan};
use super::{HEAD, REPAIRED, Recovery, SEGMENT_SUFFIX, Segment, Spool, SpoolError, failed};

impl<F: Files> Spool<F> {
    /// Finds where the spool ends and takes damage out of every segment.
    pub(super) fn recover_segments(&mut self, recovery: &mut Recovery) -> Result<(), SpoolError> {
        for at in 0..self.segments.len() {
            let segment = self.segments[at];
            let bytes = self.read_file(&segment.name())?;
            let found: Vec<Found> = Scan::new(&bytes, segment.first).collect();
            let damaged = damaged_bytes(&found);
            let mut end = self.end_of(at);
            if at + 1 == self.segments.len() {
                end = end_of_tail(segment.first, &found);
                self.next = self.next.max(end);
                if let Some(Found::Damage { bytes, torn }) = found.last() {
                    end += u64::from(!torn);
                    self.next += bytes.len().div_ceil(HEADER_BYTES) as u64 + 1;
                }
            }
            if damaged > 0 {
                recovery.torn_bytes += torn_bytes(&found);
                recovery.corrupt += self.repair(segment, &bytes, &found, end)?;
            }
        }
        Ok(())
    }

    /// Writes a segment anew without its damage, and counts what of the sequences before `end` was
    /// lost with it. On a full disk the damage stays, is skipped, and is repaired another time.
    pub(super) fn repair(
        &mut self,
        segment: Segment,
        bytes: &[u8],
        found: &[Found],
        end: u64,
    ) -> Result<u64, SpoolError> {
        match self.take_damage_out(segment, bytes, found, end) {
            Err(error) if error.is_full_disk() => Ok(0),
            repaired => repaired,
        }
    }

    fn take_damage_out(
        &mut self,
        segment: Segment,
        bytes: &[u8],
        found: &[Found],
        end: u64,
    ) -> Result<u64, SpoolError> {
        let is_tail = self
            .segments
            .back()
            .is_some_and(|tail| tail.first == segment.first);
        if is_tail && ends_in_damage(found) {
            // The damage may hide sequences that were given. The name of a new segment keeps them
            // from being given again once the damage is gone.
            self.begin_segment(self.next)?;
        }
        let lost = count_lost(segment.first, found, end, self.head.start());
        let at = self
            .segments
            .iter()
            .position(|other| other.first == segment.first);
        if let Some(at) = at {
            let clean = without_damage(bytes, found);
            let name = segment.name();
            let replaced = self.replace(REPAIRED, &name, &clean);
            replaced.map_err(|e| failed("repair", &name, e))?;
            self.segments[at].bytes = clean.len() as u64;
        }
        if lost > 0 {
            self.write_head(Head {
                corrupt: self.head.corrupt + lost,
                ..self.head
            })?;
        }
        Ok(lost)
    }
}

/// The head, where one can be read.
pub fn read_head(files: &impl Files) -> Result<Option<Head>, SpoolError> {
    match files.read(HEAD) {
        Ok(bytes) => Ok(Head::decode_file(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", HEAD, error)),
    }
}

/// The segments in ascending order.
pub fn list_segments(
    files: &impl Files,
    names: &[String],
) -> Result<VecDeque<Segment>, SpoolError> {
    let mut segments = Vec::new();
    for name in names.iter().filter(|name| *name != LOCK) {
        let digits = name
            .strip_suffix(SEGMENT_SUFFIX)
            .filter(|digits| digits.len() == 16);
        let first = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        if let Some(first) = first.filter(|first| (1..u64::MAX).contains(first)) {
            let bytes = files.length(name).map_err(|e| failed("read", name, e))?;
            segments.push(Segment { first, bytes });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments.into())
}
