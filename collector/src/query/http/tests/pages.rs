//! Signing in, and what pages say.

use super::*;

#[tokio::test]
async fn signing_in_and_out() {
    let example = Example::new().await;
    let router = plain(&example);
    let sent_away = ask(&router, request(Method::GET, "/", &[], "")).await;
    assert_eq!(
        (sent_away.status, sent_away.header("location")),
        (303, "/sign-in")
    );
    let form = ask(&router, request(Method::GET, "/sign-in", &[], "")).await;
    let form_cookie = form.cookies().remove(0);
    let body = format!(
        "token={}&form={}",
        example.token("viewer-lincoln"),
        form.form_token()
    );
    let send = |headers: Vec<(&'static str, String)>, body: String| {
        let router = router.clone();
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            ask(&router, request(Method::POST, "/sign-in", &headers, &body)).await
        }
    };
    let own = vec![
        ("cookie", form_cookie.clone()),
        ("origin", "http://localhost:8480".to_owned()),
    ];
    let foreign = vec![
        ("cookie", form_cookie.clone()),
        ("origin", "http://evil.example".to_owned()),
    ];
    assert_eq!(
        send(foreign, body.clone()).await.status,
        403,
        "another origin"
    );
    let cross = vec![
        ("cookie", form_cookie.clone()),
        ("sec-fetch-site", "cross-site".to_owned()),
    ];
    assert_eq!(send(cross, body.clone()).await.status, 403, "another site");
    assert_eq!(
        send(Vec::new(), body.clone()).await.status,
        403,
        "no cookie"
    );
    let forged = format!("token={}&form=AAAA", example.token("viewer"));
    assert_eq!(send(own.clone(), forged).await.status, 403, "another form");
    let wrong = format!("token=rca_x&form={}", form.form_token());
    let refused = send(own.clone(), wrong).await;
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("role=\"alert\""), "{}", refused.body);
    assert_eq!(
        send(own.clone(), "x".repeat(9000)).await.status,
        403,
        "too large"
    );

    let welcome = send(own, body).await;
    assert_eq!((welcome.status, welcome.header("location")), (303, "/"));
    let session = welcome.cookies().remove(0);
    assert!(session.starts_with("rollcall="), "{session}");
    let with_session = [("cookie", session.as_str())];
    let page = ask(&router, request(Method::GET, "/", &with_session, "")).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("viewer-lincoln") && !page.body.contains("Hay"));
    let api = ask(
        &router,
        request(Method::GET, "/api/v1/summary", &with_session, ""),
    )
    .await;
    assert_eq!(api.status, 401, "the cookie is not for programs");
    let foreign = format!("/devices/{}", example.hay);
    let foreign = ask(&router, request(Method::GET, &foreign, &with_session, "")).await;
    assert_eq!(foreign.status, 404);
    assert!(foreign.body.contains("<h1>Not Found</h1>"));

    let forged = ask(
        &router,
        request(Method::POST, "/sign-out", &with_session, "form=AAAA"),
    )
    .await;
    assert_eq!(forged.status, 403);
    let sign_out = format!("form={}", page.form_token());
    let out = ask(
        &router,
        request(Method::POST, "/sign-out", &with_session, &sign_out),
    )
    .await;
    assert_eq!((out.status, out.header("location")), (303, "/sign-in"));
    let after = ask(&router, request(Method::GET, "/", &with_session, "")).await;
    assert_eq!(after.header("location"), "/sign-in");
}

/// Signs in and returns the session's cookie.
pub(super) async fn session_of(router: &Router, token: &str) -> String {
    let form = ask(router, request(Method::GET, "/sign-in", &[], "")).await;
    let body = format!("token={token}&form={}", form.form_token());
    let cookie = form.cookies().remove(0);
    let headers = [("cookie", cookie.as_str())];
    let welcome = ask(router, request(Method::POST, "/sign-in", &headers, &body)).await;
    welcome.cookies().remove(0)
}

#[tokio::test]
async fn a_revoked_token_ends_its_sessions() {
    let example = Example::new().await;
    let router = plain(&example);
    let cookie = session_of(&router, example.token("viewer")).await;
    let headers = [("cookie", cookie.as_str())];
    assert_eq!(
        ask(&router, request(Method::GET, "/", &headers, ""))
            .await
            .status,
        200
    );
    let mut token = example
        .store
        .api_tokens()
        .into_iter()
        .find(|t| t.name == "viewer")
        .unwrap();
    token.revoked = true;
    example
        .store
        .commit(vec![Write::PutApiToken(token)])
        .await
        .unwrap();
    assert_eq!(
        ask(&router, request(Method::GET, "/", &headers, ""))
            .await
            .status,
        303
    );
}

