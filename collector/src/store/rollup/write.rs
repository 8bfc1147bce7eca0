//! Rolling up what comes late, while it is copied into its week: a value of its own for each day.

use std::sync::Arc;

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::super::block::{self, Column};
use super::super::database::{Database, Op};
use super::super::hot::failed;
use super::super::keys::{self, Day, Part, RolledUp, Week};
use super::super::merge::removals;
use super::super::seal::put_values;
use super::super::{Store, StoreError};
use super::{Level, by_level_of, form, roll};

/// The tree of roll-ups.
pub(super) const ROLLUPS: usize = 0;

/// Operations in one transaction: at the largest 3 MB.
const OPS: usize = 512;

/// The databases that take the roll-ups of a generation of a day.
pub(in super::super) struct RollUps {
    day: Day,
    generation: u16,
    levels: Vec<(Level, Arc<Database>, Vec<Op>)>,
}

impl RollUps {
    /// Those of the levels by which the day is to be rolled up and that are still kept of it.
    pub fn open(
        store: &Store,
        day: Day,
        generation: u16,
        rolled: RolledUp,
    ) -> Result<Self, StoreError> {
        let (mut levels, week) = (Vec::new(), Week::of(day.start()));
        for level in Level::ALL {
            if rolled.has(level) && store.keeps_rolled(level, week) {
                let database = store.shared().history.part(Part::rollups(level, week))?;
                levels.push((level, database, Vec::new()));
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
        let prefix = keys::merged(device, self.day, self.generation);
        for (level, database, ops) in &mut self.levels {
            let columns = form::to_columns(&by_level_of(&quarters, *level), self.generation);
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
        for (_, database, ops) in &self.levels {
            if !ops.is_empty() {
                database.commit(ops).map_err(failed)?;
            }
        }
        Ok(())
    }
}
