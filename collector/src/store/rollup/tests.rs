use crate::store::testing::{self, device};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;
use rollcall_shared::report::Report;
use rollcall_shared::time::SystemClock;

use super::super::block::{self, Column};
use super::super::database::Pair;
use super::super::hot::put;
use super::super::keys::{self, Day, Part, Place, RolledUp, TreeName, Week, meta};
use super::super::seal::put_values;
use super::super::*;
use super::{form, join, roll, times_of, *};

/// A Monday, six hours after its beginning.
const NOW: UnixMs = UnixMs(1_789_970_400_000);
const MINUTE: i64 = 60_000;
const DAY: i64 = 1440;

fn key(metric: &Metric, instance: &str) -> SeriesKey {
    SeriesKey::new(metric, instance)
}

fn column(key: SeriesKey, points: impl IntoIterator<Item = (i64, Value)>) -> Column {
    let points = points.into_iter();
    Column {
        key,
        points: points
            .map(|(minute, value)| (UnixMs(minute * MINUTE), value))
            .collect(),
    }
}

#[test]
fn the_mean_is_that_of_reports_and_not_of_changes() {
    // Every minute a report, and the charge changes twice in the hour.
    let charge = [(0, 0.9), (50, 0.4), (51, 0.5)].map(|(at, n)| (at, Value::Number(n)));
    let charge = column(key(&metric::BATTERY_CHARGE, "BAT0"), charge);
    let beat = column(
        key(&metric::CPU_UTILIZATION, ""),
        (0..60).map(|minute| (minute, Value::Number(minute as f64))),
    );
    let rolled = roll(&[charge.clone(), beat.clone()], &times_of(&[charge, beat]));
    assert_eq!(rolled[0].buckets.len(), 4, "it stands where it is not read");
    let hour = coarser(&rolled[0].buckets, Level::Hour.width_ms());
    let band = hour[0].band.unwrap();
    assert_eq!(
        (hour.len(), hour[0].count, band.min, band.max),
        (1, 60, 0.4, 0.9)
    );
    let mean = (0.9 * 50.0 + 0.4 + 0.5 * 9.0) / 60.0;
    assert!(
        (band.mean - mean).abs() < 1e-9,
        "{} is not {mean}",
        band.mean
    );
    assert_eq!(hour[0].last, Value::Number(0.5));
}

#[test]
fn absence_is_neither_health_nor_a_number() {
    let gone = || Value::Unavailable("no longer present".to_owned());
    let points = [
        (0, Value::Number(1.0)),
        (5, gone()),
        (15, gone()),
        (600, Value::Number(3.0)),
    ];
    let charge = column(key(&metric::BATTERY_CHARGE, "BAT0"), points);
    let beat = column(
        key(&metric::CPU_UTILIZATION, ""),
        [0, 5, 15, 590, 600].map(|minute| (minute, Value::Number(0.0))),
    );
    let rolled = roll(&[charge.clone(), beat.clone()], &times_of(&[charge, beat]));
    let buckets = &rolled[0].buckets;
    let told: Vec<_> = buckets
        .iter()
        .map(|b| (b.at.0 / MINUTE, b.count, b.band.is_some()))
        .collect();
    assert_eq!(
        told,
        [(0, 1, true), (15, 0, false), (600, 1, true)],
        "nothing stands for ten hours"
    );
    assert_eq!(buckets[1].last, gone());
    let day = coarser(buckets, Level::Day.width_ms());
    assert_eq!((day[0].count, day[0].band.unwrap().mean), (2, 2.0));
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0_i32..200).prop_map(|n| Value::Number(f64::from(n) / 100.0)),
        1 => any::<f64>().prop_filter("border", |n| n.is_finite() && n.abs() < 1e12).prop_map(Value::Number),
        1 => any::<bool>().prop_map(Value::Flag),
        1 => "[a-z]{0,4}".prop_map(Value::Text),
        1 => "[a-z]{0,4}".prop_map(Value::Unavailable),
    ]
}

