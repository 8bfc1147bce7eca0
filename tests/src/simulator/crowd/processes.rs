//! A crowd over several processes: each takes a part of the laptops, and their counts are added up.

use std::ffi::OsString;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::options::CrowdOptions;
use super::outcome::Counts;
use super::roster::Roster;

/// How often `stop` is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Starts the processes, waits for all of them, and adds up; `stop` is passed on.
pub fn run(options: &CrowdOptions, stop: &AtomicBool) -> anyhow::Result<Counts> {
    let devices = super::devices(options, &Roster::open(&options.crowd)?)?;
    let parts = parts(options.first, devices, options.processes);
    let (ended, endings) = mpsc::channel();
    let mut running = Vec::new();
    for part in &parts {
        let child = start(options, *part, parts.len())?;
        running.push(child.id());
        let ended = ended.clone();
        thread::spawn(move || ended.send(child.wait_with_output()));
    }
    drop(ended);
    let mut counts = Counts::default();
    let mut is_told = false;
    loop {
        match endings.recv_timeout(LOOK) {
            Ok(output) => counts.merge(&counts_of(&output?)?),
            Err(RecvTimeoutError::Disconnected) => return Ok(counts),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop.load(Ordering::Relaxed) && !is_told {
            is_told = true;
            tell_to_stop(&running);
        }
    }
}

/// The first number and the count of each process's laptops.
fn parts(first: u32, devices: u32, processes: u32) -> Vec<(u32, u32)> {
    let processes = processes.min(devices);
    let start = |part: u32| {
        let at = u64::from(devices) * u64::from(part) / u64::from(processes);
        u32::try_from(at).expect("a part begins within the whole")
    };
    let part = |part| (first + start(part), start(part + 1) - start(part));
    (0..processes).map(part).collect()
}

fn start(
    options: &CrowdOptions,
    (first, devices): (u32, u32),
    parts: usize,
) -> anyhow::Result<Child> {
    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
    let share = |whole: u32| whole.div_ceil(parts).to_string();
    let mut given: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Said again, an option counts as it was said last.
    let mut say = |name: &str, value: String| given.extend([name.into(), value.into()]);
    say("--first", first.to_string());
    say("--devices", devices.to_string());
    say("--processes", "1".to_owned());
    say("--connect-rate", share(options.connect_rate));
    if let Some(in_flight) = options.in_flight {
        say("--in-flight", share(in_flight));
    }
    if let Some(connections) = options.connections {
        say("--connections", share(connections));
    }
    given.push("--part".into());
    let own = std::env::current_exe().context("where this program lies")?;
    let mut command = Command::new(own);
    command.args(given).stdout(Stdio::piped());
    command.spawn().context("cannot start a part of the crowd")
}

fn counts_of(output: &Output) -> anyhow::Result<Counts> {
    ensure!(
        output.status.success(),
        "a part of the crowd ended with {}",
        output.status
    );
    serde_json::from_slice(&output.stdout).context("a part of the crowd told no counts")
}

/// A process that has ended already hears nothing.
fn tell_to_stop(running: &[u32]) {
    for id in running {
        let id = i32::try_from(*id).ok().and_then(Pid::from_raw);
        let _ = id.map(|id| kill_process(id, Signal::TERM));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        for (devices, processes) in [(10, 3), (2, 5), (20_000, 7), (1, 1)] {
            let parts = parts(100, devices, processes);
            assert_eq!(parts.iter().map(|part| part.1).sum::<u32>(), devices);
            assert!(parts.iter().all(|part| part.1 > 0));
            let mut next = 100;
            for (first, count) in parts {
                assert_eq!(first, next);
                next += count;
            }
        }
    }
}
