//! The attention page: causes that many laptops share, then laptops, the most urgent first.

use rollcall_shared::time::UnixMs;

use super::PAGE_SIZE;
use super::acts::Acts;
use super::address::{Address, pages};
use super::devices::{marks, page_number, place, short, standing_badge};
use super::frame::{
    AlertPlace, alert, audience_name, details, given, minute, notes, severity, simulated_badge,
    site_choice, time,
};
use super::html::Html;
use crate::alert::Severity;
use crate::query::http::Parameters;
use crate::query::{
    AttentionAnswer, FindingAnswer, Foreseen, Health, IncidentAnswer, Query, QueryError, Urgent,
    Viewer,
};

/// Laptops on a page: what one works through before the first bell.
const DEVICES: usize = PAGE_SIZE as usize / 2;

/// What the page shows.
#[derive(Debug)]
pub(super) struct Attention {
    site: String,
    page: usize,
    answer: AttentionAnswer,
}

impl Attention {
    pub fn find(query: &Query, viewer: &Viewer, mut given: Parameters) -> Result<Self, QueryError> {
        let site = given.text("site");
        let page = page_number(&mut given)?;
        let skip = (page - 1) * DEVICES;
        Ok(Self {
            answer: query.attention(viewer, site.as_deref(), skip, DEVICES)?,
            site: site.unwrap_or_default(),
            page,
        })
    }

    pub fn render(&self, acts: &Acts, now: UnixMs) -> Html {
        let answer = &self.answer;
        let address = Address::new("/").with("site", self.site.as_str());
        let is_quiet = answer.incidents.is_empty() && answer.total == 0;
        Html::new()
            .raw("<h1>Attention</h1>")
            .put(self.numbers())
            .put(self.choice())
            .put(if is_quiet {
                self.nothing()
            } else {
                Html::new()
            })
            .put(incidents(answer, acts, now))
            .put(devices(answer, acts, now))
            .put(pages(&address, self.page, answer.total.div_ceil(DEVICES)))
    }

    fn numbers(&self) -> Html {
        let of = |health: Health| {
            let counts = &self.answer.healths;
            counts
                .iter()
                .find(|(h, _)| *h == health)
                .map_or(0, |(_, n)| *n)
        };
        let at = Address::new("/devices").with("site", self.site.as_str());
        let tile = |name: &'static str, health: Health| {
            Html::new()
                .raw("<li><a class=\"tile ")
                .raw(health.word())
                .raw("\" href=\"")
                .text(&at.with("health", health.word()).text())
                .raw("\"><strong>")
                .number(of(health))
                .raw("</strong> ")
                .raw(name)
                .raw("</a></li>")
        };
        Html::new()
            .raw("<ul class=\"tiles\" aria-label=\"Laptops by health\">")
            .put(tile("critical", Health::Critical))
            .put(tile("warning", Health::Warning))
            .put(tile("info", Health::Info))
            .put(tile("not heard of", Health::Quiet))
            .put(tile("well", Health::Well))
            .raw("</ul>")
    }

    fn choice(&self) -> Html {
        let search = Html::new()
            .raw("<form class=\"filter\" method=\"get\" action=\"/devices\" role=\"search\">")
            .raw("<p class=\"wide\"><label for=\"search\">Find a laptop</label>")
            .raw("<input id=\"search\" name=\"search\" type=\"search\" maxlength=\"100\" ")
            .raw("placeholder=\"Asset tag, model, alert or id\"></p>")
            .raw("<p><button type=\"submit\">Find</button></p></form>");
        Html::new()
            .raw("<div class=\"filters\">")
            .put(search)
            .put(self.sites())
            .raw("</div>")
    }

    fn sites(&self) -> Html {
        let sites = &self.answer.sites;
        if sites.len() < 2 && self.site.is_empty() {
            return Html::new();
        }
        Html::new()
            .raw("<form class=\"filter\" method=\"get\" action=\"/\">")
            .put(site_choice(sites, &self.site))
            .raw("<p><button type=\"submit\">Show</button></p></form>")
    }

    /// Says what "nothing" rests on: silence of laptops that are off is not health.
    fn nothing(&self) -> Html {
        let quiet = self
            .answer
            .healths
            .iter()
            .find(|(h, _)| *h == Health::Quiet);
        let quiet = quiet.map_or(0, |(_, devices)| *devices);
        let page = Html::new().raw("<div class=\"empty\"><h2>Nothing needs attention</h2>");
        if self.answer.visible == 0 {
            return page.raw(
                "<p>No device has enrolled yet. Make an enrolment token, and run \
                 <code>rollcall-agent enroll</code> with it on the first laptop.</p></div>",
            );
        }
        page.raw("<p>Nothing fires at ")
            .number(self.answer.visible as u64)
            .raw(" devices.")
            .maybe((quiet > 0).then_some(quiet), |quiet| {
                let html = Html::new().raw(" ").number(quiet);
                html.raw(" of them were not heard of for a week, and that is not health.")
            })
            .raw("</p></div>")
    }
}

