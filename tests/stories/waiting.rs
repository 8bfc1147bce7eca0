//! What keeps a laptop from its collector, with the real agent: `status` and `doctor` say it in words and exit code,
//! without a secret, and the agent goes on by itself once the cause is gone. No network, a wrong token, a dead
//! collector and a wrong clock are told in `packages/faults.rs`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::gate::{Gate, Way};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, wall_clock};
use rollcall_tests::rig::pki::Pki;
use rollcall_tests::rig::process::Process;

use crate::settings::QUICK;

/// An agent tries again after some seconds at first, and after up to a minute when it has failed some times.
const HEALING: Duration = Duration::from_secs(180);

const BLOCK_PAGE: &str = "HTTP/1.1 403 Forbidden\r\nServer: FortiGuard\r\nConnection: close\r\n\r\n\
     <html><title>Web Page Blocked</title></html>";

/// What `status` and `doctor` have to say.
struct Said<'a> {
    code: i32,
    waits_for: &'a str,
    words: &'a str,
}

/// A laptop with a token of its own, and the collector that made it.
struct Story<'a> {
    collector: &'a Collector,
    laptop: Laptop,
    token: String,
}

impl<'a> Story<'a> {
    fn new(folder: &Path, name: &str, collector: &'a Collector, options: &[&str]) -> Self {
        let token = collector.token(&[&["--site", "Lincoln"], options].concat());
        let laptop = Laptop::new(folder, name);
        Self {
            collector,
            laptop,
            token,
        }
    }

    /// Starts the agent with an address and further settings.
    fn start(&mut self, address: &str, settings: &str) {
        fs::create_dir_all(&self.laptop.data).unwrap();
        let file = self.laptop.data.join("given-token");
        fs::write(&file, &self.token).unwrap();
        self.laptop.configure(&format!(
            "collector = \"{address}\"\ntoken_file = \"{}\"\n{settings}",
            file.display()
        ));
        self.laptop.run();
    }

    fn is_told(&self, said: &Said) {
        eventually(said.waits_for, PATIENCE, || {
            let status = self.laptop.command(&["status"]);
            let all = format!("{:?}: {}{}", status.status, status.stdout, status.stderr);
            let waits = format!("waits for   {}\n", said.waits_for);
            let found = status.status.code() == Some(said.code)
                && status.stdout.contains(&waits)
                && status.stdout.contains(said.words);
            require(found, || all)
        });
        let doctor = self.laptop.command(&["doctor"]);
        let page = &doctor.stdout;
        assert!(page.contains("FAIL") && page.contains(said.words), "{page}");
        assert_eq!(doctor.status.code(), Some(said.code), "{page}");
        let secret = self.token.split('.').nth(1).unwrap();
        assert!(!page.contains(secret), "a secret was shown: {page}");
    }

    /// Nobody touches the agent: it connects by itself.
    fn heals(&mut self) {
        eventually("an agent that goes on by itself", HEALING, || {
            let status = self.laptop.command(&["status"]);
            require(status.status.success(), || {
                format!("{}{}", status.stdout, status.stderr)
            })
        });
        let doctor = self.laptop.command(&["doctor"]);
        assert!(doctor.status.success(), "{}", doctor.stdout);
        let id = self.laptop.device();
        eventually("its reports", PATIENCE, || {
            let devices = self.collector.devices()?;
            let has_it = devices
                .iter()
                .any(|device| device["id"] == id && device["last_report_at"].is_string());
            require(has_it, || format!("{devices:?}"))
        });
        self.laptop.stop();
    }
}

#[test]
fn waiting_for_a_filter_is_told_with_its_name_and_ends_by_itself() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let gate = Gate::new(Way::Answer(BLOCK_PAGE));
    let mut story = Story::new(folder.path(), "filtered", &collector, &[]);
    story.start(&gate.address.to_string(), "");
    story.is_told(&Said {
        code: 12,
        waits_for: "a content filter or firewall that lets the collector through",
        words: "is blocked by FortiGate, which answers in the collector's place",
    });
    gate.set(Way::Open(collector.grpc));
    story.heals();
    collector.stop();
}

