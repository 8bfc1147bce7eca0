//! Reading roll-ups, and what is not rolled up yet as if it were.

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::super::block::{self, Column, Wanted};
use super::super::database::Database;
use super::super::hot::failed;
use super::super::keys::{self, Day, Part, Place, RolledFrom, RolledUp, Week};
use super::super::read::{DayRead, HOURS, Reading, damaged};
use super::super::{Store, StoreError};
use super::{Bucket, Level, Rolled, coarser, form, roll, write::ROLLUPS};

impl Store {
    /// What the wanted series were like from `from` to `to`, in stretches of `width_ms`, which is a multiple
    /// of the level's: each series, by key, with the buckets that lie in the range or reach into it. It
    /// reads from disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn rolled(
        &self,
        device: DeviceId,
        wanted: Wanted<'_>,
        (from, to): (UnixMs, UnixMs),
        level: Level,
        width_ms: i64,
    ) -> Result<Vec<Rolled>, StoreError> {
        let from = UnixMs(from.0.div_euclid(width_ms).saturating_mul(width_ms));
        let last = to.0.div_euclid(width_ms).saturating_add(1);
        let to = UnixMs(last.saturating_mul(width_ms).saturating_sub(1));
        let reading = Reading::begin(self, device, wanted, from, to);
        let mut found = reading.rolled_up(level)?;
        let raw = reading.unrolled(level)?;
        let mut of_raw = roll(&raw.columns, &raw.times);
        // It came after what is rolled up.
        let buckets = of_raw.iter_mut().flat_map(|rolled| &mut rolled.buckets);
        buckets.for_each(|bucket| bucket.at = bucket.at.plus_ms(Level::Quarter.width_ms() - 1));
        found.extend(of_raw);
        let mut joined = joined(found);
        for rolled in &mut joined {
            let within = |bucket: &Bucket| (from..=to).contains(&bucket.at);
            rolled.buckets.retain(within);
            rolled.buckets = coarser(&rolled.buckets, width_ms);
        }
        joined.retain(|rolled| !rolled.buckets.is_empty());
        Ok(joined)
    }
}

impl Reading<'_> {
    fn rolled_up(&self, level: Level) -> Result<Vec<Rolled>, StoreError> {
        let (first, last) = (Day::of(self.from), Day::of(self.to));
        let of_week = |day: Day| Part::rollups(level, Week::of(day.start()));
        let parts = of_week(first)..=of_week(last);
        let needed = |metric: u16, instance: &str| form::is_needed(metric, instance, self.wanted);
        let mut columns = Vec::new();
        let known = self.store.shared().history.parts().map_err(failed)?;
        for part in known.into_iter().filter(|part| parts.contains(part)) {
            let database = self.store.shared().history.part(part)?;
            let start = self.start_in(&database)?;
            let end = keys::rolled_week(self.device, Week(Week::of(self.to).0 + 1));
            for pair in database.range(ROLLUPS, &start, &end) {
                let (key, value) = pair.map_err(failed)?;
                self.count_bytes(&value);
                let found = block::unpack(&value, &needed);
                let found = found.map_err(|problem| damaged(part, &key, problem))?;
                columns.extend(found.columns);
            }
        }
        let in_folder = |day: &DayRead| form::is_in_folder(day.place, day.rolled, level);
        for column in &mut columns {
            column.points.retain(|(at, _)| {
                let known = self.days.get(&form::day_of(*at));
                known.is_some_and(in_folder)
            });
        }
        columns.extend(self.hours_of_days(level, &needed)?);
        Ok(form::from_columns(columns, self.wanted))
    }

    /// Where the range begins in a folder of roll-ups: with the value that the first week may lie in.
    fn start_in(&self, database: &Database) -> Result<Vec<u8>, StoreError> {
        let week = Week::of(self.from);
        let end = keys::rolled_week(self.device, Week(week.0 + 1));
        let start = keys::rolled_week(self.device, week);
        for pair in database.range(ROLLUPS, self.device.as_bytes(), &end).rev() {
            let (key, _) = pair.map_err(failed)?;
            if let Some(RolledFrom::Week(from)) = keys::parse_rolled(&key) {
                return Ok(keys::rolled_week(self.device, from.min(week)));
            }
        }
        Ok(start)
    }

    /// What lies by hours beside the readings of merged days.
    fn hours_of_days(&self, level: Level, needed: Wanted<'_>) -> Result<Vec<Column>, StoreError> {
        let mut columns = Vec::new();
        for ((day, generation), read) in &self.days {
            let is_beside = read.place == Place::Merged && read.rolled == RolledUp::Coarse;
            if !is_beside || !read.rolled.has(level) {
                continue;
            }
            let part = Part::Merged(*day, *generation);
            let prefix = keys::merged(self.device, *day, *generation);
            for pair in self.store.shared().history.part(part)?.scan(HOURS, &prefix) {
                let (key, value) = pair.map_err(failed)?;
                self.count_bytes(&value);
                let found = block::unpack(&value, needed);
                columns.extend(
                    found
                        .map_err(|problem| damaged(part, &key, problem))?
                        .columns,
                );
            }
        }
        Ok(columns)
    }
}

/// Joins what was found of each series, in the order of time.
pub(super) fn joined(found: Vec<Rolled>) -> Vec<Rolled> {
    let mut series = std::collections::BTreeMap::<_, Vec<Bucket>>::new();
    for rolled in found {
        series.entry(rolled.key).or_default().extend(rolled.buckets);
    }
    let in_order = |(key, mut buckets): (_, Vec<Bucket>)| {
        buckets.sort_by_key(|bucket| bucket.at);
        Rolled { key, buckets }
    };
    series.into_iter().map(in_order).collect()
}
