//! How right each rule was: one verdict a device, at the first alert before its event.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::labels::Labels;
use super::replay::Replayed;
use crate::evaluate::forecast::{DAY_MS, median};
use crate::evaluate::rules::RuleSet;

/// How long after its event a worn battery may still be told of: it lasts on, shorter each day, and is
/// judged over five weeks so that a gauge that errs is no wear. A drive or a disk has no such time.
const WEAR_GRACE_MS: i64 = 30 * DAY_MS;

/// How right a rule was. Ratios of nothing are absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// Share of the labelled devices for which it fired in time: at or before the event, for a worn
    /// battery at most 30 days after it.
    pub recall: Option<f64>,
    /// Share of the devices it fired for that have an event; those that it fired too late for do not
    /// count.
    pub precision: Option<f64>,
    /// Alerts on devices without an event, for each year of a device that the rule was judged for.
    pub false_alarms_per_device_year: Option<f64>,
    /// Median of the days from its first alert to the event; negative where it fired afterwards.
    pub median_days_of_warning: Option<f64>,
    /// Labelled devices.
    pub events: u64,
    /// Those of them that it fired for in time.
    pub foreseen: u64,
    /// Those that it fired for too late.
    pub late: u64,
    /// Devices without an event that it fired for.
    pub false_devices: u64,
    /// Alerts on them.
    pub false_alarms: u64,
    /// Years of the devices that it was judged for.
    pub device_years: f64,
}

/// The scores in the making.
pub struct Scores<'a> {
    rules: Vec<&'a str>,
    labels: &'a Labels,
    seen: BTreeSet<String>,
    tallies: Vec<Tally>,
}

#[derive(Default)]
struct Tally {
    events: u64,
    late: u64,
    false_devices: u64,
    false_alarms: u64,
    years: f64,
    warning_days: Vec<f64>,
}

impl<'a> Scores<'a> {
    /// Nothing scored yet.
    #[must_use]
    pub fn new(rules: &'a RuleSet, labels: &'a Labels) -> Self {
        let rules: Vec<&str> = rules.rules.iter().map(|rule| rule.name.as_str()).collect();
        let tallies = rules.iter().map(|_| Tally::default()).collect();
        Self {
            rules,
            labels,
            seen: BTreeSet::new(),
            tallies,
        }
    }

    /// Counts one device.
    pub fn add(&mut self, device: &Replayed) {
        for (number, rule) in self.rules.iter().enumerate() {
            let event = self.labels.first(&device.device, rule);
            if event.is_none() && !device.judged.contains(&number) {
                continue;
            }
            let of_rule = device
                .alerts
                .iter()
                .filter(|alert| alert.line.rule == *rule);
            let fired: Vec<UnixMs> = of_rule.map(|alert| alert.fired).collect();
            let grace_ms = if *rule == "battery-worn" {
                WEAR_GRACE_MS
            } else {
                0
            };
            self.tallies[number].add(device, event, &fired, grace_ms);
        }
        self.seen.insert(device.device.clone());
    }

    /// The scores of the rules that labels tell something of. A labelled device of which there are no
    /// rows counts as not foreseen.
    #[must_use]
    pub fn finish(mut self) -> BTreeMap<String, Score> {
        let labels = self.labels;
        for device in labels
            .devices()
            .filter(|device| !self.seen.contains(*device))
        {
            for (rule, tally) in self.rules.iter().zip(&mut self.tallies) {
                tally.events += u64::from(labels.first(device, rule).is_some());
            }
        }
        let told = |(rule, _): &(&str, Tally)| labels.any_for(rule);
        let scored = self.rules.into_iter().zip(self.tallies).filter(told);
        scored
            .map(|(rule, tally)| (rule.to_owned(), tally.score()))
            .collect()
    }
}

impl Tally {
    fn add(&mut self, device: &Replayed, event: Option<UnixMs>, fired: &[UnixMs], grace_ms: i64) {
        let to = event.map_or(device.to, |event| event.max(device.to));
        self.years += years(device.from, to);
        let Some(event) = event else {
            self.false_devices += u64::from(!fired.is_empty());
            self.false_alarms += fired.len() as u64;
            return;
        };
        self.events += 1;
        match fired.first() {
            Some(first) if first.since(event) <= grace_ms => {
                self.warning_days
                    .push(event.since(*first) as f64 / DAY_MS as f64);
            }
            Some(_) => self.late += 1,
            None => {}
        }
    }

    fn score(self) -> Score {
        let foreseen = self.warning_days.len() as u64;
        let ratio = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Score {
            recall: ratio(foreseen, self.events),
            precision: ratio(foreseen, foreseen + self.false_devices),
            false_alarms_per_device_year: (self.years > 0.0)
                .then(|| self.false_alarms as f64 / self.years),
            median_days_of_warning: median(self.warning_days),
            events: self.events,
            foreseen,
            late: self.late,
            false_devices: self.false_devices,
            false_alarms: self.false_alarms,
            device_years: self.years,
        }
    }
}

/// Years from one time to another.
#[must_use]
pub fn years(from: UnixMs, to: UnixMs) -> f64 {
    to.since(from) as f64 / (365.25 * DAY_MS as f64)
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        write!(
            f,
            "recall {}, precision {}, {} false alarms per device-year, {} days of warning ({} of {} \
             events foreseen, {} late; {} devices alarmed in vain)",
            shown(self.recall, 3),
            shown(self.precision, 3),
            shown(self.false_alarms_per_device_year, 4),
            shown(self.median_days_of_warning, 0),
            self.foreseen,
            self.events,
            self.late,
            self.false_devices
        )
    }
}
