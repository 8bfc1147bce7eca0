//! The models that schools lend, in shares as such fleets have them, and what is inside.

use super::chance::weighted;

/// One model of laptop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Who made it.
    pub vendor: &'static str,
    /// Its name; `Simulated ` stands before it, so that nobody takes it for a real one.
    pub model: &'static str,
    /// Which systems run on it.
    pub family: Family,
    /// The processor.
    pub cpu: &'static str,
    /// Logical processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: f64,
    /// Capacity of a new battery in mWh.
    pub battery_mwh: f64,
    /// Who makes its batteries, and the part.
    pub battery: &'static str,
    /// Power of its charger in W.
    pub charger_w: f64,
    /// The drive that it comes with.
    pub drive: DriveModel,
    /// Its radio's driver; of Linux its name alone, since it comes with the kernel, and of macOS none.
    pub driver: &'static str,
}

/// A family of operating systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Microsoft Windows.
    Windows,
    /// Apple macOS.
    Mac,
    /// Linux.
    Linux,
}

/// One model of drive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveModel {
    /// How it stores.
    pub kind: DriveKind,
    /// Its name.
    pub name: &'static str,
    /// Its firmware.
    pub firmware: &'static str,
    /// Bytes.
    pub size: f64,
}

/// How a drive stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriveKind {
    /// On turning disks.
    Hdd,
    /// In flash behind SATA.
    Ssd,
    /// In flash behind NVMe.
    Nvme,
    /// In flash on the mainboard, which tells nothing of its health.
    Emmc,
}

/// An operating system as it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct System {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its build, to which a revision is added.
    pub build: &'static str,
    /// The last day of support as (year, month, day), by the vendor's life-cycle page; `None` where
    /// the vendor publishes none.
    pub support_ends: Option<(i64, u32, u32)>,
}

/// The model at a fraction of the fleet.
#[must_use]
pub fn machine_at(fraction: f64) -> &'static Machine {
    weighted(fraction, &MACHINES)
}

/// The system at a fraction of a family.
#[must_use]
pub fn system_at(family: Family, fraction: f64) -> &'static System {
    match family {
        Family::Windows => weighted(fraction, &WINDOWS),
        Family::Mac => weighted(fraction, &MAC),
        Family::Linux => weighted(fraction, &LINUX),
    }
}

const GIB: f64 = 1_073_741_824.0;

const fn drive(kind: DriveKind, name: &'static str, firmware: &'static str, gb: u32) -> DriveModel {
    DriveModel {
        kind,
        name,
        firmware,
        size: gb as f64 * 1e9,
    }
}

const NVME_128: DriveModel = drive(
    DriveKind::Nvme,
    "SAMSUNG MZVLQ128HBHQ-00BL1",
    "7L1QFXV7",
    128,
);
const NVME_256: DriveModel = drive(
    DriveKind::Nvme,
    "WDC PC SN530 SDBPMPZ-256G",
    "21160001",
    256,
);
const APPLE_256: DriveModel = drive(DriveKind::Nvme, "APPLE SSD AP0256Q", "555", 251);
const SSD_128: DriveModel = drive(DriveKind::Ssd, "LITEON CV8-8E128-HP", "T89110L", 128);
const EMMC_64: DriveModel = drive(DriveKind::Emmc, "DA4064", "0x0143", 62);
const HDD_500: DriveModel = drive(DriveKind::Hdd, "ST500LM021-1KJ152", "0003LIM1", 500);
const HDD_500_LINUX: DriveModel = drive(DriveKind::Hdd, "TOSHIBA MQ01ACF050", "AV001D", 500);

