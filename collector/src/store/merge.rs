//! Merging: the hours of a day that is over become one stretch for each device, in a database that is
//! written once (see `dense`), and the days of a week that is over become one database. A day is rolled
//! up on the way: see `rollup`.
//!
//! What comes late, from a laptop that was off for weeks, is sealed into a new generation of its day and
//! merged into the week: of a small fleet the week is written anew, as it is for each day, and of a large one
//! it is put beside what is there. See the invariants in `keys`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::block::{self, Column, Point, Unpacked};
use super::database::{Database, Op, Pair};
use super::dense::Dense;
use super::hot::{failed, put};
use super::keys::{self, Day, Part, Place, RolledUp, TreeName, Week};
use super::read::{BLOCKS, DAYS, HOURS, damaged};
use super::rollup::write::RollUps;
use super::rollup::{self, Level};
use super::seal::put_values;
use super::{OpenError, Store, StoreError};
use crate::device::SeriesKey;

/// How long after its end a day is merged: laptops that were closed for the evening have come by then.
const AFTER_MS: i64 = 6 * 3_600_000;

/// Operations in one transaction: at the largest 3 MB.
const OPS: usize = 512;

/// How long what is merged waits for a backup to be done, until it looks again.
const BACKUP_LOOKS: Duration = Duration::from_secs(1);

impl Store {
    /// Merges the days and weeks that are over. What came late for days before is merged once a day. Run
    /// it every hour; with a large fleet it takes a while.
    ///
    /// # Errors
    /// [`StoreError`]; a later run goes on with the same day. [`StoreError::Closed`] after
    /// [`Store::stop_merging`].
    pub async fn merge(&self, now: UnixMs) -> Result<(), StoreError> {
        let _only_one = self.shared().merging.lock().await;
        let parts = self.shared().history.parts().map_err(failed)?;
        let late_too = self.shared().memory_mut().is_new_day(Day::of(now));
        let is_over = |end: UnixMs| end.plus_ms(AFTER_MS) <= now;
        let mut weeks = Vec::new();
        for part in parts {
            match part {
                Part::Sealed(day, generation) if is_over(day.end()) => {
                    if generation == 0 || late_too {
                        self.merge_day(day, generation, now).await?;
                    }
                    weeks.push(Week::of(day.start()));
                }
                Part::Merged(day, _) => weeks.push(Week::of(day.start())),
                _ => {}
            }
        }
        weeks.sort_unstable();
        weeks.dedup();
        for week in weeks {
            if is_over(week.end()) || self.is_small(week).map_err(failed)? {
                self.merge_week(week).await?;
            }
        }
        Ok(())
    }

    /// Lets a merge end at the next device; the next one goes on from there.
    pub fn stop_merging(&self) {
        self.shared().stop_merging.store(true, Ordering::Relaxed);
    }

    async fn merge_day(&self, day: Day, generation: u16, now: UnixMs) -> Result<(), StoreError> {
        self.shared().check_reserve()?;
        let known = {
            let memory = self.shared().memory();
            memory.days.get(&(day, generation)).copied()
        };
        if known.is_none() {
            self.take_from_seals(day, generation).await?;
        }
        if matches!(known, None | Some(Place::Sealed)) {
            let rolled = self.rolled_for(day);
            let place = self.place_for(day, generation, rolled, now);
            let place = place.map_err(failed)?;
            if place == Place::Merged {
                let built = self.blocking(move |store| store.build_day(day, generation));
                let built = built.await?;
                let part = Part::Merged(day, generation);
                self.put_in_place(part, built).await?;
            } else {
                let resumed = known.is_some();
                self.blocking(move |store| store.copy_day(day, generation, rolled, resumed))
                    .await?;
            }
            self.place_days(vec![(day, generation)], place, Some(rolled))
                .await?;
        }
        self.remove_part(Part::Sealed(day, generation)).await
    }

