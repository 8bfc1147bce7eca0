//! Sealing: moves what devices have reported from the log into history.
//!
//! The order is what makes it safe at any line: note which devices and through which entry, copy and
//! sync, store the devices' states, and only then forget and delete. See the invariants in `keys`.

use std::collections::{BTreeMap, HashMap};

use rollcall_shared::id::DeviceId;
use rollcall_shared::time::UnixMs;

use super::block::{self, Column};
use super::codec::{Decoder, Encoder, Problem};
use super::counters::{count, set};
use super::database::Op;
use super::hot::{failed, remove};
use super::keys::{self, Day, Part, TreeName};
use super::round::Round;
use super::tail::Segment;
use super::{Store, StoreError};

/// Devices that are sealed together.
const DEVICES: usize = 1024;

/// States or removals in one transaction.
const AT_ONCE: usize = 256;

/// Operations in one transaction of history: at the largest 6 MB.
const OPS: usize = 1024;

/// Log entries after which all is sealed: at the largest a gigabyte, unpacked.
const ENTRIES: u64 = 64 * 1024;

impl Store {
    /// Moves all that the log holds into history, and finishes what a crash has interrupted.
    ///
    /// # Errors
    /// [`StoreError`]; the log stays as it was, and a later run repeats the work.
    pub async fn seal(&self, now: UnixMs) -> Result<(), StoreError> {
        let mut round = self.shared().sealing.lock().await;
        self.finish_interrupted().await?;
        let all = self.shared().memory().with_tail();
        self.seal_these(all).await?;
        *round = Round::over(Vec::new(), now);
        self.trim_log().await
    }

    /// Moves what is due by now into history: each device once an hour, and those with much waiting.
    /// Run it every some seconds.
    ///
    /// # Errors
    /// [`StoreError`]; the log stays as it was, and a later run repeats the work.
    pub async fn seal_due(&self, now: UnixMs) -> Result<(), StoreError> {
        let mut round = self.shared().sealing.lock().await;
        self.finish_interrupted().await?;
        let mut due = round.take(now);
        {
            let mut memory = self.shared().memory_mut();
            due.append(&mut memory.large);
        }
        if self.shared().counters.snapshot().log_entries > ENTRIES {
            due = self.shared().memory().with_tail();
        }
        due.sort_unstable();
        due.dedup();
        if !due.is_empty() {
            self.seal_these(due).await?;
            self.trim_log().await?;
        }
        if round.is_over() {
            let all = self.shared().memory().with_tail();
            *round = Round::over(all, now);
        }
        Ok(())
    }

    /// A seal whose end was written is repeated with the same end.
    pub(super) async fn finish_interrupted(&self) -> Result<(), StoreError> {
        let devices: Vec<DeviceId> = self.shared().memory().interrupted.keys().copied().collect();
        if !devices.is_empty() {
            self.shared().check_reserve()?;
            self.finish_seal(devices).await?;
        }
        Ok(())
    }

    async fn seal_these(&self, devices: Vec<DeviceId>) -> Result<(), StoreError> {
        for devices in devices.chunks(DEVICES) {
            // History is written without the writer's own look at the disk.
            self.shared().check_reserve()?;
            self.freeze(devices.to_vec()).await?;
            self.finish_seal(devices.to_vec()).await?;
        }
        Ok(())
    }

    async fn finish_seal(&self, devices: Vec<DeviceId>) -> Result<(), StoreError> {
        let frozen = self.shared().memory().frozen(&devices);
        let sealed: Vec<DeviceId> = frozen.iter().map(|(device, _)| *device).collect();
        self.blocking(move |store| store.copy_out(&frozen)).await?;
        for devices in sealed.chunks(AT_ONCE) {
            self.note_sealed(devices.to_vec()).await?;
        }
        self.shared().memory_mut().interrupted.clear();
        count(&self.shared().counters.sealed_devices, sealed.len());
        Ok(())
    }

