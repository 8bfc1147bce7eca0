//! Reports for whoever plans and buys: batteries, drives, operating systems, and whose work the alerts
//! are.

use std::collections::{BTreeMap, HashMap};

use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::devices::{device_name, text_of};
use super::{Query, QueryError, Viewer};
use crate::alert::{Alert, Audience};
use crate::device::{DeviceState, Standing};
use crate::evaluate::forecast::battery::REPLACEMENT_LINE;
use crate::evaluate::forecast::metrics::{
    BATTERY_REPLACEMENT, BATTERY_SETTLED_HEALTH, DRIVE_RISK, DRIVE_WORDS, NOT_FORESEEN_DAYS,
};

/// Days over which help-desk and coach load are counted.
pub const LOAD_DAYS: i64 = 30;

/// Alerts of the past that are counted; more than a large district has in [`LOAD_DAYS`] days.
const ALERTS: usize = 100_000;

/// Points from which a drive is shown; from 5 on it is failing.
const RISK: f64 = 3.0;

/// Days before the end of support from which an operating system is shown: a school year and a half.
const SUPPORT_DAYS: f64 = 548.0;

const DAY_MS: i64 = 86_400_000;

/// A battery that is to be replaced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatteryDue {
    /// `2027-03`, or `now` where it has passed the line.
    pub month: String,
    /// Vendor and model of the laptop.
    pub model: String,
    /// Its site.
    pub site: String,
    /// The laptop, by id.
    pub device: String,
    /// Its asset tag; empty where the inventory does not know it.
    pub tag: String,
    /// Which battery.
    pub instance: String,
    /// The share of its capacity that it holds.
    pub health: Option<f64>,
    /// Its cycles.
    pub cycles: Option<f64>,
}

/// A drive that should be looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriveDue {
    /// The laptop, by id.
    pub device: String,
    /// Its asset tag; empty where the inventory does not know it.
    pub tag: String,
    /// Vendor and model of the laptop.
    pub model: String,
    /// Its site.
    pub site: String,
    /// Which drive.
    pub instance: String,
    /// The drive's own model; empty while unknown.
    pub drive: String,
    /// Its points; from 5 on it is failing.
    pub points: f64,
    /// What gave it its points.
    pub words: String,
}

/// An operating system that goes out of support.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SystemDue {
    /// Name and version.
    pub os: String,
    /// The site.
    pub site: String,
    /// The day on which support ends, such as `2027-10-14`.
    pub ends: String,
    /// Whether it has ended.
    pub is_over: bool,
    /// How many laptops.
    pub devices: u64,
}

/// The day on which support ends, the system, and the site.
type SystemKey = (String, String, String);

/// Whose work the alerts of a site were.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// The site.
    pub site: String,
    /// Its laptops.
    pub devices: u64,
    /// Alerts for the help desk.
    pub help_desk: u64,
    /// Alerts for the technology coach: what training solves.
    pub coach: u64,
    /// Alerts for the network team.
    pub network: u64,
    /// The coach's most frequent alert; empty where there is none.
    pub teach: String,
}

impl Query {
    /// The batteries to be replaced, the soonest first.
    #[must_use]
    pub fn batteries_due(&self, viewer: &Viewer) -> Vec<BatteryDue> {
        let now = self.now();
        let tag = self.tags();
        let mut due = Vec::new();
        self.visit_active(viewer, |state| {
            for (instance, latest) in state.instances(&metric::BATTERY_HEALTH) {
                let health = number(&latest.value);
                let settled = value(state, &BATTERY_SETTLED_HEALTH, instance);
                let is_worn = settled.or(health).is_some_and(|h| h < REPLACEMENT_LINE);
                let days = value(state, &BATTERY_REPLACEMENT, instance);
                let month = match days.filter(|days| *days < NOT_FORESEEN_DAYS) {
                    _ if is_worn => "now".to_owned(),
                    Some(days) => month_of(now, days),
                    None => continue,
                };
                due.push(BatteryDue {
                    month,
                    model: device_name(state),
                    site: state.device.site.to_string(),
                    device: state.device.id.to_string(),
                    tag: tag(state),
                    instance: instance.to_owned(),
                    health: settled.or(health),
                    cycles: value(state, &metric::BATTERY_CYCLES, instance),
                });
            }
        });
        // `now` stands before every month.
        due.sort_by_cached_key(|d| {
            (
                d.month != "now",
                d.month.clone(),
                d.model.clone(),
                d.site.clone(),
            )
        });
        due
    }

