use super::*;
use crate::alert::{AlertId, AlertState, Severity};
use crate::audit::AuditLine;
use crate::query::example::{Example, NOW, alert, label};
use crate::store::Write;

const HOUR: i64 = 3_600_000;

fn viewer(role: Role, sites: &[&str]) -> Viewer {
    Viewer::new("kim", role, sites.iter().map(|site| label(site)).collect())
}

fn silence(matchers: Matchers, until: UnixMs) -> Action {
    Action::Silence {
        kind: Kind::Silence,
        matchers,
        when: When::Once { from: NOW, until },
        reason: "the switch is being replaced".to_owned(),
    }
}

fn of_sites(sites: &[&str]) -> Matchers {
    Matchers {
        sites: sites.iter().map(|site| label(site)).collect(),
        ..Matchers::default()
    }
}

async fn acted(example: &Example, viewer: &Viewer, action: Action) -> Result<Acted, QueryError> {
    act(&example.store, &RuleSet::built_in(), viewer, action, NOW).await
}

fn last_line(example: &Example) -> AuditLine {
    example.store.audit(1).unwrap().pop().unwrap()
}

fn alert_of(example: &Example, device: DeviceId) -> AlertId {
    let alerts = example.store.open_alerts_of(device);
    let firing = alerts.iter().find(|a| a.state == AlertState::Firing);
    firing.unwrap().id
}

#[tokio::test]
async fn who_may_silence_what() {
    let example = Example::new().await;
    let until = NOW.plus_ms(HOUR);
    let (lincoln, hay) = (of_sites(&["Lincoln"]), of_sites(&["Hay"]));
    let device_of_hay = Matchers {
        devices: vec![example.hay],
        ..Matchers::default()
    };
    let everything = Matchers::default;
    let may = async |role, sites: &[&str], matchers: &Matchers| {
        let action = silence(matchers.clone(), until);
        acted(&example, &viewer(role, sites), action).await.is_ok()
    };
    assert!(!may(Role::Viewer, &[], &lincoln).await);
    assert!(may(Role::Technician, &[], &lincoln).await);
    assert!(!may(Role::Technician, &[], &everything()).await);
    assert!(may(Role::Admin, &[], &everything()).await);
    assert!(may(Role::Technician, &["Lincoln"], &lincoln).await);
    assert!(!may(Role::Technician, &["Lincoln"], &hay).await);
    assert!(!may(Role::Admin, &["Lincoln"], &everything()).await);
    assert!(!may(Role::Technician, &["Lincoln"], &device_of_hay).await);
    assert!(may(Role::Technician, &["Hay"], &device_of_hay).await);
    let theirs = silences(&example.store, &viewer(Role::Viewer, &["Hay"]));
    let seen: Vec<String> = theirs.iter().map(|s| s.matchers.to_string()).collect();
    let device = format!("device {}", example.hay);
    assert_eq!(seen, [device.as_str(), "everything"]);
    let of_lincoln = example.store.silences().remove(0);
    let end = || Action::EndSilence { id: of_lincoln.id };
    let foreign = viewer(Role::Technician, &["Hay"]);
    assert!(acted(&example, &foreign, end()).await.is_err());
    let own = viewer(Role::Technician, &["Lincoln"]);
    acted(&example, &own, end()).await.unwrap();
    let ended = example.store.silence(of_lincoln.id).unwrap();
    assert!(ended.is_over(NOW));
    let line = last_line(&example);
    assert_eq!(
        (line.actor.as_str(), line.action.as_str()),
        ("kim", "silence.end")
    );
    assert_eq!(line.subject, of_lincoln.id.to_string());
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let example = Example::new().await;
    let admin = viewer(Role::Admin, &[]);
    let before = example.store.audit(100).unwrap().len();
    let refused = async |action| {
        let error = acted(&example, &admin, action).await.unwrap_err();
        error.to_string()
    };
    let misspelt = Matchers {
        rules: vec!["disk-ful".to_owned()],
        ..Matchers::default()
    };
    let later = NOW.plus_ms(HOUR);
    assert_eq!(
        refused(silence(misspelt, later)).await,
        "`rules` `disk-ful` is no rule; did you mean `disk-full`?"
    );
    let past = silence(Matchers::default(), NOW);
    assert!(refused(past).await.starts_with("`until` must be after now"));
    let far = silence(Matchers::default(), NOW.plus_ms(LONGEST_MS + 1));
    assert!(refused(far).await.contains("within 400 days"));
    let many = Matchers {
        groups: (0..25).map(|n| label(&format!("cart-{n}"))).collect(),
        ..Matchers::default()
    };
    assert!(
        refused(silence(many, later))
            .await
            .starts_with("`groups` may name at most 24")
    );
    let id = alert_of(&example, example.lincoln);
    let note = |text: String| Action::Note {
        subject: Subject::Alert(id),
        text,
    };
    assert!(
        refused(note(" ".to_owned()))
            .await
            .starts_with("`text` must be 1 to 320 bytes")
    );
    assert!(refused(note("x".repeat(321))).await.starts_with("`text`"));
    assert!(
        refused(note("bell\u{7}".to_owned()))
            .await
            .starts_with("`text`")
    );
    assert_eq!(example.store.audit(100).unwrap().len(), before);
    assert_eq!(example.store.silences(), []);
}

