//! Backups of a store, also while it is written.
//!
//! The copy is of many moments and the tape brings it to one (see `tape`): history first, part by part,
//! then the hot database, whose changes are recorded only from the beginning of its own copy. Nobody
//! waits for it: a commit gives the tape a copy of its changes, and that is all. The seals, merges and
//! removals of history go on meanwhile, since their commits are on the tape as well.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use rollcall_shared::time::Clock;

use super::archive::{ArchiveWriter, End, FORM, Head};
use super::database::Database;
use super::keys::{Part, SCHEMA};
use super::tape::{Event, Tape, TapeError};
use super::{Store, StoreError};

/// The name of the hot database in a backup.
pub(super) const HOT: &str = "hot";

/// A file beside the store that belongs into its backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its path within the data folder, with `/` between its parts.
    pub name: String,
    /// Its permissions.
    pub mode: u32,
    /// What is in it.
    pub content: Vec<u8>,
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// What it says of itself.
    pub end: End,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read; `check` says more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is busy, or its receiver too slow.
    #[error("{0}")]
    Tape(String),
    /// A database could not be read, or the backup not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<TapeError> for BackupError {
    fn from(error: TapeError) -> Self {
        Self::Tape(error.to_string())
    }
}

impl Store {
    /// Writes a backup of everything, as of one moment between the call and its return: all that was
    /// acknowledged before the call is in it. It reads and writes for as long as that takes: call it
    /// where blocking is allowed. Of memory it needs some mebibytes, and up to 64 MiB for changes that
    /// wait for a slow receiver.
    ///
    /// # Errors
    /// [`BackupError`]; what was written so far is no backup, and says so to who reads it.
    pub fn back_up(
        &self,
        out: impl Write,
        files: &[BackupFile],
        clock: &dyn Clock,
    ) -> Result<Backup, BackupError> {
        self.shared().check()?;
        let head = Head {
            form: FORM,
            collector: env!("CARGO_PKG_VERSION").to_owned(),
            schema: SCHEMA,
            began: clock.now().wall,
            authority: !files.is_empty(),
        };
        let mut writer = ArchiveWriter::begin(out, &head)?;
        match self.copy_all(&mut writer, files) {
            Ok(()) => {
                let (end, bytes) = writer.end(clock.now().wall)?;
                Ok(Backup { end, bytes })
            }
            Err(error) => {
                // Who cannot be told sees that the backup is cut off.
                let _ = writer.give_up(&error.to_string());
                Err(error)
            }
        }
    }

    fn copy_all<W: Write>(
        &self,
        writer: &mut ArchiveWriter<W>,
        files: &[BackupFile],
    ) -> Result<(), BackupError> {
        for file in files {
            writer.file(&file.name, file.mode, &file.content)?;
        }
        let shared = self.shared();
        let mut not_yet: BTreeSet<String> = self.parts()?.into_iter().map(Part::folder).collect();
        not_yet.insert(HOT.to_owned());
        let recording = Recording::start(&shared.tape, not_yet)?;
        // A part that was made between the two looks is copied, and recorded from before its copy on.
        for part in self.parts()? {
            if let Some(database) = shared.history.existing(part)? {
                recording.copy(&database, writer)?;
            }
        }
        recording.copy(&shared.hot.database, writer)?;
        recording.stop(writer)?;
        // What a store took in before it failed may not be durable.
        Ok(shared.check()?)
    }

    fn parts(&self) -> Result<Vec<Part>, BackupError> {
        Ok(self.shared().history.parts()?)
    }
}

/// A tape that is stopped however the backup ends.
struct Recording<'a>(&'a Arc<Tape>);

impl<'a> Recording<'a> {
    fn start(tape: &'a Arc<Tape>, not_yet: BTreeSet<String>) -> Result<Self, TapeError> {
        tape.start(not_yet)?;
        Ok(Self(tape))
    }

    fn copy<W: Write>(
        &self,
        database: &Database,
        writer: &mut ArchiveWriter<W>,
    ) -> Result<(), BackupError> {
        self.0.include(database.name());
        for (number, tree) in database.tree_names().iter().enumerate() {
            let pairs = database.scan(number, &[]);
            writer.tree(database.name(), tree, pairs, |writer| {
                write(writer, self.0.take()?)
            })?;
        }
        Ok(())
    }

    fn stop<W: Write>(self, writer: &mut ArchiveWriter<W>) -> Result<(), BackupError> {
        write(writer, self.0.stop()?)
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        // What a backup that failed has recorded is of no use.
        let _ = self.0.stop();
    }
}

fn write<W: Write>(
    writer: &mut ArchiveWriter<W>,
    events: impl IntoIterator<Item = Event>,
) -> Result<(), BackupError> {
    for event in events {
        match event {
            Event::Commit {
                database,
                trees,
                ops,
            } => writer.commit(&database, &trees, &ops)?,
            Event::Removed { database } => writer.removed(&database)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
