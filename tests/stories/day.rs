//! A day of one laptop in real networks: at school, at home, before a login page, behind filters, with
//! every fault of a network made for real, and back at school. What the collector tells of that day is
//! asserted line by line.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rollcall_shared::time::UnixMs;
use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, wall_clock};
use rollcall_tests::rig::process::Process;
use rollcall_tests::rig::world::{Manner, Network, Server};

mod trust;
use trust::Trust;

/// How long a state lasts at least before the day goes on.
const HOLD_MS: i64 = 2000;

/// How long something else may be seen while one state gives way to the next: an attempt that was under
/// way, with a lookup that is waited for, takes up to 10 s on an idle machine.
const SETTLING_MS: i64 = 60_000;

/// Reports that a laptop without a way out keeps of each state: the first may still be of the one before.
const KEPT_APART: u64 = 3;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok";
const EMPTY: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
const LOGIN: &str =
    "HTTP/1.1 302 Found\r\nLocation: http://login.cafe.test/\r\nContent-Length: 0\r\n\r\n";
const BLOCK: &str = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n\
    <html><title>Web Page Blocked</title>FortiGuard Intrusion Prevention - Access Blocked</html>";

/// What all places have in common: the internet is behind the router, and the beacon is for the school.
const BASE: &str = "table inet f {\n\
    chain guard { type filter hook forward priority 0; policy accept;\n\
    ip saddr != 10.71.1.0/24 ip daddr 10.72.0.5 drop; }\n}";

#[test]
fn the_day_of_one_laptop_is_told_line_by_line() {
    let missing = ["ip", "nft", "dnsmasq", "nsenter", "unshare", "python3"]
        .into_iter()
        .find(|name| rig::program(name).is_none());
    if let Some(missing) = missing {
        return rig::skip(
            "a day in real networks",
            &format!("`{missing}` is not installed"),
        );
    }
    if !rig::is_root() {
        return rig::skip("a day in real networks", "only root may make networks");
    }
    let folder = rig::folder();
    let mut day = Day::begin(folder.path());
    day.tell();
    day.end();
}

/// One step, and what the collector should tell of it.
struct Step {
    line: String,
    from: UnixMs,
    to: UnixMs,
    /// How long it should be told without a break.
    hold_ms: i64,
}

struct Day {
    folder: PathBuf,
    router: Network,
    internet: Network,
    laptop_network: Network,
    collector: Collector,
    laptop: Laptop,
    device: String,
    names: Option<Process>,
    slow: Option<Process>,
    /// Servers that stand for the whole day, and those of the moment.
    servers: Vec<Server>,
    passing: Vec<Server>,
    trust: Trust,
    steps: Vec<Step>,
    _beacon: Process,
}

impl Day {
    fn begin(folder: &Path) -> Self {
        let router = Network::new("router", folder);
        let internet = Network::new("internet", folder);
        let laptop_network = Network::new("laptop-network", folder);
        lay_cables(&router, &internet, &laptop_network);
        let trust = Trust::make(folder);
        let servers = vec![
            internet.serve("10.72.0.10:443", Manner::Secure(trust.canvas(), OK)),
            internet.serve("[fd72::10]:443", Manner::Secure(trust.canvas(), OK)),
            internet.serve("10.72.0.11:443", Manner::Secure(trust.expired(), OK)),
            internet.serve("10.72.0.12:443", Manner::Secure(trust.canvas(), BUSY)),
            internet.serve("10.72.0.20:80", Manner::Plain(EMPTY)),
            router.serve("0.0.0.0:8081", Manner::Plain(LOGIN)),
            router.serve("0.0.0.0:8082", Manner::Plain(BLOCK)),
            router.serve("0.0.0.0:8083", trust.interceptor("10.72.0.10:443")),
            router.serve("0.0.0.0:8084", Manner::Secure(trust.stranger(), OK)),
            router.serve("0.0.0.0:8085", Manner::Cut),
        ];
        // The collector stands in the internet, and so does this thread from here on.
        internet.enter();
        let mut collector = Collector::initialised_at(folder, CONFIG, &["10.72.0.2"]);
        collector.grpc = "10.72.0.2:8443".parse().unwrap();
        collector.run();
        let beacon = beacon(folder, &collector, &internet);
        let laptop = laptop(folder, &laptop_network, &trust);
        let mut day = Self {
            folder: folder.to_owned(),
            router,
            internet,
            laptop_network,
            collector,
            laptop,
            device: String::new(),
            names: None,
            slow: None,
            servers,
            passing: Vec::new(),
            trust,
            steps: Vec::new(),
            _beacon: beacon,
        };
        day.at("10.71.1", true);
        day.names_as_usual();
        day.router.rules(folder, BASE);
        day.enrol();
        day
    }

