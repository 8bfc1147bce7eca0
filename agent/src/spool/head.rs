//! The head of a spool: who it is and how far it has come, in two slots that are written in turn.

use rollcall_shared::id::SpoolId;

/// Bytes from one slot to the next: a page, so that a torn write reaches one slot only.
pub const SLOT_STRIDE: u64 = 4096;

/// Bytes of the whole file.
pub const FILE_BYTES: usize = 2 * SLOT_STRIDE as usize;

const MAGIC: &[u8; 8] = b"rcspool1";
const BODY_BYTES: usize = 8 + 8 + 16 + 4 * 8;
const SLOT_BYTES: usize = BODY_BYTES + 4;

/// What a spool must not forget. Each number only grows within one spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Counts the writings of the head; the higher of the two slots holds.
    pub generation: u64,
    /// Which spool this is.
    pub spool: SpoolId,
    /// Everything up to this sequence is stored at the collector.
    pub acknowledged: u64,
    /// Everything up to this sequence was dropped, as far as it was not acknowledged.
    pub dropped_through: u64,
    /// How many reports were dropped unacknowledged.
    pub dropped: u64,
    /// How many records were lost to damage.
    pub corrupt: u64,
}

impl Head {
    /// The head of a new spool of which nothing is acknowledged.
    pub fn new() -> Self {
        Self {
            generation: 0,
            spool: SpoolId::generate(),
            acknowledged: 0,
            dropped_through: 0,
            dropped: 0,
            corrupt: 0,
        }
    }

    /// The least sequence that is still of interest.
    pub fn start(&self) -> u64 {
        self.acknowledged
            .max(self.dropped_through)
            .saturating_add(1)
    }

    /// Where the next generation is written, so that this one stays untouched.
    pub const fn next_offset(&self) -> u64 {
        (self.generation + 1) % 2 * SLOT_STRIDE
    }

    /// The bytes of a slot.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(self.spool.as_bytes());
        for number in [
            self.acknowledged,
            self.dropped_through,
            self.dropped,
            self.corrupt,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// A whole file with this head in both slots.
    pub fn encode_file(&self) -> Vec<u8> {
        let mut file = vec![0; FILE_BYTES];
        let slot = self.encode();
        file[..slot.len()].copy_from_slice(&slot);
        file[SLOT_STRIDE as usize..][..slot.len()].copy_from_slice(&slot);
        file
    }

    /// The newer of the slots whose checksum is right.
    pub fn decode_file(file: &[u8]) -> Option<Self> {
        let slots = [0, SLOT_STRIDE as usize];
        let heads = slots
            .into_iter()
            .filter_map(|at| decode_slot(file.get(at..)?));
        heads.max_by_key(|head| head.generation)
    }
}

fn decode_slot(bytes: &[u8]) -> Option<Head> {
    let body = bytes.get(..BODY_BYTES)?;
    let checksum = bytes.get(BODY_BYTES..SLOT_BYTES)?;
    let right = body.starts_with(MAGIC) && crc32fast::hash(body).to_le_bytes() == checksum;
    let number = |at: usize| {
        body.get(at..)?
            .first_chunk()
            .copied()
            .map(u64::from_le_bytes)
    };
    if !right {
        return None;
    }
    Some(Head {
        generation: number(8)?,
        spool: SpoolId::from_bytes(*body.get(16..)?.first_chunk()?),
        acknowledged: number(32)?,
        dropped_through: number(40)?,
        dropped: number(48)?,
        corrupt: number(56)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_damaged_slot_leaves_the_other() {
        let old = Head {
            acknowledged: 7,
            ..Head::new()
        };
        let new = Head {
            generation: 1,
            acknowledged: 9,
            ..old
        };
        let mut file = old.encode_file();
        let at = usize::try_from(old.next_offset()).unwrap();
        file[at..][..SLOT_BYTES].copy_from_slice(&new.encode());
        assert_eq!(Head::decode_file(&file), Some(new));
        for flipped in 0..SLOT_BYTES {
            let mut damaged = file.clone();
            damaged[at + flipped] ^= 0x10;
            assert_eq!(Head::decode_file(&damaged), Some(old), "byte {flipped}");
        }
        assert_eq!(Head::decode_file(&file[..10]), None);
    }
}
