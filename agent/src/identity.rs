//! Who this laptop is: its key, its certificate, the authority it trusts, and the hardware that it
//! was enrolled on.
//!
//! ```text
//! identity/key.pem          ECDSA P-256, made here; it never leaves the laptop
//! identity/certificate.pem  the device's certificate, then those between it and the root
//! identity/authority.pem    every root that the agent trusts
//! identity/device.json      device id, collector, hardware at enrolment
//! ```
//! The four belong together, so they change together: a new identity is written to `identity.next`,
//! made durable, and takes the place of `identity` by two renames. When power goes between the two,
//! the next start finishes them.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollcall_proto::v1;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::DeviceId;
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::UnixMs;
use rollcall_shared::tls::{self, DeviceCertificate, Trust};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::collect::{self, Roots};
use crate::paths::{Paths, make_private_folder, replace_file, sync_folder, with_suffix};
use crate::stream::address::Address;

pub mod issue;
mod pending;

const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const AUTHORITY: &str = "authority.pem";
const DEVICE: &str = "device.json";

/// What `device.json` keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// The device, as the collector knows it.
    pub device: DeviceId,
    /// The collector that knows it.
    pub collector: Address,
    /// The hardware at enrolment, by which a cloned disk is noticed.
    pub hardware: HardwareFingerprint,
}

/// The hardware, as Enroll and Hello name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// What tells it from another that was imaged from the same disk.
    pub fingerprint: HardwareFingerprint,
    /// The maker; empty where the firmware does not tell.
    pub vendor: String,
    /// The model; empty where the firmware does not tell.
    pub model: String,
}

/// A laptop's identity towards one collector. `Debug` does not show the key.
#[derive(Clone)]
pub struct Identity {
    record: DeviceRecord,
    certificate: DeviceCertificate,
    key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
}

/// Why a stored identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file could not be read or written.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{file}: {problem}; enrol this laptop again")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
}

impl Machine {
    /// This machine, as its firmware tells it.
    #[must_use]
    pub fn read(roots: &Roots) -> Self {
        let (vendor, model) = collect::maker_and_model(roots);
        Self {
            fingerprint: collect::fingerprint(roots),
            vendor,
            model,
        }
    }

    /// Whether this machine is the one that enrolled.
    #[must_use]
    pub fn is_that_of(&self, identity: &Identity) -> bool {
        self.fingerprint.is_same_machine(&identity.record.hardware)
    }
}

impl From<&Machine> for v1::Hardware {
    fn from(machine: &Machine) -> Self {
        Self {
            vendor: machine.vendor.clone(),
            model: machine.model.clone(),
            ..Self::from(&machine.fingerprint)
        }
    }
}

/// What to do when the collector refuses this identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Ask for a new certificate with the present one.
    Renew,
    /// This disk is a clone: take an identity of its own.
    LeaveOriginal,
    /// Only a token helps.
    EnrolAnew,
    /// Nothing helps but time, or a person at the collector.
    Wait,
}

impl Identity {
    /// An identity from its parts.
    ///
    /// # Errors
    /// In words, when the parts do not belong together.
    pub fn new(
        record: DeviceRecord,
        key_pem: String,
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<CertificateDer<'static>>,
    ) -> Result<Self, String> {
        let first = chain.first().ok_or("there is no certificate")?;
        let certificate = DeviceCertificate::from_der(first).map_err(|e| e.to_string())?;
        if certificate.device != record.device {
            return Err(format!(
                "the certificate names {}, not {}",
                certificate.device, record.device
            ));
        }
        let identity = Self {
            record,
            certificate,
            key_pem,
            chain,
            roots,
        };
        let tls = identity.tls().map_err(|e| e.to_string())?;
        tls::client_config(identity.trust(), Some(tls)).map_err(|e| e.to_string())?;
        Ok(identity)
    }

