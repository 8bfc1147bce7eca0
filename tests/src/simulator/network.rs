//! The network as a laptop meets it at school and at home, and what it reaches from there.

use rollcall_shared::metric;
use rollcall_shared::time::UnixMs;

use super::Moment;
use super::battery::wobble;
use super::calendar::{self, DAY_S, DayKind};
use super::chance::{Chance, Topic, weighted};
use super::day::Place;
use super::faults::Fault;
use super::laptop::{Home, Laptop};
use super::machines::Family;
use super::sheet::Sheet;
use super::system;

/// Where a network ends when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// The radio finds no network.
    Link,
    /// No address is given.
    Address,
    /// The router does not answer.
    Gateway,
    /// Names are not found.
    Dns,
    /// Nothing beyond the provider answers.
    Tcp,
    /// A login page stands before the network.
    Portal,
}

/// How often an hour a radio that is broken loses its network, asleep or not.
const FAULTY_DROPS: f64 = 0.8;

/// How long it is then without one, so that each is seen by who looks every five minutes; and how long the radio of
/// somebody who walks is.
const FAULTY_S: i64 = 300;
const WALK_S: i64 = 60;

const HOUR_MS: f64 = 3_600_000.0;

/// Outages last half an hour.
pub const SLOT_S: i64 = 1800;

/// The share of half hours in which a flaky home, a good one, and a school are without a network.
const FLAKY_SHARE: f64 = 0.15;
const GOOD_SHARE: f64 = 0.002;
const SCHOOL_SHARE: f64 = 0.000_6;

/// The share of half hours in which a service fails for everybody.
const SERVICE_SHARE: f64 = 0.000_8;

/// Whether the laptop's school is without a network at a moment, as it happens to each now and then.
#[must_use]
pub fn school_is_out(laptop: &Laptop, at: UnixMs) -> bool {
    let school = laptop
        .fleet
        .of(Topic::School, i64::from(laptop.school.index));
    let slot = at.seconds().div_euclid(SLOT_S);
    school
        .of(Topic::Outage, slot)
        .holds(Topic::Outage, SCHOOL_SHARE)
}

/// What is between the laptop and the internet at a moment, if anything is.
#[must_use]
pub fn fails(laptop: &Laptop, place: Place, at: UnixMs) -> Option<Outage> {
    let of_radio = || is_radio_lost(laptop, at).then_some(Outage::Link);
    outage(laptop, place, at).or_else(of_radio)
}

/// What fails at the laptop's place at a moment, if anything does.
#[must_use]
pub fn outage(laptop: &Laptop, place: Place, at: UnixMs) -> Option<Outage> {
    let of_event = laptop
        .event
        .and_then(|event| event.outage(laptop, place, at));
    if of_event.is_some() {
        return of_event;
    }
    let slot = at.seconds().div_euclid(SLOT_S);
    let (chance, share) = match (place, laptop.home) {
        (Place::Campus, _) => {
            let school = laptop
                .fleet
                .of(Topic::School, i64::from(laptop.school.index));
            (school.of(Topic::Outage, slot), SCHOOL_SHARE)
        }
        (Place::Home, Home::Without) => return Some(Outage::Link),
        (Place::Home, Home::Flaky) => (laptop.chance.of(Topic::Outage, slot), FLAKY_SHARE),
        (Place::Home, Home::Good | Home::Filtered) => {
            (laptop.chance.of(Topic::Outage, slot), GOOD_SHARE)
        }
    };
    chance
        .holds(Topic::Outage, share)
        .then(|| kind_of(place, chance))
}

/// Writes what the links tell.
pub fn write_links(laptop: &Laptop, moment: &Moment, sheet: &mut Sheet) {
    let name = link_name(laptop.machine.family);
    let up = moment.outage != Some(Outage::Link);
    sheet.text(&metric::LINK_STATE, name, if up { "up" } else { "down" });
    sheet.text(&metric::LINK_KIND, name, "wifi");
    if up {
        let signal = -52.0 - 14.0 * place_chance(laptop, moment).fraction(Topic::Signal)
            + 2.0 * wobble(laptop.chance, Topic::Signal, moment.at);
        sheet.number(&metric::LINK_SIGNAL, name, signal.round());
        let speed = if signal > -60.0 { 866.0 } else { 390.0 };
        sheet.number(&metric::LINK_SPEED, name, speed);
        sheet.number(&metric::LINK_BIT_RATE, name, speed * 0.75);
    } else {
        sheet.missing(&metric::LINK_BIT_RATE, name, "the link is down");
        sheet.missing(&metric::LINK_SIGNAL, name, "the link is down");
        sheet.missing(&metric::LINK_SPEED, name, "the link is down");
    }
    let driver = system::radio_driver(laptop, moment.at);
    sheet.text(&metric::LINK_DRIVER, name, &driver);
    let hours = moment.at.since(moment.booted) as f64 / HOUR_MS;
    sheet.number(&metric::LINK_ERRORS, name, (hours * 3.0).floor());
    sheet.number(&metric::LINK_ROAMS, name, (hours * 1.5).floor());
    let faulty_hours = Fault::LinkDrops
        .days(laptop, moment.at)
        .map_or(0.0, |days| hours.min(days * 24.0));
    let drops = walks(laptop, moment) + (faulty_hours * FAULTY_DROPS).floor();
    sheet.number(&metric::LINK_DROPS, name, drops);
}

