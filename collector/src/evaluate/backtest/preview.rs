//! What a change of the rules would have fired: the rules before and after it over what one laptop
//! reported, by the same code as a backtest.

use std::collections::BTreeSet;
use std::sync::Arc;

use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::AlertLine;
use super::replay::Laptop;
use crate::device::{DeviceState, FORECAST_CODES};
use crate::evaluate::condition::{Comparison, Condition, Limit};
use crate::evaluate::derived;
use crate::evaluate::forecast::habit::{SLOTS_PER_HOUR, is_habit};
use crate::evaluate::forecast::metrics::{CHARGER_SHORTFALL, INVENTORY_TAG};
use crate::evaluate::forecast::past::Past;
use crate::evaluate::outlooks;
use crate::evaluate::rules::{Rule, RuleSet, Test};
use crate::store::{Store, StoreError};

/// Readings of one laptop that are replayed: a month of some busy series. What is more is left out.
const ROWS: usize = 200_000;

/// Habits are made of slots of this length, so that one look in each is enough for them.
const SLOT_MS: i64 = 3_600_000 / SLOTS_PER_HOUR as i64;

/// What differs between two sets of rules, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rules that only the later one has.
    pub added: Vec<String>,
    /// Rules that are otherwise in the later one.
    pub changed: Vec<String>,
    /// Rules that only the earlier one has.
    pub removed: Vec<String>,
    /// Whether the calendar differs.
    pub calendar: bool,
}

/// Alerts of one laptop before and after a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// What the rules fired that were there before.
    pub before: Vec<AlertLine>,
    /// What those of the change fire.
    pub after: Vec<AlertLine>,
}

impl Difference {
    /// What differs.
    #[must_use]
    pub fn between(before: &RuleSet, after: &RuleSet) -> Self {
        let name = |rule: &&Arc<Rule>| rule.name.clone();
        let is_new = |rule: &&Arc<Rule>| before.get(&rule.name).is_none();
        let is_other =
            |rule: &&Arc<Rule>| before.get(&rule.name).is_some_and(|known| known != *rule);
        let is_gone = |rule: &&Arc<Rule>| after.get(&rule.name).is_none();
        Self {
            added: after
                .rules
                .iter()
                .filter(is_new)
                .map(|r| name(&r))
                .collect(),
            changed: after
                .rules
                .iter()
                .filter(is_other)
                .map(|r| name(&r))
                .collect(),
            removed: before
                .rules
                .iter()
                .filter(is_gone)
                .map(|r| name(&r))
                .collect(),
            calendar: before.calendar != after.calendar,
        }
    }

    /// The rules whose alerts may differ.
    #[must_use]
    pub fn names(&self, before: &RuleSet, after: &RuleSet) -> BTreeSet<String> {
        let listed = [&self.added, &self.changed, &self.removed];
        let mut names: BTreeSet<String> = listed.into_iter().flatten().cloned().collect();
        for rule in before.rules.iter().chain(&after.rules) {
            // Rules follow those that they depend on.
            let depends = rule.depends_on.iter().any(|name| names.contains(name));
            let by_calendar = self.calendar && (rule.school_hours || is_absence(&rule.test));
            if depends || by_calendar {
                names.insert(rule.name.clone());
            }
        }
        names
    }
}

/// Whether a history of readings says nothing about it.
#[must_use]
pub const fn is_absence(test: &Test) -> bool {
    matches!(test, Test::NotSeen { .. } | Test::SiteSilent)
}

/// The rules of these names, and those that they depend on.
#[must_use]
pub fn narrowed(rules: &RuleSet, names: &BTreeSet<String>) -> RuleSet {
    let mut wanted = names.clone();
    for rule in rules.rules.iter().rev() {
        if wanted.contains(&rule.name) {
            wanted.extend(rule.depends_on.iter().cloned());
        }
    }
    let is_wanted = |rule: &&Arc<Rule>| wanted.contains(&rule.name) && !is_absence(&rule.test);
    RuleSet {
        rules: rules.rules.iter().filter(is_wanted).cloned().collect(),
        calendar: rules.calendar.clone(),
    }
}

