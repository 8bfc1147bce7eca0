//! HTML from plain texts and from the Markdown of runbooks, of which headings, lists and paragraphs are
//! understood. Pure.

/// A text as it may stand in HTML, in attributes too.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Markdown as HTML.
#[must_use]
pub fn markdown(text: &str) -> String {
    let blocks = text.split("\n\n").map(str::trim);
    blocks
        .filter(|block| !block.is_empty())
        .map(block)
        .collect()
}

/// A page of its own, for readers that want a whole one.
#[must_use]
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

fn block(text: &str) -> String {
    if let Some(heading) = text.strip_prefix("# ").or_else(|| text.strip_prefix("## ")) {
        return format!("<h4>{}</h4>\n", escape(heading));
    }
    let item = |line: &str| {
        let line = line.trim_start();
        let bullet = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
        let number = line.split_once(". ").filter(|(number, _)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        bullet.or(number.map(|(_, rest)| rest)).map(str::to_owned)
    };
    let first = text.lines().next().unwrap_or_default();
    if item(first).is_none() {
        return format!("<p>{}</p>\n", escape(text));
    }
    let mut items: Vec<String> = Vec::new();
    for line in text.lines() {
        match (item(line), items.last_mut()) {
            (Some(begun), _) => items.push(begun),
            (None, Some(last)) => last.push_str(&format!(" {}", line.trim())),
            (None, None) => {}
        }
    }
    let tag = if first.starts_with(['-', '*']) {
        "ul"
    } else {
        "ol"
    };
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>\n", escape(item)))
        .collect();
    format!("<{tag}>\n{items}</{tag}>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runbooks_become_markup_and_nothing_else_does() {
        let html = markdown(
            "# Worn\n\nIt is <worn>.\n\n## Steps\n\n1. Open it,\n   with care.\n2. Close\n\n- a\n- b",
        );
        assert_eq!(
            html,
            "<h4>Worn</h4>\n<p>It is &lt;worn&gt;.</p>\n<h4>Steps</h4>\n<ol>\n<li>Open it, with care.</li>\n\
             <li>Close</li>\n</ol>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"
        );
    }
}
