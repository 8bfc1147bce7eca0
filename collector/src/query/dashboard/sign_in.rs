//! Signing in with a name and a password or with an API token, and out.

use axum::extract::State;
use axum::extract::rejection::StringRejection;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};

use super::frame::head;
use super::html::Html;
use super::{SignedIn, signed_in};
use crate::query::access::{Denied, hash_token};
use crate::query::gate::{Browser, LetIn};
use crate::query::http::{Face, Origin, Parameters, Peer};
use crate::query::session::{Cookie, Holder, fresh_value};
use crate::user::Password;

/// Fields of both forms.
const KNOWN: [&str; 4] = ["token", "name", "password", "form"];

/// The form, or the first page for those who have signed in already.
pub(super) async fn form(State(face): State<Face>, headers: HeaderMap) -> Response {
    let session = face.sessions.cookie(&headers, Cookie::Session);
    match session.and_then(|cookie| signed_in(&face, cookie)) {
        Some(_) => Redirect::to("/").into_response(),
        None => show_form(&face, StatusCode::OK, None),
    }
}

/// Takes one of the forms in.
pub(super) async fn submit(
    State(face): State<Face>,
    Peer(address): Peer,
    origin: Origin,
    headers: HeaderMap,
    body: Result<String, StringRejection>,
) -> Response {
    let Some(mut sent) = own_form(&face, &headers, origin, body, Cookie::Form, &KNOWN) else {
        let problem = "The form was too old, or came from elsewhere. Please send it once more.";
        return show_form(&face, StatusCode::FORBIDDEN, Some(problem));
    };
    let done = match sent.text("name") {
        Some(name) => {
            let password = Password::new(sent.text("password").unwrap_or_default());
            let browser = Browser {
                address,
                device: face.sessions.cookie(&headers, Cookie::Device),
            };
            let let_in = face.query.sign_in(&name, password, browser).await;
            let_in.map(|let_in| welcome_user(&face, &let_in, address, Redirect::to("/")))
        }
        None => {
            let token = sent.text("token").unwrap_or_default();
            let authorization = format!("Bearer {}", token.trim());
            let viewer = face.query.viewer(Some(&authorization), address);
            viewer
                .and_then(|_| hash_token(&token).ok_or(Denied::Wrong))
                .map(|hash| welcome_token(&face, hash, address))
        }
    };
    done.unwrap_or_else(|denied| refuse(&face, denied))
}

