//! Batteries by the battery class's own questions, which cost no provider's process.
//!
//! Source: Microsoft's `BATTERY_INFORMATION`, `BATTERY_STATUS` and `IOCTL_BATTERY_QUERY_INFORMATION` (mWh, mV,
//! mW, tenths of a kelvin). Unknown capacities and voltages have all bits set, an unknown rate the highest.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;

use crate::collect::battery::DRAIN_W;
use crate::collect::source::{self, Sourced};

/// `BATTERY_CAPACITY_RELATIVE`: capacities are in units of the battery's own.
const RELATIVE: u32 = 0x4000_0000;

/// `BATTERY_SYSTEM_BATTERY` and `BATTERY_IS_SHORT_TERM`, which a UPS has.
const OF_SYSTEM: u32 = 0x8000_0000;
const SHORT_TERM: u32 = 0x2000_0000;

const UNKNOWN: u32 = u32::MAX;
const UNKNOWN_RATE: i32 = i32::MIN;

/// `BATTERY_POWER_ON_LINE`, `BATTERY_DISCHARGING`, `BATTERY_CHARGING`.
const ON_LINE: u32 = 1;
const DISCHARGING: u32 = 2;
const CHARGING: u32 = 4;

/// One battery's answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Battery {
    /// `Capabilities`.
    pub capabilities: u32,
    /// `DesignedCapacity`.
    pub designed: u32,
    /// `FullChargedCapacity`.
    pub full: u32,
    /// `CycleCount`; zero also stands for not counted.
    pub cycles: u32,
    /// `PowerState`.
    pub state: u32,
    /// `Capacity` at the moment.
    pub now: u32,
    /// `Voltage`.
    pub voltage: u32,
    /// `Rate`; negative while it discharges.
    pub rate: i32,
    /// `BatteryTemperature`, where the battery answers it.
    pub temperature: Option<u32>,
    /// `BatteryManufactureName` and `BatteryDeviceName`.
    pub model: String,
}

/// What the batteries of one laptop say; nothing where it has none. `on_line` is the system's word on the
/// charger.
#[must_use]
pub fn readings(batteries: &[Battery], on_line: Option<bool>) -> Vec<Reading> {
    let own = batteries.iter().filter(|battery| {
        battery.capabilities & OF_SYSTEM != 0 && battery.capabilities & SHORT_TERM == 0
    });
    let own: Vec<&Battery> = own.collect();
    if own.is_empty() {
        return Vec::new();
    }
    let each = own.iter().enumerate();
    let mut readings: Vec<Reading> = each
        .flat_map(|(number, battery)| battery.readings(&format!("BAT{number}")))
        .collect();
    let is_any_on_line = own.iter().any(|battery| battery.state & ON_LINE != 0);
    let connected = on_line.unwrap_or(is_any_on_line);
    readings.push(Reading::flag(&metric::CHARGER_CONNECTED, "", connected));
    let adequate = if connected {
        Ok(!own.iter().any(|battery| battery.is_draining()))
    } else {
        Err("no charger is connected".to_owned())
    };
    readings.push(source::flag_or_why(&metric::CHARGER_ADEQUATE, "", adequate));
    let why = "Windows does not tell what the charger gives";
    readings.push(Reading::unavailable(&metric::CHARGER_POWER, "", why));
    readings
}

impl Battery {
    fn readings(&self, name: &str) -> Vec<Reading> {
        let number = |metric: &'static Metric, value| source::number_or_why(metric, name, value);
        let cycles = match self.cycles {
            0 => Err("the firmware says zero, which also stands for not counted".to_owned()),
            cycles => Ok(f64::from(cycles)),
        };
        let temperature = self
            .temperature
            .map(|tenths| f64::from(tenths) / 10.0 - 273.15);
        vec![
            Reading::text(&metric::BATTERY_STATE, name, self.state()),
            number(&metric::BATTERY_CHARGE, ratio(self.now, self.full)),
            number(&metric::BATTERY_HEALTH, ratio(self.full, self.designed)),
            number(&metric::BATTERY_FULL_CAPACITY, self.mwh(self.full)),
            number(&metric::BATTERY_DESIGN_CAPACITY, self.mwh(self.designed)),
            number(&metric::BATTERY_CYCLES, cycles),
            number(&metric::BATTERY_POWER, self.power_w()),
            number(
                &metric::BATTERY_VOLTAGE,
                known(self.voltage).map(|mv| mv / 1e3),
            ),
            number(&metric::BATTERY_TEMPERATURE, temperature.ok_or_else(untold)),
            number(&metric::BATTERY_TIME_LEFT, self.time_left_s()),
            Reading::unavailable(
                &metric::BATTERY_CHARGE_LIMIT,
                name,
                "each maker has its own setting",
            ),
            source::text_or_why(&metric::BATTERY_MODEL, name, Ok(self.model.clone())),
        ]
    }

