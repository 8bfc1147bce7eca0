//! Answers about the rules: which hold, where they come from, how they did, and what a change would do.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::{At, Query, QueryError, Viewer};
use crate::alert::AlertState;
use crate::edition::Edition;
use crate::evaluate::backtest::AlertLine;
use crate::evaluate::backtest::preview::{Difference, compare, is_absence, narrowed};
use crate::evaluate::book::{ChangeError, DEFAULT_TEXT, RuleChange, UNFILED};
use crate::evaluate::rules::edit::{
    Written, header_line, line_of, name_of, rule_text, with_rule, without_rule,
};
use crate::evaluate::rules::{Rule, RuleError, RuleSet};
use crate::mark::Subject;
use crate::store::{Role, Store};

/// For how long marks of `not useful` count in the list.
const MARKED_MS: i64 = 90 * DAY_MS;

/// Days that a preview looks back over: readings are kept a little longer.
const MOST_DAYS: u64 = 30;

/// How long a preview looks at laptops: half of what a request may take.
const PREVIEW_MS: u64 = 12_000;

/// Alerts that a preview lists; all are counted.
const LISTED: usize = 100;

const DAY_MS: i64 = 86_400_000;

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RulesAnswer {
    /// The version in force; 0 for the default rules.
    pub version: u32,
    /// `default`, `file` or `api`: where they come from.
    pub source: &'static str,
    /// The file that the configuration names.
    pub file: Option<String>,
    /// Whether they are those of a version that was written through the collector after the file.
    pub file_overruled: bool,
    /// When they came into force; null for the default ones.
    pub changed_at: Option<At>,
    /// Who put them in force; null for the default ones.
    pub changed_by: Option<String>,
    /// The rules, in the order in which they are judged.
    pub rules: Vec<RuleAnswer>,
}

/// A rule in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RuleAnswer {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// `info`, `warning` or `critical`.
    pub severity: &'static str,
    /// Whose work it is.
    pub audience: &'static str,
    /// Whether it is the school's own; else it is a default rule.
    pub own: bool,
    /// The metrics that it compares.
    pub metrics: Vec<&'static str>,
    /// Rules whose alerts of the same laptop explain its own.
    pub depends_on: Vec<String>,
    /// The languages of its family text.
    pub languages: Vec<String>,
    /// How many of its alerts fire now.
    pub firing: u64,
    /// How often it was marked as not useful in the last 90 days.
    pub not_useful: u64,
}

/// One rule as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RuleText {
    /// Its name.
    pub name: String,
    /// The version in force.
    pub version: u32,
    /// Whether it is the school's own; else it is a default rule.
    pub own: bool,
    /// One `[[rule]]`, as TOML.
    pub rule: String,
    /// What staff do about it, in Markdown.
    pub runbook: String,
    /// What to tell the family, by language.
    pub family: BTreeMap<String, String>,
}

/// A version of the rules.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VersionAnswer {
    /// Its number; 0 for the default rules.
    pub version: u32,
    /// When it came into force; null for the default rules.
    pub at: Option<At>,
    /// Who put it in force.
    pub by: String,
    /// Why.
    pub note: String,
    /// `default`, `file` or `api`.
    pub source: &'static str,
    /// Whether it holds now.
    pub in_force: bool,
    /// The whole file, as TOML; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Versions of the rules.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct VersionList {
    /// The latest first, the default rules last.
    pub versions: Vec<VersionAnswer>,
}

/// Whether a change would be taken, and what it changes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ValidAnswer {
    /// Whether the rules would be right.
    pub valid: bool,
    /// What is wrong first.
    pub mistake: Option<MistakeAnswer>,
    /// What it would change; null where it is not valid.
    pub changes: Option<ChangesAnswer>,
}

/// What is wrong with rules, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MistakeAnswer {
    /// The line, from 1: of the whole file, or of the rule where only one was given.
    pub line: u64,
    /// The rule's name; empty outside rules.
    pub rule: String,
    /// The field; empty where the text is no TOML.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// What differs between the rules in force and others.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangesAnswer {
    /// Rules that come.
    pub added: Vec<String>,
    /// Rules that become others.
    pub changed: Vec<String>,
    /// Rules that go.
    pub removed: Vec<String>,
    /// Whether the school's calendar changes.
    pub calendar: bool,
}

