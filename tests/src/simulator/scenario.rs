//! Named events: something that befalls many laptops at once, on top of the ordinary life of the
//! fleet, so that it can be asked whether the collector tells it as one thing.

use clap::ValueEnum;
use rollcall_shared::time::UnixMs;

use super::chance::Topic;
use super::day::Place;
use super::laptop::{Laptop, WallClock};
use super::network::Outage;

/// What befalls a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// The first school's way out is cut for two hours.
    SchoolOutage,
    /// No school reaches the internet for three hours.
    DistrictOutage,
    /// An update that comes to one model within three days breaks its Wi-Fi again and again, until
    /// the next update two weeks later.
    WifiUpdate,
    /// At the first school everybody goes out for 25 minutes: lids are closed, and one laptop in ten is
    /// carried along open, out of its network's reach.
    FireDrill,
    /// The school year ends: over four days every laptop is handed in, and stays switched off.
    HandedIn,
    /// For a week a login page stands before the first school's network, for every third laptop.
    CaptivePortal,
    /// The batteries of one model lose a hundredth of their capacity a day, down to a third.
    BatteryBatch,
    /// At the first school a program writes without end, two hundredths of a disk an hour, until
    /// somebody stops it after four days.
    FullDisks,
    /// The next thirty laptops of the first school are imaged from its first one. This holds from
    /// the beginning.
    Imaging,
    /// The clock batteries of one model are empty. This holds from the beginning.
    DeadClocks,
}

/// A scenario and when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// What happens.
    pub scenario: Scenario,
    /// From when on.
    pub from: UnixMs,
}

/// What an event does to one laptop: the truth that alerts are measured by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The fault, by the name of the rule that is there to find it where there is one.
    pub fault: &'static str,
    /// What the laptops that it befalls have in common, such as `site:Lincoln Elementary School`.
    pub cause: String,
    /// From when on.
    pub from: UnixMs,
    /// Until when; `None` for ever.
    pub until: Option<UnixMs>,
    /// Whether it is the laptop's own parts that are changed, so that when the fault shows depends
    /// on how they stood before.
    pub changes_parts: bool,
}

/// Whom the events that befall one model befall: laptops of the third model in the list.
const MODEL: &str = "ProBook x360 11 G7 EE";

/// How long a fire drill lasts, in seconds, and the share of laptops that are carried out open.
const DRILL_S: i64 = 25 * 60;
const CARRIED_OPEN: f64 = 0.1;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The last laptop that the imaging scenario touches, counted in those of the first school.
const IMAGED_NUMBERS: u32 = 200;

/// How much of its capacity a battery of the batch loses in a day, and at most.
const BATCH_LOSS: (f64, f64) = (0.01, 0.65);

/// How much of a disk is written in an hour, and at most.
const RUNAWAY: (f64, f64) = (0.02, 0.99);

impl Event {
    /// What it does to a laptop.
    #[must_use]
    pub fn effect(&self, laptop: &Laptop) -> Option<Effect> {
        let site = || format!("site:{}", laptop.school.name);
        let model = || format!("model:{}", laptop.model());
        let after = |ms| self.from.plus_ms(ms);
        let (fault, cause, from, until) = match self.scenario {
            Scenario::SchoolOutage => (
                "no-platform-at-school",
                site(),
                self.from,
                Some(after(2 * HOUR_MS)),
            ),
            Scenario::DistrictOutage => {
                let cause = "district".to_owned();
                (
                    "no-platform-at-school",
                    cause,
                    self.from,
                    Some(after(3 * HOUR_MS)),
                )
            }
            Scenario::WifiUpdate => {
                let installed = after((laptop.own(Topic::Patch) * 3.0 * DAY_MS as f64) as i64);
                ("wifi-broken", model(), installed, Some(after(14 * DAY_MS)))
            }
            Scenario::FireDrill => ("fire-drill", site(), self.from, Some(after(DRILL_S * 1000))),
            Scenario::HandedIn => {
                let handed_in = after((laptop.own(Topic::Slot) * 4.0 * DAY_MS as f64) as i64);
                ("handed-in", "district".to_owned(), handed_in, None)
            }
            Scenario::CaptivePortal => {
                ("captive-portal", site(), self.from, Some(after(7 * DAY_MS)))
            }
            Scenario::BatteryBatch => ("battery-worn", model(), self.from, None),
            Scenario::FullDisks => ("disk-full", site(), self.from, Some(after(4 * DAY_MS))),
            Scenario::Imaging => ("clone", site(), UnixMs(0), None),
            Scenario::DeadClocks => ("clock-wrong", model(), UnixMs(0), None),
        };
        let changes_parts = matches!(
            self.scenario,
            Scenario::BatteryBatch | Scenario::FullDisks | Scenario::Imaging | Scenario::DeadClocks
        );
        self.befalls(laptop).then_some(Effect {
            fault,
            cause,
            from,
            until,
            changes_parts,
        })
    }

