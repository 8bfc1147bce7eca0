use std::collections::BTreeMap;
use std::fs;

use super::power::{Dice, PoweredFiles};
use super::*;

const SMALL: SpoolLimits = SpoolLimits {
    bytes: 32 * 1024 * 1024,
    segment_bytes: 300,
};

fn open(files: &PoweredFiles, limits: SpoolLimits) -> (Spool<PoweredFiles>, Recovery) {
    Spool::open_files(files.clone(), limits).unwrap()
}

fn payload(number: u64) -> Vec<u8> {
    let length = usize::try_from(number * 7 % 60).unwrap();
    let mut bytes = format!("report {number} ").into_bytes();
    bytes.resize(bytes.len() + length, u8::try_from(number % 251).unwrap());
    bytes
}

fn read_all<F: Files>(spool: &mut Spool<F>) -> BTreeMap<u64, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut from = Sequence::NONE;
    loop {
        let records = spool.read_from(from, 200).unwrap();
        let Some(last) = records.last() else {
            return all;
        };
        from = last.sequence.next();
        for record in records {
            assert!(
                all.insert(record.sequence.0, record.payload).is_none(),
                "given twice"
            );
        }
    }
}

fn filled(count: u64) -> PoweredFiles {
    let files = PoweredFiles::default();
    let (mut spool, _) = open(&files, SMALL);
    for number in 1..=count {
        assert_eq!(spool.append(&payload(number)).unwrap(), Sequence(number));
    }
    files
}

fn segment_names(files: &PoweredFiles) -> Vec<String> {
    let mut names = files.list().unwrap();
    names.retain(|name| name.ends_with(SEGMENT_SUFFIX));
    names
}

#[test]
fn what_is_appended_is_read_until_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, recovery) = Spool::open(folder.path(), SMALL).unwrap();
    assert!(recovery.new_spool);
    for number in 1..=20 {
        spool.append(&payload(number)).unwrap();
    }
    let all = read_all(&mut spool);
    assert_eq!(all, (1..=20).map(|n| (n, payload(n))).collect());
    spool.acknowledge(Sequence(13)).unwrap();
    assert_eq!(spool.position().next, Sequence(14));
    let id = spool.position().spool;
    drop(spool);

    let (mut spool, recovery) = Spool::open(folder.path(), SMALL).unwrap();
    assert_eq!(recovery, Recovery::default());
    assert_eq!(
        spool.position(),
        SpoolPosition {
            spool: id,
            next: Sequence(14)
        }
    );
    assert_eq!(
        read_all(&mut spool).into_keys().collect::<Vec<_>>(),
        (14..=20).collect::<Vec<_>>()
    );
    spool.acknowledge(Sequence(999)).unwrap();
    assert_eq!(
        spool.append(b"more").unwrap(),
        Sequence(21),
        "an acknowledgement from nowhere"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        3,
        "lock, head and the last segment"
    );
}

#[test]
fn a_second_agent_is_kept_out() {
    let folder = tempfile::tempdir().unwrap();
    let (_first, _) = Spool::open(folder.path(), SMALL).unwrap();
    let second = Spool::open(folder.path(), SMALL).unwrap_err();
    assert!(matches!(second, SpoolError::Locked), "{second}");
}

#[test]
fn a_spool_cut_at_any_byte_keeps_a_prefix_and_never_gives_a_sequence_twice() {
    let full = filled(12);
    let names = segment_names(&full);
    let (last, bytes) = names
        .last()
        .map(|name| (name, full.read(name).unwrap()))
        .unwrap();
    let whole = read_all(&mut open(&full, SMALL).0);
    for cut in 0..bytes.len() {
        let mut files = full.copy();
        files.truncate(last, cut as u64).unwrap();
        let (mut spool, recovery) = open(&files, SMALL);
        assert_eq!(recovery.corrupt, 0, "a cut at {cut} is no wrong checksum");
        let kept = read_all(&mut spool);
        assert!(
            whole.iter().zip(&kept).all(|(a, b)| a == b),
            "cut at {cut}: a prefix"
        );
        let complete = Scan::new(&bytes[..cut], 1).filter(|f| matches!(f, Found::Record { .. }));
        let before = whole.len() - Scan::new(&bytes, 1).count();
        assert_eq!(kept.len(), before + complete.count(), "cut at {cut}");

        let given = spool.append(b"after the cut").unwrap();
        if recovery.torn_bytes > 0 {
            assert!(
                given.0 > 12 || given.0 > kept.len() as u64 + 1,
                "cut at {cut}: {given}"
            );
        }
        drop(spool);
        let (mut again, recovery) = open(&files, SMALL);
        assert_eq!(recovery, Recovery::default(), "cut at {cut}: repaired once");
        assert_eq!(read_all(&mut again).len(), kept.len() + 1);
    }
}

