use crate::store::testing::{self, device};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rollcall_shared::id::{DeviceId, Sequence, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::Report;
use rollcall_shared::time::{SystemClock, UnixMs};

use super::super::restore::{RestoreError, restore, verify_backup};
use super::super::{Arrival, StoreOptions, Write as Change};
use super::*;
use crate::audit::AuditLine;
use crate::device::SeriesKey;
use crate::store::keys::Part;

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const MINUTE: i64 = 60_000;
const SPOOL: SpoolId = SpoolId::from_bytes([3; 16]);

fn options() -> StoreOptions {
    StoreOptions {
        reserve_bytes: 0,
        gather: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

fn open(data: &Path) -> Store {
    Store::open(data, options(), NOW).unwrap()
}

/// A report that tells its sequence, some minutes before the one after it.
fn report(sequence: u64) -> (UnixMs, Report) {
    let cycles = u32::try_from(sequence).unwrap();
    let report = testing::report(
        sequence,
        NOW,
        vec![Reading::number(
            &metric::BATTERY_CYCLES,
            "BAT0",
            f64::from(cycles),
        )],
    );
    (NOW.plus_ms(i64::from(cycles) * 3 * MINUTE), report)
}

async fn send(store: &Store, device: DeviceId, first: u64, last: u64) {
    let arrival = Arrival {
        device,
        spool: SPOOL,
        reports: (first..=last).map(report).collect(),
        received: NOW,
        skew_ms: 0,
    };
    store.append(arrival).await.unwrap();
}

fn stored(store: &Store, device: DeviceId) -> Vec<u64> {
    let key = SeriesKey::new(&metric::BATTERY_CYCLES, "BAT0");
    let points = store.series(device, &key, UnixMs(0), UnixMs(i64::MAX / 2));
    let points = points.unwrap();
    let numbers = points.iter().filter_map(|(_, value)| value.as_number());
    numbers.map(|number| number as u64).collect()
}

fn line(number: u64) -> AuditLine {
    AuditLine {
        at: NOW,
        actor: "test".to_owned(),
        action: "count".to_owned(),
        subject: number.to_string(),
        outcome: "ok".to_owned(),
        detail: String::new(),
    }
}

fn back_up(store: &Store, file: &Path) -> Backup {
    let key = BackupFile {
        name: "authority/authority.key".to_owned(),
        mode: 0o600,
        content: b"secret".to_vec(),
    };
    let out = std::fs::File::create(file).unwrap();
    store.back_up(out, &[key], &SystemClock).unwrap()
}

/// Both halves of each commit are in it or neither, every report up to one and none after it, whatever
/// is sealed, merged and removed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_load_is_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = Store::create(&data, options(), NOW).unwrap();
    let device = device(NOW);
    store
        .commit(vec![Change::PutDevice(device.clone())])
        .await
        .unwrap();
    for n in 0..40 {
        send(&store, device.id, n * 50 + 1, n * 50 + 50).await;
    }
    store.seal(NOW).await.unwrap();
    let (end, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(2000)),
    );
    let load = {
        let (store, end, sent, mut device) =
            (store.clone(), end.clone(), sent.clone(), device.clone());
        tokio::spawn(async move {
            while !end.load(Ordering::SeqCst) {
                let next = sent.load(Ordering::SeqCst) + 1;
                send(&store, device.id, next, next + 9).await;
                sent.store(next + 9, Ordering::SeqCst);
                device.model = next.to_string();
                let both = vec![Change::PutDevice(device.clone()), Change::Audit(line(next))];
                store.commit(both).await.unwrap();
            }
        })
    };
    let seals = {
        let (store, end) = (store.clone(), end.clone());
        tokio::spawn(async move {
            while !end.load(Ordering::SeqCst) {
                store.seal(NOW).await.unwrap();
            }
        })
    };
    for round in 0..6 {
        let before = sent.load(Ordering::SeqCst);
        let file = dir.path().join(format!("backup-{round}"));
        let (of_backup, to) = (store.clone(), file.clone());
        let made = tokio::task::spawn_blocking(move || back_up(&of_backup, &to))
            .await
            .unwrap();
        let after = sent.load(Ordering::SeqCst);
        assert!(made.end.keys["hot"]["devices"] == 1, "{made:?}");

        let restored = dir.path().join(format!("restored-{round}"));
        restore(&file, &restored).unwrap();
        let again = open(&restored);
        let numbers = stored(&again, device.id);
        let last = numbers.len() as u64;
        assert!(
            (before..=after + 10).contains(&last),
            "{before} {last} {after}"
        );
        assert_eq!(numbers, (1..=last).collect::<Vec<u64>>());
        assert_eq!(again.stored(device.id, SPOOL).unwrap(), Sequence(last));
        let model = again.device(device.id).unwrap().device.model.clone();
        let audit = again.audit(1).unwrap();
        assert_eq!(model, audit.first().map_or("", |line| &line.subject));
        assert_eq!(
            std::fs::read(restored.join("authority/authority.key")).unwrap(),
            b"secret"
        );

        send(&again, device.id, 1, last + 1).await;
        again.seal(NOW).await.unwrap();
        assert_eq!(
            stored(&again, device.id),
            (1..=last + 1).collect::<Vec<u64>>()
        );
        drop(again);
        assert_eq!(stored(&open(&restored), device.id).len() as u64, last + 1);
    }
    end.store(true, Ordering::SeqCst);
    load.await.unwrap();
    seals.await.unwrap();
}

#[tokio::test]
async fn a_part_that_goes_during_the_backup_is_not_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("data"), options(), NOW).unwrap();
    let device = device(NOW);
    store
        .commit(vec![Change::PutDevice(device.clone())])
        .await
        .unwrap();
    send(&store, device.id, 1, 2000).await;
    store.seal(NOW).await.unwrap();
    let parts = store.parts().unwrap();
    assert!(parts.len() > 3);

    /// Removes the oldest part while the first frame after the head, which is of it, is written.
    struct Retention<'a>(std::fs::File, &'a Store, Part, usize);
    impl Write for Retention<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.3 += 1;
            if self.3 == 4 {
                self.1.shared().history.remove(self.2)?;
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }
    let file = dir.path().join("backup");
    let out = std::fs::File::create(&file).unwrap();
    let out = Retention(out, &store, parts[0], 0);
    store.back_up(out, &[], &SystemClock).unwrap();
    assert_eq!(store.parts().unwrap(), parts[1..]);

    let restored = dir.path().join("restored");
    restore(&file, &restored).unwrap();
    let again = open(&restored);
    assert_eq!(again.parts().unwrap(), parts[1..]);
    assert_eq!(stored(&again, device.id), stored(&store, device.id));
}

