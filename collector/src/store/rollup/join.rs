//! Joining roll-ups: what is new of a week with what its level's folder has, written anew and densely.
//!
//! A value names its series and what is foretold of them, which is most of it where it tells of a few
//! stretches of time only. So the weeks of a device go into one value after the other, each begun when the
//! one before is half full; a value is found by the last key up to its week.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rollcall_shared::id::DeviceId;

use super::super::block::{self, Column};
use super::super::database::Pair;
use super::super::dense::Dense;
use super::super::hot::failed;
use super::super::keys::{self, Day, Part, Place, RolledFrom, RolledUp, VALUE_BYTES, Week};
use super::super::merge::{finish, in_order};
use super::super::read::{DAYS, HOURS, damaged};
use super::super::seal::put_values;
use super::super::{Store, StoreError};
use super::write::ROLLUPS;
use super::{Level, Rolled, by_level_of, form, joined, roll, times_of};

/// Bytes of a device's last value from which on the next week begins another.
const FULL: usize = VALUE_BYTES / 2;

/// Weeks that are rolled up in one run, of which there is one an hour: each reads a week, and writes some.
const WEEKS_AT_ONCE: usize = 2;

/// How long before its readings may go a week's quarters of an hour are written: retention and this are two
/// tasks, which each look once an hour.
const AHEAD_MS: i64 = 86_400_000;

/// The pairs of a source, in the order of their keys.
pub(super) type Pairs = Box<dyn Iterator<Item = Pair>>;

/// What a generation of a day was like, from what a source has of it; each `at` has the generation in it.
pub(super) type Roll = fn(Vec<Column>, Level, u16) -> Vec<Rolled>;

impl Store {
    /// Rolls up weeks of which something is missing: quarters of an hour where readings are about to go,
    /// hours and days where the week was merged before there were roll-ups. Run it every hour.
    ///
    /// # Errors
    /// [`StoreError`]; a later run goes on with the same week. [`StoreError::Closed`] after
    /// [`Store::stop_merging`].
    pub async fn roll_up(&self) -> Result<(), StoreError> {
        let _only_one = self.shared().merging.lock().await;
        for (week, from, to) in self.missing().into_iter().take(WEEKS_AT_ONCE) {
            self.shared().check_reserve()?;
            let days: Vec<(Day, u16)> = {
                let memory = self.shared().memory();
                let days = memory.days_in(week, Place::Week).into_iter();
                days.filter(|day| memory.rolled_up(*day) == from).collect()
            };
            for level in Level::ALL {
                if to.has(level) && !from.has(level) && self.keeps_rolled(level, week) {
                    let of = days.clone();
                    let built = self.blocking(move |store| store.join_readings(level, week, &of));
                    let built = built.await?;
                    self.put_in_place(Part::rollups(level, week), built).await?;
                }
            }
            self.place_days(days, Place::Week, Some(to)).await?;
        }
        Ok(())
    }

    /// The weeks of which something is missing, the latest first, and which days it is missing of.
    fn missing(&self) -> Vec<(Week, RolledUp, RolledUp)> {
        let go_next = self.shared().oldest_raw();
        let memory = self.shared().memory();
        let mut missing = Vec::new();
        for (day, place) in memory.days.iter().rev() {
            let week = Week::of(day.0.start());
            let of = match memory.rolled_up(*day) {
                RolledUp::Not => (week, RolledUp::Not, RolledUp::Coarse),
                RolledUp::Coarse if week.end().plus_ms(-AHEAD_MS) <= go_next => {
                    (week, RolledUp::Coarse, RolledUp::Whole)
                }
                _ => continue,
            };
            if *place == Place::Week && !missing.contains(&of) {
                missing.push(of);
            }
        }
        missing
    }

    /// Whether what a week is rolled up to by a level would be kept.
    pub(in super::super) fn keeps_rolled(&self, level: Level, week: Week) -> bool {
        Part::rollups(level, week).end() > self.shared().oldest_rolled(level)
    }

    /// Joins merged days of a week, which lie by hours beside their readings, with what is rolled up.
    pub(in super::super) fn join_hours(
        &self,
        level: Level,
        week: Week,
        days: &[(Day, u16)],
    ) -> Result<PathBuf, StoreError> {
        let mut sources = Vec::new();
        for (day, generation) in days {
            let part = Part::Merged(*day, *generation);
            let from = self.shared().history.part(part)?;
            let pairs: Pairs = Box::new(from.scan(HOURS, &[]));
            sources.push(pairs);
        }
        self.join(level, week, days, sources, of_hours)
    }

