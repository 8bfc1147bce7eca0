//! What a laptop is like from day to day: how hot and how busy it is, how long programs wait, how often heat
//! slows it, how often its link drops, how long it takes to start, and whether its battery gives out.
//!
//! A day is a few sums, so that a laptop's weeks are about a kilobyte. Each five minutes of which there is a
//! report count once, so that a laptop that sends more often is not judged otherwise. What happens between
//! two reports, such as a restart, is seen by comparing them.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::drops::{DropDay, Drops};
use super::{DAY_MS, Point, median};
use crate::device::DeviceState;

/// Days that are kept: five that count as now, and five weeks before.
const DAYS: usize = 40;

/// How far back a past is read.
pub const HABIT_REACH_MS: i64 = DAYS as i64 * DAY_MS;

/// What counts once.
const SLOT_MS: i64 = 5 * 60_000;

/// Slots of an hour.
pub const SLOTS_PER_HOUR: u16 = 12;

/// Slots that make a day worth comparing: half an hour.
const LEAST_SLOTS: u16 = 6;

/// Slots that make a rate by the hour worth comparing: two hours.
const LEAST_RATE_SLOTS: u16 = 24;

/// Slots that drops are told by the hour of, at least: four hours.
const RATE_SLOTS: u16 = 4 * SLOTS_PER_HOUR;

/// Days that are "now", and the fewest of them.
const RECENT_DAYS: std::ops::RangeInclusive<usize> = 3..=5;

/// Values that tell what is usual: two school weeks, or as many peers.
pub const LEAST_VALUES: usize = 8;

/// Robust deviations beyond which a value is unusual: one in a thousand lies above (normal distribution).
const UNUSUAL: f64 = 3.1;

/// A start that takes longer was not watched from its beginning: the agent was installed or restarted.
const LONGEST_BOOT_S: f64 = 900.0;

/// Starts and falls that are kept.
const EVENTS: usize = 20;

/// Charge above which no system switches itself off: Windows hibernates at 5 to 7 %, UPower at 2 %, and
/// gauges err by a few percent.
const LEAST_FALL: f64 = 0.15;

/// How long after the last report a laptop that was not switched off cleanly is found again at the latest
/// for the battery to be blamed: asleep at 1 W for four hours it loses less than a tenth.
const FALL_MS: i64 = 4 * 3_600_000;

/// How much lower the charge is found than it was: with the same charge somebody held the power button.
const FALL_LOSS: f64 = 0.10;

/// The metrics that habits are made from.
pub static HABIT_INPUTS: [&Metric; 11] = [
    &metric::UPTIME,
    &metric::UNEXPECTED_SHUTDOWNS,
    &metric::BATTERY_CHARGE,
    &metric::CHARGER_CONNECTED,
    &metric::CPU_UTILIZATION,
    &metric::PRESSURE_CPU,
    &metric::PRESSURE_MEMORY,
    &metric::PRESSURE_IO,
    &metric::TEMPERATURE,
    &metric::THROTTLE_EVENTS,
    &metric::LINK_DROPS,
];

/// Whether a metric is one that habits are made from.
#[must_use]
pub fn is_habit(metric: u16) -> bool {
    HABIT_INPUTS.iter().any(|input| input.code == metric)
}

/// What a laptop told at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When.
    pub at: UnixMs,
    /// Slots of five minutes that it stands for.
    pub slots: u16,
    /// The hottest sensor, in °C.
    pub heat: Option<f64>,
    /// Busy share of the processors, 0 to 1.
    pub busy: Option<f64>,
    /// The greatest share of time in which something waited for processor, memory or drive, 0 to 1.
    pub wait: Option<f64>,
    /// Times that heat slowed the processor since the start.
    pub throttles: Option<f64>,
    /// Times that links lost their carrier since the start; where the system does not count them, times that a radio
    /// was found down that had been up.
    pub drops: Option<f64>,
    /// Charge of the battery, 0 to 1, the least of several.
    pub charge: Option<f64>,
    /// Whether it runs on its battery.
    pub on_battery: bool,
    /// Shutdowns without a clean end on record.
    pub shutdowns: Option<f64>,
    /// Seconds since the start.
    pub uptime_s: Option<f64>,
}

