//! A second machine cloned from the first one's disk gets its own identity; the first keeps its own.

use rollcall_tests::rig;
use rollcall_tests::rig::agent::Laptop;
use rollcall_tests::rig::collector::{Collector, QUIET};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require, throughout};
use serde_json::Value;

use crate::settings::QUICK;

#[test]
fn a_clone_gets_its_own_identity_and_evicts_nobody() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let mut first = Laptop::new(folder.path(), "first");
    first.set_serials("4c4c4544-0042-3510-8052-b4c04f4d3132", "PF1AAAAA");
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let _ = first.enroll(collector.grpc, &token).success();
    first.run();
    let original = eventually("the first laptop", PATIENCE, || streaming(&collector, 1));
    let original = original[0]["id"].clone();
    first.stop();

    let mut second = first.cloned(folder.path(), "second");
    second.set_serials("4c4c4544-0042-3510-8052-b4c04f4d9999", "PF1BBBBB");
    // Both start at once, with one disk's content.
    first.run();
    second.run();
    let both = eventually("two laptops that stream", PATIENCE, || {
        streaming(&collector, 2)
    });
    let clone = both.iter().find(|device| device["id"] != original).unwrap();
    assert_eq!(clone["cloned_from"], original);
    assert_eq!(
        clone["site"], "Lincoln",
        "it keeps the site that it was imaged for"
    );

    let seen = |id: &Value| {
        let devices = collector.devices()?;
        let device = devices.iter().find(|device| device["id"] == *id);
        device
            .map(|device| device["last_report_at"].clone())
            .ok_or("gone".to_owned())
    };
    for id in [&original, &clone["id"]] {
        let before = seen(id).unwrap();
        eventually("further reports of both", PATIENCE, || {
            let now = seen(id)?;
            require(now != before, || format!("{id}: still {now}"))
        });
    }
    throughout("two devices and no loop", QUIET, || {
        streaming(&collector, 2).map(drop)?;
        require(first.process().ended().is_none(), || {
            "the first agent ended".to_owned()
        })
    });
    first.stop();
    second.stop();
    collector.stop();
}

/// Neither machine has a serial number that can be read, so that only their boots tell them apart.
#[test]
fn machines_without_serials_that_share_an_identity_become_two_devices() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), QUICK);
    let mut first = Laptop::new(folder.path(), "first");
    first.strip_serials();
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let _ = first.enroll(collector.grpc, &token).success();
    first.run();
    let original = eventually("the first laptop", PATIENCE, || streaming(&collector, 1));
    let original = original[0]["id"].clone();
    first.stop();

    let mut second = first.cloned(folder.path(), "second");
    second.strip_serials();
    first.run();
    second.run();
    let both = eventually("two laptops that stream", PATIENCE, || {
        streaming(&collector, 2)
    });
    let clone = both.iter().find(|device| device["id"] != original).unwrap();
    assert_eq!(clone["cloned_from"], original);
    throughout("two devices and no loop", QUIET, || {
        streaming(&collector, 2).map(drop)
    });
    first.stop();
    second.stop();
    collector.stop();
}

/// All devices, if exactly so many exist and every one is connected and has reported.
fn streaming(collector: &Collector, count: usize) -> Result<Vec<Value>, String> {
    let devices = collector.devices()?;
    let live = |device: &Value| device["connected"] == true && device["last_report_at"].is_string();
    let all = devices.len() == count && devices.iter().all(live);
    require(all, || format!("{devices:#?}"))?;
    Ok(devices)
}
