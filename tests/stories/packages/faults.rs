//! The installed agent on a bad day: a wrong token, no network, a dead collector, a clock in 2001. Each ends
//! in a state that says what it waits for, and that heals by itself when the cause is gone.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::fake_clock::{self, FakeClock};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::{self, Process};
use rollcall_tests::rig::system_tree::SystemTree;

use super::deb::tree;
use super::{built, rpm};
use crate::settings::QUICK;

/// A system with the agent's package, whose service is run by hand as systemd would.
struct Installed {
    tree: SystemTree,
    folder: std::path::PathBuf,
}

/// Which package a day is told of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Deb,
    Rpm,
}

impl Installed {
    fn new(kind: Kind, story: &str, folder: &Path) -> Option<Self> {
        if matches!(kind, Kind::Rpm) && !rpm::possible(story) {
            return None;
        }
        let tree = tree(story, folder)?;
        let done = match kind {
            Kind::Deb => tree.install(&built().now("rollcall-agent_", ".deb")),
            Kind::Rpm => rpm::install(&tree, &built().now("rollcall-agent-", ".x86_64.rpm")),
        };
        let _ = done.success();
        Some(Self {
            tree,
            folder: folder.to_owned(),
        })
    }

    /// What a deployment tool writes, and what systemd does before each start.
    fn set(&self, collector: SocketAddr, token: &str) {
        let text = format!("ROLLCALL_COLLECTOR={collector}\nROLLCALL_TOKEN={token}\n");
        fs::write(self.tree.path("/etc/rollcall/agent.env"), text).unwrap();
        let setup = ["/usr/lib/rollcall-agent/setup", "before-start"];
        let _ = self.tree.run(&setup).success();
        let left = fs::read_to_string(self.tree.path("/etc/rollcall/agent.env")).unwrap();
        assert!(!left.contains(token), "the token was handed over");
    }

    /// Starts the agent as its user, by way of another program where one is named.
    fn start(&self, launcher: &[&str], variables: &[(&str, &str)]) -> Process {
        let mut words = launcher.iter().copied().chain(["chroot"]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command
            .arg("--userspec=rollcall-agent:rollcall-agent")
            .arg(&self.tree.root);
        command.args(["/usr/bin/rollcall-agent", "run"]).env_clear();
        command
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .envs(self.settings());
        command.envs(variables.iter().copied());
        Process::start("installed-agent", &self.folder, &mut command)
    }

    fn settings(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.tree.path("/etc/rollcall/agent.env")).unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        };
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(pair)
            .collect()
    }

    /// Waits until `status` ends with this code and has these words.
    fn await_status(&self, code: i32, words: &str) {
        eventually(&format!("exit code {code}"), PATIENCE, || {
            let status = self.tree.run(&["/usr/bin/rollcall-agent", "status"]);
            let found = status.status.code() == Some(code) && status.stdout.contains(words);
            require(found, || {
                format!("{:?}: {}{}", status.status, status.stdout, status.stderr)
            })
        });
    }

    fn has_token(&self) -> bool {
        self.tree.path("/var/lib/rollcall-agent/token").exists()
    }
}

#[test]
fn an_installed_package_outlives_a_wrong_token() {
    outlives_a_wrong_token(Kind::Deb);
}

#[test]
fn an_installed_package_outlives_a_dead_collector() {
    outlives_a_dead_collector(Kind::Deb);
}

#[test]
fn an_installed_package_outlives_a_clock_in_2001() {
    outlives_a_clock_in_2001(Kind::Deb);
}

#[test]
fn an_installed_package_outlives_having_no_network() {
    outlives_having_no_network(Kind::Deb);
}

/// The same days one after the other, since a tree each takes its time.
#[test]
fn an_installed_rpm_package_outlives_the_same_days() {
    outlives_a_wrong_token(Kind::Rpm);
    outlives_a_dead_collector(Kind::Rpm);
    outlives_a_clock_in_2001(Kind::Rpm);
    outlives_having_no_network(Kind::Rpm);
}

