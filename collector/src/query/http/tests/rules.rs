//! The rules through the API: read, tried, changed, put back.

use serde_json::{Value, json};

use super::*;

async fn call(router: &Router, method: Method, address: &str, token: &str, body: Value) -> Asked {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let body = body.to_string();
    ask(router, request(method, address, &headers, &body)).await
}

const RULES: &str = "/api/v1/rules";

fn low(name: &str, limit: &str) -> String {
    format!(
        "name = \"{name}\"\ntitle = \"Low\"\nseverity = \"info\"\naudience = \"help-desk\"\n\
         all = [{{ metric = \"hw.battery.charge\", op = \"below\", value = \"{limit}\" }}]\n\
         runbook-text = \"Charge it.\"\nfamily.en = \"Charge it.\"\n"
    )
}

#[tokio::test]
async fn one_rule_is_added_changed_disabled_and_every_version_can_be_put_back() {
    let example = Example::new().await;
    let router = plain(&example);
    let admin = example.token("admin");
    let before = get(&router, RULES, admin).await.json();
    assert_eq!(
        (&before["version"], &before["source"]),
        (&json!(0), &json!("default"))
    );
    let worn = |answer: &Value| {
        let rules = answer["rules"].as_array().unwrap().clone();
        rules
            .into_iter()
            .find(|rule| rule["name"] == "battery-worn")
    };
    assert_eq!(worn(&before).unwrap()["firing"], 1);
    assert_eq!(worn(&before).unwrap()["own"], false);

    let body = json!({ "rule": low("low", "20 %"), "note": "for the tests", "version": 0 });
    let address = format!("{RULES}/low");
    for token in ["viewer", "technician", "admin-lincoln"] {
        let refused = call(
            &router,
            Method::PUT,
            &address,
            example.token(token),
            body.clone(),
        )
        .await;
        assert_eq!(refused.status, 403, "{token}");
    }
    let added = call(&router, Method::PUT, &address, admin, body.clone()).await;
    assert_eq!(added.status, 200, "{}", added.body);
    assert_eq!(
        (&added.json()["version"], &added.json()["source"]),
        (&json!(1), &json!("api"))
    );
    assert!(worn(&added.json()).is_some(), "the default rules stay");
    let stale = call(&router, Method::PUT, &address, admin, body).await;
    assert_eq!(stale.status, 409, "{}", stale.body);

    let wrong = low("low", "20 %").replace("below", "belo");
    let refused = call(
        &router,
        Method::PUT,
        &address,
        admin,
        json!({ "rule": wrong }),
    )
    .await;
    assert_eq!(refused.status, 400);
    let mistake = &refused.json()["mistake"];
    assert_eq!(
        (&mistake["rule"], &mistake["field"]),
        (&json!("low"), &json!("op"))
    );
    assert_eq!(
        mistake["line"], 5,
        "of the text that was given: {}",
        refused.body
    );
    // A rule comes with the comments before its header, and is given back with them.
    let whole = format!("# Low is low.\n# Two lines.\n[[rule]]\n{wrong}");
    for rule in [whole.clone(), whole.replace(" = \"info\"", " \"info\"")] {
        let line = match rule == whole {
            true => 8,
            // No TOML at all.
            false => 6,
        };
        let body = json!({ "rule": rule });
        let told = call(&router, Method::PUT, &address, admin, body).await;
        assert_eq!(told.json()["mistake"]["line"], line, "{}", told.body);
    }
    assert!(
        refused.body.contains("did you mean `below`?"),
        "{}",
        refused.body
    );
    assert_eq!(get(&router, RULES, admin).await.json()["version"], 1);

    let shown = get(&router, &address, admin).await.json();
    assert!(shown["rule"].as_str().unwrap().contains("20 %"), "{shown}");
    let gone = format!("{RULES}/battery-worn");
    let gone = call(&router, Method::DELETE, &gone, admin, json!({})).await;
    assert_eq!(gone.status, 200, "{}", gone.body);
    assert!(worn(&gone.json()).is_none());
    let missing = call(
        &router,
        Method::DELETE,
        &format!("{RULES}/nope"),
        admin,
        json!({}),
    )
    .await;
    assert_eq!(missing.status, 404);

    let restore = format!("{RULES}/versions/1/restore");
    let back = call(&router, Method::POST, &restore, admin, json!({})).await;
    assert_eq!(back.json()["version"], 3, "{}", back.body);
    assert!(worn(&back.json()).is_some());
    let versions = get(&router, "/api/v1/rules/versions", admin).await.json();
    let numbers: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["version"].clone())
        .collect();
    assert_eq!(numbers, [3, 2, 1, 0]);
    let first = get(&router, "/api/v1/rules/versions/1", admin).await.json();
    assert!(first["text"].as_str().unwrap().contains("20 %"));
    assert_eq!(
        (&first["by"], &first["note"]),
        (&json!("api admin"), &json!("for the tests"))
    );
    let audit = get(&router, "/api/v1/audit?lines=9", admin).await.json();
    let changes = audit["lines"].as_array().unwrap().iter();
    assert_eq!(
        changes
            .filter(|line| line["action"] == "rules.change")
            .count(),
        3
    );
    assert_eq!(
        get(&router, "/api/v1/rules/versions/9", admin).await.status,
        404
    );
}

