//! Filtering, sorting and counting the rows.

use std::cmp::Reverse;

use rollcall_shared::id::DeviceId;
use rollcall_shared::limits;

use super::rows::{Row, Word, Words};
use super::{Fleet, FleetRow, Health};
use crate::query::{QueryError, Viewer};

/// Rows in one answer: a file of the whole fleet of a large district.
pub(in crate::query) const MOST_ROWS: usize = 200_000;

/// Which devices are wanted. What is absent does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetFilter {
    /// Only devices of this site.
    pub site: Option<String>,
    /// Only devices of this vendor and model.
    pub model: Option<String>,
    /// Only devices with this operating system and version.
    pub os: Option<String>,
    /// Only devices that are like this.
    pub health: Option<Health>,
    /// Part of an id, asset tag, school, model, operating system, site, group or alert, whatever the case.
    pub search: Option<String>,
}

/// What a table is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// The most urgent first.
    #[default]
    Health,
    /// Vendor and model.
    Device,
    /// Site.
    Site,
    /// Operating system.
    System,
    /// The most worn battery first.
    Battery,
    /// The fullest file system first.
    Disk,
    /// Heard of most recently first.
    Heard,
}

/// What is wanted of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRequest {
    /// Which devices.
    pub filter: FleetFilter,
    /// In which order.
    pub sort: Sort,
    /// Whether in the opposite order.
    pub reversed: bool,
    /// Rows before the page.
    pub skip: usize,
    /// Rows of the page.
    pub most: usize,
}

/// How many devices there are of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What.
    pub text: String,
    /// How many.
    pub devices: u64,
}

/// A page of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetPage {
    /// Its rows.
    pub rows: Vec<FleetRow>,
    /// How many match on all pages.
    pub total: usize,
    /// How many the viewer may see in all.
    pub visible: usize,
    /// How many would match with each site, the other wishes as they are; most first.
    pub sites: Vec<Count>,
    /// The same by model.
    pub models: Vec<Count>,
    /// The same by operating system.
    pub systems: Vec<Count>,
    /// The same by health, most urgent first.
    pub healths: Vec<(Health, u64)>,
}

impl Sort {
    /// Every order.
    pub const ALL: [Self; 7] = [
        Self::Health,
        Self::Device,
        Self::Site,
        Self::System,
        Self::Battery,
        Self::Disk,
        Self::Heard,
    ];

    /// The order in one word, as addresses spell it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Device => "device",
            Self::Site => "site",
            Self::System => "system",
            Self::Battery => "battery",
            Self::Disk => "disk",
            Self::Heard => "heard",
        }
    }

    /// The order that a word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.word() == word)
    }

    /// What a row is sorted by; the least comes first.
    fn key(self, row: &Row, words: &Words) -> u64 {
        // What is not known comes last.
        let share = |share: Option<f32>| {
            share.map_or(u64::MAX, |share| (f64::from(share.max(0.0)) * 1e6) as u64)
        };
        let fullest = |used: f32| (2.0 - used).max(0.0);
        match self {
            Self::Health => {
                let urgency = Health::Critical as u64 - row.health as u64;
                // Of equals the one that waits longest comes first.
                urgency << 56 | row.since.map_or(0, |since| since.0.max(0) as u64)
            }
            Self::Device => u64::from(words.rank(row.name)),
            Self::Site => u64::from(words.rank(row.site)),
            Self::System => u64::from(words.rank(row.os)),
            Self::Battery => share(row.battery),
            Self::Disk => share(row.disk.map(fullest)),
            Self::Heard if row.connected => 0,
            Self::Heard => row
                .seen
                .map_or(u64::MAX, |at| u64::MAX / 2 - at.0.max(0) as u64),
        }
    }
}

/// Which wishes a row does not fulfil, a bit each.
const SITE: u8 = 1;
const MODEL: u8 = 2;
const SYSTEM: u8 = 4;
const HEALTH: u8 = 8;

struct Tally {
    sites: Vec<u64>,
    models: Vec<u64>,
    systems: Vec<u64>,
    healths: [u64; Health::ALL.len()],
}

impl Tally {
    /// Counts a row for each wish that is alone in not being fulfilled, or for all of them.
    fn count(&mut self, row: &Row, missed: u8) {
        let one = |bit: u8, count: &mut u64| *count += u64::from(missed & !bit == 0);
        one(SITE, &mut self.sites[row.site.place()]);
        one(MODEL, &mut self.models[row.name.place()]);
        one(SYSTEM, &mut self.systems[row.os.place()]);
        one(HEALTH, &mut self.healths[row.health as usize]);
    }
}

impl Fleet {
    pub(super) fn find(
        &self,
        viewer: &Viewer,
        request: &FleetRequest,
    ) -> Result<FleetPage, QueryError> {
        let search = Search::new(request.filter.search.as_deref(), &self.words)?;
        let sees = self.visible(viewer);
        let wanted = Wanted::new(&request.filter, &self.words);
        let words = self.words.len();
        let mut tally = Tally {
            sites: vec![0; words],
            models: vec![0; words],
            systems: vec![0; words],
            healths: Default::default(),
        };
        let (mut visible, mut matching) = (0, Vec::new());
        for (at, row) in self.rows.iter().enumerate() {
            if !sees[row.site.place()] {
                continue;
            }
            visible += 1;
            if !search.finds(row) {
                continue;
            }
            let missed = wanted.missed(row);
            tally.count(row, missed);
            if missed == 0 {
                matching.push((request.sort.key(row, &self.words), at));
            }
        }
        let total = matching.len();
        let page = page_of(matching, request);
        Ok(FleetPage {
            rows: page.map(|at| self.show(&self.rows[at])).collect(),
            total,
            visible,
            sites: self.counts(&tally.sites),
            models: self.counts(&tally.models),
            systems: self.counts(&tally.systems),
            healths: Health::ALL
                .map(|health| (health, tally.healths[health as usize]))
                .into(),
        })
    }

