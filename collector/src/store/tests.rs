use std::path::Path;
use std::time::Duration;

use crate::store::testing::device;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::id::BootId;
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::SinceBootMs;

use super::keys::TreeName;
use super::*;
use crate::alert::AlertId;
use crate::audit::AuditLine;
use crate::device::{Device, SeriesKey};
use crate::reach_note::{CELLS, ReachCell, ReachNote, Reached, Vantage};

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const MINUTE: i64 = 60_000;

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

fn charge(at: i64, sequence: u64, charge: f64) -> (UnixMs, Report) {
    let readings = vec![
        Reading::number(&metric::BATTERY_CHARGE, "BAT0", charge),
        Reading::text(&metric::OS_NAME, "", &format!("Debian {sequence}")),
    ];
    let taken = Taken {
        wall: NOW,
        boot: BootId::from_bytes([7; 16]),
        since_boot: SinceBootMs(1),
    };
    let report = Report {
        sequence: Sequence(sequence),
        taken,
        full: false,
        urgent: false,
        readings,
    };
    (NOW.plus_ms(at * MINUTE), report)
}

fn arrival(device: DeviceId, reports: Vec<(UnixMs, Report)>) -> Arrival {
    Arrival {
        device,
        spool: SpoolId::from_bytes([3; 16]),
        reports,
        received: NOW,
        skew_ms: 40,
    }
}

fn numbers(store: &Store, device: DeviceId, metric: &Metric) -> Vec<f64> {
    let key = SeriesKey::new(metric, "BAT0");
    let all = store
        .series(device, &key, UnixMs(0), UnixMs(i64::MAX / 2))
        .unwrap();
    all.iter()
        .filter_map(|(_, value)| value.as_number())
        .collect()
}

async fn with_device(data: &Path) -> (Store, Device) {
    let store = Store::create(data, options(), NOW).unwrap();
    let device = device(NOW);
    store
        .commit(vec![Write::PutDevice(device.clone())])
        .await
        .unwrap();
    (store, device)
}

#[tokio::test]
async fn what_was_noted_of_the_day_outlives_a_restart_and_the_next_day_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path(), options(), NOW).unwrap();
    let note = |days: i64, cells: u32| {
        let cell = |n: u32| ReachCell {
            target: format!("target {n}"),
            vantage: Vantage::OnCampus("Lincoln".to_owned()),
            site: "Lincoln".parse().unwrap(),
            reached: Reached {
                reached: n.wrapping_mul(0x9e37_79b9),
                failed: n,
            },
        };
        ReachNote {
            at: NOW.plus_ms(days * 86_400_000),
            cells: (0..cells).map(cell).collect(),
        }
    };
    // The larger one has many pieces, of which the smaller leaves some behind.
    for (days, cells) in [(0, CELLS as u32), (1, 3)] {
        let put = Write::PutReachNote(note(days, cells));
        store.commit(vec![put]).await.unwrap();
        let shown = store.reach_notes();
        assert_eq!(*shown[0], note(days, cells));
        assert_eq!(shown.len(), 1);
    }
    drop(store);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(*store.reach_notes()[0], note(1, 3));
    drop(store);
    let scratch = tempfile::tempdir().unwrap();
    let report = check_store(dir.path(), scratch.path()).unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn a_report_is_stored_once_whatever_is_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let two = vec![charge(0, 1, 0.9), charge(1, 2, 0.8)];
    let first = store.append(arrival(device.id, two.clone())).await.unwrap();
    let expected = Appended {
        stored: Sequence(2),
        new: 2,
        duplicates: 0,
    };
    assert_eq!(first, expected);
    drop(store);

    let store = open(dir.path());
    let three = [two, vec![charge(2, 5, 0.7)]].concat();
    let again = store.append(arrival(device.id, three)).await.unwrap();
    assert_eq!(
        again,
        Appended {
            stored: Sequence(5),
            new: 1,
            duplicates: 2
        }
    );
    assert_eq!(
        numbers(&store, device.id, &metric::BATTERY_CHARGE),
        [0.9, 0.8, 0.7]
    );
    let counters = store.counters();
    assert_eq!(
        (counters.duplicates, counters.gaps, counters.reports),
        (2, 2, 1)
    );
}