    fn befalls(&self, laptop: &Laptop) -> bool {
        match self.scenario {
            Scenario::SchoolOutage | Scenario::FullDisks | Scenario::FireDrill => {
                laptop.school.index == 0
            }
            Scenario::DistrictOutage | Scenario::HandedIn => true,
            Scenario::WifiUpdate | Scenario::BatteryBatch | Scenario::DeadClocks => {
                laptop.machine.model == MODEL
            }
            Scenario::CaptivePortal => {
                laptop.school.index == 0 && laptop.own(Topic::Stage) < 1.0 / 3.0
            }
            Scenario::Imaging => laptop
                .clone_of
                .is_some_and(|of| of == first_of_school(laptop)),
        }
    }

    /// Whether the laptop is under its effect at a moment.
    fn effect_at(&self, laptop: &Laptop, at: UnixMs) -> Option<Effect> {
        let effect = self.effect(laptop)?;
        let lasts = effect.until.is_none_or(|until| at < until);
        (at >= effect.from && lasts).then_some(effect)
    }

    /// What it makes fail of the network.
    pub(super) fn outage(&self, laptop: &Laptop, place: Place, at: UnixMs) -> Option<Outage> {
        self.effect_at(laptop, at)?;
        match self.scenario {
            Scenario::SchoolOutage if place == Place::Campus => Some(Outage::Gateway),
            Scenario::DistrictOutage if place == Place::Campus => Some(Outage::Tcp),
            Scenario::CaptivePortal if place == Place::Campus => Some(Outage::Portal),
            Scenario::FireDrill if place == Place::Campus => Some(Outage::Link),
            Scenario::WifiUpdate => {
                // Ten minutes with and ten minutes without, two of five.
                let slot = laptop.chance.of(Topic::Slot, at.seconds().div_euclid(600));
                slot.holds(Topic::Outage, 0.4).then_some(Outage::Link)
            }
            _ => None,
        }
    }

    /// Whether it closes the laptop's lid.
    pub(super) fn closes_lid(&self, laptop: &Laptop, place: Place, at: UnixMs) -> bool {
        let closes = match self.scenario {
            Scenario::FireDrill => {
                place == Place::Campus && laptop.own(Topic::Slot) >= CARRIED_OPEN
            }
            Scenario::HandedIn => true,
            _ => false,
        };
        closes && self.effect_at(laptop, at).is_some()
    }

    /// The share of its capacity that a battery has lost by it.
    pub(super) fn battery_loss(&self, laptop: &Laptop, at: UnixMs) -> f64 {
        if self.scenario != Scenario::BatteryBatch || self.effect_at(laptop, at).is_none() {
            return 0.0;
        }
        let days = at.since(self.from) as f64 / DAY_MS as f64;
        (days * BATCH_LOSS.0).min(BATCH_LOSS.1)
    }

    /// The used share of a disk that had `used` before.
    pub(super) fn disk_use(&self, laptop: &Laptop, used: f64, at: UnixMs) -> f64 {
        if self.scenario != Scenario::FullDisks || self.effect_at(laptop, at).is_none() {
            return used;
        }
        let hours = at.since(self.from) as f64 / HOUR_MS as f64;
        (used + hours * RUNAWAY.0).min(RUNAWAY.1).max(used)
    }

    /// Whether the laptop has installed the update that breaks something.
    pub(super) fn has_bad_update(&self, laptop: &Laptop, at: UnixMs) -> bool {
        self.scenario == Scenario::WifiUpdate && self.effect_at(laptop, at).is_some()
    }

    /// Changes what stays the same of a laptop.
    pub(super) fn mark(&self, laptop: &mut Laptop) {
        match self.scenario {
            Scenario::DeadClocks if laptop.machine.model == MODEL => {
                laptop.clock = WallClock::Reset;
            }
            Scenario::Imaging if laptop.school.index == 0 && laptop.number < IMAGED_NUMBERS => {
                let first = first_of_school(laptop);
                laptop.clone_of = (laptop.number > first).then_some(first);
            }
            _ => {}
        }
    }
}

/// The first laptop of the first school, for a laptop of that school.
fn first_of_school(laptop: &Laptop) -> u32 {
    let found = (0..laptop.number).find(|number| laptop.school_of(*number) == 0);
    found.unwrap_or(laptop.number)
}
