//! The fleet in numbers, kept with each change: to count a fleet anew takes milliseconds for each 10,000.

use std::collections::{BTreeMap, HashMap};

use rollcall_shared::id::{DeviceId, Label};

use super::memory::Memory;
use crate::alert::{Alert, AlertKey, AlertState};
use crate::device::{Device, DeviceState};

/// How many there are of devices and their open alerts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Devices.
    pub devices: u64,
    /// Those whose stream is up.
    pub connected: u64,
    /// By [`crate::device::Standing`], in its order.
    pub standing: [u64; 3],
    /// Those with a firing alert.
    pub needing_attention: u64,
    /// Firing alerts by [`crate::alert::Severity`], in its order.
    pub firing: [u64; 3],
    /// Alerts whose condition has not held for long enough yet.
    pub pending: u64,
}

/// What devices of one site are told apart by when they are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The group.
    pub group: Option<Label>,
    /// The agent's version.
    pub agent_version: String,
}

/// The counts of each site and each kind in it; of those without a device none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FleetCounts(HashMap<Label, HashMap<Kind, Counts>>);

impl Kind {
    fn of(device: &Device) -> Self {
        Self {
            group: device.group.clone(),
            agent_version: device.agent_version.clone(),
        }
    }
}

impl Counts {
    /// Of one device.
    fn of<'a>(state: &DeviceState, alerts: impl Iterator<Item = &'a Alert>) -> Self {
        let mut counts = Self {
            devices: 1,
            connected: u64::from(state.connected),
            ..Self::default()
        };
        counts.standing[state.device.standing as usize] = 1;
        for alert in alerts {
            if alert.state == AlertState::Firing {
                counts.firing[alert.severity as usize] += 1;
                counts.needing_attention = 1;
            } else {
                counts.pending += 1;
            }
        }
        counts
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, u64::wrapping_add);
    }

    fn combine(&mut self, other: &Self, by: fn(u64, u64) -> u64) {
        let both = |a: &mut u64, b: u64| *a = by(*a, b);
        both(&mut self.devices, other.devices);
        both(&mut self.connected, other.connected);
        both(&mut self.needing_attention, other.needing_attention);
        both(&mut self.pending, other.pending);
        let standing = self.standing.iter_mut().zip(other.standing);
        let firing = self.firing.iter_mut().zip(other.firing);
        standing.chain(firing).for_each(|(a, b)| both(a, b));
    }
}

impl FleetCounts {
    /// Adds what a device adds.
    fn add(&mut self, state: &DeviceState, counts: &Counts) {
        let device = &state.device;
        if !self.0.contains_key(&device.site) {
            self.0.insert(device.site.clone(), HashMap::new());
        }
        let kinds = self.0.get_mut(&device.site).expect("it was put there");
        kinds.entry(Kind::of(device)).or_default().add(counts);
    }

    /// Takes away what [`FleetCounts::add`] has added.
    fn subtract(&mut self, state: &DeviceState, counts: &Counts) {
        let (site, kind) = (&state.device.site, Kind::of(&state.device));
        let Some(kinds) = self.0.get_mut(site) else {
            return;
        };
        if let Some(known) = kinds.get_mut(&kind) {
            known.combine(counts, u64::wrapping_sub);
            if known.devices == 0 {
                kinds.remove(&kind);
            }
        }
        if kinds.is_empty() {
            self.0.remove(site);
        }
    }

    /// Each site with its kinds.
    pub fn iter(&self) -> impl Iterator<Item = (&Label, &Kind, &Counts)> {
        let sites = self.0.iter();
        sites.flat_map(|(site, kinds)| kinds.iter().map(move |(kind, of)| (site, kind, of)))
    }
}

impl Memory {
    /// Makes a change of a device's record, connection or alerts, and keeps the counts right.
    pub fn counting(&mut self, device: DeviceId, change: impl FnOnce(&mut Self)) {
        self.count(device, FleetCounts::subtract);
        change(self);
        self.count(device, FleetCounts::add);
    }

    /// Counts all devices anew: after a start.
    pub fn count_all(&mut self) {
        self.counts = FleetCounts::default();
        let devices: Vec<DeviceId> = self.devices.keys().copied().collect();
        for device in devices {
            self.count(device, FleetCounts::add);
        }
    }

