//! `agent.toml`: what a technician may set on the laptop. All of it is optional.

use std::io;
use std::path::{Path, PathBuf};

use rollcall_shared::configuration::{Configuration, Target};
use rollcall_shared::limits;
use serde::Deserialize;

use crate::collect::Roots;
use crate::stream::address::{Address, AddressError, Proxy};
use crate::stream::connector::Connector;

/// Where the agent keeps its data unless told otherwise.
#[must_use]
pub fn default_data() -> PathBuf {
    match std::env::consts::OS {
        "windows" => program_data(),
        "macos" => "/Library/Application Support/Rollcall".into(),
        _ => "/var/lib/rollcall-agent".into(),
    }
}

/// Where `agent.toml` is looked for unless told otherwise.
#[must_use]
pub fn default_file() -> PathBuf {
    match std::env::consts::OS {
        "windows" => program_data().join("agent.toml"),
        "macos" => "/Library/Application Support/Rollcall/agent.toml".into(),
        _ => "/etc/rollcall/agent.toml".into(),
    }
}

/// `%ProgramData%\Rollcall`.
fn program_data() -> PathBuf {
    let folder = std::env::var_os("ProgramData").unwrap_or_else(|| r"C:\ProgramData".into());
    PathBuf::from(folder).join("Rollcall")
}

/// The content of `agent.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// The collector, as `host:port`.
    pub collector: Option<Address>,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// Bytes that waiting reports may take on disk; [`limits::SPOOL_BYTES`] unless set.
    pub spool_bytes: Option<u64>,
    /// The proxy to the collector; otherwise `HTTPS_PROXY` and `NO_PROXY` of the environment count.
    pub proxy: Option<Proxy>,
    /// A file with an enrolment token, by which `run` enrols where there is no identity yet.
    pub token_file: Option<PathBuf>,
    /// Whether the token file is removed once it has been used.
    #[serde(default)]
    pub erase_token: bool,
    /// Other places for the sources of readings, for tests.
    #[serde(default)]
    pub roots: RootPaths,
    /// Targets for as long as the collector sends none.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// Where `/sys` and the like are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootPaths {
    /// A folder that holds all of them.
    pub all: Option<PathBuf>,
    /// In place of `/sys`.
    pub sys: Option<PathBuf>,
    /// In place of `/proc`.
    pub proc: Option<PathBuf>,
    /// In place of `/etc`.
    pub etc: Option<PathBuf>,
    /// In place of `/var`.
    pub var: Option<PathBuf>,
    /// In place of `/run`.
    pub run: Option<PathBuf>,
    /// In place of `/boot`.
    pub boot: Option<PathBuf>,
    /// In place of `/lib/modules`.
    pub modules: Option<PathBuf>,
    /// A file of certificates in place of the public authorities.
    pub public_roots: Option<PathBuf>,
}

/// What is wrong with `agent.toml`. The line itself is not repeated: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: could not be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not as it should be.
    #[error("{}, line {line}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// What is wrong, with the field's name.
        problem: String,
    },
}

impl AgentConfig {
    /// Reads a file; the default file may be missing.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, the line and the field.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.map_or_else(default_file, Path::to_owned);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {
                Ok(Self::default())
            }
            Err(source) => Err(ConfigError::Unreadable { file: path, source }),
        }
    }

    /// Reads the text of a file called `path`.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let malformed = |line, problem| ConfigError::Malformed {
            file: path.to_owned(),
            line,
            problem,
        };
        let config: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            malformed(line_of(text, at), describe(text, at, error.message()))
        })?;
        match config.configuration().check() {
            Ok(()) => Ok(config),
            Err(error) => Err(malformed(
                line_of_table(text, "[[targets]]"),
                error.to_string(),
            )),
        }
    }

    /// What the agent goes by until a collector tells it more.
    #[must_use]
    pub fn configuration(&self) -> Configuration {
        Configuration {
            targets: self.targets.clone(),
            ..Configuration::default()
        }
    }

    /// The collector's configuration, with this file's targets where it names none.
    #[must_use]
    pub fn complete(&self, collector: Configuration) -> Configuration {
        if collector.targets.is_empty() {
            return Configuration {
                targets: self.targets.clone(),
                ..collector
            };
        }
        collector
    }

    /// The way to a collector: through the proxy of this file, or else that of the environment, or else
    /// straight, and where that fails by the proxies of the system, which is read in `roots`.
    ///
    /// # Errors
    /// When the environment names something else than a proxy.
    pub fn connector(&self, address: &Address, roots: &Roots) -> Result<Connector, AddressError> {
        let proxy = match &self.proxy {
            Some(proxy) => Some(proxy.clone()),
            None => Proxy::from_environment(address, |name| std::env::var(name).ok())?,
        };
        Ok(Connector::new(address.clone(), proxy).with_detours(roots.clone()))
    }

    /// How much the spool may take.
    #[must_use]
    pub fn spool_bytes(&self) -> u64 {
        self.spool_bytes.unwrap_or(limits::SPOOL_BYTES)
    }
}