/// What a change would have fired.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PreviewAnswer {
    /// Over how many days.
    pub days: u64,
    /// How many laptops were looked at: as many as the time for an answer allows, chosen evenly; 0 where no
    /// rule could tell of anything else.
    pub looked_at: u64,
    /// How many laptops there are.
    pub devices: u64,
    /// What the change changes.
    pub changes: ChangesAnswer,
    /// The rules whose alerts may differ, and the one that was given, even where nothing of it differs.
    pub rules: Vec<PreviewRule>,
    /// Rules that a history says nothing about, since they are about silence.
    pub not_judged: Vec<String>,
    /// Alerts that only the change would have fired, at most 100.
    pub examples: Vec<PreviewAlert>,
}

/// How often a rule would have fired.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PreviewRule {
    /// Its name.
    pub rule: String,
    /// Alerts with the rules in force.
    pub before: u64,
    /// On how many laptops.
    pub devices_before: u64,
    /// Alerts with the change.
    pub after: u64,
    /// On how many laptops.
    pub devices_after: u64,
}

/// An alert that would have fired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PreviewAlert {
    /// Whose, by id.
    pub device: String,
    /// The laptop's site.
    pub site: String,
    /// By which rule.
    pub rule: String,
    /// Of which part; empty where there is only one.
    pub instance: String,
    /// When it would have begun to fire, RFC 3339.
    pub fired_at: String,
    /// When it would have been over; null while it is not.
    pub resolved_at: Option<String>,
    /// What was seen.
    pub evidence: String,
}

/// What somebody wants the rules to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The whole file.
    Text(String),
    /// One rule of this name put in place or added.
    Rule {
        /// Its name.
        name: String,
        /// One `[[rule]]`.
        rule: String,
    },
    /// One rule taken away.
    Without(String),
    /// A version that held before; 0 for the default rules.
    Version(u32),
}

impl Wanted {
    /// One rule, whose name is the one that it says.
    ///
    /// # Errors
    /// [`QueryError::Field`] when it has none.
    pub fn rule(rule: String) -> Result<Self, QueryError> {
        let name = name_of(&rule)
            .ok_or_else(|| QueryError::field("rule", "must be one [[rule]] with a name"))?;
        Ok(Self::Rule { name, rule })
    }

    /// The rule that somebody is at work on, where it is one that they give.
    fn given(&self) -> Option<&String> {
        match self {
            Self::Rule { name, .. } => Some(name),
            Self::Text(_) | Self::Without(_) | Self::Version(_) => None,
        }
    }
}

impl Query {
    /// The rules in force.
    #[must_use]
    pub fn rules(&self, viewer: &Viewer) -> RulesAnswer {
        let in_force = self.book.in_force();
        let (firing, marked) = self.counted(viewer);
        let edition = self.store.editions().get(&in_force.number).cloned();
        let answer = |rule: &Rule| {
            let own = rule_text(&in_force.text, &rule.name).map(|(_, w)| w) == Some(Written::Own);
            answer(rule, own, &firing, &marked)
        };
        RulesAnswer {
            version: in_force.number,
            source: in_force.origin.map_or("default", |origin| origin.word()),
            file: self.book.file().map(|file| file.display().to_string()),
            file_overruled: self.book.file().is_some()
                && in_force.origin == Some(crate::edition::Origin::Api),
            changed_at: edition.as_ref().map(|edition| At(edition.at)),
            changed_by: edition.map(|edition| edition.by.clone()),
            rules: in_force.rules.rules.iter().map(|r| answer(r)).collect(),
        }
    }

