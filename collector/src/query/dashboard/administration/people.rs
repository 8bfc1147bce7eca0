//! Users and who is signed in, on the page of administration.

use axum::response::{IntoResponse, Redirect, Response};
use rollcall_shared::id::Label;
use rollcall_shared::time::UnixMs;

use super::{Told, tabs, told};
use crate::control::UserLine;
use crate::query::dashboard::account;
use crate::query::dashboard::devices::cell;
use crate::query::dashboard::forms::{Sent, choice, field, own, table};
use crate::query::dashboard::frame::time;
use crate::query::dashboard::html::Html;
use crate::query::dashboard::{Asked, Refused};
use crate::query::http::{Parameters, Problem};
use crate::query::session::SessionLine;
use crate::query::{At, NewApiToken, QueryError, Viewer};

const ADDRESS: &str = "/administration/people";

/// The page.
pub(in crate::query::dashboard) async fn page(asked: Asked) -> Result<Html, Refused> {
    let users = users(&asked).await?;
    Ok(shown(&asked, &users, &Told::default()))
}

async fn users(asked: &Asked) -> Result<Vec<UserLine>, Refused> {
    asked
        .answer(&[], |query, viewer, _| query.users(viewer))
        .await
}

fn shown(asked: &Asked, lines: &[UserLine], said: &Told) -> Html {
    let form = asked.form_token();
    let main = Html::new()
        .raw("<h1>People</h1>")
        .put(tabs(&asked.viewer, ADDRESS))
        .put(told(said))
        .put(list(asked, lines))
        .put(sessions(asked, form));
    asked.page("People", main)
}

fn list(asked: &Asked, lines: &[UserLine]) -> Html {
    let (form, now) = (asked.form_token(), asked.now());
    let is_own = |line: &UserLine| asked.viewer.is_user() && asked.viewer.name == line.name;
    let heads = ["Name", "Role", "Sites", "Signs in by", "Since", ""];
    Html::new()
        .raw("<section aria-labelledby=\"users\"><h2 id=\"users\">Users</h2>")
        .raw("<p>They sign in with a name and a password. The first password is made here and shown once; ")
        .raw("they change it under their name at the top of every page.</p>")
        .raw("<form class=\"filter\" method=\"post\" action=\"/administration/users\">")
        .put(field("name", "Name", "anna@school.example"))
        .put(choice("role", "Role", &ROLES))
        .put(field("sites", "Sites with commas, empty for all", "North School, South School"))
        .put(own(form))
        .raw("<p><button type=\"submit\">Make a user</button></p></form>")
        .put(match lines {
            [] => Html::new().raw("<p class=\"empty\">There is none yet.</p>"),
            _ => table("Users by name", &heads)
                .each(lines, |line| match is_own(line) {
                    true => cells(line, Html::new().raw("yourself"), now),
                    false => cells(line, acts(line, form), now),
                })
                .raw("</tbody></table>"),
        })
        .raw("</section>")
}

const ROLES: [(&str, &str); 3] = [
    ("viewer", "Viewer: reads"),
    ("technician", "Technician: reads and acknowledges"),
    ("admin", "Admin: everything"),
];

/// What may be done about somebody else.
fn acts(line: &UserLine, form: &str) -> Html {
    let with_password = line.has_password().then_some(line);
    Html::new()
        .raw("<div class=\"acts\">")
        .maybe(with_password, |line| {
            button(
                "/administration/users/password",
                "New password",
                &line.name,
                form,
            )
        })
        .put(button(
            "/administration/users/remove",
            "Remove",
            &line.name,
            form,
        ))
        .maybe(with_password, |line| role_form(line, form))
        .raw("</div>")
}

/// Another role, other sites. Whom a provider vouches for has what its grants say.
fn role_form(line: &UserLine, form: &str) -> Html {
    Html::new()
        .raw("<details id=\"role-")
        .text(&line.name)
        .raw("\"><summary>Role and sites</summary>")
        .raw("<form method=\"post\" action=\"/administration/users/role\">")
        .raw("<input type=\"hidden\" name=\"name\" value=\"")
        .text(&line.name)
        .raw("\"><label>Role <select name=\"role\">")
        .each(ROLES, |(word, text)| {
            Html::new()
                .raw("<option value=\"")
                .raw(word)
                .raw("\"")
                .raw_if(word == line.role.word(), " selected")
                .raw(">")
                .raw(text)
                .raw("</option>")
        })
        .raw("</select></label><label>Sites with commas, empty for all ")
        .raw("<input name=\"sites\" maxlength=\"4000\" value=\"")
        .text(&joined(&line.sites))
        .raw("\"></label>")
        .put(own(form))
        .raw("<button type=\"submit\">Save</button></form></details>")
}

fn joined(sites: &[Label]) -> String {
    let sites: Vec<&str> = sites.iter().map(Label::as_str).collect();
    sites.join(", ")
}

fn cells(line: &UserLine, acts: Html, now: UnixMs) -> Html {
    let sites = match line.sites.as_slice() {
        [] => "all".to_owned(),
        sites => joined(sites),
    };
    Html::new()
        .raw("<tr role=\"row\">")
        .put(cell("Name", Html::new().text(&line.name)))
        .put(cell("Role", Html::new().raw(line.role.word())))
        .put(cell("Sites", Html::new().text(&sites)))
        .put(cell("Signs in by", Html::new().text(&line.entry)))
        .put(cell("Since", time(At(line.since), now)))
        .put(cell("Change", acts))
        .raw("</tr>")
}

