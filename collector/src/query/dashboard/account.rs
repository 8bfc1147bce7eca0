//! One's own account: the password, and where one is signed in.

use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use rollcall_shared::time::UnixMs;

use super::devices::cell;
use super::forms::{Sent, own, table};
use super::frame::time;
use super::html::Html;
use super::sign_in::welcome_user;
use super::{Asked, Refused};
use crate::query::access::Denied;
use crate::query::gate::Browser;
use crate::query::http::{Peer, Problem};
use crate::query::session::{Cookie, Holder, SessionLine};
use crate::query::{At, QueryError};
use crate::user::{Entry, LEAST, Password};

/// The page.
pub(super) async fn page(asked: Asked) -> Result<Html, Refused> {
    asked.answer(&[], |_, _, _| Ok(())).await?;
    Ok(shown(&asked, None))
}

fn shown(asked: &Asked, problem: Option<&str>) -> Html {
    let form = asked.form_token();
    let sites = match asked.viewer.sites() {
        [] => "all sites".to_owned(),
        sites => sites
            .iter()
            .map(|s| s.as_str())
            .collect::<Vec<_>>()
            .join(", "),
    };
    let main = Html::new()
        .raw("<h1>Your account</h1>")
        .maybe(problem, |problem| {
            Html::new()
                .raw("<p id=\"problem\" class=\"problem\" role=\"alert\">Nothing was changed: ")
                .text(problem)
                .raw("</p>")
        })
        .raw("<p>You are signed in as <strong>")
        .text(&asked.viewer.name)
        .raw("</strong>, with the role ")
        .raw(asked.viewer.role.word())
        .raw(", for ")
        .text(&sites)
        .raw(".</p>")
        .put(password(asked, form))
        .put(sessions(asked, form));
    asked.page("Your account", main)
}

fn password(asked: &Asked, form: &str) -> Html {
    let Holder::User { name, .. } = &asked.holder else {
        return Html::new()
            .raw("<p>This is an API token: it has no password. Others who know it are you.</p>");
    };
    let user = asked.face.query.store.user(name);
    let entry = user.map(|user| user.entry);
    if let Some(Entry::Provider { issuer, .. }) = entry {
        return Html::new()
            .raw("<p>You sign in through <code>")
            .text(&issuer)
            .raw("</code>; your password is changed there.</p>");
    }
    let least = LEAST.to_string();
    Html::new()
        .raw("<section aria-labelledby=\"new-password\"><h2 id=\"new-password\">Password</h2>")
        .raw("<p id=\"rule\">At least ")
        .text(&least)
        .raw(" characters, such as four words. A new one ends your other sessions.</p>")
        .raw("<form class=\"filter\" method=\"post\" action=\"/account/password\">")
        .put(secret("old", "The password of now", "current-password"))
        .put(secret("new", "The new password", "new-password"))
        .put(secret(
            "again",
            "The new password once more",
            "new-password",
        ))
        .put(own(form))
        .raw("<p><button type=\"submit\">Change the password</button></p></form></section>")
}

fn secret(name: &'static str, label: &'static str, kind: &'static str) -> Html {
    Html::new()
        .raw("<p><label for=\"")
        .raw(name)
        .raw("\">")
        .raw(label)
        .raw("</label><input type=\"password\" required maxlength=\"256\" aria-describedby=\"rule\" id=\"")
        .raw(name)
        .raw("\" name=\"")
        .raw(name)
        .raw("\" autocomplete=\"")
        .raw(kind)
        .raw("\"></p>")
}

fn own_sessions(asked: &Asked) -> Vec<SessionLine> {
    let mut lines = asked.face.sessions.list(asked.now());
    lines.retain(|line| line.holder == asked.holder);
    lines
}

