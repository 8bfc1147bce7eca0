//! Backtest: the rules and forecasts in force, run over a recorded history.
//!
//! ```text
//! series.csv  -> rows by device and time -> state -> outlook -> evaluate -> alerts, printed
//! labels.csv  --------------------------------------------------------\--> scores, for each rule
//! ```
//! The state, the forecasts and the evaluation are those of the collector; only where the readings
//! come from differs. Rows are read as a stream: beside the names, each once, at most
//! [`history::RUN_ROWS`] rows (64 MB) and one device are held in memory, the rest waits in unnamed
//! temporary files.

mod history;
mod labels;
pub mod preview;
mod replay;
mod score;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rollcall_shared::time::UnixMs;
use serde::Serialize;

use super::rules::{FILE_BYTES, RuleSet};
use history::History;
use labels::Labels;
use replay::{Replayed, replay};
use score::{Score, Scores};

/// Alerts that the JSON lists; a year of a district has fewer, and a rule that fires more often is seen
/// to do so in the count.
const LISTED: usize = 200_000;

/// What is run over what.
#[derive(Debug, Clone, clap::Args)]
pub struct BacktestOptions {
    /// Rules to try instead of the default ones.
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Recorded readings: CSV with the columns time, device, metric, instance, value; gzip is fine.
    #[arg(long, value_name = "FILE")]
    pub series: PathBuf,
    /// What really happened: CSV with the columns device, event, time; gzip is fine.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Where to write alerts and scores as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Everything that a backtest found.
#[derive(Debug, Default, Serialize)]
pub struct BacktestReport {
    /// Rows that were read and used.
    pub rows: u64,
    /// Rows that were left out, by reason.
    pub left_out: std::collections::BTreeMap<String, u64>,
    /// Devices.
    pub devices: u64,
    /// Years of all devices together, from the first to the last row of each.
    pub device_years: f64,
    /// How often something began to fire.
    pub fired: u64,
    /// The alerts, the first 200,000 of them.
    pub alerts: Vec<AlertLine>,
    /// How right each rule was; empty without labels.
    pub scores: std::collections::BTreeMap<String, Score>,
}

/// An alert that fired, with its times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertLine {
    /// Which device, as the history names it.
    pub device: String,
    /// Which rule.
    pub rule: String,
    /// Which battery, drive or mount; empty where there is only one.
    pub instance: String,
    /// How much it matters.
    pub severity: String,
    /// When it began to fire, RFC 3339.
    pub fired: String,
    /// When a good reading ended it, RFC 3339.
    pub resolved: Option<String>,
    /// What was seen.
    pub evidence: String,
}

/// Runs a backtest, prints every alert and the scores to `out`, and writes the JSON.
///
/// # Errors
/// When a file cannot be read or written, or is not right; the error names file, line and field.
pub fn run(options: &BacktestOptions, out: &mut impl Write) -> anyhow::Result<BacktestReport> {
    let rules = read_rules(options.rules.as_deref())?;
    let labels = options.labels.as_deref().map(Labels::read).transpose()?;
    let history = History::read(&options.series)?;
    let report = backtest(&rules, history, labels.as_ref(), out)?;
    if let Some(path) = &options.json {
        write_json(path, &report)?;
    }
    Ok(report)
}

fn backtest(
    rules: &RuleSet,
    mut history: History,
    labels: Option<&Labels>,
    out: &mut impl Write,
) -> anyhow::Result<BacktestReport> {
    let mut report = BacktestReport::default();
    let mut scores = labels.map(|labels| Scores::new(rules, labels));
    while let Some(device) = replay(rules, &mut history)? {
        for alert in &device.alerts {
            print_alert(out, alert)?;
        }
        if let Some(scores) = &mut scores {
            scores.add(&device);
        }
        report.add(device);
    }
    report.rows = history.used();
    report.left_out = history.left_out();
    report.scores = scores.map(Scores::finish).unwrap_or_default();
    print_summary(out, &report)?;
    Ok(report)
}

