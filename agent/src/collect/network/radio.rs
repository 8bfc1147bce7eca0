//! What the kernel knows of a Wi-Fi link beyond sysfs: rate, signal, and whether the access point is
//! another than before. Source: nl80211 of the kernel's `include/uapi/linux/nl80211.h`, over generic
//! netlink.
//!
//! The access point's address is compared on the laptop and forgotten; it is no part of any reading.

use std::collections::BTreeMap;

use super::super::source::Sourced;

/// What a radio does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Radio {
    /// Strength of the access point's signal.
    pub signal_dbm: Option<f64>,
    /// Rate at which it sends.
    pub rate_mbit_s: Option<f64>,
    point: Option<[u8; 6]>,
}

/// The access point at which each link was found last, and how often that was another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roams(BTreeMap<String, ([u8; 6], u64)>);

impl Roams {
    /// Counts for a link that was found in a state, and gives its count.
    pub fn count(&mut self, link: &str, radio: &Radio) -> u64 {
        let Some(point) = radio.point else {
            return self.0.get(link).map_or(0, |known| known.1);
        };
        let known = self.0.entry(link.to_owned()).or_insert((point, 0));
        known.1 += u64::from(known.0 != point);
        known.0 = point;
        known.1
    }
}

const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_NAME: u16 = 2;
const FAMILY_ID: u16 = 1;
const GET_STATION: u8 = 17;
const LINK_INDEX: u16 = 3;
const ADDRESS: u16 = 6;
const STATION: u16 = 21;
const SIGNAL: u16 = 7;
const RATE: u16 = 8;
const RATE_16: u16 = 1;
const RATE_32: u16 = 5;
const REQUEST: u16 = 0x1;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// A message of generic netlink with one attribute.
fn message(family: u16, flags: u16, command: u8, attribute: (u16, &[u8])) -> Vec<u8> {
    let (kind, data) = attribute;
    let length = u16::try_from(4 + data.len()).unwrap_or(u16::MAX);
    let mut body = vec![command, 1, 0, 0];
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    let whole = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let mut message = whole.to_ne_bytes().to_vec();
    message.extend(family.to_ne_bytes());
    message.extend((flags | REQUEST).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// The messages of a datagram: type, and what follows the header.
fn messages(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut all = Vec::new();
    while let Some(head) = bytes.first_chunk::<16>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let kind = u16::from_ne_bytes([head[4], head[5]]);
        let Some(body) = bytes.get(16..length) else {
            break;
        };
        all.push((kind, body));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    all
}

/// The attribute of a type, among those that lie one after the other.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let head = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        // The two highest bits say how the data is to be read.
        let kind = u16::from_ne_bytes([head[2], head[3]]) & 0x3fff;
        let data = bytes.get(4..length)?;
        if kind == wanted {
            return Some(data);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

/// The number of the family `nl80211`, of the answer to a question for it.
fn family(answer: &[u8]) -> Option<u16> {
    let mut bodies = messages(answer).into_iter();
    bodies.find_map(|(kind, body)| {
        let id = attribute(body.get(4..)?, FAMILY_ID).filter(|_| kind == CONTROL)?;
        Some(u16::from_ne_bytes(*id.first_chunk()?))
    })
}

/// The state of the access point that a link is at, of the answer to a question for its stations.
fn station(answer: &[u8]) -> Option<Radio> {
    let of_radio = messages(answer)
        .into_iter()
        .filter(|(kind, _)| *kind > CONTROL);
    of_radio.map(|(_, body)| body).find_map(|body| {
        let attributes = body.get(4..)?;
        let told = attribute(attributes, STATION)?;
        let rate = attribute(told, RATE).and_then(rate_mbit_s);
        Some(Radio {
            signal_dbm: attribute(told, SIGNAL)
                .and_then(|data| data.first())
                .map(|dbm| f64::from(dbm.cast_signed()))
                .filter(|dbm| *dbm < 0.0),
            rate_mbit_s: rate.filter(|rate| *rate > 0.0),
            point: attribute(attributes, ADDRESS).and_then(|data| data.first_chunk().copied()),
        })
    })
}

/// In hundreds of kbit/s, in a wide form and in a narrow one that ends at 6,553 Mbit/s.
fn rate_mbit_s(told: &[u8]) -> Option<f64> {
    let wide = attribute(told, RATE_32).and_then(|data| data.first_chunk::<4>());
    let narrow = attribute(told, RATE_16).and_then(|data| data.first_chunk::<2>());
    let wide = wide.map(|bytes| f64::from(u32::from_ne_bytes(*bytes)));
    let narrow = narrow.map(|bytes| f64::from(u16::from_ne_bytes(*bytes)));
    Some(wide.or(narrow)? / 10.0)
}

fn is_last(datagram: &[u8]) -> bool {
    let mut kinds = messages(datagram).into_iter().map(|(kind, _)| kind);
    datagram.is_empty() || kinds.any(|kind| kind == DONE || kind == ERROR)
}

/// Asks the running kernel about the link with this index.
///
/// # Errors
/// Why it does not tell.
#[cfg(target_os = "linux")]
pub fn read(index: u32) -> Sourced<Radio> {
    let mut line = kernel::Line::open()?;
    let question = message(CONTROL, 0, GET_FAMILY, (FAMILY_NAME, b"nl80211\0"));
    let answer = line.ask(&question, |_| true)?;
    let family = family(&answer).ok_or("the kernel knows no Wi-Fi (nl80211)")?;
    let question = message(
        family,
        DUMP,
        GET_STATION,
        (LINK_INDEX, &index.to_ne_bytes()),
    );
    let answer = line.ask(&question, is_last)?;
    station(&answer).ok_or_else(|| "the radio is at no access point".to_owned())
}

/// Only Linux has nl80211.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn read(_index: u32) -> Sourced<Radio> {
    Err("only Linux has nl80211".to_owned())
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::os::fd::OwnedFd;

    use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

    use super::Sourced;

    /// Datagrams of one answer: a laptop's radio is at one access point, which is told in one.
    const DATAGRAMS: usize = 16;

    /// The kernel answers at once, or not at all.
    const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

    /// A conversation with the kernel.
    pub struct Line(OwnedFd);

    impl Line {
        pub fn open() -> Sourced<Self> {
            let open = || -> rustix::io::Result<OwnedFd> {
                let socket = rustix::net::socket_with(
                    AddressFamily::NETLINK,
                    SocketType::RAW,
                    SocketFlags::CLOEXEC,
                    Some(GENERIC),
                )?;
                rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
                set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
                Ok(socket)
            };
            open()
                .map(Self)
                .map_err(|error| format!("no netlink socket: {error}"))
        }

        pub fn ask(&mut self, question: &[u8], is_last: fn(&[u8]) -> bool) -> Sourced<Vec<u8>> {
            let ask = || -> rustix::io::Result<Vec<u8>> {
                rustix::net::send(&self.0, question, SendFlags::empty())?;
                let mut answer = Vec::new();
                let mut datagram = [0_u8; 8192];
                for _ in 0..DATAGRAMS {
                    let (length, _) =
                        rustix::net::recv(&self.0, &mut datagram, RecvFlags::empty())?;
                    let datagram = &datagram[..length.min(datagram.len())];
                    answer.extend_from_slice(datagram);
                    if is_last(datagram) {
                        break;
                    }
                }
                Ok(answer)
            };
            ask().map_err(|error| format!("the kernel does not tell of its radios: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attributes(all: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, data) in all {
            let length = u16::try_from(4 + data.len()).unwrap();
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*data);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    fn answer(point: [u8; 6]) -> Vec<u8> {
        let rate = attributes(&[(RATE_16, &[0xff, 0xff]), (RATE_32, &8667_u32.to_ne_bytes())]);
        // The kernel marks what is nested.
        let told = attributes(&[(SIGNAL, &[0xc3]), (RATE | 0x8000, &rate)]);
        let all = attributes(&[
            (LINK_INDEX, &[3, 0, 0, 0]),
            (ADDRESS, &point),
            (STATION, &told),
        ]);
        let mut bytes = message(0x1c, 0, 19, (2, &[]));
        bytes.truncate(20);
        bytes.extend(all);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn the_state_of_a_radio() {
        let radio = station(&answer([1, 2, 3, 4, 5, 6])).unwrap();
        assert_eq!(radio.signal_dbm, Some(-61.0));
        assert_eq!(radio.rate_mbit_s, Some(866.7));
        assert_eq!(station(&message(0x1c, 0, 19, (2, &[]))), None);
    }

    #[test]
    fn another_access_point_is_a_roam_and_silence_is_none() {
        let at = |last| station(&answer([1, 2, 3, 4, 5, last])).unwrap();
        let mut roams = Roams::default();
        let counts = [at(1), at(1), at(2), Radio::default(), at(2), at(1)];
        let counts = counts.map(|radio| roams.count("wlan0", &radio));
        assert_eq!(counts, [0, 0, 1, 1, 1, 2]);
        assert_eq!(roams.count("wlan1", &at(9)), 0);
    }

    #[test]
    fn a_machine_without_a_radio_says_so() {
        // The index of the loopback, which is no radio on any machine.
        assert!(read(1).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..120), at in 0_usize..120, cut in 0_usize..120) {
            let _ = (station(&noise), family(&noise), is_last(&noise));
            let mut bytes = answer([1; 6]);
            let at = at % bytes.len();
            let end = bytes.len().min(at + noise.len());
            bytes[at..end].copy_from_slice(&noise[..end - at]);
            bytes.truncate(cut.max(16));
            let _ = (station(&bytes), family(&bytes), is_last(&bytes));
        }
    }
}