#[tokio::test]
async fn two_streams_of_one_spool_at_once_store_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let send = || {
        store.append(arrival(
            device.id,
            vec![charge(0, 1, 0.9), charge(1, 2, 0.8)],
        ))
    };
    let (a, b, c) = tokio::join!(send(), send(), send());
    let new: usize = [a, b, c]
        .into_iter()
        .map(|appended| appended.unwrap().new)
        .sum();
    assert_eq!(new, 2);
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE).len(), 2);
}

#[tokio::test]
async fn memory_is_rebuilt_exactly_from_log_and_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    for n in 1..=30 {
        let report = charge(n, n.cast_unsigned(), 1.0 / (1 + n / 4) as f64);
        store
            .append(arrival(device.id, vec![report]))
            .await
            .unwrap();
        if n == 20 {
            store.seal(NOW).await.unwrap();
        }
    }
    let before = store.device(device.id).unwrap();
    let series = numbers(&store, device.id, &metric::BATTERY_CHARGE);
    assert_eq!(series.len(), 30);
    drop(store);
    let store = open(dir.path());
    let after = store.device(device.id).unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), series);
    assert_eq!(after.awake_since, Some(NOW.plus_ms(MINUTE)));
    let charge = after.get(&metric::BATTERY_CHARGE, "BAT0").unwrap();
    assert_eq!(
        charge.since,
        NOW.plus_ms(28 * MINUTE),
        "since the value last changed"
    );
}

#[tokio::test]
async fn a_seal_that_was_interrupted_is_repeated_without_a_second_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let reports: Vec<_> = (1..=50)
        .map(|n| charge(n, n.cast_unsigned(), 0.5))
        .collect();
    store.append(arrival(device.id, reports)).await.unwrap();
    store.freeze(vec![device.id]).await.unwrap();
    let frozen = store.shared().memory().frozen(&[device.id]);
    store.copy_out(&frozen).unwrap();
    store
        .append(arrival(device.id, vec![charge(51, 51, 0.5)]))
        .await
        .unwrap();
    assert_eq!(
        numbers(&store, device.id, &metric::BATTERY_CHARGE).len(),
        51,
        "only the log counts"
    );
    drop(store);

    let store = open(dir.path());
    store
        .append(arrival(device.id, vec![charge(60, 60, 0.4)]))
        .await
        .unwrap();
    store.seal(NOW).await.unwrap();
    assert_eq!(
        numbers(&store, device.id, &metric::BATTERY_CHARGE).len(),
        52
    );
    assert_eq!(store.counters().log_entries, 0);
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        numbers(&store, device.id, &metric::BATTERY_CHARGE).len(),
        52
    );
    assert_eq!(
        store
            .stored(device.id, SpoolId::from_bytes([3; 16]))
            .unwrap(),
        Sequence(60)
    );
}

#[tokio::test]
async fn a_seal_that_failed_half_way_is_finished_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let other = self::device(NOW);
    store
        .commit(vec![Write::PutDevice(other.clone())])
        .await
        .unwrap();
    for id in [device.id, other.id] {
        store
            .append(arrival(id, vec![charge(1, 1, 0.5)]))
            .await
            .unwrap();
    }
    store.freeze(vec![device.id]).await.unwrap();
    let frozen = store.shared().memory().frozen(&[device.id]);
    store.copy_out(&frozen).unwrap();
    store
        .append(arrival(device.id, vec![charge(2, 2, 0.6)]))
        .await
        .unwrap();
    store.seal(NOW).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        numbers(&store, device.id, &metric::BATTERY_CHARGE),
        [0.5, 0.6]
    );
    assert_eq!(numbers(&store, other.id, &metric::BATTERY_CHARGE), [0.5]);
}

