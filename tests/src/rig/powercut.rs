//! Power cuts: `powercut.c`, compiled at the time of the test and preloaded into a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};

use super::collector::Collector;
use super::process::{self, Process};

const SOURCE: &str = include_str!("powercut.c");
const COMPILE_LIMIT: Duration = Duration::from_secs(120);

/// The status with which a process leaves when the power is cut.
pub const STATUS: i32 = 137;

/// The compiled interposer and the trigger of one process.
#[derive(Debug)]
pub struct PowerCut {
    library: PathBuf,
    trigger: PathBuf,
    faults: PathBuf,
}

/// What a disk does wrong, from now on. Numbers of errors are those of the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Milliseconds by which every sync is slower.
    pub sync_delay_ms: u32,
    /// The error with which writing, making and renaming fail; 0 for none.
    pub error: i32,
    /// The error with which syncs fail; 0 for none.
    pub sync_error: i32,
}

impl PowerCut {
    /// A collector in `folder` that runs on such a disk, with power.
    ///
    /// # Panics
    /// When there is no C compiler, or the collector does not start.
    #[must_use]
    pub fn around(folder: &Path, config: &str) -> (Collector, Self) {
        let mut collector = Collector::initialised(folder, config);
        let power = Self::prepare(folder);
        power.preload(&mut collector, false);
        power.arm();
        collector.run();
        (collector, power)
    }

    /// Compiles the interposer into `folder`.
    ///
    /// # Panics
    /// When there is no C compiler.
    #[must_use]
    pub fn prepare(folder: &Path) -> Self {
        let source = folder.join("powercut.c");
        let library = folder.join("powercut.so");
        fs::write(&source, SOURCE).expect("the source can be written");
        let mut command = Command::new("cc");
        command
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
            .arg(&library)
            .arg(&source);
        command.args(["-ldl", "-lpthread"]);
        let _ = process::run(&mut command, COMPILE_LIMIT).success();
        let power = Self {
            library,
            trigger: folder.join("powercut.trigger"),
            faults: folder.join("powercut.faults"),
        };
        power.fault(Faults::default());
        power
    }

    /// Has the disk do this from now on, also in a process that runs already.
    ///
    /// # Panics
    /// When the faults cannot be told.
    pub fn fault(&self, faults: Faults) {
        let delay = i32::try_from(faults.sync_delay_ms).expect("a sync is late by seconds at most");
        let numbers = [delay, faults.error, faults.sync_error];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_ne_bytes()).collect();
        let mut options = fs::OpenOptions::new();
        let file = options
            .create(true)
            .write(true)
            .truncate(false)
            .open(&self.faults);
        // In place, since the process has the file mapped.
        let written = file.and_then(|file| {
            use std::os::unix::fs::FileExt as _;
            file.write_all_at(&bytes, 0)
        });
        written.expect("the faults can be told");
    }

    /// Has it preloaded into later runs of a collector. `deaf`: syncs do not count.
    pub fn preload(&self, collector: &mut Collector, deaf: bool) {
        for (name, value) in self.environment(&collector.data, deaf) {
            collector.set(name, &value);
        }
    }

    fn environment(&self, watched: &Path, deaf: bool) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut variables = vec![
            ("LD_PRELOAD", text(&self.library)),
            ("POWERCUT_FOLDER", text(watched)),
            ("POWERCUT_TRIGGER", text(&self.trigger)),
            ("POWERCUT_FAULTS", text(&self.faults)),
        ];
        if deaf {
            variables.push(("POWERCUT_DEAF", "1".to_owned()));
        }
        variables
    }

    /// Makes the trigger anew, before a run.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn arm(&self) {
        let _ = fs::remove_file(&self.trigger);
        let made = rustix::fs::mknodat(
            CWD,
            &self.trigger,
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        );
        made.expect("a FIFO can be made");
    }

    /// Cuts the power. Of what is not durable, `keep_percent` in a hundred survives.
    ///
    /// # Panics
    /// When the process does not leave as after a cut.
    pub fn cut(&self, process: &mut Process, seed: u32, keep_percent: u32) {
        fs::write(&self.trigger, format!("{seed} {keep_percent}\n")).expect("the trigger works");
        let status = process.wait(Duration::from_secs(60));
        assert_eq!(status.code(), Some(STATUS), "the end after a power cut");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig;
    use crate::rig::patience::{PATIENCE, eventually};

    const WRITER: &str = r#"
import os, sys, time
folder = sys.argv[1]
def write(name, content, sync):
    fd = os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT)
    os.write(fd, content)
    if sync: os.fsync(fd)
    os.close(fd)
def sync_folder():
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
write("kept", b"A" * 9000, True)
write("old", b"old", True)
sync_folder()
write("kept", b"B" * 20000, False)
write("nameless", b"C" * 100, True)
write("replacement", b"new", True)
os.rename(os.path.join(folder, "replacement"), os.path.join(folder, "old"))
os.unlink(os.path.join(folder, "kept"))
print("done", flush=True)
time.sleep(600)
"#;

    fn after_a_cut(deaf: bool) -> (tempfile::TempDir, PathBuf) {
        let folder = rig::folder();
        let watched = folder.path().join("watched");
        fs::create_dir(&watched).unwrap();
        let power = PowerCut::prepare(folder.path());
        power.arm();
        let mut command = Command::new("python3");
        command
            .args(["-c", WRITER])
            .arg(&watched)
            .envs(power.environment(&watched, deaf));
        let mut process = Process::start("writer", folder.path(), &mut command);
        eventually("the writer", PATIENCE, || {
            if process.log().contains("done") {
                Ok(())
            } else {
                Err(process.log())
            }
        });
        power.cut(&mut process, 1, 0);
        (folder, watched)
    }

    #[test]
    fn what_was_not_synced_is_gone_and_the_rest_is_whole() {
        let (_folder, watched) = after_a_cut(false);
        let read = |name: &str| fs::read(watched.join(name)).ok();
        assert_eq!(read("kept"), Some(vec![b'A'; 9000]));
        assert_eq!(read("old"), Some(b"old".to_vec()));
        assert_eq!(read("nameless"), None, "its folder was not synced");
        assert_eq!(read("replacement"), None);
    }

    #[test]
    fn on_a_disk_that_lies_nothing_survives() {
        let (_folder, watched) = after_a_cut(true);
        let left: Vec<_> = fs::read_dir(&watched).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
