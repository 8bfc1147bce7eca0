//! What the store's tests share.

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

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
