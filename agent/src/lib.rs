//! The Rollcall agent: reads a laptop's health and streams it to a collector.

pub mod agent;
pub mod collect;
pub mod command;
pub mod config;
pub mod footprint;
pub mod identity;
pub mod line;
pub mod logfile;
pub mod paths;
pub mod service;
pub mod settings;
pub mod spool;
pub mod status;
pub mod stream;
pub mod waiting;
