//! InfluxDB's line protocol: all numbers of a report in one line, which is the least text that
//! carries them. VictoriaMetrics takes it too.

use std::fmt::Write as _;
use std::ops::Range;

use rollcall_shared::metric;

use super::series::Series;

/// The lines of a laptop's reports; empty where it slept.
pub(super) fn lines(series: &Series, device: usize, reports: Range<usize>) -> String {
    let names = &series.header.devices[device];
    let (number, site) = (names.number, names.site.replace(' ', "\\ "));
    let mut text = String::new();
    for report in reports {
        let Some(numbers) = series.report(device, report) else {
            continue;
        };
        let start = text.len();
        let _ = write!(text, "rollcall,device=laptop-{number:06},site={site} ");
        let fields = text.len();
        for ((code, instance), value) in names.series.iter().zip(numbers) {
            if !value.is_nan() {
                let comma = if text.len() == fields { "" } else { "," };
                let _ = write!(text, "{comma}{}={value}", field(*code, instance));
            }
        }
        if text.len() == fields {
            text.truncate(start);
        } else {
            let _ = writeln!(text, " {}", series.at(report).0);
        }
    }
    text
}

/// A field's name: the metric's, and the instance where there is one.
pub(super) fn field(code: u16, instance: &str) -> String {
    let name = metric::by_code(code).map_or("unknown", |metric| metric.name);
    let joined = if instance.is_empty() {
        name.to_owned()
    } else {
        format!("{name}_{instance}")
    };
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        }
    };
    joined.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_nothing_to_escape() {
        assert_eq!(
            field(metric::BATTERY_CHARGE.code, "BAT0"),
            "hw_battery_charge_BAT0"
        );
        assert_eq!(
            field(metric::CPU_UTILIZATION.code, ""),
            "system_cpu_utilization"
        );
    }
}