fn series() -> impl Strategy<Value = Vec<Column>> {
    let points = prop::collection::btree_map(0_i64..DAY, value(), 1..60);
    let keys = prop::collection::btree_map((1_u16..250, "[a-z]{0,3}"), points, 1..9);
    keys.prop_map(|series| {
        let series = series.into_iter();
        series
            .map(|((metric, instance), points)| column(SeriesKey { metric, instance }, points))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Packed and unpacked, every bucket is the same, but for the last digits of means.
    #[test]
    fn buckets_come_back(columns in series(), generation in 0_u16..3, one in any::<prop::sample::Index>()) {
        let rolled = roll(&columns, &times_of(&columns));
        let packed = block::encode(&form::to_columns(&rolled, generation));
        let unpack = |wanted: block::Wanted<'_>| {
            let needed = |metric: u16, instance: &str| form::is_needed(metric, instance, wanted);
            let columns = packed.iter().flat_map(|piece| block::unpack(piece, &needed).unwrap().columns);
            form::from_columns(columns.collect(), wanted)
        };
        let all = unpack(&|_, _| true);
        prop_assert_eq!(all.len(), rolled.len());
        for (was, is) in rolled.iter().zip(&all) {
            prop_assert_eq!(&was.key, &is.key);
            prop_assert_eq!(was.buckets.len(), is.buckets.len());
            let bands = was.buckets.iter().filter_map(|b| b.band).map(|band| band.max - band.min);
            let widest = bands.fold(0.0, f64::max);
            for (was, is) in was.buckets.iter().zip(&is.buckets) {
                prop_assert_eq!(is.at, was.at.plus_ms(i64::from(generation)));
                prop_assert_eq!((is.count, &is.last), (was.count, &was.last));
                let (Some(was), Some(is)) = (was.band, is.band) else {
                    prop_assert_eq!(was.band, is.band);
                    continue;
                };
                prop_assert_eq!((is.min, is.max), (was.min, was.max));
                prop_assert!((is.mean - was.mean).abs() <= widest / 1000.0 + was.mean.abs() * 1e-12);
            }
        }
        let key = &one.get(&rolled).key;
        let only = unpack(&|metric, instance| metric == key.metric && instance == key.instance);
        prop_assert_eq!(&only[..], std::slice::from_ref(one.get(&all)));
    }
}

fn options() -> StoreOptions {
    StoreOptions {
        reserve_bytes: 0,
        gather: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

/// Reports at these minutes from [`NOW`]: one number that moves, one that changes at noon, one word.
fn reports(minutes: impl IntoIterator<Item = i64>, first: u64) -> Vec<(UnixMs, Report)> {
    let report = |(sequence, minute): (u64, i64)| {
        let wave = ((minute * 7919).rem_euclid(1000)) as f64 / 1000.0;
        let readings = vec![
            Reading::number(&metric::BATTERY_CHARGE, "BAT0", wave),
            Reading::number(
                &metric::BATTERY_CYCLES,
                "BAT0",
                (minute / 720 + 9000) as f64,
            ),
            Reading::text(&metric::OS_NAME, "", "Debian"),
        ];
        let report = testing::report(sequence, NOW, readings);
        (NOW.plus_ms(minute * MINUTE), report)
    };
    (first..).zip(minutes).map(report).collect()
}

async fn append(store: &Store, device: DeviceId, reports: Vec<(UnixMs, Report)>) {
    for reports in reports.chunks(500) {
        let arrival = Arrival {
            device,
            spool: SpoolId::from_bytes([3; 16]),
            reports: reports.to_vec(),
            received: NOW,
            skew_ms: 0,
        };
        store.append(arrival).await.unwrap();
    }
}

async fn with_device(data: &Path) -> (Store, DeviceId) {
    let store = Store::create(data, options(), NOW).unwrap();
    let device = device(NOW);
    store
        .commit(vec![Write::PutDevice(device.clone())])
        .await
        .unwrap();
    (store, device.id)
}

/// What a store tells of all series. Two tellings are the same up to a hair in their means.
#[derive(Debug)]
struct Told(Vec<Rolled>);

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        let bare = |told: &Self| {
            let mut rolled = told.0.clone();
            let bands = rolled.iter_mut().flat_map(|of| &mut of.buckets);
            bands
                .filter_map(|b| b.band.as_mut())
                .for_each(|band| band.mean = 0.0);
            rolled
        };
        let means = |told: &Self| -> Vec<f64> {
            let buckets = told.0.iter().flat_map(|of| &of.buckets);
            buckets
                .filter_map(|bucket| Some(bucket.band?.mean))
                .collect()
        };
        let near = |(a, b): (f64, f64)| (a - b).abs() < 0.004;
        bare(self) == bare(other) && means(self).into_iter().zip(means(other)).all(near)
    }
}

impl Told {
    fn buckets(&self) -> &[Bucket] {
        &self.0[0].buckets
    }
}

fn told(store: &Store, device: DeviceId, range: (UnixMs, UnixMs), level: Level) -> Told {
    let rolled = store.rolled(device, &|_, _| true, range, level, level.width_ms());
    Told(rolled.unwrap())
}

fn names(data: &Path) -> Vec<String> {
    let found = std::fs::read_dir(data.join("history")).unwrap();
    let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn have(names: &[String], end: &str) -> bool {
    names.iter().any(|name| name.ends_with(end))
}

/// However days lie on disk, and whatever came late, the same is told, and by every level.
#[tokio::test]
async fn rolled_up_or_not_the_same_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let range = (NOW.plus_ms(-9 * DAY * MINUTE), NOW);
    let of_all = |store: &Store| Level::ALL.map(|level| told(store, device, range, level));
    append(&store, device, reports((-9 * DAY..0).step_by(5), 1)).await;
    let expected = of_all(&store);
    let widths = expected.each_ref().map(|of| of.buckets().len());
    assert_eq!(widths, [9 * 96, 9 * 24, 10], "in the log");
    assert_eq!(expected[1].buckets()[3].count, 12);
    store.seal(NOW).await.unwrap();
    assert_eq!(of_all(&store), expected, "sealed");
    store.merge(NOW).await.unwrap();
    let folders = names(dir.path());
    assert!(
        ["1h", "1d"].iter().all(|end| have(&folders, end)) && !have(&folders, "15m"),
        "{folders:?}"
    );
    assert_eq!(of_all(&store), expected, "merged");
    let before = store.counters().history_bytes_read;
    told(&store, device, range, Level::Day);
    let read = store.counters().history_bytes_read - before;
    assert!(
        read < 2500,
        "{read} bytes for three weeks of days and this morning"
    );

    // A day comes late, between what is there.
    append(
        &store,
        device,
        reports((-3 * DAY + 2..-2 * DAY).step_by(5), 10_000),
    )
    .await;
    let late = of_all(&store);
    assert_ne!(late, expected);
    store.seal(NOW).await.unwrap();
    assert_eq!(of_all(&store), late, "sealed as a second generation");
    drop(store);

    let store = Store::open(dir.path(), options(), NOW).unwrap();
    let parts = store.shared().history.parts().unwrap();
    let late_days = parts.iter().filter_map(|part| match part {
        Part::Sealed(day, generation @ 1..) => Some((*day, *generation)),
        _ => None,
    });
    // The merge is cut short after it has copied and rolled up everything.
    for (day, generation) in late_days {
        store.take_from_seals(day, generation).await.unwrap();
        store
            .copy_day(day, generation, RolledUp::Coarse, false)
            .unwrap();
    }
    assert_eq!(of_all(&store), late, "what is not marked does not count");
    drop(store);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(of_all(&store), late, "after a crash");
    store.merge(NOW).await.unwrap();
    assert_eq!(of_all(&store), late, "merged once more");
    assert!(!have(&names(dir.path()), ".1"));
    drop(store);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(of_all(&store), late, "after a restart");

    // The readings are about to go.
    store.shared().memory_mut().retained = Some(NOW.plus_ms(50 * DAY * MINUTE));
    store.roll_up().await.unwrap();
    assert!(have(&names(dir.path()), "15m"));
    assert_eq!(of_all(&store), late, "with quarters of an hour");
    drop(store);
    let scratch = tempfile::tempdir().unwrap();
    let report = check_store(dir.path(), &scratch.path().join("scratch")).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// A store of schema 2 has merged days without roll-ups: they are made, and nothing goes before.
#[tokio::test]
async fn a_store_without_roll_ups_gets_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let every_third_day = (-20..0).flat_map(|day| (day * 3 * DAY..day * 3 * DAY + 600).step_by(60));
    append(&store, device, reports(every_third_day, 1)).await;
    store.seal(NOW).await.unwrap();
    let late = NOW.plus_ms(DAY * MINUTE);
    store.merge(late).await.unwrap();
    let range = (NOW.plus_ms(-60 * DAY * MINUTE), NOW);
    let of_all = |store: &Store| Level::ALL.map(|level| told(store, device, range, level));
    let expected = of_all(&store);

    // As schema 2 would have left it.
    let days = store.shared().memory().days.clone();
    let mut ops: Vec<_> = days
        .iter()
        .map(|((day, generation), place)| {
            let value = place.value(RolledUp::Not);
            put(TreeName::Days, &keys::day(*day, *generation), value)
        })
        .collect();
    ops.push(put(
        TreeName::Meta,
        meta::SCHEMA,
        2_u32.to_be_bytes().to_vec(),
    ));
    store.shared().hot.database.commit(&ops).unwrap();
    drop(store);
    for name in names(dir.path())
        .iter()
        .filter(|name| name.contains("-W") && name.contains('.'))
    {
        std::fs::remove_dir_all(dir.path().join("history").join(name)).unwrap();
    }

    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(of_all(&store), expected, "from the readings");
    store.enforce_retention(NOW).await.unwrap();
    assert_eq!(
        of_all(&store),
        expected,
        "nothing goes that is not rolled up"
    );
    store.roll_up().await.unwrap();
    let rolled = |store: &Store| store.shared().memory().rolled.len();
    assert!((1..8).contains(&rolled(&store)), "a bounded step");
    assert_eq!(of_all(&store), expected, "some of both");
    for _ in 0..12 {
        store.roll_up().await.unwrap();
    }
    assert_eq!(rolled(&store), days.len());
    assert_eq!(of_all(&store), expected, "rolled up");
    store.enforce_retention(NOW).await.unwrap();
    let oldest = store.columns(device, range.0, range.1).unwrap()[0].points[0].0;
    let kept = NOW.since(oldest) / DAY / MINUTE;
    assert!(
        (35..=42).contains(&kept),
        "readings of {kept} days are there"
    );
    assert_eq!(of_all(&store), expected, "and the roll-ups stay");
}

/// The chart of a year reads kilobytes, and only those of the year.
#[tokio::test]
async fn a_year_is_read_from_kilobytes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let last = Week::of(NOW).0;
    for week in (last - 53..last).map(Week) {
        let days: Vec<Day> = (0..7).map(|n| Day(week.start().0 + n)).collect();
        let hours = |day: Day| {
            let columns = year_of(day);
            let times = times_of(&columns);
            let prefix = keys::merged(device, day, 0);
            let pieces = block::encode(&hours(&columns, &times, 0));
            put_values(0, &prefix, pieces).into_iter()
        };
        let hours = days.iter().flat_map(|day| hours(*day));
        let hours: Vec<_> = hours.map(|op| Ok((op.key, op.value.unwrap()))).collect();
        for level in [Level::Hour, Level::Day] {
            let of: Vec<_> = days.iter().map(|day| (*day, 0)).collect();
            let pairs = hours.iter().map(|pair: &Pair| {
                let (key, value) = pair.as_ref().unwrap();
                Ok((key.clone(), value.clone()))
            });
            let pairs: Vec<Pair> = pairs.collect();
            let sources: Vec<join::Pairs> = vec![Box::new(pairs.into_iter())];
            let built = store.join(level, week, &of, sources, join::of_hours);
            let part = Part::rollups(level, week);
            assert!(
                store
                    .shared()
                    .history
                    .replace(part, &built.unwrap())
                    .unwrap()
            );
        }
        let mut memory = store.shared().memory_mut();
        for day in days {
            memory.place_day((day, 0), Place::Week, RolledUp::Coarse);
        }
    }
    let range = (NOW.plus_ms(-365 * DAY * MINUTE), NOW.plus_ms(-DAY * MINUTE));
    let bytes = |range: (UnixMs, UnixMs), level: Level| {
        let before = store.counters().history_bytes_read;
        let told = told(&store, device, range, level);
        assert_eq!(told.0.len(), 36);
        let per_day = Level::Day.width_ms() / level.width_ms();
        let days = range.1.since(range.0) / Level::Day.width_ms();
        let found = told.buckets().len() as i64;
        assert!(
            (days * per_day..=(days + 2) * per_day).contains(&found),
            "{found}"
        );
        store.counters().history_bytes_read - before
    };
    let [hours, days] = [Level::Hour, Level::Day].map(|level| bytes(range, level));
    println!("{days} bytes of days, {hours} of hours");
    assert!(days < 60 * 1024, "{days} bytes for a year of days");
    assert!(days * 4 < hours, "{days} bytes against {hours} of hours");
    for back in [40, 101, 250] {
        let month = NOW.plus_ms(-back * DAY * MINUTE);
        let some = bytes((month, month.plus_ms(30 * DAY * MINUTE)), Level::Hour);
        assert!(some * 6 < hours, "{some} bytes for a month of {hours}");
    }
}