#[test]
fn a_flipped_bit_costs_its_own_record_only_and_is_counted_once() {
    let full = filled(12);
    let whole = read_all(&mut open(&full, SMALL).0);
    for name in segment_names(&full) {
        for byte in 0..full.read(&name).unwrap().len() {
            let files = full.copy();
            files.flip(&name, byte, u8::try_from(byte % 8).unwrap());
            let (mut spool, recovery) = open(&files, SMALL);
            let kept = read_all(&mut spool);
            assert!(
                kept.iter().all(|(n, p)| whole[n] == *p),
                "{name} byte {byte}: invented"
            );
            assert_eq!(kept.len(), 11, "{name} byte {byte}");
            let noticed =
                recovery.corrupt == 1 || (recovery.torn_bytes > 0 && !kept.contains_key(&12));
            assert!(noticed, "{name} byte {byte}: {recovery:?}");
            assert_eq!(spool.stats().corrupt, recovery.corrupt);
            assert!(
                spool.append(b"next").unwrap().0 > 12,
                "{name} byte {byte}: 12 may be stored"
            );
            drop(spool);
            let (spool, again) = open(&files, SMALL);
            assert_eq!(again, Recovery::default(), "{name} byte {byte}");
            assert_eq!(
                spool.stats().corrupt,
                recovery.corrupt,
                "the count is durable"
            );
        }
    }
}

#[test]
fn damage_found_while_running_is_skipped_and_counted_once() {
    let files = filled(12);
    let (mut spool, _) = open(&files, SMALL);
    let names = segment_names(&files);
    files.flip(&names[0], HEADER_BYTES + 3, 0);
    let last = names.last().unwrap();
    let end = files.read(last).unwrap().len();
    files.flip(last, end - 1, 0);
    let kept = read_all(&mut spool);
    assert_eq!(
        kept.keys().copied().collect::<Vec<_>>(),
        (2..=11).collect::<Vec<_>>()
    );
    assert_eq!(read_all(&mut spool).len(), 10);
    assert_eq!(spool.stats().corrupt, 2);
    drop(spool);
    let (mut spool, _) = open(&files, SMALL);
    assert_eq!(spool.append(b"next").unwrap(), Sequence(13));
}

#[test]
fn a_damaged_head_keeps_the_reports() {
    let full = filled(6);
    let (mut spool, _) = open(&full, SMALL);
    spool.acknowledge(Sequence(2)).unwrap();
    let id = spool.position().spool;
    for byte in 0..head::FILE_BYTES {
        let files = full.copy();
        files.flip(HEAD, byte, 3);
        let (mut spool, recovery) = open(&files, SMALL);
        assert!(
            !recovery.new_spool && spool.position().spool == id,
            "byte {byte}: the other slot"
        );
        assert!(
            read_all(&mut spool).into_keys().ends_with(3..=6),
            "byte {byte}"
        );
    }
    full.flip(HEAD, 20, 0);
    full.flip(HEAD, 20 + usize::try_from(head::SLOT_STRIDE).unwrap(), 0);
    let (mut spool, recovery) = open(&full, SMALL);
    assert!(recovery.new_spool && spool.position().spool != id);
    assert!(read_all(&mut spool).into_keys().ends_with(3..=6));
}

trait EndsWith {
    fn ends_with(self, tail: std::ops::RangeInclusive<u64>) -> bool;
}

impl<I: Iterator<Item = u64>> EndsWith for I {
    fn ends_with(self, tail: std::ops::RangeInclusive<u64>) -> bool {
        let all: Vec<u64> = self.collect();
        all.ends_with(&tail.collect::<Vec<_>>())
    }
}

#[test]
fn a_full_spool_drops_the_oldest_and_counts() {
    let limits = SpoolLimits {
        bytes: 600 * 1024,
        segment_bytes: 64 * 1024,
    };
    let files = PoweredFiles::default();
    let (mut spool, _) = open(&files, limits);
    spool.append(b"small").unwrap();
    spool.acknowledge(Sequence(1)).unwrap();
    for _ in 0..100 {
        spool.append(&[7; 10_000]).unwrap();
        assert!(files.used() <= 600 * 1024 && spool.stats().bytes <= 600 * 1024);
    }
    drop(spool);
    let (mut spool, _) = open(&files, limits);
    let held = read_all(&mut spool);
    assert!(held.keys().copied().ends_with(50..=101), "the newest stay");
    assert_eq!(
        spool.stats().dropped,
        100 - held.len() as u64,
        "each loss counts, the acknowledged does not"
    );
    assert_eq!(
        spool.position().next,
        Sequence(*held.keys().next().unwrap())
    );
    assert!(matches!(
        spool.append(&vec![0; limits::REPORT_BYTES + 1]),
        Err(SpoolError::TooLarge(_))
    ));
    spool.append(&vec![0; limits::REPORT_BYTES]).unwrap();
}