#[tokio::test]
async fn a_change_is_tried_before_it_is_made() {
    let example = Example::new().await;
    let router = plain(&example);
    let admin = example.token("admin");
    let tried = |address: &'static str, body: Value| {
        let router = router.clone();
        async move { call(&router, Method::POST, address, admin, body).await }
    };
    let validate = "/api/v1/rules/validate";
    let valid = tried(validate, json!({ "rule": low("low", "20 %") }))
        .await
        .json();
    assert_eq!(
        (&valid["valid"], &valid["changes"]["added"]),
        (&json!(true), &json!(["low"]))
    );
    let wrong = tried(validate, json!({ "text": "[[rul]]" })).await.json();
    assert_eq!(wrong["valid"], false);
    assert!(
        wrong["mistake"]["problem"]
            .as_str()
            .unwrap()
            .contains("rule"),
        "{wrong}"
    );
    let both = tried(validate, json!({ "text": "", "remove": "x" })).await;
    assert_eq!((both.status, &both.json()["field"]), (400, &json!("text")));

    let preview = "/api/v1/rules/preview";
    // Every laptop of the example has reported a charge below its half.
    let seen = tried(preview, json!({ "rule": low("low", "100 %"), "days": 7 })).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let seen = seen.json();
    assert_eq!(
        (&seen["looked_at"], &seen["devices"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(seen["rules"][0]["rule"], "low");
    assert_eq!(
        (
            &seen["rules"][0]["before"],
            &seen["rules"][0]["devices_after"]
        ),
        (&json!(0), &json!(2)),
        "{seen}"
    );
    assert_eq!(seen["examples"][0]["rule"], "low");
    let none = tried(preview, json!({ "rule": low("low", "40 %") }))
        .await
        .json();
    assert_eq!(none["rules"][0]["after"], 0);
    let nothing = tried(preview, json!({ "text": "extend-default = true" }))
        .await
        .json();
    assert_eq!(
        (&nothing["rules"], &nothing["looked_at"]),
        (&json!([]), &json!(0))
    );
    // A rule that is as it was is tried all the same: whoever gives it asks what it fires.
    let worn = get(&router, &format!("{RULES}/battery-worn"), admin).await;
    let unchanged = tried(preview, json!({ "rule": worn.json()["rule"] })).await;
    let unchanged = unchanged.json();
    assert_eq!(
        (
            &unchanged["looked_at"],
            &unchanged["changes"]["changed"],
            &unchanged["rules"][0]["rule"]
        ),
        (&json!(2), &json!([]), &json!("battery-worn")),
        "{unchanged}"
    );
    assert_eq!(
        (&unchanged["rules"][0]["before"], &unchanged["examples"]),
        (&unchanged["rules"][0]["after"], &json!([]))
    );
    let silent = tried(preview, json!({ "remove": "not-seen" })).await.json();
    assert_eq!(silent["not_judged"], json!(["not-seen"]));
    assert_eq!(tried(preview, json!({ "remove": "x" })).await.status, 404);
    assert_eq!(
        get(&router, RULES, admin).await.json()["version"],
        0,
        "nothing was changed"
    );
}

#[tokio::test]
async fn of_two_who_edit_a_rule_the_second_is_shown_what_the_first_wrote() {
    let example = Example::new().await;
    let router = plain(&example);
    let cookie = pages::session_of(&router, example.token("admin")).await;
    let page = "/administration/rules/battery-worn";
    let headers = [("cookie", cookie.as_str())];
    let shown = ask(&router, request(Method::GET, page, &headers, "")).await;
    let version = |asked: &Asked| {
        let (_, rest) = asked.body.split_once("name=\"version\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let form = shown.form_token();
    let rule = get(
        &router,
        &format!("{RULES}/battery-worn"),
        example.token("admin"),
    )
    .await;
    let rule = rule.json()["rule"].as_str().unwrap().to_owned();
    let save = |text: &str, version: &str| {
        let fields = [
            ("do", "save"),
            ("name", "battery-worn"),
            ("rule", text),
            ("note", ""),
            ("version", version),
            ("form", form.as_str()),
        ];
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let (router, cookie) = (router.clone(), cookie.clone());
        async move {
            let headers = [("cookie", cookie.as_str())];
            let sent = request(
                Method::POST,
                "/administration/rules/change",
                &headers,
                &body,
            );
            ask(&router, sent).await
        }
    };
    let (first, second) = (
        rule.replace("\"warning\"", "\"critical\""),
        rule.replace("\"warning\"", "\"info\""),
    );
    assert!(first != rule && second != rule, "{rule}");
    let begun = version(&shown);
    assert_eq!(save(&first, &begun).await.status, 303);
    let late = save(&second, &begun).await;
    assert_eq!(late.status, 409);
    for told in [
        "Nothing was changed",
        "as it holds now",
        "Your text is still",
    ] {
        assert!(late.body.contains(told), "{told}: {}", late.body);
    }
    let (_, field) = late.body.split_once("<textarea").unwrap();
    let (field, _) = field.split_once("</textarea>").unwrap();
    assert!(
        field.contains("info") && !field.contains("critical"),
        "{field}"
    );
    // Having seen it, the second may insist.
    assert_eq!(save(&second, &version(&late)).await.status, 303);
    let holds = ask(&router, request(Method::GET, page, &headers, "")).await;
    assert!(
        holds.body.contains("severity = &quot;info&quot;"),
        "{}",
        holds.body
    );
}