    /// Whether more than the meter's noise flows out of it.
    fn is_draining(&self) -> bool {
        self.state & DISCHARGING != 0 && self.power_w().is_ok_and(|watts| watts < -DRAIN_W)
    }

    fn state(&self) -> &'static str {
        if self.state & CHARGING != 0 {
            "charging"
        } else if self.state & DISCHARGING != 0 {
            "discharging"
        } else if self.state & ON_LINE == 0 {
            "unknown"
        } else if ratio(self.now, self.full).is_ok_and(|charge| charge >= 0.99) {
            "full"
        } else {
            "not_charging"
        }
    }

    fn mwh(&self, capacity: u32) -> Sourced<f64> {
        if self.capabilities & RELATIVE != 0 {
            return Err("the battery counts in units of its own".to_owned());
        }
        known(capacity)
    }

    fn power_w(&self) -> Sourced<f64> {
        if self.capabilities & RELATIVE != 0 || self.rate == UNKNOWN_RATE {
            return Err(untold());
        }
        let watts = f64::from(self.rate).abs() / 1e3;
        Ok(if self.state & DISCHARGING != 0 {
            -watts
        } else {
            watts
        })
    }

    fn time_left_s(&self) -> Sourced<f64> {
        let left = match self.state() {
            "discharging" => known(self.now)?,
            "charging" => (known(self.full)? - known(self.now)?).max(0.0),
            _ => return Err("the battery neither charges nor discharges".to_owned()),
        };
        let watts = self.power_w()?.abs();
        // Below a tenth of a watt the meter shows noise, and the quotient would be days.
        if watts < 0.1 {
            return Err("too little power flows to tell".to_owned());
        }
        Ok(left / 1e3 / watts * 3600.0)
    }
}

fn known(value: u32) -> Sourced<f64> {
    match value {
        UNKNOWN => Err(untold()),
        0 => Err("the firmware says zero".to_owned()),
        value => Ok(f64::from(value)),
    }
}

fn ratio(part: u32, whole: u32) -> Sourced<f64> {
    let whole = known(whole)?;
    // An empty battery is at zero, and that is no mistake.
    let part = if part == 0 { 0.0 } else { known(part)? };
    Ok(part / whole)
}

fn untold() -> String {
    "the firmware does not tell it".to_owned()
}

#[cfg(windows)]
pub use self::native::read;

#[cfg(windows)]
mod native {
    use rollcall_shared::reading::Reading;
    use windows::Win32::Devices::DeviceAndDriverInstallation::{
        DIGCF_DEVICEINTERFACE, DIGCF_PRESENT, HDEVINFO, SP_DEVICE_INTERFACE_DATA,
        SP_DEVICE_INTERFACE_DETAIL_DATA_W, SetupDiDestroyDeviceInfoList,
        SetupDiEnumDeviceInterfaces, SetupDiGetClassDevsW, SetupDiGetDeviceInterfaceDetailW,
    };
    use windows::Win32::System::Power::{
        BATTERY_INFORMATION, BATTERY_QUERY_INFORMATION, BATTERY_QUERY_INFORMATION_LEVEL,
        BATTERY_STATUS, BATTERY_WAIT_STATUS, BatteryDeviceName, BatteryInformation,
        BatteryManufactureName, BatteryTemperature, GUID_DEVICE_BATTERY, GetSystemPowerStatus,
        IOCTL_BATTERY_QUERY_INFORMATION, IOCTL_BATTERY_QUERY_STATUS, IOCTL_BATTERY_QUERY_TAG,
        SYSTEM_POWER_STATUS,
    };

    use super::{Battery, readings};
    use crate::collect::windows::device::Device;
    use crate::collect::windows::text_of;

    /// Batteries that are asked: some laptops have two, none has more.
    const BATTERIES: u32 = 4;

