//! Reading a series: what is merged, what is sealed, and what the log still holds.

use std::collections::BTreeMap;

use rollcall_shared::id::DeviceId;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::block::{self, Column, Point};
use super::hot::failed;
use super::keys::{self, Day, Part, Place, Week, meta};
use super::{Store, StoreError};
use crate::device::SeriesKey;

/// The tree of a week that holds merged days, and the one of schema 1.
pub(super) const DAYS: usize = 0;
pub(super) const BLOCKS: usize = 1;

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
        let mut columns = self.read(device, Some(series), from, to)?;
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
        self.read(device, None, from, to)
    }

    fn read(
        &self,
        device: DeviceId,
        wanted: Option<&SeriesKey>,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<Column>, StoreError> {
        let _parts_stay = self.shared().open_gate();
        // What is sealed and what is not, as of one moment.
        let (sealed, tail) = self.shared().memory().unsealed(device);
        let mut found = Vec::new();
        for part in self.shared().history.parts().map_err(failed)? {
            match part {
                Part::Raw(week) if (Week::of(from)..=Week::of(to)).contains(&week) => {
                    found.extend(self.merged_columns(part, device, wanted, from, to)?);
                    found.extend(self.legacy_columns(part, device, wanted)?);
                }
                Part::Merged(day, generation)
                    if (Day::of(from)..=Day::of(to)).contains(&day)
                        && self.shared().memory().place(day, generation) == Place::Merged =>
                {
                    found.extend(self.merged_columns(part, device, wanted, from, to)?);
                }
                Part::Sealed(day, _) if (Day::of(from)..=Day::of(to)).contains(&day) => {
                    found.extend(self.sealed_columns(part, device, wanted, sealed)?);
                }
                _ => {}
            }
        }
        for segment in tail {
            let columns = segment.columns(wanted);
            found.extend(columns.map_err(|problem| StoreError::Damaged {
                place: format!("the log of device {device}"),
                problem,
            })?);
        }
        Ok(join(found, from, to))
    }

    /// What a day that is not merged holds of a device.
    pub(super) fn sealed_columns(
        &self,
        part: Part,
        device: DeviceId,
        wanted: Option<&SeriesKey>,
        sealed: u64,
    ) -> Result<Vec<Column>, StoreError> {
        if let Part::Sealed(day, generation) = part
            && self.shared().memory().place(day, generation) != Place::Sealed
        {
            return Ok(Vec::new());
        }
        let database = self.shared().history.part(part)?;
        let (from, to) = (
            keys::hours(device, 0),
            keys::hours(device, sealed.saturating_add(1)),
        );
        let mut columns = Vec::new();
        for pair in database.range(0, &from, &to) {
            let (key, value) = pair.map_err(failed)?;
            columns.extend(columns_of(part, &key, &value, wanted)?);
        }
        Ok(columns)
    }

    fn merged_columns(
        &self,
        part: Part,
        device: DeviceId,
        wanted: Option<&SeriesKey>,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<Column>, StoreError> {
        let place = match part {
            Part::Merged(..) => Place::Merged,
            _ => Place::Week,
        };
        let database = self.shared().history.part(part)?;
        let from = keys::merged(device, Day::of(from), 0);
        let to = keys::merged(device, Day(Day::of(to).0 + 1), 0);
        let mut columns = Vec::new();
        for pair in database.range(DAYS, &from, &to) {
            let (key, value) = pair.map_err(failed)?;
            let merged = keys::parse_merged(&key);
            let memory = self.shared().memory();
            if merged.is_some_and(|(day, generation)| memory.place(day, generation) == place) {
                columns.extend(columns_of(part, &key, &value, wanted)?);
            }
        }
        Ok(columns)
    }

    /// What schema 1 has left. Blocks of a seal that it did not finish do not count: their points were
    /// still in its log.
    pub(super) fn legacy_columns(
        &self,
        part: Part,
        device: DeviceId,
        wanted: Option<&SeriesKey>,
    ) -> Result<Vec<Column>, StoreError> {
        let sealed = self.shared().hot.number(meta::SEALED)?;
        if sealed == 0 {
            return Ok(Vec::new());
        }
        let database = self.shared().history.part(part)?;
        let mut columns = Vec::new();
        let prefix = wanted.map_or_else(
            || device.as_bytes().to_vec(),
            |series| keys::series(device, series),
        );
        for pair in database.scan(BLOCKS, &prefix) {
            let (key, value) = pair.map_err(failed)?;
            if keys::parse_block_seal(&key).is_none_or(|seal| seal > sealed) {
                continue;
            }
            let (_, series) = keys::parse_series(&key)
                .ok_or_else(|| damaged(part, &key, "its key is too short".to_owned()))?;
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
fn join(found: Vec<Column>, from: UnixMs, to: UnixMs) -> Vec<Column> {
    let mut series: BTreeMap<SeriesKey, Vec<Point>> = BTreeMap::new();
    for column in found {
        let points = column.points.into_iter();
        let within = points.filter(|(at, _)| (from..=to).contains(at));
        series.entry(column.key).or_default().extend(within);
    }
    let column = |(key, mut points): (SeriesKey, Vec<Point>)| {
        points.sort_by_key(|(at, _)| *at);
        Column { key, points }
    };
    let columns = series.into_iter().map(column);
    columns.filter(|column| !column.points.is_empty()).collect()
}

fn columns_of(
    part: Part,
    key: &[u8],
    value: &[u8],
    wanted: Option<&SeriesKey>,
) -> Result<Vec<Column>, StoreError> {
    block::decode(value, wanted).map_err(|problem| damaged(part, key, problem))
}

pub(super) fn damaged(part: Part, key: &[u8], problem: String) -> StoreError {
    StoreError::Damaged {
        place: format!("history/{}/{}", part.folder(), key.escape_ascii()),
        problem,
    }
}
