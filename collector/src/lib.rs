//! The collector: takes reports in, keeps them, finds what needs attention and tells the right desk.

pub mod act;
pub mod alert;
mod allocator;
pub mod asset;
pub mod audit;
pub mod authority;
pub mod collector;
pub mod command;
pub mod config;
pub mod control;
pub mod device;
pub mod edition;
pub mod evaluate;
pub mod feed;
pub mod incident;
pub mod ingest;
pub mod inventory;
pub mod mark;
pub mod memo;
pub mod notification;
pub mod notify;
pub mod provider;
pub mod query;
pub mod reach_note;
pub mod silence;
pub mod store;
pub mod user;
