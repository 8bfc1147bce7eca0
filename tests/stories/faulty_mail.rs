//! A mail server that is busy, slow, hangs up and refuses: nothing is lost, nothing is sent twice, and what cannot
//! be delivered is shown and can be tried again.

use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::patience::{eventually, require, throughout};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::smtp::{Mail, MailServer, PASSWORD, USER};

use crate::settings;

/// Three waits that grow from 5 s on, and a server that is silent for 3 s.
const PATIENCE: Duration = Duration::from_secs(150);

#[test]
fn faulty_mail_server_loses_nothing() {
    let folder = rig::folder();
    let pki = Pki::make(folder.path());
    let mail = MailServer::start(folder.path(), &pki);
    mail.answer(&["451", "drop", "slow"]);
    let rules = settings::battery_rules(folder.path());
    let password = folder.path().join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    let config = format!(
        "rules = {rules:?}\n{}\n[[channel]]\nname = \"mail\"\nkind = \"smtp\"\nhost = \"localhost\"\nport = {}\n\
         ca_file = {:?}\nusername = \"{USER}\"\npassword_file = {password:?}\ntimeout_s = 3\n\
         from = \"Rollcall <rollcall@school.example>\"\nto = [\"help-desk@school.example\"]\n",
        settings::QUICK,
        mail.port,
        pki.authority
    );
    let mut collector = Collector::start(folder.path(), &config);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.set_battery("POWER_SUPPLY_CAPACITY", "12");
    laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "2600000");
    laptop.run();
    let fired = eventually("the message, at last", PATIENCE, || {
        about(&mail, 1).map(|mut mails| mails.remove(0))
    });
    assert_eq!(mail.offers(), ["451", "drop", "slow", "accept"]);
    for part in [
        "Content-Type: multipart/alternative;",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
        "<h2>Battery is low</h2>",
    ] {
        assert!(fired.text.contains(part), "{part} in {}", fired.text);
    }

    mail.answer(&["554"]);
    laptop.set_battery("POWER_SUPPLY_CAPACITY", "80");
    laptop.set_battery("POWER_SUPPLY_ENERGY_NOW", "17600000");
    let channel = eventually("a message that was set aside", PATIENCE, || {
        let outbox = collector.get("/api/v1/outbox")?;
        let channel = outbox["channels"][0].clone();
        require(channel["set_aside"] == 1, || outbox.to_string())?;
        Ok::<_, String>(channel)
    });
    assert_eq!(channel["name"], "mail");
    let why = channel["last_error"].as_str().unwrap();
    assert!(why.contains("554") || why.contains("5.3.0"), "{why}");
    let listed = collector.command(&["outbox", "list"]).success();
    assert!(
        listed.contains("\tmail\tresolved\tBattery is low\t") && listed.contains("\tset aside\t"),
        "{listed}"
    );
    throughout("it is not tried by itself", QUIET, || {
        about(&mail, 1).map(drop)
    });
    let done = collector.command(&["outbox", "retry", "--channel", "mail"]);
    assert_eq!(done.success(), "done with 1\n");
    let both = eventually("the resolution", PATIENCE, || about(&mail, 2));
    let first = fired.header("Message-ID").unwrap();
    let references = both[1].header("References").unwrap();
    assert!(references.contains(&first), "{references}");
    eventually("an empty outbox", PATIENCE, || {
        let listed = collector.command(&["outbox", "list"]).success();
        require(listed.is_empty(), || listed)
    });
    laptop.stop();
    collector.stop();
}

/// The accepted messages about the story's incident, if there are exactly so many.
fn about(mail: &MailServer, count: usize) -> Result<Vec<Mail>, String> {
    let mut mails = mail.mails();
    mails.retain(|mail| mail.text.contains("charge-low"));
    require(mails.len() == count, || {
        format!("{} messages: {:?}", mails.len(), mail.offers())
    })?;
    Ok(mails)
}
