//! Whether pupils can reach what lessons depend on: DNS, proxy, TCP, TLS and HTTP, each timed, and
//! the first that fails named. No address is ever part of a reading.

mod address;
mod attempt;
mod cause;
mod certificate;
mod exchange;
mod tunnel;
mod verdict;

use std::sync::Arc;

use futures_util::future::join_all;
use rollcall_shared::configuration::Target;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::Clock;

use super::network::Start;
pub use address::{Address, Url};
pub use attempt::Attempt;
pub use certificate::PublicTrust;

/// Tries every target at once and reads what that tells of DNS, portals and interception.
pub async fn read(
    targets: &[Target],
    start: &Start,
    trust: &Arc<PublicTrust>,
    clock: &dyn Clock,
) -> Vec<Reading> {
    let tries = targets.iter().map(|target| async move {
        let Some(url) = Url::parse(&target.url) else {
            return Tried {
                name: target.name.as_str(),
                url: None,
                attempt: Attempt::unusable(),
            };
        };
        let proxy = start.proxies.towards(&url.address.host, url.is_https);
        let mut attempt = attempt::run(&url, proxy, trust, clock).await;
        verdict::blame_name_server(&mut attempt, start.has_name_server);
        verdict::blame_ground(&mut attempt, &start.ground);
        verdict::blame_portal(&mut attempt, &url);
        Tried {
            name: target.name.as_str(),
            url: Some(url),
            attempt,
        }
    });
    let tried = join_all(tries).await;
    let mut readings: Vec<Reading> = tried.iter().flat_map(verdict::readings).collect();
    readings.extend(verdict::of_network(&tried));
    readings
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
    verdict::of_network(&[])
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
