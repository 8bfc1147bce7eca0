//! The same e-mail by the mail server that districts run.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, throughout};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::postfix::Postfix;

use crate::settings;

#[test]
fn postfix_delivers_one_message_for_a_worn_battery() {
    let folder = rig::folder();
    let pki = Pki::make(folder.path());
    let postfix = match Postfix::start(folder.path(), &pki) {
        Ok(postfix) => postfix,
        Err(reason) => return rig::skip("delivery by Postfix", &reason),
    };
    let config = settings::with_mail(folder.path(), postfix.port, &pki);
    let mut collector = Collector::start(folder.path(), &config);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    let one = || {
        let mut mails = postfix.mails();
        mails.retain(|mail| mail.text.contains("battery-worn"));
        require(mails.len() == 1, || format!("{mails:#?}"))?;
        Ok::<_, String>(mails.remove(0))
    };
    let mail = eventually("one message in the mailbox", PATIENCE, one);
    throughout("one message", QUIET, || one().map(drop));
    let received = mail.header("Received").unwrap();
    assert!(
        received.contains("TLS") && received.contains("collector"),
        "{received}"
    );
    laptop.stop();
    collector.stop();
}
