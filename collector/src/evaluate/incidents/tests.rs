//! A district at its desk: alerts come and go, and the number of incidents is what is asserted.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::time::UnixMs;

use super::traits::Traits;
use super::{Decision, Fleet, Scene, decide};
use crate::alert::{Alert, AlertId, AlertKey, AlertState};
use crate::evaluate::device::laptop::{DAY, HOUR, MINUTE, START};
use crate::evaluate::rules::{Rule, RuleSet};
use crate::incident::{Acknowledgement, Cause, Incident, IncidentId, IncidentState, Scope};
use crate::notification::Event;

/// Seconds between two decisions in these stories.
const STEP: i64 = 15_000;

struct District {
    rules: RuleSet,
    laptops: BTreeMap<DeviceId, (Traits, Label)>,
    firing: BTreeMap<AlertKey, Alert>,
    incidents: BTreeMap<IncidentId, Incident>,
    silenced: BTreeSet<DeviceId>,
    asleep: BTreeSet<DeviceId>,
    lapsed: BTreeSet<AlertId>,
    told: Vec<(IncidentId, Event)>,
    now: UnixMs,
}

impl Fleet for District {
    fn laptop(&self, device: DeviceId) -> Option<(Traits, Label)> {
        self.laptops.get(&device).cloned()
    }

    fn exposed(&self, _: &[&Rule], _: &str) -> Vec<(DeviceId, Traits)> {
        let all = self.laptops.iter();
        all.map(|(id, (traits, _))| (*id, traits.clone())).collect()
    }
}

impl District {
    /// Schools with laptops of four models, the first half of each on its school's network.
    fn new(sites: usize, each: usize) -> Self {
        let laptop = |n: usize| {
            let site = format!("site-{:02}", n % sites);
            let is_home = n / sites >= each / 2;
            let traits = Traits {
                site_network: if is_home { String::new() } else { site.clone() },
                off_campus: is_home,
                model: format!("model-{}", n / sites % 4),
                build: format!("Windows {}", 26_100 + n / sites % 3),
                ..Traits::default()
            };
            let mut id = [0; 16];
            id[8..].copy_from_slice(&(n as u64).to_be_bytes());
            (DeviceId::from_bytes(id), (traits, site.parse().unwrap()))
        };
        Self {
            rules: RuleSet::built_in(),
            laptops: (0..sites * each).map(laptop).collect(),
            firing: BTreeMap::new(),
            incidents: BTreeMap::new(),
            silenced: BTreeSet::new(),
            asleep: BTreeSet::new(),
            lapsed: BTreeSet::new(),
            told: Vec::new(),
            now: START,
        }
    }

    fn change(&mut self, change: impl Fn(&mut Traits)) {
        let laptops = self.laptops.values_mut();
        laptops.for_each(|(traits, _)| change(traits));
    }

    fn where_(&self, hit: impl Fn(&Traits) -> bool) -> Vec<DeviceId> {
        let laptops = self.laptops.iter().filter(|(_, (traits, _))| hit(traits));
        laptops.map(|(id, _)| *id).collect()
    }

    fn fire(&mut self, device: DeviceId, rule: &str, instance: &str) {
        let rule = self.rules.get(rule).expect("a rule of the defaults");
        let key = AlertKey {
            device,
            rule: rule.name.clone(),
            instance: instance.to_owned(),
        };
        let alert = Alert {
            id: AlertId::generate(),
            key: key.clone(),
            state: AlertState::Firing,
            severity: rule.severity,
            audience: rule.audience,
            title: rule.title.clone(),
            evidence: "seen".to_owned(),
            since: self.now.plus_ms(-10 * MINUTE),
            held_ms: 0,
            observed: self.now,
            fired: Some(self.now),
            resolved: None,
            incident: None,
        };
        self.firing.insert(key, alert);
    }

    fn fire_all(&mut self, devices: &[DeviceId], rule: &str, instance: &str) {
        for device in devices {
            self.fire(*device, rule, instance);
        }
    }

    fn recover(&mut self, hit: impl Fn(&AlertKey) -> bool) {
        self.firing.retain(|key, _| !hit(key));
    }

