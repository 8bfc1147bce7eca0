//! What surrounds every page: head, navigation, who is signed in; and the pieces that pages share.

use std::collections::BTreeMap;

use http::{Method, Uri};
use rollcall_shared::time::UnixMs;

use super::SignedIn;
use super::acts::Acts;
use super::assets::VERSION;
use super::html::Html;
use super::runbook::{self, Level};
use crate::alert::Severity;
use crate::query::http::Face;
use crate::query::time::ago;
use crate::query::{AlertAnswer, At, NoteAnswer, TicketAnswer};
use crate::store::Role;

/// The pages that everybody finds, by their addresses' beginnings.
const PAGES: [(&str, &str); 4] = [
    ("/", "Attention"),
    ("/devices", "Fleet"),
    ("/reachability", "Reachability"),
    ("/reports", "Reports"),
];

/// What surrounds the page of one request.
#[derive(Debug)]
pub(super) struct Frame {
    name: String,
    role: Role,
    form_token: String,
    address: String,
    /// Whether it is what came of a form: it is there once, and its address has nothing to load again.
    is_answer: bool,
    now: UnixMs,
}

impl Frame {
    pub fn new(who: &SignedIn, method: &Method, uri: &Uri, face: &Face) -> Self {
        let address = uri.path_and_query();
        Self {
            name: who.viewer.name.clone(),
            role: who.viewer.role,
            form_token: who.form_token.clone(),
            address: address.map_or_else(String::new, |address| address.to_string()),
            is_answer: method == Method::POST,
            now: face.query.now(),
        }
    }

    /// What a form on this page must carry.
    pub fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Where the page is, with what was asked for.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The whole page.
    pub fn page(&self, title: &str, main: Html) -> Html {
        head(title)
            .raw("<a class=\"skip\" href=\"#main\">Skip to the content</a>")
            .raw("<header class=\"top\"><a class=\"brand\" href=\"/\">Rollcall</a>")
            .put(self.navigation())
            .put(self.identity())
            .raw("</header><p id=\"state\" class=\"state\" role=\"status\" hidden></p>")
            .raw("<main id=\"main\" tabindex=\"-1\">")
            .put(main)
            .raw("</main>")
            .put(self.footer())
            .put(match self.is_answer {
                true => Html::new(),
                false => script("live.js"),
            })
            .put(script("keys.js"))
            .raw("</body></html>\n")
    }

    fn navigation(&self) -> Html {
        let administration = ("/administration", "Administration");
        let pages = PAGES.iter().copied();
        let pages = pages.chain((self.role >= Role::Technician).then_some(administration));
        Html::new()
            .raw("<nav aria-label=\"Main\"><ul>")
            .each(pages, |(address, name)| {
                let path = self.address.split(['?', '.']).next().unwrap_or_default();
                let is_current = match address {
                    "/" => path == "/",
                    address => path.starts_with(address),
                };
                Html::new()
                    .raw("<li><a href=\"")
                    .raw(address)
                    .raw("\"")
                    .raw_if(is_current, " aria-current=\"page\"")
                    .raw(">")
                    .put(match name.strip_suffix("istration") {
                        // A phone has room for a line of them.
                        Some(begin) => Html::new()
                            .raw(begin)
                            .raw("<span class=\"long\">istration</span>"),
                        None => Html::new().raw(name),
                    })
                    .raw("</a></li>")
            })
            .raw("</ul></nav>")
    }

    fn identity(&self) -> Html {
        Html::new()
            .raw("<form class=\"identity\" method=\"post\" action=\"/sign-out\"><span><a href=\"/account\">")
            .text(&self.name)
            .raw("</a> <span class=\"muted\">(")
            .raw(self.role.word())
            .raw(")</span></span><input type=\"hidden\" name=\"form\" value=\"")
            .text(&self.form_token)
            .raw("\"><button type=\"submit\">Sign out</button></form>")
    }

