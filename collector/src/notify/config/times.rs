//! When digests and reports are due.

use jiff::civil::{Time, Weekday};
use serde::Deserialize;

use super::Wrong;

/// Times of digests in a day.
const TIMES: usize = 24;

/// When what was found is told together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestConfig {
    /// At which hours, such as `07:30`, by the clocks of the school's calendar.
    pub at: Vec<String>,
    /// On which days.
    #[serde(default)]
    pub days: Days,
    /// Whether each site has a digest of its own.
    #[serde(default = "yes")]
    pub by_site: bool,
}

/// On which days digests are due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Days {
    /// Days with school.
    #[default]
    SchoolDays,
    /// Every day.
    EveryDay,
}

/// When the week is reported.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportConfig {
    /// On which day of the week, such as `monday`.
    pub day: String,
    /// At which hour, such as `07:00`, by the clocks of the school's calendar.
    pub at: String,
}

impl DigestConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if self.at.is_empty() || self.at.len() > TIMES {
            return Err(("digest.at", format!("has 1 to {TIMES} times")));
        }
        self.at
            .iter()
            .try_for_each(|text| time("digest.at", text).map(|_| ()))
    }

    /// The times, in order; what was checked before is right.
    #[must_use]
    pub fn times(&self) -> Vec<Time> {
        let times = self.at.iter().filter_map(|text| time("at", text).ok());
        let mut times: Vec<Time> = times.collect();
        times.sort_unstable();
        times.dedup();
        times
    }
}

impl ReportConfig {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        if weekday(&self.day).is_none() {
            let problem = format!("`{}` is no day such as `monday`", self.day);
            return Err(("report.day", problem));
        }
        time("report.at", &self.at).map(|_| ())
    }

    /// The day and the time; what was checked before is right.
    #[must_use]
    pub fn slot(&self) -> (Weekday, Time) {
        let day = weekday(&self.day).unwrap_or(Weekday::Monday);
        let at = time("at", &self.at).unwrap_or_else(|_| Time::midnight());
        (day, at)
    }
}

fn time(field: &'static str, text: &str) -> Result<Time, Wrong> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
        Time::new(hour, minute, 0, 0).ok()
    });
    parsed.ok_or_else(|| (field, format!("`{text}` is no time such as 07:30")))
}

fn weekday(text: &str) -> Option<Weekday> {
    Some(match text {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

const fn yes() -> bool {
    true
}