/// A day of 36 numbers of which a half move.
fn year_of(day: Day) -> Vec<Column> {
    let start = day.start().0 / MINUTE;
    let column_of = |metric: u16| {
        let value = |minute: i64| (minute * 7919 * i64::from(metric % 2)) % 1000;
        let points = (start..start + DAY).step_by(20);
        let points = points.map(|at| (at, Value::Number(value(at) as f64 / 10.0)));
        let key = SeriesKey {
            metric,
            instance: String::new(),
        };
        column(key, points)
    };
    (1..=36).map(column_of).collect()
}

/// Each level goes when it may, and the readings first.
#[tokio::test]
async fn each_level_is_kept_for_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let one_day_a_week =
        (-57..0).flat_map(|week| (week * 7 * DAY..week * 7 * DAY + 600).step_by(60));
    append(&store, device, reports(one_day_a_week, 1)).await;
    store.seal(NOW).await.unwrap();
    store.merge(NOW.plus_ms(DAY * MINUTE)).await.unwrap();
    let all = (NOW.plus_ms(-400 * DAY * MINUTE), NOW);
    let days = told(&store, device, all, Level::Day);
    for _ in 0..60 {
        store.enforce_retention(NOW).await.unwrap();
        store.roll_up().await.unwrap();
    }
    let reach = |level: Option<Level>| {
        let first = match level {
            Some(level) => told(&store, device, all, level).buckets()[0].at,
            None => store.columns(device, all.0, all.1).unwrap()[0].points[0].0,
        };
        NOW.since(first) / DAY / MINUTE
    };
    assert!((28..=42).contains(&reach(None)), "{}", reach(None));
    let quarters = reach(Some(Level::Quarter));
    assert!((95..=128).contains(&quarters), "{quarters}");
    assert!(reach(Some(Level::Hour)) >= 392 && reach(Some(Level::Day)) >= 392);
    assert_eq!(told(&store, device, all, Level::Day), days);
}

