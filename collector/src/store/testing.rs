//! What the store's tests share.

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Sequence};
use rollcall_shared::reading::Reading;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{SinceBootMs, UnixMs};

use crate::device::{Device, Standing};

/// A laptop of Lincoln of which nothing else is known.
pub fn device(enrolled: UnixMs) -> Device {
    Device {
        id: DeviceId::generate(),
        site: "Lincoln".parse().unwrap(),
        group: None,
        enrolled,
        fingerprint: HardwareFingerprint::default(),
        vendor: String::new(),
        model: String::new(),
        agent_version: String::new(),
        standing: Standing::Active,
        cloned_from: None,
    }
}

/// A report of changes.
pub fn report(sequence: u64, wall: UnixMs, readings: Vec<Reading>) -> Report {
    Report {
        sequence: Sequence(sequence),
        taken: Taken {
            wall,
            boot: BootId::from_bytes([7; 16]),
            since_boot: SinceBootMs(1),
        },
        full: false,
        urgent: false,
        readings,
    }
}
