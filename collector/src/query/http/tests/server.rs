//! What stands before and around the answers.

use super::*;

#[tokio::test]
async fn methods_and_headers_are_right() {
    let example = Example::new().await;
    let router = plain(&example);
    for address in ["/api/v1/devices", "/healthz", "/metrics", "/devices"] {
        let asked = ask(&router, request(Method::DELETE, address, &[], "")).await;
        assert_eq!(
            (asked.status, asked.header("allow")),
            (405, "GET,HEAD"),
            "{address}"
        );
        assert_eq!(asked.header("content-type"), "application/problem+json");
    }
    let authorization = format!("Bearer {}", example.token("viewer"));
    let headers = [("authorization", authorization.as_str())];
    let head = ask(
        &router,
        request(Method::HEAD, "/api/v1/devices", &headers, ""),
    )
    .await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for address in [
        "/api/v1/devices",
        "/metrics",
        "/healthz",
        "/nowhere",
        "/sign-in",
        "/api/v1/x",
    ] {
        let asked = ask(&router, request(Method::GET, address, &headers, "")).await;
        assert_eq!(
            asked.header("x-content-type-options"),
            "nosniff",
            "{address}"
        );
        assert_eq!(asked.header("cache-control"), "no-store", "{address}");
        assert_eq!(asked.header("x-frame-options"), "DENY", "{address}");
        let policy = asked.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    let style = ask(
        &router,
        request(Method::GET, "/assets/rollcall.css", &[], ""),
    )
    .await;
    assert_eq!(
        (style.status, style.header("content-type")),
        (200, "text/css; charset=utf-8")
    );
    assert!(!style.body.contains("url(") && !style.body.contains("@import"));
}

#[tokio::test]
async fn other_names_are_not_answered() {
    let example = Example::new().await;
    let router = plain(&example);
    for (host, expected) in [
        ("localhost:8480", 200),
        ("[::1]:8480", 200),
        ("evil.example:8480", 421),
    ] {
        let asked = ask(
            &router,
            request(Method::GET, "/healthz", &[("host", host)], ""),
        )
        .await;
        assert_eq!(asked.status, expected, "{host}");
    }
    let named = super::router(example.query.clone(), false, &["rollcall.lan".to_owned()]);
    let asked = ask(
        &named,
        request(Method::GET, "/healthz", &[("host", "rollcall.lan")], ""),
    )
    .await;
    assert_eq!(asked.status, 200);
}

#[tokio::test]
async fn wrong_tokens_are_slowed_and_right_ones_are_not() {
    let example = Example::new().await;
    let router = plain(&example);
    let (unknown, _) = crate::query::access::generate_token();
    for _ in 0..crate::query::access::WRONG_PER_MINUTE {
        assert_eq!(get(&router, "/api/v1/summary", &unknown).await.status, 401);
    }
    let slowed = get(&router, "/api/v1/summary", &unknown).await;
    assert_eq!((slowed.status, slowed.header("retry-after")), (429, "61"));
    let right = get(&router, "/api/v1/summary", example.token("viewer")).await;
    assert_eq!(right.status, 200, "an attacker locks nobody out");
    example.pass(61_000);
    assert_eq!(get(&router, "/api/v1/summary", &unknown).await.status, 401);
}

#[tokio::test]
async fn health_needs_no_token_and_readiness_gives_reasons() {
    let example = Example::new().await;
    let router = plain(&example);
    let alive = ask(&router, request(Method::GET, "/healthz", &[], "")).await;
    assert_eq!(
        (alive.status, alive.json()["status"].as_str().unwrap()),
        (200, "alive")
    );
    let ready = ask(&router, request(Method::GET, "/readyz", &[], "")).await;
    assert_eq!(
        (ready.status, ready.json()["ready"].as_bool()),
        (200, Some(true))
    );
    let mut query = example.query.clone();
    query.checks = Arc::from([
        Arc::new(|| Err("ingest does not listen".to_owned())) as crate::query::ReadyCheck
    ]);
    let unready = ask(
        &super::router(query, false, &[]),
        request(Method::GET, "/readyz", &[], ""),
    )
    .await;
    assert_eq!(unready.status, 503);
    assert_eq!(unready.json()["reasons"][0], "ingest does not listen");
}

#[tokio::test]
async fn plain_http_stays_on_loopback_and_stops_when_told() {
    let example = Example::new().await;
    let mut config = HttpConfig {
        listen: "0.0.0.0:0".parse().unwrap(),
        tls: None,
        names: Vec::new(),
    };
    let refused = HttpServer::bind(example.query.clone(), config.clone())
        .await
        .err()
        .unwrap();
    assert!(
        refused.to_string().contains("http.certificate"),
        "{refused}"
    );
    config.listen = "127.0.0.1:0".parse().unwrap();
    let server = HttpServer::bind(example.query.clone(), config.clone())
        .await
        .unwrap();
    let address = server.address();
    config.listen = address;
    let taken = HttpServer::bind(example.query.clone(), config)
        .await
        .err()
        .unwrap();
    assert!(taken.to_string().contains(&address.to_string()), "{taken}");
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    let answer = raw(
        address,
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let many: String = (0..=HEADERS).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = raw(
        address,
        &format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "x".repeat(HEAD_BYTES * 2);
    let answer = raw(
        address,
        &format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn over_tls_every_address_may_listen_and_cookies_are_for_tls_only() {
    let example = Example::new().await;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let identity = tls::Identity {
        chain: vec![certificate.clone()],
        key: rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
    };
    let config = HttpConfig {
        listen: "0.0.0.0:0".parse().unwrap(),
        tls: Some(Arc::new(tls_config(identity).unwrap())),
        names: Vec::new(),
    };
    let server = HttpServer::bind(example.query.clone(), config)
        .await
        .unwrap();
    let port = server.address().port();
    let stop = CancellationToken::new();
    let running = tokio::spawn(server.run(stop.clone()));
    let mut client = tls::client_config(tls::Trust::Roots(vec![certificate]), None).unwrap();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect(name, stream).await.unwrap();
    let request =
        "GET /sign-in HTTP/1.1\r\nhost: rollcall.school.example\r\nconnection: close\r\n\r\n";
    let answer = exchange(stream, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("set-cookie: __Host-rollcall-form="),
        "{answer}"
    );
    assert!(answer.contains("; Secure\r\n"), "{answer}");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .unwrap()
        .unwrap();
}

async fn raw(address: SocketAddr, text: &str) -> String {
    exchange(TcpStream::connect(address).await.unwrap(), text).await
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    // The server may answer and close before it has read all of a request that is too long.
    let _ = stream.write_all(text.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_full_disk_is_no_readiness() {
    let data = tempfile::tempdir().unwrap();
    let options = crate::store::StoreOptions {
        reserve_bytes: u64::MAX,
        ..Default::default()
    };
    let store = crate::store::Store::create(data.path(), options, NOW).unwrap();
    let mut query = Example::new().await.query;
    query.store = store;
    let router = router(query, false, &[]);
    let unready = ask(&router, request(Method::GET, "/readyz", &[], "")).await;
    assert_eq!(unready.status, 503);
    assert!(unready.body.contains("reserve"), "{}", unready.body);
}
