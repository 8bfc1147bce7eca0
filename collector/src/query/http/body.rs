//! The body of a request that changes something: one JSON object, whose fields are each known by name.

use std::str::FromStr;

use rollcall_shared::time::UnixMs;
use serde_json::{Map, Value};

use crate::query::QueryError;
use crate::query::time::parse_at;

/// The fields of a request's body.
#[derive(Debug)]
pub(super) struct Body(Map<String, Value>);

impl Body {
    /// Reads an object with some of the `known` fields; no body at all is an object without any.
    ///
    /// # Errors
    /// [`QueryError::Field`] names `body` or the field that is not known.
    pub fn parse(bytes: &[u8], known: &[&str]) -> Result<Self, QueryError> {
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        let value = serde_json::from_slice(bytes)
            .map_err(|error| QueryError::field("body", format!("must be JSON: {error}")))?;
        let Value::Object(fields) = value else {
            return Err(QueryError::field("body", "must be a JSON object"));
        };
        if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            let name: String = name.chars().take(64).collect();
            let problem =
                crate::evaluate::rules::unknown("field here", &name, known.iter().copied());
            return Err(QueryError::field(name, problem));
        }
        Ok(Self(fields))
    }

    /// A text; `null` counts as absent.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, QueryError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(QueryError::field(name, "must be a text")),
        }
    }

    /// A text that must be there.
    pub fn required(&mut self, name: &str) -> Result<String, QueryError> {
        let text = self.text(name)?;
        text.ok_or_else(|| QueryError::field(name, "is missing"))
    }

    /// A value in the form of its type.
    pub fn parsed<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<T, QueryError> {
        parse(name, &self.required(name)?)
    }

    /// A list of values; none where it is absent.
    pub fn list<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Result<Vec<T>, QueryError> {
        let wrong = || QueryError::field(name, "must be a list of texts");
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| parse(name, value.as_str().ok_or_else(wrong)?))
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// A whole number that is not negative; `null` counts as absent.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, QueryError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64();
                number
                    .map(Some)
                    .ok_or_else(|| QueryError::field(name, "must be a whole number"))
            }
        }
    }

    /// Whatever was given; `None` where it is absent.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A yes or no; no where it is absent.
    pub fn flag(&mut self, name: &str) -> Result<bool, QueryError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(QueryError::field(name, "must be true or false")),
        }
    }

    /// A time: a text in RFC 3339, or a number of milliseconds since 1970.
    pub fn time(&mut self, name: &str) -> Result<Option<UnixMs>, QueryError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => parse_at(name, &text).map(Some),
            Some(value) => parse_at(name, &value.to_string()).map(Some),
        }
    }

    /// A time that is given as itself in `until`, or as a time from `from` on in `for_s`, in seconds.
    pub fn end(&mut self, from: UnixMs) -> Result<UnixMs, QueryError> {
        let until = self.time("until")?;
        let seconds =
            match self.0.remove("for_s") {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_i64().ok_or_else(|| {
                    QueryError::field("for_s", "must be a whole number of seconds")
                })?),
            };
        match (until, seconds) {
            (Some(until), None) => Ok(until),
            (None, Some(seconds)) => Ok(from.plus_ms(seconds.saturating_mul(1000))),
            (None, None) => Err(QueryError::field("until", "or `for_s` is missing")),
            (Some(_), Some(_)) => Err(QueryError::field("for_s", "and `until` exclude each other")),
        }
    }
}

fn parse<T: FromStr<Err: ToString>>(name: &str, text: &str) -> Result<T, QueryError> {
    text.parse().map_err(|error: T::Err| {
        QueryError::field(name, format!("is wrong: {}", error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named_with_the_nearest_word() {
        let known = &["reason", "until", "for_s"];
        let refused = |text: &str| Body::parse(text.as_bytes(), known).unwrap_err().to_string();
        assert_eq!(
            refused(r#"{"reson":"x"}"#),
            "`reson` `reson` is no field here; did you mean `reason`?"
        );
        assert!(refused("[]").contains("JSON object"));
        assert!(refused("{").starts_with("`body` must be JSON"));
        let end = |text: &str| Body::parse(text.as_bytes(), known).unwrap().end(UnixMs(5));
        assert_eq!(end(r#"{"for_s":2}"#), Ok(UnixMs(2005)));
        assert_eq!(end(r#"{"until":9}"#), Ok(UnixMs(9)));
        assert!(end(r#"{"until":9,"for_s":2}"#).is_err() && end("").is_err());
        assert!(end(r#"{"for_s":"2"}"#).is_err());
    }
}
