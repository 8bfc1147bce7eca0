//! A mail server that speaks TLS from the first byte on (smtps): told once with authentication, and a server that
//! is not the one of the certificate's authority is given neither password nor mail.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::smtp::MailServer;

use crate::settings;

#[test]
fn implicit_tls_mail_is_told_to_the_right_server_alone() {
    let folder = rig::folder();
    let pki = Pki::make(folder.path());
    let foreign = folder.path().join("foreign");
    std::fs::create_dir_all(&foreign).unwrap();
    let stranger = Pki::make(&foreign);
    let mail = MailServer::start_implicit(folder.path(), &pki);
    // The collector believes another authority at first.
    let wrong = settings::with_mail_by(folder.path(), mail.port, &stranger, "tls");
    let mut collector = Collector::start(folder.path(), &wrong);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    eventually("a refusal of the certificate", PATIENCE, || {
        let outbox = collector.get("/api/v1/outbox")?;
        let why = outbox["channels"][0]["last_error"]
            .as_str()
            .unwrap_or_default();
        require(why.to_lowercase().contains("certificate"), || {
            outbox.to_string()
        })
    });
    assert_eq!(mail.offers(), Vec::<String>::new(), "nothing was offered");

    collector.stop();
    collector.configure(&settings::with_mail_by(
        folder.path(),
        mail.port,
        &pki,
        "tls",
    ));
    collector.run();
    let told = eventually("the e-mail", PATIENCE, || {
        let mails = mail.mails();
        require(mails.len() == 1, || format!("{mails:?}"))?;
        Ok::<_, String>(mails[0].clone())
    });
    for (header, value) in [
        ("X-Over-TLS", "yes"),
        ("X-STARTTLS", "no"),
        ("X-Authenticated", "yes"),
    ] {
        assert_eq!(told.header(header).as_deref(), Some(value), "{header}");
    }
    laptop.stop();
    collector.stop();
}
