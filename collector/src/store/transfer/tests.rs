use std::path::Path;
use std::time::Duration;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, Sequence, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::SinceBootMs;

use super::*;
use crate::device::{SeriesKey, Standing};
use crate::store::{Arrival, Store, StoreOptions, Write};

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const DAY_MS: i64 = 86_400_000;

fn options() -> StoreOptions {
    StoreOptions {
        reserve_bytes: 0,
        gather: Duration::from_millis(1),
        ..StoreOptions::default()
    }
}

fn device(number: u8, site: &str) -> Device {
    Device {
        id: DeviceId::from_bytes([number; 16]),
        site: site.parse().unwrap(),
        group: None,
        enrolled: NOW,
        fingerprint: HardwareFingerprint::default(),
        vendor: String::new(),
        model: String::new(),
        agent_version: String::new(),
        standing: Standing::Active,
        cloned_from: None,
    }
}

fn readings(n: i64) -> Vec<Reading> {
    vec![
        Reading::number(&metric::BATTERY_CHARGE, "BAT0", (n % 97) as f64 / 97.0),
        Reading::number(&metric::BATTERY_POWER, "BAT0", -0.0),
        Reading::flag(&metric::CHARGER_CONNECTED, "", n % 3 == 0),
        Reading::text(&metric::OS_NAME, "", "Debian \"12\", the\nstable"),
        Reading::text(&metric::HOST_MODEL, "", ""),
        Reading::unavailable(&metric::BATTERY_CYCLES, "BAT0", "it, too, \"has none\""),
    ]
}

/// Two laptops of two schools with three weeks of a report an hour.
async fn filled(data: &Path) -> Store {
    let store = Store::create(data, options(), NOW).unwrap();
    for (number, site) in [(1, "Lincoln"), (2, "Keller")] {
        let device = device(number, site);
        let id = device.id;
        store.commit(vec![Write::PutDevice(device)]).await.unwrap();
        let report = |n: i64| {
            let at = NOW.plus_ms(n * 3_600_000 - 21 * DAY_MS);
            let report = Report {
                sequence: Sequence(n.unsigned_abs() + 1),
                taken: Taken {
                    wall: at,
                    boot: BootId::from_bytes([7; 16]),
                    since_boot: SinceBootMs(1),
                },
                full: true,
                urgent: false,
                readings: readings(n),
            };
            (at, report)
        };
        let arrival = Arrival {
            device: id,
            spool: SpoolId::from_bytes([3; 16]),
            reports: (0..500).map(report).collect(),
            received: NOW,
            skew_ms: 0,
        };
        store.append(arrival).await.unwrap();
    }
    store
}

fn everything() -> Selection {
    Selection {
        site: None,
        group: None,
        device: None,
        metric: None,
        from: UnixMs(0),
        to: NOW,
        resolution: None,
    }
}

fn exported(store: &Store, selection: &Selection, format: Format) -> (u64, Vec<u8>) {
    let mut bytes = Vec::new();
    let rows = export(store, selection, format, &mut bytes).unwrap();
    (rows, bytes)
}

async fn imported(store: &Store, file: &[u8], is_dry: bool, site: Option<&str>) -> ImportReport {
    let (store, file) = (store.clone(), file.to_vec());
    let options = ImportOptions {
        dry_run: is_dry,
        new_devices: site.map(|site| site.parse().unwrap()),
    };
    let runtime = tokio::runtime::Handle::current();
    let done =
        tokio::task::spawn_blocking(move || import(&store, &file[..], &options, NOW, runtime));
    done.await.unwrap().unwrap()
}

