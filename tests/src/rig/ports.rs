//! Ports of the loopback interface.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A port that was free a moment ago. For servers that cannot choose one themselves.
///
/// # Panics
/// When the machine has no free port.
#[must_use]
pub fn free() -> u16 {
    taken().1.port()
}

/// A listener that holds a port, and its address.
///
/// # Panics
/// When the machine has no free port.
#[must_use]
pub fn taken() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    (listener, address)
}