/// A laptop's days, and what happened between its reports.
#[derive(Debug, Clone, Default)]
pub struct Habits {
    days: Vec<Day>,
    last: Option<Sample>,
    slot: Option<i64>,
    /// When a battery gave out, and at which charge.
    falls: Vec<Point>,
    /// When the laptop was found started, and how many seconds that took.
    boots: Vec<Point>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f32,
    slots: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Day {
    day: i32,
    awake: u16,
    heat: Sum,
    busy: Sum,
    wait: Sum,
    throttles: f32,
    drops: f32,
}

/// What is usual: a middle, and how far values lie from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// The median.
    pub middle: f64,
    /// The median distance from it, scaled to a normal distribution's deviation.
    pub spread: f64,
}

/// How something is now, and how it used to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// The median of the last three to five days.
    pub recent: f64,
    /// The days before; `None` for less than eight.
    pub before: Option<Usual>,
}

impl Usual {
    /// Of at least eight values; `None` of fewer.
    ///
    /// Source: F. R. Hampel, "The Influence Curve and Its Role in Robust Estimation" (JASA 69, 1974), the
    /// median absolute deviation, which half of the values being wrong does not move far.
    #[must_use]
    pub fn of(values: Vec<f64>) -> Option<Self> {
        if values.len() < LEAST_VALUES {
            return None;
        }
        let middle = median(values.clone())?;
        let distances = values.iter().map(|value| (value - middle).abs()).collect();
        let spread = 1.4826 * median(distances)?;
        Some(Self { middle, spread })
    }

    /// How far a value lies above the middle, in its unit; 0 where that is not unusual.
    #[must_use]
    pub fn excess(&self, value: f64) -> f64 {
        let above = value - self.middle;
        if above > UNUSUAL * self.spread {
            above
        } else {
            0.0
        }
    }
}

impl Course {
    fn of(daily: &[f64]) -> Option<Self> {
        if daily.len() < *RECENT_DAYS.start() {
            return None;
        }
        let (before, recent) = daily.split_at(daily.len().saturating_sub(*RECENT_DAYS.end()));
        Some(Self {
            recent: median(recent.to_vec())?,
            before: Usual::of(before.to_vec()),
        })
    }

    /// How far it has risen above what it used to be; 0 where it moved as it always did, `None` where its
    /// past is too short.
    #[must_use]
    pub fn rise(&self) -> Option<f64> {
        Some(self.before?.excess(self.recent))
    }
}

impl Sample {
    /// What a laptop told last; `None` before its first report.
    #[must_use]
    pub fn of(state: &DeviceState) -> Option<Self> {
        let numbers = |metric: &Metric| {
            let all = state.instances(metric);
            all.filter_map(|(_, latest)| latest.value.as_number())
                .collect::<Vec<f64>>()
        };
        let most = |metric: &Metric| numbers(metric).into_iter().reduce(f64::max);
        let total = |metric: &Metric| numbers(metric).into_iter().reduce(|a, b| a + b);
        let charger = state.get(&metric::CHARGER_CONNECTED, "");
        let without = charger.is_some_and(|latest| latest.value == Value::Flag(false));
        let waits = [
            &metric::PRESSURE_CPU,
            &metric::PRESSURE_MEMORY,
            &metric::PRESSURE_IO,
        ];
        Some(Self {
            at: state.last_report?,
            slots: 1,
            heat: most(&metric::TEMPERATURE),
            busy: most(&metric::CPU_UTILIZATION),
            wait: waits.into_iter().filter_map(most).reduce(f64::max),
            throttles: total(&metric::THROTTLE_EVENTS),
            drops: total(&metric::LINK_DROPS).or_else(|| losses(state)),
            charge: numbers(&metric::BATTERY_CHARGE)
                .into_iter()
                .reduce(f64::min),
            on_battery: without,
            shutdowns: most(&metric::UNEXPECTED_SHUTDOWNS),
            uptime_s: most(&metric::UPTIME),
        })
    }
}

impl Habits {
    /// Takes in what was told; samples come in order of time, and one that is not newer is left out.
    /// Answers whether something happened that is to be judged at once.
    pub fn note(&mut self, sample: &Sample) -> bool {
        if self.last.is_some_and(|last| sample.at <= last.at) {
            return false;
        }
        let has_fallen = self.note_fall(sample);
        let has_started = self.note_boot(sample);
        self.tally(sample);
        self.last = Some(*sample);
        has_fallen || has_started
    }

    /// A battery that falls from a third to off: on its battery the laptop went out without a clean end, and
    /// is found again soon after with much less charge than it had.
    fn note_fall(&mut self, now: &Sample) -> bool {
        let Some(before) = self.last else {
            return false;
        };
        let (Some(had), Some(has)) = (before.charge, now.charge) else {
            return false;
        };
        let grew = now.shutdowns > before.shutdowns && before.shutdowns.is_some();
        let is_soon = now.at.since(before.at) <= FALL_MS;
        let fell =
            grew && is_soon && before.on_battery && had >= LEAST_FALL && has <= had - FALL_LOSS;
        if fell {
            keep(&mut self.falls, (now.at, had));
        }
        fell
    }

