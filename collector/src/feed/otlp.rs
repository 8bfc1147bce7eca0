//! The latest numbers by OTLP over HTTP, in its JSON form (OpenTelemetry protocol 1.3,
//! `ExportMetricsServiceRequest`; times and counts of 64 bits are texts there).
//!
//! Each laptop is a resource (`host.id`), each metric of the catalogue a gauge or a monotonic sum. A
//! state or a text has no place in OTLP metrics and stays here. A laptop is sent again once it has
//! reported something newer than what was delivered.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use rollcall_shared::id::DeviceId;
use rollcall_shared::metric::{self, Kind, Metric};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::Count;
use super::config::OtlpConfig;
use crate::device::DeviceState;
use crate::notify::secret::Secret;
use crate::notify::{Outcome, http};
use crate::store::Store;

/// Laptops in one call: with 60 numbers each about 2 MB of JSON; receivers take 4 MB as a rule.
const BATCH: usize = 200;

/// Cumulative, as a counter that only grows is.
const CUMULATIVE: u8 = 2;

/// A receiver of OTLP.
pub(super) struct Otlp {
    name: String,
    url: String,
    every: Duration,
    metrics: Vec<u16>,
    authorization: Option<HeaderValue>,
    client: Client,
    store: Store,
    count: Arc<Count>,
    delivered: HashMap<DeviceId, UnixMs>,
}

/// What one call carries.
#[derive(Debug, Default)]
struct Batch {
    resources: Vec<Json>,
    marks: Vec<(DeviceId, UnixMs)>,
    points: u64,
}

impl Otlp {
    pub fn build(config: &OtlpConfig, store: Store, count: Arc<Count>) -> anyhow::Result<Self> {
        let place = || format!("feed `{}`", config.name);
        let secret =
            Secret::read(config.authorization_file.as_deref(), None).with_context(place)?;
        let authorization = secret.map(|secret| {
            let mut value = HeaderValue::from_str(secret.expose())
                .with_context(|| format!("{}: authorization_file is no header", place()))?;
            value.set_sensitive(true);
            Ok::<_, anyhow::Error>(value)
        });
        let codes = config
            .metrics
            .iter()
            .filter_map(|name| metric::by_name(name));
        Ok(Self {
            name: config.name.to_string(),
            url: config.url.clone(),
            every: Duration::from_secs(config.interval_s.into()),
            metrics: codes.map(|metric| metric.code).collect(),
            authorization: authorization.transpose()?,
            client: http::client(config.timeout_s, config.ca_file.as_deref())
                .with_context(place)?,
            store,
            count,
            delivered: HashMap::new(),
        })
    }

    /// Delivers from time to time until `ending`.
    pub async fn run(mut self, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(self.every) => {}
            }
            tokio::select! {
                () = ending.cancelled() => return,
                () = self.deliver() => {}
            }
        }
    }

    /// Sends every laptop that has reported something new; after a failure the rest waits.
    async fn deliver(&mut self) {
        for batch in self.batches() {
            match self.send(&batch).await {
                Outcome::Delivered => {
                    self.count.deliver(batch.points);
                    self.delivered.extend(batch.marks);
                }
                Outcome::Retry { why, .. } | Outcome::Rejected(why) | Outcome::Partly(why) => {
                    self.count.fail();
                    tracing::warn!(feed = self.name, why, "telemetry was not delivered");
                    return;
                }
            }
        }
    }

    fn batches(&self) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut batch = Batch::default();
        self.store.visit_devices(None, |state| {
            let (id, Some(last)) = (state.device.id, state.last_report) else {
                return ControlFlow::Continue(());
            };
            if self.delivered.get(&id).is_none_or(|told| *told < last) {
                let (resource, points) = resource(state, last, &self.metrics);
                batch.resources.push(resource);
                batch.marks.push((id, last));
                batch.points += points;
            }
            if batch.resources.len() == BATCH {
                batches.push(std::mem::take(&mut batch));
            }
            ControlFlow::Continue(())
        });
        batches.push(batch);
        batches.retain(|batch| batch.points > 0);
        batches
    }

    async fn send(&self, batch: &Batch) -> Outcome {
        let body = json!({ "resourceMetrics": batch.resources }).to_string();
        let mut request = self.client.post(&self.url);
        request = request.header(CONTENT_TYPE, "application/json").body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        http::outcome(request).await
    }
}

