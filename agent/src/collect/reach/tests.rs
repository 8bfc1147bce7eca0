//! Attempts at real servers on this machine.

use super::*;
use crate::collect::network::{Ground, Interpreter, Proxies};
use crate::collect::testing::{Authority, number, serve, serve_tls, value};
use rollcall_shared::time::SystemClock;
use rustls::RootCertStore;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn trust(system: &[&Authority], mozilla: &[&Authority]) -> Arc<PublicTrust> {
    let store = |authorities: &[&Authority]| {
        let mut store = RootCertStore::empty();
        // A store without any root makes no verifier.
        let own = Authority::new();
        for authority in authorities.iter().chain(&[&own]) {
            store.add(authority.root()).unwrap();
        }
        store
    };
    Arc::new(PublicTrust::of(store(system), store(mozilla)).unwrap())
}

async fn try_with(
    url: &str,
    proxies: &Proxies,
    ground: &Ground,
    trust: &Arc<PublicTrust>,
) -> Vec<Reading> {
    let targets = [Target {
        name: "Canvas".parse().unwrap(),
        url: url.to_owned(),
    }];
    let start = Start {
        proxies: proxies.clone(),
        ground: ground.clone(),
        name_servers: None,
        network: None,
        interpreter: Interpreter::Missing("a test has none"),
    };
    read(
        &targets,
        &start,
        trust,
        &mut Memory::default(),
        &SystemClock,
    )
    .await
}

async fn try_one(url: &str) -> Vec<Reading> {
    try_with(url, &Proxies::default(), &Ground::Fine, &trust(&[], &[])).await
}

fn stage(readings: &[Reading]) -> String {
    value(readings, "network.reachability.failed_stage", "Canvas")
}

fn cause(readings: &[Reading]) -> String {
    value(readings, "network.reachability.cause", "Canvas")
}

