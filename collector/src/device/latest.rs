//! The latest value of each series of a device, in little room.
//!
//! Laptops of one kind report the same series. So the sorted list of their keys is kept once and
//! shared by all of them, and a device has its values alone, in the same order. A report whose
//! series are known is taken in without asking for memory.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rollcall_shared::limits;
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::SeriesKey;

/// Series of one device whose latest value is kept: twice what a report may carry. Those that a full
/// report does not name any more go; a laptop that makes up ever new ones fills no memory.
const SERIES: usize = 2 * limits::READINGS_PER_REPORT;

/// Codes of the catalogue are small, and their places are looked up in a table.
const TABLE: usize = 256;

/// Shapes that may be out of use before they are looked for.
const UNUSED: usize = 64;

/// The latest value of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// What was read.
    pub value: Value,
    /// When it came to be as it is, by the collector's clock.
    pub since: UnixMs,
}

/// The latest values of a device, by ascending key.
#[derive(Debug, Clone)]
pub struct Latests {
    shape: Arc<Shape>,
    values: Vec<Latest>,
}

/// Which series there are, ascending.
#[derive(Debug)]
struct Shape {
    keys: Vec<SeriesKey>,
    /// The place of the first key with each code, or a greater one.
    first: Vec<u16>,
}

impl Latests {
    /// The latest value of a series.
    #[must_use]
    pub fn get(&self, metric: u16, instance: &str) -> Option<&Latest> {
        self.find(metric, instance).map(|place| &self.values[place])
    }

    /// The latest value of every instance of a metric, by instance.
    pub fn of(&self, metric: u16) -> impl Iterator<Item = (&str, &Latest)> {
        let places = self.shape.places(metric);
        let keys = self.shape.keys[places.clone()].iter();
        keys.map(|key| key.instance.as_str())
            .zip(&self.values[places])
    }

    /// Every series and its latest value, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &Latest)> {
        self.shape.keys.iter().zip(&self.values)
    }

    /// How many series there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Takes in what changed at `at`. Answers how many series there was no place for.
    pub fn renew(&mut self, at: UnixMs, changed: Vec<(SeriesKey, Value)>) -> u64 {
        let (mut new, mut hint) = (Vec::new(), 0);
        for (key, value) in changed {
            match self.place_of(&key, hint) {
                Some(place) => {
                    self.values[place].renew(value, at);
                    hint = place + 1;
                }
                None => new.push((key, Latest { value, since: at })),
            }
        }
        let room = SERIES.saturating_sub(self.len());
        let left_out = new.len().saturating_sub(room);
        new.truncate(room);
        self.extend(new);
        left_out as u64
    }

    /// Puts one value in its place.
    pub fn insert(&mut self, key: SeriesKey, latest: Latest) {
        match self.find(key.metric, &key.instance) {
            Some(place) => self.values[place] = latest,
            None => self.extend(vec![(key, latest)]),
        }
    }

    /// Forgets every series but these, and the clock's offset.
    pub fn keep_only(&mut self, series: &[SeriesKey]) {
        let places = series
            .iter()
            .map(|key| self.find(key.metric, &key.instance));
        self.keep(places.collect());
    }

    /// Keeps what is in these places, and the clock's offset.
    fn keep(&mut self, places: Vec<Option<usize>>) {
        let mut kept = vec![false; self.len()];
        for place in places.into_iter().flatten() {
            kept[place] = true;
        }
        for place in self.shape.places(metric::CLOCK_OFFSET.code) {
            kept[place] = true;
        }
        if kept.iter().all(|kept| *kept) {
            return;
        }
        let keys = self.shape.keys.iter().zip(&kept);
        let keys = keys.filter(|(_, kept)| **kept).map(|(key, _)| key.clone());
        self.shape = shared(keys.collect());
        let mut kept = kept.into_iter();
        self.values.retain(|_| kept.next().unwrap_or_default());
    }

    /// Adds series that are not there yet; of those that are in it twice, the later counts.
    fn extend(&mut self, mut new: Vec<(SeriesKey, Latest)>) {
        if new.is_empty() {
            return;
        }
        let old = self.shape.keys.iter().cloned();
        let mut all: Vec<_> = old.zip(std::mem::take(&mut self.values)).collect();
        all.append(&mut new);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let (keys, values) = all.into_iter().unzip();
        self.shape = shared(keys);
        self.values = values;
    }

    fn place_of(&self, key: &SeriesKey, hint: usize) -> Option<usize> {
        // Reports mostly come in the order of the last one.
        match self.shape.keys.get(hint) {
            Some(known) if known == key => Some(hint),
            _ => self.find(key.metric, &key.instance),
        }
    }

    fn find(&self, metric: u16, instance: &str) -> Option<usize> {
        let places = self.shape.places(metric);
        let found = self.shape.keys[places.clone()]
            .binary_search_by(|key| key.instance.as_str().cmp(instance));
        found.ok().map(|place| places.start + place)
    }
}

