//! What surrounds every page: head, navigation, who is signed in; and the pieces that pages share.

use std::sync::LazyLock;

use http::Uri;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::sha256;

use super::html::Html;
use super::runbook::{self, Level};
use super::{STYLE, SignedIn};
use crate::alert::Severity;
use crate::query::http::Face;
use crate::query::time::ago;
use crate::query::{AlertAnswer, At};

/// Changes with the style sheet, so that browsers may keep it.
static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = sha256(STYLE.as_bytes());
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
});

/// What surrounds the page of one request.
#[derive(Debug)]
pub(super) struct Frame {
    name: String,
    role: &'static str,
    form_token: String,
    address: String,
    now: UnixMs,
}

impl Frame {
    pub fn new(who: &SignedIn, uri: &Uri, face: &Face) -> Self {
        let address = uri.path_and_query();
        Self {
            name: who.viewer.name.clone(),
            role: who.viewer.role.word(),
            form_token: who.form_token.clone(),
            address: address.map_or_else(String::new, |address| address.to_string()),
            now: face.query.now(),
        }
    }

    /// The whole page.
    pub fn page(&self, title: &str, main: Html) -> Html {
        head(title)
            .raw("<a class=\"skip\" href=\"#main\">Skip to the content</a>")
            .raw("<header class=\"top\"><a class=\"brand\" href=\"/\">Rollcall</a>")
            .put(self.navigation())
            .put(self.identity())
            .raw("</header><main id=\"main\" tabindex=\"-1\">")
            .put(main)
            .raw("</main>")
            .put(self.footer())
            .raw("</body></html>\n")
    }

    fn navigation(&self) -> Html {
        let current = |is: bool| if is { " aria-current=\"page\"" } else { "" };
        let on_devices = self.address.starts_with("/devices");
        Html::new()
            .raw("<nav aria-label=\"Main\"><ul><li><a href=\"/\"")
            .raw(current(!on_devices))
            .raw(">Attention</a></li><li><a href=\"/devices\"")
            .raw(current(on_devices))
            .raw(">Devices</a></li></ul></nav>")
    }

    fn identity(&self) -> Html {
        Html::new()
            .raw("<form class=\"identity\" method=\"post\" action=\"/sign-out\"><span>")
            .text(&self.name)
            .raw(" <span class=\"muted\">(")
            .text(self.role)
            .raw(")</span></span><input type=\"hidden\" name=\"form\" value=\"")
            .text(&self.form_token)
            .raw("\"><button type=\"submit\">Sign out</button></form>")
    }

    fn footer(&self) -> Html {
        Html::new()
            .raw("<footer class=\"bottom\"><p>As of ")
            .text(&minute(self.now))
            .raw(" UTC. <a href=\"")
            .text(&self.address)
            .raw("\">Load again</a></p><p class=\"muted\">Rollcall ")
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
        .raw(" · Rollcall</title><link rel=\"stylesheet\" href=\"/assets/rollcall.css?v=")
        .text(&STYLE_VERSION)
        .raw("\"><link rel=\"icon\" href=\"/assets/rollcall.svg\"></head><body>")
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
fn minute(at: UnixMs) -> String {
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

/// An alert with what is wrong, since when, and what to do.
pub(super) fn alert(alert: &AlertAnswer, place: AlertPlace, now: UnixMs) -> Html {
    let class = match alert.severity {
        Severity::Critical => "<li class=\"alert critical\">",
        Severity::Warning => "<li class=\"alert warning\">",
        Severity::Info => "<li class=\"alert info\">",
    };
    let (open, close, level) = match place {
        AlertPlace::List => ("<h2>", "</h2>", Level::Third),
        AlertPlace::Device => ("<h3>", "</h3>", Level::Fourth),
    };
    let pending = alert.fired_at.is_none();
    Html::new()
        .raw(class)
        .raw("<div class=\"line\">")
        .put(severity(alert.severity))
        .raw(open)
        .text(&alert.title)
        .raw(close)
        .raw("</div>")
        .put(whose(alert, place))
        .raw("<p class=\"evidence\">")
        .text(&alert.evidence)
        .raw("</p><p class=\"muted\">")
        .raw(if pending {
            "Waiting to be sure; seen for the first time "
        } else {
            "Since "
        })
        .put(time(alert.since_at, now))
        .raw(" · for ")
        .text(audience_name(alert.audience))
        .raw("</p>")
        .put(details(
            "What to do",
            runbook::render(&alert.runbook, level),
        ))
        .put(details("What to tell the family", family(alert)))
        .raw("</li>")
}

fn whose(alert: &AlertAnswer, place: AlertPlace) -> Html {
    let part = |text: &str| Html::new().raw(" · ").text(text);
    let instance = Some(alert.instance.as_str()).filter(|text| !text.is_empty());
    match place {
        AlertPlace::List => Html::new()
            .raw("<p class=\"whose\"><a href=\"/devices/")
            .text(&alert.device)
            .raw("\">")
            .text(&alert.device_name)
            .raw("</a>")
            .put(part(&alert.site))
            .maybe(instance, part)
            .put(simulated_badge(alert.simulated))
            .raw("</p>"),
        AlertPlace::Device => Html::new().maybe(instance, |text| {
            Html::new()
                .raw("<p class=\"whose\">")
                .text(text)
                .raw("</p>")
        }),
    }
}

fn details(summary: &'static str, content: Html) -> Html {
    if content == Html::new() {
        return content;
    }
    Html::new()
        .raw("<details><summary>")
        .raw(summary)
        .raw("</summary><div class=\"guidance\">")
        .put(content)
        .raw("</div></details>")
}

fn family(alert: &AlertAnswer) -> Html {
    Html::new().each(&alert.family, |(language, text)| {
        Html::new()
            .raw("<p lang=\"")
            .text(language)
            .raw("\">")
            .text(text)
            .raw("</p>")
    })
}

fn audience_name(audience: &str) -> &str {
    match audience {
        "help-desk" => "the help desk",
        "technology-coach" => "the technology coach",
        "network-team" => "the network team",
        "broadcast" => "everybody",
        other => other,
    }
}

/// The link to the next page of a list, keeping what was asked for.
pub(super) fn next_page(path: &'static str, kept: &[(&str, &str)], next: Option<&str>) -> Html {
    Html::new().maybe(next, |next| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let given = kept.iter().filter(|(_, value)| !value.is_empty());
        query.extend_pairs(given).append_pair("page", next);
        Html::new()
            .raw("<nav class=\"pages\" aria-label=\"Pages\"><a rel=\"next\" href=\"")
            .raw(path)
            .raw("?")
            .text(&query.finish())
            .raw("\">Next page</a></nav>")
    })
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
