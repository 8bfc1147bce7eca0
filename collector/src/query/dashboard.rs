//! The dashboard: pages that the collector renders itself, and that need no script.
//!
//! People sign in with an API token; see [`super::session`].

mod account;
mod acts;
mod address;
mod administration;
mod api_docs;
mod assets;
mod attention;
mod chart;
mod collected;
mod csv;
mod device;
mod devices;
mod events;
mod forms;
mod frame;
mod html;
mod provider;
mod reachability;
mod reports;
mod runbook;
mod sign_in;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::request::Parts;
use http::{StatusCode, header};
use rollcall_shared::metric;

use super::http::{Face, Parameters, Problem};
use super::session::{Cookie, Holder};
use super::{QueryError, Viewer};
use frame::Frame;
use html::Html;

/// Items on a page of the dashboard: what one scrolls through.
const PAGE_SIZE: u64 = 50;

/// Days before an alert that its small picture shows.
const SPARK_MS: i64 = 7 * 86_400_000;

/// Every page, what pages load, and the answer to addresses that nothing has.
pub(super) fn routes() -> Router<Face> {
    Router::new()
        .route("/", get(attention_page))
        .route("/devices", get(devices_page))
        .route("/devices.csv", get(devices_csv))
        .route("/devices/{id}", get(device_page))
        .route("/api/docs", get(api_docs::show))
        .route("/devices/{id}/collected", get(collected_page))
        .route("/devices/{id}/history.json", get(history_numbers))
        .route("/devices/{id}/week.svg", get(week))
        .route("/reachability", get(reachability_page))
        .route("/reports", get(reports_page))
        .route("/reports/{name}", get(report_csv))
        .route("/acts", post(acts::submit))
        .route("/administration", get(administration::page))
        .route("/administration/tokens", post(administration::create_token))
        .route(
            "/administration/tokens/revoke",
            post(administration::revoke_token),
        )
        .route(
            "/administration/api-tokens",
            post(administration::create_api_token),
        )
        .route(
            "/administration/api-tokens/revoke",
            post(administration::revoke_api_token),
        )
        .route("/administration/people", get(administration::people::page))
        .route(
            "/administration/users",
            post(administration::people::create),
        )
        .route(
            "/administration/users/password",
            post(administration::people::renew),
        )
        .route(
            "/administration/users/role",
            post(administration::people::change_role),
        )
        .route(
            "/administration/users/remove",
            post(administration::people::remove),
        )
        .route(
            "/administration/sessions/end",
            post(administration::people::end_session),
        )
        .route(
            "/administration/silences",
            get(administration::silences::page).post(administration::silences::create),
        )
        .route(
            "/administration/silences/end",
            post(administration::silences::end),
        )
        .route(
            "/administration/channels",
            get(administration::channels::page),
        )
        .route(
            "/administration/channels/test",
            post(administration::channels::test),
        )
        .route("/administration/audit", get(administration::audit::page))
        .merge(rules())
        .route("/account", get(account::page))
        .route("/account/password", post(account::change_password))
        .route("/account/sessions/end", post(account::end_session))
        .route("/events", get(events::stream))
        .route("/sign-in", get(sign_in::form).post(sign_in::submit))
        .route("/sign-in/provider", get(provider::depart))
        .route(crate::provider::CALLBACK, get(provider::arrive))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/{name}", get(assets::serve))
        .fallback(nothing_here)
}

/// The pages of the rules. A rule's name may be any but the words that have a page of their own.
fn rules() -> Router<Face> {
    use administration::rules;
    let change = post(rules::change).layer(DefaultBodyLimit::max(rules::FORM_BYTES));
    Router::new()
        .route("/administration/rules", get(rules::page))
        .route("/administration/rules/another", get(rules::another))
        .route("/administration/rules/change", change)
        .route("/administration/rules/restore", post(rules::restore))
        .route(
            "/administration/rules/versions/{version}",
            get(rules::version),
        )
        .route("/administration/rules/{name}", get(rules::one))
}

/// Somebody with a session.
#[derive(Debug, Clone)]
struct SignedIn {
    viewer: Viewer,
    /// Whose session it is, and its id.
    holder: Holder,
    session: String,
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
    let (holder, session) = face.sessions.holder(cookie, face.query.now())?;
    Some(SignedIn {
        viewer: face.query.viewer_of(&holder)?,
        holder,
        session,
        form_token: face.sessions.form_token(cookie),
    })
}

/// What a page's handler needs, found before anything else.
struct Asked {
    face: Face,
    viewer: Viewer,
    holder: Holder,
    session: String,
    frame: Frame,
    query: String,
}

