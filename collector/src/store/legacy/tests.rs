//! A store as schema 1 wrote it, byte for byte, is opened.

use std::path::Path;
use std::time::Duration;

use rollcall_shared::id::{BootId, Sequence};
use rollcall_shared::metric;
use rollcall_shared::report::Taken;
use rollcall_shared::time::SinceBootMs;

use super::super::block::{Point, encode_v1};
use super::super::codec::pack;
use super::super::database::Database;
use super::super::keys::Week;
use super::super::{Store, StoreOptions};
use super::*;
use crate::device::DeviceState;
use crate::store::testing;

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const MINUTE: i64 = 60_000;
const SEALED: u64 = 40;

fn device() -> Device {
    Device {
        id: DeviceId::from_bytes([5; 16]),
        ..testing::device(NOW)
    }
}

const fn spool() -> SpoolId {
    SpoolId::from_bytes([3; 16])
}

fn charge(minute: i64) -> f64 {
    1.0 - minute as f64 / 1000.0
}

fn report_of(minute: i64) -> (UnixMs, Report) {
    let report = Report {
        sequence: Sequence(minute.cast_unsigned()),
        taken: Taken {
            wall: NOW,
            boot: BootId::from_bytes([7; 16]),
            since_boot: SinceBootMs(1),
        },
        full: false,
        urgent: false,
        readings: vec![
            Reading::number(&metric::BATTERY_CHARGE, "BAT0", charge(minute)),
            Reading::text(&metric::OS_NAME, "", "Debian"),
        ],
    };
    (NOW.plus_ms(minute * MINUTE), report)
}

fn put_arrival(form: &mut Encoder, arrival: &Arrival) {
    form.raw(arrival.device.as_bytes());
    form.raw(arrival.spool.as_bytes());
    form.i64(arrival.received.0);
    form.i64(arrival.skew_ms);
    form.u32(u32::try_from(arrival.reports.len()).expect("a message has few reports"));
    for (at, report) in &arrival.reports {
        form.i64(at.0);
        form.bytes(&v1::Report::from(report).encode_to_vec());
    }
}

fn entry_bytes(minutes: std::ops::RangeInclusive<i64>) -> Vec<u8> {
    let arrival = Arrival {
        device: device().id,
        spool: spool(),
        reports: minutes.map(report_of).collect(),
        received: NOW.plus_ms(90 * MINUTE),
        skew_ms: 40,
    };
    let mut form = Encoder::default();
    form.u8(ENTRY);
    put_arrival(&mut form, &arrival);
    pack(&form.0)
}

fn snapshot_bytes(through: u64, state: &DeviceState) -> Vec<u8> {
    let mut form = Encoder::default();
    form.u8(SNAPSHOT);
    form.u64(through);
    form.maybe_i64(state.last_report.map(|at| at.0));
    form.maybe_i64(state.last_seen.map(|at| at.0));
    form.maybe_i64(state.awake_since.map(|at| at.0));
    form.maybe_i64(state.skew_ms);
    for (key, latest) in state.latest.iter() {
        form.i64(latest.since.0);
        let reading = v1::Reading {
            metric: u32::from(key.metric),
            instance: key.instance.clone(),
            value: Some(latest.value.clone().into()),
        };
        form.bytes(&reading.encode_to_vec());
    }
    pack(&form.0)
}

fn block_op(seal: u64, minutes: std::ops::RangeInclusive<i64>) -> super::super::database::Op {
    let key = SeriesKey::new(&metric::BATTERY_CHARGE, "BAT0");
    let point = |minute| {
        let at = NOW.plus_ms(minute * MINUTE);
        (at, rollcall_shared::reading::Value::Number(charge(minute)))
    };
    let points: Vec<Point> = minutes.map(point).collect();
    let mut bytes = keys::series(device().id, &key);
    bytes.extend(seal.to_be_bytes());
    bytes.extend(0_u32.to_be_bytes());
    super::super::database::Op {
        tree: 0,
        key: bytes,
        value: Some(encode_v1(&points).remove(0)),
    }
}

