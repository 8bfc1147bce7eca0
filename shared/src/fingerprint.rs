//! A hardware fingerprint: tells two machines imaged from one disk apart.
//!
//! The agent hashes each part before it leaves the laptop, so that equal parts can be compared and
//! nothing can be read back by somebody who does not know it already.

use serde::{Deserialize, Serialize};

use crate::token::sha256;

/// Hashed serial numbers of one machine; a part that the machine does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareFingerprint {
    /// The mainboard's UUID as SMBIOS or `IOPlatformUUID` has it.
    pub system_uuid: Option<[u8; 32]>,
    /// The laptop's serial number.
    pub system_serial: Option<[u8; 32]>,
    /// The serial number of the drive that the system starts from.
    pub drive_serial: Option<[u8; 32]>,
}

impl HardwareFingerprint {
    /// Hashes what the firmware says. Texts that makers leave in place of a number count as unknown.
    #[must_use]
    pub fn from_serials(
        system_uuid: Option<&str>,
        system_serial: Option<&str>,
        drive_serial: Option<&str>,
    ) -> Self {
        Self {
            system_uuid: system_uuid.and_then(|text| hash_part("system-uuid", text)),
            system_serial: system_serial.and_then(|text| hash_part("system-serial", text)),
            drive_serial: drive_serial.and_then(|text| hash_part("drive-serial", text)),
        }
    }

    /// Whether this is the machine that `enrolled`. The first part that both know decides, the
    /// mainboard before the drive: a new drive does not make a new laptop, a new board does.
    /// Machines that have no part in common are taken for the same, since nothing shows otherwise.
    #[must_use]
    pub fn is_same_machine(&self, enrolled: &Self) -> bool {
        let pairs = [
            (self.system_uuid, enrolled.system_uuid),
            (self.system_serial, enrolled.system_serial),
            (self.drive_serial, enrolled.drive_serial),
        ];
        let known = pairs.into_iter().find_map(|(a, b)| Some(a? == b?));
        known.unwrap_or(true)
    }
}

/// The hash that stands for a serial number: of its name and its text without space and case.
#[must_use]
pub fn hash_part(name: &str, text: &str) -> Option<[u8; 32]> {
    let text = text.trim().to_ascii_lowercase();
    if is_placeholder(&text) {
        return None;
    }
    Some(sha256(format!("rollcall:{name}:{text}").as_bytes()))
}

/// What makers leave where a number should be, as seen in SMBIOS tables; also a single repeated
/// character, and the UUID that one board maker gave to all its boards.
fn is_placeholder(text: &str) -> bool {
    const WORDS: [&str; 10] = [
        "to be filled by o.e.m.",
        "default string",
        "system serial number",
        "not specified",
        "not applicable",
        "none",
        "unknown",
        "o.e.m.",
        "invalid",
        "03000200-0400-0500-0006-000700080009",
    ];
    let mut significant = text.chars().filter(|c| !matches!(c, '-' | ' ' | '.'));
    let Some(first) = significant.next() else {
        return true;
    };
    WORDS.contains(&text) || significant.all(|c| c == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(uuid: &str, serial: &str, drive: &str) -> HardwareFingerprint {
        HardwareFingerprint::from_serials(Some(uuid), Some(serial), Some(drive))
    }

    #[test]
    fn a_clone_differs_and_a_new_drive_does_not() {
        let a = machine("4c4c4544-0042-3510", "PF1AAAAA", "S3X1");
        assert!(a.is_same_machine(&a));
        assert!(machine("4C4C4544-0042-3510 ", "pf1aaaaa", "NEW1").is_same_machine(&a));
        assert!(!machine("4c4c4544-0042-9999", "PF1BBBBB", "S3X1").is_same_machine(&a));
    }

    #[test]
    fn placeholders_decide_nothing() {
        let a = machine("00000000-0000-0000", "To Be Filled By O.E.M.", "S3X1");
        let b = machine("FFFFFFFF-FFFF-FFFF", "Default string", "S3X2");
        assert_eq!((a.system_uuid, a.system_serial), (None, None));
        assert!(!a.is_same_machine(&b), "the drive decides");
        assert!(a.is_same_machine(&HardwareFingerprint::default()));
    }
}