fn button(address: &'static str, word: &'static str, name: &str, form: &str) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"")
        .raw(address)
        .raw("\"><input type=\"hidden\" name=\"name\" value=\"")
        .text(name)
        .raw("\">")
        .put(own(form))
        .raw("<button type=\"submit\" class=\"quiet\" aria-label=\"")
        .raw(word)
        .raw(": ")
        .text(name)
        .raw("\">")
        .raw(word)
        .raw("</button></form>")
}

/// The sessions of holders who see nothing that the viewer does not, each with who it is.
fn reachable(asked: &Asked) -> Vec<(SessionLine, Viewer)> {
    let lines = asked.face.sessions.list(asked.now()).into_iter();
    let with_viewer = |line: SessionLine| {
        let viewer = asked.face.query.viewer_of(&line.holder)?;
        Some((line, viewer))
    };
    lines
        .filter_map(with_viewer)
        .filter(|(_, viewer)| asked.viewer.sees_all(viewer.sites()))
        .collect()
}

fn sessions(asked: &Asked, form: &str) -> Html {
    let now = asked.now();
    let heads = ["Who", "Since", "Last used", "From", ""];
    Html::new()
        .raw("<section aria-labelledby=\"sessions\"><h2 id=\"sessions\">Signed in now</h2>")
        .put(table("Sessions, the one that was used last first", &heads))
        .each(reachable(asked), |(line, viewer)| {
            let end = match line.id == asked.session {
                true => Html::new().raw("this one"),
                false => account::end("/administration/sessions/end", &line, form),
            };
            Html::new()
                .raw("<tr role=\"row\">")
                .put(cell("Who", Html::new().text(&viewer.actor())))
                .put(account::cells(&line, now))
                .put(cell("End", end))
                .raw("</tr>")
        })
        .raw("</tbody></table></section>")
}

async fn again(asked: &Asked, said: Told, status: http::StatusCode) -> Response {
    match users(asked).await {
        Ok(users) => (status, shown(asked, &users, &said)).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn wrong(asked: &Asked, error: QueryError) -> Response {
    let problem: Problem = error.into();
    let said = Told {
        problem: Some(problem.detail().to_owned()),
        ..Told::default()
    };
    again(asked, said, problem.status()).await
}

async fn with_password(asked: &Asked, done: Result<String, QueryError>) -> Response {
    match done {
        Ok(password) => {
            let secret = Html::new()
                .raw("<section class=\"secret\" data-keep aria-labelledby=\"secret\"><h2 id=\"secret\">")
                .raw("The new password</h2><p>It is shown this once; only its hash is kept. Ask them to ")
                .raw("change it at their first sign-in.</p><p><code class=\"token\">")
                .text(&password)
                .raw("</code></p></section>");
            let said = Told {
                secret: Some(secret),
                ..Told::default()
            };
            again(asked, said, http::StatusCode::OK).await
        }
        Err(error) => wrong(asked, error).await,
    }
}

/// Makes a user, and shows the first password this once.
pub(in crate::query::dashboard) async fn create(sent: Sent) -> Response {
    let asked = &sent.asked;
    let wanted = sent.fields(&["name", "role", "sites"]);
    let wanted = match wanted.and_then(super::tokens::wanted_api_token) {
        Ok(NewApiToken { name, role, sites }) => (name, role, sites),
        Err(error) => return wrong(asked, error).await,
    };
    let done = asked.face.query.create_user(&asked.viewer, wanted).await;
    with_password(asked, done).await
}

/// Makes a new password for a user, and shows it this once.
pub(in crate::query::dashboard) async fn renew(sent: Sent) -> Response {
    let asked = &sent.asked;
    let done = match named(&sent) {
        Ok(name) => asked.face.query.renew_password(&asked.viewer, &name).await,
        Err(error) => Err(error),
    };
    with_password(asked, done).await
}

/// Changes what a user may do and see.
pub(in crate::query::dashboard) async fn change_role(sent: Sent) -> Response {
    let asked = &sent.asked;
    let wanted = sent.fields(&["name", "role", "sites"]);
    let done = match wanted.and_then(super::tokens::wanted_api_token) {
        Ok(NewApiToken { name, role, sites }) => {
            let wanted = (name, role, sites);
            asked.face.query.change_role(&asked.viewer, wanted).await
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => Redirect::to(ADDRESS).into_response(),
        Err(error) => wrong(asked, error).await,
    }
}

/// Removes a user.
pub(in crate::query::dashboard) async fn remove(sent: Sent) -> Response {
    let asked = &sent.asked;
    let done = match named(&sent) {
        Ok(name) => asked.face.query.remove_user(&asked.viewer, &name).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => Redirect::to(ADDRESS).into_response(),
        Err(error) => wrong(asked, error).await,
    }
}

/// Ends somebody's session.
pub(in crate::query::dashboard) async fn end_session(sent: Sent) -> Response {
    let asked = &sent.asked;
    let id = sent.fields(&["id"]).map(|mut given| given.text("id"));
    let id = match (id, asked.viewer.require(crate::store::Role::Admin)) {
        (Ok(id), Ok(())) => id.unwrap_or_default(),
        (Err(error), _) | (_, Err(error)) => return wrong(asked, error).await,
    };
    let found = reachable(asked).into_iter().find(|(line, _)| line.id == id);
    let Some((line, holder)) = found else {
        let error = QueryError::NotFound("such session".to_owned());
        return wrong(asked, error).await;
    };
    asked.face.sessions.end_by_id(&line.id);
    let query = &asked.face.query;
    query
        .note_of(&asked.viewer, "session.end", &holder.actor(), asked.now())
        .await;
    Redirect::to(ADDRESS).into_response()
}

fn named(sent: &Sent) -> Result<String, QueryError> {
    let mut given: Parameters = sent.fields(&["name"])?;
    Ok(given.text("name").unwrap_or_default())
}
