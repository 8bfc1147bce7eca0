//! Users: signing in with a name and a password, and what they do with their own account.

use super::*;
use crate::control::{KeepUsers, Request as Wish, change_users};
use crate::query::example::label;
use crate::store::{Role, Write};
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
    change_users(&example.store, wish, "admin", KeepUsers::Nobody, NOW)
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

#[tokio::test]
async fn an_administrator_changes_what_another_may_do() {
    let (example, router) = with_anna().await;
    let own = sign_in(&router, RIGHT, "").await.cookies().remove(0);
    let admin = pages::session_of(&router, example.token("admin")).await;
    let shown = page(&router, "/administration/people", &admin).await.body;
    assert!(shown.contains("id=\"role-anna\""), "{shown}");
    let address = "/administration/users/role";
    let change = |wish: &str| {
        let (router, admin, wish) = (router.clone(), admin.clone(), wish.to_owned());
        async move { send(&router, address, &admin, &wish).await }
    };
    let refused = change("name=anna&role=king&sites=").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("`role` must be one of"),
        "{}",
        refused.body
    );
    assert_eq!(change("name=nobody&role=viewer").await.status, 404);
    assert_eq!(page(&router, "/administration", &own).await.status, 403);
    let done = change("name=anna&role=technician&sites=Hay").await;
    assert_eq!(done.status, 303, "{}", done.body);
    // From the next request on, without signing in again.
    assert_eq!(page(&router, "/administration", &own).await.status, 200);
    let seen = page(&router, "/devices", &own).await.body;
    let (hay, lincoln) = (example.hay.to_string(), example.lincoln.to_string());
    assert!(seen.contains(&hay) && !seen.contains(&lincoln), "{seen}");
    let audit = page(&router, "/administration/audit?what=user.role", &admin).await;
    assert!(
        audit.body.contains("role technician, Hay"),
        "{}",
        audit.body
    );
    assert_eq!(change("name=anna&role=admin").await.status, 303);
    let herself = send(&router, address, &own, "name=anna&role=viewer").await;
    assert_eq!(herself.status, 400);
    assert!(
        herself.body.contains("`name` is your own"),
        "{}",
        herself.body
    );
}

#[tokio::test]
async fn the_last_administrator_stays_one_by_whatever_page() {
    let example = Example::new().await;
    let wish = |wish: Wish, keep| change_users(&example.store, wish, "admin", keep, NOW);
    let name = "anna".to_owned();
    let add = Wish::UserAdd {
        name: name.clone(),
        role: Role::Admin,
        sites: Vec::new(),
        password: Password::new(RIGHT.to_owned()),
    };
    wish(add, KeepUsers::Administrator).await.unwrap();
    let role = |role, sites| Wish::UserRole {
        name: name.clone(),
        role,
        sites,
    };
    // A token that reaches as far is an administrator too, until it is revoked.
    let less = role(Role::Technician, Vec::new());
    wish(less.clone(), KeepUsers::Administrator).await.unwrap();
    let more = role(Role::Admin, Vec::new());
    wish(more, KeepUsers::Administrator).await.unwrap();
    let tokens = example.store.api_tokens().into_iter().map(|mut token| {
        token.revoked = true;
        Write::PutApiToken(token)
    });
    example.store.commit(tokens.collect()).await.unwrap();
    let fewer = role(Role::Admin, vec![label("Hay")]);
    let gone = Wish::UserRemove { name: name.clone() };
    for each in [less.clone(), fewer, gone.clone()] {
        let refused = wish(each, KeepUsers::Administrator).await.unwrap_err();
        assert!(refused.contains("make another administrator"), "{refused}");
    }
    wish(less, KeepUsers::Nobody).await.unwrap();
    wish(gone, KeepUsers::Administrator).await.unwrap();
}
