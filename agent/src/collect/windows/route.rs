//! Addresses, gateways and name servers by iphlpapi. They are looked at on the laptop and never leave it.

use std::net::IpAddr;

use crate::collect::network::Ground;
use crate::collect::source::Sourced;

/// `NlnsUnreachable` and `NlnsIncomplete` of `NL_NEIGHBOR_STATE`; all above were heard of.
const INCOMPLETE: i32 = 1;

/// Families of a `sockaddr` on Windows.
const INET: u16 = 2;
const INET6: u16 = 23;

/// An adapter that is up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adapter {
    /// Its number.
    pub index: u32,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Its gateways.
    pub gateways: Vec<IpAddr>,
    /// Its name servers.
    pub name_servers: Vec<IpAddr>,
}

/// What an adapter knows of another machine on its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// The adapter's number.
    pub index: u32,
    /// Whose.
    pub address: IpAddr,
    /// `NL_NEIGHBOR_STATE`.
    pub state: i32,
    /// Its hardware address.
    pub hardware: Vec<u8>,
}

/// An address of a `sockaddr`; `None` where it is of another family.
#[must_use]
pub fn address(sockaddr: &[u8]) -> Option<IpAddr> {
    let family = u16::from_ne_bytes(sockaddr.get(..2)?.try_into().ok()?);
    match family {
        INET => Some(IpAddr::from(<[u8; 4]>::try_from(sockaddr.get(4..8)?).ok()?)),
        INET6 => Some(IpAddr::from(
            <[u8; 16]>::try_from(sockaddr.get(8..24)?).ok()?,
        )),
        _ => None,
    }
}

/// Whether an address reaches beyond the link.
fn reaches_beyond(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// What is wrong before names and servers come into it.
#[must_use]
pub fn ground_of(adapters: &[Adapter], neighbours: &[Neighbour]) -> Ground {
    let mut addresses = adapters.iter().flat_map(|adapter| &adapter.addresses);
    if !addresses.any(reaches_beyond) {
        return Ground::NoAddress;
    }
    if adapters.iter().all(|adapter| adapter.gateways.is_empty()) {
        return Ground::NoGateway("there is no gateway".to_owned());
    }
    match gateway_of(adapters, neighbours) {
        Ok(false) => Ground::NoGateway("the gateway does not answer on the link".to_owned()),
        _ => Ground::Fine,
    }
}

/// Whether a gateway is there, by what Windows knows of its neighbours, without a packet sent.
///
/// # Errors
/// Why it is not known.
pub fn gateway_of(adapters: &[Adapter], neighbours: &[Neighbour]) -> Sourced<bool> {
    let gateways = adapters.iter().flat_map(|adapter| {
        adapter
            .gateways
            .iter()
            .map(|gateway| (adapter.index, *gateway))
    });
    let gateways: Vec<(u32, IpAddr)> = gateways.collect();
    if gateways.is_empty() {
        return Err("there is no gateway".to_owned());
    }
    let known = gateways
        .iter()
        .filter_map(|(index, gateway)| find(neighbours, *index, gateway));
    let known: Vec<bool> = known
        .map(|neighbour| neighbour.state > INCOMPLETE)
        .collect();
    if known.is_empty() {
        return Err("Windows has not looked for the gateway lately".to_owned());
    }
    Ok(known.contains(&true))
}

fn find<'a>(neighbours: &'a [Neighbour], index: u32, address: &IpAddr) -> Option<&'a Neighbour> {
    let mut neighbours = neighbours.iter();
    neighbours.find(|neighbour| neighbour.index == index && neighbour.address == *address)
}

/// The name servers of all adapters. Windows fills in three site-local ones, which nobody has, where an
/// adapter was given none.
#[must_use]
pub fn name_servers_of(adapters: &[Adapter]) -> Vec<IpAddr> {
    let all = adapters.iter().flat_map(|adapter| &adapter.name_servers);
    let given = all.filter(|server| match server {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => v6.segments()[0] != 0xfec0,
    });
    given.copied().collect()
}

/// What tells one network from another on this laptop: adapters, and hardware addresses of gateways. `None`
/// where no gateway is known. It is compared and never reported.
#[must_use]
pub fn surroundings_of(adapters: &[Adapter], neighbours: &[Neighbour]) -> Option<String> {
    let mut known = Vec::new();
    for adapter in adapters {
        for gateway in &adapter.gateways {
            let neighbour = find(neighbours, adapter.index, gateway);
            if let Some(neighbour) = neighbour.filter(|neighbour| neighbour.state > INCOMPLETE) {
                known.push(format!("{} {:02x?}", adapter.index, neighbour.hardware));
            }
        }
    }
    known.sort();
    (!known.is_empty()).then(|| known.join(", "))
}

#[cfg(windows)]
pub use self::native::{gateway, ground, has_gateway, name_servers, surroundings};

