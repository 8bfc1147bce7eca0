//! How far laptops get with what schools depend on, by where they are: the matrix of targets and
//! vantages, now and over the day.
//!
//! "Canvas is down" is a row, "the middle school's Wi-Fi is down" is a column, and "this family's
//! internet is down" is one laptop off campus.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use rollcall_shared::id::Label;
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::devices::text_of;
use super::{At, Query, Viewer};
use crate::device::DeviceState;

/// A reading counts as present for so long after a laptop's last report: three ordinary rounds.
pub const PRESENT_MS: i64 = 15 * 60_000;

/// How often the matrix is noted for the day's view.
pub const NOTED_EVERY_MS: i64 = 10 * 60_000;

/// Notes that are kept: a day.
const NOTES: usize = 144;

/// Cells of a note, most of 20 targets at 100 sites: with their names about 100 bytes each, so a day
/// stays within 30 MB. Further ones are not noted; the present shows them all.
const CELLS: usize = 2000;

/// Where laptops are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", content = "site", rename_all = "kebab-case")]
pub enum Vantage {
    /// On the network of a site.
    OnCampus(String),
    /// On no school's network.
    OffCampus,
    /// Nobody can tell, as without beacons.
    Unknown,
}

/// How many laptops get to a target from one vantage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reached {
    /// Those that reached it.
    pub reached: u32,
    /// Those that did not.
    pub failed: u32,
}

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

/// What was noted over the day.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<VecDeque<Note>>);

/// Each site's laptops apart, so that who may see one site only is told of its laptops alone.
type Key = (String, Vantage, Label);

#[derive(Debug)]
struct Note {
    at: UnixMs,
    cells: BTreeMap<Key, Reached>,
}

#[derive(Debug, Default)]
struct Found {
    now: Reached,
    stages: BTreeMap<String, u32>,
    times: Vec<f64>,
}

impl Reached {
    /// The share that did not get through.
    #[must_use]
    pub fn failed_share(self) -> f64 {
        f64::from(self.failed) / f64::from((self.reached + self.failed).max(1))
    }

    fn count(&mut self, is_reached: bool) {
        if is_reached {
            self.reached += 1;
        } else {
            self.failed += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.reached += other.reached;
        self.failed += other.failed;
    }
}

impl Query {
    /// The matrix of the laptops that the viewer may see, of those that were heard of just now.
    #[must_use]
    pub fn reachability(&self, viewer: &Viewer) -> Matrix {
        let now = self.now();
        let mut found: BTreeMap<(String, Vantage), Found> = BTreeMap::new();
        self.visit_devices(viewer, |state| {
            let Some(vantage) = vantage(state, now) else {
                return;
            };
            for (target, is_reached) in states(state) {
                let key = (target.to_owned(), vantage.clone());
                found.entry(key).or_default().add(state, target, is_reached);
            }
        });
        self.notes.matrix(viewer, found, now)
    }

    /// Notes the present for the day's view.
    pub(super) fn note_reachability(&self) {
        let now = self.now();
        let mut cells: BTreeMap<Key, Reached> = BTreeMap::new();
        self.store.visit_devices(None, |state| {
            if let Some(vantage) = vantage(state, now) {
                for (target, is_reached) in states(state) {
                    let key = (
                        target.to_owned(),
                        vantage.clone(),
                        state.device.site.clone(),
                    );
                    if cells.len() < CELLS || cells.contains_key(&key) {
                        cells.entry(key).or_default().count(is_reached);
                    }
                }
            }
            std::ops::ControlFlow::Continue(())
        });
        self.notes.put(Note { at: now, cells });
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

impl Notes {
    fn put(&self, note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() >= NOTES {
            notes.pop_front();
        }
        notes.push_back(note);
    }

    fn matrix(
        &self,
        viewer: &Viewer,
        mut found: BTreeMap<(String, Vantage), Found>,
        now: UnixMs,
    ) -> Matrix {
        let day = self.day(viewer, now);
        let keys = found.keys().chain(day.keys());
        let (mut names, mut vantages) = (BTreeSet::new(), BTreeSet::new());
        for (target, vantage) in keys {
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
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Matrix {
            at: At(now),
            targets: targets.collect(),
            noted_since: notes.front().map(|note| At(note.at)),
            vantages,
        }
    }

    fn day(
        &self,
        viewer: &Viewer,
        now: UnixMs,
    ) -> BTreeMap<(String, Vantage), Vec<(UnixMs, Reached)>> {
        let mut day: BTreeMap<_, Vec<(UnixMs, Reached)>> = BTreeMap::new();
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_today = notes.iter().filter(|note| now.since(note.at) <= 86_400_000);
        for note in of_today {
            for ((target, vantage, site), reached) in &note.cells {
                if !viewer.sees_site(site) {
                    continue;
                }
                let cells = day.entry((target.clone(), vantage.clone())).or_default();
                match cells.last_mut() {
                    Some((at, sum)) if *at == note.at => sum.add(*reached),
                    _ => cells.push((note.at, *reached)),
                }
            }
        }
        day
    }
}

#[cfg(test)]
mod tests;
