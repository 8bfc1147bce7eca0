//! Where the laptop is, by the beacons: a name of a site, never an address.
//!
//! A beacon counts when it holds a certificate of the district's own authority that names its site.
//! No clock decides: the certificate is judged by its authority and names, at whatever date.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use rollcall_shared::configuration::{Beacon, Configuration};
use rollcall_shared::id::Label;
use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::SinceBootMs;
use rollcall_shared::tls::{self, Trust};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::BeaconTrust;
use super::network::Ground;
use super::reach::Address;
use super::source::Sourced;

/// How long one beacon may take: it stands in the same building.
const BEACON_TIMEOUT: Duration = Duration::from_secs(2);

/// Beacons that are asked at once. Away from school most names are not found, which costs 50 ms
/// each, so the 1,900 of the largest district take about 3 s.
const AT_ONCE: usize = 32;

/// Up to this many beacons are all asked every time.
const FEW: usize = 64;

/// How long a laptop is taken to be away from every site while its network stays the same. Asking
/// 1,900 beacons every five minutes at home would cost 500,000 lookups a day.
const AWAY: Duration = Duration::from_secs(3600);

/// What is known of the network around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    /// How far it reaches.
    pub ground: Ground,
    /// What tells this network from others; `None` where nothing does.
    pub network: Option<String>,
}

/// Where the laptop was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    last_site: Option<Label>,
    away: Option<(String, SinceBootMs)>,
}

impl Place {
    /// Forgets that the laptop was found to be away; its last site is asked first all the same.
    pub fn forget(&mut self) {
        self.away = None;
    }

    fn is_away(&self, around: &Around, now: SinceBootMs) -> bool {
        let same = self
            .away
            .as_ref()
            .filter(|(network, _)| Some(network) == around.network.as_ref());
        same.is_some_and(|(_, since)| now.since(*since) < AWAY)
    }

    fn settle(&mut self, site: Option<Label>, around: &Around, now: SinceBootMs) {
        if site.is_some() {
            self.last_site = site;
            self.away = None;
        } else if !self.is_away(around, now) {
            self.away = around.network.clone().map(|network| (network, now));
        }
    }
}

/// Asks the beacons, that of the last site before the others.
pub async fn read(
    configuration: &Configuration,
    trust: &BeaconTrust,
    around: &Around,
    now: SinceBootMs,
    place: &mut Place,
) -> Vec<Reading> {
    let config = match client_config(configuration, trust, around) {
        Ok(config) => config,
        Err(why) => return vec![Reading::unavailable(&metric::VANTAGE, "", &why)],
    };
    let asked = to_ask(&configuration.beacons, place, around, now);
    let site = first_to_answer(asked, config).await;
    if let (None, Ground::NoGateway(why)) = (&site, &around.ground) {
        // A beacon may stand on the laptop's own link; one that does not cannot be reached at all.
        let why = format!("no beacon answers, and {why}");
        return vec![Reading::unavailable(&metric::VANTAGE, "", &why)];
    }
    let text = site
        .as_ref()
        .map_or("off-campus".to_owned(), |site| format!("on-campus:{site}"));
    place.settle(site, around, now);
    vec![Reading::text(&metric::VANTAGE, "", &text)]
}

/// The beacons in the order of asking; of many, in a network that is known to be none of theirs,
/// only that of the last site.
fn to_ask(beacons: &[Beacon], place: &Place, around: &Around, now: SinceBootMs) -> Vec<Beacon> {
    let is_last = |beacon: &Beacon| Some(&beacon.site) == place.last_site.as_ref();
    let mut ordered = beacons.to_vec();
    if beacons.len() > FEW && place.is_away(around, now) {
        ordered.retain(is_last);
    }
    ordered.sort_by_key(|beacon| !is_last(beacon));
    ordered
}

