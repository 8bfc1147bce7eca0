//! Administration: tokens for laptops, tokens for people and programs, what waits to be told, and who did
//! what.

pub(super) mod audit;
pub(super) mod channels;
pub(super) mod people;
pub(super) mod rules;
pub(super) mod silences;
mod tokens;

use axum::response::{IntoResponse, Redirect, Response};
use http::{StatusCode, Uri};
use rollcall_shared::time::UnixMs;

use super::devices::cell;
use super::forms::{Sent, table};
use super::frame::time;
use super::html::Html;
use super::{Asked, Refused};
use crate::query::http::Problem;
use crate::query::{AuditAnswer, OutboxAnswer, OutboxEntry, Query, QueryError, Viewer};
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord, Role};

/// Entries of the outbox that are shown; the counts tell of all.
const ENTRIES: usize = 100;

/// Lines of the audit log that are shown here; its own page has more.
const LINES: u64 = 20;

/// What a viewer may see of it; what they may not is absent.
#[derive(Debug)]
pub(super) struct Administration {
    tokens: Option<Vec<EnrolmentTokenRecord>>,
    api_tokens: Option<Vec<ApiTokenRecord>>,
    outbox: OutboxAnswer,
    audit: Option<Vec<AuditAnswer>>,
}

/// What was done just now, or what is wrong.
#[derive(Debug, Default)]
struct Told {
    /// What was done.
    done: Option<String>,
    /// A secret that is shown this once, with how it is used.
    secret: Option<Html>,
    /// The field that is wrong, and what would be right.
    problem: Option<String>,
}

impl Administration {
    fn find(query: &Query, viewer: &Viewer) -> Result<Self, QueryError> {
        // The first question refuses those who may see nothing of this.
        let outbox = query.outbox(viewer)?;
        Ok(Self {
            outbox,
            tokens: permitted(query.enrolment_tokens(viewer))?,
            api_tokens: permitted(query.api_tokens(viewer))?,
            audit: permitted(query.audit(viewer, Some(LINES)))?.map(|list| list.lines),
        })
    }

    fn render(&self, viewer: &Viewer, form: &str, said: &Told, now: UnixMs) -> Html {
        Html::new()
            .raw("<h1>Administration</h1>")
            .put(tabs(viewer, "/administration"))
            .put(told(said))
            .maybe(self.tokens.as_deref(), |list| {
                tokens::enrolment(list, form, now)
            })
            .maybe(self.api_tokens.as_deref(), |list| {
                tokens::api(list, form, now)
            })
            .put(outbox(&self.outbox, now))
            .maybe(self.audit.as_deref(), |lines| latest(lines, now))
    }
}

