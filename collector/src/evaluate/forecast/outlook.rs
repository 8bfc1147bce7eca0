//! The outlook of one device: its past, and the readings that the forecasts add to its state.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::UnixMs;

use super::super::derived::{self, DERIVED_CODES, Tracks};
use super::battery::{self, BatteryForecast, BatteryHistory, Line};
use super::classes;
use super::drive::{self, DriveHistory, DriveKind};
use super::habit::{Habits, Sample};
use super::metrics::{
    BATTERY_REPLACEMENT, BATTERY_SETTLED_HEALTH, BATTERY_WORDS, CHARGER_SHORTFALL, DRIVE_RISK,
    DRIVE_WORDS, FILESYSTEM_CLASSES, FILESYSTEM_FULL, FILESYSTEM_WORDS, NOT_FORESEEN_DAYS,
};
use super::past::{News, Past};
use super::peers::{Kind, Peers, Summary};
use super::space::{self, Space};
use super::standing::Standing;
use super::{DAY_MS, Point};
use crate::device::{DeviceState, Latest, Latests, SeriesKey};

/// How long a forecast stands when nothing new came: what grows old, such as the growth of a month,
/// does so by the day.
const STANDS_MS: i64 = DAY_MS / 4;

/// How long the forecast of a file system stands at least: its use moves with every report, and a
/// trend of weeks does not.
const SPACE_STANDS_MS: i64 = 10 * 60_000;

/// How long what is said of its days stands at least: a day's mean moves with every report.
const HABITS_STAND_MS: i64 = 60 * 60_000;

/// Batteries, drives and file systems of one device that forecasts are made for.
const INSTANCES: usize = 64;

/// Metrics whose instances are drives.
static OF_DRIVES: [&Metric; 7] = [
    &metric::DRIVE_VERDICT,
    &metric::DRIVE_REALLOCATED,
    &metric::DRIVE_PENDING,
    &metric::DRIVE_UNCORRECTABLE,
    &metric::NVME_CRITICAL_WARNING,
    &metric::NVME_AVAILABLE_SPARE,
    &metric::NVME_MEDIA_ERRORS,
];

/// What is foreseen for one device. It is made anew when something that it rests on changes, and every
/// six hours.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    past: Past,
    made: Option<UnixMs>,
    /// When the forecasts of file systems were made, and whether something new came after.
    space_made: Option<UnixMs>,
    space_is_new: bool,
    habits: Habits,
    habits_made: Option<UnixMs>,
    /// What it adds to what is usual among its peers, as of when its habits were judged.
    summary: Summary,
    peers: Arc<Peers>,
    readings: Arc<Latests>,
    tracks: Tracks,
    /// Until when what is derived stands if nothing new comes.
    derived_until: Option<UnixMs>,
}

impl Outlook {
    /// The past, to be filled from the store.
    pub fn past_mut(&mut self) -> &mut Past {
        self.made = None;
        &mut self.past
    }

    /// The days, to be filled from the store.
    pub fn habits_mut(&mut self) -> &mut Habits {
        self.made = None;
        &mut self.habits
    }

    /// What the laptop adds to what is usual among its peers.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Compares with these peers from when the forecasts are made next.
    pub fn set_peers(&mut self, peers: &Arc<Peers>) {
        self.peers = Arc::clone(peers);
    }

    /// The readings of the forecasts at `now`. Without a past they rest on the latest readings alone:
    /// health is as read, and nothing has grown yet.
    pub fn readings(&mut self, state: &DeviceState, now: UnixMs) -> Arc<Latests> {
        let news = self.past.observe(state);
        self.space_is_new |= news.space;
        let has_happened = Sample::of(state).is_some_and(|sample| self.habits.note(&sample));
        let is_habit_old = self
            .habits_made
            .is_none_or(|made| !(0..HABITS_STAND_MS).contains(&now.since(made)));
        let is_old = self.made.is_none_or(|made| now.since(made) >= STANDS_MS);
        let is_space_old = self
            .space_made
            .is_none_or(|made| !(0..SPACE_STANDS_MS).contains(&now.since(made)));
        let due = News {
            space: self.space_is_new && is_space_old,
            // Nothing of the days is news before the laptop tells something.
            habits: news.habits || has_happened || is_habit_old,
            ..news
        };
        if is_old {
            self.make(state, News::ALL, now);
            self.made = Some(now);
        } else if due != News::default() {
            self.make(state, due, now);
        }
        self.derive(state, now);
        Arc::clone(&self.readings)
    }