    /// Does what blocks where blocking is allowed. A database that could not sync must not be tried
    /// again on the same handle.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        let done = done.map_err(|error| StoreError::Failed(error.to_string()));
        let done = done.and_then(|done| done);
        if let Err(StoreError::Failed(reason)) = &done {
            self.shared().fail(reason);
        }
        done
    }

    /// Copies what is frozen into the days that it belongs to; it is durable when this returns.
    pub(super) fn copy_out(&self, frozen: &[(DeviceId, Segment)]) -> Result<(), StoreError> {
        let oldest = self.shared().oldest();
        let mut days: BTreeMap<Day, Vec<Op>> = BTreeMap::new();
        for (device, segment) in frozen {
            let columns = segment.columns().map_err(|problem| StoreError::Damaged {
                place: format!("the log of device {device}"),
                problem,
            })?;
            for (day, columns) in by_day(columns) {
                if day.end() <= oldest {
                    let points = columns.iter().map(|column| column.points.len());
                    count(&self.shared().counters.expired_points, points.sum());
                    continue;
                }
                let key = keys::hours(*device, segment.through);
                days.entry(day)
                    .or_default()
                    .extend(put_values(0, &key, block::encode(&columns)));
            }
        }
        for (day, ops) in days {
            let generation = self.shared().memory().generation(day);
            let database = self.shared().history.part(Part::Sealed(day, generation))?;
            for ops in ops.chunks(OPS) {
                database.commit(ops).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Removes the log up to the first entry that is needed.
    async fn trim_log(&self) -> Result<(), StoreError> {
        let (needed, last) = {
            let memory = self.shared().memory();
            (memory.first_needed(), memory.last_log)
        };
        let database = &self.shared().hot.database;
        let found = database.range(TreeName::Log as usize, &[], &keys::log(needed));
        let found: Result<Vec<_>, _> = found.map(|pair| pair.map(|(key, _)| key)).collect();
        // An entry goes whole: what is left of one could not be read at the next start.
        let mut ops = Vec::new();
        let found = found.map_err(failed)?;
        for entry in found.chunk_by(|a, b| keys::parse_log(a) == keys::parse_log(b)) {
            ops.extend(entry.iter().map(|key| remove(TreeName::Log, key)));
            if ops.len() >= AT_ONCE {
                self.change(Vec::new(), std::mem::take(&mut ops)).await?;
            }
        }
        if !ops.is_empty() {
            self.change(Vec::new(), ops).await?;
        }
        set(
            &self.shared().counters.log_entries,
            (last + 1).saturating_sub(needed),
        );
        Ok(())
    }
}

/// Puts of values whose keys begin alike.
pub(super) fn put_values(tree: usize, prefix: &[u8], values: Vec<Vec<u8>>) -> Vec<Op> {
    let numbered = values.into_iter().zip(0_u16..);
    let op = |(value, n)| Op {
        tree,
        key: keys::piece(prefix, n),
        value: Some(value),
    };
    numbered.map(op).collect()
}

/// Splits columns by the day of their points.
fn by_day(columns: Vec<Column>) -> BTreeMap<Day, Vec<Column>> {
    let mut days: BTreeMap<Day, Vec<Column>> = BTreeMap::new();
    for column in columns {
        // Points are in the order of their time, and most columns are of one day.
        if let [(first, _), .., (last, _)] = &column.points[..]
            && Day::of(*first) == Day::of(*last)
        {
            days.entry(Day::of(*first)).or_default().push(column);
            continue;
        }
        for points in column
            .points
            .chunk_by(|(a, _), (b, _)| Day::of(*a) == Day::of(*b))
        {
            days.entry(Day::of(points[0].0)).or_default().push(Column {
                key: column.key.clone(),
                points: points.to_vec(),
            });
        }
    }
    days
}

/// Which devices are sealed, and through which entry.
pub(super) fn put_marks(marks: &[(DeviceId, u64)]) -> Vec<u8> {
    let mut form = Encoder::default();
    for (device, through) in marks {
        form.raw(device.as_bytes());
        form.u64(*through);
    }
    form.0
}

/// Reads what [`put_marks`] writes.
pub(super) fn parse_marks(bytes: &[u8]) -> Result<HashMap<DeviceId, u64>, Problem> {
    let (mut form, mut marks) = (Decoder(bytes), HashMap::new());
    while !form.is_empty() {
        marks.insert(DeviceId::from_bytes(form.array()?), form.u64()?);
    }
    Ok(marks)
}
