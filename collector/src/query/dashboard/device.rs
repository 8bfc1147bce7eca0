//! The page of one device: what it is, what is wrong, and every latest reading.

use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::devices::{name, or_unknown, place, standing_badge};
use super::frame::{AlertPlace, alert, simulated_badge, time};
use super::html::Html;
use super::runbook;
use crate::query::{At, DeviceDetail, LatestAnswer};

/// The parts of the catalogue, each with the first code that is no longer of it.
const PARTS: [(u16, &str); 8] = [
    (30, "Operating system"),
    (50, "Hardware"),
    (80, "Battery"),
    (100, "File systems"),
    (140, "Drives"),
    (170, "Processor, memory, heat"),
    (220, "Network"),
    (u16::MAX, "The agent itself"),
];

/// The page's title.
pub(super) fn title(detail: &DeviceDetail) -> String {
    format!("{}, {}", name(&detail.device), detail.device.site)
}

/// The page's content.
pub(super) fn render(detail: &DeviceDetail, now: UnixMs) -> Html {
    Html::new()
        .raw("<p><a href=\"/devices\">All devices</a></p><h1>")
        .text(&name(&detail.device))
        .put(simulated_badge(detail.device.simulated))
        .put(standing_badge(detail.device.standing))
        .raw("</h1>")
        .put(facts(detail, now))
        .raw("<section aria-labelledby=\"alerts\"><h2 id=\"alerts\">Alerts</h2>")
        .put(alerts(detail, now))
        .raw("</section><section aria-labelledby=\"readings\">")
        .raw("<h2 id=\"readings\">Latest readings</h2>")
        .put(readings(&detail.latest, now))
        .raw("</section>")
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
    match skew_ms / 1000 {
        0 => "right".to_owned(),
        seconds @ 1.. => format!("{seconds} s ahead"),
        seconds => format!("{} s behind", seconds.unsigned_abs()),
    }
}

fn alerts(detail: &DeviceDetail, now: UnixMs) -> Html {
    if detail.alerts.is_empty() {
        return Html::new().raw("<p>No alert is open.</p>");
    }
    Html::new()
        .raw("<ol class=\"alerts\">")
        .each(&detail.alerts, |each| alert(each, AlertPlace::Device, now))
        .raw("</ol>")
}

fn readings(latest: &[LatestAnswer], now: UnixMs) -> Html {
    if latest.is_empty() {
        return Html::new().raw("<p>It has not sent a report yet.</p>");
    }
    let mut first = 0;
    let parts = PARTS.map(|(end, name)| {
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
                .each(rows, |reading| row(reading, now))
                .raw("</tbody>")
        })
        .raw("</table>")
}

fn row(reading: &LatestAnswer, now: UnixMs) -> Html {
    let meaning = metric::by_code(reading.code).map_or("", |metric| metric.meaning);
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><code>")
        .text(reading.metric)
        .raw("</code><span class=\"meaning\">")
        .put(runbook::line(meaning))
        .raw("</span></th><td role=\"cell\" data-name=\"Of\">")
        .text(&reading.instance)
        .raw("</td><td role=\"cell\" data-name=\"Value\">")
        .put(value(reading))
        .raw("</td><td role=\"cell\" data-name=\"Since\">")
        .put(time(reading.since_at, now))
        .raw("</td></tr>")
}

fn value(reading: &LatestAnswer) -> Html {
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
fn rounded(number: f64) -> String {
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
        assert_eq!(text(404.0, &metric::REACH_STATUS), "404");
        assert_eq!(text(512e9, &metric::DRIVE_SIZE), "512.0 GB");
        assert_eq!(text(312.0, &metric::BATTERY_CYCLES), "312");
        assert_eq!(text(47.5, &metric::TEMPERATURE), "47.5 °C");
        assert_eq!(text(-12.0, &metric::OS_SUPPORT_REMAINING), "-12 days");
        assert_eq!(text(0.0, &metric::FILESYSTEM_FREE), "0.0 B");
    }

    #[test]
    fn every_metric_belongs_to_a_part() {
        assert!(PARTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(
            metric::CATALOGUE
                .iter()
                .all(|metric| metric.code < u16::MAX)
        );
    }

    #[test]
    fn a_clock_is_told_in_words() {
        assert_eq!(clock(900), "right");
        assert_eq!(clock(61_000), "61 s ahead");
        assert_eq!(clock(-61_000), "61 s behind");
    }
}
