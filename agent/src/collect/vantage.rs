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
use rollcall_shared::tls::{self, Trust};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::BeaconTrust;
use super::reach::Address;
use super::source::Sourced;

/// How long one beacon may take: it stands in the same building.
const BEACON_TIMEOUT: Duration = Duration::from_secs(2);

/// Beacons that are asked at once. Away from school most names are not found, which costs 50 ms
/// each, so the 1,900 of the largest district take about 3 s.
const AT_ONCE: usize = 32;

/// Asks the beacons, the site that answered last (`last_site`) before the others.
pub async fn read(
    configuration: &Configuration,
    trust: &BeaconTrust,
    is_link_up: Option<bool>,
    last_site: &mut Option<Label>,
) -> Vec<Reading> {
    match find(configuration, trust, is_link_up, last_site.as_ref()).await {
        Err(why) => vec![Reading::unavailable(&metric::VANTAGE, "", &why)],
        Ok(site) => {
            let text = site
                .as_ref()
                .map_or("off-campus".to_owned(), |site| format!("on-campus:{site}"));
            *last_site = site;
            vec![Reading::text(&metric::VANTAGE, "", &text)]
        }
    }
}

async fn find(
    configuration: &Configuration,
    trust: &BeaconTrust,
    is_link_up: Option<bool>,
    last_site: Option<&Label>,
) -> Sourced<Option<Label>> {
    if configuration.beacons.is_empty() {
        return Err("no beacon is configured".to_owned());
    }
    if trust.roots.is_empty() {
        return Err("the laptop is not enrolled, so no beacon can be trusted".to_owned());
    }
    if is_link_up == Some(false) {
        return Err("no network link is up".to_owned());
    }
    let config = tls::client_config(Trust::Roots(trust.roots.clone()), None);
    let mut config =
        config.map_err(|error| format!("the authority's roots cannot be used: {error}"))?;
    config.alpn_protocols.clear();
    Ok(first_to_answer(&configuration.beacons, &Arc::new(config), last_site).await)
}

async fn first_to_answer(
    beacons: &[Beacon],
    config: &Arc<ClientConfig>,
    last_site: Option<&Label>,
) -> Option<Label> {
    let mut ordered = beacons.to_vec();
    ordered.sort_by_key(|beacon| Some(&beacon.site) != last_site);
    let config = Arc::clone(config);
    let asked = stream::iter(ordered).map(move |beacon| {
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

    async fn vantage(configuration: &Configuration, trust: &BeaconTrust) -> String {
        let readings = read(configuration, trust, Some(true), &mut None).await;
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
            Some(false),
            &mut None,
        )
        .await;
        assert!(value(&unlinked, "network.vantage", "").contains("no network link"));
    }
}
