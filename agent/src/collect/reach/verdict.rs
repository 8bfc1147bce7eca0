//! What attempts mean: each target's readings, and what all of them say of the network. Pure.

use std::net::IpAddr;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::address::is_same_holder;
use super::attempt::{Attempt, Outcome, Stage, Version};
use super::fault::{Failure, Fault};
use super::{NO_TARGET, Tried, Url};
use crate::collect::network::Ground;
use crate::collect::source::{self, Sourced};

/// From this on a lookup is slow: a page asks for some ten names, half of them one after the other.
const SLOW_LOOKUP_S: f64 = 1.0;

/// What is known of the network around all attempts.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// How far it reaches before names come into it.
    pub ground: &'a Ground,
    /// Whether a name server is configured; `None` where the system does not say.
    pub has_name_server: Option<bool>,
    /// Where names that nobody has registered lead.
    pub canary: &'a [IpAddr],
}

/// Puts the blame where it belongs: the ground before the name, the portal before the server.
pub fn blame(attempt: &mut Attempt, url: &Url, around: &Surroundings<'_>) {
    blame_name_server(attempt, around.has_name_server);
    blame_ground(attempt, around.ground);
    blame_portal(attempt, url);
    blame_hijacker(attempt, around.canary);
}

/// A lookup that fails without a name server to ask is no fault of any.
fn blame_name_server(attempt: &mut Attempt, has_name_server: Option<bool>) {
    let is_dns = attempt.failed_at() == Some(Stage::Dns);
    if is_dns && has_name_server == Some(false) && attempt.dns_state != Some("ok") {
        attempt.dns_state = Some("no_server");
        let cause = Fault::NoNameServer.because("no name server is configured");
        attempt.outcome = Outcome::Failed(cause.at(Stage::Dns));
    }
}

/// A name that is not found or a server that is not reached is no fault of either where the network
/// ends before. What was reached was reached, whatever the ground looks like.
fn blame_ground(attempt: &mut Attempt, ground: &Ground) {
    let is_far = matches!(
        attempt.failed_at(),
        Some(Stage::Dns | Stage::Proxy | Stage::Tcp)
    );
    if !is_far {
        return;
    }
    let failure = match ground {
        Ground::NoLink => Fault::NoLink
            .because("no network link is up")
            .at(Stage::Link),
        Ground::NoAddress => Fault::NoAddress
            .because("no address was given to the link")
            .at(Stage::Address),
        Ground::NoGateway(why) => Fault::GatewaySilent.because(why.clone()).at(Stage::Gateway),
        Ground::Fine => return,
    };
    attempt.outcome = Outcome::Failed(failure);
}

/// An answer to a question in clear that comes from elsewhere is a portal's, not the target's.
fn blame_portal(attempt: &mut Attempt, url: &Url) {
    if attempt.outcome == Outcome::Reached && is_portal(attempt, url) == Some(true) {
        let cause = Fault::CaptivePortal.because("a login page stands before the network");
        attempt.outcome = Outcome::Failed(cause.at(Stage::Http));
    }
}

/// A target that has the address of names without an owner is not there, whoever answers.
fn blame_hijacker(attempt: &mut Attempt, canary: &[IpAddr]) {
    let is_canarys = |address: &IpAddr| canary.contains(address);
    let is_hijacked = !attempt.addresses.is_empty() && attempt.addresses.iter().all(is_canarys);
    let is_portals = matches!(&attempt.outcome, Outcome::Failed(failure)
        if matches!(failure.cause.fault, Fault::CaptivePortal | Fault::Blocked));
    let is_proven = attempt
        .certificate
        .as_ref()
        .is_some_and(|seen| seen.is_public && seen.refusal.is_none());
    if !is_hijacked || is_portals || is_proven {
        return;
    }
    let why = "the name server gives the address that it gives for names without an owner";
    attempt.dns_state = Some("hijacked");
    attempt.outcome = Outcome::Failed(Fault::NameHijacked.because(why).at(Stage::Dns));
}

/// Whether an attempt met a portal; `None` where it does not tell.
fn is_portal(attempt: &Attempt, url: &Url) -> Option<bool> {
    let status = attempt.status?;
    if attempt.blocked.is_some() {
        return None;
    }
    if status == 511 {
        return Some(true);
    }
    if url.is_https {
        // Nobody but the target can answer with its public certificate.
        return attempt
            .certificate
            .as_ref()
            .filter(|seen| seen.refusal.is_none() && seen.is_public)
            .map(|_| false);
    }
    let is_sent_away = attempt
        .redirect_host
        .as_ref()
        .is_some_and(|host| !is_same_holder(host, &url.address.host));
    let ought_to_be_empty = url.path.ends_with("generate_204");
    Some(is_sent_away || (ought_to_be_empty && status != 204))
}

