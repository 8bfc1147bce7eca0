//! What stands between a laptop and its collector: a filter, a proxy, or nothing, as a story says.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ports;

/// How long a caller may take to ask for what a gate answers itself.
const SILENCE: Duration = Duration::from_secs(60);

/// The most that a caller's head is read for.
const HEAD_BYTES: usize = 16 * 1024;

/// What a gate does with a connection.
#[derive(Debug, Clone)]
pub enum Way {
    /// Hands it on.
    Open(SocketAddr),
    /// Answers every call with this, in clear, as a content filter or a proxy does that refuses.
    Answer(&'static str),
    /// Allows CONNECT, whatever the name, and hands on what follows.
    Tunnel(SocketAddr),
}

/// A gate at an address of its own.
#[derive(Debug)]
pub struct Gate {
    /// Where laptops come to it.
    pub address: SocketAddr,
    way: Arc<Mutex<Way>>,
}

impl Gate {
    /// A gate that does this with every connection until it is told otherwise.
    #[must_use]
    pub fn new(way: Way) -> Self {
        let (listener, address) = ports::taken();
        let way = Arc::new(Mutex::new(way));
        let ours = Arc::clone(&way);
        std::thread::spawn(move || accept(&listener, &ours));
        Self { address, way }
    }

    /// What it does with connections from now on.
    pub fn set(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }
}

/// The thread ends with the process of the tests.
fn accept(listener: &TcpListener, way: &Mutex<Way>) {
    for caller in listener.incoming().flatten() {
        let way = way.lock().unwrap_or_else(PoisonError::into_inner).clone();
        std::thread::spawn(move || serve(caller, &way));
    }
}

fn serve(caller: TcpStream, way: &Way) -> Option<()> {
    match way {
        Way::Open(server) => relay(&caller, *server),
        Way::Answer(text) => {
            let mut caller = caller;
            caller.set_read_timeout(Some(SILENCE)).ok()?;
            // Something of the call, so that the answer does not meet a closed door.
            let _ = caller.read(&mut [0; 1024]).ok()?;
            caller.write_all(text.as_bytes()).ok()
        }
        Way::Tunnel(server) => {
            let mut caller = caller;
            read_head(&mut caller)?;
            caller
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .ok()?;
            relay(&caller, *server)
        }
    }
}

/// Byte by byte: what follows the head belongs to the server.
fn read_head(caller: &mut TcpStream) -> Option<()> {
    caller.set_read_timeout(Some(SILENCE)).ok()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES {
        caller.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    caller.set_read_timeout(None).ok()
}

fn relay(caller: &TcpStream, server: SocketAddr) -> Option<()> {
    let server = TcpStream::connect(server).ok()?;
    pipe(&server, caller)?;
    let (mut from, mut to) = (caller.try_clone().ok()?, server.try_clone().ok()?);
    let _ = std::io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write).ok()
}

/// Copies one way in a thread of its own.
fn pipe(from: &TcpStream, to: &TcpStream) -> Option<()> {
    let (mut from, mut to) = (from.try_clone().ok()?, to.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    Some(())
}