    fn count(&mut self, device: DeviceId, by: fn(&mut FleetCounts, &DeviceState, &Counts)) {
        if let Some(entry) = self.devices.get(&device) {
            let counts = Counts::of(&entry.state, alerts_of(&self.alerts, device));
            by(&mut self.counts, &entry.state, &counts);
        }
    }
}

/// The open alerts of one device, by key.
pub(super) fn alerts_of(
    alerts: &BTreeMap<AlertKey, Alert>,
    device: DeviceId,
) -> impl Iterator<Item = &Alert> {
    let from = AlertKey {
        device,
        rule: String::new(),
        instance: String::new(),
    };
    let alerts = alerts.range(from..);
    let of_device = alerts.take_while(move |(key, _)| key.device == device);
    of_device.map(|(_, alert)| alert)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollcall_shared::fingerprint::HardwareFingerprint;
    use rollcall_shared::time::UnixMs;

    use super::super::Write;
    use super::*;
    use crate::alert::{AlertId, Audience, Severity};
    use crate::device::Standing;

    const NOW: UnixMs = UnixMs(1_790_000_000_000);

    fn device(id: u8, site: u8, standing: usize) -> Device {
        Device {
            id: DeviceId::from_bytes([id; 16]),
            site: ["Hay", "Lincoln"][usize::from(site % 2)].parse().unwrap(),
            group: (site > 1).then(|| "simulated".parse().unwrap()),
            enrolled: NOW,
            fingerprint: HardwareFingerprint::default(),
            vendor: String::new(),
            model: String::new(),
            agent_version: format!("0.{}.0", standing % 2),
            standing: Standing::ALL[standing],
            cloned_from: None,
        }
    }

    fn alert(id: u8, rule: u8, severity: usize, is_firing: bool) -> Alert {
        Alert {
            id: AlertId::generate(),
            key: AlertKey {
                device: DeviceId::from_bytes([id; 16]),
                rule: format!("rule-{rule}"),
                instance: String::new(),
            },
            state: if is_firing {
                AlertState::Firing
            } else {
                AlertState::Pending
            },
            severity: Severity::ALL[severity],
            audience: Audience::HelpDesk,
            title: String::new(),
            evidence: String::new(),
            since: NOW,
            held_ms: 0,
            observed: NOW,
            fired: None,
            resolved: None,
            incident: None,
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, u8, usize),
        Connect(u8, bool),
        Alert(u8, u8, usize, bool),
        Remove(u8, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_u8..5, 0_u8..4, 0_usize..3).prop_map(|(id, site, s)| Step::Put(id, site, s)),
            (0_u8..5, any::<bool>()).prop_map(|(id, up)| Step::Connect(id, up)),
            (0_u8..5, 0_u8..3, 0_usize..3, any::<bool>())
                .prop_map(|(id, rule, s, fires)| Step::Alert(id, rule, s, fires)),
            (0_u8..5, 0_u8..3).prop_map(|(id, rule)| Step::Remove(id, rule)),
        ]
    }

    proptest! {
        /// Whatever happens, the counts are those of counting all devices and alerts anew.
        #[test]
        fn counts_stay_exact(steps in prop::collection::vec(step(), 0..80)) {
            let mut memory = Memory::default();
            for step in steps {
                match step {
                    Step::Put(id, site, s) => memory.apply(&Write::PutDevice(device(id, site, s))),
                    Step::Connect(id, up) => {
                        memory.set_connected(DeviceId::from_bytes([id; 16]), up, NOW);
                    }
                    Step::Alert(id, rule, s, fires) => {
                        memory.apply(&Write::PutAlert(alert(id, rule, s, fires)));
                    }
                    Step::Remove(id, rule) => {
                        let alert = alert(id, rule, 0, true);
                        memory.apply(&Write::RemoveAlert(alert.key));
                    }
                }
                let mut all = Counts::default();
                memory.counts.iter().for_each(|(_, _, counts)| all.add(counts));
                prop_assert_eq!(all.devices as usize, memory.devices.len());
                let of_known = memory.alerts.keys().filter(|key| memory.devices.contains_key(&key.device));
                prop_assert_eq!((all.firing.iter().sum::<u64>() + all.pending) as usize, of_known.count());
                let kept = std::mem::take(&mut memory.counts);
                memory.count_all();
                prop_assert_eq!(&kept, &memory.counts);
            }
        }
    }
}
