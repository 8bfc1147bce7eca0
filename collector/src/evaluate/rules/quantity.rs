//! Numbers with units, as rules write them and as evidence shows them.

use rollcall_shared::metric::Metric;

use super::error::unknown;

const KIB: f64 = 1024.0;

/// The units that stand for another one: catalogue's unit, word, factor.
const UNITS: &[(&str, &str, f64)] = &[
    ("1", "%", 0.01),
    ("By", "KiB", KIB),
    ("By", "MiB", KIB * KIB),
    ("By", "GiB", KIB * KIB * KIB),
    ("By", "TiB", KIB * KIB * KIB * KIB),
    ("By", "kB", 1e3),
    ("By", "MB", 1e6),
    ("By", "GB", 1e9),
    ("By", "TB", 1e12),
    ("s", "ms", 0.001),
    ("s", "min", 60.0),
    ("s", "m", 60.0),
    ("s", "h", 3600.0),
    ("s", "d", 86_400.0),
    ("d", "weeks", 7.0),
    ("d", "days", 1.0),
    ("Cel", "°C", 1.0),
    ("mWh", "Wh", 1000.0),
    ("h", "d", 24.0),
];

/// A number in the metric's unit from a text such as `60 %`, `5 GiB` or `10 m`.
///
/// # Errors
/// What is wrong, with the nearest unit.
pub(crate) fn parse(metric: &Metric, text: &str) -> Result<f64, String> {
    let (number, unit) = split(text)?;
    if unit.is_empty() || unit == metric.unit {
        return Ok(number);
    }
    let of_metric = UNITS.iter().filter(|(of, _, _)| *of == metric.unit);
    match of_metric.clone().find(|(_, word, _)| *word == unit) {
        Some((_, _, factor)) => Ok(number * factor),
        None => {
            let known = of_metric.map(|(_, word, _)| *word);
            let known: Vec<&str> = std::iter::once(metric.unit).chain(known).collect();
            Err(unknown(
                &format!("unit of {}", metric.name),
                unit,
                known.iter().copied(),
            ))
        }
    }
}

/// Milliseconds of a duration such as `30s`, `10m`, `2h`, `3d`.
///
/// # Errors
/// What is wrong, with the nearest unit.
pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    const LONGEST_MS: f64 = 400.0 * 86_400_000.0;
    let (number, unit) = split(text)?;
    let factor = match unit {
        "s" => 1e3,
        "m" | "min" => 60e3,
        "h" => 3_600e3,
        "d" => 86_400e3,
        "" if number == 0.0 => 0.0,
        _ => return Err(unknown("unit of time", unit, ["s", "m", "h", "d"])),
    };
    let ms = number * factor;
    if (0.0..=LONGEST_MS).contains(&ms) {
        return Ok(ms as i64);
    }
    Err(format!("`{text}` lies outside 0 to 400 d"))
}

