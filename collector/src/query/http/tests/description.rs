//! The OpenAPI description against what is served, and entity tags.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::query::http::openapi::{WRITES, description};
use crate::store::Role;

fn address_of(endpoint: &Endpoint, example: &Example) -> String {
    let path = endpoint.path.replace("{id}", &example.lincoln.to_string());
    path.replace("{name}", "battery-worn")
        .replace("{version}", "0")
}

/// An unknown parameter is answered with the known ones, which are to be those of the description.
#[tokio::test]
async fn every_described_address_takes_what_is_described() {
    let example = Example::new().await;
    let router = plain(&example);
    for endpoint in ENDPOINTS {
        let address = format!("{}?nonsense=1", address_of(endpoint, &example));
        let asked = get(&router, &address, example.token("admin")).await;
        assert_eq!(asked.status, 400, "{address}: {}", asked.body);
        let detail = asked.json()["detail"].as_str().unwrap().to_owned();
        let known = detail.split_once("takes ").unwrap().1;
        let known: BTreeSet<&str> = if known == "no parameters" {
            BTreeSet::new()
        } else {
            known.split(", ").collect()
        };
        let described = endpoint.parameters.iter().map(|parameter| parameter.name);
        let described: BTreeSet<&str> = described
            .filter(|name| !["id", "name", "version"].contains(name))
            .collect();
        assert_eq!(known, described, "{}", endpoint.path);
    }
}

/// The least role that is described gets an answer, and a lesser one does not.
#[tokio::test]
async fn every_described_address_needs_the_role_that_is_described() {
    let example = Example::new().await;
    let router = plain(&example);
    for endpoint in ENDPOINTS {
        let mut address = address_of(endpoint, &example);
        if endpoint.parameters.iter().any(|p| p.name == "metric") {
            address.push_str("?metric=hw.battery.charge&instance=BAT0");
        }
        for role in ["viewer", "technician", "admin"] {
            let asked = get(&router, &address, example.token(role)).await;
            let holds = ["viewer", "technician", "admin"]
                .iter()
                .position(|r| *r == role);
            let needs = Role::ALL.iter().position(|r| *r == endpoint.role);
            let expected = if holds >= needs { 200 } else { 403 };
            assert_eq!(
                asked.status, expected,
                "{address} as {role}: {}",
                asked.body
            );
        }
    }
}

/// Every reference of the description leads to a schema, and every answer is JSON that has no field
/// that its schema does not know.
#[tokio::test]
async fn answers_have_the_fields_of_their_schemas() {
    let example = Example::new().await;
    let router = plain(&example);
    let description = description();
    for endpoint in ENDPOINTS {
        let mut address = address_of(endpoint, &example);
        if endpoint.parameters.iter().any(|p| p.name == "metric") {
            address.push_str("?metric=hw.battery.charge&instance=BAT0");
        }
        let asked = get(&router, &address, example.token("admin")).await;
        let operation = &description["paths"][endpoint.path]["get"];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{}", endpoint.path);
        check(&asked.json(), schema, &description, endpoint.path);
    }
}

/// Follows a value along its schema as far as objects and lists go.
fn check(value: &Value, schema: &Value, whole: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let found = whole.pointer(reference.trim_start_matches('#'));
        let found = found.unwrap_or_else(|| panic!("{at}: {reference} leads nowhere"));
        return check(value, found, whole, at);
    }
    match value {
        Value::Object(fields) => {
            let Some(known) = schema["properties"].as_object() else {
                return;
            };
            for (name, value) in fields {
                let schema = known.get(name);
                let schema = schema.unwrap_or_else(|| panic!("{at}.{name} is not described"));
                check(value, schema, whole, &format!("{at}.{name}"));
            }
            for required in schema["required"].as_array().into_iter().flatten() {
                let name = required.as_str().unwrap();
                assert!(fields.contains_key(name), "{at}.{name} is required");
            }
        }
        Value::Array(items) => {
            let schema = &schema["items"];
            items.iter().for_each(|item| check(item, schema, whole, at));
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_description_and_its_page_are_served_to_anybody() {
    let example = Example::new().await;
    let router = plain(&example);
    let served = ask(&router, request(Method::GET, "/api/openapi.json", &[], "")).await;
    assert_eq!(served.status, 200);
    assert_eq!(served.json()["openapi"], "3.1.0");
    let page = ask(&router, request(Method::GET, "/api/docs", &[], "")).await;
    assert_eq!(page.status, 200);
    for endpoint in ENDPOINTS {
        assert!(page.body.contains(endpoint.summary), "{}", endpoint.path);
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let example = Example::new().await;
    let router = plain(&example);
    let authorization = format!("Bearer {}", example.token("viewer"));
    let first = get(&router, "/api/v1/devices", example.token("viewer")).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.len() == 18, "{tag}");
    let again = |known: String| {
        let headers = [
            ("authorization", authorization.as_str()),
            ("if-none-match", known.as_str()),
        ];
        let request = request(Method::GET, "/api/v1/devices", &headers, "");
        let router = router.clone();
        async move { ask(&router, request).await }
    };
    let same = again(format!("\"other\", W/{tag}")).await;
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    assert_eq!(same.header("etag"), tag);
    example.store.set_connected(example.lincoln, true, NOW);
    let changed = again(tag.clone()).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    let foreign = [("authorization", "Bearer rca_x"), ("if-none-match", &tag)];
    let refused = ask(
        &router,
        request(Method::GET, "/api/v1/devices", &foreign, ""),
    )
    .await;
    assert_eq!(refused.status, 401, "a tag is no token");
}

/// An unknown field is answered with the known ones, which are to be those of the description; and who
/// may only read changes nothing.
#[tokio::test]
async fn every_address_that_changes_something_takes_what_is_described() {
    let example = Example::new().await;
    let router = plain(&example);
    let list = get(
        &router,
        "/api/v1/alerts?state=firing",
        example.token("admin"),
    )
    .await;
    let alert = list.json()["alerts"][0]["id"].as_str().unwrap().to_owned();
    for write in WRITES.iter().filter(|write| write.method == "post") {
        let verbs = if write.verbs.is_empty() {
            &[""]
        } else {
            write.verbs
        };
        let mut known = BTreeSet::new();
        for verb in verbs {
            let address = write.path.replace("{id}", &alert).replace("{verb}", verb);
            let address = address.replace("{version}", "0");
            let post = |role: &str| {
                let authorization = format!("Bearer {}", example.token(role));
                let headers = [("authorization", authorization.as_str())];
                let nonsense = "{\"qqqqqqqqqqqqqqq\":1}";
                let request = request(Method::POST, &address, &headers, nonsense);
                let router = router.clone();
                async move { ask(&router, request).await }
            };
            let asked = post("admin").await;
            assert_eq!(asked.status, 400, "{address}: {}", asked.body);
            let detail = asked.json()["detail"].as_str().unwrap().to_owned();
            let words = detail
                .split_once("there are: ")
                .map_or("", |(_, words)| words);
            known.extend(
                words
                    .split(", ")
                    .filter(|w| !w.is_empty())
                    .map(str::to_owned),
            );
        }
        let described: BTreeSet<String> = write
            .fields
            .iter()
            .map(|field| field.name.to_owned())
            .collect();
        assert_eq!(known, described, "{}", write.path);
    }
}
