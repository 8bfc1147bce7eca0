//! Charts: drawn by the server so that pages are whole without a script, and as numbers for the script
//! that makes them zoom.

use rollcall_shared::metric::{Kind, Metric};
use rollcall_shared::time::UnixMs;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::frame::minute;
use super::html::Html;
use crate::query::{History, Line, QueryError, Stay};

/// The plane on which charts are drawn; style sheets stretch it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// Ranges that can be chosen: word, title and milliseconds.
pub(super) const RANGES: [(&str, &str, i64); 6] = [
    ("hour", "Hour", 3_600_000),
    ("day", "Day", 86_400_000),
    ("week", "Week", 7 * 86_400_000),
    ("month", "Month", 30 * 86_400_000),
    ("term", "Term", 120 * 86_400_000),
    ("year", "Year", 365 * 86_400_000),
];

/// The length of a range by its word; a day where none is given.
///
/// # Errors
/// [`QueryError::Field`] names the words.
pub(super) fn range_ms(word: Option<&str>) -> Result<i64, QueryError> {
    let word = word.unwrap_or("day");
    let found = RANGES.iter().find(|(known, ..)| *known == word);
    found.map(|(.., ms)| *ms).ok_or_else(|| {
        let words = RANGES.map(|(word, ..)| word).join(", ");
        QueryError::field("range", format!("must be one of {words}"))
    })
}

/// How the values of a line are written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Scale {
    /// What a value is multiplied with.
    factor: f64,
    /// What stands behind it.
    unit: String,
    /// What whole numbers stand for, where values are words.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<&'static str>>,
}

impl Scale {
    pub fn of(metric: &Metric, most: f64) -> Self {
        let plain = |factor: f64, unit: &str| Self {
            factor,
            unit: unit.to_owned(),
            words: None,
        };
        let words = |words: &[&'static str]| Self {
            words: Some(words.to_vec()),
            ..plain(1.0, "")
        };
        match metric.kind {
            Kind::Flag => return words(&["no", "yes"]),
            Kind::State(known) => return words(known),
            Kind::Gauge { high, .. } if metric.unit == "1" && high <= 3.0 => {
                return plain(100.0, "%");
            }
            _ => {}
        }
        match (metric.unit, most) {
            ("By", 1e12..) => plain(1e-12, "TB"),
            ("By", 1e9..) => plain(1e-9, "GB"),
            ("By", 1e6..) => plain(1e-6, "MB"),
            ("By", _) => plain(1e-3, "kB"),
            ("s", 172_800.0..) => plain(1.0 / 86_400.0, "days"),
            ("s", 7_200.0..) => plain(1.0 / 3_600.0, "h"),
            ("s", 120.0..) => plain(1.0 / 60.0, "min"),
            ("s", ..1.0) => plain(1000.0, "ms"),
            ("mWh", _) => plain(0.001, "Wh"),
            ("Cel", _) => plain(1.0, "°C"),
            ("d", _) => plain(1.0, "days"),
            ("1", _) => plain(1.0, ""),
            (unit, _) => match unit.strip_prefix('{').and_then(|u| u.strip_suffix('}')) {
                Some(noun) => plain(1.0, &format!("{noun}s")),
                None => plain(1.0, unit),
            },
        }
    }

    /// A value in words.
    pub fn show(&self, value: f64) -> String {
        if let Some(words) = &self.words {
            let word = words.get(value.round().max(0.0) as usize);
            return (*word.unwrap_or(&"?")).to_owned();
        }
        let number = super::device::rounded(value * self.factor);
        match self.unit.as_str() {
            "" => number,
            unit => format!("{number} {unit}"),
        }
    }
}

/// The least and the greatest height of a chart.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    /// Shares and words have fixed bounds, so that charts can be compared; others fit their values.
    fn of(line: &Line) -> Option<Self> {
        let values = || line.points.iter().filter_map(|(_, value)| *value);
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        let fitting = |low: f64, high: f64| Self { low, high };
        Some(match line.metric.kind {
            Kind::Flag => fitting(0.0, 1.0),
            Kind::State(words) => fitting(0.0, (words.len().max(2) - 1) as f64),
            Kind::Gauge { high: bound, .. } if line.metric.unit == "1" && bound <= 3.0 => {
                fitting(0.0, high.max(1.0))
            }
            _ if low == high => fitting(low - 1.0, high + 1.0),
            _ => fitting(low, high),
        })
    }

    fn y(self, value: f64) -> f64 {
        HEIGHT - (value - self.low) / (self.high - self.low) * HEIGHT
    }
}

