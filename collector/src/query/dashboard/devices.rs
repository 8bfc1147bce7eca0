//! The fleet: counts, and a table of all devices to search, to filter, to sort and to take away as CSV.

mod versions;

use rollcall_shared::time::UnixMs;

use super::PAGE_SIZE;
use super::address::{Address, pages};
use super::csv::{Csv, csv_time};
use super::frame::{simulated_badge, time};
use super::html::Html;
use crate::device::version::AgentVersions;
use crate::query::http::Parameters;
use crate::query::{
    At, Count, DeviceAnswer, FleetFilter, FleetPage, FleetRequest, FleetRow, Health, MOST_ROWS,
    Query, QueryError, Sort, Viewer,
};

/// What the address of the page may say.
pub(super) const KNOWN: [&str; 8] = [
    "site", "model", "os", "health", "search", "sort", "order", "page",
];

/// Sites, models or systems that are shown with their counts; the others are in the choices.
const SHOWN: usize = 6;

/// The columns: title, and by what they sort.
const COLUMNS: [(&str, Option<Sort>); 8] = [
    ("Device", Some(Sort::Device)),
    ("Site", Some(Sort::Site)),
    ("Health", Some(Sort::Health)),
    ("System", Some(Sort::System)),
    ("Battery", Some(Sort::Battery)),
    ("Disk used", Some(Sort::Disk)),
    ("Where", None),
    ("Heard of", Some(Sort::Heard)),
];

/// What the page shows.
#[derive(Debug)]
pub(super) struct Devices {
    wanted: Wanted,
    page: usize,
    found: FleetPage,
    /// The agents' versions by site.
    versions: Vec<AgentVersions>,
}

/// What the address asks for.
#[derive(Debug)]
struct Wanted {
    filter: FleetFilter,
    sort: Sort,
    reversed: bool,
}

impl Wanted {
    fn of(given: &mut Parameters) -> Result<Self, QueryError> {
        let word = |field: &str, words: Vec<&str>| {
            QueryError::field(field, format!("must be one of {}", words.join(", ")))
        };
        let health = given.text("health").map(|text| {
            Health::from_word(&text)
                .ok_or_else(|| word("health", Health::ALL.map(Health::word).into()))
        });
        let sort = given.text("sort").map(|text| {
            Sort::from_word(&text).ok_or_else(|| word("sort", Sort::ALL.map(Sort::word).into()))
        });
        let reversed = match given.text("order").as_deref() {
            None => false,
            Some("reversed") => true,
            Some(_) => return Err(word("order", vec!["reversed"])),
        };
        Ok(Self {
            filter: FleetFilter {
                site: given.text("site"),
                model: given.text("model"),
                os: given.text("os"),
                health: health.transpose()?,
                search: given.text("search"),
            },
            sort: sort.transpose()?.unwrap_or_default(),
            reversed,
        })
    }

    fn request(&self, skip: usize, most: usize) -> FleetRequest {
        FleetRequest {
            filter: self.filter.clone(),
            sort: self.sort,
            reversed: self.reversed,
            skip,
            most,
        }
    }

    fn address(&self) -> Address {
        let text = |wish: &Option<String>| wish.clone().unwrap_or_default();
        let filter = &self.filter;
        let sort = if self.sort == Sort::default() {
            ""
        } else {
            self.sort.word()
        };
        Address::new("/devices")
            .with("search", text(&filter.search))
            .with("site", text(&filter.site))
            .with("model", text(&filter.model))
            .with("os", text(&filter.os))
            .with("health", filter.health.map_or("", Health::word))
            .with("sort", sort)
            .with("order", if self.reversed { "reversed" } else { "" })
    }
}

/// The number of a page, from 1 on.
pub(super) fn page_number(given: &mut Parameters) -> Result<usize, QueryError> {
    let page = given.number("page")?.unwrap_or(1);
    usize::try_from(page)
        .ok()
        .filter(|page| (1..=MOST_ROWS).contains(page))
        .ok_or_else(|| QueryError::field("page", format!("must be from 1 to {MOST_ROWS}")))
}