#[tokio::test]
async fn pages_escape_what_devices_say_and_need_no_script() {
    let example = Example::new().await;
    let router = plain(&example);
    let cookie = session_of(&router, example.token("admin")).await;
    let headers = [("cookie", cookie.as_str())];
    let addresses = [
        "/",
        "/devices",
        "/devices/{L}",
        "/devices/{L}?part=battery&range=week",
        "/devices/{L}/collected",
        "/devices?search=%3Cscript%3Ealert(1)%22&sort=battery&order=reversed",
        "/reachability",
        "/reports",
    ];
    for address in addresses {
        let address = address.replace("{L}", &example.lincoln.to_string());
        let page = ask(&router, request(Method::GET, &address, &headers, "")).await;
        assert_eq!(page.status, 200, "{address}");
        assert!(
            !page.body.contains(HOSTILE)
                && page.body.matches("<script").count()
                    == page.body.matches("<script defer src=\"/assets/").count(),
            "{address}"
        );
        assert!(
            !page.body.contains(" style=") && !page.body.contains("http://"),
            "{address}"
        );
        for landmark in [
            "<header",
            "<nav aria-label",
            "<main id=\"main\"",
            "<footer",
            "<h1>",
            "href=\"#main\"",
        ] {
            assert!(page.body.contains(landmark), "{address} lacks {landmark}");
        }
    }
    let page = ask(&router, request(Method::GET, "/", &headers, ""))
        .await
        .body;
    assert!(page.contains("&lt;script&gt;") && page.contains("Runbook of disk-failing."));
    assert!(page.contains("Simulated"));
    let (critical, warning) = (page.find("disk-failing"), page.find("battery-worn"));
    assert!(critical.unwrap() < warning.unwrap(), "most urgent first");
    let refused = ask(&router, request(Method::GET, "/?colour=red", &headers, "")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("<code>colour</code> is not known"));
}

/// Random text may hold any word.
fn without_form_tokens(page: &str) -> String {
    let mut parts = page.split("name=\"form\" value=\"");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, rest) = part.split_once('"').unwrap();
        text.push_str(rest);
    }
    text
}

