//! The page of one device: what it is, what is wrong, how it was, and every latest reading.

use std::collections::BTreeSet;

use rollcall_shared::id::DeviceId;
use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::acts::Acts;
use super::address::Address;
use super::assets::has_charts;
use super::chart::{self, RANGES, Scale, range_ms};
use super::devices::{name, or_unknown, place, standing_badge};
use super::frame::{AlertPlace, alert, minute, script, simulated_badge, style, time};
use super::html::Html;
use super::runbook;
use crate::alert::AlertState;
use crate::evaluate::rules::quantity::show_ms;
use crate::query::http::Parameters;
use crate::query::{
    AlertAnswer, AlertFilter, At, DeviceDetail, History, LatestAnswer, Query, QueryError,
    TicketAnswer, Viewer,
};

/// The parts of the catalogue: word, title, and the first code that is no longer of it.
pub(super) const PARTS: [(&str, &str, u16); 8] = [
    ("system", "Operating system", 30),
    ("hardware", "Hardware", 50),
    ("battery", "Battery", 80),
    ("files", "File systems", 100),
    ("drives", "Drives", 140),
    ("load", "Processor, memory, heat", 170),
    ("network", "Network", 220),
    ("agent", "The agent itself", u16::MAX),
];

/// Charts on a page; with more it is hard to find anything, and one metric can be chosen.
const CHARTS: usize = 24;

/// Alerts of the past that are shown.
const PAST_ALERTS: u64 = 20;

/// What the address of the page may say.
pub(super) const KNOWN: [&str; 3] = ["part", "metric", "range"];

/// What the page shows.
#[derive(Debug)]
pub(super) struct DevicePage {
    detail: DeviceDetail,
    past: Vec<AlertAnswer>,
    tickets: Vec<TicketAnswer>,
    history: History,
    part: &'static str,
    metric: Option<&'static Metric>,
    range: String,
}

/// Which metrics are drawn.
pub(super) fn wanted(
    part: Option<&str>,
    metric: Option<&str>,
) -> Result<(&'static str, Option<&'static Metric>), QueryError> {
    let metric = metric
        .map(|name| {
            metric::by_name(name)
                .ok_or_else(|| QueryError::field("metric", "must be a name of the catalogue"))
        })
        .transpose()?;
    let by_code = |code: u16| PARTS.iter().find(|(.., end)| code < *end);
    let found = match (metric, part) {
        (Some(metric), _) => by_code(metric.code),
        (None, Some(part)) => PARTS.iter().find(|(word, ..)| *word == part),
        (None, None) => PARTS.iter().find(|(word, ..)| *word == "battery"),
    };
    let (word, ..) = found.ok_or_else(|| {
        let words = PARTS.map(|(word, ..)| word).join(", ");
        QueryError::field("part", format!("must be one of {words}"))
    })?;
    Ok((word, metric))
}

/// Whether a metric belongs to a part.
pub(super) fn is_of(part: &str, metric: &Metric) -> bool {
    let at = PARTS.iter().position(|(word, ..)| *word == part);
    at.is_some_and(|at| {
        let begin = at.checked_sub(1).map_or(0, |before| PARTS[before].2);
        (begin..PARTS[at].2).contains(&metric.code)
    })
}

impl DevicePage {
    pub fn find(
        query: &Query,
        viewer: &Viewer,
        id: &str,
        mut given: Parameters,
    ) -> Result<Self, QueryError> {
        let detail = query.device(viewer, id)?;
        let (part, metric) = (given.text("part"), given.text("metric"));
        let (part, metric) = wanted(part.as_deref(), metric.as_deref())?;
        let range = given.text("range");
        let (to, length) = (query.now(), range_ms(range.as_deref())?);
        let drawn = |known: &Metric| is_of(part, known) && metric.is_none_or(|m| m == known);
        let history = query.history(viewer, id, (to.plus_ms(-length), to), drawn)?;
        let over = AlertFilter {
            state: Some(AlertState::Resolved),
            site: None,
            device: Some(id.to_owned()),
        };
        let device: BTreeSet<DeviceId> = id.parse().into_iter().collect();
        Ok(Self {
            tickets: query.tickets_of(&device).into_values().flatten().collect(),
            past: query.alerts(viewer, &over, Some(PAST_ALERTS), None)?.alerts,
            range: range.unwrap_or_else(|| "day".to_owned()),
            detail,
            history,
            part,
            metric,
        })
    }

