//! Errors in words.

use std::error::Error;

/// An error with its causes on one line, each once: a cause that the words before it hold already is left out.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("the file cannot be written: {0}")]
        Said(#[source] std::fmt::Error),
        #[error("the report cannot be kept")]
        Unsaid(#[source] Box<Failed>),
    }

    #[test]
    fn each_cause_is_said_once() {
        let said = Failed::Said(std::fmt::Error);
        let cause = std::fmt::Error.to_string();
        let words = format!("the file cannot be written: {cause}");
        assert_eq!(chain(&said), words);
        let whole = Failed::Unsaid(Box::new(said));
        assert_eq!(chain(&whole), format!("the report cannot be kept: {words}"));
    }
}