    fn note_boot(&mut self, now: &Sample) -> bool {
        let before = self.last.and_then(|last| last.uptime_s);
        let (Some(before), Some(uptime)) = (before, now.uptime_s) else {
            return false;
        };
        let is_watched = uptime < before && uptime <= LONGEST_BOOT_S;
        if is_watched {
            keep(&mut self.boots, (now.at, uptime));
        }
        is_watched
    }

    fn tally(&mut self, sample: &Sample) {
        let before = self.last;
        let grown = |of: fn(&Sample) -> Option<f64>| {
            let (earlier, now) = (before.as_ref().and_then(of), of(sample));
            growth(earlier, now) as f32
        };
        let (throttles, drops) = (grown(|s| s.throttles), grown(|s| s.drops));
        let slot = sample.at.0.div_euclid(SLOT_MS);
        let is_new = self.slot.is_none_or(|last| slot > last);
        let day = self.day(sample.at);
        day.throttles += throttles;
        day.drops += drops;
        if is_new {
            day.awake = day.awake.saturating_add(sample.slots);
            day.heat.add(sample.heat, sample.slots);
            day.busy.add(sample.busy, sample.slots);
            day.wait.add(sample.wait, sample.slots);
            self.slot = Some(slot);
        }
    }

    fn day(&mut self, at: UnixMs) -> &mut Day {
        let day = i32::try_from(at.0.div_euclid(DAY_MS)).unwrap_or_default();
        if self.days.last().is_none_or(|last| last.day != day) {
            if self.days.len() >= DAYS {
                self.days.remove(0);
            }
            self.days.push(Day {
                day,
                ..Day::default()
            });
        }
        self.days.last_mut().expect("a day was just added")
    }

    fn course(&self, of: impl Fn(&Day) -> Option<f64>) -> Option<Course> {
        let daily: Vec<f64> = self.days.iter().filter_map(of).collect();
        Course::of(&daily)
    }

    /// The daily mean of the hottest sensor, in °C.
    #[must_use]
    pub fn heat(&self) -> Option<Course> {
        self.course(|day| day.heat.mean())
    }

    /// The daily mean of the busy share of the processors, 0 to 1.
    #[must_use]
    pub fn busy(&self) -> Option<Course> {
        self.course(|day| day.busy.mean())
    }

    /// The daily mean of the share of time in which something waited, 0 to 1.
    #[must_use]
    pub fn wait(&self) -> Option<Course> {
        self.course(|day| day.wait.mean())
    }

    /// How often an hour heat slowed the processor.
    #[must_use]
    pub fn throttling(&self) -> Option<Course> {
        self.course(|day| day.rate(day.throttles))
    }

    /// How often links drop; unlike the others it is not smoothed, since a link that drops is felt at once.
    #[must_use]
    pub fn drops(&self) -> Option<Drops> {
        let counted = self.days.iter().filter(|day| day.awake >= LEAST_RATE_SLOTS);
        Drops::of(&counted.map(Day::of_drops).collect::<Vec<DropDay>>())
    }

    /// Goes on from another count of drops, that of the states since the collector was started.
    pub fn count_drops_from(&mut self, drops: u64) {
        if let Some(last) = &mut self.last {
            last.drops = Some(drops as f64);
        }
    }

    /// How many seconds it takes to start: the last three starts against those before.
    #[must_use]
    pub fn boot_s(&self) -> Option<Course> {
        let seconds: Vec<f64> = self.boots.iter().map(|(_, seconds)| *seconds).collect();
        if seconds.len() < 3 {
            return None;
        }
        let (before, recent) = seconds.split_at(seconds.len() - 3);
        Some(Course {
            recent: median(recent.to_vec())?,
            before: Usual::of(before.to_vec()),
        })
    }

    /// When the battery gave out since a moment, and at which charge.
    pub fn falls_since(&self, from: UnixMs) -> impl Iterator<Item = &Point> {
        self.falls.iter().filter(move |(at, _)| *at >= from)
    }

    /// Whether it was ever seen with what a fall is seen by.
    #[must_use]
    pub fn knows_falls(&self) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| last.charge.is_some() && last.shutdowns.is_some())
    }
}

impl Sum {
    fn add(&mut self, value: Option<f64>, slots: u16) {
        if let Some(value) = value {
            self.total += value as f32 * f32::from(slots);
            self.slots = self.slots.saturating_add(slots);
        }
    }

