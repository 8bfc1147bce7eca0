//! Series of simulated laptops.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall_collector::device::SeriesKey;
use rollcall_collector::store::block::{Column, Point};
use rollcall_shared::configuration::Schedule;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::{UnixMs, days_from_civil};
use rollcall_tests::simulator::{Changes, Fleet};

use crate::Subject;

/// Numbers of each report where all are sent, as in the goal of the store.
const SERIES: usize = 36;

/// A day at school: Tuesday, 2026-09-15.
fn morning() -> UnixMs {
    UnixMs(days_from_civil(2026, 9, 15) * 86_400_000)
}

/// Hours and days, with all numbers each minute and with what an agent sends.
pub fn subjects(laptops: u32) -> Vec<Subject> {
    let all: Vec<Vec<Column>> = (0..laptops).map(all_numbers).collect();
    let sent: Vec<Vec<Column>> = (0..laptops).map(as_sent).collect();
    vec![
        Subject {
            name: "all_hour",
            about: "36 numbers of a simulated laptop each minute, 60 reports a block",
            blocks: all.iter().flat_map(|day| by_reports(day, 60)).collect(),
        },
        Subject {
            name: "all_day",
            about: "the same, a day a block",
            blocks: all,
        },
        Subject {
            name: "sent_hour",
            about: "all readings as an agent sends them (changes beyond the dead band), 60 reports a block",
            blocks: sent.iter().flat_map(|day| by_reports(day, 60)).collect(),
        },
        Subject {
            name: "sent_day",
            about: "the same, a day a block",
            blocks: sent,
        },
    ]
}

/// The first 36 series of numbers that the laptop has, at each minute that it is awake.
fn all_numbers(number: u32) -> Vec<Column> {
    let laptop = Fleet::new(1).laptop(number);
    let minutes = (0..1440).map(|minute| morning().plus_ms(minute * 60_000));
    let reports = minutes.filter_map(|at| Some((at, laptop.readings(at)?)));
    let mut columns = columns(reports);
    columns.retain(|column| {
        column
            .points
            .iter()
            .all(|(_, value)| value.as_number().is_some())
    });
    // From all over the catalogue.
    let step = columns.len() as f64 / SERIES as f64;
    let chosen = (0..SERIES.min(columns.len())).map(|n| (n as f64 * step.max(1.0)) as usize);
    chosen.map(|at| columns[at].clone()).collect()
}

/// What the laptop's agent sends on that day.
fn as_sent(number: u32) -> Vec<Column> {
    let (mut changes, schedule) = (Changes::default(), Schedule::default());
    let day = Duration::from_secs(86_400).as_millis() as i64;
    let until = morning().plus_ms(day);
    let samples = Fleet::new(1).fill(
        number..number + 1,
        morning(),
        until,
        Duration::from_secs(60),
    );
    let laptop = Fleet::new(1).laptop(number);
    let reports = samples.filter_map(|sample| {
        let full = sample.full || changes.is_full_due(sample.at, schedule.full_s);
        let readings = if full {
            laptop.readings(sample.at)?
        } else {
            sample.readings
        };
        let changed = changes.take(sample.at, readings, full)?;
        // A clock that is corrected from afar is off by some milliseconds, each time by others.
        let jitter = sample.at.seconds().wrapping_mul(7919).rem_euclid(83);
        Some((sample.at.plus_ms(jitter), changed.readings))
    });
    columns(reports)
}

fn columns(reports: impl Iterator<Item = (UnixMs, Vec<Reading>)>) -> Vec<Column> {
    let mut series = BTreeMap::<SeriesKey, Vec<Point>>::new();
    for (at, readings) in reports {
        for reading in readings {
            let points = series.entry(SeriesKey::of(&reading)).or_default();
            points.push((at, reading.value().clone()));
        }
    }
    series
        .into_iter()
        .map(|(key, points)| Column { key, points })
        .collect()
}

/// Cuts a day after every so many reports.
fn by_reports(day: &[Column], reports: usize) -> Vec<Vec<Column>> {
    let times = day
        .iter()
        .flat_map(|column| &column.points)
        .map(|(at, _)| *at);
    let mut times: Vec<UnixMs> = times.collect();
    times.sort_unstable();
    times.dedup();
    let parts = times
        .chunks(reports)
        .filter_map(|times| Some((*times.first()?, *times.last()?)));
    parts.map(|(from, to)| part(day, from, to)).collect()
}

fn part(day: &[Column], from: UnixMs, to: UnixMs) -> Vec<Column> {
    let parts = day.iter().map(|column| {
        let points = column
            .points
            .iter()
            .filter(|(at, _)| (from..=to).contains(at));
        Column {
            key: column.key.clone(),
            points: points.cloned().collect(),
        }
    });
    parts.filter(|column| !column.points.is_empty()).collect()
}
