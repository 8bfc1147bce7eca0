//! `rollcall-agent report`: every byte of telemetry, shown and not sent.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use rollcall_shared::id::BootId;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::time::{Clock as _, Now, SystemClock};
use serde_json::{Value as Json, json};

use crate::agent::{Setup, load_configuration, read_configuration, spool_readings};
use crate::collect::{self, BeaconTrust, Collect};
use crate::identity::{Identity, Machine};
use crate::spool::SpoolStats;
use crate::status::Status;

/// Collects once and prints.
///
/// # Errors
/// When a configuration that was named cannot be read, or the identity is damaged.
pub async fn print(
    setup: &Setup,
    words: bool,
    configuration: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let configuration = match configuration {
        Some(file) => read_configuration(file)?,
        None => load_configuration(setup),
    };
    let roots =
        Identity::load(&setup.paths)?.map_or_else(Vec::new, |identity| identity.roots().to_vec());
    let now = SystemClock.now();
    let mut collect = Collect::new(setup.roots.clone());
    let mut readings = collect
        .run_all(now, &configuration, &BeaconTrust { roots })
        .await;
    readings.extend(own_readings(setup));
    if words {
        println!("{}", collect::describe(&readings));
        return Ok(ExitCode::SUCCESS);
    }
    let boot = collect::boot_id(&setup.roots);
    let report = as_json(&readings, now, boot, &Machine::read(&setup.roots));
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(ExitCode::SUCCESS)
}

/// What the running agent says of its spool; a report must not open the spool under its hands.
fn own_readings(setup: &Setup) -> Vec<Reading> {
    let spool = Status::load(&setup.paths.status())
        .unwrap_or_default()
        .spool;
    spool_readings(SpoolStats {
        bytes: spool.bytes,
        dropped: spool.dropped,
        corrupt: spool.corrupt,
        done: Default::default(),
        last: Default::default(),
    })
}

fn as_json(readings: &[Reading], now: Now, boot: BootId, machine: &Machine) -> Json {
    let hardware = &machine.fingerprint;
    json!({
        "hello": {
            "agent_version": env!("CARGO_PKG_VERSION"),
            "hardware": {
                "system_uuid": hardware.system_uuid.map(hex),
                "system_serial": hardware.system_serial.map(hex),
                "drive_serial": hardware.drive_serial.map(hex),
                "vendor": machine.vendor,
                "model": machine.model,
            },
            "spool": "16 random bytes, new with each spool",
        },
        "report": {
            "taken": {
                "wall": now.wall.to_string(),
                "boot": boot.to_string(),
                "since_boot_ms": now.since_boot.0,
            },
            "full": true,
            "readings": readings.iter().map(reading).collect::<Vec<_>>(),
        },
    })
}

fn reading(reading: &Reading) -> Json {
    let (kind, value) = match reading.value() {
        Value::Number(number) => ("value", json!(number)),
        Value::Flag(flag) => ("value", json!(flag)),
        Value::Text(text) => ("value", json!(text)),
        Value::Unavailable(why) => ("unavailable", json!(why)),
    };
    json!({
        "metric": reading.metric().name,
        "unit": reading.metric().unit,
        "instance": reading.instance(),
        kind: value,
    })
}

fn hex(bytes: [u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use rollcall_shared::fingerprint::HardwareFingerprint;
    use rollcall_shared::metric;

    use super::*;

    #[test]
    fn every_reading_is_shown_with_its_unit_or_its_reason() {
        let readings = [
            Reading::number(&metric::BATTERY_CHARGE, "BAT0", 0.5),
            Reading::unavailable(&metric::BATTERY_CHARGE, "BAT1", "no such file"),
        ];
        let fingerprint = HardwareFingerprint::from_serials(Some("4c4c4544"), None, None);
        let machine = Machine {
            fingerprint,
            ..Machine::default()
        };
        let json = as_json(&readings, Now::default(), BootId::generate(), &machine);
        let shown = &json["report"]["readings"];
        assert_eq!(shown[0]["metric"], "hw.battery.charge");
        assert_eq!(
            (&shown[0]["value"], &shown[0]["instance"]),
            (&json!(0.5), &json!("BAT0"))
        );
        assert_eq!(shown[0]["unit"], metric::BATTERY_CHARGE.unit);
        assert_eq!(shown[1]["unavailable"], "no such file");
        assert!(shown[1].get("value").is_none());
        let hash = json["hello"]["hardware"]["system_uuid"].as_str().unwrap();
        assert!(hash.len() == 64 && !json.to_string().contains("4c4c4544"));
    }
}
