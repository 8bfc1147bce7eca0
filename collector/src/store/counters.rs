//! What the store counts, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counts since the start, and the state of the disk at the last commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Reports stored.
    pub reports: u64,
    /// Readings stored.
    pub readings: u64,
    /// Reports dropped because they had been stored before.
    pub duplicates: u64,
    /// Reports that never came, because their spool had dropped them.
    pub gaps: u64,
    /// Durable commits.
    pub commits: u64,
    /// Milliseconds that those took, sync included.
    pub commit_ms: u64,
    /// Arrivals refused because the disk was nearly full.
    pub refused_full: u64,
    /// Log entries that wait to be sealed.
    pub log_entries: u64,
    /// Times that a device was sealed into history.
    pub sealed_devices: u64,
    /// Points that were older than the retention when they were to be sealed.
    pub expired_points: u64,
    /// Readings left out of the latest state, because their device has too many series already.
    pub series_left_out: u64,
    /// Bytes of blocks of the history that were read to answer questions.
    pub history_bytes_read: u64,
    /// Bytes of the hot database on disk.
    pub hot_bytes: u64,
    /// Bytes free on the disk.
    pub free_bytes: u64,
    /// Files in `blobs/` of the hot database at start; any is an alarm, since they are not durable.
    pub blob_files: u64,
    /// 1 once the store has failed.
    pub failed: u64,
}

/// The living counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub reports: AtomicU64,
    pub readings: AtomicU64,
    pub duplicates: AtomicU64,
    pub gaps: AtomicU64,
    pub commits: AtomicU64,
    pub commit_ms: AtomicU64,
    pub refused_full: AtomicU64,
    pub log_entries: AtomicU64,
    pub sealed_devices: AtomicU64,
    pub expired_points: AtomicU64,
    pub series_left_out: AtomicU64,
    pub history_bytes_read: AtomicU64,
    pub hot_bytes: AtomicU64,
    pub free_bytes: AtomicU64,
    pub blob_files: AtomicU64,
    pub failed: AtomicU64,
}

impl Counters {
    pub fn snapshot(&self) -> StoreCounters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreCounters {
            reports: get(&self.reports),
            readings: get(&self.readings),
            duplicates: get(&self.duplicates),
            gaps: get(&self.gaps),
            commits: get(&self.commits),
            commit_ms: get(&self.commit_ms),
            refused_full: get(&self.refused_full),
            log_entries: get(&self.log_entries),
            sealed_devices: get(&self.sealed_devices),
            expired_points: get(&self.expired_points),
            series_left_out: get(&self.series_left_out),
            history_bytes_read: get(&self.history_bytes_read),
            hot_bytes: get(&self.hot_bytes),
            free_bytes: get(&self.free_bytes),
            blob_files: get(&self.blob_files),
            failed: get(&self.failed),
        }
    }
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// Sets a gauge.
pub(super) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}
