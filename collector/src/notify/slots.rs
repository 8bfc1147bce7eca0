//! When digests and reports are due, by the school's calendar. Pure.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Timestamp, ToSpan};
use rollcall_shared::time::UnixMs;

use super::config::{Days, DigestConfig, ReportConfig};
use crate::evaluate::calendar::Calendar;

/// Days that are looked at for the next due time: longer than any holidays.
const DAYS: u32 = 400;

/// The first time from `from` on at which a digest is due; `None` where there never is school.
#[must_use]
pub fn next_digest(config: &DigestConfig, calendar: &Calendar, from: UnixMs) -> Option<UnixMs> {
    let admits = |day: Date| config.days == Days::EveryDay || calendar.is_school_day(day);
    next(calendar, from, &config.times(), admits)
}

/// The first time from `from` on at which a report is due.
#[must_use]
pub fn next_report(config: &ReportConfig, calendar: &Calendar, from: UnixMs) -> Option<UnixMs> {
    let (weekday, at): (Weekday, Time) = config.slot();
    next(calendar, from, &[at], |day| day.weekday() == weekday)
}

fn next(
    calendar: &Calendar,
    from: UnixMs,
    times: &[Time],
    admits: impl Fn(Date) -> bool,
) -> Option<UnixMs> {
    let stamp = Timestamp::from_millisecond(from.0).ok()?;
    let mut day = stamp.to_zoned(calendar.zone.clone()).date();
    for _ in 0..DAYS {
        if admits(day) {
            for time in times {
                let due = day
                    .to_datetime(*time)
                    .to_zoned(calendar.zone.clone())
                    .ok()?;
                let due = UnixMs(due.timestamp().as_millisecond());
                if due >= from {
                    return Some(due);
                }
            }
        }
        day = day.checked_add(1.day()).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn calendar() -> Calendar {
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
    fn a_digest_waits_for_the_next_school_day_by_the_school_s_clocks() {
        let config: DigestConfig = toml::from_str("at = [\"15:45\", \"07:30\"]").unwrap();
        let next = |from: &str| next_digest(&config, &calendar(), at(from)).unwrap();
        // 07:30 in New York is 11:30 UTC in summer and 12:30 UTC in winter.
        assert_eq!(next("2026-09-03T03:00:00Z"), at("2026-09-03T11:30:00Z"));
        assert_eq!(next("2026-09-03T11:30:00Z"), at("2026-09-03T11:30:00Z"));
        assert_eq!(next("2026-09-03T11:30:00.001Z"), at("2026-09-03T19:45:00Z"));
        // After Friday's last come a weekend and a holiday.
        assert_eq!(next("2026-09-04T20:00:00Z"), at("2026-09-08T11:30:00Z"));
        assert_eq!(next("2026-12-03T03:00:00Z"), at("2026-12-03T12:30:00Z"));
        let always: DigestConfig =
            toml::from_str("at = [\"07:30\"]\ndays = \"every-day\"").unwrap();
        let saturday = next_digest(&always, &calendar(), at("2026-09-04T20:00:00Z"));
        assert_eq!(saturday, Some(at("2026-09-05T11:30:00Z")));
    }

    #[test]
    fn a_report_comes_once_a_week() {
        let config: ReportConfig = toml::from_str("day = \"monday\"\nat = \"07:00\"").unwrap();
        let first = next_report(&config, &calendar(), at("2026-09-03T03:00:00Z")).unwrap();
        assert_eq!(first, at("2026-09-07T11:00:00Z"), "also on a holiday");
        let second = next_report(&config, &calendar(), first.plus_ms(1)).unwrap();
        assert_eq!(second.since(first), 7 * 86_400_000);
    }
}