/// The form once more, with what is wrong.
fn refuse(face: &Face, denied: Denied) -> Response {
    let (status, problem, wait) = match denied {
        Denied::TooMany { retry_after_s } => {
            let wait = format!("Too many wrong attempts. Please wait {retry_after_s} seconds.");
            (StatusCode::TOO_MANY_REQUESTS, wait, Some(retry_after_s))
        }
        Denied::Busy { retry_after_s } => {
            let wait = "Too many people sign in at once. Please try again in some seconds.";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            (status, wait.to_owned(), Some(retry_after_s))
        }
        Denied::WrongPassword => {
            let problem = "This name and password do not belong together.";
            (StatusCode::UNAUTHORIZED, problem.to_owned(), None)
        }
        Denied::Missing | Denied::Wrong => {
            let problem =
                "This token is unknown or revoked. One begins with rca_ and has 47 characters.";
            (StatusCode::UNAUTHORIZED, problem.to_owned(), None)
        }
    };
    let mut response = show_form(face, status, Some(&problem));
    if let Some(seconds) = wait {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
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

fn welcome_token(face: &Face, token: [u8; 32], address: std::net::IpAddr) -> Response {
    let value = face
        .sessions
        .begin(Holder::Token(token), address, face.query.now());
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

/// Begins a session of a user, whose browser is known from now on.
pub(super) fn welcome_user(
    face: &Face,
    let_in: &LetIn,
    address: std::net::IpAddr,
    next: impl IntoResponse,
) -> Response {
    let holder = Holder::User {
        name: let_in.user.name.clone(),
        stamp: let_in.user.stamp(),
    };
    let value = face.sessions.begin(holder, address, face.query.now());
    let set = |cookie, value| (header::SET_COOKIE, face.sessions.set_cookie(cookie, value));
    let mut response = next.into_response();
    let device = let_in.device.as_deref();
    let cookies = [
        Some(set(Cookie::Session, Some(&value))),
        device.map(|device| set(Cookie::Device, Some(device))),
        Some(set(Cookie::Form, None)),
    ];
    for (name, cookie) in cookies.into_iter().flatten() {
        response.headers_mut().append(name, cookie);
    }
    response
}

pub(super) fn show_form(face: &Face, status: StatusCode, problem: Option<&str>) -> Response {
    let value = fresh_value();
    let form_token = face.sessions.form_token(&value);
    let provider = face.query.provider.as_ref().map(|provider| provider.name());
    let page = page(face.query.has_passwords(), provider, &form_token, problem);
    let cookie = face.sessions.set_cookie(Cookie::Form, Some(&value));
    (status, AppendHeaders([(header::SET_COOKIE, cookie)]), page).into_response()
}

fn page(
    has_passwords: bool,
    provider: Option<&str>,
    form_token: &str,
    problem: Option<&str>,
) -> Html {
    let has_other = has_passwords || provider.is_some();
    head("Sign in")
        .raw("<main id=\"main\" class=\"sign-in\"><h1>Rollcall</h1>")
        .raw("<p>Which laptops need attention before their users notice?</p>")
        .maybe(problem, |problem| {
            Html::new()
                .raw("<p id=\"problem\" class=\"problem\" role=\"alert\">")
                .text(problem)
                .raw("</p>")
        })
        .maybe(provider, |name| {
            Html::new()
                .raw("<p><a class=\"button\" href=\"/sign-in/provider\">Sign in with ")
                .text(name)
                .raw("</a></p>")
        })
        .maybe(has_passwords.then_some(form_token), password_form)
        .raw("<form method=\"post\" action=\"/sign-in\" aria-label=\"With an API token\">")
        .raw_if(has_other, "<h2>With an API token</h2>")
        .raw("<p><label for=\"token\">API token</label><input id=\"token\" name=\"token\" ")
        .raw("type=\"password\" required autocomplete=\"off\" ")
        .raw_if(!has_other, "autofocus ")
        .raw("spellcheck=\"false\" autocapitalize=\"none\" maxlength=\"100\" ")
        .raw("aria-describedby=\"hint")
        .raw_if(
            problem.is_some() && !has_other,
            " problem\" aria-invalid=\"true",
        )
        .raw("\"></p><p id=\"hint\" class=\"muted\">It begins with <code>rca_</code>. ")
        .raw("Whoever runs the collector can make one for you.</p>")
        .put(own(form_token))
        .raw("<p><button type=\"submit\"")
        .raw_if(has_other, " class=\"quiet\"")
        .raw(">Sign in")
        .raw_if(has_other, " with a token")
        .raw("</button></p></form></main></body></html>\n")
}

fn password_form(form_token: &str) -> Html {
    Html::new()
        .raw("<form method=\"post\" action=\"/sign-in\" aria-label=\"With your name\">")
        .raw("<p><label for=\"name\">Name</label><input id=\"name\" name=\"name\" required ")
        .raw("autofocus autocomplete=\"username\" spellcheck=\"false\" autocapitalize=\"none\" ")
        .raw("maxlength=\"100\"></p><p><label for=\"password\">Password</label>")
        .raw("<input id=\"password\" name=\"password\" type=\"password\" required ")
        .raw("autocomplete=\"current-password\" maxlength=\"256\"></p>")
        .put(own(form_token))
        .raw("<p><button type=\"submit\">Sign in</button></p></form>")
}

fn own(form_token: &str) -> Html {
    Html::new()
        .raw("<input type=\"hidden\" name=\"form\" value=\"")
        .text(form_token)
        .raw("\">")
}
