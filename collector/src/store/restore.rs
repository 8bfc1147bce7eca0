//! Restoring a store from its backup, into a folder where nothing is.
//!
//! The backup is read to its end before anything is written. History and the files beside the store come
//! first and the hot database gets its name last, so that an interrupted restoring leaves nothing that
//! would open.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use super::OpenError;
use super::archive::{ArchiveError, ArchiveReader, Change, End, Frame, Head};
use super::backup::HOT;
use super::database::{Database, Op, io_error, sync_tree};
use super::hot::{free_bytes, remove_folder};
use super::keys::{Part, SCHEMA, TreeName};

/// Memory for pages of a database that is being filled.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Databases that are open at once: history comes part by part, and what changed later is of few.
const OPEN: usize = 6;

/// Changes in one transaction, and their bytes.
const OPS: usize = 2048;
const OPS_BYTES: usize = 1024 * 1024;

/// The engine writes what it is given once, and again while it makes room.
const ROOM: u64 = 2;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;

/// The name of the hot database until everything else is there.
const UNFINISHED: &str = "hot.new";

/// What a backup is and how much it unpacks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupContent {
    /// What it says at its beginning.
    pub head: Head,
    /// What it says at its end.
    pub end: End,
    /// Bytes of keys and values.
    pub unpacked: u64,
    /// The trees of each database.
    trees: BTreeMap<String, BTreeSet<String>>,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The folder is in use.
    #[error(
        "{path} is not empty: `{found}` is in it; a backup is restored into an empty folder or one \
         that does not exist, so that it harms nothing"
    )]
    NotEmpty {
        /// The folder.
        path: String,
        /// The first name that is in it.
        found: String,
    },
    /// The backup cannot be used.
    #[error("the backup {file}: {problem}")]
    Backup {
        /// The backup.
        file: String,
        /// What is wrong with it.
        problem: ArchiveError,
    },
    /// The backup is of a newer version.
    #[error(
        "the backup has schema {found} and this version knows up to {SCHEMA}; use rollcall-collector \
         {collector}, which made it"
    )]
    Newer {
        /// Its schema.
        found: u32,
        /// The version that made it.
        collector: String,
    },
    /// The disk is too small.
    #[error("the disk of {path} has {free} bytes free and {needed} are needed")]
    Room {
        /// The folder.
        path: String,
        /// Bytes free.
        free: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// It could not be written.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Reads a backup to its end, and answers with what it holds: it is whole then.
///
/// # Errors
/// [`RestoreError::Backup`] says where it is damaged.
pub fn verify_backup(file: &Path) -> Result<BackupContent, RestoreError> {
    let failed = |problem| failure(file, problem);
    let (mut reader, head) = open(file)?;
    let (mut unpacked, mut trees) = (0, BTreeMap::<String, BTreeSet<String>>::new());
    loop {
        let Some(frame) = reader.next().map_err(failed)? else {
            return Err(failed(ArchiveError::CutOff { at: 0 }));
        };
        match frame {
            Frame::Slice {
                database,
                tree,
                entries,
            } => {
                unpacked += entries
                    .iter()
                    .map(|(k, v)| k.len() + v.len())
                    .sum::<usize>() as u64;
                trees.entry(database).or_default().insert(tree);
            }
            Frame::Commit { database, changes } => {
                let trees = trees.entry(database).or_default();
                for change in changes {
                    unpacked += change.bytes() as u64;
                    trees.insert(change.tree);
                }
            }
            Frame::End(end) => {
                return Ok(BackupContent {
                    head,
                    end,
                    unpacked,
                    trees,
                });
            }
            Frame::Head(_) | Frame::File { .. } | Frame::Removed { .. } => {}
        }
    }
}

/// Restores the backup in `file` into `data`. The store is then to be opened and checked.
///
/// # Errors
/// [`RestoreError`]; a folder that was begun holds no store.
pub fn restore(file: &Path, data: &Path) -> Result<BackupContent, RestoreError> {
    refuse_used(data)?;
    let content = verify_backup(file)?;
    if content.head.schema > SCHEMA {
        return Err(RestoreError::Newer {
            found: content.head.schema,
            collector: content.head.collector,
        });
    }
    make_folder(data).map_err(|error| io_error(data, "cannot be made", error))?;
    check_room(data, content.unpacked)?;
    let mut site = Site {
        data,
        trees: &content.trees,
        open: BTreeMap::new(),
    };
    let (mut reader, _) = open(file)?;
    while let Some(frame) = reader.next().map_err(|problem| failure(file, problem))? {
        site.apply(frame)?;
    }
    site.finish()?;
    Ok(content)
}

fn open(file: &Path) -> Result<(ArchiveReader<BufReader<File>>, Head), RestoreError> {
    let opened = File::open(file).map_err(ArchiveError::Io);
    let begun =
        opened.and_then(|file| ArchiveReader::begin(BufReader::with_capacity(BUFFER, file)));
    begun.map_err(|problem| failure(file, problem))
}

fn failure(file: &Path, problem: ArchiveError) -> RestoreError {
    RestoreError::Backup {
        file: file.display().to_string(),
        problem,
    }
}

/// A folder that is being filled.
struct Site<'a> {
    data: &'a Path,
    trees: &'a BTreeMap<String, BTreeSet<String>>,
    open: BTreeMap<String, (Database, Vec<String>)>,
}