    /// Firing alerts and marks of `not useful`, by rule, of what a viewer sees.
    fn counted(&self, viewer: &Viewer) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
        let (mut firing, mut seen) = (BTreeMap::new(), BTreeSet::new());
        self.store.visit_open_alerts(|alert, state| {
            if alert.state == AlertState::Firing && viewer.sees(state) {
                *firing.entry(alert.key.rule.clone()).or_default() += 1;
                seen.insert(alert.id);
            }
        });
        // Of whom an alert was that is over is not looked up; whoever sees everything may know.
        let sees = |subject: Subject| match subject {
            _ if viewer.sees_everything() => true,
            Subject::Alert(id) => seen.contains(&id),
            Subject::Incident(id) => {
                let incident = self.store.incident(id);
                incident.is_some_and(|incident| viewer.sees_all(&incident.sites))
            }
        };
        let since = self.now().plus_ms(-MARKED_MS);
        let mut marked = BTreeMap::new();
        for marks in self.store.all_marks().values() {
            let is_marked = marks
                .not_useful
                .as_ref()
                .is_some_and(|note| note.at >= since);
            if is_marked && sees(marks.subject) {
                for rule in &marks.rules {
                    *marked.entry(rule.clone()).or_default() += 1;
                }
            }
        }
        (firing, marked)
    }

    /// One rule as it is written.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] where there is no such rule.
    pub fn rule(&self, name: &str) -> Result<RuleText, QueryError> {
        let in_force = self.book.in_force();
        let found = in_force.rules.get(name);
        let written = found.and_then(|rule| Some((rule, rule_text(&in_force.text, name)?)));
        let (rule, (text, written)) =
            written.ok_or_else(|| QueryError::NotFound(format!("rule {name}")))?;
        Ok(RuleText {
            name: rule.name.clone(),
            version: in_force.number,
            own: written == Written::Own,
            rule: text,
            runbook: rule.runbook.clone(),
            family: rule.family.clone(),
        })
    }

    /// The versions of the rules, the latest first.
    #[must_use]
    pub fn rule_versions(&self) -> VersionList {
        let in_force = self.book.in_force().number;
        let editions = self.store.editions();
        let versions = editions.values().rev();
        let mut versions: Vec<_> = versions.map(|e| version(e, in_force, false)).collect();
        versions.push(default_version(in_force, false));
        VersionList { versions }
    }

    /// One version with its text.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] where there is no such version any more.
    pub fn rule_version(&self, number: u32) -> Result<VersionAnswer, QueryError> {
        let in_force = self.book.in_force().number;
        if number == 0 {
            return Ok(default_version(in_force, true));
        }
        let edition = self.store.editions().get(&number).cloned();
        let edition = edition.ok_or_else(|| no_version(number))?;
        Ok(version(&edition, in_force, true))
    }

    /// Whether a change would be taken, and what it changes.
    ///
    /// # Errors
    /// [`QueryError::NotFound`] for a rule or version that is not there.
    pub fn validate_rules(
        &self,
        viewer: &Viewer,
        wanted: &Wanted,
    ) -> Result<ValidAnswer, QueryError> {
        may_change(viewer)?;
        match self.checked(wanted) {
            Ok((_, rules)) => Ok(ValidAnswer {
                valid: true,
                mistake: None,
                changes: Some(Difference::between(&self.book.rules(), &rules).into()),
            }),
            Err(QueryError::Rules(mistake)) => Ok(ValidAnswer {
                valid: false,
                mistake: Some(mistake.into()),
                changes: None,
            }),
            Err(error) => Err(error),
        }
    }

    /// What a change would have fired over the last `days`. It reads from disk: call it where blocking is
    /// allowed.
    ///
    /// # Errors
    /// [`QueryError::Rules`] when it is not right, [`QueryError::Field`] names `days`.
    pub fn preview_rules(
        &self,
        viewer: &Viewer,
        wanted: &Wanted,
        days: Option<u64>,
    ) -> Result<PreviewAnswer, QueryError> {
        may_change(viewer)?;
        let days = days.unwrap_or(MOST_DAYS);
        if !(1..=MOST_DAYS).contains(&days) {
            let problem = format!("must be from 1 to {MOST_DAYS}");
            return Err(QueryError::field("days", problem));
        }
        let (_, after) = self.checked(wanted)?;
        let before = self.book.rules();
        let difference = Difference::between(&before, &after);
        let mut names = difference.names(&before, &after);
        // Whoever tries a rule as it is asks what it fires.
        names.extend(wanted.given().cloned());
        let mut preview = Preview::new(&names);
        let (narrow_before, narrow_after) = (narrowed(&before, &names), narrowed(&after, &names));
        let now = self.now();
        let range = (now.plus_ms(-(days as i64) * DAY_MS), now);
        let begun = self.clock.now().since_boot.0;
        let all = scattered(&self.store);
        let mut looked_at = 0;
        if !names.is_empty() {
            for device in &all {
                if self.clock.now().since_boot.0.saturating_sub(begun) > PREVIEW_MS {
                    break;
                }
                let Some(state) = self.store.device(*device) else {
                    continue;
                };
                let sets = (&narrow_before, &narrow_after);
                let compared = compare(&self.store, &state, sets, &names, range)?;
                preview.add(state.device.site.as_str(), &compared.before, compared.after);
                looked_at += 1;
            }
        }
        let absent = |name: &&String| {
            let rule = after.get(name).or_else(|| before.get(name));
            rule.is_some_and(|rule| is_absence(&rule.test))
        };
        Ok(PreviewAnswer {
            days,
            looked_at,
            devices: all.len() as u64,
            changes: difference.into(),
            not_judged: names.iter().filter(absent).cloned().collect(),
            rules: preview.rules.into_values().collect(),
            examples: preview.examples,
        })
    }

    /// Puts a change in force, and answers the rules as they are then.
    ///
    /// # Errors
    /// [`QueryError::Rules`] when it is not right, [`QueryError::Conflict`] when another version holds by
    /// now than `based_on`; the rules stay then.
    pub async fn change_rules(
        &self,
        viewer: &Viewer,
        wanted: Wanted,
        note: String,
        based_on: Option<u32>,
    ) -> Result<RulesAnswer, QueryError> {
        may_change(viewer)?;
        let (text, _) = self.checked(&wanted)?;
        // What was put together from the text in force holds for that text alone.
        let is_part = matches!(wanted, Wanted::Rule { .. } | Wanted::Without(_));
        let based_on = based_on.or_else(|| is_part.then(|| self.book.in_force().number));
        let change = RuleChange {
            by: format!("api {}", viewer.name),
            note,
            based_on,
        };
        let changed = self.book.replace(&self.store, &text, change, self.now());
        changed.await.map_err(|error| match error {
            ChangeError::Wrong(mistake) => QueryError::Rules(mistake),
            ChangeError::Note => QueryError::field("note", error.to_string()),
            ChangeError::Stale { .. } => QueryError::Conflict(error.to_string()),
            ChangeError::Store(error) => QueryError::Store(error),
        })?;
        Ok(self.rules(viewer))
    }

    /// The whole text that is wanted, and its rules.
    fn checked(&self, wanted: &Wanted) -> Result<(String, RuleSet), QueryError> {
        let in_force = self.book.in_force();
        let text = match wanted {
            Wanted::Text(text) => text.clone(),
            Wanted::Rule { name, rule } => {
                with_rule(UNFILED, &in_force.text, name, rule).map_err(QueryError::Rules)?
            }
            Wanted::Without(name) => {
                if in_force.rules.get(name).is_none() {
                    return Err(QueryError::NotFound(format!("rule {name}")));
                }
                without_rule(UNFILED, &in_force.text, name).map_err(QueryError::Rules)?
            }
            Wanted::Version(0) => DEFAULT_TEXT.to_owned(),
            Wanted::Version(number) => {
                let edition = self.store.editions().get(number).cloned();
                edition.ok_or_else(|| no_version(*number))?.text.clone()
            }
        };
        let rules = RuleSet::parse(UNFILED, &text).map_err(|mistake| {
            let Wanted::Rule { name, rule } = wanted else {
                return QueryError::Rules(mistake);
            };
            QueryError::Rules(within_rule(mistake, &text, name, rule))
        })?;
        Ok((text, rules))
    }
}