#[tokio::test]
async fn what_is_said_of_an_alert_is_kept_and_audited() {
    let example = Example::new().await;
    let id = alert_of(&example, example.lincoln);
    let subject = Subject::Alert(id);
    let technician = viewer(Role::Technician, &["Lincoln"]);
    let until = NOW.plus_ms(24 * HOUR);
    let actions = [
        Action::Acknowledge {
            subject,
            until,
            note: "ordered a drive".to_owned(),
        },
        Action::Note {
            subject,
            text: "the pupil has a loaner".to_owned(),
        },
        Action::Assign {
            subject,
            to: Some("Sam".to_owned()),
        },
        Action::NotUseful {
            subject,
            note: String::new(),
        },
    ];
    for action in actions {
        acted(&example, &technician, action).await.unwrap();
    }
    let marks = example.store.marks(subject).unwrap();
    assert_eq!(marks.rules, ["disk-failing"]);
    assert_eq!(marks.assigned.as_ref().unwrap().to, "Sam");
    assert_eq!(marks.notes[0].text, "the pupil has a loaner");
    assert_eq!(marks.not_useful.as_ref().unwrap().by, "kim");
    let firing = example.store.alert(id, 0).unwrap().unwrap();
    assert_eq!(marks.quiet_until(&firing, NOW), Some(until));
    assert_eq!(marks.quiet_until(&firing, until), None);
    let lines = example.store.audit(4).unwrap();
    let verbs: Vec<&str> = lines.iter().map(|line| line.action.as_str()).collect();
    assert_eq!(
        verbs,
        [
            "alert.not-useful",
            "alert.assign",
            "alert.note",
            "alert.acknowledge"
        ]
    );
    assert!(
        lines
            .iter()
            .all(|l| l.subject == id.to_string() && l.actor == "kim")
    );
    let undone = [Action::Release { subject }, Action::Useful { subject }];
    for action in undone {
        acted(&example, &technician, action).await.unwrap();
    }
    let marks = example.store.marks(subject).unwrap();
    assert!(marks.acknowledged.is_none() && marks.not_useful.is_none());
}

#[tokio::test]
async fn the_last_notes_are_kept() {
    let example = Example::new().await;
    let subject = Subject::Alert(alert_of(&example, example.hay));
    let technician = viewer(Role::Technician, &[]);
    for n in 0..crate::mark::NOTES + 3 {
        let text = format!("{n:x<320}");
        let note = Action::Note { subject, text };
        acted(&example, &technician, note).await.unwrap();
    }
    let notes = example.store.marks(subject).unwrap().notes;
    assert_eq!(notes.len(), crate::mark::NOTES);
    assert!(notes[0].text.starts_with("3x"));
}

#[tokio::test]
async fn an_alert_of_another_site_is_as_one_that_is_not_there() {
    let example = Example::new().await;
    let foreign = Subject::Alert(alert_of(&example, example.hay));
    let nowhere = Subject::Alert(AlertId::generate());
    let technician = viewer(Role::Technician, &["Lincoln"]);
    for subject in [foreign, nowhere] {
        let action = Action::Release { subject };
        let error = acted(&example, &technician, action).await.unwrap_err();
        assert_eq!(error, QueryError::NotFound(subject.to_string()));
    }
}

#[tokio::test]
async fn what_is_over_can_be_judged_but_not_dealt_with() {
    let example = Example::new().await;
    let over = alert(
        example.lincoln,
        "disk-full",
        Severity::Info,
        AlertState::Resolved,
    );
    let mut over = over;
    over.resolved = Some(NOW);
    let subject = Subject::Alert(over.id);
    let write = vec![Write::ResolveAlert(over)];
    example.store.commit(write).await.unwrap();
    let technician = viewer(Role::Technician, &[]);
    let not_useful = Action::NotUseful {
        subject,
        note: "it was a download".to_owned(),
    };
    acted(&example, &technician, not_useful).await.unwrap();
    let deal = Action::Acknowledge {
        subject,
        until: NOW.plus_ms(HOUR),
        note: String::new(),
    };
    let error = acted(&example, &technician, deal).await.unwrap_err();
    assert!(error.to_string().contains("nothing left to deal with"));
}
