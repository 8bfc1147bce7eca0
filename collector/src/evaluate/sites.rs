//! Schools of which nothing is heard any more. Pure.
//!
//! Where the collector stands on the internet, a school whose line or power is gone cannot say so: its laptops fall
//! silent together. One that sleeps looks the same, so what counts is that all of them do.
//!
//! The bounds, and why they are as they are:
//! - [`SILENT_MS`]: at school something is heard of each laptop that is awake within five minutes; a fire drill takes
//!   less than half an hour, a lesson without any laptop in the whole school is rare, and a line that comes back
//!   within three quarters of an hour was nobody's work.
//! - [`LAPTOPS`] within [`LIVE_MS`]: twenty laptops of several classes do not close their lids for one reason of
//!   their own; where fewer were in use nothing is told.
//! - School hours, and as long again before their end: a school may send everybody home some minutes early. Within
//!   [`OPENED_WITHIN_MS`], so that nobody is missed on the morning after.
//! - [`LEFT`]: of a school that went home early, some are heard from elsewhere.
//! - It is over for a laptop that is heard of in its school, and for all of them when [`BACK`] are. What is heard from
//!   homes says nothing about the school.

use std::collections::HashMap;

use rollcall_shared::id::DeviceId;
use rollcall_shared::metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::calendar::Calendar;
use crate::device::{DeviceState, Standing};

/// How long nothing must have been heard.
pub const SILENT_MS: i64 = 45 * 60_000;

/// How many laptops must have fallen silent.
pub const LAPTOPS: usize = 20;

/// Within which time before the last was heard they must have been heard.
pub const LIVE_MS: i64 = 60 * 60_000;

/// How long after the last was heard a silence may begin to be told.
const OPENED_WITHIN_MS: i64 = 3 * 60 * 60_000;

/// The share of those who fell silent that is heard from elsewhere where everybody has left.
const LEFT: f64 = 0.1;

/// Laptops that must be heard in a school again.
const BACK: usize = 3;

/// How often it is looked: the whole fleet is.
const LOOK_EVERY_MS: i64 = 60_000;

/// What was heard longer ago counts for nothing here.
const REACH_MS: i64 = 24 * 60 * 60_000;

/// A school that fell silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// When the last of its laptops was heard.
    pub since: UnixMs,
    /// How many fell silent.
    pub laptops: usize,
}

/// What is heard of a laptop's school.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// The silence that the laptop shares, while it may begin to be told.
    pub silence: Option<Silence>,
    /// Since when the school is heard again, or was never silent.
    pub back: Option<UnixMs>,
    /// When the laptop itself was last heard in its school.
    pub here: Option<UnixMs>,
}

/// What is heard of every school.
#[derive(Debug, Default)]
pub struct Sites {
    of: HashMap<String, Site>,
    /// Schools whose silence was noticed and is not over, and when it was noticed.
    silent: HashMap<String, UnixMs>,
    /// When it was looked, first without a break and last.
    looked: Option<(UnixMs, UnixMs)>,
}

#[derive(Debug, Default)]
struct Site {
    /// When each of those that are here, or were when they were last heard, was heard; the latest first.
    here: Vec<UnixMs>,
    /// The same of those that belong here and are elsewhere.
    elsewhere: Vec<UnixMs>,
    laptops: Vec<DeviceId>,
    silence: Option<Silence>,
}

impl Sites {
    /// Looks at all laptops, once a minute; answers which are to be evaluated because of it.
    pub fn look<'a>(
        &mut self,
        laptops: impl FnOnce() -> Vec<&'a DeviceState>,
        calendar: &Calendar,
        now: UnixMs,
    ) -> Vec<DeviceId> {
        let is_soon = |within_ms| {
            let last = self.looked.map(|(_, last)| now.since(last));
            last.is_some_and(|ms| (0..within_ms).contains(&ms))
        };
        if is_soon(LOOK_EVERY_MS) {
            return Vec::new();
        }
        let begun = self.looked.filter(|_| is_soon(SILENT_MS));
        let begun = begun.map_or(now, |(first, _)| first);
        self.looked = Some((begun, now));
        self.of.clear();
        for state in laptops() {
            self.note(state, now);
        }
        for site in self.of.values_mut() {
            site.here.sort_unstable_by(|a, b| b.cmp(a));
            // Who was not there to listen has heard nothing either.
            let has_listened = now.since(begun) >= SILENT_MS;
            site.silence = site.silence(calendar, now).filter(|_| has_listened);
        }
        self.news(now)
    }

    fn note(&mut self, state: &DeviceState, now: UnixMs) {
        let heard = heard_of(state, now);
        if state.device.standing != Standing::Active || now.since(heard) > REACH_MS {
            return;
        }
        let (name, is_here) = school_of(state);
        let site = self.of.entry(name.to_owned()).or_default();
        let times = if is_here {
            &mut site.here
        } else {
            &mut site.elsewhere
        };
        times.push(heard);
        site.laptops.push(state.device.id);
    }

    fn news(&mut self, now: UnixMs) -> Vec<DeviceId> {
        let mut due = Vec::new();
        for (name, site) in &self.of {
            let noticed = self.silent.get(name).copied();
            let is_news = match noticed {
                None => site.silence.is_some(),
                Some(noticed) => site.back().is_some_and(|back| back > noticed),
            };
            if !is_news {
                continue;
            }
            due.extend(&site.laptops);
            match noticed {
                None => self.silent.insert(name.clone(), now),
                Some(_) => self.silent.remove(name),
            };
        }
        due
    }

    /// What is heard of a laptop's school.
    #[must_use]
    pub fn heard(&self, state: &DeviceState, now: UnixMs) -> Heard {
        let (name, is_here) = school_of(state);
        let here = is_here.then(|| heard_of(state, now));
        let Some(site) = self.of.get(name) else {
            return Heard {
                here,
                ..Heard::default()
            };
        };
        let shares = |silence: &Silence| {
            here.is_some_and(|here| {
                here <= silence.since && here >= silence.since.plus_ms(-LIVE_MS)
            })
        };
        Heard {
            silence: site.silence.filter(shares),
            back: site.back(),
            here,
        }
    }
}

