//! Recorded bytes of every release: what an old agent sends must be read by a new collector, and the
//! other way round. A recorded message is never changed; a release adds its own file.

#![expect(clippy::unwrap_used, reason = "a test may")]

use prost::Message;
use rollcall_proto::convert::Admitted;
use rollcall_proto::v1;
use rollcall_shared::configuration::Configuration;
use rollcall_shared::fingerprint::HardwareFingerprint;

/// Reads `golden/<release>/<message>.hex`.
fn recorded(path: &str) -> Vec<u8> {
    let file = format!("{}/tests/golden/{path}.hex", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Decodes the record, compares it with what was meant, and encodes to the same bytes.
fn agrees<M: Message + Default + PartialEq + std::fmt::Debug>(path: &str, meant: &M) {
    let bytes = recorded(path);
    assert_eq!(&M::decode(&bytes[..]).unwrap(), meant, "{path}");
    assert_eq!(
        meant.encode_to_vec(),
        bytes,
        "{path}: the bytes on the wire have changed"
    );
}

fn moment() -> v1::Moment {
    v1::Moment {
        wall_ms: 1_787_557_500_042,
        boot: (1..=16).collect(),
        since_boot_ms: 3_600_000,
    }
}

fn hardware() -> v1::Hardware {
    v1::Hardware {
        system_uuid: vec![0x11; 32],
        system_serial: Vec::new(),
        drive_serial: vec![0x33; 32],
        vendor: "LENOVO".to_owned(),
        model: "ThinkPad L14".to_owned(),
    }
}

fn report() -> v1::Report {
    use v1::reading::Value::{Flag, Number, Text, Unavailable};
    let reading = |metric, instance: &str, value| v1::Reading {
        metric,
        instance: instance.to_owned(),
        value: Some(value),
    };
    v1::Report {
        sequence: 300,
        taken: Some(moment()),
        full: true,
        urgent: true,
        readings: vec![
            reading(54, "BAT0", Number(0.41)),
            reading(84, "/", Flag(false)),
            reading(170, "", Text("off-campus".to_owned())),
            reading(
                104,
                "sda",
                Unavailable("smartctl is not installed".to_owned()),
            ),
        ],
    }
}

#[test]
fn release_0_1_hello() {
    let hello = v1::Hello {
        agent_version: "0.1.0".to_owned(),
        sent: Some(moment()),
        spool: (17..=32).collect(),
        next_sequence: 299,
        hardware: Some(hardware()),
        configuration_revision: 4,
    };
    let up = v1::Up {
        message: Some(v1::up::Message::Hello(hello)),
    };
    agrees("0.1/hello", &up);
    assert!(HardwareFingerprint::try_from(&hardware()).is_ok());
}

#[test]
fn release_0_1_reports() {
    let reports = v1::Reports {
        sent: Some(moment()),
        reports: vec![report()],
    };
    let up = v1::Up {
        message: Some(v1::up::Message::Reports(reports)),
    };
    agrees("0.1/reports", &up);
    let admitted = Admitted::try_from(report()).unwrap();
    assert_eq!(
        (admitted.report.readings.len(), admitted.rejected.len()),
        (4, 0)
    );
}

#[test]
fn release_0_1_down() {
    use v1::down::Message;
    let schedule = v1::Schedule {
        fast_s: 60,
        network_s: 300,
        disk_s: 300,
        drive_s: 3600,
        slow_s: 3600,
        send_s: 300,
        full_s: 14_400,
    };
    let configuration = v1::Configuration {
        revision: 4,
        schedule: Some(schedule),
        targets: vec![v1::Target {
            name: "Canvas".to_owned(),
            url: "https://canvas.example/".to_owned(),
        }],
        beacons: vec![v1::Beacon {
            site: "Lincoln Middle School".to_owned(),
            address: "beacon.example:8444".to_owned(),
        }],
        clear_serial: false,
    };
    assert!(Configuration::try_from(configuration.clone()).is_ok());
    let welcome = v1::Welcome {
        last_stored: 298,
        server_time_ms: 1_787_557_500_100,
        configuration_revision: 4,
        credit: 64,
    };
    for (path, message) in [
        ("0.1/welcome", Message::Welcome(welcome)),
        ("0.1/ack", Message::Ack(v1::Ack { sequence: 300 })),
        ("0.1/configuration", Message::Configuration(configuration)),
        (
            "0.1/slow_down",
            Message::SlowDown(v1::SlowDown {
                credit: 8,
                wait_ms: 30_000,
            }),
        ),
        (
            "0.1/retire",
            Message::Retire(v1::Retire {
                reason: "graduated".to_owned(),
            }),
        ),
    ] {
        agrees(
            path,
            &v1::Down {
                message: Some(message),
            },
        );
    }
}

#[test]
fn release_0_1_enrolment() {
    let request = v1::EnrollRequest {
        token_secret: vec![0x44; 24],
        signing_request: vec![0x30, 0x03, 0x02, 0x01, 0x00],
        hardware: Some(hardware()),
        agent_version: "0.1.0".to_owned(),
    };
    agrees("0.1/enroll_request", &request);
    let response = v1::EnrollResponse {
        device: (33..=48).collect(),
        certificate_chain: vec![vec![1], vec![2]],
        authority_roots: vec![vec![2]],
        server_time_ms: 1_787_557_500_100,
    };
    agrees("0.1/enroll_response", &response);
    agrees(
        "0.1/renew_request",
        &v1::RenewRequest {
            signing_request: vec![0x30, 0x00],
        },
    );
    let renewed = v1::RenewResponse {
        certificate_chain: vec![vec![1], vec![2]],
        authority_roots: vec![vec![2], vec![3]],
        server_time_ms: -1,
    };
    agrees("0.1/renew_response", &renewed);
}