fn series_of(store: &Store, number: u8) -> Vec<(SeriesKey, Vec<(UnixMs, String)>)> {
    let id = DeviceId::from_bytes([number; 16]);
    let state = store.device(id).unwrap();
    let all = state.latest.iter().map(|(key, _)| key).map(|key| {
        let points = store.series(id, key, UnixMs(0), NOW).unwrap();
        let points = points
            .into_iter()
            .map(|(at, value)| (at, format!("{value:?}")));
        (key.clone(), points.collect())
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_can_be_imported_once() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(from.path()).await;
    let (rows, csv) = exported(&store, &everything(), Format::Csv);
    let (_, jsonl) = exported(&store, &everything(), Format::Jsonl);
    assert_eq!(rows, 2 * 500 * 6);

    let other = Store::create(to.path(), options(), NOW).unwrap();
    let refused = imported(&other, &csv, false, None).await;
    assert_eq!((refused.stored, refused.refused), (0, rows));
    assert!(
        refused.problems[0].starts_with("line 2: device 01010101-"),
        "{}",
        refused.problems[0]
    );

    let dry = imported(&other, &csv, true, Some("Lincoln")).await;
    assert_eq!(
        (dry.stored, dry.new_devices, other.devices().len()),
        (rows, 2, 0)
    );

    let done = imported(&other, &csv, false, Some("Lincoln")).await;
    assert_eq!((done.stored, done.refused, done.new_devices), (rows, 0, 2));
    for number in [1, 2] {
        assert!(series_of(&other, number) == series_of(&store, number));
    }
    for again in [&csv, &jsonl] {
        let again = imported(&other, again, false, Some("Lincoln")).await;
        assert_eq!((again.stored, again.known), (0, rows));
    }
    assert_eq!(exported(&other, &everything(), Format::Csv).1, csv);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_and_gzip_come_in_too() {
    use std::io::Write as _;
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(from.path()).await;
    let (rows, jsonl) = exported(&store, &everything(), Format::Jsonl);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&jsonl).unwrap();
    let other = Store::create(to.path(), options(), NOW).unwrap();
    let done = imported(&other, &gzip.finish().unwrap(), false, Some("Lincoln")).await;
    assert_eq!((done.stored, done.problems), (rows, Vec::new()));
    assert!(series_of(&other, 2) == series_of(&store, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_holds_what_csv_holds() {
    let from = tempfile::tempdir().unwrap();
    let store = filled(from.path()).await;
    let (_, csv) = exported(&store, &everything(), Format::Csv);
    let (_, parquet) = exported(&store, &everything(), Format::Parquet);
    assert!(parquet.len() < csv.len() / 10, "{} bytes", parquet.len());
    let mut expected = csv::Reader::from_reader(&csv[..]).into_records();
    let reader = SerializedFileReader::new(bytes::Bytes::from(parquet)).unwrap();
    for row in reader.get_row_iter(None).unwrap() {
        let (row, record) = (row.unwrap(), expected.next().unwrap().unwrap());
        assert_eq!(
            UnixMs(row.get_timestamp_millis(0).unwrap()).to_string(),
            record[0]
        );
        for at in 1..4 {
            assert_eq!(row.get_string(at).unwrap(), &record[at]);
        }
        let number = row.get_double(4).map(|number| number.to_string());
        let flag = row.get_bool(5).map(|flag| flag.to_string());
        let value = number.or(flag).or(row.get_string(6).cloned());
        assert_eq!(value.unwrap_or_default(), record[4]);
        assert_eq!(row.get_string(7).cloned().unwrap_or_default(), record[5]);
    }
    assert!(expected.next().is_none());
}

/// The records of a file, without their mean, which merging rounds.
fn without_mean(csv: &[u8]) -> Vec<Vec<String>> {
    let records = csv::Reader::from_reader(csv).into_records();
    let fields = records.map(|record| record.unwrap().iter().map(str::to_owned).collect());
    let mut all: Vec<Vec<String>> = fields.collect();
    all.iter_mut().for_each(|fields| drop(fields.remove(6)));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn stretches_go_out_whether_they_are_merged_or_not() {
    let from = tempfile::tempdir().unwrap();
    let store = filled(from.path()).await;
    for level in Level::ALL {
        let selection = Selection {
            resolution: Some(level),
            // Not at the start of a stretch: the first is the next that begins.
            from: NOW.plus_ms(-20 * DAY_MS + 1),
            ..everything()
        };
        let (rows, before) = exported(&store, &selection, Format::Csv);
        let text = String::from_utf8(before.clone()).unwrap();
        let head = "time,device,metric,instance,count,min,mean,max,last,unavailable";
        assert_eq!(text.lines().next(), Some(head));
        let (_, jsonl) = exported(&store, &selection, Format::Jsonl);
        assert_eq!(rows, jsonl.split(|byte| *byte == b'\n').count() as u64 - 1);
        let records = without_mean(&before);
        for record in &records {
            let at: jiff::Timestamp = record[0].parse().unwrap();
            assert!(at.as_millisecond() >= selection.from.0, "{record:?}");
            assert_eq!(at.as_millisecond() % level.width_ms(), 0, "{record:?}");
        }
        store.seal(NOW).await.unwrap();
        store.merge(NOW).await.unwrap();
        let (_, after) = exported(&store, &selection, Format::Csv);
        assert!(without_mean(&after) == records, "{level:?}");
    }
    // A whole day of one report an hour, from its own values.
    let metric = Some(metric::BATTERY_CHARGE.code);
    let device = Some(DeviceId::from_bytes([1; 16]));
    let start = UnixMs(NOW.0.div_euclid(DAY_MS) * DAY_MS - 7 * DAY_MS);
    let of_day = Selection {
        metric,
        device,
        from: start,
        to: start.plus_ms(DAY_MS),
        ..everything()
    };
    let (_, jsonl) = exported(&store, &of_day, Format::Jsonl);
    let lines = jsonl
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let values: Vec<f64> = lines
        .map(|line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["value"].as_f64())
        .map(Option::unwrap)
        .collect();
    let resolution = Some(Level::Day);
    let (rows, jsonl) = exported(
        &store,
        &Selection {
            resolution,
            ..of_day
        },
        Format::Jsonl,
    );
    let told: serde_json::Value = serde_json::from_slice(&jsonl).unwrap();
    assert_eq!((rows, &told["count"]), (1, &serde_json::json!(24)));
    let near = |name: &str, expected: f64, by: f64| {
        let found = told[name].as_f64().unwrap();
        assert!(
            (found - expected).abs() <= by,
            "{name}: {found} for {expected}"
        );
    };
    near(
        "min",
        values.iter().copied().fold(f64::MAX, f64::min),
        1e-12,
    );
    near(
        "max",
        values.iter().copied().fold(f64::MIN, f64::max),
        1e-12,
    );
    near("last", *values.last().unwrap(), 1e-12);
    near("mean", values.iter().sum::<f64>() / 24.0, 1e-3);
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_holds_the_stretches_that_csv_holds() {
    let from = tempfile::tempdir().unwrap();
    let store = filled(from.path()).await;
    let selection = Selection {
        resolution: Some(Level::Hour),
        ..everything()
    };
    let (_, csv) = exported(&store, &selection, Format::Csv);
    let (_, parquet) = exported(&store, &selection, Format::Parquet);
    let mut expected = csv::Reader::from_reader(&csv[..]).into_records();
    let reader = SerializedFileReader::new(bytes::Bytes::from(parquet)).unwrap();
    for row in reader.get_row_iter(None).unwrap() {
        let (row, record) = (row.unwrap(), expected.next().unwrap().unwrap());
        let at = UnixMs(row.get_timestamp_millis(0).unwrap());
        assert_eq!(at.to_string(), record[0]);
        for at in 1..4 {
            assert_eq!(row.get_string(at).unwrap(), &record[at]);
        }
        assert_eq!(row.get_long(4).unwrap().to_string(), record[4]);
        let number = |at| row.get_double(at).map(|number| number.to_string());
        for at in 5..8 {
            assert_eq!(number(at).unwrap_or_default(), record[at]);
        }
        let flag = row.get_bool(9).map(|flag| flag.to_string());
        let last = number(8).or(flag).or(row.get_string(10).cloned());
        assert_eq!(last.unwrap_or_default(), record[8]);
        assert_eq!(row.get_string(11).cloned().unwrap_or_default(), record[9]);
    }
    assert!(expected.next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_is_all_that_goes_out() {
    let from = tempfile::tempdir().unwrap();
    let store = filled(from.path()).await;
    let count = |selection: &Selection| exported(&store, selection, Format::Csv).0;
    let site = Some("Keller".parse().unwrap());
    assert_eq!(
        count(&Selection {
            site,
            ..everything()
        }),
        500 * 6
    );
    let group = Some("grade 6".parse().unwrap());
    assert_eq!(
        count(&Selection {
            group,
            ..everything()
        }),
        0
    );
    let metric = Some(metric::BATTERY_CHARGE.code);
    assert_eq!(
        count(&Selection {
            metric,
            ..everything()
        }),
        2 * 500
    );
    let device = Some(DeviceId::from_bytes([1; 16]));
    let (from, to) = (NOW.plus_ms(-21 * DAY_MS), NOW.plus_ms(-20 * DAY_MS));
    assert_eq!(
        count(&Selection {
            device,
            from,
            to,
            ..everything()
        }),
        24 * 6,
        "`to` itself is not in"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_named_and_the_others_kept() {
    let to = tempfile::tempdir().unwrap();
    let store = Store::create(to.path(), options(), NOW).unwrap();
    let id = DeviceId::from_bytes([9; 16]);
    let time = NOW.plus_ms(-DAY_MS);
    let later = NOW.plus_ms(1);
    let csv = format!(
        "metric,time,device,instance,value,unavailable\n\
         os.name,{time},{id},,Debian,\n\
         os.name,yesterday,{id},,Debian,\n\
         os.naem,{time},{id},,Debian,\n\
         hw.battery.charge,{time},{id},BAT0,full,\n\
         hw.battery.charge,{time},{id},BAT0,7,\n\
         os.name,{time},laptop 7,,Debian,\n\
         os.name,{later},{id},,Debian,\n\
         os.name,2001-01-01T00:00:00Z,{id},,Debian,\n\
         hw.battery.cycles,{time},{id},BAT0,,the firmware does not count\n"
    );
    let report = imported(&store, csv.as_bytes(), false, Some("Lincoln")).await;
    assert_eq!((report.rows, report.stored, report.refused), (9, 2, 7));
    let expected = [
        "line 3: time `yesterday` is not RFC 3339",
        "line 4: metric `os.naem` is not in the catalogue",
        "line 5: hw.battery.charge: `full` is no number",
        "line 6: hw.battery.charge: 7 lies outside 0 to 1.5 1",
        "line 7: device: ",
        "line 8: ",
        "line 9: 2001-01-01T00:00:00.000Z is before ",
    ];
    for (problem, expected) in report.problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}");
    }
    let json = format!("{{\"time\":\"{time}\"}}\n\nnothing\n");
    let report = imported(&store, json.as_bytes(), false, None).await;
    assert_eq!(
        (report.rows, report.refused),
        (2, 2),
        "{:?}",
        report.problems
    );
    assert!(
        report.problems[1].starts_with("line 3: "),
        "{:?}",
        report.problems
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_history_leaves_the_present_as_it_is() {
    let from = tempfile::tempdir().unwrap();
    let store = filled(from.path()).await;
    let id = DeviceId::from_bytes([1; 16]);
    let before = store.device(id).unwrap();
    let time = NOW.plus_ms(-100 * DAY_MS);
    let csv =
        format!("time,device,metric,instance,value\n{time},{id},hw.battery.charge,BAT0,0.01\n");
    let report = imported(&store, csv.as_bytes(), false, None).await;
    assert_eq!(report.stored, 1, "{:?}", report.problems);
    assert_eq!(store.device(id).unwrap().latest, before.latest);
    let key = SeriesKey::new(&metric::BATTERY_CHARGE, "BAT0");
    assert_eq!(
        store.series(id, &key, time, time).unwrap(),
        [(time, Value::Number(0.01))]
    );
}
