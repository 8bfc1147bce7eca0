//! Whether pupils can reach what lessons depend on: DNS, proxy, TCP, TLS and HTTP, each timed, and
//! the first that fails named. No address is ever part of a reading.

mod address;
mod attempt;
mod canary;
mod cause;
mod certificate;
mod exchange;
mod fault;
mod filter;
mod resolver;
mod tunnel;
mod verdict;

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use rollcall_shared::configuration::Target;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::{Clock, SinceBootMs};

use super::network::Start;
pub use address::{Address, Url};
pub use attempt::Attempt;
pub use canary::Canary;
pub use certificate::PublicTrust;

/// Tries every target at once and reads what that tells of DNS, portals and interception.
pub async fn read(
    targets: &[Target],
    start: &Start,
    trust: &Arc<PublicTrust>,
    canary: &mut Canary,
    clock: &dyn Clock,
) -> Vec<Reading> {
    let servers = start.name_servers.as_deref().unwrap_or_default();
    let tries = targets
        .iter()
        .map(|target| attempt_at(target, start, servers, trust, clock));
    let now: SinceBootMs = clock.now().since_boot;
    let network = start.network.as_deref();
    let looked = canary.look(servers, network, now);
    let (mut tried, _) = tokio::join!(join_all(tries), looked);
    let evidence = canary::Evidence::of(tried.iter().map(|tried| &tried.attempt));
    let unregistered = canary.look_again(evidence, servers, network, now).await;
    let around = verdict::Surroundings {
        ground: &start.ground,
        has_name_server: start
            .name_servers
            .as_ref()
            .map(|servers| !servers.is_empty()),
        canary: &unregistered,
    };
    for tried in &mut tried {
        if let Some(url) = &tried.url {
            verdict::blame(&mut tried.attempt, url, &around);
        }
    }
    let is_by_script = start.proxies.is_by_script();
    let mut readings: Vec<Reading> = tried
        .iter()
        .flat_map(|tried| verdict::readings(tried, is_by_script))
        .collect();
    readings.extend(verdict::of_network(&tried, &unregistered));
    readings
}

async fn attempt_at<'a>(
    target: &'a Target,
    start: &Start,
    servers: &[IpAddr],
    trust: &Arc<PublicTrust>,
    clock: &dyn Clock,
) -> Tried<'a> {
    let name = target.name.as_str();
    let Some(url) = Url::parse(&target.url) else {
        return Tried {
            name,
            url: None,
            attempt: Attempt::unusable(),
        };
    };
    let proxy = start.proxies.towards(&url.address.host, url.is_https);
    let attempt = attempt::run(&url, proxy, servers, trust, clock).await;
    Tried {
        name,
        url: Some(url),
        attempt,
    }
}

/// What came of one target.
#[derive(Debug)]
pub struct Tried<'a> {
    /// The target's name.
    pub name: &'a str,
    /// Its address; `None` where the configuration's text is none.
    pub url: Option<Url>,
    /// How far it went.
    pub attempt: Attempt,
}

/// Why there is nothing to say about DNS and portals.
const NO_TARGET: &str = "no target is configured";

/// What is said where no target is configured.
#[must_use]
pub fn untargeted() -> Vec<Reading> {
    verdict::of_network(&[], &[])
}

/// What is said where the network cannot be tried at all.
#[must_use]
pub fn untried(targets: &[Target], why: &str) -> Vec<Reading> {
    let states = targets
        .iter()
        .map(|target| Reading::unavailable(&metric::REACH_STATE, target.name.as_str(), why));
    states.collect()
}

#[cfg(test)]
mod tests;
