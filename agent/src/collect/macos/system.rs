//! The operating system: version, support, encryption, kernel panics, updates, the battery saver.

use plist::{Dictionary, Value};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::{UnixMs, days_from_civil};

use super::{number, parse, text};
use crate::collect::os::boot_time_s;
use crate::collect::source::{self, Sourced};

/// (major version, when the third release after it came, which ended its updates). Apple names no date; it
/// mends the newest three. Source: the days of Apple's releases.
const TABLE: [(u32, (i64, u32, u32)); 4] = [
    (11, (2023, 9, 26)),
    (12, (2024, 9, 16)),
    (13, (2025, 9, 15)),
    (14, (2026, 9, 14)),
];

/// What is reported of the system, its uptime aside.
#[must_use]
pub fn readings(
    version: Sourced<Vec<u8>>,
    file_vault: Sourced<String>,
    panics: Sourced<f64>,
    wall: UnixMs,
) -> Vec<Reading> {
    let version = version.and_then(|bytes| dictionary(&bytes));
    let field = |key: &str| {
        let version = version.as_ref().map_err(Clone::clone)?;
        text(version, key).ok_or_else(|| format!("SystemVersion.plist has no {key}"))
    };
    let support = field("ProductVersion").and_then(|version| support_days(&version, wall));
    let encryption = file_vault.and_then(|words| encryption(&words));
    vec![
        Reading::text(&metric::OS_TYPE, "", "darwin"),
        source::text_or_why(&metric::OS_NAME, "", field("ProductName")),
        source::text_or_why(&metric::OS_VERSION, "", field("ProductVersion")),
        source::text_or_why(&metric::OS_BUILD, "", field("ProductBuildVersion")),
        source::number_or_why(&metric::OS_SUPPORT_REMAINING, "", support),
        Reading::unavailable(
            &metric::RESTART_PENDING,
            "",
            "macOS restarts as a part of its update and leaves no mark before",
        ),
        source::text_or_why(&metric::DISK_ENCRYPTION, "", encryption),
        Reading::unavailable(
            &metric::UNEXPECTED_SHUTDOWNS,
            "",
            "macOS keeps the causes in a log that takes minutes to search",
        ),
        source::number_or_why(&metric::CRASHES, "", panics),
    ]
}

/// The time since the start, the start, and whether a hypervisor is below, as `kern.hv_vmm_present` has it.
#[must_use]
pub fn start_readings(uptime: &Reading, hypervisor: Sourced<String>, wall: UnixMs) -> Vec<Reading> {
    let seconds = uptime.value().as_number();
    let seconds = seconds.ok_or_else(|| "macOS does not tell the time since the start".to_owned());
    let boot = seconds.map(|seconds| boot_time_s(seconds, wall));
    let environment = hypervisor.and_then(|text| match text.trim() {
        "0" => Ok("machine".to_owned()),
        "1" => Ok("virtual_machine".to_owned()),
        _ => Err("macOS does not tell whether a hypervisor is below it".to_owned()),
    });
    vec![
        uptime.clone(),
        source::number_or_why(&metric::BOOT_TIME, "", boot),
        source::text_or_why(&metric::ENVIRONMENT, "", environment),
    ]
}

fn dictionary(bytes: &[u8]) -> Sourced<Dictionary> {
    parse(bytes)?
        .into_dictionary()
        .ok_or_else(|| "the property list is no dictionary".to_owned())
}

fn support_days(version: &str, wall: UnixMs) -> Sourced<f64> {
    let major: Option<u32> = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let row = TABLE.iter().find(|row| Some(row.0) == major);
    let (year, month, day) = row
        .ok_or_else(|| format!("Apple has not said when it ends its updates for macOS {version}"))?
        .1;
    Ok((days_from_civil(year, month, day) - wall.seconds().div_euclid(86_400)) as f64)
}

/// `fdesetup status`: `FileVault is On.`, `FileVault is Off.`, and a second line while it is at work.
fn encryption(words: &str) -> Sourced<String> {
    let is = |word: &str| words.contains(word);
    if is("in progress") {
        Ok("partial".to_owned())
    } else if is("FileVault is On") {
        Ok("on".to_owned())
    } else if is("FileVault is Off") {
        Ok("off".to_owned())
    } else {
        Err("fdesetup does not say whether FileVault is on".to_owned())
    }
}

/// Reports of kernel panics among the names of DiagnosticReports; the names themselves are not kept.
#[must_use]
pub fn panics(names: impl Iterator<Item = String>) -> f64 {
    names.filter(|name| name.ends_with(".panic")).count() as f64
}

