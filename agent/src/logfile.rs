//! A log that never grows past its bound, for services that have no journal to write to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::paths::{make_private_folder, with_suffix};

/// Bytes of one file; with the one before it, twice as much. An ordinary day writes some KiB.
pub const LOG_BYTES: u64 = 512 * 1024;

/// A file that is put aside as `NAME.old`, in place of the one before, when it is full.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    /// Goes on with the file, or begins it; only its owner may read it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            make_private_folder(folder)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
        })
    }

    /// The file that is open goes on under its other name until it is replaced here.
    fn put_aside(&mut self) -> io::Result<()> {
        fs::rename(&self.path, with_suffix(&self.path, ".old"))?;
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        if self.bytes > 0 && self.bytes + length > LOG_BYTES {
            // A log that cannot be put aside loses lines rather than its bound.
            self.put_aside()?;
        }
        self.file.write_all(bytes)?;
        self.bytes += length;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_bound_over_restarts_and_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log").join("agent.log");
        let line = "x".repeat(1023) + "\n";
        for restart in 0..4 {
            let mut log = LogFile::open(&path).unwrap();
            for _ in 0..500 {
                log.write_all(line.as_bytes()).unwrap();
            }
            writeln!(log, "restart {restart}").unwrap();
        }
        let length = |path: &Path| fs::metadata(path).unwrap().len();
        let old = with_suffix(&path, ".old");
        assert!(length(&path) <= LOG_BYTES && length(&old) <= LOG_BYTES);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("restart 3\n"));
    }
}