fn sessions(asked: &Asked, form: &str) -> Html {
    let now = asked.now();
    let heads = ["Since", "Last used", "From", ""];
    Html::new()
        .raw("<section aria-labelledby=\"sessions\"><h2 id=\"sessions\">Where you are signed in</h2>")
        .put(table("Sessions, the one that was used last first", &heads))
        .each(own_sessions(asked), |line| {
            let end = match line.id == asked.session {
                true => Html::new().raw("this one"),
                false => end("/account/sessions/end", &line, form),
            };
            Html::new()
                .raw("<tr role=\"row\">")
                .put(cells(&line, now))
                .put(cell("End", end))
                .raw("</tr>")
        })
        .raw("</tbody></table></section>")
}

/// What a session's row shows of it.
pub(super) fn cells(line: &SessionLine, now: UnixMs) -> Html {
    Html::new()
        .put(cell("Since", time(At(line.began), now)))
        .put(cell("Last used", time(At(line.used), now)))
        .put(cell("From", Html::new().text(&line.address.to_string())))
}

/// The form that ends a session.
pub(super) fn end(address: &'static str, line: &SessionLine, form: &str) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"")
        .raw(address)
        .raw("\"><input type=\"hidden\" name=\"id\" value=\"")
        .text(&line.id)
        .raw("\">")
        .put(own(form))
        .raw("<button type=\"submit\" class=\"quiet\" aria-label=\"End the session from ")
        .text(&line.address.to_string())
        .raw("\">End</button></form>")
}

fn wrong(asked: &Asked, error: QueryError) -> Response {
    let problem: Problem = error.into();
    (problem.status(), shown(asked, Some(problem.detail()))).into_response()
}

/// Changes the password of whoever knows the one of now; their other sessions end.
pub(super) async fn change_password(
    Peer(address): Peer,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    let asked = &sent.asked;
    let passwords = match passwords(&sent) {
        Ok(passwords) => passwords,
        Err(error) => return wrong(asked, error),
    };
    if !asked.viewer.is_user() {
        return wrong(asked, QueryError::Forbidden("an API token has no password"));
    }
    let browser = Browser {
        address,
        device: asked.face.sessions.cookie(&headers, Cookie::Device),
    };
    let query = &asked.face.query;
    match query
        .change_own_password(&asked.viewer, passwords, browser)
        .await
    {
        Ok(Ok(let_in)) => {
            asked.face.sessions.end_by_id(&asked.session);
            welcome_user(&asked.face, &let_in, address, Redirect::to("/account"))
        }
        Ok(Err(problem)) => wrong(asked, QueryError::field("new", problem)),
        Err(Denied::WrongPassword) => {
            let problem = "is not the password of now";
            wrong(asked, QueryError::field("old", problem))
        }
        Err(denied) => {
            let page = shown(asked, Some(&denied.to_string()));
            let problem: Problem = denied.into();
            (problem.status(), page).into_response()
        }
    }
}

fn passwords(sent: &Sent) -> Result<(Password, Password), QueryError> {
    let mut given = sent.fields(&["old", "new", "again"])?;
    let mut read = |name| Password::new(given.text(name).unwrap_or_default());
    let (old, new, again) = (read("old"), read("new"), read("again"));
    if new != again {
        return Err(QueryError::field(
            "again",
            "is not the same as the new password",
        ));
    }
    Ok((old, new))
}

/// Ends another session of one's own.
pub(super) async fn end_session(sent: Sent) -> Response {
    let asked = &sent.asked;
    let id = match sent.fields(&["id"]) {
        Ok(mut given) => given.text("id").unwrap_or_default(),
        Err(error) => return wrong(asked, error),
    };
    if !own_sessions(asked).iter().any(|line| line.id == id) {
        return wrong(
            asked,
            QueryError::NotFound("such session of yours".to_owned()),
        );
    }
    asked.face.sessions.end_by_id(&id);
    let (query, now) = (&asked.face.query, asked.now());
    query.note_own(&asked.viewer, "session.end", now).await;
    Redirect::to("/account").into_response()
}
