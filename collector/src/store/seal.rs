//! Sealing: moves reports from the log into history, and the retention of both.
//!
//! The order is what makes it safe at any line: note where the seal ends, copy and sync, store the
//! states of the devices, mark the seal as done, and only then delete. See the invariants in `keys`.

use std::collections::{BTreeMap, BTreeSet};

use rollcall_shared::id::DeviceId;
use rollcall_shared::reading::Value;
use rollcall_shared::time::UnixMs;

use super::block::Point;
use super::counters::{count, set};
use super::hot::{failed, put, remove};
use super::keys::{self, TreeName, Week, meta};
use super::{Store, StoreError};
use crate::device::SeriesKey;

/// Log entries that are sealed at once: at the largest about a million reports.
const ENTRIES: u64 = 4096;

/// Snapshots or removals in one transaction.
const AT_ONCE: usize = 256;

type Points = BTreeMap<Week, BTreeMap<(DeviceId, SeriesKey), Vec<Point>>>;

impl Store {
    /// Moves what the log holds into history. Run it every some minutes; it does nothing when there
    /// is nothing to do, and continues what a crash has interrupted.
    ///
    /// # Errors
    /// [`StoreError`]; the log stays as it was, and a later run repeats the work.
    pub async fn seal(&self, now: UnixMs) -> Result<(), StoreError> {
        let _one_at_a_time = self.shared().sealing.lock().await;
        // History is written without the writer's own look at the disk.
        self.shared().check_reserve()?;
        loop {
            let (sealed, end) = self.begin_seal().await?;
            if end <= sealed {
                return Ok(());
            }
            let devices = self.copy(sealed, end, now).await?;
            self.finish_seal(end, devices).await?;
            count(
                &self.shared().counters.sealed_entries,
                (end - sealed) as usize,
            );
        }
    }

    async fn copy(
        &self,
        sealed: u64,
        end: u64,
        now: UnixMs,
    ) -> Result<BTreeSet<DeviceId>, StoreError> {
        let store = self.clone();
        let copied = tokio::task::spawn_blocking(move || store.copy_out(sealed, end, now)).await;
        let copied = copied.map_err(|error| StoreError::Failed(error.to_string()))?;
        // A database that could not sync must not be tried again on the same handle.
        if let Err(StoreError::Failed(reason)) = &copied {
            self.shared().fail(reason);
        }
        copied
    }

    /// Removes weeks, alerts and audit lines that are older than the retention.
    ///
    /// # Errors
    /// [`StoreError`] when something cannot be removed.
    pub async fn enforce_retention(&self, now: UnixMs) -> Result<(), StoreError> {
        let oldest = self.shared().options.oldest(now);
        self.shared()
            .history
            .remove_before(oldest)
            .map_err(failed)?;
        for tree in [
            TreeName::AlertHistory,
            TreeName::IncidentHistory,
            TreeName::Audit,
        ] {
            let database = &self.shared().hot.database;
            let old = database.range(tree as usize, &[], &keys::time(oldest));
            let old: Result<Vec<_>, _> = old.map(|pair| pair.map(|(key, _)| key)).collect();
            for keys in old.map_err(failed)?.chunks(AT_ONCE) {
                let ops = keys.iter().map(|key| remove(tree, key)).collect();
                self.change(Vec::new(), ops).await?;
            }
        }
        Ok(())
    }

    /// The range of this seal: up to the end of the one that was interrupted, if one was.
    pub(super) async fn begin_seal(&self) -> Result<(u64, u64), StoreError> {
        let (sealed, sealing, last) = {
            let memory = self.shared().memory();
            (memory.sealed, memory.sealing, memory.last_log)
        };
        if sealing > sealed {
            return Ok((sealed, sealing));
        }
        let end = last.min(sealed + ENTRIES);
        if end > sealed {
            let mark = put(TreeName::Meta, meta::SEALING, end.to_be_bytes().to_vec());
            self.change(Vec::new(), vec![mark]).await?;
            self.shared().memory_mut().sealing = end;
        }
        Ok((sealed, end))
    }