    fn enrol(&mut self) {
        let token = self.collector.token(&["--site", "Lincoln"]);
        let _ = self.laptop.enroll(self.collector.grpc, &token).success();
        self.laptop.run();
        self.device = eventually("a first report", PATIENCE, || {
            let devices = self.collector.devices()?;
            let id = devices.first().and_then(|device| device["id"].as_str());
            id.map(str::to_owned).ok_or_else(|| "no device".to_owned())
        });
    }

    /// The day itself.
    fn tell(&mut self) {
        self.step("on-campus:Lincoln", FINE, FINE, "none", "ok", "both");

        // Home, with a provider whose IPv6 leads to nothing.
        self.at("10.71.2", true);
        self.step("off-campus", FINE, FINE, "none", "ok", "both");
        let rule = "chain six { type filter hook forward priority 1; ip6 daddr fd72::10 drop; }";
        self.rules_with(rule);
        self.step("off-campus", FINE, FINE, "none", "ok", "v4 alone");

        // A café: first its login page, then the network behind it.
        self.at("10.71.3", false);
        self.redirect("tcp dport 80 redirect to :8081; tcp dport 443 reject with tcp reset");
        let portal = "http/captive_portal: a login page stands before the network";
        let refused = "tcp/connection_refused: the connection was refused";
        self.step("off-campus", refused, portal, "-", "ok", "no v6");
        self.router.rules(&self.folder, BASE);
        self.step("off-campus", FINE, FINE, "none", "ok", "no v6");

        // Filters: one that blocks and opens the encryption, one that nobody here trusts, and one that
        // cuts what it does not like.
        self.redirect("tcp dport 80 redirect to :8082; tcp dport 443 redirect to :8083");
        let blocked = "http/blocked: a content filter blocks it (FortiGuard)";
        self.step(
            "off-campus",
            FINE,
            blocked,
            "District Web Filter",
            "ok",
            "no v6",
        );
        self.redirect("tcp dport 443 redirect to :8084");
        let stranger = "tls/tls_intercepted: the certificate is signed by `Stranger in the Middle`, \
             which this system does not trust";
        self.step(
            "off-campus",
            stranger,
            FINE,
            "Stranger in the Middle",
            "ok",
            "no v6",
        );
        self.redirect("tcp dport 443 redirect to :8085");
        let cut = "tls/connection_reset: the connection was reset once it had the target's name, as \
             filters do";
        self.step("off-campus", cut, FINE, "-", "ok", "no v6");
        self.rules_with("chain drops { type filter hook forward priority 1; tcp dport 443 drop; }");
        let silent = "tcp/connection_timed_out: no answer within 5 s";
        self.step("off-campus", silent, FINE, "-", "ok", "no v6");
        self.router.rules(&self.folder, BASE);

        // The service's own faults.
        self.names(&["--address=/canvas.test/10.72.0.11"]);
        let expired = "tls/certificate_expired: the certificate expired on 2021-01-01, or the \
             laptop's clock is ahead";
        self.step("off-campus", expired, FINE, "none", "ok", "no v6");
        self.names(&["--address=/canvas.test/10.72.0.12"]);
        let busy = "http/server_error: the server answered with status 503";
        self.step("off-campus", busy, FINE, "none", "ok", "no v6");

        // Names: unknown, refused, blocked, forged, slow, and no answer at all.
        self.names(&["--address=/canvas.test/"]);
        let unknown = "dns/name_not_found: the name is not known to the name server";
        self.step("off-campus", unknown, FINE, "-", "ok", "no v6");
        self.names_alone(&[]);
        let refused = "dns/name_refused: the name server refuses this laptop's questions";
        self.step("off-campus", refused, refused, "-", "refused", "no v6");
        self.names(&["--address=/canvas.test/0.0.0.0"]);
        let nowhere =
            "dns/blocked: the name server gives an address that leads nowhere, as filters do";
        self.step("off-campus", nowhere, FINE, "-", "ok", "no v6");
        self.names_alone(&["--address=/#/10.72.0.66"]);
        let forged = "dns/name_hijacked: the name server gives the address that it gives for names \
             without an owner";
        self.step("off-campus", forged, forged, "-", "hijacked", "no v6");
        self.names_slowly();
        self.step("off-campus", FINE, FINE, "none", "slow", "no v6");
        self.names_as_usual();
        self.rules_with("chain in { type filter hook input priority 0; udp dport 53 drop; }");
        let unanswered = "dns/name_timed_out: no name server answered in time";
        self.step(
            "off-campus",
            unanswered,
            unanswered,
            "-",
            "timed_out",
            "no v6",
        );
        self.router.rules(&self.folder, BASE);

        // Nothing: a router that is silent, no address, no link.
        self.silence_router(true);
        let gateway = "gateway/gateway_silent: the gateway does not answer on the link";
        self.apart(gateway, "timed_out");
        self.silence_router(false);
        self.laptop_network.ip("addr flush dev wlp2s0");
        let address = "address/no_address: no address was given to the link";
        self.apart(address, "timed_out");
        self.laptop_network.ip("link set wlp2s0 down");
        let link = "link/no_link: no network link is up";
        self.apart(link, "timed_out");

        // And back.
        self.at("10.71.1", true);
        self.step("on-campus:Lincoln", FINE, FINE, "none", "ok", "both");
    }

