//! The nouns of Rollcall: what agent, collector and wire all speak of.
//!
//! Nothing here does input or output except [`time::SystemClock`], the sole reader of clocks.

pub mod backoff;
pub mod configuration;
pub mod error;
pub mod fingerprint;
pub mod id;
pub mod limits;
pub mod metric;
pub mod preset;
pub mod reading;
pub mod refusal;
pub mod report;
pub mod sources;
pub mod time;
pub mod tls;
pub mod token;
