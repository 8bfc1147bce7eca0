//! Reports for whoever plans and buys. Each is a table to be printed, and a file.

use std::collections::BTreeMap;

use super::csv::Csv;
use super::devices::{cell, marks, or_unknown};
use super::html::Html;
use crate::query::{BatteryDue, DriveDue, LOAD_DAYS, Load, Query, QueryError, SystemDue, Viewer};

/// Rows of a table that a page shows; the file has all.
const SHOWN: usize = 500;

/// Columns of numbers, which stand below each other by their last digit.
const NUMBERS: [&str; 6] = [
    "Batteries",
    "Points",
    "Laptops",
    "Help desk",
    "Technology coach",
    "Network team",
];

/// What the page shows.
#[derive(Debug)]
pub(super) struct Reports {
    batteries: Vec<BatteryDue>,
    drives: Vec<DriveDue>,
    systems: Vec<SystemDue>,
    load: Vec<Load>,
}

impl Reports {
    pub fn find(query: &Query, viewer: &Viewer) -> Result<Self, QueryError> {
        Ok(Self {
            batteries: query.batteries_due(viewer),
            drives: query.drives_due(viewer),
            systems: query.systems_due(viewer),
            load: query.load(viewer)?,
        })
    }

    pub fn render(&self) -> Html {
        Html::new()
            .raw("<h1>Reports</h1><nav class=\"chips\" aria-label=\"Reports\">")
            .raw("<a href=\"#batteries\">Batteries</a><a href=\"#drives\">Drives</a>")
            .raw("<a href=\"#systems\">Operating systems</a><a href=\"#load\">Help desk and coach</a></nav>")
            .raw("<p class=\"muted screen\">To print one of them alone, choose it here first.</p>")
            .put(self.batteries())
            .put(self.drives())
            .put(self.systems())
            .put(self.load())
    }

    /// The purchase order: how many of which model by which month.
    fn batteries(&self) -> Html {
        let mut orders: BTreeMap<(bool, &str, &str), u64> = BTreeMap::new();
        for due in &self.batteries {
            *orders
                .entry((due.month != "now", due.month.as_str(), due.model.as_str()))
                .or_default() += 1;
        }
        let table = table(
            "Batteries that pass the replacement line, by month and model",
            &["Month", "Model", "Batteries"],
            orders.iter().take(SHOWN).map(|((_, month, model), count)| {
                [
                    Html::new().text(month),
                    Html::new().text(model),
                    Html::new().number(*count),
                ]
            }),
        );
        section(
            "batteries",
            "Batteries to replace",
            self.batteries.len(),
            "No battery is foreseen to pass the replacement line within two years.",
            table,
        )
    }

    fn drives(&self) -> Html {
        let rows = self.drives.iter().take(SHOWN).map(|due| {
            let device = Html::new()
                .raw("<a href=\"/devices/")
                .text(&due.device)
                .raw("?part=drives\">")
                .text(&due.model)
                .raw("</a> <span class=\"muted\">")
                .put(marks(Some(&due.tag), &due.device))
                .raw("</span>");
            let drive = match due.drive.as_str() {
                "" => due.instance.clone(),
                model => format!("{} · {model}", due.instance),
            };
            [
                device,
                Html::new().text(&due.site),
                Html::new().text(&drive),
                Html::new().text(&format!("{:.0}", due.points)),
                Html::new().text(&due.words),
            ]
        });
        let table = table(
            "Drives that look like those that failed soon; from 5 points on one is failing",
            &["Laptop", "Site", "Drive", "Points", "Why"],
            rows,
        );
        let none = "No drive has signs of failing.";
        section("drives", "Drives", self.drives.len(), none, table)
    }

    fn systems(&self) -> Html {
        let rows = self.systems.iter().take(SHOWN).map(|due| {
            let ends = Html::new()
                .text(&due.ends)
                .raw_if(due.is_over, " <span class=\"badge critical\">Over</span>");
            [
                ends,
                or_unknown(&due.os),
                Html::new().text(&due.site),
                Html::new().number(due.devices),
            ]
        });
        let table = table(
            "Systems whose support has ended or ends within a year and a half",
            &["Support ends", "System", "Site", "Laptops"],
            rows,
        );
        let none = "Every system that is known is supported for longer than a year and a half.";
        section(
            "systems",
            "Operating systems",
            self.systems.len(),
            none,
            table,
        )
    }

    fn load(&self) -> Html {
        let rows = self.load.iter().take(SHOWN).map(|load| {
            [
                Html::new().text(&load.site),
                Html::new().number(load.devices),
                Html::new().number(load.help_desk),
                Html::new().number(load.coach),
                Html::new().number(load.network),
                Html::new().text(&load.teach),
            ]
        });
        let table = table(
            "Alerts that began in the last 30 days, by whose work they are",
            &[
                "Site",
                "Laptops",
                "Help desk",
                "Technology coach",
                "Network team",
                "Training would help most with",
            ],
            rows,
        );
        let none = "There is no laptop yet.";
        section("load", "Help desk and coach", self.load.len(), none, table)
    }
}

