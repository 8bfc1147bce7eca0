//! How long it takes from the reading on a laptop to the ticket at the desk, with many laptops at once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rollcall_shared::time::UnixMs;
use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::device::{Device, runtime};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, wall_clock};
use rollcall_tests::rig::ports;

use crate::settings;

/// Laptops that find something within the same second.
const LAPTOPS: usize = 60;

/// A desk's system that makes tickets, and notes when.
struct Desk {
    address: SocketAddr,
    tickets: Arc<Mutex<BTreeMap<String, Vec<UnixMs>>>>,
}

impl Desk {
    fn start() -> Self {
        let (listener, address) = ports::taken();
        let tickets = Arc::<Mutex<BTreeMap<String, Vec<UnixMs>>>>::default();
        let ours = Arc::clone(&tickets);
        std::thread::spawn(move || accept(&listener, &ours));
        Self { address, tickets }
    }
}

fn accept(listener: &TcpListener, tickets: &Arc<Mutex<BTreeMap<String, Vec<UnixMs>>>>) {
    for stream in listener.incoming().flatten() {
        let tickets = Arc::clone(tickets);
        std::thread::spawn(move || {
            let _ = serve(stream, &tickets);
        });
    }
}

/// Answers creates, one after the other on a connection, as Zendesk does.
fn serve(stream: TcpStream, tickets: &Mutex<BTreeMap<String, Vec<UnixMs>>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = json["ticket"]["comment"]["body"]
            .as_str()
            .unwrap_or_default();
        let device = text.lines().find_map(|line| line.strip_prefix("Device:"));
        let device = device.unwrap_or_default().trim().to_owned();
        let number = {
            let mut tickets = tickets.lock().unwrap();
            tickets.entry(device).or_default().push(wall_clock());
            tickets.len()
        };
        let answer = format!("{{\"ticket\":{{\"id\":{number}}}}}");
        write!(
            writer,
            "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        )?;
    }
}

#[test]
fn ticket_time_from_reading_to_ticket() {
    let folder = rig::folder();
    let desk = Desk::start();
    let secret = folder.path().join("token");
    std::fs::write(&secret, "t").unwrap();
    let rules = settings::battery_rules(folder.path());
    let text = std::fs::read_to_string(&rules).unwrap();
    // At once: what is measured is the way, and not how long a rule wants to be sure.
    let text = text
        .replace("\nfor = \"1s\"\n", "\n")
        .replace("above\", value = 1000", "above\", value = 0");
    std::fs::write(&rules, text).unwrap();
    let config = format!(
        "rules = {rules:?}\n[[channel]]\nname = \"desk\"\nkind = \"ticket\"\npreset = \"zendesk\"\nurl = \"http://{}\"\n\
         per_minute = 6000\nsettings = {{ email = \"a@d.example\" }}\nsecrets = {{ token = {{ file = {secret:?} }} }}\n",
        desk.address
    );
    let mut collector = Collector::start(folder.path(), &config);
    let token = collector.token(&["--site", "Lincoln"]);
    let grpc = collector.grpc;
    let taken = runtime().block_on(async move {
        let mut taken: BTreeMap<String, UnixMs> = BTreeMap::new();
        let mut sessions = Vec::new();
        for number in 0..LAPTOPS {
            let device = Device::enroll(grpc, &token, &format!("TIME-{number:03}")).await;
            let device = device.unwrap();
            let session = device.open(grpc, 1).await.unwrap();
            sessions.push((device, session));
        }
        for (device, session) in &mut sessions {
            let mut report = device.report(1);
            report.taken = device.now();
            taken.insert(device.id.to_string(), wall_clock());
            let message = device.reports(vec![(&report).into()]);
            session.send(message).await.unwrap();
        }
        for (_, session) in &mut sessions {
            session.acknowledged(1).await.unwrap();
        }
        taken
    });
    eventually("a ticket for each laptop", PATIENCE, || {
        let count = desk.tickets.lock().unwrap().len();
        require(count == LAPTOPS, || format!("{count} of {LAPTOPS}"))
    });
    let tickets = desk.tickets.lock().unwrap().clone();
    let mut ms: Vec<i64> = Vec::new();
    for (device, at) in &taken {
        let made = tickets
            .get(device)
            .unwrap_or_else(|| panic!("no ticket for {device}"));
        assert_eq!(made.len(), 1, "{device} has one ticket");
        ms.push(made[0].since(*at));
    }
    ms.sort_unstable();
    let (median, p99) = (ms[ms.len() / 2], ms[ms.len() * 99 / 100]);
    println!(
        "from the reading to the ticket, {LAPTOPS} laptops at once: p50 {median} ms, p99 {p99} ms, \
         debug build"
    );
    assert!(p99 < 30_000, "{ms:?}");
    collector.stop();
}