impl Site {
    fn silence(&self, calendar: &Calendar, now: UnixMs) -> Option<Silence> {
        let since = *self.here.first()?;
        let live = since.plus_ms(-LIVE_MS);
        let laptops = self.here.iter().take_while(|heard| **heard >= live).count();
        let left = self.elsewhere.iter().filter(|heard| **heard > since);
        let is_silent = (SILENT_MS..=OPENED_WITHIN_MS).contains(&now.since(since));
        let in_school = [since, now, now.plus_ms(SILENT_MS)];
        let holds = is_silent
            && laptops >= LAPTOPS
            && (left.count() as f64) < LEFT * laptops as f64
            && in_school.iter().all(|at| calendar.is_school_time(*at));
        holds.then_some(Silence { since, laptops })
    }

    /// When the third of those who are here was heard.
    fn back(&self) -> Option<UnixMs> {
        self.here.get(BACK - 1).copied()
    }
}

/// The school that a laptop is in, or where it is elsewhere belongs to; and whether it is there. Without beacons nobody
/// knows, and it counts as there.
fn school_of(state: &DeviceState) -> (&str, bool) {
    let vantage = state.get(&metric::VANTAGE, "").map(|latest| &latest.value);
    let Some(Value::Text(vantage)) = vantage else {
        return (state.device.site.as_str(), true);
    };
    match vantage.strip_prefix("on-campus:") {
        Some(site) => (site, true),
        None => (state.device.site.as_str(), false),
    }
}

fn heard_of(state: &DeviceState, now: UnixMs) -> UnixMs {
    if state.connected {
        now
    } else {
        state.heard_of()
    }
}

#[cfg(test)]
mod tests {
    use rollcall_shared::id::Label;

    use super::*;
    use crate::device::{Latest, SeriesKey};
    use crate::evaluate::device::laptop::{HOUR, Laptop, MINUTE};
    use crate::evaluate::rules::RuleSet;

    /// Wednesday, 2026-09-02, ten in the morning in New York.
    const TEN: UnixMs = UnixMs(1_788_357_600_000);

    const CALENDAR: &str = "extend-default = true\n[calendar]\ntime-zone = \"America/New_York\"\nhours = \"08:00-15:30\"\n";

    const NONE: [i64; 0] = [];

    struct School {
        calendar: Calendar,
        laptops: Vec<DeviceState>,
        sites: Sites,
    }

    impl School {
        /// A school with laptops of which each is in touch.
        fn with(laptops: u8) -> Self {
            let rules = RuleSet::parse("t", CALENDAR).unwrap();
            Self {
                calendar: rules.calendar.clone(),
                laptops: (0..laptops).map(laptop).collect(),
                sites: Sites::default(),
            }
        }

        fn tell(
            &mut self,
            which: std::ops::Range<usize>,
            connected: bool,
            vantage: &str,
            at: UnixMs,
        ) {
            for state in &mut self.laptops[which] {
                let value = Value::Text(vantage.to_owned());
                let key = SeriesKey::new(&metric::VANTAGE, "");
                state.latest.insert(key, Latest { value, since: at });
                (state.connected, state.last_seen) = (connected, Some(at));
            }
        }

        /// Looks each minute up to a moment; answers when anybody was told to look because of it.
        fn look_until(&mut self, from: UnixMs, until: UnixMs) -> Vec<i64> {
            let mut news = Vec::new();
            let mut at = from;
            while at <= until {
                let laptops = || self.laptops.iter().collect();
                if !self.sites.look(laptops, &self.calendar, at).is_empty() {
                    news.push(at.since(TEN) / MINUTE);
                }
                at = at.plus_ms(MINUTE);
            }
            news
        }

