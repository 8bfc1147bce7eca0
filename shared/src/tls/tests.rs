use std::io::{Read, Write};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd,
};
use rustls::{ClientConnection, ServerConnection};

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2050, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Authority, names: Vec<SanType>, years: (i32, i32)) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = names;
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let chain = vec![certificate.der().clone(), authority.der().clone()];
    Identity {
        chain,
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn collector(authority: &Authority, years: (i32, i32)) -> ServerConfig {
    let names = vec![SanType::DnsName("collector.example".try_into().unwrap())];
    server_config(issue(authority, names, years), &[authority.der().clone()]).unwrap()
}

/// Runs a handshake in memory and answers with the client's certificate as the server saw it.
fn handshake(
    client: ClientConfig,
    server: ServerConfig,
    name: &str,
) -> Result<Option<CertificateDer<'static>>, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    for _ in 0..10 {
        pass(&mut client, &mut server)?;
        pass(&mut server, &mut client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    client.writer().write_all(b"hello").unwrap();
    pass(&mut client, &mut server)?;
    let mut heard = [0; 5];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
    Ok(server.peer_certificates().map(|chain| chain[0].clone()))
}

fn pass<A, B>(
    from: &mut rustls::ConnectionCommon<A>,
    to: &mut rustls::ConnectionCommon<B>,
) -> Result<(), String> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[test]
fn a_token_pins_the_authority() {
    let (ours, theirs) = (authority(), authority());
    let pin = Trust::Pinned(AuthorityFingerprint::of(ours.der()));
    let client = client_config(pin, None).unwrap();
    let peer = handshake(
        client.clone(),
        collector(&ours, (2024, 2040)),
        "collector.example",
    );
    assert_eq!(peer, Ok(None));
    let wrong = handshake(
        client.clone(),
        collector(&theirs, (2024, 2040)),
        "collector.example",
    );
    assert_eq!(
        wrong.unwrap_err(),
        "invalid peer certificate: UnknownIssuer"
    );
    let name = handshake(client, collector(&ours, (2024, 2040)), "other.example").unwrap_err();
    assert!(name.contains("not valid for name"), "{name}");
}

/// Presenting the pinned root beside a chain that it did not sign must not help.
#[test]
fn a_pinned_root_that_did_not_sign_proves_nothing() {
    let (ours, theirs) = (authority(), authority());
    let names = vec![SanType::DnsName("collector.example".try_into().unwrap())];
    let mut forged = issue(&theirs, names, (2024, 2040));
    forged.chain.push(ours.der().clone());
    let server = server_config(forged, &[ours.der().clone()]).unwrap();
    let pin = Trust::Pinned(AuthorityFingerprint::of(ours.der()));
    let error = handshake(
        client_config(pin, None).unwrap(),
        server,
        "collector.example",
    );
    assert!(
        error.unwrap_err().contains("BadSignature"),
        "same name, other key"
    );
}

#[test]
fn no_date_keeps_a_laptop_out() {
    let ours = authority();
    let trust = || Trust::Roots(vec![ours.der().clone()]);
    let device = DeviceId::generate();
    for years in [(2021, 2022), (2024, 2040), (2045, 2048)] {
        let identity = issue(&ours, vec![uri(&device.to_uri())], years);
        let client = client_config(trust(), Some(identity)).unwrap();
        let seen = handshake(client, collector(&ours, years), "collector.example");
        let certificate = DeviceCertificate::from_der(&seen.unwrap().unwrap()).unwrap();
        assert_eq!(certificate.device, device);
        assert!(certificate.not_after > certificate.not_before);
    }
}

#[test]
fn a_device_of_another_authority_is_refused() {
    let (ours, theirs) = (authority(), authority());
    let device = issue(
        &theirs,
        vec![uri(&DeviceId::generate().to_uri())],
        (2024, 2040),
    );
    let client = client_config(Trust::Roots(vec![ours.der().clone()]), Some(device)).unwrap();
    let error = handshake(client, collector(&ours, (2024, 2040)), "collector.example");
    assert!(
        error.unwrap_err().contains("BadSignature"),
        "same name, other key"
    );
}

#[test]
fn a_certificate_must_name_exactly_one_device() {
    let ours = authority();
    let two = vec![
        uri(&DeviceId::generate().to_uri()),
        uri(&DeviceId::generate().to_uri()),
    ];
    for names in [vec![], two, vec![uri("urn:other:1")]] {
        let identity = issue(&ours, names, (2024, 2040));
        assert!(DeviceCertificate::from_der(&identity.chain[0]).is_err());
    }
}

#[test]
fn a_beacon_names_its_site() {
    let ours = authority();
    let site = "École Lincoln";
    let identity = issue(&ours, vec![uri(&beacon_uri(site))], (2024, 2040));
    assert_eq!(beacon_site(&identity.chain[0]).as_deref(), Ok(site));
    let device = issue(
        &ours,
        vec![uri(&DeviceId::generate().to_uri())],
        (2024, 2040),
    );
    assert!(beacon_site(&device.chain[0]).is_err());
}