impl FromRequestParts<Face> for Asked {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Redirect> {
        let who = SignedIn::from_request_parts(parts, face).await?;
        Ok(Self {
            frame: Frame::new(&who, &parts.method, &parts.uri, face),
            viewer: who.viewer,
            holder: who.holder,
            session: who.session,
            face: face.clone(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

impl Asked {
    /// Works out an answer from the parameters of the address.
    async fn answer<T: Send + 'static>(
        &self,
        known: &[&str],
        work: impl FnOnce(&super::Query, &Viewer, Parameters) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, Refused> {
        let given = Parameters::parse(&self.query, known).map_err(self.frame.refusing())?;
        let viewer = self.viewer.clone();
        let answer = self
            .face
            .query
            .answer(move |query| work(query, &viewer, given));
        answer.await.map_err(self.frame.refusing())
    }

    fn page(&self, title: &str, main: Html) -> Html {
        self.frame.page(title, main)
    }

    /// What may be done on this page.
    fn acts(&self) -> acts::Acts {
        acts::Acts::new(&self.viewer, self.frame.form_token(), self.frame.address())
    }

    fn refuse(&self, error: QueryError) -> Refused {
        self.frame.refusing()(error)
    }

    /// What a form on this page must carry.
    fn form_token(&self) -> &str {
        self.frame.form_token()
    }

    fn now(&self) -> rollcall_shared::time::UnixMs {
        self.face.query.now()
    }
}

async fn attention_page(asked: Asked) -> Result<Html, Refused> {
    let known = ["site", "page"];
    let answer = asked.answer(&known, attention::Attention::find).await?;
    let page = answer.render(&asked.acts(), asked.now());
    Ok(asked.page("Attention", page))
}

async fn devices_page(asked: Asked) -> Result<Html, Refused> {
    let answer = asked.answer(&devices::KNOWN, devices::Devices::find);
    let answer = answer.await?;
    Ok(asked.page("Fleet", answer.render(asked.now())))
}

async fn devices_csv(asked: Asked) -> Result<csv::Csv, Refused> {
    asked.answer(&devices::KNOWN, devices::csv).await
}

async fn device_page(asked: Asked, id: Id) -> Result<Html, Refused> {
    let id = text_of(id);
    let answer = asked.answer(&device::KNOWN, move |query, viewer, given| {
        device::DevicePage::find(query, viewer, &id, given)
    });
    let answer = answer.await?;
    let page = answer.render(&asked.acts(), asked.now());
    Ok(asked.page(&answer.title(), page))
}

async fn collected_page(asked: Asked, id: Id) -> Result<Html, Refused> {
    let id = text_of(id);
    let detail = asked.answer(&[], move |query, viewer, _| query.device(viewer, &id));
    let page = collected::render(&detail.await?, asked.now());
    Ok(asked.page("What is collected", page))
}

/// The history of some series as numbers, for the script that draws it.
async fn history_numbers(asked: Asked, id: Id) -> Result<Json<serde_json::Value>, Refused> {
    let id = text_of(id);
    let known = ["part", "metric", "instance", "range", "from", "to"];
    let history = asked.answer(&known, move |query, viewer, mut given| {
        let (part, metric) = (given.text("part"), given.text("metric"));
        let (part, metric) = device::wanted(part.as_deref(), metric.as_deref())?;
        let to = given.time("to")?.unwrap_or_else(|| query.now());
        let length = chart::range_ms(given.text("range").as_deref())?;
        let from = given.time("from")?.unwrap_or_else(|| to.plus_ms(-length));
        let window = super::series::Window::new(Some(from), Some(to), None, to)?;
        let wanted = |known: &metric::Metric| {
            device::is_of(part, known) && metric.is_none_or(|metric| metric == known)
        };
        let mut history = query.history(viewer, &id, (window.from, window.to), wanted)?;
        if let Some(instance) = given.text("instance") {
            history.lines.retain(|line| line.instance == instance);
        }
        Ok(history)
    });
    Ok(Json(chart::numbers(&history.await?)))
}

/// The week of one series as a small picture.
async fn week(asked: Asked, id: Id) -> Result<Response, Refused> {
    let id = text_of(id);
    let picture = asked.answer(&["metric", "instance"], move |query, viewer, mut given| {
        let name = given.text("metric").unwrap_or_default();
        let instance = given.text("instance").unwrap_or_default();
        let to = query.now();
        let from = to.plus_ms(-SPARK_MS);
        let line = query.week(viewer, &id, (&name, &instance), (from, to))?;
        Ok(chart::sparkline(&line, from, to))
    });
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "private, max-age=300"),
    ];
    Ok((headers, picture.await?).into_response())
}

async fn reachability_page(asked: Asked) -> Result<Html, Refused> {
    let matrix = asked.answer(&[], |query, viewer, _| Ok(query.reachability(viewer)));
    let page = reachability::render(&matrix.await?, asked.now());
    Ok(asked.page("Reachability", page))
}

async fn reports_page(asked: Asked) -> Result<Html, Refused> {
    let reports = asked.answer(&[], |query, viewer, _| {
        reports::Reports::find(query, viewer)
    });
    let page = reports.await?.render();
    Ok(asked.page("Reports", page))
}

async fn report_csv(asked: Asked, name: Id) -> Result<csv::Csv, Refused> {
    let name = text_of(name);
    asked
        .answer(&[], move |query, viewer, _| {
            reports::csv(query, viewer, &name)
        })
        .await
}

type Id = Result<Path<String>, axum::extract::rejection::PathRejection>;

/// A part of the path that is not UTF-8 names nothing.
fn text_of(id: Id) -> String {
    id.map_or_else(|_| String::new(), |Path(id)| id)
}

/// Strangers are not told which addresses exist; they are sent to sign in.
async fn nothing_here(asked: Asked) -> Refused {
    asked.frame.refusing()(QueryError::NotFound("such page".to_owned()))
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
                    .put(runbook::line(&sentence(problem.detail())))
                    .raw(".</p><p><a href=\"/\">Back to what needs attention</a></p>"),
            );
            Refused { status, page }
        }
    }
}

/// With a capital letter, as sentences begin.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, self.page).into_response()
    }
}
