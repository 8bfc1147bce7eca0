//! Which boots of each device have said Hello, so that two machines with one identity are noticed
//! also where neither has a serial number that can be read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_shared::id::{BootId, DeviceId};

/// Boots of one device that are remembered: a trolley of laptops imaged from one disk has 30 to 40,
/// and each of them must still be known when it comes for the second time. 16 bytes each.
const BOOTS: usize = 64;

/// The last boots of every device since the collector started; devices are as many as the store has.
#[derive(Debug, Default)]
pub(super) struct Boots {
    of_device: Mutex<HashMap<DeviceId, History>>,
}

/// What a boot says of the machine that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// The same boot as the last time.
    Again,
    /// Another boot than the last time: the laptop was started anew, or it is another machine.
    New,
    /// A boot from before the last one. A boot never comes back, so two machines are up.
    Returned,
}

/// The boots of one device, the present one last.
#[derive(Debug, Default)]
struct History {
    boots: VecDeque<BootId>,
    is_shared: bool,
}

impl Boots {
    /// Notes the boot with which a device says Hello. One that has returned changes nothing: the
    /// present one keeps the identity.
    pub fn note(&self, device: DeviceId, boot: BootId) -> Seen {
        self.lock().entry(device).or_default().note(boot)
    }

    /// Whether two machines were seen to use a device's identity.
    pub fn is_shared(&self, device: DeviceId) -> bool {
        let of_device = self.lock();
        of_device.get(&device).is_some_and(|known| known.is_shared)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, History>> {
        self.of_device
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    fn note(&mut self, boot: BootId) -> Seen {
        if self.boots.back() == Some(&boot) {
            return Seen::Again;
        }
        if self.boots.contains(&boot) {
            self.is_shared = true;
            return Seen::Returned;
        }
        if self.boots.len() >= BOOTS {
            self.boots.pop_front();
        }
        self.boots.push_back(boot);
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BootId = BootId::from_bytes([1; 16]);
    const B: BootId = BootId::from_bytes([2; 16]);

    #[test]
    fn boots_that_alternate_are_two_machines() {
        let (boots, device) = (Boots::default(), DeviceId::generate());
        assert_eq!(boots.note(device, A), Seen::New);
        assert_eq!(boots.note(device, B), Seen::New);
        assert!(!boots.is_shared(device), "a laptop that was started anew");
        assert_eq!(boots.note(device, A), Seen::Returned);
        assert!(boots.is_shared(device));
        assert_eq!(boots.note(device, A), Seen::Returned, "until it has left");
        assert_eq!(boots.note(device, B), Seen::Again, "the other one stays");
    }

    #[test]
    fn a_laptop_that_starts_anew_each_day_is_one_and_little_is_remembered() {
        let (boots, device) = (Boots::default(), DeviceId::generate());
        for _ in 0..3 * BOOTS {
            let boot = BootId::generate();
            assert_eq!(boots.note(device, boot), Seen::New);
            assert_eq!(boots.note(device, boot), Seen::Again);
        }
        assert!(!boots.is_shared(device));
        assert_eq!(boots.lock()[&device].boots.len(), BOOTS);
        assert_eq!(boots.note(DeviceId::generate(), A), Seen::New);
    }
}
