//! A rules file as it is written; what it means is decided in `check`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::languages::LanguageTable;

pub(super) type Word = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RulesFile {
    /// Whether the default rules hold too, except those that this file names.
    #[serde(default)]
    pub extend_default: bool,
    /// Default rules that are not wanted.
    #[serde(default)]
    pub disable: Vec<Word>,
    pub calendar: Option<Spanned<CalendarTable>>,
    /// Texts for families in further languages, by their tags.
    #[serde(default)]
    pub languages: BTreeMap<String, LanguageTable>,
    #[serde(default, rename = "rule")]
    pub rules: Vec<Spanned<RuleTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CalendarTable {
    pub time_zone: Option<Word>,
    pub school_weekdays: Option<Vec<Word>>,
    pub hours: Option<Word>,
    #[serde(default)]
    pub holidays: Vec<Word>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RuleTable {
    pub name: Word,
    pub kind: Option<Word>,
    pub title: Word,
    pub severity: Word,
    pub audience: Word,
    #[serde(default, rename = "if")]
    pub prerequisites: Vec<Spanned<ConditionTable>>,
    #[serde(default)]
    pub all: Vec<Spanned<ConditionTable>>,
    #[serde(default)]
    pub any: Vec<Spanned<ConditionTable>>,
    #[serde(rename = "for")]
    pub hold: Option<Word>,
    pub for_calendar: Option<Word>,
    pub clear_for: Option<Word>,
    pub school_days: Option<Spanned<u32>>,
    pub vantage: Option<Word>,
    pub when: Option<Word>,
    #[serde(default)]
    pub connected: bool,
    #[serde(default)]
    pub depends_on: Vec<Word>,
    #[serde(default)]
    pub sites: Vec<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub os: Vec<Word>,
    pub runbook: Option<Word>,
    pub runbook_text: Option<String>,
    #[serde(default)]
    pub family: BTreeMap<String, String>,
    pub shared: Option<Spanned<SharedTable>>,
    pub tell: Option<Word>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SharedTable {
    pub symptom: Option<Word>,
    pub at_least: Option<Spanned<u32>>,
    #[serde(default)]
    pub collect: bool,
    pub gather: Option<Word>,
    pub alone: Option<Word>,
    pub within: Option<Word>,
    pub audience: Option<Word>,
    pub title: Option<Word>,
    #[serde(default)]
    pub broadcast: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ConditionTable {
    pub metric: Word,
    /// The window of a change.
    pub change: Option<Word>,
    /// The window of a rate, and what it is for.
    pub rate: Option<Word>,
    pub per: Option<Word>,
    /// The window in which changes are counted.
    pub changes: Option<Word>,
    pub op: Word,
    pub value: Option<Spanned<Value>>,
    pub value_of: Option<Word>,
    pub plus: Option<Spanned<Value>>,
    /// What counts where the other metric is not known.
    pub otherwise: Option<Spanned<Value>>,
    pub clear: Option<Spanned<Value>>,
    pub instance: Option<Word>,
    pub instances: Option<Word>,
    pub says: Option<Word>,
}