    pub(super) fn copy_out(
        &self,
        sealed: u64,
        end: u64,
        now: UnixMs,
    ) -> Result<BTreeSet<DeviceId>, StoreError> {
        let (mut points, mut devices) = (Points::new(), BTreeSet::new());
        for number in sealed + 1..=end {
            for arrival in self.shared().hot.log_entry(number)? {
                devices.insert(arrival.device);
                add_points(&mut points, &arrival);
            }
        }
        let oldest = self.shared().options.oldest(now);
        for (week, points) in points {
            if week.end() <= oldest {
                count(
                    &self.shared().counters.expired_points,
                    points.values().map(Vec::len).sum(),
                );
                continue;
            }
            self.shared().history.copy(week, end, &points)?;
        }
        Ok(devices)
    }

    async fn finish_seal(&self, end: u64, devices: BTreeSet<DeviceId>) -> Result<(), StoreError> {
        let devices: Vec<DeviceId> = devices.into_iter().collect();
        for devices in devices.chunks(AT_ONCE) {
            self.snapshot(devices.to_vec()).await?;
        }
        let mark = put(TreeName::Meta, meta::SEALED, end.to_be_bytes().to_vec());
        self.change(Vec::new(), vec![mark]).await?;
        self.forget_sealed(end);
        self.remove_log(end).await
    }

    /// From here on readers take the range from history. Those who began before still hold the gate
    /// and read it from the log, which goes only after this.
    fn forget_sealed(&self, end: u64) {
        let _nobody_reads = self.shared().close_gate();
        let mut memory = self.shared().memory_mut();
        memory.seal(end);
        set(&self.shared().counters.log_entries, memory.last_log - end);
    }

    /// Removes the log up to `end`, with what an interrupted removal has left.
    async fn remove_log(&self, end: u64) -> Result<(), StoreError> {
        let database = &self.shared().hot.database;
        let found = database.range(TreeName::Log as usize, &[], &keys::log(end + 1));
        let found: Result<Vec<_>, _> = found.map(|pair| pair.map(|(key, _)| key)).collect();
        for keys in found.map_err(failed)?.chunks(AT_ONCE) {
            let ops = keys.iter().map(|key| remove(TreeName::Log, key)).collect();
            self.change(Vec::new(), ops).await?;
        }
        Ok(())
    }

    /// The values of a series from `from` to `to`, both inclusive, in the order of their time.
    /// It reads from disk: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`StoreError`] when the history cannot be read.
    pub fn series(
        &self,
        device: DeviceId,
        series: &SeriesKey,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<(UnixMs, Value)>, StoreError> {
        let shared = self.shared();
        let _sealing_waits = shared.open_gate();
        let (sealed, tail) = {
            let memory = shared.memory();
            let tail = memory.devices.get(&device).map(|entry| entry.tail.clone());
            (memory.sealed, tail.unwrap_or_default())
        };
        let mut points = Vec::new();
        for week in shared.history.weeks().map_err(failed)? {
            if (Week::of(from)..=Week::of(to)).contains(&week) {
                points.extend(shared.history.points(week, device, series, sealed)?);
            }
        }
        for number in tail {
            for arrival in shared.hot.log_entry(number)? {
                points.extend(points_of(&arrival, device, series));
            }
        }
        points.retain(|(at, _)| (from..=to).contains(at));
        points.sort_by_key(|(at, _)| *at);
        Ok(points)
    }
}

fn add_points(points: &mut Points, arrival: &super::Arrival) {
    for (at, report) in &arrival.reports {
        let week = points.entry(Week::of(*at)).or_default();
        for reading in &report.readings {
            let series = week.entry((arrival.device, SeriesKey::of(reading)));
            series.or_default().push((*at, reading.value().clone()));
        }
    }
}

fn points_of(arrival: &super::Arrival, device: DeviceId, series: &SeriesKey) -> Vec<Point> {
    let reports = arrival.reports.iter().filter(|_| arrival.device == device);
    reports
        .flat_map(|(at, report)| report.readings.iter().map(move |reading| (at, reading)))
        .filter(|(_, reading)| {
            reading.metric().code == series.metric && reading.instance() == series.instance
        })
        .map(|(at, reading)| (*at, reading.value().clone()))
        .collect()
}