    fn mean(&self) -> Option<f64> {
        let is_enough = self.slots >= LEAST_SLOTS;
        is_enough.then(|| f64::from(self.total) / f64::from(self.slots))
    }
}

impl Day {
    /// Its drops, by four hours at least: a lid that is closed and opened in a short day drops the link as often as in
    /// a long one. A shorter day ends nothing either, or each morning would end what the afternoon begins anew.
    fn of_drops(&self) -> DropDay {
        DropDay {
            drops: f64::from(self.drops),
            hours: f64::from(self.awake.max(RATE_SLOTS)) / f64::from(SLOTS_PER_HOUR),
            is_whole: self.awake >= RATE_SLOTS,
        }
    }

    fn rate(&self, count: f32) -> Option<f64> {
        let hours = f64::from(self.awake) / f64::from(SLOTS_PER_HOUR);
        (self.awake >= LEAST_RATE_SLOTS).then(|| f64::from(count) / hours)
    }
}

/// Times that a radio was found down, of a laptop that has one.
fn losses(state: &DeviceState) -> Option<f64> {
    let mut links = state.instances(&metric::LINK_KIND);
    let has_radio = links.any(|(link, _)| state.is_radio(link));
    has_radio.then_some(state.radio_losses as f64)
}

/// How much a count has grown; one that fell began anew.
fn growth(before: Option<f64>, now: Option<f64>) -> f64 {
    match (before, now) {
        (Some(before), Some(now)) if now >= before => now - before,
        (Some(_), Some(now)) => now,
        _ => 0.0,
    }
}

