//! What a collector tells its agents: data only, and only what this schema allows.

use serde::{Deserialize, Serialize};

use crate::id::Label;
use crate::limits;
use crate::preset;

/// How an agent collects and sends. Sent at connection and on change; the agent keeps the last one
/// on disk, so that it goes on by it while it is offline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// Grows with each change; an agent ignores one that it already follows.
    #[serde(default)]
    pub revision: u64,
    /// How often to read and to send.
    #[serde(default)]
    pub schedule: Schedule,
    /// What pupils must be able to reach, at most [`limits::TARGETS`].
    #[serde(default)]
    pub targets: Vec<Target>,
    /// What tells that a laptop is inside a school, at most [`limits::BEACONS`].
    #[serde(default)]
    pub beacons: Vec<Beacon>,
    /// Whether serial numbers travel in clear; otherwise only their hash does.
    #[serde(default)]
    pub clear_serial: bool,
}

/// Intervals in seconds, each from 1 s (for tests) to a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Processor, memory, battery, links: what moves by the minute.
    pub fast_s: u32,
    /// Gateway, DNS and the reachability of the targets.
    pub network_s: u32,
    /// File systems and temperatures of drives.
    pub disk_s: u32,
    /// SMART and NVMe health: reading it may wake a drive.
    pub drive_s: u32,
    /// Updates, pending restart, encryption, identity of hardware and system.
    pub slow_s: u32,
    /// How long ordinary reports may wait to travel together; what is urgent does not wait.
    pub send_s: u32,
    /// How often a report carries every reading, changed or not.
    pub full_s: u32,
}

/// A service that lessons depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TargetText")]
pub struct Target {
    /// What tickets call it, such as `Canvas`.
    pub name: Label,
    /// An `https://` or `http://` address, at most [`limits::URL_BYTES`] bytes.
    pub url: String,
}

/// A target as a configuration names it: by name and address, or by a preset, which either replaces.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetText {
    preset: Option<String>,
    name: Option<Label>,
    url: Option<String>,
}

impl TryFrom<TargetText> for Target {
    type Error = String;

    fn try_from(text: TargetText) -> Result<Self, Self::Error> {
        let preset = text.preset.as_deref().map(preset::find).transpose()?;
        let preset_name = || preset.map(|preset| preset.name.parse().map_err(|_| preset.name));
        let name = match text.name.map(Ok).or_else(preset_name) {
            Some(Ok(name)) => name,
            Some(Err(name)) => return Err(format!("`{name}` is no name of a target")),
            None => return Err("a target needs a `name`, or a `preset`".to_owned()),
        };
        let preset_url = || preset.and_then(|preset| preset.url).map(str::to_owned);
        let url = text.url.or_else(preset_url);
        let url = url.ok_or_else(|| format!("{name} needs a `url`: each school has its own"))?;
        Ok(Self { name, url })
    }
}

/// A TLS endpoint that only answers inside one school. Its certificate comes from the collector's
/// own authority and names the site, so no other network can pretend to be the school.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beacon {
    /// The site that it stands for.
    pub site: Label,
    /// `host:port`.
    pub address: String,
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigurationError {
    /// The field, such as `targets[2].url`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            fast_s: 60,
            network_s: 300,
            disk_s: 300,
            drive_s: 3600,
            slow_s: 3600,
            send_s: 300,
            full_s: 4 * 3600,
        }
    }
}

