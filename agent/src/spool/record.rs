//! One record of a segment: how it is written, and how a damaged segment is read past the damage.

use std::ops::Range;

use rollcall_shared::limits;

/// Bytes before each payload: length, checksum, sequence.
pub const HEADER_BYTES: usize = 16;

/// The bytes of a record, all numbers little-endian.
pub fn encode(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("append refuses more than REPORT_BYTES");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(length, sequence, payload).to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// What lies at one place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A record whose checksum is right.
    Record {
        /// Its sequence.
        sequence: u64,
        /// Where the whole record lies.
        whole: Range<usize>,
        /// Where its payload lies.
        payload: Range<usize>,
    },
    /// Bytes that are no record, up to the next record or to the end.
    Damage {
        /// Where they lie.
        bytes: Range<usize>,
        /// Whether they are what a write cut short by power loss leaves: the beginning of a record
        /// that does not go on, or zeros, at the end of the segment.
        torn: bool,
    },
}

/// Reads a segment from front to back; sequences only ascend, others are damage.
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    least: u64,
}

impl<'a> Scan<'a> {
    /// Scans `bytes`, whose first record has at least the sequence `first`.
    pub const fn new(bytes: &'a [u8], first: u64) -> Self {
        Self {
            bytes,
            at: 0,
            least: first,
        }
    }

    fn record_at(&self, at: usize) -> Option<Found> {
        let header = Header::parse(self.bytes.get(at..)?)?;
        let payload = at + HEADER_BYTES..at + HEADER_BYTES + header.length as usize;
        let content = self.bytes.get(payload.clone())?;
        let right = header.sequence >= self.least
            && header.checksum == checksum(header.length, header.sequence, content);
        right.then_some(Found::Record {
            sequence: header.sequence,
            whole: at..payload.end,
            payload,
        })
    }

    fn is_torn(rest: &[u8]) -> bool {
        let runs_past_end = Header::parse(rest)
            .is_some_and(|header| rest.len() < HEADER_BYTES + header.length as usize);
        rest.len() < HEADER_BYTES || runs_past_end || rest.iter().all(|&byte| byte == 0)
    }
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let here = self.at;
        let found = (here..self.bytes.len()).find_map(|at| Some((at, self.record_at(at)?)));
        match found {
            Some((
                at,
                Found::Record {
                    sequence,
                    whole,
                    payload,
                },
            )) if at == here => {
                self.at = whole.end;
                self.least = sequence + 1;
                Some(Found::Record {
                    sequence,
                    whole,
                    payload,
                })
            }
            Some((at, _)) => {
                self.at = at;
                Some(Found::Damage {
                    bytes: here..at,
                    torn: false,
                })
            }
            None => {
                self.at = self.bytes.len();
                let torn = Self::is_torn(&self.bytes[here..]);
                Some(Found::Damage {
                    bytes: here..self.bytes.len(),
                    torn,
                })
            }
        }
    }
}

struct Header {
    length: u32,
    checksum: u32,
    sequence: u64,
}

impl Header {
    /// The header at the front, where it is complete and its length and sequence are possible.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let length = u32::from_le_bytes(*bytes.first_chunk()?);
        let checksum = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
        let sequence = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
        let possible = length as usize <= limits::REPORT_BYTES && (1..u64::MAX).contains(&sequence);
        possible.then_some(Self {
            length,
            checksum,
            sequence,
        })
    }
}

fn checksum(length: u32, sequence: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(bytes: &[u8]) -> Vec<u64> {
        let records = Scan::new(bytes, 1).filter_map(|found| match found {
            Found::Record { sequence, .. } => Some(sequence),
            Found::Damage { .. } => None,
        });
        records.collect()
    }

    #[test]
    fn records_after_damage_are_found() {
        let mut bytes = encode(1, b"one");
        let second = bytes.len();
        bytes.extend(encode(2, b"two"));
        let third = bytes.len();
        bytes.extend(encode(5, b"five"));
        assert_eq!(sequences(&bytes), [1, 2, 5]);

        bytes[second] = 0xff;
        let damage = Scan::new(&bytes, 1).nth(1);
        assert_eq!(
            damage,
            Some(Found::Damage {
                bytes: second..third,
                torn: false
            })
        );
        assert_eq!(sequences(&bytes), [1, 5]);
    }

    #[test]
    fn a_sequence_that_goes_back_is_damage() {
        let mut bytes = encode(4, b"four");
        bytes.extend(encode(4, b"again"));
        assert_eq!(sequences(&bytes), [4]);
        assert_eq!(
            Scan::new(&encode(3, b"early"), 4)
                .filter(|f| matches!(f, Found::Record { .. }))
                .count(),
            0
        );
    }

    #[test]
    fn a_write_cut_short_is_told_from_a_wrong_checksum() {
        let whole = encode(1, b"some report");
        for cut in 1..whole.len() {
            let found = Scan::new(&whole[..cut], 1).next();
            assert_eq!(
                found,
                Some(Found::Damage {
                    bytes: 0..cut,
                    torn: true
                }),
                "cut at {cut}"
            );
        }
        let mut flipped = whole;
        *flipped.last_mut().unwrap() ^= 1;
        let found = Scan::new(&flipped, 1).next();
        assert!(
            matches!(found, Some(Found::Damage { torn: false, .. })),
            "{found:?}"
        );
        assert!(matches!(
            Scan::new(&[0; 64], 1).next(),
            Some(Found::Damage { torn: true, .. })
        ));
    }
}
