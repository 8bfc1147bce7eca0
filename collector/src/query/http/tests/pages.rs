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
async fn session_of(router: &Router, token: &str) -> String {
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
    let device = format!("/devices/{}", example.lincoln);
    let search = "/devices?search=%3Cscript%3Ealert(1)%22".to_owned();
    for address in ["/".to_owned(), "/devices".to_owned(), device, search] {
        let page = ask(&router, request(Method::GET, &address, &headers, "")).await;
        assert_eq!(page.status, 200, "{address}");
        assert!(
            !page.body.contains(HOSTILE) && !page.body.contains("<script"),
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
    assert!(refused.body.contains("`colour` is not known"));
}
