//! Making and opening the hot database, and rebuilding the memory from it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;

use super::codec::{first_piece, split, unpack};
use super::database::{Database, Op, io_error, sync_tree};
use super::keys::{self, Place, SCHEMA, TreeName, meta};
use super::log::LogEntry;
use super::memory::{Entry, Memory};
use super::{OpenError, StoreError, legacy, renew, seal, snapshot};
use crate::device::Device;
use crate::reach_note::ReachNote;

/// Memory for pages of the hot database; most reads are answered from our own memory.
const CACHE_BYTES: u64 = 128 * 1024 * 1024;

/// Without as much room the engine cannot open: it writes while it recovers.
pub(super) const ROOM_TO_OPEN: u64 = 16 * 1024 * 1024;

/// A hot database, and the lock that keeps others out.
#[derive(Debug)]
pub(super) struct Hot {
    pub database: Database,
    pub folder: PathBuf,
    _lock: File,
}

impl Hot {
    /// Makes the database of a new store. It is made under another name first, so that a store that
    /// has its name is whole.
    pub fn create(data: &Path) -> Result<Self, OpenError> {
        let (unfinished, finished) = (data.join("hot.new"), data.join("hot"));
        refuse_foreign(data)?;
        if finished.exists() {
            return Err(exists_or_foreign(data));
        }
        let mut folder = DirBuilder::new();
        folder
            .recursive(true)
            .mode(0o700)
            .create(data)
            .map_err(|error| io_error(data, "cannot be made", error))?;
        let lock = lock(data)?;
        if finished.exists() {
            return Err(exists_or_foreign(data));
        }
        remove_folder(&unfinished)
            .map_err(|error| io_error(&unfinished, "cannot be removed", error))?;
        let database = open_trees(&unfinished)?;
        let marks = [
            put(TreeName::Meta, meta::MAGIC, meta::MAGIC_VALUE.to_vec()),
            put(TreeName::Meta, meta::SCHEMA, SCHEMA.to_be_bytes().to_vec()),
        ];
        database
            .commit(&marks)
            .map_err(|error| io_error(&unfinished, "cannot be written", error))?;
        drop(database);
        std::fs::rename(&unfinished, &finished)
            .and_then(|()| sync_tree(&finished))
            .map_err(|error| io_error(&finished, "cannot be put in place", error))?;
        drop(lock);
        Self::open(data)
    }