/// What the rules fire, before and after a change, over what a laptop reported from `from` to `to`; of
/// others than these `names` nothing is told. It reads from disk: call it where blocking is allowed.
///
/// # Errors
/// [`StoreError`] when the history cannot be read.
pub fn compare(
    store: &Store,
    state: &DeviceState,
    (before, after): (&RuleSet, &RuleSet),
    names: &BTreeSet<String>,
    (from, to): (UnixMs, UnixMs),
) -> Result<Compared, StoreError> {
    let readings = recorded(store, state, &Needs::of([before, after]), from, to)?;
    let told = |rules: &RuleSet| -> Result<Vec<AlertLine>, StoreError> {
        if rules.rules.is_empty() || readings.is_empty() {
            return Ok(Vec::new());
        }
        let mut told = replay(store, state, rules, &readings, from)?;
        told.retain(|line| names.contains(&line.rule));
        Ok(told)
    };
    let told_before = told(before)?;
    let is_same = before.rules == after.rules && before.calendar == after.calendar;
    let told_after = match is_same {
        true => told_before.clone(),
        false => told(after)?,
    };
    Ok(Compared {
        before: told_before,
        after: told_after,
    })
}

/// Which series rules are judged by.
struct Needs {
    metrics: BTreeSet<u16>,
    forecasts: bool,
    /// Whether a forecast is made of what the laptop is usually like.
    habits: bool,
}

impl Needs {
    fn of(sets: [&RuleSet; 2]) -> Self {
        // Where it is, what it is, and that it was awake.
        let always = [
            &metric::VANTAGE,
            &metric::OS_TYPE,
            &metric::UPTIME,
            &metric::FILESYSTEM_LIMIT,
            &metric::DRIVE_KIND,
        ];
        let mut needs = Self {
            metrics: always.iter().map(|metric| metric.code).collect(),
            forecasts: false,
            habits: false,
        };
        let rules = sets.into_iter().flat_map(|set| &set.rules);
        for condition in rules.flat_map(|rule| conditions(&rule.test)) {
            needs.add(condition.metric);
            if let Comparison::Number {
                limit: Limit::Of { metric, .. },
                ..
            } = &condition.comparison
            {
                needs.add(metric);
            }
        }
        needs
    }

    fn add(&mut self, metric: &'static Metric) {
        let metric = derived::source(metric);
        if metric.code >= FORECAST_CODES {
            self.forecasts = true;
            self.habits |= (CHARGER_SHORTFALL.code..INVENTORY_TAG.code).contains(&metric.code);
        } else {
            self.metrics.insert(metric.code);
        }
    }

    fn wants(&self, metric: u16, instance: &str) -> bool {
        let is_input = || {
            Past::is_input(&crate::device::SeriesKey {
                metric,
                instance: instance.to_owned(),
            })
        };
        self.metrics.contains(&metric)
            || (self.forecasts && is_input())
            || (self.habits && is_of_habits(metric))
    }

    /// Whether a look in each slot is enough: no rule judges the reading itself.
    fn is_for_habits_alone(&self, metric: u16) -> bool {
        self.habits && is_habit(metric) && !self.metrics.contains(&metric)
    }
}

/// What habits are made of; where a system counts no drops of its links, their states tell them.
fn is_of_habits(metric: u16) -> bool {
    let links = [metric::LINK_KIND.code, metric::LINK_STATE.code];
    is_habit(metric) || links.contains(&metric)
}

fn conditions(test: &Test) -> impl Iterator<Item = &Condition> {
    let readings = match test {
        Test::Readings(readings) => Some(readings),
        Test::NotSeen { .. } | Test::SiteSilent => None,
    };
    readings
        .into_iter()
        .flat_map(|readings| readings.prerequisites.iter().chain(&readings.faults))
}

