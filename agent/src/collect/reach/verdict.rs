//! What attempts mean: each target's readings, and what all of them say of the network. Pure.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::address::is_same_holder;
use super::attempt::{Attempt, Outcome, Stage};
use super::{NO_TARGET, Tried, Url};
use crate::collect::network::Ground;
use crate::collect::source::{self, Sourced};

/// A lookup that fails without a name server to ask is no fault of any.
pub fn blame_name_server(attempt: &mut Attempt, has_name_server: Option<bool>) {
    let is_dns = matches!(attempt.outcome, Outcome::Failed(Stage::Dns, _));
    if is_dns && has_name_server == Some(false) && attempt.dns_state != Some("ok") {
        attempt.dns_state = Some("no_server");
        attempt.outcome = Outcome::Failed(Stage::Dns, "no name server is configured".to_owned());
    }
}

/// A name that is not found or a server that is not reached is no fault of either where the network
/// ends before. What was reached was reached, whatever the ground looks like.
pub fn blame_ground(attempt: &mut Attempt, ground: &Ground) {
    let Outcome::Failed(Stage::Dns | Stage::Proxy | Stage::Tcp, _) = attempt.outcome else {
        return;
    };
    let blamed = match ground {
        Ground::NoLink => (Stage::Link, "no network link is up".to_owned()),
        Ground::NoAddress => (
            Stage::Address,
            "no address was given to the link".to_owned(),
        ),
        Ground::NoGateway(why) => (Stage::Gateway, why.clone()),
        Ground::Fine => return,
    };
    attempt.outcome = Outcome::Failed(blamed.0, blamed.1);
}

/// An answer to a question in clear that comes from elsewhere is a portal's, not the target's.
pub fn blame_portal(attempt: &mut Attempt, url: &Url) {
    if attempt.outcome == Outcome::Reached && is_portal(attempt, url) == Some(true) {
        let why = "a login page stands before the network".to_owned();
        attempt.outcome = Outcome::Failed(Stage::Http, why);
    }
}

/// Whether an attempt met a portal; `None` where it does not tell.
fn is_portal(attempt: &Attempt, url: &Url) -> Option<bool> {
    let status = attempt.status?;
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

/// What one target's attempt says.
#[must_use]
pub fn readings(tried: &Tried<'_>) -> Vec<Reading> {
    let (name, attempt) = (tried.name, &tried.attempt);
    let (state, stage, cause) = match &attempt.outcome {
        Outcome::Reached => ("reachable", "none", "none"),
        Outcome::Failed(stage, why) => ("unreachable", stage.word(), why.as_str()),
    };
    let is_https = tried.url.as_ref().is_some_and(|url| url.is_https);
    let skipped = match &attempt.outcome {
        Outcome::Reached => "this stage was not needed".to_owned(),
        Outcome::Failed(stage, _) => format!("the attempt ended at {}", stage.word()),
    };
    let timed = |seconds: Option<f64>| seconds.ok_or_else(|| skipped.clone());
    vec![
        Reading::text(&metric::REACH_STATE, name, state),
        Reading::text(&metric::REACH_FAILED_STAGE, name, stage),
        Reading::text(&metric::REACH_CAUSE, name, cause),
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

fn interception(attempt: &Attempt, is_https: bool) -> Sourced<String> {
    match &attempt.certificate {
        _ if !is_https => Err("the target speaks no TLS".to_owned()),
        None => Err("no certificate was shown".to_owned()),
        Some(seen) => Ok(seen.interceptor().unwrap_or("none").to_owned()),
    }
}

/// What all attempts together say of DNS and portals.
#[must_use]
pub fn of_network(tried: &[Tried<'_>]) -> Vec<Reading> {
    if tried.is_empty() {
        let metrics = [&metric::DNS_STATE, &metric::CAPTIVE_PORTAL];
        return metrics
            .into_iter()
            .map(|metric| Reading::unavailable(metric, "", NO_TARGET))
            .collect();
    }
    let no_lookup = || "no target's name was looked up".to_owned();
    let first_s = tried.iter().find_map(|tried| tried.attempt.dns_s);
    vec![
        source::text_or_why(
            &metric::DNS_STATE,
            "",
            dns_state(tried).map(str::to_owned).ok_or_else(no_lookup),
        ),
        source::number_or_why(&metric::DNS_DURATION, "", first_s.ok_or_else(no_lookup)),
        source::flag_or_why(&metric::CAPTIVE_PORTAL, "", portal(tried)),
    ]
}

/// One name that is found shows that lookups work.
fn dns_state(tried: &[Tried<'_>]) -> Option<&'static str> {
    let mut states = tried.iter().filter_map(|tried| tried.attempt.dns_state);
    let first = states.next()?;
    Some(if first == "ok" || states.any(|state| state == "ok") {
        "ok"
    } else {
        first
    })
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
