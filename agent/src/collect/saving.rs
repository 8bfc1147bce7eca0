//! Whether the laptop saves its battery, and how much more rarely it is read then.
//!
//! Linux has no one word for it. GNOME and KDE turn their battery saver on at a fifth of the charge,
//! and a person's own choice of it sets the platform's profile to `low-power`
//! (`Documentation/ABI/testing/sysfs-platform_profile`). While a charger is connected nothing is saved.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::{Reading, Value};

use super::Roots;
use super::source;

/// Every interval is longer by this factor while the battery is saved. The collector takes a laptop
/// for asleep after fifteen minutes of silence, so that the fast interval may reach five.
pub const STRETCH: u32 = 3;

/// The charge at which desktops turn their battery saver on.
const LOW_CHARGE: f64 = 0.2;

/// The platform's profile that saves; battery savers of other systems count as it.
pub const LOW_POWER: &str = "low-power";

/// Decides from what the batteries say and from the platform's profile, where it has one.
#[must_use]
pub fn is_saving(batteries: &[Reading], profile: Option<&str>) -> bool {
    let of = |metric: &'static Metric| {
        let readings = batteries.iter();
        readings.filter(move |reading| reading.metric() == metric)
    };
    let is_text = |reading: &Reading, word: &str| matches!(reading.value(), Value::Text(text) if text == word);
    let is_charged =
        of(&metric::CHARGER_CONNECTED).any(|reading| *reading.value() == Value::Flag(true));
    let is_discharging = of(&metric::BATTERY_STATE).any(|reading| is_text(reading, "discharging"));
    let charges: Vec<f64> = of(&metric::BATTERY_CHARGE)
        .filter_map(|reading| reading.value().as_number())
        .collect();
    let is_low = !charges.is_empty() && charges.iter().all(|charge| *charge <= LOW_CHARGE);
    is_discharging && !is_charged && (is_low || profile == Some(LOW_POWER))
}

/// The platform's profile; `None` where the firmware has none.
#[must_use]
pub fn profile(roots: &Roots) -> Option<String> {
    source::text(&roots.sys.join("firmware/acpi/platform_profile")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laptop(state: &str, charges: &[f64], charger: bool) -> Vec<Reading> {
        let names = ["BAT0", "BAT1"];
        let charges = charges.iter().zip(names);
        let mut readings: Vec<Reading> = charges
            .map(|(charge, name)| Reading::number(&metric::BATTERY_CHARGE, name, *charge))
            .collect();
        readings.push(Reading::text(&metric::BATTERY_STATE, "BAT0", state));
        readings.push(Reading::flag(&metric::CHARGER_CONNECTED, "", charger));
        readings
    }

    #[test]
    fn a_low_battery_or_the_profile_saves_and_a_charger_ends_it() {
        let cases = [
            (laptop("discharging", &[0.2], false), None, true),
            (laptop("discharging", &[0.5], false), None, false),
            (
                laptop("discharging", &[0.5], false),
                Some("low-power"),
                true,
            ),
            (
                laptop("discharging", &[0.5], false),
                Some("balanced"),
                false,
            ),
            (
                laptop("discharging", &[0.1], true),
                Some("low-power"),
                false,
            ),
            (laptop("charging", &[0.1], false), None, false),
            (laptop("discharging", &[0.0, 0.9], false), None, false),
            (laptop("discharging", &[], false), None, false),
            (Vec::new(), Some("low-power"), false),
        ];
        for (batteries, profile, saving) in cases {
            assert_eq!(
                is_saving(&batteries, profile),
                saving,
                "{batteries:?} {profile:?}"
            );
        }
    }
}
