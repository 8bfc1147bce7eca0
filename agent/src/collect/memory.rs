//! Memory and swap from `/proc/meminfo`, pressure from `/proc/pressure`.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};

/// Reads memory, swap and the three pressures.
#[must_use]
pub fn read(roots: &Roots) -> Vec<Reading> {
    let meminfo = source::text(&roots.proc.join("meminfo"));
    let field = |name: &str| {
        let text = meminfo.as_ref().map_err(Clone::clone)?;
        kilobytes(text, name).ok_or_else(|| format!("/proc/meminfo has no {name}"))
    };
    let pressure = |metric: &'static Metric, file: &str| {
        let text = source::text(&roots.proc.join("pressure").join(file));
        source::number_or_why(metric, "", text.and_then(|text| pressure(&text)))
    };
    vec![
        source::number_or_why(
            &metric::MEMORY_UTILIZATION,
            "",
            used(field("MemAvailable"), field("MemTotal")),
        ),
        source::number_or_why(
            &metric::PAGING_UTILIZATION,
            "",
            used(field("SwapFree"), field("SwapTotal")),
        ),
        pressure(&metric::PRESSURE_CPU, "cpu"),
        pressure(&metric::PRESSURE_MEMORY, "memory"),
        pressure(&metric::PRESSURE_IO, "io"),
    ]
}

/// Installed memory in bytes.
///
/// # Errors
/// Why it is not known.
pub fn total_bytes(roots: &Roots) -> Sourced<f64> {
    let text = source::text(&roots.proc.join("meminfo"))?;
    kilobytes(&text, "MemTotal")
        .map(|kb| kb * 1024.0)
        .ok_or_else(|| "/proc/meminfo has no MemTotal".to_owned())
}

/// A field of `/proc/meminfo`, in kB.
#[must_use]
pub fn kilobytes(meminfo: &str, name: &str) -> Option<f64> {
    let mut lines = meminfo.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(field, _)| *field == name)?;
    source::parse_number(value.trim().trim_end_matches("kB"))
}

fn used(free: Sourced<f64>, total: Sourced<f64>) -> Sourced<f64> {
    let (free, total) = (free?, total?);
    if total > 0.0 {
        Ok(1.0 - free / total)
    } else {
        Err("there is none".to_owned())
    }
}

/// The share of the last 300 s in which some task waited, of a file such as `/proc/pressure/io`.
fn pressure(text: &str) -> Sourced<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let percent = some.and_then(|line| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix("avg300="))
    });
    let percent = percent.and_then(source::parse_number);
    percent
        .map(|percent| percent / 100.0)
        .ok_or_else(|| "the kernel gives no avg300".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, tree, value};
    use proptest::prelude::*;

    #[test]
    fn memory_of_the_worn_laptop() {
        let readings = read(&tree());
        let used = number(&readings, "system.memory.utilization", "").unwrap();
        assert!((used - 0.625).abs() < 1e-9, "{used}");
        assert_eq!(
            number(&readings, "system.paging.utilization", ""),
            Some(0.25)
        );
        assert_eq!(number(&readings, "system.pressure.io", ""), Some(0.0391));
        assert_eq!(total_bytes(&tree()), Ok(8_388_608_000.0));
    }

    #[test]
    fn no_swap_is_not_zero_swap() {
        assert_eq!(used(Ok(0.0), Ok(0.0)), Err("there is none".to_owned()));
        let nowhere = read(&Roots::under(std::path::Path::new("/nonexistent")));
        assert!(value(&nowhere, "system.memory.utilization", "").contains("meminfo is not there"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(MemTotal:|some |.{0,30}|avg300=|\n){0,20}") {
            let _ = (kilobytes(&text, "MemTotal"), pressure(&text));
        }
    }
}
