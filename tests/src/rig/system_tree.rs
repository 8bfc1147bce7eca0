//! A Debian system in a folder, to install packages into: made once by debootstrap, then copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{self, Finished};
use super::{is_root, program, repository};

/// How long debootstrap may take: a minute on a good day, several where the mirror is slow.
const MAKING: Duration = Duration::from_secs(420);

/// How long anything in the tree may take.
const STEP: Duration = Duration::from_secs(120);

/// A system of its own, removed with what holds its folder.
#[derive(Debug)]
pub struct SystemTree {
    /// Its `/`.
    pub root: PathBuf,
    mounts: Vec<PathBuf>,
}

/// Why there can be none on this machine, if there cannot.
///
/// # Errors
/// In words, for a story that is skipped.
pub fn possible() -> Result<(), &'static str> {
    if !is_root() {
        return Err("only root may install packages into a tree of its own");
    }
    for tool in ["debootstrap", "dpkg", "chroot"] {
        if program(tool).is_none() {
            return Err("debootstrap, dpkg or chroot is not installed");
        }
    }
    template().map(drop)
}

/// The tree that others are copied from, in the build folder: a later run finds it there.
fn template() -> Result<PathBuf, &'static str> {
    static MADE: std::sync::OnceLock<Result<PathBuf, &'static str>> = std::sync::OnceLock::new();
    MADE.get_or_init(make_template).clone()
}

fn make_template() -> Result<PathBuf, &'static str> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let folder = target
        .unwrap_or_else(|| repository().join("target"))
        .join("debian-tree");
    if folder.join("complete").exists() {
        return Ok(folder.join("root"));
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|_| "the build folder cannot be written")?;
    let mut command = Command::new("debootstrap");
    command
        .args(["--variant=minbase", "bookworm"])
        .arg(folder.join("root"));
    let made = process::run(&mut command, MAKING);
    if !made.status.success() {
        return Err("debootstrap could not make a Debian tree; is its mirror in reach?");
    }
    let packages = folder.join("root/var/cache/apt/archives");
    for file in fs::read_dir(packages).into_iter().flatten().flatten() {
        let _ = fs::remove_file(file.path());
    }
    fs::write(folder.join("complete"), "").map_err(|_| "the build folder cannot be written")?;
    Ok(folder.join("root"))
}

/// What management tools need in a system: Ansible and Puppet themselves, and the `systemctl` that they call.
const MANAGED: &[&str] = &["ansible-core", "puppet-agent", "systemd"];

/// As [`possible`], for a system with management tools in it.
///
/// # Errors
/// In words, for a story that is skipped.
pub fn managed_possible() -> Result<(), &'static str> {
    possible()?;
    managed_template().map(drop)
}

fn managed_template() -> Result<PathBuf, &'static str> {
    static MADE: std::sync::OnceLock<Result<PathBuf, &'static str>> = std::sync::OnceLock::new();
    MADE.get_or_init(make_managed_template).clone()
}

fn make_managed_template() -> Result<PathBuf, &'static str> {
    let base = template()?;
    let above = base.parent().ok_or("the template has no folder")?;
    let folder = above.with_file_name("debian-tree-managed");
    if folder.join("complete").exists() {
        return Ok(folder.join("root"));
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|_| "the build folder cannot be written")?;
    let mut tree = SystemTree::copy_of(&base, &folder);
    let write =
        |at: &str, text: &str| fs::write(tree.path(at), text).expect("a tree can be written");
    write(
        "/etc/apt/apt.conf.d/99-tests",
        "APT::Install-Recommends \"false\";\n",
    );
    let _ = fs::copy("/etc/resolv.conf", tree.path("/etc/resolv.conf"));
    // No service starts while the tree is made, or later.
    write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(tree.path("/usr/sbin/policy-rc.d"), mode).expect("a mode can be set");
    let install = format!(
        "apt-get -qq update && apt-get -qq -y install {}",
        MANAGED.join(" ")
    );
    let done = tree.run_within(MAKING, &["sh", "-c", &install], &[]);
    tree.unmount();
    if !done.status.success() {
        return Err(
            "Ansible and Puppet could not be installed in a tree; is Debian's mirror in reach?",
        );
    }
    let _ = fs::remove_dir_all(tree.path("/var/cache/apt/archives"));
    fs::write(folder.join("complete"), "").map_err(|_| "the build folder cannot be written")?;
    Ok(tree.root.clone())
}

