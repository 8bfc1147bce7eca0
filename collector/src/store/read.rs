//! Reading a series: what is merged, what is sealed, and what the log still holds.

use std::collections::BTreeMap;
use std::sync::RwLockReadGuard;

use rollcall_shared::id::DeviceId;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::block::{self, Column, Point, Unpacked, Wanted};
use super::counters::count;
use super::hot::failed;
use super::keys::{self, Day, Part, Place, RolledUp, Week, meta};
use super::rollup::{Level, times_of};
use super::tail::Segment;
use super::{Store, StoreError};
use crate::device::SeriesKey;

/// The tree of a week that holds merged days, and the one of schema 1.
pub(super) const DAYS: usize = 0;
pub(super) const BLOCKS: usize = 1;

/// The tree of a merged day that holds its hours.
pub(super) const HOURS: usize = 1;

impl Store {
    /// The values of a series from `from` to `to`, both inclusive, in the order of their time.
    /// It reads from disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn series(
        &self,
        device: DeviceId,
        series: &SeriesKey,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<(UnixMs, Value)>, StoreError> {
        let wanted =
            |metric, instance: &str| metric == series.metric && instance == series.instance;
        let mut columns = self.columns_of(device, &wanted, from, to)?;
        Ok(columns.pop().map_or_else(Vec::new, |column| column.points))
    }

    /// Everything that a device has reported from `from` to `to`, both inclusive: each series, by key,
    /// with its points in the order of their time. It reads from disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn columns(
        &self,
        device: DeviceId,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<Column>, StoreError> {
        self.columns_of(device, &|_, _| true, from, to)
    }

    /// What [`Store::columns`] reads of the series that are wanted; each block is read once.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn columns_of(
        &self,
        device: DeviceId,
        wanted: Wanted<'_>,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<Column>, StoreError> {
        let reading = Reading::begin(self, device, wanted, from, to);
        let raw = reading.raw(&|_| true)?;
        Ok(raw.columns)
    }

    /// The generations of days that take no more seals, as of now.
    fn days_between(&self, from: UnixMs, to: UnixMs) -> BTreeMap<(Day, u16), DayRead> {
        let range = (Day::of(from), 0)..=(Day::of(to), u16::MAX);
        let memory = self.shared().memory();
        let read = |(day, place): (&(Day, u16), &Place)| DayRead {
            place: *place,
            rolled: memory.rolled_up(*day),
        };
        let days = memory.days.range(range);
        days.map(|pair| (*pair.0, read(pair))).collect()
    }
}

/// From where a generation of a day is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayRead {
    pub place: Place,
    pub rolled: RolledUp,
}

/// A read that is under way: what is where, as of one moment. No part of the history goes meanwhile.
pub(super) struct Reading<'a> {
    pub store: &'a Store,
    pub device: DeviceId,
    pub wanted: Wanted<'a>,
    pub from: UnixMs,
    pub to: UnixMs,
    /// The generations of days in the range that take no more seals.
    pub days: BTreeMap<(Day, u16), DayRead>,
    sealed: u64,
    tail: Vec<Segment>,
    _parts_stay: RwLockReadGuard<'a, ()>,
}

impl<'a> Reading<'a> {
    pub fn begin(
        store: &'a Store,
        device: DeviceId,
        wanted: Wanted<'a>,
        from: UnixMs,
        to: UnixMs,
    ) -> Self {
        let parts_stay = store.shared().open_gate();
        let days = store.days_between(from, to);
        let (sealed, tail) = store.shared().memory().unsealed(device);
        Self {
            store,
            device,
            wanted,
            from,
            to,
            days,
            sealed,
            tail,
            _parts_stay: parts_stay,
        }
    }

    /// The readings of days that are not rolled up by a level.
    pub fn unrolled(&self, level: Level) -> Result<Unpacked, StoreError> {
        self.raw(&|day| !day.rolled.has(level))
    }

    /// The readings: of merged days those that are wanted, and all of the others.
    fn raw(&self, of_merged: &dyn Fn(&DayRead) -> bool) -> Result<Unpacked, StoreError> {
        let mut found = Vec::new();
        for part in self.store.shared().history.parts().map_err(failed)? {
            match part {
                Part::Raw(week) if (Week::of(self.from)..=Week::of(self.to)).contains(&week) => {
                    let of_week = |(day, _): &(Day, u16), read: &DayRead| {
                        Week::of(day.start()) == week
                            && read.place == Place::Week
                            && of_merged(read)
                    };
                    self.merged(part, &of_week, &mut found)?;
                    let columns = self.store.legacy_columns(part, self.device, self.wanted)?;
                    found.push(Unpacked {
                        times: times_of(&columns),
                        columns,
                    });
                }
                Part::Merged(day, generation) => {
                    let this = |of: &(Day, u16), read: &DayRead| {
                        *of == (day, generation) && read.place == Place::Merged && of_merged(read)
                    };
                    self.merged(part, &this, &mut found)?;
                }
                Part::Sealed(day, _) if (Day::of(self.from)..=Day::of(self.to)).contains(&day) => {
                    self.sealed(part, &mut found)?;
                }
                _ => {}
            }
        }
        for segment in &self.tail {
            let unpacked = segment.unpack(self.wanted);
            found.push(unpacked.map_err(|problem| StoreError::Damaged {
                place: format!("the log of device {}", self.device),
                problem,
            })?);
        }
        Ok(join(found, self.from, self.to))
    }