/// A laptop with its numbers, and how many those are.
fn resource(state: &DeviceState, at: UnixMs, wanted: &[u16]) -> (Json, u64) {
    let device = &state.device;
    let mut attributes = vec![
        attribute("service.name", "rollcall"),
        attribute("host.id", &device.id.to_string()),
        attribute("device.model.name", &device.model),
        attribute("device.manufacturer", &device.vendor),
        attribute("rollcall.site", device.site.as_str()),
    ];
    if let Some(group) = &device.group {
        attributes.push(attribute("rollcall.group", group.as_str()));
    }
    attributes.retain(|attribute| attribute["value"]["stringValue"] != "");
    let mut metrics: Vec<(&'static Metric, Vec<Json>)> = Vec::new();
    let mut points = 0;
    for (key, latest) in state.latest.iter() {
        let is_wanted = wanted.is_empty() || wanted.contains(&key.metric);
        let metric = metric::by_code(key.metric).filter(|_| is_wanted);
        let (Some(metric), Some(number)) = (metric, number(&latest.value)) else {
            continue;
        };
        points += 1;
        let point = point(number, at, &key.instance);
        match metrics.last_mut() {
            Some((last, of)) if last.code == metric.code => of.push(point),
            _ => metrics.push((metric, vec![point])),
        }
    }
    let metrics: Vec<Json> = metrics.into_iter().map(described).collect();
    let scope = json!({ "name": "rollcall", "version": env!("CARGO_PKG_VERSION") });
    let resource = json!({
        "resource": { "attributes": attributes },
        "scopeMetrics": [{ "scope": scope, "metrics": metrics }],
    });
    (resource, points)
}

fn described((metric, points): (&'static Metric, Vec<Json>)) -> Json {
    let mut described = json!({
        "name": metric.name,
        "description": metric.meaning,
        "unit": metric.unit,
    });
    if matches!(metric.kind, Kind::Counter { .. }) {
        described["sum"] = json!({
            "aggregationTemporality": CUMULATIVE,
            "isMonotonic": true,
            "dataPoints": points,
        });
    } else {
        described["gauge"] = json!({ "dataPoints": points });
    }
    described
}

fn point(number: f64, at: UnixMs, instance: &str) -> Json {
    let nanos = i128::from(at.0) * 1_000_000;
    let mut point = json!({ "timeUnixNano": nanos.to_string(), "asDouble": number });
    if !instance.is_empty() {
        point["attributes"] = json!([attribute("rollcall.instance", instance)]);
    }
    point
}

fn attribute(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => Some(*number),
        Value::Flag(flag) => Some(f64::from(u8::from(*flag))),
        Value::Text(_) | Value::Unavailable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::example::Example;

    #[tokio::test]
    async fn a_laptop_is_a_resource_with_its_numbers() {
        let example = Example::new().await;
        let state = example.store.device(example.lincoln).unwrap();
        let at = state.last_report.unwrap();
        let charge = metric::by_name("hw.battery.charge").unwrap();
        let (resource, points) = resource(&state, at, &[charge.code]);
        assert_eq!(points, 1);
        let attributes = resource["resource"]["attributes"].as_array().unwrap();
        let id = attribute("host.id", &example.lincoln.to_string());
        assert!(attributes.contains(&id), "{resource}");
        let metric = &resource["scopeMetrics"][0]["metrics"][0];
        assert_eq!(
            (&metric["name"], &metric["unit"]),
            (&json!("hw.battery.charge"), &json!("1"))
        );
        let point = &metric["gauge"]["dataPoints"][0];
        assert_eq!(point["asDouble"], 0.7);
        assert_eq!(point["timeUnixNano"], format!("{}000000", at.0));
    }
}
