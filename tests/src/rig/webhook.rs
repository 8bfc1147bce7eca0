//! A receiver of webhooks that verifies their signatures as Standard Webhooks has it: HMAC-SHA-256
//! over `<id>.<timestamp>.<body>`, in base64 after `v1,`. <https://www.standardwebhooks.com>

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;

use super::{patience, ports};

/// How far a call's time may lie from now, as the specification recommends.
const TOLERANCE_S: i64 = 300;

/// A call that was received.
#[derive(Debug, Clone)]
pub struct Call {
    /// The header `webhook-id`: the idempotency key.
    pub id: String,
    /// Whether the signature is right and the time recent; otherwise why not.
    pub verdict: Result<(), String>,
    /// The body as JSON, `Null` when it is none.
    pub body: Value,
    /// The status that it was answered with; 0 when the connection was dropped.
    pub answered: u16,
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens, on 127.0.0.1.
    pub address: SocketAddr,
    /// The secret that callers sign with, in the form `whsec_<base64>`.
    pub secret: String,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: Vec<Call>,
    answers: VecDeque<u16>,
    stop: bool,
}

impl Receiver {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When the machine has no free port.
    #[must_use]
    pub fn start() -> Self {
        let (listener, address) = ports::taken();
        let key = b"a webhook secret of 24 b".to_vec();
        let secret = format!("whsec_{}", STANDARD.encode(&key));
        let shared = Arc::new(Mutex::new(Shared::default()));
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &key, &ours));
        Self {
            address,
            secret,
            shared,
        }
    }

    /// What it answers to the next calls; 0 drops the connection. Afterwards it answers 200.
    pub fn answer(&self, answers: &[u16]) {
        lock(&self.shared).answers = answers.iter().copied().collect();
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared).calls.clone()
    }

    /// The calls that were accepted, in order.
    #[must_use]
    pub fn accepted(&self) -> Vec<Call> {
        let calls = self.calls().into_iter();
        calls.filter(|call| call.answered == 200).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        lock(&self.shared).stop = true;
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, key: &[u8], shared: &Arc<Mutex<Shared>>) {
    for stream in listener.incoming().flatten() {
        if lock(shared).stop {
            return;
        }
        let (key, shared) = (key.to_vec(), Arc::clone(shared));
        std::thread::spawn(move || {
            let _ = serve(stream, &key, &shared);
        });
    }
}

/// One connection, which may carry several calls.
fn serve(stream: TcpStream, key: &[u8], shared: &Mutex<Shared>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    while let Some((head, body)) = read_request(&mut reader)? {
        let status = {
            let mut shared = lock(shared);
            let status = shared.answers.pop_front().unwrap_or(200);
            shared.calls.push(judge(&head, &body, key, status));
            status
        };
        if status == 0 {
            return Ok(());
        }
        write!(
            writer,
            "HTTP/1.1 {status} As the story has it\r\ncontent-length: 0\r\n\r\n"
        )?;
    }
    Ok(())
}

type Head = Vec<(String, String)>;

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<(Head, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut head = Head::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, content)) = line.trim_end().split_once(':') else {
            break;
        };
        head.push((name.to_ascii_lowercase(), content.trim().to_owned()));
    }
    let length = header(&head, "content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

fn header<'a>(head: &'a Head, name: &str) -> &'a str {
    let found = head.iter().find(|(key, _)| key == name);
    found.map_or("", |(_, content)| content)
}

fn judge(head: &Head, body: &[u8], key: &[u8], answered: u16) -> Call {
    let now_s = patience::wall_clock().seconds();
    Call {
        id: header(head, "webhook-id").to_owned(),
        verdict: verify(head, body, key, now_s),
        body: serde_json::from_slice(body).unwrap_or(Value::Null),
        answered,
    }
}

fn verify(head: &Head, body: &[u8], key: &[u8], now_s: i64) -> Result<(), String> {
    let (id, time) = (
        header(head, "webhook-id"),
        header(head, "webhook-timestamp"),
    );
    let sent_s: i64 = time
        .parse()
        .map_err(|_| format!("webhook-timestamp is `{time}`"))?;
    if id.is_empty() || (now_s - sent_s).abs() > TOLERANCE_S {
        return Err(format!(
            "webhook-id is `{id}`, sent {} s ago",
            now_s - sent_s
        ));
    }
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signatures = header(head, "webhook-signature");
    let valid = signatures.split(' ').any(|signature| {
        let bytes = signature
            .strip_prefix("v1,")
            .and_then(|text| STANDARD.decode(text).ok());
        bytes.is_some_and(|bytes| hmac::verify(&key, &signed, &bytes).is_ok())
    });
    if valid {
        Ok(())
    } else {
        Err(format!(
            "webhook-signature `{signatures}` is not of this body"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the specification's own libraries.
    const KEY: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn head(signature: &str) -> Head {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ]
        .map(|(name, content)| (name.to_owned(), content.to_owned()))
        .to_vec()
    }

    #[test]
    fn only_the_right_signature_is_valid() {
        let key = STANDARD.decode(KEY).unwrap();
        let right = head("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(verify(&right, BODY, &key, 1_614_265_330), Ok(()));
        assert!(verify(&right, b"{}", &key, 1_614_265_330).is_err());
        assert!(
            verify(&right, BODY, &key, 1_614_266_330).is_err(),
            "a replay"
        );
        let wrong = head("v1,h0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(verify(&wrong, BODY, &key, 1_614_265_330).is_err());
    }
}