    pub fn title(&self) -> String {
        let device = &self.detail.device;
        match device.asset_tag.as_deref() {
            Some(tag) => format!("{tag}, {}, {}", name(device), device.site),
            None => format!("{}, {}", name(device), device.site),
        }
    }

    pub fn render(&self, acts: &Acts, now: UnixMs) -> Html {
        let device = &self.detail.device;
        Html::new()
            .raw("<p class=\"crumbs\"><a href=\"/devices\">Fleet</a></p><h1>")
            .maybe(device.asset_tag.as_deref(), |tag| {
                Html::new().text(tag).raw(" · ")
            })
            .text(&name(device))
            .put(simulated_badge(device.simulated))
            .put(standing_badge(device.standing))
            .raw("</h1>")
            .put(facts(&self.detail, now))
            .raw("<section aria-labelledby=\"alerts\"><h2 id=\"alerts\">Alerts</h2>")
            .put(alerts(&self.detail.alerts, acts, now))
            .put(self.past(acts, now))
            .put(self.tickets(now))
            .raw("</section><section aria-labelledby=\"history\">")
            .raw("<h2 id=\"history\">History</h2>")
            .put(self.charts())
            .raw("</section><section aria-labelledby=\"readings\">")
            .raw("<h2 id=\"readings\">Latest readings</h2>")
            .put(self.readings(now))
            .raw("</section>")
    }

    fn address(&self) -> Address {
        Address::new(format!("/devices/{}", self.detail.device.id))
            .with("part", self.part)
            .with("metric", self.metric.map_or("", |metric| metric.name))
            .with("range", self.range.as_str())
    }

    fn past(&self, acts: &Acts, now: UnixMs) -> Html {
        let list = Html::new()
            .raw("<ol class=\"alerts\">")
            .each(&self.past, |each| {
                alert(each, AlertPlace::Device, acts, false, now)
            })
            .raw("</ol>");
        let shown = (!self.past.is_empty()).then_some(list);
        Html::new().maybe(shown, |list| {
            super::frame::details("past", "Alerts that are over", list)
        })
    }

    fn tickets(&self, now: UnixMs) -> Html {
        if self.tickets.is_empty() {
            return Html::new();
        }
        Html::new()
            .raw("<h3>Tickets</h3><ul class=\"tickets\">")
            .each(&self.tickets, |each| {
                Html::new()
                    .raw("<li>")
                    .text(&each.title)
                    .raw(": ")
                    .put(super::frame::ticket(each))
                    .raw(" at ")
                    .text(&each.channel)
                    .raw(", ")
                    .put(time(each.at, now))
                    .raw("</li>")
            })
            .raw("</ul>")
    }