    /// Joins days that lie in their week with what is rolled up.
    fn join_readings(
        &self,
        level: Level,
        week: Week,
        days: &[(Day, u16)],
    ) -> Result<PathBuf, StoreError> {
        let week_of = self.shared().history.existing(Part::Raw(week))?;
        let sources = week_of.into_iter().map(|from| {
            let pairs: Pairs = Box::new(from.scan(DAYS, &[]));
            pairs
        });
        self.join(level, week, days, sources.collect(), of_readings)
    }

    /// Joins what sources have of days of a week with what is rolled up by a level.
    pub(super) fn join(
        &self,
        level: Level,
        week: Week,
        days: &[(Day, u16)],
        sources: Vec<Pairs>,
        roll: Roll,
    ) -> Result<PathBuf, StoreError> {
        let part = Part::rollups(level, week);
        let before = self.shared().history.existing(part)?;
        let before = before.map(|before| tagged(Box::new(before.scan(ROLLUPS, &[])), KNOWN));
        let sources = sources.into_iter().map(|source| tagged(source, NEW));
        let mut joining = Joining {
            store: self,
            part,
            level,
            week,
            roll,
            built: self.build(part)?,
            of: OfDevice::default(),
        };
        in_order(
            before.into_iter().chain(sources).collect(),
            |mut key, value| {
                let is_new = key.pop() == Some(NEW);
                if !is_new {
                    return joining.take(key, value);
                }
                match keys::parse_merged(&key) {
                    Some(of) if days.contains(&of) => joining.take_new(of, &key, &value),
                    _ => Ok(()),
                }
            },
        )?;
        joining.finish()
    }
}

/// What the keys of sources end with on their way: of the folder that is written anew, and of what is new.
const KNOWN: u8 = 0;
const NEW: u8 = 1;

fn tagged(pairs: Pairs, tag: u8) -> Pairs {
    Box::new(pairs.map(move |pair| {
        pair.map(|(mut key, value)| {
            key.push(tag);
            (key, value)
        })
    }))
}

pub(super) fn of_hours(columns: Vec<Column>, level: Level, generation: u16) -> Vec<Rolled> {
    let hours = form::from_columns(columns, &|_, _| true);
    let early = -i64::from(generation);
    moved(
        by_level_of(&moved(hours, early), level),
        i64::from(generation),
    )
}

fn of_readings(mut columns: Vec<Column>, level: Level, generation: u16) -> Vec<Rolled> {
    columns.sort_by(|a, b| a.key.cmp(&b.key));
    let quarters = roll(&columns, &times_of(&columns));
    moved(by_level_of(&quarters, level), i64::from(generation))
}

fn moved(mut rolled: Vec<Rolled>, by_ms: i64) -> Vec<Rolled> {
    let buckets = rolled.iter_mut().flat_map(|of| &mut of.buckets);
    buckets.for_each(|bucket| bucket.at = bucket.at.plus_ms(by_ms));
    rolled
}

/// What there is of one device.
#[derive(Default)]
struct OfDevice {
    device: Option<DeviceId>,
    known: BTreeMap<Vec<u8>, Vec<u8>>,
    new: BTreeMap<(Day, u16), Vec<Column>>,
}

/// A folder of roll-ups on its way.
struct Joining<'a> {
    store: &'a Store,
    part: Part,
    level: Level,
    week: Week,
    roll: Roll,
    built: Dense,
    of: OfDevice,
}