/// Every device that matches, as a file.
pub(super) fn csv(
    query: &Query,
    viewer: &Viewer,
    mut given: Parameters,
) -> Result<Csv, QueryError> {
    let wanted = Wanted::of(&mut given)?;
    let found = query.fleet(viewer, &wanted.request(0, MOST_ROWS))?;
    let mut csv = Csv::new(
        "fleet",
        &[
            "id",
            "asset tag",
            "device",
            "school",
            "site",
            "group",
            "health",
            "alerts",
            "gravest alert",
            "since",
            "system",
            "battery health",
            "disk used",
            "where",
            "connected",
            "heard of",
            "agent",
            "simulated",
        ],
    );
    for row in &found.rows {
        let share = |share: Option<f32>| share.map(|s| format!("{s:.4}")).unwrap_or_default();
        csv.row(&[
            &row.id,
            &row.tag,
            &row.name,
            &row.school,
            &row.site,
            &row.group,
            row.health.word(),
            &row.firing.to_string(),
            &row.title,
            &csv_time(row.since),
            &row.os,
            &share(row.battery),
            &share(row.disk),
            &row.place,
            yes(row.connected),
            &csv_time(row.seen),
            &row.agent,
            yes(row.simulated),
        ]);
    }
    Ok(csv)
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

impl Devices {
    pub fn find(query: &Query, viewer: &Viewer, mut given: Parameters) -> Result<Self, QueryError> {
        let wanted = Wanted::of(&mut given)?;
        let page = page_number(&mut given)?;
        let size = PAGE_SIZE as usize;
        let found = query.fleet(viewer, &wanted.request((page - 1) * size, size))?;
        let mut versions = query.summary(viewer).agent_versions;
        let site = wanted.filter.site.as_deref();
        versions.retain(|of| site.is_none_or(|site| site == of.site));
        Ok(Self {
            wanted,
            page,
            found,
            versions,
        })
    }

    pub fn render(&self, now: UnixMs) -> Html {
        let address = self.wanted.address();
        let pages_in_all = self.found.total.div_ceil(PAGE_SIZE as usize);
        Html::new()
            .raw("<h1>Fleet</h1>")
            .put(versions::warning(&self.versions))
            .put(self.healths(&address))
            .put(self.filter(&address))
            .put(self.breakdown(&address))
            .put(if self.found.rows.is_empty() {
                self.nothing()
            } else {
                self.table(&address, now)
            })
            .put(pages(&address, self.page, pages_in_all))
    }

    fn healths(&self, address: &Address) -> Html {
        let chosen = self.wanted.filter.health;
        Html::new()
            .raw("<ul class=\"tiles\" aria-label=\"Devices by health\">")
            .each(&self.found.healths, |(health, devices)| {
                let is_chosen = chosen == Some(*health);
                let word = if is_chosen { "" } else { health.word() };
                Html::new()
                    .raw("<li><a class=\"tile ")
                    .raw(health.word())
                    .raw("\"")
                    .raw_if(is_chosen, " aria-current=\"true\"")
                    .raw(" href=\"")
                    .text(&address.with("health", word).text())
                    .raw("\"><strong>")
                    .number(*devices)
                    .raw("</strong> ")
                    .raw(health_words(*health))
                    .raw("</a></li>")
            })
            .raw("</ul>")
    }

    fn filter(&self, address: &Address) -> Html {
        let filter = &self.wanted.filter;
        let (found, search) = (&self.found, filter.search.as_deref().unwrap_or_default());
        Html::new()
            .raw("<form class=\"filter\" method=\"get\" action=\"/devices\" role=\"search\">")
            .raw("<p class=\"wide\"><label for=\"search\">Search</label>")
            .raw("<input id=\"search\" name=\"search\" type=\"search\" maxlength=\"100\" ")
            .raw("placeholder=\"Asset tag, model, alert or id\" value=\"")
            .text(search)
            .raw("\"></p>")
            .put(choice("site", "Site", &found.sites, filter.site.as_deref()))
            .put(choice(
                "model",
                "Model",
                &found.models,
                filter.model.as_deref(),
            ))
            .put(choice("os", "System", &found.systems, filter.os.as_deref()))
            .put(address.hidden(&["search", "site", "model", "os"]))
            .raw("<p><button type=\"submit\">Show</button></p>")
            .raw("<p class=\"links\"><a href=\"/devices\">All devices</a> <a href=\"")
            .text(&address.at("/devices.csv").text())
            .raw("\" download>As CSV</a></p></form>")
    }

    fn breakdown(&self, address: &Address) -> Html {
        let lists = [
            ("site", "Sites", &self.found.sites),
            ("model", "Models", &self.found.models),
            ("os", "Systems", &self.found.systems),
        ];
        let list = |(name, title, counts): (&'static str, &'static str, &Vec<Count>)| {
            let most = counts.first().map_or(1, |count| count.devices);
            Html::new()
                .raw("<section><h2>")
                .raw(title)
                .raw("</h2><ul class=\"bars\">")
                .each(counts.iter().take(SHOWN), |count| {
                    bar(&address.with(name, count.text.as_str()), count, most)
                })
                .raw("</ul>")
                .maybe(
                    counts.len().checked_sub(SHOWN).filter(|more| *more > 0),
                    |more| {
                        Html::new()
                            .raw("<p class=\"muted\">and ")
                            .number(more as u64)
                            .raw(" more</p>")
                    },
                )
                .raw("</section>")
        };
        Html::new()
            .raw("<div class=\"folds\"><details class=\"breakdown\" id=\"breakdown\"><summary>Counts by site, model and system")
            .raw("</summary><div class=\"thirds\">")
            .each(lists, list)
            .raw("</div></details>")
            .put(versions::table(&self.versions))
            .raw("</div>")
    }

    fn nothing(&self) -> Html {
        let page = Html::new().raw("<div class=\"empty\"><h2>");
        if self.found.visible == 0 {
            return page
                .raw("No device has enrolled yet</h2><p>Make an enrolment token, and run ")
                .raw("<code>rollcall-agent enroll</code> with it on the first laptop.</p></div>");
        }
        page.raw("No device matches</h2><p>None of ")
            .number(self.found.visible as u64)
            .raw(" devices is like this. <a href=\"/devices\">Show all</a></p></div>")
    }

    /// The roles are written out because the narrow layout turns the rows into blocks, which makes
    /// browsers forget that it is a table.
    fn table(&self, address: &Address, now: UnixMs) -> Html {
        Html::new()
            .raw("<table role=\"table\" class=\"fleet\"><caption>")
            .number(self.found.total as u64)
            .raw(if self.found.total == 1 {
                " device"
            } else {
                " devices"
            })
            .raw("</caption><thead role=\"rowgroup\"><tr role=\"row\">")
            .each(COLUMNS, |(title, sort)| self.head(address, title, sort))
            .raw("</tr></thead><tbody role=\"rowgroup\">")
            .each(&self.found.rows, |each| row(each, now))
            .raw("</tbody></table>")
    }

    /// A column's head; choosing the one that is sorted by turns the order.
    fn head(&self, address: &Address, title: &'static str, sort: Option<Sort>) -> Html {
        let Some(sort) = sort else {
            return Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\">")
                .raw(title)
                .raw("</th>");
        };
        let is_current = self.wanted.sort == sort;
        let turned = is_current && !self.wanted.reversed;
        let word = if sort == Sort::default() {
            ""
        } else {
            sort.word()
        };
        let order = if turned { "reversed" } else { "" };
        Html::new()
            .raw("<th role=\"columnheader\" scope=\"col\"")
            .raw(match (is_current, self.wanted.reversed) {
                (false, _) => "",
                (true, false) => " aria-sort=\"ascending\"",
                (true, true) => " aria-sort=\"descending\"",
            })
            .raw("><a href=\"")
            .text(&address.with("sort", word).with("order", order).text())
            .raw("\">")
            .raw(title)
            .raw("</a></th>")
    }
}

