//! Every key of the store, and the whole layout on disk.
//!
//! ```text
//! DATA/lock                      held by the process that has the store open
//! DATA/hot/                      one database: what must change together
//!   meta           name                                   -> see `meta`
//!   devices        device[16]                             -> Device, JSON
//!   cursors        device[16] spool[16]                   -> last sequence, log entry, u64 each
//!   log            number[8] piece[2]                     -> LogEntry, zstd, in pieces
//!   state          device[16] piece[2]                    -> Snapshot, zstd, in pieces
//!   alerts         device[16] text(rule) text(instance)   -> Alert that is not resolved, JSON
//!   alert_history  resolved[8] alert[16]                  -> Alert, JSON
//!   incidents      incident[16]                           -> Incident that is open or was lately, JSON
//!   incident_history closed[8] incident[16]               -> Incident, JSON
//!   outbox         incident[16] number[4] channel         -> Notification, JSON
//!   tokens         id                                     -> EnrolmentTokenRecord, JSON
//!   api_tokens     name                                   -> ApiTokenRecord, JSON
//!   audit          at[8] number[8]                        -> AuditLine, JSON
//! DATA/history/<year>-W<week>/   one database for each ISO week, by corrected time, in UTC
//!   blocks         device[16] metric[2] text(instance) seal[8] block[4] -> Block, zstd
//! ```
//! Numbers are big-endian; a time is its milliseconds with the sign bit inverted, so that keys sort
//! as times do; `text` is its length in two bytes and its bytes, so that no key is part of another.
//!
//! Invariants:
//! 1. No value exceeds [`VALUE_BYTES`]: pages that outgrow 128 KB go to files that are never synced.
//! 2. A report is in the log exactly when its cursor has reached its sequence: one transaction.
//! 3. Log entries up to `meta/sealed` are in history, and the state of their devices in `state`.
//! 4. Blocks of a seal later than `meta/sealed` do not count yet: the log still holds their points.
//! 5. A seal that was begun (`meta/sealing`) is repeated with the same end, so its keys come out the
//!    same and a block that was copied before is replaced by itself.

use rollcall_shared::id::{DeviceId, SpoolId};
use rollcall_shared::time::{UnixMs, civil_from_days, days_from_civil};

use crate::alert::{Alert, AlertKey};
use crate::device::SeriesKey;
use crate::incident::Incident;
use crate::notification::NotificationKey;

/// The schema that this version writes.
pub const SCHEMA: u32 = 1;

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
    /// The last log entry of the seal that was begun last, u64.
    pub const SEALING: &[u8] = b"sealing";
    /// The last log entry that is sealed, u64.
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
    /// The last sequence of each spool.
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
}

impl TreeName {
    /// Every tree, in the order of its number.
    pub const ALL: [Self; 13] = [
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
        }
    }
}

/// Key in `cursors`.
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

/// Key in `audit`.
pub fn audit(at: UnixMs, number: u64) -> Vec<u8> {
    [time(at), number.to_be_bytes()].concat()
}

/// What the keys of a series in `blocks` begin with.
pub fn series(device: DeviceId, series: &SeriesKey) -> Vec<u8> {
    let mut bytes = device.as_bytes().to_vec();
    bytes.extend(series.metric.to_be_bytes());
    put_text(&mut bytes, &series.instance);
    bytes
}

/// Key in `blocks`.
pub fn block(series: &[u8], seal: u64, block: u32) -> Vec<u8> {
    [series, &seal.to_be_bytes(), &block.to_be_bytes()].concat()
}

/// The seal in a key of `blocks`.
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

/// An ISO week in UTC, as the count of weeks since the one of 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Week(pub i64);

impl Week {
    /// The week of a time. Weeks begin on Monday; 1970-01-01 was a Thursday.
    pub const fn of(at: UnixMs) -> Self {
        Self((at.0.div_euclid(86_400_000) + 3).div_euclid(7))
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
            assert!(
                Week::of(week.end()).0 == week.0 + 1 && Week::of(week.end().plus_ms(-1)) == week
            );
        }
        assert_eq!(Week::from_folder("2021-W53"), None, "2021 has 52 weeks");
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
