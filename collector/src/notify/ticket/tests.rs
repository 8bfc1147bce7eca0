//! Each preset against a strict stand-in of its system ([`vendors`]), which refuses a method, path, header
//! or body that the system's documentation does not have.

mod stand_in;
mod vendors;

use rollcall_shared::time::UnixMs;
use stand_in::StandIn;

use super::*;
use crate::evaluate::rules::RuleSet;
use crate::notification::{Event, Notification};
use crate::notify::config::ChannelConfig;
use crate::notify::letter::tests::letter;
use crate::notify::preset::{built_in, names};
use crate::store::StoreOptions;

const NOW: UnixMs = UnixMs(1_788_361_200_000);

/// A day later.
const LATER: UnixMs = UnixMs(NOW.0 + DAY_MS);

struct Scene {
    system: TicketSystem,
    stand_in: StandIn,
    store: Store,
    told: Notification,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(vendor: &str) -> Self {
        let stand_in = StandIn::start(vendors::of(vendor)).await;
        let dir = tempfile::tempdir().unwrap();
        let mut text = format!(
            "kind = \"ticket\"\nname = \"desk\"\npreset = \"{vendor}\"\nurl = \"{}\"\nsettle_s = 60\n",
            stand_in.url
        );
        text.push_str("[secrets]\n");
        for (name, secret) in vendors::secrets(vendor) {
            let file = dir.path().join(name);
            std::fs::write(&file, secret).unwrap();
            text.push_str(&format!("{name} = {{ file = {file:?} }}\n"));
        }
        text.push_str(&format!("[settings]\n{}\n", vendors::settings(vendor)));
        let config: ChannelConfig = toml::from_str(&text).unwrap();
        let crate::notify::config::Kind::Ticket(ticket) = &config.kind else {
            panic!("it is a ticket system");
        };
        let options = StoreOptions {
            reserve_bytes: 0,
            ..StoreOptions::default()
        };
        let store = Store::create(&dir.path().join("data"), options, NOW).unwrap();
        Self {
            system: TicketSystem::build(ticket, 1).unwrap(),
            stand_in,
            store,
            told: letter(Event::Fired).notification,
            _dir: dir,
        }
    }

    /// One attempt to tell of an event, with what comes of it committed as a worker does.
    async fn tell(&self, event: Event, now: UnixMs) -> Outcome {
        let mut told = self.told.clone();
        told.event = event;
        self.tell_of(told, now).await
    }

    async fn tell_of(&self, told: Notification, now: UnixMs) -> Outcome {
        let letter = Letter::new(told, &RuleSet::built_in());
        let attempt = self.system.deliver(&letter, &self.store, now).await;
        self.store.commit(attempt.writes).await.unwrap();
        attempt.outcome
    }

    fn ticket(&self) -> Ticket {
        let memo = self.store.memos().remove(0);
        let Content::Ticket(ticket) = memo.content else {
            panic!("{memo:?}");
        };
        ticket
    }
}

/// The presets whose systems find and close tickets; whether they open them again.
const ABLE: [(&str, bool); 7] = [
    ("request-tracker", true),
    ("zendesk", true),
    ("freshservice", true),
    ("jira-service-management", true),
    ("glpi", true),
    ("incident-iq", false),
    ("servicenow", true),
];

