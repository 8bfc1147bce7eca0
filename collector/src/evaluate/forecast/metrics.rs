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
    DRIVE_RISK = 60020, "forecast.physical_disk.risk", "{point}", Kind::Gauge{low:0.0,high:100.0},
        "How much a drive looks like those that failed soon; from 5 points on it is failing.";
    DRIVE_WORDS = 60021, "forecast.physical_disk.words", "", Kind::Text,
        "What gave the drive its points.";
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