#[test]
fn waiting_for_an_end_of_interception_is_told_with_the_issuer_and_ends_by_itself() {
    if rig::program("openssl").is_none() {
        return rig::skip("TLS that a filter opens", "`openssl` is not installed");
    }
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let filter = Filter::start(folder.path());
    let gate = Gate::new(Way::Open(filter.address));
    let mut story = Story::new(folder.path(), "opened", &collector, &[]);
    story.start(&gate.address.to_string(), "");
    story.is_told(&Said {
        code: 13,
        waits_for: "a filter that does not open TLS to the collector",
        words: "Securly Inspection CA (the filter Securly)",
    });
    gate.set(Way::Open(collector.grpc));
    story.heals();
    collector.stop();
}

#[test]
fn waiting_for_a_proxy_is_told_and_ends_by_itself() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let gate = Gate::new(Way::Answer(
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n",
    ));
    let mut story = Story::new(folder.path(), "behind-proxy", &collector, &[]);
    let address = collector.grpc.to_string();
    story.start(&address, &format!("proxy = \"http://{}\"\n", gate.address));
    story.is_told(&Said {
        code: 14,
        waits_for: "a proxy that opens the way to the collector",
        words: "answered `HTTP/1.1 403 Forbidden` to CONNECT",
    });
    gate.set(Way::Tunnel(collector.grpc));
    story.heals();
    collector.stop();
}

#[test]
fn waiting_for_a_token_that_has_not_expired_is_told_and_ends_by_itself() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let mut story = Story::new(folder.path(), "late", &collector, &["--expires", "1s"]);
    let expired = wall_clock().plus_ms(1_000);
    eventually("the end of the token's life", PATIENCE, || {
        require(wall_clock() > expired, || "it is valid".to_owned())
    });
    story.start(&collector.grpc.to_string(), "");
    eventually("a token that has expired", PATIENCE, || {
        let status = story.laptop.command(&["status"]);
        let found = status.status.code() == Some(16) && status.stdout.contains("expired");
        require(found, || format!("{status:?}"))
    });
    story.token = collector.token(&["--site", "Lincoln"]);
    fs::write(story.laptop.data.join("given-token"), &story.token).unwrap();
    story.heals();
    collector.stop();
}

/// The agent sees a name table and a resolver of its own; nothing of this machine's is changed.
#[test]
fn waiting_for_a_name_is_told_and_ends_by_itself() {
    const STORY: &str = "a name that is not found";
    if !rig::is_root() || rig::program("unshare").is_none() {
        return rig::skip(
            STORY,
            "only root may give a process files of its own, by `unshare`",
        );
    }
    let has_route = fs::read_to_string("/proc/net/route").is_ok_and(|table| {
        table
            .lines()
            .any(|line| line.split('\t').nth(1) == Some("00000000"))
    });
    if !has_route {
        return rig::skip(STORY, "this machine has no network, and that is told first");
    }
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let hosts = folder.path().join("hosts");
    let own = [
        ("/etc/hosts", "127.0.0.2 nobody\n"),
        ("/etc/nsswitch.conf", "hosts: files dns\n"),
        // Nobody answers there, and that is told at once.
        (
            "/etc/resolv.conf",
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        ),
    ];
    let mut script = String::new();
    for (at, content) in own {
        let file = folder.path().join(at.trim_start_matches("/etc/"));
        fs::write(&file, content).unwrap();
        script.push_str(&format!("mount --bind {} {at}\n", file.display()));
    }
    let mut story = Story::new(folder.path(), "nameless", &collector, &[]);
    let launcher = format!("{script}exec \"$@\"");
    story
        .laptop
        .launch_by(&["unshare", "--mount", "sh", "-euc", &launcher, "sh"]);
    story.start(&format!("localhost:{}", collector.grpc.port()), "");
    story.is_told(&Said {
        code: 11,
        waits_for: "a network that finds the collector's name",
        words: "not found",
    });
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    story.heals();
    collector.stop();
}

/// A filter that answers with a certificate of its own for every name.
struct Filter {
    address: SocketAddr,
    _process: Process,
}

impl Filter {
    fn start(folder: &Path) -> Self {
        let pki = Pki::of(folder, "Securly Inspection CA");
        let address = SocketAddr::from(([127, 0, 0, 1], rig::ports::free()));
        let mut command = Command::new("openssl");
        command.args([
            "s_server",
            "-quiet",
            "-accept",
            &address.to_string(),
            "-cert",
        ]);
        command.arg(&pki.certificate).arg("-key").arg(&pki.key);
        let process = Process::start("filter", folder, &mut command);
        eventually("a filter", PATIENCE, || {
            std::net::TcpStream::connect(address).map(drop)
        });
        Self {
            address,
            _process: process,
        }
    }
}
