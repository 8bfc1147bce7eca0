//! Keys and certificates on disk. What is secret has mode 0600 from the moment it exists.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use rollcall_shared::tls::Identity;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Makes a folder that only its owner enters.
pub(super) fn make_folder(path: &Path) -> anyhow::Result<()> {
    let mut folder = DirBuilder::new();
    let made = folder.recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make {}", path.display()))
}

/// Writes a file that only its owner reads, whole or not at all, and syncs it.
///
/// # Errors
/// When it cannot be written; the message names it.
pub fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with_mode(path, bytes, 0o600)
}

/// Writes a file that anybody may read, whole or not at all, and syncs it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with_mode(path, bytes, 0o644)
}

/// The chain and the key in two PEM files.
///
/// # Errors
/// When one cannot be read; the message names it.
pub fn read_identity(chain: &Path, key: &Path) -> anyhow::Result<Identity> {
    let read = PrivateKeyDer::from_pem_file(key);
    let key =
        read.map_err(|error| anyhow::anyhow!("{}: no private key: {error}", key.display()))?;
    Ok(Identity {
        chain: read_certificates(chain)?,
        key,
    })
}

/// Writes a chain and its key as two PEM files, in a folder that is made when it is not there.
///
/// # Errors
/// When one cannot be written; the message names it.
pub fn write_identity(identity: &Identity, chain: &Path, key: &Path) -> anyhow::Result<()> {
    for folder in [chain.parent(), key.parent()].into_iter().flatten() {
        make_folder(folder)?;
    }
    write_secret(key, key_pem(&identity.key).as_bytes())?;
    write(chain, pem(&identity.chain).as_bytes())
}

/// The certificates in a PEM file, at least one.
pub(super) fn read_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = path.display();
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|error| anyhow::anyhow!("{name}: no certificate: {error}"))?;
    let found: Result<Vec<_>, _> = found.collect();
    let found = found.map_err(|error| anyhow::anyhow!("{name}: a damaged certificate: {error}"))?;
    if found.is_empty() {
        bail!("{name} holds no certificate");
    }
    Ok(found)
}

/// The key in a PEM file.
pub(super) fn read_key_pair(path: &Path) -> anyhow::Result<KeyPair> {
    let text = zeroize::Zeroizing::new(
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
    );
    KeyPair::from_pem(&text).with_context(|| format!("{} holds no usable key", path.display()))
}

/// Certificates as PEM.
pub(super) fn pem(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|der| armour("CERTIFICATE", der)).collect()
}

/// A key as PEM.
pub(super) fn key_pem(key: &PrivateKeyDer<'_>) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(armour("PRIVATE KEY", key.secret_der()))
}

/// RFC 7468: lines of 64 characters.
fn armour(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|byte| char::from(*byte)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

fn write_with_mode(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    write_new(unfinished, bytes, mode)
        .and_then(|()| std::fs::rename(unfinished, path))
        .and_then(|()| sync_folder(path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The name of a file is durable only once its folder is: a power loss must not take the key of an
/// authority that has issued already.
fn sync_folder(of: &Path) -> std::io::Result<()> {
    let folder = of.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    // What an interrupted run has left may have another mode.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
