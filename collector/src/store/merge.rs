//! Merging: the hours of a day that is over become one stretch for each device, in the week's database,
//! and the day's own database goes.
//!
//! What comes late, from a laptop that was off for weeks, is sealed into a new generation of its day and
//! merged beside what is there. See the invariants in `keys`.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::block::{self, Column, Point};
use super::database::{Database, Op};
use super::hot::{failed, put};
use super::keys::{self, Day, Part, TreeName, Week};
use super::read::{DAYS, damaged};
use super::seal::put_values;
use super::{Store, StoreError};
use crate::device::SeriesKey;

/// How long after its end a day is merged: laptops that were closed for the evening have come by then.
const AFTER_MS: i64 = 6 * 3_600_000;

/// Operations in one transaction: at the largest 3 MB.
const OPS: usize = 512;

type Series = BTreeMap<SeriesKey, Vec<Point>>;

impl Store {
    /// Merges the days that are over. What came late for days before is merged once a day. Run it every
    /// hour; with a large fleet it takes a while.
    ///
    /// # Errors
    /// [`StoreError`]; a later run goes on with the same day. [`StoreError::Closed`] after
    /// [`Store::stop_merging`].
    pub async fn merge(&self, now: UnixMs) -> Result<(), StoreError> {
        let parts = self.shared().history.parts().map_err(failed)?;
        let late_too = self.shared().memory_mut().is_new_day(Day::of(now));
        for part in parts {
            let Part::Sealed(day, generation) = part else {
                continue;
            };
            let due = generation == 0 || late_too;
            if due && day.end().plus_ms(AFTER_MS) <= now {
                self.merge_day(day, generation).await?;
            }
        }
        Ok(())
    }

    /// Lets a merge end at the next device; the next one goes on from there.
    pub fn stop_merging(&self) {
        self.shared().stop_merging.store(true, Ordering::Relaxed);
    }

    async fn merge_day(&self, day: Day, generation: u16) -> Result<(), StoreError> {
        self.shared().check_reserve()?;
        let (known, merged) = {
            let memory = self.shared().memory();
            let known = memory.days.get(&(day, generation)).copied();
            (known.is_some(), known.unwrap_or_default())
        };
        if !merged {
            if !known {
                self.take_from_seals(day, generation).await?;
            }
            self.blocking(move |store| store.copy_day(day, generation, known))
                .await?;
            self.mark_day(day, generation, true).await?;
        }
        self.blocking(move |store| {
            let _nobody_reads = store.shared().close_gate();
            store
                .shared()
                .memory_mut()
                .days
                .insert((day, generation), true);
            let part = Part::Sealed(day, generation);
            store.shared().history.remove(part).map_err(failed)
        })
        .await
    }

    /// From here on seals write to the next generation.
    pub(super) async fn take_from_seals(
        &self,
        day: Day,
        generation: u16,
    ) -> Result<(), StoreError> {
        let _no_seal = self.shared().sealing.lock().await;
        self.finish_interrupted().await?;
        self.mark_day(day, generation, false).await?;
        self.shared()
            .memory_mut()
            .days
            .insert((day, generation), false);
        Ok(())
    }

    async fn mark_day(&self, day: Day, generation: u16, merged: bool) -> Result<(), StoreError> {
        let key = keys::day(day, generation);
        let mark = put(TreeName::Days, &key, vec![u8::from(merged)]);
        self.change(Vec::new(), vec![mark]).await
    }

    /// Copies a day into its week; it is durable when this returns.
    pub(super) fn copy_day(
        &self,
        day: Day,
        generation: u16,
        resumed: bool,
    ) -> Result<(), StoreError> {
        let week = Part::Raw(Week::of(day.start()));
        if week.end() <= self.shared().oldest_raw() {
            return Ok(());
        }
        let part = Part::Sealed(day, generation);
        let (from, to) = (
            self.shared().history.part(part)?,
            self.shared().history.part(week)?,
        );
        let mut ops = Vec::new();
        let mut merge = |device: DeviceId, series: Series| {
            if self.shared().stop_merging.load(Ordering::Relaxed) {
                return Err(StoreError::Closed);
            }
            let prefix = keys::merged(device, day, generation);
            if resumed {
                ops.extend(removals(&to, &prefix)?);
            }
            ops.extend(put_values(DAYS, &prefix, block::encode(&columns(series))));
            if ops.len() >= OPS {
                to.commit(&std::mem::take(&mut ops)).map_err(failed)?;
            }
            Ok(())
        };
        for_each_device(&from, part, &mut merge)?;
        to.commit(&ops).map_err(failed)
    }
}

/// Gives all that a day holds of each device, one after the other.
fn for_each_device(
    from: &Database,
    part: Part,
    each: &mut impl FnMut(DeviceId, Series) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut of, mut series) = (None, Series::new());
    for pair in from.scan(0, &[]) {
        let (key, value) = pair.map_err(failed)?;
        let problem = || damaged(part, &key, "its key is too short".to_owned());
        let (device, _) = keys::parse_hours(&key).ok_or_else(problem)?;
        if let Some(before) = of.filter(|before| *before != device) {
            each(before, std::mem::take(&mut series))?;
        }
        of = Some(device);
        let found = block::decode(&value, None);
        for column in found.map_err(|problem| damaged(part, &key, problem))? {
            series.entry(column.key).or_default().extend(column.points);
        }
    }
    of.map_or(Ok(()), |device| each(device, series))
}

fn columns(series: Series) -> Vec<Column> {
    let column = |(key, mut points): (SeriesKey, Vec<Point>)| {
        points.sort_by_key(|(at, _)| *at);
        Column { key, points }
    };
    series.into_iter().map(column).collect()
}

/// What an interrupted merge has put; another version of the codec may make fewer pieces.
fn removals(to: &Database, prefix: &[u8]) -> Result<Vec<Op>, StoreError> {
    let found = to.scan(DAYS, prefix);
    let removal = |pair: std::io::Result<(Vec<u8>, Vec<u8>)>| {
        let (key, _) = pair.map_err(failed)?;
        Ok(Op {
            tree: DAYS,
            key,
            value: None,
        })
    };
    found.map(removal).collect()
}