/// No reading but the configured name tells where the target is.
fn assert_names_no_address(readings: &[Reading]) {
    for reading in readings {
        let text = reading.value().to_string();
        assert!(
            !text.contains("127.0.0.1")
                && !text.contains("localhost")
                && !text.contains(".invalid"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_plain_target_that_answers() {
    let port = serve(OK).await;
    let readings = try_one(&format!("http://localhost:{port}/")).await;
    assert_eq!(
        value(&readings, "network.reachability.state", "Canvas"),
        "reachable"
    );
    assert_eq!(
        number(&readings, "http.response.status_code", "Canvas"),
        Some(200.0)
    );
    assert_eq!(value(&readings, "dns.lookup.state", ""), "ok");
    assert_eq!(value(&readings, "network.captive_portal", ""), "no");
    assert!(value(&readings, "network.reachability.tls.duration", "Canvas").contains("not needed"));
    assert!(number(&readings, "network.reachability.http.duration", "Canvas").is_some());
    assert_names_no_address(&readings);
}

#[tokio::test]
async fn each_stage_that_fails_is_named() {
    let refused = TcpPort::closed().await;
    let tcp = try_one(&format!("https://127.0.0.1:{refused}/")).await;
    assert_eq!(
        (stage(&tcp), cause(&tcp)),
        ("tcp".into(), "the connection was refused".into())
    );
    let error = serve("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    let http = try_one(&format!("http://127.0.0.1:{error}/")).await;
    assert_eq!(
        (stage(&http), cause(&http)),
        ("http".into(), "the server answered with status 503".into())
    );
    let garbage = serve("SSH-2.0-nothing\r\n").await;
    let tls = try_one(&format!("https://127.0.0.1:{garbage}/")).await;
    assert_eq!(stage(&tls), "tls");
    let dns = try_one("https://no-such-name.invalid/").await;
    assert_eq!(stage(&dns), "dns");
    assert!(value(&dns, "network.reachability.tcp.duration", "Canvas").contains("ended at dns"));
    for readings in [&tcp, &http, &tls, &dns] {
        assert_eq!(
            value(readings, "network.reachability.state", "Canvas"),
            "unreachable"
        );
        assert_names_no_address(readings);
    }
}

struct TcpPort;

impl TcpPort {
    async fn closed() -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    }
}

#[tokio::test]
async fn the_ground_is_blamed_before_the_target() {
    let refused = TcpPort::closed().await;
    let url = format!("http://127.0.0.1:{refused}/");
    let grounds = [
        (Ground::NoLink, "link"),
        (Ground::NoAddress, "address"),
        (Ground::NoGateway("x".into()), "gateway"),
    ];
    for (ground, word) in grounds {
        let readings = try_with(&url, &Proxies::default(), &ground, &trust(&[], &[])).await;
        assert_eq!(stage(&readings), word);
    }
    let port = serve(OK).await;
    let reached = try_with(
        &format!("http://127.0.0.1:{port}/"),
        &Proxies::default(),
        &Ground::NoLink,
        &trust(&[], &[]),
    )
    .await;
    assert_eq!(stage(&reached), "none", "what was reached was reached");
}

#[tokio::test]
async fn a_certificate_is_judged_by_this_system_and_by_mozilla() {
    let filter = Authority::new();
    let port = serve_tls(filter.leaf(None, (2020, 2090)), OK.into()).await;
    let url = format!("https://127.0.0.1:{port}/");
    let by = "network.tls.intercepted_by";

    let public = try_with(
        &url,
        &Proxies::default(),
        &Ground::Fine,
        &trust(&[&filter], &[&filter]),
    )
    .await;
    assert_eq!(
        (stage(&public), value(&public, by, "Canvas")),
        ("none".into(), "none".into())
    );
    assert_eq!(value(&public, "network.captive_portal", ""), "no");
    assert!(number(&public, "network.reachability.tls.duration", "Canvas").is_some());

    let filtered = try_with(
        &url,
        &Proxies::default(),
        &Ground::Fine,
        &trust(&[&filter], &[]),
    )
    .await;
    assert_eq!(
        (stage(&filtered), value(&filtered, by, "Canvas")),
        ("none".into(), "Filter of Example School".into())
    );

    let unknown = try_with(&url, &Proxies::default(), &Ground::Fine, &trust(&[], &[])).await;
    assert_eq!(
        (stage(&unknown), value(&unknown, by, "Canvas")),
        ("tls".into(), "Filter of Example School".into())
    );
    assert!(
        cause(&unknown).contains("signed by `Filter of Example School`"),
        "{}",
        cause(&unknown)
    );
}

#[tokio::test]
async fn an_expired_certificate_says_when() {
    let authority = Authority::new();
    let port = serve_tls(authority.leaf(None, (2019, 2021)), OK.into()).await;
    let trust = trust(&[&authority], &[&authority]);
    let readings = try_with(
        &format!("https://127.0.0.1:{port}/"),
        &Proxies::default(),
        &Ground::Fine,
        &trust,
    )
    .await;
    assert!(
        cause(&readings).starts_with("the certificate expired on 2021-01-01"),
        "{}",
        cause(&readings)
    );
    assert_eq!(
        value(&readings, "network.tls.intercepted_by", "Canvas"),
        "none"
    );
}

#[tokio::test]
async fn a_login_page_is_not_the_target() {
    let portal = serve(
        "HTTP/1.1 302 Found\r\nLocation: http://login.portal.test/?x\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let readings = try_one(&format!("http://localhost:{portal}/")).await;
    assert_eq!(
        (
            stage(&readings),
            value(&readings, "network.captive_portal", "")
        ),
        ("http".into(), "yes".into())
    );
    let page = serve(OK).await;
    let readings = try_one(&format!("http://localhost:{page}/generate_204")).await;
    assert_eq!(value(&readings, "network.captive_portal", ""), "yes");
}

#[tokio::test]
async fn a_proxy_is_asked_and_named() {
    let refusing = serve("HTTP/1.1 407 Who are you\r\n\r\n").await;
    let through = |port: u16| {
        let environment =
            move |name: &str| (name == "https_proxy").then(|| format!("http://127.0.0.1:{port}"));
        Proxies::of(&environment, "")
    };
    let url = "https://canvas.invalid/";
    let readings = try_with(url, &through(refusing), &Ground::Fine, &trust(&[], &[])).await;
    assert_eq!(stage(&readings), "proxy");
    assert!(cause(&readings).contains("password"));
    let gone = try_with(
        url,
        &through(TcpPort::closed().await),
        &Ground::Fine,
        &trust(&[], &[]),
    )
    .await;
    assert_eq!(
        (stage(&gone), cause(&gone)),
        ("proxy".into(), "the connection was refused".into())
    );
}

#[tokio::test]
async fn through_a_proxy_the_target_answers() {
    let authority = Authority::new();
    let target = serve_tls(authority.leaf(None, (2020, 2090)), OK.into()).await;
    let proxy = passing_proxy(target).await;
    let environment = move |name: &str| {
        (name == "https_proxy").then(|| format!("http://pupil:secret@127.0.0.1:{proxy}"))
    };
    let proxies = Proxies::of(&environment, "");
    let trust = trust(&[&authority], &[&authority]);
    let readings = try_with("https://localhost:9/", &proxies, &Ground::Fine, &trust).await;
    assert_eq!(
        (stage(&readings), cause(&readings)),
        ("none".into(), "none".into())
    );
    let status = number(&readings, "http.response.status_code", "Canvas");
    assert_eq!(status, Some(200.0));
}

/// A proxy that asks for `pupil:secret` and leads everything to one port.
async fn passing_proxy(target: u16) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut question = vec![0; 1024];
            let length = client.read(&mut question).await.unwrap();
            let question = String::from_utf8_lossy(&question[..length]).into_owned();
            assert!(
                question.starts_with("CONNECT localhost:9 HTTP/1.1\r\n"),
                "{question}"
            );
            assert!(
                question.contains("Basic cHVwaWw6c2VjcmV0\r\n"),
                "{question}"
            );
            let answer = "HTTP/1.1 200 Connection established\r\n\r\n";
            client.write_all(answer.as_bytes()).await.unwrap();
            let mut server = tokio::net::TcpStream::connect(("127.0.0.1", target))
                .await
                .unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    port
}

#[tokio::test]
async fn without_a_name_server_no_name_is_to_blame() {
    let targets = [Target {
        name: "Canvas".parse().unwrap(),
        url: "https://no-such-name.invalid/".to_owned(),
    }];
    let start = Start {
        proxies: Proxies::default(),
        ground: Ground::Fine,
        name_servers: Some(Vec::new()),
        network: None,
        interpreter: Interpreter::Missing("a test has none"),
    };
    let trust = trust(&[], &[]);
    let readings = read(
        &targets,
        &start,
        &trust,
        &mut Memory::default(),
        &SystemClock,
    )
    .await;
    assert_eq!(value(&readings, "dns.lookup.state", ""), "no_server");
    assert_eq!(cause(&readings), "no name server is configured");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_script_chose_is_forgotten_once_none_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let program = crate::collect::testing::libproxy(folder.path(), Some("http://127.0.0.1:9\n"));
    let page = serve(OK).await;
    let targets = [Target {
        name: "Canvas".parse().unwrap(),
        url: format!("http://127.0.0.1:{page}/"),
    }];
    let mut memory = Memory::default();
    let mut stages = Vec::new();
    for proxies in [
        Proxies::by_script("http://filter/p.pac"),
        Proxies::default(),
    ] {
        let start = Start {
            proxies,
            ground: Ground::Fine,
            name_servers: None,
            network: None,
            interpreter: Interpreter::of_linux(Some(&program)),
        };
        let trust = trust(&[], &[]);
        stages.push(stage(
            &read(&targets, &start, &trust, &mut memory, &SystemClock).await,
        ));
    }
    assert_eq!(stages, ["proxy", "none"]);
}

#[tokio::test]
async fn without_a_target_nothing_is_claimed() {
    let readings = untargeted();
    assert!(value(&readings, "network.captive_portal", "").contains("no target"));
    assert_eq!(readings.len(), 2);
}