/// What a laptop reported, by time.
fn recorded(
    store: &Store,
    state: &DeviceState,
    needs: &Needs,
    from: UnixMs,
    to: UnixMs,
) -> Result<Vec<(UnixMs, Reading)>, StoreError> {
    let wanted = |metric: u16, instance: &str| needs.wants(metric, instance);
    let columns = store.columns_of(state.device.id, &wanted, from, to)?;
    let mut readings = Vec::new();
    for column in columns {
        let Some(metric) = metric::by_code(column.key.metric) else {
            continue;
        };
        let room = ROWS.saturating_sub(readings.len());
        let mut points = column.points;
        if needs.is_for_habits_alone(metric.code) {
            points.dedup_by_key(|(at, _)| at.0.div_euclid(SLOT_MS));
        }
        for (at, value) in points.into_iter().take(room) {
            if let Ok(reading) = Reading::new(metric, &column.key.instance, value) {
                readings.push((at, reading));
            }
        }
    }
    readings.sort_by_key(|(at, _)| *at);
    Ok(readings)
}

fn replay(
    store: &Store,
    state: &DeviceState,
    rules: &RuleSet,
    readings: &[(UnixMs, Reading)],
    from: UnixMs,
) -> Result<Vec<AlertLine>, StoreError> {
    let outlook = outlooks::read(store, state, from)?;
    let name = state.device.id.to_string();
    let first = readings.first().map_or(from, |(at, _)| *at);
    let mut laptop = Laptop::of(name, state.device.clone(), outlook, first);
    for (at, reading) in readings {
        if *at != laptop.now() {
            laptop.evaluate(rules);
            laptop.wait_until(*at);
        }
        laptop.read(reading);
    }
    laptop.evaluate(rules);
    Ok(laptop
        .end()
        .alerts
        .into_iter()
        .map(|told| told.line)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> RuleSet {
        RuleSet::parse("t", text).unwrap()
    }

    #[test]
    fn only_what_differs_and_what_hangs_on_it_is_replayed() {
        let before = RuleSet::built_in();
        let after = rules("extend-default = true\ndisable = [\"disk-full\"]\n");
        let difference = Difference::between(&before, &after);
        assert_eq!(difference.removed, ["disk-full"]);
        assert!(difference.added.is_empty() && !difference.calendar);
        let names = difference.names(&before, &after);
        let narrow = narrowed(&before, &names);
        assert!(narrow.get("disk-full").is_some() && narrow.get("battery-worn").is_none());
        for rule in &narrow.rules {
            let hangs = names.contains(&rule.name)
                || names.iter().any(|name| {
                    let named = before.get(name).unwrap();
                    named.depends_on.contains(&rule.name)
                });
            assert!(hangs, "{}", rule.name);
        }
        let none = Difference::between(&before, &before);
        assert_eq!(none, Difference::default());
        assert!(none.names(&before, &before).is_empty());
    }

    #[test]
    fn what_a_forecast_is_made_of_is_read() {
        let wants = |condition: &str| {
            let text = format!(
                "[[rule]]\nname = \"x\"\ntitle = \"X\"\nseverity = \"info\"\naudience = \"help-desk\"\n\
                 all = [{{ {condition}, says = \"{{value}}\" }}]\nrunbook = \"disk-full\"\nfamily = {{ en = \"x\" }}"
            );
            let rules = rules(&text);
            let needs = Needs::of([&rules, &rules]);
            let read = |metric: &Metric| needs.wants(metric.code, "");
            [
                &metric::CPU_UTILIZATION,
                &metric::LINK_STATE,
                &metric::BATTERY_FULL_CAPACITY,
            ]
            .map(read)
        };
        let boot = "metric = \"forecast.boot.rise\", op = \"above\", value = 30";
        assert_eq!(wants(boot), [true, true, true]);
        let battery = "metric = \"forecast.battery.replacement\", op = \"below\", value = 30";
        assert_eq!(wants(battery), [false, false, true]);
        let used = "metric = \"system.cpu.utilization\", op = \"above\", value = 0.9";
        assert_eq!(wants(used), [true, false, false]);
    }
}
