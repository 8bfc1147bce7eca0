//! From a rules file as written to rules that mean something.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use rollcall_shared::limits;
use rollcall_shared::metric::{self, Kind, Metric};
use toml::{Spanned, Value};

use super::super::calendar::Calendar;
use super::super::condition::{
    Comparison, Condition, InstanceFilter, Limit, Over, Relation, placeholders,
};
use super::super::derived::{self, Take};
use super::super::forecast::metrics;
use super::error::{Mistake, unknown};
use super::file::{CalendarTable, ConditionTable, RuleTable, RulesFile, Word};
use super::{
    DEFAULT_RULES, FILE_BYTES, Hold, Join, RULES, Readings, Rule, RuleError, RuleSet, Selector,
    Test, Vantage, languages, quantity, runbooks, shared,
};
use crate::alert::{Audience, Severity};
use crate::device::FORECAST_CODES;

pub(super) type Checked<T> = Result<T, Mistake>;

const OPERATORS: [&str; 8] = [
    "above",
    "at-least",
    "below",
    "at-most",
    "equals",
    "not-equals",
    "is",
    "is-not",
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
    let kinds = [("conditions", true), ("not-seen", false)];
    let kind = table.kind.as_ref();
    let of_readings = kind.map_or(Ok(true), |word| {
        choose("kind", word, "kind of rule", &kinds)
    })?;
    match (of_readings, &table.school_days) {
        (true, None) => readings(table, span).map(Test::Readings),
        (true, Some(days)) => Err(Mistake::new(
            days.span(),
            "school-days",
            "belongs to rules of `kind = \"not-seen\"`",
        )),
        (false, days) => not_seen(table, days.as_ref(), span),
    }
}