/// Two days, half of one of which comes late, are read the same however they lie on disk.
#[tokio::test]
async fn merged_days_and_what_came_late_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let day = 24 * 60;
    let of = |minutes: std::ops::Range<i64>, first: u64| -> Vec<(UnixMs, Report)> {
        let numbered = minutes.step_by(30).zip(first..);
        numbered
            .map(|(at, n)| charge(at, n, (at + 9000) as f64 / 1e5))
            .collect()
    };
    let early = of(-3 * day..-day, 1);
    let late = of(-3 * day + 7..-day, 1000);
    let mut expected: Vec<f64> = [early.clone(), late.clone()]
        .concat()
        .iter()
        .map(|(at, _)| (at.since(NOW) / MINUTE + 9000) as f64 / 1e5)
        .collect();
    expected.sort_by(f64::total_cmp);
    store.append(arrival(device.id, early)).await.unwrap();
    store.seal(NOW).await.unwrap();
    store.merge(NOW).await.unwrap();
    let folders = || {
        let found = std::fs::read_dir(dir.path().join("history")).unwrap();
        let mut names: Vec<_> = found
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert!(
        folders().iter().all(|name| name.contains("-W")),
        "{:?}",
        folders()
    );
    store.append(arrival(device.id, late)).await.unwrap();
    let read = |store: &Store| numbers(store, device.id, &metric::BATTERY_CHARGE);
    assert_eq!(read(&store), expected, "in the log");
    store.seal(NOW).await.unwrap();
    assert_eq!(read(&store), expected, "sealed as a second generation");
    assert!(
        folders().iter().any(|name| name.ends_with(".1")),
        "{:?}",
        folders()
    );
    drop(store);

    // The merge of the second generation is cut short after it has copied everything.
    let store = open(dir.path());
    let part = store.shared().history.parts().unwrap();
    let Some(keys::Part::Sealed(day, generation)) = part.first().copied() else {
        panic!("a day comes first: {part:?}");
    };
    store.take_from_seals(day, generation).await.unwrap();
    store
        .copy_day(day, generation, keys::RolledUp::Coarse, false)
        .unwrap();
    assert_eq!(read(&store), expected, "what is copied does not count yet");
    drop(store);
    let store = open(dir.path());
    assert_eq!(read(&store), expected, "after a crash");
    store.merge(NOW).await.unwrap();
    assert_eq!(read(&store), expected, "merged");
    assert!(
        folders().iter().all(|name| name.contains("-W")),
        "{:?}",
        folders()
    );
    drop(store);
    assert_eq!(read(&open(dir.path())), expected, "after a restart");
}

/// A week whose days are merged on their own is read the same while it is brought together, wherever that
/// is interrupted, and beside what schema 2 had merged.
#[tokio::test]
async fn days_that_become_a_week_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let day = 24 * 60;
    let reports =
        (0..8 * 12).map(|n| charge(n * 60 - 3 * day, 1 + n.unsigned_abs(), n as f64 / 100.0));
    let expected: Vec<f64> = (0..8 * 12).map(|n| f64::from(n) / 100.0).collect();
    let read = |store: &Store| numbers(store, device.id, &metric::BATTERY_CHARGE);
    store
        .append(arrival(device.id, reports.collect()))
        .await
        .unwrap();
    store.seal(NOW).await.unwrap();
    // Of a large fleet.
    let options = StoreOptions {
        small_week_bytes: 0,
        ..options()
    };
    let open = |data: &Path| Store::open(data, options.clone(), NOW).unwrap();
    drop(store);
    let store = open(dir.path());
    // The week of these days is over at `NOW`; a day before it is not.
    let before = NOW.plus_ms(-86_400_000);
    store.merge(before).await.unwrap();
    let parts = || store.shared().history.parts().unwrap();
    let merged = |parts: &[keys::Part]| {
        parts
            .iter()
            .filter(|part| matches!(part, keys::Part::Merged(..)))
            .count()
    };
    assert_eq!(merged(&parts()), 2, "{:?}", parts());
    assert_eq!(read(&store), expected, "days of their own");

    let week = keys::Week::of(NOW.plus_ms(-3 * 86_400_000));
    let build = store
        .blocking(move |store| store.build_week(week))
        .await
        .unwrap();
    let part = keys::Part::Raw(week);
    assert!(store.shared().history.replace(part, &build).unwrap());
    assert_eq!(
        read(&store),
        expected,
        "the week is there and does not count"
    );
    drop(store);
    let store = open(dir.path());
    assert_eq!(read(&store), expected, "after a crash");
    store.merge(NOW).await.unwrap();
    let parts = store.shared().history.parts().unwrap();
    assert!(parts.contains(&part) && merged(&parts) == 0, "{parts:?}");
    assert_eq!(read(&store), expected, "a week");
    store.merge(NOW).await.unwrap();
    drop(store);

    // A power cut between the removal of the old week and the naming of the new one.
    let folder = dir.path().join("history");
    let next = folder.join(format!("next-{}", part.folder()));
    std::fs::rename(folder.join(part.folder()), &next).unwrap();
    std::fs::create_dir_all(folder.join("building").join("database")).unwrap();
    assert_eq!(read(&open(dir.path())), expected, "the new week is taken");
    assert!(!next.exists() && !folder.join("building").exists());
}

