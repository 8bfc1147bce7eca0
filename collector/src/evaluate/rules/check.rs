//! From a rules file as written to rules that mean something.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use rollcall_shared::limits;
use rollcall_shared::metric::{self, Kind};
use toml::Spanned;

mod calendar;
mod condition;

use super::super::calendar::Calendar;
use super::error::{Mistake, unknown};
use super::file::{RuleTable, RulesFile, Word};
use super::{
    DEFAULT_RULES, FILE_BYTES, Hold, Join, RULES, Readings, Rule, RuleError, RuleSet, Selector,
    Test, Vantage, languages, quantity, runbooks, shared,
};
use crate::alert::{Audience, Severity};

use calendar::calendar_of;
use condition::condition;

pub(super) type Checked<T> = Result<T, Mistake>;

/// What stands in the place of a rule's name in the addresses of the API and of the dashboard: a rule of such a name
/// could be neither read nor changed there.
const RESERVED_NAMES: [&str; 6] = [
    "another", "change", "preview", "restore", "validate", "versions",
];

/// Conditions of one rule: the widest default has eight.
const CONDITIONS: usize = 32;

pub(super) fn parse(name: &str, text: &str) -> Result<RuleSet, RuleError> {
    let at = |mistake: Mistake| mistake.in_file(name, text);
    if text.len() > FILE_BYTES {
        let problem = format!("{} bytes are more than {FILE_BYTES}", text.len());
        return Err(at(Mistake::new(0..0, "", problem)));
    }
    let file: RulesFile = toml::from_str(text).map_err(|error| at(Mistake::of_toml(&error)))?;
    rule_set(&file).map_err(at)
}

fn rule_set(file: &RulesFile) -> Checked<RuleSet> {
    let mut rules = Vec::new();
    for table in &file.rules {
        rules.push((table.get_ref().name.span(), rule(table)?));
    }
    let mut calendar = file.calendar.as_ref().map(calendar_of).transpose()?;
    if file.extend_default {
        let (default_rules, default_calendar) = defaults(&file.disable, &rules)?;
        rules.extend(default_rules.into_iter().map(|rule| (0..0, rule)));
        calendar = calendar.or(Some(default_calendar));
    } else if let Some(word) = file.disable.first() {
        let problem = "has a meaning only together with `extend-default = true`";
        return Err(Mistake::new(word.span(), "disable", problem));
    }
    if rules.len() > RULES {
        let problem = format!("{} rules are more than {RULES}", rules.len());
        return Err(Mistake::new(0..0, "rule", problem));
    }
    check_names(&rules)?;
    languages::add(&file.languages, &mut rules)?;
    check_dependencies(file, &rules)?;
    Ok(RuleSet {
        rules: in_order(rules)?,
        calendar: calendar.unwrap_or_default(),
    })
}

fn defaults(disabled: &[Word], own: &[(Range<usize>, Rule)]) -> Checked<(Vec<Rule>, Calendar)> {
    let defaults = parse("default.toml", DEFAULT_RULES)
        .map_err(|error| Mistake::new(0..0, "extend-default", error.to_string()))?;
    let names: Vec<&str> = defaults.rules.iter().map(|r| r.name.as_str()).collect();
    for word in disabled {
        if !names.contains(&word.get_ref().as_str()) {
            let problem = unknown("default rule", word.get_ref(), names.iter().copied());
            return Err(Mistake::new(word.span(), "disable", problem));
        }
    }
    let mut gone: BTreeSet<&str> = own.iter().map(|(_, rule)| rule.name.as_str()).collect();
    gone.extend(disabled.iter().map(|word| word.get_ref().as_str()));
    let kept = defaults
        .rules
        .iter()
        .filter(|rule| !gone.contains(rule.name.as_str()));
    let without_gone = |rule: &Arc<Rule>| {
        let mut rule = Rule::clone(rule);
        rule.depends_on
            .retain(|name| !disabled.iter().any(|word| word.get_ref() == name));
        rule
    };
    Ok((kept.map(without_gone).collect(), defaults.calendar))
}

fn rule(table: &Spanned<RuleTable>) -> Checked<Rule> {
    let span = table.span();
    let table = table.get_ref();
    check_label("name", &table.name)?;
    check_reserved(&table.name)?;
    check_label("title", &table.title)?;
    Ok(Rule {
        name: table.name.get_ref().clone(),
        title: table.title.get_ref().clone(),
        severity: choose(
            "severity",
            &table.severity,
            "severity",
            &words(Severity::ALL, Severity::word),
        )?,
        audience: choose(
            "audience",
            &table.audience,
            "audience",
            &words(Audience::ALL, Audience::word),
        )?,
        test: test(table, &span)?,
        vantage: vantage(table)?,
        school_hours: school_hours(table)?,
        connected: table.connected,
        depends_on: table
            .depends_on
            .iter()
            .map(|w| w.get_ref().clone())
            .collect(),
        selector: selector(table)?,
        runbook: runbook(table)?,
        family: family(table)?,
        shared: shared::shared(table)?,
        tell: shared::tell(table)?,
    })
}