    fn end(mut self) {
        self.laptop.stop();
        let told = self.told(UnixMs(0));
        let runs = runs(&told);
        let text: Vec<String> = runs.iter().map(Run::to_string).collect();
        let text = text.join("\n");
        let mut rest = runs.iter();
        for step in &self.steps {
            let mut passing = 0;
            let run = rest.by_ref().find(|run| {
                let is_this = run.line == step.line && run.lasted() >= step.hold_ms;
                passing += if is_this { 0 } else { run.lasted() };
                is_this
            });
            let Some(run) = run else {
                panic!("nothing is told of `{}`:\n{text}", step.line);
            };
            // What is between two steps is a moment of passing from one to the other.
            assert!(
                passing < SETTLING_MS,
                "{passing} ms of other things were told before `{}`:\n{text}",
                step.line
            );
            // A report is of the moment in which its round of attempts began.
            let began = run.from - step.from.0;
            let window = step.to.0 - step.from.0;
            assert!(
                (-SETTLING_MS..=window).contains(&began),
                "`{}` began {began} ms after its cause, and the step had {window} ms\n{text}",
                step.line
            );
            let late = run.to - step.to.0;
            let is_last = std::ptr::eq(step, self.steps.last().unwrap());
            assert!(
                is_last || late < SETTLING_MS,
                "{run} ended {late} ms late\n{text}"
            );
        }
        self.passing.clear();
        self.servers.clear();
        self.collector.stop();
        drop(self.trust);
        drop(self.internet);
    }

    /// Waits until the collector tells this of the laptop, and for long enough.
    fn step(&mut self, place: &str, canvas: &str, internet: &str, by: &str, dns: &str, ip: &str) {
        let line = line(place, canvas, internet, by, dns, ip);
        let from = self.changed_at();
        eventually(&line, 2 * PATIENCE, || {
            let runs = runs(&self.told(from));
            let last = runs.last().ok_or("nothing is told yet")?;
            let is_this = last.line == line && last.lasted() >= HOLD_MS;
            require(is_this, || format!("it tells {last}"))
        });
        self.note(line, from, HOLD_MS);
    }

