//! Every key of the store, and the whole layout on disk.
//!
//! ```text
//! DATA/lock                      held by the process that has the store open
//! DATA/hot/                      one database: what must change together
//!   meta           name                                   -> see `meta`
//!   devices        device[16]                             -> Device, JSON
//!   log            number[8] piece[2]                     -> LogEntry, zstd, in pieces
//!   state          device[16] piece[2]                    -> Snapshot, zstd, in pieces
//!   days           day[4] generation[2]                   -> Place: where it is read from; and RolledUp: how
//!                                                            far it is rolled up
//!   alerts         device[16] text(rule) text(instance)   -> Alert that is not resolved, JSON
//!   alert_history  resolved[8] alert[16]                  -> Alert, JSON
//!   incidents      incident[16]                           -> Incident that is open or was lately, JSON
//!   incident_history closed[8] incident[16]               -> Incident, JSON
//!   outbox         incident[16] number[4] channel         -> Notification, JSON
//!   memos          text(channel) text(subject)            -> Memo, JSON
//!   tokens         id                                     -> EnrolmentTokenRecord, JSON
//!   api_tokens     name                                   -> ApiTokenRecord, JSON
//!   users          name                                   -> User, JSON
//!   audit          at[8] number[8]                        -> AuditLine, JSON
//!   silences       silence[16]                            -> Silence, JSON
//!   marks          alert or incident[16]                  -> Marks, JSON
//!   rules          number[4] piece[2]                     -> Edition, JSON, in pieces
//!   assets         tag                                    -> Asset, JSON
//!   pupils         reference                              -> Pupil, JSON
//!   reach          slot[1] piece[2]                       -> ReachNote, JSON, zstd, in pieces
//!   cursors        device[16] spool[16]                   -> schema 1 only; they are in `state` now
//! DATA/history/                  databases by corrected time, in UTC
//!   <date>.<generation>/         a day as it was sealed, until it is merged
//!     hours        device[16] seal[8] piece[2]            -> Block
//!   <date>.<generation>.merged/  a day as it was merged, until it is joined with its week
//!     days         device[16] day[4] generation[2] piece[2] -> Block
//!     1h           device[16] day[4] generation[2] piece[2] -> Block of `rollup/form.rs`: its hours
//!   <year>-W<week>/              an ISO week of merged days
//!     days         device[16] day[4] generation[2] piece[2] -> Block
//!     blocks       device[16] metric[2] text(instance) seal[8] block[4] -> schema 1 only: a block of one series
//!   <year>-W<week>.15m/          the roll-ups of four weeks, from this one on, by quarters of an hour
//!     rollups      device[16] monday[4] piece[2]          -> Block of `rollup/form.rs`: weeks, from this one
//!                                                            on, up to the next such key of the device
//!                  device[16] day[4] generation[2] piece[2] -> the same of one day that came late
//!   <year>-W<week>.1h/           those of 13 weeks by hours
//!   <year>-W<week>.1d/           those of 52 weeks by days
//! ```
//! Numbers are big-endian; a time is its milliseconds with the sign bit inverted, so that keys sort
//! as times do, and so is a day; `text` is its length in two bytes and its bytes, so that no key is part
//! of another.
//!
//! Invariants:
//! 1. No value exceeds [`VALUE_BYTES`]: pages that outgrow 128 KB go to files that are never synced.
//! 2. What is in the log is stored. A device's cursors are those of its state and of the log after it.
//! 3. A state names the log entry through which its device is sealed. What the log holds of the device
//!    up to there is in history and does not count any more; the log up to the least of these goes.
//! 4. Pieces of a seal later than that do not count yet: the log still holds their points.
//! 5. Which devices are being sealed, and through which entry, is written (`meta/seal`) before anything
//!    is copied. A start finishes it with the same entries, so its keys come out the same, and a piece
//!    that was copied before is replaced by itself. A frame after such an entry begins a chain.
//! 6. A generation of a day in `days` takes no more seals: its folder stays as it is until it is merged.
//!    It is read from one place, which `days` names; what lies of it elsewhere does not count.
//! 7. A generation of a day is in the roll-ups once `days` says so, and in one place; until then it is
//!    read from what it was made of. Rolling it up once more replaces what is there by itself.
//! 8. Quarters of an hour are read from the readings while these are there, and written when they go.