fn test(table: &RuleTable, span: &Range<usize>) -> Checked<Test> {
    let kinds = [
        ("conditions", About::Conditions),
        ("not-seen", About::NotSeen),
        ("site-silent", About::SiteSilent),
    ];
    let kind = table.kind.as_ref();
    let kind = kind.map_or(Ok(About::Conditions), |word| {
        choose("kind", word, "kind of rule", &kinds)
    })?;
    match (kind, &table.school_days) {
        (About::Conditions, None) => readings(table, span).map(Test::Readings),
        (About::NotSeen, days) => not_seen(table, days.as_ref(), span),
        (About::SiteSilent, None) => without_conditions(table).map(|()| Test::SiteSilent),
        (_, Some(days)) => Err(Mistake::new(
            days.span(),
            "school-days",
            "belongs to rules of `kind = \"not-seen\"`",
        )),
    }
}

/// What a rule is about.
#[derive(Clone, Copy)]
enum About {
    Conditions,
    NotSeen,
    SiteSilent,
}

/// What is judged by when a laptop was heard has no readings to compare.
fn without_conditions(table: &RuleTable) -> Checked<()> {
    let conditions = [&table.prerequisites, &table.all, &table.any];
    match conditions.into_iter().flatten().next() {
        Some(first) => {
            let kind = table.kind.as_ref().map_or("", |kind| kind.get_ref());
            let problem = format!("a rule of `kind = \"{kind}\"` has no conditions");
            Err(Mistake::new(first.span(), "kind", problem))
        }
        None => Ok(()),
    }
}

fn not_seen(table: &RuleTable, days: Option<&Spanned<u32>>, span: &Range<usize>) -> Checked<Test> {
    without_conditions(table)?;
    let Some(days) = days else {
        let problem = "is missing: after how many whole school days, such as 5";
        return Err(Mistake::new(span.start..span.start, "school-days", problem));
    };
    if !(1..=200).contains(days.get_ref()) {
        let problem = format!("{} lies outside 1 to 200", days.get_ref());
        return Err(Mistake::new(days.span(), "school-days", problem));
    }
    Ok(Test::NotSeen {
        school_days: *days.get_ref(),
    })
}

fn readings(table: &RuleTable, span: &Range<usize>) -> Checked<Readings> {
    let (join, faults) = match (table.all.as_slice(), table.any.as_slice()) {
        ([], []) => {
            let problem = "is missing: a list of conditions, `all = [..]` or `any = [..]`";
            return Err(Mistake::new(span.start..span.start, "all", problem));
        }
        (all, []) => (Join::All, all),
        ([], any) => (Join::Any, any),
        (_, any) => {
            let problem = "cannot stand beside `all`; put what must hold too into `if`";
            return Err(Mistake::new(any[0].span(), "any", problem));
        }
    };
    let count = faults.len() + table.prerequisites.len();
    if count > CONDITIONS {
        let problem = format!("{count} conditions are more than {CONDITIONS}");
        return Err(Mistake::new(span.start..span.start, "all", problem));
    }
    Ok(Readings {
        prerequisites: table
            .prerequisites
            .iter()
            .map(condition)
            .collect::<Checked<_>>()?,
        faults: faults.iter().map(condition).collect::<Checked<_>>()?,
        join,
        hold: hold(table)?,
        clear_for_ms: table
            .clear_for
            .as_ref()
            .map_or(Ok(0), |w| duration("clear-for", w))?,
    })
}

fn hold(table: &RuleTable) -> Checked<Hold> {
    match (&table.hold, &table.for_calendar) {
        (None, None) => Ok(Hold::Awake(0)),
        (Some(awake), None) => duration("for", awake).map(Hold::Awake),
        (None, Some(days)) => duration("for-calendar", days).map(Hold::Calendar),
        (Some(_), Some(days)) => {
            let problem = "cannot stand beside `for`: time awake counts, or time on the wall";
            Err(Mistake::new(days.span(), "for-calendar", problem))
        }
    }
}

fn vantage(table: &RuleTable) -> Checked<Vantage> {
    let known = [
        ("any", Vantage::Any),
        ("on-campus", Vantage::OnCampus),
        ("off-campus", Vantage::OffCampus),
        ("elsewhere", Vantage::Elsewhere),
    ];
    let word = table.vantage.as_ref();
    word.map_or(Ok(Vantage::Any), |word| {
        choose("vantage", word, "vantage", &known)
    })
}

fn school_hours(table: &RuleTable) -> Checked<bool> {
    let known = [("any-time", false), ("school-hours", true)];
    let word = table.when.as_ref();
    word.map_or(Ok(false), |word| choose("when", word, "time", &known))
}

fn selector(table: &RuleTable) -> Checked<Selector> {
    let Kind::State(known) = metric::OS_TYPE.kind else {
        return Ok(Selector::default());
    };
    for word in &table.os {
        if !known.contains(&word.get_ref().as_str()) {
            let problem = unknown("operating system", word.get_ref(), known.iter().copied());
            return Err(Mistake::new(word.span(), "os", problem));
        }
    }
    Ok(Selector {
        sites: table.sites.clone(),
        groups: table.groups.clone(),
        models: table.models.clone(),
        os: table.os.iter().map(|word| word.get_ref().clone()).collect(),
    })
}

