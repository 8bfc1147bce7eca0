//! Writing the hot database anew when it opens, and after a stop, where most of its file is what the engine has not given back.
//!
//! What changes every hour leaves the file at ten times its content and more, and a start reads it all. The
//! new database is written densely (see `dense`) beside the old one and takes its place once it is whole: a
//! power cut leaves the old one or the new one.

use std::io;
use std::path::{Path, PathBuf};

use super::database::Database;
use super::dense::{BUILDING, Dense};
use super::history::take_over;
use super::hot::{Hot, free_bytes, remove_folder};
use super::keys::TreeName;
use super::{OpenError, StoreError};

/// Bytes of a file that is not looked at: one of the engine's segments.
const LITTLE: u64 = 512 * 1024;

/// Bytes of content up to which a start may wait for it: some seconds, of 200,000 laptops.
const MOST: u64 = 256 * 1024 * 1024;

/// How many times its content a file may be.
const TIMES: u64 = 3;

/// The name of the new database until it has taken the old one's place.
const NEXT: &str = "next-hot";

/// Bytes of a file that a stop still looks at: it is read as at a start, in about two seconds.
const MOST_AT_REST: u64 = 256 * 1024 * 1024;

/// Looks at the database of a collector that has stopped, so that the next start has less to read.
/// Whatever stands in the way, that start does it.
pub(super) fn at_rest(data: &Path) {
    let file = std::fs::metadata(data.join("hot").join("db"));
    let is_worth_it = file.is_ok_and(|file| (LITTLE..=MOST_AT_REST).contains(&file.len()));
    if is_worth_it && let Err(error) = Hot::open(data) {
        tracing::debug!(%error, "the store is left as it is");
    }
}

/// Whether a new database is whole, and the old one may be gone already.
pub(super) fn is_about_to_end(data: &Path) -> bool {
    data.join(NEXT).is_dir()
}

/// Ends what was interrupted: a whole database takes the old one's place, anything less goes.
pub(super) fn end(data: &Path) -> io::Result<()> {
    if is_about_to_end(data) {
        take_over(data, &data.join(NEXT), "hot")?;
    }
    remove_folder(&data.join(BUILDING))
}

/// Whether writing it anew is worth a start's while.
pub(super) fn is_wasteful(database: &Database) -> bool {
    if database.bytes() <= LITTLE {
        return false;
    }
    let trees = 0..TreeName::ALL.len();
    let pairs = trees.flat_map(|tree| database.scan(tree, &[]));
    let mut content = 0;
    for pair in pairs {
        // Who reads it next says what is wrong with it.
        let Ok((key, value)) = pair else { return false };
        content += (key.len() + value.len()) as u64;
        if content > MOST {
            return false;
        }
    }
    database.bytes() > TIMES * content
}

/// Writes the new database, and says whether it is there; on a disk that is nearly full it is not.
pub(super) fn build(data: &Path, database: &Database) -> Result<bool, OpenError> {
    let built = match write(data, database) {
        Ok(built) => built,
        Err(error) => {
            tracing::warn!(%error, "the store could not be written more densely and stays as it is");
            None
        }
    };
    let Some(built) = built else {
        let removed = remove_folder(&data.join(BUILDING));
        return removed
            .map(|()| false)
            .map_err(|error| failure(data, error));
    };
    let next = data.join(NEXT);
    let placed = std::fs::rename(&built, &next).and_then(|()| super::database::sync_tree(&next));
    placed.map(|()| true).map_err(|error| failure(data, error))
}

fn write(data: &Path, database: &Database) -> Result<Option<PathBuf>, OpenError> {
    let failed = |error| failure(data, error);
    // Twice what there may be: once on the way, and once in the database.
    if free_bytes(data).map_err(failed)? < 3 * MOST {
        return Ok(None);
    }
    let mut dense = Dense::begin(data, &TreeName::ALL.map(TreeName::word)).map_err(failed)?;
    for tree in 0..TreeName::ALL.len() {
        for pair in database.scan(tree, &[]) {
            let (key, value) = pair.map_err(|error| StoreError::Failed(error.to_string()))?;
            dense.put(tree, key, &value).map_err(failed)?;
        }
    }
    dense.finish().map(Some)
}