/// Wherever joining a day with its week is cut short, each day counts once.
#[tokio::test]
async fn a_day_that_is_half_joined_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    let range = (NOW.plus_ms(-9 * DAY * MINUTE), NOW);
    let of_all = |store: &Store| Level::ALL.map(|level| told(store, device, range, level));
    append(&store, device, reports((-9 * DAY..-3 * DAY).step_by(5), 1)).await;
    store.seal(NOW).await.unwrap();
    store.merge(NOW).await.unwrap();
    append(&store, device, reports((-3 * DAY..-DAY).step_by(5), 10_000)).await;
    store.seal(NOW).await.unwrap();
    let expected = of_all(&store);
    let parts = store.shared().history.parts().unwrap();
    let sealed = parts.into_iter().filter_map(|part| match part {
        Part::Sealed(day, generation) if day.end() <= NOW => Some((day, generation)),
        _ => None,
    });
    let sealed: Vec<_> = sealed.collect();
    assert!(sealed.len() > 1);
    for (day, generation) in sealed.clone() {
        store.take_from_seals(day, generation).await.unwrap();
        let built = store.build_day(day, generation).unwrap();
        let part = Part::Merged(day, generation);
        store.put_in_place(part, built).await.unwrap();
        assert_eq!(of_all(&store), expected, "built");
        store
            .place_days(
                vec![(day, generation)],
                Place::Merged,
                Some(RolledUp::Coarse),
            )
            .await
            .unwrap();
        assert_eq!(of_all(&store), expected, "hours beside their readings");
    }
    let week = Week::of(sealed[0].0.start());
    let of_week: Vec<_> = sealed
        .into_iter()
        .filter(|(day, _)| Week::of(day.start()) == week)
        .collect();
    for level in [Level::Hour, Level::Day] {
        let built = store.join_hours(level, week, &of_week).unwrap();
        let part = Part::rollups(level, week);
        store.put_in_place(part, built).await.unwrap();
        assert_eq!(of_all(&store), expected, "one level is joined");
    }
    drop(store);
    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(of_all(&store), expected, "after a crash");
    store.merge(NOW).await.unwrap();
    assert_eq!(of_all(&store), expected, "joined once more");
    assert!(!have(&names(dir.path()), ".merged"));
}