    fn decide(&mut self) {
        let awake = self
            .firing
            .values_mut()
            .filter(|a| !self.asleep.contains(&a.key.device));
        let now = self.now;
        awake.for_each(|alert| alert.observed = now);
        let firing: Vec<_> = self.firing.values().cloned().collect();
        let silenced = &self.silenced;
        let until = self.now.plus_ms(HOUR);
        let held = |alert: &Alert| silenced.contains(&alert.key.device).then_some(until);
        let decision = decide(&Scene {
            rules: &self.rules,
            firing: &firing,
            incidents: &self.incidents,
            held: &held,
            quiet: &held,
            lapsed: &self.lapsed,
            fleet: self,
            now: self.now,
        });
        self.apply(decision);
        self.check();
    }

    fn apply(&mut self, decision: Decision) {
        for (key, id) in decision.assigned {
            self.firing.get_mut(&key).expect("it fires").incident = Some(id);
        }
        let mut numbers: BTreeMap<IncidentId, u32> = BTreeMap::new();
        for (id, event) in &decision.told {
            *numbers.entry(*id).or_default() += 1;
            self.told.push((*id, *event));
        }
        for (id, incident) in decision.incidents {
            let before = self.incidents.get(&id).map_or(0, |incident| incident.told);
            let told = numbers.get(&id).copied().unwrap_or_default();
            assert_eq!(incident.told, before + told, "numbers have no gap");
            self.incidents.insert(id, incident);
        }
    }

    /// The invariants of the module.
    fn check(&self) {
        let mut open = BTreeSet::new();
        for incident in self.open() {
            let cause = format!("{:?} {:?}", incident.cause, incident.audience);
            assert!(open.insert(cause.clone()), "{cause} is open twice");
        }
        for alert in self.firing.values() {
            let Some(id) = &alert.incident else {
                continue;
            };
            let incident = &self.incidents[id];
            if incident.state == IncidentState::Open {
                let device = incident.cause == Cause::Device(alert.key.device);
                assert!(device || matches!(incident.cause, Cause::Shared { .. }));
            }
        }
    }

    fn run(&mut self, ms: i64) {
        let end = self.now.plus_ms(ms);
        while self.now < end {
            self.decide();
            self.now = self.now.plus_ms(STEP);
        }
    }

    fn open(&self) -> impl Iterator<Item = &Incident> {
        let all = self.incidents.values();
        all.filter(|incident| incident.state == IncidentState::Open)
    }

    fn titles(&self) -> Vec<&str> {
        let mut titles: Vec<&str> = self.open().map(|i| i.title.as_str()).collect();
        titles.sort_unstable();
        titles
    }

    fn count(&self, event: Event) -> usize {
        self.told.iter().filter(|(_, told)| *told == event).count()
    }
}

#[test]
fn one_laptop_with_three_findings_is_one_ticket_a_desk() {
    let mut district = District::new(4, 50);
    let laptop = district.where_(|_| true)[0];
    district.fire(laptop, "battery-worn", "BAT0");
    district.fire(laptop, "drive-failing", "sda");
    district.fire(laptop, "disk-nearly-full", "/");
    district.run(MINUTE);
    assert_eq!(
        district.open().count(),
        2,
        "the help desk's and the coach's"
    );
    assert_eq!(
        (district.count(Event::Fired), district.count(Event::Updated)),
        (2, 0)
    );
    district.fire(laptop, "battery-hot", "BAT0");
    district.run(MINUTE);
    assert_eq!(
        (district.count(Event::Fired), district.count(Event::Updated)),
        (2, 1)
    );
    district.recover(|key| key.rule == "drive-failing");
    district.run(MINUTE);
    assert_eq!(district.count(Event::Resolved), 0, "two findings are left");
    assert_eq!(
        district.count(Event::Updated),
        2,
        "that one is over is told"
    );
    district.recover(|_| true);
    district.run(MINUTE);
    assert_eq!(district.count(Event::Resolved), 2);
    assert_eq!(district.open().count(), 0);
}

