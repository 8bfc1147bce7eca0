//! What the machine is: the firmware's own table, SMBIOS, and the processor's name in the registry.
//!
//! Source of the format: DMTF DSP0134, System Management BIOS, sections 6.1 (structures and their strings),
//! 7.1 (BIOS) and 7.2 (system).

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use crate::collect::hardware::{hex, told_serial};
use crate::collect::source::{self, Sourced};

/// `RawSMBIOSData` of `GetSystemFirmwareTable` begins with four versions and the length of the table.
const HEAD_BYTES: usize = 8;

/// Types of structures.
const BIOS: u8 = 0;
const SYSTEM: u8 = 1;

/// What the firmware tells; a field that it leaves out is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firmware {
    vendor: Option<String>,
    product: Option<String>,
    version: Option<String>,
    serial: Option<String>,
    uuid: Option<String>,
    bios: Option<String>,
}

/// Parses what `GetSystemFirmwareTable` gives for `RSMB`.
#[must_use]
pub fn parse(raw: &[u8]) -> Firmware {
    let mut firmware = Firmware::default();
    let mut rest = raw.get(HEAD_BYTES..).unwrap_or_default();
    while let Some((structure, behind)) = Structure::split(rest) {
        match structure.kind() {
            BIOS if firmware.bios.is_none() => firmware.bios = structure.text(5),
            SYSTEM if firmware.product.is_none() => {
                firmware.vendor = structure.text(4);
                firmware.product = structure.text(5);
                firmware.version = structure.text(6);
                firmware.serial = structure.text(7);
                firmware.uuid = structure.uuid(8);
            }
            _ => {}
        }
        rest = behind;
    }
    firmware
}

/// A structure: type, length, handle and fields; then its texts, each ended by a zero, and one more zero.
struct Structure<'a> {
    fields: &'a [u8],
    texts: &'a [u8],
}

impl<'a> Structure<'a> {
    fn split(table: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = usize::from(*table.get(1)?);
        let fields = table.get(..length).filter(|_| length >= 4)?;
        let behind = table.get(length..)?;
        let end = behind.windows(2).position(|pair| pair == [0, 0])?;
        let texts = &behind[..end];
        Some((Self { fields, texts }, &behind[end + 2..]))
    }

    fn kind(&self) -> u8 {
        self.fields[0]
    }

    /// The text whose number stands at `offset`; number zero is none.
    fn text(&self, offset: usize) -> Option<String> {
        let number = usize::from(*self.fields.get(offset)?);
        let text = self
            .texts
            .split(|byte| *byte == 0)
            .nth(number.checked_sub(1)?)?;
        let text = String::from_utf8_lossy(text).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The first three fields of the UUID are little-endian since version 2.6, as Linux and macOS show it.
    fn uuid(&self, offset: usize) -> Option<String> {
        let mut bytes: [u8; 16] = self.fields.get(offset..offset + 16)?.try_into().ok()?;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        let hex = hex(&bytes);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        Some(parts.join("-"))
    }
}

impl Firmware {
    /// Lenovo keeps the name that people know in the version, and a type number in the name.
    fn model(&self) -> Option<String> {
        let name = self.product.clone()?;
        let is_lenovo = self
            .vendor
            .as_deref()
            .is_some_and(|vendor| vendor.eq_ignore_ascii_case("lenovo"));
        Some(match &self.version {
            Some(version) if is_lenovo => format!("{version} ({name})"),
            _ => name,
        })
    }
}

/// The parts of the processor and memory that Windows tells elsewhere.
#[derive(Debug, Clone)]
pub struct Board {
    /// Name of the processor.
    pub processor: Sourced<String>,
    /// Logical processors.
    pub processors: f64,
    /// Bytes of memory.
    pub memory: Sourced<f64>,
}

/// What is reported; the serial number as its hash unless `clear_serial`.
#[must_use]
pub fn readings(firmware: &Sourced<Firmware>, board: Board, clear_serial: bool) -> Vec<Reading> {
    let field = |of: fn(&Firmware) -> Option<String>| {
        let firmware = firmware.as_ref().map_err(Clone::clone)?;
        of(firmware).ok_or_else(|| "the firmware does not tell it".to_owned())
    };
    let serial = field(|firmware| firmware.serial.clone());
    let serial = serial.and_then(|serial| told_serial(&serial, clear_serial));
    let processor = board
        .processor
        .map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "));
    vec![
        source::text_or_why(
            &metric::HOST_VENDOR,
            "",
            field(|firmware| firmware.vendor.clone()),
        ),
        source::text_or_why(&metric::HOST_MODEL, "", field(Firmware::model)),
        source::text_or_why(&metric::HOST_SERIAL, "", serial),
        source::text_or_why(
            &metric::FIRMWARE_VERSION,
            "",
            field(|firmware| firmware.bios.clone()),
        ),
        source::text_or_why(&metric::CPU_MODEL, "", processor),
        Reading::number(&metric::CPU_COUNT, "", board.processors),
        source::number_or_why(&metric::MEMORY_LIMIT, "", board.memory),
    ]
}

#[cfg(windows)]
pub use self::native::{fingerprint, maker_and_model, read};

#[cfg(windows)]
mod native {
    use rollcall_shared::fingerprint::HardwareFingerprint;
    use rollcall_shared::reading::Reading;
    use windows::Win32::System::SystemInformation::{GetSystemFirmwareTable, RSMB};