/// Schema 4 put every level of each day into its folder, a value for each day: it is read as it is, and goes
/// on in today's form.
#[tokio::test]
async fn what_schema_4_rolled_up_is_told_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let (store, device) = with_device(dir.path()).await;
    append(&store, device, reports((-20 * DAY..0).step_by(30), 1)).await;
    store.seal(NOW).await.unwrap();
    store.merge(NOW).await.unwrap();
    let range = (NOW.plus_ms(-20 * DAY * MINUTE), NOW.plus_ms(DAY * MINUTE));
    let of_all = |store: &Store| Level::ALL.map(|level| told(store, device, range, level));
    let expected = of_all(&store);
    let days = store.shared().memory().days.clone();
    let mut ops = vec![put(
        TreeName::Meta,
        meta::SCHEMA,
        4_u32.to_be_bytes().to_vec(),
    )];
    let folders = names(dir.path());
    let folders = folders
        .iter()
        .filter(|name| name.ends_with('h') || name.ends_with("1d"));
    for name in folders {
        let part = Part::from_folder(name).unwrap();
        store.shared().history.remove(part).unwrap();
    }
    for ((day, generation), place) in days {
        let columns = store
            .columns(device, day.start(), day.end().plus_ms(-1))
            .unwrap();
        let mut rolled = write::RollUps::open(&store, day, generation, RolledUp::Whole).unwrap();
        rolled.put(device, &columns, &times_of(&columns)).unwrap();
        rolled.finish().unwrap();
        let value = place.value(RolledUp::Whole);
        ops.push(put(TreeName::Days, &keys::day(day, generation), value));
    }
    store.shared().hot.database.commit(&ops).unwrap();
    drop(store);

    let store = Store::open(dir.path(), options(), NOW).unwrap();
    assert_eq!(of_all(&store), expected, "as schema 4 left it");
    append(&store, device, reports((0..DAY).step_by(30), 5000)).await;
    let expected = of_all(&store);
    let tomorrow = NOW.plus_ms(2 * DAY * MINUTE);
    store.seal(tomorrow).await.unwrap();
    store.merge(tomorrow).await.unwrap();
    store.roll_up().await.unwrap();
    assert_eq!(of_all(&store), expected, "with a day of today's form");
    drop(store);
    let scratch = tempfile::tempdir().unwrap();
    let report = check_store(dir.path(), &scratch.path().join("scratch")).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Backups carry roll-ups as everything else.
#[tokio::test]
async fn a_restored_store_tells_the_same() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, device) = with_device(dir.path()).await;
    append(&store, device, reports((-20 * DAY..0).step_by(30), 1)).await;
    store.seal(NOW).await.unwrap();
    store.merge(NOW).await.unwrap();
    let range = (NOW.plus_ms(-20 * DAY * MINUTE), NOW);
    let expected = Level::ALL.map(|level| told(&store, device, range, level));
    let file = copy.path().join("backup");
    let out = std::fs::File::create(&file).unwrap();
    store.back_up(out, &[], &SystemClock).unwrap();
    drop(store);
    let data = copy.path().join("data");
    restore(&file, &data).unwrap();
    let store = Store::open(&data, options(), NOW).unwrap();
    assert_eq!(
        Level::ALL.map(|level| told(&store, device, range, level)),
        expected
    );
}