#[test]
fn a_site_s_outage_is_one_ticket_with_its_late_comers_and_closes_when_most_recover() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|traits| traits.site_network == "site-03");
    for part in struck.chunks(20) {
        district.fire_all(part, "no-platform-at-school", "");
        district.run(MINUTE);
    }
    district.run(10 * MINUTE);
    assert_eq!(
        district.titles(),
        ["No learning platform can be reached at site-03"]
    );
    let incident = district.open().next().unwrap().clone();
    assert_eq!((incident.devices, district.count(Event::Fired)), (100, 1));
    assert!(incident.confidence.unwrap() > 0.9, "{incident:?}");
    assert_eq!(incident.site.as_ref().unwrap().as_str(), "site-03");
    assert!(district.count(Event::Updated) <= 2, "growth is told seldom");
    let few: BTreeSet<DeviceId> = struck[..3].iter().copied().collect();
    district.asleep.insert(struck[0]);
    district.recover(|key| !few.contains(&key.device));
    district.run(20 * MINUTE);
    assert_eq!(district.count(Event::Resolved), 1);
    assert_eq!(
        district.open().count(),
        2,
        "one went to sleep during the outage"
    );
    district.asleep.clear();
    district.run(MINUTE);
    assert_eq!(
        district.open().count(),
        3,
        "three of a hundred have reasons of their own"
    );
    district.recover(|_| true);
    district.run(10 * MINUTE);
    assert_eq!(district.open().count(), 0);
}

#[test]
fn a_site_s_outage_explains_what_its_laptops_miss_and_nothing_elsewhere() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|traits| traits.site_network == "site-03");
    let elsewhere = district.where_(|traits| traits.site_network == "site-05");
    let (all, few) = struck.split_at(80);
    district.fire_all(all, "no-platform-at-school", "");
    // A cache answers for one platform, so that these miss the others alone, at the same moment and later.
    district.fire_all(&few[..10], "platform-unreachable-at-school", "Canvas");
    district.run(15 * MINUTE);
    district.fire_all(&few[10..], "platform-unreachable-at-school", "Schoology");
    district.run(HOUR);
    assert_eq!(
        district.titles(),
        ["No learning platform can be reached at site-03"]
    );
    assert_eq!(
        (
            district.open().next().unwrap().devices,
            district.count(Event::Fired)
        ),
        (100, 1)
    );
    district.fire(elsewhere[0], "platform-unreachable-at-school", "Schoology");
    district.run(HOUR);
    assert_eq!(
        district.count(Event::Fired),
        2,
        "another school has its own reasons"
    );
    district.recover(|_| true);
    district.run(20 * MINUTE);
    assert_eq!(district.open().count(), 0);
}

#[test]
fn two_outages_at_once_are_two_tickets() {
    let mut district = District::new(10, 200);
    for site in ["site-03", "site-07"] {
        let struck = district.where_(|traits| traits.site_network == site);
        district.fire_all(&struck, "no-platform-at-school", "");
    }
    district.run(10 * MINUTE);
    assert_eq!(district.titles().len(), 2);
}

#[test]
fn a_service_that_is_down_is_down_for_everyone() {
    let mut district = District::new(10, 200);
    let school = district.where_(|traits| !traits.off_campus);
    let home = district.where_(|traits| traits.off_campus);
    district.fire_all(&school, "platform-unreachable-at-school", "Canvas");
    district.fire_all(&home, "platform-unreachable-from-home", "Canvas");
    district.run(10 * MINUTE);
    assert_eq!(district.titles(), ["Canvas cannot be reached everywhere"]);
    assert_eq!(district.count(Event::Fired), 1);
    // It comes back, but one school's own network keeps it out.
    district.recover(|key| {
        key.rule == "platform-unreachable-from-home"
            || !key.device.as_bytes()[15].is_multiple_of(10)
    });
    district.run(20 * MINUTE);
    let scopes: Vec<&Cause> = district.open().map(|incident| &incident.cause).collect();
    assert!(
        matches!(
            scopes[..],
            [Cause::Shared {
                scope: Scope::SiteNetwork(_),
                ..
            }] | [_, ..]
        ),
        "{scopes:?}"
    );
}

/// Some laptops of a school have a cable, and they are well.
#[test]
fn a_schools_wifi_is_told_apart_from_its_line() {
    let mut district = District::new(10, 200);
    district.change(|traits| {
        let has_cable = traits.model == "model-3" && traits.build.ends_with('0');
        traits.link = if has_cable { "ethernet" } else { "wifi" }.to_owned();
    });
    let struck = district.where_(|t| t.site_network == "site-03" && t.link == "wifi");
    district.fire_all(&struck, "no-platform-at-school", "");
    district.run(10 * MINUTE);
    assert_eq!(
        district.titles(),
        ["No learning platform can be reached on Wi-Fi at site-03"]
    );
    let incident = district.open().next().unwrap();
    assert_eq!(incident.site.as_ref().unwrap().as_str(), "site-03");
}

