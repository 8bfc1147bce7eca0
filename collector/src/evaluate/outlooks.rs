//! The outlooks of all devices, and where their pasts come from.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_shared::id::DeviceId;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::forecast::Outlook;
use super::forecast::past::{Past, REACH_MS};
use crate::device::{DeviceState, Latests, SeriesKey};
use crate::store::rollup::Level;
use crate::store::{Store, StoreError};

/// Pasts that are read before one round: each is some hundred reads from disk. A district of 10,000
/// laptops has its forecasts within hours of a start, and everything else at once.
const READ_AT_ONCE: usize = 8;

/// The outlook of each device whose past was read. Until then a device has no forecasts, so that
/// nothing fires or is resolved by what a dip of today looks like.
#[derive(Debug, Default)]
pub struct Outlooks {
    of: Mutex<HashMap<DeviceId, Outlook>>,
}

impl Outlooks {
    /// Reads the pasts of some devices that have none yet, the first of `devices`.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub async fn read_some(
        &self,
        store: &Store,
        devices: &[DeviceId],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let new: Vec<DeviceId> = {
            let known = self.lock();
            let is_new = |device: &&DeviceId| !known.contains_key(device);
            let new = devices.iter().filter(is_new).take(READ_AT_ONCE);
            new.copied().collect()
        };
        for state in new.into_iter().filter_map(|device| store.device(device)) {
            let (store, id) = (store.clone(), state.device.id);
            let read = tokio::task::spawn_blocking(move || read(&store, &state, now));
            let outlook = read.await.expect("reading a past does not panic")?;
            self.lock().insert(id, outlook);
        }
        Ok(())
    }

    /// The forecasts of a device and until when they stand; `None` until its past was read.
    #[must_use]
    pub fn of(&self, state: &DeviceState, now: UnixMs) -> Option<(Arc<Latests>, UnixMs)> {
        let mut outlooks = self.lock();
        let outlook = outlooks.get_mut(&state.device.id)?;
        let readings = outlook.readings(state, now);
        Some((readings, outlook.stands_until().unwrap_or(now)))
    }

    /// Forgets the devices that are no more.
    pub fn keep(&self, devices: &BTreeSet<DeviceId>) {
        self.lock().retain(|id, _| devices.contains(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, Outlook>> {
        // An outlook is made anew from its past, so one that a panic left half made does no harm.
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(store: &Store, state: &DeviceState, now: UnixMs) -> Result<Outlook, StoreError> {
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
    for of in rolled {
        let points = of
            .buckets
            .into_iter()
            .map(|bucket| (bucket.at, bucket.last));
        let points: Vec<(UnixMs, Value)> = points.collect();
        outlook.past_mut().precede(&of.key, &points);
    }
    Ok(outlook)
}
