//! History: one database for each ISO week, so that retention is the removal of a folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::block::{self, Point};
use super::database::{Database, Op, sync_tree};
use super::hot::remove_folder;
use super::keys::{self, Week};
use super::tape::Tape;
use super::{OpenError, StoreError};
use crate::device::SeriesKey;

/// Weeks that are kept open: the one that is written, the one before, and what somebody looks at.
const OPEN_WEEKS: usize = 6;

/// Memory for pages of one week.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Operations in one transaction: at the largest 3 MB.
const OPS: usize = 512;

/// The trees of a week's database.
pub(super) const TREES: [&str; 1] = ["blocks"];

/// The name of a week that is being made.
const UNFINISHED: &str = "unfinished";

/// What the name of a week begins with that is being removed.
const REMOVED: &str = "removed-";

/// The databases of the weeks.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    tape: Arc<Tape>,
    open: Mutex<BTreeMap<Week, (u64, Arc<Database>)>>,
}

impl History {
    /// The history in `data`.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let folder = data.join("history");
        std::fs::create_dir_all(&folder)
            .and_then(|()| sync_tree(&folder))
            .and_then(|()| remove_left_overs(&folder))
            .map_err(|error| super::database::io_error(&folder, "cannot be made", error))?;
        Ok(Self {
            folder,
            tape: Arc::default(),
            open: Mutex::default(),
        })
    }

    /// From now on its commits and removals are recorded on this tape while a backup runs.
    #[must_use]
    pub fn recorded_on(mut self, tape: &Arc<Tape>) -> Self {
        self.tape = Arc::clone(tape);
        self
    }

    /// Copies points into a week; they are durable when this returns. Copying the same points as
    /// the same seal again changes nothing.
    pub fn copy(
        &self,
        week: Week,
        seal: u64,
        points: &BTreeMap<(DeviceId, SeriesKey), Vec<Point>>,
    ) -> Result<(), StoreError> {
        let database = self.week(week)?;
        let mut ops = Vec::new();
        for ((device, series), points) in points {
            let prefix = keys::series(*device, series);
            for (block, n) in block::encode_v1(points).into_iter().zip(0_u32..) {
                ops.push(Op {
                    tree: 0,
                    key: keys::block(&prefix, seal, n),
                    value: Some(block),
                });
            }
        }
        for ops in ops.chunks(OPS) {
            database.commit(ops).map_err(super::hot::failed)?;
        }
        Ok(())
    }

    /// The points of a series in a week, of every seal up to `sealed`, in no order.
    pub fn points(
        &self,
        week: Week,
        device: DeviceId,
        series: &SeriesKey,
        sealed: u64,
    ) -> Result<Vec<Point>, StoreError> {
        let database = self.week(week)?;
        let mut points = Vec::new();
        for pair in database.scan(0, &keys::series(device, series)) {
            let (key, value) = pair.map_err(super::hot::failed)?;
            if keys::parse_block_seal(&key).is_none_or(|seal| seal > sealed) {
                continue;
            }
            let block = block::decode_v1(&value).map_err(|problem| StoreError::Damaged {
                place: format!("history/{}/{}", week.folder(), key.escape_ascii()),
                problem,
            })?;
            points.extend(block);
        }
        Ok(points)
    }

    /// The weeks that there are, in order.
    pub fn weeks(&self) -> io::Result<Vec<Week>> {
        let mut weeks = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            weeks.extend(entry?.file_name().to_str().and_then(Week::from_folder));
        }
        weeks.sort_unstable();
        Ok(weeks)
    }

    /// Removes the weeks that were over by `oldest`.
    pub fn remove_before(&self, oldest: UnixMs) -> io::Result<()> {
        let weeks = self.weeks()?;
        let mut expired = weeks.into_iter().filter(|week| week.end() <= oldest);
        expired.try_for_each(|week| self.remove(week))
    }

    fn remove(&self, week: Week) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&week);
        // Under another name first: a folder that is half removed is no week.
        let (name, gone) = (week.folder(), format!("{REMOVED}{}", week.folder()));
        let gone = self.folder.join(gone);
        remove_folder(&gone)?;
        std::fs::rename(self.folder.join(&name), &gone)?;
        self.tape.removed(&name);
        remove_folder(&gone)
    }

    /// Makes a week's database under another name first: one that a power loss left half made could
    /// never be opened, and nothing could be sealed any more.
    fn make(&self, path: &Path) -> Result<(), OpenError> {
        let unfinished = self.folder.join(UNFINISHED);
        let failed = |error| super::database::io_error(path, "cannot be made", error);
        remove_folder(&unfinished).map_err(failed)?;
        drop(Database::open(&unfinished, &TREES, CACHE_BYTES)?);
        std::fs::rename(&unfinished, path)
            .and_then(|()| sync_tree(path))
            .map_err(failed)
    }

    /// The database of a week, where there is one. One that retention removes at this very moment may
    /// come back empty, and goes when retention looks next.
    pub fn existing(&self, week: Week) -> Result<Option<Arc<Database>>, StoreError> {
        if !self.folder.join(week.folder()).exists() {
            return Ok(None);
        }
        self.week(week).map(Some)
    }

    fn week(&self, week: Week) -> Result<Arc<Database>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = open.values().map(|(turn, _)| *turn).max().unwrap_or(0) + 1;
        if let Some((used, database)) = open.get_mut(&week) {
            *used = turn;
            return Ok(Arc::clone(database));
        }
        while open.len() >= OPEN_WEEKS {
            // A week that somebody still reads must stay: it cannot be opened twice.
            let idle = open
                .iter()
                .filter(|(_, (_, database))| Arc::strong_count(database) == 1);
            let Some(oldest) = idle
                .min_by_key(|(_, (turn, _))| *turn)
                .map(|(week, _)| *week)
            else {
                break;
            };
            open.remove(&oldest);
        }
        let path = self.folder.join(week.folder());
        if !path.exists() {
            self.make(&path).map_err(|error| StoreError::Damaged {
                place: format!("history/{}", week.folder()),
                problem: error.to_string(),
            })?;
        }
        let database = Database::open(&path, &TREES, CACHE_BYTES);
        let database = database.map_err(|error| StoreError::Damaged {
            place: format!("history/{}", week.folder()),
            problem: error.to_string(),
        })?;
        let database = Arc::new(database.recorded_on(&self.tape));
        open.insert(week, (turn, Arc::clone(&database)));
        Ok(database)
    }
}

/// Removes what an interrupted making or removal has left.
fn remove_left_overs(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == UNFINISHED || name.starts_with(REMOVED) {
            remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_power_loss_left_of_a_week_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let (week, old) = (Week(2960), Week(2800));
        let folder = dir.path().join("history");
        let left_overs = [UNFINISHED.to_owned(), format!("{REMOVED}{}", old.folder())];
        for name in &left_overs {
            std::fs::create_dir_all(folder.join(name)).unwrap();
            std::fs::write(folder.join(name).join("conf"), "half").unwrap();
        }
        let history = History::open(dir.path()).unwrap();
        assert!(left_overs.iter().all(|name| !folder.join(name).exists()));

        std::fs::create_dir_all(folder.join(UNFINISHED)).unwrap();
        std::fs::write(folder.join(UNFINISHED).join("conf"), "half").unwrap();
        std::fs::create_dir_all(folder.join(&left_overs[1]).join("blobs")).unwrap();
        history.week(old).unwrap();
        history.week(week).unwrap();
        assert_eq!(history.weeks().unwrap(), [old, week]);
        history.remove_before(old.end()).unwrap();
        assert_eq!(history.weeks().unwrap(), [week]);
        assert!(!folder.join(UNFINISHED).exists());
    }
}