fn not_seen(table: &RuleTable, days: Option<&Spanned<u32>>, span: &Range<usize>) -> Checked<Test> {
    let conditions = [&table.prerequisites, &table.all, &table.any];
    if let Some(first) = conditions.into_iter().flatten().next() {
        let problem = "a rule of `kind = \"not-seen\"` has no conditions";
        return Err(Mistake::new(first.span(), "kind", problem));
    }
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

fn condition(table: &Spanned<ConditionTable>) -> Checked<Condition> {
    let span = table.span();
    let table = table.get_ref();
    let metric = derived_metric(find_metric("metric", &table.metric)?, table)?;
    let condition = Condition {
        metric,
        comparison: comparison(metric, table, &span)?,
        filter: table
            .instance
            .as_ref()
            .map_or(InstanceFilter::Every, filter),
        over: over(table)?,
        says: table.says.as_ref().map(|w| w.get_ref().clone()),
    };
    table.says.as_ref().map_or(Ok(()), check_template)?;
    Ok(condition)
}

/// The metric itself, or what the condition makes of its past.
fn derived_metric(metric: &'static Metric, table: &ConditionTable) -> Checked<&'static Metric> {
    let per = table.per.as_ref();
    let written = [
        ("change", &table.change, Take::Change),
        (
            "rate",
            &table.rate,
            Take::Rate(per.map_or(Ok(DAY_MS), per_ms)?),
        ),
        ("changes", &table.changes, Take::Changes),
    ];
    let mut written = written
        .into_iter()
        .filter_map(|(field, word, take)| Some((field, word.as_ref()?, take)));
    let Some((field, word, take)) = written.next() else {
        return match per {
            Some(per) => Err(Mistake::new(per.span(), "per", "belongs to a `rate`")),
            None => Ok(metric),
        };
    };
    if let Some((other, word, _)) = written.next() {
        let problem = format!("cannot stand beside `{field}`");
        return Err(Mistake::new(word.span(), other, problem));
    }
    if let Some(per) = per.filter(|_| field != "rate") {
        return Err(Mistake::new(per.span(), "per", "belongs to a `rate`"));
    }
    let mistake = |problem: String| Mistake::new(word.span(), field, problem);
    if metric.code >= FORECAST_CODES {
        let problem = format!("{} is the collector's own and has no past", metric.name);
        return Err(mistake(problem));
    }
    derived::fits(metric, take).map_err(mistake)?;
    let over_ms = duration(field, word)?;
    if !(derived::SHORTEST_MS..=derived::LONGEST_MS).contains(&over_ms) {
        let problem = format!("`{}` lies outside 5 m to 30 d", word.get_ref());
        return Err(mistake(problem));
    }
    derived::derive(metric, take, over_ms).ok_or_else(|| {
        let most = derived::MOST;
        mistake(format!(
            "the collector follows {most} changes and rates already; restart it"
        ))
    })
}

fn per_ms(word: &Word) -> Checked<i64> {
    choose(
        "per",
        word,
        "time",
        &[("day", DAY_MS), ("hour", DAY_MS / 24)],
    )
}

const DAY_MS: i64 = 86_400_000;

fn comparison(
    metric: &'static Metric,
    table: &ConditionTable,
    span: &Range<usize>,
) -> Checked<Comparison> {
    let all = OPERATORS.map(|word| (word, word));
    let op = choose("op", &table.op, "operator", &all)?;
    match (metric.kind, relation(op)) {
        (Kind::Gauge { .. } | Kind::Counter { .. }, Some(relation)) => {
            number_comparison(metric, table, relation, span)
        }
        (Kind::Flag, None) => flag_comparison(metric, table, op, span),
        (Kind::State(_) | Kind::Text, None) => word_comparison(metric, table, op, span),
        (kind, _) => {
            let right = if relation(op).is_some() {
                "is or is-not"
            } else {
                "above or below"
            };
            let kind = kind.word();
            let problem = format!(
                "`{op}` does not fit {}, which is a {kind}; use {right}",
                metric.name
            );
            Err(Mistake::new(table.op.span(), "op", problem))
        }
    }
}

fn relation(op: &str) -> Option<Relation> {
    Some(match op {
        "above" => Relation::Above,
        "at-least" => Relation::AtLeast,
        "below" => Relation::Below,
        "at-most" => Relation::AtMost,
        "equals" => Relation::Equals,
        "not-equals" => Relation::NotEquals,
        _ => return None,
    })
}

fn number_comparison(
    metric: &'static Metric,
    table: &ConditionTable,
    relation: Relation,
    span: &Range<usize>,
) -> Checked<Comparison> {
    let limit = match (&table.value, &table.value_of) {
        (Some(value), None) => Limit::Fixed(number("value", metric, value)?),
        (None, Some(of)) => limit_of(metric, of, table)?,
        (None, None) => return Err(missing_value(span)),
        (Some(_), Some(of)) => {
            return Err(Mistake::new(
                of.span(),
                "value-of",
                "cannot stand beside `value`",
            ));
        }
    };
    let clear = table
        .clear
        .as_ref()
        .map(|clear| number("clear", metric, clear))
        .transpose()?;
    if let (Some(clear), Some(written), Limit::Fixed(limit)) = (clear, &table.clear, &limit) {
        check_clear(relation, *limit, clear, written)?;
    }
    Ok(Comparison::Number {
        relation,
        limit,
        clear,
    })
}

/// The clearing limit lies on the good side of the limit, so that no value is both.
fn check_clear(relation: Relation, limit: f64, clear: f64, at: &Spanned<Value>) -> Checked<()> {
    let side = match relation {
        Relation::Above | Relation::AtLeast if clear > limit => "at or below",
        Relation::Below | Relation::AtMost if clear < limit => "at or above",
        Relation::Equals | Relation::NotEquals => {
            return Err(Mistake::new(
                at.span(),
                "clear",
                "has no meaning with this operator",
            ));
        }
        _ => return Ok(()),
    };
    let problem = format!("must lie {side} `value`, on its good side");
    Err(Mistake::new(at.span(), "clear", problem))
}

fn limit_of(metric: &Metric, of: &Word, table: &ConditionTable) -> Checked<Limit> {
    let other = find_metric("value-of", of)?;
    if other.unit != metric.unit || other.kind.word() != "number" {
        let problem = format!("{} is not a number in `{}`", other.name, metric.unit);
        return Err(Mistake::new(of.span(), "value-of", problem));
    }
    let plus = table.plus.as_ref();
    let plus = plus.map_or(Ok(0.0), |value| unbounded("plus", metric, value))?;
    Ok(Limit::Of {
        metric: other,
        plus,
    })
}

fn flag_comparison(
    metric: &Metric,
    table: &ConditionTable,
    op: &str,
    span: &Range<usize>,
) -> Checked<Comparison> {
    match table.value.as_ref().map(|value| (value, value.get_ref())) {
        Some((_, Value::Boolean(flag))) => Ok(Comparison::Flag(*flag == (op == "is"))),
        Some((value, _)) => {
            let problem = format!("{} is a flag: true or false", metric.name);
            Err(Mistake::new(value.span(), "value", problem))
        }
        None => Err(missing_value(span)),
    }
}

fn word_comparison(
    metric: &Metric,
    table: &ConditionTable,
    op: &str,
    span: &Range<usize>,
) -> Checked<Comparison> {
    let value = table.value.as_ref().ok_or_else(|| missing_value(span))?;
    let given = match value.get_ref() {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut words = Vec::new();
    for word in given {
        let Value::String(word) = word else {
            let problem = format!("{} has words for values", metric.name);
            return Err(Mistake::new(value.span(), "value", problem));
        };
        if let Kind::State(known) = metric.kind
            && !known.contains(&word.as_str())
        {
            let what = format!("value of {}", metric.name);
            let problem = unknown(&what, word, known.iter().copied());
            return Err(Mistake::new(value.span(), "value", problem));
        }
        words.push(word.clone());
    }
    if words.is_empty() {
        return Err(Mistake::new(value.span(), "value", "the list is empty"));
    }
    Ok(Comparison::Words {
        words,
        wanted: op == "is",
    })
}

fn missing_value(span: &Range<usize>) -> Mistake {
    Mistake::new(
        span.clone(),
        "value",
        "is missing: what the metric is compared with",
    )
}

fn number(field: &str, metric: &Metric, value: &Spanned<Value>) -> Checked<f64> {
    let number = unbounded(field, metric, value)?;
    let (Kind::Gauge { low, high } | Kind::Counter { low, high }) = metric.kind else {
        return Err(Mistake::new(
            value.span(),
            field,
            "this metric is not a number",
        ));
    };
    if (low..=high).contains(&number) {
        return Ok(number);
    }
    let problem = format!(
        "{number} lies outside {low} to {high} {}, the values of {}",
        metric.unit, metric.name
    );
    Err(Mistake::new(value.span(), field, problem))
}

fn unbounded(field: &str, metric: &Metric, value: &Spanned<Value>) -> Checked<f64> {
    let number = match value.get_ref() {
        Value::Integer(whole) => Ok(*whole as f64),
        Value::Float(number) if number.is_finite() => Ok(*number),
        Value::String(text) => quantity::parse(metric, text),
        _ => Err(format!("is not a number in `{}`", metric.unit)),
    };
    number.map_err(|problem| Mistake::new(value.span(), field, problem))
}

fn filter(word: &Word) -> InstanceFilter {
    match word.get_ref().strip_suffix('*') {
        Some(prefix) => InstanceFilter::Prefix(prefix.to_owned()),
        None => InstanceFilter::Exact(word.get_ref().clone()),
    }
}

fn over(table: &ConditionTable) -> Checked<Over> {
    let known = [
        ("same", Over::Same),
        ("any", Over::Any),
        ("other", Over::Other),
        ("every", Over::Every),
        ("every-other", Over::EveryOther),
    ];
    let word = table.instances.as_ref();
    word.map_or(Ok(Over::Same), |word| {
        choose("instances", word, "choice of instances", &known)
    })
}

fn check_template(says: &Word) -> Checked<()> {
    const NAMES: [&str; 3] = ["instance", "value", "threshold"];
    for name in placeholders(says.get_ref()) {
        if !NAMES.contains(&name) && metrics::by_name(name).is_none() {
            let known: Vec<&str> = NAMES.into_iter().chain(metrics::names()).collect();
            let problem = unknown("placeholder", name, known.iter().copied());
            return Err(Mistake::new(says.span(), "says", problem));
        }
    }
    Ok(())
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

fn calendar_of(table: &Spanned<CalendarTable>) -> Checked<Calendar> {
    let table = table.get_ref();
    let mut calendar = Calendar::default();
    if let Some(word) = &table.time_zone {
        calendar.zone = zone(word)?;
    }
    if let Some(days) = &table.school_weekdays {
        calendar.weekdays = days.iter().map(weekday).collect::<Checked<_>>()?;
    }
    if let Some(word) = &table.hours {
        (calendar.opens, calendar.closes) = hours(word)?;
    }
    calendar.holidays = table.holidays.iter().map(holiday).collect::<Checked<_>>()?;
    Ok(calendar)
}

fn zone(word: &Word) -> Checked<TimeZone> {
    if word.get_ref() == "system" {
        return Ok(TimeZone::system());
    }
    TimeZone::get(word.get_ref()).map_err(|_| {
        let problem = format!(
            "`{}` is no time zone such as `America/New_York`, `UTC` or `system`",
            word.get_ref()
        );
        Mistake::new(word.span(), "time-zone", problem)
    })
}

fn weekday(word: &Word) -> Checked<Weekday> {
    let known = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    choose("school-weekdays", word, "day of the week", &known)
}

fn hours(word: &Word) -> Checked<(Time, Time)> {
    let read = |text: &str| Time::strptime("%H:%M", text.trim()).ok();
    let both = word.get_ref().split_once('-');
    match both.and_then(|(opens, closes)| Some((read(opens)?, read(closes)?))) {
        Some((opens, closes)) if opens < closes => Ok((opens, closes)),
        _ => {
            let problem = format!("`{}` is not of the form 08:00-15:30", word.get_ref());
            Err(Mistake::new(word.span(), "hours", problem))
        }
    }
}

fn holiday(word: &Word) -> Checked<(Date, Date)> {
    let read = |text: &str| text.trim().parse::<Date>().ok();
    let (from, to) = word
        .get_ref()
        .split_once('/')
        .unwrap_or((word.get_ref(), word.get_ref()));
    match (read(from), read(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => {
            let problem = format!(
                "`{}` is not a date such as 2026-11-26, or a first and last one joined by `/`",
                word.get_ref()
            );
            Err(Mistake::new(word.span(), "holidays", problem))
        }
    }
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

fn find_metric(field: &str, word: &Word) -> Checked<&'static Metric> {
    metrics::by_name(word.get_ref()).ok_or_else(|| {
        let names: Vec<&str> = metrics::names().collect();
        let problem = match super::error::nearest(word.get_ref(), names.iter().copied()) {
            Some(nearest) => format!(
                "`{}` is no metric; did you mean `{nearest}`?",
                word.get_ref()
            ),
            None => format!("`{}` is no metric of the catalogue", word.get_ref()),
        };
        Mistake::new(word.span(), field, problem)
    })
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
