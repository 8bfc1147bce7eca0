//! JSON about the inventory.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};

use super::api::{Answer, parameters};
use super::body::Body;
use super::{Face, etag};
use crate::inventory::InventoryReport;
use crate::query::inventory::{AssetList, InventoryFilter};
use crate::query::{QueryError, Viewer};
use crate::store::Role;

/// Bytes of an import through the API: 50,000 laptops with their loans. The command line takes more.
const BODY_BYTES: usize = 8 * 1024 * 1024;

pub(super) fn routes() -> Router<Face> {
    Router::new()
        .route("/api/v1/inventory", get(assets))
        .layer(middleware::from_fn(etag::tagged))
        .route(
            "/api/v1/inventory/import",
            post(import).layer(DefaultBodyLimit::max(BODY_BYTES)),
        )
}

async fn assets(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<AssetList> {
    let mut given = parameters(query, &["tag", "school", "status", "pupil"])?;
    let filter = InventoryFilter {
        tag: given.text("tag"),
        school: given.text("school"),
        status: given.text("status"),
        pupil: given.text("pupil"),
    };
    let answer = face
        .query
        .answer(move |query| query.assets(&viewer, &filter));
    Ok(Json(answer.await?))
}

async fn import(State(face): State<Face>, viewer: Viewer, body: Bytes) -> Answer<InventoryReport> {
    viewer.require(Role::Admin)?;
    let mut body = Body::parse(&body, &["files", "dry_run"])?;
    let dry_run = body.flag("dry_run")?;
    let files = body
        .value("files")
        .ok_or_else(|| QueryError::field("files", "is missing"))?;
    let files: Vec<_> = serde_json::from_value(files).map_err(|error| {
        let problem = format!("must be a list of objects with `name` and `text`: {error}");
        QueryError::field("files", problem)
    })?;
    let report = face.query.import_inventory(&viewer, &files, dry_run);
    Ok(Json(report.await?))
}
