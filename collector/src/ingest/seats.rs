//! How many connections a certificate has: a laptop needs one, and one that changes its network two.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_shared::id::DeviceId;

/// Connections of one certificate at a time. A room of machines that were imaged from one disk all come
/// with its certificate, and are given others one after the other; what more would hold for up to 80 s
/// each, nobody else could have.
const SEATS: u32 = 64;

/// The connections of each certificate.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<DeviceId, u32>>>);

/// A connection's seat, which is free again when this goes.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    device: DeviceId,
}

impl Seats {
    /// A seat for a connection; `None` when the certificate has enough of them.
    pub fn take(&self, device: DeviceId) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(device).or_default();
        if *count >= SEATS {
            return None;
        }
        *count += 1;
        Some(Seat {
            seats: self.clone(),
            device,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = taken.entry(self.device) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        // A map keeps the room of its fullest moment unless it is told.
        if taken.len() < taken.capacity() / 4 {
            let room = taken.len() * 2;
            taken.shrink_to(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_so_many_seats_and_others_have_their_own() {
        let (seats, device) = (Seats::default(), DeviceId::generate());
        let mut taken: Vec<_> = (0..SEATS).map(|_| seats.take(device).unwrap()).collect();
        assert!(seats.take(device).is_none());
        assert!(seats.take(DeviceId::generate()).is_some());
        taken.pop();
        taken.push(seats.take(device).unwrap());
        assert!(seats.take(device).is_none());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let seats = Seats::default();
        let taken: Vec<_> = (0..4096)
            .map(|_| seats.take(DeviceId::generate()))
            .collect();
        assert!(taken.iter().all(Option::is_some));
        drop(taken);
        let left = seats.0.lock().unwrap();
        assert!(
            left.is_empty() && left.capacity() < 64,
            "{}",
            left.capacity()
        );
    }
}