    /// Where a day is merged to: a database of its own until it is joined with its week, and the week's where
    /// it comes later than that and the week is large, or where nothing but roll-ups is kept of it.
    fn place_for(
        &self,
        day: Day,
        generation: u16,
        rolled: RolledUp,
        now: UnixMs,
    ) -> io::Result<Place> {
        let week = Week::of(day.start());
        if rolled == RolledUp::Whole {
            return Ok(Place::Week);
        }
        if self.is_small(week)? {
            return Ok(Place::Merged);
        }
        let is_over = week.end().plus_ms(AFTER_MS) <= now;
        let is_late = is_over && !self.shared().memory().days_in(week, Place::Week).is_empty();
        Ok(if generation > 0 || is_late {
            Place::Week
        } else {
            Place::Merged
        })
    }

    /// How far a day is rolled up when it is merged: as far as its readings do not say it.
    fn rolled_for(&self, day: Day) -> RolledUp {
        match day.end() > self.shared().oldest_raw() {
            true => RolledUp::Coarse,
            false => RolledUp::Whole,
        }
    }

    fn is_small(&self, week: Week) -> io::Result<bool> {
        let history = &self.shared().history;
        let of_week = |part: &Part| match *part {
            Part::Raw(of) => of == week,
            Part::Merged(day, _) => Week::of(day.start()) == week,
            Part::Sealed(..) | Part::Rollups(..) => false,
        };
        let parts = history.parts()?.into_iter().filter(of_week);
        let bytes = parts.map(|part| history.bytes(part)).sum::<u64>();
        Ok(bytes <= self.shared().options.small_week_bytes)
    }

    /// Brings the merged days of a week into its database, which is written anew.
    async fn merge_week(&self, week: Week) -> Result<(), StoreError> {
        let days = self.shared().memory().days_in(week, Place::Merged);
        if !days.is_empty() {
            self.shared().check_reserve()?;
            let built = self.blocking(move |store| store.build_week(week)).await?;
            self.put_in_place(Part::Raw(week), built).await?;
            for level in [Level::Hour, Level::Day] {
                if self.keeps_rolled(level, week) {
                    let of = days.clone();
                    let built = self.blocking(move |store| store.join_hours(level, week, &of));
                    let built = built.await?;
                    let part = Part::rollups(level, week);
                    self.put_in_place(part, built).await?;
                }
            }
            self.place_days(days, Place::Week, None).await?;
        }
        for part in self.shared().history.parts().map_err(failed)? {
            if let Part::Merged(day, generation) = part
                && Week::of(day.start()) == week
                && self.shared().memory().place(day, generation) == Place::Week
            {
                self.remove_part(part).await?;
            }
        }
        Ok(())
    }

    /// From here on seals write to the next generation.
    pub(super) async fn take_from_seals(
        &self,
        day: Day,
        generation: u16,
    ) -> Result<(), StoreError> {
        let _no_seal = self.shared().sealing.lock().await;
        self.finish_interrupted().await?;
        self.place_days(vec![(day, generation)], Place::Sealed, None)
            .await
    }

    /// From here on these are read from there, all or none; how far they are rolled up stays as it is where
    /// that is not said.
    pub(super) async fn place_days(
        &self,
        days: Vec<(Day, u16)>,
        place: Place,
        rolled: Option<RolledUp>,
    ) -> Result<(), StoreError> {
        let days: Vec<((Day, u16), RolledUp)> = {
            let memory = self.shared().memory();
            let with_rolled = |of| (of, rolled.unwrap_or_else(|| memory.rolled_up(of)));
            days.into_iter().map(with_rolled).collect()
        };
        let mark = |&((day, generation), rolled): &((Day, u16), RolledUp)| {
            let key = keys::day(day, generation);
            put(TreeName::Days, &key, place.value(rolled))
        };
        let marks = days.iter().map(mark).collect();
        self.change(Vec::new(), marks).await?;
        self.blocking(move |store| {
            let _nobody_reads = store.shared().close_gate();
            let mut memory = store.shared().memory_mut();
            for (day, rolled) in days {
                memory.place_day(day, place, rolled);
            }
            Ok(())
        })
        .await
    }

