//! Who may have an identity: enrolment by token, a clone's own identity, renewal, and standing.

use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{DeviceId, Label};
use rollcall_shared::limits;
use rollcall_shared::refusal::Refusal;
use rollcall_shared::time::UnixMs;
use rollcall_shared::tls::DeviceCertificate;
use rollcall_shared::token::TokenSecret;
use rustls::pki_types::CertificateDer;

use super::{Authority, SigningRequest};
use crate::audit::AuditLine;
use crate::device::{Device, Standing};
use crate::store::{EnrolmentTokenRecord, Store, Write};

/// A laptop that asks for an identity.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// The token's secret; empty for a clone.
    pub secret: &'a [u8],
    /// The signing request in DER.
    pub request: &'a [u8],
    /// What tells its hardware apart.
    pub fingerprint: HardwareFingerprint,
    /// Its maker, as it says.
    pub vendor: String,
    /// Its model, as it says.
    pub model: String,
    /// Its agent's version.
    pub agent_version: String,
    /// The certificate that it came with: that of the laptop whose disk it was cloned from, or its
    /// own from before.
    pub certificate: Option<DeviceCertificate>,
    /// Whether two machines were seen to use that certificate's identity at the same time.
    pub is_shared: bool,
    /// Where it called from, for the audit.
    pub address: String,
}

