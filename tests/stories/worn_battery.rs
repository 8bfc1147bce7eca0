//! A laptop with a worn battery becomes exactly one e-mail and one webhook call, and one resolution
//! of each when the battery is replaced.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, throughout};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::smtp::{Mail, MailServer};
use rollcall_tests::rig::webhook::Receiver;

use crate::settings;

const RULE: &str = "battery-worn";

#[test]
fn worn_battery_is_told_once_and_resolved_once() {
    let folder = rig::folder();
    let pki = Pki::make(folder.path());
    let mut mail = MailServer::start(folder.path(), &pki);
    // The first message meets trouble of each kind that passes; so does the first call.
    mail.answer(&["451", "drop"]);
    let hook = Receiver::start();
    hook.answer(&[503, 0]);
    let config = settings::with_channels(folder.path(), mail.port, &pki, &hook);
    let mut collector = Collector::start(folder.path(), &config);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();

    let fired = eventually("one e-mail", PATIENCE, || one_about(&mail, RULE));
    assert_eq!(
        mail.offers(),
        ["451", "drop", "accept"],
        "tried until it was taken"
    );
    assert_eq!(fired.header("X-Over-TLS").as_deref(), Some("yes"));
    assert_eq!(fired.header("X-Authenticated").as_deref(), Some("yes"));
    assert_eq!(
        fired.header("X-Envelope-To").as_deref(),
        Some("help-desk@school.example")
    );
    eventually("one webhook call", PATIENCE, || calls(&hook, RULE, 1));

    // A crash between a mail server's acceptance and its record would send the message once more,
    // under the same Message-ID; SMTP knows no better.
    eventually("the record of both deliveries", PATIENCE, || {
        let outbox = collector.get("/api/v1/outbox")?;
        require(outbox["waiting"] == 0, || outbox.to_string())
    });
    collector.kill();
    collector.run();
    throughout("exactly one of each after a crash", QUIET, || {
        one_about(&mail, RULE).map(drop)?;
        calls(&hook, RULE, 1)
    });

    // The mail server is down while the battery is replaced.
    mail.kill();
    laptop.set_battery("POWER_SUPPLY_ENERGY_FULL", "50000000");
    eventually("the resolution by webhook", PATIENCE, || {
        calls(&hook, RULE, 2)
    });
    collector.stop();
    collector.run();
    let mail = MailServer::start_on(folder.path(), &pki, mail.port);
    let all = eventually("the resolution by e-mail", PATIENCE, || {
        about(&mail, RULE, 2)
    });
    let thread = all[1]
        .header("In-Reply-To")
        .or_else(|| all[1].header("References"));
    let first = fired.header("Message-ID").expect("a message has an id");
    assert!(
        thread.is_some_and(|ids| ids.contains(&first)),
        "{}",
        all[1].text
    );
    throughout("exactly one resolution of each", QUIET, || {
        about(&mail, RULE, 2).map(drop)?;
        calls(&hook, RULE, 2)
    });
    let open = collector.alerts("firing").unwrap();
    assert!(open.iter().all(|alert| alert["rule"] != RULE), "{open:?}");
    laptop.stop();
    collector.stop();
}

fn one_about(mail: &MailServer, rule: &str) -> Result<Mail, String> {
    about(mail, rule, 1).map(|mut mails| mails.remove(0))
}

/// The accepted messages about a rule, if there are exactly so many.
fn about(mail: &MailServer, rule: &str, count: usize) -> Result<Vec<Mail>, String> {
    let mut mails = mail.mails();
    mails.retain(|mail| mail.text.contains(rule));
    require(mails.len() == count, || {
        format!("{} messages: {mails:#?}", mails.len())
    })?;
    Ok(mails)
}

/// Whether exactly so many calls about a rule were accepted, each signed and with an id of its own.
fn calls(hook: &Receiver, rule: &str, count: usize) -> Result<(), String> {
    let unsigned = hook.calls().into_iter().find(|call| call.verdict.is_err());
    assert!(unsigned.is_none(), "{unsigned:?}");
    let mut calls = hook.accepted();
    calls.retain(|call| call.body.to_string().contains(rule));
    let mut ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let exact = calls.len() == count && ids.len() == count;
    require(exact, || format!("{} calls: {calls:#?}", calls.len()))
}