    /// A state in which the collector hears nothing until it is over: it lasts until the laptop has kept
    /// some reports of it.
    fn apart(&mut self, why: &str, dns: &str) {
        let line = line("unknown", why, why, "-", dns, "no v6");
        let from = self.changed_at();
        let before = self.waiting();
        eventually(&line, 2 * PATIENCE, || {
            let (waiting, lasted) = (self.waiting(), wall_clock().0 - from.0);
            let is_told = waiting >= before + KEPT_APART && lasted >= 2 * HOLD_MS;
            require(is_told, || {
                format!("{waiting} reports wait, {before} before")
            })
        });
        self.note(line, from, 1);
    }

    /// How many reports the laptop keeps for later.
    fn waiting(&self) -> u64 {
        let file = self.laptop.data.join("status.json");
        rollcall_agent::status::Status::load(&file).map_or(0, |status| status.spool.waiting)
    }

    fn changed_at(&self) -> UnixMs {
        self.steps.last().map_or(UnixMs(0), |step| step.to)
    }

    fn note(&mut self, line: String, from: UnixMs, hold_ms: i64) {
        let to = wall_clock();
        self.steps.push(Step {
            line,
            from,
            to,
            hold_ms,
        });
    }

    /// Moves the laptop into a network whose router has the address `prefix`.1.
    fn at(&mut self, prefix: &str, has_v6: bool) {
        let laptop = &self.laptop_network;
        laptop.ip("link set wlp2s0 down");
        laptop.ip("addr flush dev wlp2s0");
        laptop.ip("link set wlp2s0 up");
        laptop.ip(&format!("addr add {prefix}.7/24 dev wlp2s0"));
        laptop.ip(&format!("route replace default via {prefix}.1"));
        if has_v6 {
            laptop.ip("addr add fd71::7/64 dev wlp2s0 nodad");
            laptop.ip("route replace default via fd71::1");
        }
        // A silent server is waited for once, and for longer than a slow one takes.
        let resolver = format!("nameserver {prefix}.1\noptions timeout:2 attempts:1\n");
        self.laptop.write("etc/resolv.conf", &resolver);
    }

    fn redirect(&self, rules: &str) {
        let redirects = rules.split("; ").filter(|rule| rule.contains("redirect"));
        let others = rules.split("; ").filter(|rule| !rule.contains("redirect"));
        let lines = |rules: Vec<&str>| {
            let lines = rules.iter().map(|rule| format!("iifname rl {rule};\n"));
            lines.collect::<String>()
        };
        let (redirects, others) = (lines(redirects.collect()), lines(others.collect()));
        self.rules_with(&format!(
            "chain turn {{ type nat hook prerouting priority dstnat;\n{redirects} }}\n\
             chain refuse {{ type filter hook forward priority 1;\n{others} }}"
        ));
    }

    fn rules_with(&self, chains: &str) {
        let rules = format!("{BASE}\ntable inet g {{\n{chains}\n}}");
        self.router.rules(&self.folder, &rules);
    }

    fn names_as_usual(&mut self) {
        self.names(&[
            "--address=/canvas.test/10.72.0.10",
            "--address=/canvas.test/fd72::10",
        ]);
    }

    /// A name server that knows the beacon, the check for login pages, and what is given.
    fn names(&mut self, known: &[&str]) {
        let usual = [
            "--address=/check.test/10.72.0.20",
            "--address=/beacon.test/10.72.0.5",
            "--address=/com/",
        ];
        self.names_alone(&[&usual, known].concat());
    }

    /// A name server that knows what is given, and refuses every other question.
    fn names_alone(&mut self, known: &[&str]) {
        self.slow = None;
        self.names = None;
        self.names = Some(self.dnsmasq(53, known));
    }