use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::time::{UnixMs, civil_from_days, days_from_civil};

use crate::alert::{Alert, AlertKey};
use crate::device::SeriesKey;
use crate::incident::Incident;
use crate::memo::MemoKey;
use crate::notification::NotificationKey;

use super::rollup::Level;

/// The schema that this version writes. Schema 4 rolled every day up by all levels when it was merged;
/// schema 3 had no rules and no inventory; schema 2 had no merged days of their own, no roll-ups, and fewer
/// trees.
pub const SCHEMA: u32 = 5;

/// The most bytes of a value.
pub const VALUE_BYTES: usize = 6 * 1024;

/// Names in the tree `meta`.
pub mod meta {
    /// Marks the database as ours.
    pub const MAGIC: &[u8] = b"magic";
    /// What [`MAGIC`] holds.
    pub const MAGIC_VALUE: &[u8] = b"rollcall store";
    /// The schema's version, u32.
    pub const SCHEMA: &[u8] = b"schema";
    /// The seal that is under way: (device, log entry u64)*, in pieces.
    pub const SEAL: &[u8] = b"seal";
    /// Up to where retention has come, as a time, u64.
    pub const RETAINED: &[u8] = b"retained";
    /// Schema 1: the last log entry of the seal that was begun last, u64.
    pub const SEALING: &[u8] = b"sealing";
    /// Schema 1: the last log entry that is sealed, u64. Later blocks of its weeks never count.
    pub const SEALED: &[u8] = b"sealed";
    /// The agents' configuration, in pieces.
    pub const CONFIGURATION: &[u8] = b"configuration";
}

/// A tree of the hot database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum TreeName {
    /// Schema, marks and configuration.
    Meta,
    /// Records of devices.
    Devices,
    /// The last sequence of each spool, in schema 1.
    Cursors,
    /// Reports that are not sealed.
    Log,
    /// States of devices as of a log entry.
    State,
    /// Alerts that are not resolved.
    Alerts,
    /// Alerts that are.
    AlertHistory,
    /// Incidents that are open, or were lately.
    Incidents,
    /// Incidents that were closed longer ago.
    IncidentHistory,
    /// What channels are still to be told.
    Outbox,
    /// Enrolment tokens.
    Tokens,
    /// API tokens.
    ApiTokens,
    /// Who did what.
    Audit,
    /// Generations of days that take no more seals.
    Days,
    /// Silences and maintenance windows.
    Silences,
    /// What people said about alerts and incidents.
    Marks,
    /// What channels remember.
    Memos,
    /// People who sign in to the web page.
    Users,
    /// Versions of the rules.
    Rules,
    /// Laptops of the inventory.
    Assets,
    /// Pupils of the rosters, by opaque references.
    Pupils,
    /// How far laptops got over the day.
    Reach,
}

impl TreeName {
    /// Every tree, in the order of its number.
    pub const ALL: [Self; 22] = [
        Self::Meta,
        Self::Devices,
        Self::Cursors,
        Self::Log,
        Self::State,
        Self::Alerts,
        Self::AlertHistory,
        Self::Incidents,
        Self::IncidentHistory,
        Self::Outbox,
        Self::Tokens,
        Self::ApiTokens,
        Self::Audit,
        Self::Days,
        Self::Silences,
        Self::Marks,
        Self::Memos,
        Self::Users,
        Self::Rules,
        Self::Assets,
        Self::Pupils,
        Self::Reach,
    ];

    /// The tree's name on disk.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Devices => "devices",
            Self::Cursors => "cursors",
            Self::Log => "log",
            Self::State => "state",
            Self::Alerts => "alerts",
            Self::AlertHistory => "alert_history",
            Self::Incidents => "incidents",
            Self::IncidentHistory => "incident_history",
            Self::Outbox => "outbox",
            Self::Tokens => "tokens",
            Self::ApiTokens => "api_tokens",
            Self::Audit => "audit",
            Self::Days => "days",
            Self::Silences => "silences",
            Self::Marks => "marks",
            Self::Memos => "memos",
            Self::Users => "users",
            Self::Rules => "rules",
            Self::Assets => "assets",
            Self::Pupils => "pupils",
            Self::Reach => "reach",
        }
    }
}

