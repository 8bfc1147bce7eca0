use rollcall_shared::id::{BootId, Sequence, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Now, SinceBootMs, UnixMs};

use super::device::laptop::{Laptop, MINUTE, START};
use std::collections::BTreeSet;

use super::*;
use crate::alert::{AlertState, Severity};
use crate::notification::Event;
use crate::store::{Arrival, StoreOptions};

/// A clock that stands still.
struct Stopped(UnixMs);

impl Clock for Stopped {
    fn now(&self) -> Now {
        Now {
            wall: self.0,
            since_boot: SinceBootMs(0),
        }
    }
}

struct School {
    store: Store,
    device: DeviceId,
    shutdown: CancellationToken,
    _dir: tempfile::TempDir,
}

impl School {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            reserve_bytes: 0,
            ..StoreOptions::default()
        };
        let store = Store::create(dir.path(), options, START).unwrap();
        let device = Laptop::new().state.device;
        let id = device.id;
        store.commit(vec![Write::PutDevice(device)]).await.unwrap();
        let school = Self {
            store,
            device: id,
            shutdown: CancellationToken::new(),
            _dir: dir,
        };
        school.evaluate();
        school
    }

    fn evaluate(&self) {
        let route = Route {
            channel: "desk".to_owned(),
            audiences: Vec::new(),
            sites: Vec::new(),
            min_severity: Severity::Info,
        };
        let now = START.plus_ms(20 * MINUTE);
        let book = RuleBook::of(RuleSet::built_in());
        let evaluator = Evaluator::new(
            self.store.clone(),
            book,
            vec![route],
            Arc::new(Stopped(now)),
        );
        tokio::spawn(evaluator.run(self.shutdown.clone()));
    }

    async fn report(&self, minute: i64, sequence: u64, health: f64) {
        let at = START.plus_ms(minute * MINUTE);
        let value = Value::Number(health);
        let report = Report {
            sequence: Sequence(sequence),
            taken: Taken {
                wall: at,
                boot: BootId::from_bytes([1; 16]),
                since_boot: SinceBootMs(0),
            },
            full: false,
            urgent: false,
            readings: vec![Reading::new(&metric::BATTERY_HEALTH, "BAT0", value).unwrap()],
        };
        let arrival = Arrival {
            device: self.device,
            spool: SpoolId::from_bytes([2; 16]),
            reports: vec![(at, report)],
            received: at,
            skew_ms: 0,
        };
        self.store.append(arrival).await.unwrap();
    }

    async fn until(&self, what: &str, holds: impl Fn(&Store) -> bool) {
        let waiting = async {
            while !holds(&self.store) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting)
            .await
            .unwrap_or_else(|_| panic!("{what}: {:?}", self.store.open_alerts()));
    }
}

#[tokio::test]
async fn a_worn_battery_becomes_one_alert_and_one_notification_and_is_resolved_once() {
    let school = School::open().await;
    for minute in 0..8 {
        school.report(minute, 1 + minute.unsigned_abs(), 0.41).await;
    }
    school
        .until("pending", |store| store.open_alerts().len() == 1)
        .await;
    assert!(
        school.store.notifications().is_empty(),
        "it has not held for long enough"
    );
    for minute in 8..12 {
        school.report(minute, 1 + minute.unsigned_abs(), 0.41).await;
    }
    let fires = |store: &Store| {
        store
            .open_alerts()
            .iter()
            .any(|a| a.state == AlertState::Firing)
    };
    school.until("firing", fires).await;
    school
        .until("told", |store| !store.notifications().is_empty())
        .await;
    let told = school.store.notifications();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (
            told[0].event,
            told[0].incident.findings[0].key.rule.as_str()
        ),
        (Event::Fired, "battery-worn")
    );
    school.report(13, 14, 0.98).await;
    school
        .until("resolved", |store| store.open_alerts().is_empty())
        .await;
    school
        .until("told twice", |store| store.notifications().len() == 2)
        .await;
    let events: Vec<Event> = school
        .store
        .notifications()
        .iter()
        .map(|n| n.event)
        .collect();
    assert_eq!(events, [Event::Fired, Event::Resolved]);
    let history = school
        .store
        .resolved_alerts(START, UnixMs(i64::MAX / 2), 10)
        .unwrap();
    assert_eq!(history.len(), 1);
    school.shutdown.cancel();
}

#[tokio::test]
async fn only_devices_that_changed_or_are_due_are_looked_at() {
    let school = School::open().await;
    school.shutdown.cancel();
    let now = START.plus_ms(20 * MINUTE);
    let clock = Arc::new(Stopped(now));
    let book = RuleBook::of(RuleSet::built_in());
    let evaluator = Evaluator::new(school.store.clone(), book, Vec::new(), clock);
    evaluator.evaluate_all().await.unwrap();
    assert_eq!(evaluator.evaluate_due().await.unwrap().devices, 0);
    school.report(1, 1, 0.9).await;
    school.report(2, 2, 0.9).await;
    assert_eq!(
        evaluator.evaluate_due().await.unwrap().devices,
        1,
        "once for both"
    );
    assert_eq!(evaluator.evaluate_due().await.unwrap().devices, 0);
    school.store.set_connected(school.device, true, now);
    assert_eq!(evaluator.evaluate_due().await.unwrap().devices, 1);
    assert_eq!(evaluator.agenda().waiting(), 1, "its forecasts grow old");
}

/// The gauge errs on the day on which the collector is started anew: its past is in the store.
#[tokio::test]
async fn a_dip_after_a_restart_is_judged_by_the_stored_past() {
    const DAY: i64 = 24 * 60;
    let school = School::open().await;
    school.shutdown.cancel();
    for day in 0..60 {
        let at = (day - 60) * DAY;
        let health = 0.95 - 0.0005 * day as f64;
        school.report(at, 1 + day.unsigned_abs(), health).await;
    }
    school.report(5, 61, 0.3).await;
    let outlooks = Outlooks::default();
    let (states, now) = (school.store.devices(), START.plus_ms(20 * MINUTE));
    let settled = &forecast::metrics::BATTERY_SETTLED_HEALTH;
    assert!(
        outlooks.of(&states[0], now).is_none(),
        "nothing is known yet"
    );
    let ids = [school.device];
    let clock = Stopped(now);
    outlooks
        .read_some(&school.store, &ids, &clock)
        .await
        .unwrap();
    let (seen, _) = outlooks.of(&states[0], now).unwrap();
    let health = seen.get(settled.code, "BAT0").unwrap();
    let health = health.value.as_number().unwrap();
    assert!((0.92..0.95).contains(&health), "{health}");
    outlooks.keep(&BTreeSet::new());
    assert!(outlooks.of(&states[0], now).is_none());
}
