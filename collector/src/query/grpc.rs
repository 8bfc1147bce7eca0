//! The gRPC face: [`FleetService`], with the API token as metadata `authorization`, and beside it
//! reflection and health, which tell nothing of the fleet and ask for no token.

mod convert;
mod watch;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rollcall_proto::v1;
use rollcall_proto::v1::fleet_service_server::{FleetService, FleetServiceServer};
use rollcall_shared::time::UnixMs;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

use super::access::Denied;
use super::past::DEFAULT_POINTS_OF_EACH;
use super::series::Window;
use super::{
    AlertFilter, DeviceFilter, HistoryRequest, IncidentFilter, Page, Query, QueryError,
    SeriesRequest, Viewer,
};
use crate::alert::AlertState;
use crate::incident::IncidentState;

/// Bytes of a request; the longest holds a cursor and a search text.
const REQUEST_BYTES: usize = 16 * 1024;

/// Answers the calls of programs.
#[derive(Clone)]
pub struct Fleet {
    query: Query,
    watches: Arc<Semaphore>,
    ending: CancellationToken,
}

impl Fleet {
    /// Answers from `query`; watches end when `ending` is cancelled.
    #[must_use]
    pub fn new(query: Query, ending: CancellationToken) -> Self {
        Self {
            query,
            watches: Arc::new(Semaphore::new(watch::WATCHES)),
            ending,
        }
    }
}

/// The services, to be served beside the agents'.
///
/// # Panics
/// Never: the descriptors were made when this was built, and a test reads them.
pub async fn services(query: Query, ending: CancellationToken) -> Routes {
    let fleet = FleetServiceServer::new(Fleet::new(query, ending));
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<FleetServiceServer<Fleet>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(rollcall_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are those of the build");
    Routes::new(fleet.max_decoding_message_size(REQUEST_BYTES))
        .add_service(health.max_decoding_message_size(REQUEST_BYTES))
        .add_service(reflection.max_decoding_message_size(REQUEST_BYTES))
}

impl Fleet {
    fn viewer<T>(&self, request: &Request<T>) -> Result<Viewer, Status> {
        let authorization = authorization(request);
        let address = request.remote_addr().map(|peer| peer.ip());
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(self.query.viewer(authorization.as_deref(), address)?)
    }
}

/// What a caller's metadata says of who they are.
fn authorization<T>(request: &Request<T>) -> Option<String> {
    let value = request.metadata().get("authorization")?;
    Some(value.to_str().unwrap_or_default().to_owned())
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
            window: Window::new(from, to, points, self.query.now())?
                .made_of(Some(&wanted.resolution))?,
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
            resolution: series.resolution.to_owned(),
            step_ms: series.step_s.unwrap_or_default() * 1000,
        }))
    }

    async fn get_history(
        &self,
        request: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let viewer = self.viewer(&request)?;
        let wanted = request.into_inner();
        let points = Some(wanted.points).filter(|points| *points != 0);
        let points = points.map_or(DEFAULT_POINTS_OF_EACH, u64::from);
        let (from, to) = (moment(wanted.from_ms), moment(wanted.to_ms));
        let request = HistoryRequest {
            metrics: wanted.metrics,
            instance: wanted.instance,
            window: Window::new(from, to, Some(points), self.query.now())?
                .made_of(Some(&wanted.resolution))?,
        };
        let id = wanted.id;
        let answer = self.query.answer(move |query| {
            let answer = query.histories(&viewer, &id, &request);
            answer.map(v1::GetHistoryResponse::from)
        });
        Ok(Response::new(answer.await?))
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

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let viewer = self.viewer(&request)?;
        let wanted = request.into_inner();
        let filter = IncidentFilter {
            state: one_of("state", &wanted.state, &INCIDENT_STATES)?,
            site: given(wanted.site),
            shared: one_of(
                "shared",
                &wanted.shared,
                &[("true", true), ("false", false)],
            )?,
        };
        let list = self
            .query
            .answer(move |query| query.incidents(&viewer, &filter));
        let list = list.await?;
        Ok(Response::new(v1::ListIncidentsResponse {
            incidents: list.incidents.into_iter().map(Into::into).collect(),
            left_out: list.left_out,
        }))
    }

    type WatchStream = watch::Events;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.viewer(&request)?;
        let authorization = authorization(&request).unwrap_or_default();
        let events = self.begin_watch(authorization, request.into_inner())?;
        Ok(Response::new(events))
    }
}

/// The words of an incident's state.
const INCIDENT_STATES: [(&str, IncidentState); 2] = [
    ("open", IncidentState::Open),
    ("closed", IncidentState::Closed),
];

/// The meaning of a word that is one of few; nothing for an empty one.
fn one_of<T: Copy>(field: &str, word: &str, known: &[(&str, T)]) -> Result<Option<T>, QueryError> {
    if word.is_empty() {
        return Ok(None);
    }
    let found = known.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        QueryError::field(field, format!("must be {} or empty", words.join(", ")))
    })
}

impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        let code = match error {
            QueryError::Field { .. } | QueryError::Rules(_) => Code::InvalidArgument,
            QueryError::Conflict(_) => Code::Aborted,
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
            Denied::Missing | Denied::Wrong | Denied::WrongPassword => Code::Unauthenticated,
            Denied::TooMany { .. } | Denied::Busy { .. } => Code::ResourceExhausted,
        };
        Self::new(code, denied.to_string())
    }
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
