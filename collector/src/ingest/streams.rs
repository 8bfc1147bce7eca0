//! The streams that are up, so that a revocation ends them at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_shared::id::DeviceId;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::device::Standing;
use crate::store::Change;

/// Streams of one device: a laptop that changed its network comes anew before the old stream is
/// found dead. A third ends the oldest.
const STREAMS_OF_A_DEVICE: usize = 2;

/// The streams that are up, by device.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    of_device: HashMap<DeviceId, Vec<(u64, CancellationToken)>>,
}

/// A stream's place among those that are up; it is given back when this goes.
#[derive(Debug)]
pub(super) struct Place<'a> {
    streams: &'a Streams,
    device: DeviceId,
    number: u64,
    /// Cancelled when the stream has to end.
    pub stop: CancellationToken,
}

impl Streams {
    /// A place for a new stream.
    pub fn open(&self, device: DeviceId) -> Place<'_> {
        let mut open = self.lock();
        open.next += 1;
        let (number, stop) = (open.next, CancellationToken::new());
        let streams = open.of_device.entry(device).or_default();
        if streams.len() >= STREAMS_OF_A_DEVICE {
            streams.remove(0).1.cancel();
        }
        streams.push((number, stop.clone()));
        Place {
            streams: self,
            device,
            number,
            stop,
        }
    }

    /// Ends the streams of a device.
    pub fn stop(&self, device: DeviceId) {
        if let Some(streams) = self.lock().of_device.get(&device) {
            streams.iter().for_each(|(_, stop)| stop.cancel());
        }
    }

    /// Ends the other streams of a place's device.
    pub fn stop_others(&self, place: &Place<'_>) {
        if let Some(streams) = self.lock().of_device.get(&place.device) {
            let others = streams.iter().filter(|(number, _)| *number != place.number);
            others.for_each(|(_, stop)| stop.cancel());
        }
    }

    fn devices(&self) -> Vec<DeviceId> {
        self.lock().of_device.keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        let Some(streams) = open.of_device.get_mut(&self.device) else {
            return;
        };
        streams.retain(|(number, _)| *number != self.number);
        if streams.is_empty() {
            open.of_device.remove(&self.device);
        }
    }
}

/// Ends streams of devices that may no longer speak, as soon as that is so.
pub(super) async fn end_those_of_the_revoked(shared: Arc<Shared>) {
    let mut changes = shared.store.changes();
    loop {
        match changes.recv().await {
            Ok(Change::Device(device)) => shared.end_if_revoked(device),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => {
                let devices = shared.streams.devices();
                devices
                    .into_iter()
                    .for_each(|device| shared.end_if_revoked(device));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl Shared {
    pub(super) fn standing(&self, device: DeviceId) -> Standing {
        let state = self.store.device(device);
        state.map_or(Standing::Revoked, |state| state.device.standing)
    }

    fn end_if_revoked(&self, device: DeviceId) {
        if self.standing(device) != Standing::Active {
            self.streams.stop(device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_ends_the_others_of_its_device_alone() {
        let (streams, device) = (Streams::default(), DeviceId::generate());
        let other = streams.open(DeviceId::generate());
        let (a, b) = (streams.open(device), streams.open(device));
        streams.stop_others(&b);
        assert!(a.stop.is_cancelled() && !b.stop.is_cancelled() && !other.stop.is_cancelled());
    }

    #[test]
    fn a_third_stream_ends_the_oldest_and_places_are_given_back() {
        let (streams, device) = (Streams::default(), DeviceId::generate());
        let (a, b) = (streams.open(device), streams.open(device));
        assert!(!a.stop.is_cancelled());
        let c = streams.open(device);
        assert!(a.stop.is_cancelled() && !b.stop.is_cancelled() && !c.stop.is_cancelled());
        streams.stop(device);
        assert!(b.stop.is_cancelled() && c.stop.is_cancelled());
        drop((a, b, c));
        assert!(streams.devices().is_empty());
    }
}
