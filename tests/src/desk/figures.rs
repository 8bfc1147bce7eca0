//! `rollcall-desk`: a month of simulated school life at the desk, in figures.
//!
//! Weeks before the month are glanced at, so that forecasts have a past and what was wrong from the
//! beginning has been told. The month itself is lived through report by report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use rollcall_collector::alert::{Alert, Audience};
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::judge::{self, Judge};
use super::{DAY_MS, DEFAULTS, District, Stands, Ticket, at, calendar};
use crate::simulator::Fleet;
use crate::simulator::truth::Truth;
use crate::stages::Stopwatch;

/// Counts the alerts and tickets of a month of simulated school life, and how right they are.
#[derive(Debug, Clone, Parser)]
#[command(name = "rollcall-desk", version)]
pub struct Options {
    /// How many laptops.
    #[arg(long, default_value_t = 1200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub devices: u32,
    /// How many days, from 2026-10-01 on.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=180))]
    pub days: u32,
    /// Days before that are glanced at.
    #[arg(long, default_value_t = 42, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub before: u32,
    /// Days before the month that are lived through and not counted, so that habits have a past and what was wrong
    /// has been told.
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u32).range(0..=60))]
    pub settle: u32,
    /// Minutes between two looks at a laptop; reports further apart than 15 have a sleep between them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=15))]
    pub step: u32,
    /// Another seed gives another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Rules to be tried in the place of the defaults, without a calendar; `extend-default = true` keeps the others.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Where the figures are written as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What a month came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Laptops.
    pub devices: u32,
    /// Days.
    pub days: u32,
    /// Alerts that began to fire, for each 1,000 devices and day.
    pub alerts: f64,
    /// Tickets for the help desk, the same.
    pub tickets_help_desk: f64,
    /// Tickets for the network team, the same.
    pub tickets_network: f64,
    /// Findings in coaches' digests, the same.
    pub coaches: f64,
    /// Tickets of the weeks before, for each 1,000 devices: what a fleet has when it is first looked at.
    pub tickets_of_the_beginning: f64,
    /// Share of the month's alerts that were true by what the simulator knows, and of the tickets' first alerts.
    pub true_alerts: f64,
    /// Alerts of the month that were not true, by rule.
    pub false_by_rule: BTreeMap<String, usize>,
    /// Tickets that were about many laptops.
    pub shared_tickets: usize,
    /// How long tickets took, in the order in which it passes; all of it is waiting that is wanted, at the five minutes
    /// of a step: that the way itself takes no more than seconds is for a story with the real programs to show.
    pub ticket_times: [(&'static str, Time); 3],
    /// Tickets of the month by subject, the most frequent first.
    pub by_title: Vec<(String, usize)>,
    /// Alerts of the month by rule.
    pub by_rule: BTreeMap<String, usize>,
    /// How right rules were, by what they are there to find.
    pub scores: BTreeMap<String, Score>,
    /// Devices times rules that were evaluated in a second of processor time, the desk included.
    pub device_rules_per_cpu_s: f64,
    /// Evaluations of a device.
    pub evaluations: u64,
}

/// How long something took, of all tickets of the month that have a finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Time {
    /// How many tickets.
    pub tickets: usize,
    /// Hours, the median by nearest rank.
    pub median_h: f64,
    /// Hours, the 99th percentile by nearest rank.
    pub p99_h: f64,
}

/// How right rules were about one fault.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Score {
    /// Laptops that had the fault for long enough within the month.
    pub faulty: usize,
    /// Share of them that were told, before the fault came about or while it lasted.
    pub recall: f64,
    /// Alerts of the month.
    pub alerts: usize,
    /// Share of them that were true: the laptop had the fault, or got what was foreseen in time.
    pub precision: f64,
    /// Alerts that were not true, for each laptop and year.
    pub false_alarms_per_device_year: f64,
    /// Median days from the first alert to when the fault came about, of those that came about within the month or in
    /// the weeks after it; negative where it is told afterwards. `None` where none came about and was told.
    pub days_of_warning: Option<f64>,
}

/// What is there to find what.
struct Finding {
    name: &'static str,
    rules: &'static [&'static str],
    faults: &'static [&'static str],
    /// What the days of warning count to.
    event: &'static str,
    /// Days of the month for which a fault must have been there to be one that had to be told.
    lasting: i64,
}