fn bar(address: &Address, count: &Count, most: u64) -> Html {
    let text = match count.text.as_str() {
        "" => "unknown",
        text => text,
    };
    let width = (count.devices * 100).div_ceil(most.max(1));
    Html::new()
        .raw("<li>")
        .put(address.link(text))
        .raw(" <span class=\"count\">")
        .number(count.devices)
        .raw("</span><svg viewBox=\"0 0 100 4\" preserveAspectRatio=\"none\" aria-hidden=\"true\">")
        .raw("<rect height=\"4\" width=\"")
        .number(width)
        .raw("\"/></svg></li>")
}

fn choice(name: &'static str, label: &'static str, counts: &[Count], chosen: Option<&str>) -> Html {
    let chosen = chosen.unwrap_or_default();
    let option = |text: &str, devices: u64| {
        Html::new()
            .raw("<option")
            .raw_if(text == chosen, " selected")
            .raw(" value=\"")
            .text(text)
            .raw("\">")
            .text(text)
            .raw(" (")
            .number(devices)
            .raw(")</option>")
    };
    let known: Vec<&Count> = counts
        .iter()
        .filter(|count| !count.text.is_empty())
        .collect();
    // One that nothing is left of stays chosen.
    let absent =
        (!chosen.is_empty() && known.iter().all(|count| count.text != chosen)).then_some(chosen);
    Html::new()
        .raw("<p><label for=\"")
        .raw(name)
        .raw("\">")
        .raw(label)
        .raw("</label><select id=\"")
        .raw(name)
        .raw("\" name=\"")
        .raw(name)
        .raw("\"><option value=\"\">All</option>")
        .maybe(absent, |text| option(text, 0))
        .each(known, |count| option(&count.text, count.devices))
        .raw("</select></p>")
}

