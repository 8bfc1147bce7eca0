//! How a laptop stands beside its own past and its peers, in the form of readings.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::habit::{Course, Habits, Usual};
use super::metrics::{
    BATTERY_FALLS, BATTERY_FALLS_WORDS, BOOT_ABOVE_PEERS, BOOT_RISE, BOOT_WORDS, CHARGER_SHORTFALL,
    CHARGER_WORDS, CRASH_EXCESS, CRASH_WORDS, HEAT_ABOVE_PEERS, HEAT_RISE, HEAT_WORDS,
    LINK_DROPS_RISE, LINK_DROPS_WORDS, SLOW_WORDS, THROTTLING_ABOVE_PEERS, UPDATES_FAILING,
    UPDATES_WORDS, WAIT_ABOVE_PEERS, WAIT_RISE,
};
use super::past::Past;
use super::peers::{Baseline, Kind, Peers, Summary};
use super::rate::{CRASHES_MS, crash_excess, failing_days, grown};
use super::{DAY_MS, Point, value_at};

/// How long a battery that gave out counts.
const FALLS_MS: i64 = 60 * DAY_MS;

/// How long a charger counts: somebody who once borrowed another's has the own one again.
const CHARGER_MS: i64 = 14 * DAY_MS;

/// Everything that a laptop is compared by at one moment.
pub struct Standing<'a> {
    pub past: &'a Past,
    pub habits: &'a Habits,
    pub kind: Kind,
    pub peers: &'a Peers,
    pub now: UnixMs,
}

