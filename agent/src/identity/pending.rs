//! The key of an enrolment that has no answer yet.
//!
//! When the answer is lost, a second request with the same key is the same enrolment for the
//! collector; with another key it would cost a second use of the token. So the key is kept beside
//! the identity, in `identity.pending`, from before the first request until an identity is stored.

use std::fs;
use std::io;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rollcall_shared::fingerprint::HardwareFingerprint;
use serde::{Deserialize, Serialize};

use super::{IdentityError, KEY, file_error};
use crate::paths::{Paths, replace_file};

/// What `identity.pending` holds, in JSON.
#[derive(Serialize, Deserialize)]
struct Pending {
    /// The machine that asked: on a copied disk the key is another's.
    hardware: HardwareFingerprint,
    key_pem: String,
}

/// The kept key of this machine, or a new one that is kept from here on.
pub(super) fn key(paths: &Paths, hardware: &HardwareFingerprint) -> Result<KeyPair, IdentityError> {
    if let Some(key) = kept(paths, hardware) {
        return Ok(key);
    }
    let file = paths.pending();
    let failed = |error| file_error(&file, error);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| failed(io::Error::other(error)))?;
    let pending = Pending {
        hardware: hardware.clone(),
        key_pem: key.serialize_pem(),
    };
    let json = serde_json::to_vec(&pending).map_err(|error| failed(error.into()))?;
    replace_file(&file, &json).map_err(failed)?;
    Ok(key)
}

/// Forgets the kept key, since an identity is stored.
pub(super) fn forget(paths: &Paths) {
    match fs::remove_file(paths.pending()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "the key of an enrolment that is done could not be removed");
        }
        _ => {}
    }
}

/// A file that is damaged, another machine's, or that of the stored identity counts for nothing.
fn kept(paths: &Paths, hardware: &HardwareFingerprint) -> Option<KeyPair> {
    let json = fs::read(paths.pending()).ok()?;
    let pending: Pending = serde_json::from_slice(&json).ok()?;
    let stored = fs::read_to_string(paths.identity().join(KEY)).ok();
    if pending.hardware != *hardware || stored.as_ref() == Some(&pending.key_pem) {
        return None;
    }
    KeyPair::from_pem(&pending.key_pem).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(serial: &str) -> HardwareFingerprint {
        HardwareFingerprint::from_serials(None, Some(serial), None)
    }

    #[test]
    fn the_key_stays_until_it_is_forgotten_and_is_this_machines_alone() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let pem = |serial| key(&paths, &machine(serial)).unwrap().serialize_pem();
        let first = pem("PF1A");
        assert_eq!(pem("PF1A"), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(paths.pending()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let of_the_copy = pem("PF1B");
        assert_ne!(of_the_copy, first);
        forget(&paths);
        assert_ne!(pem("PF1B"), of_the_copy);
        fs::write(paths.pending(), "{").unwrap();
        assert_eq!(pem("PF1B"), pem("PF1B"), "a damaged file is replaced");
    }

    #[test]
    fn the_key_of_the_stored_identity_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path());
        let first = key(&paths, &machine("PF1A")).unwrap().serialize_pem();
        replace_file(&paths.identity().join(KEY), first.as_bytes()).unwrap();
        let next = key(&paths, &machine("PF1A")).unwrap().serialize_pem();
        assert_ne!(next, first);
    }
}
