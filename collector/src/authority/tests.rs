use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::DeviceId;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::tls::DeviceCertificate;
use rollcall_shared::token::TokenSecret;

use super::*;
use crate::device::Standing;
use crate::store::{EnrolmentTokenRecord, Store, StoreOptions, Write};

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const DAY: i64 = 86_400_000;

fn csr() -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
    params.serialize_request(&key).unwrap().der().to_vec()
}

fn machine(serial: &str) -> HardwareFingerprint {
    HardwareFingerprint::from_serials(None, Some(serial), None)
}

fn enrolment<'a>(secret: &'a [u8], request: &'a [u8], serial: &str) -> Enrolment<'a> {
    Enrolment {
        secret,
        request,
        fingerprint: machine(serial),
        vendor: "Lenovo".to_owned(),
        model: "500e".to_owned(),
        agent_version: "0.1.0".to_owned(),
        certificate: None,
        is_shared: false,
        address: "192.0.2.7".to_owned(),
    }
}

struct House {
    _dir: tempfile::TempDir,
    store: Store,
    authority: Authority,
    secret: TokenSecret,
}

async fn house(change: impl FnOnce(&mut EnrolmentTokenRecord)) -> House {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path(), StoreOptions::default(), NOW).unwrap();
    let authority = Authority::create(dir.path(), &ServerNames::default(), NOW).unwrap();
    let secret = TokenSecret::generate();
    let mut token = EnrolmentTokenRecord {
        id: "t1".to_owned(),
        hash: secret.hash(),
        site: "Lincoln".parse().unwrap(),
        group: None,
        uses_left: None,
        uses: 0,
        expires: None,
        revoked: false,
        created: NOW,
        recent: Vec::new(),
    };
    change(&mut token);
    store.commit(vec![Write::PutToken(token)]).await.unwrap();
    House {
        _dir: dir,
        store,
        authority,
        secret,
    }
}

impl House {
    async fn enrol(&self, serial: &str) -> Result<Enrolled, Refusal> {
        let secret = self.secret.as_bytes();
        enrol(
            &self.store,
            &self.authority,
            enrolment(secret, &csr(), serial),
            NOW,
        )
        .await
    }
}

fn certificate(enrolled: &Enrolled) -> DeviceCertificate {
    DeviceCertificate::from_der(&enrolled.chain[0]).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_secret_and_an_authority_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let names = ServerNames {
        names: vec!["collector.example".to_owned()],
        addresses: vec!["127.0.0.1".parse().unwrap()],
    };
    let made = Authority::create(dir.path(), &names, NOW).unwrap();
    let folder = dir.path().join("authority");
    assert_eq!(mode(&folder), 0o700);
    for key in ["authority.key", "server.pem"] {
        assert_eq!(mode(&folder.join(key)), 0o600, "{key}");
    }
    assert!(Authority::create(dir.path(), &names, NOW).is_err());
    let opened = Authority::open(dir.path(), limits::CERTIFICATE_LIFE).unwrap();
    assert_eq!(opened.fingerprint(), made.fingerprint());
    let identity = opened.server_identity(NOW).unwrap();
    let last = identity.chain.last().unwrap();
    assert_eq!(
        AuthorityFingerprint::of(last),
        opened.fingerprint(),
        "the root is presented"
    );
}

#[test]
fn the_servers_certificate_is_made_anew_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), &ServerNames::default(), NOW).unwrap();
    let first = authority.server_identity(NOW).unwrap();
    let same = authority.server_identity(NOW.plus_ms(200 * DAY)).unwrap();
    assert_eq!(first.chain, same.chain);
    let next = authority.server_identity(NOW.plus_ms(300 * DAY)).unwrap();
    assert_ne!(first.chain[0], next.chain[0]);
    assert_eq!(first.chain[1], next.chain[1]);
}

#[tokio::test]
async fn a_token_gives_an_identity_and_the_certificate_names_it_alone() {
    let house = house(|_| {}).await;
    let enrolled = house.enrol("PF1A").await.unwrap();
    let certificate = certificate(&enrolled);
    assert_eq!(certificate.device, enrolled.device);
    let life = certificate.not_after.since(certificate.not_before);
    assert_eq!(life, 30 * DAY);
    let text = String::from_utf8_lossy(&enrolled.chain[0]).into_owned();
    assert!(
        !text.contains("admin.example"),
        "names in a request are ignored"
    );
    let line = &house.store.audit(1).unwrap()[0];
    assert_eq!(
        (line.action.as_str(), line.outcome.as_str()),
        ("enroll", "ok")
    );
    assert!(authenticate(&house.store, Some(certificate), NOW).is_ok());
}

