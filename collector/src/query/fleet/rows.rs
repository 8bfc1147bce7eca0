//! The rows of the table, and the texts in them.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use rollcall_shared::id::DeviceId;
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::{Fleet, FleetRow, Health, QUIET_MS};
use crate::alert::{AlertState, Severity};
use crate::device::{DeviceState, Standing};
use crate::query::devices::{is_simulated, text_of};
use crate::store::Store;

/// A text, by its place among the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Word(u32);

/// Texts that many rows share, each once.
#[derive(Debug, Default)]
pub(super) struct Words {
    texts: Vec<Box<str>>,
    places: HashMap<Box<str>, Word>,
    /// Each in lower case, since a search looks at all of them.
    lower: Vec<Box<str>>,
    /// Where each stands when all are sorted, whatever the case.
    ranks: Vec<u32>,
}

/// A device in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub id: DeviceId,
    pub name: Word,
    pub tag: Word,
    pub school: Word,
    pub site: Word,
    pub group: Word,
    pub os: Word,
    pub agent: Word,
    pub place: Word,
    pub title: Word,
    pub health: Health,
    pub firing: u32,
    pub since: Option<UnixMs>,
    pub battery: Option<f32>,
    pub disk: Option<f32>,
    pub connected: bool,
    pub seen: Option<UnixMs>,
    pub simulated: bool,
}

/// What fires at a device.
struct Trouble {
    severity: Severity,
    since: UnixMs,
    title: Word,
    firing: u32,
}

impl Words {
    fn add(&mut self, text: &str) -> Word {
        if let Some(word) = self.places.get(text) {
            return *word;
        }
        let word = Word(self.texts.len() as u32);
        self.texts.push(text.into());
        self.places.insert(text.into(), word);
        word
    }

    fn sort(&mut self) {
        let lower = self.texts.iter().map(|text| text.to_lowercase().into());
        self.lower = lower.collect();
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        order.sort_unstable_by(|a, b| self.lower[*a].cmp(&self.lower[*b]));
        self.ranks = vec![0; order.len()];
        for (rank, at) in order.into_iter().enumerate() {
            self.ranks[at] = rank as u32;
        }
    }

    pub fn text(&self, word: Word) -> &str {
        &self.texts[word.0 as usize]
    }

    pub fn rank(&self, word: Word) -> u32 {
        self.ranks[word.0 as usize]
    }

    pub fn find(&self, text: &str) -> Option<Word> {
        self.places.get(text).copied()
    }

    /// For each word, whether it has a text in it that is in lower case.
    pub fn which_have(&self, text: &str) -> Vec<bool> {
        self.lower.iter().map(|word| word.contains(text)).collect()
    }

    pub fn len(&self) -> usize {
        self.texts.len()
    }
}

impl Word {
    pub const fn place(self) -> usize {
        self.0 as usize
    }

    pub const fn at(place: usize) -> Self {
        Self(place as u32)
    }
}

impl Fleet {
    /// The table of what the store knows now.
    pub(super) fn of(store: &Store, now: UnixMs) -> Self {
        let mut words = Words::default();
        let none = words.add("");
        let troubles = troubles(store, &mut words);
        let inventory = store.inventory();
        let mut rows = Vec::with_capacity(store.device_count());
        let mut sites = BTreeSet::new();
        store.visit_devices(None, |state| {
            let trouble = troubles.get(&state.device.id);
            let mut row = row(state, trouble, &mut words, none, now);
            if let Some(asset) = inventory.of(&state.device) {
                row.tag = words.add(asset.tag.as_str());
                let school = asset.school.as_ref();
                row.school = school.map_or(none, |school| words.add(school.as_str()));
            }
            sites.insert(row.site);
            rows.push(row);
            ControlFlow::Continue(())
        });
        words.sort();
        Self {
            words,
            rows,
            sites: sites.into_iter().collect(),
        }
    }

    pub(super) fn show(&self, row: &Row) -> FleetRow {
        let text = |word| self.words.text(word).to_owned();
        FleetRow {
            id: row.id.to_string(),
            name: text(row.name),
            tag: text(row.tag),
            school: text(row.school),
            site: text(row.site),
            group: text(row.group),
            os: text(row.os),
            agent: text(row.agent),
            health: row.health,
            title: text(row.title),
            firing: row.firing,
            since: row.since,
            battery: row.battery,
            disk: row.disk,
            place: text(row.place),
            connected: row.connected,
            seen: row.seen,
            simulated: row.simulated,
        }
    }
}

fn troubles(store: &Store, words: &mut Words) -> HashMap<DeviceId, Trouble> {
    let mut troubles: HashMap<DeviceId, Trouble> = HashMap::new();
    store.visit_open_alerts(|alert, _| {
        if alert.state != AlertState::Firing {
            return;
        }
        let this = Trouble {
            severity: alert.severity,
            since: alert.since,
            title: words.add(&alert.title),
            firing: 1,
        };
        troubles
            .entry(alert.key.device)
            .and_modify(|known| known.join(&this))
            .or_insert(this);
    });
    troubles
}

impl Trouble {
    /// The gravest leads, and of equals the one that came first.
    fn join(&mut self, other: &Self) {
        self.firing += 1;
        let is_graver = (other.severity, -other.since.0) > (self.severity, -self.since.0);
        if is_graver {
            (self.severity, self.since, self.title) = (other.severity, other.since, other.title);
        }
    }
}

fn row(
    state: &DeviceState,
    trouble: Option<&Trouble>,
    words: &mut Words,
    none: Word,
    now: UnixMs,
) -> Row {
    let device = &state.device;
    let pair = |first: &str, second: &str| format!("{first} {second}").trim().to_owned();
    let name = match pair(&device.vendor, &device.model) {
        name if name.is_empty() => "Unknown model".to_owned(),
        name => name,
    };
    let known = |metric| text_of(state, metric).unwrap_or_default();
    let os = pair(known(&metric::OS_NAME), known(&metric::OS_VERSION));
    Row {
        id: device.id,
        name: words.add(&name),
        tag: none,
        school: none,
        site: words.add(device.site.as_str()),
        group: device
            .group
            .as_ref()
            .map_or(none, |group| words.add(group.as_str())),
        os: words.add(&os),
        agent: words.add(&device.agent_version),
        place: words.add(known(&metric::VANTAGE)),
        title: trouble.map_or(none, |trouble| trouble.title),
        health: health(state, trouble, now),
        firing: trouble.map_or(0, |trouble| trouble.firing),
        since: trouble.map(|trouble| trouble.since),
        battery: numbers(state, &metric::BATTERY_HEALTH).reduce(f32::min),
        disk: numbers(state, &metric::FILESYSTEM_UTILIZATION).reduce(f32::max),
        connected: state.connected,
        seen: state.last_seen,
        simulated: is_simulated(state),
    }
}

fn health(state: &DeviceState, trouble: Option<&Trouble>, now: UnixMs) -> Health {
    if state.device.standing != Standing::Active {
        return Health::Away;
    }
    match trouble {
        Some(trouble) => trouble.severity.into(),
        None if !state.connected && now.since(state.heard_of()) > QUIET_MS => Health::Quiet,
        None => Health::Well,
    }
}

fn numbers<'a>(state: &'a DeviceState, metric: &'a Metric) -> impl Iterator<Item = f32> + 'a {
    state
        .instances(metric)
        .filter_map(|(_, latest)| match latest.value {
            Value::Number(number) => Some(number as f32),
            _ => None,
        })
}
