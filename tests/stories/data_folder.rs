//! A data folder that cannot be used: each reason has its own clear error, and nothing is harmed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::device::{Device, runtime};
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::{Finished, run};
use rollcall_tests::rig::{self, binaries};

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = rig::folder();
    let foreign = folder.path().join("photos");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("holiday.jpg"), "not telemetry").unwrap();
    for said in [run_on(&foreign).failure(), init_on(&foreign).failure()] {
        assert!(said.contains("photos"), "the folder is named: {said}");
    }
    let names: Vec<_> = fs::read_dir(&foreign).unwrap().flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let empty = folder.path().join("nothing");
    let said = run_on(&empty).failure();
    assert!(
        said.contains("nothing") && said.contains("init"),
        "what to do is said: {said}"
    );
    assert!(!empty.exists(), "a folder with a wrong name is not made");
}

#[test]
fn a_folder_that_is_in_use_is_refused() {
    let folder = rig::folder();
    let mut collector = Collector::start(folder.path(), "");
    let said = run_on(&collector.data).failure();
    assert!(said.contains("in use") || said.contains("locked"), "{said}");
    let again = init_on(&collector.data).failure();
    assert!(again.contains("already"), "{again}");
    assert!(collector.devices().is_ok(), "the first goes on");
    collector.stop();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = rig::folder();
    let Some(mount) = Tmpfs::mount(&folder.path().join("disk"), 96) else {
        return rig::skip(
            "a read-only data folder",
            "only root may mount a file system",
        );
    };
    let mut collector = Collector::start(&mount.at, "[store]\nreserve_mb = 8\n");
    collector.stop();
    mount.remount("ro");
    let said = run_on(&collector.data).failure();
    assert!(said.contains("ead-only"), "{said}");
    mount.remount("rw");
    collector.run();
    collector.stop();
}

#[test]
fn a_full_disk_refuses_reports_and_loses_none() {
    let folder = rig::folder();
    let Some(mount) = Tmpfs::mount(&folder.path().join("disk"), 128) else {
        return rig::skip("a full disk", "only root may mount a file system");
    };
    let mut collector = Collector::start(&mount.at, "[store]\nreserve_mb = 16\n");
    let token = collector.token(&["--site", "Lincoln"]);
    let runtime = runtime();
    let device = runtime
        .block_on(Device::enroll(collector.grpc, &token, "FULL"))
        .unwrap();
    runtime.block_on(send(&device, &collector, 1, 5)).unwrap();

    let ballast = mount.at.join("ballast");
    mount.fill(&ballast, 4);
    let refused = eventually("a refusal", PATIENCE, || {
        let sent = runtime.block_on(send(&device, &collector, 6, 9));
        sent.err().ok_or("the reports were still taken")
    });
    let counted = collector
        .metric("rollcall_store_refused_full_total")
        .unwrap();
    assert!(counted > 0.0, "{refused:?}");
    let ready = rig::http::get(collector.http, "/readyz", None).unwrap();
    assert_ne!(ready.status, 200, "{}", ready.body);
    fs::remove_file(&ballast).unwrap();
    eventually("reports once there is room", PATIENCE, || {
        runtime
            .block_on(send(&device, &collector, 6, 9))
            .map_err(|status| status.to_string())
    });
    let points = collector
        .series(&device.id.to_string(), "hw.battery.cycles", "BAT0")
        .unwrap();
    assert_eq!(points.len(), 9, "{points:?}");
    collector.stop();
}

async fn send(
    device: &Device,
    collector: &Collector,
    first: u64,
    last: u64,
) -> Result<(), tonic::Status> {
    let mut session = device.open(collector.grpc, first).await?;
    let reports = (first..=last)
        .map(|at| (&device.report(at)).into())
        .collect();
    session.send(device.reports(reports)).await?;
    // A collector that paces instead of answering must not hold the story.
    let limit = std::time::Duration::from_secs(5);
    let acknowledged = tokio::time::timeout(limit, session.acknowledged(last)).await;
    acknowledged.unwrap_or_else(|_| Err(tonic::Status::deadline_exceeded("no acknowledgement")))
}

fn run_on(data: &Path) -> Finished {
    let mut command = Command::new(binaries::collector());
    command.arg("run").arg("--data").arg(data);
    command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    run(&mut command, PATIENCE)
}

fn init_on(data: &Path) -> Finished {
    let mut command = Command::new(binaries::collector());
    command
        .arg("init")
        .arg("--data")
        .arg(data)
        .args(["--name", "localhost"]);
    run(&mut command, PATIENCE)
}

/// A small disk.
struct Tmpfs {
    at: PathBuf,
}

impl Tmpfs {
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at);
        let mounted = rig::is_root() && run(&mut command, PATIENCE).status.success();
        mounted.then(|| Self { at: at.to_owned() })
    }

    fn remount(&self, how: &str) {
        let mut command = Command::new("mount");
        command
            .args(["-o", &format!("remount,{how}")])
            .arg(&self.at);
        let _ = run(&mut command, PATIENCE).success();
    }

    /// Leaves only so much room.
    fn fill(&self, ballast: &Path, megabytes_left: u64) {
        let free = rustix::fs::statvfs(&self.at).unwrap();
        let bytes = (free.f_bavail * free.f_frsize).saturating_sub(megabytes_left << 20);
        let content = vec![7; usize::try_from(bytes).unwrap()];
        fs::write(ballast, content).unwrap();
        let left = rustix::fs::statvfs(&self.at).unwrap();
        require(
            left.f_bavail * left.f_frsize <= megabytes_left << 20,
            || "room".to_owned(),
        )
        .unwrap();
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
