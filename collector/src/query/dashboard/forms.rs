//! Forms that change something: only those that this server made for this browser are taken in.

use axum::extract::rejection::StringRejection;
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::Asked;
use super::html::Html;
use crate::query::QueryError;
use crate::query::http::{Face, Origin, Parameters};
use crate::query::session::Cookie;

/// Who asks, and what their form says, before its fields are looked at.
pub(super) struct Sent {
    pub asked: Asked,
    body: String,
}

impl FromRequest<Face> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, face: &Face) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let asked = Asked::from_request_parts(&mut parts, face).await;
        let asked = asked.map_err(IntoResponse::into_response)?;
        let Ok(origin) = Origin::from_request_parts(&mut parts, face).await;
        let cookie = face.sessions.cookie(&parts.headers, Cookie::Session);
        let cookie = cookie.unwrap_or_default().to_owned();
        let request = Request::from_parts(parts, body);
        let body: Result<String, StringRejection> = String::from_request(request, face).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let mut given = form_urlencoded::parse(body.as_bytes());
        let token = given.find(|(name, _)| name == "form");
        let is_own = token.is_some_and(|(_, token)| face.sessions.is_form_token(&cookie, &token));
        if origin == Origin::Foreign || !is_own {
            return Err(refusal(&asked).into_response());
        }
        Ok(Self { asked, body })
    }
}

fn refusal(asked: &Asked) -> (StatusCode, Html) {
    let page = Html::new()
        .raw("<h1>Nothing was changed</h1>")
        .raw("<p>The form was too old, or came from elsewhere. Go back, load the page again, and send ")
        .raw("it once more.</p>");
    (
        StatusCode::FORBIDDEN,
        asked.page("Nothing was changed", page),
    )
}

impl Sent {
    /// The fields of the form.
    ///
    /// # Errors
    /// [`QueryError::Field`] names one that is not known or comes twice.
    pub fn fields(&self, known: &[&str]) -> Result<Parameters, QueryError> {
        let known: Vec<&str> = known.iter().copied().chain(["form"]).collect();
        Parameters::parse(&self.body, &known)
    }
}

/// A field of text.
pub(super) fn field(name: &'static str, label: &'static str, hint: &'static str) -> Html {
    filled(name, label, hint, "")
}

/// A field of text with what was written into it.
pub(super) fn filled(
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    value: &str,
) -> Html {
    Html::new()
        .raw("<p><label for=\"")
        .raw(name)
        .raw("\">")
        .raw(label)
        .raw("</label><input maxlength=\"200\" id=\"")
        .raw(name)
        .raw("\" name=\"")
        .raw(name)
        .raw("\" placeholder=\"")
        .raw(hint)
        .raw("\" value=\"")
        .text(value)
        .raw("\"></p>")
}

/// A choice of one of few.
pub(super) fn choice(
    name: &'static str,
    label: &'static str,
    words: &[(&'static str, &'static str)],
) -> Html {
    Html::new()
        .raw("<p><label for=\"")
        .raw(name)
        .raw("\">")
        .raw(label)
        .raw("</label><select id=\"")
        .raw(name)
        .raw("\" name=\"")
        .raw(name)
        .raw("\">")
        .each(words, |(word, text)| {
            Html::new()
                .raw("<option value=\"")
                .raw(word)
                .raw("\">")
                .raw(text)
                .raw("</option>")
        })
        .raw("</select></p>")
}

/// The beginning of a table up to its first row.
pub(super) fn table(caption: &'static str, heads: &[&'static str]) -> Html {
    Html::new()
        .raw("<table role=\"table\"><caption>")
        .raw(caption)
        .raw("</caption><thead role=\"rowgroup\"><tr role=\"row\">")
        .each(heads, |head| {
            Html::new()
                .raw("<th role=\"columnheader\" scope=\"col\">")
                .raw(head)
                .raw("</th>")
        })
        .raw("</tr></thead><tbody role=\"rowgroup\">")
}

/// What a form must carry to be taken in.
pub(super) fn own(form: &str) -> Html {
    Html::new()
        .raw("<input type=\"hidden\" name=\"form\" value=\"")
        .text(form)
        .raw("\">")
}
/// A field of a form that nobody sees.
pub fn hidden(name: &'static str, value: &str) -> Html {
    Html::new()
        .raw("<input type=\"hidden\" name=\"")
        .raw(name)
        .raw("\" value=\"")
        .text(value)
        .raw("\">")
}