impl Standing<'_> {
    /// What it adds to what is usual among its peers.
    pub fn summary(&self) -> Summary {
        let recent = |course: Option<Course>| course.map(|course| course.recent);
        let (busy, heat) = (recent(self.habits.busy()), recent(self.habits.heat()));
        Summary {
            kind: self.kind,
            heat: busy.zip(heat),
            wait: recent(self.habits.wait()),
            throttling: recent(self.habits.throttling()),
            boot_s: recent(self.habits.boot_s()),
            crashes: self.crashes(),
            charger_w: self.charger_w(),
            failing: self.failing_days().map(|days| days > 0.0),
        }
    }

    /// The readings; none of what cannot be told.
    pub fn readings(&self) -> Vec<Reading> {
        let summary = self.summary();
        let peers = self.peers.of_kind(self.kind);
        let mut readings = Vec::new();
        self.falls(&mut readings);
        self.heat(&summary, peers, &mut readings);
        self.slow(&summary, peers, &mut readings);
        self.boot(&summary, peers, &mut readings);
        self.updates(peers, &mut readings);
        self.link(&mut readings);
        if let (Some(watts), Some(usual)) = (summary.charger_w, peers.and_then(|p| p.charger_w)) {
            charger(watts, &usual, &mut readings);
        }
        if let (Some(crashes), Some(expected)) = (summary.crashes, peers.and_then(|p| p.crashes)) {
            readings.push(number(&CRASH_EXCESS, crash_excess(crashes, expected)));
            let words = format!("{crashes:.0} in 30 days, its peers have {expected:.1}");
            readings.push(Reading::text(&CRASH_WORDS, "", &words));
        }
        readings
    }

    fn series(&self, metric: &'static metric::Metric) -> &[Point] {
        self.past.of(metric, "")
    }

    fn crashes(&self) -> Option<f64> {
        let series = self.series(&metric::CRASHES);
        let from = self.now.plus_ms(-CRASHES_MS);
        (!series.is_empty()).then(|| grown(series, from, self.now))
    }

    /// The most that a charger of the last two weeks could give; nothing before a laptop is known for so long, since
    /// the only charger that was seen may be a borrowed one. A series holds changes, so the charger that was in use
    /// when the two weeks began counts as well.
    fn charger_w(&self) -> Option<f64> {
        let series = self.series(&metric::CHARGER_POWER);
        let from = self.now.plus_ms(-CHARGER_MS);
        let lately = series.iter().filter(|(at, _)| *at >= from);
        let before = value_at(series, from)?;
        Some(lately.map(|(_, watts)| *watts).fold(before, f64::max))
    }

    fn failing_days(&self) -> Option<f64> {
        failing_days(self.series(&metric::UPDATES_FAILED), self.now)
    }

    fn falls(&self, readings: &mut Vec<Reading>) {
        if !self.habits.knows_falls() {
            return;
        }
        let from = self.now.plus_ms(-FALLS_MS);
        let falls: Vec<&Point> = self.habits.falls_since(from).collect();
        readings.push(number(&BATTERY_FALLS, falls.len() as f64));
        let at: Vec<String> = falls.iter().map(|(_, charge)| percent(*charge)).collect();
        let words = match at.as_slice() {
            [] => "it never went out with charge left".to_owned(),
            at => format!("in 60 days it went out at {} of charge", at.join(", ")),
        };
        readings.push(Reading::text(&BATTERY_FALLS_WORDS, "", &words));
    }

    fn heat(&self, own: &Summary, peers: Option<&Baseline>, readings: &mut Vec<Reading>) {
        let Some(course) = self.habits.heat() else {
            return;
        };
        let mut words = format!("{:.0} °C on the average of its last days", course.recent);
        if let (Some((busy, heat)), Some(peers)) = (own.heat, peers)
            && let (Some(excess), Some(usual)) =
                (peers.heat_excess(busy, heat), peers.heat_at(busy))
        {
            readings.push(number(&HEAT_ABOVE_PEERS, excess));
            words += &format!(", {} peers at its load {usual:.0} °C", peers.laptops);
        }
        if let (Some(rise), Some(before)) = (course.rise(), course.before) {
            readings.push(number(&HEAT_RISE, rise));
            words += &format!(", in the weeks before {:.0} °C", before.middle);
        }
        readings.push(Reading::text(&HEAT_WORDS, "", &words));
    }

    fn slow(&self, own: &Summary, peers: Option<&Baseline>, readings: &mut Vec<Reading>) {
        let mut words = Vec::new();
        if let Some(course) = self.habits.wait() {
            let mut said = format!("programs wait {} of the time", percent(course.recent));
            if let Some(usual) = peers.and_then(|peers| peers.wait) {
                readings.push(number(&WAIT_ABOVE_PEERS, usual.excess(course.recent)));
                said += &format!(", on its peers {}", percent(usual.middle));
            }
            if let (Some(rise), Some(before)) = (course.rise(), course.before) {
                readings.push(number(&WAIT_RISE, rise));
                said += &format!(", in the weeks before {}", percent(before.middle));
            }
            words.push(said);
        }
        if let (Some(rate), Some(usual)) =
            (own.throttling, peers.and_then(|peers| peers.throttling))
        {
            readings.push(number(&THROTTLING_ABOVE_PEERS, usual.excess(rate)));
            words.push(format!(
                "heat slows it {rate:.0} times an hour, its peers {:.0}",
                usual.middle
            ));
        }
        if !words.is_empty() {
            readings.push(Reading::text(&SLOW_WORDS, "", &words.join("; ")));
        }
    }

    fn boot(&self, own: &Summary, peers: Option<&Baseline>, readings: &mut Vec<Reading>) {
        let (Some(seconds), Some(course)) = (own.boot_s, self.habits.boot_s()) else {
            return;
        };
        let mut words = format!("its last starts took {seconds:.0} s");
        if let Some(usual) = peers.and_then(|peers| peers.boot_s) {
            readings.push(number(&BOOT_ABOVE_PEERS, usual.excess(seconds)));
            words += &format!(", those of its peers {:.0} s", usual.middle);
        }
        if let (Some(rise), Some(before)) = (course.rise(), course.before) {
            readings.push(number(&BOOT_RISE, rise));
            words += &format!(", its own before {:.0} s", before.middle);
        }
        readings.push(Reading::text(&BOOT_WORDS, "", &words));
    }

    fn updates(&self, peers: Option<&Baseline>, readings: &mut Vec<Reading>) {
        let Some(days) = self.failing_days() else {
            return;
        };
        readings.push(number(&UPDATES_FAILING, days.min(400.0).floor()));
        let mut words = if days > 0.0 {
            format!("no update run has succeeded for {days:.0} days")
        } else {
            "update runs succeed".to_owned()
        };
        if let Some(share) = peers.and_then(|peers| peers.failing) {
            words += &format!("; they fail on {} of its peers", percent(share));
        }
        readings.push(Reading::text(&UPDATES_WORDS, "", &words));
    }

    fn link(&self, readings: &mut Vec<Reading>) {
        let Some(drops) = self.habits.drops() else {
            return;
        };
        let (Some(rise), Some(before)) = (drops.rise(), drops.before) else {
            return;
        };
        readings.push(number(&LINK_DROPS_RISE, rise));
        let when = match drops.days {
            1 => "today".to_owned(),
            days => format!("in the last {days} days"),
        };
        let words = format!(
            "{:.1} times an hour {when}, {before:.1} in the weeks before",
            drops.recent
        );
        readings.push(Reading::text(&LINK_DROPS_WORDS, "", &words));
    }
}

fn charger(watts: f64, usual: &Usual, readings: &mut Vec<Reading>) {
    let lacks = if usual.middle > 0.0 {
        (1.0 - watts / usual.middle).clamp(0.0, 1.0)
    } else {
        0.0
    };
    readings.push(number(&CHARGER_SHORTFALL, lacks));
    let words = format!("{watts:.0} W, those of its peers {:.0} W", usual.middle);
    readings.push(Reading::text(&CHARGER_WORDS, "", &words));
}

