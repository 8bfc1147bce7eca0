//! Writing roll-ups: of each device, while its day is merged, or later where that was before there were any.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::super::block::{self, Column};
use super::super::database::{Database, Op};
use super::super::hot::failed;
use super::super::keys::{self, Day, Part, Place, Week};
use super::super::merge::removals;
use super::super::read::{DAYS, damaged};
use super::super::seal::put_values;
use super::super::{Store, StoreError};
use super::{Level, Rolled, coarser, form, roll};

/// The tree of roll-ups.
pub(super) const ROLLUPS: usize = 0;

/// Operations in one transaction: at the largest 3 MB.
const OPS: usize = 512;

/// Days that were merged before there were roll-ups and get them in one run, of which there is one an
/// hour: a year in two days, and an hour's work for a fleet of 100,000.
const DAYS_AT_ONCE: usize = 8;

/// The databases that take the roll-ups of a generation of a day.
pub(in super::super) struct RollUps {
    day: Day,
    generation: u16,
    levels: Vec<(Level, Part, Arc<Database>, Vec<Op>)>,
}

impl RollUps {
    /// Those of the levels that are still kept of the day.
    pub fn open(store: &Store, day: Day, generation: u16) -> Result<Self, StoreError> {
        let mut levels = Vec::new();
        for level in Level::ALL {
            let part = Part::rollups(level, Week::of(day.start()));
            if part.end() > store.shared().oldest_rolled(level) {
                levels.push((level, part, store.shared().history.part(part)?, Vec::new()));
            }
        }
        Ok(Self {
            day,
            generation,
            levels,
        })
    }

    /// Puts what a device was like. `times` are those of its reports on the day, ascending; the columns
    /// are in the order of their keys.
    pub fn put(
        &mut self,
        device: DeviceId,
        columns: &[Column],
        times: &[UnixMs],
    ) -> Result<(), StoreError> {
        let quarters = roll(columns, times);
        for (level, part, database, ops) in &mut self.levels {
            let rolled: Vec<Rolled> = quarters.iter().map(|of| wider(of, *level)).collect();
            let columns = form::to_columns(&rolled, self.generation);
            let (prefix, columns) = match level {
                Level::Quarter | Level::Hour => {
                    (keys::merged(device, self.day, self.generation), columns)
                }
                Level::Day => {
                    let week = Week::of(self.day.start());
                    let prefix = keys::rolled_week(device, week);
                    let at = self.day.start().plus_ms(i64::from(self.generation));
                    let others = others_of_week(*part, database, &prefix, at)?;
                    (prefix, united(others, columns))
                }
            };
            // What was there may have more pieces.
            ops.extend(removals(database, ROLLUPS, &prefix)?);
            ops.extend(put_values(ROLLUPS, &prefix, block::encode(&columns)));
            if ops.len() >= OPS {
                database.commit(&std::mem::take(ops)).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Writes what is left; all of it is durable when this returns.
    pub fn finish(self) -> Result<(), StoreError> {
        for (_, _, database, ops) in &self.levels {
            if !ops.is_empty() {
                database.commit(ops).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn wider(quarters: &Rolled, level: Level) -> Rolled {
    Rolled {
        key: quarters.key.clone(),
        buckets: coarser(&quarters.buckets, level.width_ms()),
    }
}

/// What a week's roll-ups by days hold beside a generation of a day.
fn others_of_week(
    part: Part,
    database: &Database,
    prefix: &[u8],
    at: UnixMs,
) -> Result<Vec<Column>, StoreError> {
    let mut columns = Vec::new();
    for pair in database.scan(ROLLUPS, prefix) {
        let (key, value) = pair.map_err(failed)?;
        let found = block::decode(&value, None);
        columns.extend(found.map_err(|problem| damaged(part, &key, problem))?);
    }
    for column in &mut columns {
        column.points.retain(|(time, _)| *time != at);
    }
    Ok(columns)
}

/// Counts that are left out stand for those of the series before at the same times only, so that columns
/// of different days can be joined.
fn united(mut columns: Vec<Column>, more: Vec<Column>) -> Vec<Column> {
    for column in more {
        match columns.iter_mut().find(|known| known.key == column.key) {
            Some(known) => known.points.extend(column.points),
            None => columns.push(column),
        }
    }
    columns
}

impl Store {
    /// Rolls up some of the days that were merged before there were roll-ups, the latest first. Run it
    /// every hour.
    ///
    /// # Errors
    /// [`StoreError`]; a later run goes on with the same day. [`StoreError::Closed`] after
    /// [`Store::stop_merging`].
    pub async fn roll_up(&self) -> Result<(), StoreError> {
        let merged: Vec<((Day, u16), Place)> = {
            let memory = self.shared().memory();
            let merged =
                memory.days.iter().rev().filter(|(day, place)| {
                    **place != Place::Sealed && !memory.rolled.contains(day)
                });
            let merged = merged.map(|(day, place)| (*day, *place));
            merged.take(DAYS_AT_ONCE).collect()
        };
        for (day, place) in merged {
            self.shared().check_reserve()?;
            self.blocking(move |store| store.roll_up_day(day, place))
                .await?;
            self.place_days(vec![day], place, true).await?;
        }
        Ok(())
    }

    fn roll_up_day(&self, (day, generation): (Day, u16), place: Place) -> Result<(), StoreError> {
        let part = match place {
            Place::Merged => Part::Merged(day, generation),
            Place::Week | Place::Sealed => Part::Raw(Week::of(day.start())),
        };
        let Some(database) = self.shared().history.existing(part)? else {
            return Ok(());
        };
        let mut rolled = RollUps::open(self, day, generation)?;
        for device in self.device_ids() {
            if self.shared().stop_merging.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            let mut columns = Vec::new();
            for pair in database.scan(DAYS, &keys::merged(device, day, generation)) {
                let (key, value) = pair.map_err(failed)?;
                let found = block::decode(&value, None);
                let found = found.map_err(|problem| damaged(part, &key, problem))?;
                columns = united(columns, found);
            }
            if !columns.is_empty() {
                columns.sort_by(|a, b| a.key.cmp(&b.key));
                rolled.put(device, &columns, &super::times_of(&columns))?;
            }
        }
        rolled.finish()
    }
}