#[cfg(test)]
impl Latests {
    /// Every value, to be changed.
    pub fn values_mut(&mut self) -> std::slice::IterMut<'_, Latest> {
        self.values.iter_mut()
    }
}

impl Default for Latests {
    fn default() -> Self {
        static NOTHING: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(Shape::new(Vec::new())));
        Self {
            shape: Arc::clone(&NOTHING),
            values: Vec::new(),
        }
    }
}

impl PartialEq for Latests {
    fn eq(&self, other: &Self) -> bool {
        self.shape.keys == other.shape.keys && self.values == other.values
    }
}

impl FromIterator<(SeriesKey, Latest)> for Latests {
    fn from_iter<I: IntoIterator<Item = (SeriesKey, Latest)>>(series: I) -> Self {
        let mut latests = Self::default();
        latests.extend(series.into_iter().collect());
        latests
    }
}

impl Latest {
    fn renew(&mut self, value: Value, at: UnixMs) {
        if self.value != value {
            *self = Self { value, since: at };
        }
    }
}

impl Shape {
    fn new(keys: Vec<SeriesKey>) -> Self {
        let before = |code: usize| keys.partition_point(|key| usize::from(key.metric) < code);
        let place = |code| u16::try_from(before(code)).expect("a device has fewer series");
        let first = (0..=TABLE).map(place).collect();
        Self { keys, first }
    }

    fn places(&self, metric: u16) -> Range<usize> {
        let code = usize::from(metric);
        if code < TABLE {
            return usize::from(self.first[code])..usize::from(self.first[code + 1]);
        }
        let start = self.keys.partition_point(|key| key.metric < metric);
        let of_metric = self.keys[start..].partition_point(|key| key.metric == metric);
        start..start + of_metric
    }
}

/// A shape among those that are in use, found by its keys.
#[derive(Debug)]
struct InUse(Arc<Shape>);

impl Borrow<[SeriesKey]> for InUse {
    fn borrow(&self) -> &[SeriesKey] {
        &self.0.keys
    }
}

impl Hash for InUse {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.keys[..].hash(state);
    }
}

impl PartialEq for InUse {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys == other.0.keys
    }
}

impl Eq for InUse {}

#[derive(Debug, Default)]
struct Shapes {
    in_use: HashSet<InUse>,
    /// How many there may be before those that nobody uses are dropped.
    room: usize,
}

/// The one shape with these keys.
fn shared(keys: Vec<SeriesKey>) -> Arc<Shape> {
    static SHAPES: LazyLock<Mutex<Shapes>> = LazyLock::new(Mutex::default);
    let mut shapes = SHAPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(InUse(shape)) = shapes.in_use.get(&keys[..]) {
        return Arc::clone(shape);
    }
    if shapes.in_use.len() >= shapes.room {
        shapes
            .in_use
            .retain(|InUse(shape)| Arc::strong_count(shape) > 1);
        shapes.room = 2 * shapes.in_use.len() + UNUSED;
    }
    let shape = Arc::new(Shape::new(keys));
    shapes.in_use.insert(InUse(Arc::clone(&shape)));
    shape
}

#[cfg(test)]
mod tests;
