//! The weekly report: what was found, what was over, how long it took, and where training would help. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use super::markup::escape;
use super::post::Post;
use crate::alert::Audience;
use crate::evaluate::rules::{Rule, RuleSet, Test};
use crate::incident::{Cause, Incident};

/// Rows of each table.
const ROWS: usize = 10;

/// A week, in milliseconds.
pub const WEEK_MS: i64 = 7 * 86_400_000;

/// What the week brought.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Week {
    /// Incidents that were opened.
    pub found: usize,
    /// Of these, how many a forecast found before anything failed.
    pub predicted: usize,
    /// Of these, how many were of many laptops at once.
    pub shared: usize,
    /// Laptops that were affected, each incident counted by itself.
    pub laptops: u64,
    /// Incidents that ended.
    pub resolved: usize,
    /// From opening to end, on average, in milliseconds; `None` where none ended.
    pub mean_ms: Option<i64>,
    /// Incidents that are open at its end.
    pub open: usize,
    /// The most frequent titles, with how often.
    pub causes: Vec<(String, usize)>,
    /// What training would solve, by site and title.
    pub training: Vec<((String, String), usize)>,
    /// What the desk marked as of no use, by rule.
    pub not_useful: Vec<(String, usize)>,
}

/// Adds up the incidents between `from` and `to` that concern these sites, all where there are none, and what was
/// marked as of no use meanwhile: rules, and when.
#[must_use]
pub fn week(
    incidents: &[Incident],
    not_useful: &[(String, UnixMs)],
    rules: &RuleSet,
    sites: &[Label],
    from: UnixMs,
    to: UnixMs,
) -> Week {
    let within = |at: UnixMs| from <= at && at < to;
    let concerns = |incident: &&Incident| {
        sites.is_empty() || incident.sites.iter().any(|site| sites.contains(site))
    };
    let mut week = Week::default();
    let mut took_ms: Vec<i64> = Vec::new();
    let (mut causes, mut training, mut by_rule) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for incident in incidents.iter().filter(concerns) {
        // What became part of another incident is told there.
        if incident.merged_into.is_some() {
            continue;
        }
        if let Some(closed) = incident.closed.filter(|at| within(*at)) {
            week.resolved += 1;
            took_ms.push(closed.since(incident.opened).max(0));
        }
        week.open += usize::from(incident.opened < to && incident.closed.is_none_or(|at| at >= to));
        if !within(incident.opened) {
            continue;
        }
        week.found += 1;
        week.laptops += u64::from(incident.most_devices);
        week.shared += usize::from(matches!(incident.cause, Cause::Shared { .. }));
        let rule = incident.leading().map(|finding| finding.key.rule.clone());
        let rule = rule.unwrap_or_default();
        week.predicted += usize::from(rules.get(&rule).is_some_and(|rule| is_forecast(rule)));
        *causes.entry(incident.title.clone()).or_insert(0) += 1;
        if incident.audience == Audience::TechnologyCoach {
            let site = incident.site.as_ref().or_else(|| incident.sites.first());
            let site = site.map_or_else(|| "no site".to_owned(), ToString::to_string);
            *training.entry((site, incident.title.clone())).or_insert(0) += 1;
        }
    }
    for (rule, _) in not_useful.iter().filter(|(_, at)| within(*at)) {
        *by_rule.entry(rule.clone()).or_insert(0) += 1;
    }
    if !took_ms.is_empty() {
        let count = i64::try_from(took_ms.len()).unwrap_or(i64::MAX);
        week.mean_ms = Some(took_ms.iter().sum::<i64>() / count);
    }
    week.causes = most(causes);
    week.training = most(training);
    week.not_useful = most(by_rule);
    week
}

/// Whether a rule tells what will be, by a forecast.
fn is_forecast(rule: &Rule) -> bool {
    let Test::Readings(readings) = &rule.test else {
        return false;
    };
    let mut faults = readings.faults.iter();
    faults.any(|fault| fault.metric.name.starts_with("forecast."))
}

