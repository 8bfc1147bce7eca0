//! Links by `networksetup` and `ifconfig`, the radio by `system_profiler`, gateways by `netstat` and `arp`.
//! What the radio's list says of networks' names is not kept.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use serde_json::Value;

use crate::collect::network::Ground;
use crate::collect::source::{self, Sourced};

/// Links that are reported: a laptop in a dock has four.
const LINKS: usize = 16;

/// A piece of network hardware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    name: String,
    kind: &'static str,
    is_up: bool,
}

impl Link {
    /// Whether it carries data.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.is_up
    }
}

/// The links of `networksetup -listallhardwareports`, with their state by `ifconfig -a`.
#[must_use]
pub fn links(ports: &str, interfaces: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut port = "";
    for line in ports.lines() {
        if let Some(name) = line.strip_prefix("Hardware Port: ") {
            port = name.trim();
        } else if let Some(device) = line.strip_prefix("Device: ")
            && let Some(kind) = kind(port)
        {
            links.push(Link {
                name: device.trim().to_owned(),
                kind,
                is_up: is_active(interfaces, device.trim()),
            });
        }
    }
    links.truncate(LINKS);
    links
}

/// A bridge of Thunderbolt's ports is no link of its own.
fn kind(port: &str) -> Option<&'static str> {
    match port {
        "Wi-Fi" | "AirPort" => Some("wifi"),
        _ if port.contains("Bridge") => None,
        _ if port.contains("Ethernet") || port.contains("LAN") => Some("ethernet"),
        _ => Some("other"),
    }
}

/// The interface's paragraph begins at the margin, and has `status: active` where it carries data.
fn is_active(interfaces: &str, device: &str) -> bool {
    let start = format!("{device}:");
    let lines = interfaces
        .lines()
        .skip_while(|line| !line.starts_with(&start));
    let mut own = lines
        .skip(1)
        .take_while(|line| line.starts_with(['\t', ' ']));
    own.any(|line| line.trim() == "status: active")
}

/// What is reported of the links; `counts` is what `netstat -ibn` says.
#[must_use]
pub fn link_readings(
    links: &Sourced<Vec<Link>>,
    air_port: &Sourced<Vec<u8>>,
    counts: &Sourced<String>,
) -> Vec<Reading> {
    let links = match links {
        Ok(links) if links.is_empty() => {
            return vec![Reading::unavailable(
                &metric::LINK_STATE,
                "",
                "macOS lists no network hardware",
            )];
        }
        Ok(links) => links,
        Err(why) => return vec![Reading::unavailable(&metric::LINK_STATE, "", why)],
    };
    links
        .iter()
        .flat_map(|link| of_link(link, air_port, counts))
        .collect()
}

fn of_link(link: &Link, air_port: &Sourced<Vec<u8>>, counts: &Sourced<String>) -> Vec<Reading> {
    let name = &link.name;
    let mut readings = vec![
        Reading::text(
            &metric::LINK_STATE,
            name,
            if link.is_up { "up" } else { "down" },
        ),
        Reading::text(&metric::LINK_KIND, name, link.kind),
        source::number_or_why(
            &metric::LINK_ERRORS,
            name,
            counts.clone().and_then(|counts| errors(&counts, name)),
        ),
    ];
    if link.kind == "wifi" {
        let radio = match (link.is_up, air_port) {
            (false, _) => Err("the radio is not connected".to_owned()),
            (true, Ok(profile)) => radio(profile, name),
            (true, Err(why)) => Err(why.clone()),
        };
        let of = |at: fn(&Radio) -> Option<f64>| {
            let radio = radio.as_ref().map_err(Clone::clone)?;
            at(radio).ok_or_else(|| "macOS does not tell it".to_owned())
        };
        readings.push(source::number_or_why(
            &metric::LINK_SIGNAL,
            name,
            of(|radio| radio.signal),
        ));
        readings.push(source::number_or_why(
            &metric::LINK_SPEED,
            name,
            of(|radio| radio.rate),
        ));
        readings.push(source::number_or_why(
            &metric::LINK_BIT_RATE,
            name,
            of(|radio| radio.rate),
        ));
    }
    readings
}