/// An identity.
#[derive(Debug)]
pub struct Enrolled {
    /// The device.
    pub device: DeviceId,
    /// Its chain, its own certificate first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// Whether a token may be used now.
///
/// # Errors
/// The refusal that says why not.
pub fn admit(token: &EnrolmentTokenRecord, now: UnixMs) -> Result<(), Refusal> {
    in_force(token, now)?;
    if token.uses_left == Some(0) {
        return Err(Refusal::TokenUsedUp);
    }
    Ok(())
}

/// Whether a token counts now, be it used up or not.
fn in_force(token: &EnrolmentTokenRecord, now: UnixMs) -> Result<(), Refusal> {
    if token.revoked {
        return Err(Refusal::TokenRevoked);
    }
    if token.expires.is_some_and(|expires| now >= expires) {
        return Err(Refusal::TokenExpired);
    }
    Ok(())
}

/// Whether there is a token with this secret, whatever it is still good for.
#[must_use]
pub fn knows_token(store: &Store, secret: &[u8]) -> bool {
    let hash = TokenSecret::try_from(secret).map(|secret| secret.hash());
    hash.is_ok_and(|hash| store.tokens().iter().any(|token| token.hash == hash))
}

/// Gives a laptop an identity; it is durable when this returns.
///
/// # Errors
/// The refusal that says why not.
pub async fn enrol(
    store: &Store,
    authority: &Authority,
    enrolment: Enrolment<'_>,
    now: UnixMs,
) -> Result<Enrolled, Refusal> {
    let request = SigningRequest::parse(enrolment.request)?;
    // Between reading the token and writing that it was used nobody else may use it.
    let _decision = store.exclusive().await;
    let (device, mut writes) = if enrolment.secret.is_empty() {
        by_certificate(store, &enrolment, now)?
    } else {
        by_token(store, &enrolment, &request, now)?
    };
    let chain = authority
        .issue_device(device.id, &request, now)
        .map_err(|_| Refusal::RequestMalformed)?;
    let enrolled = Enrolled {
        device: device.id,
        chain,
    };
    writes.push(Write::PutDevice(device));
    store
        .commit(writes)
        .await
        .map_err(|_| Refusal::StoreUnavailable)?;
    Ok(enrolled)
}

/// Gives a device a new certificate.
///
/// # Errors
/// The refusal that says why not.
pub fn renew(
    store: &Store,
    authority: &Authority,
    certificate: Option<DeviceCertificate>,
    request: &[u8],
    now: UnixMs,
) -> Result<Enrolled, Refusal> {
    let certificate = certificate.ok_or(Refusal::CertificateMissing)?;
    within_grace(&certificate, now)?;
    active(store, certificate.device)?;
    let request = SigningRequest::parse(request)?;
    let chain = authority
        .issue_device(certificate.device, &request, now)
        .map_err(|_| Refusal::RequestMalformed)?;
    Ok(Enrolled {
        device: certificate.device,
        chain,
    })
}

/// Which device may send reports with a certificate.
///
/// # Errors
/// The refusal that says why not.
pub fn authenticate(
    store: &Store,
    certificate: Option<DeviceCertificate>,
    now: UnixMs,
) -> Result<Device, Refusal> {
    let certificate = certificate.ok_or(Refusal::CertificateMissing)?;
    let device = active(store, certificate.device)?;
    if now > certificate.not_after {
        within_grace(&certificate, now)?;
        return Err(Refusal::CertificateExpired);
    }
    Ok(device)
}

fn by_token(
    store: &Store,
    enrolment: &Enrolment<'_>,
    request: &SigningRequest,
    now: UnixMs,
) -> Result<(Device, Vec<Write>), Refusal> {
    let secret = TokenSecret::try_from(enrolment.secret).map_err(|_| Refusal::TokenUnknown)?;
    let hash = secret.hash();
    let token = store.tokens().into_iter().find(|token| token.hash == hash);
    let mut token = token.ok_or(Refusal::TokenUnknown)?;
    let key = request.key_hash();
    if let Some(device) = made_before(store, enrolment, &token, key) {
        in_force(&token, now)?;
        let detail = format!("token {}; the same request again", token.id);
        let line = audit(enrolment, "enroll", device.id, detail, now);
        return Ok((device, vec![line]));
    }
    admit(&token, now)?;

    let mut device = new_device(enrolment, token.site.clone(), token.group.clone(), now);
    let mut detail = format!("token {}", token.id);
    if let Some(own) = own_identity(store, enrolment, &token.site) {
        (device.id, device.enrolled) = (own.id, own.enrolled);
        device.cloned_from = own.cloned_from;
    } else if let Some(old) = same_hardware(store, &enrolment.fingerprint, &token.site) {
        detail = format!("{detail}; its hardware is that of {old}, which may be retired");
    }
    token.count(key, device.id);
    let line = audit(enrolment, "enroll", device.id, detail, now);
    Ok((device, vec![Write::PutToken(token), line]))
}

/// The device of a laptop that asks again, since the answer to its request was lost: that has cost a
/// use of the token already.
fn made_before(
    store: &Store,
    enrolment: &Enrolment<'_>,
    token: &EnrolmentTokenRecord,
    key: [u8; 16],
) -> Option<Device> {
    let device = active(store, token.made_by(key)?).ok()?;
    let same = enrolment.fingerprint.is_same_machine(&device.fingerprint);
    same.then_some(device)
}

/// A laptop that proves by its certificate who it was keeps its identity when it enrols again.
fn own_identity(store: &Store, enrolment: &Enrolment<'_>, site: &Label) -> Option<Device> {
    let device = active(store, enrolment.certificate?.device).ok()?;
    let same = device.site == *site && enrolment.fingerprint.is_same_machine(&device.fingerprint);
    same.then_some(device)
}

fn same_hardware(
    store: &Store,
    fingerprint: &HardwareFingerprint,
    site: &Label,
) -> Option<DeviceId> {
    if *fingerprint == HardwareFingerprint::default() {
        return None;
    }
    let devices = store.devices();
    let devices = devices.iter().map(|state| &state.device);
    let mut same = devices.filter(|device| {
        device.standing == Standing::Active
            && device.site == *site
            && device.fingerprint == *fingerprint
    });
    same.next().map(|device| device.id)
}

/// A laptop whose disk is a copy of another's: it shows the other's certificate, on other hardware,
/// or on hardware without serial numbers while the other is seen too.
fn by_certificate(
    store: &Store,
    enrolment: &Enrolment<'_>,
    now: UnixMs,
) -> Result<(Device, Vec<Write>), Refusal> {
    let certificate = enrolment.certificate.ok_or(Refusal::CertificateMissing)?;
    within_grace(&certificate, now)?;
    let original = active(store, certificate.device)?;
    if !enrolment.is_shared && enrolment.fingerprint.is_same_machine(&original.fingerprint) {
        return Err(Refusal::TokenUnknown);
    }
    if clones_today(store, &original, now) >= limits::CLONES_PER_DAY as usize {
        return Err(Refusal::TooMany);
    }
    let mut device = new_device(
        enrolment,
        original.site.clone(),
        original.group.clone(),
        now,
    );
    device.cloned_from = Some(original.id);
    let detail = format!("cloned from {}", original.id);
    let line = audit(enrolment, "enroll.clone", device.id, detail, now);
    Ok((device, vec![line]))
}

/// Clones of the whole family within a day, those of clones too: otherwise one stolen certificate
/// would make five hundred that each make as many again.
fn clones_today(store: &Store, original: &Device, now: UnixMs) -> usize {
    let today = now.plus_ms(-86_400_000)..=now;
    let ancestor = first_of_family(store, original);
    let devices = store.devices();
    let devices = devices.iter().map(|state| &state.device);
    let clones = devices.filter(|device| {
        device.cloned_from.is_some()
            && today.contains(&device.enrolled)
            && first_of_family(store, device) == ancestor
    });
    clones.count()
}

/// The device from whose disk all copies come. A clone enrols after its original, so this ends.
fn first_of_family(store: &Store, device: &Device) -> DeviceId {
    let (mut first, mut next) = (device.id, device.cloned_from);
    while let Some(original) = next {
        first = original;
        next = store
            .device(original)
            .and_then(|state| state.device.cloned_from);
    }
    first
}

fn new_device(enrolment: &Enrolment<'_>, site: Label, group: Option<Label>, now: UnixMs) -> Device {
    Device {
        id: DeviceId::generate(),
        site,
        group,
        enrolled: now,
        fingerprint: enrolment.fingerprint.clone(),
        vendor: enrolment.vendor.clone(),
        model: enrolment.model.clone(),
        agent_version: enrolment.agent_version.clone(),
        standing: Standing::Active,
        cloned_from: None,
    }
}

fn active(store: &Store, device: DeviceId) -> Result<Device, Refusal> {
    let state = store.device(device).ok_or(Refusal::DeviceUnknown)?;
    match state.device.standing.refusal() {
        None => Ok(state.device.clone()),
        Some(refusal) => Err(refusal),
    }
}

fn within_grace(certificate: &DeviceCertificate, now: UnixMs) -> Result<(), Refusal> {
    let grace = i64::try_from(limits::RENEW_GRACE.as_millis()).unwrap_or(i64::MAX);
    if now > certificate.not_after.plus_ms(grace) {
        return Err(Refusal::GraceOver);
    }
    Ok(())
}

fn audit(
    enrolment: &Enrolment<'_>,
    action: &str,
    device: DeviceId,
    detail: String,
    now: UnixMs,
) -> Write {
    Write::Audit(AuditLine {
        at: now,
        actor: enrolment.address.clone(),
        action: action.to_owned(),
        subject: device.to_string(),
        outcome: "ok".to_owned(),
        detail,
    })
}
