//! What the machine is, by IOKit's `IOPlatformExpertDevice`.

use plist::Dictionary;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::{first_object, text};
use crate::collect::hardware::told_serial;
use crate::collect::source::{self, Sourced};

/// Maker, model, serial number (its hash unless `clear_serial`) and firmware.
#[must_use]
pub fn readings(ioreg: &Sourced<Vec<u8>>, clear_serial: bool) -> Vec<Reading> {
    let expert = expert(ioreg);
    let field = |key: &str| {
        let expert = expert.as_ref().map_err(Clone::clone)?;
        text(expert, key).ok_or_else(|| format!("IOKit tells no {key}"))
    };
    let serial =
        field("IOPlatformSerialNumber").and_then(|serial| told_serial(&serial, clear_serial));
    let firmware = "Apple's firmware comes with the system and has its version";
    vec![
        source::text_or_why(&metric::HOST_VENDOR, "", field("manufacturer")),
        source::text_or_why(&metric::HOST_MODEL, "", field("model")),
        source::text_or_why(&metric::HOST_SERIAL, "", serial),
        Reading::unavailable(&metric::FIRMWARE_VERSION, "", firmware),
    ]
}

/// What tells this machine from another that was imaged from the same disk. A Mac's drive is part of its
/// board.
#[must_use]
pub fn fingerprint(ioreg: &Sourced<Vec<u8>>) -> HardwareFingerprint {
    let expert = expert(ioreg).unwrap_or_default();
    let (uuid, serial) = (
        text(&expert, "IOPlatformUUID"),
        text(&expert, "IOPlatformSerialNumber"),
    );
    HardwareFingerprint::from_serials(uuid.as_deref(), serial.as_deref(), None)
}

/// The maker and the model; empty where the machine does not tell.
#[must_use]
pub fn maker_and_model(ioreg: &Sourced<Vec<u8>>) -> (String, String) {
    let expert = expert(ioreg).unwrap_or_default();
    let field = |key| text(&expert, key).unwrap_or_default();
    (field("manufacturer"), field("model"))
}

fn expert(ioreg: &Sourced<Vec<u8>>) -> Sourced<Dictionary> {
    first_object(ioreg.as_ref().map_err(Clone::clone)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::value;

    /// After the documentation: texts of the firmware are bytes that end with a zero, in base 64.
    const EXPERT: &str = r#"<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><array><dict>
        <key>IOPlatformSerialNumber</key><string>C02EXMPLQ6L4</string>
        <key>IOPlatformUUID</key><string>4C4C4544-0042-3510-8051-B6C04F4A3233</string>
        <key>manufacturer</key><data>QXBwbGUgSW5jLgA=</data>
        <key>model</key><data>TWFjQm9va0FpcjEwLDEA</data>
        </dict></array></plist>"#;

    #[test]
    fn a_mac_by_its_expert_device() {
        let told = Ok(EXPERT.as_bytes().to_vec());
        let readings = readings(&told, true);
        assert_eq!(value(&readings, "host.vendor", ""), "Apple Inc.");
        assert_eq!(value(&readings, "host.model", ""), "MacBookAir10,1");
        assert_eq!(value(&readings, "host.serial_number", ""), "C02EXMPLQ6L4");
        assert_eq!(maker_and_model(&told).1, "MacBookAir10,1");
        let fingerprint = fingerprint(&told);
        assert!(fingerprint.system_uuid.is_some() && fingerprint.system_serial.is_some());
        let none = Err("refused".to_owned());
        assert_eq!(
            value(&super::readings(&none, true), "host.model", ""),
            "unavailable: refused"
        );
        assert_eq!(super::fingerprint(&none), HardwareFingerprint::default());
    }
}
