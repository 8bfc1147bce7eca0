//! Markup that cannot be broken by what is put into it: only text of the program's own source goes in
//! as it is, everything else is escaped.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

use crate::query::http::PAGE_POLICY;

/// A piece of a page.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Adds markup from the program's own source.
    pub fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, or the value of an attribute in quotes.
    pub fn text(mut self, text: &str) -> Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds a number.
    pub fn number(self, number: u64) -> Self {
        self.text(&number.to_string())
    }

    /// Adds another piece.
    pub fn put(mut self, piece: Self) -> Self {
        self.0.push_str(&piece.0);
        self
    }

    /// Adds a piece for each item.
    pub fn each<T>(self, items: impl IntoIterator<Item = T>, piece: impl Fn(T) -> Self) -> Self {
        items
            .into_iter()
            .fold(self, |html, item| html.put(piece(item)))
    }

    /// Adds a piece where there is something to show.
    pub fn maybe<T>(self, item: Option<T>, piece: impl Fn(T) -> Self) -> Self {
        self.each(item, piece)
    }

    /// Adds markup where a condition holds.
    pub fn raw_if(self, condition: bool, markup: &'static str) -> Self {
        if condition { self.raw(markup) } else { self }
    }

    /// The markup.
    pub fn into_text(self) -> String {
        self.0
    }

    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        let policy = HeaderValue::from_static(PAGE_POLICY);
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, policy),
        ];
        (headers, self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_put_in_stays_text() {
        let html = Html::new()
            .raw("<p title=\"")
            .text("\"><script>&'")
            .raw("\">");
        assert_eq!(
            html.as_str(),
            "<p title=\"&quot;&gt;&lt;script&gt;&amp;&#39;\">"
        );
    }
}
