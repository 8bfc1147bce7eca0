//! Rules: what is looked for, for whom, and what is to be done. They are data, read from TOML.

mod check;
#[cfg(test)]
mod coverage;
pub mod edit;
mod error;
mod file;
mod languages;
pub(crate) mod quantity;
mod runbooks;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rollcall_shared::metric;
use rollcall_shared::reading::Value;

use crate::alert::{Audience, Severity};
use crate::device::DeviceState;

use super::calendar::Calendar;
use super::condition::{Condition, Mode, Truth};
use super::derived;
pub use error::RuleError;
pub(crate) use error::unknown;

/// Rules of one set: four times the defaults and a school's own; each costs every device.
pub const RULES: usize = 200;

/// Bytes of a rules file: 200 rules of 2.5 KB with their texts.
pub const FILE_BYTES: usize = 512 * 1024;

/// The rules that hold where a school writes none, with the source of each threshold.
pub const DEFAULT_RULES: &str = include_str!("../../rules/default.toml");

/// What is looked for, for whom, and what is to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its unique name.
    pub name: String,
    /// One line for a ticket's subject.
    pub title: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whose work it is.
    pub audience: Audience,
    /// What is looked for.
    pub test: Test,
    /// Where the laptop must be for the rule to be judged.
    pub vantage: Vantage,
    /// Whether the rule is judged only while there is school.
    pub school_hours: bool,
    /// Whether the rule is judged only while the laptop is in touch with the collector.
    pub connected: bool,
    /// Rules whose alerts of the same device explain this one.
    pub depends_on: Vec<String>,
    /// Which devices it is for.
    pub selector: Selector,
    /// What staff are to do, in Markdown.
    pub runbook: String,
    /// What to tell the family, by language.
    pub family: BTreeMap<String, String>,
    /// How many laptops that show the same become one incident; `None` where each is its own.
    pub shared: Option<Shared>,
    /// When channels may be told.
    pub tell: Tell,
}

/// When channels may be told of what a rule found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// At once.
    Always,
    /// While there is school; what is found at night is told in the morning.
    SchoolHours,
}

/// How laptops that show the same become one incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// What they show: rules of one symptom are grouped together.
    pub symptom: String,
    /// The fewest laptops that are one incident.
    pub at_least: u32,
    /// Whether as many as that are one incident though they share nothing: a list to be worked off, such
    /// as laptops without encryption, and no fault that each of them has. It ends with the last of them.
    pub collect: bool,
    /// How long an alert waits for others before it is looked whether they have one cause, in milliseconds.
    pub gather_ms: i64,
    /// How long an alert whose cause nobody shares waits until its laptop is told of alone, in milliseconds;
    /// `gather_ms` at least.
    pub alone_ms: i64,
    /// How far apart alerts of one cause may begin, in milliseconds.
    pub within_ms: i64,
    /// Whose work a shared cause is.
    pub audience: Audience,
    /// The incident's title; `{instance}` stands for the target or part, and what the laptops have in
    /// common follows.
    pub title: String,
    /// What to tell everybody, by language.
    pub broadcast: BTreeMap<String, String>,
}

/// How the names of metrics begin that a network or a radio has a part in.
const NETWORK: [&str; 5] = [
    "system.network.",
    "network.",
    "dns.",
    "http.",
    "forecast.link.",
];

/// What a rule looks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// Readings that are as they should not be.
    Readings(Readings),
    /// A laptop that was not heard of for some school days.
    NotSeen {
        /// How many whole school days.
        school_days: u32,
    },
    /// A school of which nothing is heard any more: see [`super::sites`].
    SiteSilent,
}

/// Conditions on readings, and for how long they must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// Without these the rule cannot be judged: nothing opens, and nothing is resolved.
    pub prerequisites: Vec<Condition>,
    /// What is wrong.
    pub faults: Vec<Condition>,
    /// Whether all faults are needed or one suffices.
    pub join: Join,
    /// How long it must hold.
    pub hold: Hold,
    /// How long it must be good again, in milliseconds of observed time.
    pub clear_for_ms: i64,
}

/// How faults are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Every one must hold.
    All,
    /// One suffices; those that a device has no reading of do not count.
    Any,
}

/// How long a condition must hold, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Of time in which the laptop was awake and reported.
    Awake(i64),
    /// Of days on the wall, asleep or not.
    Calendar(i64),
}

/// Where a laptop must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vantage {
    /// Anywhere.
    Any,
    /// At one of the schools.
    OnCampus,
    /// Anywhere else.
    OffCampus,
    /// Not known to be at a school: anywhere else, or nobody can tell, as without beacons.
    Elsewhere,
}