/// One driver runs the radios of two models, whatever their system's build. It is no cause of what no radio can cause.
#[test]
fn a_driver_is_a_cause_of_what_radios_do() {
    let driver = "Intel(R) Wi-Fi 6 AX201 160MHz 22.999.0.1";
    let district = || {
        let mut district = District::new(10, 200);
        district.change(|traits| {
            let is_bad = ["model-1", "model-2"].contains(&traits.model.as_str());
            traits.driver = if is_bad { driver } else { "iwlwifi 6.8.0" }.to_owned();
        });
        let struck = district.where_(|traits| traits.driver == driver);
        (district, struck)
    };
    let (mut radios, struck) = district();
    radios.fire_all(&struck, "link-drops", "");
    radios.run(2 * HOUR);
    assert_eq!(
        radios.titles(),
        [format!("Wi-Fi drops with driver {driver}")]
    );
    let (mut updates, struck) = district();
    updates.fire_all(&struck, "updates-failing", "");
    updates.run(2 * HOUR);
    let said = "of two models in four, each has the symptom";
    assert_eq!(updates.titles(), ["Updates fail everywhere"], "{said}");
}

/// An update brings two builds the same driver, and one of them some hours later.
#[test]
fn a_cause_that_turns_out_to_be_wider_is_still_one_ticket() {
    let mut district = District::new(10, 200);
    let driver = "Intel(R) Wi-Fi 6 AX201 160MHz 22.999.0.1";
    district.change(|traits| {
        let is_bad = traits.model == "model-2" && traits.build != "Windows 26100";
        traits.driver = if is_bad { driver } else { "iwlwifi 6.8.0" }.to_owned();
    });
    let of = |build: &str| {
        district.where_(|traits| traits.driver == driver && traits.build.ends_with(build))
    };
    let (first, second) = (of("1"), of("2"));
    district.fire_all(&first, "link-drops", "");
    district.run(2 * HOUR);
    assert_eq!(
        district.titles(),
        ["Wi-Fi drops on model-2 with system build Windows 26101"]
    );
    district.fire_all(&second, "link-drops", "");
    district.run(2 * HOUR);
    assert_eq!(
        district.titles(),
        [format!("Wi-Fi drops with driver {driver}")]
    );
    assert_eq!(district.count(Event::Fired), 1);
    let incident = district.open().next().unwrap();
    assert_eq!(incident.devices as usize, first.len() + second.len());
    district.recover(|_| true);
    district.run(DAY);
    assert_eq!(
        (district.open().count(), district.count(Event::Resolved)),
        (0, 1)
    );
}

#[test]
fn an_update_that_breaks_one_model_is_one_ticket_that_names_both() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|t| t.model == "model-2" && t.build == "Windows 26101");
    district.fire_all(&struck, "updates-failing", "");
    district.run(2 * HOUR);
    assert_eq!(
        district.titles(),
        ["Updates fail on model-2 with system build Windows 26101"]
    );
}

#[test]
fn the_first_that_were_told_alone_are_taken_over_by_what_they_were_the_first_of() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|traits| traits.site_network == "site-05");
    district.fire(struck[0], "no-platform-at-school", "");
    district.run(10 * MINUTE);
    assert_eq!(district.count(Event::Fired), 1, "alone, it is told alone");
    district.fire_all(&struck[1..], "no-platform-at-school", "");
    district.run(10 * MINUTE);
    assert_eq!(district.open().count(), 1);
    assert_eq!(
        (
            district.count(Event::Fired),
            district.count(Event::Resolved)
        ),
        (2, 1)
    );
    let merged = district.incidents.values().find_map(|i| i.merged_into);
    assert_eq!(merged, district.open().next().map(|incident| incident.id));
}

#[test]
fn homes_of_their_own_trouble_are_tickets_of_their_own() {
    let mut district = District::new(10, 200);
    let homes: Vec<_> = district.where_(|traits| traits.off_campus);
    let few: Vec<_> = homes.into_iter().step_by(97).collect();
    district.fire_all(&few, "no-platform-from-home", "");
    district.run(10 * MINUTE);
    assert_eq!(district.open().count(), few.len());
}

