//! Heat by the ACPI thermal zones. Source: Microsoft's `MSAcpi_ThermalZoneTemperature` (tenths of a kelvin).
//! Many laptops have one zone that never moves, or none; Windows tells neither fans nor throttling.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::wmi::Row;
use crate::collect::source::Sourced;

/// Zones that are reported: a laptop has up to ten.
const ZONES: usize = 32;

/// What is believed of a zone and of its limit, in degrees Celsius: firmware also says 0 K and 255 degrees.
const BELIEVED: std::ops::RangeInclusive<f64> = -20.0..=150.0;

/// What is reported of the zones.
#[must_use]
pub fn readings(zones: Sourced<Vec<Row>>) -> Vec<Reading> {
    let zones = match zones {
        Ok(zones) => zones,
        Err(why) => return vec![Reading::unavailable(&metric::TEMPERATURE, "", &why)],
    };
    let readings: Vec<Reading> = zones.iter().take(ZONES).flat_map(of_zone).collect();
    if readings.is_empty() {
        let why = "the firmware has no thermal zone that tells its temperature";
        return vec![Reading::unavailable(&metric::TEMPERATURE, "", why)];
    }
    readings
}

fn of_zone(zone: &Row) -> Vec<Reading> {
    let celsius = |property: &str| {
        let degrees = zone.number(property)? / 10.0 - 273.15;
        BELIEVED.contains(&degrees).then_some(degrees)
    };
    let Some(degrees) = celsius("CurrentTemperature") else {
        return Vec::new();
    };
    let name = name(zone.text("InstanceName").unwrap_or_default());
    let mut readings = vec![Reading::number(&metric::TEMPERATURE, name, degrees)];
    if let Some(limit) = celsius("CriticalTripPoint").filter(|limit| *limit > 20.0) {
        readings.push(Reading::number(
            &metric::TEMPERATURE_HEADROOM,
            name,
            limit - degrees,
        ));
    }
    readings
}

/// `ACPI\ThermalZone\THM0_0` is `THM0`.
fn name(instance: &str) -> &str {
    let last = instance.rsplit('\\').next().unwrap_or_default();
    last.rsplit_once('_').map_or(last, |(name, _)| name)
}

#[cfg(windows)]
pub use self::native::read;

#[cfg(windows)]
mod native {
    use rollcall_shared::reading::Reading;

    use super::readings;
    use crate::collect::windows::wmi;

    /// Reads every zone.
    pub fn read() -> Vec<Reading> {
        let properties = ["InstanceName", "CurrentTemperature", "CriticalTripPoint"];
        readings(wmi::query(
            r"ROOT\WMI",
            "MSAcpi_ThermalZoneTemperature",
            &properties,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::wmi::Value;
    use super::*;
    use crate::collect::testing::{number, value};

    fn zone(name: &str, now: f64, critical: f64) -> Row {
        Row::new([
            ("InstanceName".to_owned(), Value::Text(name.to_owned())),
            ("CurrentTemperature".to_owned(), Value::Number(now)),
            ("CriticalTripPoint".to_owned(), Value::Number(critical)),
        ])
    }

    #[test]
    fn a_zone_with_its_limit_and_one_that_says_nonsense() {
        let zones = vec![
            zone(r"ACPI\ThermalZone\THM0_0", 3232.0, 3782.0),
            zone(r"ACPI\ThermalZone\TZ01_0", 0.0, 0.0),
            zone(r"ACPI\ThermalZone\CPUZ_0", 3002.0, 0.0),
        ];
        let readings = readings(Ok(zones));
        assert!((number(&readings, "hw.temperature", "THM0").unwrap() - 50.05).abs() < 1e-9);
        assert!(
            (number(&readings, "hw.temperature.headroom", "THM0").unwrap() - 55.0).abs() < 1e-9
        );
        assert_eq!(value(&readings, "hw.temperature", "TZ01"), "absent");
        assert_eq!(
            value(&readings, "hw.temperature.headroom", "CPUZ"),
            "absent"
        );
        let none = super::readings(Ok(Vec::new()));
        assert!(value(&none, "hw.temperature", "").contains("no thermal zone"));
        let failed = super::readings(Err("not supported".to_owned()));
        assert_eq!(
            value(&failed, "hw.temperature", ""),
            "unavailable: not supported"
        );
    }
}
