//! Templates: texts and trees in which `{{name}}` stands for a value. Pure.
//!
//! A text that is one placeholder and nothing else takes the value's own type, so that numbers stay
//! numbers; in a longer text the value is written out. A member of a table whose whole value is an
//! optional setting that was not given is left out.

use std::collections::BTreeMap;

use serde_json::Value;

/// What placeholders stand for, by name. `Value::Null` is an optional setting that was not given.
pub type Values = BTreeMap<String, Value>;

/// A placeholder that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not known.
    #[error("`{{{{{0}}}}}` is not known here")]
    Unknown(String),
    /// Its end is missing.
    #[error("`{0}` has `{{{{` without `}}}}`")]
    Open(String),
}

/// The names of the placeholders of a text.
pub fn names(text: &str) -> Result<Vec<String>, TemplateError> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, name, behind)) = first(rest)? {
        names.push(name.to_owned());
        rest = behind;
    }
    Ok(names)
}

/// A text with its values, each passed through `write`, such as to encode it for a path.
pub fn fill_text(
    text: &str,
    values: &Values,
    write: impl Fn(&str) -> String,
) -> Result<String, TemplateError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, behind)) = first(rest)? {
        filled.push_str(before);
        filled.push_str(&write(&written(find(name, values)?)));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// What stands before the first placeholder, its name, and what stands behind it. Of three braces the
/// outer one is itself.
fn first(text: &str) -> Result<Option<(&str, &str, &str)>, TemplateError> {
    let Some(mut at) = text.find("{{") else {
        return Ok(None);
    };
    while text[at + 2..].starts_with('{') {
        at += 1;
    }
    let (name, behind) = text[at + 2..]
        .split_once("}}")
        .ok_or_else(|| TemplateError::Open(text.to_owned()))?;
    Ok(Some((&text[..at], name.trim(), behind)))
}

/// A tree with its values, as JSON.
pub fn fill(template: &toml::Value, values: &Values) -> Result<Value, TemplateError> {
    Ok(match template {
        toml::Value::String(text) => match whole(text) {
            Some(name) => find(name, values)?.clone(),
            None => Value::String(fill_text(text, values, str::to_owned)?),
        },
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(items) => {
            let items = items.iter().map(|item| fill(item, values));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let mut members = serde_json::Map::new();
            for (key, member) in table {
                let key = fill_text(key, values, str::to_owned)?;
                let filled = fill(member, values)?;
                if !filled.is_null() && !key.is_empty() {
                    members.insert(key, filled);
                }
            }
            Value::Object(members)
        }
    })
}

/// A value of TOML as one of JSON.
pub fn json(value: &toml::Value) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The name, where the text is one placeholder and nothing else.
fn whole(text: &str) -> Option<&str> {
    let name = text.strip_prefix("{{")?.strip_suffix("}}")?;
    (!name.contains(['{', '}'])).then(|| name.trim())
}

fn find<'a>(name: &str, values: &'a Values) -> Result<&'a Value, TemplateError> {
    let found = values.get(name);
    found.ok_or_else(|| TemplateError::Unknown(name.to_owned()))
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let pairs = [
            ("title", Value::from("Disk \"full\"")),
            ("count", Value::from(3)),
            ("group", Value::Null),
            ("field", Value::from("Rollcall")),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    #[test]
    fn values_keep_their_type_and_what_was_not_given_is_left_out() {
        let template: toml::Table = toml::from_str(
            "subject = \"[{{count}}] {{title}}\"\nnumber = \"{{count}}\"\ngroup = \"{{group}}\"\n\
             list = [\"{{title}}\", 1, true]\n[fields]\n\"{{field}}\" = \"{{ count }}\"\n",
        )
        .unwrap();
        let filled = fill(&toml::Value::Table(template), &values()).unwrap();
        let expected = serde_json::json!({
            "subject": "[3] Disk \"full\"",
            "number": 3,
            "list": ["Disk \"full\"", 1, true],
            "fields": { "Rollcall": 3 },
        });
        assert_eq!(filled, expected);
    }

    #[test]
    fn a_placeholder_that_is_not_known_or_not_closed_is_told() {
        let error = fill_text("a {{titel}}", &values(), str::to_owned).unwrap_err();
        assert_eq!(error.to_string(), "`{{titel}}` is not known here");
        let error = names("a {{title").unwrap_err();
        assert_eq!(error.to_string(), "`a {{title` has `{{` without `}}`");
        assert_eq!(names("{{a}} and {{ b }}").unwrap(), ["a", "b"]);
        let braces = fill_text("CF.{{{field}}} = '{{count}}'", &values(), str::to_owned);
        assert_eq!(braces.unwrap(), "CF.{Rollcall} = '3'");
    }
}
