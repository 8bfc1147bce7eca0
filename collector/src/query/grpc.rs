//! The gRPC face: [`FleetService`], with the API token as metadata `authorization`.

use std::net::{IpAddr, Ipv4Addr};

use rollcall_proto::v1;
use rollcall_proto::v1::fleet_service_server::{FleetService, FleetServiceServer};
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;
use tonic::{Code, Request, Response, Status};

use super::access::Denied;
use super::series::Window;
use super::{
    AlertAnswer, AlertFilter, At, DeviceAnswer, DeviceFilter, LatestAnswer, Page, PointAnswer,
    Query, QueryError, SeriesRequest, Viewer,
};
use crate::alert::AlertState;

/// Bytes of a request; the longest holds a cursor and a search text.
const REQUEST_BYTES: usize = 16 * 1024;

/// Answers the calls of programs.
#[derive(Clone)]
pub struct Fleet {
    query: Query,
}

/// The service, to be served beside the agents'.
#[must_use]
pub fn service(query: Query) -> FleetServiceServer<Fleet> {
    FleetServiceServer::new(Fleet { query }).max_decoding_message_size(REQUEST_BYTES)
}

impl Fleet {
    fn viewer<T>(&self, request: &Request<T>) -> Result<Viewer, Status> {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
        let address = request.remote_addr().map(|peer| peer.ip());
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(self.query.viewer(authorization, address)?)
    }
}

#[tonic::async_trait]
impl FleetService for Fleet {
    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        let viewer = self.viewer(&request)?;
        let wanted = request.into_inner();
        let page = Page::new(page_size(wanted.page_size), Some(&wanted.page))?;
        let filter = DeviceFilter {
            site: given(wanted.site),
            group: given(wanted.group),
            search: given(wanted.search),
        };
        let list = self
            .query
            .answer(move |query| query.devices(&viewer, &filter, page))
            .await?;
        Ok(Response::new(v1::ListDevicesResponse {
            devices: list.devices.into_iter().map(Into::into).collect(),
            next_page: list.next_page.unwrap_or_default(),
            total: list.total,
        }))
    }

    async fn get_device(
        &self,
        request: Request<v1::GetDeviceRequest>,
    ) -> Result<Response<v1::DeviceDetail>, Status> {
        let viewer = self.viewer(&request)?;
        let id = request.into_inner().id;
        let detail = self
            .query
            .answer(move |query| query.device(&viewer, &id))
            .await?;
        Ok(Response::new(v1::DeviceDetail {
            device: Some(detail.device.into()),
            latest: detail.latest.into_iter().map(Into::into).collect(),
            alerts: detail.alerts.into_iter().map(Into::into).collect(),
        }))
    }

    async fn get_series(
        &self,
        request: Request<v1::GetSeriesRequest>,
    ) -> Result<Response<v1::GetSeriesResponse>, Status> {
        let viewer = self.viewer(&request)?;
        let wanted = request.into_inner();
        let points = (wanted.points != 0).then(|| u64::from(wanted.points));
        let (from, to) = (moment(wanted.from_ms), moment(wanted.to_ms));
        let request = SeriesRequest {
            metric: wanted.metric,
            instance: wanted.instance,
            window: Window::new(from, to, points, self.query.now())?,
        };
        let id = wanted.id;
        let series = self
            .query
            .answer(move |query| query.series(&viewer, &id, &request))
            .await?;
        Ok(Response::new(v1::GetSeriesResponse {
            unit: series.unit.to_owned(),
            points: series.points.into_iter().map(Into::into).collect(),
            thinned: series.thinned,
        }))
    }

    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let viewer = self.viewer(&request)?;
        let wanted = request.into_inner();
        let filter = AlertFilter {
            state: alert_state(&wanted.state)?,
            site: given(wanted.site),
            device: given(wanted.device),
        };
        let (size, page) = (page_size(wanted.page_size), wanted.page);
        let list = self
            .query
            .answer(move |query| query.alerts(&viewer, &filter, size, Some(&page)));
        let list = list.await?;
        Ok(Response::new(v1::ListAlertsResponse {
            alerts: list.alerts.into_iter().map(Into::into).collect(),
            next_page: list.next_page.unwrap_or_default(),
        }))
    }
}

impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        let code = match error {
            QueryError::Field { .. } => Code::InvalidArgument,
            QueryError::NotFound(_) => Code::NotFound,
            QueryError::Forbidden(_) => Code::PermissionDenied,
            QueryError::Store(_) => Code::Unavailable,
            QueryError::Failed => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Denied> for Status {
    fn from(denied: Denied) -> Self {
        let code = match denied {
            Denied::Missing | Denied::Wrong => Code::Unauthenticated,
            Denied::TooMany { .. } => Code::ResourceExhausted,
        };
        Self::new(code, denied.to_string())
    }
}

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
        let value = match point.value {
            Value::Number(number) => v1::point::Value::Number(number),
            Value::Flag(flag) => v1::point::Value::Flag(flag),
            Value::Text(text) => v1::point::Value::Text(text),
            Value::Unavailable(why) => v1::point::Value::Unavailable(why),
        };
        Self {
            at_ms: point.at.0.0,
            value: Some(value),
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

fn ms_or_zero(at: Option<At>) -> i64 {
    at.map_or(0, |at| at.0.0)
}

/// Proto's zero stands for "not said".
fn moment(ms: i64) -> Option<UnixMs> {
    (ms != 0).then_some(UnixMs(ms))
}

fn page_size(size: u32) -> Option<u64> {
    (size != 0).then(|| u64::from(size))
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn alert_state(word: &str) -> Result<Option<AlertState>, QueryError> {
    if word.is_empty() {
        return Ok(None);
    }
    AlertState::from_word(word)
        .map(Some)
        .ok_or_else(|| QueryError::field("state", "must be pending, firing, resolved or empty"))
}

#[cfg(test)]
mod tests;
