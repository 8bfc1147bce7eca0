//! Bad input on the agents' port: refused, counted, and without harm to what is stored.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rollcall_proto::v1;
use rollcall_shared::limits;
use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::device::{Device, Session, refusal, runtime};
use rollcall_tests::rig::http;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use tonic::Status;

#[test]
fn bad_messages_are_refused_and_counted() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let token = collector.token(&["--site", "Lincoln", "--uses", "9"]);
    let runtime = runtime();
    let device = runtime.block_on(async {
        let device = Device::enroll(collector.grpc, &token, "HONEST")
            .await
            .unwrap();
        let mut session = device.open(collector.grpc, 1).await.unwrap();
        let first = (1..=3).map(|at| (&device.report(at)).into()).collect();
        session.send(device.reports(first)).await.unwrap();
        session.acknowledged(3).await.unwrap();
        device
    });
    let grpc = collector.grpc;
    runtime.block_on(async {
        replay_is_acknowledged_and_dropped(&device, grpc).await;
        nonsense_readings_cost_only_themselves(&device, grpc).await;
        for report in malformed(&device) {
            let mut session = device.open(grpc, 5).await.unwrap();
            let message = device.reports(vec![report]);
            session.send(message).await.unwrap();
            // It is passed by, since it would come again for ever.
            while !matches!(session.receive().await.unwrap(), v1::down::Message::Ack(_)) {}
        }
        for (what, message) in out_of_turn(&device) {
            let status = answer_to(&device, grpc, message).await;
            assert_eq!(
                refusal(&status),
                Some("message-malformed"),
                "{what}: {status:?}"
            );
        }
        let oversized = oversized(&device);
        let status = answer_to(&device, grpc, oversized).await;
        assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
        let other = Device::enroll(grpc, &token, "OTHER").await.unwrap();
        let mut impostor = device.clone();
        impostor.hardware = other.hardware.clone();
        let status = impostor.open(grpc, 1).await.unwrap_err();
        assert_eq!(refusal(&status), Some("hardware-differs"), "{status:?}");
    });
    let stored = collector
        .series(&device.id.to_string(), "hw.battery.cycles", "BAT0")
        .unwrap();
    let values: Vec<_> = stored
        .iter()
        .map(|point| point["value"].as_f64().unwrap())
        .collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0], "what is stored is unharmed");
    assert_eq!(
        collector
            .metric("rollcall_store_duplicate_reports_total")
            .unwrap(),
        3.0
    );
    let words = [
        ("report-malformed", 3.0),
        ("reading-rejected", 4.0),
        ("message-out-of-turn", 5.0),
        ("message-unreadable", 1.0),
        ("hardware-differs", 1.0),
    ];
    for (word, times) in words {
        assert_eq!(counted(&collector, word), times, "`{word}`");
    }
    collector.stop();
}

#[test]
fn noise_and_silence_on_the_port_hold_no_place() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let token = collector.token(&["--site", "Lincoln"]);
    let mut silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(collector.grpc).unwrap())
        .collect();
    for stream in &mut silent {
        // The first bytes of a TLS record, and then nothing.
        stream.write_all(&[0x16, 0x03]).unwrap();
    }
    for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], b"\0"] {
        let mut stream = TcpStream::connect(collector.grpc).unwrap();
        let _ = stream.write_all(noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        await_closed(&mut stream, "after noise");
    }
    let runtime = runtime();
    let device = runtime
        .block_on(Device::enroll(collector.grpc, &token, "HONEST"))
        .unwrap();
    runtime.block_on(device.open(collector.grpc, 1)).unwrap();
    for stream in &mut silent {
        await_closed(stream, "a handshake that goes nowhere");
    }
    eventually("failed handshakes in /metrics", PATIENCE, || {
        let handshakes = counted(&collector, "handshake-");
        require(handshakes >= 20.0, || format!("{handshakes} are counted"))
    });
    assert_eq!(
        http::get(collector.http, "/readyz", None).unwrap().status,
        200
    );
    collector.stop();
}

async fn replay_is_acknowledged_and_dropped(device: &Device, grpc: SocketAddr) {
    let mut session = device.open(grpc, 1).await.unwrap();
    assert_eq!(session.welcome.last_stored, 3);
    let again = (1..=3).map(|at| (&device.report(at)).into()).collect();
    session.send(device.reports(again)).await.unwrap();
    session.acknowledged(3).await.unwrap();
}

async fn nonsense_readings_cost_only_themselves(device: &Device, grpc: SocketAddr) {
    let mut report = v1::Report::from(&device.report(4));
    let reading = |metric, value| v1::Reading {
        metric,
        instance: "BAT0".to_owned(),
        value: Some(value),
    };
    let number = v1::reading::Value::Number;
    report.readings.push(reading(51, number(f64::NAN)));
    report.readings.push(reading(51, number(1e300)));
    report.readings.push(reading(64_999, number(1.0)));
    report
        .readings
        .push(reading(50, v1::reading::Value::Text("humming".to_owned())));
    let mut session = device.open(grpc, 4).await.unwrap();
    session.send(device.reports(vec![report])).await.unwrap();
    session.acknowledged(4).await.unwrap();
}

/// Reports that cannot be stored.
fn malformed(device: &Device) -> Vec<v1::Report> {
    let good = || v1::Report::from(&device.report(5));
    let readings = vec![good().readings[0].clone(); limits::READINGS_PER_REPORT + 1];
    vec![
        v1::Report {
            taken: None,
            ..good()
        },
        v1::Report {
            sequence: 0,
            ..good()
        },
        v1::Report { readings, ..good() },
    ]
}

/// Messages that break the protocol.
fn out_of_turn(device: &Device) -> Vec<(&'static str, v1::up::Message)> {
    let report = |at| v1::Report::from(&device.report(at));
    let crowd = (5..=5 + limits::REPORTS_PER_MESSAGE as u64)
        .map(report)
        .collect();
    let untimed = v1::Reports {
        sent: None,
        reports: vec![report(5)],
    };
    vec![
        ("descending", device.reports(vec![report(6), report(5)])),
        ("twice the same", device.reports(vec![report(5), report(5)])),
        ("too many reports", device.reports(crowd)),
        ("no time", v1::up::Message::Reports(untimed)),
        ("a second Hello", v1::up::Message::Hello(device.hello(5))),
    ]
}

/// A message that is larger than any may be.
fn oversized(device: &Device) -> v1::up::Message {
    let mut report = v1::Report::from(&device.report(5));
    report.readings[0].instance = "x".repeat(limits::MESSAGE_BYTES + 1);
    device.reports(vec![report])
}

/// How the collector ends a stream on which this is sent.
async fn answer_to(device: &Device, grpc: SocketAddr, message: v1::up::Message) -> Status {
    let mut session: Session = device.open(grpc, 5).await.unwrap();
    session.send(message).await.unwrap();
    loop {
        match session.receive().await {
            Ok(v1::down::Message::Ack(ack)) => panic!("acknowledged {}", ack.sequence),
            Ok(_) => {}
            Err(status) => return status,
        }
    }
}

fn await_closed(stream: &mut TcpStream, what: &str) {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut byte = [0; 64];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

/// The sum of all samples in `/metrics` whose name or labels hold a word.
fn counted(collector: &Collector, word: &str) -> f64 {
    let token = collector.admin_token();
    let text = http::get(collector.http, "/metrics", Some(&token))
        .unwrap()
        .body;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(word));
    lines
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}
