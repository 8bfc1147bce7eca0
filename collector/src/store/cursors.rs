//! How far each spool of each device has come.
//!
//! A laptop whose disk is set back at each start takes a new spool every day, and one that means harm
//! takes a new one every moment. So the spools of a device are bounded: the one that moved longest ago
//! is forgotten first.

use std::collections::HashMap;

use rollcall_shared::id::{DeviceId, Sequence, SpoolId};

/// Spools that are remembered of one device: a school year of daily new ones. 256 of 32 bytes are
/// 8 KiB for such a laptop; others have one.
pub(super) const SPOOLS: usize = 256;

/// How far one spool has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub spool: SpoolId,
    /// The last sequence that is durable.
    pub sequence: Sequence,
    /// The log entry that moved it last.
    pub moved: u64,
}

/// The cursors of every device.
#[derive(Debug, Default)]
pub(super) struct Cursors(HashMap<DeviceId, Vec<Cursor>>);

impl Cursors {
    /// The last sequence of a spool; none for one that is not known.
    pub fn get(&self, device: DeviceId, spool: SpoolId) -> Sequence {
        let mut found = self.of(device).iter().filter(|c| c.spool == spool);
        found
            .next()
            .map_or(Sequence::NONE, |cursor| cursor.sequence)
    }

    pub fn put(&mut self, device: DeviceId, cursor: Cursor) {
        let cursors = self.0.entry(device).or_default();
        match cursors.iter_mut().find(|c| c.spool == cursor.spool) {
            Some(known) => *known = cursor,
            None => cursors.push(cursor),
        }
    }

    /// Moves a cursor, and forgets the spools that are one too many then.
    pub fn advance(&mut self, device: DeviceId, cursor: Cursor) {
        self.put(device, cursor);
        for spool in self.superfluous(device, &[cursor.spool]) {
            self.forget(device, spool);
        }
    }

    pub fn forget(&mut self, device: DeviceId, spool: SpoolId) {
        if let Some(cursors) = self.0.get_mut(&device) {
            cursors.retain(|cursor| cursor.spool != spool);
        }
    }

    /// The spools that have to go when these move.
    pub fn superfluous(&self, device: DeviceId, moving: &[SpoolId]) -> Vec<SpoolId> {
        if self.of(device).len() + moving.len() <= SPOOLS {
            return Vec::new();
        }
        let mut resting = self.of(device).to_vec();
        resting.retain(|cursor| !moving.contains(&cursor.spool));
        resting.sort_unstable_by_key(|cursor| cursor.moved);
        let too_many = (resting.len() + moving.len()).saturating_sub(SPOOLS);
        let gone = resting.iter().take(too_many);
        gone.map(|cursor| cursor.spool).collect()
    }

    /// Every cursor of a device.
    pub fn of(&self, device: DeviceId) -> &[Cursor] {
        self.0.get(&device).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(moved: u64) -> Cursor {
        Cursor {
            spool: SpoolId::generate(),
            sequence: Sequence(7),
            moved,
        }
    }

    #[test]
    fn the_spool_that_moved_longest_ago_goes_first() {
        let (device, mut cursors) = (DeviceId::generate(), Cursors::default());
        let known: Vec<Cursor> = (0..SPOOLS as u64).map(|n| cursor(500 - n)).collect();
        known.iter().for_each(|known| cursors.put(device, *known));
        let longest_ago = known[SPOOLS - 1].spool;
        assert!(cursors.superfluous(device, &[known[3].spool]).is_empty());
        let moving = [SpoolId::generate()];
        assert_eq!(cursors.superfluous(device, &moving), [longest_ago]);
        cursors.forget(device, longest_ago);
        assert_eq!(cursors.get(device, longest_ago), Sequence::NONE);
        assert_eq!(cursors.get(device, known[0].spool), Sequence(7));
    }
}
