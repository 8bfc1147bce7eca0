//! The part of a rule that says how laptops which show the same become one incident.

use std::collections::BTreeMap;

use toml::Spanned;

use super::check::{Checked, check_label, choose, duration, is_language_tag, words};
use super::error::Mistake;
use super::file::{RuleTable, SharedTable, Word};
use super::{Shared, Tell};
use crate::alert::Audience;

/// Laptops of one incident, where the rule does not say: two may be chance.
const AT_LEAST: u32 = 3;

/// How long an alert waits for others where the rule does not say: a round of measurements.
const GATHER_MS: i64 = 3 * 60_000;

/// How far apart alerts of one cause begin where the rule does not say: a lesson.
const WITHIN_MS: i64 = 45 * 60_000;

/// The longest wait: a laptop alone in its trouble waits for as long.
const LONGEST_GATHER_MS: i64 = 24 * 3_600_000;

pub(super) fn shared(table: &RuleTable) -> Checked<Option<Shared>> {
    let own = table.shared.as_ref();
    own.map(|own| shared_of(table, own)).transpose()
}

pub(super) fn tell(table: &RuleTable) -> Checked<Tell> {
    let known = [
        ("always", Tell::Always),
        ("school-hours", Tell::SchoolHours),
    ];
    let word = table.tell.as_ref();
    word.map_or(Ok(Tell::Always), |word| {
        choose("tell", word, "time", &known)
    })
}

fn shared_of(rule: &RuleTable, spanned: &Spanned<SharedTable>) -> Checked<Shared> {
    let table = spanned.get_ref();
    let audiences = words(Audience::ALL, Audience::word);
    let or_own = |word: &Option<Word>, own: &Word| word.as_ref().unwrap_or(own).clone();
    let (symptom, title) = (
        or_own(&table.symptom, &rule.name),
        or_own(&table.title, &rule.title),
    );
    check_label("shared.symptom", &symptom)?;
    check_label("shared.title", &title)?;
    let audience = or_own(&table.audience, &rule.audience);
    Ok(Shared {
        symptom: symptom.into_inner(),
        at_least: at_least(table.at_least.as_ref())?,
        collect: table.collect,
        gather_ms: gather(table.gather.as_ref())?,
        alone_ms: alone(table)?,
        within_ms: time("shared.within", table.within.as_ref(), WITHIN_MS)?,
        audience: choose("shared.audience", &audience, "audience", &audiences)?,
        title: title.into_inner(),
        broadcast: broadcast(spanned)?,
    })
}

fn at_least(written: Option<&Spanned<u32>>) -> Checked<u32> {
    let Some(written) = written else {
        return Ok(AT_LEAST);
    };
    if (2..=10_000).contains(written.get_ref()) {
        return Ok(*written.get_ref());
    }
    let problem = format!("{} lies outside 2 to 10000 laptops", written.get_ref());
    Err(Mistake::new(written.span(), "shared.at-least", problem))
}

fn gather(word: Option<&Word>) -> Checked<i64> {
    wait("shared.gather", word, GATHER_MS)
}

fn alone(table: &SharedTable) -> Checked<i64> {
    let gather_ms = gather(table.gather.as_ref())?;
    let ms = wait("shared.alone", table.alone.as_ref(), gather_ms)?;
    match &table.alone {
        Some(word) if ms < gather_ms => {
            let problem = "is shorter than `gather`, for which every laptop waits";
            Err(Mistake::new(word.span(), "shared.alone", problem))
        }
        _ => Ok(ms),
    }
}

fn wait(field: &str, word: Option<&Word>, otherwise: i64) -> Checked<i64> {
    let ms = time(field, word, otherwise)?;
    match word {
        Some(word) if ms > LONGEST_GATHER_MS => {
            let problem = "is longer than a day, for which a laptop alone would wait";
            Err(Mistake::new(word.span(), field, problem))
        }
        _ => Ok(ms),
    }
}

fn time(field: &str, word: Option<&Word>, otherwise: i64) -> Checked<i64> {
    word.map_or(Ok(otherwise), |word| duration(field, word))
}

fn broadcast(table: &Spanned<SharedTable>) -> Checked<BTreeMap<String, String>> {
    let texts = &table.get_ref().broadcast;
    let wrong = texts
        .iter()
        .find(|(tag, text)| !is_language_tag(tag) || text.trim().is_empty());
    match wrong {
        Some((tag, _)) => {
            let problem = format!("`{tag}` must be a language tag such as `en`, with a text");
            Err(Mistake::new(table.span(), "shared.broadcast", problem))
        }
        None => Ok(texts.clone()),
    }
}
