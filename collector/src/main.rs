//! The collector's program.

use std::process::ExitCode;

use clap::Parser as _;
use rollcall_collector::command::{CommandLine, DAMAGED, DamageFound};
use rollcall_shared::error::chain;

fn main() -> ExitCode {
    match CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<DamageFound>() => {
            eprintln!("rollcall-collector: {error}");
            ExitCode::from(DAMAGED)
        }
        Err(error) => {
            eprintln!("rollcall-collector: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
