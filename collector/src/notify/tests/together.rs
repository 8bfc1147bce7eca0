//! Digests and reports with a real store, a real worker and a clock that stands until it is moved.

use std::sync::atomic::{AtomicI64, Ordering};

use rollcall_shared::time::{Now, SinceBootMs};

use super::*;

/// A Monday, 2026-08-31, at seven in the morning in UTC, which the calendar of these tests keeps.
const SEVEN: UnixMs = UnixMs(1_788_159_600_000);

const HOUR_MS: i64 = 3_600_000;

const RULES: &str = "[calendar]\ntime-zone = \"UTC\"\n";

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Now {
        Now {
            wall: UnixMs(self.0.load(Ordering::Relaxed)),
            since_boot: SinceBootMs(1),
        }
    }
}

/// A room of a chat, which notes what was written there.
#[derive(Default)]
struct Room {
    orders: Mutex<VecDeque<u16>>,
    heard: Mutex<Vec<String>>,
}

async fn write_there(State(room): State<Arc<Room>>, body: String) -> StatusCode {
    let order = room.orders.lock().unwrap().pop_front().unwrap_or(200);
    if order == 200 {
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        let text = json["text"].as_str().unwrap().to_owned();
        room.heard.lock().unwrap().push(text);
    }
    StatusCode::from_u16(order).unwrap()
}

struct School {
    store: Store,
    book: RuleBook,
    channels: [ChannelConfig; 1],
    clock: Arc<Hand>,
    room: Arc<Room>,
    _dir: tempfile::TempDir,
}

impl School {
    async fn new(times: &str) -> Self {
        let room = Arc::<Room>::default();
        let router = Router::new()
            .route("/room", post(write_there))
            .with_state(Arc::clone(&room));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("room.url");
        std::fs::write(&file, format!("http://{address}/room")).unwrap();
        let text = format!(
            "kind = \"chat\"\nname = \"coach\"\nstyle = \"slack\"\nurl_file = {file:?}\n{times}\n"
        );
        let options = StoreOptions {
            reserve_bytes: 0,
            ..StoreOptions::default()
        };
        let rules = RuleSet::parse("rules", &format!("extend-default = true\n{RULES}")).unwrap();
        Self {
            store: Store::create(&dir.path().join("data"), options, SEVEN).unwrap(),
            book: RuleBook::of(rules),
            channels: [toml::from_str(&text).unwrap()],
            clock: Arc::new(Hand(AtomicI64::new(SEVEN.0))),
            room,
            _dir: dir,
        }
    }

    fn at(&self, time: UnixMs) {
        self.clock.0.store(time.0, Ordering::Relaxed);
    }

    /// Runs the channel as after a start of the collector, until this holds, and for a moment more.
    async fn run(&self, holds: impl Fn(&Self) -> bool) {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let notifier = Notifier::build(&self.store, &self.book, &self.channels, &clock).unwrap();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(notifier.run(shutdown.clone()));
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Whatever would come too often comes now.
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        tokio::time::timeout(Duration::from_secs(60), waiting)
            .await
            .unwrap_or_else(|_| panic!("{:?}", self.heard()));
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }

    fn heard(&self) -> Vec<String> {
        self.room.heard.lock().unwrap().clone()
    }

    async fn write(&self, site: &str, at: UnixMs) {
        let mut found = told(Event::Fired);
        found.key.channel = "coach".to_owned();
        found.incident.site = Some(site.parse().unwrap());
        (found.created, found.due) = (at, at);
        let writes = vec![Write::PutNotification(found)];
        self.store.commit(writes).await.unwrap();
    }
}

#[tokio::test]
async fn digests_come_as_often_as_chosen_also_over_restarts() {
    let school = School::new("digest = { at = [\"07:30\"] }").await;
    school.write("Lincoln", SEVEN).await;
    school.write("Lincoln", SEVEN.plus_ms(60_000)).await;
    school.write("Hay", SEVEN.plus_ms(120_000)).await;
    school.run(|_| true).await;
    assert_eq!(school.heard(), [""; 0], "it is not half past seven");

    school.at(SEVEN.plus_ms(HOUR_MS / 2 + 15_000));
    school.room.orders.lock().unwrap().push_back(503);
    school.run(|school| school.heard().len() == 1).await;
    // Of Hay there is one notification, of Lincoln two.
    let left = 1 + usize::from(school.heard()[0].contains("Hay"));
    assert_eq!(school.store.notifications().len(), left);
    school.at(SEVEN.plus_ms(HOUR_MS));
    school.run(|school| school.heard().len() == 2).await;
    let mut heard = school.heard();
    heard.sort();
    assert_eq!(
        heard,
        [
            "[Rollcall] Hay: 1 to look at, 0 over",
            "[Rollcall] Lincoln: 2 to look at, 0 over"
        ]
    );
    assert!(school.store.notifications().is_empty());

    // What is found later waits for the next school day; a restart brings nothing.
    school.write("Lincoln", SEVEN.plus_ms(2 * HOUR_MS)).await;
    school.at(SEVEN.plus_ms(23 * HOUR_MS));
    school.run(|_| true).await;
    assert_eq!(school.heard().len(), 2);
    school.at(SEVEN.plus_ms(25 * HOUR_MS));
    school.run(|school| school.heard().len() == 3).await;
    school.run(|_| true).await;
    assert_eq!(school.heard().len(), 3);
}

#[tokio::test]
async fn the_week_is_reported_once_also_over_restarts() {
    let school = School::new("report = { day = \"monday\", at = \"07:00\" }").await;
    let mut incident = told(Event::Fired).incident;
    incident.opened = SEVEN.plus_ms(HOUR_MS);
    let writes = vec![Write::PutIncident(incident)];
    school.store.commit(writes).await.unwrap();
    school.at(SEVEN.plus_ms(1));
    school.run(|school| !school.store.memos().is_empty()).await;
    assert_eq!(school.heard(), [""; 0], "the week has only begun");
    school.at(SEVEN.plus_ms(7 * 24 * HOUR_MS + 5_000));
    school.run(|school| school.heard().len() == 1).await;
    school.run(|_| true).await;
    let heard = school.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].ends_with(": 1 found"), "{heard:?}");
    let audit = school.store.audit(10).unwrap();
    assert!(audit.iter().any(|line| line.action == "report.deliver"));
}
