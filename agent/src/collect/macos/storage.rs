//! Drives by `system_profiler`, which tells the drive's own verdict. More than that `smartctl` would tell.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use serde_json::Value;

use crate::collect::source::{self, Sourced};

/// Drives that are reported.
const DRIVES: usize = 8;

/// The two lists, and what kind of drive each has.
const LISTS: [(&str, &str); 2] = [
    ("SPNVMeDataType", "nvme"),
    ("SPSerialATADataType", "unknown"),
];

/// What is reported of the drives.
#[must_use]
pub fn readings(profile: Sourced<Vec<u8>>) -> Vec<Reading> {
    let parsed = profile.and_then(|bytes| {
        serde_json::from_slice::<Value>(&bytes).map_err(|error| format!("system_profiler: {error}"))
    });
    let profile = match parsed {
        Ok(profile) => profile,
        Err(why) => return vec![Reading::unavailable(&metric::DRIVE_VERDICT, "", &why)],
    };
    let drives = LISTS.iter().flat_map(|(list, kind)| {
        let buses = profile[*list].as_array().into_iter().flatten();
        let items = buses.flat_map(|bus| bus["_items"].as_array().into_iter().flatten());
        items.map(|item| (item, *kind))
    });
    let readings: Vec<Reading> = drives
        .take(DRIVES)
        .flat_map(|(drive, kind)| of_drive(drive, kind))
        .collect();
    if readings.is_empty() {
        return vec![Reading::unavailable(
            &metric::DRIVE_VERDICT,
            "",
            "macOS lists no drive of its own",
        )];
    }
    readings
}

fn of_drive(drive: &Value, kind: &str) -> Vec<Reading> {
    let field = |key: &str| {
        let text = drive[key].as_str().map(|text| text.trim().to_owned());
        text.ok_or_else(|| format!("macOS tells no {key}"))
    };
    let name = field("bsd_name").unwrap_or_else(|_| "disk".to_owned());
    let size = drive["size_in_bytes"]
        .as_f64()
        .ok_or_else(|| "macOS tells no size".to_owned());
    let kind = match drive["spsata_medium_type"].as_str() {
        Some("Solid State") => "ssd",
        Some("Rotational") => "hdd",
        _ => kind,
    };
    let verdict = field("smart_status").and_then(|status| match status.as_str() {
        "Verified" => Ok("passed".to_owned()),
        "Failing" => Ok("failed".to_owned()),
        other => Err(format!("macOS says `{other}`")),
    });
    vec![
        source::text_or_why(&metric::DRIVE_MODEL, &name, field("device_model")),
        source::text_or_why(&metric::DRIVE_FIRMWARE, &name, field("device_revision")),
        Reading::text(&metric::DRIVE_KIND, &name, kind),
        source::number_or_why(&metric::DRIVE_SIZE, &name, size),
        source::text_or_why(&metric::DRIVE_VERDICT, &name, verdict),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    /// In the form of `system_profiler -json`, written after it; the serial number in it is not kept.
    fn profile(status: &str) -> Sourced<Vec<u8>> {
        Ok(format!(
            r#"{{"SPNVMeDataType": [{{"_name": "Apple SSD Controller", "_items": [{{
                "_name": "APPLE SSD AP0256Q", "bsd_name": "disk0", "device_model": "APPLE SSD AP0256Q",
                "device_revision": "874.60.1", "device_serial": "0ba01", "size_in_bytes": 251000193024,
                "smart_status": "{status}"}}]}}], "SPSerialATADataType": []}}"#
        )
        .into_bytes())
    }

    #[test]
    fn a_drive_and_its_verdict() {
        let told = readings(profile("Verified"));
        assert_eq!(value(&told, "hw.physical_disk.verdict", "disk0"), "passed");
        assert_eq!(value(&told, "hw.physical_disk.kind", "disk0"), "nvme");
        assert_eq!(
            number(&told, "hw.physical_disk.size", "disk0"),
            Some(251_000_193_024.0)
        );
        assert!(!format!("{told:?}").contains("0ba01"), "no serial number");
        assert_eq!(
            value(
                &readings(profile("Failing")),
                "hw.physical_disk.verdict",
                "disk0"
            ),
            "failed"
        );
        let other = value(
            &readings(profile("Not Supported")),
            "hw.physical_disk.verdict",
            "disk0",
        );
        assert!(other.contains("Not Supported"), "{other}");
    }

    #[test]
    fn nothing_and_nonsense_have_words() {
        let none = readings(Ok(b"{}".to_vec()));
        assert!(value(&none, "hw.physical_disk.verdict", "").contains("no drive"));
        let nonsense = readings(Ok(b"<".to_vec()));
        assert!(value(&nonsense, "hw.physical_disk.verdict", "").contains("system_profiler"));
    }
}
