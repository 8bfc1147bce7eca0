//! What fills a disk, by class, in words: sizes, and what each has grown in two weeks. Pure.

use rollcall_shared::metric;
use rollcall_shared::time::UnixMs;

use super::past::Past;
use super::{DAY_MS, value_at};
use crate::evaluate::rules::quantity::show;

/// What a class has grown since then is said.
const GROWN_SINCE_MS: i64 = 14 * DAY_MS;

/// Growth of less than this is no news: 0.5 GiB.
const GROWN_BYTES: f64 = 536_870_912.0;

/// The classes, and what they are called.
const CLASSES: [(&str, &str); 3] = [
    ("downloads", "downloads take"),
    ("updates", "updates that wait take"),
    ("temporary", "temporary files take"),
];

/// What takes the room, the greatest first; systems differ in what they let an agent see.
#[must_use]
pub fn words(past: &Past, now: UnixMs) -> String {
    let mut known: Vec<(f64, String)> = CLASSES
        .iter()
        .filter_map(|(class, take)| {
            let points = past.of(&metric::FILESYSTEM_CLASS_SIZE, class);
            let bytes = value_at(points, now)?;
            let before = value_at(points, now.plus_ms(-GROWN_SINCE_MS));
            let grown = before.map_or(0.0, |before| bytes - before);
            let mut said = format!("{take} {}", show(&metric::FILESYSTEM_CLASS_SIZE, bytes));
            if grown >= GROWN_BYTES {
                let more = show(&metric::FILESYSTEM_CLASS_SIZE, grown);
                said += &format!(" ({more} more than two weeks ago)");
            }
            Some((bytes, said))
        })
        .collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let said: Vec<String> = known.into_iter().map(|(_, said)| said).collect();
    if said.is_empty() {
        return "the system does not tell what takes the room".to_owned();
    }
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use rollcall_shared::reading::Value;

    use super::*;
    use crate::device::SeriesKey;

    #[test]
    fn the_greatest_comes_first_and_what_grew_is_said() {
        const GIB: f64 = 1_073_741_824.0;
        let mut past = Past::default();
        let mut tell = |class: &str, points: &[(i64, f64)]| {
            let key = SeriesKey::new(&metric::FILESYSTEM_CLASS_SIZE, class);
            let points = points.iter().map(|(day, gib)| {
                let at = UnixMs(day * DAY_MS);
                (at, Value::Number(gib * GIB))
            });
            past.precede(&key, &points.collect::<Vec<_>>());
        };
        tell("updates", &[(0, 2.0), (20, 2.2)]);
        tell("downloads", &[(0, 12.0), (10, 20.0), (25, 23.0)]);
        let now = UnixMs(30 * DAY_MS);
        assert_eq!(
            words(&past, now),
            "downloads take 23 GiB (3 GiB more than two weeks ago), updates that wait take 2.2 GiB"
        );
        let untold = words(&Past::default(), now);
        assert_eq!(untold, "the system does not tell what takes the room");
    }
}
