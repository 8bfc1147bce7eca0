//! What forecasts say, in the form of readings, so that rules compare it like any other reading.
//!
//! These are the collector's own: they are not in the catalogue, no agent may send them, and they are
//! not stored. Where a forecast cannot be made there is none of them, and absence is not health.

use rollcall_shared::metric::{self, Kind, Metric, Urgency};

/// Days that stand for "not foreseen": ten years.
pub const NOT_FORESEEN_DAYS: f64 = 3650.0;

macro_rules! forecasts {
    ($($name:ident = $code:literal, $metric:literal, $unit:literal, $kind:expr, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $name: Metric = Metric {
                code: $code,
                name: $metric,
                unit: $unit,
                kind: $kind,
                deadband: 0.0,
                urgency: Urgency::Never,
                meaning: $meaning,
                privacy: "",
            };
        )*

        /// Every metric of a forecast, by ascending code.
        pub static FORECASTS: &[&Metric] = &[$(&$name),*];
    };
}

forecasts! {
    BATTERY_SETTLED_HEALTH = 60001, "forecast.battery.health", "1", Kind::Gauge{low:0.0,high:2.0},
        "Health of the battery over five weeks, which recalibrations do not move.";
    BATTERY_REPLACEMENT = 60002, "forecast.battery.replacement", "d", Kind::Gauge{low:0.0,high:3650.0},
        "Days until the battery passes the replacement line; 3650 where it is not foreseen, none once it has.";
    BATTERY_WORDS = 60003, "forecast.battery.words", "", Kind::Text,
        "The battery's forecast in words.";
    FILESYSTEM_FULL = 60010, "forecast.filesystem.full", "d", Kind::Gauge{low:0.0,high:3650.0},
        "Days until the file system is full; 3650 where it is not foreseen.";
    FILESYSTEM_WORDS = 60011, "forecast.filesystem.words", "", Kind::Text,
        "The file system's forecast in words.";
    FILESYSTEM_CLASSES = 60012, "forecast.filesystem.classes", "", Kind::Text,
        "What fills the disk, by class, in words.";
    DRIVE_RISK = 60020, "forecast.physical_disk.risk", "{point}", Kind::Gauge{low:0.0,high:100.0},
        "How much a drive looks like those that failed soon; from 5 points on it is failing.";
    DRIVE_WORDS = 60021, "forecast.physical_disk.words", "", Kind::Text,
        "What gave the drive its points.";
    CHARGER_SHORTFALL = 60030, "forecast.charger.shortfall", "1", Kind::Gauge{low:0.0,high:1.0},
        "Share of the power of its peers' chargers that the best charger of two weeks lacks.";
    CHARGER_WORDS = 60031, "forecast.charger.words", "", Kind::Text,
        "The charger beside those of its peers, in words.";
    BATTERY_FALLS = 60032, "forecast.battery.falls", "{fall}", Kind::Gauge{low:0.0,high:100.0},
        "Times in 60 days that the laptop went out though its battery told of 15 % or more.";
    BATTERY_FALLS_WORDS = 60033, "forecast.battery.falls.words", "", Kind::Text,
        "When the battery gave out, in words.";
    HEAT_ABOVE_PEERS = 60040, "forecast.temperature.above_peers", "Cel", Kind::Gauge{low:0.0,high:200.0},
        "Degrees by which it is hotter than its peers would be at its load; 0 where that is not unusual.";
    HEAT_RISE = 60041, "forecast.temperature.rise", "Cel", Kind::Gauge{low:0.0,high:200.0},
        "Degrees by which it is hotter than in the weeks before; 0 where that is not unusual.";
    HEAT_WORDS = 60042, "forecast.temperature.words", "", Kind::Text,
        "Its heat beside its peers and its past, in words.";
    WAIT_ABOVE_PEERS = 60043, "forecast.waiting.above_peers", "1", Kind::Gauge{low:0.0,high:1.0},
        "Share of time that programs wait more than on its peers; 0 where that is not unusual.";
    WAIT_RISE = 60044, "forecast.waiting.rise", "1", Kind::Gauge{low:0.0,high:1.0},
        "Share of time that programs wait more than in the weeks before; 0 where that is not unusual.";
    THROTTLING_ABOVE_PEERS = 60045, "forecast.throttling.above_peers", "1/h", Kind::Gauge{low:0.0,high:1_000_000.0},
        "Times an hour that heat slows it more than its peers; 0 where that is not unusual.";
    SLOW_WORDS = 60046, "forecast.slow.words", "", Kind::Text,
        "How slow it is beside its peers and its past, in words.";
    BOOT_ABOVE_PEERS = 60050, "forecast.boot.above_peers", "s", Kind::Gauge{low:0.0,high:900.0},
        "Seconds that it takes longer to start than its peers; 0 where that is not unusual.";
    BOOT_RISE = 60051, "forecast.boot.rise", "s", Kind::Gauge{low:0.0,high:900.0},
        "Seconds that it takes longer to start than it used to; 0 where that is not unusual.";
    BOOT_WORDS = 60052, "forecast.boot.words", "", Kind::Text,
        "How long it takes to start, in words.";
    CRASH_EXCESS = 60060, "forecast.crashes.excess", "{crash}", Kind::Gauge{low:0.0,high:1_000_000.0},
        "Crashes of 30 days beyond those of its peers; 0 where so many are chance.";
    CRASH_WORDS = 60061, "forecast.crashes.words", "", Kind::Text,
        "Its crashes beside those of its peers, in words.";
    UPDATES_FAILING = 60062, "forecast.updates.failing", "d", Kind::Gauge{low:0.0,high:400.0},
        "Days in which updates have failed without one that succeeded.";
    UPDATES_WORDS = 60063, "forecast.updates.words", "", Kind::Text,
        "Since when updates fail, here and on its peers, in words.";
    LINK_DROPS_RISE = 60070, "forecast.link.drops.rise", "1/h", Kind::Gauge{low:0.0,high:1_000_000.0},
        "Times an hour that its links drop more than in the weeks before; 0 where that is not unusual.";
    LINK_DROPS_WORDS = 60071, "forecast.link.drops.words", "", Kind::Text,
        "How often its links drop, in words.";
    INVENTORY_TAG = 60101, "inventory.tag", "", Kind::Text,
        "The laptop's asset tag, as the inventory says.";
    INVENTORY_STATUS = 60102, "inventory.status", "", Kind::State(&["in_use", "spare", "lost", "retired"]),
        "What the laptop is there for, as the inventory says.";
    INVENTORY_SWAP = 60103, "inventory.swap", "", Kind::State(&["none", "second_loan", "other_school", "other_hardware"]),
        "What shows that a laptop is not with whom the inventory says.";
    INVENTORY_LATE = 60104, "inventory.loan.days_late", "d", Kind::Gauge{low:-3650.0,high:36500.0},
        "Days since the laptop was due back; negative before, -3650 where nothing is due.";
    INVENTORY_SCHOOL = 60105, "inventory.school", "", Kind::Text,
        "The laptop's school, as the inventory says.";
}

/// The metric with this name, of the catalogue or of a forecast.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Metric> {
    let forecast = || FORECASTS.iter().find(|metric| metric.name == name).copied();
    metric::by_name(name).or_else(forecast)
}

/// Every name that a rule may use.
pub fn names() -> impl Iterator<Item = &'static str> + Clone {
    metric::CATALOGUE
        .iter()
        .chain(FORECASTS)
        .map(|metric| metric.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::FORECAST_CODES;

    #[test]
    fn no_agent_may_send_a_forecast() {
        assert!(FORECASTS.windows(2).all(|pair| pair[0].code < pair[1].code));
        for forecast in FORECASTS {
            assert_eq!(metric::by_code(forecast.code), None);
            assert_eq!(metric::by_name(forecast.name), None);
            assert_eq!(by_name(forecast.name), Some(*forecast));
            assert!(forecast.code >= FORECAST_CODES);
        }
        assert!(
            metric::CATALOGUE
                .iter()
                .all(|metric| metric.code < FORECAST_CODES)
        );
        assert_eq!(by_name("hw.battery.health"), Some(&metric::BATTERY_HEALTH));
    }
}
