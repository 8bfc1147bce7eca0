//! What is wrong with a rules file: where, and what would be right.

use std::fmt;
use std::ops::Range;

/// The first mistake in a rules file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct RuleError {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's name; empty outside rules.
    pub rule: String,
    /// The field; empty where the text itself is no TOML.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.rule.is_empty() {
            write!(f, "rule `{}`: ", self.rule)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

/// A mistake before the file's name and lines are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub span: Range<usize>,
    pub field: String,
    pub problem: String,
}

impl Mistake {
    pub fn new(span: Range<usize>, field: &str, problem: impl Into<String>) -> Self {
        Self {
            span,
            field: field.to_owned(),
            problem: problem.into(),
        }
    }

    /// The mistake that the TOML reader found, with the nearest word where it names the right ones.
    pub fn of_toml(error: &toml::de::Error) -> Self {
        let words: Vec<&str> = error.message().split('`').skip(1).step_by(2).collect();
        let (field, mut problem) = match words.split_first() {
            Some((field, _)) => ((*field).to_owned(), error.message().to_owned()),
            None => (String::new(), error.message().to_owned()),
        };
        if let Some((given, known)) = words.split_first()
            && let Some(nearest) = nearest(given, known.iter().copied())
        {
            problem = format!("{problem}; did you mean `{nearest}`?");
        }
        Self {
            span: error.span().unwrap_or(0..0),
            field,
            problem,
        }
    }

    /// The error as a reader of `text` finds it.
    pub fn in_file(self, file: &str, text: &str) -> RuleError {
        let at = text.floor_char_boundary(self.span.start);
        let before = &text[..at];
        RuleError {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            rule: rule_around(text, at).unwrap_or_default(),
            field: self.field,
            problem: self.problem,
        }
    }
}

/// A problem that says which words would be right, the nearest one first.
pub(crate) fn unknown<'a>(
    what: &str,
    given: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match nearest(given, known.clone()) {
        Some(nearest) => format!("`{given}` is no {what}; did you mean `{nearest}`?"),
        None => {
            let all: Vec<&str> = known.into_iter().collect();
            format!("`{given}` is no {what}; there are: {}", all.join(", "))
        }
    }
}

/// The known word that is nearest by edit distance, where one is near enough to be meant.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance = |word: &str| strsim::damerau_levenshtein(given, word);
    let (distance, word) = known
        .into_iter()
        .map(|word| (distance(word), word))
        .min_by_key(|(distance, _)| *distance)?;
    (distance > 0 && distance <= (word.chars().count() / 3).max(1)).then_some(word)
}

/// The name of the rule whose table holds the byte at `at`.
fn rule_around(text: &str, at: usize) -> Option<String> {
    const HEADER: &str = "[[rule]]";
    let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let start = text[..line_end].rfind(HEADER)?;
    let rest = &text[start + HEADER.len()..];
    let table = &rest[..rest.find(HEADER).unwrap_or(rest.len())];
    let name = table.lines().find_map(|line| {
        let value = line.trim().strip_prefix("name")?.trim_start();
        value.strip_prefix('=').map(str::trim)
    })?;
    Some(name.trim_matches(|c| c == '"' || c == '\'').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_and_a_far_one_is_not() {
        assert_eq!(
            nearest("hw.batery.health", ["hw.battery.health", "os.name"]),
            Some("hw.battery.health")
        );
        assert_eq!(nearest("qqqqqq", ["above", "below"]), None);
        assert!(unknown("operator", "qqqqqq", ["above", "below"]).ends_with("above, below"));
    }

    #[test]
    fn a_mistake_finds_its_line_and_rule() {
        let text = "[calendar]\n[[rule]]\nname = \"a\"\n\n[[rule]]\ntitle = \"t\"\nname = \"b\"\n";
        let at = text.find("title").unwrap();
        let error = Mistake::new(at..at, "title", "is dull").in_file("r.toml", text);
        assert_eq!(error.to_string(), "r.toml:6: rule `b`: title: is dull");
        let top = Mistake::new(0..0, "", "is dull").in_file("r.toml", text);
        assert_eq!(top.to_string(), "r.toml:1: is dull");
    }
}