    fn names_slowly(&mut self) {
        self.slow = None;
        self.names = None;
        let known = [
            "--address=/canvas.test/10.72.0.10",
            "--address=/check.test/10.72.0.20",
            "--address=/com/",
        ];
        self.names = Some(self.dnsmasq(5353, &known));
        let script = rig::repository().join("tests/src/rig/slow_dns.py");
        let mut command = self.router.command("python3");
        command.arg(script).args(["0.0.0.0", "5353", "1.2"]);
        self.slow = Some(Process::start("slow-dns", &self.folder, &mut command));
    }

    fn dnsmasq(&self, port: u16, known: &[&str]) -> Process {
        let mut command = self.router.command("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--pid-file=",
            "--user=root",
        ]);
        command.arg(format!("--port={port}")).args(known);
        Process::start("dnsmasq", &self.folder, &mut command)
    }

    fn silence_router(&self, silent: bool) {
        self.router.ip(&format!(
            "link set rl arp {}",
            if silent { "off" } else { "on" }
        ));
        self.laptop_network.ip("neigh flush dev wlp2s0");
    }

    /// What the collector has of the day since a moment: at each time, the latest value of each series.
    fn told(&self, since: UnixMs) -> Vec<(i64, String)> {
        let mut all: BTreeMap<i64, BTreeMap<usize, String>> = BTreeMap::new();
        for (column, (metric, instance)) in SERIES.iter().enumerate() {
            let collector = &self.collector;
            let points = collector.series_since(&self.device, metric, instance, since);
            for point in points.unwrap_or_default() {
                let value = point["value"].as_str().map(str::to_owned);
                let value = value.or_else(|| point["value"].as_bool().map(|b| b.to_string()));
                let at = milliseconds(point["at"].as_str().unwrap_or_default());
                let row = all.entry(at).or_default();
                row.insert(column, value.unwrap_or_else(|| "-".to_owned()));
            }
        }
        let mut now: BTreeMap<usize, String> = BTreeMap::new();
        let rows = all.into_iter().map(|(at, row)| {
            now.extend(row);
            (at, read(&now))
        });
        rows.collect()
    }
}

/// What is looked at, in the order of a line.
const SERIES: [(&str, &str); 12] = [
    ("network.vantage", ""),
    ("network.reachability.failed_stage", "Canvas"),
    ("network.reachability.fault", "Canvas"),
    ("network.reachability.cause", "Canvas"),
    ("network.reachability.failed_stage", "Internet"),
    ("network.reachability.fault", "Internet"),
    ("network.reachability.cause", "Internet"),
    ("network.tls.intercepted_by", "Canvas"),
    ("dns.lookup.state", ""),
    ("network.reachability.ipv4.state", "Canvas"),
    ("network.reachability.ipv6.state", "Canvas"),
    ("network.captive_portal", ""),
];

const FINE: &str = "reached";

fn line(place: &str, canvas: &str, internet: &str, by: &str, dns: &str, ip: &str) -> String {
    format!("{place} | Canvas {canvas} | Internet {internet} | signed by {by} | names {dns} | {ip}")
}

fn read(row: &BTreeMap<usize, String>) -> String {
    let of = |column: usize| row.get(&column).map_or("-", String::as_str);
    let target = |at: usize| match of(at) {
        "none" => FINE.to_owned(),
        stage => format!("{stage}/{}: {}", of(at + 1), of(at + 2)),
    };
    let place = if of(0) == "-" { "unknown" } else { of(0) };
    let ip = match (of(9), of(10)) {
        ("reachable", "reachable") => "both",
        ("reachable", "unreachable") => "v4 alone",
        (_, "-") => "no v6",
        _ => "v6 alone",
    };
    line(place, &target(1), &target(4), of(7), of(8), ip)
}

/// A stretch of time in which one line was told.
struct Run {
    line: String,
    from: i64,
    to: i64,
}

