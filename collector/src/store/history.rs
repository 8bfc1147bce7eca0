//! History: a database for each day that is being sealed, each week of merged days and each month of
//! roll-ups, so that retention is the removal of a folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::database::{Database, sync_tree};
use super::dense::{BUILDING, Dense};
use super::hot::remove_folder;
use super::keys::Part;
use super::tape::Tape;
use super::{OpenError, StoreError};

/// Databases that are kept open: those that are written, and what somebody looks at.
const OPEN: usize = 12;

/// Memory for pages of one database.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// The name of a part that is being made.
const UNFINISHED: &str = "unfinished";

/// What the name of a part begins with that is being removed.
const REMOVED: &str = "removed-";

/// What the name of a part begins with that is whole and about to take the place of an older one.
const NEXT: &str = "next-";

/// The databases of the parts.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    tape: Arc<Tape>,
    open: Mutex<BTreeMap<Part, (u64, Arc<Database>)>>,
}

impl History {
    /// The history in `data`.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let folder = data.join("history");
        std::fs::create_dir_all(&folder)
            .and_then(|()| sync_tree(&folder))
            .and_then(|()| tidy(&folder))
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

    /// The parts that there are, in order.
    pub fn parts(&self) -> io::Result<Vec<Part>> {
        let mut parts = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            parts.extend(entry?.file_name().to_str().and_then(Part::from_folder));
        }
        parts.sort_unstable();
        Ok(parts)
    }

    /// Bytes of a part's content on disk, about; none where there is none.
    pub fn bytes(&self, part: Part) -> u64 {
        let file = self.folder.join(part.folder()).join("db");
        std::fs::metadata(file).map_or(0, |meta| meta.len())
    }

    /// Removes a part, where there is one. Whoever still reads it reads to the end.
    pub fn remove(&self, part: Part) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&part);
        // Under another name first: a folder that is half removed is no part.
        let (name, gone) = (part.folder(), format!("{REMOVED}{}", part.folder()));
        let gone = self.folder.join(gone);
        remove_folder(&gone)?;
        match std::fs::rename(self.folder.join(&name), &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        self.tape.removed(&name);
        remove_folder(&gone)
    }

    /// Begins a part that is written once. There is one at a time.
    pub fn build(&self, part: Part) -> io::Result<Dense> {
        Dense::begin(&self.folder, part.trees())
    }

    /// Puts what was built into the place of a part. A power cut leaves the old one or the new one.
    /// While a backup records, this does nothing and says so: no tape could tell of it. Nobody may read
    /// the part meanwhile.
    pub fn replace(&self, part: Part, built: &Path) -> io::Result<bool> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.tape.unless_recording(|| {
            open.remove(&part);
            let next = self.folder.join(format!("{NEXT}{}", part.folder()));
            std::fs::rename(built, &next)?;
            sync_tree(&next)?;
            take_over(&self.folder, &next, &part.folder())?;
            remove_folder(&self.folder.join(BUILDING))
        });
        replaced.transpose().map(|replaced| replaced.is_some())
    }

    /// Makes a part's database under another name first: one that a power loss left half made could
    /// never be opened, and nothing could be sealed any more.
    fn make(&self, part: Part, path: &Path) -> Result<(), OpenError> {
        let unfinished = self.folder.join(UNFINISHED);
        let failed = |error| super::database::io_error(path, "cannot be made", error);
        remove_folder(&unfinished).map_err(failed)?;
        drop(Database::open(&unfinished, part.trees(), CACHE_BYTES)?);
        std::fs::rename(&unfinished, path)
            .and_then(|()| sync_tree(path))
            .map_err(failed)
    }

    /// The database of a part, where there is one. One that retention removes at this very moment may
    /// come back empty, and goes when retention looks next.
    pub fn existing(&self, part: Part) -> Result<Option<Arc<Database>>, StoreError> {
        if !self.folder.join(part.folder()).exists() {
            return Ok(None);
        }
        self.part(part).map(Some)
    }

    /// A part's database, which is made where there is none.
    pub fn part(&self, part: Part) -> Result<Arc<Database>, StoreError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = open.values().map(|(turn, _)| *turn).max().unwrap_or(0) + 1;
        if let Some((used, database)) = open.get_mut(&part) {
            *used = turn;
            return Ok(Arc::clone(database));
        }
        while open.len() >= OPEN {
            // One that somebody still reads must stay: it cannot be opened twice.
            let idle = open.iter().filter(|(_, (_, database))| is_idle(database));
            let Some(oldest) = idle
                .min_by_key(|(_, (turn, _))| *turn)
                .map(|(part, _)| *part)
            else {
                break;
            };
            open.remove(&oldest);
        }
        let path = self.folder.join(part.folder());
        if !path.exists() {
            self.make(part, &path)
                .map_err(|error| StoreError::Damaged {
                    place: format!("history/{}", part.folder()),
                    problem: error.to_string(),
                })?;
        }
        let database = Database::open(&path, part.trees(), CACHE_BYTES);
        let database = database.map_err(|error| StoreError::Damaged {
            place: format!("history/{}", part.folder()),
            problem: error.to_string(),
        })?;
        let database = Arc::new(database.recorded_on(&self.tape));
        open.insert(part, (turn, Arc::clone(&database)));
        Ok(database)
    }
}