#[tokio::test]
async fn a_collector_whose_clock_is_not_set_yet_gives_certificates_that_stay_good() {
    let house = house(|_| {}).await;
    let (request, secret) = (csr(), house.secret.as_bytes());
    let enrolment = enrolment(secret, &request, "PF1A");
    let unset = UnixMs(60_000);
    let enrolled = enrol(&house.store, &house.authority, enrolment, unset)
        .await
        .unwrap();
    let certificate = certificate(&enrolled);
    assert!(certificate.not_before >= NOW, "the root is from then");
    for now in [unset, NOW.plus_ms(DAY)] {
        assert!(authenticate(&house.store, Some(certificate), now).is_ok());
    }
}

#[tokio::test]
async fn each_bad_token_has_its_own_refusal() {
    type Change = fn(&mut EnrolmentTokenRecord);
    let cases: [(Change, Refusal); 4] = [
        (|token| token.uses_left = Some(0), Refusal::TokenUsedUp),
        (|token| token.expires = Some(NOW), Refusal::TokenExpired),
        (|token| token.revoked = true, Refusal::TokenRevoked),
        (|token| token.hash = [0; 32], Refusal::TokenUnknown),
    ];
    for (change, refusal) in cases {
        let house = house(change).await;
        assert_eq!(house.enrol("PF1A").await.unwrap_err(), refusal);
        assert!(house.store.devices().is_empty());
    }
}

