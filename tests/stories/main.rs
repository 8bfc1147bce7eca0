//! Stories, end to end, with the real binaries. Each starts its own collector and laptops, in a
//! folder of its own; `tests/run stories` runs all of them, `tests/run NAME` one.

#![allow(clippy::unwrap_used, reason = "a step that fails ends its story")]

mod alertmanager;
mod api;
mod backup;
mod bad_input;
mod bench;
mod browser;
mod clock;
mod clones;
mod configuration;
mod crash;
mod crowd;
mod data_folder;
mod day;
mod durability;
mod enrolment;
mod faulty_mail;
mod implicit_tls;
mod inventory;
mod offline;
mod older;
mod packages;
mod postfix;
mod power_cut;
mod proxy;
mod quickstart;
mod request_tracker;
mod settings;
mod sign_in;
mod ticket_time;
mod waiting;
mod webhook_receiver;
mod windows;
mod worn_battery;
