//! Feeds as they are configured.

use std::path::{Path, PathBuf};

use rollcall_shared::id::Label;
use rollcall_shared::metric;
use serde::Deserialize;

use crate::store::Format;

/// Feeds of one collector; each has a task of its own.
const FEEDS: usize = 16;

/// What another system gets. One `[[feed]]` of the collector's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FeedConfig {
    /// A file a day.
    Files(FilesConfig),
    /// The latest numbers by OTLP.
    Otlp(OtlpConfig),
}

/// A file a day with that day's readings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesConfig {
    /// The feed's unique name; it is part of the files' names.
    pub name: Label,
    /// The folder that the files go to; it must be there.
    pub folder: PathBuf,
    /// The form of the files.
    #[serde(default = "csv")]
    pub format: Format,
    /// Only devices of this site.
    #[serde(default)]
    pub site: Option<Label>,
    /// Only this metric, by its name.
    #[serde(default)]
    pub metric: Option<String>,
    /// The hour, UTC, from which on the day before is written.
    #[serde(default = "hour")]
    pub hour: u8,
    /// Days that files are kept.
    #[serde(default = "keep_days")]
    pub keep_days: u16,
}

/// The latest numbers by OTLP over HTTP, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpConfig {
    /// The feed's unique name.
    pub name: Label,
    /// The receiver's address, which ends in `/v1/metrics` as a rule.
    pub url: String,
    /// Seconds between two deliveries.
    #[serde(default = "interval_s")]
    pub interval_s: u32,
    /// Only these metrics, by name; none for all.
    #[serde(default)]
    pub metrics: Vec<String>,
    /// A file with the value of the `Authorization` header.
    #[serde(default)]
    pub authorization_file: Option<PathBuf>,
    /// A PEM file with the only authorities that the receiver's certificate may come from.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Seconds for one call.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
}

const fn csv() -> Format {
    Format::Csv
}

const fn hour() -> u8 {
    2
}

const fn keep_days() -> u16 {
    31
}

const fn interval_s() -> u32 {
    300
}

const fn timeout_s() -> u32 {
    30
}

impl FeedConfig {
    /// The feed's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Files(config) => config.name.as_str(),
            Self::Otlp(config) => config.name.as_str(),
        }
    }

    /// Paths in the file are relative to its folder.
    pub fn resolve(&mut self, folder: &Path) {
        match self {
            Self::Files(config) => config.folder = folder.join(&config.folder),
            Self::Otlp(config) => {
                let paths = [&mut config.authorization_file, &mut config.ca_file];
                for path in paths.into_iter().flatten() {
                    *path = folder.join(&*path);
                }
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let is_path_safe = |c: char| c.is_alphanumeric() || "-_ .".contains(c);
        if !self.name().chars().all(is_path_safe) {
            return Err("name: may have letters, digits, `-`, `_`, `.` and spaces".to_owned());
        }
        match self {
            Self::Files(config) => {
                within("hour", u32::from(config.hour), 0, 23)?;
                within("keep_days", u32::from(config.keep_days), 1, 3660)?;
                config.metric.iter().try_for_each(known)
            }
            Self::Otlp(config) => {
                within("interval_s", config.interval_s, 10, 86_400)?;
                within("timeout_s", config.timeout_s, 1, 300)?;
                config.metrics.iter().try_for_each(known)?;
                check_url(&config.url, config.authorization_file.is_some())
            }
        }
    }
}

/// Checks all feeds together.
///
/// # Errors
/// Names the feed and the key.
pub fn check(feeds: &[FeedConfig]) -> Result<(), String> {
    if feeds.len() > FEEDS {
        return Err(format!("feed: at most {FEEDS}, not {}", feeds.len()));
    }
    for (at, feed) in feeds.iter().enumerate() {
        let name = feed.name();
        feed.check()
            .map_err(|problem| format!("feed `{name}`: {problem}"))?;
        if feeds[..at].iter().any(|earlier| earlier.name() == name) {
            return Err(format!("feed `{name}`: the name is given twice"));
        }
    }
    Ok(())
}

fn known(name: &String) -> Result<(), String> {
    match metric::by_name(name) {
        Some(_) => Ok(()),
        None => Err(format!("`{name}` is no metric of shared/COLLECTED.md")),
    }
}

/// Telemetry and a secret go in the clear only within this machine.
fn check_url(url: &str, has_secret: bool) -> Result<(), String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("url: {error}"))?;
    let host = parsed.host_str().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        "http" => Err(format!(
            "url: `http` would send telemetry{} in the clear; only `https` leaves this machine",
            if has_secret { " and a secret" } else { "" }
        )),
        other => Err(format!("url: `{other}` is not `https`")),
    }
}

fn within(field: &str, value: u32, low: u32, high: u32) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("{field}: {value} lies outside {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Whole {
        feed: Vec<FeedConfig>,
    }

    fn problem(text: &str) -> String {
        match toml::from_str::<Whole>(text) {
            Ok(whole) => check(&whole.feed).unwrap_err(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_mistake_names_the_feed_and_the_key() {
        let files = "[[feed]]\nkind = \"files\"\nname = \"x\"\nfolder = \"/f\"\n";
        let otlp = "[[feed]]\nkind = \"otlp\"\nname = \"y\"\n";
        for (text, says) in [
            (format!("{files}hour = 24\n"), "feed `x`: hour: 24"),
            (
                format!("{files}metric = \"os.nam\"\n"),
                "`os.nam` is no metric",
            ),
            (
                format!("{files}{files}"),
                "feed `x`: the name is given twice",
            ),
            (format!("{files}keepdays = 3\n"), "keepdays"),
            (
                format!("{otlp}url = \"http://otel.example/v1/metrics\"\n"),
                "in the clear",
            ),
            (format!("{otlp}url = \"nowhere\"\n"), "feed `y`: url"),
            (
                "[[feed]]\nkind = \"files\"\nname = \"../x\"\nfolder = \"f\"\n".to_owned(),
                "name: may have",
            ),
        ] {
            let problem = problem(&text);
            assert!(problem.contains(says), "{problem}");
        }
    }
}
