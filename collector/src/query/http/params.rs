//! Parameters of a URL or a form: each known by name, given once, and read in one place.

use std::collections::BTreeMap;

use rollcall_shared::time::UnixMs;

use crate::query::QueryError;
use crate::query::time::parse_at;

/// Parameters in one request; the answer with the most has five.
const MOST: usize = 16;

/// The parameters that a request carries.
#[derive(Debug, Default)]
pub(in crate::query) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads `name=value&…`.
    ///
    /// # Errors
    /// [`QueryError::Field`] names a parameter that is not in `known` or comes twice.
    pub fn parse(encoded: &str, known: &[&str]) -> Result<Self, QueryError> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(encoded.as_bytes()).take(MOST) {
            if !known.contains(&&*name) {
                return Err(unknown(&name, known));
            }
            if parameters.contains_key(&*name) {
                return Err(QueryError::field(name, "is given twice"));
            }
            parameters.insert(name.into_owned(), value.into_owned());
        }
        Ok(Self(parameters))
    }

    /// A text; one that is empty counts as absent.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|text| !text.is_empty())
    }

    /// A whole number.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, QueryError> {
        let number = self.text(name).map(|text| text.parse());
        number
            .transpose()
            .map_err(|_| QueryError::field(name, "must be a whole number"))
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Result<Option<UnixMs>, QueryError> {
        self.text(name)
            .map(|text| parse_at(name, &text))
            .transpose()
    }
}

fn unknown(name: &str, known: &[&str]) -> QueryError {
    let name: String = name.chars().take(64).collect();
    let problem = match known {
        [] => "is not known; this address takes no parameters".to_owned(),
        _ => format!("is not known; this address takes {}", known.join(", ")),
    };
    QueryError::field(name, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_parameters_are_named() {
        let known = &["site", "page_size"];
        let refused = |text| Parameters::parse(text, known).unwrap_err().to_string();
        assert_eq!(
            refused("sites=x"),
            "`sites` is not known; this address takes site, page_size"
        );
        assert_eq!(refused("site=x&site=y"), "`site` is given twice");
        let mut good = Parameters::parse("site=Hay+%26+Co&page_size=x", known).unwrap();
        assert_eq!(good.text("site").as_deref(), Some("Hay & Co"));
        assert_eq!(
            good.number("page_size").unwrap_err().to_string(),
            "`page_size` must be a whole number"
        );
    }
}
