//! A Silence: somebody's word that certain findings are not to be told for a while. A maintenance window
//! is one that may return by itself.
//!
//! What is silenced is evaluated and stored as ever. What still holds when the silence ends is told then.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::{ToSpan as _, Zoned};
use rollcall_shared::id::{DeviceId, IdError, Label};
use rollcall_shared::time::UnixMs;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::device::Device;
use crate::evaluate::calendar::Calendar;

/// Words of one kind that a silence may name: a school's devices of one cart. All lists at this length
/// and at the length of their words stay within a value of the store.
pub const WORDS: usize = 24;

/// Bytes of a model or a rule's name in a silence.
pub const WORD_BYTES: usize = 64;

/// Bytes of a reason, a title or a note: some lines.
pub const REASON_BYTES: usize = 400;

/// Silences that may be in force or to come; each is asked for each firing alert.
pub const SILENCES: usize = 500;

/// One silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SilenceId(Uuid);

/// What a silence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something is known and need not be told.
    Silence,
    /// Work that was planned, or a time without school.
    Maintenance,
}

/// Which findings are meant; an empty list admits all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matchers {
    /// Devices.
    #[serde(default)]
    pub devices: Vec<DeviceId>,
    /// Sites.
    #[serde(default)]
    pub sites: Vec<Label>,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<Label>,
    /// Names of rules.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Models, each whole or a beginning that ends in `*`.
    #[serde(default)]
    pub models: Vec<String>,
}

