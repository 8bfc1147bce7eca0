//! JSON about the rules: which hold, their versions, trying a change and making it.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};

use super::api::{Answer, Id, parameters, text_of};
use super::body::Body;
use super::{Face, etag};
use crate::evaluate::rules::FILE_BYTES;
use crate::query::rules::{
    PreviewAnswer, RuleText, RulesAnswer, ValidAnswer, VersionAnswer, VersionList, Wanted,
    version_number,
};
use crate::query::{QueryError, Viewer};

/// Bytes of a body with a whole file: as JSON writes it, with a line end as two characters and a quotation
/// mark as two, it is at most twice as long.
const BODY_BYTES: usize = 2 * FILE_BYTES + 1024;

pub(super) fn routes() -> Router<Face> {
    let read = Router::new()
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/rules/{name}", get(rule))
        .route("/api/v1/rules/versions", get(versions))
        .route("/api/v1/rules/versions/{version}", get(version))
        .layer(middleware::from_fn(etag::tagged));
    Router::new()
        .route("/api/v1/rules", axum::routing::put(replace))
        .route("/api/v1/rules/validate", post(validate))
        .route("/api/v1/rules/preview", post(preview))
        .route(
            "/api/v1/rules/{name}",
            axum::routing::put(replace_one).delete(remove),
        )
        .route("/api/v1/rules/versions/{version}/restore", post(restore))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .merge(read)
}

async fn rules(
    State(face): State<Face>,
    viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<RulesAnswer> {
    parameters(query, &[])?;
    let answer = face.query.answer(move |query| Ok(query.rules(&viewer)));
    Ok(Json(answer.await?))
}

async fn rule(
    State(face): State<Face>,
    _viewer: Viewer,
    name: Id,
    RawQuery(query): RawQuery,
) -> Answer<RuleText> {
    parameters(query, &[])?;
    let name = text_of(name);
    let answer = face.query.answer(move |query| query.rule(&name));
    Ok(Json(answer.await?))
}

async fn versions(
    State(face): State<Face>,
    _viewer: Viewer,
    RawQuery(query): RawQuery,
) -> Answer<VersionList> {
    parameters(query, &[])?;
    Ok(Json(face.query.rule_versions()))
}

async fn version(
    State(face): State<Face>,
    _viewer: Viewer,
    number: Id,
    RawQuery(query): RawQuery,
) -> Answer<VersionAnswer> {
    parameters(query, &[])?;
    let number = version_number(&text_of(number))?;
    Ok(Json(face.query.rule_version(number)?))
}

async fn validate(State(face): State<Face>, viewer: Viewer, body: Bytes) -> Answer<ValidAnswer> {
    let mut body = Body::parse(&body, &["text", "rule", "remove"])?;
    let wanted = wanted(&mut body)?;
    let answer = face
        .query
        .answer(move |query| query.validate_rules(&viewer, &wanted));
    Ok(Json(answer.await?))
}

async fn preview(State(face): State<Face>, viewer: Viewer, body: Bytes) -> Answer<PreviewAnswer> {
    let mut body = Body::parse(&body, &["text", "rule", "remove", "days"])?;
    let wanted = wanted(&mut body)?;
    let days = body.number("days")?;
    let answer = face
        .query
        .answer(move |query| query.preview_rules(&viewer, &wanted, days));
    Ok(Json(answer.await?))
}

async fn replace(State(face): State<Face>, viewer: Viewer, body: Bytes) -> Answer<RulesAnswer> {
    let mut body = Body::parse(&body, &["text", "note", "version"])?;
    let wanted = Wanted::Text(body.required("text")?);
    change(&face, &viewer, wanted, body).await
}

async fn replace_one(
    State(face): State<Face>,
    viewer: Viewer,
    name: Id,
    body: Bytes,
) -> Answer<RulesAnswer> {
    let mut body = Body::parse(&body, &["rule", "note", "version"])?;
    let wanted = Wanted::Rule {
        name: text_of(name),
        rule: body.required("rule")?,
    };
    change(&face, &viewer, wanted, body).await
}

async fn remove(
    State(face): State<Face>,
    viewer: Viewer,
    name: Id,
    body: Bytes,
) -> Answer<RulesAnswer> {
    let body = Body::parse(&body, &["note", "version"])?;
    change(&face, &viewer, Wanted::Without(text_of(name)), body).await
}

async fn restore(
    State(face): State<Face>,
    viewer: Viewer,
    number: Id,
    body: Bytes,
) -> Answer<RulesAnswer> {
    let body = Body::parse(&body, &["note", "version"])?;
    let wanted = Wanted::Version(version_number(&text_of(number))?);
    change(&face, &viewer, wanted, body).await
}

async fn change(
    face: &Face,
    viewer: &Viewer,
    wanted: Wanted,
    mut body: Body,
) -> Answer<RulesAnswer> {
    let note = body.text("note")?.unwrap_or_default();
    let based_on = body.number("version")?;
    let wrong = |_| QueryError::field("version", "must be the number of a version");
    let based_on = based_on.map(u32::try_from).transpose().map_err(wrong)?;
    let changed = face.query.change_rules(viewer, wanted, note, based_on);
    Ok(Json(changed.await?))
}

fn wanted(body: &mut Body) -> Result<Wanted, QueryError> {
    let (text, rule, remove) = (body.text("text")?, body.text("rule")?, body.text("remove")?);
    match (text, rule, remove) {
        (Some(text), None, None) => Ok(Wanted::Text(text)),
        (None, Some(rule), None) => Wanted::rule(rule),
        (None, None, Some(name)) => Ok(Wanted::Without(name)),
        _ => Err(QueryError::field(
            "text",
            "or `rule` or `remove` must be given, and one of them only",
        )),
    }
}