/// A chart with its title, its latest, least and greatest value.
pub(super) fn figure(line: &Line, history: &History, device: &str) -> Html {
    let most = greatest(line);
    let scale = Scale::of(line.metric, most);
    let latest = line.points.iter().rev().find_map(|(_, value)| *value);
    let name = title(line);
    Html::new()
        .raw("<figure class=\"chart\" data-chart data-keep data-device=\"")
        .text(device)
        .raw("\" data-metric=\"")
        .raw(line.metric.name)
        .raw("\" data-instance=\"")
        .text(&line.instance)
        .raw("\"><figcaption><strong>")
        .text(&name)
        .raw("</strong>")
        .maybe(latest, |value| {
            Html::new()
                .raw(" <span class=\"latest\">")
                .text(&scale.show(value))
                .raw("</span>")
        })
        .raw("<span class=\"meaning\"><code>")
        .raw(line.metric.name)
        .raw("</code> ")
        .put(super::runbook::line(line.metric.meaning))
        .raw("</span></figcaption>")
        .put(match Bounds::of(line) {
            Some(bounds) => plot(line, history, bounds, &scale),
            None => Html::new().raw("<p class=\"muted\">Not available in this time.</p>"),
        })
        .raw("</figure>")
}

fn title(line: &Line) -> String {
    let label = label(line.metric.name);
    match line.instance.as_str() {
        "" => label,
        instance => format!("{label} · {instance}"),
    }
}

