//! How worn a SATA drive of chips is. Each maker has an attribute of his own for it, under a number that means
//! something else with others, so that the name decides.
//!
//! Source of the names: smartmontools' drivedb, by which smartctl names attributes; of their meaning: the
//! makers' lists of attributes (Intel, Samsung, Micron, Kingston, Phison, `SiliconMotion`, Apacer).

use serde_json::Value;

use crate::collect::source;

/// Attributes whose normalised value is the share of life that is left, in percent: those that say so in
/// their name before those that count what wears the cells.
const LEFT: [&str; 15] = [
    "Percent_Lifetime_Remain",
    "Percent_Life_Remaining",
    "Perc_Rated_Life_Remain",
    "PCT_Life_Remaining",
    "Remaining_Lifetime_Perc",
    "Lifetime_Remaining%",
    "Drive_Life_Remaining%",
    "DriveLife_Remaining%",
    "SSD_Life_Left_Perc",
    "SSD_Life_Left",
    "SSD_LifeLeft",
    "Lifetime_Left",
    "Remaining_Life",
    "Media_Wearout_Indicator",
    "Wear_Leveling_Count",
];

/// Attributes whose raw value is the share of life that is used, in percent.
const USED: [&str; 5] = [
    "Percent_Lifetime_Used",
    "Perc_Rated_Life_Used",
    "Percent_Life_Used",
    "Drive_Life_Used%",
    "DriveLife_Used%",
];

/// Of a maker whose drives leave the normalised value at 100 and count down the raw one.
const COUNTS_DOWN_RAW: [&str; 2] = ["SSD_Life_Left", "SSD_LifeLeft"];

/// `SanDisk` and Western Digital use the name for a packed number whose normalised value counts up.
const PACKED: (u64, &str) = (230, "Media_Wearout_Indicator");

/// The used share of life by the rows of attributes; `None` where none of them tells.
pub fn used<'a>(rows: impl Iterator<Item = &'a Value>) -> Option<f64> {
    let rows: Vec<&Value> = rows.collect();
    let row = |wanted: &str| {
        rows.iter().find(|row| {
            let (id, name) = (row["id"].as_u64(), row["name"].as_str());
            name == Some(wanted) && (id, wanted) != (Some(PACKED.0), PACKED.1)
        })
    };
    let left = LEFT
        .iter()
        .find_map(|name| left_percent(row(name)?, name))
        .map(|left| 100.0 - left);
    let used = || USED.iter().find_map(|name| used_percent(row(name)?));
    left.or_else(used).map(|percent| percent / 100.0)
}

fn left_percent(row: &Value, name: &str) -> Option<f64> {
    let told = row["value"]
        .as_f64()
        .filter(|left| (1.0..=100.0).contains(left))?;
    // Raw values of 0 and 1 are those of drives that do not count there.
    let raw = raw(row).filter(|raw| (2.0..told).contains(raw));
    let is_stuck = told >= 100.0 && COUNTS_DOWN_RAW.contains(&name);
    Some(raw.filter(|_| is_stuck).unwrap_or(told))
}

/// More than a hundred is what a drive says that outlives what its maker promised.
fn used_percent(row: &Value) -> Option<f64> {
    raw(row).filter(|used| (0.0..=150.0).contains(used))
}

fn raw(row: &Value) -> Option<f64> {
    let text = row.pointer("/raw/string").and_then(Value::as_str);
    let first = text.and_then(|text| source::parse_number(text.split_whitespace().next()?));
    first.or_else(|| row.pointer("/raw/value")?.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(id: u64, name: &str, value: u64, raw: &str) -> Value {
        json!({"id": id, "name": name, "value": value, "raw": {"string": raw}})
    }

    fn used(rows: &[Value]) -> Option<f64> {
        super::used(rows.iter())
    }

    #[test]
    fn each_makers_name_for_wear() {
        for (id, name, value, raw, expected) in [
            (233, "Media_Wearout_Indicator", 93, "0", 0.07),
            (177, "Wear_Leveling_Count", 98, "31", 0.02),
            (202, "Percent_Lifetime_Remain", 97, "3", 0.03),
            (202, "Percent_Lifetime_Remain", 96, "96", 0.04),
            (245, "Percent_Life_Remaining", 88, "88", 0.12),
            (248, "Perc_Rated_Life_Remain", 75, "75", 0.25),
            (248, "PCT_Life_Remaining", 60, "60", 0.4),
            (169, "Remaining_Lifetime_Perc", 50, "50", 0.5),
            (177, "Lifetime_Remaining%", 40, "40", 0.6),
            (245, "Drive_Life_Remaining%", 30, "30", 0.7),
            (231, "SSD_Life_Left_Perc", 90, "90", 0.1),
            (231, "SSD_Life_Left", 98, "98", 0.02),
            (231, "Lifetime_Left", 20, "20", 0.8),
            (248, "Remaining_Life", 99, "0", 0.01),
            (202, "Percent_Lifetime_Used", 80, "20", 0.2),
            (202, "Perc_Rated_Life_Used", 95, "5", 0.05),
            (173, "Drive_Life_Used%", 100, "12", 0.12),
        ] {
            let told = used(&[
                row(9, "Power_On_Hours", 99, "4000"),
                row(id, name, value, raw),
            ]);
            assert!(
                told.is_some_and(|told| (told - expected).abs() < 1e-9),
                "{name}: {told:?}"
            );
        }
    }

    #[test]
    fn a_normalised_value_that_never_moves_gives_way_to_the_raw_one() {
        let life = |value, raw| used(&[row(231, "SSD_Life_Left", value, raw)]);
        assert_eq!(life(100, "92"), Some(0.08));
        assert_eq!(life(100, "100"), Some(0.0));
        assert_eq!(life(100, "0"), Some(0.0), "SandForce counts nothing there");
        assert_eq!(life(100, "0x00000000000064"), Some(0.0));
    }

    #[test]
    fn what_a_name_means_elsewhere_is_not_wear() {
        assert_eq!(
            used(&[row(230, "Media_Wearout_Indicator", 1, "0x001400110014")]),
            None
        );
        assert_eq!(used(&[row(177, "Wear_Leveling_Count", 0, "0")]), None);
        assert_eq!(used(&[row(241, "Lifetime_Writes_GiB", 100, "355")]), None);
    }

    #[test]
    fn who_tells_the_share_of_life_comes_before_who_counts_erasures() {
        let rows = [
            row(173, "Wear_Leveling_Count", 99, "40"),
            row(202, "Percent_Lifetime_Remain", 90, "10"),
        ];
        assert_eq!(used(&rows), Some(0.1));
    }
}
