use std::collections::BTreeSet;

use clap::Parser as _;
use prost::Message as _;
use rollcall_collector::store::{Store, StoreOptions};
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::{Clock as _, SystemClock};

use super::export::{OfDevice, influx_lines, json_lines, remote_write, snappy};
use super::files::{ExportOptions, export};
use super::store::{FillOptions, Filled, fill};
use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    past: Past,
}

fn past(given: &str) -> Past {
    let words = ["rollcall-simulator"]
        .into_iter()
        .chain(given.split_whitespace());
    Line::parse_from(words).past
}

const SCHOOL_DAYS: &str = "--days 3 --until 2026-11-19T16:00";

#[test]
fn days_follow_each_other_and_cover_the_time() {
    let past = past(&format!("--devices 1 {SCHOOL_DAYS}"));
    let range = past.range(UnixMs(0));
    let days: Vec<_> = past.days(UnixMs(0)).collect();
    assert_eq!(
        (days[0].start, days[days.len() - 1].end),
        (range.start, range.end)
    );
    assert!(days.windows(2).all(|pair| pair[0].end == pair[1].start));
    assert_eq!(range.end.to_string(), "2026-11-19T21:00:00.000Z");
}

#[test]
fn a_day_begins_in_full_and_goes_on_with_changes() {
    let past = past(&format!("--devices 30 {SCHOOL_DAYS}"));
    let fleet = past.fleet(UnixMs(0));
    let day = past.days(UnixMs(0)).nth(1).unwrap();
    let (mut reports, mut readings) = (0, 0);
    for laptop in past.numbers().map(|number| fleet.laptop(number)) {
        let kept = laptop.kept(day.clone(), 60);
        assert_eq!(kept, fleet.laptop(laptop.number()).kept(day.clone(), 60));
        let Some(first) = kept.first() else { continue };
        assert!(first.changed.full && first.changed.readings.len() > 60);
        assert!(kept.windows(2).all(|pair| pair[0].at < pair[1].at));
        for kept in kept.iter().filter(|kept| !kept.changed.full) {
            (reports, readings) = (reports + 1, readings + kept.changed.readings.len());
        }
    }
    let mean = readings as f64 / f64::from(reports);
    assert!(
        reports > 3000 && (2.0..30.0).contains(&mean),
        "{mean} readings in {reports} reports"
    );
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[test]
fn every_format_has_the_same_numbers() {
    let past = past(&format!("--devices 20 {SCHOOL_DAYS}"));
    let fleet = past.fleet(UnixMs(0));
    let day = past.days(UnixMs(0)).nth(1).unwrap();
    let days = past
        .numbers()
        .map(|number| fleet.laptop(number).kept(day.clone(), 60));
    let kept = days.max_by_key(Vec::len).unwrap();
    let of = OfDevice {
        device: "a b",
        kept: &kept,
    };
    let (mut json, mut influx, mut request) = (String::new(), String::new(), Vec::new());
    json_lines(of, &mut json);
    influx_lines(of, &mut influx);
    remote_write(of, &mut request);
    let unpacked = snap::raw::Decoder::new()
        .decompress_vec(&snappy(&request))
        .unwrap();
    let request = WriteRequest::decode(&unpacked[..]).unwrap();
    let of_request: usize = request
        .timeseries
        .iter()
        .map(|series| series.samples.len())
        .sum();
    let lines = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let of_json: usize = lines
        .iter()
        .map(|line| line["values"].as_array().unwrap().len())
        .sum();
    let fields = |line: &str| {
        line.replace("\\ ", "_")
            .split(' ')
            .nth(1)
            .unwrap()
            .split(',')
            .count()
    };
    let of_influx: usize = influx.lines().map(fields).sum();
    let samples = usize::try_from(of.samples()).unwrap();
    assert!(samples > 500, "{samples}");
    assert_eq!(
        (of_request, of_json, of_influx),
        (samples, samples, samples)
    );
    for (series, line) in request.timeseries.iter().zip(&lines) {
        let names: Vec<&str> = series
            .labels
            .iter()
            .map(|label| label.name.as_str())
            .collect();
        assert!(names.is_sorted() && names.contains(&"device"), "{names:?}");
        assert_eq!(line["metric"]["__name__"], series.labels[0].value);
        assert_eq!(line["values"][0], series.samples[0].value);
        assert_eq!(line["timestamps"][0], series.samples[0].timestamp);
    }
    assert!(influx.starts_with("laptop,device=a\\ b"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filled_store_has_the_past_once_and_goes_on_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let until = SystemClock.now().wall;
    let options = FillOptions {
        data: folder.path().join("data"),
        past: past("--devices 12 --days 4"),
    };
    let first = fill(&options).await.unwrap();
    assert!(
        first.reports > 500 && first.readings > first.reports,
        "{first:?}"
    );
    let (mut sent, mut sequences) = (0, BTreeSet::new());
    {
        let store = Store::open(&options.data, StoreOptions::default(), until).unwrap();
        assert_eq!(store.devices().len(), 12);
        let fleet = Fleet::new(1);
        for laptop in (0..12).map(|number| fleet.laptop(number)) {
            let stored = store.stored(laptop.device_id(), laptop.spool_id()).unwrap();
            sequences.insert(stored);
            sent += stored.0;
            let state = store.device(laptop.device_id()).unwrap();
            assert_eq!(state.device.model, laptop.model());
            if stored.0 > 0 {
                let model = state.get(&metric::HOST_MODEL, "").unwrap();
                assert_eq!(model.value, Value::Text(laptop.model()));
            }
        }
    }
    assert_eq!(sent, first.reports);
    let again = fill(&options).await.unwrap();
    let store = Store::open(&options.data, StoreOptions::default(), until).unwrap();
    let laptop = Fleet::new(1).laptop(0);
    let stored = store.stored(laptop.device_id(), laptop.spool_id()).unwrap();
    assert!(
        !sequences.contains(&stored),
        "a second past follows the first"
    );
    assert_ne!(again, Filled::default());
}

#[test]
fn files_are_what_a_backtest_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let options = ExportOptions {
        past: past(
            "--devices 5 --days 3 --until 2026-11-19T16:00 --step 300 --scenario battery-batch",
        ),
        csv: Some(path("series.csv")),
        labels: Some(path("labels.csv")),
        truth: Some(path("truth.csv")),
        vm_json_lines: None,
        influx: None,
        remote_write: Some(path("requests")),
    };
    let numbers = export(&options).unwrap();
    assert!(numbers > 1000, "{numbers}");
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        backtest: rollcall_collector::evaluate::backtest::BacktestOptions,
    }
    let (series, labels) = (path("series.csv"), path("labels.csv"));
    let words = [
        "x",
        "--series",
        series.to_str().unwrap(),
        "--labels",
        labels.to_str().unwrap(),
    ];
    let line = Line::parse_from(words);
    let mut out = Vec::new();
    let report = rollcall_collector::evaluate::backtest::run(&line.backtest, &mut out).unwrap();
    assert_eq!(report.devices, 5);
    assert!(report.rows > numbers, "{} rows, texts too", report.rows);
    let left_out: u64 = report.left_out.values().sum();
    assert_eq!(left_out, 0, "{:?}", report.left_out);
    let requests = std::fs::read(path("requests")).unwrap();
    let length = u32::from_be_bytes(*requests.first_chunk().unwrap()) as usize;
    assert!(requests.len() >= 4 + length);
    WriteRequest::decode(
        &snap::raw::Decoder::new()
            .decompress_vec(&requests[4..4 + length])
            .unwrap()[..],
    )
    .unwrap();
}
