//! What is answered to whom.

use super::*;

#[tokio::test]
async fn answers_are_typed_and_named() {
    let example = Example::new().await;
    let router = plain(&example);
    let id = example.lincoln.to_string();
    let detail = get(
        &router,
        &format!("/api/v1/devices/{id}"),
        example.token("viewer"),
    )
    .await
    .json();
    assert_eq!(detail["id"], id.as_str());
    assert_eq!(detail["os"], "Windows 11 Education");
    assert_eq!(detail["vantage"], "on-campus:Lincoln");
    assert_eq!(detail["last_report_at"], NOW.to_string());
    assert_eq!(detail["firing_alerts"], 1);
    assert_eq!(detail["clock_skew_ms"], 1500);
    let reading = |name: &str| {
        let latest = detail["latest"].as_array().unwrap();
        latest.iter().find(|r| r["metric"] == name).unwrap().clone()
    };
    let charge = reading("hw.battery.charge");
    assert_eq!(
        (charge["value"].as_f64(), charge["unit"].as_str()),
        (Some(0.7), Some("1"))
    );
    assert_eq!(reading("os.restart.pending")["value"], true);
    assert_eq!(reading("os.name")["value"], "Windows");
    let verdict = reading("hw.physical_disk.verdict");
    assert!(verdict["value"].is_null());
    assert_eq!(verdict["unavailable"], "smartctl is not installed");
    let states: Vec<_> = detail["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["state"].clone())
        .collect();
    assert_eq!(states, ["firing", "pending"]);
    assert_eq!(detail["alerts"][0]["runbook"], "Runbook of disk-failing.");

    let address =
        format!("/api/v1/devices/{id}/series?metric=hw.battery.charge&instance=BAT0&points=10");
    let series = get(&router, &address, example.token("viewer")).await.json();
    let points = series["points"].as_array().unwrap();
    assert_eq!(series["unit"], "1");
    assert!(series["thinned"] == true && points.len() <= 10, "{series}");
    assert_eq!(points.last().unwrap()["at"], NOW.to_string());
    assert_eq!(points.last().unwrap()["value"], 0.7);
    let half = format!(
        "{address}&from={}&to={}",
        NOW.plus_ms(-600_000),
        NOW.plus_ms(-300_000).0
    );
    let half = get(&router, &half, example.token("viewer")).await.json();
    assert_eq!(
        (half["points"].as_array().unwrap().len(), &half["thinned"]),
        (6, &Json::Bool(false))
    );

    // Every number at once, and stretches of time instead of readings.
    let all = format!("/api/v1/devices/{id}/series");
    let all = get(&router, &all, example.token("viewer")).await.json();
    assert_eq!(
        (&all["device"], &all["resolution"]),
        (&id.to_string().into(), &"raw".into())
    );
    let charge = of_series(&all, "hw.battery.charge");
    assert_eq!(charge["at_ms"].as_array().unwrap().len(), 20);
    assert_eq!(charge["value"][19], 0.7);
    assert!(
        all["series"]
            .as_array()
            .unwrap()
            .iter()
            .all(|of| of["metric"] != "os.name")
    );
    let week = format!(
        "/api/v1/devices/{id}/series?metric=hw.battery.charge&metric=os.name&from={}",
        NOW.plus_ms(-7 * 86_400_000).0
    );
    let week = get(&router, &week, example.token("viewer")).await.json();
    assert_eq!(
        (&week["resolution"], &week["step_s"]),
        (&"15m".into(), &1800.into())
    );
    let charge = of_series(&week, "hw.battery.charge");
    let counts = charge["count"].as_array().unwrap().iter();
    assert_eq!(counts.map(|count| count.as_u64().unwrap()).sum::<u64>(), 20);
    let last = charge["last"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (last, charge["min"].as_array().unwrap().len()),
        (&0.7.into(), charge["at_ms"].as_array().unwrap().len())
    );
    let month = format!("{address}&resolution=1d");
    let month = get(&router, &month, example.token("viewer")).await.json();
    let point = month["points"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&month["step_s"], &point["last"]),
        (&86_400.into(), &0.7.into())
    );
    assert!(point["min"].as_f64().unwrap() <= point["value"].as_f64().unwrap());

    let summary = get(&router, "/api/v1/summary", example.token("viewer"))
        .await
        .json();
    assert_eq!(summary["devices"], 2);
    assert_eq!(summary["simulated"], 1);
    assert_eq!(summary["firing"]["critical"], 1);
    assert_eq!(summary["pending"], 1);
    assert_eq!(summary["standing"]["active"], 2);
    assert_eq!(summary["agent_versions"][0]["standing"], "current");
    assert_eq!(summary["sites"][0]["site"], "Hay");
    assert_eq!(summary["sites"][0]["firing"]["warning"], 1);

    let outbox = get(&router, "/api/v1/outbox", example.token("technician"))
        .await
        .json();
    assert_eq!(
        (&outbox["state"], &outbox["waiting"], &outbox["stuck"]),
        (&"stuck".into(), &2.into(), &1.into())
    );
    assert_eq!(outbox["entries"][0]["last_error"], "connection refused");
    let channel = &outbox["channels"][0];
    assert_eq!(
        (&channel["name"], &channel["last_error"]),
        (&"tickets".into(), &"connection refused".into())
    );
    assert!(!channel["oldest_at"].is_null(), "{channel}");
    let audit = get(&router, "/api/v1/audit?lines=1", example.token("admin"))
        .await
        .json();
    assert_eq!(audit["lines"][0]["action"], "token.create");
    let catalogue = get(
        &router,
        "/api/v1/metrics-catalogue",
        example.token("viewer"),
    )
    .await
    .json();
    let metrics = catalogue["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), rollcall_shared::metric::CATALOGUE.len());
    assert!(
        metrics
            .iter()
            .all(|m| m["name"].is_string() && m["meaning"].is_string())
    );
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let example = Example::new().await;
    let router = plain(&example);
    let series = format!("/api/v1/devices/{}/series", example.lincoln);
    let cases = [
        ("/api/v1/devices?sites=x".to_owned(), "sites"),
        ("/api/v1/devices?page_size=0".to_owned(), "page_size"),
        ("/api/v1/devices?page_size=1001".to_owned(), "page_size"),
        ("/api/v1/devices?page_size=-1".to_owned(), "page_size"),
        ("/api/v1/devices?page=zz".to_owned(), "page"),
        (
            format!("/api/v1/devices?search={}", "x".repeat(129)),
            "search",
        ),
        ("/api/v1/devices?site=a&site=b".to_owned(), "site"),
        ("/api/v1/alerts?state=burning".to_owned(), "state"),
        ("/api/v1/alerts?state=resolved&page=zz".to_owned(), "page"),
        ("/api/v1/incidents?state=over".to_owned(), "state"),
        ("/api/v1/incidents?shared=maybe".to_owned(), "shared"),
        ("/api/v1/summary?x=1".to_owned(), "x"),
        ("/api/v1/audit?lines=5000".to_owned(), "lines"),
        (format!("{series}?metric="), "metric"),
        (format!("{series}?metric=os.name&metric=no.such"), "metric"),
        (
            format!("{series}?metric=os.name&resolution=5m"),
            "resolution",
        ),
        (format!("{series}?points=2001"), "points"),
        (format!("{series}?metric=no.such"), "metric"),
        (format!("{series}?metric=os.name&from=yesterday"), "from"),
        (format!("{series}?metric=os.name&from=5&to=4"), "from"),
        (format!("{series}?metric=os.name&points=5"), "points"),
        (
            format!("{series}?metric=os.name&instance={}", "x".repeat(129)),
            "instance",
        ),
    ];
    for (address, field) in cases {
        let asked = get(&router, &address, example.token("admin")).await;
        assert_eq!(asked.status, 400, "{address}: {}", asked.body);
        assert_eq!(asked.header("content-type"), "application/problem+json");
        let problem = asked.json();
        assert_eq!(problem["field"], field, "{address}: {problem}");
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&400.into(), &"Bad Request".into())
        );
        assert_eq!(problem["type"], "urn:rollcall:problem:parameter");
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .starts_with(&format!("`{field}` "))
        );
    }
    for id in ["x", "%ff", "..%2f", "00000000-0000-0000-0000-000000000000"] {
        let asked = get(
            &router,
            &format!("/api/v1/devices/{id}"),
            example.token("admin"),
        )
        .await;
        assert_eq!(
            (asked.status, asked.header("content-type")),
            (404, "application/problem+json"),
            "{id}"
        );
    }
}

