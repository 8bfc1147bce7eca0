//! The samples of a benchmark: what every system under test gets, to the last bit.
//!
//! ```text
//! one line of JSON: Header, with the laptops and the names of their series
//! then, for each laptop and each report: as many f64 (little-endian) as it has series;
//! NaN where nothing was read, and nothing but NaN while the laptop sleeps
//! ```
//! A report has 36 numbers, as the capacity plan of a district assumes: first those that change
//! from minute to minute, which are the hardest to compress, then others by the catalogue's order.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::{Clock as _, SystemClock, UnixMs};
use serde::{Deserialize, Serialize};

use crate::simulator::{Fleet, Laptop, Probe, TARGETS};

/// Numbers in a report.
pub(super) const NUMBERS: usize = 36;

/// One report a minute.
pub(super) const STEP_MS: i64 = 60_000;

/// What to write.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// How many laptops.
    #[arg(long)]
    devices: u32,
    /// The number of the first laptop.
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// How many minutes, with a report in each while the laptop is awake.
    #[arg(long)]
    reports: u32,
    /// How many minutes before now the last report is.
    #[arg(long, default_value_t = 0)]
    minutes_ago: u32,
    /// Every laptop reports every minute: of its days only the minutes in which it is awake are taken,
    /// one after the other. Without this the minutes are those of the real day, nights and all.
    #[arg(long)]
    awake: bool,
    /// The fleet's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The file.
    #[arg(long)]
    out: PathBuf,
}

/// What stands before the numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Header {
    /// The time of the last report, in milliseconds since 1970.
    pub end_ms: i64,
    /// Reports of each laptop.
    pub reports: usize,
    /// The laptops.
    pub devices: Vec<Names>,
    /// Numbers that are there; the others are NaN.
    pub samples: u64,
}

/// A laptop and its series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Names {
    /// Its number in the fleet.
    pub number: u32,
    /// Its school.
    pub site: String,
    /// Code of the metric and instance of each of its numbers.
    pub series: Vec<(u16, String)>,
    /// The metrics' names, for who asks for them by name.
    #[serde(default)]
    pub metrics: Vec<String>,
}

/// All of a file.
#[derive(Debug)]
pub(super) struct Series {
    /// What stands before the numbers.
    pub header: Header,
    numbers: Vec<f64>,
}

impl Series {
    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let named = || path.display().to_string();
        let mut file = BufReader::new(File::open(path).with_context(named)?);
        let mut line = String::new();
        file.read_line(&mut line).with_context(named)?;
        let header: Header = serde_json::from_str(&line).with_context(named)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).with_context(named)?;
        let numbers: Vec<f64> = bytes
            .chunks_exact(8)
            .map(|chunk| f64::from_le_bytes(*chunk.first_chunk().expect("eight bytes")))
            .collect();
        let expected = header.devices.len() * header.reports * NUMBERS;
        ensure!(
            numbers.len() == expected,
            "{} holds {} numbers instead of {expected}",
            named(),
            numbers.len()
        );
        Ok(Self { header, numbers })
    }

    /// The numbers of a laptop's report, and `None` while it sleeps.
    pub fn report(&self, device: usize, report: usize) -> Option<&[f64]> {
        let at = (device * self.header.reports + report) * NUMBERS;
        let numbers = &self.numbers[at..at + NUMBERS];
        numbers
            .iter()
            .any(|number| !number.is_nan())
            .then_some(numbers)
    }

    /// When a report was taken.
    pub const fn at(&self, report: usize) -> UnixMs {
        let before = (self.header.reports - 1 - report) as i64;
        UnixMs(self.header.end_ms - before * STEP_MS)
    }
}

pub(super) fn run(options: &Options) -> anyhow::Result<()> {
    let now = SystemClock.now().wall;
    let end = now.0 / STEP_MS * STEP_MS - i64::from(options.minutes_ago) * STEP_MS;
    let fleet = Fleet::new(options.seed);
    let last = options.first + options.devices;
    let laptops: Vec<Laptop> = (options.first..last).map(|n| fleet.laptop(n)).collect();
    let minutes = Minutes::new(options, UnixMs(end));
    let mut header = Header {
        end_ms: end,
        reports: options.reports as usize,
        devices: laptops.iter().map(|laptop| names(laptop, end)).collect(),
        samples: 0,
    };
    let numbers = numbers_of(&laptops, &header, &minutes);
    header.samples = numbers.iter().filter(|number| !number.is_nan()).count() as u64;
    write(&options.out, &header, &numbers)?;
    let (samples, devices) = (header.samples, header.devices.len());
    println!(
        "{}",
        serde_json::json!({ "samples": samples, "devices": devices })
    );
    Ok(())
}

/// When, by the model, each minute of the file is.
enum Minutes {
    /// Minutes that end at a moment.
    Until(UnixMs),
    /// A laptop's own minutes awake, from a moment on.
    Awake(UnixMs),
}

