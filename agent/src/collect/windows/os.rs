//! The operating system: name, build, support, restart, encryption, shutdowns, crashes.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::{UnixMs, days_from_civil};

use super::wmi::Row;
use crate::collect::os::boot_time_s;
use crate::collect::source::{self, Sourced};

/// The first build of Windows 11, which still calls itself Windows 10 in the registry.
const ELEVEN: u32 = 22_000;

/// What the registry says of the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `ProductName`.
    pub product: String,
    /// `EditionID`, such as `Education`.
    pub edition: String,
    /// `DisplayVersion`, such as `23H2`; builds before 2020 do not have it.
    pub version: Option<String>,
    /// `CurrentBuild`.
    pub build: u32,
    /// `UBR`, the number of the monthly update.
    pub revision: Option<u32>,
}

impl Release {
    fn name(&self) -> String {
        if self.build >= ELEVEN {
            return self.product.replace("Windows 10", "Windows 11");
        }
        self.product.clone()
    }

    fn build_id(&self) -> String {
        match self.revision {
            Some(revision) => format!("10.0.{}.{revision}", self.build),
            None => format!("10.0.{}", self.build),
        }
    }

    fn servicing(&self) -> Servicing {
        match self.edition.trim_end_matches('N') {
            "EnterpriseS" | "IoTEnterpriseS" => Servicing::LongTerm,
            "Enterprise" | "Education" | "IoTEnterprise" | "ServerRdsh" => Servicing::Enterprise,
            _ => Servicing::Home,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Servicing {
    /// Home, Pro, Pro Education, SE.
    Home,
    /// Enterprise and Education, which get a year more.
    Enterprise,
    /// LTSC.
    LongTerm,
}

/// (build, channel, last day of free updates). Source: Microsoft's lifecycle pages of Windows 10 and 11, Home
/// and Pro, Enterprise and Education, and of the LTSC releases.
const TABLE: [(u32, Servicing, (i64, u32, u32)); 25] = [
    (17_763, Servicing::Home, (2020, 11, 10)),
    (17_763, Servicing::Enterprise, (2021, 5, 11)),
    (17_763, Servicing::LongTerm, (2029, 1, 9)),
    (18_363, Servicing::Home, (2021, 5, 11)),
    (18_363, Servicing::Enterprise, (2022, 5, 10)),
    (19_041, Servicing::Home, (2021, 12, 14)),
    (19_041, Servicing::Enterprise, (2021, 12, 14)),
    (19_042, Servicing::Home, (2022, 5, 10)),
    (19_042, Servicing::Enterprise, (2023, 5, 9)),
    (19_043, Servicing::Home, (2022, 12, 13)),
    (19_044, Servicing::Home, (2023, 6, 13)),
    (19_044, Servicing::Enterprise, (2024, 6, 11)),
    (19_044, Servicing::LongTerm, (2027, 1, 12)),
    (19_045, Servicing::Home, (2025, 10, 14)),
    (19_045, Servicing::Enterprise, (2025, 10, 14)),
    (22_000, Servicing::Home, (2023, 10, 10)),
    (22_000, Servicing::Enterprise, (2024, 10, 8)),
    (22_621, Servicing::Home, (2024, 10, 8)),
    (22_621, Servicing::Enterprise, (2025, 10, 14)),
    (22_631, Servicing::Home, (2025, 11, 11)),
    (22_631, Servicing::Enterprise, (2026, 11, 10)),
    (26_100, Servicing::Home, (2026, 10, 13)),
    (26_100, Servicing::Enterprise, (2027, 10, 12)),
    (26_100, Servicing::LongTerm, (2029, 10, 9)),
    (26_200, Servicing::Home, (2027, 10, 12)),
];

/// Days from `wall` to the end of support; negative once it is over.
fn support_days(release: &Release, wall: UnixMs) -> Sourced<f64> {
    let channel = release.servicing();
    let row = TABLE
        .iter()
        .find(|row| row.0 == release.build && row.1 == channel);
    let (year, month, day) = row
        .ok_or_else(|| format!("no end of support is known for build {}", release.build))?
        .2;
    Ok((days_from_civil(year, month, day) - wall.seconds().div_euclid(86_400)) as f64)
}

/// What was read for the readings of the system.
#[derive(Debug, Clone)]
pub struct System {
    /// The version.
    pub release: Sourced<Release>,
    /// Seconds since the start.
    pub uptime_s: f64,
    /// The word of `host.environment`.
    pub environment: &'static str,
    /// Whether servicing or Windows Update has left its mark that it waits for a restart.
    pub restart_pending: bool,
    /// Letter of the system's drive, with the colon.
    pub drive: String,
    /// `Win32_EncryptableVolume`: `DriveLetter` and `ProtectionStatus`.
    pub encryptable: Sourced<Vec<Row>>,
    /// Starts after a power loss or a hang: event 41 of the kernel's power manager.
    pub power_losses: Sourced<f64>,
    /// Event 6008 of the event log itself, which older records have only.
    pub dirty_ends: Sourced<f64>,
    /// Blue screens: event 1001 of the system's error reporting.
    pub crashes: Sourced<f64>,
}

/// What is reported of the system.
#[must_use]
pub fn readings(system: System, wall: UnixMs) -> Vec<Reading> {
    let of = |field: fn(&Release) -> Sourced<String>| {
        system
            .release
            .as_ref()
            .map_err(Clone::clone)
            .and_then(field)
    };
    let version = of(|release| {
        release
            .version
            .clone()
            .ok_or_else(|| "this build has no name".to_owned())
    });
    let support = system.release.as_ref().map_err(Clone::clone);
    let support = support.and_then(|release| support_days(release, wall));
    let encryption = system
        .encryptable
        .and_then(|volumes| encryption(&volumes, &system.drive));
    vec![
        Reading::text(&metric::OS_TYPE, "", "windows"),
        source::text_or_why(&metric::OS_NAME, "", of(|release| Ok(release.name()))),
        source::text_or_why(&metric::OS_VERSION, "", version),
        source::text_or_why(&metric::OS_BUILD, "", of(|release| Ok(release.build_id()))),
        source::number_or_why(&metric::OS_SUPPORT_REMAINING, "", support),
        Reading::number(&metric::UPTIME, "", system.uptime_s),
        Reading::number(&metric::BOOT_TIME, "", boot_time_s(system.uptime_s, wall)),
        Reading::text(&metric::ENVIRONMENT, "", system.environment),
        Reading::flag(&metric::RESTART_PENDING, "", system.restart_pending),
        source::text_or_why(&metric::DISK_ENCRYPTION, "", encryption.map(str::to_owned)),
        source::number_or_why(
            &metric::UNEXPECTED_SHUTDOWNS,
            "",
            larger(system.power_losses, system.dirty_ends),
        ),
        source::number_or_why(&metric::CRASHES, "", system.crashes),
    ]
}

/// One loss of power leaves both events where the system is new enough.
fn larger(a: Sourced<f64>, b: Sourced<f64>) -> Sourced<f64> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok(a.max(b)),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(why), Err(_)) => Err(why),
    }
}