/// Errors of both ways in the row of the link itself, whose network is `<Link#4>`; a link without an
/// address of its own has one column less, so that they are counted from the end.
fn errors(counts: &str, device: &str) -> Sourced<f64> {
    let rows = counts
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut own = rows.filter(|words| {
        words.first().map(|name| name.trim_end_matches('*')) == Some(device)
            && words.get(2).is_some_and(|net| net.starts_with("<Link#"))
    });
    let told = own.find_map(|words| {
        let [.., received, _, _, sent, _, _] = words[..] else {
            return None;
        };
        Some(source::parse_number(received)? + source::parse_number(sent)?)
    });
    told.ok_or_else(|| format!("netstat does not count {device}"))
}

struct Radio {
    signal: Option<f64>,
    rate: Option<f64>,
}

/// The two numbers of the present network in `SPAirPortDataType`; the signal is `-57 dBm / -92 dBm`.
fn radio(profile: &[u8], device: &str) -> Sourced<Radio> {
    let profile: Value =
        serde_json::from_slice(profile).map_err(|error| format!("system_profiler: {error}"))?;
    let lists = profile["SPAirPortDataType"]
        .as_array()
        .into_iter()
        .flatten();
    let mut interfaces = lists.flat_map(|list| {
        list["spairport_airport_interfaces"]
            .as_array()
            .into_iter()
            .flatten()
    });
    let interface = interfaces.find(|interface| interface["_name"] == device);
    let interface = interface.ok_or_else(|| format!("system_profiler does not list {device}"))?;
    let present = &interface["spairport_current_network_information"];
    let signal = present["spairport_signal_noise"].as_str();
    let signal = signal.and_then(|text| source::parse_number(text.split("dBm").next()?));
    let rate = &present["spairport_network_rate"];
    let rate = rate
        .as_f64()
        .or_else(|| source::parse_number(rate.as_str()?));
    Ok(Radio { signal, rate })
}

/// (gateway, link) of each default route of `netstat -rn -f inet`; a tunnel's has a link for its gateway.
fn gateways(routes: &str) -> Vec<(&str, &str)> {
    let lines = routes
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let defaults = lines.filter_map(|words| match words[..] {
        ["default", gateway, _flags, link, ..] => Some((gateway, link)),
        _ => None,
    });
    defaults
        .filter(|(gateway, _)| gateway.parse::<std::net::Ipv4Addr>().is_ok())
        .collect()
}

/// The hardware address of a neighbour in `arp -an`: `? (192.168.0.1) at 52:54:0:1:2:3 on en0 ifscope`.
fn hardware<'a>(neighbours: &'a str, gateway: &str) -> Option<&'a str> {
    let wanted = format!("({gateway})");
    let mut lines = neighbours.lines().map(str::split_whitespace);
    lines.find_map(|mut words| {
        words.find(|word| *word == wanted)?;
        words.next().filter(|word| *word == "at")?;
        words.next()
    })
}

/// Whether the gateway is there, by what macOS knows of its neighbours, without a packet sent.
///
/// # Errors
/// Why it is not known.
pub fn gateway(routes: &str, neighbours: &str) -> Sourced<bool> {
    let gateways = gateways(routes);
    if gateways.is_empty() {
        return Err("there is no gateway".to_owned());
    }
    let known: Vec<&str> = gateways
        .iter()
        .filter_map(|(gateway, _)| hardware(neighbours, gateway))
        .collect();
    if known.is_empty() {
        return Err("macOS has not looked for the gateway lately".to_owned());
    }
    Ok(known.iter().any(|hardware| *hardware != "(incomplete)"))
}

/// Whether any default route has a gateway.
#[must_use]
pub fn has_gateway(routes: &str) -> bool {
    !gateways(routes).is_empty()
}

/// What is wrong before names and servers come into it.
#[must_use]
pub fn ground(routes: &str, neighbours: &str) -> Ground {
    if !has_gateway(routes) {
        return Ground::NoGateway("there is no gateway".to_owned());
    }
    match gateway(routes, neighbours) {
        Ok(false) => Ground::NoGateway("the gateway does not answer on the link".to_owned()),
        _ => Ground::Fine,
    }
}

