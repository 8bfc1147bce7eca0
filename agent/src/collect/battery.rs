//! Batteries and chargers from `/sys/class/power_supply/*/uevent`.
//!
//! Source of names and units: the kernel's `Documentation/ABI/testing/sysfs-class-power` (µAh, µWh,
//! µV, µA, µW, tenths of a degree). Firmware leaves out, zeroes and invents values: what makes no
//! sense is unavailable with the reason, never a number.

use std::collections::BTreeMap;

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};

/// Reads every battery of the laptop and whether a charger is connected; nothing where there is no
/// battery. Batteries of mice and headsets are not the laptop's.
#[must_use]
pub fn read(roots: &Roots) -> Vec<Reading> {
    let folder = roots.sys.join("class/power_supply");
    let supplies = source::names(&folder).into_iter().map(|name| {
        let path = folder.join(&name);
        let mut supply = Supply::parse(
            &name,
            &source::text(&path.join("uevent")).unwrap_or_default(),
        );
        for (key, file) in FILES_BESIDE {
            if let Ok(text) = source::text(&path.join(file)) {
                supply.values.entry(key.to_owned()).or_insert(text);
            }
        }
        supply
    });
    readings(&supplies.collect::<Vec<_>>())
}

/// Keys that some kernels leave out of `uevent` though the file is there.
const FILES_BESIDE: [(&str, &str); 5] = [
    ("HEALTH", "health"),
    ("TYPE", "type"),
    ("SCOPE", "scope"),
    ("ONLINE", "online"),
    (
        "CHARGE_CONTROL_END_THRESHOLD",
        "charge_control_end_threshold",
    ),
];

/// One folder of `/sys/class/power_supply`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply {
    name: String,
    values: BTreeMap<String, String>,
}

impl Supply {
    /// Parses a `uevent` file.
    #[must_use]
    pub fn parse(name: &str, uevent: &str) -> Self {
        let lines = uevent
            .lines()
            .filter_map(|line| line.strip_prefix("POWER_SUPPLY_")?.split_once('='));
        let values = lines
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect();
        Self {
            name: name.to_owned(),
            values,
        }
    }

    fn text(&self, key: &str) -> &str {
        self.values.get(key).map_or("", String::as_str)
    }

    fn number(&self, key: &str) -> Option<f64> {
        source::parse_number(self.text(key))
    }

    /// A number in the kernel's millionths, as a whole.
    fn micro(&self, key: &str) -> Option<f64> {
        self.number(key).map(|micro| micro / 1e6)
    }

    fn is_battery(&self) -> bool {
        let kind = self.text("TYPE");
        let is_battery = kind == "Battery" || (kind.is_empty() && self.name.starts_with("BAT"));
        is_battery && self.text("SCOPE") != "Device" && self.text("PRESENT") != "0"
    }

    fn is_charger(&self) -> bool {
        matches!(self.text("TYPE"), "Mains" | "USB" | "Wireless") && self.text("SCOPE") != "Device"
    }
}

/// What the supplies of one laptop say.
#[must_use]
pub fn readings(supplies: &[Supply]) -> Vec<Reading> {
    let batteries: Vec<&Supply> = supplies
        .iter()
        .filter(|supply| supply.is_battery())
        .collect();
    if batteries.is_empty() {
        return Vec::new();
    }
    let chargers: Vec<&Supply> = supplies
        .iter()
        .filter(|supply| supply.is_charger())
        .collect();
    let connected = connected(&chargers);
    let adequate = adequate(&connected, &batteries);
    let mut readings: Vec<Reading> = batteries.into_iter().flat_map(battery).collect();
    readings.push(source::flag_or_why(
        &metric::CHARGER_CONNECTED,
        "",
        connected,
    ));
    readings.push(source::flag_or_why(&metric::CHARGER_ADEQUATE, "", adequate));
    readings.push(charger_power(&chargers));
    readings
}

