//! The file operations that a spool stands on: a port, so that tests can take the power away.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::paths::{make_private_folder, sync_folder};

/// Operations on the files of one flat folder. A write is durable after `sync`, the coming and
/// going of names after `sync_folder`, and neither before.
pub trait Files: std::fmt::Debug + Send {
    /// The names of all files.
    ///
    /// # Errors
    /// Those of the file system, as for every operation here.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The whole content of a file.
    ///
    /// # Errors
    /// `NotFound` where there is no such file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// How many bytes a file has.
    ///
    /// # Errors
    /// `NotFound` where there is no such file.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Writes at an offset; makes the file where there is none.
    ///
    /// # Errors
    /// `StorageFull` where there is no room; part of the bytes may have been written.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts a file to a length.
    ///
    /// # Errors
    /// Those of the file system.
    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Makes a file's content durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in place of the file that has it.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Makes the coming and going of names durable.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_folder(&mut self) -> io::Result<()>;
}

/// The name of the file that keeps a second agent out of the folder.
pub const LOCK: &str = "lock";

/// Files of a real folder, locked against a second agent for as long as this value lives.
#[derive(Debug)]
pub struct DiskFiles {
    folder: PathBuf,
    _lock: File,
}

impl DiskFiles {
    /// Opens a folder, making it where there is none, for its owner alone.
    ///
    /// # Errors
    /// `WouldBlock` where another process has it open; others of the file system.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make_private_folder(folder)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    fn for_writing(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(self.folder.join(name))
    }
}

impl Files for DiskFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(io::Result::transpose).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.folder.join(name))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.folder.join(name))?.len())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.for_writing(name)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.for_writing(name)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.for_writing(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        sync_folder(&self.folder)
    }
}

impl<F: Files + ?Sized> Files for Box<F> {
    fn list(&self) -> io::Result<Vec<String>> {
        (**self).list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        (**self).read(name)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        (**self).length(name)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(name, offset, bytes)
    }

    fn truncate(&mut self, name: &str, length: u64) -> io::Result<()> {
        (**self).truncate(name, length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        (**self).sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        (**self).rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        (**self).remove(name)
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        (**self).sync_folder()
    }
}