const fn finding(
    name: &'static str,
    rules: &'static [&'static str],
    faults: &'static [&'static str],
    lasting: i64,
) -> Finding {
    Finding {
        name,
        rules,
        faults,
        event: faults[faults.len() - 1],
        lasting,
    }
}

/// A habit shows in some days, of which weekends are none: two weeks. What is foreseen or read shows at once: three days.
static FINDINGS: [Finding; 15] = [
    finding("worn battery", &["battery-worn"], &["battery-worn"], 3),
    finding(
        "battery does not charge",
        &["battery-not-charging"],
        &["battery-not-charging"],
        3,
    ),
    finding(
        "full disk",
        &["disk-full", "disk-filling"],
        &["disk-full"],
        3,
    ),
    finding(
        "nearly full disk",
        &["disk-full", "disk-filling", "disk-nearly-full"],
        &["disk-full", "disk-nearly-full"],
        3,
    ),
    finding(
        "failing drive",
        &["drive-failing"],
        &["drive-failing", "drive-failed"],
        3,
    ),
    finding(
        "failing updates",
        &["updates-failing"],
        &["updates-failing"],
        3,
    ),
    finding("wrong clock", &["clock-wrong"], &["clock-wrong"], 3),
    finding(
        "intercepted connections",
        &["tls-intercepted"],
        &["tls-intercepted"],
        3,
    ),
    finding(
        "dust in the fan",
        &["overheating", "hotter-than-peers"],
        &["overheating"],
        14,
    ),
    finding(
        "slow drive",
        &["slower-than-before", "storage-slow"],
        &["slower-than-before"],
        14,
    ),
    finding("slow start", &["boots-slowly"], &["boots-slowly"], 14),
    finding(
        "goes out often",
        &["crashing", "crashes-more-than-peers"],
        &["crashing"],
        14,
    ),
    finding("small charger", &["charger-wrong"], &["charger-wrong"], 14),
    finding(
        "battery gives out",
        &["battery-collapses"],
        &["battery-collapses"],
        14,
    ),
    finding("radio that drops", &["link-drops"], &["link-drops"], 14),
];

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    match print(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall-desk: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(options: &Options) -> anyhow::Result<()> {
    let rules = match &options.rules {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("--rules {}", path.display()))?
        }
        None => DEFAULTS.to_owned(),
    };
    let figures = measure(options, &rules);
    print!("{}", table(&figures));
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&figures)?;
        std::fs::write(path, json).with_context(|| format!("--json {}", path.display()))?;
    }
    Ok(())
}

/// Lives through the month and counts.
#[must_use]
pub fn measure(options: &Options, rules: &str) -> Figures {
    let fleet = Fleet::new(options.seed);
    let month = at(2026, 10, 1, 2, 0);
    let end = month.plus_ms(i64::from(options.days) * DAY_MS);
    let from = month.plus_ms(-i64::from(options.before + options.settle) * DAY_MS);
    let stands = Stands::OnTheInternet;
    let mut district = District::with_rules(
        fleet,
        options.devices,
        stands,
        &format!("{rules}\n{}", calendar()),
        from,
    );
    district.glance(month.plus_ms(-i64::from(options.settle) * DAY_MS));
    let step_ms = i64::from(options.step) * 60_000;
    district.live(month, step_ms);
    let evaluations = district.rehearsal.evaluations();
    let mut looking_s = 0.0;
    while district.now() < end {
        district.step(step_ms);
        let mut watch = Stopwatch::start();
        district.rehearsal.look(district.now());
        looking_s += watch.lap();
    }
    let mut figures = count(options, &district, from, month..end);
    figures.evaluations = district.rehearsal.evaluations() - evaluations;
    let rules = district.rehearsal.rules().rules.len() as f64;
    figures.device_rules_per_cpu_s = figures.evaluations as f64 * rules / looking_s.max(1e-9);
    let judge = Judge::new(&fleet, options.devices, from..end);
    let ids: Vec<DeviceId> = (0..options.devices)
        .map(|number| fleet.laptop(number).device_id())
        .collect();
    let fired = district.rehearsal.fired();
    let of_month = |alert: &&Alert| (month..end).contains(&fired_at(alert));
    let (right, wrong): (Vec<&Alert>, Vec<&Alert>) = fired
        .iter()
        .filter(of_month)
        .partition(|alert| judge.is_true(alert));
    figures.true_alerts = right.len() as f64 / (right.len() + wrong.len()).max(1) as f64;
    for alert in wrong {
        *figures
            .false_by_rule
            .entry(alert.key.rule.clone())
            .or_default() += 1;
    }
    let score = |finding: &Finding| {
        let mut score = score(&judge, &ids, fired, finding, &(month..end));
        let years = f64::from(options.devices) * f64::from(options.days) / 365.25;
        score.false_alarms_per_device_year /= years;
        (finding.name.to_owned(), score)
    };
    figures.scores = FINDINGS.iter().map(score).collect();
    figures
}

