//! What the collector's configuration says reaches agents without a restart, and so does the word
//! that a laptop has left the fleet.

use rollcall_proto::v1;
use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::device::{Device, refusal, runtime};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use tonic::Status;

use crate::settings::QUICK;

#[test]
fn a_changed_configuration_reaches_open_streams() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let mut laptop = Laptop::new(folder.path(), "laptop");
    let token = collector.token(&["--site", "Lincoln"]);
    let _ = laptop.enroll(collector.grpc, &token).success();
    laptop.run();
    let device = eventually("the laptop", PATIENCE, || {
        let devices = collector.devices()?;
        require(devices.len() == 1, || format!("{devices:#?}"))?;
        Ok::<_, String>(devices[0]["id"].as_str().unwrap().to_owned())
    });
    let mentions = |text: &str| {
        let detail = collector
            .get(&format!("/api/v1/devices/{device}"))?
            .to_string();
        require(detail.contains(text), || detail)
    };
    eventually("its first report", PATIENCE, || {
        mentions("hw.battery.health")
    });
    mentions("Gradebook").unwrap_err();
    let target = "\n[[agents.targets]]\nname = \"Gradebook\"\nurl = \"http://127.0.0.1:1/\"\n";
    collector.configure(&format!("{QUICK}{target}"));
    eventually("a reading of the new target", PATIENCE, || {
        mentions("Gradebook")
    });

    // A mistake changes nothing and is named.
    collector.configure("[agents.schedule]\nfast_s = 0\n");
    eventually("the mistake in the log", PATIENCE, || {
        let log = collector.log();
        require(log.contains("fast_s"), || log)
    });
    assert!(collector.process().ended().is_none());
    let before = last_report(&collector);
    eventually("reports as before", PATIENCE, || {
        let now = last_report(&collector);
        require(now != before, || now)
    });
    laptop.stop();
    collector.stop();
}

#[test]
fn revocation_closes_open_streams_at_once() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let token = collector.token(&["--site", "Lincoln", "--uses", "2"]);
    let runtime = runtime();
    let (device, mut session) = runtime.block_on(async {
        let device = Device::enroll(collector.grpc, &token, "LEAVES")
            .await
            .unwrap();
        let session = device.open(collector.grpc, 1).await.unwrap();
        (device, session)
    });
    let id = device.id.to_string();
    let _ = collector.command(&["device", "revoke", &id]).success();
    let end = runtime.block_on(async {
        loop {
            match session.receive().await {
                Ok(v1::down::Message::Retire(_)) => break None,
                Ok(_) => {}
                Err(status) => break Some(status),
            }
        }
    });
    if let Some(status) = end {
        check_revoked(&status);
    }
    let again = runtime
        .block_on(device.open(collector.grpc, 1))
        .unwrap_err();
    check_revoked(&again);
    let listed = collector.get(&format!("/api/v1/devices/{id}")).unwrap();
    assert_eq!(
        (&listed["standing"], &listed["connected"]),
        (&"revoked".into(), &false.into())
    );
    collector.stop();
}

fn check_revoked(status: &Status) {
    assert_eq!(refusal(status), Some("device-revoked"), "{status:?}");
}

fn last_report(collector: &Collector) -> String {
    collector.devices().map_or_else(
        |error| error,
        |devices| devices[0]["last_report_at"].to_string(),
    )
}
