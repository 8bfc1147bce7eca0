//! Whether the network forges names, by a name that nobody has registered, and when that is asked again.
//!
//! Asking costs the servers of `.com` a question, so what was found holds for an hour in one network. A
//! network that begins to lie, or ends, is noticed by what the targets do, and asked at once, but no more
//! than [`DOUBTS_AN_HOUR`] times.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rollcall_shared::time::SinceBootMs;
use rollcall_shared::tls;

use super::attempt::Attempt;
use super::resolver::{Told, ask};

/// How long what was found about unregistered names holds in one network: asking more often would
/// burden the servers of `.com` for nothing.
const CANARY_LIFE: Duration = Duration::from_secs(3600);

/// Questions within [`CANARY_LIFE`] that doubt gives rise to: one for each round of the targets at the
/// interval by default, 300 s.
const DOUBTS_AN_HOUR: usize = 12;

/// Addresses of failing targets that are remembered: 64 targets with four addresses each.
const ADDRESSES: usize = 256;

/// What is known of names that nobody has registered, in the network of the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canary {
    found: Option<Found>,
    /// When doubt asked, within the last hour.
    doubts: Vec<SinceBootMs>,
}

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    network: Option<String>,
    servers: Vec<IpAddr>,
    at: SinceBootMs,
    addresses: Vec<IpAddr>,
    evidence: Evidence,
}

/// What the targets do that a network which forges names would explain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Where names led whose targets failed.
    astray: BTreeSet<IpAddr>,
    /// Where names led at all.
    led_to: BTreeSet<IpAddr>,
}

impl Evidence {
    /// Of the attempts of one round.
    #[must_use]
    pub fn of<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Self {
        let mut evidence = Self::default();
        for attempt in attempts {
            let addresses = attempt.addresses.iter().copied();
            if attempt.failed_at().is_some() {
                evidence.astray.extend(addresses.clone());
            }
            evidence.led_to.extend(addresses);
        }
        evidence.astray = evidence.astray.into_iter().take(ADDRESSES).collect();
        evidence
    }

    fn leads_to_any(&self, addresses: &[IpAddr]) -> bool {
        addresses
            .iter()
            .any(|address| self.led_to.contains(address))
    }
}

impl Canary {
    /// The addresses that a name without an owner leads to here; none where the network is honest or
    /// nobody answers. `network` tells this network from others.
    pub async fn look(
        &mut self,
        servers: &[IpAddr],
        network: Option<&str>,
        now: SinceBootMs,
    ) -> Vec<IpAddr> {
        if let Some(found) = self.holds(servers, network, now) {
            return found.addresses.clone();
        }
        self.ask(servers, network, now).await
    }

    /// The same once the targets were tried: asks again where what they do is not explained by what was
    /// found before.
    pub async fn look_again(
        &mut self,
        evidence: Evidence,
        servers: &[IpAddr],
        network: Option<&str>,
        now: SinceBootMs,
    ) -> Vec<IpAddr> {
        if self.is_doubted(&evidence, now) {
            self.doubts.push(now);
            let _ = self.ask(servers, network, now).await;
        }
        let Some(found) = &mut self.found else {
            return Vec::new();
        };
        found.evidence = evidence;
        found.addresses.clone()
    }

    /// Forgets what was found, as when the network changes; another network may be doubted anew.
    pub fn forget(&mut self) {
        self.found = None;
        self.doubts.clear();
    }

    fn holds(&self, servers: &[IpAddr], network: Option<&str>, now: SinceBootMs) -> Option<&Found> {
        self.found.as_ref().filter(|found| {
            found.network.as_deref() == network
                && found.servers == servers
                && now.since(found.at) < CANARY_LIFE
        })
    }

    /// Whether the network may have begun to lie since the last question, or to be honest again.
    fn is_doubted(&mut self, evidence: &Evidence, now: SinceBootMs) -> bool {
        self.doubts.retain(|at| now.since(*at) < CANARY_LIFE);
        let Some(found) = self.found.as_ref().filter(|found| found.at != now) else {
            // Just asked, or nobody answered just now.
            return false;
        };
        let strays_anew = !evidence.astray.is_subset(&found.evidence.astray)
            && !evidence.leads_to_any(&found.addresses);
        let led_there = found.evidence.leads_to_any(&found.addresses);
        let is_led_back = led_there && !evidence.leads_to_any(&found.addresses);
        (strays_anew || is_led_back) && self.doubts.len() < DOUBTS_AN_HOUR
    }

    async fn ask(
        &mut self,
        servers: &[IpAddr],
        network: Option<&str>,
        now: SinceBootMs,
    ) -> Vec<IpAddr> {
        self.found = None;
        let addresses = match ask(servers, &unregistered()).await {
            Told::Addresses(addresses) => addresses,
            Told::NotFound => Vec::new(),
            Told::Refused | Told::Failed(_) | Told::Silent => return Vec::new(),
        };
        self.found = Some(Found {
            network: network.map(str::to_owned),
            servers: servers.to_vec(),
            at: now,
            addresses: addresses.clone(),
            evidence: Evidence::default(),
        });
        addresses
    }
}