    fn charts(&self) -> Html {
        let (address, id) = (self.address(), &self.detail.device.id);
        let parts = Html::new()
            .raw("<nav class=\"chips\" aria-label=\"What is drawn\">")
            .each(PARTS, |(word, title, _)| {
                let to = address.with("part", word).with("metric", "");
                chip(&to, title, self.part == word && self.metric.is_none())
            })
            .maybe(self.metric, |metric| chip(&address, metric.name, true))
            .raw("</nav>");
        let ranges = Html::new()
            .raw("<nav class=\"chips\" aria-label=\"Range\">")
            .each(RANGES, |(word, title, _)| {
                chip(&address.with("range", word), title, self.range == word)
            })
            .raw("</nav>");
        let page = Html::new().put(parts).put(ranges);
        let (lines, unknown): (Vec<_>, Vec<_>) = self
            .history
            .lines
            .iter()
            .partition(|line| chart::is_known(line));
        if lines.is_empty() {
            return page.raw("<p class=\"empty\">Nothing of this was reported in this time.</p>");
        }
        let more = lines.len().saturating_sub(CHARTS);
        page.put(self.legend())
            .put(chart::places(&self.history))
            .raw("<div class=\"charts\" data-history=\"")
            .text(&address.at(format!("/devices/{id}/history.json")).text())
            .raw("\">")
            .each(lines.into_iter().take(CHARTS), |line| {
                chart::figure(line, &self.history, id)
            })
            .raw("</div>")
            .maybe((!unknown.is_empty()).then_some(unknown), |lines| {
                let titles: Vec<String> = lines.into_iter().map(chart::title).collect();
                Html::new()
                    .raw("<p class=\"muted\">Not available in this time: ")
                    .text(&titles.join(", "))
                    .raw(".</p>")
            })
            .maybe((more > 0).then_some(more), |more| {
                Html::new()
                    .raw("<p class=\"muted\">and ")
                    .number(more as u64)
                    .raw(" more: choose a reading below to see it alone</p>")
            })
            .put(if has_charts() {
                style("uplot.css")
                    .put(script("uplot.js"))
                    .put(script("charts.js"))
            } else {
                Html::new()
            })
    }

    /// What shades, bands and gaps mean.
    fn legend(&self) -> Html {
        let sample = |class: &'static str| {
            Html::new()
                .raw("<svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"")
                .raw(class)
                .raw("\" width=\"12\" height=\"12\"/></svg> ")
        };
        let bands = self.history.step_ms.map(|step_ms| {
            sample("band")
                .raw("between the least and the greatest of ")
                .raw(chart::stretch(step_ms))
                .raw(", the line is their mean. ")
        });
        Html::new()
            .raw("<p class=\"legend muted\">")
            .put(sample("campus"))
            .raw("on campus ")
            .put(sample("away"))
            .raw("off campus. ")
            .maybe(bands, |bands| bands)
            .raw("A gap is time in which it slept, or the reading could not be taken.</p>")
    }

    fn readings(&self, now: UnixMs) -> Html {
        let id = &self.detail.device.id;
        Html::new()
            .raw("<p><a href=\"/devices/")
            .text(id)
            .raw("/collected\">What is collected about this laptop, and what was done for privacy</a></p>")
            .put(readings(&self.detail.latest, &self.address(), now))
    }
}

fn chip(address: &Address, title: &str, is_current: bool) -> Html {
    Html::new()
        .raw("<a href=\"")
        .text(&address.text())
        .raw("#history\"")
        .raw_if(is_current, " aria-current=\"true\"")
        .raw(">")
        .text(title)
        .raw("</a>")
}

fn facts(detail: &DeviceDetail, now: UnixMs) -> Html {
    let device = &detail.device;
    let moment = |at: Option<At>| match at {
        Some(at) => time(at, now),
        None => Html::new().raw("never"),
    };
    let seen = if device.connected {
        Html::new().raw("<span class=\"up\">Connected</span>")
    } else {
        moment(device.last_seen_at)
    };
    Html::new()
        .raw("<dl class=\"facts\">")
        .maybe(device.asset_tag.as_deref(), |tag| {
            fact("Asset tag", Html::new().text(tag))
        })
        .maybe(device.school.as_deref(), |school| {
            fact("School", Html::new().text(school))
        })
        .maybe(device.asset_status, |status| {
            fact("Inventory", Html::new().text(&status.replace('_', " ")))
        })
        .put(fact("Site", Html::new().text(&device.site)))
        .maybe(device.group.as_deref(), |g| {
            fact("Group", Html::new().text(g))
        })
        .put(fact("System", or_unknown(&device.os)))
        .put(fact("Where", place(device.vantage.as_deref())))
        .put(fact("Heard of", seen))
        .put(fact("Last report", moment(device.last_report_at)))
        .put(fact("Enrolled", time(device.enrolled_at, now)))
        .put(fact("Agent", or_unknown(&device.agent_version)))
        .maybe(device.clock_skew_ms, |ms| {
            fact("Its clock", Html::new().text(&clock(ms)))
        })
        .maybe(device.cloned_from.as_deref(), |id| {
            let link = Html::new()
                .raw("<a href=\"/devices/")
                .text(id)
                .raw("\">")
                .text(id);
            fact("Cloned from", link.raw("</a>"))
        })
        .put(fact(
            "Id",
            Html::new().raw("<code>").text(&device.id).raw("</code>"),
        ))
        .raw("</dl>")
}

