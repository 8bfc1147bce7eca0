//! A school that lets nothing out but through its HTTP proxy.

use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::proxy::Proxy;
use rollcall_tests::rig::world::{Manner, Network};

use crate::settings::QUICK;

#[test]
fn the_agent_enrols_and_streams_through_a_proxy() {
    let folder = rig::folder();
    let Some(proxy) = Proxy::start(folder.path()) else {
        return rig::skip("streaming through a proxy", "`tinyproxy` is not installed");
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    laptop.configure(&format!("proxy = \"{}\"\n", proxy.url));
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    eventually("reports through the proxy", PATIENCE, || {
        let devices = collector.devices()?;
        let reports = devices
            .iter()
            .any(|device| device["last_report_at"].is_string());
        require(reports, || format!("{devices:#?}"))
    });
    let connect = format!("CONNECT {}", collector.grpc);
    let tunnels = proxy.log().matches(&connect).count();
    assert!(
        tunnels >= 2,
        "one for the enrolment, one for the stream: {}",
        proxy.log()
    );
    laptop.stop();
    collector.stop();
}

/// The gateway, proxy, collector and learning platform of a school in one.
const SCHOOL: Ipv4Addr = Ipv4Addr::new(10, 71, 9, 1);

/// The straight way is refused to all but the proxy itself.
const RULES: &str = "table inet f { chain guard { type filter hook input priority 0; policy accept;\n\
    ip saddr 10.71.9.10 tcp dport { 8443, 8081 } reject with tcp reset; }\n}";

/// The first proxy that it names is not there, the second one is.
const SCRIPT: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\n\
    Connection: close\r\n\r\nfunction FindProxyForURL(url, host) {\n\
    if (isInNet(host, \"10.71.9.0\", \"255.255.255.0\")) return \"PROXY 10.71.9.1:3127; PROXY 10.71.9.1:3128\";\n\
    return \"DIRECT\"; }\n";

#[test]
fn a_script_that_the_system_names_chooses_the_proxy() {
    let what = "a proxy that a script chooses";
    let programs = ["ip", "nft", "nsenter", "unshare", "proxy", "tinyproxy"];
    let missing = programs
        .into_iter()
        .find(|name| rig::program(name).is_none());
    if let Some(missing) = missing {
        return rig::skip(what, &format!("`{missing}` is not installed"));
    }
    if !rig::is_root() {
        return rig::skip(what, "only root may make networks");
    }
    let folder = rig::folder();
    let folder = folder.path();
    let school = Network::new("school", folder);
    let home_room = Network::new("laptop-network", folder);
    home_room.link("wlp2s0", &school, "sl");
    school.ip("addr add 10.71.9.1/24 dev sl");
    home_room.ip("addr add 10.71.9.10/24 dev wlp2s0");
    home_room.ip("route add default via 10.71.9.1");
    school.rules(folder, RULES);
    let _script = school.serve("10.71.9.1:8000", Manner::Plain(SCRIPT));
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let _platform = school.serve("10.71.9.1:8081", Manner::Plain(answer));
    // This thread, and so proxy and collector, stand in the school from here on.
    school.enter();
    let proxy = Proxy::start_at(folder, SCHOOL, 3128).expect("tinyproxy is installed");
    let mut collector = Collector::initialised_at(folder, QUICK, &["10.71.9.1"]);
    collector.grpc = "10.71.9.1:8443".parse().unwrap();
    collector.run();
    let mut laptop = Laptop::new(folder, "laptop");
    std::fs::create_dir_all(laptop.root.join("usr/bin")).unwrap();
    symlink(
        rig::program("proxy").unwrap(),
        laptop.root.join("usr/bin/proxy"),
    )
    .unwrap();
    laptop.write(
        "etc/environment",
        "auto_proxy=http://10.71.9.1:8000/p.pac\n",
    );
    laptop.configure("[[targets]]\nname = \"Canvas\"\nurl = \"http://10.71.9.1:8081/\"\n");
    let words = home_room.launcher();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    laptop.launch_by(&words);
    let token = collector.token(&["--site", "Lincoln"]);
    // Where the script takes longer than the agent waits for it, on a busy machine, no proxy is found.
    eventually("the enrolment by the proxy", PATIENCE, || {
        let done = laptop.enroll(collector.grpc, &token);
        require(done.status.success(), || done.stderr)
    });
    laptop.run();
    let device = laptop.device();
    let last = |metric: &str, instance: &str| {
        let points = collector.series(&device, metric, instance)?;
        let last = points.last().cloned();
        last.ok_or_else(|| format!("no {metric} yet"))
    };
    for (metric, instance, expected) in [
        ("network.proxy.kind", "", "script"),
        ("network.reachability.state", "Canvas", "reachable"),
    ] {
        eventually(metric, PATIENCE, || {
            let point = last(metric, instance)?;
            require(point["value"] == expected, || format!("{point}"))
        });
    }
    let log = proxy.log();
    assert!(log.contains("CONNECT 10.71.9.1:8443"), "{log}");
    assert!(log.contains("GET http://10.71.9.1:8081/"), "{log}");

    // Without the script's interpreter nothing is claimed of the platform, and the reason is told.
    std::fs::remove_file(laptop.root.join("usr/bin/proxy")).unwrap();
    laptop.stop();
    let said = laptop.command(&["report"]).success();
    assert!(said.contains("libproxy-tools"), "{said}");
    collector.stop();
}