    /// Opens the database of a store.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        let folder = data.join("hot");
        if !folder.is_dir() && !renew::is_about_to_end(data) {
            return Err(OpenError::Missing(data.display().to_string()));
        }
        if !holds_database(&folder) && !renew::is_about_to_end(data) {
            return Err(foreign(data, "hot/ holds no database"));
        }
        let lock = lock(data)?;
        renew::end(data).map_err(|error| io_error(&folder, "cannot be put in place", error))?;
        check_room(&folder)?;
        let mut hot = Self {
            database: open_trees(&folder)?,
            folder,
            _lock: lock,
        };
        hot.check_marks(data)?;
        if renew::is_wasteful(&hot.database) && renew::build(data, &hot.database)? {
            // It cannot be opened twice.
            let Self {
                database,
                folder,
                _lock,
            } = hot;
            drop(database);
            renew::end(data).map_err(|error| io_error(&folder, "cannot be put in place", error))?;
            hot = Self {
                database: open_trees(&folder)?,
                folder,
                _lock,
            };
        }
        Ok(hot)
    }

    /// From now on its commits are recorded on this tape while a backup runs.
    #[must_use]
    pub fn recorded_on(self, tape: &std::sync::Arc<super::tape::Tape>) -> Self {
        Self {
            database: self.database.recorded_on(tape),
            ..self
        }
    }

    /// Everything that the store keeps in memory, as of what is durable.
    pub fn load(&self) -> Result<Memory, StoreError> {
        let mut memory = Memory::default();
        if let Some(bytes) = self.pieces(TreeName::Meta, meta::CONFIGURATION)? {
            memory.configuration = json(&bytes).map_err(|problem| StoreError::Damaged {
                place: "meta/configuration".to_owned(),
                problem,
            })?;
        }
        self.load_devices(&mut memory)?;
        self.load_records(&mut memory)?;
        memory.count_all();
        self.load_log(&mut memory)?;
        Ok(memory)
    }

    /// The numbers of the log's entries, from this one on.
    pub fn log_numbers(&self, from: u64) -> Result<Vec<u64>, StoreError> {
        let (from, to) = (keys::log(from), keys::log(u64::MAX));
        let mut numbers = Vec::new();
        for pair in self.database.range(TreeName::Log as usize, &from, &to) {
            let (key, _) = pair.map_err(failed)?;
            numbers.extend(keys::parse_log(&key));
        }
        numbers.dedup();
        Ok(numbers)
    }

    /// An entry of the log, as it is packed.
    pub fn log_bytes(&self, number: u64) -> Result<Vec<u8>, StoreError> {
        let bytes = self.pieces(TreeName::Log, &keys::log(number))?;
        bytes.ok_or_else(|| log_damaged(number, "it is missing".to_owned()))
    }

    /// A number in `meta`; 0 while it was never set.
    pub fn number(&self, name: &[u8]) -> Result<u64, StoreError> {
        let value = self
            .database
            .get(TreeName::Meta as usize, name)
            .map_err(failed)?;
        let number = value.map(|bytes| bytes.try_into().map(u64::from_be_bytes));
        number
            .transpose()
            .map(Option::unwrap_or_default)
            .map_err(|_| StoreError::Damaged {
                place: format!("meta/{}", String::from_utf8_lossy(name)),
                problem: "it has not 8 bytes".to_owned(),
            })
    }

    /// A value that was split into pieces.
    pub fn pieces(&self, tree: TreeName, prefix: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let piece = |n: u16| {
            let value = self.database.get(tree as usize, &keys::piece(prefix, n));
            value.map_err(failed)
        };
        let Some(first) = piece(0)? else {
            return Ok(None);
        };
        let damaged = |problem: String| StoreError::Damaged {
            place: format!("{}/{prefix:02x?}", tree.word()),
            problem,
        };
        let (count, bytes) = first_piece(&first).map_err(damaged)?;
        let mut joined = bytes.to_vec();
        for n in 1..count {
            joined.extend(piece(n)?.ok_or_else(|| damaged(format!("piece {n} is missing")))?);
        }
        Ok(Some(joined))
    }

    fn check_marks(&self, data: &Path) -> Result<(), OpenError> {
        let get = |name| {
            let value = self.database.get(TreeName::Meta as usize, name);
            value.map_err(|error| io_error(data, "cannot be read", error))
        };
        if get(meta::MAGIC)?.as_deref() != Some(meta::MAGIC_VALUE) {
            return Err(foreign(
                data,
                "the database in hot/ is not marked as a Rollcall store",
            ));
        }
        let found = get(meta::SCHEMA)?.and_then(|bytes| bytes.try_into().ok());
        match found.map(u32::from_be_bytes) {
            Some(found) if found > SCHEMA => Err(OpenError::Newer {
                path: data.display().to_string(),
                found,
                known: SCHEMA,
            }),
            Some(found) => self.migrate(found).map_err(OpenError::Damaged),
            None => Err(foreign(data, "its schema has no version")),
        }
    }

    /// Brings an older schema up to ours, one version after the other, each in one transaction that
    /// ends with the new version's mark.
    fn migrate(&self, from: u32) -> Result<(), StoreError> {
        if from == SCHEMA {
            return Ok(());
        }
        if from == 1 {
            return legacy::migrate(self);
        }
        // What schemas 2 to 4 wrote is read as it is; later trees are empty at first, and roll-ups are made in
        // the background.
        if (2..=4).contains(&from) {
            let mark = put(TreeName::Meta, meta::SCHEMA, SCHEMA.to_be_bytes().to_vec());
            return self.database.commit(&[mark]).map_err(failed);
        }
        Err(StoreError::Damaged {
            place: "meta/schema".to_owned(),
            problem: format!("schema {from} was never released"),
        })
    }

    fn load_devices(&self, memory: &mut Memory) -> Result<(), StoreError> {
        let mut states = self.values_in_pieces(TreeName::State);
        let mut state = states.next().transpose()?;
        for device in self.records::<Device>(TreeName::Devices)? {
            let id = device.id;
            let mut entry = Entry::new(device);
            // Both trees are in the order of the device.
            while state
                .as_ref()
                .is_some_and(|(key, _)| key[..] < id.as_bytes()[..])
            {
                state = states.next().transpose()?;
            }
            if let Some((_, bytes)) = state
                .as_ref()
                .filter(|(key, _)| key[..] == id.as_bytes()[..])
            {
                let restored = snapshot::restore(&mut entry, bytes);
                let cursors = restored.map_err(|problem| StoreError::Damaged {
                    place: format!("state/{id}"),
                    problem,
                })?;
                cursors
                    .into_iter()
                    .for_each(|cursor| memory.cursors.put(id, cursor));
            }
            memory.last_log = memory.last_log.max(entry.sealed).max(entry.through);
            memory.insert(id, entry);
        }
        self.load_marks(memory)
    }

    fn load_marks(&self, memory: &mut Memory) -> Result<(), StoreError> {
        if let Some(bytes) = self.pieces(TreeName::Meta, meta::SEAL)? {
            memory.interrupted =
                seal::parse_marks(&bytes).map_err(|problem| StoreError::Damaged {
                    place: "meta/seal".to_owned(),
                    problem,
                })?;
        }
        let retained = self.number(meta::RETAINED)?;
        memory.retained = (retained > 0)
            .then(|| keys::parse_time(&retained.to_be_bytes()))
            .flatten();
        for pair in self.database.scan(TreeName::Days as usize, &[]) {
            let (key, value) = pair.map_err(failed)?;
            let day = keys::parse_day(&key).ok_or_else(|| StoreError::Damaged {
                place: format!("days/{}", key.escape_ascii()),
                problem: "it is not 6 bytes".to_owned(),
            })?;
            let (place, rolled) = Place::parse(&value).ok_or_else(|| StoreError::Damaged {
                place: format!("days/{}", key.escape_ascii()),
                problem: "it names no place".to_owned(),
            })?;
            memory.place_day(day, place, rolled);
        }
        Ok(())
    }

    /// Every value of a tree that is in pieces, by what its keys begin with.
    fn values_in_pieces(
        &self,
        tree: TreeName,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> {
        let mut pairs = self.database.scan(tree as usize, &[]).peekable();
        let damaged = move |key: &[u8], problem: String| StoreError::Damaged {
            place: format!("{}/{}", tree.word(), key.escape_ascii()),
            problem,
        };
        std::iter::from_fn(move || {
            let (mut key, value) = match pairs.next()? {
                Ok(pair) => pair,
                Err(error) => return Some(Err(failed(error))),
            };
            key.truncate(key.len().saturating_sub(2));
            let (count, bytes) = match first_piece(&value) {
                Ok(first) => first,
                Err(problem) => return Some(Err(damaged(&key, problem))),
            };
            let (mut joined, mut pieces) = (bytes.to_vec(), 1);
            let follows = |pair: &io::Result<(Vec<u8>, Vec<u8>)>| {
                pair.as_ref().is_ok_and(|(next, _)| next.starts_with(&key))
            };
            while let Some(Ok((_, value))) = pairs.next_if(follows) {
                if pieces < count {
                    joined.extend(value);
                }
                pieces += 1;
            }
            if pieces < count {
                return Some(Err(damaged(
                    &key,
                    format!("{pieces} pieces of {count} are there"),
                )));
            }
            Some(Ok((key, joined)))
        })
    }

    fn load_records(&self, memory: &mut Memory) -> Result<(), StoreError> {
        for alert in self.records::<crate::alert::Alert>(TreeName::Alerts)? {
            memory.alerts.insert(alert.key.clone(), alert);
        }
        for incident in self.records::<crate::incident::Incident>(TreeName::Incidents)? {
            memory.incidents.insert(incident.id, incident);
        }
        for entry in self.records::<crate::notification::Notification>(TreeName::Outbox)? {
            memory.outbox.insert(entry.key.clone(), entry);
        }
        for silence in self.records::<crate::silence::Silence>(TreeName::Silences)? {
            memory.silences.insert(silence.id, silence);
        }
        for marks in self.records::<crate::mark::Marks>(TreeName::Marks)? {
            memory.marks.insert(marks.subject, marks);
        }
        for memo in self.records::<crate::memo::Memo>(TreeName::Memos)? {
            memory.memos.insert(memo.key.clone(), memo);
        }
        for edition in self.values_in_pieces(TreeName::Rules) {
            let (key, bytes) = edition?;
            let edition: crate::edition::Edition =
                json(&bytes).map_err(|problem| StoreError::Damaged {
                    place: format!("rules/{}", key.escape_ascii()),
                    problem,
                })?;
            memory.editions.insert(edition.number, edition.into());
        }
        for note in self.values_in_pieces(TreeName::Reach) {
            let (key, bytes) = note?;
            let note: Result<ReachNote, _> = unpack(&bytes).and_then(|bytes| json(&bytes));
            let note = note.map_err(|problem| StoreError::Damaged {
                place: format!("reach/{}", key.escape_ascii()),
                problem,
            })?;
            memory.reach.insert(note.slot(), note.into());
        }
        let mut inventory = crate::asset::Inventory::default();
        for asset in self.records::<crate::asset::Asset>(TreeName::Assets)? {
            inventory.put(asset);
        }
        for pupil in self.records::<crate::asset::Pupil>(TreeName::Pupils)? {
            inventory.put_pupil(pupil);
        }
        memory.inventory = inventory.into();
        for token in self.records::<super::EnrolmentTokenRecord>(TreeName::Tokens)? {
            memory.tokens.insert(token.id.clone(), token);
        }
        for token in self.records::<super::ApiTokenRecord>(TreeName::ApiTokens)? {
            memory.api_tokens.insert(token.name.clone(), token);
        }
        for user in self.records::<crate::user::User>(TreeName::Users)? {
            memory.users.insert(user.name.clone(), user);
        }
        let last = self
            .database
            .scan(TreeName::Audit as usize, &[])
            .next_back();
        if let Some(pair) = last {
            let (key, _) = pair.map_err(failed)?;
            let number = key.get(8..16).and_then(|bytes| bytes.try_into().ok());
            memory.audit_lines = number.map_or(0, u64::from_be_bytes);
        }
        Ok(())
    }

    fn load_log(&self, memory: &mut Memory) -> Result<(), StoreError> {
        for entry in self.values_in_pieces(TreeName::Log) {
            let (key, bytes) = entry?;
            let number = keys::parse_log(&key).unwrap_or_default();
            let damaged = |problem| log_damaged(number, problem);
            let entry = LogEntry::unpack(&bytes).map_err(damaged)?;
            for frame in entry.frames() {
                let (device, frame) = frame.map_err(damaged)?;
                memory.replay(device, number, frame).map_err(damaged)?;
            }
            memory.last_log = memory.last_log.max(number);
        }
        memory.end_replay();
        Ok(())
    }

    /// Every record of a tree.
    pub fn records<T: DeserializeOwned>(&self, tree: TreeName) -> Result<Vec<T>, StoreError> {
        let pairs = self.database.scan(tree as usize, &[]);
        pairs.map(|pair| parse_record(tree, pair)).collect()
    }
}