fn section(
    id: &'static str,
    title: &'static str,
    rows: usize,
    none: &'static str,
    table: Html,
) -> Html {
    let page = Html::new()
        .raw("<section class=\"report\" aria-labelledby=\"")
        .raw(id)
        .raw("\"><h2 id=\"")
        .raw(id)
        .raw("\">")
        .raw(title)
        .raw("</h2>");
    if rows == 0 {
        return page
            .raw("<p class=\"empty\">")
            .raw(none)
            .raw("</p></section>");
    }
    let is_of_laptops = matches!(id, "batteries" | "drives");
    page.raw("<p class=\"links\"><a download href=\"/reports/")
        .raw(id)
        .raw(".csv\">As CSV")
        .raw_if(is_of_laptops, ", laptop by laptop")
        .raw("</a></p>")
        .put(table)
        .maybe(rows.checked_sub(SHOWN).filter(|more| *more > 0), |more| {
            Html::new()
                .raw("<p class=\"muted\">")
                .number(more as u64)
                .raw(" more rows are in the file.</p>")
        })
        .raw("</section>")
}

fn table<const N: usize>(
    caption: &'static str,
    heads: &[&'static str; N],
    rows: impl Iterator<Item = [Html; N]>,
) -> Html {
    Html::new()
        .raw("<table role=\"table\"><caption>")
        .raw(caption)
        .raw("</caption><thead role=\"rowgroup\"><tr role=\"row\">")
        .each(heads, |head| {
            Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\"")
                .raw_if(NUMBERS.contains(head), " class=\"number\"")
                .raw(">")
                .raw(head)
                .raw("</th>")
        })
        .raw("</tr></thead><tbody role=\"rowgroup\">")
        .each(rows, |cells| {
            let named = heads.iter().zip(cells);
            Html::new()
                .raw("<tr role=\"row\">")
                .each(named, |(head, content)| match NUMBERS.contains(head) {
                    true => number_cell(head, content),
                    false => cell(head, content),
                })
                .raw("</tr>")
        })
        .raw("</tbody></table>")
}

fn number_cell(name: &'static str, content: Html) -> Html {
    Html::new()
        .raw("<td role=\"cell\" class=\"number\" data-name=\"")
        .raw(name)
        .raw("\">")
        .put(content)
        .raw("</td>")
}

/// One of the reports as a file.
pub(super) fn csv(query: &Query, viewer: &Viewer, name: &str) -> Result<Csv, QueryError> {
    match name {
        "batteries.csv" => Ok(batteries(&query.batteries_due(viewer))),
        "drives.csv" => Ok(drives(&query.drives_due(viewer))),
        "systems.csv" => Ok(systems(&query.systems_due(viewer))),
        "load.csv" => Ok(loads(&query.load(viewer)?)),
        _ => Err(QueryError::NotFound("such report".to_owned())),
    }
}

fn batteries(due: &[BatteryDue]) -> Csv {
    let columns = [
        "month",
        "model",
        "site",
        "asset tag",
        "device",
        "battery",
        "health",
        "cycles",
    ];
    let mut csv = Csv::new("batteries", &columns);
    let number = |number: Option<f64>, digits: usize| {
        number.map_or_else(String::new, |number| format!("{number:.digits$}"))
    };
    for each in due {
        let (health, cycles) = (number(each.health, 3), number(each.cycles, 0));
        csv.row(&[
            &each.month,
            &each.model,
            &each.site,
            &each.tag,
            &each.device,
            &each.instance,
            &health,
            &cycles,
        ]);
    }
    csv
}

fn drives(due: &[DriveDue]) -> Csv {
    let columns = [
        "asset tag",
        "device",
        "model",
        "site",
        "drive",
        "drive model",
        "points",
        "why",
    ];
    let mut csv = Csv::new("drives", &columns);
    for each in due {
        let points = format!("{:.0}", each.points);
        csv.row(&[
            &each.tag,
            &each.device,
            &each.model,
            &each.site,
            &each.instance,
            &each.drive,
            &points,
            &each.words,
        ]);
    }
    csv
}

fn systems(due: &[SystemDue]) -> Csv {
    let mut csv = Csv::new(
        "systems",
        &["support ends", "over", "system", "site", "laptops"],
    );
    for each in due {
        let over = if each.is_over { "yes" } else { "no" };
        let devices = each.devices.to_string();
        csv.row(&[&each.ends, over, &each.os, &each.site, &devices]);
    }
    csv
}

fn loads(loads: &[Load]) -> Csv {
    let days = format!("alerts of {LOAD_DAYS} days for the ");
    let (desk, coach, network) = (
        format!("{days}help desk"),
        format!("{days}technology coach"),
        format!("{days}network team"),
    );
    let columns = [
        "site",
        "laptops",
        &desk,
        &coach,
        &network,
        "most frequent for the coach",
    ];
    let mut csv = Csv::new("load", &columns);
    for each in loads {
        csv.row(&[
            &each.site,
            &each.devices.to_string(),
            &each.help_desk.to_string(),
            &each.coach.to_string(),
            &each.network.to_string(),
            &each.teach,
        ]);
    }
    csv
}
