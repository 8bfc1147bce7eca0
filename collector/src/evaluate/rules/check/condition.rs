//! From a condition as written to one that means something.

use std::ops::Range;

use rollcall_shared::metric::{Kind, Metric};
use toml::{Spanned, Value};

use super::super::super::condition::{
    Comparison, Condition, InstanceFilter, Limit, Over, Relation, placeholders,
};
use super::super::super::derived::{self, Take};
use super::super::super::forecast::metrics;
use super::super::error::{Mistake, nearest, unknown};
use super::super::file::{ConditionTable, Word};
use super::super::quantity;
use super::{Checked, choose, duration};
use crate::device::FORECAST_CODES;

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

/// A condition, with what its rule makes of its metric's past.
pub(super) fn condition(table: &Spanned<ConditionTable>) -> Checked<Condition> {
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
        (Some(value), None) => {
            without_otherwise(table)?;
            Limit::Fixed(number("value", metric, value)?)
        }
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

fn without_otherwise(table: &ConditionTable) -> Checked<()> {
    let problem = "stands beside `value-of` alone";
    table.otherwise.as_ref().map_or(Ok(()), |otherwise| {
        Err(Mistake::new(otherwise.span(), "otherwise", problem))
    })
}

fn limit_of(metric: &Metric, of: &Word, table: &ConditionTable) -> Checked<Limit> {
    let other = find_metric("value-of", of)?;
    if other.unit != metric.unit || other.kind.word() != "number" {
        let problem = format!("{} is not a number in `{}`", other.name, metric.unit);
        return Err(Mistake::new(of.span(), "value-of", problem));
    }
    let plus = table.plus.as_ref();
    let plus = plus.map_or(Ok(0.0), |value| unbounded("plus", metric, value))?;
    let otherwise = table.otherwise.as_ref();
    let otherwise = otherwise.map(|value| number("otherwise", other, value));
    Ok(Limit::Of {
        metric: other,
        plus,
        otherwise: otherwise.transpose()?,
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

fn find_metric(field: &str, word: &Word) -> Checked<&'static Metric> {
    metrics::by_name(word.get_ref()).ok_or_else(|| {
        let names: Vec<&str> = metrics::names().collect();
        let problem = match nearest(word.get_ref(), names.iter().copied()) {
            Some(nearest) => format!(
                "`{}` is no metric; did you mean `{nearest}`?",
                word.get_ref()
            ),
            None => format!("`{}` is no metric of the catalogue", word.get_ref()),
        };
        Mistake::new(word.span(), field, problem)
    })
}