/// What `com.apple.SoftwareUpdate.plist` keeps of the last search.
#[must_use]
pub fn update_readings(file: Sourced<Vec<u8>>, wall: UnixMs) -> Vec<Reading> {
    let state = file.and_then(|bytes| dictionary(&bytes));
    let of = |key: &str| {
        let state = state.as_ref().map_err(Clone::clone)?;
        number(state, key).ok_or_else(|| format!("Software Update keeps no {key}"))
    };
    let age = state
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|state| age_days(state, wall));
    vec![
        source::number_or_why(&metric::UPDATES_PENDING, "", of("LastUpdatesAvailable")),
        Reading::unavailable(
            &metric::UPDATES_SECURITY_PENDING,
            "",
            "macOS does not tell them from others",
        ),
        source::number_or_why(&metric::UPDATES_LAST_AGE, "", age),
        Reading::unavailable(&metric::UPDATES_FAILED, "", "macOS does not count them"),
    ]
}

fn age_days(state: &Dictionary, wall: UnixMs) -> Sourced<f64> {
    let keys = [
        "LastFullSuccessfulDate",
        "LastSuccessfulDate",
        "LastBackgroundSuccessfulDate",
    ];
    let dates = keys
        .iter()
        .filter_map(|key| state.get(key).and_then(Value::as_date));
    let newest = dates.map(std::time::SystemTime::from).max();
    let newest = newest.ok_or("Software Update has never succeeded")?;
    let since = newest
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(|_| "a date before 1970")?;
    let age = wall.0 as f64 / 86_400_000.0 - since.as_secs_f64() / 86_400.0;
    if age < 0.0 {
        return Err(
            "updates were looked for in the future, so the clock is or was wrong".to_owned(),
        );
    }
    Ok(age)
}

/// Whether `pmset -g` has the low power mode on.
#[must_use]
pub fn is_low_power(settings: &str) -> bool {
    let mut lines = settings.lines().map(str::split_whitespace);
    lines.any(|mut words| words.next() == Some("lowpowermode") && words.next() == Some("1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    /// 2026-08-24T07:45:00Z.
    const WALL: UnixMs = UnixMs(1_787_557_500_000);

    const VERSION: &str = r#"<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>
        <key>ProductBuildVersion</key><string>22G720</string><key>ProductName</key><string>macOS</string>
        <key>ProductVersion</key><string>13.6.7</string></dict></plist>"#;

    const UPDATES: &str = r#"<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>
        <key>LastSuccessfulDate</key><date>2026-08-20T07:45:00Z</date>
        <key>LastFullSuccessfulDate</key><date>2026-08-22T07:45:00Z</date>
        <key>LastUpdatesAvailable</key><integer>2</integer></dict></plist>"#;

    #[test]
    fn a_system_whose_support_has_ended() {
        let version = Ok(VERSION.as_bytes().to_vec());
        let names = ["Kernel-2026-08-01.panic", "Safari.ips"].map(str::to_owned);
        let panics = Ok(panics(names.into_iter()));
        let readings = readings(version, Ok("FileVault is On.\n".to_owned()), panics, WALL);
        assert_eq!(value(&readings, "os.name", ""), "macOS");
        assert_eq!(value(&readings, "os.version", ""), "13.6.7");
        assert_eq!(value(&readings, "os.build_id", ""), "22G720");
        assert_eq!(number(&readings, "os.support.remaining", ""), Some(-343.0));
        assert_eq!(value(&readings, "os.disk_encryption", ""), "on");
        assert_eq!(number(&readings, "os.crashes", ""), Some(1.0));
        assert!(support_days("26.1", WALL).unwrap_err().contains("26.1"));
    }

    #[test]
    fn file_vault_off_at_work_and_silent() {
        assert_eq!(encryption("FileVault is Off.\n").unwrap(), "off");
        let at_work = "FileVault is Off.\nEncryption in progress: Percent completed = 12";
        assert_eq!(encryption(at_work).unwrap(), "partial");
        assert!(encryption("").is_err());
    }

    #[test]
    fn updates_by_the_last_search() {
        let readings = update_readings(Ok(UPDATES.as_bytes().to_vec()), WALL);
        assert_eq!(number(&readings, "os.updates.pending", ""), Some(2.0));
        assert_eq!(
            number(&readings, "os.updates.last_success.age", ""),
            Some(2.0)
        );
        let never = update_readings(Ok(VERSION.as_bytes().to_vec()), WALL);
        assert!(value(&never, "os.updates.last_success.age", "").contains("never"));
        assert!(value(&never, "os.updates.pending", "").contains("keeps no"));
    }

    #[test]
    fn the_start_and_what_is_below() {
        let uptime = Reading::number(&metric::UPTIME, "", 7500.0);
        let told = start_readings(&uptime, Ok("1\n".to_owned()), WALL);
        assert_eq!(number(&told, "system.boot.time", ""), Some(1_787_550_000.0));
        assert_eq!(value(&told, "host.environment", ""), "virtual_machine");
        let told = start_readings(&uptime, Ok(String::new()), WALL);
        assert!(value(&told, "host.environment", "").starts_with("unavailable"));
    }

    #[test]
    fn low_power_by_pmset() {
        assert!(is_low_power(
            "Currently in use:\n lowpowermode         1\n sleep 1\n"
        ));
        assert!(!is_low_power(" lowpowermode         0\n"));
    }
}