fn log_damaged(number: u64, problem: String) -> StoreError {
    StoreError::Damaged {
        place: format!("log entry {number}"),
        problem,
    }
}

/// A record from a key and its value.
pub(super) fn parse_record<T: DeserializeOwned>(
    tree: TreeName,
    pair: io::Result<(Vec<u8>, Vec<u8>)>,
) -> Result<T, StoreError> {
    let (key, value) = pair.map_err(failed)?;
    json(&value).map_err(|problem| StoreError::Damaged {
        place: format!("{}/{}", tree.word(), key.escape_ascii()),
        problem,
    })
}

/// An insertion.
pub(super) fn put(tree: TreeName, key: &[u8], value: Vec<u8>) -> Op {
    Op {
        tree: tree as usize,
        key: key.to_vec(),
        value: Some(value),
    }
}

/// A removal.
pub(super) fn remove(tree: TreeName, key: &[u8]) -> Op {
    Op {
        tree: tree as usize,
        key: key.to_vec(),
        value: None,
    }
}

/// Insertions of a value in pieces. Pieces of a longer value before it stay and do not count.
pub(super) fn put_pieces(tree: TreeName, prefix: &[u8], bytes: &[u8]) -> Vec<Op> {
    let pieces = split(bytes).into_iter().zip(0_u16..);
    pieces
        .map(|(piece, n)| put(tree, &keys::piece(prefix, n), piece))
        .collect()
}

