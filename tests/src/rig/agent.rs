//! A laptop with the real agent, whose `/sys`, `/proc` and `/etc` are a folder of the story's own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_agent::paths::Paths;
use rollcall_agent::spool::{Spool, SpoolLimits};
use rollcall_shared::limits;

use super::patience::PATIENCE;
use super::process::{self, Finished, Process};
use super::{binaries, repository};

/// The tree that a story's laptop starts from: a laptop with a worn battery.
const TREE: &str = "agent/src/collect/fixtures/trees/worn-laptop";

/// A laptop and its agent.
#[derive(Debug)]
pub struct Laptop {
    name: String,
    folder: PathBuf,
    /// The agent's data.
    pub data: PathBuf,
    /// What stands for `/`.
    pub root: PathBuf,
    config: PathBuf,
    environment: Vec<(String, String)>,
    launcher: Vec<String>,
    program: PathBuf,
    process: Option<Process>,
}

impl Laptop {
    /// A laptop with a worn battery, not yet enrolled.
    ///
    /// # Panics
    /// When its files cannot be made.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let root = folder.join(name).join("root");
        copy_tree(&repository().join(TREE), &root);
        let laptop = Self {
            name: name.to_owned(),
            folder: folder.join(name),
            data: folder.join(name).join("data"),
            config: folder.join(name).join("agent.toml"),
            root,
            environment: vec![("NO_COLOR".to_owned(), "1".to_owned())],
            launcher: Vec::new(),
            program: binaries::agent(),
            process: None,
        };
        laptop.configure("");
        laptop
    }

    /// The id that it enrolled under.
    ///
    /// # Panics
    /// When it is not enrolled.
    #[must_use]
    pub fn device(&self) -> String {
        let record = fs::read(self.data.join("identity/device.json"));
        let record: serde_json::Value =
            serde_json::from_slice(&record.expect("it is enrolled")).expect("a record is JSON");
        record["device"].as_str().expect("it has an id").to_owned()
    }

    /// Another laptop that was imaged from this one's disk: the same data, other hardware.
    ///
    /// # Panics
    /// When files cannot be copied.
    #[must_use]
    pub fn cloned(&self, folder: &Path, name: &str) -> Self {
        let clone = Self::new(folder, name);
        copy_tree(&self.data, &clone.data);
        fs::copy(&self.config, &clone.config).expect("the configuration can be copied");
        clone
    }

    /// Writes its `agent.toml`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn configure(&self, text: &str) {
        fs::write(&self.config, text).expect("agent.toml can be written");
    }

    /// Writes a file under what stands for `/`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: &str) {
        let file = self.root.join(path);
        let parent = file.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).expect("a folder can be made");
        fs::write(&file, content).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Sets a value that its battery's `uevent` tells.
    ///
    /// # Panics
    /// When the file cannot be read or has no such key.
    pub fn set_battery(&self, key: &str, value: &str) {
        let path = "sys/class/power_supply/BAT0/uevent";
        let file = self.root.join(path);
        let text = fs::read_to_string(&file).expect("the laptop has a battery");
        let start = format!("{key}=");
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("no {key} in {text}"));
        self.write(path, &text.replace(line, &format!("{key}={value}")));
    }

    /// Gives it the firmware numbers of another machine.
    pub fn set_serials(&self, uuid: &str, serial: &str) {
        self.write("sys/class/dmi/id/product_uuid", &format!("{uuid}\n"));
        self.write("sys/class/dmi/id/product_serial", &format!("{serial}\n"));
    }

    /// Takes away every number by which it could be told from another, and starts it anew.
    ///
    /// # Panics
    /// When a file is not there.
    pub fn strip_serials(&self) {
        let numbers = [
            "class/dmi/id/product_uuid",
            "class/dmi/id/product_serial",
            "block/nvme0n1/device/serial",
        ];
        for file in numbers {
            let file = self.root.join("sys").join(file);
            fs::remove_file(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
        let boot = format!("{}\n", rollcall_shared::id::BootId::generate());
        self.write("proc/sys/kernel/random/boot_id", &boot);
    }

    /// Sets a variable of the environment of its agent.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Has later runs and commands be those of this program.
    pub fn install(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Has its agent started through another program, such as one that changes its clock.
    pub fn launch_by(&mut self, launcher: &[&str]) {
        self.launcher = launcher.iter().map(|&word| word.to_owned()).collect();
    }

    /// Enrols with a token.
    pub fn enroll(&self, collector: SocketAddr, token: &str) -> Finished {
        self.enroll_at(&collector.to_string(), token)
    }

    /// Enrols at an address such as `localhost:443`.
    ///
    /// # Panics
    /// When the token cannot be written to a file.
    pub fn enroll_at(&self, collector: &str, token: &str) -> Finished {
        let file = self.folder.join("token");
        fs::write(&file, token).expect("the token can be written");
        let file = file.to_string_lossy().into_owned();
        self.command(&["enroll", "--collector", collector, "--token-file", &file])
    }

    /// Runs a command of the agent to its end.
    pub fn command(&self, arguments: &[&str]) -> Finished {
        process::run(self.base().args(arguments), PATIENCE)
    }

    /// Starts the agent.
    pub fn run(&mut self) {
        let mut command = self.base();
        command.arg("run");
        self.process = Some(Process::start("agent", &self.folder, &mut command));
    }

    /// Its agent's process.
    ///
    /// # Panics
    /// When it was never run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was run")
    }

    /// Ends its agent as a crash would.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// Stops its agent in order.
    ///
    /// # Panics
    /// When it does not leave with status 0.
    pub fn stop(&mut self) {
        let name = self.name.clone();
        let status = self.process().stop(PATIENCE);
        assert!(
            status.success(),
            "the agent of {name} stopped with {status}"
        );
    }

    fn base(&self) -> Command {
        let mut words = self.launcher.iter();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .arg("--data")
            .arg(&self.data)
            .arg("--config")
            .arg(&self.config);
        command.arg("--root").arg(&self.root);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Copies a folder and all below it; symbolic links are copied as links.
///
/// # Panics
/// When something cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    let entries = fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    for entry in entries.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("an entry has a type");
        let copied = if kind.is_symlink() {
            fs::read_link(&source).and_then(|link| std::os::unix::fs::symlink(link, &target))
        } else if kind.is_dir() {
            copy_tree(&source, &target);
            Ok(())
        } else {
            fs::copy(&source, &target).map(drop)
        };
        copied.unwrap_or_else(|e| panic!("{}: {e}", source.display()));
    }
}

/// The sequence of the last report that the spool of this data folder was given, also while its agent runs.
///
/// # Panics
/// When there is no spool.
#[must_use]
pub fn last_sequence(data: &Path) -> u64 {
    // The spool is its agent's alone, so a copy is opened.
    let copy = super::folder();
    copy_tree(&Paths::new(data).spool(), copy.path());
    let limits = SpoolLimits {
        bytes: limits::SPOOL_BYTES,
        segment_bytes: limits::SPOOL_SEGMENT_BYTES,
    };
    let (spool, _) = Spool::open(copy.path(), limits).expect("the copy of a spool opens");
    spool.stats().last.0
}