#[tokio::test]
async fn pages_of_devices_hold_each_once() {
    let example = Example::new().await;
    let more =
        (0..60).map(|_| Write::PutDevice(device(DeviceId::generate(), "Lincoln", None, "X")));
    example.store.commit(more.collect()).await.unwrap();
    let router = plain(&example);
    let (mut seen, mut page, mut first) = (Vec::new(), String::new(), true);
    while first || !page.is_empty() {
        let address = format!("/api/v1/devices?page_size=7&page={page}");
        let asked = get(&router, &address, example.token("viewer")).await.json();
        assert!(asked["total"].as_u64().unwrap() >= 62);
        let ids = asked["devices"].as_array().unwrap().iter();
        seen.extend(ids.map(|d| d["id"].as_str().unwrap().to_owned()));
        page = asked["next_page"].as_str().unwrap_or_default().to_owned();
        if first {
            let newcomer = device(DeviceId::generate(), "Lincoln", None, "X");
            example
                .store
                .commit(vec![Write::PutDevice(newcomer)])
                .await
                .unwrap();
            first = false;
        }
    }
    let mut unique = seen.clone();
    unique.dedup();
    assert!(
        unique.is_sorted() && unique.len() == 63 && seen.len() == 63,
        "{}",
        seen.len()
    );
    let found = get(
        &router,
        "/api/v1/devices?search=LATITUDE",
        example.token("viewer"),
    )
    .await
    .json();
    assert_eq!(
        (&found["total"], &found["devices"][0]["simulated"]),
        (&1.into(), &true.into())
    );
    let by_group = get(
        &router,
        "/api/v1/devices?group=simulated",
        example.token("viewer"),
    )
    .await
    .json();
    assert_eq!(by_group["total"], 1);
}

