use super::*;
use crate::control::{KeepUsers, Request, change_users};
use crate::query::example::{Example, NOW, label};
use crate::store::Role;

const RIGHT: &str = "correct horse battery";

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

fn from(address: &str) -> Browser<'static> {
    Browser {
        address: address.parse().unwrap(),
        device: None,
    }
}

async fn with_anna() -> Example {
    let example = Example::new().await;
    let request = Request::UserAdd {
        name: "Anna".to_owned(),
        role: Role::Technician,
        sites: vec![label("Lincoln")],
        password: password(RIGHT),
    };
    change_users(&example.store, request, "admin", KeepUsers::Nobody, NOW)
        .await
        .unwrap();
    example
}

#[tokio::test]
async fn a_user_is_let_in_by_name_and_password_alone() {
    let example = with_anna().await;
    let sign_in = |name: &'static str, text: &'static str| {
        example
            .query
            .sign_in(name, password(text), from("10.0.0.1"))
    };
    let anna = sign_in(" ANNA ", RIGHT).await.unwrap().user;
    let viewer = example.query.viewer_of_user("anna", &anna.stamp()).unwrap();
    assert_eq!(
        (viewer.role, viewer.sites()),
        (Role::Technician, &[label("Lincoln")][..])
    );
    for (name, text) in [
        ("anna", "wrong"),
        ("ben", RIGHT),
        ("", ""),
        ("two words", RIGHT),
    ] {
        let denied = sign_in(name, text).await.unwrap_err();
        assert_eq!(denied, Denied::WrongPassword, "{name}");
    }
    let lines = example.store.audit(1).unwrap();
    assert_eq!(
        (lines[0].actor.as_str(), lines[0].action.as_str()),
        ("user anna", "sign-in")
    );
}

#[tokio::test]
async fn guesses_are_bounded_and_anna_still_comes_in() {
    let example = with_anna().await;
    let known = example
        .query
        .sign_in("anna", password(RIGHT), from("10.0.0.1"))
        .await;
    let known = known.unwrap().device.unwrap();
    let guess = || {
        example
            .query
            .sign_in("anna", password("guess"), from("10.0.0.1"))
    };
    for _ in 0..10 {
        assert_eq!(guess().await.unwrap_err(), Denied::WrongPassword);
    }
    let waits = guess().await.unwrap_err();
    assert!(
        matches!(
            waits,
            Denied::TooMany {
                retry_after_s: 1..=901
            }
        ),
        "{waits}"
    );
    let line = example.store.audit(1).unwrap().remove(0);
    assert_eq!(
        (line.actor.as_str(), line.outcome.as_str()),
        ("10.0.0.1", "too-many-guesses")
    );
    guess().await.unwrap_err();
    assert_eq!(
        example.store.audit(1).unwrap()[0],
        line,
        "one line for each lock"
    );
    let right = |browser| example.query.sign_in("anna", password(RIGHT), browser);
    assert!(
        right(from("10.0.0.1")).await.is_err(),
        "a new browser at the same place"
    );
    assert!(right(from("10.0.0.2")).await.is_ok(), "elsewhere");
    let own = Browser {
        device: Some(&known),
        ..from("10.0.0.1")
    };
    assert!(
        right(own).await.is_ok(),
        "her own browser at the same place"
    );
    let forged = format!("{}.{}", known.split('.').next().unwrap(), "AAAA");
    let forged = Browser {
        device: Some(&forged),
        ..from("10.0.0.1")
    };
    assert!(right(forged).await.is_err());
}

#[tokio::test]
async fn a_new_password_ends_sessions_and_known_browsers() {
    let example = with_anna().await;
    let first = example
        .query
        .sign_in("anna", password(RIGHT), from("10.0.0.1"))
        .await
        .unwrap();
    let stamp = first.user.stamp();
    let viewer = example.query.viewer_of_user("anna", &stamp).unwrap();
    let new = || password("another horse staple");
    let change = |old: &str| {
        example
            .query
            .change_own_password(&viewer, (password(old), new()), from("10.0.0.1"))
    };
    assert_eq!(change("wrong").await.unwrap_err(), Denied::WrongPassword);
    let again = change(RIGHT).await.unwrap().unwrap();
    assert!(example.query.viewer_of_user("anna", &stamp).is_none());
    assert!(
        example
            .query
            .viewer_of_user("anna", &again.user.stamp())
            .is_some()
    );
    assert!(known_device(Some(&again.user), first.device.as_deref()).is_none());
    assert!(known_device(Some(&again.user), again.device.as_deref()).is_some());
    let line = example.store.audit(1).unwrap().remove(0);
    assert_eq!(
        (line.actor.as_str(), line.action.as_str()),
        ("user anna", "user.password")
    );
    let short = (new(), password("short"));
    let problem = example
        .query
        .change_own_password(&viewer, short, from("10.0.0.1"))
        .await;
    assert!(problem.unwrap().unwrap_err().contains("15 to 256"));
}

#[tokio::test]
async fn removal_ends_the_sessions_also_when_the_name_is_given_again() {
    let example = with_anna().await;
    let let_in = example
        .query
        .sign_in("anna", password(RIGHT), from("10.0.0.1"))
        .await
        .unwrap();
    let stamp = let_in.user.stamp();
    let remove = Request::UserRemove {
        name: "anna".to_owned(),
    };
    change_users(&example.store, remove, "admin", KeepUsers::Nobody, NOW)
        .await
        .unwrap();
    assert!(example.query.viewer_of_user("anna", &stamp).is_none());
    let request = Request::UserAdd {
        name: "anna".to_owned(),
        role: Role::Admin,
        sites: Vec::new(),
        password: password(RIGHT),
    };
    change_users(&example.store, request, "admin", KeepUsers::Nobody, NOW)
        .await
        .unwrap();
    assert!(example.query.viewer_of_user("anna", &stamp).is_none());
}