/// What one target's attempt says. `unasked` tells why the script that chooses the proxy was not asked,
/// where there is one: a straight way that fails proves nothing then.
#[must_use]
pub fn readings(tried: &Tried<'_>, unasked: Option<&str>) -> Vec<Reading> {
    let (name, attempt) = (tried.name, &tried.attempt);
    let is_straight = matches!(
        attempt.failed_at(),
        Some(Stage::Dns | Stage::Tcp | Stage::Tls)
    );
    if let Some(why) = unasked.filter(|_| is_straight) {
        let why = format!("a script (PAC) chooses the proxy here, and {why}");
        let metrics = [
            &metric::REACH_STATE,
            &metric::REACH_FAILED_STAGE,
            &metric::REACH_FAULT,
            &metric::REACH_CAUSE,
        ];
        let unknown = metrics.map(|metric| Reading::unavailable(metric, name, &why));
        return unknown.into();
    }
    let (state, stage, fault, why) = match &attempt.outcome {
        Outcome::Reached => ("reachable", "none", "none", "none"),
        Outcome::Failed(Failure { stage, cause }) => (
            "unreachable",
            stage.word(),
            cause.fault.word(),
            cause.why.as_str(),
        ),
    };
    let is_https = tried.url.as_ref().is_some_and(|url| url.is_https);
    let skipped = match &attempt.outcome {
        Outcome::Reached => "this stage was not needed".to_owned(),
        Outcome::Failed(failure) => format!("the attempt ended at {}", failure.stage.word()),
    };
    let timed = |seconds: Option<f64>| seconds.ok_or_else(|| skipped.clone());
    vec![
        Reading::text(&metric::REACH_STATE, name, state),
        Reading::text(&metric::REACH_FAILED_STAGE, name, stage),
        Reading::text(&metric::REACH_FAULT, name, fault),
        Reading::text(&metric::REACH_CAUSE, name, why),
        source::text_or_why(&metric::REACH_IPV4, name, version(&attempt.ipv4)),
        source::text_or_why(&metric::REACH_IPV6, name, version(&attempt.ipv6)),
        source::number_or_why(&metric::REACH_DNS, name, timed(attempt.dns_s)),
        source::number_or_why(&metric::REACH_TCP, name, timed(attempt.tcp_s)),
        source::number_or_why(&metric::REACH_TLS, name, timed(attempt.tls_s)),
        source::number_or_why(&metric::REACH_HTTP, name, timed(attempt.http_s)),
        source::number_or_why(
            &metric::REACH_STATUS,
            name,
            timed(attempt.status.map(f64::from)),
        ),
        source::text_or_why(
            &metric::TLS_INTERCEPTED,
            name,
            interception(attempt, is_https),
        ),
    ]
}

fn version(version: &Version) -> Sourced<String> {
    match version {
        Version::Reached => Ok("reachable".to_owned()),
        Version::Failed => Ok("unreachable".to_owned()),
        Version::Untried(why) => Err((*why).to_owned()),
    }
}

fn interception(attempt: &Attempt, is_https: bool) -> Sourced<String> {
    match &attempt.certificate {
        _ if !is_https => Err("the target speaks no TLS".to_owned()),
        None => Err("no certificate was shown".to_owned()),
        Some(seen) => Ok(seen.interceptor().unwrap_or("none").to_owned()),
    }
}

/// What all attempts together say of DNS and portals.
#[must_use]
pub fn of_network(tried: &[Tried<'_>], canary: &[IpAddr]) -> Vec<Reading> {
    if tried.is_empty() {
        let metrics = [&metric::DNS_STATE, &metric::CAPTIVE_PORTAL];
        return metrics
            .into_iter()
            .map(|metric| Reading::unavailable(metric, "", NO_TARGET))
            .collect();
    }
    let no_lookup = || "no target's name was looked up".to_owned();
    let first_s = tried.iter().find_map(|tried| tried.attempt.dns_s);
    let state = dns_state(tried, canary).map(str::to_owned);
    vec![
        source::text_or_why(&metric::DNS_STATE, "", state.ok_or_else(no_lookup)),
        source::number_or_why(&metric::DNS_DURATION, "", first_s.ok_or_else(no_lookup)),
        source::flag_or_why(&metric::CAPTIVE_PORTAL, "", portal(tried)),
    ]
}

/// One name that is found shows that lookups work, unless names without an owner are found too. They
/// are slow where the quickest is: one distant server alone is not this network's fault.
fn dns_state(tried: &[Tried<'_>], canary: &[IpAddr]) -> Option<&'static str> {
    let states = || tried.iter().filter_map(|tried| tried.attempt.dns_state);
    let first = states().next()?;
    if !canary.is_empty() {
        return Some("hijacked");
    }
    if !states().any(|state| state == "ok") {
        return Some(first);
    }
    let found = tried
        .iter()
        .filter(|tried| tried.attempt.dns_state == Some("ok"));
    let quickest = found
        .filter_map(|tried| tried.attempt.dns_s)
        .reduce(f64::min);
    let is_slow = quickest.is_some_and(|seconds| seconds >= SLOW_LOOKUP_S);
    Some(if is_slow { "slow" } else { "ok" })
}

fn portal(tried: &[Tried<'_>]) -> Sourced<bool> {
    let told = tried
        .iter()
        .filter_map(|tried| is_portal(&tried.attempt, tried.url.as_ref()?));
    let told: Vec<bool> = told.collect();
    if told.is_empty() {
        return Err("no target answered in a way that tells".to_owned());
    }
    Ok(told.contains(&true))
}
