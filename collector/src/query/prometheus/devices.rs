//! The latest numbers of single devices, for those who ask for them by metric.
//!
//! Names come from the catalogue: `hw.battery.health` in `1` is `rollcall_hw_battery_health_ratio`.
//! Units are brought to Prometheus' base units (seconds, bytes, joules, ratios), as its naming
//! practices have it.

use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::Value;

use super::{Exposition, FamilyKind};
use crate::query::{Query, QueryError, Viewer};

/// Metrics in one answer.
const METRICS: usize = 20;

/// Samples in one answer: 20,000 laptops with a battery and a drive each, about 8 MB.
const SAMPLES: usize = 50_000;

/// What is wanted of which devices.
#[derive(Debug, Clone)]
pub struct DevicesRequest {
    metrics: Vec<&'static Metric>,
    site: Option<String>,
}

impl DevicesRequest {
    /// A request for metrics by name, with commas between them, at one site or everywhere.
    ///
    /// # Errors
    /// [`QueryError::Field`] names what is wrong with `metric`.
    pub fn new(metrics: Option<&str>, site: Option<String>) -> Result<Self, QueryError> {
        let wrong = |problem: String| QueryError::field("metric", problem);
        let Some(names) = metrics else {
            return Err(wrong(format!(
                "must name up to {METRICS} metrics with commas between them, such as \
                 hw.battery.health,system.filesystem.utilization"
            )));
        };
        let named = |name: &str| {
            metric::by_name(name.trim())
                .filter(|metric| is_number(metric))
                .ok_or_else(|| {
                    let name: String = name.chars().take(64).collect();
                    wrong(format!(
                        "names `{name}`, which is no number of /api/v1/metrics-catalogue"
                    ))
                })
        };
        let metrics: Vec<_> = names.split(',').map(named).collect::<Result<_, _>>()?;
        if metrics.len() > METRICS {
            return Err(wrong(format!("must name at most {METRICS} metrics")));
        }
        Ok(Self { metrics, site })
    }
}

const fn is_number(metric: &Metric) -> bool {
    matches!(
        metric.kind,
        Kind::Gauge { .. } | Kind::Counter { .. } | Kind::Flag
    )
}

/// The latest numbers of each device that the viewer may see.
///
/// # Errors
/// [`QueryError::Field`] where there are too many for one answer.
pub fn expose_devices_by_id(
    query: &Query,
    viewer: &Viewer,
    wanted: &DevicesRequest,
) -> Result<String, QueryError> {
    let mut samples: Vec<Vec<([String; 3], f64)>> = vec![Vec::new(); wanted.metrics.len()];
    let mut count = 0;
    query.visit_devices(viewer, |state| {
        let site = state.device.site.as_str();
        if wanted.site.as_deref().is_some_and(|wanted| wanted != site) {
            return;
        }
        for (key, latest) in state.latest.iter() {
            let place = wanted.metrics.iter().position(|of| of.code == key.metric);
            let (Some(place), Some(number)) = (place, number(&latest.value)) else {
                continue;
            };
            count += 1;
            if count <= SAMPLES {
                let id = state.device.id.to_string();
                let labels = [id, site.to_owned(), key.instance.clone()];
                samples[place].push((labels, number * base(wanted.metrics[place].unit).1));
            }
        }
    });
    if count > SAMPLES {
        let problem = format!("has {count} samples, {SAMPLES} fit in an answer; ask site by site");
        return Err(QueryError::field("metric", problem));
    }
    let mut out = Exposition::default();
    for (metric, samples) in wanted.metrics.iter().zip(&samples) {
        let kind = match metric.kind {
            Kind::Counter { .. } => FamilyKind::Counter,
            _ => FamilyKind::Gauge,
        };
        let samples = samples.iter().map(|([id, site, part], number)| {
            let labels = [
                ("device", id.as_str()),
                ("site", site.as_str()),
                ("part", part.as_str()),
            ];
            (labels, *number)
        });
        out.family(&name_of(metric), kind, metric.meaning, samples);
    }
    Ok(out.into_text())
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
        Value::Text(_) | Value::Unavailable(_) => None,
    }
}

/// The name that Prometheus has for a metric.
fn name_of(metric: &Metric) -> String {
    let mut name = format!("rollcall_{}", metric.name.replace(['.', '-'], "_"));
    let unit = base(metric.unit).0;
    if !unit.is_empty() && !name.ends_with(unit) {
        name.push('_');
        name.push_str(unit);
    }
    if matches!(metric.kind, Kind::Counter { .. }) {
        name.push_str("_total");
    }
    name
}

/// The base unit of a unit, and what a number of it is multiplied with.
fn base(unit: &str) -> (&'static str, f64) {
    match unit {
        "1" => ("ratio", 1.0),
        "%" => ("ratio", 0.01),
        "s" => ("seconds", 1.0),
        "h" => ("seconds", 3600.0),
        "d" => ("seconds", 86_400.0),
        "By" => ("bytes", 1.0),
        "Cel" => ("celsius", 1.0),
        "V" => ("volts", 1.0),
        "W" => ("watts", 1.0),
        "mWh" => ("joules", 3.6),
        "Mbit/s" => ("bits_per_second", 1e6),
        "dBm" => ("dbm", 1.0),
        _ => ("", 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::example::Example;
    use crate::store::Role;

    fn asked(metrics: &str) -> Result<DevicesRequest, QueryError> {
        DevicesRequest::new(Some(metrics), None)
    }

    #[test]
    fn only_numbers_of_the_catalogue_can_be_asked_for() {
        assert!(asked("hw.battery.health, system.uptime").is_ok());
        for (bad, says) in [
            ("hw.batery.health", "`hw.batery.health`, which is no number"),
            ("os.name", "`os.name`, which is no number"),
            ("", "``, which is no number"),
        ] {
            let error = asked(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        let many = vec!["system.uptime"; METRICS + 1].join(",");
        assert!(asked(&many).is_err());
        assert!(DevicesRequest::new(None, None).is_err());
    }

    #[tokio::test]
    async fn numbers_of_devices_are_in_base_units_and_within_the_scope() {
        let example = Example::new().await;
        let lincoln = vec!["Lincoln".parse().unwrap()];
        let viewer = Viewer::new("desk", Role::Viewer, lincoln);
        let wanted = asked("hw.battery.charge").unwrap();
        let text = expose_devices_by_id(&example.query, &viewer, &wanted).unwrap();
        let line = text.lines().find(|line| !line.starts_with('#')).unwrap();
        let start = format!(
            "rollcall_hw_battery_charge_ratio{{device=\"{}\",site=\"Lincoln\"",
            example.lincoln
        );
        assert!(line.starts_with(&start), "{line}");
        assert!(line.ends_with(" 0.7"), "{line}");
        assert!(!text.contains("Hay"), "{text}");
    }

    #[test]
    fn every_name_is_valid_and_stands_for_one_metric() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in metric::CATALOGUE {
            let name = name_of(metric);
            let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(is_valid), "{name}");
            assert!(seen.insert(name.clone()), "{name} stands for two metrics");
        }
    }
}
