//! Routes, addresses and neighbours by `/proc/net`. Source: proc_net(5) and the kernel's
//! `include/uapi/linux/route.h`, `if_arp.h`.

use crate::collect::Roots;
use crate::collect::source;

/// A default gateway, by link and by address as the kernel writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    link: String,
    address: Hop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hop {
    V4([u8; 4]),
    /// Neighbours of version 6 are not listed in any file.
    V6,
}

const UP: u32 = 0x1;
const VIA_GATEWAY: u32 = 0x2;
const COMPLETE: u32 = 0x2;

/// The default gateways, of both versions of IP.
#[must_use]
pub fn gateways(roots: &Roots) -> Vec<Gateway> {
    let net = roots.proc.join("net");
    let v4 = source::text(&net.join("route")).unwrap_or_default();
    let v6 = source::text(&net.join("ipv6_route")).unwrap_or_default();
    let v4 = v4.lines().filter_map(parse_v4);
    v4.chain(v6.lines().filter_map(parse_v6)).collect()
}

/// Whether any link but the loopback has an address that reaches beyond it; `None` where the system
/// does not list them.
#[must_use]
pub fn has_address(roots: &Roots) -> Option<bool> {
    let net = roots.proc.join("net");
    let routes = source::text(&net.join("route"));
    let addresses = source::text(&net.join("if_inet6"));
    let has_v4 = routes.map(|text| text.lines().any(is_local_route));
    let has_v6 = addresses.map(|text| text.lines().any(is_global_v6));
    match (has_v4, has_v6) {
        (Err(_), Err(_)) => None,
        (v4, v6) => Some(v4 == Ok(true) || v6 == Ok(true)),
    }
}

/// Whether the kernel found the gateway on its link; `None` where it has not looked lately.
#[must_use]
pub fn is_neighbour(roots: &Roots, gateway: &Gateway) -> Option<bool> {
    neighbour(roots, gateway).map(|neighbour| neighbour.is_complete)
}

/// What tells one network from another on this laptop: links, and hardware addresses of gateways.
/// `None` where no gateway is known. It is compared and never reported.
#[must_use]
pub fn surroundings(roots: &Roots) -> Option<String> {
    let known = gateways(roots).into_iter().filter_map(|gateway| {
        let neighbour = neighbour(roots, &gateway).filter(|neighbour| neighbour.is_complete)?;
        Some(format!("{} {}", gateway.link, neighbour.hardware))
    });
    let known: Vec<String> = known.collect();
    (!known.is_empty()).then(|| known.join(", "))
}

struct Neighbour {
    is_complete: bool,
    hardware: String,
}

fn neighbour(roots: &Roots, gateway: &Gateway) -> Option<Neighbour> {
    let Hop::V4(address) = gateway.address else {
        return None;
    };
    let address = std::net::Ipv4Addr::from(address).to_string();
    let table = source::text(&roots.proc.join("net/arp")).ok()?;
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [ip, _, flags, hardware, _, link] = fields[..] else {
            return None;
        };
        let is_complete = hex(flags).is_some_and(|flags| flags & COMPLETE != 0);
        (ip == address && link == gateway.link).then(|| Neighbour {
            is_complete,
            hardware: hardware.to_owned(),
        })
    })
}

fn parse_v4(line: &str) -> Option<Gateway> {
    let mut fields = line.split_whitespace();
    let (link, destination, gateway) = (fields.next()?, fields.next()?, fields.next()?);
    let flags = hex(fields.next()?)?;
    let is_default = destination == "00000000" && flags & (UP | VIA_GATEWAY) == UP | VIA_GATEWAY;
    // The kernel prints the address as a number in its own byte order.
    let address = Hop::V4(hex(gateway)?.to_ne_bytes());
    is_default.then(|| Gateway {
        link: link.to_owned(),
        address,
    })
}

fn parse_v6(line: &str) -> Option<Gateway> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, _, _, _, _, _, _, flags, link] = fields[..] else {
        return None;
    };
    let flags = hex(flags)?;
    let is_default = length == "00" && destination.bytes().all(|byte| byte == b'0') && link != "lo";
    let is_default = is_default && flags & (UP | VIA_GATEWAY) == UP | VIA_GATEWAY;
    is_default.then(|| Gateway {
        link: link.to_owned(),
        address: Hop::V6,
    })
}

/// Every address makes a route to its own network; 169.254 is what a link gives itself.
fn is_local_route(line: &str) -> bool {
    let mut fields = line.split_whitespace();
    let (Some(link), Some(destination)) = (fields.next(), fields.next().and_then(hex)) else {
        return false;
    };
    let [a, b, ..] = destination.to_ne_bytes();
    link != "lo" && (a, b) != (169, 254)
}

/// Scope 00 is global; 20 is the link's own.
fn is_global_v6(line: &str) -> bool {
    let fields: Vec<&str> = line.split_whitespace().collect();
    matches!(fields[..], [_, _, _, "00", _, link] if link != "lo")
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_default_route_of_each_version() {
        let v4 =
            parse_v4("wlp2s0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0").unwrap();
        assert_eq!(v4.link, "wlp2s0");
        if cfg!(target_endian = "little") {
            assert_eq!(v4.address, Hop::V4([192, 168, 1, 1]));
        }
        assert_eq!(
            parse_v4("wlp2s0\t0001A8C0\t00000000\t0001\t0\t0\t600\t00FFFFFF\t0\t0\t0"),
            None
        );
        let zero = "0".repeat(32);
        let via = "fe80000000000000000000000000000";
        let v6 = format!("{zero} 00 {zero} 00 {via}1 00000400 00000003 00000000 00000003 wlp2s0");
        assert_eq!(parse_v6(&v6).unwrap().address, Hop::V6);
        let unreachable =
            format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo");
        assert_eq!(parse_v6(&unreachable), None);
    }

    #[test]
    fn an_address_that_a_link_gave_itself_is_none() {
        assert!(is_local_route("eth0\t0001A8C0\t00000000\t0001"));
        assert!(!is_local_route("Iface\tDestination\tGateway"));
        if cfg!(target_endian = "little") {
            assert!(!is_local_route("eth0\t0000FEA9\t00000000\t0001"));
        }
        assert!(!is_global_v6(
            "fe80000000000000020000fffe000001 02 40 20 80 eth0"
        ));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(line in "([a-z0-9]{0,10}[ \t]){0,12}.{0,20}") {
            let _ = (parse_v4(&line), parse_v6(&line), is_local_route(&line), is_global_v6(&line));
        }
    }
}