#[test]
fn a_finding_that_comes_back_opens_its_ticket_again_and_flapping_is_held() {
    let mut district = District::new(2, 10);
    let laptop = district.where_(|_| true)[0];
    for _ in 0..6 {
        district.fire(laptop, "battery-hot", "BAT0");
        district.run(10 * MINUTE);
        district.recover(|_| true);
        district.run(10 * MINUTE);
    }
    assert_eq!(district.incidents.len(), 1, "one ticket for all of it");
    assert_eq!(district.count(Event::Fired), 1);
    assert!(district.count(Event::Reopened) <= 2, "{:?}", district.told);
    district.run(13 * HOUR);
    assert_eq!(district.open().count(), 0);
    district.now = district.now.plus_ms(10 * DAY);
    district.fire(laptop, "battery-hot", "BAT0");
    district.run(MINUTE);
    assert_eq!(district.incidents.len(), 2, "after that it is another");
}

#[test]
fn what_is_silenced_is_told_when_the_silence_ends_and_not_if_it_is_over_by_then() {
    let mut district = District::new(2, 10);
    let laptops = district.where_(|_| true);
    district.silenced = laptops[..2].iter().copied().collect();
    district.fire_all(&laptops[..2], "drive-failing", "sda");
    district.run(HOUR);
    assert_eq!(district.told, []);
    let over = laptops[0];
    district.recover(|key| key.device == over);
    district.silenced.clear();
    district.run(MINUTE);
    assert_eq!(district.count(Event::Fired), 1);
}

#[test]
fn an_acknowledgement_that_runs_out_is_told() {
    let mut district = District::new(2, 10);
    let laptop = district.where_(|_| true)[0];
    district.fire(laptop, "drive-failing", "sda");
    district.run(MINUTE);
    let until = district.now.plus_ms(HOUR);
    for incident in district.incidents.values_mut() {
        incident.acknowledged = Some(Acknowledgement {
            by: "Kim".to_owned(),
            at: incident.opened,
            until,
            note: "ordered".to_owned(),
            severity: incident.severity,
        });
    }
    district.run(30 * MINUTE);
    assert_eq!(district.count(Event::Updated), 0);
    district.run(HOUR);
    assert_eq!(district.count(Event::Updated), 1, "once");
}

#[test]
fn a_thousand_laptops_that_fail_at_random_cost_no_more_than_their_own_tickets() {
    let mut district = District::new(20, 500);
    let all = district.where_(|_| true);
    for (n, device) in all.iter().enumerate().step_by(131) {
        let rule = ["battery-worn", "updates-failing", "no-platform-from-home"][n % 3];
        district.fire(*device, rule, "");
        district.run(30 * 1000);
    }
    district.run(2 * HOUR);
    assert_eq!(district.count(Event::Fired), all.len().div_ceil(131));
    assert_eq!(district.count(Event::Updated), 0);
}

#[test]
fn a_crash_between_an_incident_and_its_alert_tells_nothing_twice() {
    let mut district = District::new(2, 10);
    let laptop = district.where_(|_| true)[0];
    district.fire(laptop, "drive-failing", "sda");
    district.run(MINUTE);
    for alert in district.firing.values_mut() {
        alert.incident = None;
    }
    district.run(MINUTE);
    assert_eq!(district.told.len(), 1, "{:?}", district.told);
    assert!(
        district
            .firing
            .values()
            .all(|alert| alert.incident.is_some())
    );
    district.recover(|_| true);
    district.run(MINUTE);
    assert_eq!(district.count(Event::Resolved), 1);
}

#[test]
fn an_incident_that_ends_while_it_is_taken_over_is_told_to_be_over() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|traits| traits.site_network == "site-05");
    district.fire(struck[0], "no-platform-at-school", "");
    district.run(10 * MINUTE);
    // It is the network team's too, and goes in the very decision that takes the other over.
    let other = AlertKey {
        device: struck[0],
        rule: "platform-unreachable-at-school".to_owned(),
        instance: "Canvas".to_owned(),
    };
    district.fire(struck[0], &other.rule, &other.instance);
    district.run(10 * MINUTE);
    assert_eq!(district.open().count(), 1, "one laptop, one desk");
    district.fire_all(&struck[1..], "no-platform-at-school", "");
    district.run(3 * MINUTE - STEP);
    district.recover(|key| *key == other);
    district.run(10 * MINUTE);
    assert_eq!(district.open().count(), 1);
    assert_eq!(district.count(Event::Resolved), 1, "{:?}", district.told);
}

