//! Links, gateway and proxy. Addresses are looked at on the laptop and never leave it.
//!
//! Where a script (PAC) chooses the proxy, the system's interpreter is asked for its choice: see [`script`].
//! Where there is none, what the script may know of the agent does not claim.

mod desktop;
mod link;
mod proxy;
#[cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        reason = "only Linux asks nl80211; the parser is tested everywhere"
    )
)]
mod radio;
mod route;
mod script;

use std::net::IpAddr;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};
pub use proxy::{Proxies, Proxy};
pub use radio::Roams;
pub use route::surroundings;
pub use script::{Interpreter, Way, Ways};

/// Name servers that are read: resolv.conf(5) knows three.
const NAME_SERVERS: usize = 3;

/// How far the network reaches before any name is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// There are links, and none of them is up.
    NoLink,
    /// A link is up and no address was given to it.
    NoAddress,
    /// There is an address and no gateway, or the gateway does not answer on the link.
    NoGateway(String),
    /// Nothing is known to be wrong.
    Fine,
}

/// What an attempt at a target starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The proxies of the system.
    pub proxies: Proxies,
    /// How far the network reaches.
    pub ground: Ground,
    /// The name servers that are configured; `None` where the system does not say.
    pub name_servers: Option<Vec<IpAddr>>,
    /// What tells this network from others; it is compared and never reported.
    pub network: Option<String>,
    /// What the system runs a proxy's script with.
    pub interpreter: Interpreter,
}

/// Reads what an attempt at a target starts from.
#[must_use]
pub fn start(roots: &Roots) -> Start {
    let resolver = source::text(&roots.etc.join("resolv.conf"));
    Start {
        proxies: proxies(roots),
        ground: ground(roots),
        name_servers: resolver.ok().map(|text| name_servers(&text)),
        network: surroundings(roots),
        interpreter: Interpreter::of_linux(roots.libproxy.as_deref()),
    }
}

/// By resolv.conf(5). An address of a link with its zone is one that the kernel alone can use.
fn name_servers(resolver: &str) -> Vec<IpAddr> {
    let lines = resolver.lines().map(str::split_whitespace);
    let servers = lines.filter_map(|mut words| {
        let server = (words.next()? == "nameserver").then(|| words.next())??;
        server.split('%').next()?.parse().ok()
    });
    servers.take(NAME_SERVERS).collect()
}

/// Reads the links. `roams` counts from one reading to the next.
#[must_use]
pub fn read_links(roots: &Roots, roams: &mut Roams) -> Vec<Reading> {
    let links = link::list(roots);
    if links.is_empty() {
        return vec![Reading::unavailable(
            &metric::LINK_STATE,
            "",
            "the kernel lists no network hardware",
        )];
    }
    let told = links.iter();
    told.flat_map(|link| link.readings(&link::radio(roots, link), roams))
        .collect()
}

/// Reads whether the gateway is there and whether a proxy is configured.
#[must_use]
pub fn read(roots: &Roots) -> Vec<Reading> {
    let proxies = proxies(roots);
    vec![
        source::flag_or_why(&metric::GATEWAY_REACHABLE, "", gateway(roots)),
        Reading::flag(&metric::PROXY_CONFIGURED, "", proxies.is_configured()),
        Reading::text(&metric::PROXY_KIND, "", proxies.kind()),
    ]
}

/// The proxies of the system: of the agent's environment, else of `/etc/environment`, else of what
/// the desktops are told for all users.
fn proxies(roots: &Roots) -> Proxies {
    let file = source::text(&roots.etc.join("environment")).unwrap_or_default();
    let environment = Proxies::of(&|name: &str| std::env::var(name).ok(), &file);
    if environment.is_configured() {
        return environment;
    }
    desktop::proxies(roots).unwrap_or(environment)
}

/// Whether any link is up; `None` where no link is known.
#[must_use]
pub fn is_any_link_up(roots: &Roots) -> Option<bool> {
    let links = link::list(roots);
    (!links.is_empty()).then(|| links.iter().any(link::Link::is_up))
}

