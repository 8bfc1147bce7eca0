//! JSON for programs, and what watches the collector.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use http::{StatusCode, header};
use serde_json::json;

use super::{Face, Parameters, Problem, etag, openapi};
use crate::alert::AlertState;
use crate::incident::IncidentState;
use crate::query::operation::{AuditList, OutboxAnswer};
use crate::query::past::{DEFAULT_POINTS_OF_EACH, PastAnswer};
use crate::query::prometheus::DevicesRequest;
use crate::query::series::Window;
use crate::query::{
    AlertFilter, AlertList, CatalogueAnswer, DeviceDetail, DeviceFilter, DeviceList,
    HistoryRequest, IncidentFilter, IncidentList, Page, QueryError, SeriesRequest, Summary, Viewer,
    catalogue, prometheus,
};

pub(super) fn routes() -> Router<Face> {
    Router::new()
        .route("/api/v1/devices", get(devices))
        .route("/api/v1/devices/{id}", get(device))
        .route("/api/v1/devices/{id}/series", get(series))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/summary", get(summary))
        .route("/api/v1/metrics-catalogue", get(metrics_catalogue))
        .route("/api/v1/outbox", get(outbox))
        .route("/api/v1/audit", get(audit))
        .layer(middleware::from_fn(etag::tagged))
        .route("/api/openapi.json", get(openapi::describe))
        .route("/api/{*rest}", get(nothing_here))
        .route("/metrics", get(metrics))
        .route("/metrics/devices", get(device_metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

pub(super) type Answer<T> = Result<Json<T>, Problem>;
pub(super) type Id = Result<Path<String>, PathRejection>;

async fn devices(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<DeviceList> {
    let known = ["site", "group", "search", "page_size", "page"];
    let mut given = parameters(query, &known)?;
    let filter = DeviceFilter {
        site: given.text("site"),
        group: given.text("group"),
        search: given.text("search"),
    };
    let page = Page::new(given.number("page_size")?, given.text("page").as_deref())?;
    let answer = face
        .query
        .answer(move |query| query.devices(&viewer, &filter, page));
    Ok(Json(answer.await?))
}

async fn device(
    State(face): State<Face>,
    viewer: Viewer,
    id: Id,
    RawQuery(query): RawQuery,
) -> Answer<DeviceDetail> {
    parameters(query, &[])?;
    let id = text_of(id);
    let answer = face.query.answer(move |query| query.device(&viewer, &id));
    Ok(Json(answer.await?))
}

async fn series(
    State(face): State<Face>,
    viewer: Viewer,
    id: Id,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (metrics, rest) = take_metrics(&query.unwrap_or_default());
    let known = ["metric", "instance", "from", "to", "points", "resolution"];
    let mut given = Parameters::parse(&rest, &known)?;
    let (from, to, points) = (
        given.time("from")?,
        given.time("to")?,
        given.number("points")?,
    );
    let points = points.or((metrics.len() != 1).then_some(DEFAULT_POINTS_OF_EACH));
    let window = Window::new(from, to, points, face.query.now())?;
    let window = window.made_of(given.text("resolution").as_deref())?;
    let instance = given.text("instance");
    let id = text_of(id);
    // Long answers are put into words beside the tasks that move bytes, too.
    let answer = face.query.answer(move |query| {
        let answer = match <[String; 1]>::try_from(metrics) {
            Ok([metric]) => {
                let request = SeriesRequest {
                    metric,
                    instance: instance.unwrap_or_default(),
                    window,
                };
                PastAnswer::Series(query.series(&viewer, &id, &request)?)
            }
            Err(metrics) => {
                let request = HistoryRequest {
                    metrics,
                    instance,
                    window,
                };
                PastAnswer::History(query.histories(&viewer, &id, &request)?)
            }
        };
        Ok(Json(answer).into_response())
    });
    Ok(answer.await?)
}

/// The metrics that a query names, of which there may be several, and the rest of it.
fn take_metrics(query: &str) -> (Vec<String>, String) {
    let (mut metrics, mut rest) = (Vec::new(), form_urlencoded::Serializer::new(String::new()));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "metric" => metrics.push(value.into_owned()),
            name => {
                rest.append_pair(name, &value);
            }
        }
    }
    (metrics, rest.finish())
}

async fn alerts(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<AlertList> {
    let known = ["state", "site", "device", "page_size", "page"];
    let mut given = parameters(query, &known)?;
    let filter = AlertFilter {
        state: given
            .text("state")
            .map(|word| alert_state(&word))
            .transpose()?,
        site: given.text("site"),
        device: given.text("device"),
    };
    let (size, page) = (given.number("page_size")?, given.text("page"));
    let answer = face
        .query
        .answer(move |query| query.alerts(&viewer, &filter, size, page.as_deref()));
    Ok(Json(answer.await?))
}

async fn incidents(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<IncidentList> {
    let mut given = parameters(query, &["state", "site", "shared"])?;
    let filter = IncidentFilter {
        state: choice(&mut given, "state", &INCIDENT_STATES)?,
        site: given.text("site"),
        shared: choice(&mut given, "shared", &[("true", true), ("false", false)])?,
    };
    let answer = face
        .query
        .answer(move |query| query.incidents(&viewer, &filter));
    Ok(Json(answer.await?))
}

async fn summary(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<Summary> {
    parameters(query, &[])?;
    let answer = face.query.answer(move |query| Ok(query.summary(&viewer)));
    Ok(Json(answer.await?))
}

async fn metrics_catalogue(_: Viewer, RawQuery(query): RawQuery) -> Answer<CatalogueAnswer> {
    parameters(query, &[])?;
    Ok(Json(catalogue()))
}

async fn outbox(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<OutboxAnswer> {
    parameters(query, &[])?;
    let answer = face.query.answer(move |query| query.outbox(&viewer));
    Ok(Json(answer.await?))
}

async fn audit(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<AuditList> {
    let lines = parameters(query, &["lines"])?.number("lines")?;
    let answer = face.query.answer(move |query| query.audit(&viewer, lines));
    Ok(Json(answer.await?))
}

async fn metrics(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    parameters(query, &[])?;
    let statuses = face.counts.by_status();
    let text = face
        .query
        .answer(move |query| Ok(prometheus::expose(query, &viewer, &statuses)));
    let kind = [(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)];
    Ok((kind, text.await?).into_response())
}

async fn device_metrics(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut given = parameters(query, &["metric", "site"])?;
    let wanted = DevicesRequest::new(given.text("metric").as_deref(), given.text("site"))?;
    let text = face
        .query
        .answer(move |query| prometheus::expose_devices_by_id(query, &viewer, &wanted));
    let kind = [(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)];
    Ok((kind, text.await?).into_response())
}

/// The process is alive; nothing else is looked at.
async fn healthz() -> Json<serde_json::Value> {
    Json(json!({ "status": "alive" }))
}

async fn readyz(State(face): State<Face>) -> Response {
    let readiness = face.query.readiness();
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

async fn nothing_here() -> Problem {
    QueryError::NotFound("such address in this API".to_owned()).into()
}

pub(super) fn parameters(query: Option<String>, known: &[&str]) -> Result<Parameters, QueryError> {
    Parameters::parse(query.as_deref().unwrap_or_default(), known)
}

/// A part of the path that is not UTF-8 names nothing.
pub(super) fn text_of(id: Id) -> String {
    id.map_or_else(|_| String::new(), |Path(id)| id)
}

/// The words of a parameter that is one of few.
const INCIDENT_STATES: [(&str, IncidentState); 2] = [
    ("open", IncidentState::Open),
    ("closed", IncidentState::Closed),
];

fn choice<T: Copy>(
    given: &mut Parameters,
    name: &str,
    known: &[(&str, T)],
) -> Result<Option<T>, QueryError> {
    let Some(word) = given.text(name) else {
        return Ok(None);
    };
    let found = known.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        QueryError::field(name, format!("must be one of {}", words.join(", ")))
    })
}

fn alert_state(word: &str) -> Result<AlertState, QueryError> {
    AlertState::from_word(word).ok_or_else(|| {
        let words: Vec<&str> = AlertState::ALL.iter().map(|state| state.word()).collect();
        QueryError::field("state", format!("must be one of {}", words.join(", ")))
    })
}