/// Whether the radio is without its network because it is broken or because somebody walks with the laptop.
#[must_use]
pub fn is_radio_lost(laptop: &Laptop, at: UnixMs) -> bool {
    let drop = |length_s: i64, each_day: f64| {
        let slot = laptop
            .chance
            .of(Topic::Radio, at.seconds().div_euclid(length_s));
        let share = each_day * length_s as f64 / f64::from(DAY_S);
        slot.of(Topic::Radio, length_s).holds(Topic::Radio, share)
    };
    let day = laptop.school.zone.local(at).day;
    drop(WALK_S, walks_of(laptop, day))
        || (Fault::LinkDrops.holds(laptop, at) && drop(FAULTY_S, 24.0 * FAULTY_DROPS))
}

/// How often the link has dropped since the laptop was started because somebody walked with it or closed its
/// lid: some pupils and some days bring more.
fn walks(laptop: &Laptop, moment: &Moment) -> f64 {
    let zone = laptop.school.zone;
    let (from, now) = (zone.local(moment.booted), zone.local(moment.at));
    let of_day = |day: i64| walks_of(laptop, day);
    // Asleep nothing drops.
    let share = |second: u32| ((f64::from(second) / 3600.0 - 7.0) / 10.0).clamp(0.0, 1.0);
    let whole: f64 = (from.day..now.day).map(of_day).sum();
    let today = of_day(now.day) * share(now.second);
    let before = of_day(from.day) * share(from.second);
    (whole + today - before).max(0.0).floor()
}

/// How often a day the link drops by that, between rooms of a school.
fn walks_of(laptop: &Laptop, day: i64) -> f64 {
    if calendar::kind_of(day) != DayKind::School {
        return 0.0;
    }
    let own = laptop.chance.of(Topic::Signal, 0);
    let own = own.between(Topic::Signal, 0.5, 2.0);
    own * (1.0 + laptop.day_chance(day).fraction(Topic::Signal).powi(2) * 6.0)
}

/// Writes where the laptop is and what it reaches of `targets`.
pub fn write(laptop: &Laptop, moment: &Moment, targets: &[impl AsRef<str>], sheet: &mut Sheet) {
    let vantage = match moment.place {
        Place::Campus => format!("on-campus:{}", laptop.school.name),
        Place::Home => "off-campus".to_owned(),
    };
    sheet.text(&metric::VANTAGE, "", &vantage);
    let found = !matches!(
        moment.outage,
        Some(Outage::Link | Outage::Address | Outage::Gateway)
    );
    sheet.flag(&metric::GATEWAY_REACHABLE, "", found);
    sheet.flag(&metric::PROXY_CONFIGURED, "", false);
    sheet.text(&metric::PROXY_KIND, "", "none");
    let path = Path::of(laptop, moment);
    match &path.ends_at {
        Some(("dns", _)) => sheet.text(&metric::DNS_STATE, "", "timed_out"),
        Some(("link" | "address" | "gateway", _)) => {
            sheet.text(&metric::DNS_STATE, "", "no_server")
        }
        _ => sheet.text(&metric::DNS_STATE, "", "ok"),
    }
    if path.has("dns") {
        sheet.number(&metric::DNS_DURATION, "", path.dns_s);
    } else {
        sheet.missing(&metric::DNS_DURATION, "", "no target's name was found");
    }
    sheet.flag(
        &metric::CAPTIVE_PORTAL,
        "",
        moment.outage == Some(Outage::Portal),
    );
    for target in targets {
        write_target(laptop, moment, &path, target.as_ref(), sheet);
    }
}

