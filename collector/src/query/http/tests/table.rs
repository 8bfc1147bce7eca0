//! Every address by every role and scope: who gets what, and that nobody who is limited to Lincoln is told
//! anything of Hay.
//!
//! The addresses are read from the router itself: one that is served and not in [`ROWS`] fails the test,
//! and so does a method that is answered and not in it. A new address needs its row here.

use std::collections::BTreeSet;

use super::*;
use crate::incident::{Cause, Finding, Incident};
use crate::query::example::label;
use crate::silence::{Kind, Matchers, Silence, SilenceId, When};
use crate::store::EnrolmentTokenRecord;

/// Who asks, in the order of the numbers of a row. The first has no token and no session.
const ASKERS: [&str; 7] = [
    "nobody",
    "viewer-lincoln",
    "technician-lincoln",
    "admin-lincoln",
    "viewer",
    "technician",
    "admin",
];

/// How somebody shows who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// With a token, as programs do.
    Token,
    /// With a session's cookie, as browsers do; what is sent carries the form's token.
    Session,
}
use By::{Session, Token};

/// Everybody; everybody but strangers; and so on.
const OPEN: [u16; 7] = [200; 7];
const KNOWN: [u16; 7] = [401, 200, 200, 200, 200, 200, 200];
const OF_HAY: [u16; 7] = [401, 404, 404, 404, 200, 200, 200];
const DESK: [u16; 7] = [401, 403, 200, 200, 403, 200, 200];
const ACT_ON_HAY: [u16; 7] = [401, 403, 404, 404, 403, 200, 200];
const PAGE: [u16; 7] = [303, 200, 200, 200, 200, 200, 200];
const PAGE_OF_HAY: [u16; 7] = [303, 404, 404, 404, 200, 200, 200];

