//! A school that lets nothing out but through its HTTP proxy.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::proxy::Proxy;

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
