//! Files that commands write: each gets its name once it is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where what is asked for comes to lie.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A file, to which a symbolic link leads where there is one; it is there already or not.
    File(PathBuf),
    /// A device or a pipe, which takes what is written as it comes and is never replaced.
    Stream,
}

impl Place {
    /// What lies there.
    ///
    /// # Errors
    /// It cannot be looked at, or is a folder.
    pub(super) fn of(out: &Path) -> io::Result<Self> {
        match fs::metadata(out) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::File(out.to_owned())),
            Err(error) => Err(error),
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) if found.is_file() => Ok(Self::File(fs::canonicalize(out)?)),
            Ok(_) => Ok(Self::Stream),
        }
    }
}

/// The name of a file while it is not whole.
pub(super) fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_to_and_links_lead_to_files() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (file, link) = (folder.join("rows.csv"), folder.join("link"));
        assert_eq!(Place::of(&file).unwrap(), Place::File(file.clone()));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(Place::of(&link).unwrap(), Place::File(file));
        assert_eq!(Place::of(Path::new("/dev/full")).unwrap(), Place::Stream);
        assert!(Place::of(&folder).is_err());
    }
}