/// A mistake of one rule by the lines of its text as it was given: with comments before its header, or without one.
fn within_rule(mistake: RuleError, text: &str, name: &str, given: &str) -> RuleError {
    let first = line_of(text, name).filter(|_| mistake.rule == name);
    match first.filter(|first| *first <= mistake.line) {
        Some(first) => RuleError {
            file: "rule".to_owned(),
            line: mistake.line - first + header_line(given).unwrap_or_default(),
            ..mistake
        },
        None => mistake,
    }
}

fn may_change(viewer: &Viewer) -> Result<(), QueryError> {
    viewer.require(Role::Admin)?;
    viewer.require_all_sites()
}

fn no_version(number: u32) -> QueryError {
    QueryError::NotFound(format!("version {number} of the rules"))
}

/// The laptops in an order that has nothing to do with their enrolment, so that the first of them are
/// of every school, and the same each time.
fn scattered(store: &Store) -> Vec<rollcall_shared::id::DeviceId> {
    let mut all = store.device_ids();
    all.sort_by_key(|id| {
        let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
        <[u8; 8]>::try_from(&digest.as_ref()[..8]).unwrap_or_default()
    });
    all
}

fn answer(
    rule: &Rule,
    own: bool,
    firing: &BTreeMap<String, u64>,
    marked: &BTreeMap<String, u64>,
) -> RuleAnswer {
    let count = |of: &BTreeMap<String, u64>| of.get(&rule.name).copied().unwrap_or_default();
    RuleAnswer {
        name: rule.name.clone(),
        title: rule.title.clone(),
        severity: rule.severity.word(),
        audience: rule.audience.word(),
        own,
        metrics: rule.metrics(),
        depends_on: rule.depends_on.clone(),
        languages: rule.family.keys().cloned().collect(),
        firing: count(firing),
        not_useful: count(marked),
    }
}