    /// The drives that look like failing ones, the most suspicious first.
    #[must_use]
    pub fn drives_due(&self, viewer: &Viewer) -> Vec<DriveDue> {
        let tag = self.tags();
        let mut due = Vec::new();
        self.visit_active(viewer, |state| {
            for (instance, latest) in state.instances(&DRIVE_RISK) {
                let points = number(&latest.value).unwrap_or_default();
                if points < RISK {
                    continue;
                }
                let text = |metric| match state.get(metric, instance).map(|latest| &latest.value) {
                    Some(Value::Text(text)) => text.clone(),
                    _ => String::new(),
                };
                due.push(DriveDue {
                    device: state.device.id.to_string(),
                    tag: tag(state),
                    model: device_name(state),
                    site: state.device.site.to_string(),
                    instance: instance.to_owned(),
                    drive: text(&metric::DRIVE_MODEL),
                    points,
                    words: text(&DRIVE_WORDS),
                });
            }
        });
        due.sort_by(|a, b| b.points.total_cmp(&a.points).then(a.device.cmp(&b.device)));
        due
    }

    /// The operating systems whose support ends within a year and a half or has ended, the first first.
    #[must_use]
    pub fn systems_due(&self, viewer: &Viewer) -> Vec<SystemDue> {
        let now = self.now();
        // Each kind of laptop once: most of a fleet are of few kinds, and nothing is copied for the others.
        let mut kinds: HashMap<String, (SystemKey, u64)> = HashMap::new();
        let mut kind = String::new();
        self.visit_active(viewer, |state| {
            let Some(days) = value(state, &metric::OS_SUPPORT_REMAINING, "") else {
                return;
            };
            if days > SUPPORT_DAYS {
                return;
            }
            // Counted from the reading, which may be some days old.
            let since = state
                .get(&metric::OS_SUPPORT_REMAINING, "")
                .map(|latest| latest.since);
            let ends = since.unwrap_or(now).plus_ms((days * DAY_MS as f64) as i64);
            let part = |metric| text_of(state, metric).unwrap_or_default();
            let (name, version) = (part(&metric::OS_NAME), part(&metric::OS_VERSION));
            let site = state.device.site.as_str();
            kind.clear();
            let day = ends.0.div_euclid(DAY_MS).to_string();
            for text in [day.as_str(), name, version, site] {
                kind.push_str(text);
                kind.push('\n');
            }
            if let Some((_, devices)) = kinds.get_mut(kind.as_str()) {
                *devices += 1;
                return;
            }
            let os = format!("{name} {version}").trim().to_owned();
            let key = (day_of(ends, 0.0), os, site.to_owned());
            kinds.insert(kind.clone(), (key, 1));
        });
        let mut counts: BTreeMap<SystemKey, u64> = BTreeMap::new();
        for (key, devices) in kinds.into_values() {
            *counts.entry(key).or_default() += devices;
        }
        let today = day_of(now, 0.0);
        let due = on_one_day(counts)
            .into_iter()
            .map(|((ends, os, site), devices)| SystemDue {
                is_over: ends < today,
                os,
                site,
                ends,
                devices,
            });
        due.collect()
    }