#[test]
fn a_graver_late_comer_is_told_once() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|traits| traits.off_campus);
    let few = &struck[..struck.len() / 2];
    district.fire_all(few, "platform-unreachable-from-home", "Canvas");
    district.run(40 * MINUTE);
    let school = district.where_(|traits| !traits.off_campus);
    district.fire_all(&school[..40], "platform-unreachable-at-school", "Canvas");
    district.run(2 * HOUR);
    let most = 3 * district.incidents.len();
    assert!(
        district.count(Event::Updated) <= most,
        "{:?}",
        district.told
    );
}

fn acknowledge(district: &mut District, ms: i64) {
    let (at, until) = (district.now, district.now.plus_ms(ms));
    for incident in district.incidents.values_mut() {
        incident.acknowledged = Some(Acknowledgement {
            by: "Kim".to_owned(),
            at,
            until,
            note: String::new(),
            severity: incident.severity,
        });
    }
}

#[test]
fn who_deals_with_a_laptop_hears_only_of_what_is_worse() {
    let mut district = District::new(2, 10);
    let laptop = district.where_(|_| true)[0];
    district.fire(laptop, "battery-worn", "BAT0");
    district.run(MINUTE);
    acknowledge(&mut district, 24 * HOUR);
    // Less grave, and gone again: neither is worth a word.
    district.fire(laptop, "battery-hot", "BAT0");
    let info = district
        .firing
        .values_mut()
        .find(|a| a.key.rule == "battery-hot");
    info.unwrap().severity = crate::alert::Severity::Info;
    district.run(HOUR);
    district.recover(|key| key.rule == "battery-hot");
    district.run(HOUR);
    assert_eq!(district.count(Event::Updated), 0, "{:?}", district.told);
    district.fire(laptop, "drive-failing", "sda");
    district.run(HOUR);
    assert_eq!(district.count(Event::Updated), 1, "{:?}", district.told);
    district.run(30 * HOUR);
    assert_eq!(
        district.count(Event::Updated),
        2,
        "once more when it runs out"
    );
    district.recover(|_| true);
    district.run(HOUR);
    assert_eq!(district.count(Event::Resolved), 1);
}

#[test]
fn a_silence_on_what_is_told_already_keeps_still_until_it_ends() {
    let mut district = District::new(2, 10);
    let laptop = district.where_(|_| true)[0];
    district.fire(laptop, "battery-worn", "BAT0");
    district.run(MINUTE);
    district.silenced.insert(laptop);
    let alert = district.firing.values_mut().next().unwrap();
    alert.severity = crate::alert::Severity::Critical;
    district.run(2 * HOUR);
    assert_eq!(district.count(Event::Updated), 0);
    district.silenced.clear();
    district.run(MINUTE);
    assert_eq!(
        district.count(Event::Updated),
        1,
        "it is worse than was told"
    );
    district.silenced.insert(laptop);
    district.recover(|_| true);
    district.run(MINUTE);
    assert_eq!(
        district.count(Event::Resolved),
        1,
        "a ticket never stays open"
    );
}

#[test]
fn an_acknowledged_alert_is_told_again_when_that_lapses() {
    let mut district = District::new(2, 10);
    let laptop = district.where_(|_| true)[0];
    district.fire(laptop, "battery-worn", "BAT0");
    district.run(MINUTE);
    let id = district.firing.values().next().unwrap().id;
    district.lapsed.insert(id);
    district.decide();
    district.lapsed.clear();
    district.run(HOUR);
    assert_eq!(district.count(Event::Updated), 1);
}

/// The line of the whole district comes back, and what stays out are two schools with troubles of their own.
#[test]
fn an_incident_of_two_causes_is_split() {
    let mut district = District::new(4, 200);
    let struck = district.where_(|traits| !traits.off_campus);
    district.fire_all(&struck, "no-platform-at-school", "");
    district.run(10 * MINUTE);
    assert_eq!(
        district.titles(),
        ["No learning platform can be reached everywhere"]
    );
    let first = district.open().next().unwrap().id;
    let two = district.where_(|t| ["site-00", "site-01"].contains(&t.site_network.as_str()));
    let two: BTreeSet<DeviceId> = two.into_iter().collect();
    district.recover(|key| !two.contains(&key.device));
    district.run(10 * MINUTE);
    assert_eq!(
        district.titles(),
        [
            "No learning platform can be reached at site-00",
            "No learning platform can be reached at site-01"
        ]
    );
    assert!(
        district.open().any(|incident| incident.id == first),
        "the ticket goes on as one"
    );
    assert!(district.open().all(|incident| incident.devices == 100));
    assert_eq!(
        (
            district.count(Event::Fired),
            district.count(Event::Resolved)
        ),
        (2, 0)
    );
    district.recover(|_| true);
    district.run(10 * MINUTE);
    assert_eq!(
        (district.open().count(), district.count(Event::Resolved)),
        (0, 2)
    );
}

