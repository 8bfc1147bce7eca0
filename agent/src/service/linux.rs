//! systemd and the kernel: readiness, and netlink's word that the network has changed.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};

use rollcall_shared::token::sha256;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::unix::RouteNews;

/// `RTMGRP_*` of linux/rtnetlink.h: links, IPv4 addresses and routes, IPv6 addresses and routes.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// Tells systemd, where it started us and asks for it, that the agent runs.
pub fn notify_ready() {
    notify("READY=1");
}

/// Tells systemd that the agent is about to stop.
pub fn notify_stopping() {
    notify("STOPPING=1");
}

/// One datagram to the socket that `NOTIFY_SOCKET` names; see sd_notify(3).
fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let told = notify_address(Path::new(&name))
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, state, "systemd could not be told");
    }
}

/// A path, or an abstract name where it begins with `@`.
fn notify_address(name: &Path) -> io::Result<SocketAddr> {
    let bytes = name.as_os_str().as_encoded_bytes();
    match bytes.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name),
    }
}

/// Notices that the machine's default routes are others than before.
///
/// Netlink only says when to look: what counts is the content of the kernel's routing tables, so
/// that a container's or a virtual machine's link does not interrupt the stream.
#[derive(Debug)]
pub struct NetworkWatch {
    proc: PathBuf,
    news: RouteNews,
    seen: [u8; 32],
}

impl NetworkWatch {
    /// Watches from now on; `proc` is where the routing tables are read.
    #[must_use]
    pub fn open(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            news: RouteNews::from(open_netlink()),
            seen: look(proc),
        }
    }

    /// Waits until the default routes have changed and settled. The caller keeps the
    /// future: one that is dropped while the routes settle begins again.
    pub async fn changed(&mut self) {
        loop {
            self.news.came().await;
            let now = look(&self.proc);
            if now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

fn open_netlink() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // Protocol 0 of netlink is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// Whether any link has a default route; `None` where the kernel does not tell.
#[must_use]
pub fn has_way_out() -> Option<bool> {
    let ipv4 = fs::read_to_string("/proc/net/route").ok()?;
    let ipv6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    Some(!default_routes(&ipv4, &ipv6).is_empty())
}

fn look(proc: &Path) -> [u8; 32] {
    let read = |name: &str| fs::read_to_string(proc.join("net").join(name)).unwrap_or_default();
    digest_of_defaults(&read("route"), &read("ipv6_route"))
}

/// What identifies the way out: the default routes' links and gateways, without metrics and
/// counters.
fn digest_of_defaults(ipv4: &str, ipv6: &str) -> [u8; 32] {
    sha256(default_routes(ipv4, ipv6).join("\n").as_bytes())
}

fn default_routes(ipv4: &str, ipv6: &str) -> Vec<String> {
    let mut routes = Vec::new();
    for line in ipv4.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        if let [link, "00000000", gateway, ..] = fields[..] {
            routes.push(format!("4 {link} {gateway}"));
        }
    }
    for line in ipv6.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_default = fields
            .first()
            .is_some_and(|to| to.bytes().all(|b| b == b'0'));
        if let ([_, "00", _, _, gateway, .., link], true) = (&fields[..], is_default)
            && *link != "lo"
        {
            routes.push(format!("6 {link} {gateway}"));
        }
    }
    routes.sort();
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        wlp2s0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
        docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
    const ROUTE6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        fe80000000000000025056fffec00001 00000258 00000002 00000000 00000003   wlp2s0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";

    #[test]
    fn only_another_way_out_is_another_network() {
        let home = digest_of_defaults(ROUTE, ROUTE6);
        let no_container = ROUTE.lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(digest_of_defaults(&no_container, ROUTE6), home);
        assert_eq!(
            digest_of_defaults(&ROUTE.replace("600", "700"), ROUTE6),
            home
        );
        assert_ne!(
            digest_of_defaults(&ROUTE.replace("0100A8C0", "0100000A"), ROUTE6),
            home
        );
        assert_ne!(digest_of_defaults(ROUTE, ""), home);
        let only_local: String = ROUTE.lines().take(1).collect();
        assert!(default_routes(&only_local, "").is_empty());
        assert_ne!(
            digest_of_defaults(&ROUTE.replace("wlp2s0", "enp3s0"), ROUTE6),
            home
        );
    }

    #[test]
    fn systemd_is_told_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = notify_address(&path).unwrap();
        UnixDatagram::unbound()
            .unwrap()
            .send_to_addr(b"READY=1", &address)
            .unwrap();
        let mut buffer = [0; 16];
        let length = by_path.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        let abstract_address = notify_address(Path::new("@rollcall")).unwrap();
        assert_eq!(abstract_address.as_abstract_name(), Some(&b"rollcall"[..]));
    }
}
