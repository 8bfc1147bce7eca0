//! Errors as `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::query::QueryError;
use crate::query::access::Denied;
use crate::query::rules::MistakeAnswer;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::query) struct Problem {
    /// A name for this kind of problem that programs can compare.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// Where rules are not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    mistake: Option<Box<MistakeAnswer>>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
}

impl Problem {
    pub fn new(status: StatusCode, word: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:rollcall:problem:{word}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            mistake: None,
            retry_after_s: None,
        }
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub const fn title(&self) -> &'static str {
        self.title
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let (status, word) = match &error {
            QueryError::Field { .. } => (StatusCode::BAD_REQUEST, "parameter"),
            QueryError::Rules(_) => (StatusCode::BAD_REQUEST, "rules"),
            QueryError::Conflict(_) => (StatusCode::CONFLICT, "changed-meanwhile"),
            QueryError::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            QueryError::Forbidden(_) => (StatusCode::FORBIDDEN, "role"),
            QueryError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "store"),
            QueryError::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let mut problem = Self::new(status, word, error.to_string());
        match error {
            QueryError::Field { field, .. } => problem.field = Some(field),
            QueryError::Rules(mistake) => problem.mistake = Some(Box::new(mistake.into())),
            _ => {}
        }
        problem
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::Missing => Self::new(StatusCode::UNAUTHORIZED, "token-missing", detail),
            Denied::Wrong => Self::new(StatusCode::UNAUTHORIZED, "token-wrong", detail),
            Denied::WrongPassword => Self::new(StatusCode::UNAUTHORIZED, "password-wrong", detail),
            Denied::Busy { retry_after_s } => Self {
                retry_after_s: Some(retry_after_s),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
            },
            Denied::TooMany { retry_after_s } => Self {
                retry_after_s: Some(retry_after_s),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", detail)
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("a problem is plain data");
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"rollcall\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