fn count(options: &Options, district: &District, from: UnixMs, month: Range<UnixMs>) -> Figures {
    let tickets = district.tickets(&month);
    let before = district.tickets(&(from..month.start));
    let per_day =
        |count: usize| count as f64 * 1000.0 / f64::from(options.devices) / f64::from(options.days);
    let of = |audience| tickets.iter().filter(|t| t.audience == audience).count();
    let fired = district.rehearsal.fired().iter();
    let fired = fired.filter(|alert| alert.fired.is_some_and(|at| month.contains(&at)));
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    for alert in fired {
        *by_rule.entry(alert.key.rule.clone()).or_default() += 1;
    }
    Figures {
        devices: options.devices,
        days: options.days,
        alerts: per_day(by_rule.values().sum()),
        tickets_help_desk: per_day(of(Audience::HelpDesk)),
        tickets_network: per_day(of(Audience::NetworkTeam)),
        coaches: per_day(district.digest(&month).len()),
        tickets_of_the_beginning: before.len() as f64 * 1000.0 / f64::from(options.devices),
        shared_tickets: tickets.iter().filter(|ticket| ticket.is_shared).count(),
        ticket_times: ticket_times(&tickets),
        by_title: by_title(&tickets),
        by_rule,
        ..Figures::default()
    }
}