/// A metric's name as people say it: `hw.battery.charge` is "Battery charge".
pub(super) fn label(name: &str) -> String {
    let inner = ["hw.", "system.", "rollcall."];
    let name = inner
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let words = name.replace(['.', '_'], " ");
    let words = match words.strip_prefix("os ") {
        Some(rest) => format!("OS {rest}"),
        None => words,
    };
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn greatest(line: &Line) -> f64 {
    let values = line.points.iter().filter_map(|(_, value)| *value);
    values.map(f64::abs).fold(0.0, f64::max)
}

fn plot(line: &Line, history: &History, bounds: Bounds, scale: &Scale) -> Html {
    Html::new()
        .raw("<div class=\"plot\"><div class=\"scale\"><span>")
        .text(&scale.show(bounds.high))
        .raw("</span><span>")
        .text(&scale.show(bounds.low))
        .raw("</span></div><svg role=\"img\" viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" aria-label=\"")
        .text(&in_words(line, scale))
        .raw("\">")
        .put(shades(history))
        .put(path(line, history, bounds))
        .raw("</svg><p class=\"axis\"><span>")
        .text(&minute(history.from))
        .raw("</span><span>")
        .text(&minute(history.to))
        .raw(" UTC</span></p></div>")
}

/// What a chart shows, for those who do not see it.
fn in_words(line: &Line, scale: &Scale) -> String {
    let values = || line.points.iter().filter_map(|(_, value)| *value);
    let shown = |value: Option<f64>| value.map_or_else(String::new, |value| scale.show(value));
    format!(
        "{}: at first {}, at last {}, least {}, greatest {}",
        title(line),
        shown(values().next()),
        shown(values().next_back()),
        shown(values().reduce(f64::min)),
        shown(values().reduce(f64::max)),
    )
}

/// Where the laptop was on campus; what is white is off campus, asleep or unknown.
fn shades(history: &History) -> Html {
    let on_campus = history.stays.iter().filter(|stay| stay.site.is_some());
    Html::new().each(on_campus, |stay| {
        let (from, to) = (x(history, stay.from), x(history, stay.to));
        Html::new()
            .raw("<rect class=\"campus\" y=\"0\" height=\"100\" x=\"")
            .text(&format!("{from:.1}"))
            .raw("\" width=\"")
            .text(&format!("{:.1}", (to - from).max(0.5)))
            .raw("\"/>")
    })
}

fn x(history: &History, at: UnixMs) -> f64 {
    let whole = history.to.since(history.from).max(1) as f64;
    (at.since(history.from) as f64 / whole * WIDTH).clamp(0.0, WIDTH)
}

/// Steps: a value holds until the next one. A gap begins a new piece.
fn path(line: &Line, history: &History, bounds: Bounds) -> Html {
    let mut steps = String::new();
    let mut is_drawing = false;
    for (at, value) in &line.points {
        let x = x(history, *at);
        match value {
            None => is_drawing = false,
            Some(value) => {
                let y = bounds.y(*value);
                steps += &match is_drawing {
                    true => format!("H{x:.1}V{y:.1}"),
                    false => format!("M{x:.1} {y:.1}"),
                };
                is_drawing = true;
            }
        }
    }
    Html::new()
        .raw("<path class=\"line\" d=\"")
        .text(&steps)
        .raw("\"/>")
}

/// A small picture of a series, in colours that stand out on light and on dark ground.
pub(super) fn sparkline(line: &Line, from: UnixMs, to: UnixMs) -> String {
    let history = History {
        from,
        to,
        awake: Vec::new(),
        stays: Vec::new(),
        lines: Vec::new(),
    };
    let drawn = match Bounds::of(line) {
        Some(bounds) => path(line, &history, bounds),
        None => Html::new(),
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 -4 1000 108\" width=\"160\" height=\"40\" \
         preserveAspectRatio=\"none\"><g fill=\"none\" stroke=\"#2a8f77\" stroke-width=\"2\" \
         stroke-linejoin=\"round\">{}</g></svg>",
        drawn
            .into_text()
            .replace("class=\"line\"", "vector-effect=\"non-scaling-stroke\"")
    )
}

/// The history as numbers.
pub(super) fn numbers(history: &History) -> Json {
    let stays = |stay: &Stay| json!([stay.from.0, stay.to.0, stay.site]);
    let lines = history.lines.iter().map(|line| {
        json!({
            "metric": line.metric.name,
            "instance": line.instance,
            "scale": Scale::of(line.metric, greatest(line)),
            "bounds": Bounds::of(line).map(|bounds| [bounds.low, bounds.high]),
            "t": line.points.iter().map(|(at, _)| at.0).collect::<Vec<_>>(),
            "v": line.points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        })
    });
    json!({
        "from": history.from.0,
        "to": history.to.0,
        "stays": history.stays.iter().map(stays).collect::<Vec<_>>(),
        "lines": lines.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollcall_shared::metric;

    fn line(metric: &'static Metric, values: &[Option<f64>]) -> Line {
        let at = |place: usize| UnixMs(place as i64 * 100);
        let points = values.iter().enumerate().map(|(n, v)| (at(n), *v));
        Line {
            metric,
            instance: "BAT0".to_owned(),
            points: points.collect(),
        }
    }

    fn history() -> History {
        History {
            from: UnixMs(0),
            to: UnixMs(1000),
            awake: Vec::new(),
            stays: vec![Stay {
                from: UnixMs(100),
                to: UnixMs(200),
                site: Some("Lincoln".to_owned()),
            }],
            lines: Vec::new(),
        }
    }

    #[test]
    fn gaps_stay_gaps() {
        let line = line(
            &metric::BATTERY_CHARGE,
            &[Some(0.0), Some(1.0), None, Some(0.5)],
        );
        let drawn = path(&line, &history(), Bounds::of(&line).unwrap());
        let expected = "<path class=\"line\" d=\"M0.0 100.0H100.0V0.0M300.0 50.0\"/>";
        assert_eq!(drawn.as_str(), expected);
        let figure = figure(&line, &history(), "d");
        let figure = figure.as_str();
        assert!(
            figure.contains("<span>100 %</span><span>0 %</span>"),
            "{figure}"
        );
        assert!(
            figure.contains("class=\"campus\" y=\"0\" height=\"100\" x=\"100.0\" width=\"100.0\"")
        );
        assert!(figure.contains("at first 0 %, at last 50 %, least 0 %, greatest 100 %"));
    }

    #[test]
    fn nothing_known_is_said_and_not_drawn() {
        let line = line(&metric::BATTERY_CHARGE, &[None]);
        let figure = figure(&line, &history(), "d");
        assert!(figure.as_str().contains("Not available") && !figure.as_str().contains("<svg"));
    }

    #[test]
    fn values_are_written_in_units_that_fit() {
        let show = |metric: &'static Metric, value: f64| Scale::of(metric, value).show(value);
        assert_eq!(show(&metric::BATTERY_CHARGE, 0.615), "61.5 %");
        assert_eq!(show(&metric::FILESYSTEM_FREE, 3.2e9), "3.2 GB");
        assert_eq!(show(&metric::UPTIME, 180_000.0), "2.08 days");
        assert_eq!(show(&metric::REACH_TCP, 0.25), "250 ms");
        assert_eq!(show(&metric::BATTERY_STATE, 2.0), "full");
        assert_eq!(show(&metric::RESTART_PENDING, 1.0), "yes");
        assert_eq!(show(&metric::BATTERY_CYCLES, 312.0), "312 cycles");
    }

    #[test]
    fn a_line_that_never_moves_stands_in_the_middle() {
        let flat = line(&metric::BATTERY_CYCLES, &[Some(5.0), Some(5.0)]);
        let bounds = Bounds::of(&flat).unwrap();
        assert!((bounds.y(5.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn names_are_said_as_people_say_them() {
        assert_eq!(label("hw.battery.charge"), "Battery charge");
        assert_eq!(label("os.restart.pending"), "OS restart pending");
        assert_eq!(
            label("network.reachability.tcp.duration"),
            "Network reachability tcp duration"
        );
    }

    #[test]
    fn ranges_are_known_by_word() {
        assert_eq!(range_ms(None), Ok(86_400_000));
        assert_eq!(range_ms(Some("year")), Ok(365 * 86_400_000));
        let error = range_ms(Some("decade")).unwrap_err().to_string();
        assert!(error.contains("hour, day, week"), "{error}");
    }
}