/// Method, route, address as it is asked, what is sent, how, and the status for each of [`ASKERS`].
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    By,
    [u16; 7],
);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("GET", "/api/v1/devices", "/api/v1/devices", "", Token, KNOWN),
    ("GET", "/api/v1/devices", "/api/v1/devices?site=Hay", "", Token, KNOWN),
    ("GET", "/api/v1/devices/{id}", "/api/v1/devices/{H}", "", Token, OF_HAY),
    ("GET", "/api/v1/devices/{id}/series", "/api/v1/devices/{H}/series?metric=hw.battery.charge", "", Token, OF_HAY),
    ("GET", "/api/v1/devices/{id}/series", "/api/v1/devices/{H}/series", "", Token, OF_HAY),
    ("GET", "/api/v1/alerts", "/api/v1/alerts", "", Token, KNOWN),
    ("GET", "/api/v1/alerts", "/api/v1/alerts?site=Hay", "", Token, KNOWN),
    ("GET", "/api/v1/alerts", "/api/v1/alerts?state=resolved", "", Token, KNOWN),
    ("GET", "/api/v1/alerts", "/api/v1/alerts?device={H}", "", Token, OF_HAY),
    ("GET", "/api/v1/alerts/{id}/marks", "/api/v1/alerts/{HA}/marks", "", Token, OF_HAY),
    ("POST", "/api/v1/alerts/{id}/{verb}", "/api/v1/alerts/{HA}/notes", "{\"text\":\"seen\"}", Token, ACT_ON_HAY),
    ("POST", "/api/v1/alerts/{id}/{verb}", "/api/v1/alerts/{HA}/acknowledge", "{\"for_s\":60}", Token, ACT_ON_HAY),
    ("GET", "/api/v1/incidents", "/api/v1/incidents", "", Token, KNOWN),
    ("GET", "/api/v1/incidents/{id}/marks", "/api/v1/incidents/{HI}/marks", "", Token, OF_HAY),
    ("POST", "/api/v1/incidents/{id}/{verb}", "/api/v1/incidents/{HI}/notes", "{\"text\":\"seen\"}", Token, ACT_ON_HAY),
    ("GET", "/api/v1/summary", "/api/v1/summary", "", Token, KNOWN),
    ("GET", "/api/v1/metrics-catalogue", "/api/v1/metrics-catalogue", "", Token, KNOWN),
    ("GET", "/api/v1/outbox", "/api/v1/outbox", "", Token, DESK),
    ("GET", "/api/v1/audit", "/api/v1/audit", "", Token, [401, 403, 403, 403, 403, 403, 200]),
    ("GET", "/api/v1/silences", "/api/v1/silences?all=true", "", Token, KNOWN),
    ("POST", "/api/v1/silences", "/api/v1/silences", "{\"sites\":[\"Hay\"],\"for_s\":60,\"reason\":\"x\"}", Token, [401, 403, 403, 403, 403, 201, 201]),
    ("POST", "/api/v1/silences", "/api/v1/silences", "{\"for_s\":60,\"reason\":\"x\"}", Token, [401, 403, 403, 403, 403, 403, 201]),
    ("DELETE", "/api/v1/silences/{id}", "/api/v1/silences/{HS}", "", Token, [401, 403, 403, 403, 403, 200, 200]),
    ("GET", "/api/v1/maintenance", "/api/v1/maintenance?all=true", "", Token, KNOWN),
    ("POST", "/api/v1/maintenance", "/api/v1/maintenance", "{\"sites\":[\"Hay\"],\"for_s\":60,\"reason\":\"x\"}", Token, [401, 403, 403, 403, 403, 201, 201]),
    ("DELETE", "/api/v1/maintenance/{id}", "/api/v1/maintenance/{HS}", "", Token, [401, 403, 403, 403, 403, 200, 200]),
    ("GET", "/api/v1/rules", "/api/v1/rules", "", Token, KNOWN),
    ("GET", "/api/v1/rules/{name}", "/api/v1/rules/battery-worn", "", Token, KNOWN),
    ("GET", "/api/v1/rules/versions", "/api/v1/rules/versions", "", Token, KNOWN),
    ("GET", "/api/v1/rules/versions/{version}", "/api/v1/rules/versions/0", "", Token, KNOWN),
    ("POST", "/api/v1/rules/validate", "/api/v1/rules/validate", "{\"text\":\"x\"}", Token, [401, 403, 403, 403, 403, 403, 200]),
    ("POST", "/api/v1/rules/preview", "/api/v1/rules/preview", "{\"text\":\"x\"}", Token, [401, 403, 403, 403, 403, 403, 400]),
    ("PUT", "/api/v1/rules", "/api/v1/rules", "{\"text\":\"x\"}", Token, [401, 403, 403, 403, 403, 403, 400]),
    ("PUT", "/api/v1/rules/{name}", "/api/v1/rules/battery-worn", "{\"rule\":\"x\"}", Token, [401, 403, 403, 403, 403, 403, 400]),
    ("DELETE", "/api/v1/rules/{name}", "/api/v1/rules/none", "{}", Token, [401, 403, 403, 403, 403, 403, 404]),
    ("POST", "/api/v1/rules/versions/{version}/restore", "/api/v1/rules/versions/99/restore", "{}", Token, [401, 403, 403, 403, 403, 403, 404]),
    ("GET", "/api/v1/inventory", "/api/v1/inventory", "", Token, [401, 403, 403, 403, 403, 200, 200]),
    ("POST", "/api/v1/inventory/import", "/api/v1/inventory/import", "{}", Token, [401, 403, 403, 400, 403, 403, 400]),
    ("GET", "/api/openapi.json", "/api/openapi.json", "", Token, OPEN),
    ("GET", "/api/{*rest}", "/api/v1/nothing", "", Token, [404; 7]),
    ("GET", "/metrics", "/metrics", "", Token, KNOWN),
    ("GET", "/metrics/devices", "/metrics/devices?metric=hw.battery.charge", "", Token, KNOWN),
    ("GET", "/healthz", "/healthz", "", Token, OPEN),
    ("GET", "/readyz", "/readyz", "", Token, OPEN),
    ("GET", "/", "/", "", Session, PAGE),
    ("GET", "/", "/?site=Hay", "", Session, PAGE),
    ("GET", "/devices", "/devices", "", Session, PAGE),
    ("GET", "/devices.csv", "/devices.csv", "", Session, PAGE),
    ("GET", "/devices/{id}", "/devices/{H}", "", Session, PAGE_OF_HAY),
    ("GET", "/devices/{id}/collected", "/devices/{H}/collected", "", Session, PAGE_OF_HAY),
    ("GET", "/devices/{id}/history.json", "/devices/{H}/history.json?part=battery", "", Session, PAGE_OF_HAY),
    ("GET", "/devices/{id}/week.svg", "/devices/{H}/week.svg?metric=hw.battery.charge&instance=BAT0", "", Session, PAGE_OF_HAY),
    ("GET", "/api/docs", "/api/docs", "", Session, OPEN),
    ("GET", "/reachability", "/reachability", "", Session, PAGE),
    ("GET", "/reports", "/reports", "", Session, PAGE),
    ("GET", "/reports/{name}", "/reports/load.csv", "", Session, PAGE),
    ("POST", "/acts", "/acts", "act=note&alert={HA}&text=x&back=/", Session, [303, 403, 404, 404, 403, 303, 303]),
    ("GET", "/administration", "/administration", "", Session, [303, 403, 200, 200, 403, 200, 200]),
    ("POST", "/administration/tokens", "/administration/tokens", "site=Hay", Session, [303, 403, 403, 400, 403, 403, 200]),
    ("POST", "/administration/tokens/revoke", "/administration/tokens/revoke", "id=hay1", Session, [303, 403, 403, 404, 403, 403, 303]),
    ("POST", "/administration/api-tokens", "/administration/api-tokens", "name=x&role=viewer&sites=Hay", Session, [303, 403, 403, 400, 403, 403, 200]),
    ("POST", "/administration/api-tokens/revoke", "/administration/api-tokens/revoke", "name=revoked", Session, [303, 403, 403, 404, 403, 403, 303]),
    ("GET", "/administration/people", "/administration/people", "", Session, [303, 403, 403, 200, 403, 403, 200]),
    ("POST", "/administration/users", "/administration/users", "name=new&role=viewer&sites=Hay", Session, [303, 403, 403, 400, 403, 403, 200]),
    ("POST", "/administration/users/password", "/administration/users/password", "name=hanna", Session, [303, 403, 403, 404, 403, 403, 200]),
    ("POST", "/administration/users/role", "/administration/users/role", "name=hanna&role=technician&sites=Hay", Session, [303, 403, 403, 404, 403, 403, 303]),
    ("POST", "/administration/users/remove", "/administration/users/remove", "name=hanna", Session, [303, 403, 403, 404, 403, 403, 303]),
    ("POST", "/administration/sessions/end", "/administration/sessions/end", "id=none", Session, [303, 403, 403, 404, 403, 403, 404]),
    ("GET", "/administration/silences", "/administration/silences", "", Session, [303, 403, 200, 200, 403, 200, 200]),
    ("POST", "/administration/silences", "/administration/silences", "sites=Hay&reason=x", Session, [303, 403, 403, 403, 403, 303, 303]),
    ("POST", "/administration/silences", "/administration/silences", "reason=x", Session, [303, 403, 403, 403, 403, 403, 303]),
    ("POST", "/administration/silences/end", "/administration/silences/end", "id={HS}", Session, [303, 403, 403, 403, 403, 303, 303]),
    ("GET", "/administration/channels", "/administration/channels", "", Session, [303, 403, 200, 200, 403, 200, 200]),
    ("POST", "/administration/channels/test", "/administration/channels/test", "name=none", Session, [303, 403, 403, 403, 403, 403, 404]),
    ("GET", "/administration/rules", "/administration/rules", "", Session, PAGE),
    ("GET", "/administration/rules/another", "/administration/rules/another", "", Session, [303, 403, 403, 403, 403, 403, 200]),
    ("GET", "/administration/rules/{name}", "/administration/rules/battery-worn", "", Session, PAGE),
    ("GET", "/administration/rules/versions/{version}", "/administration/rules/versions/0", "", Session, PAGE),
    ("POST", "/administration/rules/change", "/administration/rules/change", "do=check&rule=x", Session, [303, 403, 403, 403, 403, 403, 400]),
    ("POST", "/administration/rules/restore", "/administration/rules/restore", "version=0", Session, [303, 403, 403, 403, 403, 403, 303]),
    ("GET", "/administration/audit", "/administration/audit?to=Hay", "", Session, [303, 403, 403, 403, 403, 403, 200]),
    ("GET", "/account", "/account", "", Session, PAGE),
    ("POST", "/account/password", "/account/password", "old=x&new=y&again=y", Session, [303, 403, 403, 403, 403, 403, 403]),
    ("POST", "/account/sessions/end", "/account/sessions/end", "id=none", Session, [303, 404, 404, 404, 404, 404, 404]),
    ("GET", "/events", "/events", "", Session, PAGE),
    ("GET", "/sign-in", "/sign-in", "", Session, [200, 303, 303, 303, 303, 303, 303]),
    ("POST", "/sign-in", "/sign-in", "token=x", Session, [403; 7]),
    ("GET", "/sign-in/provider", "/sign-in/provider", "", Session, [404; 7]),
    ("GET", "/sign-in/provider/callback", "/sign-in/provider/callback", "", Session, [404; 7]),
    ("POST", "/sign-out", "/sign-out", "", Session, [303; 7]),
    ("GET", "/assets/{name}", "/assets/rollcall.css", "", Session, OPEN),
];