/// BitLocker's protection of the system's drive: 0 is off, also while it is suspended, 1 is on, 2 is locked.
/// What lies on other drives than the system's is on sticks and docks too, and does not count.
fn encryption(volumes: &[Row], drive: &str) -> Sourced<&'static str> {
    let of_system = volumes.iter().find(|volume| {
        volume
            .text("DriveLetter")
            .is_some_and(|letter| letter.eq_ignore_ascii_case(drive))
    });
    let volume = of_system.ok_or_else(|| format!("BitLocker does not list {drive}"))?;
    match volume.number("ProtectionStatus") {
        Some(0.0) => Ok("off"),
        Some(1.0 | 2.0) => Ok("on"),
        _ => Err("BitLocker does not tell its protection".to_owned()),
    }
}

#[cfg(windows)]
pub use self::native::read;

#[cfg(windows)]
mod native {
    use rollcall_shared::reading::Reading;
    use rollcall_shared::time::UnixMs;

    use super::{Release, System, readings};
    use crate::collect::os::environment;
    use crate::collect::source::Sourced;
    use crate::collect::windows::{events, firmware, registry, system, wmi};

    const VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";

    /// Keys that exist while a restart is awaited. `PendingFileRenameOperations` is not among them: any
    /// installer leaves it.
    const RESTART: [&str; 2] = [
        r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
        r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    ];

    const BITLOCKER: &str = r"ROOT\CIMV2\Security\MicrosoftVolumeEncryption";

