//! Requests that change something.

use super::*;

async fn send(router: &Router, method: Method, address: &str, token: &str, body: &str) -> Asked {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    ask(router, request(method, address, &headers, body)).await
}

async fn post(router: &Router, address: &str, token: &str, body: &str) -> Asked {
    send(router, Method::POST, address, token, body).await
}

async fn alert_at(example: &Example, router: &Router, site: &str) -> String {
    let address = format!("/api/v1/alerts?state=firing&site={site}");
    let list = get(router, &address, example.token("admin")).await.json();
    list["alerts"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_alert_is_dealt_with_and_the_list_says_so() {
    let example = Example::new().await;
    let router = plain(&example);
    let id = alert_at(&example, &router, "Lincoln").await;
    let at = |verb: &str| format!("/api/v1/alerts/{id}/{verb}");
    let technician = example.token("technician-lincoln");
    let refused = post(
        &router,
        &at("acknowledge"),
        example.token("viewer"),
        "{\"for_s\":60}",
    )
    .await;
    assert_eq!(refused.status, 403);
    let wrong = post(&router, &at("acknowledge"), technician, "{\"fors\":60}").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.header("content-type"), "application/problem+json");
    assert_eq!(wrong.json()["field"], "fors");
    assert!(
        wrong.body.contains("did you mean `for_s`?"),
        "{}",
        wrong.body
    );
    let body = "{\"for_s\":3600,\"note\":\"ordered\"}";
    let dealt = post(&router, &at("acknowledge"), technician, body).await;
    assert_eq!(dealt.status, 200, "{}", dealt.body);
    assert_eq!(dealt.json()["acknowledged"]["by"], "technician-lincoln");
    assert_eq!(
        post(&router, &at("not-useful"), technician, "")
            .await
            .status,
        200
    );
    let noted = post(&router, &at("notes"), technician, "{\"text\":\"hello\"}").await;
    assert_eq!(noted.json()["notes"][0]["text"], "hello");
    let list = get(&router, "/api/v1/alerts?site=Lincoln", technician)
        .await
        .json();
    let shown = &list["alerts"][0];
    assert_eq!(shown["acknowledged_by"], "technician-lincoln");
    assert_eq!(shown["not_useful_by"], "technician-lincoln");
    let marks = get(&router, &at("marks"), technician).await;
    assert_eq!(marks.json()["notes"][0]["text"], "hello");
    let foreign = alert_at(&example, &router, "Hay").await;
    let address = format!("/api/v1/alerts/{foreign}/release");
    assert_eq!(post(&router, &address, technician, "").await.status, 404);
    let nothing = post(&router, &at("acknowlege"), technician, "").await;
    assert_eq!(nothing.status, 404);
    assert!(
        nothing.body.contains("did you mean `acknowledge`?"),
        "{}",
        nothing.body
    );
    let audit = get(&router, "/api/v1/audit?lines=1", example.token("admin")).await;
    assert_eq!(audit.json()["lines"][0]["action"], "alert.note");
}

#[tokio::test]
async fn a_silence_and_a_maintenance_window_are_made_listed_and_ended() {
    let example = Example::new().await;
    let router = plain(&example);
    let technician = example.token("technician");
    let body =
        "{\"sites\":[\"Lincoln\"],\"rules\":[\"disk-full\"],\"for_s\":600,\"reason\":\"imaging\"}";
    let made = post(&router, "/api/v1/silences", technician, body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let body = "{\"sites\":[\"Hay\"],\"repeats\":\"yearly\",\"from\":\"06-20\",\"through\":\"08-25\",\"reason\":\"summer\"}";
    let summer = post(&router, "/api/v1/maintenance", technician, body).await;
    assert_eq!(summer.status, 201, "{}", summer.body);
    let shown = get(&router, "/api/v1/maintenance", technician).await.json();
    let summer = &shown["maintenance"][0];
    assert_eq!(
        (&summer["from"], &summer["until"]),
        (&"06-20".into(), &"08-25".into())
    );
    // The example's time is the 24th of August.
    assert!(summer["holds_until"].is_string(), "{summer}");
    let alerts = get(&router, "/api/v1/alerts?site=Hay", technician)
        .await
        .json();
    assert!(alerts["alerts"][0]["silenced_until"].is_string());
    let wrong = "{\"repeats\":\"weekly\",\"weekdays\":[\"moonday\"],\"from\":\"22:00\",\"until\":\"04:00\",\"reason\":\"x\"}";
    let wrong = post(&router, "/api/v1/maintenance", technician, wrong).await;
    assert_eq!(
        (wrong.status, &wrong.json()["field"]),
        (400, &"weekdays".into())
    );
    let no_reason = post(&router, "/api/v1/silences", technician, "{\"for_s\":600}").await;
    assert_eq!(no_reason.json()["field"], "reason");
    let address = format!("/api/v1/silences/{id}");
    let viewer = example.token("viewer");
    let refused = send(&router, Method::DELETE, &address, viewer, "").await;
    assert_eq!(refused.status, 403);
    let ended = send(&router, Method::DELETE, &address, technician, "").await;
    assert_eq!(ended.json()["ended_by"], "technician");
    let list = |all: &str| format!("/api/v1/silences{all}");
    let open = get(&router, &list(""), technician).await.json();
    assert_eq!(open["silences"], serde_json::json!([]));
    let all = get(&router, &list("?all=true"), technician).await.json();
    assert_eq!(all["silences"][0]["over"], true);
}
