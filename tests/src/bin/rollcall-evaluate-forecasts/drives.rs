//! Lives of drives, and how the card of points does on them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rollcall_collector::evaluate::forecast::Point;
use rollcall_collector::evaluate::forecast::drive::{DriveHistory, DriveKind, risk};
use rollcall_shared::time::UnixMs;

use crate::score::{self, Life, Score};
use crate::table::Table;

const HOUR_MS: f64 = 3_600_000.0;

/// More points than any drive gets that does not declare itself failing.
const MOST_POINTS: usize = 22;

/// Beginnings of the names of 2.5-inch models among Backblaze's drives.
const LAPTOP_MODELS: [&str; 16] = [
    "ST250LM",
    "ST250LT",
    "ST320LT",
    "ST320LM",
    "ST500LM",
    "ST500LT",
    "ST9",
    "WDC WD2500BP",
    "WDC WD2500BE",
    "WDC WD3200BE",
    "WDC WD3200BP",
    "WDC WD5000BP",
    "WDC WD5000LP",
    "WDC WD7500BP",
    "TOSHIBA MQ",
    "Hitachi HTS",
];

/// What is known of one drive.
#[derive(Default)]
struct Track {
    laptop: bool,
    seen: Option<(f64, f64)>,
    failed: Option<f64>,
    moments: Vec<f64>,
    reallocated: Vec<Point>,
    reported: Vec<Point>,
    pending: Vec<Point>,
    offline: Vec<Point>,
    verdict: Vec<Point>,
}

/// All tables of drives.
pub fn report(folder: &Path) -> Result<String> {
    let mut text = String::new();
    let fleet = backblaze(folder)?;
    let of = |keep: &dyn Fn(&Life) -> bool| -> Vec<&Life> {
        fleet.iter().filter(|life| keep(life)).collect()
    };
    let title = "Spinning drives, Backblaze 2013 to 2016";
    text += &curve(
        &format!("{title}, half that was fitted"),
        &of(&|l| l.fitted),
    );
    text += &curve(&format!("{title}, other half"), &of(&|l| !l.fitted));
    text += &curve(
        &format!("{title}, other half, 2.5-inch"),
        &of(&|l| !l.fitted && l.laptop),
    );
    let daily = backblaze_2013(folder)?;
    let daily: Vec<&Life> = daily.iter().collect();
    text += &curve(
        "Spinning drives, Backblaze 2013, 40 days, SMART 5 and 197 only",
        &daily,
    );
    text += &consumer(folder)?;
    Ok(text)
}

fn curve(title: &str, lives: &[&Life]) -> String {
    let mut text = Score::heading(&format!("{title} ({} drives)", lives.len()));
    text += &score::naive(lives).line("5, 187, 197 or 198 above 0");
    for points in [3, 4, 5, 6, 7, 8, 10, 12] {
        text += &score::score(lives, points).line(&format!("{points} points or more"));
    }
    text
}

/// The lives of `backblaze_hds_dev.csv.gz`: each row is a stretch of hours without a change.
pub fn backblaze(folder: &Path) -> Result<Vec<Life>> {
    let table = Table::open(&folder.join("backblaze_hds_dev.csv.gz"))?;
    let columns = table.columns(&[
        "sid",
        "model",
        "tstart",
        "tstop",
        "fails",
        "smart_5",
        "smart_187",
        "smart_197",
        "smart_198",
    ])?;
    let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
    for row in table.rows() {
        let row = row?;
        let track = tracks.entry(columns.text(&row, 0).to_owned()).or_default();
        track.laptop = is_laptop(columns.text(&row, 1));
        let (Some(start), Some(stop)) = (columns.number(&row, 2), columns.number(&row, 3)) else {
            continue;
        };
        track.see(start, stop);
        if columns.number(&row, 4) == Some(1.0) {
            track.failed = Some(stop);
        }
        let series = [
            &mut track.reallocated,
            &mut track.reported,
            &mut track.pending,
            &mut track.offline,
        ];
        for (at, series) in series.into_iter().enumerate() {
            push(series, start, columns.number(&row, 5 + at));
        }
    }
    Ok(tracks
        .into_iter()
        .map(|(serial, track)| track.life(&serial))
        .collect())
}

fn backblaze_2013(folder: &Path) -> Result<Vec<Life>> {
    let table = Table::open(&folder.join("backblaze_2013_daily_dev.csv.gz"))?;
    let columns = table.columns(&[
        "sid",
        "model",
        "date",
        "failure",
        "smart_5_raw",
        "smart_197_raw",
    ])?;
    let mut tracks: BTreeMap<String, Track> = BTreeMap::new();
    for row in table.rows() {
        let row = row?;
        let Some(day) = day_number(columns.text(&row, 2)) else {
            continue;
        };
        let (hour, track) = (
            day * 24.0,
            tracks.entry(columns.text(&row, 0).to_owned()).or_default(),
        );
        track.laptop = is_laptop(columns.text(&row, 1));
        track.see(hour, hour + 24.0);
        if columns.number(&row, 3) == Some(1.0) {
            track.failed = Some(hour + 24.0);
        }
        push(&mut track.reallocated, hour, columns.number(&row, 4));
        push(&mut track.pending, hour, columns.number(&row, 5));
    }
    Ok(tracks
        .into_iter()
        .map(|(serial, track)| track.life(&serial))
        .collect())
}