fn most<K: Ord>(counts: BTreeMap<K, usize>) -> Vec<(K, usize)> {
    let mut counts: Vec<(K, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(ROWS);
    counts
}

impl Week {
    /// The report as a message; `shown` are its begin and end as the school's clocks show them.
    #[must_use]
    pub fn post(&self, channel: &str, due: UnixMs, shown: (&str, &str)) -> Post {
        let (from, to) = shown;
        let subject = format!("[Rollcall] the week until {to}: {} found", self.found);
        let mut sheet = Sheet::default();
        sheet.paragraph(&format!("From {from} to {to}"));
        sheet.table("The week", &self.figures());
        let rows = |counts: &[(String, usize)]| -> Vec<(String, String)> {
            let rows = counts.iter();
            rows.map(|(name, count)| (name.clone(), count.to_string()))
                .collect()
        };
        sheet.table("What it was", &rows(&self.causes));
        let training: Vec<(String, String)> = self
            .training
            .iter()
            .map(|((site, title), count)| (format!("{site}: {title}"), count.to_string()))
            .collect();
        sheet.table("Where training would help", &training);
        sheet.table("Marked as of no use, by rule", &rows(&self.not_useful));
        Post {
            key: format!("report.{}.{channel}", due.seconds()),
            answers: None,
            html: format!("<h2>{}</h2>\n{}", escape(&subject), sheet.html),
            brief: sheet.text.clone(),
            text: format!("{subject}\n{}", sheet.text),
            subject,
            site: None,
        }
    }

    fn figures(&self) -> Vec<(String, String)> {
        let mean = match self.mean_ms {
            Some(ms) => hours(ms),
            None => "nothing ended".to_owned(),
        };
        let row = |name: &str, figure: String| (name.to_owned(), figure);
        vec![
            row("Found", self.found.to_string()),
            row(
                "of these before anything failed",
                self.predicted.to_string(),
            ),
            row("of these shared by many laptops", self.shared.to_string()),
            row("Laptops affected", self.laptops.to_string()),
            row("Resolved", self.resolved.to_string()),
            row("Mean time to resolve", mean),
            row("Open at the end", self.open.to_string()),
        ]
    }
}

fn hours(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    }
}

/// Text and HTML, side by side.
#[derive(Default)]
struct Sheet {
    text: String,
    html: String,
}

impl Sheet {
    fn paragraph(&mut self, text: &str) {
        self.text.push_str(&format!("{text}\n"));
        self.html.push_str(&format!("<p>{}</p>\n", escape(text)));
    }

    /// A table, unless it is empty.
    fn table(&mut self, heading: &str, rows: &[(String, String)]) {
        if rows.is_empty() {
            return;
        }
        self.text.push_str(&format!("\n{heading}\n"));
        self.html
            .push_str(&format!("<h3>{heading}</h3>\n<table>\n"));
        for (name, figure) in rows {
            self.text.push_str(&format!("  {figure:>14}  {name}\n"));
            self.html.push_str(&format!(
                "<tr><td align=\"right\">{}</td><td>{}</td></tr>\n",
                escape(figure),
                escape(name)
            ));
        }
        self.html.push_str("</table>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::letter;
    use super::*;
    use crate::incident::IncidentId;
    use crate::notification::Event;

    const FROM: UnixMs = UnixMs(1_788_361_200_000);

    fn incident(day: i64, title: &str) -> Incident {
        let mut incident = letter(Event::Fired).notification.incident;
        incident.id = IncidentId::generate();
        incident.opened = FROM.plus_ms(day * 86_400_000);
        incident.title = title.to_owned();
        incident
    }

    #[test]
    fn a_week_is_added_up() {
        let mut over = incident(1, "Battery is worn out");
        over.end(over.opened.plus_ms(6 * 3_600_000));
        let mut coach = incident(2, "Disk will be full soon");
        coach.audience = Audience::TechnologyCoach;
        let mut before = incident(-3, "Battery is worn out");
        before.end(FROM.plus_ms(86_400_000));
        let mut merged = incident(1, "Battery is worn out");
        merged.merged_into = Some(IncidentId::generate());
        let after = incident(8, "Battery is worn out");
        let all = [over, coach, before, merged, after];
        let rules = RuleSet::built_in();
        let to = FROM.plus_ms(WEEK_MS);
        let marks = [
            ("battery-worn".to_owned(), FROM.plus_ms(1)),
            ("battery-worn".to_owned(), to),
        ];
        let week = week(&all, &marks, &rules, &[], FROM, to);
        assert_eq!((week.found, week.resolved, week.open), (2, 2, 1));
        assert_eq!(week.predicted, 2, "a worn battery is told by a forecast");
        assert_eq!(week.mean_ms, Some((6 + 96) * 3_600_000 / 2));
        assert_eq!(week.causes.len(), 2);
        let training = ("test".to_owned(), "Disk will be full soon".to_owned());
        assert_eq!(week.training, [(training, 1)]);
        assert_eq!(week.not_useful, [("battery-worn".to_owned(), 1)]);
        let post = week.post("director", to, ("Monday", "Sunday"));
        assert!(
            post.text.contains("2 days  Mean time to resolve"),
            "{}",
            post.text
        );
        assert!(post.html.contains("<h3>Where training would help</h3>"));
        let elsewhere = ["Hay".parse().unwrap()];
        let none = super::week(&all, &[], &rules, &elsewhere, FROM, to);
        assert_eq!(none, Week::default());
    }
}