    /// Reads everything about the operating system except its updates.
    pub fn read(wall: UnixMs) -> Vec<Reading> {
        let (maker, model) = firmware::maker_and_model();
        let system = System {
            release: release(),
            uptime_s: system::uptime_s(),
            environment: environment::by_firmware(&maker, &model),
            restart_pending: RESTART.iter().any(|key| registry::has_key(key)),
            drive: std::env::var("SystemDrive").unwrap_or_else(|_| "C:".to_owned()),
            encryptable: wmi::query(
                BITLOCKER,
                "Win32_EncryptableVolume",
                &["DriveLetter", "ProtectionStatus"],
            ),
            power_losses: events::count("Microsoft-Windows-Kernel-Power", 41),
            dirty_ends: events::count("EventLog", 6008),
            crashes: events::count("Microsoft-Windows-WER-SystemErrorReporting", 1001),
        };
        readings(system, wall)
    }

    fn release() -> Sourced<Release> {
        let build = registry::text(VERSION, "CurrentBuild")?;
        Ok(Release {
            product: registry::text(VERSION, "ProductName")?,
            edition: registry::text(VERSION, "EditionID").unwrap_or_default(),
            version: registry::text(VERSION, "DisplayVersion").ok(),
            build: build
                .parse()
                .map_err(|_| format!("`{build}` is no number of a build"))?,
            revision: registry::number(VERSION, "UBR").ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::wmi::Value;
    use super::*;
    use crate::collect::testing::{number, value};

    /// 2026-08-24.
    const WALL: UnixMs = UnixMs(1_787_557_500_000);

    fn volume(letter: &str, protection: f64) -> Row {
        Row::new([
            ("DriveLetter".to_owned(), Value::Text(letter.to_owned())),
            ("ProtectionStatus".to_owned(), Value::Number(protection)),
        ])
    }

    fn system() -> System {
        System {
            release: Ok(Release {
                product: "Windows 10 Education".to_owned(),
                edition: "Education".to_owned(),
                version: Some("23H2".to_owned()),
                build: 22_631,
                revision: Some(4460),
            }),
            uptime_s: 3600.5,
            environment: "machine",
            restart_pending: true,
            drive: "C:".to_owned(),
            encryptable: Ok(vec![volume("E:", 0.0), volume("C:", 1.0)]),
            power_losses: Ok(2.0),
            dirty_ends: Ok(3.0),
            crashes: Ok(1.0),
        }
    }

    #[test]
    fn windows_11_by_its_build_and_its_channel() {
        let readings = readings(system(), WALL);
        assert_eq!(value(&readings, "os.name", ""), "Windows 11 Education");
        assert_eq!(value(&readings, "os.version", ""), "23H2");
        assert_eq!(value(&readings, "os.build_id", ""), "10.0.22631.4460");
        assert_eq!(number(&readings, "os.support.remaining", ""), Some(78.0));
        assert_eq!(value(&readings, "os.restart.pending", ""), "yes");
        assert_eq!(
            number(&readings, "system.boot.time", ""),
            Some(1_787_553_899.5)
        );
        assert_eq!(value(&readings, "host.environment", ""), "machine");
        assert_eq!(value(&readings, "os.disk_encryption", ""), "on");
        assert_eq!(number(&readings, "os.unexpected_shutdowns", ""), Some(3.0));
        assert_eq!(number(&readings, "os.crashes", ""), Some(1.0));
        let mut home = system();
        if let Ok(release) = &mut home.release {
            release.edition = "Core".to_owned();
        }
        let readings = super::readings(home, WALL);
        assert_eq!(number(&readings, "os.support.remaining", ""), Some(-286.0));
    }

    #[test]
    fn encryption_is_that_of_the_systems_drive() {
        let of = |volumes: &[Row]| encryption(volumes, "C:");
        assert_eq!(of(&[volume("c:", 0.0), volume("D:", 1.0)]), Ok("off"));
        assert!(
            of(&[volume("D:", 1.0)])
                .unwrap_err()
                .contains("does not list C:")
        );
        assert!(of(&[volume("C:", 7.0)]).is_err());
    }

    #[test]
    fn what_windows_does_not_tell_has_words() {
        let mut silent = system();
        silent.release = Err("no build".to_owned());
        silent.encryptable = Err("no such namespace".to_owned());
        silent.power_losses = Err("no log".to_owned());
        let readings = readings(silent, WALL);
        assert_eq!(value(&readings, "os.name", ""), "unavailable: no build");
        assert_eq!(
            value(&readings, "os.disk_encryption", ""),
            "unavailable: no such namespace"
        );
        assert_eq!(number(&readings, "os.unexpected_shutdowns", ""), Some(3.0));
        assert_eq!(value(&readings, "os.type", ""), "windows");
    }
}