/// Sixteen random letters below `.com`: one of 4·10²² names, of which 1.6·10⁸ are taken. Names below
/// `.invalid` are answered by local resolvers themselves, and so tell nothing of the network.
fn unregistered() -> String {
    let mut bytes = [0; 16];
    // Without randomness the answer of a stranger is a little easier to forge, and no more.
    let _ = tls::provider().secure_random.fill(&mut bytes);
    let letters = bytes.map(|byte| char::from(b'a' + byte % 26));
    letters.into_iter().chain(".com".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HONEST: [u8; 4] = [192, 0, 2, 10];
    const FORGED: [u8; 4] = [192, 0, 2, 66];

    fn found(addresses: &[[u8; 4]]) -> Canary {
        Canary {
            found: Some(Found {
                network: Some("home".to_owned()),
                servers: vec![[192, 0, 2, 1].into()],
                at: minute(0),
                addresses: addresses.iter().map(|&at| at.into()).collect(),
                evidence: Evidence::default(),
            }),
            doubts: Vec::new(),
        }
    }

    fn minute(minute: u64) -> SinceBootMs {
        SinceBootMs(minute * 60_000)
    }

    fn seen(astray: &[[u8; 4]], fine: &[[u8; 4]]) -> Evidence {
        let set = |at: &[[u8; 4]]| at.iter().map(|&at| IpAddr::from(at)).collect();
        let astray: BTreeSet<IpAddr> = set(astray);
        let mut led_to: BTreeSet<IpAddr> = set(fine);
        led_to.extend(&astray);
        Evidence { astray, led_to }
    }

    fn settle(canary: &mut Canary, evidence: Evidence) {
        canary.found.as_mut().unwrap().evidence = evidence;
    }

    #[test]
    fn a_name_has_sixteen_letters_and_is_another_each_time() {
        let name = unregistered();
        assert!(name.len() == 20 && name != unregistered(), "{name}");
    }

    #[test]
    fn what_was_found_holds_for_an_hour_in_one_network_with_the_same_servers() {
        let canary = found(&[]);
        let server: IpAddr = [192, 0, 2, 1].into();
        let holds = |servers: &[IpAddr], network, at| canary.holds(servers, network, at).is_some();
        assert!(holds(&[server], Some("home"), minute(59)));
        assert!(!holds(&[server], Some("home"), minute(60)));
        assert!(!holds(&[server], Some("cafe"), minute(1)));
        assert!(!holds(&[[192, 0, 2, 2].into()], Some("home"), minute(1)));
    }

    #[test]
    fn a_target_that_begins_to_fail_is_reason_to_doubt_and_one_that_goes_on_failing_is_none() {
        let mut canary = found(&[]);
        assert!(!canary.is_doubted(&seen(&[], &[HONEST]), minute(1)));
        let failing = seen(&[FORGED], &[]);
        assert!(canary.is_doubted(&failing, minute(1)));
        settle(&mut canary, failing.clone());
        assert!(!canary.is_doubted(&failing, minute(2)));
        settle(&mut canary, seen(&[], &[HONEST]));
        assert!(canary.is_doubted(&failing, minute(3)));
    }

    #[test]
    fn a_network_that_lied_is_asked_again_once_names_lead_elsewhere() {
        let mut canary = found(&[FORGED]);
        settle(&mut canary, seen(&[FORGED], &[]));
        assert!(!canary.is_doubted(&seen(&[FORGED], &[]), minute(1)));
        assert!(canary.is_doubted(&seen(&[], &[HONEST]), minute(1)));
        // A provider that forges only names without an owner is no reason for a question each round.
        settle(&mut canary, seen(&[], &[HONEST]));
        assert!(!canary.is_doubted(&seen(&[], &[HONEST]), minute(2)));
    }

    #[test]
    fn doubt_asks_twelve_times_an_hour_at_most() {
        let mut canary = found(&[]);
        let strays = |n: usize| seen(&[[192, 0, 2, u8::try_from(n).unwrap() + 100]], &[]);
        for n in 0..DOUBTS_AN_HOUR {
            assert!(canary.is_doubted(&strays(n), minute(1)));
            canary.doubts.push(minute(1));
        }
        assert!(!canary.is_doubted(&strays(99), minute(59)));
        assert!(canary.is_doubted(&strays(99), minute(61)));
    }

    #[tokio::test]
    async fn where_nobody_answers_nothing_is_known() {
        let mut canary = found(&[FORGED]);
        let again = canary.look_again(seen(&[HONEST], &[]), &[], None, minute(1));
        assert_eq!(again.await, Vec::<IpAddr>::new());
        assert_eq!((canary.found, canary.doubts.len()), (None, 1));
    }
}
