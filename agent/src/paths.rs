//! Where the agent keeps what it must not lose, and how a file is written so that power loss leaves
//! the old content or the new one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

#[cfg(windows)]
mod windows;

/// The data folder and what lies where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    data: PathBuf,
}

impl Paths {
    /// The layout below a data folder.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into() }
    }

    /// The data folder itself.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Key, certificate, authority and device record.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.data.join("identity")
    }

    /// The key of an enrolment that has no answer yet.
    #[must_use]
    pub fn pending(&self) -> PathBuf {
        self.data.join("identity.pending")
    }

    /// The reports that are not acknowledged yet.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.data.join("spool")
    }

    /// The collector's last configuration, by which the agent goes on while it is offline.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.data.join("configuration.json")
    }

    /// An enrolment token that an installer or an imaging tool leaves; it is removed once it was used.
    #[must_use]
    pub fn dropped_token(&self) -> PathBuf {
        self.data.join("token")
    }

    /// What the running agent says of itself, for `rollcall-agent status`.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.data.join("status.json")
    }
}

/// Makes a folder, and those above it, that only its owner may enter.
///
/// # Errors
/// Those of the file system.
pub fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the data folder, which only its owner may enter; on Windows only the system and administrators,
/// whoever made it.
///
/// # Errors
/// Those of the file system, and on Windows that the folder is another user's.
pub fn make_data_folder(folder: &Path) -> io::Result<()> {
    make_private_folder(folder)?;
    #[cfg(windows)]
    windows::keep_private(folder)?;
    Ok(())
}

/// Makes the coming and going of names in a folder durable. Windows keeps them in its journal and
/// offers no such call.
///
/// # Errors
/// Those of the file system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Puts `bytes` in place of a file's content, at once and durably; only the owner may read it, from
/// its first moment on.
///
/// # Errors
/// Those of the file system; the old content then stays.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    make_private_folder(folder)?;
    let fresh = with_suffix(path, ".new");
    write_private_file(&fresh, bytes)?;
    fs::rename(&fresh, path)?;
    sync_folder(folder)
}

/// The same path with `suffix` behind its last part.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn write_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A file left by a power loss may be open to others; a new one is made with the right mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity").join("key.pem");
        make_private_folder(path.parent().unwrap()).unwrap();
        let left_over = with_suffix(&path, ".new");
        fs::write(&left_over, "left over").unwrap();
        fs::set_permissions(&left_over, fs::Permissions::from_mode(0o644)).unwrap();

        replace_file(&path, b"one").unwrap();
        replace_file(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(!left_over.exists());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
}