    /// Until when the forecasts stand if nothing new comes; `None` before they were made.
    #[must_use]
    pub fn stands_until(&self) -> Option<UnixMs> {
        let whole = self.made.map(|made| made.plus_ms(STANDS_MS));
        let space = self.space_made.map(|made| made.plus_ms(SPACE_STANDS_MS));
        let made = if self.space_is_new {
            whole.min(space)
        } else {
            whole
        };
        match (made, self.derived_until) {
            (Some(made), Some(derived)) => Some(made.min(derived)),
            (made, _) => made,
        }
    }

    /// The recent past of the series that rules look at the changes of, to be filled from the store.
    pub fn tracks_mut(&mut self) -> &mut Tracks {
        &mut self.tracks
    }

    /// Makes what rules ask for of changes and rates anew.
    fn derive(&mut self, state: &DeviceState, now: UnixMs) {
        let wanted = derived::all();
        if wanted.is_empty() {
            return;
        }
        self.tracks.observe(state, &wanted);
        let (derived, until) = self.tracks.readings(state, &wanted, now);
        self.derived_until = until;
        let kept = self
            .readings
            .iter()
            .filter(|(key, _)| key.metric < DERIVED_CODES);
        let kept = kept.map(|(key, latest)| (key.clone(), latest.clone()));
        let dated = derived.into_iter().map(|(key, latest)| {
            let known = self.readings.get(key.metric, &key.instance);
            let same = known.filter(|known| known.value == latest.value);
            let latest = same.cloned().unwrap_or(latest);
            (key, latest)
        });
        let readings: Latests = kept.chain(dated).collect();
        if readings != *self.readings {
            self.readings = Arc::new(readings);
        }
    }

    /// The state at `now`, with its forecasts.
    #[must_use]
    pub fn add_to(&mut self, state: &DeviceState, now: UnixMs) -> DeviceState {
        let forecasts = self.readings(state, now);
        DeviceState {
            forecasts,
            ..state.clone()
        }
    }

    /// Makes the forecasts of some parts anew; those of the others stay as they are.
    fn make(&mut self, state: &DeviceState, parts: News, now: UnixMs) {
        let mut found = Vec::new();
        if parts.battery {
            let batteries = batteries(state);
            found.extend(batteries.iter().flat_map(|name| self.battery(name, now)));
        }
        if parts.space {
            let mounts = mounts(state);
            found.extend(mounts.iter().flat_map(|mount| self.space(mount, now)));
            let classes = classes::words(&self.past, now);
            found.push(Reading::text(&FILESYSTEM_CLASSES, "", &classes));
            (self.space_made, self.space_is_new) = (Some(now), false);
        }
        if parts.drive {
            let drives = drives(state);
            found.extend(drives.iter().flat_map(|name| self.drive(state, name, now)));
        }
        if parts.habits {
            let standing = Standing {
                past: &self.past,
                habits: &self.habits,
                kind: Kind::of(state),
                peers: &self.peers,
                now,
            };
            self.summary = standing.summary();
            found.extend(standing.readings());
            self.habits_made = Some(now);
        }
        let dated = found.iter().map(|reading| {
            dated(
                reading,
                &self.readings,
                newest(state, reading.instance(), now),
            )
        });
        let kept = self
            .readings
            .iter()
            .filter(|(key, _)| !is_of(parts, key.metric));
        let kept = kept.map(|(key, latest)| (key.clone(), latest.clone()));
        let readings: Latests = kept.chain(dated).collect();
        if readings != *self.readings {
            self.readings = Arc::new(readings);
        }
    }