#[tokio::test]
async fn what_cannot_be_restored_says_why_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("data"), options(), NOW).unwrap();
    let file = dir.path().join("backup");
    back_up(&store, &file);
    assert!(verify_backup(&file).unwrap().head.authority);

    let used = dir.path().join("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("holiday.jpg"), "mine").unwrap();
    let error = restore(&file, &used).unwrap_err();
    assert!(error.to_string().contains("holiday.jpg"), "{error}");
    assert!(matches!(error, RestoreError::NotEmpty { .. }));

    let bytes = std::fs::read(&file).unwrap();
    let fresh = dir.path().join("fresh");
    let broken = dir.path().join("broken");
    std::fs::write(&broken, &bytes[..bytes.len() - 3]).unwrap();
    let error = restore(&broken, &fresh).unwrap_err().to_string();
    assert!(
        error.contains("cut off") && error.contains("broken"),
        "{error}"
    );
    std::fs::write(&broken, b"PK zip").unwrap();
    let error = restore(&broken, &fresh).unwrap_err().to_string();
    assert!(error.contains("not a backup of Rollcall"), "{error}");
    assert!(!fresh.exists());

    let head = Head {
        form: FORM,
        collector: "9.0.0".to_owned(),
        schema: SCHEMA + 1,
        began: NOW,
        authority: false,
    };
    let out = std::fs::File::create(&broken).unwrap();
    let writer = ArchiveWriter::begin(out, &head).unwrap();
    writer.end(NOW).unwrap();
    let error = restore(&broken, &fresh).unwrap_err().to_string();
    assert!(error.contains("9.0.0"), "{error}");
    for name in ["../outside", "/outside", "", "hot/../../outside"] {
        let head = Head {
            schema: SCHEMA,
            ..head.clone()
        };
        let out = std::fs::File::create(&broken).unwrap();
        let mut writer = ArchiveWriter::begin(out, &head).unwrap();
        writer.file(name, 0o600, b"x").unwrap();
        writer.end(NOW).unwrap();
        assert!(restore(&broken, &dir.path().join("new")).is_err(), "{name}");
    }
    assert!(!dir.path().join("outside").exists());
}

#[tokio::test]
async fn one_backup_at_a_time_and_a_failed_one_blocks_none() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(&dir.path().join("data"), options(), NOW).unwrap();
    assert!(store.back_up(Full, &[], &SystemClock).is_err());
    let recording = Recording::start(&store.shared().tape, BTreeSet::new()).unwrap();
    let busy = store.back_up(io::sink(), &[], &SystemClock).unwrap_err();
    assert!(busy.to_string().contains("another backup"), "{busy}");
    drop(recording);
    store.back_up(io::sink(), &[], &SystemClock).unwrap();
}
