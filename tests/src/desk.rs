//! A district at its desk: simulated laptops through the collector's own decisions, so that what is counted
//! are the tickets that a help desk would get.
//!
//! ```text
//! simulator -> reports, as an agent would send them -> Rehearsal (evaluate, incidents, routes) -> tickets
//! ```
//! Nothing is waited for: a school day of a thousand laptops takes seconds. Days that only have to be lived
//! through are glanced at: each laptop is seen once, for some minutes.

pub mod figures;
pub mod judge;
mod pupil;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use rollcall_collector::alert::{AlertId, Audience, Severity};
use rollcall_collector::evaluate::rehearsal::{Delivered, Rehearsal};
use rollcall_collector::evaluate::rules::RuleSet;
use rollcall_collector::incident::{Cause, Incident, IncidentState};
use rollcall_collector::notification::Event as Told;
use rollcall_collector::notify::route::Route;
use rollcall_shared::configuration::Schedule;
use rollcall_shared::time::{UnixMs, civil_from_days, days_from_civil};

use crate::simulator::calendar::{DAY_S, DayKind, Local, Zone, kind_of};
use crate::simulator::scenario::{Event, Scenario};
use crate::simulator::{Fleet, Moment, Outage, Place};
use pupil::Pupil;

/// The default rules, as a rules file asks for them.
pub const DEFAULTS: &str = "extend-default = true";

/// The channel that opens tickets.
const TICKETS: &str = "tickets";

/// The channel of the coaches, who read a digest.
const COACHES: &str = "coaches";

/// How long a laptop that is glanced at stays connected, at most: shorter than every hold by the minute.
const GLANCE_MS: i64 = 9 * 60_000;

const DAY_MS: i64 = DAY_S as i64 * 1000;

/// Where the collector stands, and so whose outage hides whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    /// In the district's own data centre, behind its line to the internet.
    InTheDistrict,
    /// Somewhere on the internet.
    OnTheInternet,
}

/// A ticket that was opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticket {
    /// When.
    pub opened: UnixMs,
    /// Whose work it is.
    pub audience: Audience,
    /// Its subject.
    pub title: String,
    /// The most devices that it has had.
    pub devices: u32,
    /// Whether it is about many laptops with one cause.
    pub is_shared: bool,
    /// Whether it was closed again.
    pub is_closed: bool,
    /// When the report that first showed its finding was taken and when that became an alert: of its findings the one
    /// that was told first. `None` for a ticket about a school of which nothing is heard.
    pub finding: Option<(UnixMs, UnixMs)>,
}

/// Simulated laptops and the collector that they report to.
pub struct District {
    laptops: Vec<Pupil>,
    event: Option<Event>,
    stands: Stands,
    schedule: Schedule,
    now: UnixMs,
    /// What is rehearsed.
    pub rehearsal: Rehearsal,
}

impl District {
    /// Laptops of a fleet from `from` on, under the default rules and `calendar`, a `[calendar]` table.
    ///
    /// # Panics
    /// Where the calendar is not right.
    #[must_use]
    pub fn new(fleet: Fleet, devices: u32, stands: Stands, calendar: &str, from: UnixMs) -> Self {
        let rules = format!("{DEFAULTS}\n{calendar}");
        Self::with_rules(fleet, devices, stands, &rules, from)
    }

    /// The same under the rules and the calendar of a rules file.
    ///
    /// # Panics
    /// Where they are not right.
    #[must_use]
    pub fn with_rules(
        fleet: Fleet,
        devices: u32,
        stands: Stands,
        rules: &str,
        from: UnixMs,
    ) -> Self {
        let rules = RuleSet::parse("district.toml", rules).expect("rules and calendar are right");
        let schedule = Schedule::default();
        let mut rehearsal = Rehearsal::new(rules, routes(), &schedule);
        let laptops: Vec<Pupil> = (0..devices)
            .map(|number| Pupil::new(fleet.laptop(number)))
            .collect();
        for pupil in &laptops {
            rehearsal.enrol(pupil.device(from));
        }
        Self {
            laptops,
            event: fleet.event(),
            stands,
            schedule,
            now: from,
            rehearsal,
        }
    }