/// What is wrong before names and servers come into it.
#[must_use]
pub fn ground(roots: &Roots) -> Ground {
    if is_any_link_up(roots) == Some(false) {
        return Ground::NoLink;
    }
    match route::has_address(roots) {
        Some(true) => {}
        Some(false) => return Ground::NoAddress,
        None => return Ground::Fine,
    }
    match gateway(roots) {
        Ok(false) => Ground::NoGateway("the gateway does not answer on the link".to_owned()),
        Err(_) if route::gateways(roots).is_empty() => {
            Ground::NoGateway("there is no gateway".to_owned())
        }
        _ => Ground::Fine,
    }
}

/// By the kernel's own knowledge of its neighbours, without a packet sent.
fn gateway(roots: &Roots) -> Sourced<bool> {
    if is_any_link_up(roots) == Some(false) {
        return Err("no network link is up".to_owned());
    }
    let gateways = route::gateways(roots);
    if gateways.is_empty() {
        return Err("no gateway is configured".to_owned());
    }
    let known: Vec<bool> = gateways
        .iter()
        .filter_map(|gateway| route::is_neighbour(roots, gateway))
        .collect();
    if known.is_empty() {
        return Err("the kernel has not heard of the gateway lately".to_owned());
    }
    Ok(known.contains(&true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, tree, tree_copy, value};

    #[test]
    fn the_worn_laptops_network() {
        let links = read_links(&tree(), &mut Roams::default());
        assert_eq!(value(&links, "system.network.link.state", "wlp2s0"), "up");
        assert_eq!(value(&links, "system.network.link.kind", "wlp2s0"), "wifi");
        assert_eq!(
            number(&links, "system.network.link.signal", "wlp2s0"),
            Some(-61.0)
        );
        assert_eq!(
            value(&links, "system.network.link.driver", "wlp2s0"),
            "iwlwifi 6.8.0-45-generic"
        );
        assert_eq!(
            value(&links, "system.network.link.state", "enp0s31f6"),
            "down"
        );
        assert!(
            !links
                .iter()
                .any(|reading| reading.instance() == "docker0" || reading.instance() == "lo")
        );
        assert_eq!(
            value(&read(&tree()), "network.gateway.reachable", ""),
            "yes"
        );
        assert_eq!(ground(&tree()), Ground::Fine);
    }

    #[test]
    fn a_name_server_is_configured_or_not() {
        let text = "search x\nnameserver 127.0.0.53\nnameserver fe80::1%wlan0\n";
        let local: IpAddr = [127, 0, 0, 53].into();
        assert_eq!(name_servers(text), [local, "fe80::1".parse().unwrap()]);
        assert!(name_servers("# nameserver 192.0.2.1\nnameserver\n").is_empty());
        assert_eq!(start(&tree()).name_servers, Some(vec![local]));
    }

    #[test]
    fn what_is_wrong_is_named_from_the_ground_up() {
        let (_folder, roots) = tree_copy();
        let net = roots.proc.join("net");
        let arp = std::fs::read_to_string(net.join("arp")).unwrap();
        std::fs::write(net.join("arp"), arp.replace("0x2", "0x0")).unwrap();
        assert!(
            matches!(ground(&roots), Ground::NoGateway(why) if why.contains("does not answer"))
        );
        std::fs::write(net.join("route"), "Iface\tDestination\n").unwrap();
        assert_eq!(ground(&roots), Ground::NoAddress);
        std::fs::write(roots.sys.join("class/net/wlp2s0/operstate"), "down\n").unwrap();
        assert_eq!(ground(&roots), Ground::NoLink);
        let unknown = Roots::under(std::path::Path::new("/nonexistent"));
        assert_eq!(
            ground(&unknown),
            Ground::Fine,
            "what is not known is not blamed"
        );
    }
}
