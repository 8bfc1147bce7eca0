//! The metric catalogue as an answer: everything that a laptop may ever send.

use rollcall_shared::metric::{CATALOGUE, Kind, Metric};
use schemars::JsonSchema;
use serde::Serialize;

/// A metric of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MetricAnswer {
    /// Its name.
    pub name: &'static str,
    /// The unit in UCUM notation; empty where there is none.
    pub unit: &'static str,
    /// `number`, `flag`, `state` or `text`.
    pub kind: &'static str,
    /// Whether a number only grows.
    pub counter: bool,
    /// The words of a state.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub words: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
    /// What was done so that it says nothing about a pupil; empty where there is nothing to say.
    pub privacy: &'static str,
}

/// The whole catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CatalogueAnswer {
    /// Every metric, in the order of the catalogue.
    pub metrics: Vec<MetricAnswer>,
}

/// Every metric, in the order of the catalogue.
#[must_use]
pub fn catalogue() -> CatalogueAnswer {
    CatalogueAnswer {
        metrics: CATALOGUE.iter().map(|metric| answer(metric)).collect(),
    }
}

fn answer(metric: &Metric) -> MetricAnswer {
    MetricAnswer {
        name: metric.name,
        unit: metric.unit,
        kind: metric.kind.word(),
        counter: matches!(metric.kind, Kind::Counter { .. }),
        words: match metric.kind {
            Kind::State(words) => words,
            _ => &[],
        },
        meaning: metric.meaning,
        privacy: metric.privacy,
    }
}