    /// The moment that it has come to.
    #[must_use]
    pub const fn now(&self) -> UnixMs {
        self.now
    }

    /// Lives through some time with a look at every laptop each `step_ms`; at least once in a quarter of an
    /// hour, or laptops seem to sleep in between.
    pub fn live(&mut self, until: UnixMs, step_ms: i64) {
        while self.now < until {
            self.step(step_ms);
            self.rehearsal.look(self.now);
        }
    }

    /// One step of all laptops; what comes of it is not looked at yet.
    pub fn step(&mut self, step_ms: i64) {
        let at = self.now.plus_ms(step_ms);
        let (schedule, event, stands) = (self.schedule, self.event, self.stands);
        let steps = in_parallel(&mut self.laptops, |pupil| {
            pupil.step(at, step_ms, &schedule, |moment| {
                reaches(stands, event, moment)
            })
        });
        self.now = at;
        for (pupil, step) in self.laptops.iter().zip(steps) {
            let id = pupil.laptop.device_id();
            if let Some(connected) = step.connected {
                self.rehearsal.set_connected(id, connected, at);
            }
            if !step.reports.is_empty() {
                self.rehearsal.deliver(id, at, step.reports);
            }
        }
    }

    /// Gives every laptop some days of a past, hour by hour, as a collector finds it in its store at a start: what its
    /// days are compared with.
    pub fn remember(&mut self, days: i64) {
        let now = self.now;
        let pasts = in_parallel(&mut self.laptops, |pupil| pupil.past(days, now));
        for (pupil, past) in self.laptops.iter().zip(pasts) {
            let outlook = self.rehearsal.outlook_mut(pupil.laptop.device_id());
            for sample in &past {
                outlook.habits_mut().note(sample);
            }
        }
    }

    /// Lives through whole days with one glance at each laptop a day.
    pub fn glance(&mut self, until: UnixMs) {
        while self.now < until {
            let end = self.now.plus_ms(DAY_MS).min(until);
            self.glance_until(end);
        }
    }

    fn glance_until(&mut self, end: UnixMs) {
        let (from, event, stands) = (self.now, self.event, self.stands);
        let seen = in_parallel(&mut self.laptops, |pupil| {
            pupil.glance(from..end, |moment| reaches(stands, event, moment))
        });
        let mut visits: Vec<(usize, Delivered)> = seen
            .into_iter()
            .enumerate()
            .filter_map(|(pupil, report)| Some((pupil, report?)))
            .collect();
        visits.sort_by_key(|(_, report)| report.0);
        let mut at = from;
        let mut visits = visits.into_iter().peekable();
        while at < end {
            at = at.plus_ms(GLANCE_MS).min(end);
            let mut here = Vec::new();
            while let Some((pupil, report)) = visits.next_if(|(_, report)| report.0 <= at) {
                let id = self.laptops[pupil].laptop.device_id();
                self.rehearsal.set_connected(id, true, report.0);
                self.rehearsal.deliver(id, report.0, vec![report]);
                here.push(id);
            }
            self.rehearsal.look_apart(at);
            for id in here {
                self.rehearsal.set_connected(id, false, at);
            }
        }
        self.now = end;
    }

    /// The tickets that were opened within a time.
    #[must_use]
    pub fn tickets(&self, during: &Range<UnixMs>) -> Vec<Ticket> {
        self.opened(TICKETS, during)
    }

    /// What coaches read in their digests that was found within a time.
    #[must_use]
    pub fn digest(&self, during: &Range<UnixMs>) -> Vec<Ticket> {
        self.opened(COACHES, during)
    }

