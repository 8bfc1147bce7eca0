//! Drives by Windows' own storage management, whose verdict is the drive's, and the serial number of the
//! system's drive.
//!
//! Source: Microsoft's `MSFT_PhysicalDisk`, `MSFT_StorageReliabilityCounter`, `STORAGE_DEVICE_DESCRIPTOR`.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;

use super::wmi::Row;
use crate::collect::source::{self, Sourced};

/// Drives that are reported: a workstation has eight.
const DRIVES: usize = 8;

/// `BusType`: what is plugged in is not the laptop's own, and a file is no drive.
const USB: f64 = 7.0;
const SD: f64 = 12.0;
const MMC: f64 = 13.0;
const FILE_BACKED: f64 = 15.0;
const NVME: f64 = 17.0;

/// `MediaType`.
const SPINNING: f64 = 3.0;
const SOLID: f64 = 4.0;

/// Where a [`Metric`] stands in a row of counters, and by what its number is divided.
const COUNTERS: [(&Metric, &str, f64); 3] = [
    (&metric::DRIVE_TEMPERATURE, "Temperature", 1.0),
    (&metric::DRIVE_ENDURANCE_USED, "Wear", 100.0),
    (&metric::DRIVE_POWER_ON, "PowerOnHours", 1.0),
];

/// What is reported of the drives.
#[must_use]
pub fn readings(disks: Sourced<Vec<Row>>, counters: &Sourced<Vec<Row>>) -> Vec<Reading> {
    let disks = match disks {
        Ok(disks) => disks,
        Err(why) => return vec![Reading::unavailable(&metric::DRIVE_VERDICT, "", &why)],
    };
    let is_own = |disk: &&Row| {
        let bus = disk.number("BusType").unwrap_or_default();
        ![USB, SD, FILE_BACKED].contains(&bus)
    };
    let own: Vec<&Row> = disks.iter().filter(is_own).take(DRIVES).collect();
    if own.is_empty() {
        let why = "Windows lists no drive of its own";
        return vec![Reading::unavailable(&metric::DRIVE_VERDICT, "", why)];
    }
    own.into_iter()
        .flat_map(|disk| of_disk(disk, counters))
        .collect()
}

fn of_disk(disk: &Row, counters: &Sourced<Vec<Row>>) -> Vec<Reading> {
    let number = disk.text("DeviceId").unwrap_or("0");
    let name = &format!("disk{number}");
    let told = |property: &str| {
        disk.text(property)
            .map(str::to_owned)
            .ok_or_else(|| format!("Windows tells no {property}"))
    };
    let model = told("Model").or_else(|_| told("FriendlyName"));
    let size = disk
        .number("Size")
        .ok_or_else(|| "Windows tells no Size".to_owned());
    let mut readings = vec![
        source::text_or_why(&metric::DRIVE_MODEL, name, model),
        source::text_or_why(&metric::DRIVE_FIRMWARE, name, told("FirmwareVersion")),
        Reading::text(&metric::DRIVE_KIND, name, kind(disk)),
        source::number_or_why(&metric::DRIVE_SIZE, name, size),
        source::text_or_why(
            &metric::DRIVE_VERDICT,
            name,
            verdict(disk).map(str::to_owned),
        ),
    ];
    readings.extend(counted(name, number, counters));
    readings
}

fn kind(disk: &Row) -> &'static str {
    let (bus, media) = (disk.number("BusType"), disk.number("MediaType"));
    match (bus, media) {
        (Some(bus), _) if bus == NVME => "nvme",
        (Some(bus), _) if bus == MMC => "emmc",
        (_, Some(media)) if media == SPINNING => "hdd",
        (_, Some(media)) if media == SOLID => "ssd",
        _ => "unknown",
    }
}

/// `HealthStatus`: 0 healthy, 1 warning, 2 unhealthy, 5 unknown. A warning is a failure that the drive
/// predicts.
fn verdict(disk: &Row) -> Sourced<&'static str> {
    match disk.number("HealthStatus") {
        Some(0.0) => Ok("passed"),
        Some(1.0 | 2.0) => Ok("failed"),
        _ => Err("Windows does not know the drive's health".to_owned()),
    }
}