    /// What a day that is not merged holds of the device.
    fn sealed(&self, part: Part, found: &mut Vec<Unpacked>) -> Result<(), StoreError> {
        if let Part::Sealed(day, generation) = part
            && matches!(self.days.get(&(day, generation)), Some(read) if read.place != Place::Sealed)
        {
            return Ok(());
        }
        let database = self.store.shared().history.part(part)?;
        let (from, to) = (
            keys::hours(self.device, 0),
            keys::hours(self.device, self.sealed.saturating_add(1)),
        );
        for pair in database.range(0, &from, &to) {
            let (key, value) = pair.map_err(failed)?;
            found.push(self.unpack(part, &key, &value)?);
        }
        Ok(())
    }

    fn merged(
        &self,
        part: Part,
        is_wanted: &dyn Fn(&(Day, u16), &DayRead) -> bool,
        found: &mut Vec<Unpacked>,
    ) -> Result<(), StoreError> {
        let days = self.days.iter().filter(|(day, read)| is_wanted(day, read));
        let days: Vec<(Day, u16)> = days.map(|(day, _)| *day).collect();
        let (Some((first, _)), Some((last, _))) = (days.first(), days.last()) else {
            return Ok(());
        };
        let database = self.store.shared().history.part(part)?;
        let from = keys::merged(self.device, *first, 0);
        let to = keys::merged(self.device, Day(last.0 + 1), 0);
        for pair in database.range(DAYS, &from, &to) {
            let (key, value) = pair.map_err(failed)?;
            if keys::parse_merged(&key).is_some_and(|day| days.contains(&day)) {
                found.push(self.unpack(part, &key, &value)?);
            }
        }
        Ok(())
    }

    fn unpack(&self, part: Part, key: &[u8], value: &[u8]) -> Result<Unpacked, StoreError> {
        self.count_bytes(value);
        block::unpack(value, self.wanted).map_err(|problem| damaged(part, key, problem))
    }

    pub fn count_bytes(&self, value: &[u8]) {
        count(
            &self.store.shared().counters.history_bytes_read,
            value.len(),
        );
    }
}

impl Store {
    /// What schema 1 has left. Blocks of a seal that it did not finish do not count: their points were
    /// still in its log.
    pub(super) fn legacy_columns(
        &self,
        part: Part,
        device: DeviceId,
        wanted: Wanted<'_>,
    ) -> Result<Vec<Column>, StoreError> {
        let sealed = self.shared().hot.number(meta::SEALED)?;
        if sealed == 0 {
            return Ok(Vec::new());
        }
        let database = self.shared().history.part(part)?;
        let mut columns = Vec::new();
        for pair in database.scan(BLOCKS, device.as_bytes()) {
            let (key, value) = pair.map_err(failed)?;
            if keys::parse_block_seal(&key).is_none_or(|seal| seal > sealed) {
                continue;
            }
            let (_, series) = keys::parse_series(&key)
                .ok_or_else(|| damaged(part, &key, "its key is too short".to_owned()))?;
            if !wanted(series.metric, &series.instance) {
                continue;
            }
            let points =
                block::decode_v1(&value).map_err(|problem| damaged(part, &key, problem))?;
            columns.push(Column {
                key: series,
                points,
            });
        }
        Ok(columns)
    }
}

/// Joins what was found of each series.
fn join(found: Vec<Unpacked>, from: UnixMs, to: UnixMs) -> Unpacked {
    let is_within = |at: &UnixMs| (from..=to).contains(at);
    let mut series: BTreeMap<SeriesKey, Vec<Point>> = BTreeMap::new();
    let mut times = Vec::new();
    for unpacked in found {
        times.extend(unpacked.times.into_iter().filter(is_within));
        for mut column in unpacked.columns {
            column.points.retain(|(at, _)| is_within(at));
            match series.get_mut(&column.key) {
                Some(points) => points.append(&mut column.points),
                None => {
                    series.insert(column.key, column.points);
                }
            }
        }
    }
    times.sort_unstable();
    times.dedup();
    let column = |(key, mut points): (SeriesKey, Vec<Point>)| {
        points.sort_by_key(|(at, _)| *at);
        Column { key, points }
    };
    let columns = series.into_iter().map(column);
    let columns = columns.filter(|column| !column.points.is_empty()).collect();
    Unpacked { times, columns }
}

pub(super) fn damaged(part: Part, key: &[u8], problem: String) -> StoreError {
    StoreError::Damaged {
        place: format!("history/{}/{}", part.folder(), key.escape_ascii()),
        problem,
    }
}
