//! A laptop with Windows, as far as Wine is one: the agent for Windows as a service.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rollcall_tests::rig;
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{eventually, require};
use rollcall_tests::rig::wine::Wine;
use serde_json::Value;

use crate::settings::QUICK;

/// Wine on a busy machine is slow to start.
const PATIENCE: Duration = Duration::from_secs(120);

const SERVICE: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\rollcall-agent";

#[test]
fn windows_runs_the_agent_as_a_service() {
    let folder = rig::folder();
    let wine = match Wine::start(folder.path()) {
        Ok(wine) => wine,
        Err(reason) => return rig::skip("the agent as a service of Windows", &reason),
    };
    let mut collector = Collector::start(folder.path(), QUICK);
    let laptop = Laptop::new(folder.path(), &collector);

    let _ = laptop.service(&wine, "install").success();
    assert!(
        wine.registry(SERVICE, "Start").contains("0x2"),
        "it starts by itself"
    );
    // Wine keeps no failure actions and knows no delayed start; both are for Windows itself to show.
    let _ = laptop.service(&wine, "install").success();
    let _ = laptop.service(&wine, "start").success();

    let device = eventually("a Windows laptop at the collector", PATIENCE, || {
        let devices = collector.devices()?;
        let device = devices.first().ok_or_else(|| laptop.log())?;
        require(device["last_report_at"].is_string(), || format!("{device}"))?;
        let id = device["id"].as_str().ok_or("a device has an id")?;
        Ok::<_, String>(id.to_owned())
    });
    tells_what_it_is(&collector, &device);
    assert!(!laptop.token.exists(), "the token was used and removed");

    collector.kill();
    eventually("an agent that notices", PATIENCE, || {
        let status = laptop.run(&wine, &["status"]);
        require(!status.status.success(), || format!("{status:?}"))
    });
    collector.run();
    eventually("an agent that is connected again", PATIENCE, || {
        let status = laptop.run(&wine, &["status"]);
        require(status.status.code() == Some(0), || {
            format!("{status:?} {}", laptop.log())
        })
    });
    let before = points(&collector, &device);
    eventually("readings after the restart", PATIENCE, || {
        let after = points(&collector, &device);
        require(after > before, || format!("{before} points, then {after}"))
    });

    let _ = laptop.service(&wine, "stop").success();
    assert_eq!(
        laptop.run(&wine, &["status"]).status.code(),
        Some(3),
        "it does not run"
    );
    assert!(
        laptop.log().contains("stopped"),
        "it stopped in order: {}",
        laptop.log()
    );
    let _ = laptop.service(&wine, "uninstall").success();
    assert!(
        !wine.registry(SERVICE, "Start").contains("0x2"),
        "it is gone"
    );
    let again = laptop.service(&wine, "uninstall");
    assert!(
        again.status.success(),
        "what is gone is removed already: {again:?}"
    );
    let absent = laptop.service(&wine, "start");
    assert!(!absent.status.success());
    assert!(absent.stderr.contains("service install"), "{absent:?}");
    collector.stop();
}

/// What Wine answers is told, and what it does not has its reason.
fn tells_what_it_is(collector: &Collector, device: &str) {
    let reading = |metric: &str, instance: &str| {
        eventually(metric, PATIENCE, || {
            let series = collector.series(device, metric, instance)?;
            series.last().cloned().ok_or_else(|| "no point".to_owned())
        })
    };
    let text = |point: &Value| point.to_string();
    assert!(text(&reading("os.type", "")).contains("windows"));
    assert!(text(&reading("os.name", "")).contains("Windows"));
    for metric in [
        "system.uptime",
        "system.memory.utilization",
        "system.cpu.utilization",
    ] {
        let point = reading(metric, "");
        assert!(!text(&point).contains("unavailable"), "{metric}: {point}");
    }
    let disk = reading("system.filesystem.utilization", "C:");
    assert!(!text(&disk).contains("unavailable"), "{disk}");
}

fn points(collector: &Collector, device: &str) -> usize {
    let series = collector.series(device, "rollcall.spool.size", "");
    let uptime = collector.series(device, "system.cpu.utilization", "");
    series.map_or(0, |points| points.len()) + uptime.map_or(0, |points| points.len())
}

/// A laptop whose data lie in a folder of the story's own.
struct Laptop {
    data: std::path::PathBuf,
    token: std::path::PathBuf,
    config: std::path::PathBuf,
}

impl Laptop {
    fn new(folder: &Path, collector: &Collector) -> Self {
        let laptop = Self {
            data: folder.join("laptop"),
            token: folder.join("token"),
            config: folder.join("agent.toml"),
        };
        fs::write(&laptop.token, collector.token(&["--site", "Lincoln"])).unwrap();
        let config = format!(
            "collector = \"{}\"\ntoken_file = '{}'\nerase_token = true\n",
            collector.grpc,
            Wine::path(&laptop.token)
        );
        fs::write(&laptop.config, config).unwrap();
        laptop
    }

    fn service(&self, wine: &Wine, action: &str) -> rig::process::Finished {
        self.run(wine, &["service", action])
    }

    fn run(&self, wine: &Wine, arguments: &[&str]) -> rig::process::Finished {
        let (data, config) = (Wine::path(&self.data), Wine::path(&self.config));
        let own = ["--data", &data, "--config", &config];
        wine.agent(&[arguments, &own].concat())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.data.join("agent.log")).unwrap_or_default()
    }
}