fn counted(name: &str, number: &str, counters: &Sourced<Vec<Row>>) -> Vec<Reading> {
    let row = counters.as_ref().map_err(Clone::clone).and_then(|rows| {
        let mut rows = rows.iter();
        let row = rows.find(|row| row.text("DeviceId") == Some(number));
        row.ok_or_else(|| "Windows counts nothing for this drive".to_owned())
    });
    let of = |property: &str| {
        let row = row.as_ref().map_err(Clone::clone)?;
        row.number(property)
            .ok_or_else(|| "the drive does not count it".to_owned())
    };
    let mut readings: Vec<Reading> = COUNTERS
        .iter()
        .map(|(metric, property, divisor)| {
            source::number_or_why(metric, name, of(property).map(|number| number / divisor))
        })
        .collect();
    let uncorrected = match (of("ReadErrorsUncorrected"), of("WriteErrorsUncorrected")) {
        (Ok(read), Ok(written)) => Ok(read + written),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(why), Err(_)) => Err(why),
    };
    readings.push(source::number_or_why(
        &metric::DRIVE_UNCORRECTABLE,
        name,
        uncorrected,
    ));
    readings
}

/// `\\.\PhysicalDrive0` in smartctl's words.
#[must_use]
pub fn smartctl_device(drive: &str) -> Option<String> {
    let number: u8 = drive.strip_prefix("disk")?.parse().ok()?;
    Some(format!("/dev/pd{number}"))
}

