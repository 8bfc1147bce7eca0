//! A small fleet in a real store, for the tests of the faces.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Label, Sequence, SpoolId};
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock, Now, SinceBootMs, UnixMs};

use super::access::generate_token;
use super::prometheus::ingest_source;
use super::{Guidance, Query, Surroundings};
use crate::alert::{Alert, AlertId, AlertKey, AlertState, Audience, Severity};
use crate::audit::AuditLine;
use crate::device::{Device, Standing};
use crate::evaluate::book::RuleBook;
use crate::evaluate::rules::RuleSet;
use crate::incident::{Cause, Finding, Incident};
use crate::notification::{DeviceName, Event, Notification, NotificationKey};
use crate::store::{ApiTokenRecord, Arrival, Role, Store, StoreOptions, Write};

/// The time in the tests.
pub(crate) const NOW: UnixMs = UnixMs(1_787_557_500_000);

/// A text that must never reach a page as markup.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script>\"&";

/// The fleet: two devices at Lincoln, one simulated at Hay, and tokens for every role and scope.
pub(crate) struct Example {
    pub query: Query,
    pub store: Store,
    pub lincoln: DeviceId,
    pub hay: DeviceId,
    clock: Arc<Hand>,
    tokens: Vec<(&'static str, String)>,
    _data: tempfile::TempDir,
}

/// A clock that stands until it is moved.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Now {
        Now {
            wall: UnixMs(self.0.load(Ordering::Relaxed)),
            since_boot: SinceBootMs(1),
        }
    }
}

impl Example {
    pub async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Store::create(data.path(), StoreOptions::default(), NOW).unwrap();
        let (lincoln, hay) = (DeviceId::generate(), DeviceId::generate());
        let clock = Arc::new(Hand(AtomicI64::new(NOW.0)));
        let mut example = Self {
            query: Query::new(store.clone(), surroundings(Arc::clone(&clock))),
            store,
            lincoln,
            hay,
            clock,
            tokens: Vec::new(),
            _data: data,
        };
        example.fill().await;
        example
    }

    /// The token with this name: `viewer`, `technician`, `admin`, `viewer-lincoln`, `admin-lincoln`
    /// or `revoked`.
    pub fn token(&self, name: &str) -> &str {
        let token = self.tokens.iter().find(|(known, _)| *known == name);
        &token.expect("the example has this token").1
    }

    pub fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    async fn fill(&mut self) {
        let (lincoln, hay) = (self.lincoln, self.hay);
        let mut writes = vec![
            Write::PutDevice(device(lincoln, "Lincoln", None, HOSTILE)),
            Write::PutDevice(device(hay, "Hay", Some("simulated"), "Latitude 3120")),
            Write::PutAlert(alert(
                lincoln,
                "disk-failing",
                Severity::Critical,
                AlertState::Firing,
            )),
            Write::PutAlert(alert(
                lincoln,
                "disk-full",
                Severity::Info,
                AlertState::Pending,
            )),
            Write::PutAlert(alert(
                hay,
                "battery-worn",
                Severity::Warning,
                AlertState::Firing,
            )),
            Write::PutNotification(notification(lincoln, "Lincoln", 9)),
            Write::PutNotification(notification(hay, "Hay", 8)),
            Write::Audit(AuditLine {
                at: NOW,
                actor: "admin".to_owned(),
                action: "token.create".to_owned(),
                subject: "Hay".to_owned(),
                outcome: "ok".to_owned(),
                detail: String::new(),
            }),
        ];
        let everywhere = ["viewer", "technician", "admin", "revoked"];
        for name in everywhere {
            writes.push(self.add_token(name, &[]));
        }
        writes.push(self.add_token("viewer-lincoln", &["Lincoln"]));
        writes.push(self.add_token("technician-lincoln", &["Lincoln"]));
        writes.push(self.add_token("admin-lincoln", &["Lincoln"]));
        self.store.commit(writes).await.unwrap();
        for device in [lincoln, hay] {
            let mut over = alert(
                device,
                "clock-wrong",
                Severity::Warning,
                AlertState::Resolved,
            );
            over.resolved = Some(NOW.plus_ms(-60_000));
            self.store
                .commit(vec![Write::ResolveAlert(over)])
                .await
                .unwrap();
        }
        for device in [lincoln, hay] {
            self.store.append(arrival(device)).await.unwrap();
        }
    }

    fn add_token(&mut self, name: &'static str, sites: &[&str]) -> Write {
        let (text, hash) = generate_token();
        self.tokens.push((name, text));
        let word = name.split('-').next().unwrap();
        Write::PutApiToken(ApiTokenRecord {
            name: name.to_owned(),
            hash,
            role: Role::from_word(word).unwrap_or(Role::Admin),
            sites: sites.iter().map(|site| label(site)).collect(),
            created: NOW,
            revoked: name == "revoked",
        })
    }
}

