//! Answers as messages of the wire.

use rollcall_proto::v1;
use rollcall_shared::reading::Value;

use crate::query::watch::Event;
use crate::query::{
    AlertAnswer, At, DeviceAnswer, FindingAnswer, HistoryAnswer, HistorySeries, IncidentAnswer,
    LatestAnswer, PointAnswer, StretchLists,
};

impl From<DeviceAnswer> for v1::Device {
    fn from(device: DeviceAnswer) -> Self {
        Self {
            id: device.id,
            site: device.site,
            group: device.group.unwrap_or_default(),
            vendor: device.vendor,
            model: device.model,
            os: device.os,
            agent_version: device.agent_version,
            enrolled_ms: device.enrolled_at.0.0,
            last_seen_ms: ms_or_zero(device.last_seen_at),
            connected: device.connected,
            vantage: device.vantage.unwrap_or_default(),
            firing_alerts: device.firing_alerts,
            standing: device.standing.to_owned(),
            cloned_from: device.cloned_from.unwrap_or_default(),
            asset_tag: device.asset_tag.unwrap_or_default(),
            school: device.school.unwrap_or_default(),
            asset_status: device.asset_status.unwrap_or_default().to_owned(),
        }
    }
}

impl From<LatestAnswer> for v1::LatestReading {
    fn from(latest: LatestAnswer) -> Self {
        Self {
            reading: Some(v1::Reading {
                metric: u32::from(latest.code),
                instance: latest.instance,
                value: Some(latest.value.into()),
            }),
            metric_name: latest.metric.to_owned(),
            unit: latest.unit.to_owned(),
            since_ms: latest.since_at.0.0,
        }
    }
}

impl From<PointAnswer> for v1::Point {
    fn from(point: PointAnswer) -> Self {
        Self {
            at_ms: point.at.0.0,
            value: Some(value(point.value)),
            stretch: point.stretch.map(|stretch| v1::Stretch {
                min: stretch.min,
                max: stretch.max,
                last: stretch.last.as_number(),
                count: stretch.count,
            }),
        }
    }
}

fn value(value: Value) -> v1::point::Value {
    match value {
        Value::Number(number) => v1::point::Value::Number(number),
        Value::Flag(flag) => v1::point::Value::Flag(flag),
        Value::Text(text) => v1::point::Value::Text(text),
        Value::Unavailable(why) => v1::point::Value::Unavailable(why),
    }
}

impl From<HistoryAnswer> for v1::GetHistoryResponse {
    fn from(answer: HistoryAnswer) -> Self {
        Self {
            series: answer.series.into_iter().map(Into::into).collect(),
            resolution: answer.resolution.to_owned(),
            step_ms: answer.step_s.unwrap_or_default() * 1000,
        }
    }
}

impl From<HistorySeries> for v1::Series {
    fn from(series: HistorySeries) -> Self {
        let stretch = |lists: &StretchLists, at: usize| v1::Stretch {
            min: lists.min[at],
            max: lists.max[at],
            last: lists.last[at].as_number(),
            count: lists.count[at],
        };
        let values = series.at_ms.into_iter().zip(series.value).enumerate();
        let points = values.map(|(at, (at_ms, of))| v1::Point {
            at_ms,
            value: Some(value(of)),
            stretch: series.stretches.as_ref().map(|lists| stretch(lists, at)),
        });
        Self {
            metric: series.metric.to_owned(),
            unit: series.unit.to_owned(),
            instance: series.instance,
            points: points.collect(),
            thinned: series.thinned,
        }
    }
}

impl From<AlertAnswer> for v1::Alert {
    fn from(alert: AlertAnswer) -> Self {
        Self {
            id: alert.id,
            device: alert.device,
            site: alert.site,
            rule: alert.rule,
            title: alert.title,
            instance: alert.instance,
            state: alert.state.word().to_owned(),
            severity: alert.severity.word().to_owned(),
            audience: alert.audience.to_owned(),
            evidence: alert.evidence,
            since_ms: alert.since_at.0.0,
            fired_ms: ms_or_zero(alert.fired_at),
            resolved_ms: ms_or_zero(alert.resolved_at),
            runbook: alert.runbook,
        }
    }
}

impl From<IncidentAnswer> for v1::Incident {
    fn from(incident: IncidentAnswer) -> Self {
        Self {
            id: incident.id,
            title: incident.title,
            state: incident.state.to_owned(),
            severity: incident.severity.word().to_owned(),
            audience: incident.audience.to_owned(),
            shared: incident.shared,
            scope: incident.scope,
            device: incident.device,
            sites: incident.sites,
            confidence: incident.confidence,
            devices: incident.devices,
            most_devices: incident.most_devices,
            exposed: incident.exposed,
            since_ms: incident.since_at.0.0,
            opened_ms: incident.opened_at.0.0,
            closed_ms: ms_or_zero(incident.closed_at),
            reopened: incident.reopened,
            acknowledged_by: incident.acknowledged_by.unwrap_or_default(),
            merged_into: incident.merged_into.unwrap_or_default(),
            findings: incident.findings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<FindingAnswer> for v1::Finding {
    fn from(finding: FindingAnswer) -> Self {
        Self {
            alert: finding.alert,
            device: finding.device,
            rule: finding.rule,
            instance: finding.instance,
            title: finding.title,
            evidence: finding.evidence,
            since_ms: finding.since_at.0.0,
            resolved_ms: ms_or_zero(finding.resolved_at),
        }
    }
}

impl From<Event> for v1::WatchEvent {
    fn from(event: Event) -> Self {
        use v1::watch_event::Event as Told;
        let told = match event {
            Event::Device(device) => Told::Device((*device).into()),
            Event::Alert(alert) => Told::Alert((*alert).into()),
            Event::Incident(incident) => Told::Incident((*incident).into()),
            Event::Gone(kind, id) => Told::Gone(v1::Gone {
                kind: kind.singular().to_owned(),
                id,
            }),
        };
        Self { event: Some(told) }
    }
}

fn ms_or_zero(at: Option<At>) -> i64 {
    at.map_or(0, |at| at.0.0)
}