    fn footer(&self) -> Html {
        let again = match self.is_answer {
            true => Html::new(),
            false => Html::new()
                .raw(" <a href=\"")
                .text(&self.address)
                .raw("\">Load again</a>"),
        };
        Html::new()
            .raw("<footer class=\"bottom\"><p>As of ")
            .text(&minute(self.now))
            .raw(" UTC.")
            .put(again)
            .raw("</p><p class=\"muted\">Rollcall ")
            .raw(env!("CARGO_PKG_VERSION"))
            .raw("</p></footer>")
    }
}

/// Everything before a page's own content.
pub(super) fn head(title: &str) -> Html {
    Html::new()
        .raw("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")
        .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
        .raw("<meta name=\"color-scheme\" content=\"light dark\"><title>")
        .text(title)
        .raw(" · Rollcall</title>")
        .put(asset(
            "<link rel=\"stylesheet\" href=\"/assets/",
            "rollcall.css",
        ))
        .raw("\"><link rel=\"icon\" href=\"/assets/rollcall.svg\"></head><body>")
}

/// Loads one of our scripts. Pages are whole without them.
pub(super) fn script(name: &'static str) -> Html {
    asset("<script defer src=\"/assets/", name).raw("\"></script>")
}

/// Loads a style sheet of one page.
pub(super) fn style(name: &'static str) -> Html {
    asset("<link rel=\"stylesheet\" href=\"/assets/", name).raw("\">")
}

fn asset(before: &'static str, name: &'static str) -> Html {
    Html::new().raw(before).raw(name).raw("?v=").text(&VERSION)
}

/// A time as people read it, with the exact one for those who point at it.
pub(super) fn time(at: At, now: UnixMs) -> Html {
    Html::new()
        .raw("<time datetime=\"")
        .text(&at.to_string())
        .raw("\" title=\"")
        .text(&minute(at.0))
        .raw(" UTC\">")
        .text(&ago(at.0, now))
        .raw("</time>")
}

/// `2026-08-24 07:45`.
pub(super) fn minute(at: UnixMs) -> String {
    at.to_string().replace('T', " ").chars().take(16).collect()
}

/// A severity as a word in a shape; never by colour alone.
pub(super) fn severity(severity: Severity) -> Html {
    Html::new().raw(match severity {
        Severity::Critical => "<span class=\"badge critical\">Critical</span>",
        Severity::Warning => "<span class=\"badge warning\">Warning</span>",
        Severity::Info => "<span class=\"badge info\">Info</span>",
    })
}

/// The label of a device that no pupil has.
pub(super) fn simulated_badge(simulated: bool) -> Html {
    Html::new().raw_if(
        simulated,
        " <span class=\"badge simulated\">Simulated</span>",
    )
}

/// The heading's level below which an alert stands, and whether its device is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlertPlace {
    /// In the list of all devices.
    List,
    /// On the page of its device.
    Device,
}

/// An alert: what is wrong, since when, whose work it is, what may be done about it, and what to do unless
/// that was told before.
pub(super) fn alert(
    alert: &AlertAnswer,
    place: AlertPlace,
    acts: &Acts,
    is_told: bool,
    now: UnixMs,
) -> Html {
    let pending = alert.fired_at.is_none();
    let instance = Some(alert.instance.as_str()).filter(|text| !text.is_empty());
    let (open, close) = match place {
        AlertPlace::List => ("<h4>", "</h4>"),
        AlertPlace::Device => ("<h3>", "</h3>"),
    };
    let content = Html::new()
        .raw("<div class=\"line\">")
        .put(severity(alert.severity))
        .raw(open)
        .text(&alert.title)
        .raw(close)
        .maybe(instance, |text| {
            Html::new()
                .raw("<span class=\"muted\">")
                .text(text)
                .raw("</span>")
        })
        .raw("<span class=\"evidence\">")
        .text(&alert.evidence)
        .raw("</span></div><p class=\"muted\">")
        .raw(if pending {
            "Waiting to be sure; seen for the first time "
        } else {
            "Since "
        })
        .put(time(alert.since_at, now))
        .maybe(alert.resolved_at, |at| {
            Html::new().raw(" · over ").put(time(at, now))
        })
        .raw(" · for ")
        .text(audience_name(alert.audience))
        .maybe(alert.acknowledged_by.as_deref(), |by| {
            Html::new()
                .raw(" · <strong>")
                .text(by)
                .raw(" deals with it</strong>")
        })
        .maybe(alert.silenced_until, |at| {
            Html::new()
                .raw(" · <strong>silenced until ")
                .text(&minute(at.0))
                .raw(" UTC</strong>")
        })
        .maybe(alert.not_useful_by.as_deref(), |by| {
            Html::new()
                .raw(" · ")
                .text(by)
                .raw(" says that it was of no use")
        })
        .put(given(alert.assigned_to.as_deref()))
        .raw("</p>")
        .put(notes(&alert.notes, now))
        .raw("<div class=\"acts\">")
        .put(match alert.resolved_at {
            None if !pending => acts.of_alert(alert),
            _ => Html::new(),
        })
        .put(match is_told {
            true => Html::new(),
            false => guidance(&alert.id, &alert.runbook, &alert.family),
        })
        .raw("</div>");
    match place {
        AlertPlace::List => content,
        AlertPlace::Device => Html::new()
            .raw(super::attention::item(alert.severity))
            .put(content)
            .raw("</li>"),
    }
}