fn client_config(
    configuration: &Configuration,
    trust: &BeaconTrust,
    around: &Around,
) -> Sourced<Arc<ClientConfig>> {
    if configuration.beacons.is_empty() {
        return Err("no beacon is configured".to_owned());
    }
    if trust.roots.is_empty() {
        return Err("the laptop is not enrolled, so no beacon can be trusted".to_owned());
    }
    match around.ground {
        Ground::NoLink => return Err("no network link is up".to_owned()),
        Ground::NoAddress => return Err("no address was given to the link".to_owned()),
        Ground::NoGateway(_) | Ground::Fine => {}
    }
    let config = tls::client_config(Trust::Roots(trust.roots.clone()), None);
    let mut config =
        config.map_err(|error| format!("the authority's roots cannot be used: {error}"))?;
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

async fn first_to_answer(beacons: Vec<Beacon>, config: Arc<ClientConfig>) -> Option<Label> {
    let asked = stream::iter(beacons).map(move |beacon| {
        let config = Arc::clone(&config);
        async move {
            let answer = tokio::time::timeout(BEACON_TIMEOUT, ask(&beacon, config)).await;
            answer
                .is_ok_and(|answer| answer.is_some())
                .then_some(beacon.site)
        }
    });
    let mut sites = Box::pin(asked.buffered(AT_ONCE).filter_map(|site| async { site }));
    sites.next().await
}

async fn ask(beacon: &Beacon, config: Arc<ClientConfig>) -> Option<()> {
    let address = Address::parse(&beacon.address, 443)?;
    let stream = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .ok()?;
    let name = ServerName::try_from(address.host).ok()?;
    let stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .ok()?;
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    let site = tls::beacon_site(leaf).ok()?;
    (site == beacon.site.as_str()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{Authority, serve_tls, value};

    fn configuration(beacons: &[(&str, u16)]) -> Configuration {
        let beacons = beacons.iter().map(|(site, port)| Beacon {
            site: site.parse().unwrap(),
            address: format!("127.0.0.1:{port}"),
        });
        Configuration {
            beacons: beacons.collect(),
            ..Configuration::default()
        }
    }

    fn around(ground: Ground, network: Option<&str>) -> Around {
        Around {
            ground,
            network: network.map(str::to_owned),
        }
    }

    async fn vantage(configuration: &Configuration, trust: &BeaconTrust) -> String {
        let readings = read(
            configuration,
            trust,
            &around(Ground::Fine, None),
            SinceBootMs(0),
            &mut Place::default(),
        )
        .await;
        value(&readings, "network.vantage", "")
    }

    #[tokio::test]
    async fn only_the_districts_own_certificate_for_the_site_counts() {
        let ours = Authority::new();
        let trust = BeaconTrust {
            roots: vec![ours.root()],
        };
        // Valid for one day of 1980: a beacon or a laptop with a dead clock.
        let beacon = ours.leaf(Some("Lincoln"), (1980, 1981));
        let port = serve_tls(beacon, Vec::new()).await;
        assert_eq!(
            vantage(&configuration(&[("Lincoln", port)]), &trust).await,
            "on-campus:Lincoln"
        );
        assert_eq!(
            vantage(&configuration(&[("Roosevelt", port)]), &trust).await,
            "off-campus"
        );
        let elsewhere = serve_tls(
            Authority::new().leaf(Some("Lincoln"), (2020, 2040)),
            Vec::new(),
        )
        .await;
        assert_eq!(
            vantage(&configuration(&[("Lincoln", elsewhere)]), &trust).await,
            "off-campus"
        );
        let both = configuration(&[("Roosevelt", elsewhere), ("Lincoln", port)]);
        assert_eq!(vantage(&both, &trust).await, "on-campus:Lincoln");
    }

    #[tokio::test]
    async fn what_cannot_be_known_is_not_off_campus() {
        let untrusting = BeaconTrust { roots: Vec::new() };
        assert!(
            vantage(&configuration(&[("Lincoln", 1)]), &untrusting)
                .await
                .contains("not enrolled")
        );
        let trust = BeaconTrust {
            roots: vec![Authority::new().root()],
        };
        assert!(
            vantage(&Configuration::default(), &trust)
                .await
                .contains("no beacon")
        );
        let unlinked = read(
            &configuration(&[("Lincoln", 1)]),
            &trust,
            &around(Ground::NoLink, None),
            SinceBootMs(0),
            &mut Place::default(),
        )
        .await;
        assert!(value(&unlinked, "network.vantage", "").contains("no network link"));
        let silent = Ground::NoGateway("there is no gateway".to_owned());
        let lost = read(
            &configuration(&[("Lincoln", 1)]),
            &trust,
            &around(silent, None),
            SinceBootMs(0),
            &mut Place::default(),
        )
        .await;
        let lost = value(&lost, "network.vantage", "");
        assert!(
            lost.ends_with("no beacon answers, and there is no gateway"),
            "{lost}"
        );
    }

    #[test]
    fn a_laptop_at_home_asks_two_thousand_beacons_once_an_hour() {
        let beacons: Vec<(String, u16)> = (0..2000).map(|n| (format!("Site {n}"), 1)).collect();
        let beacons: Vec<(&str, u16)> = beacons
            .iter()
            .map(|(site, port)| (site.as_str(), *port))
            .collect();
        let beacons = configuration(&beacons).beacons;
        let (home, cafe) = (
            around(Ground::Fine, Some("home")),
            around(Ground::Fine, Some("cafe")),
        );
        let at = |minute: u64| SinceBootMs(minute * 60_000);
        let count =
            |place: &Place, around: &Around, now| to_ask(&beacons, place, around, now).len();
        let mut place = Place::default();
        place.settle(
            Some("Site 7".parse().unwrap()),
            &around(Ground::Fine, Some("school")),
            at(0),
        );
        assert_eq!(
            to_ask(&beacons, &place, &home, at(1))[0].site.as_str(),
            "Site 7"
        );
        place.settle(None, &home, at(1));
        assert_eq!(count(&place, &home, at(6)), 1, "only the last site");
        place.settle(None, &home, at(6));
        assert_eq!(
            count(&place, &home, at(61)),
            2000,
            "an hour after all were asked"
        );
        assert_eq!(count(&place, &cafe, at(6)), 2000);
        assert_eq!(
            count(&place, &around(Ground::Fine, None), at(6)),
            2000,
            "nothing is known"
        );
        place.forget();
        assert_eq!(count(&place, &home, at(6)), 2000);
    }
}
