//! Every reader of files on a tree whose bytes are changed at random: none may panic, and none may take
//! long. `ROLLCALL_FUZZ_CASES` sets how many trees; the seed of a failure is printed and can be set by
//! `ROLLCALL_FUZZ_SEED`.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};

use super::testing::tree_copy;
use super::{battery, cpu, drive, filesystem, hardware, memory, network, os, thermal, updates};

/// Trees in an ordinary run: some seconds.
const CASES: u64 = 24;

/// The longest that all readers together may take for one tree, on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A small generator of our own, so that a seed always makes the same tree.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        // Knuth's MMIX; its high bits are good enough to choose a byte by.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn no_tree_makes_a_reader_panic_or_hang() {
    let first = setting("ROLLCALL_FUZZ_SEED", 1);
    for seed in first..first + setting("ROLLCALL_FUZZ_CASES", CASES) {
        let (folder, roots) = tree_copy();
        let mut chance = Chance(seed);
        spoil(folder.path(), &mut chance);
        let before = SystemClock.now().since_boot;
        let read = std::panic::catch_unwind(|| {
            let times = cpu::read_times(&roots);
            let mut count = cpu::read(&roots, &times, &times).len() + battery::read(&roots).len();
            count += memory::read(&roots).len() + thermal::read(&roots).len();
            count += filesystem::read(&roots).len() + drive::list(&roots).len();
            count += network::read_links(&roots, &mut network::Roams::default()).len();
            count += network::read(&roots).len() + hardware::read(&roots, false).len();
            count += os::read(&roots, UnixMs(1_787_557_500_000)).len();
            count + updates::read(&roots, UnixMs(1_787_557_500_000)).len()
        });
        assert!(read.is_ok_and(|count| count > 20), "seed {seed}");
        let took = SystemClock.now().since_boot.since(before);
        assert!(took < LIMIT, "seed {seed} took {took:?}");
    }
}

/// Changes, repeats, cuts or empties a third of the files.
fn spoil(folder: &Path, chance: &mut Chance) {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            spoil(&path, chance);
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        match chance.below(12) {
            0 => bytes.truncate(chance.below(bytes.len())),
            1 => bytes = bytes.repeat(1 + chance.below(50)),
            2 | 3 => {
                for _ in 0..=chance.below(8) {
                    let at = chance.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = u8::try_from(chance.below(256)).unwrap();
                    }
                }
            }
            _ => continue,
        }
        std::fs::write(&path, bytes).unwrap();
    }
}
