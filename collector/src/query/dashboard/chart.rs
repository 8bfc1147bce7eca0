//! Charts: drawn by the server so that pages are whole without a script, and as numbers for the script
//! that makes them zoom.

use std::fmt::Write as _;

use rollcall_shared::metric::{Kind, Metric};
use rollcall_shared::time::UnixMs;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::frame::minute;
use super::html::Html;
use crate::evaluate::rules::quantity::plural_of;
use crate::query::{Band, History, Line, QueryError, Stay};

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

/// A stretch of time in words: the nearest of those that ranges lead to.
pub(super) const fn stretch(ms: i64) -> &'static str {
    match ms / 60_000 {
        ..=15 => "a quarter of an hour",
        16..=30 => "half an hour",
        31..=60 => "an hour",
        61..=120 => "two hours",
        121..1440 => "some hours",
        1440 => "a day",
        _ => "some days",
    }
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
                Some(noun) => plain(1.0, &plural_of(noun)),
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
        let values = || {
            let of_bands = line.bands.iter().flat_map(|band| [band.min, band.max]);
            of_points(line).chain(of_bands)
        };
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        let fitting = |low: f64, high: f64| Self { low, high };
        Some(match line.metric.kind {
            Kind::Flag => fitting(0.0, 1.0),
            // The catalogue begins with the good word, which stands at the top.
            Kind::State(words) => fitting((words.len().max(2) - 1) as f64, 0.0),
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

/// Whether anything of it was read, so that there is something to draw.
pub(super) fn is_known(line: &Line) -> bool {
    Bounds::of(line).is_some()
}

/// What a chart is of.
pub(super) fn title(line: &Line) -> String {
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

/// The numbers of a line, without its gaps.
fn of_points(line: &Line) -> impl DoubleEndedIterator<Item = f64> + '_ {
    line.points.iter().filter_map(|(_, value)| *value)
}

fn greatest(line: &Line) -> f64 {
    of_points(line).map(f64::abs).fold(0.0, f64::max)
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
        .raw("<use href=\"#shade-away\"/><use href=\"#shade-campus\"/>")
        .put(band(line, history, bounds))
        .put(path(line, history, bounds))
        .raw("</svg><p class=\"axis\"><span>")
        .text(&minute(history.from))
        .raw("</span><span>")
        .text(&minute(history.to))
        .raw(" UTC</span></p></div>")
}

/// What a chart shows, for those who do not see it.
fn in_words(line: &Line, scale: &Scale) -> String {
    let values = || of_points(line);
    let shown = |value: Option<f64>| value.map_or_else(String::new, |value| scale.show(value));
    let least = values().chain(line.bands.iter().map(|band| band.min));
    let greatest = values().chain(line.bands.iter().map(|band| band.max));
    format!(
        "{}: at first {}, at last {}, least {}, greatest {}",
        title(line),
        shown(values().next()),
        shown(values().next_back()),
        shown(least.reduce(f64::min)),
        shown(greatest.reduce(f64::max)),
    )
}

/// Where the laptop was on campus and where off campus, drawn once for all charts of a page; what is not
/// shaded is sleep, or unknown.
pub(super) fn places(history: &History) -> Html {
    let shade = |name: &'static str, is_on_campus: bool| {
        let mut steps = String::new();
        for stay in &history.stays {
            if stay.site.is_some() == is_on_campus {
                let (from, to) = (x(history, stay.from), x(history, stay.to));
                let width = (to - from).max(0.5);
                steps += &format!("M{from:.1} 0h{width:.1}v100h-{width:.1}z");
            }
        }
        Html::new()
            .raw("<path id=\"shade-")
            .raw(name)
            .raw("\" class=\"")
            .raw(name)
            .raw("\" d=\"")
            .text(&steps)
            .raw("\"/>")
    };
    Html::new()
        .raw("<svg class=\"shared\" aria-hidden=\"true\"><defs>")
        .put(shade("campus", true))
        .put(shade("away", false))
        .raw("</defs></svg>")
}

/// Between what and what the readings of each stretch lay.
fn band(line: &Line, history: &History, bounds: Bounds) -> Html {
    if line.bands.is_empty() {
        return Html::new();
    }
    let area = |Band { from, to, min, max }: &Band| {
        let (left, right) = (x(history, *from), x(history, *to));
        let (low, high) = (bounds.y(*min), bounds.y(*max));
        format!("M{left:.1} {high:.1}H{right:.1}V{low:.1}H{left:.1}z")
    };
    let areas: String = line.bands.iter().map(area).collect();
    Html::new()
        .raw("<path class=\"band\" d=\"")
        .text(&areas)
        .raw("\"/>")
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
                let drawn = match is_drawing {
                    true => write!(steps, "H{x:.1}V{y:.1}"),
                    false => write!(steps, "M{x:.1} {y:.1}"),
                };
                drawn.expect("a text takes what is written");
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
    let history = History::empty(from, to);
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

/// A number to six digits: no chart shows more, and an answer is half as long. A month has some ten thousand of
/// them, so that they are not rounded by way of a text.
fn short(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let places = 5 - value.abs().log10().floor() as i32;
    // Greater powers of ten are no whole numbers any more.
    if !(-22..=22).contains(&places) {
        return value;
    }
    let power = 10_f64.powi(places.abs());
    match places {
        0.. => (value * power).round() / power,
        _ => (value / power).round() * power,
    }
}

/// The history as numbers.
pub(super) fn numbers(history: &History) -> Json {
    let stays = |stay: &Stay| json!([stay.from.0, stay.to.0, stay.site]);
    let band = |band: &Band| json!([band.from.0, band.to.0, short(band.min), short(band.max)]);
    let lines = history.lines.iter().map(|line| {
        json!({
            "metric": line.metric.name,
            "instance": line.instance,
            "scale": Scale::of(line.metric, greatest(line)),
            "bounds": Bounds::of(line).map(|bounds| [bounds.low, bounds.high]),
            "t": line.points.iter().map(|(at, _)| at.0).collect::<Vec<_>>(),
            "v": line.points.iter().map(|(_, value)| value.map(short)).collect::<Vec<_>>(),
            "bands": line.bands.iter().map(band).collect::<Vec<_>>(),
        })
    });
    json!({
        "from": history.from.0,
        "to": history.to.0,
        "step": history.step_ms,
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
            bands: Vec::new(),
        }
    }

    fn history() -> History {
        History {
            stays: vec![Stay {
                from: UnixMs(100),
                to: UnixMs(200),
                site: Some("Lincoln".to_owned()),
            }],
            ..History::empty(UnixMs(0), UnixMs(1000))
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
        assert!(figure.contains("<use href=\"#shade-campus\"/>"), "{figure}");
        let places = places(&history());
        let areas = "class=\"campus\" d=\"M100.0 0h100.0v100h-100.0z\"/>\
                     <path id=\"shade-away\" class=\"away\" d=\"\"/>";
        assert!(places.as_str().contains(areas), "{places:?}");
        assert!(figure.contains("at first 0 %, at last 50 %, least 0 %, greatest 100 %"));
    }

    #[test]
    fn bands_lie_between_the_least_and_the_greatest_and_widen_the_chart() {
        let mut line = line(&metric::BATTERY_TEMPERATURE, &[Some(30.0), Some(30.0)]);
        line.bands.push(Band {
            from: UnixMs(0),
            to: UnixMs(100),
            min: 20.0,
            max: 40.0,
        });
        let figure = figure(&line, &history(), "d");
        let area = "<path class=\"band\" d=\"M0.0 0.0H100.0V100.0H0.0z\"/>";
        assert!(figure.as_str().contains(area), "{figure:?}");
        assert!(figure.as_str().contains("least 20 °C, greatest 40 °C"));
        let numbers = numbers(&History {
            lines: vec![line],
            ..history()
        });
        assert_eq!(numbers["lines"][0]["bands"][0], json!([0, 100, 20.0, 40.0]));
        let texts: Vec<String> = [
            0.123_456_789,
            1_234_567.8,
            -29.999_999_9,
            0.0,
            1e-300,
            512e9,
        ]
        .map(|value| json!(short(value)).to_string())
        .into();
        let expected = [
            "0.123457",
            "1234570.0",
            "-30.0",
            "0.0",
            "1e-300",
            "512000000000.0",
        ];
        assert_eq!(texts, expected);
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
        assert_eq!(show(&metric::CRASHES, 3.0), "3 crashes");
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
