//! Wire to domain and back. Inside, a type cannot be wrong: every check of what came over the wire
//! happens here, once, and an error names the field.

mod configuration;
mod hardware;
mod report;

use std::fmt;

pub use report::Admitted;

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConvertError {
    /// The field, such as `report.taken.boot`.
    pub field: String,
    /// What is wrong with it and, where it helps, what would be right.
    pub problem: String,
}

impl ConvertError {
    /// An error about one field.
    pub fn new(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            field: field.into(),
            problem: problem.to_string(),
        }
    }

    /// The same error about a field inside another one.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self {
            field: format!("{outer}.{}", self.field),
            problem: self.problem,
        }
    }
}

/// The field's content, or the error that it is missing.
///
/// # Errors
/// [`ConvertError`] naming the field.
pub fn required<T>(field: &str, content: Option<T>) -> Result<T, ConvertError> {
    content.ok_or_else(|| ConvertError::new(field, "is missing"))
}