#[cfg(windows)]
mod native {
    use std::net::IpAddr;

    use windows::Win32::NetworkManagement::IpHelper::{
        FreeMibTable, GAA_FLAG_INCLUDE_GATEWAYS, GAA_FLAG_SKIP_ANYCAST,
        GAA_FLAG_SKIP_FRIENDLY_NAME, GAA_FLAG_SKIP_MULTICAST, GetAdaptersAddresses, GetIpNetTable2,
        IF_TYPE_SOFTWARE_LOOPBACK, IP_ADAPTER_ADDRESSES_LH, MIB_IPNET_ROW2, MIB_IPNET_TABLE2,
    };
    use windows::Win32::NetworkManagement::Ndis::IfOperStatusUp;
    use windows::Win32::Networking::WinSock::{AF_UNSPEC, SOCKADDR_INET, SOCKET_ADDRESS};

    use super::{
        Adapter, Neighbour, address, gateway_of, ground_of, name_servers_of, surroundings_of,
    };
    use crate::collect::network::Ground;
    use crate::collect::source::Sourced;

    /// Bytes of the answer; Microsoft advises 15 KB to begin with.
    const ANSWER_BYTES: usize = 64 * 1024;

    /// Whether the gateway is there.
    pub fn gateway() -> Sourced<bool> {
        gateway_of(&adapters()?, &neighbours())
    }

    /// What is wrong before names and servers come into it.
    pub fn ground() -> Ground {
        adapters().map_or(Ground::Fine, |adapters| ground_of(&adapters, &neighbours()))
    }

    /// The name servers of all adapters; `None` where Windows does not say.
    pub fn name_servers() -> Option<Vec<IpAddr>> {
        Some(name_servers_of(&adapters().ok()?))
    }

    /// Whether any adapter has a gateway; `None` where Windows does not say.
    pub fn has_gateway() -> Option<bool> {
        let adapters = adapters().ok()?;
        Some(adapters.iter().any(|adapter| !adapter.gateways.is_empty()))
    }

    /// What tells one network from another.
    pub fn surroundings() -> Option<String> {
        surroundings_of(&adapters().ok()?, &neighbours())
    }

    #[expect(unsafe_code, reason = "iphlpapi fills a buffer with lists")]
    fn adapters() -> Sourced<Vec<Adapter>> {
        // Aligned as the structures need it.
        let mut buffer = vec![0_u64; ANSWER_BYTES / 8];
        let mut bytes = ANSWER_BYTES as u32;
        let flags = GAA_FLAG_INCLUDE_GATEWAYS
            | GAA_FLAG_SKIP_ANYCAST
            | GAA_FLAG_SKIP_MULTICAST
            | GAA_FLAG_SKIP_FRIENDLY_NAME;
        let first = buffer.as_mut_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>();
        // SAFETY: the buffer has the length that is told.
        let code = unsafe {
            GetAdaptersAddresses(AF_UNSPEC.0.into(), flags, None, Some(first), &raw mut bytes)
        };
        match code {
            0 => {}
            // ERROR_NO_DATA: there is no adapter.
            232 => return Ok(Vec::new()),
            code => return Err(format!("GetAdaptersAddresses failed with {code}")),
        }
        let mut adapters = Vec::new();
        let mut next: *const IP_ADAPTER_ADDRESSES_LH = first;
        // SAFETY: the lists end with a null, and lie in the buffer, which lives to the end.
        unsafe {
            while let Some(row) = next.as_ref() {
                next = row.Next;
                if row.OperStatus == IfOperStatusUp && row.IfType != IF_TYPE_SOFTWARE_LOOPBACK {
                    adapters.push(adapter(row));
                }
            }
        }
        Ok(adapters)
    }

    /// # Safety
    /// The row's lists end with a null and are valid.
    #[expect(unsafe_code, reason = "lists of pointers")]
    unsafe fn adapter(row: &IP_ADAPTER_ADDRESSES_LH) -> Adapter {
        let mut adapter = Adapter::default();
        // SAFETY: as the caller vouches.
        unsafe {
            adapter.index = row.Anonymous1.Anonymous.IfIndex;
            let mut own = row.FirstUnicastAddress;
            while let Some(item) = own.as_ref() {
                adapter.addresses.extend(of_socket(&item.Address));
                own = item.Next;
            }
            let mut server = row.FirstDnsServerAddress;
            while let Some(item) = server.as_ref() {
                adapter.name_servers.extend(of_socket(&item.Address));
                server = item.Next;
            }
            let mut gateway = row.FirstGatewayAddress;
            while let Some(item) = gateway.as_ref() {
                adapter.gateways.extend(of_socket(&item.Address));
                gateway = item.Next;
            }
        }
        adapter
    }