#[tokio::test]
async fn what_schema_2_merged_is_read_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let reports = vec![charge(-3 * 24 * 60, 1, 0.5)];
    store.append(arrival(device.id, reports)).await.unwrap();
    store.seal(NOW).await.unwrap();
    // A day went straight into its week, and its mark was 1.
    let [keys::Part::Sealed(day, generation)] = store.shared().history.parts().unwrap()[..] else {
        panic!("one day");
    };
    store
        .copy_day(day, generation, keys::RolledUp::Coarse, false)
        .unwrap();
    let ops = [
        hot::put(TreeName::Days, &keys::day(day, generation), vec![1]),
        hot::put(
            TreeName::Meta,
            keys::meta::SCHEMA,
            2_u32.to_be_bytes().to_vec(),
        ),
    ];
    store.shared().hot.database.commit(&ops).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), [0.5]);
    let schema = store
        .shared()
        .hot
        .database
        .get(TreeName::Meta as usize, keys::meta::SCHEMA);
    assert_eq!(schema.unwrap(), Some(keys::SCHEMA.to_be_bytes().to_vec()));
    store.merge(NOW).await.unwrap();
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), [0.5]);
}

#[tokio::test]
async fn a_week_waits_for_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let reports = vec![charge(-3 * 24 * 60, 1, 0.5)];
    store.append(arrival(device.id, reports)).await.unwrap();
    store.seal(NOW).await.unwrap();
    store
        .shared()
        .tape
        .start(std::collections::BTreeSet::new())
        .unwrap();
    let merging = tokio::spawn({
        let store = store.clone();
        async move { store.merge(NOW).await }
    });
    let mut looks = 0;
    while !dir
        .path()
        .join("history/building/database/witness")
        .exists()
    {
        looks += 1;
        assert!(looks < 600, "nothing is built");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!merging.is_finished());
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), [0.5]);
    store.shared().tape.stop().unwrap();
    merging.await.unwrap().unwrap();
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), [0.5]);
    let parts = store.shared().history.parts().unwrap();
    let readings = |part: &&keys::Part| !matches!(part, keys::Part::Rollups(..));
    let readings: Vec<_> = parts.iter().filter(readings).collect();
    assert!(matches!(readings[..], [keys::Part::Raw(_)]), "{parts:?}");
}

#[tokio::test]
async fn retention_removes_whole_parts_and_believes_no_clock_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let day = 24 * 60;
    let reports = vec![charge(-401 * day, 1, 0.1), charge(0, 2, 0.2)];
    store.append(arrival(device.id, reports)).await.unwrap();
    store.seal(NOW).await.unwrap();
    let folders = || {
        std::fs::read_dir(dir.path().join("history"))
            .unwrap()
            .count()
    };
    assert_eq!(folders(), 2);
    let ten_years_ahead = NOW.plus_ms(3650 * 86_400_000);
    store.enforce_retention(ten_years_ahead).await.unwrap();
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), [0.2]);
    assert_eq!(folders(), 1);
}

#[tokio::test]
async fn below_the_reserve_telemetry_is_refused_and_records_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let full = StoreOptions {
        reserve_bytes: u64::MAX,
        ..options()
    };
    let store = Store::create(dir.path(), full, NOW).unwrap();
    let device = device(NOW);
    store
        .commit(vec![Write::PutDevice(device.clone())])
        .await
        .unwrap();
    let refused = store
        .append(arrival(device.id, vec![charge(0, 1, 0.9)]))
        .await;
    assert!(
        matches!(refused, Err(StoreError::Full { .. })),
        "{refused:?}"
    );
    assert_eq!(store.counters().refused_full, 1);
    drop(store);
    let store = open(dir.path());
    let appended = store
        .append(arrival(device.id, vec![charge(0, 1, 0.9)]))
        .await
        .unwrap();
    assert_eq!(appended.new, 1, "nothing was noted of what was refused");
}

