//! Heat: `/sys/class/thermal`, `/sys/class/hwmon`, and the processor's count of throttling.
//!
//! Units by the kernel's `sysfs-class-thermal` and `sysfs-interface` of hwmon: thousandths of a
//! degree Celsius, revolutions per minute.

use std::collections::BTreeMap;
use std::path::Path;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};

/// Sensors of each kind that are reported: a laptop has about ten.
const SENSORS: usize = 32;

/// A sensor's reading in degrees Celsius, and its critical limit where it has one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Heat {
    degrees: f64,
    critical: Option<f64>,
}

/// Reads every sensor, every fan, and how often heat slowed the processor.
#[must_use]
pub fn read(roots: &Roots) -> Vec<Reading> {
    let mut heats = zones(&roots.sys.join("class/thermal"));
    let mut fans = BTreeMap::new();
    let hwmon = roots.sys.join("class/hwmon");
    for folder in source::names(&hwmon) {
        monitor(&hwmon.join(folder), &mut heats, &mut fans);
    }
    let mut readings = temperatures(&heats);
    if fans.is_empty() {
        let why = "this machine has no fan that the kernel knows";
        readings.push(Reading::unavailable(&metric::FAN_SPEED, "", why));
    }
    let fans = fans.iter().take(SENSORS);
    readings.extend(fans.map(|(name, rpm)| Reading::number(&metric::FAN_SPEED, name, *rpm)));
    readings.push(source::number_or_why(
        &metric::THROTTLE_EVENTS,
        "",
        throttle_events(roots),
    ));
    readings
}

fn temperatures(heats: &BTreeMap<String, Heat>) -> Vec<Reading> {
    if heats.is_empty() {
        let why = "this machine has no temperature sensor that the kernel knows";
        return vec![Reading::unavailable(&metric::TEMPERATURE, "", why)];
    }
    let mut readings = Vec::new();
    for (name, heat) in heats.iter().take(SENSORS) {
        readings.push(Reading::number(&metric::TEMPERATURE, name, heat.degrees));
        if let Some(critical) = heat.critical {
            let headroom = critical - heat.degrees;
            readings.push(Reading::number(
                &metric::TEMPERATURE_HEADROOM,
                name,
                headroom,
            ));
        }
    }
    readings
}

fn zones(folder: &Path) -> BTreeMap<String, Heat> {
    let mut heats = BTreeMap::new();
    for zone in source::names(folder)
        .iter()
        .filter(|name| name.starts_with("thermal_zone"))
    {
        let path = folder.join(zone);
        let Ok(degrees) = milli(&path.join("temp")) else {
            continue;
        };
        let kind = source::text(&path.join("type")).unwrap_or_else(|_| zone.clone());
        let name = if heats.contains_key(&kind) {
            format!("{kind} {zone}")
        } else {
            kind
        };
        heats.insert(
            name,
            Heat {
                degrees,
                critical: critical_trip(&path),
            },
        );
    }
    heats
}

/// Firmware without a limit says zero, or one beyond any silicon.
fn believable(limit: f64) -> Option<f64> {
    (20.0..=150.0).contains(&limit).then_some(limit)
}

fn critical_trip(zone: &Path) -> Option<f64> {
    let names = source::names(zone);
    let mut types = names
        .iter()
        .filter_map(|name| name.strip_suffix("_type"))
        .filter(|name| name.starts_with("trip_point_"));
    let trip = types.find(|trip| {
        source::text(&zone.join(format!("{trip}_type"))).is_ok_and(|kind| kind == "critical")
    })?;
    believable(milli(&zone.join(format!("{trip}_temp"))).ok()?)
}

fn monitor(path: &Path, heats: &mut BTreeMap<String, Heat>, fans: &mut BTreeMap<String, f64>) {
    let chip = source::text(&path.join("name")).unwrap_or_default();
    for name in source::names(path) {
        let Some(sensor) = name.strip_suffix("_input") else {
            continue;
        };
        let label = source::text(&path.join(format!("{sensor}_label")))
            .unwrap_or_else(|_| sensor.to_owned());
        // One temperature a package tells what one a core would.
        if label.starts_with("Core ") {
            continue;
        }
        let instance = unique(format!("{chip}/{label}"), path, |name| {
            heats.contains_key(name) || fans.contains_key(name)
        });
        if sensor.starts_with("temp") {
            let Ok(degrees) = milli(&path.join(&name)) else {
                continue;
            };
            let critical = milli(&path.join(format!("{sensor}_crit")))
                .ok()
                .and_then(believable);
            heats.insert(instance, Heat { degrees, critical });
        } else if sensor.starts_with("fan") {
            let Ok(rpm) = source::number(&path.join(&name)) else {
                continue;
            };
            fans.insert(instance, rpm);
        }
    }
}

fn unique(name: String, path: &Path, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    let folder = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name} {folder}")
}

fn milli(path: &Path) -> Sourced<f64> {
    source::number(path).map(|milli| milli / 1000.0)
}

/// Each processor of a package repeats its package's count, so the greatest stands for all.
fn throttle_events(roots: &Roots) -> Sourced<f64> {
    let folder = roots.sys.join("devices/system/cpu");
    let cpus = source::names(&folder)
        .into_iter()
        .filter(|name| is_cpu(name));
    let counts = cpus.filter_map(|cpu| {
        source::number(
            &folder
                .join(cpu)
                .join("thermal_throttle/package_throttle_count"),
        )
        .ok()
    });
    counts
        .reduce(f64::max)
        .ok_or_else(|| "this processor does not count it".to_owned())
}

fn is_cpu(name: &str) -> bool {
    name.strip_prefix("cpu")
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, tree, value};

    #[test]
    fn heat_of_the_worn_laptop() {
        let readings = read(&tree());
        assert_eq!(
            number(&readings, "hw.temperature", "x86_pkg_temp"),
            Some(47.0)
        );
        assert_eq!(
            number(&readings, "hw.temperature.headroom", "acpitz"),
            Some(61.2)
        );
        assert_eq!(
            number(&readings, "hw.temperature", "nvme/Composite"),
            Some(38.85)
        );
        assert_eq!(
            number(&readings, "hw.fan.speed", "thinkpad/fan1"),
            Some(2100.0)
        );
        assert_eq!(
            number(&readings, "system.cpu.throttle_events", ""),
            Some(12.0)
        );
    }

    #[test]
    fn no_sensor_is_said() {
        let readings = read(&Roots::under(Path::new("/nonexistent")));
        assert!(value(&readings, "hw.temperature", "").contains("no temperature sensor"));
        assert!(value(&readings, "hw.fan.speed", "").contains("no fan"));
        assert_eq!(readings.len(), 3);
    }

    #[test]
    fn limits_beyond_silicon_are_no_limits() {
        assert_eq!(
            (believable(0.0), believable(65_261.8), believable(100.0)),
            (None, None, Some(100.0))
        );
    }
}