/// What the keys of an edition in `rules` begin with.
pub const fn edition(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// Key in `cursors` of schema 1.
#[cfg(test)]
pub fn cursor(device: DeviceId, spool: SpoolId) -> Vec<u8> {
    [&device.as_bytes()[..], spool.as_bytes()].concat()
}

/// What a key in `cursors` names.
pub fn parse_cursor(key: &[u8]) -> Option<(DeviceId, SpoolId)> {
    let (device, spool) = key.split_at_checked(16)?;
    Some((
        DeviceId::try_from(device).ok()?,
        SpoolId::try_from(spool).ok()?,
    ))
}

/// What the keys of an entry in `log` begin with.
pub const fn log(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The entry's number in a key of `log`.
pub fn parse_log(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(..8)?.try_into().ok()?))
}

/// Key of a piece of a value that begins with `prefix`.
pub fn piece(prefix: &[u8], piece: u16) -> Vec<u8> {
    [prefix, &piece.to_be_bytes()].concat()
}

/// Key in `alerts`.
pub fn alert(key: &AlertKey) -> Vec<u8> {
    let mut bytes = key.device.as_bytes().to_vec();
    put_text(&mut bytes, &key.rule);
    put_text(&mut bytes, &key.instance);
    bytes
}

/// Key in `alert_history`.
pub fn resolved(alert: &Alert) -> Vec<u8> {
    let at = alert.resolved.unwrap_or(alert.observed);
    [&time(at)[..], alert.id.as_bytes()].concat()
}

/// Key in `incident_history`.
pub fn closed(incident: &Incident) -> Vec<u8> {
    let at = incident.closed.unwrap_or(incident.opened);
    [&time(at)[..], incident.id.as_bytes()].concat()
}

/// Key in `outbox`.
pub fn notification(key: &NotificationKey) -> Vec<u8> {
    let number = key.number.to_be_bytes();
    [key.incident.as_bytes(), &number[..], key.channel.as_bytes()].concat()
}

/// Key in `memos`.
pub fn memo(key: &MemoKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_text(&mut bytes, &key.channel);
    put_text(&mut bytes, &key.subject.word());
    bytes
}

/// Key in `audit`.
pub fn audit(at: UnixMs, number: u64) -> Vec<u8> {
    [time(at), number.to_be_bytes()].concat()
}

/// Key in `hours`, without the piece.
pub fn hours(device: DeviceId, seal: u64) -> Vec<u8> {
    [&device.as_bytes()[..], &seal.to_be_bytes()].concat()
}

/// The device and the seal in a key of `hours`.
pub fn parse_hours(key: &[u8]) -> Option<(DeviceId, u64)> {
    let device = DeviceId::try_from(key.get(..16)?).ok()?;
    Some((
        device,
        u64::from_be_bytes(key.get(16..24)?.try_into().ok()?),
    ))
}

/// Key in the merged days of a week, without the piece.
pub fn merged(device: DeviceId, day: Day, generation: u16) -> Vec<u8> {
    [&device.as_bytes()[..], &self::day(day, generation)].concat()
}

/// The day and generation in a key of the merged days of a week.
pub fn parse_merged(key: &[u8]) -> Option<(Day, u16)> {
    parse_day(key.get(16..22)?)
}

/// Key in the roll-ups of a device from a week on, without the piece.
pub fn rolled_week(device: DeviceId, week: Week) -> Vec<u8> {
    merged(device, week.start(), 0)[..20].to_vec()
}

/// Whose and from when on a value in the roll-ups is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolledFrom {
    /// From this week on.
    Week(Week),
    /// Of this day, which came late.
    Day(Day, u16),
}

/// From when on a value in the roll-ups is, by its key.
pub fn parse_rolled(key: &[u8]) -> Option<RolledFrom> {
    match key.len() {
        22 => {
            let (day, _) = parse_day(&[key.get(16..20)?, &[0, 0]].concat())?;
            Some(RolledFrom::Week(Week::of(day.start())))
        }
        24 => parse_merged(key).map(|(day, generation)| RolledFrom::Day(day, generation)),
        _ => None,
    }
}

