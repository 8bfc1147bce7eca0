//! The outlooks of all devices, and where their pasts come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::{Clock, UnixMs};

use super::derived;
use super::forecast::Outlook;
use super::forecast::habit::{HABIT_REACH_MS, Habits, SLOTS_PER_HOUR, Sample, is_habit};
use super::forecast::past::{Past, REACH_MS};
use super::forecast::peers::{PEERS_STAND_MS, Peers};
use crate::device::{DeviceState, Latest, Latests, SeriesKey, is_loss};
use crate::store::rollup::{Bucket, Level};
use crate::store::{Store, StoreError};

/// How long pasts are read before one round, after the first: each is some hundred reads from disk, a few
/// milliseconds. A quarter of a second leaves readings on time, and a district of 10,000 laptops has its forecasts
/// within minutes of a start and of a rule that looks further back.
const READ_FOR_MS: u64 = 250;

/// Pasts that are read before one round at most, where nothing is slow.
const READ_AT_ONCE: usize = 256;

/// The outlook of each device whose past was read. Until then a device has no forecasts, so that
/// nothing fires or is resolved by what a dip of today looks like.
#[derive(Debug, Default)]
pub struct Outlooks {
    of: Mutex<HashMap<DeviceId, Known>>,
    /// What is usual among peers, and when that was found.
    peers: Mutex<(Option<UnixMs>, Arc<Peers>)>,
}

/// An outlook, and of how many derivations its past was read: rules that come later ask for more.
#[derive(Debug)]
struct Known {
    outlook: Outlook,
    derivations: usize,
}

impl Outlooks {
    /// Reads the pasts of some devices that have none yet, the first of `devices`, for as long as [`READ_FOR_MS`].
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub async fn read_some(
        &self,
        store: &Store,
        devices: &[DeviceId],
        clock: &dyn Clock,
    ) -> Result<(), StoreError> {
        let begun = clock.now();
        let new: Vec<DeviceId> = {
            let known = self.lock();
            let derivations = derived::all().len();
            let is_new = |device: &&DeviceId| {
                let known = known.get(device);
                known.is_none_or(|known| known.derivations < derivations)
            };
            let new = devices.iter().filter(is_new).take(READ_AT_ONCE);
            new.copied().collect()
        };
        for state in new.into_iter().filter_map(|device| store.device(device)) {
            let (store, id) = (store.clone(), state.device.id);
            let derivations = derived::all().len();
            let read = tokio::task::spawn_blocking(move || read(&store, &state, begun.wall));
            let outlook = read.await.expect("reading a past does not panic")?;
            let known = Known {
                outlook,
                derivations,
            };
            self.lock().insert(id, known);
            if clock.now().since_boot.0.saturating_sub(begun.since_boot.0) >= READ_FOR_MS {
                break;
            }
        }
        Ok(())
    }

    /// The forecasts of a device and until when they stand; `None` until its past was read.
    #[must_use]
    pub fn of(&self, state: &DeviceState, now: UnixMs) -> Option<(Arc<Latests>, UnixMs)> {
        let mut outlooks = self.lock();
        let peers = self.peers(&outlooks, now);
        let outlook = &mut outlooks.get_mut(&state.device.id)?.outlook;
        outlook.set_peers(&peers);
        let readings = outlook.readings(state, now);
        Some((readings, outlook.stands_until().unwrap_or(now)))
    }