fn incidents(answer: &AttentionAnswer, acts: &Acts, now: UnixMs) -> Html {
    if answer.incidents.is_empty() {
        return Html::new();
    }
    Html::new()
        .raw("<section aria-labelledby=\"incidents\"><h2 id=\"incidents\">One cause, many laptops</h2>")
        .raw("<ol class=\"alerts\">")
        .each(&answer.incidents, |each| incident(each, acts, now))
        .raw("</ol>")
        .maybe(Some(answer.incidents_left_out).filter(|more| *more > 0), |more| {
            Html::new()
                .raw("<p class=\"muted\">and ")
                .number(more as u64)
                .raw(" more</p>")
        })
        .raw("</section>")
}

fn incident(incident: &IncidentAnswer, acts: &Acts, now: UnixMs) -> Html {
    Html::new()
        .raw(item(incident.severity))
        .raw("<div class=\"line\">")
        .put(severity(incident.severity))
        .raw("<h3>")
        .text(&incident.title)
        .raw("</h3></div><p class=\"whose\">")
        .number(u64::from(incident.devices))
        .raw(" of ")
        .number(u64::from(incident.exposed.max(incident.devices)))
        .raw(" laptops · ")
        .text(&incident.sites.join(", "))
        .raw("</p><p class=\"muted\">Since ")
        .put(time(incident.since_at, now))
        .raw(" · for ")
        .text(audience_name(incident.audience))
        .maybe(incident.confidence, |share| {
            Html::new().text(&format!(
                " · {:.0} % sure that they share it",
                share * 100.0
            ))
        })
        .maybe(incident.acknowledged_by.as_deref(), |by| {
            Html::new()
                .raw(" · <strong>")
                .text(by)
                .raw(" deals with it</strong>")
        })
        .put(given(incident.assigned_to.as_deref()))
        .raw("</p>")
        .put(notes(&incident.notes, now))
        .raw("<div class=\"acts\">")
        .put(acts.of_incident(incident))
        .put(details(
            &incident.id,
            "Its first laptops",
            Html::new()
                .raw("<ul>")
                .each(&incident.findings, finding)
                .raw("</ul>"),
        ))
        .raw("</div></li>")
}

fn finding(finding: &FindingAnswer) -> Html {
    Html::new()
        .raw("<li><a href=\"/devices/")
        .text(&finding.device)
        .raw("\">")
        .text(short(&finding.device))
        .raw("</a>: ")
        .text(&finding.evidence)
        .raw("</li>")
}

/// The beginning of a list's item with the colour of its severity.
pub(super) const fn item(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "<li class=\"alert critical\">",
        Severity::Warning => "<li class=\"alert warning\">",
        Severity::Info => "<li class=\"alert info\">",
    }
}

