//! Doing what an administrator asked for.

use std::fmt::Write as _;

use ring::rand::{SecureRandom, SystemRandom};
use rollcall_shared::id::DeviceId;
use rollcall_shared::limits;
use rollcall_shared::time::UnixMs;
use rollcall_shared::token::{AuthorityFingerprint, EnrolmentToken, TokenSecret};

use super::{Answer, DeviceLine, Request, outbox, users};
use crate::act::{act, silences};
use crate::alert::AlertState;
use crate::audit::AuditLine;
use crate::device::{DeviceState, Standing};
use crate::evaluate::device::explain;
use crate::evaluate::rules::{RuleSet, unknown};
use crate::incident::IncidentState;
use crate::query::Viewer;
use crate::query::access::generate_token;
use crate::silence::silenced_until;
use crate::store::{ApiTokenRecord, EnrolmentTokenRecord, Role, Store, StoreError, Write};
use rollcall_shared::id::Label;

/// Who acts on the command line.
pub(super) const ADMIN: &str = "admin";

/// Lines of the audit log in one answer.
const AUDIT_LINES: usize = 10_000;

/// Does what is asked, durably, with its own line in the audit log.
///
/// # Errors
/// What is wrong, for the administrator.
pub async fn execute(
    store: &Store,
    authority: AuthorityFingerprint,
    rules: &RuleSet,
    request: Request,
    now: UnixMs,
) -> Result<Answer, String> {
    if let Request::Act { action } = request {
        let acted = act(store, rules, &administrator(), action, now).await;
        return acted.map(Answer::Acted).map_err(|error| error.to_string());
    }
    if is_of_users(&request) {
        return users::execute(store, request, ADMIN, users::Keep::Nobody, now).await;
    }
    // Decisions on one record follow each other: a use of a token must not undo its revocation.
    let _decision = store.exclusive().await;
    match request {
        Request::TokenCreate { .. }
        | Request::TokenRevoke { .. }
        | Request::ApiTokenCreate { .. }
        | Request::ApiTokenRevoke { .. } => tokens(store, authority, request, ADMIN, now).await,
        Request::TokenList => Ok(Answer::Tokens(store.tokens())),
        Request::ApiTokenList => Ok(Answer::ApiTokens(store.api_tokens())),
        Request::UserAdd { .. }
        | Request::UserList
        | Request::UserRemove { .. }
        | Request::UserPassword { .. }
        | Request::UserRole { .. } => Err("users are changed on their own".to_owned()),
        Request::DeviceList => Ok(Answer::Devices(devices(store))),
        Request::DeviceShow { id } => show_device(store, id),
        Request::DeviceStanding { id, standing } => set_standing(store, id, standing, now).await,
        Request::OutboxList => Ok(Answer::Outbox(store.notifications())),
        Request::OutboxRetry { which } => outbox::retry(store, &which, now).await,
        Request::OutboxDiscard { which } => outbox::discard(store, &which, now).await,
        Request::Backup { .. }
        | Request::Check
        | Request::Upkeep { .. }
        | Request::Export { .. }
        | Request::InventoryImport { .. }
        | Request::Import { .. } => {
            Err("what takes long is sent after the answer, and not executed".to_owned())
        }
        Request::Act { .. } => Err("an act is decided on its own".to_owned()),
        Request::Silences { kind, all } => {
            let mut silences = silences(store, &administrator());
            silences.retain(|silence| silence.kind == kind && (all || !silence.is_over(now)));
            Ok(Answer::Silences(silences))
        }
        Request::Explain { device, rule } => {
            explanation(store, rules, device, rule.as_deref(), now).map(Answer::Text)
        }
        Request::Alerts => Ok(Answer::Alerts(store.open_alerts())),
        Request::Incidents => {
            let mut incidents: Vec<_> = store.incidents().into_values().collect();
            incidents.retain(|incident| incident.state == IncidentState::Open);
            Ok(Answer::Incidents(incidents))
        }
        Request::Audit { limit } => {
            let lines = store.audit(limit.min(AUDIT_LINES)).map_err(told)?;
            Ok(Answer::Audit(lines))
        }
    }
}

