//! The dashboard: pages that the collector renders itself, and that need no script.
//!
//! People sign in with an API token; see [`super::session`].

mod api_docs;
mod attention;
mod device;
mod devices;
mod frame;
mod html;
mod runbook;
mod sign_in;

use axum::Router;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{StatusCode, Uri, header};

use super::http::{Face, Parameters, Problem};
use super::session::Cookie;
use super::{QueryError, Viewer};
use frame::Frame;
use html::Html;

/// Items on a page of the dashboard: what one scrolls through.
const PAGE_SIZE: u64 = 50;

const ICON: &str = include_str!("dashboard/rollcall.svg");

const STYLE: &str = include_str!("dashboard/rollcall.css");

/// Every page, the style sheet, and the answer to addresses that nothing has.
pub(super) fn routes() -> Router<Face> {
    Router::new()
        .route("/", get(attention_page))
        .route("/devices", get(devices_page))
        .route("/devices/{id}", get(device_page))
        .route("/api/docs", get(api_docs::show))
        .route("/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/rollcall.css", get(style))
        .route("/assets/rollcall.svg", get(icon))
        .fallback(nothing_here)
}

/// Somebody with a session.
#[derive(Debug, Clone)]
struct SignedIn {
    viewer: Viewer,
    /// For the form that ends the session.
    form_token: String,
}

impl FromRequestParts<Face> for SignedIn {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Redirect> {
        let cookie = face.sessions.cookie(&parts.headers, Cookie::Session);
        cookie
            .and_then(|cookie| signed_in(face, cookie))
            .ok_or_else(|| Redirect::to("/sign-in"))
    }
}

fn signed_in(face: &Face, cookie: &str) -> Option<SignedIn> {
    let token = face.sessions.token(cookie, face.query.now())?;
    Some(SignedIn {
        viewer: face.query.viewer_of_hash(&token)?,
        form_token: face.sessions.form_token(cookie),
    })
}

async fn attention_page(
    State(face): State<Face>,
    who: SignedIn,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Html, Refused> {
    let frame = Frame::new(&who, &uri, &face);
    let wanted = parameters(query, &["site", "page"]).map_err(frame.refusing())?;
    let viewer = who.viewer.clone();
    let answer = face
        .query
        .answer(move |query| attention::Attention::find(query, &viewer, wanted));
    let answer = answer.await.map_err(frame.refusing())?;
    Ok(frame.page("Attention", answer.render(face.query.now())))
}

async fn devices_page(
    State(face): State<Face>,
    who: SignedIn,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Html, Refused> {
    let frame = Frame::new(&who, &uri, &face);
    let known = ["site", "search", "page"];
    let wanted = parameters(query, &known).map_err(frame.refusing())?;
    let viewer = who.viewer.clone();
    let answer = face
        .query
        .answer(move |query| devices::Devices::find(query, &viewer, wanted));
    let answer = answer.await.map_err(frame.refusing())?;
    Ok(frame.page("Devices", answer.render(face.query.now())))
}

async fn device_page(State(face): State<Face>, who: SignedIn, uri: Uri) -> Result<Html, Refused> {
    let frame = Frame::new(&who, &uri, &face);
    let id = uri.path().trim_start_matches("/devices/").to_owned();
    let viewer = who.viewer.clone();
    let answer = face.query.answer(move |query| query.device(&viewer, &id));
    let answer = answer.await.map_err(frame.refusing())?;
    Ok(frame.page(
        &device::title(&answer),
        device::render(&answer, face.query.now()),
    ))
}

async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, STYLE)
}

async fn icon() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "max-age=86400"),
    ];
    (headers, ICON)
}

/// Strangers are not told which addresses exist; they are sent to sign in.
async fn nothing_here(State(face): State<Face>, who: SignedIn, uri: Uri) -> Refused {
    let frame = Frame::new(&who, &uri, &face);
    frame.refusing()(QueryError::NotFound("such page".to_owned()))
}

fn parameters(query: Option<String>, known: &[&str]) -> Result<Parameters, QueryError> {
    Parameters::parse(query.as_deref().unwrap_or_default(), known)
}

/// A page that says why there is no other.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    page: Html,
}

impl Frame {
    /// Turns an error into a page.
    fn refusing<E: Into<Problem>>(&self) -> impl Fn(E) -> Refused + '_ {
        |error| {
            let problem: Problem = error.into();
            let status = problem.status();
            let page = self.page(
                problem.title(),
                Html::new()
                    .raw("<h1>")
                    .text(problem.title())
                    .raw("</h1><p>")
                    .text(problem.detail())
                    .raw(".</p><p><a href=\"/\">Back to what needs attention</a></p>"),
            );
            Refused { status, page }
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, self.page).into_response()
    }
}