#[tokio::test]
async fn records_and_large_values_survive_a_restart() {
    use rollcall_shared::configuration::Beacon;
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let beacon = |n: usize| Beacon {
        site: format!("School {n}").parse().unwrap(),
        address: format!("beacon-{n}.district.example:8444"),
    };
    let configuration = Configuration {
        revision: 9,
        beacons: (0..1900).map(beacon).collect(),
        ..Configuration::default()
    };
    let line = |n: i64| AuditLine {
        at: NOW.plus_ms(n),
        actor: "admin".to_owned(),
        action: "device.revoke".to_owned(),
        subject: n.to_string(),
        outcome: "ok".to_owned(),
        detail: String::new(),
    };
    store
        .commit(vec![Write::PutConfiguration(configuration.clone())])
        .await
        .unwrap();
    store
        .commit(vec![
            Write::Audit(line(1)),
            Write::Audit(line(1)),
            Write::Audit(line(2)),
        ])
        .await
        .unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.configuration(), configuration);
    assert_eq!(store.devices()[0].device, device);
    let subjects: Vec<String> = store
        .audit(2)
        .unwrap()
        .into_iter()
        .map(|l| l.subject)
        .collect();
    assert_eq!(subjects, ["2", "1"]);
    assert_eq!(store.audit(10).unwrap().len(), 3);
}

#[tokio::test]
async fn a_full_report_forgets_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let (at, mut full) = charge(1, 2, 0.5);
    full.full = true;
    full.readings.remove(0);
    store
        .append(arrival(device.id, vec![charge(0, 1, 0.5), (at, full)]))
        .await
        .unwrap();
    let state = store.device(device.id).unwrap();
    assert_eq!(state.get(&metric::BATTERY_CHARGE, "BAT0"), None);
    let name = &state.get(&metric::OS_NAME, "").unwrap().value;
    assert_eq!(*name, Value::Text("Debian 2".to_owned()));
}

#[tokio::test]
async fn each_bad_folder_has_its_own_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("holiday.jpg"), b"not telemetry").unwrap();
    let photos = Store::create(dir.path(), options(), NOW).unwrap_err();
    assert!(matches!(photos, OpenError::Foreign { .. }), "{photos}");
    std::fs::remove_file(dir.path().join("holiday.jpg")).unwrap();
    let missing = Store::open(dir.path(), options(), NOW).unwrap_err();
    assert!(matches!(missing, OpenError::Missing(_)), "{missing}");
    std::fs::create_dir(dir.path().join("hot")).unwrap();
    let foreign = Store::open(dir.path(), options(), NOW).unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
    std::fs::remove_dir(dir.path().join("hot")).unwrap();

    let store = Store::create(dir.path(), options(), NOW).unwrap();
    let locked = Store::open(dir.path(), options(), NOW).unwrap_err();
    assert!(matches!(locked, OpenError::Locked(_)), "{locked}");
    drop(store);
    let exists = Store::create(dir.path(), options(), NOW).unwrap_err();
    assert!(matches!(exists, OpenError::Exists(_)), "{exists}");

    let hot = Hot::open(dir.path()).unwrap();
    let newer = hot::put(
        TreeName::Meta,
        keys::meta::SCHEMA,
        99_u32.to_be_bytes().to_vec(),
    );
    hot.database.commit(&[newer]).unwrap();
    drop(hot);
    let newer = Store::open(dir.path(), options(), NOW).unwrap_err();
    assert!(
        matches!(newer, OpenError::Newer { found: 99, .. }),
        "{newer}"
    );
}

#[tokio::test]
async fn another_sled_database_is_not_taken_for_ours() {
    let dir = tempfile::tempdir().unwrap();
    drop(sled::open(dir.path().join("hot")).unwrap());
    let foreign = Store::open(dir.path(), options(), NOW).unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
}

#[tokio::test]
async fn a_failed_store_acknowledges_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    store.shared().fail("the disk is gone");
    let refused = store
        .append(arrival(device.id, vec![charge(0, 1, 0.9)]))
        .await;
    assert_eq!(
        refused,
        Err(StoreError::Failed("the disk is gone".to_owned()))
    );
    assert_eq!(store.failed().await, "the disk is gone");
    assert_eq!(store.counters().failed, 1);
}