impl SystemTree {
    /// A copy of the template below `folder`.
    ///
    /// # Panics
    /// When there is no template, or it cannot be copied.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let template = template().expect("`possible` was asked before");
        Self::copy_of(&template, &folder.join("tree"))
    }

    /// A copy of the template with management tools below `folder`.
    ///
    /// # Panics
    /// When there is no such template, or it cannot be copied.
    #[must_use]
    pub fn managed(folder: &Path) -> Self {
        let template = managed_template().expect("`managed_possible` was asked before");
        Self::copy_of(&template, &folder.join("tree"))
    }

    fn copy_of(template: &Path, folder: &Path) -> Self {
        let root = folder.join("root");
        fs::create_dir_all(folder).expect("a folder can be made");
        let mut copy = Command::new("cp");
        let _ = process::run(copy.arg("-a").arg(template).arg(&root), STEP).success();
        let mut tree = Self {
            root,
            mounts: Vec::new(),
        };
        tree.mount("proc", "proc", "/proc");
        tree
    }

    /// Mounts a file system in the tree.
    ///
    /// # Panics
    /// When that fails.
    pub fn mount(&mut self, kind: &str, options: &str, at: &str) {
        let point = self.path(at);
        fs::create_dir_all(&point).expect("a folder can be made");
        let mut command = Command::new("mount");
        command.args(["-t", kind, "-o"]);
        command.arg(if kind == "proc" { "ro" } else { options });
        command.arg(kind).arg(&point);
        let _ = process::run(&mut command, STEP).success();
        self.mounts.push(point);
    }

    /// Shows a folder of this machine in the tree, to be read.
    ///
    /// # Panics
    /// When that fails.
    pub fn show(&mut self, folder: &Path, at: &str) {
        let point = self.path(at);
        fs::create_dir_all(&point).expect("a folder can be made");
        let bind = |options: &[&str], from: &Path| {
            let mut command = Command::new("mount");
            command.args(options).arg(from).arg(&point);
            process::run(&mut command, STEP).success()
        };
        let _ = bind(&["--bind"], folder);
        let _ = bind(&["-o", "remount,bind,ro"], &point);
        self.mounts.push(point.clone());
    }

    /// Makes a folder of the tree read-only until [`SystemTree::unmount`].
    ///
    /// # Panics
    /// When that fails.
    pub fn make_read_only(&mut self, at: &str) {
        let point = self.path(at);
        let bind = |options: &[&str]| {
            let mut command = Command::new("mount");
            command.args(options).arg(&point).arg(&point);
            process::run(&mut command, STEP).success()
        };
        let _ = bind(&["--bind"]);
        let _ = bind(&["-o", "remount,bind,ro"]);
        self.mounts.push(point);
    }

    /// Takes away what was mounted last.
    ///
    /// # Panics
    /// When nothing is mounted, or it is in use.
    pub fn unmount(&mut self) {
        let point = self.mounts.pop().expect("something is mounted");
        let _ = process::run(Command::new("umount").arg(point), STEP).success();
    }

    /// A path of the tree, from outside.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Runs a command in the tree, as root, with nobody to ask.
    pub fn run(&self, words: &[&str]) -> Finished {
        self.run_with(words, &[])
    }

    /// Runs a command in the tree with variables of its environment.
    pub fn run_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Finished {
        self.run_within(STEP, words, variables)
    }

    fn run_within(&self, limit: Duration, words: &[&str], variables: &[(&str, &str)]) -> Finished {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(words).env_clear();
        command
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .envs(variables.iter().copied());
        process::run(&mut command, limit)
    }

    /// Installs a package file of this machine by dpkg.
    ///
    /// # Panics
    /// When the file cannot be copied.
    pub fn install(&self, package: &Path) -> Finished {
        self.install_with(package, &[])
    }

    /// Installs a package file by dpkg with variables of its environment.
    ///
    /// # Panics
    /// When the file cannot be copied.
    pub fn install_with(&self, package: &Path, variables: &[(&str, &str)]) -> Finished {
        let name = package.file_name().expect("a file has a name");
        fs::copy(package, self.path("/var/tmp").join(name)).expect("a package can be copied");
        let inside = format!("/var/tmp/{}", name.to_string_lossy());
        let done = self.run_with(&["dpkg", "--install", &inside], variables);
        let _ = fs::remove_file(self.path(&inside));
        done
    }

    /// Everything outside `/proc`, `/var/tmp` and the package manager's own books, with type, mode and
    /// owner.
    #[must_use]
    pub fn listing(&self) -> Vec<String> {
        let mut find = Command::new("find");
        find.arg(&self.root).args(["-xdev"]);
        find.args(["(", "-path", "*/var/tmp", "-o", "-path", "*/proc"]);
        for book in [
            "*/var/lib/dpkg",
            "*/var/cache/debconf",
            "*/var/log",
            "*/var/lib/rpm",
            "*/.rpmdb",
        ] {
            find.args(["-o", "-path", book]);
        }
        find.args([")", "-prune", "-o", "-printf", "%P %y %m %u %g\\n"]);
        let text = process::run(&mut find, STEP).success();
        // Backups of the books of users, as every change of them leaves.
        let is_backup = |line: &&str| {
            let path = line.split(' ').next().unwrap_or_default();
            path.starts_with("etc/") && (path.ends_with('-') || path.ends_with(".lock"))
        };
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !is_backup(line))
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines
    }
}

impl Drop for SystemTree {
    fn drop(&mut self) {
        while let Some(point) = self.mounts.pop() {
            let _ = Command::new("umount").arg("--lazy").arg(point).status();
        }
    }
}