    fn battery(&self, name: &str, now: UnixMs) -> Vec<Reading> {
        let (design, full) = (
            self.past.of(&metric::BATTERY_DESIGN_CAPACITY, name),
            self.past.of(&metric::BATTERY_FULL_CAPACITY, name),
        );
        // Some systems tell the share alone.
        let shares = self.past.of(&metric::BATTERY_HEALTH, name);
        let whole: Vec<Point> = shares
            .first()
            .map(|(at, _)| (*at, 1.0))
            .into_iter()
            .collect();
        let by_capacity = battery::forecast(&BatteryHistory { design, full }, now);
        let by_share = || {
            let (design, full) = (whole.as_slice(), shares);
            battery::forecast(&BatteryHistory { design, full }, now)
        };
        by_capacity
            .or_else(by_share)
            .map_or_else(Vec::new, |seen| battery_readings(name, &seen))
    }

    fn space(&self, mount: &str, now: UnixMs) -> Vec<Reading> {
        let used = self.past.of(&metric::FILESYSTEM_UTILIZATION, mount);
        let Some(seen) = space::forecast(used, now) else {
            return Vec::new();
        };
        let days = match seen {
            Space::Full => 0.0,
            Space::Filling(when) => when.days,
            Space::Steady | Space::AlwaysFull => NOT_FORESEEN_DAYS,
            Space::TooShort => return Vec::new(),
        };
        vec![
            Reading::number(&FILESYSTEM_FULL, mount, days),
            Reading::text(&FILESYSTEM_WORDS, mount, &seen.words()),
        ]
    }

    fn drive(&self, state: &DeviceState, name: &str, now: UnixMs) -> Vec<Reading> {
        let risk = drive::risk(kind(state, name), &self.drive_history(name), now);
        if !risk.known {
            return Vec::new();
        }
        vec![
            Reading::number(&DRIVE_RISK, name, f64::from(risk.points)),
            Reading::text(&DRIVE_WORDS, name, &risk.words()),
        ]
    }

    /// The raw attributes where the drive has them; else what was made of them, which drives without
    /// attributes (SCSI, eMMC) have as well.
    fn drive_history(&self, name: &str) -> DriveHistory<'_> {
        let smart = |number: u8| {
            self.past
                .of(&metric::DRIVE_SMART, &format!("{name}/{number}"))
        };
        let or = |raw: u8, made: &Metric| match smart(raw) {
            [] => self.past.of(made, name),
            points => points,
        };
        let reported = smart(187);
        let offline = match (smart(198), reported) {
            ([], []) => self.past.of(&metric::DRIVE_UNCORRECTABLE, name),
            (offline, _) => offline,
        };
        DriveHistory {
            reallocated: or(5, &metric::DRIVE_REALLOCATED),
            reported,
            pending: or(197, &metric::DRIVE_PENDING),
            offline,
            endurance_used: self.past.of(&metric::DRIVE_ENDURANCE_USED, name),
            verdict_failed: self.past.of(&metric::DRIVE_VERDICT, name),
            critical_warning: self.past.of(&metric::NVME_CRITICAL_WARNING, name),
            spare: self.past.of(&metric::NVME_AVAILABLE_SPARE, name),
            spare_threshold: self.past.of(&metric::NVME_SPARE_THRESHOLD, name),
            media_errors: self.past.of(&metric::NVME_MEDIA_ERRORS, name),
        }
    }
}

/// Whether a forecast is about one of these parts.
fn is_of(parts: News, forecast: u16) -> bool {
    if forecast >= DERIVED_CODES {
        false
    } else if forecast >= CHARGER_SHORTFALL.code {
        parts.habits
    } else if forecast >= DRIVE_RISK.code {
        parts.drive
    } else if forecast >= FILESYSTEM_FULL.code {
        parts.space
    } else {
        parts.battery
    }
}

fn battery_readings(name: &str, seen: &BatteryForecast) -> Vec<Reading> {
    let days = match seen.line {
        // Health itself says so, and better.
        Line::Passed => None,
        Line::Expected(when) => Some(when.days),
        Line::NotForeseen => Some(NOT_FORESEEN_DAYS),
        Line::TooShort => None,
    };
    let mut readings = vec![
        Reading::number(&BATTERY_SETTLED_HEALTH, name, seen.health),
        Reading::text(&BATTERY_WORDS, name, &seen.words()),
    ];
    readings.extend(days.map(|days| Reading::number(&BATTERY_REPLACEMENT, name, days)));
    readings
}