fn outlives_a_wrong_token(kind: Kind) {
    let folder = rig::folder();
    let Some(installed) = Installed::new(kind, "a wrong token", folder.path()) else {
        return;
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let used_up = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let laptop = rig::agent::Laptop::new(folder.path(), "first");
    let _ = laptop.enroll(collector.grpc, &used_up).success();
    installed.set(collector.grpc, &used_up);
    let mut agent = installed.start(&[], &[]);
    installed.await_status(16, "waits for   a token that the collector accepts");
    // The technician gives another one; nobody starts anything anew.
    let good = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    installed.set(collector.grpc, &good);
    installed.await_status(0, "connected");
    assert!(!installed.has_token(), "a token that was used is erased");
    assert!(agent.stop(PATIENCE).success());
    collector.stop();
}

fn outlives_a_dead_collector(kind: Kind) {
    let folder = rig::folder();
    let Some(installed) = Installed::new(kind, "a dead collector", folder.path()) else {
        return;
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    collector.stop();
    installed.set(collector.grpc, &token);
    let mut agent = installed.start(&[], &[]);
    installed.await_status(15, "waits for   the collector to answer");
    assert!(installed.has_token());
    collector.run();
    installed.await_status(0, "connected");
    assert!(agent.stop(PATIENCE).success());
    collector.stop();
}

fn outlives_a_clock_in_2001(kind: Kind) {
    let Some(clock) = FakeClock::showing("@2001-01-01 00:00:00") else {
        return rig::skip(
            "an installed package in 2001",
            "`faketime` is not installed",
        );
    };
    let clock = clock.with_library_at("/usr/lib/libfaketime.so");
    let folder = rig::folder();
    let Some(installed) = Installed::new(kind, "a clock in 2001", folder.path()) else {
        return;
    };
    fs::copy(
        fake_clock::LIBRARY,
        installed.tree.path("/usr/lib/libfaketime.so"),
    )
    .unwrap();
    let mut collector = Collector::start(folder.path(), QUICK);
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    installed.set(collector.grpc, &token);
    let mut agent = installed.start(&[], &clock.variables());
    // It connects all the same, and says so; nothing has to heal but the clock.
    installed.await_status(0, "days behind the collector's");
    assert!(agent.stop(PATIENCE).success());
    let mut agent = installed.start(&[], &[]);
    eventually("a clock that was set", PATIENCE, || {
        let said = installed
            .tree
            .run(&["/usr/bin/rollcall-agent", "status"])
            .stdout;
        require(
            said.contains("connected") && !said.contains("clock"),
            || said,
        )
    });
    assert!(agent.stop(PATIENCE).success());
    collector.stop();
}

fn outlives_having_no_network(kind: Kind) {
    if rig::program("unshare").is_none() || rig::program("ip").is_none() {
        return rig::skip(
            "an installed package without network",
            "`unshare` or `ip` is not installed",
        );
    }
    let folder = rig::folder();
    let Some(installed) = Installed::new(kind, "no network", folder.path()) else {
        return;
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    installed.set(collector.grpc, &token);
    let mut agent = installed.start(&["unshare", "--net"], &[]);
    installed.await_status(10, "waits for   a network");
    let doctor = installed.tree.run(&["/usr/bin/rollcall-agent", "doctor"]);
    assert!(
        !doctor.stdout.contains(&token) && doctor.stdout.contains("token"),
        "{}",
        doctor.stdout
    );
    plug_in(agent.id(), collector.grpc);
    installed.await_status(0, "connected");
    assert!(agent.stop(PATIENCE).success());
    collector.stop();
}

/// Gives a process's network namespace a way to one address: its loopback, and behind it a relay to ours.
pub(super) fn plug_in(process: u32, address: SocketAddr) {
    let namespace = fs::File::open(format!("/proc/{process}/ns/net")).unwrap();
    let mut up = Command::new("nsenter");
    up.arg(format!("--net=/proc/{process}/ns/net"))
        .args(["ip", "link", "set", "lo", "up"]);
    let _ = process::run(&mut up, PATIENCE).success();
    let (ready, listens) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).unwrap();
        ready.send(TcpListener::bind(address).unwrap()).unwrap();
    });
    let listener = listens.recv_timeout(PATIENCE).unwrap();
    std::thread::spawn(move || {
        for inside in listener.incoming().flatten() {
            let Ok(outside) = TcpStream::connect(address) else {
                continue;
            };
            pipe(&inside, &outside);
            pipe(&outside, &inside);
        }
    });
}

fn pipe(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