fn write_target(laptop: &Laptop, moment: &Moment, path: &Path, name: &str, sheet: &mut Sheet) {
    let slot = moment.at.seconds().div_euclid(SLOT_S);
    let service = laptop
        .fleet
        .of(Topic::Service, slot)
        .of(Topic::Service, number_of(name));
    let failed = path.ends_at.or(service
        .holds(Topic::Outage, SERVICE_SHARE)
        .then_some(("http", "the service answered 503")));
    let (state, stage, cause) = match failed {
        None => ("reachable", "none", "none"),
        Some((stage, cause)) => ("unreachable", stage, cause),
    };
    sheet.text(&metric::REACH_STATE, name, state);
    sheet.text(&metric::REACH_FAILED_STAGE, name, stage);
    sheet.text(&metric::REACH_CAUSE, name, cause);
    sheet.text(&metric::REACH_FAULT, name, fault(moment, failed.is_some()));
    for metric in [&metric::REACH_IPV4, &metric::REACH_IPV6] {
        if path.has("tcp") {
            sheet.text(metric, name, "reachable");
        } else if path.has("dns") {
            sheet.text(metric, name, "unreachable");
        } else {
            sheet.missing(metric, name, "no address was found");
        }
    }
    let far = 0.8 + (number_of(name) % 100) as f64 / 120.0;
    let timed = [
        (&metric::REACH_DNS, "dns", path.dns_s),
        (&metric::REACH_TCP, "tcp", path.round_trip_s * far),
        (&metric::REACH_TLS, "tls", path.round_trip_s * far * 2.1),
        (
            &metric::REACH_HTTP,
            "http",
            path.round_trip_s * far * 1.6 + 0.03,
        ),
    ];
    for (metric, stage, seconds) in timed {
        if path.has(stage) {
            sheet.number(metric, name, (seconds * 10_000.0).round() / 10_000.0);
        } else {
            sheet.missing(metric, name, "the attempt ended before");
        }
    }
    if path.has("http") {
        sheet.number(
            &metric::REACH_STATUS,
            name,
            if failed.is_none() { 200.0 } else { 503.0 },
        );
        sheet.text(&metric::TLS_INTERCEPTED, name, path.intercepted_by);
    } else {
        sheet.missing(&metric::REACH_STATUS, name, "the attempt ended before");
        sheet.missing(&metric::TLS_INTERCEPTED, name, "no certificate was shown");
    }
}

/// The way out of the laptop's place.
struct Path {
    /// The stage at which it ends, and why.
    ends_at: Option<(&'static str, &'static str)>,
    dns_s: f64,
    round_trip_s: f64,
    intercepted_by: &'static str,
}

impl Path {
    fn of(laptop: &Laptop, moment: &Moment) -> Self {
        let usual = place_chance(laptop, moment).between(Topic::Latency, 0.008, 0.06);
        let now = 1.0 + 0.25 * wobble(laptop.chance, Topic::Latency, moment.at).abs();
        let filtered = moment.place == Place::Home && laptop.home == Home::Filtered;
        Self {
            ends_at: moment.outage.map(stage_and_cause),
            dns_s: (usual * now * 0.4 * 10_000.0).round() / 10_000.0,
            round_trip_s: usual * now,
            intercepted_by: if filtered {
                "Simulated Family Filter"
            } else {
                "none"
            },
        }
    }

    /// Whether the way goes as far as through a stage.
    fn has(&self, stage: &str) -> bool {
        const ORDER: [&str; 7] = ["link", "address", "gateway", "dns", "tcp", "tls", "http"];
        let place = |word| ORDER.iter().position(|other| *other == word);
        self.ends_at
            .is_none_or(|(end, _)| place(stage) < place(end))
    }
}

const fn stage_and_cause(outage: Outage) -> (&'static str, &'static str) {
    match outage {
        Outage::Link => ("link", "no network link is up"),
        Outage::Address => ("address", "no address was given to the link"),
        Outage::Gateway => ("gateway", "the gateway does not answer"),
        Outage::Dns => ("dns", "the lookup timed out"),
        Outage::Tcp => ("tcp", "the connection timed out"),
        Outage::Portal => ("http", "a login page stands before the network"),
    }
}

/// The word for why a target is not reached.
const fn fault(moment: &Moment, failed: bool) -> &'static str {
    match moment.outage {
        Some(Outage::Link) => "no_link",
        Some(Outage::Address) => "no_address",
        Some(Outage::Gateway) => "gateway_silent",
        Some(Outage::Dns) => "name_timed_out",
        Some(Outage::Tcp) => "connection_timed_out",
        Some(Outage::Portal) => "captive_portal",
        None if failed => "server_error",
        None => "none",
    }
}

fn kind_of(place: Place, chance: Chance) -> Outage {
    let home = [
        (0.15, Outage::Link),
        (0.1, Outage::Address),
        (0.2, Outage::Gateway),
        (0.25, Outage::Dns),
        (0.2, Outage::Tcp),
        (0.1, Outage::Portal),
    ];
    let school = [
        (0.3, Outage::Gateway),
        (0.3, Outage::Dns),
        (0.4, Outage::Tcp),
    ];
    let kinds: &[(f64, Outage)] = if place == Place::Home { &home } else { &school };
    *weighted(chance.fraction(Topic::Stage), kinds)
}

/// A source that is the laptop's at home and, by the hour, its room's in school.
fn place_chance(laptop: &Laptop, moment: &Moment) -> Chance {
    match moment.place {
        Place::Home => laptop.chance.of(Topic::Place, 0),
        Place::Campus => laptop.chance.of(Topic::Place, moment.at.seconds() / 3600),
    }
}

/// A number for a name: FNV-1a, kept to 31 bits.
fn number_of(name: &str) -> i64 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    i64::from(hash >> 1)
}

const fn link_name(family: Family) -> &'static str {
    match family {
        Family::Windows => "wifi0",
        Family::Mac => "en0",
        Family::Linux => "wlp2s0",
    }
}