/// Reports 1 to 30 are sealed; 31 to 40 are in the log, and a seal of them was cut short; so are 41 to 50.
fn write_schema_1(data: &Path) {
    drop(Store::create(data, options(), NOW).unwrap());
    let hot = Hot::open(data).unwrap();
    let id = device().id;
    let mut state = DeviceState::new(device());
    state.last_report = Some(NOW.plus_ms(30 * MINUTE));
    state.awake_since = Some(NOW.plus_ms(MINUTE));
    let cursor = [50_u64.to_be_bytes(), 42_u64.to_be_bytes()].concat();
    let mut ops = vec![
        put(TreeName::Meta, meta::SCHEMA, 1_u32.to_be_bytes().to_vec()),
        put(TreeName::Meta, meta::SEALED, SEALED.to_be_bytes().to_vec()),
        put(
            TreeName::Meta,
            meta::SEALING,
            (SEALED + 1).to_be_bytes().to_vec(),
        ),
        put(
            TreeName::Devices,
            id.as_bytes(),
            serde_json::to_vec(&device()).unwrap(),
        ),
        put(TreeName::Cursors, &keys::cursor(id, spool()), cursor),
    ];
    ops.extend(put_pieces(
        TreeName::State,
        id.as_bytes(),
        &snapshot_bytes(SEALED, &state),
    ));
    ops.extend(put_pieces(
        TreeName::Log,
        &keys::log(41),
        &entry_bytes(31..=40),
    ));
    ops.extend(put_pieces(
        TreeName::Log,
        &keys::log(42),
        &entry_bytes(41..=50),
    ));
    hot.database.commit(&ops).unwrap();
    let folder = data.join("history").join(Week::of(NOW).folder());
    let week = Database::open(&folder, &["blocks"], 1 << 20).unwrap();
    week.commit(&[block_op(SEALED, 1..=30), block_op(SEALED + 1, 31..=40)])
        .unwrap();
}

fn options() -> StoreOptions {
    StoreOptions {
        reserve_bytes: 0,
        gather: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

fn numbers(store: &Store) -> Vec<f64> {
    let key = SeriesKey::new(&metric::BATTERY_CHARGE, "BAT0");
    let all = store
        .series(device().id, &key, UnixMs(0), UnixMs(i64::MAX / 2))
        .unwrap();
    all.iter()
        .filter_map(|(_, value)| value.as_number())
        .collect()
}

#[tokio::test]
async fn a_store_of_schema_1_keeps_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    write_schema_1(dir.path());
    let expected: Vec<f64> = (1..=50).map(charge).collect();
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(numbers(&store), expected);
    assert_eq!(store.stored(device().id, spool()).unwrap(), Sequence(50));
    let arrival = Arrival {
        device: device().id,
        spool: spool(),
        reports: (45..=55).map(report_of).collect(),
        received: NOW,
        skew_ms: 40,
    };
    assert_eq!(store.append(arrival).await.unwrap().new, 5);
    store.seal(NOW).await.unwrap();
    drop(store);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(numbers(&store), (1..=55).map(charge).collect::<Vec<_>>());
    let state = store.device(device().id).unwrap();
    assert_eq!(state.awake_since, Some(NOW.plus_ms(MINUTE)));
    assert_eq!(state.last_report, Some(NOW.plus_ms(55 * MINUTE)));
}

#[test]
fn a_migration_that_was_cut_short_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    write_schema_1(dir.path());
    let hot = Hot::open(dir.path()).unwrap();
    // All was brought over, but for the mark.
    let mark = put(TreeName::Meta, meta::SCHEMA, 1_u32.to_be_bytes().to_vec());
    hot.database.commit(&[mark]).unwrap();
    drop(hot);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(numbers(&store).len(), 50);
    assert_eq!(store.stored(device().id, spool()).unwrap(), Sequence(50));
}
