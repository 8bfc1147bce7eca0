//! `rollcall-desk`: a month of simulated school life at the desk, in figures.
//!
//! Weeks before the month are glanced at, so that forecasts have a past and what was wrong from the
//! beginning has been told. The month itself is lived through report by report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use rollcall_collector::alert::Audience;
use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::{DAY_MS, District, Stands, Ticket, at, calendar};
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
    /// Minutes between two looks at a laptop; reports further apart than 15 have a sleep between them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=15))]
    pub step: u32,
    /// Another seed gives another fleet.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
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
    /// Tickets that were about many laptops.
    pub shared_tickets: usize,
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

/// How right rules were about one fault, laptop by laptop.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Score {
    /// Laptops that had the fault for three days of the month or more.
    pub faulty: usize,
    /// Share of them that were told.
    pub recall: f64,
    /// Laptops that were told.
    pub told: usize,
    /// Share of them that had the fault then or within 60 days.
    pub precision: f64,
    /// Median days from the first alert to when the fault came about, of those that came about within
    /// the month or the 60 days after it; `None` where none did.
    pub days_of_warning: Option<f64>,
}

/// What is there to find what, and what comes of it in the end.
const FAULTS: [(&str, &[&str], &[&str]); 9] = [
    ("worn battery", &["battery-worn"], &["battery-worn"]),
    (
        "battery does not charge",
        &["battery-not-charging"],
        &["battery-not-charging"],
    ),
    ("full disk", &["disk-full", "disk-filling"], &["disk-full"]),
    (
        "nearly full disk",
        &["disk-full", "disk-filling", "disk-nearly-full"],
        &["disk-nearly-full", "disk-full"],
    ),
    (
        "failing drive",
        &["drive-failing"],
        &["drive-failing", "drive-failed"],
    ),
    (
        "failing updates",
        &["updates-failing"],
        &["updates-failing"],
    ),
    ("wrong clock", &["clock-wrong"], &["clock-wrong"]),
    (
        "intercepted connections",
        &["tls-intercepted"],
        &["tls-intercepted"],
    ),
    (
        "dust in the fan",
        &["overheating", "hotter-than-peers", "slower-than-before"],
        &["overheating"],
    ),
];

/// Faults for which the time of warning counts, and the event that it counts to.
const EVENTS: [(&str, &str); 3] = [
    ("worn battery", "battery-worn"),
    ("full disk", "disk-full"),
    ("failing drive", "drive-failed"),
];

/// How long after the month what was foreseen may come about.
const AHEAD_MS: i64 = 60 * DAY_MS;

/// A fault that was there for less of the month is not one that had to be told.
const LASTING_MS: i64 = 3 * DAY_MS;

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
    let figures = measure(options);
    print!("{}", table(&figures));
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&figures)?;
        std::fs::write(path, json).with_context(|| format!("--json {}", path.display()))?;
    }
    Ok(())
}

/// Lives through the month and counts.
#[must_use]
pub fn measure(options: &Options) -> Figures {
    let fleet = Fleet::new(options.seed);
    let month = at(2026, 10, 1, 2, 0);
    let end = month.plus_ms(i64::from(options.days) * DAY_MS);
    let from = month.plus_ms(-i64::from(options.before) * DAY_MS);
    let stands = Stands::OnTheInternet;
    let mut district = District::new(fleet, options.devices, stands, &calendar(), from);
    district.glance(month);
    let evaluations = district.rehearsal.evaluations();
    let mut looking_s = 0.0;
    while district.now() < end {
        district.step(i64::from(options.step) * 60_000);
        let mut watch = Stopwatch::start();
        district.rehearsal.look(district.now());
        looking_s += watch.lap();
    }
    let mut figures = count(options, &district, from, month..end);
    figures.evaluations = district.rehearsal.evaluations() - evaluations;
    let rules = district.rehearsal.rules().rules.len() as f64;
    figures.device_rules_per_cpu_s = figures.evaluations as f64 * rules / looking_s.max(1e-9);
    figures.scores = scores(&fleet, options, &district, &(month..end));
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
        by_title: by_title(&tickets),
        by_rule,
        ..Figures::default()
    }
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