#[tokio::test]
async fn a_create_that_was_not_answered_makes_one_ticket_with_every_preset() {
    let all = ABLE.map(|(vendor, reopens)| async move {
        let scene = Scene::new(vendor).await;
        scene.stand_in.delay_next_create();
        let first = scene.tell(Event::Fired, NOW).await;
        assert!(
            matches!(first, Outcome::Retry { .. }),
            "{vendor}: {first:?}"
        );
        assert_eq!(scene.ticket().state, TicketState::Asked, "{vendor}");
        let second = scene.tell(Event::Fired, NOW.plus_ms(5_000)).await;
        assert_eq!(second, Outcome::Delivered, "{vendor}");
        let tickets = scene.stand_in.tickets();
        assert_eq!(tickets.len(), 1, "{vendor}: {tickets:?}");
        let known = scene.ticket();
        assert_eq!(known.state, TicketState::Open, "{vendor}");
        assert_eq!(
            (&known.id, &known.number),
            (&tickets[0].id, &tickets[0].number)
        );

        assert_eq!(scene.tell(Event::Updated, LATER).await, Outcome::Delivered);
        assert_eq!(scene.stand_in.tickets()[0].comments, 1, "{vendor}");
        assert_eq!(scene.tell(Event::Resolved, LATER).await, Outcome::Delivered);
        assert!(scene.stand_in.tickets()[0].is_closed, "{vendor}");
        assert_eq!(scene.ticket().state, TicketState::Closed, "{vendor}");

        let again = scene.tell(Event::Reopened, LATER.plus_ms(DAY_MS)).await;
        assert_eq!(again, Outcome::Delivered, "{vendor}");
        let tickets = scene.stand_in.tickets();
        let open: Vec<bool> = tickets.iter().map(|ticket| !ticket.is_closed).collect();
        match reopens {
            true => assert_eq!(open, [true], "{vendor}"),
            false => assert_eq!(open, [false, true], "{vendor}: a new one"),
        }
        assert_eq!(scene.stand_in.complaints(), [""; 0], "{vendor}");
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn what_comes_back_after_the_window_has_a_new_ticket() {
    let scene = Scene::new("zendesk").await;
    assert_eq!(scene.tell(Event::Fired, NOW).await, Outcome::Delivered);
    assert_eq!(scene.tell(Event::Resolved, NOW).await, Outcome::Delivered);
    let late = NOW.plus_ms(4 * DAY_MS + 1);
    assert_eq!(scene.tell(Event::Reopened, late).await, Outcome::Delivered);
    let open: Vec<bool> = scene
        .stand_in
        .tickets()
        .iter()
        .map(|ticket| !ticket.is_closed)
        .collect();
    assert_eq!(open, [false, true]);
    let keys = scene.stand_in.keys();
    assert_eq!(keys[1], format!("{}-2", keys[0]));
}

#[tokio::test]
async fn a_crash_between_asking_and_hearing_makes_no_second_ticket() {
    let scene = Scene::new("servicenow").await;
    let letter = Letter::new(scene.told.clone(), &RuleSet::built_in());
    // What came of it is not committed: the collector was killed just then.
    let _ = scene.system.deliver(&letter, &scene.store, NOW).await;
    assert_eq!(scene.ticket().state, TicketState::Asked);
    assert_eq!(
        scene.tell(Event::Fired, NOW.plus_ms(1)).await,
        Outcome::Delivered
    );
    assert_eq!(scene.stand_in.tickets().len(), 1);
    assert_eq!(scene.ticket().number, scene.stand_in.tickets()[0].number);
}

#[tokio::test]
async fn a_create_that_never_arrived_is_made_again_once_it_could_not_turn_up_any_more() {
    let scene = Scene::new("jira-service-management").await;
    scene.stand_in.lose_next_create();
    assert!(matches!(
        scene.tell(Event::Fired, NOW).await,
        Outcome::Retry { .. }
    ));
    let Outcome::Retry { after_ms, .. } = scene.tell(Event::Fired, NOW.plus_ms(5_000)).await else {
        panic!("it may still turn up");
    };
    assert_eq!(after_ms, Some(55_000));
    assert_eq!(scene.stand_in.tickets().len(), 0);
    let then = scene.tell(Event::Fired, NOW.plus_ms(60_000)).await;
    assert_eq!(then, Outcome::Delivered);
    assert_eq!(scene.stand_in.tickets().len(), 1);
}

#[tokio::test]
async fn a_ticket_that_somebody_removed_is_made_anew_and_its_end_needs_no_word() {
    let scene = Scene::new("freshservice").await;
    assert_eq!(scene.tell(Event::Fired, NOW).await, Outcome::Delivered);
    scene.stand_in.remove_all();
    assert!(matches!(
        scene.tell(Event::Updated, LATER).await,
        Outcome::Retry { .. }
    ));
    assert_eq!(scene.tell(Event::Updated, LATER).await, Outcome::Delivered);
    assert_eq!(scene.stand_in.tickets().len(), 1);
    scene.stand_in.remove_all();
    assert_eq!(scene.tell(Event::Resolved, LATER).await, Outcome::Delivered);
    assert_eq!(scene.stand_in.tickets().len(), 0);
}

#[tokio::test]
async fn a_refusal_is_told_and_leaves_nothing_to_be_looked_for() {
    let scene = Scene::new("zendesk").await;
    scene.stand_in.refuse_next_create(422);
    let Outcome::Rejected(why) = scene.tell(Event::Fired, NOW).await else {
        panic!("422 does not pass");
    };
    assert!(why.starts_with("create: 422"), "{why}");
    assert!(scene.store.memos().is_empty());
    scene.stand_in.refuse_next_create(429);
    assert!(matches!(
        scene.tell(Event::Fired, NOW).await,
        Outcome::Retry { .. }
    ));
    assert!(scene.store.memos().is_empty(), "nothing was made");
    assert_eq!(scene.tell(Event::Fired, NOW).await, Outcome::Delivered);
    assert_eq!(scene.stand_in.tickets().len(), 1);
}

#[tokio::test]
async fn a_system_that_cannot_be_searched_leaves_an_unanswered_create_to_a_person() {
    let scene = Scene::new("osticket").await;
    scene.stand_in.delay_next_create();
    assert!(matches!(
        scene.tell(Event::Fired, NOW).await,
        Outcome::Retry { .. }
    ));
    let Outcome::Rejected(why) = scene.tell(Event::Fired, LATER).await else {
        panic!("only a person can tell");
    };
    let key = scene.told.key.incident.to_string();
    assert!(why.contains(&key), "{why}");
    assert_eq!(scene.stand_in.tickets().len(), 1);
    // Somebody has looked, and found that there is none.
    let mut by_hand = scene.told.clone();
    by_hand.is_by_hand = true;
    assert_eq!(scene.tell_of(by_hand, LATER).await, Outcome::Delivered);
    assert_eq!(scene.tell(Event::Updated, LATER).await, Outcome::Delivered);
    assert_eq!(scene.tell(Event::Resolved, LATER).await, Outcome::Delivered);
    assert_eq!(scene.stand_in.complaints(), [""; 0]);
    assert_eq!(scene.ticket().number, scene.stand_in.tickets()[1].number);
}

#[tokio::test]
async fn a_channel_can_be_tested_with_every_preset() {
    for (vendor, _) in ABLE {
        let scene = Scene::new(vendor).await;
        let mut letter = Letter::test("desk", NOW);
        letter.notification.incident.severity = crate::alert::Severity::Warning;
        let did = scene.system.test(&letter).await.unwrap();
        let number = &scene.stand_in.tickets()[0].number;
        let expected =
            format!("made ticket {number}, found it by its key, commented it, resolved it");
        assert_eq!(did, expected, "{vendor}");
        assert!(scene.stand_in.tickets()[0].is_closed, "{vendor}");
    }
}

#[test]
fn every_preset_is_right_and_says_whether_it_was_tried() {
    let tried: Vec<&str> = names()
        .filter(|name| built_in(name).unwrap().tried.is_some())
        .collect();
    assert_eq!(tried, ["request-tracker"]);
    assert_eq!(names().count(), ABLE.len() + 1);
}

#[test]
fn mistakes_in_a_preset_name_the_field_and_the_nearest_word() {
    let right = include_str!("../../../../deploy/helpdesk/zendesk.toml");
    let mistakes = [
        (
            "{{subject}}",
            "{{subjekt}}",
            "create.request.body.ticket.subject: `{{subjekt}}` is not known here; did you mean `{{subject}}`?",
        ),
        (
            "public = false }\nexternal_id",
            "public = \"{{secret.token}}\" }\nexternal_id",
            "create.request.body.ticket.comment.public: a secret stands in a header",
        ),
        (
            "{ external_id = \"{{key}}\" }",
            "{ external_id = \"7\" }",
            "find.request: does not look for `{{key}}`",
        ),
        (
            "method = \"GET\"",
            "method = \"FETCH\"",
            "find.request.method: `FETCH` is none of GET",
        ),
        (
            "items = \"/tickets\"",
            "items = \"tickets\"",
            "find.items: ",
        ),
        (
            "warning = \"normal\", ",
            "",
            "maps.priority.to: `warning` is missing",
        ),
        (
            "path = \"/api/v2/tickets/{{ticket.id}}.json\"",
            "path = \"/api/v2/tickets/{{ticket.id}}.json?x=1\"",
            "comment.path: ",
        ),
        (
            "\"Idempotency-Key\" = \"{{key}}\"",
            "\"Idempotency-Key\" = \"{{ticket.id}}\"",
            "create.request.headers.Idempotency-Key: `{{ticket.id}}` is not known here",
        ),
    ];
    for (from, to, message) in mistakes {
        assert!(right.contains(from), "{from}");
        let error = Preset::parse("mine.toml", &right.replacen(from, to, 1)).unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.starts_with(&format!("preset mine.toml: {message}")),
            "{error}"
        );
    }
    let unknown = Preset::parse("mine.toml", &format!("titel = \"x\"\n{right}")).unwrap_err();
    assert!(format!("{unknown:#}").contains("unknown field `titel`"));
}