    pub(super) fn urgent(
        &self,
        viewer: &Viewer,
        site: Option<&str>,
        skip: usize,
        most: usize,
    ) -> (Vec<DeviceId>, usize) {
        let sees = self.visible(viewer);
        let site = site.map(|site| self.words.find(site));
        let wanted = self.rows.iter().filter(|row| {
            row.health.needs_attention()
                && sees[row.site.place()]
                && site.is_none_or(|site| site == Some(row.site))
        });
        let mut found: Vec<(u64, DeviceId)> = wanted
            .map(|row| (Sort::Health.key(row, &self.words), row.id))
            .collect();
        let total = found.len();
        found.sort_unstable();
        let ids = found.into_iter().skip(skip).take(most).map(|(_, id)| id);
        (ids.collect(), total)
    }

    /// For each word, whether it is a site that the viewer may see.
    fn visible(&self, viewer: &Viewer) -> Vec<bool> {
        let mut sees = vec![false; self.words.len()];
        for site in &self.sites {
            let text = self.words.text(*site);
            sees[site.place()] = text.parse().is_ok_and(|site| viewer.sees_site(&site));
        }
        sees
    }

    fn counts(&self, tally: &[u64]) -> Vec<Count> {
        let found = tally
            .iter()
            .enumerate()
            .filter(|(_, devices)| **devices > 0);
        let mut counts: Vec<Count> = found
            .map(|(place, devices)| Count {
                text: self.words.text(Word::at(place)).to_owned(),
                devices: *devices,
            })
            .collect();
        counts.sort_by(|a, b| (Reverse(a.devices), &a.text).cmp(&(Reverse(b.devices), &b.text)));
        counts
    }
}

/// Sorts no more than is needed for the page.
fn page_of(mut matching: Vec<(u64, usize)>, request: &FleetRequest) -> impl Iterator<Item = usize> {
    let order = |a: &(u64, usize), b: &(u64, usize)| {
        let order = a.cmp(b);
        if request.reversed {
            order.reverse()
        } else {
            order
        }
    };
    let end = request.skip.saturating_add(request.most);
    if end < matching.len() {
        matching.select_nth_unstable_by(end, order);
        matching.truncate(end);
    }
    matching.sort_unstable_by(order);
    matching
        .into_iter()
        .skip(request.skip)
        .take(request.most)
        .map(|(_, at)| at)
}

/// The wishes as words; one that no row has fulfils none.
struct Wanted {
    site: Option<Option<Word>>,
    model: Option<Option<Word>>,
    os: Option<Option<Word>>,
    health: Option<Health>,
}

impl Wanted {
    fn new(filter: &FleetFilter, words: &Words) -> Self {
        let word = |wish: &Option<String>| wish.as_deref().map(|text| words.find(text));
        Self {
            site: word(&filter.site),
            model: word(&filter.model),
            os: word(&filter.os),
            health: filter.health,
        }
    }

    fn missed(&self, row: &Row) -> u8 {
        let miss = |wish: Option<Option<Word>>, is: Word, bit: u8| match wish {
            Some(wish) if wish != Some(is) => bit,
            _ => 0,
        };
        let health = self.health.is_some_and(|health| health != row.health);
        miss(self.site, row.site, SITE)
            | miss(self.model, row.name, MODEL)
            | miss(self.os, row.os, SYSTEM)
            | if health { HEALTH } else { 0 }
    }
}

/// A text that is looked for.
struct Search {
    /// For each word whether it has the text; `None` where nothing is looked for.
    words: Option<Vec<bool>>,
    /// The text, where it may be part of an identity.
    id: Option<String>,
}

impl Search {
    fn new(search: Option<&str>, words: &Words) -> Result<Self, QueryError> {
        let text = search.map(str::trim).unwrap_or_default().to_lowercase();
        if text.len() > limits::INSTANCE_BYTES {
            let bound = format!("must have at most {} bytes", limits::INSTANCE_BYTES);
            return Err(QueryError::field("search", bound));
        }
        let is_empty = text.is_empty();
        let of_id = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
        Ok(Self {
            words: (!is_empty).then(|| words.which_have(&text)),
            id: Some(text.clone()).filter(|text| !is_empty && text.bytes().all(of_id)),
        })
    }

    fn finds(&self, row: &Row) -> bool {
        let Some(words) = &self.words else {
            return true;
        };
        let looked_at = [
            row.name, row.tag, row.school, row.os, row.site, row.group, row.title,
        ];
        looked_at.iter().any(|word| words[word.place()])
            || self
                .id
                .as_ref()
                .is_some_and(|id| row.id.to_string().contains(id))
    }
}