#[tokio::test]
async fn pages_of_the_history_hold_each_alert_once() {
    let example = Example::new().await;
    for n in 0..40 {
        let mut over = alert(
            example.lincoln,
            &format!("rule-{n}"),
            Severity::Info,
            AlertState::Resolved,
        );
        // Several at one moment, as when a whole site comes back.
        over.resolved = Some(NOW.plus_ms(-(n / 8) * 1000));
        example
            .store
            .commit(vec![Write::ResolveAlert(over)])
            .await
            .unwrap();
    }
    let router = plain(&example);
    let (mut rules, mut page) = (Vec::new(), String::new());
    loop {
        let address = format!("/api/v1/alerts?state=resolved&site=Lincoln&page_size=9&page={page}");
        let asked = get(&router, &address, example.token("viewer")).await.json();
        let alerts = asked["alerts"].as_array().unwrap().iter();
        rules.extend(alerts.map(|a| (a["resolved_at"].clone().to_string(), a["rule"].to_string())));
        match asked["next_page"].as_str() {
            Some(next) => page = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(rules.len(), 41);
    assert!(
        rules.windows(2).all(|pair| pair[0].0 >= pair[1].0),
        "latest first"
    );
    rules.sort();
    rules.dedup();
    assert_eq!(rules.len(), 41);
}

/// The rules of the text format that `promtool check metrics` looks at.
#[tokio::test]
async fn metrics_keep_to_the_format() {
    let example = Example::new().await;
    let router = plain(&example);
    let text = get(&router, "/metrics", example.token("admin")).await.body;
    let mut family = String::new();
    let (mut families, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, sentence) = help.split_once(' ').unwrap();
            assert!(
                name.starts_with("rollcall_") && sentence.ends_with('.'),
                "{line}"
            );
            assert!(families.insert(name.to_owned()), "{name} comes twice");
            family = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.split('{').next().unwrap(), family);
            assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
        }
    }
    for expected in [
        "rollcall_devices{site=\"Hay\",standing=\"active\"} 1",
        "rollcall_alerts{rule=\"disk-failing\",severity=\"critical\",state=\"firing\"} 1",
        "rollcall_outbox_stuck_entries{channel=\"tickets\"} 1",
        "rollcall_store_reports_total 40",
        "rollcall_ingest_rejected_total{reason=\"future-dated\"} 0",
        "rollcall_ingest_refused_total{reason=\"token-unknown\"} 0",
    ] {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected} in\n{text}"
        );
    }
    let scoped = get(&router, "/metrics", example.token("viewer-lincoln"))
        .await
        .body;
    assert!(
        !scoped.contains("rollcall_store_") && !scoped.contains("ingest"),
        "{scoped}"
    );
}

fn of_series<'a>(answer: &'a Json, metric: &str) -> &'a Json {
    let series = answer["series"].as_array().unwrap();
    let found = series.iter().find(|of| of["metric"] == metric);
    found.unwrap_or_else(|| panic!("no {metric} in {answer}"))
}