    /// # Safety
    /// The address has the length that it says.
    #[expect(unsafe_code, reason = "an address behind a pointer")]
    unsafe fn of_socket(socket: &SOCKET_ADDRESS) -> Option<IpAddr> {
        let length = usize::try_from(socket.iSockaddrLength).ok()?;
        if socket.lpSockaddr.is_null() {
            return None;
        }
        // SAFETY: as the caller vouches.
        address(unsafe { std::slice::from_raw_parts(socket.lpSockaddr.cast(), length) })
    }

    #[expect(unsafe_code, reason = "iphlpapi gives a table of its own")]
    fn neighbours() -> Vec<Neighbour> {
        let mut table: *mut MIB_IPNET_TABLE2 = std::ptr::null_mut();
        // SAFETY: the place is valid for the call.
        let code = unsafe { GetIpNetTable2(AF_UNSPEC, &raw mut table) };
        if code.is_err() || table.is_null() {
            return Vec::new();
        }
        // SAFETY: the table has as many rows as it says, one behind the other, and is freed after them.
        unsafe {
            let first = (&raw const (*table).Table).cast();
            let rows: &[MIB_IPNET_ROW2] =
                std::slice::from_raw_parts(first, (*table).NumEntries as usize);
            let neighbours = rows.iter().filter_map(neighbour).collect();
            FreeMibTable(table.cast());
            neighbours
        }
    }

    #[expect(unsafe_code, reason = "an address that is a union")]
    fn neighbour(row: &MIB_IPNET_ROW2) -> Option<Neighbour> {
        let place = (&raw const row.Address).cast();
        // SAFETY: the union is as long as its type, and any bits of it are bytes.
        let bytes = unsafe { std::slice::from_raw_parts(place, size_of::<SOCKADDR_INET>()) };
        let length = usize::try_from(row.PhysicalAddressLength).ok()?;
        Some(Neighbour {
            index: row.InterfaceIndex,
            address: address(bytes)?,
            state: row.State.0,
            hardware: row.PhysicalAddress.get(..length)?.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_home() -> Vec<Adapter> {
        vec![Adapter {
            index: 7,
            addresses: vec!["fe80::1".parse().unwrap(), "192.168.0.20".parse().unwrap()],
            gateways: vec!["192.168.0.1".parse().unwrap()],
            name_servers: vec![
                "192.168.0.1".parse().unwrap(),
                "fec0:0:0:ffff::1".parse().unwrap(),
            ],
        }]
    }

    fn gateway(state: i32) -> Vec<Neighbour> {
        vec![Neighbour {
            index: 7,
            address: "192.168.0.1".parse().unwrap(),
            state,
            hardware: vec![0x52, 0x54, 0, 1, 2, 3],
        }]
    }

    #[test]
    fn a_gateway_that_answers_is_silent_or_was_not_looked_for() {
        assert_eq!(gateway_of(&at_home(), &gateway(5)), Ok(true));
        assert_eq!(gateway_of(&at_home(), &gateway(0)), Ok(false));
        assert!(gateway_of(&at_home(), &[]).is_err());
        assert_eq!(
            name_servers_of(&at_home()),
            at_home()[0].gateways,
            "one is a placeholder"
        );
        assert_eq!(ground_of(&at_home(), &gateway(4)), Ground::Fine);
        assert_eq!(ground_of(&at_home(), &[]), Ground::Fine);
        assert!(matches!(
            ground_of(&at_home(), &gateway(1)),
            Ground::NoGateway(_)
        ));
    }

    #[test]
    fn an_address_of_the_link_alone_is_none_and_so_is_a_way_without_a_gateway() {
        let mut adapters = at_home();
        adapters[0].gateways.clear();
        assert_eq!(
            ground_of(&adapters, &[]),
            Ground::NoGateway("there is no gateway".to_owned())
        );
        adapters[0].addresses = vec!["169.254.3.4".parse().unwrap(), "fe80::1".parse().unwrap()];
        assert_eq!(ground_of(&adapters, &[]), Ground::NoAddress);
    }

    #[test]
    fn a_network_is_known_by_its_gateways_hardware() {
        let home = surroundings_of(&at_home(), &gateway(5));
        assert!(home.is_some());
        let mut other = gateway(5);
        other[0].hardware[5] = 9;
        assert_ne!(surroundings_of(&at_home(), &other), home);
        assert_eq!(surroundings_of(&at_home(), &gateway(1)), None);
    }

    #[test]
    fn addresses_lie_where_winsock_says() {
        let mut v4 = vec![0; 16];
        v4[..2].copy_from_slice(&INET.to_ne_bytes());
        v4[4..8].copy_from_slice(&[10, 0, 0, 1]);
        assert_eq!(address(&v4), "10.0.0.1".parse().ok());
        let mut v6 = vec![0; 28];
        v6[..2].copy_from_slice(&INET6.to_ne_bytes());
        v6[23] = 1;
        assert_eq!(address(&v6), "::1".parse().ok());
        assert_eq!((address(&v6[..20]), address(&[0, 0])), (None, None));
    }
}
