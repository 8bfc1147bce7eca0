//! The Rollcall agent: reads a laptop's health and streams it to a collector.

pub mod collect;
pub mod paths;
pub mod spool;