fn split(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_');
    let at = text.find(|c| !is_number(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    match number.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((number, unit.trim())),
        _ => Err(format!("`{text}` does not begin with a number")),
    }
}

/// A number of the metric as people say it: `41 %`, `3.2 GiB`, `12 sectors`, `2 h 5 min`.
pub(crate) fn show(metric: &Metric, number: f64) -> String {
    match metric.unit {
        "1" if is_share(metric) => format!("{} %", round(number * 100.0, 3)),
        "1" => round(number, 6),
        "By" => show_bytes(number),
        "s" => show_seconds(number),
        "d" => plural(number, "day"),
        "Cel" => format!("{} °C", round(number, 3)),
        unit => match unit.strip_prefix('{').and_then(|u| u.strip_suffix('}')) {
            Some(noun) => plural(number, noun),
            None => format!("{} {unit}", round(number, 4)),
        },
    }
}

/// Milliseconds as people say them.
pub(crate) fn show_ms(ms: i64) -> String {
    show_seconds(ms as f64 / 1000.0)
}

/// Shares have bounds near one; raw values and bit masks, which have the unit `1` too, do not.
fn is_share(metric: &Metric) -> bool {
    use rollcall_shared::metric::Kind::{Counter, Gauge};
    matches!(metric.kind, Gauge { high, .. } | Counter { high, .. } if high <= 3.0)
}

fn show_bytes(bytes: f64) -> String {
    let units = [
        ("TiB", KIB * KIB * KIB * KIB),
        ("GiB", KIB * KIB * KIB),
        ("MiB", KIB * KIB),
        ("KiB", KIB),
    ];
    match units.into_iter().find(|(_, size)| bytes.abs() >= *size) {
        Some((unit, size)) => format!("{} {unit}", round(bytes / size, 3)),
        None => plural(bytes, "byte"),
    }
}

fn show_seconds(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let s = seconds.abs();
    let units = [("d", 86_400.0), ("h", 3600.0), ("min", 60.0)];
    let Some(at) = units.iter().position(|(_, size)| s >= *size) else {
        return format!("{sign}{} s", round(s, 3));
    };
    let (unit, size) = units[at];
    let (below, below_size) = units.get(at + 1).copied().unwrap_or(("s", 1.0));
    let whole = (s / size).floor();
    let rest = ((s - whole * size) / below_size).floor();
    if rest < 1.0 || whole >= 10.0 {
        return format!("{sign}{whole} {unit}");
    }
    format!("{sign}{whole} {unit} {rest} {below}")
}

fn plural(number: f64, noun: &str) -> String {
    match round(number, 4) {
        shown if shown == "1" => format!("{shown} {noun}"),
        shown => format!("{shown} {}", plural_of(noun)),
    }
}

/// Several of something: `crash` is `crashes`, `retry` is `retries`, `day` is `days`.
pub(crate) fn plural_of(noun: &str) -> String {
    let hisses = ["s", "x", "z", "ch", "sh"];
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if hisses.iter().any(|end| noun.ends_with(end)) => format!("{noun}es"),
        _ => format!("{noun}s"),
    }
}

/// The number with at most `digits` significant ones, and all of those before the point.
fn round(number: f64, digits: i32) -> String {
    if number == 0.0 || !number.is_finite() {
        return "0".to_owned();
    }
    let magnitude = number.abs().log10().floor() as i32 + 1;
    let decimals = usize::try_from((digits - magnitude).clamp(0, 6)).unwrap_or(0);
    let text = format!("{number:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::metric;

    #[test]
    fn quantities_are_read_in_their_metric_s_unit() {
        assert_eq!(parse(&metric::BATTERY_HEALTH, "60 %"), Ok(0.6));
        assert_eq!(
            parse(&metric::FILESYSTEM_FREE, "5GiB"),
            Ok(5.0 * 1_073_741_824.0)
        );
        assert_eq!(parse(&metric::UPTIME, "2 h"), Ok(7200.0));
        assert_eq!(parse(&metric::TEMPERATURE, "-4"), Ok(-4.0));
        let error = parse(&metric::FILESYSTEM_FREE, "5 Gib").unwrap_err();
        assert!(error.contains("did you mean `GiB`"), "{error}");
        assert!(parse(&metric::UPTIME, "soon").is_err());
        assert_eq!(duration_ms("10m"), Ok(600_000));
        assert_eq!(duration_ms("1.5 d"), Ok(129_600_000));
        assert!(duration_ms("10").is_err() && duration_ms("-1s").is_err());
        assert!(duration_ms("5000d").is_err());
    }

    #[test]
    fn quantities_are_shown_as_people_say_them() {
        assert_eq!(show(&metric::BATTERY_HEALTH, 0.412), "41.2 %");
        assert_eq!(show(&metric::BATTERY_HEALTH, 0.6), "60 %");
        assert_eq!(
            show(&metric::FILESYSTEM_FREE, 3.25 * 1_073_741_824.0),
            "3.25 GiB"
        );
        assert_eq!(show(&metric::DRIVE_PENDING, 1.0), "1 sector");
        assert_eq!(show(&metric::NVME_ERROR_LOG_ENTRIES, 12.0), "12 entries");
        assert_eq!(show(&metric::NVME_CRITICAL_WARNING, 4.0), "4");
        assert_eq!(show(&metric::OS_SUPPORT_REMAINING, -30.2), "-30.2 days");
        assert_eq!(show(&metric::CLOCK_OFFSET, -7500.0), "-2 h 5 min");
        assert_eq!(show(&metric::TEMPERATURE, 97.0), "97 °C");
        assert_eq!(show_ms(0), "0 s");
    }
}
