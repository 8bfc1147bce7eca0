//! A relay before an HTTP server: it hands on every call, and keeps an answer back when a story says so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::ports;

/// How long either side may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens, on 127.0.0.1.
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: Vec<String>,
    kept_back: Option<String>,
    stop: bool,
}

impl Relay {
    /// Starts one before a server.
    #[must_use]
    pub fn start(server: SocketAddr) -> Self {
        let (listener, address) = ports::taken();
        let shared = Arc::<Mutex<Shared>>::default();
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, server, &ours));
        Self { address, shared }
    }

    /// The answer to the next call that begins so, such as `POST /tickets`, is kept back after the server
    /// has given it, until the caller hangs up.
    pub fn keep_back(&self, beginning: &str) {
        lock(&self.shared).kept_back = Some(beginning.to_owned());
    }

    /// How many calls began so.
    #[must_use]
    pub fn count(&self, beginning: &str) -> usize {
        let shared = lock(&self.shared);
        let calls = shared.calls.iter();
        calls.filter(|call| call.starts_with(beginning)).count()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Mutex<Shared>>) {
    for stream in listener.incoming().flatten() {
        if lock(shared).stop {
            return;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let _ = serve(stream, server, &shared);
        });
    }
}

/// One connection with one call: the answer says that it is closed after it.
fn serve(mut caller: TcpStream, server: SocketAddr, shared: &Mutex<Shared>) -> std::io::Result<()> {
    caller.set_read_timeout(Some(SILENCE))?;
    let Some((head, body)) = read_call(&mut caller)? else {
        return Ok(());
    };
    let first = head.lines().next().unwrap_or_default().to_owned();
    let is_kept_back = {
        let mut shared = lock(shared);
        shared.calls.push(first.clone());
        let kept = shared
            .kept_back
            .take_if(|beginning| first.starts_with(beginning.as_str()));
        kept.is_some()
    };
    let mut upstream = TcpStream::connect(server)?;
    upstream.set_read_timeout(Some(SILENCE))?;
    let lines = head.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !line.is_empty() && !name.eq_ignore_ascii_case("connection")
    });
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    upstream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    upstream.write_all(&body)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    if is_kept_back {
        // Whoever waits for it hangs up in the end.
        let _ = caller.read(&mut [0])?;
        return Ok(());
    }
    caller.write_all(&answer)
}

fn read_call(caller: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at + 4;
        }
        let mut part = [0; 4096];
        let count = caller.read(&mut part)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&part[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, content) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| content.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(end);
    let missing = length.unwrap_or(0).saturating_sub(body.len());
    let mut rest = vec![0; missing];
    caller.read_exact(&mut rest)?;
    body.extend(rest);
    Ok(Some((head, body)))
}