/// What each role and scope gets of each page. `{L}` and `{H}` are the devices of Lincoln and Hay.
#[tokio::test]
async fn every_page_by_every_role_and_scope() {
    let example = Example::new().await;
    let router = plain(&example);
    let names = [
        "viewer",
        "technician",
        "admin",
        "viewer-lincoln",
        "admin-lincoln",
    ];
    let table: &[(&str, [u16; 5])] = &[
        ("/", [200; 5]),
        ("/?site=Hay", [200; 5]),
        ("/devices", [200; 5]),
        ("/devices?site=Hay", [200; 5]),
        ("/devices?search=latitude", [200; 5]),
        ("/devices.csv", [200; 5]),
        ("/devices/{L}", [200; 5]),
        ("/devices/{H}", [200, 200, 200, 404, 404]),
        ("/devices/{L}/collected", [200; 5]),
        ("/devices/{H}/collected", [200, 200, 200, 404, 404]),
        ("/devices/{L}/history.json", [200; 5]),
        ("/devices/{H}/history.json", [200, 200, 200, 404, 404]),
        (
            "/devices/{L}/week.svg?metric=hw.battery.charge&instance=BAT0",
            [200; 5],
        ),
        (
            "/devices/{H}/week.svg?metric=hw.battery.charge&instance=BAT0",
            [200, 200, 200, 404, 404],
        ),
        ("/reachability", [200; 5]),
        ("/reports", [200; 5]),
        ("/reports/batteries.csv", [200; 5]),
        ("/reports/drives.csv", [200; 5]),
        ("/reports/systems.csv", [200; 5]),
        ("/reports/load.csv", [200; 5]),
        ("/reports/nothing.csv", [404; 5]),
        ("/administration", [403, 200, 200, 403, 200]),
        ("/nowhere", [404; 5]),
    ];
    let hay = example.hay.to_string();
    for (at, name) in names.iter().enumerate() {
        let cookie = session_of(&router, example.token(name)).await;
        let headers = [("cookie", cookie.as_str())];
        for (address, expected) in table {
            let path = address
                .replace("{L}", &example.lincoln.to_string())
                .replace("{H}", &hay);
            let asked = ask(&router, request(Method::GET, &path, &headers, "")).await;
            assert_eq!(
                asked.status, expected[at],
                "{path} as {name}: {}",
                asked.body
            );
            // What was asked for is repeated; what is there is not told.
            let own = asked.body.replace(&path.replace('&', "&amp;"), "");
            let told = without_form_tokens(&own)
                .replace("value=\"Hay\"", "")
                .replace("site=Hay", "")
                .replace(">Hay (0)", "");
            let leaks = told.contains("Hay") || told.contains(&hay);
            assert!(
                !(name.ends_with("lincoln") && leaks),
                "{path} as {name} tells of Hay: {told}"
            );
        }
    }
    for (address, _) in table {
        let path = address.replace("{L}", &example.lincoln.to_string());
        let stranger = ask(&router, request(Method::GET, &path, &[], "")).await;
        assert_eq!(
            (stranger.status, stranger.header("location")),
            (303, "/sign-in"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn files_have_what_the_page_shows() {
    let example = Example::new().await;
    let router = plain(&example);
    let cookie = session_of(&router, example.token("viewer")).await;
    let headers = [("cookie", cookie.as_str())];
    let file = ask(
        &router,
        request(Method::GET, "/devices.csv?site=Hay", &headers, ""),
    )
    .await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert!(
        file.header("content-disposition")
            .contains("rollcall-fleet.csv")
    );
    let lines: Vec<&str> = file.body.lines().collect();
    assert_eq!(lines.len(), 2, "{}", file.body);
    assert!(lines[1].starts_with(&format!(
        "{},,Dell Latitude 3120,,Hay,simulated,warning,1,",
        example.hay
    )));
    let gzip = [("cookie", cookie.as_str()), ("accept-encoding", "gzip")];
    let request = request(Method::GET, "/devices", &gzip, "");
    let packed = router.clone().oneshot(request).await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert_eq!(packed.headers()["vary"], "accept-encoding");
}

#[tokio::test]
async fn a_page_hears_of_what_changed_and_its_stream_ends() {
    let example = Example::new().await;
    let router = plain(&example);
    let cookie = session_of(&router, example.token("viewer-lincoln")).await;
    let headers = [("cookie", cookie.as_str())];
    let request = request(Method::GET, "/events", &headers, "");
    let answer = router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut word = async || {
        let frame = tokio::time::timeout(Duration::from_secs(20), body.frame());
        let frame = frame.await.expect("a word comes in time").unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert!(word().await.contains("event: pulse"));
    let alert = example.store.open_alerts().remove(0);
    let change = vec![Write::PutAlert(alert)];
    example.store.commit(change).await.unwrap();
    assert_eq!(
        word().await,
        "event: changed\ndata:\n\n",
        "and nothing of what"
    );
}

/// Sends a form with this session's own token.
async fn send(router: &Router, cookie: &str, address: &str, fields: &str) -> Asked {
    let headers = [("cookie", cookie), ("origin", "http://localhost:8480")];
    let page = ask(
        router,
        request(Method::GET, "/administration", &headers, ""),
    )
    .await;
    let body = format!("{fields}&form={}", page.form_token());
    ask(router, request(Method::POST, address, &headers, &body)).await
}

#[tokio::test]
async fn tokens_are_shown_once_and_end_sessions_when_they_are_revoked() {
    let example = Example::new().await;
    let enrolling = crate::query::Enrolling {
        authority: rollcall_shared::token::AuthorityFingerprint([7; 32]),
        port: 8443,
    };
    let query = example.query.clone().enrolling(enrolling);
    let router = router(query, false, &[]);
    let admin = session_of(&router, example.token("admin")).await;
    let fields = "site=Hay&uses=3&days=2";
    let made = send(&router, &admin, "/administration/tokens", fields).await;
    assert_eq!(made.status, 200);
    let (_, rest) = made.body.split_once("class=\"token\">").expect(&made.body);
    let token = rest.split('<').next().unwrap();
    assert!(
        made.body.contains("--token-file") && token.len() > 40,
        "{token}"
    );
    let headers = [("cookie", admin.as_str())];
    let page = ask(
        &router,
        request(Method::GET, "/administration", &headers, ""),
    )
    .await;
    assert!(!page.body.contains(token), "it is not shown again");
    for renewed in ["live.js", "Load again"] {
        assert!(page.body.contains(renewed));
        assert!(
            !made.body.contains(renewed),
            "nothing renews what came of a form"
        );
    }
    let known = example.store.tokens().remove(0);
    assert_eq!((known.site.as_str(), known.uses_left), ("Hay", Some(3)));

    let wrong = send(
        &router,
        &admin,
        "/administration/tokens",
        "site=Hay&uses=many",
    )
    .await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("`uses` must be"), "{}", wrong.body);

    let scoped = session_of(&router, example.token("admin-lincoln")).await;
    let foreign = send(&router, &scoped, "/administration/tokens", fields).await;
    assert_eq!(foreign.status, 400, "of another site");
    let wider = "name=wide&role=admin&sites=";
    let wider = send(&router, &scoped, "/administration/api-tokens", wider).await;
    assert_eq!(wider.status, 400, "nobody gives more than they have");
    let hidden = format!("id={}", known.id);
    let hidden = send(&router, &scoped, "/administration/tokens/revoke", &hidden).await;
    assert_eq!(hidden.status, 404);

    let viewer = session_of(&router, example.token("viewer")).await;
    let viewing = [("cookie", viewer.as_str())];
    let gone = send(
        &router,
        &admin,
        "/administration/api-tokens/revoke",
        "name=viewer",
    )
    .await;
    assert_eq!(
        (gone.status, gone.header("location")),
        (303, "/administration")
    );
    let after = ask(&router, request(Method::GET, "/", &viewing, "")).await;
    assert_eq!(after.header("location"), "/sign-in");
    let audit = example.store.audit(3).unwrap();
    assert_eq!(
        (audit[0].actor.as_str(), audit[0].action.as_str()),
        ("api admin", "api-token.revoke")
    );
}

/// The headers of a request.
type Headers<'a> = Vec<(&'a str, &'a str)>;

#[tokio::test]
async fn forms_of_others_change_nothing() {
    let example = Example::new().await;
    let router = plain(&example);
    let cookie = session_of(&router, example.token("admin")).await;
    let page = ask(
        &router,
        request(Method::GET, "/administration", &[("cookie", &cookie)], ""),
    )
    .await;
    let good = format!("name=viewer&form={}", page.form_token());
    let other = session_of(&router, example.token("technician")).await;
    let tries: [(&str, Headers, &str); 4] = [
        (
            "another origin",
            vec![("cookie", &cookie), ("origin", "http://evil.example")],
            &good,
        ),
        (
            "another site",
            vec![("cookie", &cookie), ("sec-fetch-site", "cross-site")],
            &good,
        ),
        ("another session", vec![("cookie", &other)], &good),
        ("no token", vec![("cookie", &cookie)], "name=viewer"),
    ];
    for (what, headers, body) in tries {
        let address = "/administration/api-tokens/revoke";
        let asked = ask(&router, request(Method::POST, address, &headers, body)).await;
        assert_eq!(asked.status, 403, "{what}: {}", asked.body);
    }
    let token = example
        .store
        .api_tokens()
        .into_iter()
        .find(|token| token.name == "viewer");
    assert!(!token.unwrap().revoked);
}

#[tokio::test]
async fn an_alert_is_acknowledged_by_who_may_and_shown_to_all() {
    let example = Example::new().await;
    let router = plain(&example);
    let alerts = example.store.open_alerts();
    let of = |device| {
        alerts
            .iter()
            .find(|a| a.key.device == device && a.fired.is_some())
            .unwrap()
    };
    let (lincoln, hay) = (of(example.lincoln).id, of(example.hay).id);
    let technician = session_of(&router, example.token("technician-lincoln")).await;
    let act = |id| format!("act=acknowledge&alert={id}&days=1&back=/");
    let done = send(&router, &technician, "/acts", &act(lincoln)).await;
    assert_eq!(
        (done.status, done.header("location")),
        (303, "/"),
        "{}",
        done.body
    );
    let foreign = send(&router, &technician, "/acts", &act(hay)).await;
    assert_eq!(foreign.status, 404, "{}", foreign.body);
    let viewer = session_of(&router, example.token("viewer")).await;
    let headers = [("cookie", viewer.as_str())];
    let page = ask(&router, request(Method::GET, "/", &headers, "")).await;
    assert!(
        page.body.contains("technician-lincoln deals with it"),
        "{}",
        page.body
    );
    assert!(
        !page.body.contains("action=\"/acts\""),
        "a viewer is offered nothing"
    );
    let body = format!("{}&form={}", act(lincoln), page.form_token());
    let tried = ask(&router, request(Method::POST, "/acts", &headers, &body)).await;
    assert_eq!(tried.status, 403);
}