/// The midnight before a Tuesday of lessons, 2026-09-08, by the clocks of the East.
const SCHOOL_DAY: UnixMs = UnixMs(1_788_840_000_000);

impl Minutes {
    const fn new(options: &Options, end: UnixMs) -> Self {
        if options.awake {
            Self::Awake(SCHOOL_DAY)
        } else {
            Self::Until(end)
        }
    }

    /// The minutes of a laptop, `reports` of them, each with what it read then.
    fn of(&self, laptop: &Laptop, reports: i64) -> Vec<(UnixMs, Option<Vec<Reading>>)> {
        match self {
            Self::Until(end) => (0..reports)
                .map(|minute| end.plus_ms(-(reports - 1 - minute) * STEP_MS))
                .map(|at| (at, laptop.readings(at)))
                .collect(),
            Self::Awake(start) => (0..)
                .map(|minute: i64| start.plus_ms(minute * STEP_MS))
                .filter_map(|at| Some((at, Some(laptop.readings(at)?))))
                .take(usize::try_from(reports).unwrap_or(0))
                .collect(),
        }
    }
}

/// The series of a laptop: all that its first full report has, the restless ones first.
fn names(laptop: &Laptop, end: i64) -> Names {
    let awake = (0..10_000).find_map(|step| {
        let moment = laptop.moment(UnixMs(end - step * 17 * STEP_MS))?;
        let fast = laptop.read(
            &moment,
            [Probe::Fast, Probe::Network, Probe::Disk],
            &TARGETS,
        );
        let slow = laptop.read(&moment, [Probe::Drive, Probe::Slow], &TARGETS);
        Some([fast, slow].concat())
    });
    let readings = awake.unwrap_or_default();
    let numeric = |reading: &&Reading| matches!(reading.value(), Value::Number(_));
    let named = |reading: &Reading| (reading.metric().code, reading.instance().to_owned());
    let mut series: Vec<_> = readings.iter().filter(numeric).map(named).collect();
    series.truncate(NUMBERS);
    // A laptop with fewer numbers has its time to answer of more targets.
    let more = (series.len()..NUMBERS).map(|n| (metric::REACH_HTTP.code, format!("Target {n}")));
    series.extend(more.collect::<Vec<_>>());
    let name = |(code, _): &(u16, String)| metric::by_code(*code).map_or("", |metric| metric.name);
    Names {
        metrics: series.iter().map(|one| name(one).to_owned()).collect(),
        number: laptop.number(),
        site: laptop.school().name.clone(),
        series,
    }
}

fn numbers_of(laptops: &[Laptop], header: &Header, minutes: &Minutes) -> Vec<f64> {
    let mut numbers = Vec::with_capacity(laptops.len() * header.reports * NUMBERS);
    for (laptop, names) in laptops.iter().zip(&header.devices) {
        for (at, readings) in minutes.of(laptop, header.reports as i64) {
            match readings {
                Some(readings) => numbers.extend(row(&readings, names, laptop.number(), at)),
                None => numbers.extend([f64::NAN; NUMBERS]),
            }
        }
    }
    numbers
}

fn row<'a>(
    readings: &'a [Reading],
    names: &'a Names,
    number: u32,
    at: UnixMs,
) -> impl Iterator<Item = f64> + 'a {
    names.series.iter().map(move |(code, instance)| {
        if instance.starts_with("Target ") {
            return answer_time(number, at);
        }
        let same = |reading: &&Reading| {
            reading.metric().code == *code && reading.instance() == instance.as_str()
        };
        let found = readings.iter().find(same);
        found
            .and_then(|reading| reading.value().as_number())
            .unwrap_or(f64::NAN)
    })
}

/// Between 20 and 120 ms, to the millisecond.
fn answer_time(number: u32, at: UnixMs) -> f64 {
    let mixed = (u64::from(number) ^ at.0.unsigned_abs()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (20 + (mixed >> 32) % 100) as f64 / 1000.0
}

fn write(path: &Path, header: &Header, numbers: &[f64]) -> anyhow::Result<()> {
    if header.samples == 0 {
        bail!("no laptop is awake in these minutes");
    }
    let named = || path.display().to_string();
    let mut file = BufWriter::new(File::create(path).with_context(named)?);
    serde_json::to_writer(&mut file, header).with_context(named)?;
    file.write_all(b"\n").with_context(named)?;
    for number in numbers {
        file.write_all(&number.to_le_bytes()).with_context(named)?;
    }
    file.flush().with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            devices: 5,
            first: 0,
            reports: 7,
            minutes_ago: 0,
            awake: true,
            seed: 1,
            out: folder.path().join("series"),
        };
        run(&options).unwrap();
        let series = Series::read(&options.out).unwrap();
        assert_eq!((series.header.devices.len(), series.header.reports), (5, 7));
        assert!((0..5).all(|device| series.report(device, 3).is_some()));
        assert_eq!(series.at(6).0 - series.at(0).0, 6 * STEP_MS);
        for names in &series.header.devices {
            assert_eq!(names.series.len(), NUMBERS);
        }
    }
}
