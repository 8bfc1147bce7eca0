//! Processes that end with the story that started them, and whose output is kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::patience::eventually;

/// How much of a log is shown when a story fails.
const TAIL_BYTES: usize = 6000;

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A process that has ended by itself.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed to its standard output.
    pub stdout: String,
    /// What it printed to its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a process whose output goes to `<folder>/<name>.log`, after what is there already.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let copy = file.try_clone().expect("a file handle can be copied");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .spawn();
        let child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.expect("a process id is a positive number");
        kill_process(id, signal).unwrap_or_else(|e| panic!("{}: {e}", self.name));
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(&what, limit, || self.ended().ok_or("it still runs"))
    }

    /// Asks it to stop, as a service manager does, and waits.
    ///
    /// # Panics
    /// When it does not stop within `limit`.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// Ends it as a crash would, at once, with what it has started: `faketime` runs the agent as its child, and
    /// nginx answers by its workers.
    pub fn kill(&mut self) {
        // One that has ended may have given its number to another.
        let started = match self.ended() {
            Some(_) => Vec::new(),
            None => descendants(self.child.id()),
        };
        let _ = self.child.kill();
        let _ = self.child.wait();
        for id in started {
            // One that ended together with its parent is gone already.
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.ended();
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail = &log[log.ceil_char_boundary(log.len().saturating_sub(TAIL_BYTES))..];
            let how = ended.map_or_else(|| "running".to_owned(), |status| status.to_string());
            eprintln!("--- {} ({how}) ---\n{tail}", self.name);
        }
    }
}

/// The processes that a process has started and that run, and those that these have.
fn descendants(of: u32) -> Vec<Pid> {
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    let ids = found.into_iter().skip(1);
    ids.filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?))
        .collect()
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started or does not end within `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    let folder = super::folder();
    let file = |name: &str| File::create(folder.path().join(name)).expect("a file can be made");
    let child = command
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn();
    let mut child = child.unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        eventually(&format!("{command:?}"), limit, || {
            let ended = child.try_wait().expect("a child can be waited for");
            ended.ok_or("it still runs")
        })
    }));
    let text = |name: &str| {
        let bytes = fs::read(folder.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let Ok(status) = ended else {
        let _ = child.kill();
        let _ = child.wait();
        panic!(
            "{command:?} did not end: {}{}",
            text("stdout"),
            text("stderr")
        );
    };
    Finished {
        status,
        stdout: text("stdout"),
        stderr: text("stderr"),
    }
}

impl Finished {
    /// Its standard output.
    ///
    /// # Panics
    /// When it failed.
    #[must_use]
    pub fn success(self) -> String {
        assert!(
            self.status.success(),
            "{}: {}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Its standard error.
    ///
    /// # Panics
    /// When it did not fail, or ended by a signal.
    #[must_use]
    pub fn failure(self) -> String {
        let code = self.status.code();
        assert!(
            code.is_some_and(|c| c > 0),
            "{}: {}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stderr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::patience::{PATIENCE, require};

    #[test]
    fn what_a_process_has_started_ends_with_it() {
        let folder = super::super::folder();
        let mut command = Command::new("sh");
        // The shell waits for its child, and would leave it behind if it alone were ended.
        command.args(["-c", "sleep 300 & sleep 300; wait"]);
        let mut process = Process::start("parent", folder.path(), &mut command);
        let started = eventually("two children", PATIENCE, || {
            let started = descendants(process.id());
            require(started.len() == 2, || format!("{started:?}"))?;
            Ok::<_, String>(started)
        });
        process.kill();
        eventually("their end", PATIENCE, || {
            let left = started.iter().filter(|id| {
                let stat = fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
                // A zombie waits for whoever took it over.
                stat.is_ok_and(|stat| !stat.contains(") Z "))
            });
            let left: Vec<_> = left.collect();
            require(left.is_empty(), || format!("{left:?}"))
        });
    }
}