        fn silent(&self, at: UnixMs) -> usize {
            let heard = self.laptops.iter().map(|state| self.sites.heard(state, at));
            heard.filter(|heard| heard.silence.is_some()).count()
        }
    }

    fn laptop(number: u8) -> DeviceState {
        let mut state = Laptop::new().state;
        state.device.id = DeviceId::from_bytes([number; 16]);
        state.device.site = "Lincoln".parse::<Label>().unwrap();
        state.device.enrolled = TEN.plus_ms(-240 * HOUR);
        state
    }

    /// Looks from two hours before `end` on; all are in touch until then, and away from it.
    fn falls_silent(laptops: u8, end: UnixMs, minutes: i64) -> (School, Vec<i64>) {
        let mut school = School::with(laptops);
        let all = 0..usize::from(laptops);
        school.tell(all.clone(), true, "on-campus:Lincoln", end);
        assert_eq!(school.look_until(end.plus_ms(-2 * HOUR), end), NONE);
        school.tell(all, false, "on-campus:Lincoln", end);
        let news = school.look_until(end.plus_ms(MINUTE), end.plus_ms(minutes * MINUTE));
        (school, news)
    }

    #[test]
    fn a_school_that_falls_silent_is_told_after_three_quarters_of_an_hour_and_once() {
        let (school, news) = falls_silent(25, TEN, 100);
        assert_eq!(news, [45]);
        assert_eq!(school.silent(TEN.plus_ms(100 * MINUTE)), 25);
        assert_eq!(falls_silent(25, TEN, 44).1, NONE, "a fire drill");
        assert_eq!(falls_silent(19, TEN, 100).1, NONE, "a small school");
    }

    #[test]
    fn evenings_the_end_of_a_day_weekends_and_single_laptops_are_no_silence() {
        for hours in [-3, 5, 8, 3 * 24, 5 * 24] {
            let news = falls_silent(25, TEN.plus_ms(hours * HOUR), 170).1;
            let is_told = hours == 5 * 24;
            assert_eq!(!news.is_empty(), is_told, "{hours} h later");
        }
        let mut school = School::with(25);
        school.tell(0..25, true, "on-campus:Lincoln", TEN);
        school.look_until(TEN.plus_ms(-HOUR), TEN);
        school.tell(1..25, false, "on-campus:Lincoln", TEN);
        assert_eq!(school.look_until(TEN, TEN.plus_ms(3 * HOUR)), NONE);
    }

    #[test]
    fn a_school_that_went_home_is_heard_from_there() {
        let mut school = School::with(25);
        school.tell(0..25, true, "on-campus:Lincoln", TEN);
        school.look_until(TEN.plus_ms(-HOUR), TEN);
        school.tell(0..25, false, "on-campus:Lincoln", TEN);
        school.tell(0..4, true, "off-campus", TEN.plus_ms(30 * MINUTE));
        assert_eq!(school.look_until(TEN, TEN.plus_ms(2 * HOUR)), NONE);
    }

    #[test]
    fn who_has_just_begun_to_listen_has_not_heard_nothing() {
        let mut school = School::with(25);
        school.tell(0..25, false, "on-campus:Lincoln", TEN);
        let begun = TEN.plus_ms(50 * MINUTE);
        assert_eq!(school.look_until(begun, begun.plus_ms(44 * MINUTE)), NONE);
        assert_eq!(
            school.look_until(begun.plus_ms(45 * MINUTE), begun.plus_ms(46 * MINUTE)),
            [95]
        );
    }

    #[test]
    fn what_is_heard_from_homes_does_not_end_it_and_three_laptops_in_the_school_do() {
        let (mut school, _) = falls_silent(25, TEN, 60);
        let evening = TEN.plus_ms(8 * HOUR);
        school.tell(0..12, true, "off-campus", evening);
        assert_eq!(school.look_until(TEN.plus_ms(61 * MINUTE), evening), NONE);
        let noticed = TEN.plus_ms(45 * MINUTE);
        let is_back = |school: &School, at| {
            let back = school.sites.heard(&school.laptops[24], at).back;
            back.is_some_and(|back| back > noticed)
        };
        assert!(!is_back(&school, evening));
        let morning = TEN.plus_ms(22 * HOUR);
        school.tell(0..2, true, "on-campus:Lincoln", morning);
        assert_eq!(school.look_until(evening, morning), NONE);
        school.tell(0..3, true, "on-campus:Lincoln", morning);
        let next = morning.plus_ms(MINUTE);
        assert_eq!(
            school.look_until(next, next.plus_ms(5 * MINUTE)),
            [22 * 60 + 1]
        );
        assert!(is_back(&school, next));
    }
}