impl Run {
    const fn lasted(&self) -> i64 {
        self.to - self.from
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>6} ms from {}: {}",
            self.lasted(),
            self.from,
            self.line
        )
    }
}

fn runs(told: &[(i64, String)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, line) in told {
        if let Some(last) = runs.last_mut() {
            last.to = *at;
            if last.line == *line {
                continue;
            }
        }
        runs.push(Run {
            line: line.clone(),
            from: *at,
            to: *at,
        });
    }
    runs
}

/// Of a time such as `2026-11-28T10:33:12.123Z`.
fn milliseconds(at: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| -> i64 {
        at.get(range)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 by the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days =
        year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    let seconds = number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    (days * 86_400 + seconds) * 1000 + number(20..23)
}

/// The laptop's end is called as the link of its tree, so that the tree's files speak of it.
fn lay_cables(router: &Network, internet: &Network, laptop: &Network) {
    laptop.link("wlp2s0", router, "rl");
    internet.link("ir", router, "ri");
    for (place, device) in [
        ("10.71.1.1/24", "rl"),
        ("10.71.2.1/24", "rl"),
        ("10.71.3.1/24", "rl"),
    ] {
        router.ip(&format!("addr add {place} dev {device}"));
    }
    router.ip("addr add 10.72.0.1/24 dev ri");
    router.ip("addr add fd71::1/64 dev rl nodad");
    router.ip("addr add fd72::1/64 dev ri nodad");
    for host in [2, 5, 10, 11, 12, 20, 66] {
        internet.ip(&format!("addr add 10.72.0.{host}/24 dev ir"));
    }
    internet.ip("addr add fd72::10/64 dev ir nodad");
    internet.ip("route add default via 10.72.0.1");
    internet.ip("route add default via fd72::1");
    for key in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
        let _ = router.run("sysctl", &["-qw", key]).success();
    }
}

fn beacon(folder: &Path, collector: &Collector, internet: &Network) -> Process {
    let place = folder.to_string_lossy();
    let arguments = [
        "beacon-certificate",
        "--site",
        "Lincoln",
        "--name",
        "beacon.test",
        "--out",
        &place,
    ];
    let _ = collector.command(&arguments).success();
    let mut command = internet.command(&rig::binaries::collector().to_string_lossy());
    command.args(["beacon", "--listen", "10.72.0.5:8444", "--certificate"]);
    command.arg(folder.join("beacon.pem"));
    command.arg("--key").arg(folder.join("beacon.key"));
    Process::start("beacon", folder, &mut command)
}

fn laptop(folder: &Path, network: &Network, trust: &Trust) -> Laptop {
    let mut laptop = Laptop::new(folder, "laptop");
    let tree = &laptop.root;
    let replace = |path: &str, target: &str| {
        let path = tree.join(path);
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.unwrap();
        symlink(target, &path).unwrap();
    };
    replace("proc/net", "/proc/self/net");
    replace(
        "sys/class/net/wlp2s0/operstate",
        "/sys/class/net/wlp2s0/operstate",
    );
    laptop.configure(&format!(
        "[roots]\npublic_roots = \"{}\"\n",
        trust.public.display()
    ));
    laptop.set("SSL_CERT_FILE", &trust.system.to_string_lossy());
    let resolver = laptop.root.join("etc/resolv.conf");
    let script = format!(
        "mount -t sysfs none /sys && mount --bind '{}' /etc/resolv.conf && exec \"$@\"",
        resolver.display()
    );
    let mut words = network.launcher();
    words.extend(["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    laptop.launch_by(&words);
    laptop
}

const CONFIG: &str = "\
[agents.schedule]
fast_s = 1
network_s = 1
disk_s = 60
drive_s = 60
slow_s = 60
send_s = 1
full_s = 1
[[agents.targets]]
name = \"Canvas\"
url = \"https://canvas.test/\"
[[agents.targets]]
name = \"Internet\"
url = \"http://check.test/generate_204\"
[[agents.beacons]]
site = \"Lincoln\"
address = \"beacon.test:8444\"
";