fn row(device: &FleetRow, now: UnixMs) -> Html {
    let heard = match (device.connected, device.seen) {
        (true, _) => Html::new().raw("<span class=\"up\">Connected</span>"),
        (false, Some(seen)) => time(At(seen), now),
        (false, None) => Html::new().raw("never"),
    };
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><a href=\"/devices/")
        .text(&device.id)
        .raw("\">")
        .text(&device.name)
        .raw("</a>")
        .put(simulated_badge(device.simulated))
        .raw("<span class=\"id\">")
        .put(marks(Some(&device.tag), &device.id))
        .raw("</span></th>")
        .put(cell("Site", Html::new().text(&device.site)))
        .put(cell("Health", health(device)))
        .put(cell("System", or_unknown(&device.os)))
        .put(cell("Battery", share(device.battery)))
        .put(cell("Disk used", share(device.disk)))
        .put(cell(
            "Where",
            place(Some(device.place.as_str()).filter(|p| !p.is_empty())),
        ))
        .put(cell("Heard of", heard))
        .raw("</tr>")
}

/// The last group of an identity, which tells a school's laptops apart.
pub(super) fn short(id: &str) -> &str {
    id.rsplit('-').next().unwrap_or(id)
}

/// The asset tag, which stands on the laptop's lid, and the end of its identity.
pub(super) fn marks(tag: Option<&str>, id: &str) -> Html {
    let tag = tag.filter(|tag| !tag.is_empty());
    Html::new()
        .maybe(tag, |tag| {
            Html::new()
                .raw("<strong class=\"tag\">")
                .text(tag)
                .raw("</strong> · ")
        })
        .text(short(id))
}

fn health(device: &FleetRow) -> Html {
    let more = device.firing.saturating_sub(1);
    health_badge(device.health).maybe(
        Some(&device.title).filter(|title| !title.is_empty()),
        |title| {
            Html::new()
                .raw("<span class=\"what\">")
                .text(title)
                .maybe((more > 0).then_some(more), |more| {
                    Html::new()
                        .raw(" and ")
                        .number(u64::from(more))
                        .raw(" more")
                })
                .raw("</span>")
        },
    )
}

/// A health as a word in a shape; never by colour alone.
pub(super) fn health_badge(health: Health) -> Html {
    Html::new().raw(match health {
        Health::Critical => "<span class=\"badge critical\">Critical</span>",
        Health::Warning => "<span class=\"badge warning\">Warning</span>",
        Health::Info => "<span class=\"badge info\">Info</span>",
        Health::Quiet => "<span class=\"badge quiet\">Not heard of</span>",
        Health::Well => "<span class=\"badge well\">Well</span>",
        Health::Away => "<span class=\"badge\">Away</span>",
    })
}

const fn health_words(health: Health) -> &'static str {
    match health {
        Health::Critical => "critical",
        Health::Warning => "warning",
        Health::Info => "info",
        Health::Quiet => "not heard of",
        Health::Well => "well",
        Health::Away => "revoked or retired",
    }
}

fn share(share: Option<f32>) -> Html {
    match share {
        Some(share) => Html::new().text(&format!("{:.0} %", share * 100.0)),
        None => Html::new().raw("<span class=\"muted\">unknown</span>"),
    }
}

pub(super) fn cell(name: &'static str, content: Html) -> Html {
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