    /// Bytes of a device's path; Windows limits them to 260 units.
    const PATH_BYTES: usize = 1024;

    /// Reads every battery, and the charger.
    pub fn read() -> Vec<Reading> {
        let batteries: Vec<Battery> = paths().iter().filter_map(|path| ask(path)).collect();
        readings(&batteries, on_line())
    }

    #[expect(unsafe_code, reason = "kernel32 fills structures")]
    fn on_line() -> Option<bool> {
        let mut status = SYSTEM_POWER_STATUS::default();
        // SAFETY: the place is valid for the call.
        unsafe { GetSystemPowerStatus(&raw mut status) }.ok()?;
        match status.ACLineStatus {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// A list of devices, for as long as it lives.
    struct Devices(HDEVINFO);

    impl Drop for Devices {
        #[expect(unsafe_code, reason = "setupapi's handles")]
        fn drop(&mut self) {
            // SAFETY: the list was given by SetupDiGetClassDevsW and is destroyed once.
            let _ = unsafe { SetupDiDestroyDeviceInfoList(self.0) };
        }
    }

    #[expect(unsafe_code, reason = "setupapi's handles")]
    fn paths() -> Vec<Vec<u16>> {
        let flags = DIGCF_PRESENT | DIGCF_DEVICEINTERFACE;
        // SAFETY: the identifier is valid for the call.
        let listed = unsafe { SetupDiGetClassDevsW(Some(&GUID_DEVICE_BATTERY), None, None, flags) };
        let Ok(listed) = listed else {
            return Vec::new();
        };
        let devices = Devices(listed);
        (0..BATTERIES)
            .map_while(|number| path(&devices, number))
            .collect()
    }

    #[expect(unsafe_code, reason = "setupapi fills structures")]
    fn path(devices: &Devices, number: u32) -> Option<Vec<u16>> {
        let mut interface = SP_DEVICE_INTERFACE_DATA {
            cbSize: size_of::<SP_DEVICE_INTERFACE_DATA>() as u32,
            ..SP_DEVICE_INTERFACE_DATA::default()
        };
        // Aligned as the structure needs it; the path begins behind its size.
        let mut buffer = [0_u64; PATH_BYTES / 8];
        let detail = buffer
            .as_mut_ptr()
            .cast::<SP_DEVICE_INTERFACE_DETAIL_DATA_W>();
        // SAFETY: both structures tell their own sizes, the buffer's is told to the call.
        unsafe {
            SetupDiEnumDeviceInterfaces(
                devices.0,
                None,
                &GUID_DEVICE_BATTERY,
                number,
                &raw mut interface,
            )
            .ok()?;
            (*detail).cbSize = size_of::<SP_DEVICE_INTERFACE_DETAIL_DATA_W>() as u32;
            SetupDiGetDeviceInterfaceDetailW(
                devices.0,
                &interface,
                Some(detail),
                PATH_BYTES as u32,
                None,
                None,
            )
            .ok()?;
            let units = buffer.as_ptr().cast::<u16>().add(size_of::<u32>() / 2);
            let units = std::slice::from_raw_parts(units, PATH_BYTES / 2 - 2);
            let length = units.iter().position(|unit| *unit == 0)?;
            Some(units[..=length].to_vec())
        }
    }

    fn ask(path: &[u16]) -> Option<Battery> {
        let device = Device::open(path, true).ok()?;
        // How long to wait for a battery that is not there: not at all.
        let tag: u32 = device.ask(IOCTL_BATTERY_QUERY_TAG, &0_u32).ok()?;
        let question = |level: BATTERY_QUERY_INFORMATION_LEVEL| BATTERY_QUERY_INFORMATION {
            BatteryTag: tag,
            InformationLevel: level,
            AtRate: 0,
        };
        let information: BATTERY_INFORMATION = device
            .ask(
                IOCTL_BATTERY_QUERY_INFORMATION,
                &question(BatteryInformation),
            )
            .ok()?;
        let at_once = BATTERY_WAIT_STATUS {
            BatteryTag: tag,
            ..BATTERY_WAIT_STATUS::default()
        };
        let status: BATTERY_STATUS = device.ask(IOCTL_BATTERY_QUERY_STATUS, &at_once).ok()?;
        let temperature = device.ask(
            IOCTL_BATTERY_QUERY_INFORMATION,
            &question(BatteryTemperature),
        );
        let name = |level| {
            let text: Result<[u16; 64], _> =
                device.ask(IOCTL_BATTERY_QUERY_INFORMATION, &question(level));
            text.map_or_else(|_| String::new(), |text| text_of(&text))
        };
        let model = format!(
            "{} {}",
            name(BatteryManufactureName).trim(),
            name(BatteryDeviceName).trim()
        );
        Some(Battery {
            capabilities: information.Capabilities,
            designed: information.DesignedCapacity,
            full: information.FullChargedCapacity,
            cycles: information.CycleCount,
            state: status.PowerState,
            now: status.Capacity,
            voltage: status.Voltage,
            rate: status.Rate,
            temperature: temperature.ok(),
            model: model.trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    /// After the documentation: a worn battery that discharges at 8.8 W.
    fn worn() -> Battery {
        Battery {
            capabilities: OF_SYSTEM,
            designed: 50_020,
            full: 22_000,
            cycles: 612,
            state: DISCHARGING,
            now: 11_000,
            voltage: 11_400,
            rate: -8800,
            temperature: Some(3045),
            model: "SMP LNV-5B10W13930".to_owned(),
        }
    }

    #[test]
    fn a_worn_battery_that_discharges() {
        let readings = readings(&[worn()], Some(false));
        let of = |metric| number(&readings, metric, "BAT0");
        assert_eq!(value(&readings, "hw.battery.state", "BAT0"), "discharging");
        assert_eq!(of("hw.battery.design_capacity"), Some(50_020.0));
        assert_eq!(of("hw.battery.health"), Some(22_000.0 / 50_020.0));
        assert_eq!(
            (of("hw.battery.charge"), of("hw.battery.cycles")),
            (Some(0.5), Some(612.0))
        );
        assert_eq!(
            (of("hw.battery.power"), of("hw.battery.voltage")),
            (Some(-8.8), Some(11.4))
        );
        assert_eq!(of("hw.battery.time_left"), Some(4500.0));
        assert!((of("hw.battery.temperature").unwrap() - 31.35).abs() < 1e-9);
        assert_eq!(value(&readings, "hw.battery.charger.connected", ""), "no");
    }

    #[test]
    fn what_firmware_leaves_out_is_not_a_number() {
        let silent = Battery {
            designed: UNKNOWN,
            cycles: 0,
            voltage: UNKNOWN,
            rate: UNKNOWN_RATE,
            temperature: None,
            ..worn()
        };
        let readings = readings(&[silent], None);
        for metric in [
            "health",
            "design_capacity",
            "cycles",
            "voltage",
            "power",
            "time_left",
            "temperature",
        ] {
            let told = value(&readings, &format!("hw.battery.{metric}"), "BAT0");
            assert!(told.starts_with("unavailable"), "{metric}: {told}");
        }
    }

    #[test]
    fn two_batteries_a_ups_and_one_that_counts_in_shares() {
        let ups = Battery {
            capabilities: OF_SYSTEM | SHORT_TERM,
            ..worn()
        };
        let full = Battery {
            state: ON_LINE,
            now: 22_000,
            rate: 0,
            ..worn()
        };
        let shares = Battery {
            capabilities: OF_SYSTEM | RELATIVE,
            designed: 100,
            full: 80,
            now: 40,
            state: ON_LINE | CHARGING,
            ..worn()
        };
        assert_eq!(readings(std::slice::from_ref(&ups), None), []);
        let readings = readings(&[ups, full, shares], None);
        assert_eq!(value(&readings, "hw.battery.state", "BAT0"), "full");
        assert_eq!(number(&readings, "hw.battery.health", "BAT1"), Some(0.8));
        let capacity = value(&readings, "hw.battery.full_charge_capacity", "BAT1");
        assert!(capacity.contains("units of its own"), "{capacity}");
        assert_eq!(value(&readings, "hw.battery.charger.connected", ""), "yes");
        assert_eq!(value(&readings, "hw.battery.charger.adequate", ""), "yes");
        let weak = Battery {
            state: ON_LINE | DISCHARGING,
            ..worn()
        };
        let weak = super::readings(&[weak], Some(true));
        assert_eq!(value(&weak, "hw.battery.charger.adequate", ""), "no");
        let limited = Battery {
            state: ON_LINE,
            ..worn()
        };
        assert_eq!(limited.state(), "not_charging");
    }
}