fn runbook(table: &RuleTable) -> Checked<String> {
    match (&table.runbook, &table.runbook_text) {
        (Some(name), None) => {
            let known: Vec<(&str, &str)> = runbooks::ALL.to_vec();
            choose("runbook", name, "runbook", &known).map(str::to_owned)
        }
        (None, Some(text)) if !text.trim().is_empty() => Ok(text.clone()),
        (Some(name), Some(_)) => {
            let problem = "cannot stand beside `runbook-text`";
            Err(Mistake::new(name.span(), "runbook", problem))
        }
        _ => {
            let problem = "is missing: what staff are to do, as `runbook = NAME` or `runbook-text`";
            Err(Mistake::new(table.name.span(), "runbook", problem))
        }
    }
}

fn family(table: &RuleTable) -> Checked<BTreeMap<String, String>> {
    let wrong = table
        .family
        .iter()
        .find(|(tag, text)| !is_language_tag(tag) || text.trim().is_empty());
    let problem = match wrong {
        Some((tag, _)) => format!("`{tag}` must be a language tag such as `en`, with a text"),
        None if table.family.is_empty() => {
            "is missing: what to tell the family, such as `family.en = \"..\"`".to_owned()
        }
        None => return Ok(table.family.clone()),
    };
    Err(Mistake::new(table.name.span(), "family", problem))
}

/// Whether a word may name a language.
pub(super) fn is_language_tag(tag: &str) -> bool {
    (2..=16).contains(&tag.len()) && tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn check_reserved(name: &Word) -> Checked<()> {
    let word = name.get_ref();
    if !RESERVED_NAMES.contains(&word.as_str()) {
        return Ok(());
    }
    let problem = format!("`{word}` is an address of the API; choose another name");
    Err(Mistake::new(name.span(), "name", problem))
}

fn check_names(rules: &[(Range<usize>, Rule)]) -> Checked<()> {
    let mut seen = BTreeSet::new();
    for (span, rule) in rules {
        if !seen.insert(rule.name.as_str()) {
            let problem = format!("`{}` is the name of an earlier rule too", rule.name);
            return Err(Mistake::new(span.clone(), "name", problem));
        }
    }
    Ok(())
}

fn check_dependencies(file: &RulesFile, rules: &[(Range<usize>, Rule)]) -> Checked<()> {
    let known: Vec<&str> = rules.iter().map(|(_, rule)| rule.name.as_str()).collect();
    let written = file
        .rules
        .iter()
        .flat_map(|table| &table.get_ref().depends_on);
    for word in written {
        if !known.contains(&word.get_ref().as_str()) {
            let problem = unknown("rule", word.get_ref(), known.iter().copied());
            return Err(Mistake::new(word.span(), "depends-on", problem));
        }
    }
    Ok(())
}

/// Each rule after those it depends on.
fn in_order(mut waiting: Vec<(Range<usize>, Rule)>) -> Checked<Vec<Arc<Rule>>> {
    let mut ordered: Vec<Arc<Rule>> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_ready = |rule: &Rule| {
            let placed = |name: &String| ordered.iter().any(|other| other.name == *name);
            rule.depends_on.iter().all(placed)
        };
        let Some(at) = waiting.iter().position(|(_, rule)| is_ready(rule)) else {
            let names: Vec<&str> = waiting.iter().map(|(_, rule)| rule.name.as_str()).collect();
            let problem = format!(
                "these rules depend on each other in a circle: {}",
                names.join(", ")
            );
            return Err(Mistake::new(waiting[0].0.clone(), "depends-on", problem));
        };
        ordered.push(Arc::new(waiting.remove(at).1));
    }
    Ok(ordered)
}

pub(super) fn duration(field: &str, word: &Word) -> Checked<i64> {
    quantity::duration_ms(word.get_ref())
        .map_err(|problem| Mistake::new(word.span(), field, problem))
}

pub(super) fn choose<T: Copy>(
    field: &str,
    word: &Word,
    what: &str,
    known: &[(&str, T)],
) -> Checked<T> {
    let found = known.iter().find(|(name, _)| name == word.get_ref());
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Mistake::new(
            word.span(),
            field,
            unknown(what, word.get_ref(), names.iter().copied()),
        )
    })
}

pub(super) fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str) -> Vec<(&'static str, T)> {
    all.iter().map(|value| (word(*value), *value)).collect()
}

pub(super) fn check_label(field: &str, word: &Word) -> Checked<()> {
    let text = word.get_ref();
    let fits = !text.is_empty()
        && text.len() <= limits::LABEL_BYTES
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    let problem = format!(
        "must have 1 to {} bytes, no control characters and no space at either end",
        limits::LABEL_BYTES
    );
    Err(Mistake::new(word.span(), field, problem))
}
