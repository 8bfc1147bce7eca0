//! The web pages as people use them: the real collector with a fleet's past, in a real Chromium.

mod keyboard;
mod pages;
mod together;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig::browser::{Driver, Window};
use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::patience::{PATIENCE, eventually, require};
use rollcall_tests::rig::process::{self, Process};
use rollcall_tests::rig::{self, binaries};
use serde_json::Value;
use tempfile::TempDir;

/// How long a fleet's past may take to be written: some seconds on idle cores.
const FILL: Duration = Duration::from_secs(180);

/// Laptops that look around and report every ten seconds.
const SCHEDULE: &str = "[agents.schedule]\nfast_s = 10\nnetwork_s = 10\nsend_s = 10\n";

/// A collector with a fleet's past, and what opens windows onto it. Fields end in this order.
struct Desk {
    driver: Driver,
    collector: Collector,
    folder: TempDir,
}

impl Desk {
    /// Opens a desk, or says what is missing and tells no story.
    fn open(story: &str) -> Option<Self> {
        Self::open_with(story, |_| SCHEDULE.to_owned())
    }

    /// Opens one whose collector is configured so, with what the configuration names in the folder.
    fn open_with(story: &str, config: impl FnOnce(&Path) -> String) -> Option<Self> {
        let folder = rig::folder();
        let driver = match Driver::start(folder.path()) {
            Ok(driver) => driver,
            Err(missing) => {
                rig::skip(story, missing);
                return None;
            }
        };
        let config = config(folder.path());
        let mut collector = Collector::initialised(folder.path(), &config);
        let mut fill = Command::new(binaries::simulator());
        fill.arg("fill").arg("--data").arg(&collector.data);
        fill.args(["--devices", "60", "--days", "9", "--step", "300"]);
        let _ = process::run(&mut fill, FILL).success();
        collector.run();
        eventually("something to do", PATIENCE, || {
            let firing = collector.alerts("firing")?.len();
            require(firing > 3, || format!("{firing} alerts"))
        });
        Some(Self {
            driver,
            collector,
            folder,
        })
    }

    /// The whole address of a path.
    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.collector.http)
    }

    /// A window in which the holder of an API token is signed in.
    fn signed_in(&self, token: &str) -> Window {
        let window = self.driver.open();
        window.resize(1440, 1000);
        window.go(&self.at("/sign-in"));
        self.sign_in(&window, token);
        window
    }

    /// Signs in at the page to do so, by the keyboard.
    fn sign_in(&self, window: &Window, token: &str) {
        window.fill("input[name=token]", token);
        window.keys([rig::browser::key::ENTER]);
        window.wait_at("/");
        window.wait(
            "a page of one's own",
            "document.querySelector('header.top form')",
        );
    }

    /// A window of the admin's.
    fn admin(&self) -> Window {
        self.signed_in(&self.collector.admin_token())
    }

    /// A lesson: laptops that are on, report, and reach what the school depends on or not.
    fn lesson(&self, window: &Window) -> Process {
        let file = self.folder.path().join("token");
        std::fs::write(&file, self.collector.token(&["--site", "Lincoln"])).unwrap();
        let mut simulator = Command::new(binaries::simulator());
        simulator.args(["--devices", "12", "--collector"]);
        simulator.arg(self.collector.grpc.to_string());
        simulator.arg("--token-file").arg(file);
        simulator
            .arg("--data")
            .arg(self.folder.path().join("lesson"));
        let process = Process::start("lesson", self.folder.path(), &mut simulator);
        window.go(&self.at("/reachability"));
        window.wait(
            "what laptops reach",
            "document.querySelector('table.matrix')",
        );
        process
    }

    /// The laptop that was heard of last, which has a history of the last day also on a Sunday.
    fn laptop(&self) -> String {
        let devices = self.collector.devices().unwrap();
        let heard = |device: &Value| device["last_report_at"].as_str().map(str::to_owned);
        let last = devices.iter().max_by_key(|device| heard(device));
        let id = last.and_then(|device| device["id"].as_str());
        id.expect("a device has an id").to_owned()
    }

    /// A laptop that needs attention.
    fn alerting(&self) -> String {
        let firing = self.collector.alerts("firing").unwrap();
        let id = firing[0]["device"].as_str();
        id.expect("an alert has a laptop").to_owned()
    }

    /// Nothing was asked of anybody else, no policy was broken and no script failed.
    fn nothing_wrong(&self, window: &Window) {
        let traffic = window.traffic();
        assert!(!traffic.addresses.is_empty(), "nothing was asked at all");
        assert_eq!(traffic.beyond(&self.at("/")), [""; 0], "asks elsewhere");
        assert_eq!(window.complaints(), [""; 0], "the console");
    }
}