fn fact(name: &'static str, content: Html) -> Html {
    Html::new()
        .raw("<div><dt>")
        .raw(name)
        .raw("</dt><dd>")
        .put(content)
        .raw("</dd></div>")
}

fn clock(skew_ms: i64) -> String {
    let told = |seconds: i64| show_ms(seconds.saturating_abs().saturating_mul(1000));
    match skew_ms / 1000 {
        0 => "right".to_owned(),
        seconds @ 1.. => format!("{} ahead", told(seconds)),
        seconds => format!("{} behind", told(seconds)),
    }
}

fn alerts(alerts: &[AlertAnswer], acts: &Acts, now: UnixMs) -> Html {
    if alerts.is_empty() {
        return Html::new().raw("<p class=\"empty\">No alert is open.</p>");
    }
    Html::new()
        .raw("<ol class=\"alerts\">")
        .each(alerts, |each| {
            alert(each, AlertPlace::Device, acts, false, now)
        })
        .raw("</ol>")
}

fn readings(latest: &[LatestAnswer], address: &Address, now: UnixMs) -> Html {
    if latest.is_empty() {
        return Html::new().raw("<p>It has not sent a report yet.</p>");
    }
    let mut first = 0;
    let parts = PARTS.map(|(_, name, end)| {
        let part = first..end;
        first = end;
        let rows: Vec<_> = latest.iter().filter(|r| part.contains(&r.code)).collect();
        (name, rows)
    });
    let filled = parts.into_iter().filter(|(_, rows)| !rows.is_empty());
    Html::new()
        .raw("<table role=\"table\" class=\"readings\"><caption>The latest of each reading, and since when it is so")
        .raw("</caption><thead role=\"rowgroup\"><tr role=\"row\">")
        .raw("<th role=\"columnheader\" scope=\"col\">Reading</th>")
        .raw("<th role=\"columnheader\" scope=\"col\">Of</th>")
        .raw("<th role=\"columnheader\" scope=\"col\">Value</th>")
        .raw("<th role=\"columnheader\" scope=\"col\">Since</th></tr></thead>")
        .each(filled, |(name, rows)| {
            Html::new()
                .raw("<tbody role=\"rowgroup\"><tr role=\"row\" class=\"part\">")
                .raw("<th role=\"rowheader\" colspan=\"4\" scope=\"rowgroup\">")
                .raw(name)
                .raw("</th></tr>")
                .each(rows, |reading| row(reading, address, now))
                .raw("</tbody>")
        })
        .raw("</table>")
}

fn row(reading: &LatestAnswer, address: &Address, now: UnixMs) -> Html {
    let known = metric::by_code(reading.code);
    let meaning = known.map_or("", |metric| metric.meaning);
    let drawn = known.is_some_and(crate::query::is_drawn);
    let to = address.with("metric", reading.metric).text();
    let linked = Html::new()
        .raw("<a href=\"")
        .text(&to)
        .raw("#history\"><code>")
        .text(reading.metric)
        .raw("</code></a>");
    let plain = Html::new()
        .raw("<code>")
        .text(reading.metric)
        .raw("</code>");
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">")
        .put(if drawn { linked } else { plain })
        .raw("<span class=\"meaning\">")
        .put(runbook::line(meaning))
        .raw("</span></th><td role=\"cell\" data-name=\"Of\">")
        .text(&reading.instance)
        .raw("</td><td role=\"cell\" data-name=\"Value\">")
        .put(value(reading))
        .raw("</td><td role=\"cell\" data-name=\"Since\">")
        .put(time(reading.since_at, now))
        .raw("</td></tr>")
}

