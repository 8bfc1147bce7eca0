//! Conditions: whether a reading is as a rule says. "Cannot be judged" is an answer of its own.

use rollcall_shared::metric::Metric;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use crate::device::{DeviceState, Latest};

use super::rules::quantity::show;

/// Three-valued: a reading that is missing or unavailable is neither true nor false.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// A good reading shows that it holds.
    True,
    /// A good reading shows that it does not hold.
    False,
    /// No good reading shows either.
    Unknown,
}

/// One comparison of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Which metric is compared.
    pub metric: &'static Metric,
    /// With what.
    pub comparison: Comparison,
    /// Which instances count.
    pub filter: InstanceFilter,
    /// How its instances relate to the instance that the rule is judged for.
    pub over: Over,
    /// What it says as evidence; a general sentence where it is `None`.
    pub says: Option<String>,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// A number.
    Number {
        /// How it must lie.
        relation: Relation,
        /// To what.
        limit: Limit,
        /// The limit that it must pass to be good again; the same one where it is `None`.
        clear: Option<f64>,
    },
    /// Words or texts: the value is, or is not, one of them.
    Words {
        /// The words.
        words: Vec<String>,
        /// Whether it must be one of them.
        wanted: bool,
    },
    /// A flag.
    Flag(bool),
}

/// How a number lies to its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Greater.
    Above,
    /// Greater or the same.
    AtLeast,
    /// Less.
    Below,
    /// Less or the same.
    AtMost,
    /// The same.
    Equals,
    /// Another.
    NotEquals,
}

/// What a number is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// A number in the metric's unit.
    Fixed(f64),
    /// The value of another metric of the same instance, and something added to it.
    Of {
        /// The other metric.
        metric: &'static Metric,
        /// What is added.
        plus: f64,
        /// Its value where no system tells it; without one the condition cannot be judged then.
        otherwise: Option<f64>,
    },
}

/// Which instances of a metric count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceFilter {
    /// All.
    Every,
    /// The one of this name.
    Exact(String),
    /// Those whose names begin like this.
    Prefix(String),
}

/// How a condition's instances relate to the instance that the rule is judged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The same instance.
    Same,
    /// At least one.
    Any,
    /// At least one besides it.
    Other,
    /// Every one.
    Every,
    /// Every one besides it; true where there is no other.
    EveryOther,
}

/// Which limit counts: the one that opens an alert, or the one that closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No alert fires.
    Opening,
    /// An alert fires, and only passing the clearing limit ends it.
    Clearing,
}

impl Truth {
    /// True when both are, false when one is.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Unknown,
        }
    }

    /// True when one is, false when both are.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, Self::False) => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl InstanceFilter {
    /// Whether an instance counts.
    #[must_use]
    pub fn admits(&self, instance: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Exact(name) => name == instance,
            Self::Prefix(prefix) => instance.starts_with(prefix.as_str()),
        }
    }
}

impl Condition {
    /// Whether it holds for `subject`, the instance that the rule is judged for.
    #[must_use]
    pub fn judge(&self, state: &DeviceState, subject: &str, mode: Mode) -> Truth {
        let of = |(instance, latest): (&str, &Latest)| {
            self.judge_value(state, instance, &latest.value, mode)
        };
        let others = self.instances(state).filter(|(i, _)| *i != subject);
        match self.over {
            Over::Same => self.subject(state, subject).map_or(Truth::Unknown, of),
            Over::Any => fold(self.instances(state).map(of), Truth::or),
            Over::Other => fold(others.map(of), Truth::or),
            Over::Every => fold(self.instances(state).map(of), Truth::and),
            Over::EveryOther => others.map(of).fold(Truth::True, Truth::and),
        }
    }

    /// Whether the device has any reading that the condition could be judged by.
    #[must_use]
    pub fn applies(&self, state: &DeviceState, subject: &str) -> bool {
        match self.over {
            Over::Same => self.subject(state, subject).is_some(),
            _ => self.instances(state).next().is_some(),
        }
    }