fn battery(supply: &Supply) -> Vec<Reading> {
    let number =
        |metric: &'static Metric, value| source::number_or_why(metric, &supply.name, value);
    let state = state(supply.text("STATUS"));
    vec![
        Reading::text(&metric::BATTERY_STATE, &supply.name, state),
        number(&metric::BATTERY_CHARGE, charge(supply)),
        number(&metric::BATTERY_HEALTH, health(supply)),
        number(&metric::BATTERY_FULL_CAPACITY, capacity_mwh(supply, "FULL")),
        number(
            &metric::BATTERY_DESIGN_CAPACITY,
            capacity_mwh(supply, "FULL_DESIGN"),
        ),
        number(&metric::BATTERY_CYCLES, cycles(supply)),
        number(&metric::BATTERY_POWER, power_w(supply, state)),
        number(
            &metric::BATTERY_VOLTAGE,
            known(supply.micro("VOLTAGE_NOW"), "voltage"),
        ),
        number(
            &metric::BATTERY_TEMPERATURE,
            known(supply.number("TEMP").map(|t| t / 10.0), "temperature"),
        ),
        number(&metric::BATTERY_TIME_LEFT, time_left_s(supply, state)),
        number(&metric::BATTERY_CHARGE_LIMIT, Ok(charge_limit(supply))),
        source::text_or_why(&metric::BATTERY_MODEL, &supply.name, Ok(model(supply))),
        source::text_or_why(
            &metric::BATTERY_CONDITION,
            &supply.name,
            condition(supply.text("HEALTH")),
        ),
    ]
}

fn state(status: &str) -> &'static str {
    match status {
        "Charging" => "charging",
        "Discharging" => "discharging",
        "Full" => "full",
        "Not charging" => "not_charging",
        _ => "unknown",
    }
}

/// A capacity in mWh, from energy, or from charge at the design voltage as the kernel's ACPI
/// documentation advises; the voltage of the moment only where there is no other.
fn capacity_mwh(supply: &Supply, what: &str) -> Sourced<f64> {
    let energy = supply.number(&format!("ENERGY_{what}"));
    let charge = supply.number(&format!("CHARGE_{what}"));
    let mwh = match (energy, charge) {
        (Some(uwh), _) => uwh / 1e3,
        (None, Some(uah)) => {
            uah / 1e3 * volts(supply).ok_or("the firmware tells charge but no voltage")?
        }
        (None, None) => return Err("the firmware does not tell it".to_owned()),
    };
    if mwh > 0.0 {
        Ok(mwh)
    } else {
        Err("the firmware says zero".to_owned())
    }
}

fn volts(supply: &Supply) -> Option<f64> {
    let keys = ["VOLTAGE_MIN_DESIGN", "VOLTAGE_MAX_DESIGN", "VOLTAGE_NOW"];
    keys.iter()
        .find_map(|key| supply.micro(key).filter(|volts| *volts > 0.0))
}

/// Full as a share of design; where both are told as charge it needs no voltage.
fn health(supply: &Supply) -> Sourced<f64> {
    let charges = |what| {
        supply
            .number(&format!("CHARGE_{what}"))
            .filter(|charge| *charge > 0.0)
    };
    let tells_energy = supply.number("ENERGY_FULL").is_some();
    if let (false, Some(full), Some(design)) =
        (tells_energy, charges("FULL"), charges("FULL_DESIGN"))
    {
        return Ok(full / design);
    }
    let full = capacity_mwh(supply, "FULL").map_err(|why| format!("capacity when full: {why}"))?;
    let design =
        capacity_mwh(supply, "FULL_DESIGN").map_err(|why| format!("capacity when new: {why}"))?;
    Ok(full / design)
}