fn devices(answer: &AttentionAnswer, acts: &Acts, now: UnixMs) -> Html {
    if answer.devices.is_empty() {
        return Html::new();
    }
    Html::new()
        .raw("<section aria-labelledby=\"laptops\"><h2 id=\"laptops\">")
        .number(answer.total as u64)
        .raw(if answer.total == 1 {
            " laptop"
        } else {
            " laptops"
        })
        .raw("</h2><ol class=\"alerts\">")
        .each(&answer.devices, |each| urgent(each, acts, now))
        .raw("</ol></section>")
}

fn urgent(urgent: &Urgent, acts: &Acts, now: UnixMs) -> Html {
    let device = &urgent.device;
    let worst = urgent.alerts.first();
    Html::new()
        .raw(item(worst.map_or(Severity::Info, |alert| alert.severity)))
        .raw("<div class=\"line\"><h3><a href=\"/devices/")
        .text(&device.id)
        .raw("\">")
        .text(&super::devices::name(device))
        .raw("</a></h3>")
        .put(simulated_badge(device.simulated))
        .put(standing_badge(device.standing))
        .raw("<span class=\"whose\">")
        .text(&device.site)
        .raw(" · <span class=\"muted\">")
        .put(marks(device.asset_tag.as_deref(), &device.id))
        .raw(" · ")
        .put(place(device.vantage.as_deref()))
        .raw("</span>")
        .each(&urgent.tickets, |ticket| {
            Html::new().raw(" · ").put(super::frame::ticket(ticket))
        })
        .raw("</span></div><ul class=\"findings\">")
        .each(urgent.alerts.iter().enumerate(), |(at, each)| {
            let drawn = each.metric.is_some().then_some(each);
            let before = &urgent.alerts[..at];
            let is_told = before.iter().any(|other| other.rule == each.rule);
            Html::new()
                .raw("<li class=\"finding\"><div>")
                .put(alert(each, AlertPlace::List, acts, is_told, now))
                .raw("</div>")
                .maybe(drawn, |alert| sparkline(&device.id, alert))
                .raw("</li>")
        })
        .raw("</ul>")
        .each(&urgent.foreseen, |foreseen| forecast(foreseen, now))
        .raw("</li>")
}

/// The week before as a small picture of its own: it loads when it comes into sight, so that the page
/// itself waits for no history.
fn sparkline(device: &str, alert: &crate::query::AlertAnswer) -> Html {
    let metric = alert.metric.unwrap_or_default();
    let address = Address::new(format!("/devices/{device}/week.svg"))
        .with("metric", metric)
        .with("instance", alert.instance.as_str());
    Html::new()
        .raw("<figure class=\"spark\"><img loading=\"lazy\" width=\"160\" height=\"40\" alt=\"\" src=\"")
        .text(&address.text())
        .raw("\"><figcaption>")
        .text(&super::chart::label(metric))
        .raw(", 7 days</figcaption></figure>")
}

fn forecast(foreseen: &Foreseen, now: UnixMs) -> Html {
    let date: String = minute(foreseen.at).chars().take(10).collect();
    let is_past = foreseen.at <= now;
    Html::new()
        .raw("<p class=\"foreseen\">")
        .raw(foreseen.what)
        .maybe(
            Some(&foreseen.instance).filter(|text| !text.is_empty()),
            |text| Html::new().raw(" (").text(text).raw(")"),
        )
        .raw(if is_past { " now" } else { " about " })
        .raw_if(!is_past, "<time datetime=\"")
        .text(if is_past { "" } else { &date })
        .raw_if(!is_past, "\">")
        .text(if is_past { "" } else { &date })
        .raw_if(!is_past, "</time>")
        .maybe(
            Some(&foreseen.words).filter(|text| !text.is_empty()),
            |text| Html::new().raw(". ").text(text),
        )
        .raw("</p>")
}
