//! The web pages in a real browser.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rollcall_tests::rig::collector::Collector;
use rollcall_tests::rig::{self, binaries, process};

/// How long the browser's own tests may take: about a minute on two idle cores.
const LIMIT: Duration = Duration::from_secs(420);

/// How long the fleet's past may take to be written.
const FILL_LIMIT: Duration = Duration::from_secs(180);

#[test]
fn browser_pages_are_used_by_people_and_by_keyboard() {
    let story = "the web pages in Chromium";
    let Some(chromium) = found(&["chromium", "chromium-browser", "google-chrome"]) else {
        return rig::skip(story, "there is no chromium (apt-get install chromium)");
    };
    let Some(node) = found(&["node"]) else {
        return rig::skip(story, "there is no node (apt-get install nodejs)");
    };
    let tests = rig::repository().join("tests/browser");
    if !tests.join("node_modules/playwright-core").exists() {
        return rig::skip(
            story,
            "playwright-core is not there (npm ci in tests/browser)",
        );
    }
    let folder = rig::folder();
    let mut collector = Collector::initialised(folder.path(), "");
    let mut fill = Command::new(binaries::simulator());
    fill.arg("fill").arg("--data").arg(&collector.data);
    fill.args(["--devices", "60", "--days", "3"]);
    let _ = process::run(&mut fill, FILL_LIMIT).success();
    collector.run();
    let mut browser = Command::new(node);
    browser
        .args(["--test", "pages.test.mjs"])
        .current_dir(&tests)
        .env("ROLLCALL_URL", format!("http://{}", collector.http))
        .env("ROLLCALL_TOKEN_FILE", collector.data.join("admin-token"))
        .env("ROLLCALL_CHROMIUM", chromium);
    let said = process::run(&mut browser, LIMIT).success();
    println!("{said}");
    collector.stop();
}

fn found(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let places = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}
