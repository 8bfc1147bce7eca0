//! `collector.toml`: what an administrator sets. Every value has a default that is right for a small
//! school, and an error names the file, the line and the field.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rollcall_shared::configuration::Configuration;
use rollcall_shared::limits;
use serde::Deserialize;

use crate::feed::config::{self as feeds, FeedConfig};
use crate::notify::config::{self as channels, ChannelConfig};
use crate::provider::config::OidcConfig;
use crate::store::StoreOptions;

/// Where the data lie unless the command line says otherwise.
pub const DEFAULT_DATA: &str = "/var/lib/rollcall-collector";

/// Bytes of a configuration file: 1,900 beacons take about 200 KB.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The file with the rules; without one the built-in rules hold.
    pub rules: Option<PathBuf>,
    /// Where agents and programs connect.
    pub grpc: GrpcSection,
    /// Where browsers and scrapers connect.
    pub http: HttpSection,
    /// How the store is kept.
    pub store: StoreSection,
    /// How certificates are issued.
    pub authority: AuthoritySection,
    /// What agents are told.
    pub agents: Configuration,
    /// Who is told of alerts.
    pub channel: Vec<ChannelConfig>,
    /// Through whom people sign in.
    pub oidc: Option<OidcConfig>,
    /// Which other systems get telemetry.
    pub feed: Vec<FeedConfig>,
}

/// The section `[grpc]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcSection {
    /// The address; port 0 takes any that is free.
    pub listen: SocketAddr,
}

/// The section `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// The address; one that is not loopback needs a certificate.
    pub listen: SocketAddr,
    /// The certificate chain in PEM.
    pub certificate: Option<PathBuf>,
    /// Its key in PEM.
    pub key: Option<PathBuf>,
    /// Names besides `localhost` by which browsers call this machine.
    pub names: Vec<String>,
}

/// The section `[store]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// Megabytes of free disk below which no telemetry is taken in.
    pub reserve_mb: u64,
    /// Days that alerts, incidents and the audit log are kept, 8 to 3660.
    pub retention_days: u32,
    /// Days that every single reading is kept, 8 to 3660; no longer than `retention_days`.
    pub raw_days: u32,
    /// Days that least, mean, greatest and last value of each quarter of an hour are kept, 8 to 3660.
    pub rollup_15m_days: u32,
    /// Days that those of each hour are kept, 8 to 3660.
    pub rollup_1h_days: u32,
    /// Days that those of each day are kept, 8 to 3660.
    pub rollup_1d_days: u32,
}

/// The section `[authority]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthoritySection {
    /// Seconds that a device's certificate lives, 5 s (for tests) to 398 days.
    pub certificate_life_s: u64,
}

impl Default for GrpcSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
        }
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8480)),
            certificate: None,
            key: None,
            names: Vec::new(),
        }
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        let options = StoreOptions::default();
        Self {
            reserve_mb: options.reserve_bytes / MB,
            retention_days: 400,
            raw_days: 35,
            rollup_15m_days: 100,
            rollup_1h_days: 400,
            rollup_1d_days: 1830,
        }
    }
}

impl Default for AuthoritySection {
    fn default() -> Self {
        Self {
            certificate_life_s: limits::CERTIFICATE_LIFE.as_secs(),
        }
    }
}

const MB: u64 = 1024 * 1024;