/// A reading in words.
pub(super) fn value(reading: &LatestAnswer) -> Html {
    let known = metric::by_code(reading.code);
    match (&reading.value, known) {
        (Value::Number(number), Some(metric)) => Html::new().text(&number_text(*number, metric)),
        (Value::Unavailable(why), _) => Html::new()
            .raw("<span class=\"unavailable\">not available</span> ")
            .text(why),
        (value, _) => Html::new().text(&value.to_string()),
    }
}

/// A number with its unit as people write it; shares as percent, bytes in powers of ten.
fn number_text(number: f64, metric: &Metric) -> String {
    let is_share = matches!(metric.kind, Kind::Gauge { high, .. } if high <= 3.0);
    match metric.unit {
        "1" if is_share => format!("{} %", rounded(number * 100.0)),
        "1" => rounded(number),
        "s" if *metric == metric::BOOT_TIME => {
            format!("{} UTC", minute(UnixMs((number * 1000.0) as i64)))
        }
        "s" if number == 0.0 => "0 s".to_owned(),
        "s" => Scale::of(metric, number.abs()).show(number),
        "By" => bytes_text(number),
        "Cel" => format!("{} °C", rounded(number)),
        "d" => format!("{} days", rounded(number)),
        counted if counted.starts_with('{') => rounded(number),
        unit => format!("{} {unit}", rounded(number)),
    }
}

fn bytes_text(bytes: f64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.into_iter().find(|(size, _)| bytes >= *size);
    let (size, unit) = unit.unwrap_or((1.0, "B"));
    format!("{:.1} {unit}", bytes / size)
}

/// Whole where it is large, with two digits where it is small.
pub(super) fn rounded(number: f64) -> String {
    if number.abs() >= 100.0 {
        return format!("{number:.0}");
    }
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let text = number_text;
        assert_eq!(text(0.615, &metric::BATTERY_HEALTH), "61.5 %");
        assert_eq!(text(114_000.0, &metric::UPTIME), "31.67 h");
        assert_eq!(text(-1.8, &metric::CLOCK_OFFSET), "-1.8 s");
        assert_eq!(text(0.0, &metric::CLOCK_OFFSET), "0 s");
        let boot = text(1_787_557_500.0, &metric::BOOT_TIME);
        assert_eq!(boot, "2026-08-24 07:45 UTC");
        assert_eq!(text(404.0, &metric::REACH_STATUS), "404");
        assert_eq!(text(512e9, &metric::DRIVE_SIZE), "512.0 GB");
        assert_eq!(text(312.0, &metric::BATTERY_CYCLES), "312");
        assert_eq!(text(47.5, &metric::TEMPERATURE), "47.5 °C");
        assert_eq!(text(-12.0, &metric::OS_SUPPORT_REMAINING), "-12 days");
        assert_eq!(text(0.0, &metric::FILESYSTEM_FREE), "0.0 B");
    }

    #[test]
    fn every_metric_belongs_to_a_part() {
        assert!(PARTS.windows(2).all(|pair| pair[0].2 < pair[1].2));
        assert!(is_of("system", &metric::OS_NAME) && !is_of("hardware", &metric::OS_NAME));
        assert!(is_of("battery", &metric::BATTERY_CHARGE) && is_of("agent", &metric::SPOOL_BYTES));
        assert!(
            metric::CATALOGUE
                .iter()
                .all(|metric| metric.code < u16::MAX)
        );
    }

    #[test]
    fn a_clock_is_told_in_words() {
        assert_eq!(clock(900), "right");
        assert_eq!(clock(61_900), "1 min 1 s ahead");
        assert_eq!(clock(-4 * 3_600_000), "4 h behind");
    }
}
