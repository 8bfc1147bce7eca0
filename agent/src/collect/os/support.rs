//! When a vendor ends support: from `os-release` where the vendor says so, else from a table.

use std::collections::BTreeMap;

use rollcall_shared::time::{UnixMs, days_from_civil};

use crate::collect::source::Sourced;

/// (ID, VERSION_ID, last day of free security updates).
///
/// Sources: debian.csv (column `eol-lts`) and ubuntu.csv (column `eol`) of Debian's distro-info-data
/// 0.58; linuxmint.com/download_all.php; en.opensuse.org/Lifetime; Fedora's schedule for releases
/// before `SUPPORT_END` was in every `os-release`.
const TABLE: [(&str, &str, (i64, u32, u32)); 31] = [
    ("debian", "10", (2024, 6, 30)),
    ("debian", "11", (2026, 8, 31)),
    ("debian", "12", (2028, 6, 30)),
    ("debian", "13", (2030, 6, 30)),
    ("ubuntu", "18.04", (2023, 5, 31)),
    ("ubuntu", "20.04", (2025, 5, 29)),
    ("ubuntu", "20.10", (2021, 7, 22)),
    ("ubuntu", "21.04", (2022, 1, 20)),
    ("ubuntu", "21.10", (2022, 7, 14)),
    ("ubuntu", "22.04", (2027, 6, 1)),
    ("ubuntu", "22.10", (2023, 7, 20)),
    ("ubuntu", "23.04", (2024, 1, 25)),
    ("ubuntu", "23.10", (2024, 7, 11)),
    ("ubuntu", "24.04", (2029, 5, 31)),
    ("ubuntu", "24.10", (2025, 7, 10)),
    ("ubuntu", "25.04", (2026, 1, 15)),
    ("ubuntu", "25.10", (2026, 7, 9)),
    ("ubuntu", "26.04", (2031, 5, 29)),
    ("linuxmint", "20", (2025, 4, 30)),
    ("linuxmint", "21", (2027, 4, 30)),
    ("linuxmint", "22", (2029, 4, 30)),
    ("fedora", "36", (2023, 5, 16)),
    ("fedora", "37", (2023, 12, 5)),
    ("fedora", "38", (2024, 5, 21)),
    ("fedora", "39", (2024, 11, 26)),
    ("fedora", "40", (2025, 5, 13)),
    ("fedora", "41", (2025, 12, 15)),
    ("opensuse-leap", "15.4", (2023, 12, 7)),
    ("opensuse-leap", "15.5", (2024, 12, 31)),
    ("opensuse-leap", "15.6", (2026, 4, 30)),
    ("opensuse-leap", "16.0", (2027, 10, 31)),
];

/// Systems that have no release to run out.
const ROLLING: [&str; 6] = [
    "arch",
    "manjaro",
    "opensuse-tumbleweed",
    "gentoo",
    "void",
    "endeavouros",
];

/// Whole days from `wall` to the end of support; negative once it is over.
///
/// # Errors
/// Why the end is not known.
pub fn days_left(release: &BTreeMap<String, String>, wall: UnixMs) -> Sourced<f64> {
    let end_day = end_day(release)?;
    Ok((end_day - wall.seconds().div_euclid(86_400)) as f64)
}

fn end_day(release: &BTreeMap<String, String>) -> Sourced<i64> {
    let field = |key: &str| release.get(key).map_or("", String::as_str);
    if let Some(day) = parse_date(field("SUPPORT_END")) {
        return Ok(day);
    }
    let (id, version) = (field("ID"), field("VERSION_ID"));
    if ROLLING.contains(&id) {
        return Err(format!("{id} rolls on without releases"));
    }
    let row = TABLE
        .iter()
        .find(|row| row.0 == id && is_version(version, row.1));
    let (year, month, day) = row
        .ok_or_else(|| format!("no end of support is known for `{id} {version}`"))?
        .2;
    Ok(days_from_civil(year, month, day))
}

/// Mint's and Debian's point releases share the end of their series.
fn is_version(version: &str, listed: &str) -> bool {
    version
        .strip_prefix(listed)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-').map(str::parse::<u32>);
    let (year, month, day) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let fits = (2000..3000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    fits.then(|| days_from_civil(i64::from(year), month, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-08-24.
    const WALL: UnixMs = UnixMs(1_787_557_500_000);

    fn days(fields: &[(&str, &str)]) -> Sourced<f64> {
        let release = fields
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        days_left(&release.collect(), WALL)
    }

    #[test]
    fn the_vendors_word_comes_before_the_table() {
        assert_eq!(
            days(&[
                ("ID", "fedora"),
                ("VERSION_ID", "39"),
                ("SUPPORT_END", "2026-08-25")
            ]),
            Ok(1.0)
        );
        assert_eq!(
            days(&[("ID", "ubuntu"), ("VERSION_ID", "25.04")]),
            Ok(-221.0)
        );
        assert_eq!(
            days(&[("ID", "linuxmint"), ("VERSION_ID", "21.3")]),
            days(&[("ID", "linuxmint"), ("VERSION_ID", "21")])
        );
        assert!(
            days(&[("ID", "debian"), ("VERSION_ID", "1")]).is_err(),
            "1 is not 10"
        );
        assert!(days(&[("ID", "arch")]).unwrap_err().contains("rolls on"));
        assert!(
            days(&[
                ("ID", "ubuntu"),
                ("VERSION_ID", "99.04"),
                ("SUPPORT_END", "soon")
            ])
            .is_err()
        );
    }
}