/// Which devices a rule is for; an empty list selects all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Sites.
    pub sites: Vec<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// Models, each whole or a beginning that ends in `*`.
    pub models: Vec<String>,
    /// Values of `os.type`.
    pub os: Vec<String>,
}

/// Rules that were checked together, in an order in which each follows those it depends on.
#[derive(Debug, Clone)]
pub struct RuleSet {
    /// The rules.
    pub rules: Vec<Arc<Rule>>,
    /// When there is school.
    pub calendar: Calendar,
}

impl RuleSet {
    /// Reads a rules file; `name` is what errors call it.
    ///
    /// # Errors
    /// [`RuleError`] names the first mistake.
    pub fn parse(name: &str, text: &str) -> Result<Self, RuleError> {
        check::parse(name, text)
    }

    /// The rules that hold where a school writes none.
    ///
    /// # Panics
    /// Never: a test reads them.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse("default.toml", DEFAULT_RULES).expect("the default rules are right")
    }

    /// The rule of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.iter().find(|rule| rule.name == name)
    }
}

impl Rule {
    /// The metrics that it compares, each once.
    #[must_use]
    pub fn metrics(&self) -> Vec<&'static str> {
        let Test::Readings(readings) = &self.test else {
            return Vec::new();
        };
        let conditions = readings.prerequisites.iter().chain(&readings.faults);
        let names: BTreeSet<&str> = conditions.map(|c| derived::source(c.metric).name).collect();
        names.into_iter().collect()
    }

    /// Whether it looks for something that a network or a radio may cause.
    #[must_use]
    pub fn is_about_network(&self) -> bool {
        let Test::Readings(readings) = &self.test else {
            return self.test == Test::SiteSilent;
        };
        let mut names = readings.faults.iter().map(|fault| fault.metric.name);
        names.any(|name| NETWORK.iter().any(|prefix| name.starts_with(prefix)))
    }

    /// Whether the rule is for this device.
    #[must_use]
    pub fn selects(&self, state: &DeviceState) -> bool {
        let device = &state.device;
        let group = device.group.as_ref().map_or("", |group| group.as_str());
        let os = match state.get(&metric::OS_TYPE, "").map(|latest| &latest.value) {
            Some(Value::Text(os)) => os.as_str(),
            _ => "",
        };
        let selector = &self.selector;
        admits(&selector.sites, device.site.as_str())
            && admits(&selector.groups, group)
            && admits(&selector.os, os)
            && (selector.models.is_empty()
                || selector.models.iter().any(|m| fits(m, &device.model)))
    }
}

impl Vantage {
    /// Whether the laptop is where the rule wants it; unknown while nobody knows where it is.
    #[must_use]
    pub fn judge(self, state: &DeviceState) -> Truth {
        if self == Self::Any {
            return Truth::True;
        }
        match state.get(&metric::VANTAGE, "").map(|latest| &latest.value) {
            Some(Value::Text(text)) if text.starts_with("on-campus:") => {
                (self == Self::OnCampus).into()
            }
            Some(Value::Text(text)) if text == "off-campus" => (self != Self::OnCampus).into(),
            Some(Value::Unavailable(_)) if self == Self::Elsewhere => Truth::True,
            _ => Truth::Unknown,
        }
    }
}

impl Readings {
    /// The faults whose instances the rule is judged for: the first, or every one where one suffices.
    #[must_use]
    pub fn deciding(&self) -> &[Condition] {
        match self.join {
            Join::All => &self.faults[..1.min(self.faults.len())],
            Join::Any => &self.faults,
        }
    }

    /// Whether the faults hold for `subject`.
    #[must_use]
    pub fn judge(&self, state: &DeviceState, subject: &str, mode: Mode) -> Truth {
        let judged = |fault: &Condition| fault.judge(state, subject, mode);
        let truths = self.faults.iter();
        let joined = match self.join {
            Join::All => truths.map(judged).reduce(Truth::and),
            Join::Any => truths
                .filter(|fault| fault.applies(state, subject))
                .map(judged)
                .reduce(Truth::or),
        };
        joined.unwrap_or(Truth::Unknown)
    }

    /// The faults that hold; all of them where none does, so that evidence shows what was looked at.
    #[must_use]
    pub fn telling(&self, state: &DeviceState, subject: &str, mode: Mode) -> Vec<&Condition> {
        let applying = self.faults.iter().filter(|f| f.applies(state, subject));
        let holding = applying
            .clone()
            .filter(|fault| fault.judge(state, subject, mode) == Truth::True);
        let telling: Vec<&Condition> = holding.collect();
        if telling.is_empty() {
            applying.collect()
        } else {
            telling
        }
    }
}

fn admits(words: &[String], word: &str) -> bool {
    words.is_empty() || words.iter().any(|admitted| admitted == word)
}

fn fits(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => model == pattern,
    }
}

#[cfg(test)]
mod tests;