/// Key in `days` of the hot database.
pub fn day(day: Day, generation: u16) -> [u8; 6] {
    let [a, b, c, d] = (day.0.cast_unsigned() ^ (1 << 31)).to_be_bytes();
    let [e, f] = generation.to_be_bytes();
    [a, b, c, d, e, f]
}

/// The day and generation in a key of `days` of the hot database.
pub fn parse_day(key: &[u8]) -> Option<(Day, u16)> {
    let (day, generation) = key.split_at_checked(4)?;
    let day = u32::from_be_bytes(day.try_into().ok()?) ^ (1 << 31);
    Some((
        Day(day.cast_signed()),
        u16::from_be_bytes(generation.try_into().ok()?),
    ))
}

/// What the keys of a series in `blocks` of schema 1 begin with.
#[cfg(test)]
pub fn series(device: DeviceId, series: &SeriesKey) -> Vec<u8> {
    let mut bytes = device.as_bytes().to_vec();
    bytes.extend(series.metric.to_be_bytes());
    put_text(&mut bytes, &series.instance);
    bytes
}

/// The device and series in a key of `blocks` of schema 1.
pub fn parse_series(key: &[u8]) -> Option<(DeviceId, SeriesKey)> {
    let device = DeviceId::try_from(key.get(..16)?).ok()?;
    let metric = u16::from_be_bytes(key.get(16..18)?.try_into().ok()?);
    let length = u16::from_be_bytes(key.get(18..20)?.try_into().ok()?);
    let instance = key.get(20..20 + usize::from(length))?;
    let instance = String::from_utf8(instance.to_vec()).ok()?;
    Some((device, SeriesKey { metric, instance }))
}

/// The seal in a key of `blocks` of schema 1.
pub fn parse_block_seal(key: &[u8]) -> Option<u64> {
    let at = key.len().checked_sub(12)?;
    Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?))
}

/// A time, so that earlier ones sort first.
pub const fn time(at: UnixMs) -> [u8; 8] {
    (at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time at the beginning of a key.
pub fn parse_time(key: &[u8]) -> Option<UnixMs> {
    let bytes = key.get(..8)?.try_into().ok()?;
    Some(UnixMs(
        (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed(),
    ))
}

/// A day in UTC, as the count of days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day of a time. Times outside of four-digit years count as the first or last of these.
    pub fn of(at: UnixMs) -> Self {
        const FIRST: i64 = days_from_civil(0, 1, 1);
        const LAST: i64 = days_from_civil(9999, 12, 31);
        let day = at.0.div_euclid(86_400_000).clamp(FIRST, LAST);
        Self(i32::try_from(day).expect("four-digit years are few days"))
    }

    /// Its first moment.
    pub fn start(self) -> UnixMs {
        UnixMs(i64::from(self.0) * 86_400_000)
    }

    /// The first moment after it.
    pub fn end(self) -> UnixMs {
        self.start().plus_ms(86_400_000)
    }
}

/// Where a generation of a day is read from that takes no more seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Place {
    /// Its own folder as it was sealed, while it is merged.
    Sealed = 0,
    /// The folder of its week.
    Week = 1,
    /// Its own folder as it was merged.
    Merged = 2,
}

impl Place {
    /// The place that a value in `days` of the hot database names, and how far the generation is rolled up.
    pub fn parse(value: &[u8]) -> Option<(Self, RolledUp)> {
        let (place, rolled) = match value {
            [place] => (place, RolledUp::Not),
            [place, 1] => (place, RolledUp::Whole),
            [place, 2] => (place, RolledUp::Coarse),
            _ => return None,
        };
        let mut places = [Self::Sealed, Self::Week, Self::Merged].into_iter();
        let place = places.find(|known| *known as u8 == *place)?;
        Some((place, rolled))
    }

    /// What [`Place::parse`] reads.
    pub fn value(self, rolled: RolledUp) -> Vec<u8> {
        let mut value = vec![self as u8];
        value.extend((rolled != RolledUp::Not).then_some(rolled as u8));
        value
    }
}

/// How far a generation of a day is rolled up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RolledUp {
    /// Not at all.
    #[default]
    Not = 0,
    /// By every level that is kept of it, in the folders of the levels.
    Whole = 1,
    /// By hours and days: in the folders of these levels where it lies in its week, and by hours beside its
    /// readings where it lies in a folder of its own.
    Coarse = 2,
}