    fn opened(&self, channel: &str, during: &Range<UnixMs>) -> Vec<Ticket> {
        let latest: BTreeMap<_, &Incident> = self
            .rehearsal
            .incidents()
            .map(|incident| (incident.id, incident))
            .collect();
        let fired: HashMap<AlertId, UnixMs> = self
            .rehearsal
            .fired()
            .iter()
            .filter_map(|alert| Some((alert.id, alert.fired?)))
            .collect();
        let told = self.rehearsal.told().iter().filter(|told| {
            told.key.channel == channel
                && told.event == Told::Fired
                && during.contains(&told.created)
        });
        told.map(|told| {
            let incident = latest.get(&told.incident.id).copied();
            let incident = incident.unwrap_or(&told.incident);
            let findings = told.incident.findings.iter();
            let findings = findings.filter_map(|f| Some((f.since, *fired.get(&f.alert)?)));
            Ticket {
                opened: told.created,
                audience: incident.audience,
                title: incident.title.clone(),
                devices: incident.most_devices,
                is_shared: matches!(incident.cause, Cause::Shared { .. }),
                is_closed: incident.state == IncidentState::Closed,
                finding: findings.min_by_key(|(_, fired)| *fired),
            }
        })
        .collect()
    }
}

/// Whether a laptop reaches the collector.
fn reaches(stands: Stands, event: Option<Event>, moment: &Moment) -> bool {
    let is_cut = event.is_some_and(|event| {
        event.scenario == Scenario::DistrictOutage
            && (0..3 * 3_600_000).contains(&moment.at.since(event.from))
    });
    match (stands, moment.place) {
        (Stands::OnTheInternet, _) => moment.is_online(),
        (Stands::InTheDistrict, Place::Home) => moment.is_online() && !is_cut,
        // The school's own network and the line to the district are whole; what is behind is not.
        (Stands::InTheDistrict, Place::Campus) => {
            matches!(moment.outage, None | Some(Outage::Tcp | Outage::Dns))
        }
    }
}

/// The calendar of the simulated schools, holidays and summers included, from August 2026 on.
#[must_use]
pub fn calendar() -> String {
    let days = days_from_civil(2026, 8, 1)..days_from_civil(2027, 9, 10);
    let free = days.filter(|day| matches!(kind_of(*day), DayKind::Holiday | DayKind::Summer));
    let dates: Vec<String> = free
        .map(|day| {
            let (year, month, date) = civil_from_days(day);
            format!("\"{year}-{month:02}-{date:02}\"")
        })
        .collect();
    format!(
        "{}holidays = [{}]\n",
        calendar_without_holidays(),
        dates.join(", ")
    )
}

/// The same, where nobody has entered holidays.
#[must_use]
pub fn calendar_without_holidays() -> String {
    "[calendar]\ntime-zone = \"America/New_York\"\nhours = \"08:00-15:30\"\n".to_owned()
}

/// A time of a day in the first schools' zone.
#[must_use]
pub fn at(year: i64, month: u32, date: u32, hour: u32, minute: u32) -> UnixMs {
    Zone::Eastern.moment(Local {
        day: days_from_civil(year, month, date),
        second: hour * 3600 + minute * 60,
    })
}

fn routes() -> Vec<Route> {
    let route = |channel: &str, audiences: &[Audience]| Route {
        channel: channel.to_owned(),
        audiences: audiences.to_vec(),
        sites: Vec::new(),
        min_severity: Severity::Info,
    };
    let desk = [
        Audience::HelpDesk,
        Audience::NetworkTeam,
        Audience::Broadcast,
    ];
    vec![
        route(TICKETS, &desk),
        route(COACHES, &[Audience::TechnologyCoach]),
    ]
}

/// Asks every laptop, on all processors; the answers are in their order.
fn in_parallel<T: Send>(laptops: &mut [Pupil], ask: impl Fn(&mut Pupil) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let each = laptops.len().div_ceil(threads).max(1);
    let ask = &ask;
    std::thread::scope(|scope| {
        let asked: Vec<_> = laptops
            .chunks_mut(each)
            .map(|some| scope.spawn(move || some.iter_mut().map(ask).collect::<Vec<T>>()))
            .collect();
        let answers = asked
            .into_iter()
            .map(|asked| asked.join().expect("a laptop answers"));
        answers.flatten().collect()
    })
}