impl Joining<'_> {
    fn take(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.turn_to(&key)?;
        self.of.known.insert(key, value);
        Ok(())
    }

    fn take_new(&mut self, of: (Day, u16), key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.turn_to(key)?;
        let found = block::decode(value, None);
        let found = found.map_err(|problem| damaged(Part::Raw(self.week), key, problem))?;
        let columns = self.of.new.entry(of).or_default();
        for column in found {
            match columns.iter_mut().find(|known| known.key == column.key) {
                Some(known) => known.points.extend(column.points),
                None => columns.push(column),
            }
        }
        Ok(())
    }

    fn turn_to(&mut self, key: &[u8]) -> Result<(), StoreError> {
        let device = key.get(..16).and_then(|id| DeviceId::try_from(id).ok());
        let problem = || damaged(self.part, key, "its key is too short".to_owned());
        let device = device.ok_or_else(problem)?;
        if self.of.device != Some(device) {
            self.write()?;
            self.of.device = Some(device);
        }
        Ok(())
    }

    /// Writes what there is of a device.
    fn write(&mut self) -> Result<(), StoreError> {
        self.store.may_go_on()?;
        let OfDevice {
            device,
            mut known,
            new,
        } = std::mem::take(&mut self.of);
        if let Some(device) = device
            && !new.is_empty()
        {
            let (level, roll) = (self.level, self.roll);
            let new = new.into_iter();
            let new = new.flat_map(|((_, generation), columns)| roll(columns, level, generation));
            self.join_with(device, &mut known, new.collect())?;
        }
        for (key, value) in known {
            self.built.put(ROLLUPS, key, &value).map_err(failed)?;
        }
        Ok(())
    }

    /// Joins what is new with what is known of the week, and of weeks before where there is room.
    fn join_with(
        &self,
        device: DeviceId,
        known: &mut BTreeMap<Vec<u8>, Vec<u8>>,
        new: Vec<Rolled>,
    ) -> Result<(), StoreError> {
        let week = self.week;
        let weeks = known
            .keys()
            .filter_map(|key| match keys::parse_rolled(key) {
                Some(RolledFrom::Week(week)) => Some(week),
                _ => None,
            });
        let weeks: Vec<Week> = weeks.collect();
        let last = weeks.iter().copied().filter(|of| *of <= week).max();
        let is_last = weeks.iter().all(|of| Some(*of) <= last);
        let (mut beside, late): (BTreeMap<_, _>, _) = known
            .extract_if(.., |key, _| match keys::parse_rolled(key) {
                Some(RolledFrom::Week(of)) => Some(of) == last,
                Some(RolledFrom::Day(day, _)) => Week::of(day.start()) == week,
                None => false,
            })
            .partition(|(key, _)| matches!(keys::parse_rolled(key), Some(RolledFrom::Week(_))));
        let (of_weeks, is_whole) = self.decode(&beside)?;
        let (of_late, _) = self.decode(&late)?;
        let is_full = beside.values().map(Vec::len).sum::<usize>() >= FULL;
        // A week lies in one value, so that it is found by the last key up to it.
        let mut ends = of_weeks.iter().filter_map(|of| of.buckets.last());
        let reaches = ends.any(|bucket| bucket.at >= week.start().start());
        let from = match last {
            Some(last) if !is_last || !is_full || !is_whole || reaches => last,
            _ => week,
        };
        let mut all = new;
        all.extend(of_late);
        if Some(from) == last {
            beside.clear();
            all.extend(of_weeks);
        }
        known.append(&mut beside);
        let columns = form::to_columns(&joined(all), 0);
        let prefix = keys::rolled_week(device, from);
        for op in put_values(ROLLUPS, &prefix, block::encode(&columns)) {
            known.insert(op.key, op.value.unwrap_or_default());
        }
        Ok(())
    }

    /// What values tell, without what an interrupted run has left; and whether that is all.
    fn decode(
        &self,
        values: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<(Vec<Rolled>, bool), StoreError> {
        let mut columns: Vec<Column> = Vec::new();
        for (key, value) in values {
            let found = block::decode(value, None);
            columns.extend(found.map_err(|problem| damaged(self.part, key, problem))?);
        }
        let memory = self.store.shared().memory();
        let is_known = |day: (Day, u16)| {
            let place = memory.days.get(&day);
            place.is_some_and(|place| form::is_in_folder(*place, memory.rolled_up(day), self.level))
        };
        let mut is_whole = true;
        for column in &mut columns {
            let before = column.points.len();
            column.points.retain(|(at, _)| is_known(form::day_of(*at)));
            is_whole &= column.points.len() == before;
        }
        Ok((form::from_columns(columns, &|_, _| true), is_whole))
    }

    fn finish(mut self) -> Result<PathBuf, StoreError> {
        self.write()?;
        finish(self.built)
    }
}
