//! The school's calendar: when a laptop may be expected to be in use.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use rollcall_shared::time::UnixMs;

/// School days that are looked at before a device counts as absent for "many": more than a year of
/// them changes nothing.
const DAYS: u32 = 400;

/// Which days and hours are school.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Where the school is.
    pub zone: TimeZone,
    /// The days of the week on which there is school.
    pub weekdays: Vec<Weekday>,
    /// When a school day begins.
    pub opens: Time,
    /// When a school day ends.
    pub closes: Time,
    /// Days without school, each range with its last day.
    pub holidays: Vec<(Date, Date)>,
}

impl Default for Calendar {
    /// Monday to Friday from eight to half past three, in the system's time zone.
    fn default() -> Self {
        Self {
            zone: TimeZone::system(),
            weekdays: vec![
                Weekday::Monday,
                Weekday::Tuesday,
                Weekday::Wednesday,
                Weekday::Thursday,
                Weekday::Friday,
            ],
            opens: jiff::civil::time(8, 0, 0, 0),
            closes: jiff::civil::time(15, 30, 0, 0),
            holidays: Vec::new(),
        }
    }
}

impl Calendar {
    /// Whether there is school on a day.
    #[must_use]
    pub fn is_school_day(&self, day: Date) -> bool {
        let free = |(from, to): &(Date, Date)| *from <= day && day <= *to;
        self.weekdays.contains(&day.weekday()) && !self.holidays.iter().any(free)
    }

    /// Whether there is school at a time.
    #[must_use]
    pub fn is_school_time(&self, at: UnixMs) -> bool {
        let Some(local) = self.local(at) else {
            return false;
        };
        self.is_school_day(local.date()) && (self.opens..self.closes).contains(&local.time())
    }

    /// How many whole school days lie between two times: those that opened after `from` and closed
    /// before `to`, at most 400.
    #[must_use]
    pub fn school_days_between(&self, from: UnixMs, to: UnixMs) -> u32 {
        let (Some(from), Some(to)) = (self.local(from), self.local(to)) else {
            return 0;
        };
        let mut days = 0;
        let mut day = from.date();
        for _ in 0..2 * DAYS {
            let opened_after = day > from.date() || from.time() <= self.opens;
            let closed_before = day < to.date() || (day == to.date() && to.time() >= self.closes);
            if !closed_before || days == DAYS {
                break;
            }
            days += u32::from(opened_after && self.is_school_day(day));
            let Ok(next) = day.checked_add(1.day()) else {
                break;
            };
            day = next;
        }
        days
    }

    /// When the `count`th whole school day after `from` ends: from then on
    /// [`Calendar::school_days_between`] counts as many. `None` where that is not within two years or so.
    #[must_use]
    pub fn end_of_school_day(&self, from: UnixMs, count: u32) -> Option<UnixMs> {
        let from = self.local(from)?;
        let mut days = 0;
        let mut day = from.date();
        for _ in 0..2 * DAYS {
            let opened_after = day > from.date() || from.time() <= self.opens;
            days += u32::from(opened_after && self.is_school_day(day));
            if days >= count {
                let end = day.to_datetime(self.closes).to_zoned(self.zone.clone());
                return Some(UnixMs(end.ok()?.timestamp().as_millisecond()));
            }
            day = day.checked_add(1.day()).ok()?;
        }
        None
    }

    /// A time as the school's clocks show it, such as `2026-09-01 14:05 (America/New_York)`.
    #[must_use]
    pub fn show(&self, at: UnixMs) -> String {
        let Some(local) = self.local(at) else {
            return at.to_string();
        };
        let zone = self.zone.iana_name().unwrap_or("local time");
        format!("{} ({zone})", local.strftime("%Y-%m-%d %H:%M"))
    }

    /// A time by the school's clocks.
    pub(crate) fn local(&self, at: UnixMs) -> Option<Zoned> {
        let stamp = Timestamp::from_millisecond(at.0).ok()?;
        Some(stamp.to_zoned(self.zone.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_york() -> Calendar {
        let holiday = jiff::civil::date(2026, 9, 7);
        Calendar {
            zone: TimeZone::get("America/New_York").unwrap(),
            holidays: vec![(holiday, holiday)],
            ..Calendar::default()
        }
    }

    fn at(text: &str) -> UnixMs {
        UnixMs(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn school_time_follows_the_zone_and_its_clock_changes() {
        let calendar = new_york();
        // 08:00 in New York is 12:00 UTC in summer and 13:00 UTC in winter.
        assert!(calendar.is_school_time(at("2026-09-02T12:00:00Z")));
        assert!(!calendar.is_school_time(at("2026-09-02T11:59:59Z")));
        assert!(!calendar.is_school_time(at("2026-12-02T12:30:00Z")));
        assert!(calendar.is_school_time(at("2026-12-02T13:00:00Z")));
        assert!(
            !calendar.is_school_time(at("2026-09-05T15:00:00Z")),
            "Saturday"
        );
        assert!(
            !calendar.is_school_time(at("2026-09-07T15:00:00Z")),
            "holiday"
        );
    }

    #[test]
    fn only_whole_school_days_count() {
        let calendar = new_york();
        let thursday_noon = at("2026-09-03T16:00:00Z");
        // Friday, then a weekend and a holiday Monday, then Tuesday.
        assert_eq!(
            calendar.school_days_between(thursday_noon, at("2026-09-04T19:29:00Z")),
            0
        );
        assert_eq!(
            calendar.school_days_between(thursday_noon, at("2026-09-04T19:30:00Z")),
            1
        );
        assert_eq!(
            calendar.school_days_between(thursday_noon, at("2026-09-08T12:00:00Z")),
            1
        );
        assert_eq!(
            calendar.school_days_between(thursday_noon, at("2026-09-08T20:00:00Z")),
            2
        );
        assert_eq!(
            calendar.school_days_between(at("2026-09-08T20:00:00Z"), thursday_noon),
            0
        );
        assert!(calendar.school_days_between(UnixMs(0), thursday_noon) <= DAYS);
    }

    #[test]
    fn a_school_day_ends_when_it_counts() {
        let calendar = new_york();
        let thursday_noon = at("2026-09-03T16:00:00Z");
        for hours in 0..24 * 70 {
            let from = thursday_noon.plus_ms(hours * 3_600_000);
            for count in 1..6 {
                let end = calendar.end_of_school_day(from, count).unwrap();
                assert_eq!(
                    calendar.school_days_between(from, end),
                    count,
                    "from {from}"
                );
                let before = calendar.school_days_between(from, end.plus_ms(-1));
                assert_eq!(before, count - 1, "from {from}");
            }
        }
        let never = Calendar {
            weekdays: Vec::new(),
            ..calendar
        };
        assert_eq!(never.end_of_school_day(thursday_noon, 1), None);
    }
}