fn permitted<T>(answer: Result<T, QueryError>) -> Result<Option<T>, QueryError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(QueryError::Forbidden(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

/// The page.
pub(super) async fn page(asked: Asked) -> Result<Html, Refused> {
    let found = asked.answer(&[], |query, viewer, _| Administration::find(query, viewer));
    Ok(shown(&asked, &found.await?, &Told::default()))
}

fn shown(asked: &Asked, found: &Administration, said: &Told) -> Html {
    let page = found.render(&asked.viewer, asked.form_token(), said, asked.now());
    asked.page("Administration", page)
}

/// The page after something went wrong, or with a secret that is shown this once.
async fn again(asked: &Asked, told: Told, status: StatusCode) -> Response {
    let found = asked.answer(&[], |query, viewer, _| Administration::find(query, viewer));
    match found.await {
        Ok(found) => (status, shown(asked, &found, &told)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn wrong(asked: &Asked, error: QueryError) -> Response {
    let problem: Problem = error.into();
    let told = Told {
        problem: Some(problem.detail().to_owned()),
        ..Told::default()
    };
    again(asked, told, problem.status()).await
}

fn back() -> Response {
    Redirect::to("/administration").into_response()
}

/// Makes an enrolment token and shows it this once.
pub(super) async fn create_token(uri: Uri, headers: http::HeaderMap, sent: Sent) -> Response {
    let asked = &sent.asked;
    let wanted = sent.fields(&tokens::ENROLMENT_FIELDS);
    let wanted = match wanted.and_then(tokens::wanted_token) {
        Ok(wanted) => wanted,
        Err(error) => return wrong(asked, error).await,
    };
    let host = tokens::host(&uri, &headers);
    match asked.face.query.create_token(&asked.viewer, wanted).await {
        Ok(text) => {
            let port = asked
                .face
                .query
                .enrolling
                .map_or(0, |enrolling| enrolling.port);
            let secret = tokens::enrolment_secret(&text, &host, port);
            let told = Told {
                secret: Some(secret),
                ..Told::default()
            };
            again(asked, told, StatusCode::OK).await
        }
        Err(error) => wrong(asked, error).await,
    }
}

/// Makes an API token and shows it this once.
pub(super) async fn create_api_token(sent: Sent) -> Response {
    let asked = &sent.asked;
    let wanted = sent.fields(&tokens::API_FIELDS);
    let wanted = match wanted.and_then(tokens::wanted_api_token) {
        Ok(wanted) => wanted,
        Err(error) => return wrong(asked, error).await,
    };
    let made = asked.face.query.create_api_token(&asked.viewer, wanted);
    match made.await {
        Ok(text) => {
            let told = Told {
                secret: Some(tokens::api_secret(&text)),
                ..Told::default()
            };
            again(asked, told, StatusCode::OK).await
        }
        Err(error) => wrong(asked, error).await,
    }
}

/// Revokes an enrolment token.
pub(super) async fn revoke_token(sent: Sent) -> Response {
    let asked = &sent.asked;
    let id = sent.fields(&["id"]).map(|mut given| given.text("id"));
    let done = match id {
        Ok(id) => {
            let id = id.unwrap_or_default();
            asked.face.query.revoke_token(&asked.viewer, &id).await
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => back(),
        Err(error) => wrong(asked, error).await,
    }
}

/// Revokes an API token.
pub(super) async fn revoke_api_token(sent: Sent) -> Response {
    let asked = &sent.asked;
    let name = sent.fields(&["name"]).map(|mut given| given.text("name"));
    let done = match name {
        Ok(name) => {
            let name = name.unwrap_or_default();
            asked
                .face
                .query
                .revoke_api_token(&asked.viewer, &name)
                .await
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => back(),
        Err(error) => wrong(asked, error).await,
    }
}

fn outbox(outbox: &OutboxAnswer, now: UnixMs) -> Html {
    let page = Html::new()
        .raw("<section aria-labelledby=\"outbox\"><h2 id=\"outbox\">Outbox</h2><p>")
        .raw(match outbox.state {
            "empty" => "Everything was delivered.",
            "delivering" => "What waits is being delivered.",
            _ => "<strong class=\"bad\">Something is stuck</strong>: look at its channel.",
        })
        .raw(" ")
        .number(outbox.waiting)
        .raw(" waiting, ")
        .number(outbox.stuck)
        .raw(" stuck.</p>");
    if outbox.entries.is_empty() {
        return page.raw("</section>");
    }
    let heads = ["What", "Channel", "Site", "Tries", "Next try", "Last error"];
    page.put(table("What waits to be told", &heads))
        .each(outbox.entries.iter().take(ENTRIES), |entry| {
            waiting(entry, now)
        })
        .raw("</tbody></table></section>")
}

fn waiting(entry: &OutboxEntry, now: UnixMs) -> Html {
    let next = match entry.set_aside {
        true => Html::new().raw("never"),
        false => time(entry.due_at, now),
    };
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("What", Html::new().text(&entry.title)))
        .put(cell("Channel", Html::new().text(&entry.channel)))
        .put(cell("Site", Html::new().text(&entry.site)))
        .put(cell("Tries", Html::new().number(u64::from(entry.attempts))))
        .put(cell("Next try", next))
        .put(cell("Last error", Html::new().text(&entry.last_error)))
        .raw("</tr>")
}

fn latest(lines: &[AuditAnswer], now: UnixMs) -> Html {
    Html::new()
        .raw("<section aria-labelledby=\"audit\"><h2 id=\"audit\">Audit log</h2>")
        .raw("<p><a href=\"/administration/audit\">All of it, with a filter</a></p>")
        .put(audit::lines(lines, now))
        .raw("</section>")
}

/// What was done just now, or what is wrong.
fn told(said: &Told) -> Html {
    Html::new()
        .maybe(said.problem.as_deref(), |problem| {
            Html::new()
                .raw("<p id=\"problem\" class=\"problem\" role=\"alert\">Nothing was changed: ")
                .text(problem)
                .raw("</p>")
        })
        .maybe(said.done.as_deref(), |done| {
            Html::new()
                .raw("<p class=\"done\" role=\"status\">")
                .text(done)
                .raw("</p>")
        })
        .maybe(said.secret.clone(), |secret| secret)
}

/// The pages of administration that a viewer may see.
fn tabs(viewer: &Viewer, current: &str) -> Html {
    let is_admin = viewer.role >= Role::Admin;
    let pages = [
        ("/administration", "Tokens and outbox", true),
        ("/administration/people", "People", is_admin),
        ("/administration/rules", "Rules", true),
        ("/administration/channels", "Channels", true),
        ("/administration/silences", "Silences", true),
        (
            "/administration/audit",
            "Audit log",
            is_admin && viewer.sees_everything(),
        ),
    ];
    Html::new()
        .raw("<nav class=\"tabs\" aria-label=\"Administration\"><ul>")
        .each(pages, |(address, name, is_theirs)| {
            if !is_theirs {
                return Html::new();
            }
            Html::new()
                .raw("<li><a href=\"")
                .raw(address)
                .raw("\"")
                .raw_if(address == current, " aria-current=\"page\"")
                .raw(">")
                .raw(name)
                .raw("</a></li>")
        })
        .raw("</ul></nav>")
}
