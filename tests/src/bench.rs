//! What `tests/bench` measures with: the same made-up samples as fleets, as pushes of laptops to
//! Rollcall and as pushes to other databases, made ready before and timed while they are sent.
//!
//! `tests/bench` is the program that people run; it starts the systems under test, counts their
//! processor time and memory, and runs `rollcall-bench` for what needs to be fast.

mod absence;
mod conversation;
mod fill;
mod fleet;
mod grpc;
mod http;
mod influx_lines;
mod laptops;
mod latency;
mod morning;
mod pushes;
mod remote_write;
mod seal;
mod series;
mod tsdb;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The parts of Rollcall's benchmarks that need to be fast; `tests/bench` is what people run.
#[derive(Debug, Parser)]
#[command(name = "rollcall-bench", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fills the spool of an agent that does not run as if its collector had been away for long.
    Absence(absence::Options),
    /// Writes the samples that every system under test gets.
    Series(series::Options),
    /// Gives simulated laptops identities in a new collector's folder, while it does not run.
    Fleet(fleet::Options),
    /// Fills the store of a collector that does not run with the laptops' history.
    Fill(fill::Options),
    /// Seals the store of a collector that does not run, and tells what that costs.
    Seal(seal::Options),
    /// Streams the samples to a collector as the laptops would.
    Laptops(laptops::Options),
    /// Lets laptops connect all at once, each with what its spool has kept.
    Morning(morning::Options),
    /// Pushes the samples to a time-series database over HTTP.
    Tsdb(tsdb::Options),
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let done = runtime.block_on(run(options.command));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Absence(options) => absence::run(&options),
        Command::Series(options) => series::run(&options),
        Command::Fleet(options) => fleet::run(&options).await,
        Command::Fill(options) => fill::run(&options).await,
        Command::Seal(options) => seal::run(&options).await,
        Command::Laptops(options) => laptops::run(&options).await,
        Command::Morning(options) => morning::run(&options).await,
        Command::Tsdb(options) => tsdb::run(&options).await,
    }
}