static MACHINES: [(f64, Machine); 10] = [
    (
        14.0,
        Machine {
            vendor: "LENOVO",
            model: "300w Gen 3",
            family: Family::Windows,
            cpu: "AMD 3015e with Radeon Graphics",
            cpus: 4,
            memory: 4.0 * GIB,
            battery_mwh: 47_000.0,
            battery: "LENOVO L20B3PG1",
            charger_w: 45.0,
            drive: NVME_128,
            driver: "Realtek RTL8822CE 802.11ac PCIe Adapter 2024.10.139.3",
        },
    ),
    (
        12.0,
        Machine {
            vendor: "LENOVO",
            model: "ThinkPad 11e 5th Gen",
            family: Family::Windows,
            cpu: "Intel(R) Celeron(R) N4120 CPU @ 1.10GHz",
            cpus: 4,
            memory: 4.0 * GIB,
            battery_mwh: 42_000.0,
            battery: "LENOVO 02DL019",
            charger_w: 45.0,
            drive: SSD_128,
            driver: "Intel(R) Wireless-AC 9560 160MHz 22.250.1.2",
        },
    ),
    (
        14.0,
        Machine {
            vendor: "HP",
            model: "ProBook x360 11 G7 EE",
            family: Family::Windows,
            cpu: "Intel(R) Pentium(R) Silver N6000 @ 1.10GHz",
            cpus: 4,
            memory: 8.0 * GIB,
            battery_mwh: 48_100.0,
            battery: "Hewlett-Packard RF03XL",
            charger_w: 45.0,
            drive: NVME_128,
            driver: "Intel(R) Wi-Fi 6 AX201 160MHz 22.250.1.2",
        },
    ),
    (
        13.0,
        Machine {
            vendor: "Dell Inc.",
            model: "Latitude 3190",
            family: Family::Windows,
            cpu: "Intel(R) Pentium(R) Silver N5030 CPU @ 1.10GHz",
            cpus: 4,
            memory: 4.0 * GIB,
            battery_mwh: 42_000.0,
            battery: "SMP DELL 56GV05C",
            charger_w: 65.0,
            drive: EMMC_64,
            driver: "Qualcomm QCA9377 802.11ac Wireless Adapter 12.0.0.1118",
        },
    ),
    (
        6.0,
        Machine {
            vendor: "HP",
            model: "ProBook 640 G2",
            family: Family::Windows,
            cpu: "Intel(R) Core(TM) i5-6200U CPU @ 2.30GHz",
            cpus: 4,
            memory: 8.0 * GIB,
            battery_mwh: 48_000.0,
            battery: "Hewlett-Packard CI03XL",
            charger_w: 45.0,
            drive: HDD_500,
            driver: "Intel(R) Dual Band Wireless-AC 8260 20.70.32.1",
        },
    ),
    (
        6.0,
        Machine {
            vendor: "Acer",
            model: "TravelMate B3 TMB311-32",
            family: Family::Windows,
            cpu: "Intel(R) Celeron(R) N5100 @ 1.10GHz",
            cpus: 4,
            memory: 4.0 * GIB,
            battery_mwh: 48_000.0,
            battery: "PANASONIC AP18C8K",
            charger_w: 45.0,
            drive: NVME_128,
            driver: "Intel(R) Wi-Fi 6 AX201 160MHz 22.250.1.2",
        },
    ),
    (
        16.0,
        Machine {
            vendor: "Apple Inc.",
            model: "MacBookAir10,1",
            family: Family::Mac,
            cpu: "Apple M1",
            cpus: 8,
            memory: 8.0 * GIB,
            battery_mwh: 49_900.0,
            battery: "SMP bq20z451",
            charger_w: 30.0,
            drive: APPLE_256,
            driver: "",
        },
    ),
    (
        4.0,
        Machine {
            vendor: "Apple Inc.",
            model: "MacBookPro14,1",
            family: Family::Mac,
            cpu: "Intel(R) Core(TM) i5-7360U CPU @ 2.30GHz",
            cpus: 4,
            memory: 8.0 * GIB,
            battery_mwh: 54_500.0,
            battery: "DSY bq20z451",
            charger_w: 61.0,
            drive: APPLE_256,
            driver: "",
        },
    ),
    (
        9.0,
        Machine {
            vendor: "LENOVO",
            model: "ThinkPad L14 Gen 2a",
            family: Family::Linux,
            cpu: "AMD Ryzen 5 PRO 5650U with Radeon Graphics",
            cpus: 12,
            memory: 16.0 * GIB,
            battery_mwh: 45_000.0,
            battery: "SMP 5B10W51825",
            charger_w: 65.0,
            drive: NVME_256,
            driver: "rtw_8822ce",
        },
    ),
    (
        6.0,
        Machine {
            vendor: "Dell Inc.",
            model: "Latitude E5470",
            family: Family::Linux,
            cpu: "Intel(R) Core(TM) i5-6300U CPU @ 2.40GHz",
            cpus: 4,
            memory: 8.0 * GIB,
            battery_mwh: 62_000.0,
            battery: "LGC-LGC3.6 DELL 6MT4T",
            charger_w: 65.0,
            drive: HDD_500_LINUX,
            driver: "iwlwifi",
        },
    ),
];

// Ends of support: learn.microsoft.com/lifecycle (Education editions), ubuntu.com/about/release-cycle,
// wiki.debian.org/LTS. Apple publishes none.
static WINDOWS: [(f64, System); 4] = [
    (
        52.0,
        System {
            name: "Windows 11 Education",
            version: "24H2",
            build: "26100",
            support_ends: Some((2027, 10, 12)),
        },
    ),
    (
        30.0,
        System {
            name: "Windows 11 Education",
            version: "23H2",
            build: "22631",
            support_ends: Some((2026, 11, 10)),
        },
    ),
    (
        12.0,
        System {
            name: "Windows 10 Education",
            version: "22H2",
            build: "19045",
            support_ends: Some((2025, 10, 14)),
        },
    ),
    (
        6.0,
        System {
            name: "Windows 11 Education",
            version: "25H2",
            build: "26200",
            support_ends: Some((2028, 10, 10)),
        },
    ),
];
static MAC: [(f64, System); 3] = [
    (
        60.0,
        System {
            name: "macOS",
            version: "15",
            build: "24G",
            support_ends: None,
        },
    ),
    (
        28.0,
        System {
            name: "macOS",
            version: "14",
            build: "23H",
            support_ends: None,
        },
    ),
    (
        12.0,
        System {
            name: "macOS",
            version: "13",
            build: "22H",
            support_ends: None,
        },
    ),
];
static LINUX: [(f64, System); 3] = [
    (
        55.0,
        System {
            name: "Ubuntu",
            version: "24.04",
            build: "6.8.0",
            support_ends: Some((2029, 5, 31)),
        },
    ),
    (
        30.0,
        System {
            name: "Ubuntu",
            version: "22.04",
            build: "5.15.0",
            support_ends: Some((2027, 4, 1)),
        },
    ),
    (
        15.0,
        System {
            name: "Debian GNU/Linux",
            version: "12",
            build: "6.1.0",
            support_ends: Some((2028, 6, 30)),
        },
    ),
];