/// The serial number in what `IOCTL_STORAGE_QUERY_PROPERTY` answers for a device: the offset of the text
/// stands at byte 24, zero where there is none. Some drivers give it as hexadecimal digits, which name the
/// drive as well.
#[must_use]
pub fn serial(descriptor: &[u8]) -> Option<String> {
    let offset = u32::from_le_bytes(descriptor.get(24..28)?.try_into().ok()?);
    let text = descriptor.get(usize::try_from(offset).ok().filter(|offset| *offset > 0)?..)?;
    let text = text.split(|byte| *byte == 0).next()?;
    let text = String::from_utf8_lossy(text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(windows)]
pub use self::native::{read, system_serial};

#[cfg(windows)]
mod native {
    use rollcall_shared::reading::Reading;

    use super::{readings, serial};
    use crate::collect::windows::device::Device;
    use crate::collect::windows::wmi;

    const STORAGE: &str = r"ROOT\Microsoft\Windows\Storage";

    /// `IOCTL_STORAGE_QUERY_PROPERTY` of ntddstor.h.
    const QUERY_PROPERTY: u32 = 0x002d_1400;

    /// Bytes of a descriptor: 40, and four texts.
    const DESCRIPTOR_BYTES: usize = 1024;

    /// Reads every drive.
    pub fn read() -> Vec<Reading> {
        let disks = wmi::query(
            STORAGE,
            "MSFT_PhysicalDisk",
            &[
                "DeviceId",
                "FriendlyName",
                "Model",
                "FirmwareVersion",
                "MediaType",
                "BusType",
                "Size",
                "HealthStatus",
            ],
        );
        let counters = wmi::query(
            STORAGE,
            "MSFT_StorageReliabilityCounter",
            &[
                "DeviceId",
                "Temperature",
                "Wear",
                "PowerOnHours",
                "ReadErrorsUncorrected",
                "WriteErrorsUncorrected",
            ],
        );
        readings(disks, &counters)
    }

    /// The serial number of the drive that the system starts from.
    pub fn system_serial() -> Option<String> {
        let drive = std::env::var("SystemDrive").unwrap_or_else(|_| "C:".to_owned());
        let path: Vec<u16> = format!(r"\\.\{drive}").encode_utf16().chain([0]).collect();
        // StorageDeviceProperty, PropertyStandardQuery, and no parameters.
        let question = [0_u32; 3];
        let device = Device::open(&path, false).ok()?;
        let descriptor: [u8; DESCRIPTOR_BYTES] = device.ask(QUERY_PROPERTY, &question).ok()?;
        serial(&descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::wmi::Value;
    use super::*;
    use crate::collect::testing::{number, value};

    fn row(numbers: &[(&str, f64)], texts: &[(&str, &str)]) -> Row {
        let numbers = numbers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::Number(*value)));
        let texts = texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Value::Text((*text).to_owned())));
        Row::new(numbers.chain(texts))
    }

    /// After the documentation of `MSFT_PhysicalDisk`, whose 64-bit numbers are texts.
    fn nvme(health: f64) -> Row {
        row(
            &[
                ("MediaType", SOLID),
                ("BusType", NVME),
                ("HealthStatus", health),
            ],
            &[
                ("DeviceId", "0"),
                ("Model", "SAMSUNG MZVLB256HBHQ"),
                ("Size", "256060514304"),
                ("FirmwareVersion", "3L2Q"),
            ],
        )
    }

    #[test]
    fn smartctl_numbers_drives_as_windows_does() {
        assert_eq!(smartctl_device("disk2").as_deref(), Some("/dev/pd2"));
        assert_eq!(smartctl_device("diskette"), None);
    }

    #[test]
    fn a_healthy_drive_with_its_counters_and_a_stick_that_is_not_its_own() {
        let stick = row(
            &[("BusType", USB), ("HealthStatus", 0.0)],
            &[("DeviceId", "1")],
        );
        let counters = row(
            &[("Temperature", 41.0), ("Wear", 3.0)],
            &[
                ("DeviceId", "0"),
                ("PowerOnHours", "5120"),
                ("ReadErrorsUncorrected", "2"),
            ],
        );
        let readings = readings(Ok(vec![nvme(0.0), stick]), &Ok(vec![counters]));
        assert_eq!(
            value(&readings, "hw.physical_disk.verdict", "disk0"),
            "passed"
        );
        assert_eq!(value(&readings, "hw.physical_disk.kind", "disk0"), "nvme");
        assert_eq!(
            number(&readings, "hw.physical_disk.size", "disk0"),
            Some(256_060_514_304.0)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.endurance_utilization", "disk0"),
            Some(0.03)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.power_on_time", "disk0"),
            Some(5120.0)
        );
        assert_eq!(
            number(&readings, "hw.physical_disk.uncorrectable_errors", "disk0"),
            Some(2.0)
        );
        assert_eq!(
            value(&readings, "hw.physical_disk.verdict", "disk1"),
            "absent"
        );
    }

    #[test]
    fn a_drive_that_predicts_its_end_and_one_that_says_nothing() {
        let none = Err("refused".to_owned());
        let verdict = |health| {
            value(
                &readings(Ok(vec![nvme(health)]), &none),
                "hw.physical_disk.verdict",
                "disk0",
            )
        };
        assert_eq!(
            (verdict(1.0).as_str(), verdict(2.0).as_str()),
            ("failed", "failed")
        );
        assert!(verdict(5.0).starts_with("unavailable"));
        let silent = readings(Ok(vec![nvme(0.0)]), &none);
        assert_eq!(
            value(&silent, "hw.physical_disk.temperature", "disk0"),
            "unavailable: refused"
        );
        let unlisted = readings(Err("no namespace".to_owned()), &none);
        assert_eq!(
            value(&unlisted, "hw.physical_disk.verdict", ""),
            "unavailable: no namespace"
        );
    }

    #[test]
    fn the_serial_number_lies_behind_its_offset() {
        let mut descriptor = [0; 64];
        descriptor[24] = 40;
        descriptor[40..49].copy_from_slice(b"S4DZNX0M ");
        assert_eq!(serial(&descriptor).as_deref(), Some("S4DZNX0M"));
        descriptor[24] = 0;
        assert_eq!(serial(&descriptor), None);
        descriptor[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!((serial(&descriptor), serial(&[0; 8])), (None, None));
    }
}