fn version(edition: &Edition, in_force: u32, with_text: bool) -> VersionAnswer {
    VersionAnswer {
        version: edition.number,
        at: Some(At(edition.at)),
        by: edition.by.clone(),
        note: edition.note.clone(),
        source: edition.origin.word(),
        in_force: edition.number == in_force,
        text: with_text.then(|| edition.text.clone()),
    }
}

fn default_version(in_force: u32, with_text: bool) -> VersionAnswer {
    VersionAnswer {
        version: 0,
        at: None,
        by: String::new(),
        note: "the rules that the collector brings".to_owned(),
        source: "default",
        in_force: in_force == 0,
        text: with_text.then(|| DEFAULT_TEXT.to_owned()),
    }
}

/// A preview while it goes from laptop to laptop.
struct Preview {
    rules: BTreeMap<String, PreviewRule>,
    examples: Vec<PreviewAlert>,
}

impl Preview {
    fn new(names: &BTreeSet<String>) -> Self {
        let of = |name: &String| {
            let rule = PreviewRule {
                rule: name.clone(),
                ..PreviewRule::default()
            };
            (name.clone(), rule)
        };
        Self {
            rules: names.iter().map(of).collect(),
            examples: Vec::new(),
        }
    }

    fn add(&mut self, site: &str, before: &[AlertLine], after: Vec<AlertLine>) {
        for (name, rule) in &mut self.rules {
            let count = |lines: &[AlertLine]| lines.iter().filter(|l| l.rule == *name).count();
            let (was, is) = (count(before) as u64, count(&after) as u64);
            rule.before += was;
            rule.after += is;
            rule.devices_before += u64::from(was > 0);
            rule.devices_after += u64::from(is > 0);
        }
        let is_new = |line: &AlertLine| {
            let same = |known: &&AlertLine| {
                (&known.rule, &known.instance, &known.fired)
                    == (&line.rule, &line.instance, &line.fired)
            };
            !before.iter().any(|known| same(&known))
        };
        let room = LISTED.saturating_sub(self.examples.len());
        let new = after.into_iter().filter(is_new).take(room);
        self.examples.extend(new.map(|line| PreviewAlert {
            device: line.device,
            site: site.to_owned(),
            rule: line.rule,
            instance: line.instance,
            fired_at: line.fired,
            resolved_at: line.resolved,
            evidence: line.evidence,
        }));
    }
}

impl From<RuleError> for MistakeAnswer {
    fn from(mistake: RuleError) -> Self {
        Self {
            line: mistake.line as u64,
            rule: mistake.rule,
            field: mistake.field,
            problem: mistake.problem,
        }
    }
}

impl From<Difference> for ChangesAnswer {
    fn from(difference: Difference) -> Self {
        Self {
            added: difference.added,
            changed: difference.changed,
            removed: difference.removed,
            calendar: difference.calendar,
        }
    }
}

/// A number of a version, as it stands in an address.
pub(super) fn version_number(text: &str) -> Result<u32, QueryError> {
    text.parse()
        .map_err(|_| QueryError::NotFound(format!("version {text} of the rules")))
}
