//! How far laptops get with what schools depend on, by where they are: the matrix of targets and
//! vantages, now and over the day.
//!
//! "Canvas is down" is a row, "the middle school's Wi-Fi is down" is a column, and "this family's
//! internet is down" is one laptop off campus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rollcall_shared::id::Label;
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::devices::text_of;
use super::{At, Query, QueryError, Viewer};
use crate::device::DeviceState;
use crate::reach_note::{CELLS, ReachCell, ReachNote, Reached, Vantage};
use crate::store::Write;

/// A reading counts as present for so long after a laptop's last report: three ordinary rounds.
pub const PRESENT_MS: i64 = 15 * 60_000;

const DAY_MS: i64 = 86_400_000;

/// A cell of the matrix.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cell {
    /// Now.
    pub now: Reached,
    /// At which stage most of those fail that do; empty where none does.
    pub stage: String,
    /// The median time of a whole exchange, in seconds.
    pub median_s: Option<f64>,
}

/// The matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Matrix {
    /// When.
    pub at: At,
    /// Its columns.
    pub vantages: Vec<Vantage>,
    /// Its rows, each with a cell for each column; `None` where nobody tried.
    pub targets: Vec<Target>,
    /// Since when the day's view reaches back; `None` while there is none.
    pub noted_since: Option<At>,
}

/// A row of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// What is to be reached.
    pub name: String,
    /// By column.
    pub cells: Vec<Option<Cell>>,
    /// By column, what was noted over the day, by ascending time.
    #[serde(skip)]
    pub day: Vec<Vec<(UnixMs, Reached)>>,
}

/// A row and a column of the matrix.
type Place = (String, Vantage);

/// What was noted of each place over the day, by ascending time.
type Day = BTreeMap<Place, Vec<(UnixMs, Reached)>>;

#[derive(Debug, Default)]
struct Found {
    now: Reached,
    stages: BTreeMap<String, u32>,
    times: Vec<f64>,
}

impl Query {
    /// The matrix of the laptops that the viewer may see, of those that were heard of just now.
    #[must_use]
    pub fn reachability(&self, viewer: &Viewer) -> Matrix {
        let now = self.now();
        let mut found: BTreeMap<Place, Found> = BTreeMap::new();
        self.visit_devices(viewer, |state| {
            let Some(vantage) = vantage(state, now) else {
                return;
            };
            for (target, is_reached) in states(state) {
                let key = (target.to_owned(), vantage.clone());
                found.entry(key).or_default().add(state, target, is_reached);
            }
        });
        let notes = self.notes_of_today(now);
        let noted_since = notes.first().map(|note| At(note.at));
        matrix(found, &day(viewer, &notes), noted_since, now)
    }

    /// Notes the present for the day's view.
    ///
    /// # Errors
    /// [`QueryError::Store`] when it cannot be kept.
    pub(super) async fn note_reachability(&self) -> Result<(), QueryError> {
        let note = self.answer(|query| Ok(query.reach_note())).await?;
        Ok(self.store.commit(vec![Write::PutReachNote(note)]).await?)
    }

    fn reach_note(&self) -> ReachNote {
        let now = self.now();
        let mut found: BTreeMap<(Place, Label), Reached> = BTreeMap::new();
        self.store.visit_devices(None, |state| {
            if let Some(vantage) = vantage(state, now) {
                for (target, is_reached) in states(state) {
                    let place = (target.to_owned(), vantage.clone());
                    let key = (place, state.device.site.clone());
                    if found.len() < CELLS || found.contains_key(&key) {
                        found.entry(key).or_default().count(is_reached);
                    }
                }
            }
            std::ops::ControlFlow::Continue(())
        });
        let cells = found
            .into_iter()
            .map(|(((target, vantage), site), reached)| ReachCell {
                target,
                vantage,
                site,
                reached,
            });
        ReachNote {
            at: now,
            cells: cells.collect(),
        }
    }

