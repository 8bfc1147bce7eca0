//! Signing in with an API token, and out.

use axum::extract::State;
use axum::extract::rejection::StringRejection;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};

use super::frame::head;
use super::html::Html;
use super::{SignedIn, signed_in};
use crate::query::access::{Denied, hash_token};
use crate::query::http::{Face, Origin, Parameters, Peer};
use crate::query::session::{Cookie, fresh_value};

/// The form, or the first page for those who have signed in already.
pub(super) async fn form(State(face): State<Face>, headers: HeaderMap) -> Response {
    let session = face.sessions.cookie(&headers, Cookie::Session);
    match session.and_then(|cookie| signed_in(&face, cookie)) {
        Some(_) => Redirect::to("/").into_response(),
        None => show_form(&face, StatusCode::OK, None),
    }
}

/// Takes the form in.
pub(super) async fn submit(
    State(face): State<Face>,
    Peer(address): Peer,
    origin: Origin,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    let Some(mut sent) = own_form(
        &face,
        &headers,
        origin,
        body,
        Cookie::Form,
        &["token", "form"],
    ) else {
        let problem = "The form was too old, or came from elsewhere. Please send it once more.";
        return show_form(&face, StatusCode::FORBIDDEN, Some(problem));
    };
    let token = sent.text("token").unwrap_or_default();
    let authorization = format!("Bearer {}", token.trim());
    let viewer = face.query.viewer(Some(&authorization), address);
    match (viewer, hash_token(&token)) {
        (Ok(_), Some(hash)) => welcome(&face, hash),
        (Err(Denied::TooMany { retry_after_s }), _) => {
            let wait = format!("Too many wrong attempts. Please wait {retry_after_s} seconds.");
            let mut response = show_form(&face, StatusCode::TOO_MANY_REQUESTS, Some(&wait));
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after_s.into());
            response
        }
        _ => {
            let problem =
                "This token is unknown or revoked. One begins with rca_ and has 47 characters.";
            show_form(&face, StatusCode::UNAUTHORIZED, Some(problem))
        }
    }
}

/// Ends the session.
pub(super) async fn sign_out(
    State(face): State<Face>,
    _: SignedIn,
    origin: Origin,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    if own_form(&face, &headers, origin, body, Cookie::Session, &["form"]).is_none() {
        return not_signed_out().into_response();
    }
    if let Some(cookie) = face.sessions.cookie(&headers, Cookie::Session) {
        face.sessions.end(cookie);
    }
    let gone = face.sessions.set_cookie(Cookie::Session, None);
    (
        AppendHeaders([(header::SET_COOKIE, gone)]),
        Redirect::to("/sign-in"),
    )
        .into_response()
}

/// The fields of a form that this server made for this browser.
fn own_form(
    face: &Face,
    headers: &HeaderMap,
    origin: Origin,
    body: Result<String, StringRejection>,
    cookie: Cookie,
    known: &[&str],
) -> Option<Parameters> {
    let cookie = face.sessions.cookie(headers, cookie)?;
    let mut sent = Parameters::parse(&body.ok()?, known).ok()?;
    let form = sent.text("form")?;
    let is_own = origin == Origin::Own && face.sessions.is_form_token(cookie, &form);
    is_own.then_some(sent)
}

fn not_signed_out() -> (StatusCode, Html) {
    let page = head("Still signed in")
        .raw("<main id=\"main\" class=\"sign-in\"><h1>Still signed in</h1>")
        .raw("<p>The form was too old, or came from elsewhere.</p>")
        .raw("<p><a href=\"/\">Back to Rollcall</a></p></main></body></html>\n");
    (StatusCode::FORBIDDEN, page)
}

fn welcome(face: &Face, token: [u8; 32]) -> Response {
    let value = face.sessions.begin(token, face.query.now());
    let cookies = AppendHeaders([
        (
            header::SET_COOKIE,
            face.sessions.set_cookie(Cookie::Session, Some(&value)),
        ),
        (
            header::SET_COOKIE,
            face.sessions.set_cookie(Cookie::Form, None),
        ),
    ]);
    (cookies, Redirect::to("/")).into_response()
}

fn show_form(face: &Face, status: StatusCode, problem: Option<&str>) -> Response {
    let value = fresh_value();
    let page = page(&face.sessions.form_token(&value), problem);
    let cookie = face.sessions.set_cookie(Cookie::Form, Some(&value));
    (status, AppendHeaders([(header::SET_COOKIE, cookie)]), page).into_response()
}

fn page(form_token: &str, problem: Option<&str>) -> Html {
    head("Sign in")
        .raw("<main id=\"main\" class=\"sign-in\"><h1>Rollcall</h1>")
        .raw("<p>Which laptops need attention before their users notice?</p>")
        .maybe(problem, |problem| {
            Html::new()
                .raw("<p id=\"problem\" class=\"problem\" role=\"alert\">")
                .text(problem)
                .raw("</p>")
        })
        .raw("<form method=\"post\" action=\"/sign-in\">")
        .raw("<p><label for=\"token\">API token</label><input id=\"token\" name=\"token\" ")
        .raw("type=\"password\" required autofocus autocomplete=\"current-password\" ")
        .raw("spellcheck=\"false\" autocapitalize=\"none\" maxlength=\"100\" ")
        .raw("aria-describedby=\"hint")
        .raw_if(problem.is_some(), " problem\" aria-invalid=\"true")
        .raw("\"></p><p id=\"hint\" class=\"muted\">It begins with <code>rca_</code>. ")
        .raw("Whoever runs the collector can make one for you.</p>")
        .raw("<input type=\"hidden\" name=\"form\" value=\"")
        .text(form_token)
        .raw("\"><p><button type=\"submit\">Sign in</button></p></form></main></body></html>\n")
}