    /// What is usual among peers: found anew once an hour, in about ten milliseconds for 10,000 laptops.
    fn peers(&self, outlooks: &HashMap<DeviceId, Known>, now: UnixMs) -> Arc<Peers> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = |made: UnixMs| (0..PEERS_STAND_MS).contains(&now.since(made));
        if !peers.0.is_some_and(stands) {
            let summaries = outlooks.values().map(|known| known.outlook.summary());
            *peers = (Some(now), Arc::new(Peers::of(summaries)));
        }
        Arc::clone(&peers.1)
    }

    /// Forgets the devices that are no more.
    pub fn keep(&self, devices: &BTreeSet<DeviceId>) {
        self.lock().retain(|id, _| devices.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, Known>> {
        // An outlook is made anew from its past, so one that a panic left half made does no harm.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A device's outlook with its past up to `now`.
///
/// # Errors
/// [`StoreError`] when the history cannot be read.
pub(super) fn read(store: &Store, state: &DeviceState, now: UnixMs) -> Result<Outlook, StoreError> {
    let mut outlook = Outlook::default();
    let is_input = |metric: u16, instance: &str| {
        let key = SeriesKey {
            metric,
            instance: instance.to_owned(),
        };
        Past::is_input(&key) && state.latest.get(metric, instance).is_some()
    };
    // Readings are not kept for as long, and a value for each hour is more than a past holds.
    let range = (now.plus_ms(-REACH_MS), now);
    let (device, hour) = (state.device.id, Level::Hour);
    let rolled = store.rolled(device, &is_input, range, hour, hour.width_ms())?;
    read_tracks(store, state, &mut outlook, now)?;
    for of in rolled {
        let points = of
            .buckets
            .into_iter()
            .map(|bucket| (bucket.at, bucket.last));
        let points: Vec<(UnixMs, Value)> = points.collect();
        outlook.past_mut().precede(&of.key, &points);
    }
    let is_habit = |metric: u16, instance: &str| {
        is_habit(metric) && state.latest.get(metric, instance).is_some()
    };
    let range = (now.plus_ms(-HABIT_REACH_MS), now);
    let rolled = store.rolled(device, &is_habit, range, hour, hour.width_ms())?;
    let series = rolled.into_iter().map(|of| (of.key, of.buckets));
    let losses = losses(store, state, range)?;
    live_again(state, series, &losses, outlook.habits_mut());
    if !losses.is_empty() {
        // They are counted from the start of the collector on.
        outlook.habits_mut().count_drops_from(state.radio_losses);
    }
    Ok(outlook)
}

/// When radios were lost that nobody counts the drops of.
fn losses(
    store: &Store,
    state: &DeviceState,
    (from, to): (UnixMs, UnixMs),
) -> Result<Vec<UnixMs>, StoreError> {
    if state
        .instances(&metric::LINK_DROPS)
        .any(|(_, latest)| latest.value.is_available())
    {
        return Ok(Vec::new());
    }
    let wanted =
        |metric: u16, instance: &str| metric == metric::LINK_STATE.code && state.is_radio(instance);
    let columns = store.columns_of(state.device.id, &wanted, from, to)?;
    let mut losses: Vec<UnixMs> = columns.iter().flat_map(|c| lost(&c.points)).collect();
    losses.sort_unstable();
    Ok(losses)
}

/// When a radio was found down that had been up.
fn lost(points: &[(UnixMs, Value)]) -> impl Iterator<Item = UnixMs> {
    let pairs = points.windows(2);
    let lost = pairs.filter(|pair| is_loss(&pair[0].1, &pair[1].1));
    lost.map(|pair| pair[1].0)
}

/// Takes in the hours of a past in their order. Each stands for as many slots as an hour has.
fn live_again(
    state: &DeviceState,
    series: impl Iterator<Item = (SeriesKey, Vec<Bucket>)>,
    losses: &[UnixMs],
    habits: &mut Habits,
) {
    let mut hours: BTreeMap<UnixMs, Vec<(SeriesKey, Value)>> = BTreeMap::new();
    for (key, buckets) in series {
        for bucket in buckets.into_iter().filter(|bucket| bucket.count > 0) {
            let mean = bucket.band.map(|band| Value::Number(band.mean));
            let value = match mean {
                Some(mean) if !is_count(key.metric) => mean,
                _ => bucket.last,
            };
            hours
                .entry(bucket.at)
                .or_default()
                .push((key.clone(), value));
        }
    }
    let mut past = DeviceState::new(state.device.clone());
    for (instance, kind) in state.instances(&metric::LINK_KIND) {
        let key = SeriesKey::new(&metric::LINK_KIND, instance);
        past.latest.insert(key, kind.clone());
    }
    for (at, values) in hours {
        for (key, value) in values {
            past.latest.insert(key, Latest { value, since: at });
        }
        past.last_report = Some(at);
        let end = at.plus_ms(Level::Hour.width_ms());
        past.radio_losses = losses.partition_point(|lost| *lost < end) as u64;
        if let Some(sample) = Sample::of(&past) {
            habits.note(&Sample {
                slots: SLOTS_PER_HOUR,
                ..sample
            });
        }
    }
}

/// Whether the last value of an hour tells more than its mean: what is counted, and the charge that was left.
fn is_count(metric: u16) -> bool {
    let means = [
        &metric::CPU_UTILIZATION,
        &metric::PRESSURE_CPU,
        &metric::PRESSURE_MEMORY,
        &metric::PRESSURE_IO,
        &metric::TEMPERATURE,
    ];
    means.iter().all(|mean| mean.code != metric)
}

/// The recent past of the series that rules look at the changes of.
fn read_tracks(
    store: &Store,
    state: &DeviceState,
    outlook: &mut Outlook,
    now: UnixMs,
) -> Result<(), StoreError> {
    let derivations = derived::all();
    let Some(longest) = derivations.iter().map(|d| d.over_ms).max() else {
        return Ok(());
    };
    let wanted = |metric: u16, _: &str| derivations.iter().any(|d| d.of.code == metric);
    let from = now.plus_ms(-longest - DAY_MS);
    let columns = store.columns_of(state.device.id, &wanted, from, now)?;
    for column in columns {
        outlook.tracks_mut().precede(&column.key, column.points);
    }
    Ok(())
}

/// What held when the window began was said within a day before: full reports come more often.
const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::device::laptop::{HOUR, Laptop, START};
    use crate::store::rollup::Band;

    fn bucket(hour: i64, count: u64, mean: f64, last: f64) -> Bucket {
        let band = Band {
            min: mean.min(last),
            mean,
            max: mean.max(last),
        };
        Bucket {
            at: START.plus_ms(hour * HOUR),
            count,
            last: Value::Number(last),
            band: Some(band),
        }
    }

    /// Fourteen days of four hours each: what is measured counts by its mean, what is counted by its last value,
    /// and an hour without reports by nothing.
    #[test]
    fn a_past_is_lived_again_by_the_hour() {
        let laptop = Laptop::new();
        let hours = || (0..14).flat_map(|day| (8..12).map(move |hour| day * 24 + hour));
        let heat = hours().map(|hour| bucket(hour, 12, 50.0, 90.0)).collect();
        let drops = hours()
            .enumerate()
            .map(|(place, hour)| bucket(hour, 12, 0.0, 2.0 * place as f64))
            .collect();
        let mut busy: Vec<Bucket> = hours().map(|hour| bucket(hour, 12, 0.2, 0.9)).collect();
        busy.push(bucket(20, 0, 1.0, 1.0));
        let series = [
            (SeriesKey::new(&metric::TEMPERATURE, "cpu"), heat),
            (SeriesKey::new(&metric::LINK_DROPS, "en0"), drops),
            (SeriesKey::new(&metric::CPU_UTILIZATION, ""), busy),
        ];
        let mut habits = Habits::default();
        live_again(&laptop.state, series.into_iter(), &[], &mut habits);
        let heat = habits.heat().unwrap();
        assert_eq!((heat.recent, heat.before.unwrap().middle), (50.0, 50.0));
        let busy = habits.busy().unwrap();
        assert!((busy.recent - 0.2).abs() < 1e-6, "{busy:?}");
        let drops = habits.drops().unwrap();
        assert_eq!(drops.before, Some(2.0), "eight in four hours");
    }

    /// Windows and macOS count no drops: those of a past are found in the radio's states.
    #[test]
    fn the_drops_of_a_past_are_found_in_the_states_of_its_radio() {
        let word = |minute: i64, word: &str| {
            let at = START.plus_ms(minute * 60_000);
            (at, Value::Text(word.to_owned()))
        };
        let missing = Value::Unavailable("asleep".to_owned());
        let states = [
            word(0, "down"),
            word(1, "up"),
            word(5, "down"),
            word(9, "up"),
            (START.plus_ms(20 * 60_000), missing),
            word(30, "down"),
            word(40, "up"),
            word(70, "down"),
        ];
        let minutes: Vec<i64> = lost(&states).map(|at| at.since(START) / 60_000).collect();
        assert_eq!(minutes, [5, 70], "what was not read is neither");
        let mut laptop = Laptop::new();
        let wifi = Value::Text("wifi".to_owned());
        laptop.read(&metric::LINK_KIND, "wifi0", wifi);
        let hours = || (0..14).flat_map(|day| (8..12).map(move |hour| day * 24 + hour));
        let busy = hours().map(|hour| bucket(hour, 12, 0.2, 0.2)).collect();
        let series = [(SeriesKey::new(&metric::CPU_UTILIZATION, ""), busy)];
        let losses: Vec<UnixMs> = hours()
            .filter(|hour| hour % 24 > 8)
            .map(|hour| START.plus_ms(hour * HOUR))
            .collect();
        let mut habits = Habits::default();
        live_again(&laptop.state, series.into_iter(), &losses, &mut habits);
        let before = habits.drops().unwrap().before;
        assert_eq!(before, Some(0.75), "three in four hours");
    }
}
