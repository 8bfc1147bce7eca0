//! Signing in through the provider of identities: there, and back.

use axum::extract::{RawQuery, State};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode, header};

use super::frame::head;
use super::html::Html;
use super::sign_in::{show_form, welcome_user};
use crate::provider::{Refusal, Returned};
use crate::query::gate::LetIn;
use crate::query::http::{Face, Peer};
use crate::query::session::Cookie;

/// Sends somebody to the provider.
pub(super) async fn depart(State(face): State<Face>) -> Response {
    let Some(provider) = face.query.provider.clone() else {
        return none(&face);
    };
    match provider.depart(face.query.now()).await {
        Ok(departure) => {
            let cookie = face
                .sessions
                .set_cookie(Cookie::Provider, Some(&departure.cookie));
            let cookies = AppendHeaders([(header::SET_COOKIE, cookie)]);
            (cookies, Redirect::to(&departure.address)).into_response()
        }
        Err(refusal) => refuse(&face, &refusal),
    }
}

/// Takes somebody back.
pub(super) async fn arrive(
    State(face): State<Face>,
    Peer(address): Peer,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let Some(provider) = face.query.provider.clone() else {
        return none(&face);
    };
    let returned = returned(&query.unwrap_or_default());
    let cookie = face.sessions.cookie(&headers, Cookie::Provider);
    let arrived = face.query.arrive(&provider, cookie, returned).await;
    let mut response = match arrived {
        Ok(user) => {
            let let_in = LetIn::vouched(user);
            welcome_user(&face, &let_in, address, onward())
        }
        Err(refusal) => refuse(&face, &refusal),
    };
    let gone = face.sessions.set_cookie(Cookie::Provider, None);
    response.headers_mut().append(header::SET_COOKIE, gone);
    response
}

/// What the provider sent along. Unlike elsewhere, parameters that are not known are ignored, as RFC 6749
/// asks; one that comes twice counts as absent.
fn returned(query: &str) -> Returned {
    let value = |name: &str| {
        let mut values =
            form_urlencoded::parse(query.as_bytes()).filter(|(known, _)| known == name);
        let first = values.next().map(|(_, value)| value.into_owned());
        first.filter(|_| values.next().is_none())
    };
    Returned {
        code: value("code"),
        state: value("state"),
        issuer: value("iss"),
        error: value("error"),
        description: value("error_description"),
    }
}

/// A page of our own that goes on to the first one. A redirect would still count as coming from the
/// provider's site, and browsers would not send the session's strict cookie with it.
fn onward() -> Html {
    head("Signed in")
        .raw("<meta http-equiv=\"refresh\" content=\"0;url=/\">")
        .raw("<main id=\"main\" class=\"sign-in\"><h1>Signed in</h1>")
        .raw("<p><a href=\"/\">Go on to Rollcall</a></p></main></body></html>\n")
}

fn refuse(face: &Face, refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Unreachable(_) => StatusCode::BAD_GATEWAY,
        Refusal::Busy | Refusal::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Journey | Refusal::Provider(_) => StatusCode::BAD_REQUEST,
        Refusal::Token(_) => StatusCode::UNAUTHORIZED,
        Refusal::NoGrant(_) | Refusal::NameTaken(_) => StatusCode::FORBIDDEN,
    };
    let words = refusal.to_string();
    let mut letters = words.chars();
    let first = letters.next().map(char::to_uppercase);
    let words = first.into_iter().flatten().chain(letters).chain(['.']);
    show_form(face, status, Some(&words.collect::<String>()))
}

fn none(face: &Face) -> Response {
    let problem =
        "This collector has no provider of identities; `[oidc]` in its configuration names one.";
    show_form(face, StatusCode::NOT_FOUND, Some(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_read_with_patience() {
        let back = returned("code=a%2Fb&state=s&session_state=x&iss=https%3A%2F%2Fid.example");
        assert_eq!(back.code.as_deref(), Some("a/b"));
        assert_eq!(back.issuer.as_deref(), Some("https://id.example"));
        assert_eq!(returned("state=a&state=b").state, None);
        assert_eq!(returned("").code, None);
    }
}
