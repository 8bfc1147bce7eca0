//! Questions of our own to the system's name servers, over UDP by RFC 1035.
//!
//! The system's resolver only says that a lookup failed. The server itself says how: it refuses, it
//! knows no such name, it fails, or it is silent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rollcall_shared::tls;
use tokio::net::UdpSocket;

/// Servers that are asked: resolv.conf(5) knows three.
const SERVERS: usize = 3;

/// How long one server may take. The system's resolver has had its five seconds by then.
const SERVER_TIMEOUT: Duration = Duration::from_millis(1500);

/// Bytes of an answer over UDP without extensions, by RFC 1035.
const ANSWER_BYTES: usize = 512;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// What a name server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// These addresses; none where the name has none of the version that was asked for.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NotFound,
    /// It does not answer this laptop's questions, or nothing listens there.
    Refused,
    /// It failed, with this code.
    Failed(u8),
    /// Nothing.
    Silent,
}

/// Asks the servers in their order for the IPv4 addresses of a name, until one speaks.
pub async fn ask(servers: &[IpAddr], name: &str) -> Told {
    let mut last = Told::Silent;
    for server in servers.iter().take(SERVERS) {
        let answer = tokio::time::timeout(SERVER_TIMEOUT, ask_one(*server, name)).await;
        match answer {
            Ok(Ok(told @ (Told::Addresses(_) | Told::NotFound))) => return told,
            Ok(Ok(told)) => last = told,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                last = Told::Refused;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
    last
}

async fn ask_one(server: IpAddr, name: &str) -> io::Result<Told> {
    let any: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let id = u16::from_be_bytes(random());
    let Some(question) = question(id, name) else {
        return Ok(Told::NotFound);
    };
    // Connected, so that the kernel takes answers of this server alone and tells of its refusal.
    let socket = UdpSocket::bind(any).await?;
    socket.connect((server, 53)).await?;
    socket.send(&question).await?;
    let mut answer = [0; ANSWER_BYTES];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(told) = parse(&answer[..length], id, &question) {
            return Ok(told);
        }
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness the answer of a stranger is a little easier to forge, and no more.
    let _ = tls::provider().secure_random.fill(&mut bytes);
    bytes
}

/// A question for the IPv4 addresses of a name; `None` where it is none that can be asked for.
fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 18);
    // Recursion is desired, and there is one question.
    for word in [id, 0x0100, 1, 0, 0, 0] {
        bytes.extend(word.to_be_bytes());
    }
    let name = name.trim_end_matches('.');
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|n| (1..=63).contains(n))?;
        bytes.push(length);
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    for word in [TYPE_A, CLASS_IN] {
        bytes.extend(word.to_be_bytes());
    }
    (name.len() <= 253).then_some(bytes)
}

/// What an answer says; `None` where it is none to this question.
fn parse(answer: &[u8], id: u16, question: &[u8]) -> Option<Told> {
    let word = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let flags = word(2)?;
    let is_answer = flags & 0x8000 != 0;
    if word(0)? != id || !is_answer {
        return None;
    }
    match flags & 0xf {
        0 => {}
        3 => return Some(Told::NotFound),
        5 => return Some(Told::Refused),
        code => return Some(Told::Failed(u8::try_from(code).unwrap_or(u8::MAX))),
    }
    let asked = question.get(12..)?;
    let repeated = answer.get(12..12 + asked.len())?;
    if word(4)? != 1 || !repeated.eq_ignore_ascii_case(asked) {
        return None;
    }
    let mut at = 12 + asked.len();
    let mut addresses = Vec::new();
    for _ in 0..word(6)? {
        let Some(record) = record(answer, at) else {
            // An answer that was cut short still says what it says.
            break;
        };
        addresses.extend(record.address);
        at = record.end;
    }
    Some(Told::Addresses(addresses))
}

struct Record {
    address: Option<IpAddr>,
    end: usize,
}

fn record(answer: &[u8], at: usize) -> Option<Record> {
    let at = end_of_name(answer, at)?;
    let head = answer.get(at..at + 10)?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let length = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let data = answer.get(at + 10..at + 10 + length)?;
    let address = match kind {
        TYPE_A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        TYPE_AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    };
    Some(Record {
        address,
        end: at + 10 + length,
    })
}

/// A name ends with an empty label or with a pointer to the rest of it.
fn end_of_name(answer: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *answer.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer with a code and one address of a name.
    fn answer(question: &[u8], code: u8) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2] = 0x81;
        bytes[3] = 0x80 | code;
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        bytes
    }

    #[test]
    fn what_the_server_says_is_told_apart() {
        let question = question(7, "canvas.example").unwrap();
        let told = |code| parse(&answer(&question, code), 7, &question).unwrap();
        assert_eq!(told(0), Told::Addresses(vec![[192, 0, 2, 7].into()]));
        assert_eq!(
            (told(2), told(3), told(5)),
            (Told::Failed(2), Told::NotFound, Told::Refused)
        );
    }

    #[test]
    fn only_the_answer_to_this_question_counts() {
        let ours = question(7, "canvas.example").unwrap();
        let other = question(7, "portal.example").unwrap();
        assert_eq!(parse(&answer(&ours, 0), 8, &ours), None, "another's id");
        assert_eq!(parse(&answer(&other, 0), 7, &ours), None, "another's name");
        assert_eq!(parse(&ours, 7, &ours), None, "a question is no answer");
    }

    #[test]
    fn what_is_no_name_is_not_asked_for() {
        assert_eq!(question(1, "a..b"), None);
        assert_eq!(question(1, &"a".repeat(64)), None);
        assert_eq!(question(1, &"ab.".repeat(100)), None);
        assert!(question(1, "a.b.").is_some());
    }

    #[tokio::test]
    async fn a_machine_without_a_name_server_refuses() {
        // Nothing listens on port 53 of this address of the loopback.
        let told = ask(&[[127, 53, 53, 53].into()], "canvas.example").await;
        // Not every system tells a datagram's sender that nobody listens.
        if cfg!(target_os = "linux") {
            assert_eq!(told, Told::Refused);
        } else {
            assert!(matches!(told, Told::Refused | Told::Silent), "{told:?}");
        }
        assert_eq!(ask(&[], "canvas.example").await, Told::Silent);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), name in "[a-z.]{0,80}") {
            let Some(question) = question(7, &name) else { return Ok(()) };
            let _ = parse(&bytes, 7, &question);
            bytes.splice(0..0, answer(&question, 0));
            let _ = parse(&bytes, 7, &question);
        }
    }
}