/// Why rules fire or not for a device, in words with its readings.
fn explanation(
    store: &Store,
    rules: &RuleSet,
    device: DeviceId,
    rule: Option<&str>,
    now: UnixMs,
) -> Result<String, String> {
    let state = store.device(device).ok_or_else(|| no_device(device))?;
    let open = store.open_alerts_of(device);
    let silences = store.silences();
    let known = rules.rules.iter().map(|rule| rule.name.as_str());
    if let Some(name) = rule
        && rules.get(name).is_none()
    {
        return Err(unknown("rule", name, known));
    }
    let wanted = rules
        .rules
        .iter()
        .filter(|r| rule.is_none_or(|name| r.name == name));
    let mut text = String::new();
    for rule in wanted {
        text += &explain(rules, rule, &state, now);
        text += "\n";
        for alert in open.iter().filter(|alert| alert.key.rule == rule.name) {
            let (state, since) = (alert.state, rules.calendar.show(alert.since));
            text += &format!("  an alert is {state}, since {since}: {}\n", alert.evidence);
        }
        let fires = |name: &&String| {
            let mut firing = open
                .iter()
                .filter(|alert| alert.state == AlertState::Firing);
            firing.any(|alert| alert.key.rule == **name)
        };
        for name in rule.depends_on.iter().filter(fires) {
            text += &format!("  nothing new is raised while `{name}` fires on this laptop\n");
        }
        let until = silenced_until(&silences, &rules.calendar, &state.device, &rule.name, now);
        if let Some(until) = until {
            let until = rules.calendar.show(until);
            text += &format!("  nobody is told until {until}: it is silenced\n");
        }
    }
    Ok(text.trim_end().to_owned())
}

/// Who may use the command line may do everything.
fn administrator() -> Viewer {
    Viewer::new("admin", Role::Admin, Vec::new())
}

/// Whether a request is about users, whose passwords are hashed before anything is decided.
const fn is_of_users(request: &Request) -> bool {
    matches!(
        request,
        Request::UserAdd { .. }
            | Request::UserList
            | Request::UserRemove { .. }
            | Request::UserPassword { .. }
            | Request::UserRole { .. }
    )
}

/// Makes, changes or revokes a token or user in the name of `actor`, durably, with its line in the audit
/// log.
///
/// # Errors
/// What is wrong, for who asked.
pub async fn execute_for(
    store: &Store,
    authority: AuthorityFingerprint,
    request: Request,
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    if is_of_users(&request) {
        return users::execute(store, request, actor, users::Keep::Administrator, now).await;
    }
    let _decision = store.exclusive().await;
    tokens(store, authority, request, actor, now).await
}

async fn tokens(
    store: &Store,
    authority: AuthorityFingerprint,
    request: Request,
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    match request {
        Request::TokenCreate {
            site,
            group,
            uses,
            life_ms,
        } => {
            let record = token_record(site, group, uses, life_ms, now);
            create_token(store, authority, record, actor, now).await
        }
        Request::TokenRevoke { id } => revoke_token(store, &id, actor, now).await,
        Request::ApiTokenCreate { name, role, sites } => {
            create_api_token(store, (name, role, sites), actor, now).await
        }
        Request::ApiTokenRevoke { name } => revoke_api_token(store, &name, actor, now).await,
        _ => Err("only tokens are made and revoked here".to_owned()),
    }
}

fn token_record(
    site: Label,
    group: Option<Label>,
    uses: Option<u32>,
    life_ms: Option<i64>,
    now: UnixMs,
) -> EnrolmentTokenRecord {
    EnrolmentTokenRecord {
        id: short_id(),
        hash: [0; 32],
        site,
        group,
        uses_left: uses,
        uses: 0,
        expires: life_ms.map(|ms| now.plus_ms(ms)),
        revoked: false,
        created: now,
        recent: Vec::new(),
    }
}

async fn create_token(
    store: &Store,
    authority: AuthorityFingerprint,
    mut record: EnrolmentTokenRecord,
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    let secret = TokenSecret::generate();
    record.hash = secret.hash();
    let line = done(
        actor,
        "token.create",
        &record.id,
        format!("site {}", record.site),
        now,
    );
    store
        .commit(vec![Write::PutToken(record), line])
        .await
        .map_err(told)?;
    Ok(Answer::Secret(
        EnrolmentToken { secret, authority }.to_string(),
    ))
}