/// What tells one network from another on this laptop: links, and hardware addresses of gateways. It is
/// compared and never reported.
#[must_use]
pub fn surroundings(routes: &str, neighbours: &str) -> Option<String> {
    let known = gateways(routes).into_iter().filter_map(|(gateway, link)| {
        let hardware =
            hardware(neighbours, gateway).filter(|hardware| *hardware != "(incomplete)")?;
        Some(format!("{link} {hardware}"))
    });
    let known: Vec<String> = known.collect();
    (!known.is_empty()).then(|| known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    /// After the manual of netstat: the second link has no address of its own.
    const COUNTS: &str = "Name       Mtu   Network       Address            Ipkts Ierrs     Ibytes    Opkts Oerrs     Obytes  Coll\n\
        en0        1500  <Link#4>      00:00:00:00:00:03   900     3     100000     800     4      90000     0\n\
        en0        1500  192.0.2       192.0.2.7           900     -     100000     800     -      90000     -\n\
        en4*       1500  <Link#9>                            0     0          0       0     0          0     0\n";

    const PORTS: &str = "\nHardware Port: Ethernet Adapter (en4)\nDevice: en4\nEthernet Address: 00:00:00:00:00:01\n\
        \nHardware Port: Thunderbolt Bridge\nDevice: bridge0\nEthernet Address: 00:00:00:00:00:02\n\
        \nHardware Port: Wi-Fi\nDevice: en0\nEthernet Address: 00:00:00:00:00:03\n";
    const INTERFACES: &str = "en4: flags=8863<UP> mtu 1500\n\tmedia: none\n\tstatus: inactive\n\
        en0: flags=8863<UP> mtu 1500\n\tmedia: autoselect\n\tstatus: active\n";
    const AIR_PORT: &str = r#"{"SPAirPortDataType": [{"spairport_airport_interfaces": [{"_name": "en0",
        "spairport_current_network_information": {"_name": "Some Network", "spairport_network_rate": 866,
        "spairport_signal_noise": "-57 dBm / -92 dBm"}}]}]}"#;
    const ROUTES: &str = "Routing tables\n\nInternet:\nDestination Gateway Flags Netif Expire\n\
        default 192.168.0.1 UGScg en0\ndefault link#20 UCSIg utun3\n127 127.0.0.1 UCS lo0\n";
    const NEIGHBOURS: &str = "? (192.168.0.1) at 52:54:0:1:2:3 on en0 ifscope [ethernet]\n";

    #[test]
    fn links_and_the_radio_without_its_networks_name() {
        let links = links(PORTS, INTERFACES);
        assert!(links.iter().any(Link::is_up));
        let readings = link_readings(
            &Ok(links),
            &Ok(AIR_PORT.as_bytes().to_vec()),
            &Ok(COUNTS.to_owned()),
        );
        assert_eq!(value(&readings, "system.network.link.state", "en0"), "up");
        assert_eq!(value(&readings, "system.network.link.state", "en4"), "down");
        assert_eq!(
            value(&readings, "system.network.link.kind", "en4"),
            "ethernet"
        );
        assert_eq!(
            number(&readings, "system.network.link.signal", "en0"),
            Some(-57.0)
        );
        assert_eq!(
            number(&readings, "system.network.link.speed", "en0"),
            Some(866.0)
        );
        assert_eq!(
            number(&readings, "system.network.link.bit_rate", "en0"),
            Some(866.0)
        );
        assert_eq!(
            number(&readings, "system.network.link.errors", "en0"),
            Some(7.0)
        );
        assert_eq!(
            number(&readings, "system.network.link.errors", "en4"),
            Some(0.0)
        );
        let told = format!("{readings:?}");
        assert!(
            !told.contains("Some Network") && !told.contains("bridge0"),
            "{told}"
        );
        let silent = link_readings(
            &Ok(super::links(PORTS, INTERFACES)),
            &Err("refused".to_owned()),
            &Err("refused".to_owned()),
        );
        assert_eq!(
            value(&silent, "system.network.link.signal", "en0"),
            "unavailable: refused"
        );
    }

    #[test]
    fn a_gateway_that_answers_is_silent_or_is_a_tunnels() {
        assert_eq!(gateway(ROUTES, NEIGHBOURS), Ok(true));
        let silent = NEIGHBOURS.replace("52:54:0:1:2:3", "(incomplete)");
        assert_eq!(gateway(ROUTES, &silent), Ok(false));
        assert!(matches!(ground(ROUTES, &silent), Ground::NoGateway(_)));
        assert!(gateway(ROUTES, "").is_err());
        assert_eq!(ground(ROUTES, ""), Ground::Fine);
        assert!(gateway("default link#20 UCSIg utun3\n", NEIGHBOURS).is_err());
        let home = surroundings(ROUTES, NEIGHBOURS);
        assert_eq!(home.as_deref(), Some("en0 52:54:0:1:2:3"));
        assert_eq!(surroundings(ROUTES, &silent), None);
    }
}