fn failure(data: &Path, error: io::Error) -> OpenError {
    super::database::io_error(data, "cannot be written anew", error)
}

#[cfg(test)]
mod tests {
    use super::super::hot::put;
    use super::*;

    fn bytes(data: &Path) -> u64 {
        std::fs::metadata(data.join("hot").join("db"))
            .unwrap()
            .len()
    }

    /// A store whose content has come and gone some times.
    fn wasteful(data: &Path) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
        let hot = Hot::create(data).unwrap();
        for round in 0..60_u32 {
            let value = |n: u32| [round.to_be_bytes(), n.to_be_bytes()].concat().repeat(100);
            let ops: Vec<_> = (0..200_u32)
                .map(|n| put(TreeName::State, &n.to_be_bytes(), value(n)))
                .collect();
            hot.database.commit(&ops).unwrap();
        }
        content(&hot.database)
    }

    fn content(database: &Database) -> Vec<Vec<(Vec<u8>, Vec<u8>)>> {
        let trees = 0..TreeName::ALL.len();
        trees
            .map(|tree| database.scan(tree, &[]).map(Result::unwrap).collect())
            .collect()
    }

    #[test]
    fn a_start_gives_back_what_the_engine_has_kept() {
        let dir = tempfile::tempdir().unwrap();
        let expected = wasteful(dir.path());
        let before = bytes(dir.path());
        assert!(before > LITTLE, "{before} bytes are too few to try it");
        let hot = Hot::open(dir.path()).unwrap();
        assert!(content(&hot.database) == expected);
        assert!(bytes(dir.path()) * 4 < before, "{}", bytes(dir.path()));
        hot.database.add_up().unwrap();
        // It is no less a database than it was.
        let more = put(TreeName::State, b"more", vec![1]);
        hot.database.commit(&[more]).unwrap();
        drop(hot);
        let hot = Hot::open(dir.path()).unwrap();
        assert_eq!(content(&hot.database)[TreeName::State as usize].len(), 201);
        assert!(!dir.path().join(BUILDING).exists() && !dir.path().join(NEXT).exists());
    }

    #[test]
    fn so_does_a_stop_and_what_is_open_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let expected = wasteful(dir.path());
        let before = bytes(dir.path());
        at_rest(dir.path());
        let after = bytes(dir.path());
        assert!(after * 4 < before, "{after}");
        let hot = Hot::open(dir.path()).unwrap();
        at_rest(dir.path());
        assert!(content(&hot.database) == expected);
        at_rest(&dir.path().join("nowhere"));
    }

    #[test]
    fn wherever_it_is_cut_short_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let expected = wasteful(dir.path());
        let data = dir.path();
        let read = || content(&Hot::open(data).unwrap().database);
        // While the new one is written.
        std::fs::create_dir_all(data.join(BUILDING).join("database")).unwrap();
        std::fs::write(data.join(BUILDING).join("pairs0"), "half").unwrap();
        assert!(read() == expected);
        assert!(!data.join(BUILDING).exists());
        // Before the old one is removed, while it is, and after.
        for left in ["all", "half", "nothing"] {
            let hot = Hot::open(data).unwrap();
            assert!(build(data, &hot.database).unwrap());
            drop(hot);
            match left {
                "half" => std::fs::remove_file(data.join("hot").join("conf")).unwrap(),
                "nothing" => std::fs::remove_dir_all(data.join("hot")).unwrap(),
                _ => {}
            }
            assert!(read() == expected, "{left} of the old one was left");
            assert!(!data.join(NEXT).exists());
        }
    }
}