#[tokio::test]
async fn a_file_in_blobs_is_an_alarm() {
    let dir = tempfile::tempdir().unwrap();
    drop(with_device(dir.path()).await);
    std::fs::write(dir.path().join("hot/blobs/stray"), b"x").unwrap();
    assert_eq!(open(dir.path()).counters().blob_files, 1);
}

/// The largest report must not push any page into `blobs/`.
#[tokio::test]
async fn no_report_is_too_large_for_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let noise = |n: usize| format!("{n}-{}", DeviceId::generate());
    let readings = (0..2048).map(|n| Reading::text(&metric::OS_NAME, &noise(n), &noise(n)));
    let (at, mut large) = charge(0, 1, 0.5);
    large.readings = readings.collect();
    store
        .append(arrival(device.id, vec![(at, large.clone())]))
        .await
        .unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.device(device.id).unwrap().latest.len(), 2048);
    store.seal(NOW).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.device(device.id).unwrap().latest.len(), 2048);
    assert_eq!(store.counters().blob_files, 0);
}

/// A room of laptops may all send their largest report within one commit.
#[tokio::test]
async fn the_largest_reports_together_can_be_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let reading = |n: usize| Reading::text(&metric::OS_NAME, &n.to_string(), &"x".repeat(256));
    let (at, mut large) = charge(0, 1, 0.5);
    large.readings = (0..480).map(reading).collect();
    let others: Vec<Arrival> = (0..=255_u8)
        .map(|n| Arrival {
            spool: SpoolId::from_bytes([n; 16]),
            ..arrival(device.id, vec![(at, large.clone())])
        })
        .collect();
    let sent = others.into_iter().map(|arrival| {
        let store = store.clone();
        tokio::spawn(async move { store.append(arrival).await })
    });
    for sent in sent.collect::<Vec<_>>() {
        assert_eq!(sent.await.unwrap().unwrap().new, 1);
    }
    drop(store);
    let store = open(dir.path());
    store.seal(NOW).await.unwrap();
    assert_eq!(store.counters().log_entries, 0);
}

#[tokio::test]
async fn a_laptop_that_makes_up_series_fills_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    for sequence in 1..=3 {
        let (at, mut report) = charge(0, sequence, 0.5);
        let name = |n: u64| Reading::text(&metric::OS_NAME, &format!("{sequence}-{n}"), "x");
        report.readings = (0..2048).map(name).collect();
        let sent = arrival(device.id, vec![(at, report)]);
        store.append(sent).await.unwrap();
    }
    assert_eq!(store.device(device.id).unwrap().latest.len(), 4096);
    assert_eq!(store.counters().series_left_out, 2048);
}

#[tokio::test]
async fn a_laptop_with_ever_new_spools_is_remembered_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let spool =
        |n: u64| SpoolId::from_bytes([n.to_be_bytes(), [9; 8]].concat().try_into().unwrap());
    let all = cursors::SPOOLS as u64 + 3;
    for n in 0..all {
        let sent = Arrival {
            spool: spool(n),
            ..arrival(device.id, vec![charge(0, 5, 0.5)])
        };
        store.append(sent).await.unwrap();
    }
    drop(store);
    let store = open(dir.path());
    let stored = |n| store.stored(device.id, spool(n)).unwrap();
    let known: Vec<u64> = (0..all).filter(|n| stored(*n) == Sequence(5)).collect();
    assert_eq!(known, (3..all).collect::<Vec<_>>(), "the oldest three went");
}

#[tokio::test]
async fn any_sequence_may_be_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let last = |spool| Arrival {
        spool: SpoolId::from_bytes([spool; 16]),
        ..arrival(device.id, vec![charge(0, u64::MAX, 0.5)])
    };
    let (a, b, c) = tokio::join!(
        store.append(last(1)),
        store.append(last(2)),
        store.append(last(3))
    );
    for stored in [a, b, c] {
        assert_eq!(stored.unwrap().stored, Sequence(u64::MAX));
    }
}