impl Site<'_> {
    fn apply(&mut self, frame: Frame) -> Result<(), RestoreError> {
        match frame {
            Frame::File {
                name,
                mode,
                content,
            } => self.put_file(&name, mode, &content),
            Frame::Slice {
                database,
                tree,
                entries,
            } => {
                let put = |(key, value)| Change {
                    tree: tree.clone(),
                    key,
                    value: Some(value),
                };
                self.change(&database, entries.into_iter().map(put))
            }
            Frame::Commit { database, changes } => self.change(&database, changes),
            Frame::Removed { database } => self.remove(&database),
            Frame::Head(_) | Frame::End(_) => Ok(()),
        }
    }

    fn change(
        &mut self,
        database: &str,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), RestoreError> {
        let path = self.path(database)?;
        let (target, trees) = self.database(database, &path)?;
        let commit = |ops: &[Op]| {
            target
                .commit(ops)
                .map_err(|error| io_error(&path, "cannot be written", error))
        };
        let (mut ops, mut bytes) = (Vec::new(), 0);
        for change in changes {
            bytes += change.bytes();
            let tree = trees.iter().position(|tree| *tree == change.tree);
            ops.push(Op {
                tree: tree.expect("every tree was seen when the backup was read before"),
                key: change.key,
                value: change.value,
            });
            if ops.len() >= OPS || bytes >= OPS_BYTES {
                commit(&ops)?;
                (ops, bytes) = (Vec::new(), 0);
            }
        }
        Ok(commit(&ops)?)
    }

    fn remove(&mut self, database: &str) -> Result<(), RestoreError> {
        let path = self.path(database)?;
        self.open.remove(database);
        Ok(remove_folder(&path).map_err(|error| io_error(&path, "cannot be removed", error))?)
    }

    fn database(
        &mut self,
        name: &str,
        path: &Path,
    ) -> Result<&(Database, Vec<String>), RestoreError> {
        if !self.open.contains_key(name) {
            if self.open.len() >= OPEN {
                self.open.clear();
            }
            let trees = self.trees_of(name);
            let names: Vec<&str> = trees.iter().map(String::as_str).collect();
            let parent = path.parent().expect("a database lies in the data folder");
            make_folder(parent).map_err(|error| io_error(parent, "cannot be made", error))?;
            let database = Database::open(path, &names, CACHE_BYTES)?;
            self.open.insert(name.to_owned(), (database, trees));
        }
        Ok(&self.open[name])
    }

    /// Ours, and those that an older version may have had.
    fn trees_of(&self, database: &str) -> Vec<String> {
        let ours: Vec<&str> = match database {
            HOT => TreeName::ALL.map(TreeName::word).to_vec(),
            part => Part::from_folder(part).map_or_else(Vec::new, |part| part.trees().to_vec()),
        };
        let mut trees: Vec<String> = ours.into_iter().map(str::to_owned).collect();
        for tree in self.trees.get(database).into_iter().flatten() {
            if !trees.contains(tree) {
                trees.push(tree.clone());
            }
        }
        trees
    }

    fn path(&self, database: &str) -> Result<PathBuf, RestoreError> {
        match database {
            HOT => Ok(self.data.join(UNFINISHED)),
            part if Part::from_folder(part).is_some() => Ok(self.data.join("history").join(part)),
            other => Err(foreign_name(self.data, other)),
        }
    }

    fn put_file(&self, name: &str, mode: u32, content: &[u8]) -> Result<(), RestoreError> {
        let normal = |part| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(normal) {
            return Err(foreign_name(self.data, name));
        }
        let path = self.data.join(name);
        write_file(&path, mode & 0o777, content)
            .map_err(|error| io_error(&path, "cannot be written", error).into())
    }

    fn finish(self) -> Result<(), RestoreError> {
        drop(self.open);
        let (unfinished, hot) = (self.data.join(UNFINISHED), self.data.join("hot"));
        let finished = sync_tree(self.data)
            .and_then(|()| std::fs::rename(&unfinished, &hot))
            .and_then(|()| File::open(self.data)?.sync_all());
        Ok(finished.map_err(|error| io_error(&hot, "cannot be put in place", error))?)
    }
}

impl Change {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// A backup has checksums, so this is no damage but somebody's doing.
fn foreign_name(data: &Path, name: &str) -> RestoreError {
    let error = io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the backup wants to write `{}`", name.escape_debug()),
    );
    io_error(data, "is not where this belongs", error).into()
}

fn refuse_used(data: &Path) -> Result<(), RestoreError> {
    let mut entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(data, "cannot be read", error).into()),
    };
    // A new file system brings this folder along.
    let found = entries.find_map(|entry| {
        let name = entry.ok()?.file_name().to_string_lossy().into_owned();
        (name != "lost+found").then_some(name)
    });
    match found {
        None => Ok(()),
        Some(found) => Err(RestoreError::NotEmpty {
            path: data.display().to_string(),
            found,
        }),
    }
}

fn check_room(data: &Path, unpacked: u64) -> Result<(), RestoreError> {
    let free = free_bytes(data).map_err(|error| io_error(data, "has no disk", error))?;
    let needed = unpacked.saturating_mul(ROOM) + super::hot::ROOM_TO_OPEN;
    if free >= needed {
        return Ok(());
    }
    Err(RestoreError::Room {
        path: data.display().to_string(),
        free,
        needed,
    })
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_file(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    make_folder(path.parent().expect("a file lies in the data folder"))?;
    let mut options = OpenOptions::new();
    let mut file = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    // Wider only now: what is secret is never open to others, whatever the mask.
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()
}