impl RootPaths {
    /// All places below one folder, and the public authorities of this file.
    #[must_use]
    pub fn under(&self, root: &Path) -> Roots {
        Roots {
            public_roots: self.public_roots.clone(),
            ..Roots::under(root)
        }
    }

    /// The places to read from; `all` gives way to a path of its own.
    #[must_use]
    pub fn roots(&self) -> Roots {
        let mut roots = self
            .all
            .as_deref()
            .map_or_else(Roots::default, |root| self.under(root));
        let own = [
            (&self.sys, &mut roots.sys),
            (&self.proc, &mut roots.proc),
            (&self.etc, &mut roots.etc),
            (&self.var, &mut roots.var),
            (&self.run, &mut roots.run),
            (&self.boot, &mut roots.boot),
            (&self.modules, &mut roots.modules),
        ];
        for (path, root) in own {
            if let Some(path) = path {
                root.clone_from(path);
            }
        }
        roots
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

fn line_of_table(text: &str, table: &str) -> usize {
    text.find(table).map_or(1, |at| line_of(text, at))
}

/// The message with the field's name in front, where the line sets a field.
fn describe(text: &str, at: usize, message: &str) -> String {
    let line = text.lines().nth(line_of(text, at) - 1).unwrap_or_default();
    match line.split_once('=') {
        Some((field, _)) if !message.contains(field.trim()) => {
            format!("{}: {message}", field.trim())
        }
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        AgentConfig::parse(text, Path::new("agent.toml"))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_example_is_right() {
        let text = include_str!("../../deploy/linux/agent.toml");
        let is_key = |line: &&str| {
            line.starts_with("[[")
                || line
                    .split_once(" = ")
                    .is_some_and(|(key, _)| !key.contains(' '))
        };
        let strip = |line: &'static str| line.strip_prefix("# ").filter(is_key).unwrap_or(line);
        let whole: Vec<&str> = text.lines().map(strip).collect();
        for text in [text, &whole.join("\n")] {
            let example = AgentConfig::parse(text, Path::new("agent.toml")).unwrap();
            assert!(example.collector.is_some() && example.erase_token);
        }
    }

    #[test]
    fn a_mistake_names_file_line_and_field() {
        let unknown = error("collector = \"h:1\"\nspool_byte = 5\n");
        assert!(
            unknown.starts_with("agent.toml, line 2: unknown field `spool_byte`"),
            "{unknown}"
        );
        assert!(
            unknown.contains("spool_bytes"),
            "what would be right: {unknown}"
        );
        let address = error("\ncollector = \"nowhere\"\n");
        assert!(
            address.starts_with("agent.toml, line 2: collector: `nowhere` is not of the form"),
            "{address}"
        );
        let target = error("[[targets]]\nname = \"Canvas\"\nurl = \"ftp://x\"\n");
        assert!(target.contains("line 1: targets[0].url"), "{target}");
        let proxy = error("proxy = \"http://user:secret@\"\n");
        assert!(
            proxy.contains("proxy") && !proxy.contains("secret"),
            "{proxy}"
        );
        let proxy = error("proxy = [\"http://user:secret@proxy:1\"]\n");
        assert!(
            proxy.contains("line 1") && !proxy.contains("secret"),
            "{proxy}"
        );
    }

    #[test]
    fn local_targets_stand_in_until_the_collector_names_some() {
        let text = "[[targets]]\nname = \"Canvas\"\nurl = \"https://canvas.example\"\n[roots]\nall = \"/t\"\nsys = \"/s\"";
        let config = AgentConfig::parse(text, Path::new("agent.toml")).unwrap();
        let mut sent = Configuration {
            revision: 3,
            ..Configuration::default()
        };
        assert_eq!(config.complete(sent.clone()).targets, config.targets);
        sent.targets = vec![Target {
            name: "Mail".parse().unwrap(),
            url: "https://m.example".to_owned(),
        }];
        assert_eq!(config.complete(sent.clone()), sent);
        let roots = config.roots.roots();
        assert_eq!(
            (roots.sys, roots.proc),
            (PathBuf::from("/s"), PathBuf::from("/t/proc"))
        );
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        assert_eq!(AgentConfig::load(None).unwrap(), AgentConfig::default());
        let named = AgentConfig::load(Some(Path::new("/no/such/agent.toml"))).unwrap_err();
        assert!(named.to_string().contains("/no/such/agent.toml"), "{named}");
    }
}