#[tokio::test]
async fn two_laptops_cannot_share_the_last_use() {
    let house = house(|token| token.uses_left = Some(1)).await;
    let (a, b, c) = tokio::join!(house.enrol("A"), house.enrol("B"), house.enrol("C"));
    let won = [a.is_ok(), b.is_ok(), c.is_ok()]
        .into_iter()
        .filter(|ok| *ok)
        .count();
    assert_eq!(won, 1);
    assert_eq!(house.store.devices().len(), 1);
    assert_eq!(house.store.tokens()[0].uses, 1);
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_costs_one_use() {
    let house = house(|token| token.uses_left = Some(1)).await;
    let (request, secret) = (csr(), house.secret.as_bytes());
    let ask = |request, serial| {
        let enrolment = enrolment(secret, request, serial);
        enrol(&house.store, &house.authority, enrolment, NOW)
    };
    let first = ask(&request, "PF1A").await.unwrap();
    let again = ask(&request, "PF1A").await.unwrap();
    assert_eq!(again.device, first.device);
    assert_eq!(house.store.devices().len(), 1);
    assert_eq!(house.store.tokens()[0].uses, 1);
    let on_a_copied_disk = ask(&request, "PF1B").await;
    assert_eq!(on_a_copied_disk.unwrap_err(), Refusal::TokenUsedUp);
    assert_eq!(house.enrol("PF1A").await.unwrap_err(), Refusal::TokenUsedUp);

    let mut token = house.store.tokens()[0].clone();
    token.revoked = true;
    house
        .store
        .commit(vec![Write::PutToken(token)])
        .await
        .unwrap();
    let revoked = ask(&request, "PF1A").await;
    assert_eq!(revoked.unwrap_err(), Refusal::TokenRevoked);
}

/// However many laptops a token has enrolled, its record can be stored; one from before is read.
#[tokio::test]
async fn a_token_remembers_its_last_enrolments_alone() {
    let house = house(|_| {}).await;
    let mut token = house.store.tokens()[0].clone();
    for key in 0..=255 {
        token.count([key; 16], DeviceId::generate());
    }
    assert_eq!((token.made_by([0; 16]), token.uses), (None, 256));
    assert!(token.made_by([255; 16]).is_some() && token.made_by([240; 16]).is_some());
    let mut json = serde_json::to_value(&token).unwrap();
    house
        .store
        .commit(vec![Write::PutToken(token)])
        .await
        .unwrap();
    json.as_object_mut().unwrap().remove("recent");
    let former: EnrolmentTokenRecord = serde_json::from_value(json).unwrap();
    assert!(former.recent.is_empty());
}

#[tokio::test]
async fn a_damaged_request_costs_no_use_of_the_token() {
    let house = house(|token| token.uses_left = Some(1)).await;
    let mut request = csr();
    let last = request.len() - 1;
    request[last] ^= 1;
    let secret = house.secret.as_bytes();
    let refused = enrol(
        &house.store,
        &house.authority,
        enrolment(secret, &request, "A"),
        NOW,
    )
    .await;
    assert_eq!(refused.unwrap_err(), Refusal::RequestMalformed);
    assert!(house.enrol("A").await.is_ok());
}

#[tokio::test]
async fn a_clone_gets_its_own_identity_and_evicts_nobody() {
    let house = house(|_| {}).await;
    let original = house.enrol("PF1A").await.unwrap();
    let request = csr();
    let clone = |serial| Enrolment {
        certificate: Some(certificate(&original)),
        ..enrolment(&[], &request, serial)
    };
    let cloned = enrol(&house.store, &house.authority, clone("PF1B"), NOW)
        .await
        .unwrap();
    assert_ne!(cloned.device, original.device);
    let record = house.store.device(cloned.device).unwrap().device.clone();
    assert_eq!(record.cloned_from, Some(original.device));
    assert_eq!(record.site.as_str(), "Lincoln");
    assert!(authenticate(&house.store, Some(certificate(&original)), NOW).is_ok());

    let same = enrol(&house.store, &house.authority, clone("PF1A"), NOW).await;
    assert_eq!(
        same.unwrap_err(),
        Refusal::TokenUnknown,
        "the same machine renews instead"
    );
    let shared = Enrolment {
        is_shared: true,
        ..clone("PF1A")
    };
    let shared = enrol(&house.store, &house.authority, shared, NOW)
        .await
        .unwrap();
    assert_ne!(shared.device, original.device, "two machines were seen");
    let nobody = enrol(
        &house.store,
        &house.authority,
        enrolment(&[], &request, "X"),
        NOW,
    )
    .await;
    assert_eq!(nobody.unwrap_err(), Refusal::CertificateMissing);
}

#[tokio::test]
async fn clones_of_clones_share_the_bound_of_their_family() {
    let house = house(|_| {}).await;
    let original = house.enrol("PF1A").await.unwrap();
    let first = house.store.device(original.device).unwrap().device.clone();
    // A chain of clones, each made from the one before, as long as a day allows.
    let mut chain = vec![first];
    for _ in 0..limits::CLONES_PER_DAY {
        let last = chain[chain.len() - 1].clone();
        chain.push(crate::device::Device {
            id: DeviceId::generate(),
            cloned_from: Some(last.id),
            ..last
        });
    }
    let last = chain[chain.len() - 1].id;
    let writes = chain.into_iter().map(Write::PutDevice).collect();
    house.store.commit(writes).await.unwrap();
    let request = csr();
    let by_the_last = |at| {
        let stolen = DeviceCertificate {
            device: last,
            ..certificate(&original)
        };
        let enrolment = Enrolment {
            certificate: Some(stolen),
            ..enrolment(&[], &request, "PF1B")
        };
        enrol(&house.store, &house.authority, enrolment, at)
    };
    assert_eq!(by_the_last(NOW).await.unwrap_err(), Refusal::TooMany);
    assert!(by_the_last(NOW.plus_ms(DAY + 1)).await.is_ok());
}

#[tokio::test]
async fn enrolling_again_keeps_an_identity_only_when_it_is_proven() {
    let house = house(|_| {}).await;
    let first = house.enrol("PF1A").await.unwrap();
    let (request, secret) = (csr(), house.secret.as_bytes());
    let proven = Enrolment {
        certificate: Some(certificate(&first)),
        ..enrolment(secret, &request, "PF1A")
    };
    let again = enrol(&house.store, &house.authority, proven, NOW)
        .await
        .unwrap();
    assert_eq!(again.device, first.device);
    let unproven = house.enrol("PF1A").await.unwrap();
    assert_ne!(unproven.device, first.device);
    assert!(
        house.store.audit(1).unwrap()[0]
            .detail
            .contains(&first.device.to_string())
    );
}

#[tokio::test]
async fn renewal_has_a_grace_period_and_revocation_has_none() {
    let house = house(|_| {}).await;
    let enrolled = house.enrol("PF1A").await.unwrap();
    let certificate = certificate(&enrolled);
    let at = |days: i64| {
        renew(
            &house.store,
            &house.authority,
            Some(certificate),
            &csr(),
            NOW.plus_ms(days * DAY),
        )
    };
    assert_eq!(at(1).unwrap().device, enrolled.device);
    assert!(at(300).is_ok());
    assert_eq!(at(531).unwrap_err(), Refusal::GraceOver);
    let later = NOW.plus_ms(31 * DAY);
    let expired = authenticate(&house.store, Some(certificate), later);
    assert_eq!(expired.unwrap_err(), Refusal::CertificateExpired);

    let mut device = house.store.device(enrolled.device).unwrap().device.clone();
    device.standing = Standing::Revoked;
    house
        .store
        .commit(vec![Write::PutDevice(device)])
        .await
        .unwrap();
    assert_eq!(at(1).unwrap_err(), Refusal::DeviceRevoked);
    let unknown = DeviceCertificate {
        device: DeviceId::generate(),
        ..certificate
    };
    assert_eq!(
        authenticate(&house.store, Some(unknown), NOW).unwrap_err(),
        Refusal::DeviceUnknown
    );
    assert_eq!(
        authenticate(&house.store, None, NOW).unwrap_err(),
        Refusal::CertificateMissing
    );
}
