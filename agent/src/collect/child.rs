//! Programs that are asked by probes: bounded in time by their callers, and here in memory, in
//! processor time and in what they may answer.

use std::io;
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// Bytes of one answer: the largest that `smartctl` was seen to give has 60 KiB.
const ANSWER_BYTES: u64 = 1024 * 1024;

/// Address space of such a program; `smartctl` takes 20 MiB, most of it shared libraries.
#[cfg(target_os = "linux")]
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;

/// Processor time of such a program, in seconds; `smartctl` takes hundredths of one.
#[cfg(target_os = "linux")]
const PROCESSOR_S: u64 = 5;

/// Runs a program and gives what it says; it is killed when this is dropped.
///
/// # Errors
/// When it cannot be started, was killed, or failed without a word.
pub async fn answer(mut command: Command) -> io::Result<Vec<u8>> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn()?;
    bound(&child);
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    }
    let status = child.wait().await?;
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
fn bound(child: &Child) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let Some(pid) = pid else {
        return;
    };
    for (resource, most) in [
        (Resource::As, MEMORY_BYTES),
        (Resource::Cpu, PROCESSOR_S),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        if let Err(error) = prlimit(Some(pid), resource, limit) {
            tracing::debug!(%error, ?resource, "a child is not bounded");
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn bound(_: &Child) {}

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
        let kibibytes = MEMORY_BYTES / 1024;
        let expected = format!("{PROCESSOR_S}\n{kibibytes}\n0\n");
        assert_eq!(String::from_utf8(said).unwrap(), expected);
    }

    #[tokio::test]
    async fn the_end_of_an_answer_that_never_ends_is_not_awaited() {
        let endless = shell("exec cat /dev/zero");
        assert_eq!(answer(endless).await.unwrap().len() as u64, ANSWER_BYTES);
    }
}