/// Removals of a value in pieces that is known.
pub(super) fn remove_pieces(tree: TreeName, prefix: &[u8], bytes: &[u8]) -> Vec<Op> {
    let pieces = split(bytes).len();
    let pieces = (0_u16..).take(pieces);
    pieces
        .map(|n| remove(tree, &keys::piece(prefix, n)))
        .collect()
}

/// The engine's error as one of ours.
pub(super) fn failed(error: io::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Bytes free for us on the disk of a folder.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

pub(super) fn open_trees(folder: &Path) -> Result<Database, OpenError> {
    Database::open(folder, &TreeName::ALL.map(TreeName::word), CACHE_BYTES)
}

fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| io_error(&path, "cannot be written", error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Locked(data.display().to_string())),
        Err(error) => Err(io_error(&path, "cannot be locked", error.into())),
    }
}

fn check_room(folder: &Path) -> Result<(), OpenError> {
    let free = free_bytes(folder).map_err(|error| io_error(folder, "has no disk", error))?;
    if free >= ROOM_TO_OPEN {
        return Ok(());
    }
    let full = io::Error::new(
        ErrorKind::StorageFull,
        format!("{free} bytes are free and {ROOM_TO_OPEN} are needed; make room and start again"),
    );
    Err(io_error(folder, "its disk is full", full))
}