/// A number to a thousandth: what moves by less is no news to a rule.
fn number(metric: &'static metric::Metric, value: f64) -> Reading {
    Reading::number(metric, "", (value * 1000.0).round() / 1000.0)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use rollcall_shared::reading::Value;

    use super::super::Outlook;
    use super::*;
    use crate::device::SeriesKey;
    use std::sync::Arc;

    use crate::evaluate::device::laptop::{DAY, HOUR, Laptop};

    /// Three weeks of one laptop, as `change` makes its days; then what is said.
    fn said(change: impl Fn(i64, &mut Laptop), peers: &Peers) -> Vec<(&'static str, Value)> {
        let mut laptop = Laptop::new();
        laptop.outlook.set_peers(&Arc::new(peers.clone()));
        for day in 0..21 {
            for hour in 0..4 {
                laptop.now =
                    crate::evaluate::device::laptop::START.plus_ms(day * DAY + hour * HOUR);
                laptop.read(&metric::UPDATES_FAILED, "", Value::Number(0.0));
                laptop.read(
                    &metric::TEMPERATURE,
                    "cpu",
                    Value::Number(50.0 + hour as f64),
                );
                laptop.read(&metric::CPU_UTILIZATION, "", Value::Number(0.2));
                laptop.read(&metric::PRESSURE_IO, "", Value::Number(0.02));
                laptop.read(&metric::CRASHES, "", Value::Number(0.0));
                laptop.read(&metric::CHARGER_POWER, "", Value::Number(45.0));
                change(day, &mut laptop);
                laptop.outlook.readings(&laptop.state, laptop.now);
            }
        }
        let outlook: &mut Outlook = &mut laptop.outlook;
        let said = outlook.readings(&laptop.state, laptop.now.plus_ms(DAY));
        let name = |key: &SeriesKey| {
            let of = super::super::metrics::FORECASTS.iter();
            of.clone().find(|m| m.code == key.metric).unwrap().name
        };
        said.iter()
            .map(|(key, latest)| (name(key), latest.value.clone()))
            .collect()
    }

    fn of(said: &[(&'static str, Value)], name: &str) -> Option<Value> {
        let found = said.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.clone())
    }

    fn fleet() -> Peers {
        let laptop = Laptop::new();
        let one = Summary {
            kind: Kind::of(&laptop.state),
            heat: Some((0.2, 50.0)),
            wait: Some(0.02),
            throttling: Some(0.0),
            boot_s: Some(40.0),
            crashes: Some(0.1),
            charger_w: Some(65.0),
            failing: Some(false),
        };
        Peers::of(vec![one; 12].iter())
    }

    #[test]
    fn without_peers_and_past_nothing_is_said_of_them() {
        let said = said(|_, _| {}, &Peers::default());
        assert_eq!(of(&said, "forecast.temperature.above_peers"), None);
        assert_eq!(of(&said, "forecast.charger.shortfall"), None);
        assert_eq!(of(&said, "forecast.crashes.excess"), None);
        assert_eq!(
            of(&said, "forecast.temperature.rise"),
            None,
            "four reports a day are too few"
        );
        assert_eq!(
            of(&said, "forecast.updates.failing"),
            Some(Value::Number(0.0))
        );
    }

    /// Nothing but the charger, which is read each day and kept where it changed.
    #[test]
    fn a_charger_that_was_borrowed_once_is_no_small_one() {
        let shortfall = |borrowed: std::ops::Range<i64>| {
            let said = said(
                |day, laptop| {
                    let watts = if borrowed.contains(&day) { 45.0 } else { 65.0 };
                    laptop.read(&metric::CHARGER_POWER, "", Value::Number(watts));
                },
                &fleet(),
            );
            of(&said, "forecast.charger.shortfall")
        };
        assert_eq!(shortfall(20..21), Some(Value::Number(0.0)), "yesterday");
        assert_eq!(shortfall(8..9), Some(Value::Number(0.0)), "long ago");
        let lost = shortfall(4..21).unwrap().as_number().unwrap();
        assert!((0.30..0.32).contains(&lost), "{lost}");
    }

    #[test]
    fn a_small_charger_crashes_and_updates_are_seen_beside_the_peers() {
        let said = said(
            |day, laptop| {
                if day > 3 {
                    laptop.read(&metric::UPDATES_FAILED, "", Value::Number(1.0));
                }
                if day > 15 {
                    laptop.read(&metric::CRASHES, "", Value::Number((day - 15) as f64));
                }
            },
            &fleet(),
        );
        let Some(Value::Number(lacks)) = of(&said, "forecast.charger.shortfall") else {
            panic!("{said:?}");
        };
        assert!((0.30..0.32).contains(&lacks), "{lacks}");
        let words = of(&said, "forecast.charger.words").unwrap().to_string();
        assert_eq!(words, "45 W, those of its peers 65 W");
        assert_eq!(
            of(&said, "forecast.crashes.excess"),
            Some(Value::Number(4.9))
        );
        let failing = of(&said, "forecast.updates.failing").unwrap();
        assert!(failing.as_number().unwrap() >= 17.0, "{failing:?}");
        let words = of(&said, "forecast.updates.words").unwrap().to_string();
        assert!(words.ends_with("they fail on 0 % of its peers"), "{words}");
    }
}
