//! A laptop's day: when its lid is open and where, when it is charged, and how full the battery is.
//!
//! A day stands by itself: what was left in the battery the evening before is drawn anew, so that
//! no minute depends on all those before it.

use super::battery::{Battery, Cell};
use super::calendar::{DayKind, kind_of};
use super::chance::{Chance, Topic};
use super::faults::Fault;
use super::laptop::Laptop;
use super::{shares, stops};

/// Where a laptop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In its school.
    Campus,
    /// Elsewhere, at home as a rule.
    Home,
}

/// A time in which the lid is open, in seconds of the local day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// When it is opened.
    pub from: u32,
    /// When it is closed.
    pub to: u32,
    /// Where.
    pub place: Place,
    /// Whether a charger is connected.
    pub charger: bool,
    /// How much is done with it, from 0 to 1.
    pub busy: f64,
}

/// The spans of one day, in order.
#[derive(Debug, Clone)]
pub struct DayPlan {
    spans: [Span; MOST_SPANS],
    count: usize,
    start_charge: f64,
    limit: f64,
    charges: bool,
    /// The span in which the battery gave out.
    gave_out: Option<usize>,
}

/// How the battery stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// Share of the present capacity, 0 to 1.
    pub charge: f64,
    /// Power into the battery in W; negative while it gives.
    pub watts: f64,
    /// Whether a charger is connected.
    pub charger: bool,
    /// At which charge charging stops.
    pub limit: f64,
}

/// A morning, seven periods, an afternoon, an evening, and room.
const MOST_SPANS: usize = 12;

/// Below this charge a system hibernates.
const HIBERNATES_AT: f64 = 0.03;

/// At which charge a battery that gives out does so, and what is found in it afterwards.
const GIVES_OUT_AT: (f64, f64) = (0.2, 0.45);
const FOUND: f64 = 0.06;

/// What a sleeping laptop takes, in W.
const STANDBY_W: f64 = 0.35;

/// The most that a lithium-ion battery is charged with, as a share of its capacity in an hour.
const CHARGE_PER_HOUR: f64 = 0.6;

/// From here on charging slows down to hold the voltage.
const TAPERS_AT: f64 = 0.8;

/// Share of pupils who come on a school day.
const ATTENDANCE: f64 = 0.94;

/// The end of the day's last span at the latest.
const LATEST: f64 = 23.4;

impl DayPlan {
    /// The plan of a laptop's day.
    #[must_use]
    pub fn of(laptop: &Laptop, day: i64) -> Self {
        let chance = laptop.day_chance(day);
        let charges = laptop.chance.fraction(Topic::Port) >= shares::BROKEN_PORTS;
        let limit = if laptop.chance.holds(Topic::Limit, 0.1) {
            0.8
        } else {
            1.0
        };
        let plugged = charges && chance.holds(Topic::Plugged, 0.86);
        let start = if plugged {
            limit
        } else {
            chance.between(Topic::Start, 0.2, 0.75)
        };
        let mut plan = Self {
            spans: [EMPTY; MOST_SPANS],
            count: 0,
            start_charge: start,
            limit,
            charges,
            gave_out: None,
        };
        match kind_of(day) {
            DayKind::School if chance.holds(Topic::Attend, ATTENDANCE) => plan.school_day(chance),
            DayKind::School | DayKind::Weekend | DayKind::Holiday => plan.free_day(chance, 0.45),
            DayKind::Summer => plan.free_day(chance, 0.10),
        }
        let noon = stops::noon(day);
        if Fault::GivesOut.holds(laptop, noon) {
            let (low, high) = GIVES_OUT_AT;
            let at = chance.between(Topic::GivesOut, low, high);
            plan.give_out(at, &Battery::of(laptop, noon).cell());
        }
        plan
    }

    /// When the battery gave out, and when the lid was opened again; the last span of a day is spared.
    #[must_use]
    pub fn gave_out(&self) -> Option<(u32, u32)> {
        let at = self.gave_out?;
        Some((self.spans[at].to, self.spans[at + 1].from))
    }

    /// Ends the first span in which the charge falls to `least`; the next one finds a charger.
    fn give_out(&mut self, least: f64, cell: &Cell) {
        let falls = |span: &Span| {
            let mut minutes = (span.from..span.to).step_by(60);
            minutes.find(|second| {
                let power = self.power_at(*second, cell);
                power.is_some_and(|power| power.charge <= least && !power.charger)
            })
        };
        let before_last = &self.spans[..self.count.saturating_sub(1)];
        let found = before_last
            .iter()
            .enumerate()
            .find_map(|(at, span)| Some((at, falls(span)?)));
        if let Some((at, second)) = found {
            self.spans[at].to = second;
            self.spans[at + 1].charger = true;
            self.gave_out = Some(at);
        }
    }

    /// The span that holds a second of the day.
    #[must_use]
    pub fn span_at(&self, second: u32) -> Option<&Span> {
        self.spans[..self.count]
            .iter()
            .find(|span| (span.from..span.to).contains(&second))
    }