    async fn remove_part(&self, part: Part) -> Result<(), StoreError> {
        self.blocking(move |store| {
            let _nobody_reads = store.shared().close_gate();
            store.shared().history.remove(part).map_err(failed)
        })
        .await
    }

    /// Puts a part that was built into its place, once no backup is under way.
    pub(super) async fn put_in_place(&self, part: Part, built: PathBuf) -> Result<(), StoreError> {
        loop {
            let path = built.clone();
            let done = self.blocking(move |store| {
                let _nobody_reads = store.shared().close_gate();
                store.shared().history.replace(part, &path).map_err(failed)
            });
            if done.await? {
                return Ok(());
            }
            self.may_go_on()?;
            tokio::time::sleep(BACKUP_LOOKS).await;
        }
    }

    pub(super) fn may_go_on(&self) -> Result<(), StoreError> {
        if self.shared().stop_merging.load(Ordering::Relaxed) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    /// Builds a day's own database of what was sealed.
    pub(super) fn build_day(&self, day: Day, generation: u16) -> Result<PathBuf, StoreError> {
        let mut built = self.build(Part::Merged(day, generation))?;
        self.merged_day(day, generation, |device, columns, times| {
            let prefix = keys::merged(device, day, generation);
            let hours = rollup::hours(columns, times, generation);
            let ops = put_values(DAYS, &prefix, block::encode(columns)).into_iter();
            for op in ops.chain(put_values(HOURS, &prefix, block::encode(&hours))) {
                let value = op.value.as_deref().unwrap_or_default();
                built.put(op.tree, op.key, value).map_err(failed)?;
            }
            Ok(())
        })?;
        finish(built)
    }

    /// Copies a day into its week, and rolls it up; both are durable when this returns.
    pub(super) fn copy_day(
        &self,
        day: Day,
        generation: u16,
        rolled: RolledUp,
        resumed: bool,
    ) -> Result<(), StoreError> {
        let week = Part::Raw(Week::of(day.start()));
        // What came too late to be kept is rolled up, and that is all.
        let to = match rolled {
            RolledUp::Whole => None,
            RolledUp::Coarse | RolledUp::Not => Some(self.shared().history.part(week)?),
        };
        let mut rollups = RollUps::open(self, day, generation, rolled)?;
        let mut ops = Vec::new();
        self.merged_day(day, generation, |device, columns, times| {
            rollups.put(device, columns, times)?;
            let Some(to) = &to else { return Ok(()) };
            let prefix = keys::merged(device, day, generation);
            if resumed {
                ops.extend(removals(to, DAYS, &prefix)?);
            }
            ops.extend(put_values(DAYS, &prefix, block::encode(columns)));
            if ops.len() >= OPS {
                to.commit(&std::mem::take(&mut ops)).map_err(failed)?;
            }
            Ok(())
        })?;
        if let Some(to) = &to {
            to.commit(&ops).map_err(failed)?;
        }
        rollups.finish()
    }

    /// Gives what a sealed day holds of each device: its series, by key, and the times of its reports.
    fn merged_day(
        &self,
        day: Day,
        generation: u16,
        mut each: impl FnMut(DeviceId, &[Column], &[UnixMs]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let part = Part::Sealed(day, generation);
        let from = self.shared().history.part(part)?;
        for_each_device(&from, part, &mut |device, of| {
            self.may_go_on()?;
            let (columns, times) = of.finish();
            each(device, &columns, &times)
        })
    }

    /// Builds a week's database of what it holds, and of its days that are merged.
    pub(super) fn build_week(&self, week: Week) -> Result<PathBuf, StoreError> {
        let part = Part::Raw(week);
        let mut built = self.build(part)?;
        let before = self.shared().history.existing(part)?;
        let mut days = Vec::new();
        for (day, generation) in self.shared().memory().days_in(week, Place::Merged) {
            days.push(self.shared().history.part(Part::Merged(day, generation))?);
        }
        let place_of = |key: &[u8]| {
            let of = keys::parse_merged(key);
            of.map(|(day, generation)| self.shared().memory().place(day, generation))
        };
        // What interrupted merges have left does not count.
        let sources = (days.iter().map(|day| (day, Place::Merged)))
            .chain(before.iter().map(|week| (week, Place::Week)));
        let sources = sources.map(|(from, place)| {
            let counts = move |pair: &Pair| {
                let key = pair.as_ref().map(|(key, _)| key);
                key.map_or(true, |key| place_of(key) == Some(place))
            };
            from.scan(DAYS, &[]).filter(counts)
        });
        in_order(sources.collect(), |key, value| {
            self.may_go_on()?;
            built.put(DAYS, key, &value).map_err(failed)
        })?;
        for pair in before.iter().flat_map(|week| week.scan(BLOCKS, &[])) {
            let (key, value) = pair.map_err(failed)?;
            built.put(BLOCKS, key, &value).map_err(failed)?;
        }
        finish(built)
    }

    pub(super) fn build(&self, part: Part) -> Result<Dense, StoreError> {
        self.shared().history.build(part).map_err(failed)
    }
}

pub(super) fn finish(built: Dense) -> Result<PathBuf, StoreError> {
    built.finish().map_err(|error| match error {
        OpenError::Damaged(error) => error,
        other => StoreError::Failed(other.to_string()),
    })
}

/// Gives the pairs of several sources, each in order, in the order of all.
pub(super) fn in_order(
    mut sources: Vec<impl Iterator<Item = Pair>>,
    mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut waiting = BTreeMap::new();
    let mut empty: Vec<usize> = (0..sources.len()).collect();
    loop {
        for source in empty.drain(..) {
            if let Some(pair) = sources[source].next() {
                let (key, value) = pair.map_err(failed)?;
                waiting.insert((key, source), value);
            }
        }
        let Some(((key, source), value)) = waiting.pop_first() else {
            return Ok(());
        };
        empty.push(source);
        each(key, value)?;
    }
}

/// What a day holds of one device.
#[derive(Debug, Default)]
struct OfDevice {
    series: BTreeMap<SeriesKey, Vec<Point>>,
    times: Vec<UnixMs>,
}

impl OfDevice {
    fn take(&mut self, unpacked: Unpacked) {
        self.times.extend(unpacked.times);
        for column in unpacked.columns {
            self.series
                .entry(column.key)
                .or_default()
                .extend(column.points);
        }
    }

    /// Its series, by key, and the times of its reports, ascending.
    fn finish(mut self) -> (Vec<Column>, Vec<UnixMs>) {
        self.times.sort_unstable();
        self.times.dedup();
        let column = |(key, mut points): (SeriesKey, Vec<Point>)| {
            points.sort_by_key(|(at, _)| *at);
            Column { key, points }
        };
        (self.series.into_iter().map(column).collect(), self.times)
    }
}

/// Gives all that a day holds of each device, one after the other.
fn for_each_device(
    from: &Database,
    part: Part,
    each: &mut impl FnMut(DeviceId, OfDevice) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut of: Option<(DeviceId, OfDevice)> = None;
    for pair in from.scan(0, &[]) {
        let (key, value) = pair.map_err(failed)?;
        let problem = || damaged(part, &key, "its key is too short".to_owned());
        let (device, _) = keys::parse_hours(&key).ok_or_else(problem)?;
        if let Some((before, all)) = of.take_if(|(before, _)| *before != device) {
            each(before, all)?;
        }
        let (_, all) = of.get_or_insert_with(|| (device, OfDevice::default()));
        let unpacked = block::unpack(&value, &|_, _| true);
        all.take(unpacked.map_err(|problem| damaged(part, &key, problem))?);
    }
    of.map_or(Ok(()), |(device, all)| each(device, all))
}

/// What an interrupted merge has put; another version of the codec may make fewer pieces.
pub(super) fn removals(to: &Database, tree: usize, prefix: &[u8]) -> Result<Vec<Op>, StoreError> {
    let found = to.scan(tree, prefix);
    let removal = |pair: Pair| {
        let (key, _) = pair.map_err(failed)?;
        Ok(Op {
            tree,
            key,
            value: None,
        })
    };
    found.map(removal).collect()
}