impl Schedule {
    /// Each interval with the name of its field.
    #[must_use]
    pub const fn fields(&self) -> [(&'static str, u32); 7] {
        [
            ("fast_s", self.fast_s),
            ("network_s", self.network_s),
            ("disk_s", self.disk_s),
            ("drive_s", self.drive_s),
            ("slow_s", self.slow_s),
            ("send_s", self.send_s),
            ("full_s", self.full_s),
        ]
    }
}

impl Configuration {
    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// The first field that is out of bounds, and what would be right.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        for (field, seconds) in self.schedule.fields() {
            let problem = || format!("{seconds} s lies outside 1 to {WEEK_S} s");
            require(
                (1..=WEEK_S).contains(&seconds),
                || format!("schedule.{field}"),
                problem,
            )?;
        }
        check_count("targets", self.targets.len(), limits::TARGETS)?;
        check_count("beacons", self.beacons.len(), limits::BEACONS)?;
        for (at, target) in self.targets.iter().enumerate() {
            let url = &target.url;
            let fits = url.len() <= limits::URL_BYTES && has_web_scheme(url) && is_plain(url);
            let problem = || format!("`{url}` is not an http:// or https:// address");
            require(fits, || format!("targets[{at}].url"), problem)?;
            let first = self
                .targets
                .iter()
                .position(|other| other.name == target.name);
            let problem = || format!("`{}` is the name of an earlier target too", target.name);
            require(first == Some(at), || format!("targets[{at}].name"), problem)?;
        }
        for (at, beacon) in self.beacons.iter().enumerate() {
            let address = &beacon.address;
            let port = address
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty());
            let fits = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|p| p > 0))
                && address.len() <= limits::URL_BYTES
                && is_plain(address);
            let problem = || format!("`{address}` is not of the form host:port");
            require(fits, || format!("beacons[{at}].address"), problem)?;
        }
        Ok(())
    }
}

const WEEK_S: u32 = 7 * 86_400;

fn has_web_scheme(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    })
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn check_count(field: &str, count: usize, limit: usize) -> Result<(), ConfigurationError> {
    require(
        count <= limit,
        || field.to_owned(),
        || format!("{count} are more than {limit}"),
    )
}

fn require(
    holds: bool,
    field: impl FnOnce() -> String,
    problem: impl FnOnce() -> String,
) -> Result<(), ConfigurationError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigurationError {
            field: field(),
            problem: problem(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(name: &str, url: &str) -> Target {
        Target {
            name: name.parse().unwrap(),
            url: url.to_owned(),
        }
    }

    fn parsed(json: &str) -> Result<Target, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_by_preset() {
        let every = preset::PRESETS.iter().map(|preset| {
            let own = r#", "url": "https://sis.district.example/""#;
            let own = if preset.url.is_none() { own } else { "" };
            parsed(&format!(r#"{{"preset": "{}"{own}}}"#, preset.id)).unwrap()
        });
        let all = Configuration {
            targets: every.collect(),
            ..Configuration::default()
        };
        assert_eq!(all.check(), Ok(()));
        let ours = r#"{"preset": "canvas", "url": "https://canvas.district.example/"}"#;
        assert_eq!(
            parsed(ours).unwrap(),
            target("Canvas", "https://canvas.district.example/")
        );
        assert!(
            parsed(r#"{"preset": "sis"}"#)
                .unwrap_err()
                .contains("SIS needs a `url`")
        );
        assert!(
            parsed(r#"{"preset": "canvs"}"#)
                .unwrap_err()
                .contains("there are google-classroom, canvas")
        );
        assert!(
            parsed(r#"{"url": "https://x.example"}"#)
                .unwrap_err()
                .contains("`preset`")
        );
        assert!(
            parsed(r#"{"name": "X", "addr": "y"}"#)
                .unwrap_err()
                .contains("unknown field")
        );
    }

    #[test]
    fn the_default_is_right() {
        assert_eq!(Configuration::default().check(), Ok(()));
    }

    #[test]
    fn each_mistake_names_its_field() {
        let mut zero = Configuration::default();
        zero.schedule.disk_s = 0;
        assert_eq!(zero.check().unwrap_err().field, "schedule.disk_s");

        let targets = vec![
            target("Canvas", "https://canvas.example"),
            target("Mail", "ftp://mail"),
        ];
        let mut url = Configuration {
            targets,
            ..Configuration::default()
        };
        assert_eq!(url.check().unwrap_err().field, "targets[1].url");
        url.targets[1] = target("Canvas", "https://mail.example");
        assert_eq!(url.check().unwrap_err().field, "targets[1].name");

        let nowhere = Beacon {
            site: "Lincoln".parse().unwrap(),
            address: "beacon".to_owned(),
        };
        let mut beacon = Configuration {
            beacons: vec![nowhere],
            ..Configuration::default()
        };
        assert_eq!(beacon.check().unwrap_err().field, "beacons[0].address");
        beacon.beacons[0].address = "beacon.example:8444".to_owned();
        assert_eq!(beacon.check(), Ok(()));
    }
}
