//! Import: rows become reports of devices, where the store does not have them yet.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Read;

use anyhow::Context as _;
use ring::digest::{SHA256, digest};
use rollcall_shared::fingerprint::HardwareFingerprint;
use rollcall_shared::id::{BootId, DeviceId, Label, Sequence, SpoolId};
use rollcall_shared::limits;
use rollcall_shared::reading::{Reading, Value};
use rollcall_shared::report::{Report, Taken};
use rollcall_shared::time::{SinceBootMs, UnixMs};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use super::Row;
use super::rows::{self, Line};
use crate::audit::AuditLine;
use crate::device::{Device, SeriesKey, Standing};
use crate::store::{Arrival, Store, Write};

/// Rows that are held in memory until they are stored: some 100 bytes each.
const ROWS: usize = 200_000;

/// Bad rows that are named; of more there is only the count.
const NAMED: usize = 1000;

/// How an import is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOptions {
    /// Only look, and store nothing.
    pub dry_run: bool,
    /// The site of devices that are not known; without it their rows are refused.
    pub new_devices: Option<Label>,
}

/// What came of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were stored, or would have been.
    pub stored: u64,
    /// Rows that the store had already.
    pub known: u64,
    /// Rows that were refused.
    pub refused: u64,
    /// Devices that were made, or would have been.
    pub new_devices: u64,
    /// The first of the refused rows, each with its line and what is wrong.
    pub problems: Vec<String>,
}

struct Importer<'a> {
    store: &'a Store,
    options: &'a ImportOptions,
    now: UnixMs,
    oldest: UnixMs,
    runtime: Handle,
    report: ImportReport,
    made: HashSet<DeviceId>,
    waiting: BTreeMap<DeviceId, Vec<(UnixMs, Reading)>>,
    rows: usize,
}

/// Stores the rows of a file that the store does not have. It blocks: call it where that is allowed,
/// and not on a thread that drives `runtime`.
///
/// # Errors
/// When the file or the store cannot be read, or the store takes in nothing; what was stored until
/// then stays, and the same import continues there.
pub fn import(
    store: &Store,
    file: impl Read,
    options: &ImportOptions,
    now: UnixMs,
    runtime: Handle,
) -> anyhow::Result<ImportReport> {
    let mut importer = Importer {
        store,
        options,
        now,
        oldest: store.oldest_kept(now)?,
        runtime,
        report: ImportReport::default(),
        made: HashSet::new(),
        waiting: BTreeMap::new(),
        rows: 0,
    };
    rows::read(file, &mut |line| importer.line(line))?;
    importer.put_waiting()?;
    importer.audit()?;
    Ok(importer.report)
}