async fn revoke_token(store: &Store, id: &str, actor: &str, now: UnixMs) -> Result<Answer, String> {
    let found = store.tokens().into_iter().find(|token| token.id == id);
    let mut token = found.ok_or_else(|| {
        format!("there is no enrolment token `{id}`; `rollcall-collector token list` shows them")
    })?;
    token.revoked = true;
    let line = done(actor, "token.revoke", id, String::new(), now);
    store
        .commit(vec![Write::PutToken(token), line])
        .await
        .map_err(told)?;
    Ok(Answer::Done)
}

async fn create_api_token(
    store: &Store,
    (name, role, sites): (String, Role, Vec<Label>),
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    if name.is_empty() || name.len() > limits::LABEL_BYTES || name.chars().any(char::is_control) {
        return Err(format!(
            "`{name}` is no name: 1 to {} bytes, no control characters",
            limits::LABEL_BYTES
        ));
    }
    let taken = store
        .api_tokens()
        .into_iter()
        .any(|token| token.name == name && !token.revoked);
    if taken {
        return Err(format!(
            "there is an API token `{name}` already; revoke it or choose another name"
        ));
    }
    let (text, hash) = generate_token();
    let line = done(
        actor,
        "api-token.create",
        &name,
        format!("role {}", role.word()),
        now,
    );
    let record = ApiTokenRecord {
        name,
        hash,
        role,
        sites,
        created: now,
        revoked: false,
    };
    store
        .commit(vec![Write::PutApiToken(record), line])
        .await
        .map_err(told)?;
    Ok(Answer::Secret(text))
}

async fn revoke_api_token(
    store: &Store,
    name: &str,
    actor: &str,
    now: UnixMs,
) -> Result<Answer, String> {
    let found = store
        .api_tokens()
        .into_iter()
        .find(|token| token.name == name);
    let mut token = found.ok_or_else(|| {
        format!("there is no API token `{name}`; `rollcall-collector api-token list` shows them")
    })?;
    token.revoked = true;
    let line = done(actor, "api-token.revoke", name, String::new(), now);
    store
        .commit(vec![Write::PutApiToken(token), line])
        .await
        .map_err(told)?;
    Ok(Answer::Done)
}

fn devices(store: &Store) -> Vec<DeviceLine> {
    let mut devices: Vec<DeviceLine> = store.devices().iter().map(|state| line_of(state)).collect();
    devices.sort_by_key(|line| line.device.id);
    devices
}

fn show_device(store: &Store, id: DeviceId) -> Result<Answer, String> {
    let state = store.device(id).ok_or_else(|| no_device(id))?;
    Ok(Answer::Device(Box::new(line_of(&state))))
}

async fn set_standing(
    store: &Store,
    id: DeviceId,
    standing: Standing,
    now: UnixMs,
) -> Result<Answer, String> {
    let state = store.device(id).ok_or_else(|| no_device(id))?;
    let mut device = state.device.clone();
    device.standing = standing;
    let action = match standing {
        Standing::Active => "device.restore",
        Standing::Revoked => "device.revoke",
        Standing::Retired => "device.retire",
    };
    let line = done(ADMIN, action, &id.to_string(), String::new(), now);
    store
        .commit(vec![Write::PutDevice(device), line])
        .await
        .map_err(told)?;
    Ok(Answer::Done)
}

fn line_of(state: &DeviceState) -> DeviceLine {
    DeviceLine {
        device: state.device.clone(),
        connected: state.connected,
        last_seen: state.last_seen,
        series: state.latest.len(),
    }
}

fn no_device(id: DeviceId) -> String {
    format!("there is no device {id}; `rollcall-collector device list` shows them")
}

pub(super) fn done(actor: &str, action: &str, subject: &str, detail: String, now: UnixMs) -> Write {
    Write::Audit(AuditLine {
        at: now,
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        outcome: "ok".to_owned(),
        detail,
    })
}

pub(super) fn told(error: StoreError) -> String {
    error.to_string()
}

/// Eight hexadecimal digits: enough to tell a school's tokens apart, and it is no secret.
fn short_id() -> String {
    let mut bytes = [0_u8; 4];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    bytes.iter().fold(String::new(), |mut id, byte| {
        // Writing to a String does not fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}
