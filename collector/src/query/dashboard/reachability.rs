//! The reachability page: targets by vantage, now and over the day.

use rollcall_shared::time::UnixMs;

use super::frame::{minute, time};
use super::html::Html;
use crate::query::{Cell, Matrix, Target};
use crate::reach_note::{Reached, Vantage};

/// Share of laptops that fail from which a cell is marked: above what single bad links make.
const SOME: f64 = 0.1;

/// Share from which it is an outage.
const MOST: f64 = 0.5;

pub(super) fn render(matrix: &Matrix, now: UnixMs) -> Html {
    Html::new()
        .raw("<h1>Reachability</h1>")
        .raw("<p>How far laptops get with what the school depends on, by where they are. A row that ")
        .raw("fails everywhere is the service; a column that fails is that site's network; a single ")
        .raw("laptop off campus is its home.</p>")
        .put(if matrix.targets.is_empty() {
            nothing()
        } else {
            table(matrix)
        })
        .put(if matrix.targets.is_empty() {
            Html::new()
        } else {
            day_note(matrix, now)
        })
}

fn nothing() -> Html {
    Html::new()
        .raw("<div class=\"empty\"><h2>No laptop has told of any target just now</h2>")
        .raw("<p>Targets are set in the collector's <code>[agents.targets]</code>. Laptops that ")
        .raw("reported within the last 15 minutes count.</p></div>")
}

fn day_note(matrix: &Matrix, now: UnixMs) -> Html {
    let line =
        Html::new().raw("<p class=\"muted\">The small bars show the day, every ten minutes; ");
    match matrix.noted_since {
        Some(at) => line
            .raw("noted since ")
            .put(time(at, now))
            .raw(". Where there is none, nobody tried or the collector was away.</p>"),
        None => line.raw("nothing was noted yet.</p>"),
    }
}

fn table(matrix: &Matrix) -> Html {
    Html::new()
        .raw("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Targets by place\">")
        .raw("<table role=\"table\" class=\"matrix\"><caption>Laptops that reached each target, of those that tried</caption>")
        .raw("<thead role=\"rowgroup\"><tr role=\"row\"><th role=\"columnheader\" scope=\"col\">Target</th>")
        .each(&matrix.vantages, |vantage| {
            Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\">")
                .text(&name(vantage))
                .raw("</th>")
        })
        .raw("</tr></thead><tbody role=\"rowgroup\">")
        .each(&matrix.targets, |target| row(matrix, target))
        .raw("</tbody></table></div>")
}

fn row(matrix: &Matrix, target: &Target) -> Html {
    let cells = matrix.vantages.iter().zip(&target.cells).zip(&target.day);
    Html::new()
        .raw("<tr role=\"row\"><th role=\"rowheader\" scope=\"row\">")
        .text(&target.name)
        .raw("</th>")
        .each(cells, |((vantage, cell), day)| {
            Html::new()
                .raw("<td role=\"cell\" data-name=\"")
                .text(&name(vantage))
                .raw("\" class=\"")
                .raw(cell.as_ref().map_or("unknown", |cell| class(cell.now)))
                .raw("\">")
                .put(match cell {
                    Some(cell) => present(cell),
                    None => Html::new().raw("<span class=\"muted\">nobody there</span>"),
                })
                .put(bars(day, matrix.at.0))
                .raw("</td>")
        })
        .raw("</tr>")
}

fn name(vantage: &Vantage) -> String {
    match vantage {
        Vantage::OnCampus(site) => site.clone(),
        Vantage::OffCampus => "Off campus".to_owned(),
        Vantage::Unknown => "Nobody can tell where".to_owned(),
    }
}

fn class(reached: Reached) -> &'static str {
    match reached.failed_share() {
        share if share >= MOST => "down",
        share if share >= SOME => "shaky",
        _ => "good",
    }
}

fn present(cell: &Cell) -> Html {
    let Reached { reached, failed } = cell.now;
    let word = match class(cell.now) {
        "down" => "Down",
        "shaky" => "Shaky",
        _ => "Well",
    };
    Html::new()
        .raw("<strong>")
        .raw(word)
        .raw("</strong> ")
        .number(u64::from(reached))
        .raw(" of ")
        .number(u64::from(reached + failed))
        .maybe(
            Some(&cell.stage).filter(|stage| !stage.is_empty()),
            |stage| {
                Html::new()
                    .raw("<span class=\"what\">fails at ")
                    .text(stage)
                    .raw("</span>")
            },
        )
        .maybe(cell.median_s, |seconds| {
            Html::new()
                .raw("<span class=\"what muted\">")
                .text(&format!("{:.0} ms", seconds * 1000.0))
                .raw("</span>")
        })
}

/// The day as bars whose height is the share that failed; one without a bar is good.
fn bars(day: &[(UnixMs, Reached)], now: UnixMs) -> Html {
    if day.is_empty() {
        return Html::new();
    }
    let worst = day
        .iter()
        .map(|(_, r)| r.failed_share())
        .fold(0.0, f64::max);
    let words = format!("Over the day at worst {:.0} % failed", worst * 100.0);
    let begin = now.plus_ms(-86_400_000);
    Html::new()
        .raw("<svg class=\"day\" role=\"img\" viewBox=\"0 0 144 20\" preserveAspectRatio=\"none\" aria-label=\"")
        .text(&words)
        .raw("\"><title>")
        .text(&format!("{words}, {} to {} UTC", minute(begin), minute(now)))
        .raw("</title><rect class=\"base\" y=\"19\" width=\"144\" height=\"1\"/>")
        .each(day, |(at, reached)| {
            let x = at.since(begin) as f64 / 600_000.0;
            let height = 2.0 + 18.0 * reached.failed_share();
            Html::new()
                .raw("<rect class=\"")
                .raw(class(*reached))
                .raw("\" width=\"1\" x=\"")
                .text(&format!("{:.1}", x.clamp(0.0, 143.0)))
                .raw("\" y=\"")
                .text(&format!("{:.1}", 20.0 - height))
                .raw("\" height=\"")
                .text(&format!("{height:.1}"))
                .raw("\"/>")
        })
        .raw("</svg>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_names_and_not_only_colours() {
        let of = |reached, failed| class(Reached { reached, failed });
        assert_eq!((of(95, 5), of(85, 15), of(1, 1)), ("good", "shaky", "down"));
        let cell = Cell {
            now: Reached {
                reached: 0,
                failed: 3,
            },
            stage: "dns".to_owned(),
            median_s: None,
        };
        let shown = present(&cell);
        let expected = "<strong>Down</strong> 0 of 3<span class=\"what\">fails at dns</span>";
        assert_eq!(shown.as_str(), expected);
    }
}
