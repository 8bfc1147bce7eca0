mod together;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use rollcall_shared::time::SystemClock;

use super::letter::tests::letter;
use super::*;
use crate::evaluate::rules::RuleSet;
use crate::notification::{Event, Notification};
use crate::store::{StoreOptions, Write};

const SECRET: &[u8] = b"an open secret of the tests";

/// What a receiver was told, and what it is to answer next; without an order it says 200.
#[derive(Default)]
struct Receiver {
    orders: Mutex<VecDeque<u16>>,
    heard: Mutex<Vec<(String, String)>>,
    strayed: Mutex<u32>,
}

type Shared = Arc<Receiver>;

/// Verifies as a receiver of Standard Webhooks does, then notes the id and the type.
async fn receive(State(receiver): State<Shared>, headers: HeaderMap, body: String) -> Response {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let signed = format!(
        "{}.{}.{body}",
        text("webhook-id"),
        text("webhook-timestamp")
    );
    let signature = text("webhook-signature");
    let tag = STANDARD
        .decode(signature.strip_prefix("v1,").unwrap())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    if hmac::verify(&key, signed.as_bytes(), &tag).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let told = (
        text("webhook-id"),
        json["type"].as_str().unwrap().to_owned(),
    );
    receiver.heard.lock().unwrap().push(told);
    let order = receiver.orders.lock().unwrap().pop_front().unwrap_or(200);
    let status = StatusCode::from_u16(order).unwrap();
    ([(header::LOCATION, "/stray")], status).into_response()
}

async fn stray(State(receiver): State<Shared>) -> StatusCode {
    *receiver.strayed.lock().unwrap() += 1;
    StatusCode::OK
}

async fn serve(orders: &[u16]) -> (SocketAddr, Shared) {
    let receiver = Shared::default();
    receiver.orders.lock().unwrap().extend(orders);
    let router = Router::new()
        .route("/in", post(receive))
        .route("/stray", any(stray))
        .with_state(Arc::clone(&receiver));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, receiver)
}

struct Desk {
    store: Store,
    receiver: Shared,
    shutdown: CancellationToken,
    dir: tempfile::TempDir,
}

fn channel(dir: &tempfile::TempDir, address: SocketAddr) -> ChannelConfig {
    let file = dir.path().join("webhook.secret");
    std::fs::write(&file, SECRET).unwrap();
    let text = format!(
        "kind = \"webhook\"\nname = \"desk\"\nurl = \"http://{address}/in\"\nsecret_file = {file:?}\n"
    );
    toml::from_str(&text).unwrap()
}

impl Desk {
    /// A collector whose outbox holds `waiting` when its one channel starts.
    async fn open(orders: &[u16], waiting: &[Notification]) -> Self {
        let (address, receiver) = serve(orders).await;
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            reserve_bytes: 0,
            ..StoreOptions::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::create(&dir.path().join("data"), options, clock.now().wall).unwrap();
        let writes = waiting.iter().cloned().map(Write::PutNotification);
        store.commit(writes.collect()).await.unwrap();
        let book = RuleBook::of(RuleSet::built_in());
        let channels = [channel(&dir, address)];
        let notifier = Notifier::build(&store, &book, &channels, &clock).unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(notifier.run(shutdown.clone()));
        Self {
            store,
            receiver,
            shutdown,
            dir,
        }
    }

    fn heard(&self) -> Vec<(String, String)> {
        self.receiver.heard.lock().unwrap().clone()
    }

    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waiting)
            .await
            .unwrap_or_else(|_| panic!("{:?}, {:?}", self.heard(), self.store.notifications()));
    }

    fn is_empty(&self) -> bool {
        self.store.notifications().is_empty()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.shutdown.cancel();
        assert!(self.dir.path().exists());
    }
}

fn told(event: Event) -> Notification {
    letter(event).notification
}

/// The resolution of what `fired` told.
fn resolution(fired: &Notification) -> Notification {
    let mut resolved = fired.clone();
    (resolved.event, resolved.key.number) = (Event::Resolved, 2);
    resolved
}

#[tokio::test]
async fn a_failed_call_is_made_again_with_the_same_key() {
    let fired = told(Event::Fired);
    let desk = Desk::open(&[500], std::slice::from_ref(&fired)).await;
    desk.until(|desk| desk.heard().len() == 1 && !desk.is_empty())
        .await;
    desk.until(|desk| desk.store.notifications().iter().all(|n| n.attempts == 1))
        .await;
    let waiting = desk.store.notifications();
    assert!(
        waiting.iter().all(|n| n.last_error.starts_with("500")),
        "{waiting:?}"
    );
    desk.until(Desk::is_empty).await;
    let one = (fired.key.to_string(), "alert.fired".to_owned());
    assert_eq!(desk.heard(), [one.clone(), one]);
    let audit = desk.store.audit(10).unwrap();
    assert!(
        audit
            .iter()
            .any(|line| line.action == "notification.deliver" && line.outcome == "ok")
    );
}

#[tokio::test]
async fn a_resolution_waits_for_its_alert() {
    let mut fired = told(Event::Fired);
    fired.attempts = 1;
    let resolved = resolution(&fired);
    let desk = Desk::open(&[503], &[resolved, fired]).await;
    desk.until(Desk::is_empty).await;
    let types: Vec<String> = desk.heard().into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, ["alert.fired", "alert.fired", "alert.resolved"]);
}

#[tokio::test]
async fn what_is_over_before_it_was_told_is_withdrawn() {
    let fired = told(Event::Fired);
    let desk = Desk::open(&[], &[resolution(&fired), fired]).await;
    desk.until(Desk::is_empty).await;
    assert!(desk.heard().is_empty());
    let audit = desk.store.audit(10).unwrap();
    assert_eq!(
        audit
            .iter()
            .filter(|line| line.action == "notification.withdraw")
            .count(),
        2
    );
}

#[tokio::test]
async fn what_cannot_succeed_is_set_aside_and_visible() {
    for (status, why) in [(404, "404"), (302, "302 Found: redirects are not followed")] {
        let desk = Desk::open(&[status], &[told(Event::Fired)]).await;
        desk.until(|desk| desk.store.notifications().iter().any(|n| n.set_aside))
            .await;
        let kept = desk.store.notifications();
        assert!(kept[0].last_error.starts_with(why), "{kept:?}");
        assert_eq!(
            (desk.heard().len(), *desk.receiver.strayed.lock().unwrap()),
            (1, 0)
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again_later() {
    let desk = Desk::open(&[], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let channel = Channel::build(&channel(&dir, address)).unwrap();
    let now = SystemClock.now().wall;
    let sent = channel.send(&letter(Event::Fired), &desk.store, now).await;
    let outcome = sent.outcome;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    drop(desk);
}

#[tokio::test]
async fn a_channel_can_be_tested() {
    let (address, receiver) = serve(&[200, 401]).await;
    let dir = tempfile::tempdir().unwrap();
    let config = channel(&dir, address);
    let now = SystemClock.now().wall;
    test_channel(&config, now).await.unwrap();
    assert_eq!(receiver.heard.lock().unwrap()[0].1, "alert.test");
    let error = test_channel(&config, now).await.unwrap_err();
    assert!(
        format!("{error:#}").starts_with("channel `desk`: 401"),
        "{error:#}"
    );
}
