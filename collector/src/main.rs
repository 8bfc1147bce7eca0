//! The collector's program.

use std::process::ExitCode;

use clap::Parser as _;
use rollcall_collector::command::CommandLine;

fn main() -> ExitCode {
    match CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall-collector: {error:#}");
            ExitCode::FAILURE
        }
    }
}