impl RolledUp {
    /// Whether it is rolled up by a level.
    pub const fn has(self, level: Level) -> bool {
        match self {
            Self::Not => false,
            Self::Whole => true,
            Self::Coarse => !matches!(level, Level::Quarter),
        }
    }
}

/// What the folder's name of a merged day ends with.
const MERGED: &str = ".merged";

/// A database of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A generation of a day as it was sealed.
    Sealed(Day, u16),
    /// A generation of a day as it was merged.
    Merged(Day, u16),
    /// A week of merged days.
    Raw(Week),
    /// Roll-ups of some weeks: the period of this number, [`Level::weeks`] of them each.
    Rollups(Level, i64),
}

impl Part {
    /// The folder's name.
    pub fn folder(self) -> String {
        match self {
            Self::Sealed(day, generation) => {
                let (year, month, day) = civil_from_days(i64::from(day.0));
                format!("{year:04}-{month:02}-{day:02}.{generation}")
            }
            Self::Merged(day, generation) => {
                format!("{}{MERGED}", Self::Sealed(day, generation).folder())
            }
            Self::Raw(week) => week.folder(),
            Self::Rollups(level, period) => {
                format!("{}.{}", Week(period * level.weeks()).folder(), level.word())
            }
        }
    }

    /// The part of a folder's name.
    pub fn from_folder(name: &str) -> Option<Self> {
        if let Some(week) = Week::from_folder(name) {
            return Some(Self::Raw(week));
        }
        if let Some(Self::Sealed(day, generation)) =
            name.strip_suffix(MERGED).and_then(Self::from_folder)
        {
            return Some(Self::Merged(day, generation));
        }
        let (of, what) = name.split_once('.')?;
        if let (Some(week), Some(level)) = (Week::from_folder(of), Level::from_word(what)) {
            let part = Self::rollups(level, week);
            return (part.folder() == name).then_some(part);
        }
        let mut numbers = of.split('-').map(str::parse::<i64>);
        let mut number = || numbers.next()?.ok();
        let (year, month, day) = (number()?, number()?, number()?);
        let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
        let day = i32::try_from(days_from_civil(year, month, day)).ok()?;
        let found = Self::Sealed(Day(day), what.parse().ok()?);
        (found.folder() == name).then_some(found)
    }

    /// The roll-ups that have a week.
    pub const fn rollups(level: Level, week: Week) -> Self {
        Self::Rollups(level, week.0.div_euclid(level.weeks()))
    }

    /// The names of its trees.
    pub const fn trees(self) -> &'static [&'static str] {
        match self {
            Self::Sealed(..) => &["hours"],
            Self::Merged(..) => &["days", "1h"],
            Self::Raw(_) => &["days", "blocks"],
            Self::Rollups(..) => &["rollups"],
        }
    }

    /// The first moment after it.
    pub fn end(self) -> UnixMs {
        match self {
            Self::Sealed(day, _) | Self::Merged(day, _) => day.end(),
            Self::Raw(week) => week.end(),
            Self::Rollups(level, period) => Week((period + 1) * level.weeks() - 1).end(),
        }
    }
}

/// An ISO week in UTC, as the count of weeks since the one of 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week(pub i64);

impl Week {
    /// The week of a time. Weeks begin on Monday; 1970-01-01 was a Thursday.
    pub const fn of(at: UnixMs) -> Self {
        Self((at.0.div_euclid(86_400_000) + 3).div_euclid(7))
    }

    /// Its first day, a Monday.
    pub fn start(self) -> Day {
        Day::of(UnixMs((self.0 * 7 - 3) * 86_400_000))
    }

