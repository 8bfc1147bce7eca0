//! Each mistake at enrolment has its own message on the laptop and its own audit line.

use rollcall_shared::refusal::Refusal;
use rollcall_shared::token::{AuthorityFingerprint, EnrolmentToken};
use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};

#[test]
fn every_mistake_at_enrolment_is_named_on_both_sides() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let good = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let parsed: EnrolmentToken = good.parse().unwrap();
    let mut unknown = parsed.clone();
    unknown.secret = rollcall_shared::token::TokenSecret::generate();
    let mut foreign = parsed.clone();
    foreign.authority = AuthorityFingerprint::of(b"another district's authority");

    let refused = |name: &str, token: &str, refusal: Refusal| {
        let laptop = Laptop::new(folder.path(), name);
        let said = laptop.enroll(collector.grpc, token).failure();
        assert!(said.contains(refusal.sentence()), "{name}: {said}");
        eventually("its audit line", PATIENCE, || {
            let lines = collector.get("/api/v1/audit")?.to_string();
            require(lines.contains(refusal.word()), || lines)
        });
        assert!(!laptop.data.join("identity/key.pem").exists() || !has_certificate(&laptop));
    };
    refused("unknown", &unknown.to_string(), Refusal::TokenUnknown);
    let laptop = Laptop::new(folder.path(), "good");
    let _ = laptop.enroll(collector.grpc, &good).success();
    refused("used-up", &good, Refusal::TokenUsedUp);
    let short = collector.token(&["--site", "Lincoln", "--expires", "1s"]);
    let mut late = 0;
    eventually("the end of a token's life", PATIENCE, || {
        late += 1;
        let laptop = Laptop::new(folder.path(), &format!("late-{late}"));
        let said = laptop.enroll(collector.grpc, &short);
        let expired = said.stderr.contains(Refusal::TokenExpired.sentence());
        require(expired, || said.stderr)
    });
    refused("expired", &short, Refusal::TokenExpired);
    let revoked = collector.token(&["--site", "Franklin"]);
    revoke_token_of(&collector, "Franklin");
    refused("revoked", &revoked, Refusal::TokenRevoked);

    let laptop = Laptop::new(folder.path(), "foreign");
    let authority = laptop
        .enroll(collector.grpc, &foreign.to_string())
        .failure();
    assert!(authority.contains("authority"), "{authority}");
    // 127.0.0.2 reaches the same collector, whose certificate does not have it.
    let laptop = Laptop::new(folder.path(), "misnamed");
    let other = format!("127.0.0.2:{}", collector.grpc.port());
    let named = laptop.enroll_at(&other, &good).failure();
    assert_ne!(named, authority);
    let damaged = laptop
        .enroll(collector.grpc, &good[..good.len() - 4])
        .failure();
    assert!(damaged.contains("damaged or incomplete"), "{damaged}");
    let closed = rig::ports::free();
    let nobody = laptop
        .enroll_at(&format!("127.0.0.1:{closed}"), &good)
        .failure();
    assert!(
        nobody.contains(&closed.to_string()),
        "the address is named: {nobody}"
    );
    for said in [&authority, &named, &damaged, &nobody] {
        let secret = good.split('.').nth(1).unwrap();
        assert!(!said.contains(secret), "a secret was shown: {said}");
    }
    collector.stop();
}

/// Revokes the token of a site.
fn revoke_token_of(collector: &Collector, site: &str) {
    let list = collector.command(&["token", "list"]).success();
    let line = list.lines().find(|line| line.contains(site)).unwrap();
    let id = line.split_whitespace().next().unwrap();
    let _ = collector.command(&["token", "revoke", id]).success();
}

fn has_certificate(laptop: &Laptop) -> bool {
    let identity = laptop.data.join("identity");
    let entries = std::fs::read_dir(identity).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| entry.file_name().to_string_lossy().contains("certificate"))
}
