//! Why a store does not open, or does not do what it was asked.

use rollcall_shared::id::DeviceId;

/// Why the store does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk is nearly full.
    #[error(
        "the disk of the data folder has {free} bytes free, less than the reserve of {reserve}; \
         make room or lower `reserve_mb`"
    )]
    Full {
        /// Bytes free.
        free: u64,
        /// Bytes that must be free.
        reserve: u64,
    },
    /// The engine has failed, and only a restart helps.
    #[error("the store has failed and accepts nothing until the collector is restarted: {0}")]
    Failed(String),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
    /// Reports of a device that has no record.
    #[error("device {0} is not known, so its reports are not stored")]
    Unknown(DeviceId),
    /// A record is larger than any may be.
    #[error("{what} has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Which record.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// What was read is not what was written.
    #[error("{place} is damaged: {problem}")]
    Damaged {
        /// Which tree and key.
        place: String,
        /// What is wrong.
        problem: String,
    },
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no store.
    #[error("{0} holds no Rollcall store; `rollcall-collector init --data DIR` makes one")]
    Missing(String),
    /// There is one already.
    #[error("{0} holds a Rollcall store already")]
    Exists(String),
    /// Files of something else are in the way.
    #[error("{path} is not a Rollcall data folder: {problem}")]
    Foreign {
        /// The folder.
        path: String,
        /// What shows it.
        problem: String,
    },
    /// Another process has it.
    #[error("{0} is in use by another rollcall-collector")]
    Locked(String),
    /// A newer Rollcall wrote it.
    #[error(
        "{path} has schema {found}, newer than {known}; use the newer rollcall-collector that wrote it"
    )]
    Newer {
        /// The folder.
        path: String,
        /// The schema found.
        found: u32,
        /// The newest schema that this version knows.
        known: u32,
    },
    /// The folder cannot be used.
    #[error("{path}: {problem}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What was tried.
        problem: &'static str,
        /// What came of it.
        source: std::io::Error,
    },
    /// What was read is not what was written.
    #[error("{0}")]
    Damaged(#[from] StoreError),
}
