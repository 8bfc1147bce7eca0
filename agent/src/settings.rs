//! Where a setting comes from. The command line counts before the environment, the environment before
//! `agent.toml`, and `agent.toml` before what the district's management has set: the registry's
//! policies on Windows, managed preferences on macOS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rollcall_shared::token::EnrolmentToken;

use crate::config::AgentConfig;
use crate::stream::address::{Address, Proxy};

pub mod policy;

/// Names of the settings: in the environment, and in policies and preferences.
const COLLECTOR: (&str, &str) = ("ROLLCALL_COLLECTOR", "Collector");
const TOKEN: (&str, &str) = ("ROLLCALL_TOKEN", "Token");
const TOKEN_FILE: (&str, &str) = ("ROLLCALL_TOKEN_FILE", "TokenFile");
const PROXY: (&str, &str) = ("ROLLCALL_PROXY", "Proxy");
const DATA: (&str, &str) = ("ROLLCALL_AGENT_DATA", "Data");

/// Where a setting was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An option of the command line.
    CommandLine,
    /// A variable of the environment.
    Environment,
    /// `agent.toml`.
    File,
    /// The registry's policies or managed preferences.
    Policy,
}

/// What one place sets; only what is set there.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The collector.
    pub collector: Option<Address>,
    /// An enrolment token.
    pub token: Option<EnrolmentToken>,
    /// A file that holds an enrolment token.
    pub token_file: Option<PathBuf>,
    /// The proxy to the collector.
    pub proxy: Option<Proxy>,
    /// The data folder.
    pub data: Option<PathBuf>,
}

/// A setting that is not as it should be. Its value is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place} {name}: {problem}")]
pub struct SettingError {
    place: Place,
    name: &'static str,
    problem: String,
}

/// Settings of all places, laid over each other.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// Options of the command line.
    pub command_line: Settings,
    /// Variables of the environment.
    pub environment: Settings,
    /// Registry policy or managed preferences.
    pub policy: Settings,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "the option",
            Self::Environment => "the variable",
            Self::File => "agent.toml,",
            Self::Policy => "the policy",
        })
    }
}

impl Settings {
    /// What the environment sets; `variable` looks a variable up.
    ///
    /// # Errors
    /// [`SettingError`] names the variable.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        Self::found(Place::Environment, |(name, _)| (name, variable(name)))
    }

    /// What management sets.
    ///
    /// # Errors
    /// [`SettingError`] names the policy.
    pub fn of_policy(values: &policy::Values) -> Result<Self, SettingError> {
        Self::found(Place::Policy, |(_, name)| (name, values.get(name).cloned()))
    }

    fn found(
        place: Place,
        look_up: impl Fn((&'static str, &'static str)) -> (&'static str, Option<String>),
    ) -> Result<Self, SettingError> {
        Ok(Self {
            collector: parsed(place, look_up(COLLECTOR))?,
            token: parsed(place, look_up(TOKEN))?,
            token_file: parsed(place, look_up(TOKEN_FILE))?,
            proxy: parsed(place, look_up(PROXY))?,
            data: parsed(place, look_up(DATA))?,
        })
    }
}

impl Layers {
    /// The settings that count, in `config`; a token that was given otherwise than by a file.
    pub fn apply(&self, config: &mut AgentConfig) -> Option<EnrolmentToken> {
        let (line, environment, policy) = (&self.command_line, &self.environment, &self.policy);
        fn first<T: Clone>(above: [&Option<T>; 2], file: &mut Option<T>, below: &Option<T>) {
            let above = above.into_iter().flatten().next().cloned();
            *file = above.or_else(|| file.take()).or_else(|| below.clone());
        }
        first(
            [&line.collector, &environment.collector],
            &mut config.collector,
            &policy.collector,
        );
        first(
            [&line.data, &environment.data],
            &mut config.data,
            &policy.data,
        );
        first(
            [&line.proxy, &environment.proxy],
            &mut config.proxy,
            &policy.proxy,
        );
        let from_file = config.token_file.is_some();
        first(
            [&line.token_file, &environment.token_file],
            &mut config.token_file,
            &policy.token_file,
        );
        let given = line.token.clone().or_else(|| environment.token.clone());
        // A file that `agent.toml` names counts before a token of the policy.
        given.or_else(|| policy.token.clone().filter(|_| !from_file))
    }

