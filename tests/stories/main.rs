//! Stories, end to end, with the real binaries. Each starts its own collector and laptops, in a
//! folder of its own; `tests/run stories` runs all of them, `tests/run NAME` one.

#![allow(clippy::unwrap_used, reason = "a step that fails ends its story")]

mod api;
mod backup;
mod bad_input;
mod bench;
mod clock;
mod clones;
mod configuration;
mod crash;
mod crowd;
mod data_folder;
mod durability;
mod enrolment;
mod offline;
mod packages;
mod postfix;
mod power_cut;
mod proxy;
mod quickstart;
mod settings;
mod worn_battery;
