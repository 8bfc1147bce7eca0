//! The school's calendar: local time in two zones, school days, holidays and the summer.

use rollcall_shared::time::{UnixMs, civil_from_days, days_from_civil};

/// Seconds of a day.
pub const DAY_S: u32 = 86_400;

/// A time zone of the United States with its daylight saving time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// UTC-5, in summer UTC-4.
    Eastern,
    /// UTC-6, in summer UTC-5.
    Central,
}

/// A local date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Days since 1970-01-01.
    pub day: i64,
    /// Seconds since local midnight.
    pub second: u32,
}

/// What a day means for a school.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DayKind {
    /// Lessons are held.
    School,
    /// Saturday or Sunday.
    Weekend,
    /// A day off during the school year.
    Holiday,
    /// The summer, in which many laptops lie in a drawer.
    Summer,
}

impl Zone {
    /// The local time at a moment.
    #[must_use]
    pub fn local(self, at: UnixMs) -> Local {
        let seconds = at.seconds() + self.offset_s(at);
        let second = seconds.rem_euclid(i64::from(DAY_S));
        Local {
            day: seconds.div_euclid(i64::from(DAY_S)),
            second: u32::try_from(second).expect("a remainder of a day's seconds"),
        }
    }

    /// The moment of a local time; within the hour that is skipped in March, one hour later.
    #[must_use]
    pub fn moment(self, local: Local) -> UnixMs {
        let seconds = local.day * i64::from(DAY_S) + i64::from(local.second);
        let standard = UnixMs((seconds - self.standard_s()) * 1000);
        UnixMs((seconds - self.offset_s(standard)) * 1000)
    }

    const fn standard_s(self) -> i64 {
        match self {
            Self::Eastern => -5 * 3600,
            Self::Central => -6 * 3600,
        }
    }

    /// From the second Sunday of March to the first Sunday of November, at two in the morning of
    /// standard time (Energy Policy Act of 2005, section 110), to the hour.
    fn offset_s(self, at: UnixMs) -> i64 {
        let standard = at.seconds() + self.standard_s();
        let (year, ..) = civil_from_days(standard.div_euclid(i64::from(DAY_S)));
        let start = nth_weekday(year, 3, SUNDAY, 2) * i64::from(DAY_S) + 2 * 3600;
        let end = nth_weekday(year, 11, SUNDAY, 1) * i64::from(DAY_S) + 3600;
        self.standard_s()
            + if (start..end).contains(&standard) {
                3600
            } else {
                0
            }
    }
}

/// What a day means. The holidays are those that most districts of the United States share.
#[must_use]
pub fn kind_of(day: i64) -> DayKind {
    let (year, month, date) = civil_from_days(day);
    if weekday(day) >= SATURDAY {
        DayKind::Weekend
    } else if matches!((month, date), (6, 13..) | (7, _) | (8, ..=24)) {
        DayKind::Summer
    } else if is_holiday(day, year, month, date) {
        DayKind::Holiday
    } else {
        DayKind::School
    }
}

/// The last school day that is over or has begun at a moment, seen from a zone.
#[must_use]
pub fn last_school_day(zone: Zone, at: UnixMs) -> i64 {
    let mut day = zone.local(at).day;
    while kind_of(day) != DayKind::School {
        day -= 1;
    }
    day
}

/// The last second Tuesday of a month on or before a day: when systems get their updates.
#[must_use]
pub fn last_patch_day(day: i64) -> i64 {
    let (year, month, _) = civil_from_days(day);
    let this = nth_weekday(year, month, TUESDAY, 2);
    if this <= day {
        return this;
    }
    let (year, month) = if month == 1 {
        (year - 1, 12)
    } else {
        (year, month - 1)
    };
    nth_weekday(year, month, TUESDAY, 2)
}

const MONDAY: i64 = 0;
const TUESDAY: i64 = 1;
const THURSDAY: i64 = 3;
const SATURDAY: i64 = 5;
const SUNDAY: i64 = 6;