    fn notes_of_today(&self, now: UnixMs) -> Vec<Arc<ReachNote>> {
        let mut notes = self.store.reach_notes();
        notes.retain(|note| (0..=DAY_MS).contains(&now.since(note.at)));
        notes
    }
}

/// Where a laptop is, if it was heard of just now.
fn vantage(state: &DeviceState, now: UnixMs) -> Option<Vantage> {
    let last = state.last_report?;
    if now.since(last) > PRESENT_MS {
        return None;
    }
    Some(match text_of(state, &metric::VANTAGE) {
        None | Some("") => Vantage::Unknown,
        Some(place) => match place.strip_prefix("on-campus:") {
            Some(site) => Vantage::OnCampus(site.to_owned()),
            None => Vantage::OffCampus,
        },
    })
}

/// What a laptop says of each target. One that it could not try is not there.
fn states(state: &DeviceState) -> impl Iterator<Item = (&str, bool)> {
    state
        .instances(&metric::REACH_STATE)
        .filter_map(|(target, latest)| match &latest.value {
            Value::Text(word) => Some((target, word == "reachable")),
            _ => None,
        })
}

impl Found {
    fn add(&mut self, state: &DeviceState, target: &str, is_reached: bool) {
        self.now.count(is_reached);
        let value = |metric| state.get(metric, target).map(|latest| &latest.value);
        if let Some(Value::Text(stage)) = value(&metric::REACH_FAILED_STAGE)
            && !is_reached
        {
            *self.stages.entry(stage.clone()).or_default() += 1;
        }
        let stages = [
            &metric::REACH_DNS,
            &metric::REACH_TCP,
            &metric::REACH_TLS,
            &metric::REACH_HTTP,
        ];
        let times = stages.iter().filter_map(|stage| match value(stage) {
            Some(Value::Number(seconds)) => Some(*seconds),
            _ => None,
        });
        if is_reached {
            let all: f64 = times.sum();
            self.times.push(all);
        }
    }

    fn cell(mut self) -> Cell {
        self.times.sort_by(f64::total_cmp);
        let most = self.stages.into_iter().max_by_key(|(_, count)| *count);
        let median = self.times.get(self.times.len() / 2).copied();
        Cell {
            now: self.now,
            stage: most.map(|(stage, _)| stage).unwrap_or_default(),
            median_s: median.filter(|seconds| *seconds > 0.0),
        }
    }
}

fn matrix(
    mut found: BTreeMap<Place, Found>,
    day: &Day,
    noted_since: Option<At>,
    now: UnixMs,
) -> Matrix {
    let (mut names, mut vantages) = (BTreeSet::new(), BTreeSet::new());
    for (target, vantage) in found.keys().chain(day.keys()) {
        names.insert(target.clone());
        vantages.insert(vantage.clone());
    }
    let vantages: Vec<Vantage> = vantages.into_iter().collect();
    let targets = names.into_iter().map(|name| {
        let keys = vantages.iter().map(|v| (name.clone(), v.clone()));
        let keys: Vec<_> = keys.collect();
        Target {
            cells: keys
                .iter()
                .map(|key| found.remove(key).map(Found::cell))
                .collect(),
            day: keys
                .iter()
                .map(|key| day.get(key).cloned().unwrap_or_default())
                .collect(),
            name,
        }
    });
    Matrix {
        at: At(now),
        targets: targets.collect(),
        noted_since,
        vantages,
    }
}

/// What was noted of the laptops that a viewer may see.
fn day(viewer: &Viewer, notes: &[Arc<ReachNote>]) -> Day {
    let mut day = Day::new();
    for note in notes {
        for cell in &note.cells {
            if !viewer.sees_site(&cell.site) {
                continue;
            }
            let key = (cell.target.clone(), cell.vantage.clone());
            let noted = day.entry(key).or_default();
            match noted.last_mut() {
                Some((at, sum)) if *at == note.at => sum.add(cell.reached),
                _ => noted.push((note.at, cell.reached)),
            }
        }
    }
    day
}

#[cfg(test)]
mod tests;