/// An update comes to one laptop after the other, and each shows what it broke at its own time: those that share nothing
/// yet wait for others, and the cause is told as soon as it shows.
#[test]
fn who_shares_nothing_yet_waits_alone_for_longer_than_many_wait_together() {
    let mut district = District::new(10, 200);
    let struck = district.where_(|t| t.model == "model-2" && t.build == "Windows 26101");
    district.fire_all(&struck[..2], "link-drops", "");
    district.run(10 * HOUR);
    assert_eq!(district.count(Event::Fired), 0, "two of many laptops");
    for part in struck[2..].chunks(20) {
        district.fire_all(part, "link-drops", "");
        district.run(20 * MINUTE);
    }
    district.run(2 * HOUR);
    assert_eq!(
        district.titles(),
        ["Wi-Fi drops on model-2 with system build Windows 26101"]
    );
    assert_eq!(district.count(Event::Fired), 1);
    let incident = district.open().next().unwrap();
    assert_eq!(incident.devices as usize, struck.len());
    let alone = district.where_(|t| t.model == "model-1")[0];
    district.fire(alone, "link-drops", "");
    district.run(23 * HOUR);
    assert_eq!(district.count(Event::Fired), 1);
    district.run(2 * HOUR);
    assert_eq!(district.count(Event::Fired), 2, "a day is long enough");
}

/// Clocks go wrong while laptops lie about: on the morning after a holiday that is a list.
#[test]
fn wrong_clocks_of_one_morning_are_one_list_and_one_alone_is_told_in_two_hours() {
    let mut district = District::new(10, 200);
    let late: Vec<DeviceId> = district.where_(|_| true).into_iter().step_by(41).collect();
    for device in &late {
        district.fire(*device, "clock-wrong", "");
        district.run(5 * MINUTE);
    }
    district.run(HOUR);
    assert_eq!(district.titles(), ["Clocks are wrong"]);
    assert_eq!(district.count(Event::Fired), 1);
    // What depends on a right clock is not explained by the clocks of others.
    let struck = district.where_(|traits| traits.site_network == "site-03");
    district.fire_all(&struck, "no-platform-at-school", "");
    district.run(10 * MINUTE);
    assert_eq!(district.count(Event::Fired), 2);
    let mut district = District::new(10, 200);
    district.fire(late[0], "clock-wrong", "");
    district.run(HOUR);
    assert_eq!(district.count(Event::Fired), 0);
    district.run(HOUR + MINUTE);
    assert_eq!(district.titles(), ["Clock is wrong"]);
}

/// Here and there a laptop is not encrypted: that is a list for somebody, and not thirty tickets.
#[test]
fn what_is_worked_off_is_one_list_that_ends_with_its_last_laptop() {
    let mut district = District::new(10, 200);
    let scattered: Vec<DeviceId> = district.where_(|_| true).into_iter().step_by(67).collect();
    district.fire_all(&scattered, "disk-not-encrypted", "");
    district.run(2 * HOUR);
    assert_eq!(district.titles(), ["Disk is not encrypted"]);
    let list = district.open().next().unwrap();
    assert_eq!(list.confidence, None, "a list claims no cause");
    let list = list.id;
    let late = district.where_(|_| true)[1];
    district.fire(late, "disk-not-encrypted", "");
    district.run(10 * MINUTE);
    assert!(
        district
            .firing
            .values()
            .all(|alert| alert.incident == Some(list))
    );
    district.recover(|key| key.device != late);
    district.run(DAY);
    assert_eq!(
        (district.open().count(), district.count(Event::Resolved)),
        (1, 0)
    );
    district.recover(|_| true);
    district.run(HOUR);
    assert_eq!(
        (district.open().count(), district.count(Event::Fired)),
        (0, 1)
    );
}
