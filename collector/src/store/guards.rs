//! The guards without which the engine is not durable or does not stay small: each test fails where its
//! guard is taken away. Others are in `tests.rs` (a file in `blobs/`, the reserve, a failed commit) and in
//! the stories of durability and power cuts.

use crate::store::testing::{self, device};
use std::process::Command;
use std::time::Duration;

use rollcall_shared::configuration::{Configuration, Target};
use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::Report;
use rollcall_shared::time::UnixMs;

use super::database::{Database, Op, take_synced};
use super::keys::{Part, TreeName, VALUE_BYTES};
use super::*;
use crate::device::Device;

const NOW: UnixMs = UnixMs(1_790_000_000_000);

/// What a database that is made anew has to have synced before it takes anything in: all that a power
/// cut could take away again, its own name included.
#[test]
fn a_new_database_is_synced_with_its_folder_and_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("week");
    take_synced();
    let database = Database::open_unchecked(&path, &["t"], 1 << 20).unwrap();
    let synced = take_synced();
    for needed in ["db", "conf", "blobs", ".", ".."] {
        let needed = match needed {
            "." => path.clone(),
            ".." => dir.path().to_owned(),
            name => path.join(name),
        };
        assert!(
            synced.contains(&needed),
            "{} of {synced:?}",
            needed.display()
        );
    }
    drop(database);
}

/// The engine's own flush leaves what it wrote to the kernel.
#[test]
fn each_commit_is_synced_by_a_descriptor_of_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("week");
    let database = Database::open(&path, &["t"], 1 << 20).unwrap();
    for n in 0..3_u8 {
        take_synced();
        let op = Op {
            tree: 0,
            key: vec![n],
            value: Some(vec![n]),
        };
        database.commit(&[op]).unwrap();
        assert_eq!(take_synced(), [path.join("db")]);
    }
}

/// In the child process: it takes the memory of the loop.
const LOOP: &str = "ROLLCALL_TEST_LOOP";

/// Commits of the loop, and keys that each writes anew: large ones of 400 MB in all, and small ones of 60.
const LOOPS: [(u32, u32); 2] = [(1600, 256), (15_000, 4)];

/// What the loop may take beside the cache of a megabyte: about 40 are what the allocator has not given
/// back yet.
const MOST_MB: u64 = 100;

/// sled frees what was replaced when its epochs advance: what a tight loop of commits writes anew must not
/// stay. It runs in a process of its own, since memory is the process's, and where syncs cost nothing.
#[test]
fn memory_stays_flat_in_a_tight_loop_of_commits() {
    if std::env::var_os(LOOP).is_some() {
        return loop_of_commits();
    }
    let this = std::env::current_exe().unwrap();
    let name = "store::guards::memory_stays_flat_in_a_tight_loop_of_commits";
    let mut child = Command::new(this);
    let child = child.args(["--exact", name, "--nocapture"]).env(LOOP, "1");
    let output = child.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let grown = told
        .split_once("grown by ")
        .and_then(|(_, rest)| rest.split_once(" MB"));
    let (grown, _) = grown.unwrap_or_else(|| panic!("no figure in {told}"));
    let grown: u64 = grown.parse().unwrap();
    assert!(grown <= MOST_MB, "{grown} MB where {MOST_MB} are allowed");
}

fn loop_of_commits() {
    let memory = Path::new("/dev/shm");
    let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let database = Database::open(&dir.path().join("loop"), &["t"], 1 << 20).unwrap();
    let before = resident_mb();
    for (commits, keys) in LOOPS {
        for round in 0..commits {
            let op = |key: u32| Op {
                tree: 0,
                key: key.to_be_bytes().to_vec(),
                value: Some([&round.to_be_bytes()[..], &[7; 1020]].concat()),
            };
            let ops: Vec<Op> = (0..keys).map(op).collect();
            database.commit(&ops).unwrap();
        }
    }
    println!("grown by {} MB", resident_mb().saturating_sub(before));
}

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

/// The largest of everything that comes in from outside, and all that the store makes of it.
#[tokio::test]
async fn no_value_is_larger_than_a_page_bears() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        reserve_bytes: 0,
        gather: Duration::from_millis(1),
        ..StoreOptions::default()
    };
    let store = Store::create(dir.path(), options, NOW).unwrap();
    let devices: Vec<Device> = (0..600).map(|_| device(NOW)).collect();
    let records = devices.iter().cloned().map(Write::PutDevice);
    store.commit(records.collect()).await.unwrap();
    let mut configuration = Configuration::default();
    let target = |n: usize| Target {
        name: format!("target-{n}").parse().unwrap(),
        url: format!("https://example.org/{}", "x".repeat(180)),
    };
    configuration.targets = (0..64).map(target).collect();
    store
        .commit(vec![Write::PutConfiguration(configuration)])
        .await
        .unwrap();
    for device in &devices {
        append(&store, device.id, vec![report(-3 * 86_400_000, 1, 3)]).await;
    }
    let days = (0..3).flat_map(|day| (0..4).map(move |at| -day * 86_400_000 - at * 60_000));
    let large = (2..)
        .zip(days)
        .map(|(n, at)| report(at, n, limits::READINGS_PER_REPORT / 8));
    append(&store, devices[0].id, large.collect()).await;
    assert_small(&store);
    store.seal(NOW).await.unwrap();
    assert_small(&store);
    store.merge(NOW.plus_ms(3 * 86_400_000)).await.unwrap();
    assert_small(&store);
}

fn assert_small(store: &Store) {
    let shared = store.shared();
    for tree in TreeName::ALL {
        assert_values_small(&shared.hot.database, tree as usize, tree.word());
    }
    for part in shared.history.parts().unwrap() {
        let database = shared.history.part(part).unwrap();
        for tree in 0..Part::trees(part).len() {
            assert_values_small(&database, tree, &part.folder());
        }
        assert_eq!(database.blob_files(), 0);
    }
    assert_eq!(shared.hot.database.blob_files(), 0);
}

fn assert_values_small(database: &Database, tree: usize, place: &str) {
    for pair in database.scan(tree, &[]) {
        let (key, value) = pair.unwrap();
        let bytes = value.len();
        assert!(
            bytes <= VALUE_BYTES,
            "{bytes} bytes in {place} at {}",
            key.escape_ascii()
        );
    }
}

async fn append(store: &Store, device: DeviceId, reports: Vec<(UnixMs, Report)>) {
    let arrival = Arrival {
        device,
        spool: SpoolId::from_bytes([3; 16]),
        reports,
        received: NOW,
        skew_ms: 0,
    };
    store.append(arrival).await.unwrap();
}

/// A report of texts that no dictionary knows.
fn report(at: i64, sequence: u64, readings: usize) -> (UnixMs, Report) {
    let text = |n: usize| {
        let words = (0..8).map(|word| {
            let mixed = (n as u64 + sequence * 7919 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{:016x}", mixed ^ (mixed >> 29))
        });
        words.collect::<String>()
    };
    let reading = |n: usize| {
        let instance = text(n)
            .chars()
            .take(limits::INSTANCE_BYTES)
            .collect::<String>();
        Reading::text(&metric::OS_NAME, &instance, &text(n + 1_000_000))
    };
    let report = testing::report(sequence, NOW, (0..readings).map(reading).collect());
    (NOW.plus_ms(at), report)
}
