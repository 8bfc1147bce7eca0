//! The inventory by the real binary: taken in while the collector runs, bad rows told and the rest kept, in tickets
//! and answers, and what it shows is found by the default rules.

use std::path::{Path, PathBuf};

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::http;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::smtp::MailServer;

use crate::settings;

const LAPTOPS: &str = "asset_tag,serial,model,school,grade,status,family_name\n\
    LMS-0042,PF1EXMPL,300e,Lincoln Middle School,7,in_use,Doe\n\
    LMS-0043,PF9OTHER,300e,Lincoln Middle School,7,in use,Roe\n\
    LMS-0044,PF1EXMPL,,,,,\n\
    LMS-0045,PF8OTHER,,,,lent,\n";

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn import(collector: &Collector, file: &Path, more: &[&str]) -> (String, String) {
    let file = file.display().to_string();
    let arguments = [&["inventory", "import", &file], more].concat();
    let done = collector.command(&arguments);
    (done.stderr.clone(), done.success())
}

#[test]
fn inventory_is_in_tickets_and_answers_and_a_retired_tag_is_seen() {
    let folder = rig::folder();
    let pki = Pki::make(folder.path());
    let mail = MailServer::start(folder.path(), &pki);
    let config = settings::with_mail(folder.path(), mail.port, &pki);
    settings::add_default_rule(folder.path(), "retired-tag-seen");
    let mut collector = Collector::start(folder.path(), &config);
    let laptops = file(folder.path(), "laptops.csv", LAPTOPS);

    let (problems, told) = import(&collector, &laptops, &["--dry-run"]);
    assert!(told.contains("laptops: 2 would be added"), "{told}");
    assert!(told.contains("not read: familyname"), "{told}");
    for part in [
        "laptops.csv line 4: serial: is that of `LMS-0042` already",
        "laptops.csv line 5: status: `lent` is no status",
    ] {
        assert!(problems.contains(part), "{part} in {problems}");
    }
    assert_eq!(collector.get("/api/v1/inventory").unwrap()["total"], 0);
    let (_, told) = import(&collector, &laptops, &[]);
    assert!(told.contains("laptops: 2 added, 0 changed"), "{told}");
    let (_, told) = import(&collector, &laptops, &[]);
    assert!(told.contains("laptops: 0 added, 0 changed"), "{told}");

    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    let told = eventually("a ticket with the asset tag", PATIENCE, || {
        let mails = mail.mails();
        let about = mails.iter().find(|mail| mail.text.contains("battery-worn"));
        about.cloned().ok_or_else(|| format!("{mails:?}"))
    });
    // Lines of mail are broken where it suits the encoding.
    let text = told.text.replace("=\r\n", "").replace("=\n", "");
    for part in ["LMS-0042", "Lincoln Middle School"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let found = collector.get("/api/v1/devices?search=lms-0042").unwrap();
    let device = &found["devices"][0];
    assert_eq!(
        (&found["total"], &device["asset_tag"]),
        (&1.into(), &"LMS-0042".into())
    );
    assert_eq!(device["school"], "Lincoln Middle School");
    let asset = collector.get("/api/v1/inventory?tag=LMS-0042").unwrap();
    assert_eq!(asset["laptops"][0]["device"], device["id"]);

    collector.kill();
    collector.run();
    let retired = file(
        folder.path(),
        "retired.csv",
        "tag,status\nLMS-0042,retired\n",
    );
    let body = serde_json::json!({
        "files": [{ "name": "retired.csv", "text": std::fs::read_to_string(&retired).unwrap() }],
    });
    let token = collector.admin_token();
    let address = "/api/v1/inventory/import";
    let answer = http::send(collector.http, "POST", address, &token, &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        answer.body.contains("\"laptops_changed\":1"),
        "{}",
        answer.body
    );
    eventually("an alert of the retired tag", PATIENCE, || {
        let alerts = collector.alerts("firing")?;
        let seen = alerts.iter().any(|alert| {
            alert["rule"] == "retired-tag-seen"
                && alert["evidence"]
                    .as_str()
                    .is_some_and(|e| e.contains("LMS-0042"))
        });
        require(seen, || format!("{alerts:?}"))
    });
    let (_, told) = import(
        &collector,
        &file(folder.path(), "back.csv", "tag,status\nLMS-0042,in_use\n"),
        &[],
    );
    assert!(told.contains("laptops: 0 added, 1 changed"), "{told}");
    eventually("its end", PATIENCE, || {
        let alerts = collector.alerts("firing")?;
        let gone = alerts
            .iter()
            .all(|alert| alert["rule"] != "retired-tag-seen");
        require(gone, || format!("{alerts:?}"))
    });
    let audit = collector
        .get("/api/v1/audit?lines=100")
        .unwrap()
        .to_string();
    assert!(
        audit.contains("inventory.import") && !audit.contains("Doe"),
        "{audit}"
    );
    laptop.stop();
    collector.stop();
}

#[test]
fn rules_written_through_the_api_outlive_a_crash_until_the_file_changes() {
    let folder = rig::folder();
    let rules = settings::quick_rule(folder.path(), "battery-worn");
    let config = format!("rules = {rules:?}\n{}\n", settings::QUICK);
    let mut collector = Collector::start(folder.path(), &config);
    let shown = collector.get("/api/v1/rules").unwrap();
    assert_eq!(
        (&shown["version"], &shown["source"]),
        (&1.into(), &"file".into())
    );
    let text = "name = \"many-cycles\"\ntitle = \"Battery is old\"\nseverity = \"info\"\naudience = \"help-desk\"\n\
        all = [{ metric = \"hw.battery.cycles\", op = \"above\", value = 1 }]\nrunbook-text = \"Look.\"\n\
        family.en = \"It is old.\"\n";
    let token = collector.admin_token();
    let put = |collector: &Collector, rule: &str| {
        let body = serde_json::json!({ "rule": rule, "note": "a story" });
        http::send(
            collector.http,
            "PUT",
            "/api/v1/rules/many-cycles",
            &token,
            &body,
        )
        .unwrap()
    };
    let wrong = put(&collector, &text.replace("cycles\", op", "cycle\", op"));
    assert_eq!(wrong.status, 400, "{}", wrong.body);
    assert!(
        wrong.body.contains("did you mean `hw.battery.cycles`?"),
        "{}",
        wrong.body
    );
    let done = put(&collector, text);
    assert_eq!(done.status, 200, "{}", done.body);
    collector.kill();
    collector.run();
    let shown = collector.get("/api/v1/rules").unwrap();
    assert_eq!(
        (&shown["version"], &shown["source"]),
        (&2.into(), &"api".into())
    );

    let mut laptop = Laptop::new(folder.path(), "laptop");
    let enrolment = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &enrolment).success();
    laptop.run();
    eventually("an alert of the new rule", PATIENCE, || {
        let alerts = collector.alerts("firing")?;
        let seen = alerts.iter().any(|alert| alert["rule"] == "many-cycles");
        require(seen, || format!("{alerts:?}"))
    });
    let file = std::fs::read_to_string(&rules).unwrap();
    std::fs::write(&rules, format!("{file}\n# changed by hand\n")).unwrap();
    eventually("the file's rules", PATIENCE, || {
        let shown = collector.get("/api/v1/rules")?;
        require(shown["version"] == 3 && shown["source"] == "file", || {
            shown.to_string()
        })
    });
    let restore = "/api/v1/rules/versions/2/restore";
    let back = http::send(
        collector.http,
        "POST",
        restore,
        &token,
        &serde_json::json!({}),
    )
    .unwrap();
    assert_eq!(back.status, 200, "{}", back.body);
    assert!(
        back.body.contains("many-cycles") && back.body.contains("\"version\":4"),
        "{}",
        back.body
    );
    laptop.stop();
    collector.stop();
}