    /// Whose work the alerts of the last [`LOAD_DAYS`] days were, by site.
    ///
    /// # Errors
    /// [`QueryError::Store`] when the history cannot be read.
    pub fn load(&self, viewer: &Viewer) -> Result<Vec<Load>, QueryError> {
        let now = self.now();
        let from = now.plus_ms(-LOAD_DAYS * DAY_MS);
        let mut loads = BTreeMap::new();
        self.visit_active(viewer, |state| {
            of_site(&mut loads, state.device.site.as_str()).0.devices += 1;
        });
        let mut count = |alert: &Alert, state: &DeviceState| {
            let began = alert.fired.is_some_and(|fired| fired >= from);
            if !began || !viewer.sees(state) {
                return;
            }
            let (load, taught) = of_site(&mut loads, state.device.site.as_str());
            match alert.audience {
                Audience::HelpDesk => load.help_desk += 1,
                Audience::TechnologyCoach => {
                    load.coach += 1;
                    *taught.entry(alert.title.clone()).or_default() += 1;
                }
                Audience::NetworkTeam | Audience::Broadcast => load.network += 1,
            }
        };
        self.store.visit_open_alerts(&mut count);
        for alert in self.store.resolved_alerts(from, now, ALERTS)? {
            if let Some(state) = self.store.device(alert.key.device) {
                count(&alert, &state);
            }
        }
        let named = loads.into_iter().map(|(site, (load, taught))| Load {
            site,
            teach: most_frequent(taught),
            ..load
        });
        Ok(named.collect())
    }

    /// Asset tags, as the inventory is now.
    fn tags(&self) -> impl Fn(&DeviceState) -> String + use<> {
        let inventory = self.store.inventory();
        move |state| {
            let asset = inventory.of(&state.device);
            asset.map(|asset| asset.tag.to_string()).unwrap_or_default()
        }
    }

    fn visit_active(&self, viewer: &Viewer, mut visit: impl FnMut(&DeviceState)) {
        self.visit_devices(viewer, |state| {
            if state.device.standing == Standing::Active {
                visit(state);
            }
        });
    }
}

/// Of a site: whose work its alerts were, and how often the coach had which.
type SiteLoad = (Load, BTreeMap<String, u64>);

/// The load of a site, whose name is copied for its first laptop alone.
fn of_site<'a>(loads: &'a mut BTreeMap<String, SiteLoad>, site: &str) -> &'a mut SiteLoad {
    if !loads.contains_key(site) {
        loads.insert(site.to_owned(), SiteLoad::default());
    }
    loads.get_mut(site).expect("it is there by now")
}

/// Laptops of one system tell the end of its support by a day more or less, since they count days at different
/// hours: the day that most of them tell holds for all that are near it.
fn on_one_day(counts: BTreeMap<SystemKey, u64>) -> BTreeMap<SystemKey, u64> {
    let mut days: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for ((ends, os, _), devices) in &counts {
        *days.entry(os).or_default().entry(ends).or_default() += devices;
    }
    let usual = |os: &str| {
        let of_os = days.get(os).into_iter().flatten();
        of_os
            .max_by_key(|(_, devices)| **devices)
            .map(|(day, _)| *day)
    };
    let mut merged = BTreeMap::new();
    for ((ends, os, site), devices) in &counts {
        let day = usual(os).filter(|day| is_near(day, ends)).unwrap_or(ends);
        *merged
            .entry((day.to_owned(), os.clone(), site.clone()))
            .or_default() += devices;
    }
    merged
}

/// Whether two days lie within a week of each other.
fn is_near(a: &str, b: &str) -> bool {
    let day = |text: &str| text.parse::<jiff::civil::Date>().ok();
    match (day(a), day(b)) {
        (Some(a), Some(b)) => a.since(b).is_ok_and(|span| span.get_days().abs() <= 7),
        _ => false,
    }
}

fn most_frequent(counts: BTreeMap<String, u64>) -> String {
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(title, _)| title).unwrap_or_default()
}

fn value(state: &DeviceState, metric: &metric::Metric, instance: &str) -> Option<f64> {
    number(&state.get(metric, instance)?.value)
}

const fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn day_of(at: UnixMs, days: f64) -> String {
    let at = at.plus_ms((days * DAY_MS as f64) as i64).to_string();
    at.chars().take(10).collect()
}

fn month_of(at: UnixMs, days: f64) -> String {
    day_of(at, days).chars().take(7).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::example::{Example, NOW, label};
    use super::*;
    use crate::device::{Latest, Latests, SeriesKey};
    use crate::store::Role;

    fn foresee(example: &Example, found: &[(&metric::Metric, &str, Value)]) {
        let mut latests = Latests::default();
        for (metric, instance, value) in found {
            let latest = Latest {
                value: value.clone(),
                since: NOW,
            };
            latests.insert(SeriesKey::new(metric, instance), latest);
        }
        example
            .store
            .set_forecasts(example.lincoln, Arc::new(latests));
    }

    #[tokio::test]
    async fn drives_with_points_are_named_with_their_reasons() {
        let example = Example::new().await;
        let words = Value::Text("8 pending sectors".to_owned());
        foresee(
            &example,
            &[
                (&DRIVE_RISK, "sda", Value::Number(6.0)),
                (&DRIVE_WORDS, "sda", words),
                (&DRIVE_RISK, "sdb", Value::Number(1.0)),
            ],
        );
        let all = Viewer::new("x", Role::Viewer, Vec::new());
        let due = example.query.drives_due(&all);
        assert_eq!(due.len(), 1);
        assert_eq!(
            (due[0].instance.as_str(), due[0].words.as_str()),
            ("sda", "8 pending sectors")
        );
        let hay = Viewer::new("x", Role::Viewer, vec![label("Hay")]);
        assert!(example.query.drives_due(&hay).is_empty());
    }

    #[tokio::test]
    async fn load_is_counted_by_site_and_audience() {
        let example = Example::new().await;
        let all = Viewer::new("x", Role::Viewer, Vec::new());
        let load = example.query.load(&all).unwrap();
        let of = |site: &str| load.iter().find(|load| load.site == site).unwrap();
        assert_eq!((of("Lincoln").devices, of("Lincoln").help_desk), (1, 2));
        assert_eq!(of("Hay").help_desk, 2, "open and resolved");
        let hay = Viewer::new("x", Role::Viewer, vec![label("Hay")]);
        let load = example.query.load(&hay).unwrap();
        assert_eq!(
            load.iter().map(|l| l.site.as_str()).collect::<Vec<_>>(),
            ["Hay"]
        );
    }

    #[test]
    fn months_follow_from_days() {
        assert_eq!(day_of(NOW, 0.0), "2026-08-24");
        assert_eq!(month_of(NOW, 200.0), "2027-03");
    }

    #[test]
    fn a_day_more_or_less_is_the_same_end_of_support() {
        let key =
            |ends: &str, os: &str, site: &str| (ends.to_owned(), os.to_owned(), site.to_owned());
        let counts = BTreeMap::from([
            (key("2027-10-12", "Windows 11 24H2", "Hay"), 5),
            (key("2027-10-13", "Windows 11 24H2", "Hay"), 1),
            (key("2027-10-14", "Windows 11 24H2", "Lincoln"), 2),
            (key("2027-04-01", "Windows 11 24H2", "Lincoln"), 1),
            (key("2027-10-14", "Ubuntu 22.04", "Hay"), 1),
        ]);
        let merged = on_one_day(counts);
        let expected = BTreeMap::from([
            (key("2027-10-12", "Windows 11 24H2", "Hay"), 6),
            (key("2027-10-12", "Windows 11 24H2", "Lincoln"), 2),
            (key("2027-04-01", "Windows 11 24H2", "Lincoln"), 1),
            (key("2027-10-14", "Ubuntu 22.04", "Hay"), 1),
        ]);
        assert_eq!(merged, expected);
    }
}