    /// The readings of the instances that count.
    pub fn instances<'a>(
        &'a self,
        state: &'a DeviceState,
    ) -> impl Iterator<Item = (&'a str, &'a Latest)> {
        let admitted = |(instance, _): &(&str, &Latest)| self.filter.admits(instance);
        state.instances(self.metric).filter(admitted)
    }

    /// When the reading of `subject` came to be as it is.
    #[must_use]
    pub fn since(&self, state: &DeviceState, subject: &str) -> Option<UnixMs> {
        match self.over {
            Over::Same => self.subject(state, subject).map(|(_, latest)| latest.since),
            _ => None,
        }
    }

    /// What the readings are, in words with numbers.
    #[must_use]
    pub fn evidence(&self, state: &DeviceState, subject: &str) -> String {
        let threshold = self.threshold(state, subject);
        let value = self.shown_value(state, subject);
        let Some(says) = &self.says else {
            let of = if subject.is_empty() {
                String::new()
            } else {
                format!(" of {subject}")
            };
            return format!(
                "{}{of} is {value} (threshold {threshold})",
                self.metric.name
            );
        };
        let fill = |name: &str| match name {
            "instance" => subject.to_owned(),
            "value" => value.clone(),
            "threshold" => threshold.clone(),
            other => shown_metric(state, subject, other),
        };
        fill_template(says, fill)
    }

    fn subject<'a>(
        &self,
        state: &'a DeviceState,
        subject: &'a str,
    ) -> Option<(&'a str, &'a Latest)> {
        if !self.filter.admits(subject) {
            return None;
        }
        state
            .get(self.metric, subject)
            .map(|latest| (subject, latest))
    }

    fn judge_value(&self, state: &DeviceState, at: &str, value: &Value, mode: Mode) -> Truth {
        match (&self.comparison, value) {
            (
                Comparison::Number {
                    relation,
                    limit,
                    clear,
                },
                Value::Number(number),
            ) => {
                let Some(limit) = limit.value(state, at) else {
                    return Truth::Unknown;
                };
                match (mode, clear) {
                    (Mode::Clearing, Some(clear)) => relation.holds(*number, *clear).into(),
                    _ => relation.holds(*number, limit).into(),
                }
            }
            (Comparison::Words { words, wanted }, Value::Text(text)) => {
                (words.contains(text) == *wanted).into()
            }
            (Comparison::Flag(wanted), Value::Flag(flag)) => (flag == wanted).into(),
            _ => Truth::Unknown,
        }
    }

    fn shown_value(&self, state: &DeviceState, subject: &str) -> String {
        if self.over == Over::Same {
            let latest = state.get(self.metric, subject);
            return latest.map_or_else(|| "not known".to_owned(), |l| shown(self.metric, &l.value));
        }
        let all = self
            .instances(state)
            .filter(|(i, _)| !matches!(self.over, Over::Other | Over::EveryOther) || *i != subject);
        let all: Vec<String> = all
            .map(|(instance, latest)| {
                format!("{instance} {}", shown(self.metric, &latest.value))
                    .trim()
                    .to_owned()
            })
            .collect();
        all.join(", ")
    }

    /// The threshold in words.
    #[must_use]
    pub fn threshold(&self, state: &DeviceState, subject: &str) -> String {
        match &self.comparison {
            Comparison::Number { limit, .. } => limit
                .value(state, subject)
                .map_or_else(|| "not known".to_owned(), |limit| show(self.metric, limit)),
            Comparison::Words {
                words,
                wanted: true,
            } => words.join(" or "),
            Comparison::Words { words, .. } => format!("not {}", words.join(" or ")),
            Comparison::Flag(wanted) => Value::Flag(*wanted).to_string(),
        }
    }
}

impl Limit {
    fn value(&self, state: &DeviceState, instance: &str) -> Option<f64> {
        match self {
            Self::Fixed(limit) => Some(*limit),
            Self::Of {
                metric,
                plus,
                otherwise,
            } => {
                let known = state.get(metric, instance);
                let known = known.and_then(|latest| latest.value.as_number());
                Some(known.or(*otherwise)? + plus)
            }
        }
    }
}

impl Relation {
    fn holds(self, number: f64, limit: f64) -> bool {
        match self {
            Self::Above => number > limit,
            Self::AtLeast => number >= limit,
            Self::Below => number < limit,
            Self::AtMost => number <= limit,
            Self::Equals => number == limit,
            Self::NotEquals => number != limit,
        }
    }
}

/// The names in braces in a template, for validation.
pub(super) fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

fn fold(truths: impl Iterator<Item = Truth>, join: fn(Truth, Truth) -> Truth) -> Truth {
    truths.reduce(join).unwrap_or(Truth::Unknown)
}

fn fill_template(template: &str, fill: impl Fn(&str) -> String) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(&fill(name));
        rest = after;
    }
    text.push_str(rest);
    text
}

fn shown_metric(state: &DeviceState, subject: &str, name: &str) -> String {
    let metric = super::forecast::metrics::by_name(name);
    let latest = metric.and_then(|metric| {
        let own = state.get(metric, subject);
        Some((metric, own.or_else(|| state.get(metric, ""))?))
    });
    match latest {
        Some((metric, latest)) => shown(metric, &latest.value),
        None => "not known".to_owned(),
    }
}

fn shown(metric: &Metric, value: &Value) -> String {
    match value {
        Value::Number(number) => show(metric, *number),
        Value::Text(word) => word.replace('_', " "),
        other => other.to_string(),
    }
}
