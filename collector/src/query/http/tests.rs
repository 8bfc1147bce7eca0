//! Requests to the router, as a browser and a program send them.

mod answers;
mod description;
mod pages;
mod rules;
mod server;
mod table;
mod users;
mod write;

use std::collections::BTreeSet;

use axum::body::Body;
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use serde_json::Value as Json;
use tower::ServiceExt as _;

use super::*;
use crate::alert::{AlertState, Severity};
use crate::query::example::{Example, HOSTILE, NOW, alert, device};
use crate::store::Write;
use rollcall_shared::id::DeviceId;

struct Asked {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Asked {
    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    /// The value of the form token that the page carries.
    fn form_token(&self) -> String {
        let (_, rest) = self
            .body
            .split_once("name=\"form\" value=\"")
            .expect(&self.body);
        rest.split('"').next().unwrap().to_owned()
    }

    fn cookies(&self) -> Vec<String> {
        let lines = self.headers.get_all("set-cookie").iter();
        let pair = |line: &str| line.split(';').next().unwrap().to_owned();
        lines.map(|line| pair(line.to_str().unwrap())).collect()
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Asked {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Asked {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn request(method: Method, address: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(address);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost:8480");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

async fn get(router: &Router, address: &str, token: &str) -> Asked {
    let authorization = format!("Bearer {token}");
    let headers = [("authorization", authorization.as_str())];
    ask(router, request(Method::GET, address, &headers, "")).await
}

fn plain(example: &Example) -> Router {
    router(example.query.clone(), false, &[])
}
