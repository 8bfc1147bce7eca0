//! The crowd: thousands of laptops of one process, each with its own certificate, connection and
//! source address, at a fraction of what the collector spends on them.
//!
//! Where `rollcall-simulator --devices` runs the agent's own spool and stream for each laptop, the
//! crowd speaks the wire by itself: [`session`] decides when a laptop sends, [`tape`] makes its
//! reports, [`http2`] frames them, all without input or output; [`engine`] drives thousands of them
//! with one thread and one poll. The readings are the model's, the laptops' clocks as wrong as the
//! model's, and what is on the wire is what an agent would send.

pub mod client;
pub mod engine;
pub mod enrol;
pub mod histogram;
pub mod http2;
mod line;
pub mod options;
pub mod outcome;
mod processes;
pub mod roster;
pub mod session;
pub mod tape;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, ensure};
use rollcall_shared::time::{Clock as _, SystemClock};

use super::Fleet;
use super::descriptors::{most_descriptors, provide_descriptors};
use client::Tls;
use engine::{Engine, Parts};
pub use enrol::{EnrolOptions, enrol};
pub use options::CrowdOptions;
pub use outcome::{Counts, Outcome};
use roster::Roster;
use tape::Tapes;

/// What the crowd says of its agent.
pub const AGENT_VERSION: &str = concat!("simulated-", env!("CARGO_PKG_VERSION"));

/// Descriptors besides the connections'.
const DESCRIPTORS_OWN: u64 = 64;

/// Runs a crowd until its end or until `stop` is set, and writes what was measured.
///
/// # Errors
/// In words: what stands in the way.
pub fn run(options: &CrowdOptions, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let counts = if options.processes > 1 {
        processes::run(options, stop)?
    } else {
        run_here(options, stop)?
    };
    let outcome = counts.outcome(u64::from(options.processes));
    if let Some(path) = &options.json {
        let named = || path.display().to_string();
        let text = serde_json::to_vec_pretty(&outcome)?;
        std::fs::write(path, text).with_context(named)?;
    }
    Ok(outcome)
}

/// Runs a crowd in this process.
///
/// # Errors
/// In words: what stands in the way.
pub fn run_here(options: &CrowdOptions, stop: &AtomicBool) -> anyhow::Result<Counts> {
    let parts = parts(options)?;
    let engine = Engine::new(parts)?;
    engine.run(stop).context("the crowd's poll failed")
}

fn parts(options: &CrowdOptions) -> anyhow::Result<Parts> {
    let roster = Arc::new(Roster::open(&options.crowd)?);
    let devices = devices(options, &roster)?;
    let connections = connections(options, devices)?;
    let fleet = Fleet::new(roster.seed);
    let tapes = Tapes::record(roster.seed, devices, options.content());
    let collector = resolve(options)?;
    let name = options.collector.host().to_owned();
    let name = name.try_into().context("the collector's name")?;
    let tls = Tls::new(roster, !options.no_resumption)?;
    // Only now, so that the preparation takes no time from the run.
    let (now_us, now) = (SystemClock.micros(), SystemClock.now().wall);
    let sources = if collector.ip().is_loopback() && collector.is_ipv4() {
        options.sources.unwrap_or(u32::MAX)
    } else {
        0
    };
    Ok(Parts {
        plan: options.plan(devices, now_us),
        began: (now_us, now),
        first: options.first,
        authority: options.collector.to_string(),
        in_flight: options.in_flight.map_or(usize::MAX, |most| most as usize),
        connect_rate: options.connect_rate,
        resting: options.resting,
        compresses: !options.no_compression,
        fleet,
        devices,
        tapes,
        tls,
        collector,
        name,
        sources,
        connections,
    })
}

/// How many laptops take part.
fn devices(options: &CrowdOptions, roster: &Roster) -> anyhow::Result<u32> {
    let there = roster.devices.saturating_sub(options.first);
    let wanted = options.devices.unwrap_or(there);
    let crowd = options.crowd.display();
    ensure!(
        (1..=there).contains(&wanted),
        "{crowd} has {} laptops: --devices {wanted} from --first {} are not among them; \
         `rollcall-simulator enrol` adds more",
        roster.devices,
        options.first,
    );
    Ok(wanted)
}

/// Connections at once, as far as open files allow; those that stay connected need all of theirs.
fn connections(options: &CrowdOptions, devices: u32) -> anyhow::Result<usize> {
    let allowed = most_descriptors().saturating_sub(DESCRIPTORS_OWN);
    let most = options
        .connections
        .map_or(allowed, u64::from)
        .min(allowed)
        .min(u64::from(devices));
    let staying = (f64::from(devices) * (1.0 - options.resting)) as u64;
    ensure!(
        staying <= most || options.resting >= 1.0,
        "{staying} laptops stay connected, and {most} connections are allowed at once (this system \
         allows {allowed} to a process): give a larger --resting or a smaller --devices, or share \
         them out to several --processes",
    );
    provide_descriptors(most + DESCRIPTORS_OWN)?;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

fn resolve(options: &CrowdOptions) -> anyhow::Result<SocketAddr> {
    let text = options.collector.to_string();
    let found = text.to_socket_addrs().with_context(|| text.clone())?;
    let found: Vec<SocketAddr> = found.collect();
    // The port of a collector on this machine is bound to 127.0.0.1 as a rule.
    let chosen = found
        .iter()
        .find(|address| address.is_ipv4())
        .or(found.first());
    chosen.copied().ok_or_else(|| {
        let none = io::Error::from(io::ErrorKind::NotFound);
        anyhow::anyhow!(none).context(format!("{text} has no address"))
    })
}