fn charge(supply: &Supply) -> Sourced<f64> {
    let ratio = |now: &str, full: &str| {
        let (now, full) = (supply.number(now)?, supply.number(full)?);
        (full > 0.0).then_some(now / full)
    };
    let charge = ratio("ENERGY_NOW", "ENERGY_FULL").or_else(|| ratio("CHARGE_NOW", "CHARGE_FULL"));
    known(
        charge.or_else(|| Some(supply.number("CAPACITY")? / 100.0)),
        "charge",
    )
}

fn cycles(supply: &Supply) -> Sourced<f64> {
    match supply.number("CYCLE_COUNT") {
        Some(cycles) if cycles > 0.0 => Ok(cycles),
        Some(_) => Err("the firmware says zero, which also stands for not counted".to_owned()),
        None => Err("the firmware does not count cycles".to_owned()),
    }
}

/// Firmware disagrees about the sign, so the state decides it.
fn power_w(supply: &Supply, state: &str) -> Sourced<f64> {
    let product = || Some(supply.micro("CURRENT_NOW")? * supply.micro("VOLTAGE_NOW")?);
    let power = known(supply.micro("POWER_NOW").or_else(product), "power")?.abs();
    Ok(if state == "discharging" {
        -power
    } else {
        power
    })
}

fn time_left_s(supply: &Supply, state: &str) -> Sourced<f64> {
    let told = match state {
        "discharging" => supply.number("TIME_TO_EMPTY_NOW"),
        "charging" => supply.number("TIME_TO_FULL_NOW"),
        _ => return Err("the battery neither charges nor discharges".to_owned()),
    };
    if let Some(seconds) = told.filter(|seconds| *seconds > 0.0) {
        return Ok(seconds);
    }
    let watts = power_w(supply, state)?.abs();
    let (now, full) = (capacity_mwh(supply, "NOW")?, capacity_mwh(supply, "FULL")?);
    let left_mwh = if state == "charging" {
        (full - now).max(0.0)
    } else {
        now
    };
    // Below a tenth of a watt the meter shows noise, and the quotient would be days.
    if watts < 0.1 {
        Err("too little power flows to tell".to_owned())
    } else {
        Ok(left_mwh / 1e3 / watts * 3600.0)
    }
}

fn charge_limit(supply: &Supply) -> f64 {
    let percent = supply.number("CHARGE_CONTROL_END_THRESHOLD");
    percent
        .filter(|percent| *percent > 0.0)
        .map_or(1.0, |percent| percent / 100.0)
}

fn model(supply: &Supply) -> String {
    format!(
        "{} {}",
        supply.text("MANUFACTURER"),
        supply.text("MODEL_NAME")
    )
    .trim()
    .to_owned()
}

fn connected(chargers: &[&Supply]) -> Sourced<bool> {
    let online: Vec<f64> = chargers
        .iter()
        .filter_map(|charger| charger.number("ONLINE"))
        .collect();
    if online.is_empty() {
        return Err("the firmware lists no charger".to_owned());
    }
    Ok(online.iter().any(|online| *online > 0.0))
}

/// Power out of a battery beside a charger that is more than the meter's noise.
pub const DRAIN_W: f64 = 1.0;

/// A charger that carries the laptop leaves no battery to empty. Whatever watts it claims, this is
/// what its user notices.
fn adequate(connected: &Sourced<bool>, batteries: &[&Supply]) -> Sourced<bool> {
    if !connected.clone()? {
        return Err("no charger is connected".to_owned());
    }
    let is_draining = batteries.iter().any(|supply| {
        let state = state(supply.text("STATUS"));
        state == "discharging" && power_w(supply, state).is_ok_and(|watts| watts < -DRAIN_W)
    });
    Ok(!is_draining)
}

/// By the words of `Documentation/ABI/testing/sysfs-class-power`, key `health`.
fn condition(health: &str) -> Sourced<String> {
    let word = match health {
        "Good" | "Warm" | "Cool" => "good",
        "Calibration required" | "Cell imbalance" => "service",
        "Overheat" | "Hot" => "overheat",
        "Cold" => "cold",
        "Over voltage" | "Over current" => "over_voltage",
        "Dead" | "Blown fuse" | "No battery" => "dead",
        "Unspecified failure" | "Watchdog timer expire" | "Safety timer expire" => "failure",
        _ => return Err("the firmware does not judge the battery".to_owned()),
    };
    Ok(word.to_owned())
}