/// When a silence holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "repeats")]
pub enum When {
    /// From one time to another.
    Once {
        /// Its beginning.
        from: UnixMs,
        /// The first moment after it.
        until: UnixMs,
    },
    /// On days of the week, by the school's clocks.
    Weekly {
        /// The days on which it begins.
        weekdays: Vec<DayOfWeek>,
        /// When it begins.
        from: TimeOfDay,
        /// When it ends; on the next day where that is not later than `from`.
        until: TimeOfDay,
    },
    /// Once a year, by the school's calendar, such as the summer.
    Yearly {
        /// Its first day.
        from: DayOfYear,
        /// Its last day; of the next year where that is before `from`.
        through: DayOfYear,
    },
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the days say what they are")]
pub enum DayOfWeek {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A time of the day to the minute, such as `07:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u16,
}

/// A day of any year, such as `06-15`. The 29th of February is the 28th where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayOfYear {
    month: i8,
    day: i8,
}

/// A silence or a maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Its identity; later ones sort after earlier ones.
    pub id: SilenceId,
    /// What it is for.
    pub kind: Kind,
    /// Which findings are meant.
    pub matchers: Matchers,
    /// When it holds.
    pub when: When,
    /// Why.
    pub reason: String,
    /// Who made it.
    pub author: String,
    /// When it was made.
    pub created: UnixMs,
    /// Who ended it, and when; `None` while nobody has.
    pub ended: Option<Ended>,
}

/// Somebody ended it before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Who.
    pub by: String,
    /// When.
    pub at: UnixMs,
}

impl SilenceId {
    /// A new one; later ones sort after earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen bytes, in the order that keys use.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SilenceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Uuid::parse_str(text)
            .map(Self)
            .map_err(|_| IdError::NotUuid(text.to_owned()))
    }
}

impl Matchers {
    /// Whether a finding of this rule on this device is meant.
    #[must_use]
    pub fn admit(&self, device: &Device, rule: &str) -> bool {
        let of_group = |group: &Label| self.groups.contains(group);
        (self.devices.is_empty() || self.devices.contains(&device.id))
            && (self.sites.is_empty() || self.sites.contains(&device.site))
            && (self.groups.is_empty() || device.group.as_ref().is_some_and(of_group))
            && (self.rules.is_empty() || self.rules.iter().any(|known| known == rule))
            && (self.models.is_empty() || self.models.iter().any(|m| fits(m, &device.model)))
    }

    /// Whether nothing is named, so that everything is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Matchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut add = |name: &str, words: Vec<String>| {
            if !words.is_empty() {
                parts.push(format!("{name} {}", words.join(", ")));
            }
        };
        let text = |labels: &[Label]| labels.iter().map(ToString::to_string).collect();
        add(
            "device",
            self.devices.iter().map(ToString::to_string).collect(),
        );
        add("site", text(&self.sites));
        add("group", text(&self.groups));
        add("rule", self.rules.clone());
        add("model", self.models.clone());
        if parts.is_empty() {
            return f.write_str("everything");
        }
        f.write_str(&parts.join("; "))
    }
}

impl Silence {
    /// Until when it holds, where it holds at `now`.
    #[must_use]
    pub fn holds_until(&self, calendar: &Calendar, now: UnixMs) -> Option<UnixMs> {
        match &self.ended {
            Some(ended) if ended.at <= now => None,
            _ => self.when.holds_until(calendar, now),
        }
    }

    /// Whether it can hold at `now` or later.
    #[must_use]
    pub fn is_over(&self, now: UnixMs) -> bool {
        self.ended.is_some() || matches!(self.when, When::Once { until, .. } if until <= now)
    }

    /// When it is over for good, as far as that is known.
    #[must_use]
    pub fn over_at(&self) -> Option<UnixMs> {
        match (&self.ended, &self.when) {
            (Some(ended), _) => Some(ended.at),
            (None, When::Once { until, .. }) => Some(*until),
            (None, _) => None,
        }
    }
}

/// Until when findings of a rule on a device must not be told; `None` where nobody silenced them.
#[must_use]
pub fn silenced_until<'a>(
    silences: impl IntoIterator<Item = &'a Silence>,
    calendar: &Calendar,
    device: &Device,
    rule: &str,
    now: UnixMs,
) -> Option<UnixMs> {
    let meant = silences
        .into_iter()
        .filter(|silence| silence.matchers.admit(device, rule));
    meant
        .filter_map(|silence| silence.holds_until(calendar, now))
        .max()
}

impl When {
    /// Until when it holds, where it holds at `now`.
    #[must_use]
    pub fn holds_until(&self, calendar: &Calendar, now: UnixMs) -> Option<UnixMs> {
        match self {
            Self::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            Self::Weekly {
                weekdays,
                from,
                until,
            } => {
                let today = calendar.local(now)?.date();
                // One that began yesterday may go on past midnight.
                let begun = [today.yesterday().ok(), Some(today)];
                let spans = begun.into_iter().flatten().filter_map(|day| {
                    weekdays
                        .iter()
                        .any(|weekday| weekday.civil() == day.weekday())
                        .then(|| span_of_day(calendar, day, *from, *until))?
                });
                last_end(spans, now)
            }
            Self::Yearly { from, through } => {
                let year = calendar.local(now)?.year();
                let years = [year.checked_sub(1), Some(year)].into_iter().flatten();
                let spans = years.filter_map(|year| span_of_year(calendar, year, *from, *through));
                last_end(spans, now)
            }
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once { from, until } => write!(f, "from {from} until {until}"),
            Self::Weekly {
                weekdays,
                from,
                until,
            } => {
                let days: Vec<&str> = weekdays.iter().map(|day| day.word()).collect();
                write!(f, "every {} from {from} until {until}", days.join(", "))
            }
            Self::Yearly { from, through } => write!(f, "every year from {from} through {through}"),
        }
    }
}

fn last_end(spans: impl Iterator<Item = (UnixMs, UnixMs)>, now: UnixMs) -> Option<UnixMs> {
    spans
        .filter(|(from, until)| *from <= now && now < *until)
        .map(|(_, until)| until)
        .max()
}

fn span_of_day(
    calendar: &Calendar,
    day: Date,
    from: TimeOfDay,
    until: TimeOfDay,
) -> Option<(UnixMs, UnixMs)> {
    let last = if until > from {
        day
    } else {
        day.tomorrow().ok()?
    };
    let at = |day: Date, time: TimeOfDay| moment(calendar, day.to_datetime(time.civil()));
    Some((at(day, from)?, at(last, until)?))
}

fn span_of_year(
    calendar: &Calendar,
    year: i16,
    from: DayOfYear,
    through: DayOfYear,
) -> Option<(UnixMs, UnixMs)> {
    let last_year = if through < from {
        year.checked_add(1)?
    } else {
        year
    };
    let last = through.of(last_year)?.checked_add(1.day()).ok()?;
    let midnight = |day: Date| moment(calendar, day.to_datetime(Time::midnight()));
    Some((midnight(from.of(year)?)?, midnight(last)?))
}

fn moment(calendar: &Calendar, at: DateTime) -> Option<UnixMs> {
    let zoned: Zoned = at.to_zoned(calendar.zone.clone()).ok()?;
    Some(UnixMs(zoned.timestamp().as_millisecond()))
}

fn fits(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => model == pattern,
    }
}

impl DayOfWeek {
    /// Every day, from Monday.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The day in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Monday => "monday",
            Self::Tuesday => "tuesday",
            Self::Wednesday => "wednesday",
            Self::Thursday => "thursday",
            Self::Friday => "friday",
            Self::Saturday => "saturday",
            Self::Sunday => "sunday",
        }
    }

    const fn civil(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Tuesday => Weekday::Tuesday,
            Self::Wednesday => Weekday::Wednesday,
            Self::Thursday => Weekday::Thursday,
            Self::Friday => Weekday::Friday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

impl FromStr for DayOfWeek {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|day| day.word() == text);
        found.ok_or_else(|| format!("`{text}` is no day of the week; monday to sunday are"))
    }
}

impl TimeOfDay {
    fn civil(self) -> Time {
        let (hour, minute) = (self.minutes / 60, self.minutes % 60);
        let part = |n: u16| i8::try_from(n).expect("a time of day has small parts");
        jiff::civil::time(part(hour), part(minute), 0, 0)
    }
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').filter(|(_, m)| m.len() == 2);
        let parsed =
            parts.and_then(|(h, m)| Some((h.parse::<u16>().ok()?, m.parse::<u16>().ok()?)));
        match parsed {
            Some((hour @ 0..24, minute @ 0..60)) => Ok(Self {
                minutes: hour * 60 + minute,
            }),
            _ => Err(format!("`{text}` is no time of day such as 07:30")),
        }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl DayOfYear {
    fn of(self, year: i16) -> Option<Date> {
        let date = Date::new(year, self.month, self.day);
        date.or_else(|_| Date::new(year, self.month, 28)).ok()
    }
}

impl FromStr for DayOfYear {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-');
        let parsed = parts.and_then(|(m, d)| Some((m.parse().ok()?, d.parse().ok()?)));
        // 2024 has every day that a year can have.
        parsed
            .and_then(|(month, day)| Date::new(2024, month, day).ok())
            .map(|date| Self {
                month: date.month(),
                day: date.day(),
            })
            .ok_or_else(|| format!("`{text}` is no day of the year such as 06-15"))
    }
}

impl fmt::Display for DayOfYear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

macro_rules! as_text {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(TimeOfDay, DayOfYear);

impl Kind {
    /// The kind in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
        }
    }
}

#[cfg(test)]
mod tests;