    /// Where the collector's address comes from, once it is known to be set.
    #[must_use]
    pub fn place_of_collector(&self, file: &AgentConfig) -> Place {
        if self.command_line.collector.is_some() {
            Place::CommandLine
        } else if self.environment.collector.is_some() {
            Place::Environment
        } else if file.collector.is_some() {
            Place::File
        } else {
            Place::Policy
        }
    }
}

/// A value that is empty is not set: that is what tools leave behind that were given none.
fn parsed<T: FromStr<Err: fmt::Display>>(
    place: Place,
    (name, value): (&'static str, Option<String>),
) -> Result<Option<T>, SettingError> {
    let value = value.filter(|value| !value.trim().is_empty());
    let parse = |value: String| {
        value
            .trim()
            .parse()
            .map_err(|problem: T::Err| SettingError {
                place,
                name,
                problem: problem.to_string(),
            })
    };
    value.map(parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn environment(pairs: &'static [(&str, &str)]) -> Result<Settings, SettingError> {
        Settings::of_environment(|name| {
            let pair = pairs.iter().find(|(known, _)| *known == name);
            pair.map(|(_, value)| (*value).to_owned())
        })
    }

    fn policy(pairs: &[(&str, &str)]) -> Settings {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Settings::of_policy(&pairs.iter().map(owned).collect()).unwrap()
    }

    fn file(text: &str) -> AgentConfig {
        AgentConfig::parse(text, Path::new("agent.toml")).unwrap()
    }

    #[test]
    fn the_command_line_counts_first_and_the_policy_last() {
        let line = Settings {
            collector: Some("line:1".parse().unwrap()),
            ..Settings::default()
        };
        let named = [("ROLLCALL_COLLECTOR", "environment:1")];
        let all = || Layers {
            command_line: line.clone(),
            environment: Settings::of_environment(|name| {
                named
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            })
            .unwrap(),
            policy: policy(&[("Collector", "policy:1")]),
        };
        let in_file = "collector = \"file:1\"";
        let collector = |layers: &Layers, text: &str| {
            let mut config = file(text);
            layers.apply(&mut config);
            config.collector.map(|address| address.to_string())
        };
        let mut layers = all();
        assert_eq!(collector(&layers, in_file).as_deref(), Some("line:1"));
        assert_eq!(
            layers.place_of_collector(&file(in_file)),
            Place::CommandLine
        );
        layers.command_line = Settings::default();
        assert_eq!(
            collector(&layers, in_file).as_deref(),
            Some("environment:1")
        );
        layers.environment = Settings::default();
        assert_eq!(collector(&layers, in_file).as_deref(), Some("file:1"));
        assert_eq!(layers.place_of_collector(&file(in_file)), Place::File);
        assert_eq!(collector(&layers, "").as_deref(), Some("policy:1"));
        assert_eq!(layers.place_of_collector(&file("")), Place::Policy);
        layers.policy = Settings::default();
        assert_eq!(collector(&layers, ""), None);
    }

    #[test]
    fn a_file_that_was_named_counts_before_a_token_of_the_policy() {
        let authority = rollcall_shared::token::AuthorityFingerprint::of(b"authority");
        let token = EnrolmentToken {
            secret: rollcall_shared::token::TokenSecret::generate(),
            authority,
        };
        let layers = Layers {
            policy: policy(&[("Token", &token.to_string())]),
            ..Layers::default()
        };
        assert!(layers.apply(&mut file("")).is_some());
        assert!(layers.apply(&mut file("token_file = \"/t\"")).is_none());
    }

    #[test]
    fn a_mistake_names_the_variable_and_not_the_secret() {
        let error = environment(&[("ROLLCALL_TOKEN", "rc1.secretpart")]).unwrap_err();
        let words = error.to_string();
        assert!(
            words.starts_with("the variable ROLLCALL_TOKEN: "),
            "{words}"
        );
        assert!(!words.contains("secretpart"), "{words}");
        let empty = environment(&[("ROLLCALL_COLLECTOR", " "), ("ROLLCALL_TOKEN", "")]).unwrap();
        assert!(empty.collector.is_none() && empty.token.is_none());
    }
}