/// A reading with the time since when it is as it is: that of the forecast before, if it was the same,
/// else that of the newest reading that it rests on.
fn dated(reading: &Reading, before: &Latests, rests_on: UnixMs) -> (SeriesKey, Latest) {
    let known = before.get(reading.metric().code, reading.instance());
    let same = known.filter(|latest| latest.value == *reading.value());
    let since = same.map_or(rests_on, |latest| latest.since);
    let value = reading.value().clone();
    (SeriesKey::of(reading), Latest { value, since })
}

/// When the newest reading of a battery, drive or mount came.
fn newest(state: &DeviceState, name: &str, now: UnixMs) -> UnixMs {
    let is_of = |key: &SeriesKey| {
        let rest = key.instance.strip_prefix(name);
        let is_attribute = key.metric == metric::DRIVE_SMART.code;
        rest.is_some_and(|rest| rest.is_empty() || (is_attribute && rest.starts_with('/')))
    };
    let inputs = state
        .latest
        .iter()
        .filter(|(key, _)| Past::is_input(key) && is_of(key));
    let newest = inputs.map(|(_, latest)| latest.since).max();
    newest.map_or(now, |since| since.min(now))
}

fn batteries(state: &DeviceState) -> BTreeSet<String> {
    let of = [&metric::BATTERY_FULL_CAPACITY, &metric::BATTERY_HEALTH];
    instances(state, &of)
}

/// Mount points of file systems that a user fills: those below 8 GiB are for starting up and recovery.
fn mounts(state: &DeviceState) -> BTreeSet<String> {
    const LEAST_BYTES: f64 = 8.0 * 1_073_741_824.0;
    let mut mounts = instances(state, &[&metric::FILESYSTEM_UTILIZATION]);
    mounts.retain(|mount| {
        let limit = state.get(&metric::FILESYSTEM_LIMIT, mount);
        let bytes = limit.and_then(|limit| limit.value.as_number());
        bytes.is_none_or(|bytes| bytes > LEAST_BYTES)
    });
    mounts
}

/// Drives by name; a SMART attribute's instance is `<drive>/<number>`.
fn drives(state: &DeviceState) -> BTreeSet<String> {
    let mut names = instances(state, &OF_DRIVES);
    for (instance, _) in state.instances(&metric::DRIVE_SMART) {
        if let Some((drive, _)) = instance.rsplit_once('/')
            && names.len() < INSTANCES
        {
            names.insert(drive.to_owned());
        }
    }
    names
}

/// The instances of which a good reading is there now; one that cannot be read has no forecast.
fn instances(state: &DeviceState, metrics: &[&Metric]) -> BTreeSet<String> {
    let of = metrics.iter().flat_map(|metric| state.instances(metric));
    of.filter(|(_, latest)| latest.value.is_available())
        .map(|(instance, _)| instance.to_owned())
        .take(INSTANCES)
        .collect()
}

/// How a drive stores, as it says; else by what it reports.
fn kind(state: &DeviceState, name: &str) -> DriveKind {
    match state
        .get(&metric::DRIVE_KIND, name)
        .map(|latest| &latest.value)
    {
        Some(Value::Text(word)) if word == "ssd" || word == "emmc" => DriveKind::SataSsd,
        Some(Value::Text(word)) if word == "nvme" => DriveKind::Nvme,
        Some(Value::Text(word)) if word == "hdd" => DriveKind::Hdd,
        _ if of_nvme(state, name) => DriveKind::Nvme,
        _ => DriveKind::Hdd,
    }
}

fn of_nvme(state: &DeviceState, name: &str) -> bool {
    let fields = [
        &metric::NVME_CRITICAL_WARNING,
        &metric::NVME_AVAILABLE_SPARE,
        &metric::NVME_MEDIA_ERRORS,
    ];
    fields.iter().any(|field| state.get(field, name).is_some())
}