/// Whether nobody has the database or reads it.
fn is_idle(database: &Arc<Database>) -> bool {
    Arc::strong_count(database) == 1 && !database.is_read()
}

/// Removes what an interrupted making or removal has left, and ends what was about to take its place.
fn tidy(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == UNFINISHED || name == BUILDING || name.starts_with(REMOVED) {
            remove_folder(&entry.path())?;
        } else if let Some(part) = name.strip_prefix(NEXT) {
            take_over(folder, &entry.path(), part)?;
        }
    }
    Ok(())
}

/// Lets a whole part take the place of another, or of none.
pub(super) fn take_over(folder: &Path, next: &Path, part: &str) -> io::Result<()> {
    let place = folder.join(part);
    remove_folder(&place)?;
    std::fs::rename(next, &place)?;
    sync_tree(&place)
}

#[cfg(test)]
mod tests {
    use super::super::database::Op;
    use super::super::keys::{Day, Week};
    use super::*;

    #[test]
    fn what_power_loss_left_of_a_week_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let (week, old) = (Part::Raw(Week(2960)), Part::Sealed(Day(19_000), 2));
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
        history.part(old).unwrap();
        history.part(week).unwrap();
        assert_eq!(history.parts().unwrap(), [old, week]);
        history.remove(old).unwrap();
        history.remove(old).unwrap();
        assert_eq!(history.parts().unwrap(), [week]);
        assert!(!folder.join(UNFINISHED).exists());
    }

    /// Merging a large week reads a part for minutes by nothing but an iterator.
    #[test]
    fn a_part_that_is_read_stays_open_however_many_are_opened_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path()).unwrap();
        let read = Part::Raw(Week(2960));
        let put = |number: u8| Op {
            tree: 0,
            key: vec![number],
            value: Some(vec![number]),
        };
        let ops: Vec<Op> = (0..3).map(put).collect();
        history.part(read).unwrap().commit(&ops).unwrap();
        let mut reading = history.part(read).unwrap().scan(0, &[]);
        assert_eq!(reading.next().unwrap().unwrap().0, [0]);
        for week in 0..2 * OPEN as i64 {
            history.part(Part::Raw(Week(week))).unwrap();
        }
        assert_eq!(history.part(read).unwrap().scan(0, &[]).count(), 3);
        assert_eq!(reading.count(), 2);
        // Once nobody reads it, it makes room.
        for week in 0..2 * OPEN as i64 {
            history.part(Part::Raw(Week(week))).unwrap();
        }
        assert!(!history.open.lock().unwrap().contains_key(&read));
    }
}