impl Importer<'_> {
    fn line(&mut self, (line, row): Line) -> anyhow::Result<()> {
        self.report.rows += 1;
        match row.and_then(|row| self.accepted(row)) {
            Ok(row) => self.take(row),
            Err(problem) => {
                self.report.refused += 1;
                if self.report.problems.len() < NAMED {
                    self.report.problems.push(format!("line {line}: {problem}"));
                }
                Ok(())
            }
        }
    }

    fn accepted(&mut self, row: Row) -> Result<Row, String> {
        if row.at < self.oldest {
            return Err(format!(
                "{} is before {}, and is not kept",
                row.at, self.oldest
            ));
        }
        if row.at > self.now {
            return Err(format!("{} is later than now, {}", row.at, self.now));
        }
        let is_known = self.store.device(row.device).is_some();
        if !is_known && self.options.new_devices.is_none() {
            return Err(format!(
                "device {} is not known; `--new-devices SITE` makes such devices",
                row.device
            ));
        }
        Ok(row)
    }

    fn take(&mut self, row: Row) -> anyhow::Result<()> {
        let of_device = self.waiting.entry(row.device).or_default();
        of_device.push((row.at, row.reading));
        self.rows += 1;
        if self.rows < ROWS {
            return Ok(());
        }
        self.put_waiting()
    }

    fn put_waiting(&mut self) -> anyhow::Result<()> {
        self.rows = 0;
        for (device, rows) in std::mem::take(&mut self.waiting) {
            self.make_device(device)?;
            let new = self.new_ones(device, rows)?;
            self.report.stored += new.len() as u64;
            if !self.options.dry_run {
                self.append(device, new)?;
            }
        }
        Ok(())
    }

    fn make_device(&mut self, id: DeviceId) -> anyhow::Result<()> {
        let Some(site) = self.options.new_devices.as_ref() else {
            return Ok(());
        };
        if self.store.device(id).is_some() || !self.made.insert(id) {
            return Ok(());
        }
        self.report.new_devices += 1;
        if self.options.dry_run {
            return Ok(());
        }
        let device = Device {
            id,
            site: site.clone(),
            group: None,
            enrolled: self.now,
            fingerprint: HardwareFingerprint::default(),
            vendor: String::new(),
            model: String::new(),
            agent_version: String::new(),
            standing: Standing::Active,
            cloned_from: None,
        };
        self.commit(vec![Write::PutDevice(device)])
    }

    /// The rows that the store does not have, by time, and each once.
    fn new_ones(
        &mut self,
        device: DeviceId,
        mut rows: Vec<(UnixMs, Reading)>,
    ) -> anyhow::Result<Vec<(UnixMs, Reading)>> {
        rows.sort_by_key(|(at, _)| *at);
        let mut known = self.known(device, &rows)?;
        let before = rows.len();
        rows.retain(|(at, reading)| {
            let points = known.entry(SeriesKey::of(reading)).or_default();
            points.insert((*at, exact(reading.value())))
        });
        self.report.known += (before - rows.len()) as u64;
        Ok(rows)
    }

    fn known(
        &self,
        device: DeviceId,
        rows: &[(UnixMs, Reading)],
    ) -> anyhow::Result<HashMap<SeriesKey, HashSet<(UnixMs, String)>>> {
        let mut known = HashMap::new();
        let (Some((from, _)), Some((to, _))) = (rows.first(), rows.last()) else {
            return Ok(known);
        };
        let keys: BTreeSet<SeriesKey> = rows
            .iter()
            .map(|(_, reading)| SeriesKey::of(reading))
            .collect();
        for key in keys {
            let points = self.store.series(device, &key, *from, *to)?;
            let points = points.iter().map(|(at, value)| (*at, exact(value)));
            known.insert(key, points.collect());
        }
        Ok(known)
    }

    /// Stores rows as reports of a spool that only imports have.
    fn append(&self, device: DeviceId, rows: Vec<(UnixMs, Reading)>) -> anyhow::Result<()> {
        let spool = spool_of(device);
        let skew_ms = self.store.device(device).and_then(|state| state.skew_ms);
        for reports in reports(rows).chunks(limits::REPORTS_PER_MESSAGE) {
            let mut sequence = self.store.stored(device, spool)?;
            let numbered = reports.iter().map(|(at, readings)| {
                sequence = Sequence(sequence.0 + 1);
                (*at, report(sequence, *at, readings.clone()))
            });
            let reports: Vec<(UnixMs, Report)> = numbered.collect();
            let received = reports.last().map_or(self.now, |(at, _)| *at);
            let arrival = Arrival {
                device,
                spool,
                reports,
                received,
                skew_ms: skew_ms.unwrap_or(0),
            };
            self.runtime.block_on(self.store.append(arrival))?;
        }
        Ok(())
    }

    fn audit(&self) -> anyhow::Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let report = &self.report;
        self.commit(vec![Write::Audit(AuditLine {
            at: self.now,
            actor: "admin".to_owned(),
            action: "store.import".to_owned(),
            subject: format!("{} rows", report.rows),
            outcome: "ok".to_owned(),
            detail: format!("{} stored, {} refused", report.stored, report.refused),
        })])
    }

    fn commit(&self, writes: Vec<Write>) -> anyhow::Result<()> {
        let committed = self.runtime.block_on(self.store.commit(writes));
        committed.context("the store does not take it in")
    }
}

/// Rows of one time in one report, as far as it may hold them.
fn reports(rows: Vec<(UnixMs, Reading)>) -> Vec<(UnixMs, Vec<Reading>)> {
    let mut reports: Vec<(UnixMs, Vec<Reading>)> = Vec::new();
    for (at, reading) in rows {
        match reports.last_mut() {
            Some((time, readings))
                if *time == at && readings.len() < limits::READINGS_PER_REPORT =>
            {
                readings.push(reading);
            }
            _ => reports.push((at, vec![reading])),
        }
    }
    reports
}

fn report(sequence: Sequence, at: UnixMs, readings: Vec<Reading>) -> Report {
    Report {
        sequence,
        taken: Taken {
            wall: at,
            boot: BootId::from_bytes([0; 16]),
            since_boot: SinceBootMs(0),
        },
        full: false,
        urgent: false,
        readings,
    }
}

/// The spool of a device that no agent has: it follows from the device, so that a thousand imports
/// leave one cursor.
fn spool_of(device: DeviceId) -> SpoolId {
    let hash = digest(
        &SHA256,
        &[b"rollcall import", &device.as_bytes()[..]].concat(),
    );
    let bytes = hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    SpoolId::from_bytes(*bytes)
}

/// A value so that only the very same one is equal.
fn exact(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("n{:x}", number.to_bits()),
        Value::Flag(flag) => format!("f{flag}"),
        Value::Text(text) => format!("t{text}"),
        Value::Unavailable(why) => format!("u{}", super::formats::reason(why)),
    }
}
