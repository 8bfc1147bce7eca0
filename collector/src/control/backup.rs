//! A backup over the control socket: one line that says whether it begins, then the backup's bytes.
//!
//! The command line writes the file, so that the collector needs no place to write to but its own data,
//! and the file belongs to who asked for it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rollcall_shared::time::Clock;
use tokio_util::sync::CancellationToken;

use crate::store::{Backup, BackupError, BackupFile, Store};

/// How long the receiver may take nothing.
const RECEIVER_PATIENCE: Duration = Duration::from_secs(60);

/// Bytes gathered for one write.
const BUFFER: usize = 256 * 1024;

/// The largest file beside the store; certificates and keys have some kilobytes.
const FILE_BYTES: u64 = 1024 * 1024;

/// The files beside the store that laptops need: without the authority they would have to enrol anew.
///
/// # Errors
/// Which one cannot be read.
pub fn files_beside(data: &Path) -> anyhow::Result<Vec<BackupFile>> {
    let mut files = Vec::new();
    add_folder(&mut files, data, "authority")?;
    if data.join("admin-token").exists() {
        files.push(read(data, "admin-token".to_owned())?);
    }
    Ok(files)
}

fn add_folder(files: &mut Vec<BackupFile>, data: &Path, name: &str) -> anyhow::Result<()> {
    use anyhow::Context as _;
    let folder = data.join(name);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add_folder(files, data, &name)?;
        } else if !name.ends_with(".new") {
            files.push(read(data, name)?);
        }
    }
    Ok(())
}

fn read(data: &Path, name: String) -> anyhow::Result<BackupFile> {
    use anyhow::Context as _;
    let path = data.join(&name);
    let meta = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(
        meta.len() <= FILE_BYTES,
        "{} has {} bytes, more than {FILE_BYTES}: it does not belong there",
        path.display(),
        meta.len()
    );
    let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(BackupFile {
        name,
        mode: meta.permissions().mode() & 0o777,
        content,
    })
}

/// Sends a backup to who asked for it, where blocking is allowed.
pub(super) fn send(
    store: &Store,
    stream: UnixStream,
    files: &[BackupFile],
    clock: &dyn Clock,
    shutdown: CancellationToken,
) -> Result<Backup, BackupError> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(RECEIVER_PATIENCE))?;
    let out = io::BufWriter::with_capacity(BUFFER, Receiver { stream, shutdown });
    store.back_up(out, files, clock)
}

/// Who receives, until the collector ends.
struct Receiver {
    stream: UnixStream,
    shutdown: CancellationToken,
}

impl Write for Receiver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shutdown.is_cancelled() {
            return Err(io::Error::other("the collector is stopping"));
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