    /// The stored identity; `None` before the first enrolment.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn load(paths: &Paths) -> Result<Option<Self>, IdentityError> {
        let folder = paths.identity();
        finish_replacement(&folder).map_err(|e| file_error(&folder, e))?;
        if !folder.exists() {
            return Ok(None);
        }
        Self::read(&folder).map(Some)
    }

    /// The identity that [`Identity::load`] would give, for a program that only looks: nothing is finished
    /// or cleared away, since the running agent may be writing at this moment.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn look(paths: &Paths) -> Result<Option<Self>, IdentityError> {
        let folder = paths.identity();
        let (next, old) = (with_suffix(&folder, ".next"), with_suffix(&folder, ".old"));
        let found = if folder.exists() {
            folder
        } else if next.join(DEVICE).exists() {
            next
        } else if old.exists() {
            old
        } else {
            return Ok(None);
        };
        Self::read(&found).map(Some)
    }

    fn read(folder: &Path) -> Result<Self, IdentityError> {
        let device = read(&folder.join(DEVICE))?;
        let record = serde_json::from_slice(&device)
            .map_err(|e| malformed(&folder.join(DEVICE), e.to_string()))?;
        let key = String::from_utf8(read(&folder.join(KEY))?)
            .map_err(|_| malformed(&folder.join(KEY), "is no PEM text"))?;
        let chain = read_certificates(&folder.join(CERTIFICATE))?;
        let roots = read_certificates(&folder.join(AUTHORITY))?;
        Self::new(record, key, chain, roots).map_err(|problem| malformed(folder, problem))
    }

    /// Puts this identity in place of the stored one.
    ///
    /// # Errors
    /// What the file system says; the stored identity then stays.
    pub fn store(&self, paths: &Paths) -> Result<(), IdentityError> {
        let folder = paths.identity();
        self.write(&folder).map_err(|e| file_error(&folder, e))?;
        pending::forget(paths);
        Ok(())
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        finish_replacement(folder)?;
        let next = with_suffix(folder, ".next");
        make_private_folder(&next)?;
        let record = serde_json::to_vec_pretty(&self.record)?;
        replace_file(&next.join(KEY), self.key_pem.as_bytes())?;
        replace_file(&next.join(CERTIFICATE), pem(&self.chain).as_bytes())?;
        replace_file(&next.join(AUTHORITY), pem(&self.roots).as_bytes())?;
        replace_file(&next.join(DEVICE), &record)?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        swap(folder)
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.record.device
    }

    /// What `device.json` keeps.
    #[must_use]
    pub const fn record(&self) -> &DeviceRecord {
        &self.record
    }

    /// The roots by which the collector, and a school's beacon, are known.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// By what the collector is known.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::Roots(self.roots.clone())
    }

    /// What is shown to the collector.
    ///
    /// # Errors
    /// When the key is no private key.
    pub fn tls(&self) -> Result<tls::Identity, rustls::Error> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes());
        let key =
            key.map_err(|_| rustls::Error::General("key.pem holds no private key".to_owned()))?;
        Ok(tls::Identity {
            chain: self.chain.clone(),
            key,
        })
    }

    /// Whether the certificate should be renewed, at the collector's time.
    #[must_use]
    pub fn is_renewal_due(&self, server_now: UnixMs) -> bool {
        server_now >= self.renewal_due()
    }

    /// When, by the collector's clock, the certificate should be renewed.
    #[must_use]
    pub fn renewal_due(&self) -> UnixMs {
        let DeviceCertificate {
            not_before,
            not_after,
            ..
        } = self.certificate;
        let life_ms = not_after.since(not_before).max(0) as f64;
        not_before.plus_ms((life_ms * limits::RENEW_AT) as i64)
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}

impl Remedy {
    /// What helps against a refusal of an identity.
    #[must_use]
    pub const fn against(refusal: Refusal) -> Self {
        match refusal {
            Refusal::CertificateExpired => Self::Renew,
            Refusal::HardwareDiffers => Self::LeaveOriginal,
            Refusal::GraceOver | Refusal::DeviceUnknown | Refusal::CertificateMissing => {
                Self::EnrolAnew
            }
            // Somebody said that this laptop shall not speak: a token that still lies on its disk
            // must not undo that. Whoever runs `rollcall-agent enroll` can.
            Refusal::DeviceRevoked
            | Refusal::DeviceRetired
            | Refusal::TokenUnknown
            | Refusal::TokenUsedUp
            | Refusal::TokenExpired
            | Refusal::TokenRevoked
            | Refusal::RequestMalformed
            | Refusal::TooMany
            | Refusal::StoreUnavailable
            | Refusal::MessageMalformed => Self::Wait,
        }
    }
}

/// Finishes what a power loss interrupted: `identity.next` counts once `identity` has made room.
fn finish_replacement(folder: &Path) -> io::Result<()> {
    let (next, old) = (with_suffix(folder, ".next"), with_suffix(folder, ".old"));
    if !folder.exists() && next.join(DEVICE).exists() {
        return swap(folder);
    }
    remove_folder(&next)?;
    if !folder.exists() && old.exists() {
        fs::rename(&old, folder)?;
    }
    remove_folder(&old)
}

fn swap(folder: &Path) -> io::Result<()> {
    let (next, old) = (with_suffix(folder, ".next"), with_suffix(folder, ".old"));
    if folder.exists() {
        remove_folder(&old)?;
        fs::rename(folder, &old)?;
    }
    fs::rename(&next, folder)?;
    if let Some(parent) = folder.parent() {
        sync_folder(parent)?;
    }
    remove_folder(&old)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(file).map_err(|e| file_error(file, e))
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let text = read(file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.map_err(|e| malformed(file, e.to_string()))
}

fn file_error(file: &Path, source: io::Error) -> IdentityError {
    IdentityError::File {
        file: file.display().to_string(),
        source,
    }
}

fn malformed(file: &Path, problem: impl Into<String>) -> IdentityError {
    IdentityError::Malformed {
        file: file.display().to_string(),
        problem: problem.into(),
    }
}

fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests;
