//! A database that is written once, so that each value lies on disk once and beside its neighbours.
//!
//! sled appends a page to its log anew whenever ten changes have gathered on it, and splits a page that
//! has more than sixteen keys: a database that grows by and by is about twice its content, and one whose
//! keys come and go five times. So what will not change any more is written as follows:
//!
//! 1. The pairs of each tree go to a plain file, in the order of their keys.
//! 2. Every key is put without its value, one after the other: pages split at their end, and each is
//!    left with nine keys.
//! 3. Every value is put: nine changes to a page, one too few to write it anew.
//!
//! That is 1.06 of the content, where a database that was filled as values came had 1.6 to 2.1
//! (4.5 KB a value, 14,000 and 70,000 values). The order of the keys matters: a commit applies its
//! operations in no order, so keys are put without one. Nobody else sees the database until it is done.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::OpenError;
use super::database::{Database, io_error};
use super::hot::remove_folder;

/// The name of the folder in which a database is being made.
pub(super) const BUILDING: &str = "building";

/// Memory for pages while they are written.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;

/// Values after which the engine writes what it holds: 3 MB.
const TOGETHER: usize = 512;

/// Keys after which it does: as many bytes, with what the pages above them cost.
const KEYS_TOGETHER: usize = 4096;

/// A database in the making.
#[derive(Debug)]
pub(super) struct Dense {
    folder: PathBuf,
    trees: Vec<&'static str>,
    pairs: Vec<Written>,
}

/// The pairs of a tree, on their way to their file.
#[derive(Debug)]
struct Written {
    file: BufWriter<File>,
    last: Option<Vec<u8>>,
}

impl Dense {
    /// Begins a database with these trees in a folder of `parent`.
    pub fn begin(parent: &Path, trees: &[&'static str]) -> io::Result<Self> {
        let folder = parent.join(BUILDING);
        remove_folder(&folder)?;
        DirBuilder::new().mode(0o700).create(&folder)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut pairs = Vec::new();
        for tree in 0..trees.len() {
            let file = options.open(pairs_of(&folder, tree))?;
            pairs.push(Written {
                file: BufWriter::new(file),
                last: None,
            });
        }
        Ok(Self {
            folder,
            trees: trees.to_vec(),
            pairs,
        })
    }

    /// Adds a pair, after those of its tree that sort before it.
    pub fn put(&mut self, tree: usize, key: Vec<u8>, value: &[u8]) -> io::Result<()> {
        let size =
            |bytes: &[u8]| u16::try_from(bytes.len()).expect("keys and values are below 6 KB");
        let Written { file, last } = &mut self.pairs[tree];
        if last.as_ref().is_some_and(|last| key <= *last) {
            return Err(io::Error::other(
                "what is to lie in order came out of order",
            ));
        }
        file.write_all(&size(&key).to_le_bytes())?;
        file.write_all(&size(value).to_le_bytes())?;
        file.write_all(&key)?;
        file.write_all(value)?;
        *last = Some(key);
        Ok(())
    }

    /// Makes the database of what was put, and answers where it is; it is durable and closed then.
    pub fn finish(mut self) -> Result<PathBuf, OpenError> {
        let failed = |error| io_error(&self.folder, "cannot be written", error);
        for written in &mut self.pairs {
            written.file.flush().map_err(failed)?;
        }
        let path = self.folder.join("database");
        let database = Database::open(&path, &self.trees, CACHE_BYTES)?;
        self.fill(&database).map_err(failed)?;
        drop(database);
        // The engine's index of it is made by the first to open it, which is to be nobody who waits;
        // it also shows that what was written is there.
        drop(Database::open(&path, &self.trees, CACHE_BYTES)?);
        Ok(path)
    }

    fn fill(&self, database: &Database) -> io::Result<()> {
        let mut count = 0;
        for tree in 0..self.trees.len() {
            let mut pairs = Pairs::read(&pairs_of(&self.folder, tree))?;
            while let Some(key) = pairs.next_key()? {
                database.put_alone(tree, &key, &[])?;
                pairs.skip_value()?;
                count += 1;
                if count % KEYS_TOGETHER == 0 {
                    database.write_out()?;
                }
            }
        }
        database.write_out()?;
        for tree in 0..self.trees.len() {
            let mut pairs = Pairs::read(&pairs_of(&self.folder, tree))?;
            while let Some(key) = pairs.next_key()? {
                database.put_alone(tree, &key, &pairs.value()?)?;
                count += 1;
                if count % TOGETHER == 0 {
                    database.write_out()?;
                }
            }
        }
        database.commit(&[])
    }
}

fn pairs_of(folder: &Path, tree: usize) -> PathBuf {
    folder.join(format!("pairs{tree}"))
}

/// The pairs of a tree as they were put.
struct Pairs {
    file: BufReader<File>,
    value_bytes: u16,
}

impl Pairs {
    fn read(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::with_capacity(64 * 1024, File::open(path)?),
            value_bytes: 0,
        })
    }

    fn next_key(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = [0; 4];
        match self.file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let [a, b, c, d] = head;
        self.value_bytes = u16::from_le_bytes([c, d]);
        self.bytes(u16::from_le_bytes([a, b])).map(Some)
    }

    fn value(&mut self) -> io::Result<Vec<u8>> {
        self.bytes(self.value_bytes)
    }

    fn skip_value(&mut self) -> io::Result<()> {
        self.file.seek_relative(i64::from(self.value_bytes))
    }

    fn bytes(&mut self, count: u16) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::from(count)];
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values as large as blocks are, in the order of their keys.
    fn pairs(count: u32) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let mut noise = 88_172_645_463_325_252_u64;
        (0..count).map(move |n| {
            let bytes = std::iter::repeat_with(move || {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                noise as u8
            });
            let key = [&[7; 16][..], &n.to_be_bytes(), &[0; 4]].concat();
            (key, bytes.take(3000 + n as usize % 3000).collect())
        })
    }

    fn bytes_of(folder: &Path) -> u64 {
        let files = std::fs::read_dir(folder).unwrap();
        files
            .map(|file| file.unwrap().metadata().unwrap())
            .filter(std::fs::Metadata::is_file)
            .map(|meta| meta.len())
            .sum()
    }

    #[test]
    fn each_value_lies_on_disk_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut dense = Dense::begin(dir.path(), &["t"]).unwrap();
        let mut content = 0;
        for (key, value) in pairs(2000) {
            content += key.len() + value.len();
            dense.put(0, key, &value).unwrap();
        }
        let path = dense.finish().unwrap();
        let bytes = bytes_of(&path);
        assert!(
            bytes < content as u64 * 112 / 100,
            "{bytes} bytes for {content}"
        );
        let database = Database::open(&path, &["t"], CACHE_BYTES).unwrap();
        database.add_up().unwrap();
        assert_eq!(database.blob_files(), 0);
        let found: Vec<_> = database.scan(0, &[]).map(Result::unwrap).collect();
        assert!(found == pairs(2000).collect::<Vec<_>>());
    }

    #[test]
    fn an_empty_one_opens_and_disorder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = Dense::begin(dir.path(), &["t"]).unwrap().finish().unwrap();
        let database = Database::open(&path, &["t"], CACHE_BYTES).unwrap();
        assert_eq!(database.scan(0, &[]).count(), 0);
        drop(database);
        let mut dense = Dense::begin(dir.path(), &["t"]).unwrap();
        dense.put(0, vec![2], &[]).unwrap();
        assert!(dense.put(0, vec![1], &[]).is_err());
        assert!(dense.put(0, vec![2], &[]).is_err());
    }
}
