//! Fetches what the web page takes from npm (`web/package-lock.json`, by its checksums), so that the
//! binary holds it.
//!
//! Nothing is written outside `OUT_DIR`. Without npm, or without a registry and an npm cache, an empty
//! file stands in: the pages then draw their charts without zooming, and the build says so.
//! `ROLLCALL_WEB=required` makes that an error, for builds that are handed out; `ROLLCALL_WEB=without`
//! does not ask npm at all.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// What is taken: the package's file, and the name under which the collector embeds it.
const ASSETS: [(&str, &str); 2] = [
    ("uplot/dist/uPlot.iife.min.js", "uplot.js"),
    ("uplot/dist/uPlot.min.css", "uplot.css"),
];

/// Stands at the head of each file, as its licence asks.
const LICENCE: &str = "uplot/LICENSE";

const LOCK: &str = "web/package-lock.json";

fn main() {
    for watched in ["build.rs", LOCK, "web/package.json"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    println!("cargo:rerun-if-env-changed=ROLLCALL_WEB");
    println!("cargo:rerun-if-env-changed=PATH");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let wish = env::var("ROLLCALL_WEB").unwrap_or_default();
    let fetched = match wish.as_str() {
        "without" => Err("ROLLCALL_WEB=without".to_owned()),
        _ => fetch(&out.join("web")).and_then(|()| embed(&out).map_err(|e| e.to_string())),
    };
    let Err(problem) = fetched else { return };
    assert!(
        wish != "required",
        "the web page's charts cannot be fetched from npm: {problem}"
    );
    println!(
        "cargo:warning=the web page is built without zoomable charts: {problem}. To try again: touch collector/{LOCK}"
    );
    for (_, name) in ASSETS {
        fs::write(out.join(name), "").expect("OUT_DIR can be written");
    }
}

/// Has npm install exactly what the lock file names, its checksums verified, without running anything
/// of the packages.
fn fetch(folder: &Path) -> Result<(), String> {
    let copy = |name: &str| fs::copy(Path::new("web").join(name), folder.join(name));
    fs::create_dir_all(folder)
        .and_then(|()| copy("package.json"))
        .and_then(|_| copy("package-lock.json"))
        .map_err(|error| error.to_string())?;
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let ended = Command::new(npm)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args([
            "--prefer-offline",
            "--fetch-retries=1",
            "--fetch-timeout=30000",
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    match ended {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let first = said.lines().find(|line| !line.trim().is_empty());
            Err(format!("npm ci failed: {}", first.unwrap_or_default()))
        }
        Err(error) => Err(format!("npm cannot be run: {error}")),
    }
}

fn embed(out: &Path) -> io::Result<()> {
    let modules = out.join("web/node_modules");
    let licence = fs::read_to_string(modules.join(LICENCE))?;
    for (from, name) in ASSETS {
        let content = fs::read_to_string(modules.join(from))?;
        fs::write(out.join(name), format!("/*\n{licence}*/\n{content}"))?;
    }
    Ok(())
}
