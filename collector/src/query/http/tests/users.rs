//! Users: signing in with a name and a password, and what they do with their own account.

use super::*;
use crate::control::{Request as Wish, change_users};
use crate::query::example::label;
use crate::store::Role;
use crate::user::Password;

const RIGHT: &str = "correct horse battery";

async fn with_anna() -> (Example, Router) {
    let example = Example::new().await;
    let wish = Wish::UserAdd {
        name: "anna".to_owned(),
        role: Role::Viewer,
        sites: vec![label("Lincoln")],
        password: Password::new(RIGHT.to_owned()),
    };
    change_users(&example.store, wish, "admin", NOW)
        .await
        .unwrap();
    let router = plain(&example);
    (example, router)
}

/// Sends the form with a name, a password and cookies besides the form's own.
async fn sign_in(router: &Router, password: &str, cookies: &str) -> Asked {
    let form = ask(router, request(Method::GET, "/sign-in", &[], "")).await;
    let password: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
    let body = format!("name=Anna&password={password}&form={}", form.form_token());
    let cookies = format!("{}; {cookies}", form.cookies().remove(0));
    let headers = [("cookie", cookies.as_str())];
    ask(router, request(Method::POST, "/sign-in", &headers, &body)).await
}

async fn page(router: &Router, address: &str, cookie: &str) -> Asked {
    let headers = [("cookie", cookie)];
    ask(router, request(Method::GET, address, &headers, "")).await
}

async fn send(router: &Router, address: &str, cookie: &str, body: &str) -> Asked {
    let form = page(router, "/account", cookie).await.form_token();
    let headers = [("cookie", cookie)];
    let body = format!("{body}&form={form}");
    ask(router, request(Method::POST, address, &headers, &body)).await
}

#[tokio::test]
async fn a_user_signs_in_and_sees_their_sites() {
    let (_example, router) = with_anna().await;
    let form = ask(&router, request(Method::GET, "/sign-in", &[], "")).await;
    assert!(
        form.body.contains("autocomplete=\"username\""),
        "{}",
        form.body
    );
    let wrong = sign_in(&router, "correct horse", "").await;
    assert_eq!(wrong.status, 401);
    assert!(
        wrong.body.contains("do not belong together"),
        "{}",
        wrong.body
    );
    let welcome = sign_in(&router, RIGHT, "").await;
    assert_eq!((welcome.status, welcome.header("location")), (303, "/"));
    let lines: Vec<_> = welcome.headers.get_all("set-cookie").iter().collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let line = line.to_str().unwrap();
        assert!(line.contains("HttpOnly; SameSite=Strict"), "{line}");
    }
    let cookies = welcome.cookies();
    let (session, device) = (&cookies[0], &cookies[1]);
    let shown = page(&router, "/", session).await;
    assert!(
        shown.status == 200 && shown.body.contains(">anna</a>"),
        "{}",
        shown.body
    );
    assert!(!shown.body.contains("Hay"));
    // The browser is known from now on, and others' guesses are nothing to it.
    for _ in 0..11 {
        sign_in(&router, "guess", "").await;
    }
    let late = sign_in(&router, RIGHT, "").await;
    assert_eq!(late.status, 429);
    assert!(late.header("retry-after").parse::<u32>().unwrap() > 600);
    assert_eq!(sign_in(&router, RIGHT, device).await.status, 303);
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions() {
    let (_example, router) = with_anna().await;
    let other = sign_in(&router, RIGHT, "").await.cookies().remove(0);
    let own = sign_in(&router, RIGHT, "").await.cookies().remove(0);
    let change = |old: &str, new: &str, again: &str| {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("old", old), ("new", new), ("again", again)])
            .finish();
        let (router, own) = (router.clone(), own.clone());
        async move { send(&router, "/account/password", &own, &body).await }
    };
    let new = "another horse staple";
    for (old, new, again, told) in [
        (RIGHT, new, "another", "`again` is not the same"),
        ("wrong", new, new, "`old` is not the password"),
        (RIGHT, "short", "short", "`new` the password must have 15"),
    ] {
        let refused = change(old, new, again).await;
        assert!((400..500).contains(&refused.status), "{}", refused.status);
        assert!(refused.body.contains(told), "{told}: {}", refused.body);
    }
    assert_eq!(page(&router, "/", &other).await.status, 200);
    let done = change(RIGHT, new, new).await;
    assert_eq!((done.status, done.header("location")), (303, "/account"));
    assert_eq!(page(&router, "/", &other).await.status, 303, "ended");
    assert_eq!(page(&router, "/", &own).await.status, 303, "replaced");
    let fresh = done.cookies().remove(0);
    assert_eq!(page(&router, "/", &fresh).await.status, 200);
    assert_eq!(sign_in(&router, RIGHT, "").await.status, 401);
    assert_eq!(sign_in(&router, new, "").await.status, 303);
}

#[tokio::test]
async fn ones_own_sessions_are_listed_and_ended() {
    let (example, router) = with_anna().await;
    let other = sign_in(&router, RIGHT, "").await.cookies().remove(0);
    let own = sign_in(&router, RIGHT, "").await.cookies().remove(0);
    let stranger = pages::session_of(&router, example.token("viewer")).await;
    let shown = page(&router, "/account", &own).await.body;
    assert_eq!(shown.matches("name=\"id\" value=").count(), 1, "{shown}");
    let (_, rest) = shown.split_once("name=\"id\" value=\"").unwrap();
    let id = rest.split('"').next().unwrap();
    let body = format!("id={id}");
    let foreign = send(&router, "/account/sessions/end", &stranger, &body).await;
    assert_eq!(foreign.status, 404, "of somebody else");
    let headers = [("cookie", own.as_str())];
    let forged = format!("{body}&form=AAAA");
    let forged = request(Method::POST, "/account/sessions/end", &headers, &forged);
    assert_eq!(ask(&router, forged).await.status, 403);
    assert_eq!(page(&router, "/", &other).await.status, 200);
    assert_eq!(
        send(&router, "/account/sessions/end", &own, &body)
            .await
            .status,
        303
    );
    assert_eq!(page(&router, "/", &other).await.status, 303);
    assert_eq!(page(&router, "/", &own).await.status, 200);
}
