//! What a damaged segment has lost and what of it stays; pure.

use super::record::{Found, HEADER_BYTES};

/// The records of a segment, one behind the other.
pub fn without_damage(bytes: &[u8], found: &[Found]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    for found in found {
        if let Found::Record { whole, .. } = found {
            clean.extend_from_slice(&bytes[whole.clone()]);
        }
    }
    clean
}

/// The sequence after the last record, where the segment is the spool's last.
pub fn end_of_tail(first: u64, found: &[Found]) -> u64 {
    let last = found.iter().rev().find_map(|found| match found {
        Found::Record { sequence, .. } => Some(sequence + 1),
        Found::Damage { .. } => None,
    });
    last.unwrap_or(first)
}

/// Bytes that are no record.
pub fn damaged_bytes(found: &[Found]) -> u64 {
    sum_of_damage(found, |_| true)
}

/// Bytes that a write cut short has left.
pub fn torn_bytes(found: &[Found]) -> u64 {
    sum_of_damage(found, |torn| torn)
}

fn sum_of_damage(found: &[Found], counts: impl Fn(bool) -> bool) -> u64 {
    let lengths = found.iter().map(|found| match found {
        Found::Damage { bytes, torn } if counts(*torn) => bytes.len() as u64,
        _ => 0,
    });
    lengths.sum()
}

/// Whether sequences may be hidden behind the last record.
pub fn ends_in_damage(found: &[Found]) -> bool {
    matches!(found.last(), Some(Found::Damage { .. }))
}

/// How many records from `start` on the damage has cost: the sequences missing at each stretch.
pub fn count_lost(first: u64, found: &[Found], end: u64, start: u64) -> u64 {
    let mut expected = first;
    let mut lost = 0;
    let mut damage = None;
    for found in found {
        match found {
            Found::Record { sequence, .. } => {
                lost += count_missing(damage.take(), expected.max(start), *sequence);
                expected = sequence + 1;
            }
            Found::Damage { bytes, torn } => damage = Some((bytes.len(), *torn)),
        }
    }
    lost + count_missing(damage, expected.max(start), end)
}

fn count_missing(damage: Option<(usize, bool)>, expected: u64, reached: u64) -> u64 {
    let Some((bytes, torn)) = damage else {
        return 0;
    };
    let missing = reached.saturating_sub(expected);
    // More than the bytes had room for is the distance that a recovery kept after a damaged end.
    if missing > bytes.div_ceil(HEADER_BYTES) as u64 {
        return u64::from(!torn);
    }
    missing
}
