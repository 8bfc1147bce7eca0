//! Who is in a crowd: each laptop's own key and certificate, in one file, by number.
//!
//! ```text
//! CROWD/crowd.json   seed, how many laptops, and the authority's root; written last
//! CROWD/identities   one record of 1,024 bytes a laptop, 0600:
//!                    key's length:16 key (PKCS #8) certificate's length:16 certificate (DER) zeros
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_agent::paths::{make_private_folder, replace_file};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

/// Bytes of a record: a P-256 key has 138, a device's certificate about 480.
const RECORD: usize = 1024;

/// A crowd's identities.
#[derive(Debug)]
pub struct Roster {
    /// The seed of its fleet.
    pub seed: u64,
    /// Laptops from number 0 on.
    pub devices: u32,
    /// The authority that signed all of them, and the collector's certificate.
    pub root: CertificateDer<'static>,
    folder: PathBuf,
    file: File,
}

/// A laptop's own.
#[derive(Debug)]
pub struct Keys {
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    seed: u64,
    devices: u32,
    root: String,
}

impl Roster {
    /// Opens a crowd, or begins an empty one of this seed and authority.
    ///
    /// # Errors
    /// When it is another's, or cannot be read or made.
    pub fn open_or_begin(
        folder: &Path,
        seed: u64,
        root: &CertificateDer<'static>,
    ) -> anyhow::Result<Self> {
        if folder.join("crowd.json").exists() {
            let known = Self::open(folder)?;
            ensure!(
                known.seed == seed && known.root == *root,
                "{} holds a crowd of seed {} that enrolled with another collector or seed; choose \
                 another folder",
                folder.display(),
                known.seed
            );
            return Ok(known);
        }
        make_private_folder(folder).with_context(|| folder.display().to_string())?;
        let begun = Self {
            seed,
            devices: 0,
            root: root.clone(),
            folder: folder.to_owned(),
            file: identities(folder)?,
        };
        begun.write_head()?;
        Ok(begun)
    }

    /// Opens a crowd.
    ///
    /// # Errors
    /// When there is none, or its files are not what was written.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("crowd.json");
        let named = || path.display().to_string();
        let text = fs::read(&path).with_context(|| {
            let make = "`rollcall-simulator enrol` makes a crowd";
            format!("{}: {make}", named())
        })?;
        let head: Head = serde_json::from_slice(&text).with_context(named)?;
        let root = STANDARD.decode(&head.root).with_context(named)?;
        Ok(Self {
            seed: head.seed,
            devices: head.devices,
            root: root.into(),
            folder: folder.to_owned(),
            file: identities(folder)?,
        })
    }

    /// Adds laptops after the last one.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn add(&mut self, keys: &[Keys]) -> anyhow::Result<()> {
        let mut bytes = Vec::with_capacity(keys.len() * RECORD);
        for keys in keys {
            let end = bytes.len() + RECORD;
            put(&mut bytes, keys.key.secret_der());
            put(&mut bytes, &keys.certificate);
            ensure!(bytes.len() <= end, "a certificate does not fit its record");
            bytes.resize(end, 0);
        }
        let named = || self.folder.display().to_string();
        let at = u64::from(self.devices) * RECORD as u64;
        self.file.write_all_at(&bytes, at).with_context(named)?;
        self.devices += u32::try_from(keys.len()).context("laptops are numbered in 32 bits")?;
        self.write_head()
    }

    /// The keys of the laptop with this number.
    ///
    /// # Errors
    /// When it is not in the crowd, or its record is damaged.
    pub fn keys(&self, number: u32) -> anyhow::Result<Keys> {
        let named = || format!("{}: laptop {number}", self.folder.display());
        ensure!(number < self.devices, "{} is not in the crowd", named());
        let mut record = [0; RECORD];
        let at = u64::from(number) * RECORD as u64;
        self.file
            .read_exact_at(&mut record, at)
            .with_context(named)?;
        let mut rest = &record[..];
        let key = take(&mut rest).with_context(named)?.to_vec();
        let certificate = take(&mut rest).with_context(named)?.to_vec();
        Ok(Keys {
            key: PrivatePkcs8KeyDer::from(key).into(),
            certificate: certificate.into(),
        })
    }

    fn write_head(&self) -> anyhow::Result<()> {
        self.file.sync_data()?;
        let head = Head {
            seed: self.seed,
            devices: self.devices,
            root: STANDARD.encode(&self.root),
        };
        let path = self.folder.join("crowd.json");
        replace_file(&path, &serde_json::to_vec(&head)?).with_context(|| path.display().to_string())
    }
}

/// The keys are secret from the first byte on.
fn identities(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("identities");
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options
        .open(&path)
        .with_context(|| path.display().to_string())
}

fn put(bytes: &mut Vec<u8>, content: &[u8]) {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    let _ = bytes.write_all(&length.to_be_bytes());
    bytes.extend_from_slice(content);
}

fn take<'a>(rest: &mut &'a [u8]) -> anyhow::Result<&'a [u8]> {
    let (length, after) = rest.split_first_chunk().context("is cut off")?;
    let length = usize::from(u16::from_be_bytes(*length));
    ensure!(length > 0, "is empty");
    let (content, after) = after.split_at_checked(length).context("is cut off")?;
    *rest = after;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn keys(byte: u8) -> Keys {
        Keys {
            key: PrivatePkcs8KeyDer::from(vec![byte; 138]).into(),
            certificate: vec![byte; 480].into(),
        }
    }

    #[test]
    fn a_crowd_is_found_again_and_can_grow() {
        let folder = tempfile::tempdir().unwrap();
        let (path, root) = (folder.path().join("crowd"), vec![1, 2, 3].into());
        let mut crowd = Roster::open_or_begin(&path, 7, &root).unwrap();
        crowd.add(&[keys(1), keys(2)]).unwrap();
        let mut again = Roster::open_or_begin(&path, 7, &root).unwrap();
        again.add(&[keys(3)]).unwrap();
        let crowd = Roster::open(&path).unwrap();
        assert_eq!((crowd.devices, crowd.seed, &crowd.root), (3, 7, &root));
        for number in 0..3 {
            let known = crowd.keys(number).unwrap();
            assert_eq!(known.certificate[..], vec![number as u8 + 1; 480]);
            assert_eq!(known.key.secret_der(), vec![number as u8 + 1; 138]);
        }
        let mode = |name| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("identities"), 0o600);
    }

    #[test]
    fn another_authority_seed_or_laptop_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let missing = Roster::open(path).unwrap_err();
        assert!(format!("{missing:#}").contains("enrol"), "{missing:#}");
        let crowd = Roster::open_or_begin(path, 7, &vec![1].into()).unwrap();
        assert!(
            crowd
                .keys(0)
                .unwrap_err()
                .to_string()
                .contains("not in the crowd")
        );
        for (seed, root) in [(8, vec![1]), (7, vec![2])] {
            let error = Roster::open_or_begin(path, seed, &root.into()).unwrap_err();
            assert!(
                error.to_string().contains("choose another folder"),
                "{error}"
            );
        }
    }
}