    /// The spans in order.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans[..self.count]
    }

    /// How the battery stands at a second of the day; `None` where the lid is closed, or where the
    /// battery is empty and no charger is there.
    #[must_use]
    pub fn power_at(&self, second: u32, cell: &Cell) -> Option<Power> {
        self.span_at(second)?;
        let (mut charge, mut past) = (self.start_charge, self.spans[0].from);
        for (at, span) in self.spans().iter().enumerate() {
            if self.gave_out.is_some_and(|gave_out| at == gave_out + 1) {
                charge = FOUND;
            }
            charge -= STANDBY_W / cell.capacity_wh * hours(span.from - past);
            charge = charge.max(HIBERNATES_AT);
            let watts = self.watts(span, charge, cell);
            let now = self.step(charge, span, hours(span.to.min(second) - span.from), cell);
            if second < span.to {
                let lives = now > HIBERNATES_AT || span.charger;
                return lives.then(|| self.power(span, now, watts, cell));
            }
            (charge, past) = (now, span.to);
        }
        None
    }

    fn power(&self, span: &Span, charge: f64, first_watts: f64, cell: &Cell) -> Power {
        let watts = if span.charger {
            self.watts(span, charge, cell)
        } else {
            first_watts
        };
        Power {
            charge,
            watts,
            charger: span.charger,
            limit: self.limit,
        }
    }

    fn watts(&self, span: &Span, charge: f64, cell: &Cell) -> f64 {
        if !span.charger {
            return -(3.0 + 8.0 * span.busy);
        }
        if !self.charges || charge >= self.limit {
            return 0.0;
        }
        let share = if charge < TAPERS_AT {
            CHARGE_PER_HOUR
        } else {
            CHARGE_PER_HOUR / 3.0
        };
        (share * cell.capacity_wh).min(cell.charger_w * 0.7)
    }

    /// The charge after some hours of a span.
    fn step(&self, charge: f64, span: &Span, hours: f64, cell: &Cell) -> f64 {
        let per_hour = self.watts(span, charge, cell) / cell.capacity_wh;
        let after = charge + per_hour * hours;
        if per_hour <= 0.0 || charge >= TAPERS_AT || after <= TAPERS_AT {
            return after.clamp(HIBERNATES_AT, self.limit.max(charge));
        }
        let left = hours - (TAPERS_AT - charge) / per_hour;
        self.step(TAPERS_AT, span, left, cell)
    }

    /// Half an hour before school now and then, lessons of 47 minutes with the lid closed between,
    /// and homework.
    fn school_day(&mut self, chance: Chance) {
        let wake = chance.between(Topic::Wake, 6.7, 7.1);
        if chance.holds(Topic::Lunch, 0.3) {
            self.add(wake, wake + 0.4, Place::Home, false, 0.2);
        }
        for period in 0..7_u8 {
            let own = chance.of(Topic::Period, i64::from(period));
            let start = 8.1 + f64::from(period) * 0.92 + if period > 3 { 0.5 } else { 0.0 };
            if own.holds(Topic::Attend, 0.86) {
                let late = own.between(Topic::Wake, 0.0, 0.08);
                let charger = own.holds(Topic::Plugged, 0.05);
                self.add(
                    start + late,
                    start + 0.78,
                    Place::Campus,
                    charger,
                    own.fraction(Topic::Busy),
                );
            }
        }
        self.evening(chance);
    }

    fn evening(&mut self, chance: Chance) {
        let start = chance.between(Topic::Evening, 16.0, 19.0);
        let end = (start + chance.between(Topic::EveningEnd, 0.5, 3.5)).min(LATEST);
        let charger = chance.holds(Topic::Plugged, 0.7);
        self.add(
            start,
            end,
            Place::Home,
            charger,
            chance.fraction(Topic::Busy),
        );
    }

    fn free_day(&mut self, chance: Chance, share: f64) {
        if chance.holds(Topic::Lunch, share) {
            let start = chance.between(Topic::Wake, 9.5, 13.0);
            self.add(
                start,
                start + 1.6,
                Place::Home,
                false,
                chance.fraction(Topic::Busy),
            );
        }
        if chance.holds(Topic::EveningEnd, share) {
            self.evening(chance);
        }
    }

    fn add(&mut self, from_h: f64, to_h: f64, place: Place, charger: bool, busy: f64) {
        let second = |hour: f64| (hour * 3600.0) as u32;
        self.spans[self.count] = Span {
            from: second(from_h),
            to: second(to_h),
            place,
            charger,
            busy,
        };
        self.count += 1;
    }
}

const EMPTY: Span = Span {
    from: 0,
    to: 0,
    place: Place::Home,
    charger: false,
    busy: 0.0,
};

fn hours(seconds: u32) -> f64 {
    f64::from(seconds) / 3600.0
}
