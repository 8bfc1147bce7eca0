//! Runbooks as markup. They are Markdown of which headings, paragraphs, lists and code in a line are
//! understood; everything else is shown as it is written.

use super::html::Html;

/// The section of a runbook that is shown apart, in every language of the rule.
const FAMILY_SECTION: &str = "What to tell the family";

/// At which level the headings of a runbook stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// Below a heading of the second level.
    #[cfg(test)]
    Third,
    /// Below a heading of the third level.
    Fourth,
}

/// The runbook without its title, which is the alert's, and without the family's section.
pub(super) fn render(runbook: &str, level: Level) -> Html {
    let mut shown = true;
    let blocks = runbook
        .split("\n\n")
        .map(str::trim)
        .filter(|b| !b.is_empty());
    blocks.fold(Html::new(), |html, text| match text.strip_prefix("## ") {
        Some(heading) => {
            shown = heading != FAMILY_SECTION;
            html.put(if shown {
                heading_of(heading, level)
            } else {
                Html::new()
            })
        }
        None if shown && !text.starts_with("# ") => html.put(block(text)),
        None => html,
    })
}

fn heading_of(text: &str, level: Level) -> Html {
    let (open, close) = match level {
        #[cfg(test)]
        Level::Third => ("<h3>", "</h3>"),
        Level::Fourth => ("<h4>", "</h4>"),
    };
    Html::new().raw(open).put(line(text)).raw(close)
}

fn block(text: &str) -> Html {
    let (open, close) = match text.chars().next() {
        Some('-') if item(text).is_some() => ("<ul>", "</ul>"),
        Some('0'..='9') if item(text).is_some() => ("<ol>", "</ol>"),
        _ => return Html::new().raw("<p>").put(line(text)).raw("</p>"),
    };
    let items = items_of(text);
    Html::new()
        .raw(open)
        .each(&items, |text| {
            Html::new().raw("<li>").put(line(text)).raw("</li>")
        })
        .raw(close)
}

/// The items of a list; a line that begins none goes on with the one before.
fn items_of(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for text in text.lines() {
        match (item(text), items.last_mut()) {
            (None, Some(last)) => {
                last.push(' ');
                last.push_str(text.trim());
            }
            (begun, _) => items.push(begun.unwrap_or(text).to_owned()),
        }
    }
    items
}

/// What follows `- ` or `1. `.
fn item(line: &str) -> Option<&str> {
    line.strip_prefix("- ").or_else(|| {
        let (number, rest) = line.split_once(". ")?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        is_number.then_some(rest)
    })
}

/// A line with `code` in it. A backtick without a second one is a character like any other.
pub(super) fn line(text: &str) -> Html {
    let mut html = Html::new();
    let mut rest = text;
    while let Some((before, code, after)) = first_code(rest) {
        html = html.text(before).raw("<code>").text(code).raw("</code>");
        rest = after;
    }
    html.text(rest)
}

fn first_code(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    Some((before, code, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        render(text, Level::Third).as_str().to_owned()
    }

    #[test]
    fn a_runbook_becomes_markup_and_nothing_in_it_does() {
        let runbook = "# Title\n\n## How to fix\n\nRun `chkdsk /f` & wait\nfor <it>.\n\n\
            - one\n- two\n  goes on\n\n1. first\n2. second";
        assert_eq!(
            rendered(runbook),
            "<h3>How to fix</h3><p>Run <code>chkdsk /f</code> &amp; wait\nfor &lt;it&gt;.</p>\
             <ul><li>one</li><li>two goes on</li></ul><ol><li>first</li><li>second</li></ol>"
        );
        assert_eq!(rendered("a ` b"), "<p>a ` b</p>");
    }

    #[test]
    fn the_family_has_a_place_of_its_own() {
        let runbook =
            "## How to fix\n\na\n\n## What to tell the family\n\nb\n\n## When to escalate\n\nc";
        let expected = "<h3>How to fix</h3><p>a</p><h3>When to escalate</h3><p>c</p>";
        assert_eq!(rendered(runbook), expected);
    }

    #[test]
    fn every_runbook_that_is_shipped_is_understood_whole() {
        for rule in crate::evaluate::rules::RuleSet::built_in().rules {
            let html = rendered(&rule.runbook);
            assert!(html.contains("<h3>How to fix</h3><p>"), "{}", rule.name);
            for left in ["##", "**", "](", "`"] {
                assert!(!html.contains(left), "{} shows {left}: {html}", rule.name);
            }
        }
    }
}
