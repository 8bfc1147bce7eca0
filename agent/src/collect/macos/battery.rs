//! The battery by IOKit's `AppleSmartBattery`, as `ioreg` lists it: mAh, mV, mA, hundredths of a degree,
//! minutes. On Apple silicon `MaxCapacity` is a percentage that Apple has smoothed; the raw capacities tell
//! what the cells hold.

use plist::Dictionary;
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;

use super::{first_object, flag, number, text};
use crate::collect::battery::DRAIN_W;
use crate::collect::source::{self, Sourced};

/// The instance: a Mac has one battery.
const NAME: &str = "BAT0";

/// Volts of a lithium cell in the middle of its charge, by which mAh become mWh: the registry tells no design
/// voltage, and the one of the moment moves with the charge.
const CELL_VOLTS: f64 = 3.8;

/// `TimeRemaining` while it is not known.
const UNKNOWN_MINUTES: f64 = 65_535.0;

/// Cells that are reported: those of the largest portable Mac are four in a row.
const CELLS: usize = 8;

/// Capacities below this are percentages.
const LEAST_MAH: f64 = 200.0;

/// What the battery says; nothing on a Mac without one.
#[must_use]
pub fn readings(ioreg: Sourced<Vec<u8>>) -> Vec<Reading> {
    let bytes = match ioreg {
        Ok(bytes) if bytes.trim_ascii().is_empty() => return Vec::new(),
        Ok(bytes) => bytes,
        Err(why) => return vec![Reading::unavailable(&metric::BATTERY_STATE, NAME, &why)],
    };
    match first_object(&bytes) {
        Ok(battery) if flag(&battery, "BatteryInstalled") == Some(false) => Vec::new(),
        Ok(battery) => of_battery(&Battery(battery)),
        Err(why) => vec![Reading::unavailable(&metric::BATTERY_STATE, NAME, &why)],
    }
}

struct Battery(Dictionary);

fn of_battery(battery: &Battery) -> Vec<Reading> {
    let number = |metric: &'static Metric, value| source::number_or_why(metric, NAME, value);
    let model = [battery.text("Manufacturer"), battery.text("DeviceName")];
    let model: Vec<String> = model.into_iter().flatten().collect();
    let watts = battery.charger_w();
    let mut readings = battery.cells();
    readings.extend([
        Reading::text(&metric::BATTERY_STATE, NAME, battery.state()),
        number(&metric::BATTERY_CHARGE, battery.charge()),
        number(&metric::BATTERY_HEALTH, battery.health()),
        number(
            &metric::BATTERY_FULL_CAPACITY,
            battery.full_mah().and_then(|mah| battery.mwh(mah)),
        ),
        number(
            &metric::BATTERY_DESIGN_CAPACITY,
            battery.design_mah().and_then(|mah| battery.mwh(mah)),
        ),
        number(&metric::BATTERY_CYCLES, battery.number("CycleCount")),
        number(&metric::BATTERY_POWER, battery.power_w()),
        number(
            &metric::BATTERY_VOLTAGE,
            battery.number("Voltage").map(|mv| mv / 1e3),
        ),
        number(
            &metric::BATTERY_TEMPERATURE,
            battery.number("Temperature").map(|t| t / 100.0),
        ),
        number(&metric::BATTERY_TIME_LEFT, battery.time_left_s()),
        Reading::unavailable(
            &metric::BATTERY_CHARGE_LIMIT,
            NAME,
            "macOS moves its limit by itself",
        ),
        source::text_or_why(&metric::BATTERY_MODEL, NAME, Ok(model.join(" "))),
        source::text_or_why(&metric::BATTERY_CONDITION, NAME, battery.condition()),
        source::flag_or_why(&metric::CHARGER_CONNECTED, "", battery.is_connected()),
        source::flag_or_why(&metric::CHARGER_ADEQUATE, "", battery.is_charger_adequate()),
        source::number_or_why(&metric::CHARGER_POWER, "", watts),
    ]);
    readings
}

impl Battery {
    fn number(&self, key: &str) -> Sourced<f64> {
        number(&self.0, key).ok_or_else(|| format!("the battery tells no {key}"))
    }

