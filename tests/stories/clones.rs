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

/// A disk was imaged without `prepare-image`, and two hundred laptops are cloned from it: the fingerprint of
/// each catches it. Then once more from a prepared image.
#[test]
fn two_hundred_clones_of_one_disk_become_two_hundred_devices() {
    const CLONES: usize = 200;
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let token = collector.token(&["--site", "Lincoln", "--uses", "1"]);
    let reference = Laptop::new(folder.path(), "reference");
    let _ = reference.enroll(collector.grpc, &token).success();

    let forgotten = crate::settings::clones(&reference, folder.path(), "forgotten", CLONES);
    let address = collector.grpc.to_string();
    let devices = running_together(&forgotten, &address, || streaming_of(&collector, CLONES));
    let original = reference.device();
    assert!(
        devices
            .iter()
            .all(|device| device["cloned_from"] == *original)
    );

    let _ = reference.command(&["prepare-image"]).success();
    let token = collector.token(&["--site", "Franklin", "--uses", "200"]);
    std::fs::write(reference.data.join("token"), token).unwrap();
    let prepared = crate::settings::clones(&reference, folder.path(), "prepared", CLONES);
    let devices = running_together(&prepared, &address, || {
        let devices = collector.devices()?;
        let fresh =
            |device: &Value| device["site"] == "Franklin" && device["last_report_at"].is_string();
        let fresh: Vec<Value> = devices.into_iter().filter(fresh).collect();
        require(fresh.len() == CLONES, || {
            format!("{} have reported", fresh.len())
        })?;
        Ok(fresh)
    });
    assert!(devices.iter().all(|device| device["cloned_from"].is_null()));
    assert!(
        prepared
            .iter()
            .all(|clone| !clone.paths.dropped_token().exists())
    );
    collector.stop();
}

/// Runs agents in this process until a probe has its answer: two hundred processes would take minutes to start.
fn running_together<T>(
    clones: &[rollcall_agent::agent::Setup],
    address: &str,
    probe: impl FnMut() -> Result<T, String>,
) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let (stop, _) = tokio::sync::watch::channel(false);
    for setup in clones {
        let mut setup = setup.clone();
        setup.config.collector = Some(address.parse().unwrap());
        let clock = std::sync::Arc::new(rollcall_shared::time::SystemClock);
        let agent = rollcall_agent::agent::Agent::build(setup, clock).unwrap();
        let mut stopped = stop.subscribe();
        runtime.spawn(agent.run(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
    }
    let answer = eventually("all clones", 4 * PATIENCE, probe);
    stop.send_replace(true);
    runtime.shutdown_timeout(PATIENCE);
    answer
}

/// The devices that have reported, once there are so many.
fn streaming_of(collector: &Collector, count: usize) -> Result<Vec<Value>, String> {
    let devices = collector.devices()?;
    let live = |device: &Value| device["last_report_at"].is_string();
    let live: Vec<Value> = devices.into_iter().filter(live).collect();
    require(live.len() == count, || {
        format!("{} have reported", live.len())
    })?;
    Ok(live)
}

/// All devices, if exactly so many exist and every one is connected and has reported.
fn streaming(collector: &Collector, count: usize) -> Result<Vec<Value>, String> {
    let devices = collector.devices()?;
    let live = |device: &Value| device["connected"] == true && device["last_report_at"].is_string();
    let all = devices.len() == count && devices.iter().all(live);
    require(all, || format!("{devices:#?}"))?;
    Ok(devices)
}