    /// The first moment after the week.
    pub const fn end(self) -> UnixMs {
        UnixMs(((self.0 + 1) * 7 - 3) * 86_400_000)
    }

    /// The folder's name. A week belongs to the year of its Thursday (ISO 8601).
    pub fn folder(self) -> String {
        let thursday = self.0 * 7;
        let (year, _, _) = civil_from_days(thursday);
        let week = (thursday - days_from_civil(year, 1, 1)) / 7 + 1;
        format!("{year:04}-W{week:02}")
    }

    /// The week of a folder's name.
    pub fn from_folder(name: &str) -> Option<Self> {
        let (year, week) = name.split_once("-W")?;
        let (year, week): (i64, i64) = (year.parse().ok()?, week.parse().ok()?);
        // The fourth of January is always in the first week.
        let first = (days_from_civil(year, 1, 4) + 3).div_euclid(7);
        let found = Self(first + week - 1);
        (found.folder() == name).then_some(found)
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length =
        u16::try_from(text.len()).expect("rules and instances are bounded far below 64 KB");
    bytes.extend(length.to_be_bytes());
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_iso_8601() {
        let cases = [
            ((2021, 1, 3), "2020-W53"),
            ((2021, 1, 4), "2021-W01"),
            ((2024, 12, 30), "2025-W01"),
            ((1970, 1, 1), "1970-W01"),
            ((1969, 12, 28), "1969-W52"),
        ];
        for ((year, month, day), folder) in cases {
            let week = Week::of(UnixMs(days_from_civil(year, month, day) * 86_400_000));
            assert_eq!(week.folder(), folder);
            assert_eq!(Week::from_folder(folder), Some(week));
            assert!(Week::of(week.start().start()) == week);
            assert_eq!(Week(week.0 + 1).start().start(), week.end());
            assert!(
                Week::of(week.end()).0 == week.0 + 1 && Week::of(week.end().plus_ms(-1)) == week
            );
        }
        assert_eq!(Week::from_folder("2021-W53"), None, "2021 has 52 weeks");
    }

    #[test]
    fn parts_come_back_from_their_folders() {
        let day = Day::of(UnixMs(1_790_000_000_000));
        let week = Week::of(day.start());
        let parts = [
            (Part::Sealed(day, 3), "2026-09-21.3"),
            (Part::Merged(day, 3), "2026-09-21.3.merged"),
            (Part::Raw(Week::of(day.start())), "2026-W39"),
            (Part::rollups(Level::Quarter, week), "2026-W39.15m"),
            (Part::rollups(Level::Hour, week), "2026-W30.1h"),
            (Part::rollups(Level::Day, week), "2025-W43.1d"),
        ];
        for (part, folder) in parts {
            assert_eq!(part.folder(), folder);
            assert_eq!(Part::from_folder(folder), Some(part));
            assert!(
                part.end() >= day.end() && part.end() <= day.end().plus_ms(52 * 7 * 86_400_000)
            );
        }
        for name in [
            "2026-13",
            "2026-02-30.0",
            "2026-09-21",
            "hot",
            "2026-09",
            "2026-09.1",
            "2026-09",
            "2026-09.1",
            "2026-09.1.merged",
            "2026-09-21.merged",
            "2026-W38.15m",
            "2026-W39.2h",
        ] {
            assert_eq!(Part::from_folder(name), None, "{name}");
        }
        assert_eq!(parse_day(&super::day(Day(-3), 7)), Some((Day(-3), 7)));
        assert!(super::day(Day(-3), 7) < super::day(Day(2), 0));
    }

    #[test]
    fn keys_sort_as_what_they_name() {
        assert!(time(UnixMs(-1)) < time(UnixMs(0)) && time(UnixMs(0)) < time(UnixMs(1)));
        assert!(log(255) < log(256));
    }

    #[test]
    fn no_series_is_part_of_another() {
        let device = DeviceId::generate();
        let of = |instance: &str| {
            series(
                device,
                &SeriesKey {
                    metric: 7,
                    instance: instance.to_owned(),
                },
            )
        };
        assert!(!of("sda1").starts_with(&of("sda")) && !of("sda").starts_with(&of("")));
    }
}