fn keep(events: &mut Vec<Point>, event: Point) {
    if events.len() >= EVENTS {
        events.remove(0);
    }
    events.push(event);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn sample(at: i64) -> Sample {
        Sample {
            at: UnixMs(at),
            slots: 1,
            heat: Some(50.0),
            busy: Some(0.2),
            wait: Some(0.05),
            throttles: Some(0.0),
            drops: Some(0.0),
            charge: Some(0.8),
            on_battery: true,
            shutdowns: Some(1.0),
            uptime_s: Some(10_000.0),
        }
    }

    /// Three hours a day, as `change` makes them.
    fn days(count: i64, change: impl Fn(i64, &mut Sample)) -> Habits {
        let mut habits = Habits::default();
        for day in 0..count {
            for slot in 0..36 {
                let mut now = sample(day * DAY_MS + slot * 5 * MINUTE);
                change(day, &mut now);
                habits.note(&now);
            }
        }
        habits
    }

    #[test]
    fn a_laptop_that_gets_hotter_is_told_from_one_that_always_was() {
        let always = days(30, |day, s| s.heat = Some(80.0 + (day % 3) as f64));
        assert_eq!(always.heat().unwrap().rise(), Some(0.0));
        let hotter = days(30, |day, s| {
            s.heat = Some(if day < 24 { 50.0 } else { 66.0 } + (day % 3) as f64);
        });
        let rise = hotter.heat().unwrap().rise().unwrap();
        assert!((15.0..17.0).contains(&rise), "{rise}");
        let one_hot_day = days(30, |day, s| {
            s.heat = Some(if day == 29 { 90.0 } else { 50.0 })
        });
        assert_eq!(one_hot_day.heat().unwrap().rise(), Some(0.0));
        assert_eq!(days(6, |_, _| {}).heat().unwrap().rise(), None, "too short");
        assert_eq!(days(2, |_, _| {}).heat(), None);
    }

    #[test]
    fn counts_are_rates_of_awake_hours_and_survive_a_restart() {
        let with = |many: &'static [i64]| {
            days(20, move |day, s| {
                let slot = s.at.0.rem_euclid(DAY_MS) / (5 * MINUTE);
                // Every day begins with a start, so that the count begins anew.
                s.drops = Some((slot / 6 * if many.contains(&day) { 3 } else { 1 }) as f64);
            })
        };
        let drops = with(&[19]).drops().unwrap();
        // Five and fifteen drops on days that count as four hours.
        assert_eq!((drops.before, drops.rise()), (Some(1.25), Some(2.5)));
        let known = with(&[9, 19]).drops().unwrap();
        assert_eq!(known.rise(), Some(0.0), "a day was as bad before");
    }

    /// Five drops on each day of three hours, and twenty on bad ones.
    fn dropping(count: i64, is_bad: impl Fn(i64) -> bool) -> Habits {
        days(count, |day, s| {
            let slot = s.at.0.rem_euclid(DAY_MS) / (5 * MINUTE);
            s.drops = Some((slot / 6 * if is_bad(day) { 4 } else { 1 }) as f64);
        })
    }

    #[test]
    fn a_link_that_drops_for_days_is_told_until_it_does_no_more() {
        let rise = |habits: &Habits| habits.drops().unwrap().rise();
        for days in 16..30 {
            let told = rise(&dropping(days, |day| day >= 15));
            assert!(told.is_some_and(|rise| rise > 1.0), "{days}: {told:?}");
        }
        let over = dropping(30, |day| (15..27).contains(&day));
        assert_eq!(rise(&over), Some(0.0));
        let before = over.drops().unwrap().before;
        assert_eq!(before, Some(1.25), "what was wrong is not usual");
        let known = dropping(34, |day| (15..27).contains(&day) || day == 33);
        assert_eq!(rise(&known), Some(0.0), "it was as bad before");
    }

    #[test]
    fn a_morning_does_not_end_what_the_afternoon_before_began() {
        let mut habits = dropping(16, |day| day >= 15);
        let told = |habits: &Habits| habits.drops().unwrap().rise().unwrap() > 1.0;
        assert!(told(&habits));
        for slot in 0..4 * i64::from(SLOTS_PER_HOUR) {
            let mut now = sample(16 * DAY_MS + slot * 5 * MINUTE);
            now.drops = Some(0.0);
            habits.note(&now);
            let is_morning = slot + 1 < 4 * i64::from(SLOTS_PER_HOUR);
            assert_eq!(told(&habits), is_morning, "after {slot} slots");
        }
    }

    #[test]
    fn a_report_more_often_counts_no_more() {
        let mut habits = Habits::default();
        for minute in 0..60 {
            let mut now = sample(minute * MINUTE);
            now.heat = Some(if minute < 55 { 40.0 } else { 100.0 });
            habits.note(&now);
        }
        let mean = habits.days[0].heat.mean().unwrap();
        assert!((45.0 - mean).abs() < 0.1, "{mean}");
    }

    #[test]
    fn starts_are_timed_where_the_agent_was_there() {
        let mut habits = Habits::default();
        for (boot, took) in [40.0, 42.0, 41.0, 300.0].into_iter().enumerate() {
            let at = boot as i64 * DAY_MS;
            let mut first = sample(at);
            first.uptime_s = Some(took);
            habits.note(&first);
            let mut later = sample(at + 3 * MINUTE);
            later.uptime_s = Some(took);
            assert!(!habits.note(&later), "the reading was not renewed");
            let mut last = sample(at + DAY_MS / 2);
            last.uptime_s = Some(40_000.0);
            habits.note(&last);
        }
        // The first start came before anything was known.
        assert_eq!(habits.boots.len(), 3);
        assert_eq!(habits.boot_s().unwrap().recent, 42.0);
        let mut late = sample(9 * DAY_MS);
        late.uptime_s = Some(20_000.0);
        assert!(!habits.note(&late), "the agent was started later");
    }

    #[test]
    fn a_battery_that_falls_to_off_is_told_from_a_power_button_and_from_sleep() {
        let fell = |minutes: i64, had: f64, has: f64, on_battery: bool, grew: bool| {
            let mut habits = Habits::default();
            let mut before = sample(0);
            (before.charge, before.on_battery) = (Some(had), on_battery);
            habits.note(&before);
            let mut after = sample(minutes * MINUTE);
            after.charge = Some(has);
            after.shutdowns = Some(if grew { 2.0 } else { 1.0 });
            habits.note(&after)
        };
        assert!(fell(20, 0.31, 0.04, true, true));
        assert!(!fell(20, 0.31, 0.30, true, true), "a power button");
        assert!(!fell(20, 0.31, 0.04, false, true), "on the charger");
        assert!(!fell(20, 0.10, 0.0, true, true), "empty as it said");
        assert!(
            !fell(900, 0.50, 0.04, true, true),
            "it lay asleep for a night"
        );
        assert!(!fell(20, 0.31, 0.04, true, false), "a clean end");
    }

    #[test]
    fn what_is_usual_is_not_moved_by_outliers() {
        let mut values = vec![10.0; 20];
        values.extend([500.0, 800.0]);
        let usual = Usual::of(values).unwrap();
        assert_eq!(usual.middle, 10.0);
        assert_eq!(usual.excess(10.0), 0.0);
        assert_eq!(usual.excess(25.0), 15.0);
        assert_eq!(Usual::of(vec![1.0; 7]), None);
    }
}
