//! Hardware fingerprints.

use rollcall_shared::fingerprint::HardwareFingerprint;

use super::ConvertError;
use crate::v1;

impl TryFrom<&v1::Hardware> for HardwareFingerprint {
    type Error = ConvertError;

    fn try_from(wire: &v1::Hardware) -> Result<Self, ConvertError> {
        Ok(Self {
            system_uuid: hash("hardware.system_uuid", &wire.system_uuid)?,
            system_serial: hash("hardware.system_serial", &wire.system_serial)?,
            drive_serial: hash("hardware.drive_serial", &wire.drive_serial)?,
        })
    }
}

impl From<&HardwareFingerprint> for v1::Hardware {
    fn from(fingerprint: &HardwareFingerprint) -> Self {
        let bytes = |part: Option<[u8; 32]>| part.map_or_else(Vec::new, |hash| hash.to_vec());
        Self {
            system_uuid: bytes(fingerprint.system_uuid),
            system_serial: bytes(fingerprint.system_serial),
            drive_serial: bytes(fingerprint.drive_serial),
            ..Self::default()
        }
    }
}

fn hash(field: &str, bytes: &[u8]) -> Result<Option<[u8; 32]>, ConvertError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let problem =
        |_| ConvertError::new(field, format!("has {} bytes, not 32 or none", bytes.len()));
    bytes.try_into().map(Some).map_err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_survives_the_wire() {
        let fingerprint = HardwareFingerprint::from_serials(Some("4c4c"), None, Some("S3X1"));
        let wire = v1::Hardware::from(&fingerprint);
        assert_eq!(HardwareFingerprint::try_from(&wire), Ok(fingerprint));
        let short = v1::Hardware {
            drive_serial: vec![1],
            ..wire
        };
        let error = HardwareFingerprint::try_from(&short).unwrap_err();
        assert_eq!(error.field, "hardware.drive_serial");
    }
}