fn exists_or_foreign(data: &Path) -> OpenError {
    if holds_database(&data.join("hot")) {
        OpenError::Exists(data.display().to_string())
    } else {
        foreign(data, "hot/ is there and holds no database")
    }
}

/// What may lie in a data folder before there is a store: what `init` makes, and hidden files.
const OURS: [&str; 8] = [
    "authority",
    "building",
    "control.sock",
    "history",
    "hot",
    "hot.new",
    "lock",
    "next-hot",
];

fn refuse_foreign(data: &Path) -> Result<(), OpenError> {
    let entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(data, "cannot be read", error)),
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names = names.map(|name| name.to_string_lossy().into_owned());
    match names.find(|name| !name.starts_with('.') && !OURS.contains(&name.as_str())) {
        Some(name) if !data.join("hot").exists() => Err(foreign(
            data,
            &format!("`{name}` is in it; give an empty folder, or one that does not exist"),
        )),
        _ => Ok(()),
    }
}

fn holds_database(folder: &Path) -> bool {
    folder.join("db").is_file() && folder.join("conf").is_file()
}

fn foreign(data: &Path, problem: &str) -> OpenError {
    OpenError::Foreign {
        path: data.display().to_string(),
        problem: problem.to_owned(),
    }
}

/// Removes a folder, where there is one.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
