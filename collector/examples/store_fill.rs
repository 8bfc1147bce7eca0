//! Fills a store directly, past the network, and prints what it costs.
//!
//! `store_fill DATA [DEVICES] [REPORTS] [PER_MESSAGE] [CHANGES]`: DATA must not exist. Each laptop sends
//! REPORTS reports of 36 readings, PER_MESSAGE at a time, of which CHANGES change from minute to minute.
//! The figures are those of this process: processor time, resident memory, and bytes of files.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rollcall_collector::device::{Device, Standing};
use rollcall_collector::store::{Arrival, Store, StoreOptions, Write};
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Sequence, SpoolId};
use rollcall_shared::metric::{self, Metric};
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{Clock, SinceBootMs, SystemClock, UnixMs};

const NOW: UnixMs = UnixMs(1_790_000_000_000);
const MINUTE: i64 = 60_000;
const READINGS: usize = 36;
const AT_ONCE: usize = 1024;

#[derive(Debug, Clone, Copy)]
struct Load {
    devices: u64,
    reports: u64,
    per_message: u64,
    changes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let data = arguments
        .next()
        .context("give a folder that does not exist")?;
    let mut number = |or: u64| arguments.next().map_or(Ok(or), |text| text.parse());
    let load = Load {
        devices: number(2_000)?,
        reports: number(120)?,
        per_message: number(5)?,
        changes: usize::try_from(number(4)?)?,
    };
    let data = Path::new(&data);
    fill(data, load).await?;
    reopen(data)
}

async fn fill(data: &Path, load: Load) -> anyhow::Result<()> {
    let options = StoreOptions::default();
    let store = Store::create(data, options, NOW)?;
    let empty = resident_bytes();
    for first in (0..load.devices).step_by(256) {
        let devices = first..(first + 256).min(load.devices);
        store
            .commit(devices.map(|n| Write::PutDevice(device(n))).collect())
            .await?;
    }
    let metrics = metrics();
    let (mut spent, mut sealing) = (Duration::ZERO, Duration::ZERO);
    for message in 0..load.reports / load.per_message {
        let all: Vec<u64> = (0..load.devices).collect();
        for some in all.chunks(AT_ONCE) {
            let arrivals: Vec<Arrival> = some
                .iter()
                .map(|n| arrival(load, &metrics, *n, message))
                .collect();
            let before = processor_time();
            let tasks: Vec<_> = arrivals
                .into_iter()
                .map(|arrival| {
                    let store = store.clone();
                    tokio::spawn(async move { store.append(arrival).await })
                })
                .collect();
            for task in tasks {
                task.await??;
            }
            spent += processor_time() - before;
        }
        let before = processor_time();
        let at = NOW.plus_ms((message + 1).cast_signed() * load.per_message.cast_signed() * MINUTE);
        if (message + 1) % (10 / load.per_message.min(10)).max(1) == 0 {
            store.seal(at).await?;
        }
        sealing += processor_time() - before;
    }
    let reports = (load.devices * load.reports) as f64;
    println!(
        "append        {:8.2} us a report",
        spent.as_secs_f64() * 1e6 / reports
    );
    println!(
        "seal          {:8.2} us a report",
        sealing.as_secs_f64() * 1e6 / reports
    );
    println!(
        "memory        {:8} bytes a device",
        resident_bytes().saturating_sub(empty) / load.devices
    );
    println!("counters      {:?}", store.counters());
    drop(store);
    print_disk(data, reports)
}

fn reopen(data: &Path) -> anyhow::Result<()> {
    let (clock, before) = (SystemClock, processor_time());
    let began = clock.now().since_boot;
    let store = Store::open(data, StoreOptions::default(), NOW.plus_ms(86_400_000))?;
    let took = clock.now().since_boot.since(began);
    println!(
        "start         {:8.2} s, {:.2} s of processor time, {} devices",
        took.as_secs_f64(),
        (processor_time() - before).as_secs_f64(),
        store.devices().len()
    );
    Ok(())
}

fn print_disk(data: &Path, reports: f64) -> anyhow::Result<()> {
    let samples = reports * READINGS as f64;
    for part in ["hot", "history"] {
        let bytes = bytes_in(&data.join(part))? as f64;
        println!(
            "{part:12}  {:8.3} bytes a sample, {:.1} a report",
            bytes / samples,
            bytes / reports
        );
    }
    Ok(())
}

fn device(n: u64) -> Device {
    Device {
        id: id(n),
        site: "Lincoln".parse().expect("a label"),
        group: None,
        enrolled: NOW,
        fingerprint: HardwareFingerprint::default(),
        vendor: "Dell Inc.".to_owned(),
        model: "Latitude 3140".to_owned(),
        agent_version: "0.1.0".to_owned(),
        standing: Standing::Active,
        cloned_from: None,
    }
}

fn id(n: u64) -> DeviceId {
    let spread = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let bytes = [spread.to_be_bytes(), n.to_be_bytes()].concat();
    DeviceId::from_bytes(bytes.try_into().expect("16 bytes"))
}

fn metrics() -> Vec<&'static Metric> {
    let numbers = metric::CATALOGUE.iter().copied();
    let numbers = numbers.filter(
        |m| matches!(m.kind, metric::Kind::Gauge { low, high } if low <= 0.0 && high >= 1.0),
    );
    numbers.take(READINGS / 2).collect()
}

fn arrival(load: Load, metrics: &[&'static Metric], n: u64, message: u64) -> Arrival {
    let first = message * load.per_message;
    let report = |m: u64| {
        let at = NOW.plus_ms(m.cast_signed() * MINUTE + (n % 60_000).cast_signed());
        (at, report(load, metrics, n, m, at))
    };
    Arrival {
        device: id(n),
        spool: SpoolId::from_bytes(*id(n).as_bytes()),
        reports: (first..first + load.per_message).map(report).collect(),
        received: NOW.plus_ms((first + load.per_message).cast_signed() * MINUTE),
        skew_ms: 40,
    }
}

fn report(load: Load, metrics: &[&'static Metric], n: u64, minute: u64, at: UnixMs) -> Report {
    let reading = |which: usize| {
        let metric = metrics[which % metrics.len()];
        let instance = if which < metrics.len() { "" } else { "BAT0" };
        let noise =
            (n ^ minute.wrapping_mul(0xD134_2543_DE82_EF95)).wrapping_mul(0x9E37_79B9) >> 20;
        let steps = if which < load.changes {
            noise % 64
        } else {
            n % 50
        };
        Reading::measured(metric, instance, Value::Number(steps as f64 / 100.0))
    };
    Report {
        sequence: Sequence(minute + 1),
        taken: Taken {
            wall: at,
            boot: BootId::from_bytes([7; 16]),
            since_boot: SinceBootMs(minute * 60_000),
        },
        full: minute == 0,
        urgent: false,
        readings: (0..READINGS).map(reading).collect(),
    }
}

/// User and system time of this process.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            bytes_in(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