pub(crate) fn label(text: &str) -> Label {
    text.parse().unwrap()
}

pub(crate) fn device(id: DeviceId, site: &str, group: Option<&str>, model: &str) -> Device {
    Device {
        id,
        site: label(site),
        group: group.map(label),
        enrolled: NOW.plus_ms(-86_400_000),
        fingerprint: HardwareFingerprint::default(),
        vendor: "Dell".to_owned(),
        model: model.to_owned(),
        agent_version: "0.1.0".to_owned(),
        standing: Standing::Active,
        cloned_from: None,
    }
}

pub(crate) fn alert(device: DeviceId, rule: &str, severity: Severity, state: AlertState) -> Alert {
    Alert {
        id: AlertId::generate(),
        key: AlertKey {
            device,
            rule: rule.to_owned(),
            instance: "sda".to_owned(),
        },
        state,
        severity,
        audience: Audience::HelpDesk,
        title: format!("Title of {rule}"),
        evidence: format!("12 sectors wait {HOSTILE}"),
        since: NOW.plus_ms(-7_200_000),
        held_ms: 7_200_000,
        observed: NOW,
        fired: (state != AlertState::Pending).then_some(NOW.plus_ms(-3_600_000)),
        resolved: None,
        incident: None,
    }
}

fn surroundings(clock: Arc<Hand>) -> Surroundings {
    let guidance = |rule: &str| {
        (rule != "clock-wrong").then(|| Guidance {
            runbook: format!("Runbook of {rule}."),
            family: [("en".to_owned(), "Keep it charged.".to_owned())].into(),
            metric: Some("hw.battery.charge"),
        })
    };
    Surroundings {
        book: RuleBook::of(RuleSet::built_in()),
        clock,
        guidance: Arc::new(guidance),
        sources: vec![ingest_source(Arc::default())],
        checks: Vec::new(),
    }
}

fn notification(device: DeviceId, site: &str, attempts: u32) -> Notification {
    let alert = alert(
        device,
        "disk-failing",
        Severity::Critical,
        AlertState::Firing,
    );
    let finding = Finding {
        alert: alert.id,
        key: alert.key,
        title: alert.title,
        evidence: alert.evidence,
        severity: alert.severity,
        since: alert.since,
        resolved: None,
    };
    let mut incident = Incident::new(Cause::Device(device), alert.audience, &finding, NOW);
    incident.findings.push(finding);
    incident.told = 1;
    incident.site = Some(label(site));
    incident.sites = vec![label(site)];
    Notification {
        key: NotificationKey {
            incident: incident.id,
            number: 1,
            channel: "tickets".to_owned(),
        },
        event: Event::Fired,
        incident,
        devices: vec![DeviceName {
            tag: None,
            school: None,
            id: device,
            name: "Dell Latitude 3120".to_owned(),
        }],
        created: NOW.plus_ms(-90_000),
        attempts,
        due: NOW,
        last_error: "connection refused".to_owned(),
        set_aside: false,
        is_by_hand: false,
    }
}

/// Twenty reports, a minute apart, the last one now.
fn arrival(device: DeviceId) -> Arrival {
    let boot = BootId::generate();
    let report = |n: u64| {
        let at = NOW.plus_ms((n as i64 - 20) * 60_000);
        let report = Report {
            sequence: Sequence(n),
            taken: Taken {
                wall: at,
                boot,
                since_boot: SinceBootMs(n * 60_000),
            },
            full: true,
            urgent: false,
            readings: vec![
                Reading::text(&metric::OS_NAME, "", "Windows"),
                Reading::text(&metric::OS_VERSION, "", "11 Education"),
                Reading::number(&metric::BATTERY_CHARGE, "BAT0", 0.5 + n as f64 / 100.0),
                Reading::flag(&metric::RESTART_PENDING, "", true),
                Reading::unavailable(&metric::DRIVE_VERDICT, "sda", "smartctl is not installed"),
                Reading::text(&metric::VANTAGE, "", "on-campus:Lincoln"),
            ],
        };
        (at, report)
    };
    Arrival {
        device,
        spool: SpoolId::generate(),
        reports: (1..=20).map(report).collect(),
        received: NOW,
        skew_ms: 1500,
    }
}
