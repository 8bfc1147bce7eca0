//! Times as answers spell them, and as callers may.

use std::borrow::Cow;
use std::fmt;

use rollcall_shared::time::UnixMs;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use super::QueryError;

/// A time that is serialised as RFC 3339 in UTC, such as `2026-08-24T07:45:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At(pub UnixMs);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for At {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 in UTC, with milliseconds."
        })
    }
}

/// Reads a time that a caller gave: RFC 3339 with an offset, or milliseconds since 1970.
///
/// # Errors
/// [`QueryError::Field`] names `field`.
pub fn parse_at(field: &str, text: &str) -> Result<UnixMs, QueryError> {
    if let Ok(ms) = text.parse() {
        return Ok(UnixMs(ms));
    }
    text.parse::<jiff::Timestamp>()
        .map(|at| UnixMs(at.as_millisecond()))
        .map_err(|_| {
            let problem = "must be a time such as 2026-08-24T07:45:00Z, or milliseconds since 1970";
            QueryError::field(field, problem)
        })
}

/// How long ago `at` was, in the largest unit that tells enough, such as `3 h ago`.
#[must_use]
pub fn ago(at: UnixMs, now: UnixMs) -> String {
    let seconds = now.since(at) / 1000;
    match seconds {
        i64::MIN..0 => "just now".to_owned(),
        0..60 => "less than a minute ago".to_owned(),
        60..7200 => format!("{} min ago", seconds / 60),
        7200..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_may_write_times_in_two_ways() {
        let at = UnixMs(1_787_557_500_042);
        assert_eq!(parse_at("from", "1787557500042"), Ok(at));
        assert_eq!(parse_at("from", "2026-08-24T07:45:00.042Z"), Ok(at));
        assert_eq!(parse_at("from", "2026-08-24T09:45:00.042+02:00"), Ok(at));
        for bad in ["", "yesterday", "2026-08-24", "9999999999999999999999"] {
            let error = parse_at("from", bad).unwrap_err();
            assert!(error.to_string().starts_with("`from` must be"), "{error}");
        }
    }

    #[test]
    fn ages_are_told_in_one_unit() {
        let now = UnixMs(1_000 * 86_400_000);
        let of = |ms: i64| ago(now.plus_ms(-ms), now);
        assert_eq!(of(-5000), "just now");
        assert_eq!(of(59_000), "less than a minute ago");
        assert_eq!(of(90 * 60_000), "90 min ago");
        assert_eq!(of(47 * 3_600_000), "47 h ago");
        assert_eq!(of(72 * 3_600_000), "3 days ago");
    }
}
