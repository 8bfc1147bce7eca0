//! Histories of batteries, and how the forecast of the replacement line does on them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rollcall_collector::evaluate::forecast::battery::{
    BatteryHistory, Line, forecast, forecast_line,
};
use rollcall_collector::evaluate::forecast::{DAY_MS, Point};
use rollcall_shared::time::UnixMs;

use crate::drives::day_number;
use crate::table::Table;

#[derive(Default)]
struct Track {
    design: Vec<Point>,
    full: Vec<Point>,
}

/// A forecast that was made, and what came of it.
struct Tried {
    ahead_days: f64,
    said_days: f64,
    in_range: bool,
}

/// Lines of which the passing is looked for: more of them than the one of the product, since few
/// batteries in the histories pass that one.
const LINES: [f64; 5] = [0.9, 0.8, 0.7, 0.6, 0.5];

/// One line for each laptop, then how right the dates were.
pub fn report(folder: &Path) -> Result<String> {
    let mut text = String::from("\nBatteries, histories of powercfg battery reports\n");
    let tracks = tracks(folder)?;
    for (machine, track) in &tracks {
        let end = track.full.last().map_or(UnixMs(0), |(at, _)| *at);
        match forecast(&track.history(), end) {
            None => text += &format!("  {machine}: nothing that can be believed\n"),
            Some(seen) => text += &format!("  {machine}: {}\n", seen.words()),
        }
    }
    let (mut tried, mut soon) = (Vec::new(), Soon::default());
    for (track, line) in tracks
        .values()
        .flat_map(|track| LINES.map(|line| (track, line)))
    {
        let weeks = track.weeks();
        let crossed = track.passed(line, &weeks);
        soon.count(track, line, &weeks, crossed);
        if let Some(crossed) = crossed {
            tried.extend(
                weeks
                    .iter()
                    .filter_map(|week| attempt(track, line, *week, crossed)),
            );
        }
    }
    text += &format!(
        "  lines passed {}, of which announced as due within 30 days before {}; announced and not \
         passed by the end of the history {}\n",
        soon.passed, soon.announced, soon.wrong
    );
    text += &accuracy(&tried);
    Ok(text)
}

#[derive(Default)]
struct Soon {
    passed: usize,
    announced: usize,
    wrong: usize,
}

impl Soon {
    fn count(&mut self, track: &Track, line: f64, weeks: &[UnixMs], crossed: Option<UnixMs>) {
        let before = |week: &&UnixMs| crossed.is_none_or(|crossed| **week < crossed);
        let mut said = weeks.iter().filter(before);
        let announced = said.any(|week| track.due_within_30_days(line, *week));
        self.passed += usize::from(crossed.is_some());
        self.announced += usize::from(crossed.is_some() && announced);
        self.wrong += usize::from(crossed.is_none() && announced);
    }
}

impl Track {
    fn history(&self) -> BatteryHistory<'_> {
        BatteryHistory {
            design: &self.design,
            full: &self.full,
        }
    }

    fn weeks(&self) -> Vec<UnixMs> {
        let (Some((first, _)), Some((end, _))) = (self.full.first(), self.full.last()) else {
            return Vec::new();
        };
        (0..)
            .map(|week: i64| first.plus_ms(week * 7 * DAY_MS))
            .take_while(|at| at <= end)
            .collect()
    }

    /// The first week from which on the battery stays below the line, where it was above it before.
    fn passed(&self, line: f64, weeks: &[UnixMs]) -> Option<UnixMs> {
        let below = |week: &UnixMs| {
            let seen = forecast_line(&self.history(), line, *week);
            seen.is_some_and(|seen| seen.health < line)
        };
        let last_good = weeks.iter().rposition(|week| !below(week))?;
        weeks.get(last_good + 1).copied()
    }

    fn due_within_30_days(&self, line: f64, week: UnixMs) -> bool {
        let seen = forecast_line(&self.history(), line, week);
        matches!(seen.map(|seen| seen.line), Some(Line::Expected(when)) if when.days <= 30.0)
    }
}

/// The longest history of each laptop, its readings in order of time.
fn tracks(folder: &Path) -> Result<BTreeMap<String, Track>> {
    let table = Table::open(&folder.join("capacity_history.csv"))?;
    let columns = table.columns(&["machine", "report", "end", "full_mwh", "design_mwh"])?;
    let mut reports: BTreeMap<(String, String), Track> = BTreeMap::new();
    for row in table.rows() {
        let row = row?;
        let key = (
            columns.text(&row, 0).to_owned(),
            columns.text(&row, 1).to_owned(),
        );
        let Some(day) = day_number(columns.text(&row, 2)) else {
            continue;
        };
        let (at, track) = (UnixMs(day as i64 * DAY_MS), reports.entry(key).or_default());
        track
            .full
            .push((at, columns.number(&row, 3).unwrap_or(0.0)));
        track
            .design
            .push((at, columns.number(&row, 4).unwrap_or(0.0)));
    }
    let mut longest: BTreeMap<String, Track> = BTreeMap::new();
    for ((machine, _), mut track) in reports {
        track.full.sort_by_key(|(at, _)| *at);
        track.design.sort_by_key(|(at, _)| *at);
        let kept = longest.entry(machine).or_default();
        if track.full.len() > kept.full.len() {
            *kept = track;
        }
    }
    Ok(longest)
}

fn attempt(track: &Track, line: f64, week: UnixMs, crossed: UnixMs) -> Option<Tried> {
    let ahead_days = days(crossed, week);
    let Line::Expected(when) = forecast_line(&track.history(), line, week)?.line else {
        return None;
    };
    let latest = when.latest_days.unwrap_or(f64::INFINITY);
    (ahead_days > 0.0).then(|| Tried {
        ahead_days,
        said_days: when.days,
        in_range: (when.earliest_days - 7.0..=latest + 7.0).contains(&ahead_days),
    })
}

fn accuracy(tried: &[Tried]) -> String {
    let mut text = String::new();
    for (from, to) in [(0.0, 45.0), (45.0, 120.0), (120.0, 400.0)] {
        let these: Vec<&Tried> = tried
            .iter()
            .filter(|tried| tried.ahead_days > from && tried.ahead_days <= to)
            .collect();
        let mut errors: Vec<f64> = these
            .iter()
            .map(|tried| (tried.said_days - tried.ahead_days).abs())
            .collect();
        errors.sort_by(f64::total_cmp);
        let middle = errors.get(errors.len() / 2).copied().unwrap_or(0.0);
        let too_late = these
            .iter()
            .filter(|tried| tried.said_days > tried.ahead_days)
            .count();
        let covered = these.iter().filter(|tried| tried.in_range).count();
        text += &format!(
            "  dates given {from:.0} to {to:.0} days ahead: {}, median error {middle:.0} days, {too_late} too late, right \
             within the range (and a week) {covered}\n",
            these.len()
        );
    }
    text
}

fn days(later: UnixMs, earlier: UnixMs) -> f64 {
    later.since(earlier) as f64 / DAY_MS as f64
}