#[test]
fn a_full_disk_drops_the_oldest_and_the_agent_lives_on() {
    let files = PoweredFiles::default();
    let (mut spool, _) = open(&files, SMALL);
    for number in 1..=40 {
        spool.append(&payload(number)).unwrap();
    }
    files.set_capacity(Some(files.used()));
    let given = spool.append(&payload(41)).unwrap();
    assert_eq!(given, Sequence(41));
    assert!(spool.stats().dropped > 0);
    assert_eq!(
        read_all(&mut spool).len() as u64 + spool.stats().dropped,
        41
    );

    files.set_capacity(Some(head::FILE_BYTES));
    let error = spool.append(&payload(42)).unwrap_err();
    assert!(error.is_full_disk(), "{error}");
    files.set_capacity(None);
    assert_eq!(spool.append(&payload(42)).unwrap(), Sequence(42));
    assert_eq!(read_all(&mut spool)[&42], payload(42));
    drop(spool);
    let (mut spool, recovery) = open(&files, SMALL);
    assert_eq!(recovery.corrupt, 0);
    assert_eq!(read_all(&mut spool)[&42], payload(42));
}

#[test]
fn a_damaged_spool_opens_on_a_full_disk() {
    let files = filled(12);
    let names = segment_names(&files);
    for name in &names {
        let end = files.read(name).unwrap().len();
        files.flip(name, end - 1, 0);
    }
    let used = files.used();
    files.set_capacity(Some(used));
    let (mut spool, _) = open(&files, SMALL);
    let held = read_all(&mut spool).len();
    assert_eq!(held, 12 - names.len());
    assert!(files.used() <= used, "nothing is left in the way");
    let given = spool.append(b"next").unwrap();
    assert!(given.0 > 13, "{given}: 12 may be stored");
    drop(spool);

    files.set_capacity(None);
    let (mut spool, _) = open(&files, SMALL);
    assert_eq!(read_all(&mut spool).get(&given.0), Some(&b"next".to_vec()));
    assert_eq!(spool.append(b"more").unwrap(), given.next());
}

#[test]
fn a_week_offline_is_kept_complete_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let limits = SpoolLimits::default();
    let mut number = 0_u64;
    for _ in 0..7 {
        let (mut spool, recovery) = Spool::open(folder.path(), limits).unwrap();
        assert_eq!((recovery.corrupt, recovery.torn_bytes), (0, 0));
        for _ in 0..1440 {
            number += 1;
            let mut report = number.to_le_bytes().to_vec();
            report.resize(600, 1);
            spool.append(&report).unwrap();
        }
    }
    let (mut spool, _) = Spool::open(folder.path(), limits).unwrap();
    let mut expected = 1;
    while let Some(batch) =
        Some(spool.read_from(Sequence(expected), 100_000).unwrap()).filter(|b| !b.is_empty())
    {
        for record in &batch {
            assert_eq!(
                (record.sequence.0, &record.payload[..8]),
                (expected, &expected.to_le_bytes()[..])
            );
            expected += 1;
        }
        spool.acknowledge(Sequence(expected - 1)).unwrap();
    }
    assert_eq!(expected, 10_081);
    assert_eq!(spool.stats().dropped, 0);
    spool.append(b"online again").unwrap();
    assert!(
        spool.stats().bytes < 10_000,
        "what is stored at the collector leaves the disk"
    );
}

#[test]
fn a_clone_forgets_and_a_spool_that_fell_back_keeps() {
    let files = filled(9);
    let (mut spool, _) = open(&files, SMALL);
    let id = spool.position().spool;
    spool.renew().unwrap();
    assert_ne!(spool.position().spool, id);
    assert_eq!(read_all(&mut spool).len(), 9);
    let id = spool.position().spool;
    spool.discard().unwrap();
    assert_ne!(spool.position().spool, id);
    assert!(read_all(&mut spool).is_empty());
    spool.append(b"own").unwrap();
    drop(spool);
    assert_eq!(
        read_all(&mut open(&files, SMALL).0)
            .into_values()
            .collect::<Vec<_>>(),
        [b"own".to_vec()]
    );
}

