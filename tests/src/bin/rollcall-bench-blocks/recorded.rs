//! Recorded series. They are not part of the repository.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use rollcall_collector::device::SeriesKey;
use rollcall_collector::store::block::{Column, Point};
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::{UnixMs, days_from_civil};

use crate::Subject;

const WEEK_MS: i64 = 7 * 86_400_000;

/// The folder of the recorded series, where it is there.
pub fn folder() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("ROLLCALL_DATA").map_or_else(default, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Drives, batteries and hosts.
pub fn subjects(folder: &Path) -> Result<Vec<Subject>> {
    Ok(vec![
        Subject {
            name: "drives",
            about: "SMART 1, 5, 9, 194, 197 of 11,000 drives, once a day for 40 days (Backblaze), a drive a block",
            blocks: drives(&folder.join("drives/backblaze_2013_daily_dev.csv.gz"))?,
        },
        Subject {
            name: "batteries",
            about: "full and design capacity of 34 laptops, once a week (powercfg), a laptop a block",
            blocks: batteries(&folder.join("battery/capacity_history.csv"))?,
        },
        Subject {
            name: "hosts",
            about: "utilization, requests, temperatures of hosts every five minutes (NAB), a week of a series a block",
            blocks: hosts(&folder.join("series"), |_, at| {
                Some(at.0.div_euclid(WEEK_MS))
            })?,
        },
        Subject {
            name: "hosts_whole",
            about: "the first 4,000 numbers of each of these series, as `tests/bench disk` takes them, a series a block",
            blocks: hosts(&folder.join("series"), |row, _| (row < 4000).then_some(0))?,
        },
    ])
}

/// Series of devices while they are read.
#[derive(Default)]
struct Devices(BTreeMap<String, BTreeMap<SeriesKey, Vec<Point>>>);

impl Devices {
    fn push(&mut self, device: &str, key: SeriesKey, at: UnixMs, number: f64) {
        let device = self.0.entry(device.to_owned()).or_default();
        device
            .entry(key)
            .or_default()
            .push((at, Value::Number(number)));
    }

    fn blocks(self) -> Vec<Vec<Column>> {
        let columns = |series: BTreeMap<SeriesKey, Vec<Point>>| {
            let columns = series.into_iter().map(|(key, mut points)| {
                points.sort_by_key(|(at, _)| *at);
                Column { key, points }
            });
            columns.collect()
        };
        self.0.into_values().map(columns).collect()
    }
}

fn drives(path: &Path) -> Result<Vec<Vec<Column>>> {
    let mut devices = Devices::default();
    for_each_row(path, |row| {
        for (at, attribute) in [(5, 1), (6, 5), (7, 9), (8, 194), (9, 197)] {
            if let (Some(day), Ok(raw)) = (day(&row[0]), row[at].parse()) {
                let key = SeriesKey::new(&metric::DRIVE_SMART, &format!("sda/{attribute}"));
                devices.push(&row[1], key, day, raw);
            }
        }
    })?;
    Ok(devices.blocks())
}

fn batteries(path: &Path) -> Result<Vec<Vec<Column>>> {
    let mut devices = Devices::default();
    let metrics = [
        (4, &metric::BATTERY_FULL_CAPACITY),
        (5, &metric::BATTERY_DESIGN_CAPACITY),
    ];
    for_each_row(path, |row| {
        for (at, metric) in metrics {
            if let (Some(day), Ok(mwh)) = (day(&row[3]), row[at].parse()) {
                devices.push(&row[0], SeriesKey::new(metric, "BAT0"), day, mwh);
            }
        }
    })?;
    Ok(devices.blocks())
}

/// Each series in the parts that `part` says for a row and its time; a row without one is left out.
fn hosts(folder: &Path, part: impl Fn(usize, UnixMs) -> Option<i64>) -> Result<Vec<Vec<Column>>> {
    let mut devices = Devices::default();
    let key = SeriesKey::new(&metric::CPU_LOAD_15M, "");
    for kind in ["realAWSCloudwatch", "realKnownCause"] {
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder.join(kind))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        files.sort();
        for path in files {
            let mut rows = 0;
            for_each_row(&path, |row| {
                if let (Some(at), Ok(number)) = (moment(&row[0]), row[1].parse())
                    && let Some(part) = part(rows, at)
                {
                    let name = format!("{} {part}", path.display());
                    devices.push(&name, key.clone(), at, number);
                }
                rows += 1;
            })?;
        }
    }
    Ok(devices.blocks())
}

fn for_each_row(path: &Path, mut row: impl FnMut(&csv::StringRecord)) -> Result<()> {
    let context = || format!("{} cannot be read", path.display());
    let file = std::fs::File::open(path).with_context(context)?;
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> = if is_packed {
        Box::new(GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    for record in csv::Reader::from_reader(bytes).records() {
        row(&record.with_context(context)?);
    }
    Ok(())
}

/// The start of a day such as `2014-04-02`.
fn day(text: &str) -> Option<UnixMs> {
    let date = text.get(..10)?;
    let (year, rest) = date.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let days = days_from_civil(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    Some(UnixMs(days * 86_400_000))
}

/// A moment such as `2014-04-02 14:29:00`.
fn moment(text: &str) -> Option<UnixMs> {
    let seconds = text
        .get(11..)?
        .split(':')
        .try_fold(0, |all, part| Some(all * 60 + part.parse::<i64>().ok()?));
    Some(day(text)?.plus_ms(seconds? * 1000))
}