/// Whose it is.
pub(super) fn given(to: Option<&str>) -> Html {
    Html::new().maybe(to, |to| {
        Html::new()
            .raw(" · given to <strong>")
            .text(to)
            .raw("</strong>")
    })
}

/// What people noted, the latest last.
pub(super) fn notes(notes: &[NoteAnswer], now: UnixMs) -> Html {
    if notes.is_empty() {
        return Html::new();
    }
    Html::new()
        .raw("<ul class=\"notes\" aria-label=\"Notes\">")
        .each(notes, |note| {
            Html::new()
                .raw("<li>")
                .text(&note.text)
                .raw(" <span class=\"muted\">")
                .text(&note.by)
                .raw(", ")
                .put(time(note.at, now))
                .raw("</span></li>")
        })
        .raw("</ul>")
}

/// A ticket by its number, and where it stands.
pub(super) fn ticket(ticket: &TicketAnswer) -> Html {
    let number = Some(ticket.number.as_str()).filter(|number| !number.is_empty());
    Html::new()
        .raw("ticket ")
        .maybe(number, |number| {
            Html::new().raw("<strong>").text(number).raw("</strong> ")
        })
        .raw(ticket.state)
}

/// What staff do and what the family is told, of the thing with this id.
pub(super) fn guidance(of: &str, runbook: &str, family: &BTreeMap<String, String>) -> Html {
    let told = Html::new().each(family, |(language, text)| {
        Html::new()
            .raw("<p lang=\"")
            .text(language)
            .raw("\">")
            .text(text)
            .raw("</p>")
    });
    let done = runbook::render(runbook, Level::Fourth);
    details(&format!("do-{of}"), "What to do", done).put(details(
        &format!("tell-{of}"),
        "What to tell the family",
        told,
    ))
}

/// What is shown on request; the id keeps it open when the page renews itself.
pub(super) fn details(id: &str, summary: &str, content: Html) -> Html {
    if content == Html::new() {
        return content;
    }
    Html::new()
        .raw("<details id=\"")
        .text(id)
        .raw("\"><summary>")
        .text(summary)
        .raw("</summary><div class=\"guidance\">")
        .put(content)
        .raw("</div></details>")
}

/// Whose work it is, in words.
pub(super) fn audience_name(audience: &str) -> &str {
    match audience {
        "help-desk" => "the help desk",
        "technology-coach" => "the technology coach",
        "network-team" => "the network team",
        "broadcast" => "everybody",
        other => other,
    }
}

/// A choice among sites, where there is one to make.
pub(super) fn site_choice(sites: &[String], chosen: &str) -> Html {
    if sites.len() < 2 && chosen.is_empty() {
        return Html::new();
    }
    Html::new()
        .raw("<p><label for=\"site\">Site</label><select id=\"site\" name=\"site\">")
        .raw("<option value=\"\">All sites</option>")
        .each(sites, |site| {
            Html::new()
                .raw("<option")
                .raw_if(site == chosen, " selected")
                .raw(" value=\"")
                .text(site)
                .raw("\">")
                .text(site)
                .raw("</option>")
        })
        .raw("</select></p>")
}