fn scores(
    fleet: &Fleet,
    options: &Options,
    district: &District,
    month: &Range<UnixMs>,
) -> BTreeMap<String, Score> {
    let horizon = month.end.plus_ms(AHEAD_MS);
    let truths: Vec<Truth> = fleet
        .truths(0..options.devices, month.start, horizon)
        .collect();
    let ids: Vec<DeviceId> = (0..options.devices)
        .map(|number| fleet.laptop(number).device_id())
        .collect();
    let score = |(name, rules, faults): &(&str, &[&str], &[&str])| {
        let told = first_told(district, rules);
        let event = EVENTS.iter().find(|(of, _)| of == name);
        let score = score(
            &truths,
            &ids,
            &told,
            faults,
            event.map(|(_, event)| *event),
            month,
        );
        ((*name).to_owned(), score)
    };
    FAULTS.iter().map(score).collect()
}

/// When one of the rules first fired for each laptop.
fn first_told(district: &District, rules: &[&str]) -> BTreeMap<DeviceId, UnixMs> {
    let mut told = BTreeMap::new();
    let fired = district.rehearsal.fired().iter();
    for alert in fired.filter(|alert| rules.contains(&alert.key.rule.as_str())) {
        told.entry(alert.key.device)
            .or_insert(alert.fired.unwrap_or(alert.since));
    }
    told
}

fn score(
    truths: &[Truth],
    ids: &[DeviceId],
    told: &BTreeMap<DeviceId, UnixMs>,
    faults: &[&str],
    event: Option<&str>,
    month: &Range<UnixMs>,
) -> Score {
    let id = |truth: &Truth| ids[truth.device as usize];
    let of_fault = truths.iter().filter(|truth| faults.contains(&truth.fault));
    let has_it: BTreeSet<DeviceId> = of_fault.clone().map(id).collect();
    let lasted = |truth: &&Truth| {
        let until = truth.until.unwrap_or(month.end).min(month.end);
        until.since(truth.from.max(month.start)) >= LASTING_MS
    };
    let faulty: BTreeSet<DeviceId> = of_fault.filter(lasted).map(id).collect();
    let right = told.keys().filter(|device| has_it.contains(device)).count();
    let found = faulty
        .iter()
        .filter(|device| told.contains_key(device))
        .count();
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let mut warnings: Vec<f64> = truths
        .iter()
        .filter(|truth| Some(truth.fault) == event && truth.from > month.start)
        .filter_map(|truth| {
            let first = told.get(&id(truth))?;
            Some(truth.from.since(*first) as f64 / DAY_MS as f64)
        })
        .collect();
    warnings.sort_by(f64::total_cmp);
    Score {
        faulty: faulty.len(),
        recall: share(found, faulty.len()),
        told: told.len(),
        precision: share(right, told.len()),
        days_of_warning: warnings.get(warnings.len() / 2).copied(),
    }
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
        "tickets for 1,000 devices when they are first looked at {:.0}; shared tickets {}\n\n{:<26} {:>7} {:>7} {:>6} {:>9} {:>8}",
        figures.tickets_of_the_beginning,
        figures.shared_tickets,
        "fault",
        "faulty",
        "recall",
        "told",
        "precision",
        "warning"
    );
    for (name, score) in &figures.scores {
        let warning = score
            .days_of_warning
            .map_or_else(|| "-".to_owned(), |days| format!("{days:.0} d"));
        let _ = writeln!(
            text,
            "{name:<26} {:>7} {:>7.2} {:>6} {:>9.2} {warning:>8}",
            score.faulty, score.recall, score.told, score.precision
        );
    }
    let _ = writeln!(text, "\nalerts by rule");
    for (rule, count) in &figures.by_rule {
        let _ = writeln!(text, "  {rule:<32} {count:>6}");
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
