//! Messages of simulated laptops, as bytes.

use prost::Message as _;
use rollcall_collector::device::{Device, Standing};
use rollcall_proto::v1;
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Sequence, SpoolId};
use rollcall_shared::reading::Reading;
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{SinceBootMs, UnixMs};

use super::Options;
use crate::simulator::{Changes, Fleet, Laptop};

/// Tuesday 2026-09-15, 14:00 UTC: a lesson in every zone of the model.
pub const START: UnixMs = UnixMs(1_789_480_800_000);

const MINUTE_MS: i64 = 60_000;

/// A laptop that sends.
pub struct Sender {
    /// As the collector knows it.
    pub device: DeviceId,
    /// Its spool.
    pub spool: SpoolId,
    laptop: Laptop,
    boot: BootId,
    sequence: u64,
    sent: Changes,
}

/// One message of every laptop that is awake.
pub struct Wave {
    /// When they come.
    pub received: UnixMs,
    /// Whose they are, and their bytes.
    pub messages: Vec<(From, Vec<u8>)>,
}

/// Whose message it is.
pub struct From {
    /// The device.
    pub device: DeviceId,
    /// Its spool.
    pub spool: SpoolId,
}

/// The laptops.
pub fn senders(options: &Options) -> Vec<Sender> {
    let fleet = Fleet::new(options.seed);
    let awake = (0..).map(|number| fleet.laptop(number));
    let awake = awake.filter(|laptop| laptop.readings(START).is_some());
    awake
        .take(options.devices as usize)
        .map(Sender::new)
        .collect()
}

/// The message of each laptop after this many others.
pub fn wave(senders: &mut [Sender], wave: u32, options: &Options) -> Wave {
    let span_ms = i64::from(options.per_message) * MINUTE_MS;
    let from = START.plus_ms(i64::from(wave) * span_ms);
    let received = from.plus_ms(span_ms);
    let messages = senders.iter_mut();
    let messages = messages.filter_map(|sender| sender.message(from, received, options));
    Wave {
        received,
        messages: messages.collect(),
    }
}

impl Sender {
    fn new(laptop: Laptop) -> Self {
        Self {
            device: DeviceId::generate(),
            spool: SpoolId::generate(),
            laptop,
            boot: BootId::generate(),
            sequence: 0,
            sent: Changes::default(),
        }
    }

    /// Its record.
    pub fn record(&self) -> Device {
        let number = self.laptop.number();
        Device {
            id: self.device,
            site: format!("School {}", number % 50).parse().expect("a label"),
            group: None,
            enrolled: START.plus_ms(-86_400_000),
            fingerprint: HardwareFingerprint::default(),
            vendor: self.laptop.vendor().to_owned(),
            model: self.laptop.model(),
            agent_version: "0.1.0".to_owned(),
            standing: Standing::Active,
            cloned_from: None,
        }
    }

    fn message(
        &mut self,
        from: UnixMs,
        received: UnixMs,
        options: &Options,
    ) -> Option<(From, Vec<u8>)> {
        let minutes =
            (0..options.per_message).map(|minute| from.plus_ms(i64::from(minute) * MINUTE_MS));
        let reports: Vec<v1::Report> = minutes
            .filter_map(|at| self.report(at, options))
            .map(|report| (&report).into())
            .collect();
        if reports.is_empty() {
            return None;
        }
        let message = v1::up::Message::Reports(v1::Reports {
            sent: Some((&self.taken(received)).into()),
            reports,
        });
        let bytes = v1::Up {
            message: Some(message),
        }
        .encode_to_vec();
        let of = From {
            device: self.device,
            spool: self.spool,
        };
        Some((of, bytes))
    }

    fn report(&mut self, at: UnixMs, options: &Options) -> Option<Report> {
        let mut readings = self.laptop.readings(at)?;
        if options.readings > 0 {
            numbers_first(&mut readings);
            readings.truncate(options.readings);
        }
        let full = self.sequence == 0;
        if options.changed_only {
            readings = self.sent.take(at, readings, full)?.readings;
        }
        self.sequence += 1;
        Some(Report {
            sequence: Sequence(self.sequence),
            taken: self.taken(at),
            full,
            urgent: false,
            readings,
        })
    }

    fn taken(&self, at: UnixMs) -> Taken {
        let since = at.since(START.plus_ms(-3_600_000));
        Taken {
            wall: at,
            boot: self.boot,
            since_boot: SinceBootMs(since.unsigned_abs()),
        }
    }
}

fn numbers_first(readings: &mut [Reading]) {
    readings.sort_by_key(|reading| reading.value().as_number().is_none());
}