impl BacktestReport {
    fn add(&mut self, device: Replayed) {
        self.devices += 1;
        self.device_years += score::years(device.from, device.to);
        self.fired += device.alerts.len() as u64;
        let left = LISTED.saturating_sub(self.alerts.len());
        self.alerts
            .extend(device.alerts.into_iter().take(left).map(|alert| alert.line));
    }
}

fn read_rules(path: Option<&Path>) -> anyhow::Result<RuleSet> {
    let Some(path) = path else {
        return Ok(RuleSet::built_in());
    };
    let name = path.display().to_string();
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("cannot read --rules {name}"))?
        .len();
    ensure!(
        bytes <= FILE_BYTES as u64,
        "--rules {name} has {bytes} bytes, more than {FILE_BYTES}"
    );
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read --rules {name}"))?;
    Ok(RuleSet::parse(&name, &text)?)
}

fn write_json(path: &Path, report: &BacktestReport) -> anyhow::Result<()> {
    let cannot = || format!("cannot write --json {}", path.display());
    let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
    serde_json::to_writer_pretty(&mut file, report).with_context(cannot)?;
    file.write_all(b"\n")
        .and_then(|()| file.flush())
        .with_context(cannot)
}

fn print_alert(out: &mut impl Write, alert: &replay::Told) -> std::io::Result<()> {
    let line = &alert.line;
    let until = line.resolved.as_deref().unwrap_or("open");
    let (fired, rule, device) = (&line.fired, &line.rule, &line.device);
    writeln!(
        out,
        "{fired}  {until:<24}  {rule}  {device} {}  {}",
        line.instance, line.evidence
    )
}

fn print_summary(out: &mut impl Write, report: &BacktestReport) -> std::io::Result<()> {
    writeln!(
        out,
        "{} alerts of {} devices over {:.1} device-years, from {} rows",
        report.fired, report.devices, report.device_years, report.rows
    )?;
    for (reason, rows) in &report.left_out {
        writeln!(out, "left out: {rows} rows, {reason}")?;
    }
    for (rule, score) in &report.scores {
        writeln!(out, "{rule}: {score}")?;
    }
    Ok(())
}

/// A gzip or plain file of CSV, whatever its name.
fn open_csv(path: &Path) -> anyhow::Result<csv::Reader<Box<dyn std::io::Read>>> {
    use std::io::{BufRead as _, BufReader, Read};
    let cannot = || format!("cannot read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(cannot)?);
    let is_packed = file
        .fill_buf()
        .with_context(cannot)?
        .starts_with(&[0x1f, 0x8b]);
    let raw: Box<dyn Read> = if is_packed {
        Box::new(flate2::bufread::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(csv::ReaderBuilder::new().flexible(true).from_reader(raw))
}

/// The positions of the named columns.
fn columns<const N: usize>(
    path: &Path,
    header: &csv::StringRecord,
    names: [&str; N],
) -> anyhow::Result<[usize; N]> {
    let mut found = [0; N];
    for (at, name) in found.iter_mut().zip(names) {
        let position = header
            .iter()
            .position(|column| column.trim().trim_start_matches('\u{feff}') == name);
        *at = position.with_context(|| {
            let has: Vec<&str> = header.iter().collect();
            format!(
                "{}: line 1 has no column `{name}`; it has {}, and needs {}",
                path.display(),
                has.join(","),
                names.join(",")
            )
        })?;
    }
    Ok(found)
}

/// A time as RFC 3339 writes it; a day alone is its beginning in UTC.
fn parse_time(text: &str) -> Option<UnixMs> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(UnixMs(time.as_millisecond()));
    }
    let day = text
        .parse::<jiff::civil::Date>()
        .ok()
        .filter(|_| text.len() == 10)?;
    let time = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMs(time.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests;