/// Two streams of one laptop: history, and the present, in one transaction.
#[tokio::test]
async fn history_and_the_present_in_one_transaction_are_both_kept_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let patient = StoreOptions {
        gather: Duration::from_millis(300),
        ..options()
    };
    let store = Store::create(dir.path(), patient, NOW).unwrap();
    let device = device(NOW);
    let writes = vec![Write::PutDevice(device.clone())];
    store.commit(writes).await.unwrap();
    let first = arrival(device.id, vec![charge(0, 1, 0.9)]);
    store.append(first).await.unwrap();
    let mut old = arrival(device.id, vec![charge(-600, 1, 0.2), charge(-599, 2, 0.3)]);
    old.spool = SpoolId::from_bytes([4; 16]);
    let new = arrival(device.id, vec![charge(1, 2, 0.3)]);
    let (old, new) = tokio::join!(store.append(old), store.append(new));
    assert_eq!((old.unwrap().new, new.unwrap().new), (2, 1));
    let latest = |store: &Store| {
        let state = store.device(device.id).unwrap();
        let latest = state.get(&metric::BATTERY_CHARGE, "BAT0").unwrap();
        latest.value.as_number().unwrap()
    };
    assert_eq!(latest(&store), 0.3);
    let wanted = [0.2, 0.3, 0.9, 0.3];
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), wanted);
    drop(store);
    let store = open(dir.path());
    assert_eq!(latest(&store), 0.3);
    assert_eq!(numbers(&store, device.id, &metric::BATTERY_CHARGE), wanted);
}

/// What people said: a silence that holds, one that is over, and a note.
fn words(said: UnixMs) -> Vec<Write> {
    use crate::mark::{Marks, Note, Subject};
    use crate::silence::{Kind, Matchers, Silence, SilenceId, When};
    let silence = |until: UnixMs| Silence {
        id: SilenceId::generate(),
        kind: Kind::Maintenance,
        matchers: Matchers::default(),
        when: When::Once { from: said, until },
        reason: "summer".to_owned(),
        author: "kim".to_owned(),
        created: said,
        ended: None,
    };
    let subject = Subject::Alert(AlertId::generate());
    let mut marks = Marks::new(subject, vec!["disk-full".to_owned()], said);
    marks.add_note(Note {
        by: "kim".to_owned(),
        at: said,
        text: "seen".to_owned(),
    });
    vec![
        Write::PutSilence(silence(said.plus_ms(1000))),
        Write::PutSilence(silence(said.plus_ms(1_000_000 * 86_400_000))),
        Write::PutMarks(marks),
    ]
}

#[tokio::test]
async fn what_people_said_outlives_the_process_and_retention_forgets_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    store.commit(words(NOW)).await.unwrap();
    drop(store);
    let report = check_store(dir.path(), &dir.path().join("scratch")).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    let said = words(NOW);
    assert_eq!(store.silences().len(), 2);
    let marks = store.all_marks();
    let Write::PutMarks(expected) = &said[2] else {
        panic!("the last are marks");
    };
    assert_eq!(marks.values().next().unwrap().notes, expected.notes);
    // Two years later, as reports and the clock agree.
    let later = NOW.plus_ms(2 * 365 * 86_400_000);
    let mut arrival = arrival(device.id, vec![charge(0, 1, 0.9)]);
    arrival.reports[0].0 = later;
    store.append(arrival).await.unwrap();
    store.shared().memory_mut().retained = Some(later);
    store.enforce_retention(later).await.unwrap();
    assert_eq!(store.silences().len(), 1, "what holds is kept");
    assert!(store.all_marks().is_empty());
}

#[tokio::test]
async fn a_store_of_schema_2_opens_without_any_words() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = with_device(dir.path()).await;
    drop(store);
    let hot = Hot::open(dir.path()).unwrap();
    let older = 2_u32.to_be_bytes().to_vec();
    let mark = hot::put(TreeName::Meta, keys::meta::SCHEMA, older);
    hot.database.commit(&[mark]).unwrap();
    drop(hot);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(store.device_count(), 1);
    store.commit(words(NOW)).await.unwrap();
    drop(store);
    let hot = Hot::open(dir.path()).unwrap();
    let schema = hot
        .database
        .get(TreeName::Meta as usize, keys::meta::SCHEMA)
        .unwrap();
    assert_eq!(schema, Some(keys::SCHEMA.to_be_bytes().to_vec()));
}