/// Consumers' drives: no failure is known but the drive's own verdict, so this says how often the card
/// speaks, and how often before the drive does. The clock is the drive's hours in operation.
fn consumer(folder: &Path) -> Result<String> {
    let table = Table::open(&folder.join("smart_sequences_linux_consumer_2017_2020.csv.gz"))?;
    let columns = table.columns(&[
        "drive", "kind", "health", "poh", "a5r", "a187r", "a197r", "a198r",
    ])?;
    let mut tracks: BTreeMap<(String, String), Track> = BTreeMap::new();
    for row in table.rows() {
        let row = row?;
        let key = (
            columns.text(&row, 1).to_owned(),
            columns.text(&row, 0).to_owned(),
        );
        let Some(hour) = columns.number(&row, 3) else {
            continue;
        };
        let track = tracks.entry(key).or_default();
        if track.moments.last().is_some_and(|last| *last > hour) {
            continue;
        }
        track.see(hour, hour);
        let failed = columns.text(&row, 2) == "FAILED";
        push(&mut track.verdict, hour, Some(f64::from(u8::from(failed))));
        push(&mut track.reallocated, hour, columns.number(&row, 4));
        push(&mut track.reported, hour, columns.number(&row, 5));
        push(&mut track.pending, hour, columns.number(&row, 6));
        push(&mut track.offline, hour, columns.number(&row, 7));
    }
    Ok(["HDD", "SSD"]
        .map(|kind| consumer_lines(kind, &tracks))
        .concat())
}

fn consumer_lines(kind: &str, tracks: &BTreeMap<(String, String), Track>) -> String {
    let of_kind = tracks.iter().filter(|((of, _), _)| of == kind);
    let (mut all, mut card, mut any, mut declared, mut foreseen) = (0, 0, 0, 0, 0);
    for (_, track) in of_kind {
        let judged = if kind == "HDD" {
            DriveKind::Hdd
        } else {
            DriveKind::SataSsd
        };
        let points = track.points_without_verdict(judged);
        let fails = track.verdict.iter().any(|(_, failed)| *failed > 0.0);
        let speaks = points.iter().any(|points| *points >= 5);
        all += 1;
        declared += usize::from(fails);
        foreseen += usize::from(fails && speaks);
        card += usize::from(!fails && speaks);
        any += usize::from(!fails && track.first_sign().is_some());
    }
    format!(
        "\nConsumers' drives 2017 to 2020, {kind}: {all} drives; {declared} declare themselves failing, \
         of which the card without that verdict finds {foreseen}; of the others it names {card}, the \
         naive verdict {any}\n"
    )
}

impl Track {
    fn see(&mut self, from: f64, to: f64) {
        let first = self.seen.map_or(from, |(first, _)| first);
        self.seen = Some((first, to));
        self.moments.push(from);
    }

    fn history(&self) -> DriveHistory<'_> {
        DriveHistory {
            reallocated: &self.reallocated,
            reported: &self.reported,
            pending: &self.pending,
            offline: &self.offline,
            ..DriveHistory::default()
        }
    }

    fn points_without_verdict(&self, kind: DriveKind) -> Vec<u32> {
        let history = self.history();
        let points = |hour: &f64| risk(kind, &history, at(*hour)).points;
        self.moments.iter().map(points).collect()
    }

    fn first_sign(&self) -> Option<f64> {
        let first = |series: &Vec<Point>| {
            let sign = series.iter().find(|(_, value)| *value > 0.0);
            sign.map(|(at, _)| at.0 as f64 / HOUR_MS)
        };
        [
            &self.reallocated,
            &self.reported,
            &self.pending,
            &self.offline,
        ]
        .into_iter()
        .filter_map(first)
        .reduce(f64::min)
    }

    fn life(&self, serial: &str) -> Life {
        let mut reached = vec![None; MOST_POINTS];
        for (hour, points) in self
            .moments
            .iter()
            .zip(self.points_without_verdict(DriveKind::Hdd))
        {
            for first in reached.iter_mut().take(points as usize + 1) {
                first.get_or_insert(*hour);
            }
        }
        Life {
            fitted: is_fitted(serial),
            laptop: self.laptop,
            seen: self.seen.unwrap_or_default(),
            failed: self.failed,
            reached,
            any_sign: self.first_sign(),
        }
    }
}

/// Which half a drive belongs to, by nothing but its serial.
fn is_fitted(serial: &str) -> bool {
    let digest = ring::digest::digest(&ring::digest::SHA256, serial.as_bytes());
    digest.as_ref()[0] < 128
}

fn is_laptop(model: &str) -> bool {
    LAPTOP_MODELS
        .iter()
        .any(|beginning| model.starts_with(beginning))
}

fn push(series: &mut Vec<Point>, hour: f64, value: Option<f64>) {
    if let Some(value) = value
        && series.last().is_none_or(|(_, last)| *last != value)
    {
        series.push((at(hour), value));
    }
}

fn at(hour: f64) -> UnixMs {
    UnixMs((hour * HOUR_MS) as i64)
}

/// The number of a day such as `2013-04-10`.
pub fn day_number(date: &str) -> Option<f64> {
    let mut parts = date.splitn(3, '-').map(str::parse::<u32>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day))) =
        (parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let days = rollcall_shared::time::days_from_civil(i64::from(year), month, day);
    Some(days as f64)
}
