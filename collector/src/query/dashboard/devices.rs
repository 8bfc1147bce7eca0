//! The devices page: a table of all, to search and to filter.

use rollcall_shared::time::UnixMs;

use super::PAGE_SIZE;
use super::frame::{next_page, simulated_badge, site_choice, time};
use super::html::Html;
use crate::query::http::Parameters;
use crate::query::{DeviceAnswer, DeviceFilter, DeviceList, Page, Query, QueryError, Viewer};

/// What the page shows.
#[derive(Debug)]
pub(super) struct Devices {
    site: String,
    search: String,
    sites: Vec<String>,
    list: DeviceList,
}

impl Devices {
    pub fn find(
        query: &Query,
        viewer: &Viewer,
        mut wanted: Parameters,
    ) -> Result<Self, QueryError> {
        let (site, search) = (wanted.text("site"), wanted.text("search"));
        let page = Page::new(Some(PAGE_SIZE), wanted.text("page").as_deref())?;
        let filter = DeviceFilter {
            site: site.clone(),
            group: None,
            search: search.clone(),
        };
        let sites = query.summary(viewer).sites;
        Ok(Self {
            site: site.unwrap_or_default(),
            search: search.unwrap_or_default(),
            sites: sites.into_iter().map(|site| site.site).collect(),
            list: query.devices(viewer, &filter, page)?,
        })
    }

    pub fn render(&self, now: UnixMs) -> Html {
        let kept = [
            ("site", self.site.as_str()),
            ("search", self.search.as_str()),
        ];
        let next = self.list.next_page.as_deref();
        Html::new()
            .raw("<h1>Devices</h1>")
            .put(self.filter())
            .put(if self.list.devices.is_empty() {
                Html::new().raw("<p class=\"empty\">No device matches.</p>")
            } else {
                self.table(now)
            })
            .put(next_page("/devices", &kept, next))
    }

    fn filter(&self) -> Html {
        Html::new()
            .raw("<form class=\"filter\" method=\"get\" action=\"/devices\" role=\"search\">")
            .raw("<p><label for=\"search\">Model, system or id</label>")
            .raw("<input id=\"search\" name=\"search\" type=\"search\" maxlength=\"100\" value=\"")
            .text(&self.search)
            .raw("\"></p>")
            .put(site_choice(&self.sites, &self.site))
            .raw("<p><button type=\"submit\">Show</button></p></form>")
    }

    /// The roles are written out because the narrow layout turns the rows into blocks, which makes
    /// browsers forget that it is a table.
    fn table(&self, now: UnixMs) -> Html {
        let heads = ["Device", "Site", "System", "Where", "Heard of", "Firing"];
        Html::new()
            .raw("<table role=\"table\"><caption>")
            .number(self.list.total)
            .raw(if self.list.total == 1 {
                " device"
            } else {
                " devices"
            })
            .raw("</caption><thead role=\"rowgroup\"><tr role=\"row\">")
            .each(heads, |head| {
                Html::new()
                    .raw("<th role=\"columnheader\" scope=\"col\">")
                    .raw(head)
                    .raw("</th>")
            })
            .raw("</tr></thead><tbody role=\"rowgroup\">")
            .each(&self.list.devices, |device| row(device, now))
            .raw("</tbody></table>")
    }
}

fn row(device: &DeviceAnswer, now: UnixMs) -> Html {
    let seen = device.last_seen_at.map(|at| time(at, now));
    let heard = if device.connected {
        Html::new().raw("<span class=\"up\">Connected</span>")
    } else {
        seen.unwrap_or_else(|| Html::new().raw("never"))
    };
    let firing = Html::new().number(u64::from(device.firing_alerts));
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><a href=\"/devices/")
        .text(&device.id)
        .raw("\">")
        .text(&name(device))
        .raw("</a>")
        .put(simulated_badge(device.simulated))
        .put(standing_badge(device.standing))
        .raw("<span class=\"id\">")
        .text(&device.id)
        .raw("</span></th>")
        .put(cell("Site", Html::new().text(&device.site)))
        .put(cell("System", or_unknown(&device.os)))
        .put(cell("Where", place(device.vantage.as_deref())))
        .put(cell("Heard of", heard))
        .put(cell("Firing", firing))
        .raw("</tr>")
}

fn cell(name: &'static str, content: Html) -> Html {
    Html::new()
        .raw("<td role=\"cell\" data-name=\"")
        .raw(name)
        .raw("\">")
        .put(content)
        .raw("</td>")
}

/// Vendor and model, or what is known of them.
pub(super) fn name(device: &DeviceAnswer) -> String {
    match format!("{} {}", device.vendor, device.model).trim() {
        "" => "Unknown model".to_owned(),
        name => name.to_owned(),
    }
}

pub(super) fn or_unknown(text: &str) -> Html {
    if text.is_empty() {
        return Html::new().raw("<span class=\"muted\">unknown</span>");
    }
    Html::new().text(text)
}

/// Where a device is, in words.
pub(super) fn place(vantage: Option<&str>) -> Html {
    match vantage {
        Some("off-campus") => Html::new().raw("Off campus"),
        Some(vantage) => {
            let site = vantage.strip_prefix("on-campus:").unwrap_or(vantage);
            Html::new().raw("At ").text(site)
        }
        None => or_unknown(""),
    }
}

/// What is unusual about whether a device may speak.
pub(super) fn standing_badge(standing: &str) -> Html {
    match standing {
        "revoked" => Html::new().raw(" <span class=\"badge\">Revoked</span>"),
        "retired" => Html::new().raw(" <span class=\"badge\">Retired</span>"),
        _ => Html::new(),
    }
}
