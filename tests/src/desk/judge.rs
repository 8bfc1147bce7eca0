//! Whether what alerts say is so, by what the simulator knows of its laptops.

use std::collections::HashMap;
use std::ops::Range;

use rollcall_collector::alert::Alert;
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::DAY_MS;
use crate::simulator::Fleet;
use crate::simulator::truth::Truth;

/// What is wrong with each laptop, and when.
pub struct Judge {
    truths: HashMap<DeviceId, Vec<Truth>>,
}

/// How long after the time that is judged something that was foreseen may come about.
const AHEAD_MS: i64 = 60 * DAY_MS;

/// How long after its end a fault is still one: readings of it are kept, and a rule that has held it back tells it.
const AFTER_MS: i64 = 7 * DAY_MS;

/// What each rule is there to find. A rule that is not named here repeats what a reading says, which the model's readings
/// say rightly: that a system is out of support, a disk not encrypted, a laptop not seen.
static FAULTS: [(&str, &[&str]); 17] = [
    ("battery-worn", &["battery-worn"]),
    ("battery-not-charging", &["battery-not-charging"]),
    ("disk-filling", &["disk-full"]),
    ("drive-failing", &["drive-failing", "drive-failed"]),
    ("updates-failing", &["updates-failing"]),
    ("clock-wrong", &["clock-wrong"]),
    ("tls-intercepted", &["tls-intercepted"]),
    ("overheating", &["overheating"]),
    ("hotter-than-peers", &["overheating"]),
    ("slower-than-before", &["slower-than-before", "overheating"]),
    ("storage-slow", &["slower-than-before"]),
    ("boots-slowly", &["boots-slowly"]),
    ("crashing", &["crashing"]),
    ("crashes-more-than-peers", &["crashing"]),
    ("charger-wrong", &["charger-wrong"]),
    ("battery-collapses", &["battery-collapses"]),
    ("link-drops", &["link-drops", "wifi-broken"]),
];

/// How far ahead of a fault it may be told: a month for a disk, two for what is ordered and fitted; what compares a
/// laptop with its past and its peers foresees nothing.
#[must_use]
pub fn ahead_ms(fault: &str) -> i64 {
    match fault {
        "battery-worn" | "drive-failing" | "drive-failed" => AHEAD_MS,
        "disk-full" | "disk-nearly-full" => 30 * DAY_MS,
        _ => 0,
    }
}

impl Judge {
    /// What is wrong with the first laptops of a fleet at some time.
    #[must_use]
    pub fn new(fleet: &Fleet, devices: u32, during: Range<UnixMs>) -> Self {
        let mut truths: HashMap<DeviceId, Vec<Truth>> = HashMap::new();
        for truth in fleet.truths(0..devices, during.start, during.end.plus_ms(AHEAD_MS)) {
            let id = fleet.laptop(truth.device).device_id();
            truths.entry(id).or_default().push(truth);
        }
        Self { truths }
    }

    /// What is wrong with a laptop.
    #[must_use]
    pub fn truths(&self, device: DeviceId) -> &[Truth] {
        self.truths.get(&device).map_or(&[], Vec::as_slice)
    }

    /// Whether an alert was true when it fired.
    #[must_use]
    pub fn is_true(&self, alert: &Alert) -> bool {
        let of_rule = FAULTS.iter().find(|(rule, _)| *rule == alert.key.rule);
        let Some((_, faults)) = of_rule else {
            return true;
        };
        let at = alert.fired.unwrap_or(alert.since);
        self.truths(alert.key.device).iter().any(|truth| {
            let begins = truth.from.plus_ms(-ahead_ms(truth.fault));
            let lasts = truth.until.is_none_or(|until| at < until.plus_ms(AFTER_MS));
            faults.contains(&truth.fault) && begins <= at && lasts
        })
    }
}