/// Addresses whose text is the same for everybody and made before there is a fleet.
const STATIC: [&str; 4] = [
    "/api/v1/metrics-catalogue",
    "/api/openapi.json",
    "/api/docs",
    "/assets/rollcall.css",
];

/// What belongs to Hay beside what the example has.
struct Hay {
    alert: String,
    incident: String,
    silence: String,
}

async fn add_to_hay(example: &Example) -> Hay {
    let alerts = example.store.firing_alerts();
    let alert = alerts
        .iter()
        .find(|alert| alert.key.device == example.hay)
        .unwrap();
    let finding = Finding {
        alert: alert.id,
        key: alert.key.clone(),
        title: "Batteries of Hay".to_owned(),
        evidence: "Hay".to_owned(),
        severity: alert.severity,
        since: alert.since,
        resolved: None,
    };
    let cause = Cause::Device(example.hay);
    let mut incident = Incident::new(cause, alert.audience, &finding, NOW);
    incident.findings.push(finding);
    (incident.told, incident.devices) = (1, 1);
    incident.site = Some(label("Hay"));
    incident.sites = vec![label("Hay")];
    let silence = Silence {
        id: SilenceId::generate(),
        kind: Kind::Silence,
        matchers: Matchers {
            sites: vec![label("Hay")],
            ..Matchers::default()
        },
        when: When::Once {
            from: NOW,
            until: NOW.plus_ms(3_600_000),
        },
        reason: "Hay moves".to_owned(),
        author: "somebody of Hay".to_owned(),
        created: NOW,
        ended: None,
    };
    let token = EnrolmentTokenRecord {
        id: "hay1".to_owned(),
        hash: [0; 32],
        site: label("Hay"),
        group: None,
        uses_left: None,
        uses: 0,
        expires: None,
        revoked: false,
        created: NOW,
        recent: Vec::new(),
    };
    let hay = Hay {
        alert: alert.id.to_string(),
        incident: incident.id.to_string(),
        silence: silence.id.to_string(),
    };
    let user = crate::user::User {
        name: "hanna".to_owned(),
        role: crate::store::Role::Viewer,
        sites: vec![label("Hay")],
        created: NOW,
        entry: crate::user::Entry::Password {
            hash: Box::new(crate::user::PasswordHash::decoy()),
            since: NOW,
        },
        secret: [7; 32],
    };
    let writes = vec![
        Write::PutUser(user),
        Write::PutIncident(incident),
        Write::PutSilence(silence),
        Write::PutToken(token),
    ];
    example.store.commit(writes).await.unwrap();
    hay
}

