//! Programs that are asked by probes: bounded in time by their callers, and here in memory, in
//! processor time and in what they may answer.

use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Bytes of one answer: the largest that `smartctl` was seen to give has 60 KiB.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// What a program may take.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux bounds a child by its numbers")
)]
pub struct Bounds {
    /// Address space; `None` for a program that reserves far more than it uses.
    pub address_space_bytes: Option<u64>,
    /// Memory that is resident; it is looked at every [`LOOK`].
    pub resident_bytes: u64,
    /// Processor time, in seconds.
    pub processor_s: u64,
}

/// Of the programs that read health: `smartctl` takes 20 MiB, most of it shared libraries, and hundredths
/// of a second.
pub const READER: Bounds = Bounds {
    address_space_bytes: Some(256 * 1024 * 1024),
    resident_bytes: 256 * 1024 * 1024,
    processor_s: 5,
};

/// How often memory is looked at: a program that fills it takes 100 MiB in half a second.
#[cfg(target_os = "linux")]
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);

/// Runs a program and gives what it says; it is killed when this is dropped.
///
/// # Errors
/// When it cannot be started, was killed, or failed without a word.
pub async fn answer(command: Command) -> io::Result<Vec<u8>> {
    answer_within(command, READER).await
}

/// The same within bounds of one's own.
///
/// # Errors
/// When it cannot be started, was killed, or failed without a word.
pub async fn answer_within(mut command: Command, bounds: Bounds) -> io::Result<Vec<u8>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    bound(&child, bounds);
    let pid = child.id();
    let mut answer = Vec::new();
    let output = child.stdout.take();
    let listen = async {
        if let Some(output) = output {
            output.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        }
        child.wait().await
    };
    let status = tokio::select! {
        status = listen => status?,
        taken = outgrown(pid, bounds) => {
            return Err(io::Error::other(format!("it was ended, having taken {taken} bytes of memory")));
        }
    };
    if answer.is_empty() && !status.success() {
        return Err(io::Error::other(silent_end(status)));
    }
    Ok(answer)
}

fn silent_end(status: ExitStatus) -> String {
    format!("it said nothing and ended with {status}; a program that takes too much is ended so")
}

/// Without the bounds it runs as well; the time that its caller gives it holds in any case.
#[cfg(target_os = "linux")]
fn bound(child: &Child, bounds: Bounds) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let Some(pid) = pid else {
        return;
    };
    for (resource, most) in [
        (Resource::As, bounds.address_space_bytes),
        (Resource::Cpu, Some(bounds.processor_s)),
        (Resource::Core, Some(0)),
    ] {
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        if let Err(error) = prlimit(Some(pid), resource, limit) {
            tracing::debug!(%error, ?resource, "a child is not bounded");
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn bound(_: &Child, _: Bounds) {}

/// Waits until a program takes more memory than it may, and gives how much. Where address space is bounded
/// the kernel sees to it.
#[cfg(target_os = "linux")]
async fn outgrown(pid: Option<u32>, bounds: Bounds) -> u64 {
    let (Some(pid), None) = (pid, bounds.address_space_bytes) else {
        return std::future::pending().await;
    };
    let file = format!("/proc/{pid}/status");
    loop {
        tokio::time::sleep(LOOK).await;
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        let resident = kibibytes.unwrap_or(0) * 1024;
        if resident > bounds.resident_bytes {
            return resident;
        }
    }
}

#[cfg(not(target_os = "linux"))]
async fn outgrown(_: Option<u32>, _: Bounds) -> u64 {
    std::future::pending().await
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        // The limits are set just after the start.
        command.args(["-c", &format!("/bin/sleep 0.3; {script}")]);
        command
    }

    #[tokio::test]
    async fn what_is_said_is_given_whatever_the_status() {
        let said = answer(shell("echo '{}'; exit 4")).await.unwrap();
        assert_eq!(said, b"{}\n");
    }

    #[tokio::test]
    async fn a_program_that_takes_too_much_memory_is_ended() {
        // `tail` keeps a line until it has seen its end, and this one has none.
        let greedy = shell("exec tail -n 1 /dev/zero");
        let error = answer(greedy).await.unwrap_err().to_string();
        assert!(error.contains("takes too much"), "{error}");
    }

    #[tokio::test]
    async fn a_program_knows_its_bounds_of_time_and_memory() {
        let said = answer(shell("ulimit -t; ulimit -v; ulimit -c"))
            .await
            .unwrap();
        let kibibytes = READER.address_space_bytes.unwrap() / 1024;
        let expected = format!("{}\n{kibibytes}\n0\n", READER.processor_s);
        assert_eq!(String::from_utf8(said).unwrap(), expected);
    }

    #[tokio::test]
    async fn one_whose_address_space_is_free_is_ended_by_what_it_uses() {
        let bounds = Bounds {
            address_space_bytes: None,
            resident_bytes: 32 * 1024 * 1024,
            processor_s: 20,
        };
        let greedy = shell("exec tail -n 1 /dev/zero");
        let error = answer_within(greedy, bounds).await.unwrap_err().to_string();
        assert!(error.contains("bytes of memory"), "{error}");
        let said = answer_within(shell("ulimit -v"), bounds).await.unwrap();
        assert_eq!(said, b"unlimited\n");
    }

    #[tokio::test]
    async fn the_end_of_an_answer_that_never_ends_is_not_awaited() {
        let endless = shell("exec cat /dev/zero");
        assert_eq!(answer(endless).await.unwrap().len() as u64, ANSWER_BYTES);
    }
}