    use super::{Board, Firmware, parse, readings};
    use crate::collect::source::Sourced;
    use crate::collect::windows::{drive, registry, system};

    const PROCESSOR: &str = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0";

    /// Reads maker, model, serial number, firmware, processor and memory.
    pub fn read(clear_serial: bool) -> Vec<Reading> {
        let board = Board {
            processor: registry::text(PROCESSOR, "ProcessorNameString"),
            processors: std::thread::available_parallelism()
                .map_or(1.0, |count| count.get() as f64),
            memory: system::memory().map(|memory| memory.total as f64),
        };
        readings(&firmware(), board, clear_serial)
    }

    /// What tells this machine from another that was imaged from the same disk.
    pub fn fingerprint() -> HardwareFingerprint {
        let firmware = firmware().unwrap_or_default();
        let drive = drive::system_serial();
        HardwareFingerprint::from_serials(
            firmware.uuid.as_deref(),
            firmware.serial.as_deref(),
            drive.as_deref(),
        )
    }

    /// The maker and the model; empty where the machine does not tell.
    pub fn maker_and_model() -> (String, String) {
        let firmware = firmware().unwrap_or_default();
        let model = firmware.model().unwrap_or_default();
        (firmware.vendor.unwrap_or_default(), model)
    }

    #[expect(unsafe_code, reason = "kernel32 fills a buffer")]
    fn firmware() -> Sourced<Firmware> {
        // SAFETY: without a buffer it tells the length.
        let length = unsafe { GetSystemFirmwareTable(RSMB, 0, None) };
        let mut raw = vec![0; length as usize];
        // SAFETY: the buffer tells its own length.
        let written = unsafe { GetSystemFirmwareTable(RSMB, 0, Some(&mut raw)) };
        if length == 0 || written as usize > raw.len() {
            return Err("Windows gives no SMBIOS table".to_owned());
        }
        Ok(parse(&raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};
    use proptest::prelude::*;

    /// Written after DSP0134: a BIOS structure, a system structure of 27 bytes, the end of the table.
    fn table(vendor: &str, product: &str, version: &str, serial: &str) -> Vec<u8> {
        let mut raw = vec![0, 3, 2, 0, 0, 0, 0, 0];
        raw.extend([BIOS, 6, 0, 0, 1, 2]);
        raw.extend(b"LENOVO\0R0YET40W (1.17 )\0\0");
        raw.extend([SYSTEM, 27, 1, 0, 1, 2, 3, 4]);
        raw.extend([0x44, 0x45, 0x4c, 0x4c, 0x42, 0x00, 0x10, 0x35]);
        raw.extend([0x80, 0x51, 0xb6, 0xc0, 0x4f, 0x4a, 0x32, 0x33, 6, 0, 0]);
        for text in [vendor, product, version, serial] {
            raw.extend(text.as_bytes());
            raw.push(0);
        }
        raw.push(0);
        raw.extend([127, 4, 2, 0, 0, 0]);
        raw
    }

    fn board() -> Board {
        Board {
            processor: Ok("Intel(R) Core(TM) i5-8265U   CPU @ 1.60GHz ".to_owned()),
            processors: 8.0,
            memory: Ok(8e9),
        }
    }

    #[test]
    fn a_table_as_the_standard_describes_it() {
        let firmware = parse(&table("LENOVO", "20NSS0AB00", "ThinkPad L390", "PF1EXMPL"));
        assert_eq!(
            firmware.uuid.as_deref(),
            Some("4c4c4544-0042-3510-8051-b6c04f4a3233")
        );
        let readings = readings(&Ok(firmware), board(), false);
        assert_eq!(value(&readings, "host.vendor", ""), "LENOVO");
        assert_eq!(
            value(&readings, "host.model", ""),
            "ThinkPad L390 (20NSS0AB00)"
        );
        assert_eq!(
            value(&readings, "host.firmware.version", ""),
            "R0YET40W (1.17 )"
        );
        assert_eq!(
            value(&readings, "host.cpu.model.name", ""),
            "Intel(R) Core(TM) i5-8265U CPU @ 1.60GHz"
        );
        assert_eq!(number(&readings, "system.cpu.logical.count", ""), Some(8.0));
        let serial = value(&readings, "host.serial_number", "");
        assert!(serial.len() == 64 && !serial.contains("PF1"), "{serial}");
    }

    #[test]
    fn what_a_maker_left_empty_is_not_a_name() {
        let firmware = parse(&table(
            "HP",
            "HP ProBook 11 G2",
            " ",
            "To Be Filled By O.E.M.",
        ));
        assert_eq!(firmware.model().as_deref(), Some("HP ProBook 11 G2"));
        let readings = readings(&Ok(firmware), board(), true);
        assert!(value(&readings, "host.serial_number", "").contains("placeholder"));
        let none = super::readings(&Err("no table".to_owned()), board(), true);
        assert_eq!(value(&none, "host.model", ""), "unavailable: no table");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(raw in prop::collection::vec(0_u8..40, 0..200)) {
            let _ = parse(&raw);
        }
    }
}