#[tokio::test]
async fn every_address_by_every_role_and_scope() {
    let example = Example::new().await;
    let hay = add_to_hay(&example).await;
    let router = enrolling(&example);
    let mut wrong = Vec::new();
    for (method, _, address, body, by, expected) in ROWS {
        let fill = |text: &str| {
            text.replace("{HA}", &hay.alert)
                .replace("{HI}", &hay.incident)
                .replace("{HS}", &hay.silence)
                .replace("{H}", &example.hay.to_string())
        };
        let (address, body) = (fill(address), fill(body));
        let mut found = [0; 7];
        for (asker, status) in ASKERS.into_iter().zip(&mut found) {
            let asked = ask_as(&router, &example, (asker, *by), (method, &address, &body)).await;
            *status = asked.status;
            let is_limited = asker.ends_with("lincoln") || asker == "nobody";
            let is_static = STATIC.iter().any(|page| address.starts_with(page));
            let said = without_random(&asked.body);
            let told = ["Hay", "Latitude 3120", &hay.incident, &hay.silence]
                .iter()
                .any(|word| said.contains(word) && !address.contains(word) && !body.contains(word));
            let told = told || said.contains(">Hay<");
            if is_limited && !is_static && told {
                wrong.push(format!(
                    "{method} {address} as {asker} tells of Hay: {}",
                    asked.body
                ));
            }
        }
        if found != *expected {
            wrong.push(format!(
                "{method} {address}: {found:?} and not {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A page without the random texts of its sessions, forms and tokens, in which any three letters stand now
/// and then.
fn without_random(page: &str) -> String {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let is_kept = |piece: &&str| {
        let word = piece.trim_end_matches(|c| !is_of_token(c));
        word.len() < 20 || word.parse::<uuid::Uuid>().is_ok()
    };
    let pieces = page.split_inclusive(|c| !is_of_token(c));
    pieces.filter(is_kept).collect()
}

/// The router, able to make tokens, as the real one is.
fn enrolling(example: &Example) -> Router {
    let enrolling = crate::query::Enrolling {
        authority: rollcall_shared::token::AuthorityFingerprint([7; 32]),
        port: 8443,
    };
    router(example.query.clone().enrolling(enrolling), false, &[])
}

/// Asks once, as somebody. A stream without end is cut off after its first word.
async fn ask_as(
    router: &Router,
    example: &Example,
    (asker, by): (&str, By),
    (method, address, body): (&str, &str, &str),
) -> Asked {
    let method: Method = method.parse().unwrap();
    let mut headers: Vec<(&str, String)> = Vec::new();
    let mut body = body.to_owned();
    match by {
        Token if asker != "nobody" => {
            headers.push(("authorization", format!("Bearer {}", example.token(asker))));
        }
        Session if asker != "nobody" => {
            let cookie = pages::session_of(router, example.token(asker)).await;
            if method == Method::POST {
                let own = [("cookie", cookie.as_str())];
                let page = ask(router, request(Method::GET, "/account", &own, "")).await;
                body = format!("{body}&form={}", page.form_token());
            }
            headers.push(("cookie", cookie));
        }
        Token | Session => {}
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let request = request(method, address, &headers, &body);
    if address != "/events" {
        return ask(router, request).await;
    }
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let first = match parts.status.as_u16() {
        200 => body.frame().await.unwrap().unwrap().into_data().unwrap(),
        _ => Default::default(),
    };
    Asked {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(first.to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn every_route_is_in_the_table() {
    let example = Example::new().await;
    let served = routes_of(&enrolling(&example));
    assert!(served.len() > 30, "the router tells no routes: {served:?}");
    let listed: BTreeSet<String> = ROWS.iter().map(|row| row.1.to_owned()).collect();
    let missing: Vec<&String> = served.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "served, and in no row of ROWS: {missing:?}"
    );
    let gone: Vec<&String> = listed.difference(&served).collect();
    assert!(
        gone.is_empty(),
        "in a row of ROWS, and not served: {gone:?}"
    );
}

/// Every method that is answered otherwise than by 405 has its row.
#[tokio::test]
async fn every_method_is_in_the_table() {
    let example = Example::new().await;
    let router = enrolling(&example);
    for (_, route, address, ..) in ROWS {
        let listed = |method: &str| ROWS.iter().any(|row| row.0 == method && row.1 == *route);
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            // A method without a row, asked by nobody: had it a handler, it would not be refused as such.
            let asked = request(method.parse().unwrap(), address, &[], "");
            let status = ask(&router, asked).await.status;
            assert_eq!(status == 405, !listed(method), "{method} {route}: {status}");
        }
    }
}

/// The routes that a router serves, from what it says of itself: axum names them nowhere else.
fn routes_of(router: &Router) -> BTreeSet<String> {
    let told = format!("{router:?}");
    let quoted = told.split('"').skip(1).step_by(2);
    quoted
        // What has no route of its own is a page that is not there, for those who have signed in.
        .filter(|text| text.starts_with('/') && !text.starts_with("/{*__private__"))
        .map(ToOwned::to_owned)
        .collect()
}