/// From 0 for Monday; 1970-01-01 was a Thursday.
const fn weekday(day: i64) -> i64 {
    (day + THURSDAY).rem_euclid(7)
}

fn nth_weekday(year: i64, month: u32, wanted: i64, nth: i64) -> i64 {
    let first = days_from_civil(year, month, 1);
    first + (wanted - weekday(first)).rem_euclid(7) + 7 * (nth - 1)
}

fn is_holiday(day: i64, year: i64, month: u32, date: u32) -> bool {
    let mondays = [(1, 3), (2, 3), (9, 1), (10, 2)];
    let on_monday = |(m, nth)| m == month && day == nth_weekday(year, month, MONDAY, nth);
    let memorial = month == 5 && weekday(day) == MONDAY && date > 24;
    let thanksgiving = nth_weekday(year, 11, THURSDAY, 4);
    let spring = nth_weekday(year, 4, MONDAY, 1);
    mondays.into_iter().any(on_monday)
        || memorial
        || (thanksgiving - 1..=thanksgiving + 1).contains(&day)
        || (spring..spring + 5).contains(&day)
        || matches!((month, date), (11, 11) | (12, 23..) | (1, ..=2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(year: i64, month: u32, date: u32) -> i64 {
        days_from_civil(year, month, date)
    }

    #[test]
    fn a_year_has_its_school_days_and_holidays() {
        let days: Vec<DayKind> = (day(2026, 8, 25)..day(2027, 8, 25)).map(kind_of).collect();
        let count = |kind| days.iter().filter(|other| **other == kind).count();
        assert!(
            (180..=190).contains(&count(DayKind::School)),
            "{}",
            count(DayKind::School)
        );
        for (month, date) in [(9, 7), (11, 11), (11, 26), (11, 27), (12, 25)] {
            assert_eq!(
                kind_of(day(2026, month, date)),
                DayKind::Holiday,
                "{month}-{date}"
            );
        }
        assert_eq!(kind_of(day(2026, 11, 23)), DayKind::School);
        assert_eq!(kind_of(day(2026, 11, 22)), DayKind::Weekend);
        assert_eq!(kind_of(day(2026, 7, 1)), DayKind::Summer);
    }

    #[test]
    fn local_time_follows_daylight_saving() {
        // 2026: from 8 March 07:00 UTC to 1 November 06:00 UTC in the east.
        let local =
            |zone: Zone, d, hour| zone.local(UnixMs((d * 24 + hour) * 3_600_000)).second / 3600;
        assert_eq!(local(Zone::Eastern, day(2026, 3, 8), 6), 1);
        assert_eq!(local(Zone::Eastern, day(2026, 3, 8), 7), 3);
        assert_eq!(local(Zone::Central, day(2026, 3, 8), 7), 1);
        assert_eq!(local(Zone::Eastern, day(2026, 11, 1), 5), 1);
        assert_eq!(local(Zone::Eastern, day(2026, 11, 1), 6), 1);
        assert_eq!(local(Zone::Eastern, day(2026, 11, 1), 7), 2);
        assert_eq!(local(Zone::Central, day(2026, 1, 15), 3), 21);
    }

    #[test]
    fn a_local_time_comes_back_from_its_moment() {
        for zone in [Zone::Eastern, Zone::Central] {
            for day in day(2026, 1, 1)..day(2027, 1, 1) {
                let local = Local {
                    day,
                    second: 10 * 3600,
                };
                assert_eq!(zone.local(zone.moment(local)), local);
            }
        }
    }

    #[test]
    fn patches_come_on_second_tuesdays() {
        assert_eq!(last_patch_day(day(2026, 11, 23)), day(2026, 11, 10));
        assert_eq!(last_patch_day(day(2026, 1, 12)), day(2025, 12, 9));
        assert_eq!(
            last_school_day(Zone::Eastern, UnixMs(day(2026, 11, 29) * 86_400_000)),
            day(2026, 11, 24)
        );
    }
}
