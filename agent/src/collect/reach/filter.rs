//! Whether an answer is the page by which a content filter blocks a target, and whose filter it is.
//!
//! Only answers that somebody on the way can have written are judged: in clear, or under a certificate
//! that was signed anew. What a target's own certificate covers is the target's own word.

use super::exchange::Answer;

/// Words that filters put into what they answer, and whose they are. From the vendors' documentation
/// of their block pages and of the servers that these come from.
const MAKERS: [(&str, &str); 29] = [
    ("securly", "Securly"),
    ("goguardian", "GoGuardian"),
    ("lightspeedsystems", "Lightspeed"),
    ("lsfilter", "Lightspeed"),
    ("contentkeeper", "ContentKeeper"),
    ("linewize", "Linewize"),
    ("familyzone", "Linewize"),
    ("blocksi", "Blocksi"),
    ("deledao", "Deledao"),
    ("fortiguard", "FortiGuard"),
    ("fortigate", "FortiGuard"),
    ("opendns", "Cisco Umbrella"),
    ("umbrella", "Cisco Umbrella"),
    ("zscaler", "Zscaler"),
    ("iboss", "iboss"),
    ("barracuda", "Barracuda"),
    ("sophos", "Sophos"),
    ("smoothwall", "Smoothwall"),
    ("sonicwall", "SonicWall"),
    ("paloalto", "Palo Alto Networks"),
    ("netskope", "Netskope"),
    ("bluecoat", "Symantec"),
    ("mcafee", "Trellix"),
    ("cloudflare-gateway", "Cloudflare Gateway"),
    ("nextdns", "NextDNS"),
    ("adguard", "AdGuard"),
    ("e2guardian", "e2guardian"),
    ("dansguardian", "DansGuardian"),
    ("squid", "Squid"),
];

/// Parts of an address that pages of filters are sent from.
const PLACES: [&str; 5] = ["block", "denied", "deny", "filter", "restricted"];

/// What pages of filters say, in lower case.
const PHRASES: [&str; 12] = [
    "is blocked",
    "been blocked",
    "page blocked",
    "site blocked",
    "website blocked",
    "access blocked",
    "url blocked",
    "blocked by",
    "web filter",
    "content filter",
    "url filter",
    "not allowed by your",
];

/// Statuses with which a filter may answer in the target's place.
const REFUSALS: [u16; 3] = [403, 451, 503];

/// Why this is a filter's answer, in words; `None` where it is not known to be one. `elsewhere` is
/// where the answer sends the asker, if that is another's host.
#[must_use]
pub fn blocker(answer: &Answer, elsewhere: Option<&str>) -> Option<String> {
    let status = answer.head.status.as_u16();
    let heads = heads(answer);
    let page = String::from_utf8_lossy(&answer.start).to_lowercase();
    let place = elsewhere.unwrap_or_default().to_lowercase();
    let is_sent = PLACES.iter().any(|word| place.contains(word));
    let says_so = PHRASES.iter().any(|phrase| page.contains(phrase))
        || title(&page).contains("access denied");
    let is_refused = REFUSALS.contains(&status) && maker(&heads).is_some();
    let is_blocked = status == 451 || is_sent || says_so || is_refused || maker(&place).is_some();
    if !is_blocked {
        return None;
    }
    let whose = maker(&place)
        .or_else(|| maker(&heads))
        .or_else(|| maker(&page));
    let whose = whose.map(|name| format!(" ({name})")).unwrap_or_default();
    Some(format!("a content filter blocks it{whose}"))
}

fn maker(text: &str) -> Option<&'static str> {
    let mut makers = MAKERS.iter();
    makers
        .find(|(word, _)| text.contains(word))
        .map(|(_, name)| *name)
}

/// What servers say of themselves.
fn heads(answer: &Answer) -> String {
    let names = ["server", "via", "x-squid-error", "x-blocked-by", "x-filter"];
    let values = names
        .iter()
        .filter_map(|name| answer.head.headers.get(*name)?.to_str().ok());
    values.collect::<Vec<_>>().join(" ").to_lowercase()
}

fn title(page: &str) -> &str {
    let after = page.split_once("<title>").map_or("", |(_, rest)| rest);
    after
        .split_once("</title>")
        .map_or(after, |(title, _)| title)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, header: (&str, &str), page: &str) -> Answer {
        let response = http::Response::builder()
            .status(status)
            .header(header.0, header.1)
            .body(())
            .unwrap();
        Answer {
            head: response.into_parts().0,
            start: page.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_filters_page_is_told_from_the_targets() {
        let none = ("x-a", "b");
        let page = "<html><title>Web Page Blocked</title>FortiGuard Intrusion Prevention";
        let cases = [
            (answer(403, none, page), None, Some("FortiGuard")),
            (
                answer(302, none, ""),
                Some("www.securly.com/blocked?u=1"),
                Some("Securly"),
            ),
            (answer(302, none, ""), Some("10.0.0.1/block.cgi"), Some("")),
            (
                answer(403, ("server", "Zscaler/6.2"), ""),
                None,
                Some("Zscaler"),
            ),
            (answer(451, none, ""), None, Some("")),
            (answer(403, ("server", "nginx"), "Forbidden"), None, None),
            (
                answer(200, ("via", "1.1 proxy (squid/5.7)"), "Welcome"),
                None,
                None,
            ),
            (answer(302, none, ""), Some("login.portal.test/"), None),
        ];
        for (answer, elsewhere, whose) in cases {
            let words = blocker(&answer, elsewhere);
            let expected = whose.map(|name| match name {
                "" => "a content filter blocks it".to_owned(),
                name => format!("a content filter blocks it ({name})"),
            });
            assert_eq!(words, expected, "{answer:?} {elsewhere:?}");
        }
    }
}
