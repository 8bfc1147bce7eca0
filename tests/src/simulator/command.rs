//! The command line of `rollcall-simulator`.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rollcall_agent::service::StopSignal;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use super::crowd::{self, CrowdOptions, EnrolOptions};
use super::history::files::{ExportOptions, export};
use super::history::store::{FillOptions, fill};
use super::live;

/// A school district's laptops, simulated. Without a command: streams their readings to a collector
/// by the agent's own identity, spool and stream, for trying it out. Their models are called
/// `Simulated ...`.
#[derive(Debug, Parser)]
#[command(name = "rollcall-simulator", version)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct CommandLine {
    #[command(flatten)]
    live: Option<live::Options>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the keys and certificates of a crowd, and its records in a collector that does not run
    Enrol(EnrolOptions),
    /// Send the reports of thousands of laptops, and measure how long each acknowledgement takes
    #[command(args_override_self = true)]
    Crowd(CrowdOptions),
    /// Fill the store of a collector that does not run with a fleet's past
    Fill(FillOptions),
    /// Write a fleet's past, and the truth about it, to files
    Export(ExportOptions),
}

/// Runs the program; its exit status is 0 after a signal, 1 after an error.
#[must_use]
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    start_log();
    let ended = Runtime::new()
        .context("no runtime")
        .and_then(|runtime| run(line, &runtime));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rollcall-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: CommandLine, runtime: &Runtime) -> anyhow::Result<()> {
    match line.command {
        Some(Command::Enrol(options)) => runtime.block_on(crowd::enrol(&options)),
        Some(Command::Crowd(options)) => run_crowd(&options, runtime),
        Some(Command::Fill(options)) => {
            let filled = runtime.block_on(fill(&options))?;
            println!("{} reports, {} readings", filled.reports, filled.readings);
            Ok(())
        }
        Some(Command::Export(options)) => {
            println!("{} numbers", export(&options)?);
            Ok(())
        }
        None => {
            let options = line.live.context("an option is missing; see --help")?;
            let live = async || live::run(&options, StopSignal::listen()?.received()).await;
            runtime.block_on(live())
        }
    }
}

fn run_crowd(options: &CrowdOptions, runtime: &Runtime) -> anyhow::Result<()> {
    let stop = stop_at_a_signal(runtime)?;
    if options.part {
        let counts = crowd::run_here(options, &stop)?;
        println!("{}", serde_json::to_string(&counts)?);
        return Ok(());
    }
    let outcome = crowd::run(options, &stop)?;
    println!("{}", serde_json::to_string_pretty(&outcome)?);
    Ok(())
}

/// A flag that is set once the process is asked to stop.
fn stop_at_a_signal(runtime: &Runtime) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    let signal = {
        let _inside = runtime.enter();
        StopSignal::listen()?
    };
    runtime.spawn(async move {
        signal.received().await;
        set.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

fn start_log() {
    let filter =
        EnvFilter::try_from_env("ROLLCALL_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