/// From the report that first showed a ticket's finding to the alert (what a rule asks for by `for`, and the time that the
/// laptop was closed or out of reach meanwhile), from there to the outbox (`gather`, `alone`, `tell`), and both.
fn ticket_times(tickets: &[Ticket]) -> [(&'static str, Time); 3] {
    let of = |ticket: &Ticket| Some((ticket.finding?, ticket.opened));
    let times: Vec<_> = tickets.iter().filter_map(of).collect();
    let time = |took: fn(UnixMs, UnixMs, UnixMs) -> i64| {
        let took = times
            .iter()
            .map(|((since, fired), told)| took(*since, *fired, *told));
        Time::of(took.collect())
    };
    [
        (
            "from the reading to the alert",
            time(|since, fired, _| fired.since(since)),
        ),
        (
            "from the alert to the ticket",
            time(|_, fired, told| told.since(fired)),
        ),
        (
            "from the reading to the ticket",
            time(|since, _, told| told.since(since)),
        ),
    ]
}

fn by_title(tickets: &[Ticket]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for ticket in tickets {
        *counts.entry(&ticket.title).or_default() += 1;
    }
    let mut sorted: Vec<(String, usize)> = counts
        .into_iter()
        .map(|(title, count)| (title.to_owned(), count))
        .collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
}

fn score(
    judge: &Judge,
    ids: &[DeviceId],
    fired: &[Alert],
    finding: &Finding,
    month: &Range<UnixMs>,
) -> Score {
    let is_its = |alert: &&Alert| finding.rules.contains(&alert.key.rule.as_str());
    let its: Vec<&Alert> = fired.iter().filter(is_its).collect();
    // What was told for one laptop while a fault lasted, or early enough before it.
    let told = |id: DeviceId, truth: &Truth| {
        let begin = truth.from.plus_ms(-judge::ahead_ms(truth.fault));
        let during = begin..truth.until.unwrap_or(month.end);
        let of = its.iter().filter(|alert| alert.key.device == id);
        of.map(|alert| fired_at(alert))
            .find(|at| during.contains(at))
    };
    let (mut faulty, mut found, mut warnings) = (0, 0, Vec::new());
    for id in ids {
        let of_fault = judge.truths(*id).iter();
        let of_fault = of_fault.filter(|truth| finding.faults.contains(&truth.fault));
        let of_fault: Vec<&Truth> = of_fault.collect();
        let lasted = |truth: &&&Truth| {
            let until = truth.until.unwrap_or(month.end).min(month.end);
            until.since(truth.from.max(month.start)) >= finding.lasting * DAY_MS
        };
        let lasting: Vec<&&Truth> = of_fault.iter().filter(lasted).collect();
        faulty += usize::from(!lasting.is_empty());
        found += usize::from(lasting.iter().any(|truth| told(*id, truth).is_some()));
        let came = of_fault
            .iter()
            .filter(|truth| truth.fault == finding.event && truth.from > month.start);
        warnings.extend(came.filter_map(|truth| {
            let first = told(*id, truth)?;
            Some(truth.from.since(first) as f64 / DAY_MS as f64)
        }));
    }
    let of_month = its.iter().filter(|alert| month.contains(&fired_at(alert)));
    let of_month: Vec<&&Alert> = of_month.collect();
    let right = of_month.iter().filter(|alert| judge.is_true(alert)).count();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    warnings.sort_by(f64::total_cmp);
    Score {
        faulty,
        recall: share(found, faulty),
        alerts: of_month.len(),
        precision: share(right, of_month.len()),
        false_alarms_per_device_year: (of_month.len() - right) as f64,
        days_of_warning: warnings.get(warnings.len() / 2).copied(),
    }
}

impl Time {
    /// Of milliseconds; zeros of none.
    fn of(mut ms: Vec<i64>) -> Self {
        ms.sort_unstable();
        let at = |hundredths: usize| {
            let rank = (ms.len() * hundredths).div_ceil(100).max(1);
            let ms = ms.get(rank - 1).copied().unwrap_or_default();
            ms as f64 / 3_600_000.0
        };
        Self {
            tickets: ms.len(),
            median_h: at(50),
            p99_h: at(99),
        }
    }
}

fn fired_at(alert: &Alert) -> UnixMs {
    alert.fired.unwrap_or(alert.since)
}

/// The figures as they are printed.
#[must_use]
pub fn table(figures: &Figures) -> String {
    let mut text = format!(
        "{} simulated laptops, {} days of school from 2026-10-01\n\nfor each 1,000 devices and day\n",
        figures.devices, figures.days
    );
    let rows = [
        ("alerts", figures.alerts),
        ("tickets for the help desk", figures.tickets_help_desk),
        ("tickets for the network team", figures.tickets_network),
        ("findings in coaches' digests", figures.coaches),
    ];
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:<32} {value:>8.2}");
    }
    let _ = writeln!(
        text,
        "hours, of {} tickets: median, p99",
        figures.ticket_times[2].1.tickets
    );
    for (name, time) in &figures.ticket_times {
        let _ = writeln!(
            text,
            "  {name:<32} {:>8.2} {:>8.2}",
            time.median_h, time.p99_h
        );
    }
    let _ = writeln!(
        text,
        "tickets for 1,000 devices when they are first looked at {:.0}; shared tickets {}\n\n{:<26} {:>7} {:>7} {:>6} {:>9} {:>8} {:>12}",
        figures.tickets_of_the_beginning,
        figures.shared_tickets,
        "fault",
        "faulty",
        "recall",
        "alerts",
        "precision",
        "warning",
        "false a year"
    );
    for (name, score) in &figures.scores {
        let warning = score
            .days_of_warning
            .map_or_else(|| "-".to_owned(), |days| format!("{days:.0} d"));
        let _ = writeln!(
            text,
            "{name:<26} {:>7} {:>7.2} {:>6} {:>9.2} {warning:>8} {:>12.4}",
            score.faulty,
            score.recall,
            score.alerts,
            score.precision,
            score.false_alarms_per_device_year
        );
    }
    let _ = writeln!(
        text,
        "\nalerts by rule, and how many of them were not true; {:.3} of all were true",
        figures.true_alerts
    );
    for (rule, count) in &figures.by_rule {
        let wrong = figures.false_by_rule.get(rule).copied().unwrap_or(0);
        let _ = writeln!(text, "  {rule:<32} {count:>6} {wrong:>6}");
    }
    let _ = writeln!(text, "\ntickets by subject");
    for (title, count) in figures.by_title.iter().take(25) {
        let _ = writeln!(text, "  {title:<60} {count:>6}");
    }
    let _ = writeln!(
        text,
        "\n{:.0} device rules in a second of processor time ({} evaluations)",
        figures.device_rules_per_cpu_s, figures.evaluations
    );
    text
}
