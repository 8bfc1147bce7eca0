use std::path::Path;
use std::time::Duration;

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;

use super::super::database::Op;
use super::super::{Arrival, StoreOptions, Write, testing};
use super::*;
use crate::audit::AuditLine;
use crate::device::{Device, SeriesKey, Standing};

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const MINUTE: i64 = 60_000;

fn options() -> StoreOptions {
    StoreOptions {
        reserve_bytes: 0,
        gather: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

fn device(number: u8) -> Device {
    Device {
        id: DeviceId::from_bytes([number; 16]),
        site: "Lincoln".parse().unwrap(),
        group: None,
        enrolled: NOW,
        fingerprint: HardwareFingerprint::default(),
        vendor: "Vendor".to_owned(),
        model: format!("Model {number}"),
        agent_version: String::new(),
        standing: Standing::Active,
        cloned_from: None,
    }
}

fn report(sequence: u64) -> (UnixMs, Report) {
    let cycles = u32::try_from(sequence).unwrap();
    let report = testing::report(
        sequence,
        NOW,
        vec![
            Reading::number(&metric::BATTERY_CYCLES, "BAT0", f64::from(cycles)),
            Reading::text(&metric::OS_NAME, "", &format!("Debian {sequence}")),
        ],
    );
    (NOW.plus_ms(i64::from(cycles) * 7 * MINUTE), report)
}

async fn send(store: &Store, device: &Device, first: u64, last: u64) {
    let arrival = Arrival {
        device: device.id,
        spool: SpoolId::from_bytes([3; 16]),
        reports: (first..=last).map(report).collect(),
        received: NOW,
        skew_ms: 0,
    };
    store.append(arrival).await.unwrap();
}

/// A store with something in every kind of file, part of it sealed.
async fn filled(data: &Path) -> Store {
    let store = Store::create(data, options(), NOW).unwrap();
    for number in 1..=4 {
        let device = device(number);
        let line = AuditLine {
            at: NOW,
            actor: "test".to_owned(),
            action: "enroll".to_owned(),
            subject: device.id.to_string(),
            outcome: "ok".to_owned(),
            detail: String::new(),
        };
        store
            .commit(vec![Write::PutDevice(device.clone()), Write::Audit(line)])
            .await
            .unwrap();
        for part in 0..6 {
            send(&store, &device, part * 40 + 1, part * 40 + 40).await;
        }
        store.seal(NOW).await.unwrap();
        for part in 6..9 {
            send(&store, &device, part * 40 + 1, part * 40 + 40).await;
        }
    }
    store
}

/// Everything that was acknowledged, as somebody sees it who asks.
fn seen(store: &Store) -> Result<String, crate::store::StoreError> {
    let mut seen = format!("{:?}", store.audit(100)?);
    for number in 1..=4 {
        let id = device(number).id;
        let state = store.device(id);
        let latest = state.map(|state| (state.device.clone(), format!("{:?}", state.latest)));
        seen += &format!(
            "{latest:?} {:?}",
            store.stored(id, SpoolId::from_bytes([3; 16]))?
        );
        for key in [
            SeriesKey::new(&metric::BATTERY_CYCLES, "BAT0"),
            SeriesKey::new(&metric::OS_NAME, ""),
        ] {
            seen += &format!(
                "{:?}",
                store.series(id, &key, UnixMs(0), UnixMs(i64::MAX / 2))?
            );
        }
    }
    Ok(seen)
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

fn places(folder: &Path) -> Vec<String> {
    let report = check_store(folder, &folder.with_extension("check")).unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

/// What came of a damaged byte.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    harmless: usize,
    refused: usize,
    unreadable: usize,
}

/// The n-th of many places that fill a length evenly, however many there are: by the golden ratio.
fn spread(n: usize, length: usize) -> usize {
    let part = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((u128::from(part) * length as u128) >> 64) as usize
}

/// Flips a byte at many places of each file, one at a time.
async fn flip(whole: &Path, expected: &str, each: usize) -> Tally {
    let mut paths = Vec::new();
    files(whole, &mut paths);
    paths.sort();
    let mut tally = Tally::default();
    let dir = tempfile::tempdir().unwrap();
    for path in paths.iter().filter(|path| !path.ends_with("lock")) {
        let bytes = fs::read(path).unwrap();
        let written = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for n in 0..each.min(written) {
            let at = spread(n, written);
            let data = dir.path().join("data");
            remove_folder(&data).unwrap();
            copy_folder(whole, &data).unwrap();
            let name = path.strip_prefix(whole).unwrap();
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (n % 8);
            fs::write(data.join(name), damaged).unwrap();
            let findings = places(&data);
            let place = format!("{} at {at} bit {}", name.display(), n % 8);
            match Store::open(&data, options(), NOW).map(|store| seen(&store)) {
                Ok(Ok(seen)) => {
                    assert!(
                        seen == expected,
                        "{place}: served wrong in silence; {findings:?}"
                    );
                    tally.harmless += 1;
                }
                Ok(Err(error)) => {
                    assert!(
                        !findings.is_empty(),
                        "{place}: {error}, and nothing is found"
                    );
                    tally.unreadable += 1;
                }
                Err(error) => {
                    assert!(
                        !findings.is_empty(),
                        "{place}: {error}, and nothing is found"
                    );
                    assert!(error.to_string().contains("data"), "{place}: {error}");
                    tally.refused += 1;
                }
            }
        }
    }
    tally
}

fn flips() -> usize {
    let rounds = std::env::var("ROLLCALL_FLIPS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_in_any_file_is_harmless_or_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled(&data).await;
    let expected = seen(&store).unwrap();
    // As a kill leaves it, with a log to replay, and as an orderly end does.
    let (killed, ended) = (dir.path().join("killed"), dir.path().join("ended"));
    copy_folder(&data, &killed).unwrap();
    drop(store);
    drop(Store::open(&data, options(), NOW).unwrap());
    copy_folder(&data, &ended).unwrap();
    assert_eq!(places(&killed), Vec::<String>::new());
    assert_eq!(places(&ended), Vec::<String>::new());
    for whole in [&killed, &ended] {
        let tally = flip(whole, &expected, flips()).await;
        eprintln!("{}: {tally:?}", whole.display());
        assert!(tally.refused > 0, "{tally:?}");
    }
}

#[tokio::test]
async fn damage_is_named_by_tree_and_key_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = filled(&data).await;
    let hot = &store.shared().hot.database;
    let op = |tree: TreeName, key: &[u8], value: Option<&[u8]>| Op {
        tree: tree as usize,
        key: key.to_vec(),
        value: value.map(<[u8]>::to_vec),
    };
    let id = device(2).id;
    let sealed = store.shared().memory().first_needed() - 1;
    let log = |number: u64| super::super::keys::piece(&super::super::keys::log(number), 0);
    hot.commit(&[
        op(TreeName::Devices, device(3).id.as_bytes(), Some(b"{}")),
        op(
            TreeName::Cursors,
            &super::super::keys::cursor(id, SpoolId::from_bytes([3; 16])),
            Some(&[0; 16]),
        ),
        op(TreeName::Log, &log(sealed + 2), None),
        op(TreeName::Log, &log(sealed + 3), Some(&[1, 0, 9, 9])),
        op(TreeName::Meta, b"sealed", Some(&[1])),
        op(TreeName::Days, b"day", Some(&[1])),
    ])
    .unwrap();
    let part = store.shared().history.parts().unwrap()[0];
    let database = store.shared().history.existing(part).unwrap().unwrap();
    let (key, _) = database.scan(0, &[]).next().unwrap().unwrap();
    let block = Op {
        tree: 0,
        key,
        value: Some(b"no block".to_vec()),
    };
    database.commit(&[block]).unwrap();
    drop(database);
    let running = store.check_running();
    assert!(
        running
            .findings
            .iter()
            .any(|finding| finding.file.contains("history"))
    );
    drop(store);
    let report = check_store(&data, &dir.path().join("scratch")).unwrap();
    let text: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let text = text.join("\n");
    for expected in [
        &format!("hot: devices of device {}", device(3).id),
        "meta sealed: it has not 8 bytes",
        &format!("log entry {}: it is missing", sealed + 2),
        "days day: its key has not 6 bytes",
        &format!("log entry {}: ", sealed + 3),
        &format!("history/{}: hours ", part.folder()),
        "of device 01010101",
        "to do: restore the latest backup",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    assert!(!dir.path().join("scratch").exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_checked_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let missing = check_store(&data, &dir.path().join("scratch")).unwrap_err();
    assert!(matches!(missing, OpenError::Missing(_)), "{missing}");
    let store = Store::create(&data, options(), NOW).unwrap();
    let locked = check_store(&data, &dir.path().join("scratch")).unwrap_err();
    assert!(matches!(locked, OpenError::Locked(_)), "{locked}");
    drop(store);
    assert!(
        check_store(&data, &dir.path().join("scratch"))
            .unwrap()
            .is_sound()
    );
}