impl Config {
    /// Reads a file; without one everything has its default.
    ///
    /// # Errors
    /// When it cannot be read or is not right.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let name = file.display().to_string();
        let meta = std::fs::metadata(file).with_context(|| format!("cannot read {name}"))?;
        if meta.len() > FILE_BYTES {
            bail!("{name} has {} bytes, more than {FILE_BYTES}", meta.len());
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        let mut config = Self::parse(&name, &text)?;
        config.resolve(file.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Reads the text of the file `name`.
    ///
    /// # Errors
    /// When it is not right; the error names file, line and field.
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let hint = hint(error.message()).unwrap_or_default();
            anyhow::anyhow!("{name}: {}{hint}", error.to_string().trim_end())
        })?;
        config
            .check()
            .map_err(|problem| anyhow::anyhow!("{name}: {problem}"))?;
        Ok(config)
    }

    /// How the store is kept.
    #[must_use]
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            reserve_bytes: self.store.reserve_mb.saturating_mul(MB),
            retention: days(self.store.retention_days),
            raw_retention: days(self.store.raw_days),
            rollup_retention: [
                days(self.store.rollup_15m_days),
                days(self.store.rollup_1h_days),
                days(self.store.rollup_1d_days),
            ],
            ..StoreOptions::default()
        }
    }

    /// How long a device's certificate lives.
    #[must_use]
    pub const fn certificate_life(&self) -> Duration {
        Duration::from_secs(self.authority.certificate_life_s)
    }

    fn check(&self) -> Result<(), String> {
        if self.agents.revision != 0 {
            return Err("agents.revision is counted by the collector; leave it out".to_owned());
        }
        self.agents
            .check()
            .map_err(|error| format!("agents.{error}"))?;
        if self.http.certificate.is_some() != self.http.key.is_some() {
            return Err(
                "http.certificate and http.key are given together or not at all".to_owned(),
            );
        }
        channels::check(&self.channel).map_err(|error| error.to_string())?;
        feeds::check(&self.feed)?;
        self.oidc.as_ref().map_or(Ok(()), OidcConfig::check)?;
        let kept = [
            ("store.retention_days", self.store.retention_days),
            ("store.raw_days", self.store.raw_days),
            ("store.rollup_15m_days", self.store.rollup_15m_days),
            ("store.rollup_1h_days", self.store.rollup_1h_days),
            ("store.rollup_1d_days", self.store.rollup_1d_days),
        ];
        for (name, days) in kept {
            within(name, u64::from(days), 8, 3660)?;
        }
        let life = self.authority.certificate_life_s;
        within("authority.certificate_life_s", life, 5, 398 * 86_400)
    }

    /// Paths in the file are relative to its folder.
    fn resolve(&mut self, folder: &Path) {
        let paths = [
            &mut self.rules,
            &mut self.http.certificate,
            &mut self.http.key,
        ];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
        for channel in &mut self.channel {
            channel.resolve(folder);
        }
        for feed in &mut self.feed {
            feed.resolve(folder);
        }
        if let Some(oidc) = &mut self.oidc {
            oidc.resolve(folder);
        }
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn within(field: &str, value: u64, low: u64, high: u64) -> Result<(), String> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(format!("{field}: {value} lies outside {low} to {high}"))
}

/// The word that was most likely meant, for a message such as
/// ``unknown field `grcp`, expected one of `grpc`, `http` ``.
fn hint(message: &str) -> Option<String> {
    let (_, after) = message.split_once("unknown field `")?;
    let mut words = after.split('`');
    let wrong = words.next()?;
    let right = words.skip(1).step_by(2);
    let nearest = right.max_by(|a, b| {
        let likeness = |word: &str| strsim::jaro_winkler(wrong, word);
        likeness(a).total_cmp(&likeness(b))
    })?;
    let like = strsim::jaro_winkler(wrong, nearest) > 0.8;
    like.then(|| format!("\ndid you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse("collector.toml", text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::parse("collector.toml", "").unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.store_options(), StoreOptions::default());
        assert!(config.http.listen.ip().is_loopback());
    }

    #[test]
    fn each_mistake_names_file_line_and_field() {
        let unknown = error("[store]\nreserve_mb = 9\n[grcp]\nlisten = \"1.2.3.4:5\"\n");
        assert!(
            unknown.contains("collector.toml") && unknown.contains("line 3"),
            "{unknown}"
        );
        assert!(unknown.contains("did you mean `grpc`?"), "{unknown}");
        let kind = error("[grpc]\nlisten = \"nowhere\"\n");
        assert!(kind.contains("line 2"), "{kind}");
        assert!(error("[agents.schedule]\nfast_s = 0\n").contains("agents.schedule.fast_s"));
        assert!(error("[agents]\nrevision = 3\n").contains("agents.revision"));
        assert!(error("[store]\nretention_days = 1\n").contains("store.retention_days"));
        assert!(error("[http]\nkey = \"k\"\n").contains("http.certificate"));
    }

    /// The published example says the defaults, and what it comments out would be right too.
    #[test]
    fn the_example_is_right_and_complete() {
        let text = include_str!("../../deploy/collector/collector.toml");
        let mut example = Config::parse("example", text).unwrap();
        assert_eq!(example.agents.targets.len(), 1);
        example.agents.targets.clear();
        assert_eq!(example, Config::default());
        let is_key = |line: &&str| {
            line.starts_with('[')
                || line
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' '))
        };
        let strip = |line: &'static str| line.strip_prefix("# ").filter(is_key).unwrap_or(line);
        let whole: Vec<&str> = text.lines().map(strip).collect();
        let whole = Config::parse("example", &whole.join("\n")).unwrap();
        assert_eq!((whole.channel.len(), whole.agents.beacons.len()), (7, 1));
        assert!(whole.rules.is_some() && whole.http.key.is_some());
        assert_eq!(whole.feed.len(), 2);
        assert_eq!(whole.oidc.map(|oidc| oidc.grant.len()), Some(3));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("collector.toml");
        std::fs::write(&file, "rules = \"rules.toml\"\n").unwrap();
        let config = Config::read(Some(&file)).unwrap();
        assert_eq!(config.rules, Some(dir.path().join("rules.toml")));
    }
}
