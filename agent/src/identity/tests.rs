use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};

use super::*;

fn identity() -> Identity {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let device = DeviceId::generate();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(device.to_uri().try_into().unwrap())];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 31);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let record = DeviceRecord {
        device,
        collector: "127.0.0.1:8443".parse().unwrap(),
        hardware: HardwareFingerprint::from_serials(Some("4c4c4544-0042"), None, None),
    };
    let roots = vec![authority.der().clone()];
    Identity::new(
        record,
        key.serialize_pem(),
        vec![certificate.der().clone()],
        roots,
    )
    .unwrap()
}

#[test]
fn an_identity_is_kept_and_the_key_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    assert!(Identity::load(&paths).unwrap().is_none());
    identity().store(&paths).unwrap();
    let second = identity();
    second.store(&paths).unwrap();
    let loaded = Identity::load(&paths).unwrap().unwrap();
    assert_eq!(
        (loaded.record(), loaded.roots()),
        (second.record(), second.roots())
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing is left over"
    );
    assert!(!format!("{loaded:?}").contains("PRIVATE"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&paths.identity().join(KEY)), 0o600);
        assert_eq!(mode(&paths.identity()), 0o700);
    }
}

#[test]
fn power_loss_within_a_replacement_leaves_the_old_or_the_new() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    let (first, second) = (identity(), identity());
    first.store(&paths).unwrap();
    let (live, next, old) = (
        paths.identity(),
        with_suffix(&paths.identity(), ".next"),
        with_suffix(&paths.identity(), ".old"),
    );

    // Before the first rename: whatever lies in `identity.next` may be incomplete.
    make_private_folder(&next).unwrap();
    fs::write(next.join(KEY), "half").unwrap();
    assert_eq!(
        Identity::load(&paths).unwrap().unwrap().device(),
        first.device()
    );

    // Between the renames: the new one is complete.
    let elsewhere = Paths::new(folder.path().join("elsewhere"));
    second.store(&elsewhere).unwrap();
    fs::rename(&live, &old).unwrap();
    fs::rename(elsewhere.identity(), &next).unwrap();
    assert_eq!(
        Identity::load(&paths).unwrap().unwrap().device(),
        second.device()
    );
    assert!(!next.exists() && !old.exists());
}

#[test]
fn looking_disturbs_no_replacement_that_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    assert!(Identity::look(&paths).unwrap().is_none());
    let (first, second) = (identity(), identity());
    first.store(&paths).unwrap();
    let next = with_suffix(&paths.identity(), ".next");
    make_private_folder(&next).unwrap();
    fs::write(next.join(KEY), "half").unwrap();
    let seen = || Identity::look(&paths).unwrap().unwrap().device();
    assert_eq!(seen(), first.device());
    assert!(next.join(KEY).exists());

    fs::remove_dir_all(&next).unwrap();
    let elsewhere = Paths::new(folder.path().join("elsewhere"));
    second.store(&elsewhere).unwrap();
    let old = with_suffix(&paths.identity(), ".old");
    fs::rename(paths.identity(), &old).unwrap();
    assert_eq!(seen(), first.device());
    fs::rename(elsewhere.identity(), &next).unwrap();
    assert_eq!(seen(), second.device());
    assert!(next.exists() && old.exists() && !paths.identity().exists());
}

#[test]
fn a_key_of_another_identity_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths::new(folder.path());
    identity().store(&paths).unwrap();
    fs::write(paths.identity().join(KEY), &identity().key_pem).unwrap();
    let error = Identity::load(&paths).unwrap_err().to_string();
    assert!(
        error.contains("identity") && error.contains("enrol this laptop again"),
        "{error}"
    );
}

#[test]
fn renewal_is_due_at_two_thirds_of_the_collectors_time() {
    let identity = identity();
    let begin = identity.certificate.not_before;
    let days = |count: i64| begin.plus_ms(count * 86_400_000);
    assert!(!identity.is_renewal_due(days(19)));
    assert!(identity.is_renewal_due(days(20).plus_ms(1)));
}

#[test]
fn every_refusal_of_an_identity_has_a_remedy() {
    assert_eq!(Remedy::against(Refusal::CertificateExpired), Remedy::Renew);
    assert_eq!(
        Remedy::against(Refusal::HardwareDiffers),
        Remedy::LeaveOriginal
    );
    assert_eq!(Remedy::against(Refusal::DeviceUnknown), Remedy::EnrolAnew);
    assert_eq!(Remedy::against(Refusal::TooMany), Remedy::Wait);
    assert_eq!(Remedy::against(Refusal::DeviceRevoked), Remedy::Wait);
    assert_eq!(Remedy::against(Refusal::DeviceRetired), Remedy::Wait);
}