#[test]
fn ordinary_reports_are_written_together_and_before_they_are_read() {
    let files = PoweredFiles::default();
    let (mut spool, _) = open(&files, SMALL);
    let empty = files.used();
    for number in 1..UNWRITTEN_REPORTS {
        assert_eq!(
            spool.append_soon(&payload(number)).unwrap(),
            Sequence(number)
        );
    }
    assert_eq!(files.used(), empty, "nothing is written yet");
    assert_eq!(spool.stats().last, Sequence(UNWRITTEN_REPORTS - 1));
    spool.append_soon(&payload(UNWRITTEN_REPORTS)).unwrap();
    assert!(files.used() > empty, "they are written together");

    let last = spool.append_soon(b"read").unwrap();
    let read = spool.read_from(last, 1000).unwrap();
    assert_eq!(read.len(), 1);
    let after = files.after_power_loss(&mut Dice::new(1));
    assert_eq!(
        open(&after, SMALL).0.stats().last,
        last,
        "what was read is durable"
    );

    let last = spool.append_soon(b"at the end").unwrap();
    drop(spool);
    let after = files.after_power_loss(&mut Dice::new(2));
    assert_eq!(
        open(&after, SMALL).0.stats().last,
        last,
        "an orderly end writes the rest"
    );
}

#[test]
fn a_report_that_finds_no_room_leaves_those_in_memory_as_they_are() {
    let files = PoweredFiles::default();
    let (mut spool, _) = open(&files, SMALL);
    spool.append_soon(b"first").unwrap();
    spool.append_soon(b"second").unwrap();
    files.set_capacity(Some(files.used()));
    assert!(spool.append(b"urgent").is_err());
    files.set_capacity(None);
    assert_eq!(spool.append(b"again").unwrap(), Sequence(3));
    let held: Vec<_> = read_all(&mut spool).into_values().collect();
    assert_eq!(
        held,
        [b"first".to_vec(), b"second".to_vec(), b"again".to_vec()]
    );
}

/// What a spool has promised: which reports `append` returned for and what was acknowledged.
#[derive(Default)]
struct Promises {
    appended: BTreeMap<(SpoolId, u64), Vec<u8>>,
    /// Those that `append_soon` returned for and that were not read yet.
    soon: BTreeMap<(SpoolId, u64), Vec<u8>>,
    under_way: Vec<Vec<u8>>,
    acknowledged: u64,
}

impl Promises {
    /// Lives until the power goes; everything that can happen to a spool happens in it.
    fn live(&mut self, spool: &mut Spool<PoweredFiles>, dice: &mut Dice) -> Result<(), SpoolError> {
        self.soon.clear();
        for _ in 0..16 {
            let payload = payload(dice.below(1_000_000) as u64);
            self.under_way.push(payload.clone());
            let durably = dice.below(2) == 0;
            let sequence = if durably {
                spool.append(&payload)?
            } else {
                spool.append_soon(&payload)?
            };
            let key = (spool.position().spool, sequence.0);
            assert!(
                !self.appended.contains_key(&key),
                "{sequence} was given twice"
            );
            self.soon.insert(key, payload);
            if durably {
                self.appended.append(&mut self.soon);
            }
            if dice.below(3) == 0 {
                let last = spool.stats().last.0;
                let upto = last - dice.below(4).min(usize::try_from(last).unwrap()) as u64;
                spool.acknowledge(Sequence(upto))?;
                self.acknowledged = self.acknowledged.max(upto);
            }
            if dice.below(2) == 0 {
                spool.read_from(Sequence::NONE, 500)?;
                self.appended.append(&mut self.soon);
            }
        }
        Ok(())
    }

    fn check(&self, spool: &mut Spool<PoweredFiles>) {
        assert!(
            spool.position().next.0 > self.acknowledged,
            "the cursor went back"
        );
        // A write of which the length reached the disk before the bytes looks like damage.
        assert!(spool.stats().corrupt <= self.under_way.len() as u64 - self.appended.len() as u64);
        let held = read_all(spool);
        for ((_, sequence), payload) in &self.appended {
            if *sequence >= spool.position().next.0 {
                assert_eq!(
                    held.get(sequence),
                    Some(payload),
                    "{sequence} was kept and is lost"
                );
            }
        }
        for (sequence, payload) in &held {
            let known =
                self.appended.values().any(|p| p == payload) || self.under_way.contains(payload);
            assert!(known, "{sequence} was invented");
        }
    }
}

#[test]
fn power_may_go_at_any_operation() {
    let mut losses = 0;
    for seed in 0..4 {
        for operations in 0..160 {
            let mut dice = Dice::new(seed * 1000 + operations);
            let mut files = PoweredFiles::default();
            let mut promises = Promises::default();
            for life in 0..3 {
                files.cut_power_after(usize::try_from(operations).unwrap() / (life + 1));
                let lived = Spool::open_files(files.clone(), SMALL)
                    .and_then(|(mut spool, _)| promises.live(&mut spool, &mut dice));
                losses += usize::from(lived.is_err());
                files = files.after_power_loss(&mut dice);
                let (mut spool, _) = open(&files, SMALL);
                promises.check(&mut spool);
            }
        }
    }
    assert!(losses > 1000, "the power went {losses} times only");
}
