//! What a database must hold, told by the database itself and by a witness beside it.
//!
//! sled takes the first damaged byte of its log's tail for the end of the log, and a damaged byte
//! within that tail for a hole: it opens, and what was acknowledged is gone without a word. So each
//! transaction carries a tally of the whole database, and a file beside it names the last transaction
//! that was durable. A database that is behind its witness, or whose content does not add up, does not
//! open.
//!
//! ```text
//! tree `tally`, key `tally` := commits[8] content[8]
//! witness                   := slot slot, written in turn and never synced
//! slot                      := commits[8] checksum[4]
//! ```
//! `content` is the sum, modulo 2^64, of a weight of each key and value. It is kept by adding what is
//! put and subtracting what was there before, and needs no order. The witness is written after the sync
//! of its commit, so it is never ahead of what is durable; a power cut may set it back, which only makes
//! it say less.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The name of the tree.
pub(super) const TREE: &str = "tally";

/// The key in it.
pub(super) const KEY: &[u8] = b"tally";

/// The name of the file.
pub(super) const WITNESS: &str = "witness";

const SLOT_BYTES: usize = 12;

/// An odd number with bits well spread: the golden ratio, as Knuth multiplies by it.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// How many commits a database has had, and what its content adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub commits: u64,
    pub content: u64,
}

impl Tally {
    pub fn to_bytes(self) -> Vec<u8> {
        [self.commits.to_be_bytes(), self.content.to_be_bytes()].concat()
    }

    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (commits, content) = bytes.split_at_checked(8)?;
        Some(Self {
            commits: u64::from_be_bytes(commits.try_into().ok()?),
            content: u64::from_be_bytes(content.try_into().ok()?),
        })
    }

    /// Counts a key that was put.
    pub const fn add(&mut self, weight: u64) {
        self.content = self.content.wrapping_add(weight);
    }

    /// Counts a key that is gone, or whose value is replaced.
    pub const fn subtract(&mut self, weight: u64) {
        self.content = self.content.wrapping_sub(weight);
    }
}

/// The weight of a key and its value in a tree. It guards against damage, not against malice.
pub(super) fn weight(tree: u64, key: &[u8], value: &[u8]) -> u64 {
    mixed(mixed(tree, key), value)
}

/// What stands for a tree in [`weight`].
pub(super) fn of_tree(name: &str) -> u64 {
    mixed(SPREAD, name.as_bytes())
}

fn mixed(seed: u64, bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    let mut hash = fold(seed ^ length, SPREAD);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), SPREAD);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(hash ^ u64::from_le_bytes(last), SPREAD)
}

/// The two halves of a product, folded: each bit of the input reaches each of the output.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128 ^ SPREAD as u128 >> 1).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The file that says how many commits were durable.
#[derive(Debug)]
pub(super) struct Witness(File);

impl Witness {
    /// Opens or makes the witness of the database in `folder`.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.mode(0o600).open(folder.join(WITNESS))?))
    }

    /// Notes that so many commits are durable. The slot of the note before stays as it is.
    pub fn note(&self, commits: u64) -> io::Result<()> {
        let at = (commits % 2) * SLOT_BYTES as u64;
        self.0.write_all_at(&slot(commits), at)
    }

    /// The most commits that were noted; none when nothing readable was.
    pub fn noted(&self) -> io::Result<Option<u64>> {
        let mut bytes = Vec::new();
        let size = self.0.metadata()?.len().min(2 * SLOT_BYTES as u64);
        bytes.resize(size as usize, 0);
        self.0.read_exact_at(&mut bytes, 0)?;
        Ok(parse(&bytes))
    }
}

/// What the content of a witness says.
pub(super) fn parse(bytes: &[u8]) -> Option<u64> {
    let slots = bytes.chunks_exact(SLOT_BYTES);
    let noted = slots.filter_map(|found| {
        let commits = u64::from_be_bytes(found.get(..8)?.try_into().ok()?);
        (slot(commits) == found).then_some(commits)
    });
    noted.max()
}

fn slot(commits: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(&commits.to_be_bytes());
    // Not the commits themselves, so that a slot of zeros says nothing.
    let checksum = fold(commits ^ SPREAD, SPREAD).to_be_bytes();
    bytes[8..].copy_from_slice(&checksum[..4]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_change_of_a_key_or_a_value_changes_the_weight(
            key in prop::collection::vec(any::<u8>(), 0..40),
            value in prop::collection::vec(any::<u8>(), 1..80),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let tree = of_tree("devices");
            let mut other = value.clone();
            other[at.index(value.len())] ^= 1 << bit;
            let before = weight(tree, &key, &value);
            prop_assert_ne!(before, weight(tree, &key, &other));
            prop_assert_ne!(before, weight(tree, &key, &value[1..]));
            prop_assert_ne!(before, weight(of_tree("cursors"), &key, &value));
        }
    }

    #[test]
    fn what_comes_and_goes_adds_up_to_nothing() {
        let tree = of_tree("log");
        let mut tally = Tally::default();
        tally.add(weight(tree, b"a", b"1"));
        tally.add(weight(tree, b"b", b"2"));
        tally.subtract(weight(tree, b"a", b"1"));
        let mut other = Tally::default();
        other.add(weight(tree, b"b", b"2"));
        assert_eq!(tally, other);
        assert_eq!(Tally::parse(&tally.to_bytes()), Some(tally));
    }

    #[test]
    fn a_witness_survives_damage_to_one_of_its_slots() {
        let dir = tempfile::tempdir().unwrap();
        let witness = Witness::open(dir.path()).unwrap();
        assert_eq!(witness.noted().unwrap(), None);
        for commits in [6, 7] {
            witness.note(commits).unwrap();
        }
        assert_eq!(witness.noted().unwrap(), Some(7));
        let bytes = std::fs::read(dir.path().join(WITNESS)).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let says = parse(&damaged).unwrap();
            assert!(says == 6 || says == 7, "byte {at}: {says}");
        }
        assert_eq!(parse(&[0; 24]), None);
    }
}
