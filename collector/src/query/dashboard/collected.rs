//! The privacy view: what is collected about one laptop, field by field, and what was done so that it
//! tells nothing about a pupil. A family may see and keep it.

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::time::UnixMs;

use super::device::{PARTS, is_of, value};
use super::devices::{cell, name};
use super::frame::time;
use super::html::Html;
use super::runbook;
use crate::query::{DeviceDetail, LatestAnswer};

pub(super) fn render(detail: &DeviceDetail, now: UnixMs) -> Html {
    let device = &detail.device;
    Html::new()
        .raw("<p class=\"crumbs\"><a href=\"/devices/")
        .text(&device.id)
        .raw("\">")
        .text(&name(device))
        .raw("</a></p><h1>What is collected about this laptop</h1>")
        .raw("<p>This is everything that the agent may send: no other field exists. No location, no ")
        .raw("network's name, no public address, no user or file name, no browsing, keys, sound or ")
        .raw("picture is collected, and nothing that is sent can make the laptop run anything.</p>")
        .raw("<table role=\"table\" class=\"readings\"><caption>Each field, what it says, and the ")
        .raw("latest value of this laptop</caption><thead role=\"rowgroup\"><tr role=\"row\">")
        .each(["Field", "Latest value", "Since"], |head| {
            Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\">")
                .raw(head)
                .raw("</th>")
        })
        .raw("</tr></thead>")
        .each(PARTS, |(part, title, _)| {
            let metrics = metric::CATALOGUE.iter().filter(|metric| is_of(part, metric));
            Html::new()
                .raw("<tbody role=\"rowgroup\"><tr role=\"row\" class=\"part\">")
                .raw("<th role=\"rowheader\" colspan=\"3\" scope=\"rowgroup\">")
                .raw(title)
                .raw("</th></tr>")
                .each(metrics, |metric| row(metric, &detail.latest, now))
                .raw("</tbody>")
        })
        .raw("</table>")
}

fn row(metric: &Metric, latest: &[LatestAnswer], now: UnixMs) -> Html {
    let own: Vec<_> = latest
        .iter()
        .filter(|each| each.code == metric.code)
        .collect();
    let values = Html::new().each(&own, |each| {
        Html::new()
            .raw("<span class=\"each\">")
            .maybe(
                Some(&each.instance).filter(|text| !text.is_empty()),
                |text| {
                    Html::new()
                        .raw("<span class=\"muted\">")
                        .text(text)
                        .raw("</span> ")
                },
            )
            .put(value(each))
            .raw("</span>")
    });
    let never = Html::new().raw("<span class=\"muted\">never sent</span>");
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\"><code>")
        .raw(metric.name)
        .raw("</code><span class=\"meaning\">")
        .put(runbook::line(metric.meaning))
        .raw("</span>")
        .maybe(
            Some(metric.privacy).filter(|text| !text.is_empty()),
            |text| {
                Html::new()
                    .raw("<span class=\"privacy\">")
                    .put(runbook::line(text))
                    .raw("</span>")
            },
        )
        .raw("</th>")
        .put(cell(
            "Latest value",
            if own.is_empty() { never } else { values },
        ))
        .put(cell(
            "Since",
            Html::new().maybe(own.first(), |each| time(each.since_at, now)),
        ))
        .raw("</tr>")
}
