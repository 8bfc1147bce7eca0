//! From a calendar as written to days and hours of school.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use toml::Spanned;

use super::super::super::calendar::Calendar;
use super::super::error::Mistake;
use super::super::file::{CalendarTable, Word};
use super::{Checked, choose};

/// The calendar.
pub(super) fn calendar_of(table: &Spanned<CalendarTable>) -> Checked<Calendar> {
    let table = table.get_ref();
    let mut calendar = Calendar::default();
    if let Some(word) = &table.time_zone {
        calendar.zone = zone(word)?;
    }
    if let Some(days) = &table.school_weekdays {
        calendar.weekdays = days.iter().map(weekday).collect::<Checked<_>>()?;
    }
    if let Some(word) = &table.hours {
        (calendar.opens, calendar.closes) = hours(word)?;
    }
    calendar.holidays = table.holidays.iter().map(holiday).collect::<Checked<_>>()?;
    Ok(calendar)
}

fn zone(word: &Word) -> Checked<TimeZone> {
    if word.get_ref() == "system" {
        return Ok(TimeZone::system());
    }
    TimeZone::get(word.get_ref()).map_err(|_| {
        let problem = format!(
            "`{}` is no time zone such as `America/New_York`, `UTC` or `system`",
            word.get_ref()
        );
        Mistake::new(word.span(), "time-zone", problem)
    })
}

fn weekday(word: &Word) -> Checked<Weekday> {
    let known = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    choose("school-weekdays", word, "day of the week", &known)
}

fn hours(word: &Word) -> Checked<(Time, Time)> {
    let read = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
    let both = word.get_ref().split_once('-');
    match both.and_then(|(opens, closes)| Some((read(opens)?, read(closes)?))) {
        Some((opens, closes)) if opens < closes => Ok((opens, closes)),
        _ => {
            let problem = format!("`{}` is not of the form 08:00-15:30", word.get_ref());
            Err(Mistake::new(word.span(), "hours", problem))
        }
    }
}

fn holiday(word: &Word) -> Checked<(Date, Date)> {
    let read = |text: &str| text.trim().parse::<Date>().ok();
    let (from, to) = word
        .get_ref()
        .split_once('/')
        .unwrap_or((word.get_ref(), word.get_ref()));
    match (read(from), read(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => {
            let problem = format!(
                "`{}` is not a date such as 2026-11-26, or a first and last one joined by `/`",
                word.get_ref()
            );
            Err(Mistake::new(word.span(), "holidays", problem))
        }
    }
}