    fn text(&self, key: &str) -> Option<String> {
        text(&self.0, key)
    }

    fn is_connected(&self) -> Sourced<bool> {
        flag(&self.0, "ExternalConnected")
            .ok_or_else(|| "the battery tells no ExternalConnected".to_owned())
    }

    fn state(&self) -> &'static str {
        let is = |key| flag(&self.0, key) == Some(true);
        match self.is_connected() {
            _ if is("IsCharging") => "charging",
            Ok(true) if is("FullyCharged") => "full",
            Ok(true) => "not_charging",
            Ok(false) => "discharging",
            Err(_) => "unknown",
        }
    }

    /// The present share of full; what Apple shows where both are percentages.
    fn charge(&self) -> Sourced<f64> {
        let (now, full) = (self.number("CurrentCapacity")?, self.number("MaxCapacity")?);
        if full > 0.0 {
            Ok(now / full)
        } else {
            Err("the battery says that full is zero".to_owned())
        }
    }

    fn full_mah(&self) -> Sourced<f64> {
        let raw = self
            .number("AppleRawMaxCapacity")
            .or_else(|_| self.number("NominalChargeCapacity"));
        let full = raw.or_else(|_| self.number("MaxCapacity"))?;
        if full < LEAST_MAH {
            return Err("the battery tells its capacity as a percentage only".to_owned());
        }
        Ok(full)
    }

    fn design_mah(&self) -> Sourced<f64> {
        self.number("DesignCapacity").and_then(|mah| {
            if mah < LEAST_MAH {
                Err("the battery tells no capacity when new".to_owned())
            } else {
                Ok(mah)
            }
        })
    }

    fn health(&self) -> Sourced<f64> {
        Ok(self.full_mah()? / self.design_mah()?)
    }

    fn mwh(&self, mah: f64) -> Sourced<f64> {
        match self.cell_mv().len() {
            0 => Err("the battery does not tell its cells".to_owned()),
            cells => Ok(mah * cells as f64 * CELL_VOLTS),
        }
    }

    /// Millivolts of each cell; places without one are zero.
    fn cell_mv(&self) -> Vec<f64> {
        let data = self
            .0
            .get("BatteryData")
            .and_then(plist::Value::as_dictionary);
        let cells = data.and_then(|data| data.get("CellVoltage")?.as_array());
        let told = cells.into_iter().flatten().take(CELLS);
        told.filter_map(|cell| cell.as_unsigned_integer().filter(|mv| *mv > 0))
            .map(|mv| mv as f64)
            .collect()
    }

    fn cells(&self) -> Vec<Reading> {
        let cells = self.cell_mv().into_iter().enumerate();
        cells
            .map(|(at, mv)| {
                let instance = format!("{NAME}/{}", at + 1);
                Reading::number(&metric::BATTERY_CELL_VOLTAGE, &instance, mv / 1e3)
            })
            .collect()
    }

    /// The battery's own chip counts reasons to give up for good.
    fn condition(&self) -> Sourced<String> {
        let failures = self.number("PermanentFailureStatus")?;
        Ok(if failures > 0.0 { "failure" } else { "good" }.to_owned())
    }

    fn is_charger_adequate(&self) -> Sourced<bool> {
        if !self.is_connected()? {
            return Err("no charger is connected".to_owned());
        }
        Ok(!self.power_w().is_ok_and(|watts| watts < -DRAIN_W))
    }

    fn power_w(&self) -> Sourced<f64> {
        let ma = self
            .number("InstantAmperage")
            .or_else(|_| self.number("Amperage"))?;
        Ok(ma * self.number("Voltage")? / 1e6)
    }

    fn time_left_s(&self) -> Sourced<f64> {
        if !matches!(self.state(), "charging" | "discharging") {
            return Err("the battery neither charges nor discharges".to_owned());
        }
        match self.number("TimeRemaining")? {
            minutes if minutes >= UNKNOWN_MINUTES || minutes <= 0.0 => {
                Err("macOS still works it out".to_owned())
            }
            minutes => Ok(minutes * 60.0),
        }
    }

    fn charger_w(&self) -> Sourced<f64> {
        let adapter = self
            .0
            .get("AdapterDetails")
            .and_then(plist::Value::as_dictionary);
        let watts = adapter
            .and_then(|adapter| number(adapter, "Watts"))
            .filter(|watts| *watts > 0.0);
        watts.ok_or_else(|| "no charger tells it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    const APPLE_SILICON: &[u8] = include_bytes!("../fixtures/macos/battery_apple_silicon.plist");

    fn altered(from: &str, to: &str) -> Vec<Reading> {
        let text = String::from_utf8_lossy(APPLE_SILICON).replace(from, to);
        readings(Ok(text.into_bytes()))
    }

    #[test]
    fn apple_silicon_by_its_raw_capacities() {
        let readings = readings(Ok(APPLE_SILICON.to_vec()));
        let of = |metric| number(&readings, metric, NAME);
        assert_eq!(value(&readings, "hw.battery.state", NAME), "discharging");
        assert_eq!(of("hw.battery.health"), Some(3800.0 / 4382.0));
        assert_eq!(of("hw.battery.charge"), Some(0.76));
        assert_eq!(
            (of("hw.battery.cycles"), of("hw.battery.temperature")),
            (Some(312.0), Some(30.41))
        );
        let design = of("hw.battery.design_capacity").unwrap();
        assert!((design - 4382.0 * 3.0 * CELL_VOLTS).abs() < 1e-6);
        let power = of("hw.battery.power").unwrap();
        assert!(
            (power + 0.532 * 11.8).abs() < 1e-9,
            "negative in 64 bits without a sign: {power}"
        );
        assert_eq!(of("hw.battery.time_left"), Some(25_200.0));
        assert_eq!(value(&readings, "hw.battery.charger.connected", ""), "no");
        assert!(value(&readings, "hw.battery.charger.power", "").starts_with("unavailable"));
        assert_eq!(value(&readings, "hw.battery.condition", NAME), "good");
        assert_eq!(
            number(&readings, "hw.battery.cell.voltage", "BAT0/3"),
            Some(3.933)
        );
        let adequate = value(&readings, "hw.battery.charger.adequate", "");
        assert!(adequate.contains("no charger"), "{adequate}");
    }

    #[test]
    fn a_charger_a_percentage_and_a_time_that_is_not_known() {
        let charging = altered(
            "<key>IsCharging</key><false/>",
            "<key>IsCharging</key><true/>",
        );
        assert_eq!(value(&charging, "hw.battery.state", NAME), "charging");
        let unknown = altered("<integer>420</integer>", "<integer>65535</integer>");
        assert!(value(&unknown, "hw.battery.time_left", NAME).contains("works it out"));
        let smoothed = altered("AppleRawMaxCapacity", "Other");
        assert!(value(&smoothed, "hw.battery.health", NAME).contains("percentage only"));
        let adapter = altered(
            "<key>FamilyCode</key><integer>0</integer>",
            "<key>Watts</key><integer>30</integer>",
        );
        assert_eq!(number(&adapter, "hw.battery.charger.power", ""), Some(30.0));
        let weak = altered(
            "<key>ExternalConnected</key><false/>",
            "<key>ExternalConnected</key><true/>",
        );
        assert_eq!(value(&weak, "hw.battery.charger.adequate", ""), "no");
        let failed = altered(
            "<key>PermanentFailureStatus</key><integer>0</integer>",
            "<key>PermanentFailureStatus</key><integer>1</integer>",
        );
        assert_eq!(value(&failed, "hw.battery.condition", NAME), "failure");
    }

    #[test]
    fn a_mac_without_a_battery_has_no_readings_and_nonsense_has_words() {
        assert_eq!(readings(Ok(Vec::new())), []);
        assert_eq!(
            altered(
                "<key>BatteryInstalled</key><true/>",
                "<key>BatteryInstalled</key><false/>"
            ),
            []
        );
        let nonsense = readings(Ok(b"<plist><array></array></plist>".to_vec()));
        assert!(value(&nonsense, "hw.battery.state", NAME).contains("lists nothing"));
    }
}