/// What USB Power Delivery has agreed on; barrel plugs do not tell.
fn charger_power(chargers: &[&Supply]) -> Reading {
    let online = chargers
        .iter()
        .filter(|charger| charger.number("ONLINE").is_some_and(|on| on > 0.0));
    let watts = online.filter_map(|charger| {
        let volts = charger.micro("VOLTAGE_NOW").filter(|volts| *volts > 0.0);
        Some(volts.or_else(|| charger.micro("VOLTAGE_MAX"))? * charger.micro("CURRENT_MAX")?)
    });
    let most = watts.filter(|watts| *watts > 0.0).reduce(f64::max);
    source::number_or_why(
        &metric::CHARGER_POWER,
        "",
        most.ok_or_else(|| "no charger tells it".to_owned()),
    )
}

fn known(value: Option<f64>, what: &str) -> Sourced<f64> {
    value.ok_or_else(|| format!("the firmware does not tell the {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};
    use proptest::prelude::*;

    fn one(uevent: &str) -> Vec<Reading> {
        readings(&[Supply::parse("BAT0", uevent)])
    }

    const ENERGY: &str = include_str!("fixtures/battery/energy_worn_discharging.uevent");
    const CHARGE: &str = include_str!("fixtures/battery/charge_limited.uevent");

    #[test]
    fn a_battery_that_counts_energy() {
        let readings = one(ENERGY);
        assert_eq!(
            number(&readings, "hw.battery.design_capacity", "BAT0"),
            Some(50_020.0)
        );
        let health = number(&readings, "hw.battery.health", "BAT0").unwrap();
        assert!((health - 22_000.0 / 50_020.0).abs() < 1e-9);
        assert_eq!(number(&readings, "hw.battery.power", "BAT0"), Some(-8.8));
        assert_eq!(
            number(&readings, "hw.battery.time_left", "BAT0"),
            Some(4500.0)
        );
        assert_eq!(number(&readings, "hw.battery.cycles", "BAT0"), Some(612.0));
        assert_eq!(
            number(&readings, "hw.battery.temperature", "BAT0"),
            Some(31.2)
        );
        assert_eq!(
            value(&readings, "hw.battery.model", "BAT0"),
            "SMP LNV-5B10W13930"
        );
    }

    #[test]
    fn a_battery_that_counts_charge_and_stops_at_a_limit() {
        let readings = one(CHARGE);
        assert_eq!(
            number(&readings, "hw.battery.full_charge_capacity", "BAT0"),
            Some(42_750.0)
        );
        assert_eq!(
            number(&readings, "hw.battery.charge_limit", "BAT0"),
            Some(0.8)
        );
        assert_eq!(value(&readings, "hw.battery.state", "BAT0"), "not_charging");
        assert!(
            value(&readings, "hw.battery.cycles", "BAT0")
                .starts_with("unavailable: the firmware says zero")
        );
    }

    #[test]
    fn what_firmware_gets_wrong_is_not_a_number() {
        let zero = one("POWER_SUPPLY_ENERGY_FULL_DESIGN=0\nPOWER_SUPPLY_ENERGY_FULL=30000000\n");
        assert!(
            value(&zero, "hw.battery.health", "BAT0")
                .contains("capacity when new: the firmware says zero")
        );
        let huge = one("POWER_SUPPLY_ENERGY_FULL_DESIGN=100\nPOWER_SUPPLY_ENERGY_FULL=30000000\n");
        assert!(value(&huge, "hw.battery.health", "BAT0").contains("outside"));
        let over =
            one("POWER_SUPPLY_ENERGY_FULL_DESIGN=40000000\nPOWER_SUPPLY_ENERGY_FULL=41000000\n");
        assert_eq!(number(&over, "hw.battery.health", "BAT0"), Some(1.025));
    }

    #[test]
    fn a_mouse_an_empty_bay_and_a_desktop_have_no_battery() {
        let mouse = Supply::parse(
            "hidpp_battery_0",
            "POWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_SCOPE=Device\n",
        );
        let bay = Supply::parse(
            "BAT1",
            "POWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_PRESENT=0\n",
        );
        let mains = Supply::parse("AC", "POWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE=1\n");
        assert_eq!(readings(&[mouse, bay, mains]), []);
    }

    #[test]
    fn a_charger_on_usb_tells_its_power() {
        let usb = "POWER_SUPPLY_TYPE=USB\nPOWER_SUPPLY_ONLINE=1\nPOWER_SUPPLY_VOLTAGE_NOW=20000000\nPOWER_SUPPLY_CURRENT_MAX=3250000\n";
        let mains = Supply::parse("AC", "POWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE=0\n");
        let all = [
            Supply::parse("BAT0", ENERGY),
            mains,
            Supply::parse("ucsi", usb),
        ];
        let readings = readings(&all);
        assert_eq!(value(&readings, "hw.battery.charger.connected", ""), "yes");
        assert_eq!(
            number(&readings, "hw.battery.charger.power", ""),
            Some(65.0)
        );
    }

    #[test]
    fn a_charger_that_does_not_carry_the_laptop() {
        let mains = Supply::parse("AC", "POWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE=1\n");
        let adequate = |battery: &str| {
            let all = [Supply::parse("BAT0", battery), mains.clone()];
            value(&readings(&all), "hw.battery.charger.adequate", "")
        };
        assert_eq!(adequate(ENERGY), "no", "it empties at 8.8 W");
        assert_eq!(adequate(CHARGE), "yes");
        assert!(value(&one(ENERGY), "hw.battery.charger.adequate", "").contains("no charger"));
    }

    #[test]
    fn two_batteries_are_told_apart() {
        let all = [Supply::parse("BAT0", ENERGY), Supply::parse("BAT1", CHARGE)];
        let readings = readings(&all);
        assert_eq!(number(&readings, "hw.battery.cycles", "BAT0"), Some(612.0));
        assert_eq!(
            number(&readings, "hw.battery.charge_limit", "BAT1"),
            Some(0.8)
        );
    }

    #[test]
    fn a_percentage_above_a_hundred_is_told_as_it_is() {
        let over = one("POWER_SUPPLY_CAPACITY=103\nPOWER_SUPPLY_HEALTH=Dead\n");
        assert_eq!(number(&over, "hw.battery.charge", "BAT0"), Some(1.03));
        assert_eq!(value(&over, "hw.battery.condition", "BAT0"), "dead");
        let absurd = one("POWER_SUPPLY_CAPACITY=65535\n");
        assert!(value(&absurd, "hw.battery.charge", "BAT0").contains("outside"));
        assert!(value(&absurd, "hw.battery.condition", "BAT0").contains("does not judge"));
    }

    #[test]
    fn real_laptops_give_their_health() {
        let Some(data) = crate::collect::testing::data("battery/uevents") else {
            return;
        };
        for name in source::names(&data) {
            let readings = one(&source::text(&data.join(&name)).unwrap());
            let health = number(&readings, "hw.battery.health", "BAT0");
            // One of them tells charge but no voltage: a ratio of charges needs none.
            assert!(
                health.is_some_and(|health| (0.2..1.1).contains(&health)),
                "{name}: {health:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(POWER_SUPPLY_(ENERGY_FULL|CHARGE_NOW|STATUS|TYPE|VOLTAGE_NOW)=.{0,20}\n|.{0,40}\n){0,20}") {
            one(&text);
        }
    }
}
