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

use super::network::{Start, Way, Ways};
use super::source::Sourced;
pub use address::{Address, Url};
pub use attempt::Attempt;
use attempt::Stage;
use canary::Canary;
pub use certificate::PublicTrust;

/// What is kept from one round to the next, in the network of the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    canary: Canary,
    ways: Ways,
}

impl Memory {
    /// Forgets it, as when the network changes.
    pub fn forget(&mut self) {
        self.canary.forget();
        self.ways.forget();
    }
}

/// Tries every target at once and reads what that tells of DNS, portals and interception.
pub async fn read(
    targets: &[Target],
    start: &Start,
    trust: &Arc<PublicTrust>,
    memory: &mut Memory,
    clock: &dyn Clock,
) -> Vec<Reading> {
    let servers = start.name_servers.as_deref().unwrap_or_default();
    let now: SinceBootMs = clock.now().since_boot;
    let network = start.network.as_deref();
    let asked = ask_script(&mut memory.ways, targets, start, now).await;
    let ways = &memory.ways;
    let tries = targets
        .iter()
        .map(|target| attempt_at(target, start, ways, servers, trust, clock));
    let canary = &mut memory.canary;
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
    let mut readings: Vec<Reading> = tried
        .iter()
        .flat_map(|tried| {
            let is_unknown = tried.url.as_ref().is_some_and(|url| {
                start.proxies.script().is_some() && ways.to(&url.server()).is_none()
            });
            let unasked = asked.as_ref().err().filter(|_| is_unknown);
            verdict::readings(tried, unasked.map(String::as_str))
        })
        .collect();
    readings.extend(verdict::of_network(&tried, &unregistered));
    readings
}

/// Asks the script that chooses proxies for every target's server, where there is one.
async fn ask_script(
    ways: &mut Ways,
    targets: &[Target],
    start: &Start,
    now: SinceBootMs,
) -> Sourced<()> {
    let Some(script) = start.proxies.script() else {
        // What a script said that is no longer set must not choose a way.
        ways.forget();
        return Ok(());
    };
    let urls = targets.iter().filter_map(|target| Url::parse(&target.url));
    let servers: Vec<String> = urls.map(|url| url.server()).collect();
    let network = start.network.as_deref();
    ways.look(&start.interpreter, script, &servers, network, now)
        .await
}

async fn attempt_at<'a>(
    target: &'a Target,
    start: &Start,
    ways: &Ways,
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
    let named = start.proxies.towards(&url.address.host, url.is_https);
    let chosen = ways.to(&url.server()).unwrap_or_default();
    let (first, others) = match chosen {
        [first, others @ ..] => (first.proxy(), others),
        [] => (named, chosen),
    };
    let mut attempt = attempt::run(&url, first, servers, trust, clock).await;
    for way in others.iter().map(Way::proxy) {
        // As browsers do: from a proxy that is not there to the next that the script names.
        if attempt.failed_at() != Some(Stage::Proxy) {
            break;
        }
        attempt = attempt::run(&url, way, servers, trust, clock).await;
    }
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
