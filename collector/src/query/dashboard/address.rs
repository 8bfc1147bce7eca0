//! Addresses of pages, with what was asked for in them.

use super::forms::hidden;
use super::html::Html;

/// An address with its parameters; those that are empty are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    path: String,
    pairs: Vec<(&'static str, String)>,
}

impl Address {
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            pairs: Vec::new(),
        }
    }

    /// The same address with another value of one parameter; an empty one takes it out.
    #[must_use]
    pub fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut pairs = self.pairs.clone();
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value.into()));
        Self {
            path: self.path.clone(),
            pairs,
        }
    }

    /// The same parameters at another path.
    #[must_use]
    pub fn at(&self, path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            pairs: self.pairs.clone(),
        }
    }

    pub fn text(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let given = self.pairs.iter().filter(|(_, value)| !value.is_empty());
        query.extend_pairs(given);
        match query.finish() {
            query if query.is_empty() => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// A link with this text.
    pub fn link(&self, text: &str) -> Html {
        Html::new()
            .raw("<a href=\"")
            .text(&self.text())
            .raw("\">")
            .text(text)
            .raw("</a>")
    }

    /// Hidden fields of a form that keep the parameters, except some.
    pub fn hidden(&self, except: &[&str]) -> Html {
        let kept = self
            .pairs
            .iter()
            .filter(|(name, value)| !value.is_empty() && !except.contains(name));
        Html::new().each(kept, |(name, value)| hidden(name, value))
    }
}

/// Links to the pages before and after, and which one this is.
pub(super) fn pages(address: &Address, page: usize, pages: usize) -> Html {
    if pages < 2 {
        return Html::new();
    }
    let to = |page: usize, text: &'static str, rel: &'static str| {
        let number = if page > 1 {
            page.to_string()
        } else {
            String::new()
        };
        Html::new()
            .raw("<a rel=\"")
            .raw(rel)
            .raw("\" href=\"")
            .text(&address.with("page", number).text())
            .raw("\">")
            .raw(text)
            .raw("</a>")
    };
    Html::new()
        .raw("<nav class=\"pages\" aria-label=\"Pages\">")
        .maybe((page > 1).then(|| page - 1), |page| {
            to(page, "Previous page", "prev")
        })
        .raw("<span>Page ")
        .number(page as u64)
        .raw(" of ")
        .number(pages as u64)
        .raw("</span>")
        .maybe((page < pages).then(|| page + 1), |page| {
            to(page, "Next page", "next")
        })
        .raw("</nav>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_does_not_stand_in_the_address() {
        let address = Address::new("/devices")
            .with("site", "Hay & Co")
            .with("os", "");
        assert_eq!(address.text(), "/devices?site=Hay+%26+Co");
        assert_eq!(address.with("site", "").text(), "/devices");
        assert_eq!(
            address.at("/devices.csv").text(),
            "/devices.csv?site=Hay+%26+Co"
        );
        let hidden = "<input type=\"hidden\" name=\"site\" value=\"Hay &amp; Co\">";
        assert_eq!(address.hidden(&["os"]).as_str(), hidden);
        assert_eq!(address.hidden(&["site"]), Html::new());
    }

    #[test]
    fn one_page_needs_no_links() {
        let address = Address::new("/");
        assert_eq!(pages(&address, 1, 1), Html::new());
        let middle = pages(&address, 2, 3);
        let middle = middle.as_str();
        assert!(middle.contains("rel=\"prev\" href=\"/\"") && middle.contains("page=3"));
        assert!(middle.contains("Page 2 of 3"), "{middle}");
    }
}
