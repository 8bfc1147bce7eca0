//! The packages: the same bytes of the same commit, what is in them, and what becomes of a system that they
//! are installed on.

mod deb;
mod faults;
mod guides;
mod mac;
mod msi;
mod pages;
mod rpm;
mod server;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rollcall_tests::rig::{self, binaries, process, repository};
use serde_json::Value;

/// How long building packages may take, without building programs.
const BUILDING: Duration = Duration::from_secs(240);

/// The version after this one, to update to.
const NEXT: &str = "99.0.1";

/// Packages of this version and of the next, built once for all stories.
pub struct Built {
    /// Where the programs lie that were packed.
    programs: PathBuf,
    /// This version's.
    now: PathBuf,
    /// The next version's.
    next: PathBuf,
}

impl Built {
    /// The one file of this version's that begins and ends so.
    pub fn now(&self, begins: &str, ends: &str) -> PathBuf {
        one(&self.now, begins, ends)
    }

    /// The one file of the next version's that begins and ends so.
    pub fn next(&self, begins: &str, ends: &str) -> PathBuf {
        one(&self.next, begins, ends)
    }
}

fn one(folder: &Path, begins: &str, ends: &str) -> PathBuf {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(begins) && name.ends_with(ends)
    };
    let entries = fs::read_dir(folder).unwrap().flatten();
    let found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(named).collect();
    assert_eq!(found.len(), 1, "{begins}*{ends}: {found:?}");
    found[0].clone()
}

/// Builds both versions' packages.
pub fn built() -> &'static Built {
    static BUILT: OnceLock<Built> = OnceLock::new();
    BUILT.get_or_init(|| {
        // It outlives every story, and goes with the folder that tests/run removes.
        let folder = rig::folder().keep();
        let programs = folder.join("programs");
        fs::create_dir(&programs).unwrap();
        for program in [binaries::agent(), binaries::collector()] {
            // What is packed is what was tested, without what only debuggers read.
            let mut strip = Command::new("strip");
            strip
                .arg("-o")
                .arg(programs.join(program.file_name().unwrap()));
            let _ = process::run(strip.arg(&program), BUILDING).success();
        }
        let (now, next) = (folder.join("now"), folder.join("next"));
        let _ = package(&programs, &now, &["all"]).success();
        for kind in ["deb", "rpm"] {
            if kind == "rpm" && rig::program("rpmbuild").is_none() {
                continue;
            }
            let _ = package(&programs, &next, &[kind, "--as-version", NEXT]).success();
        }
        Built {
            programs,
            now,
            next,
        }
    })
}

fn package(programs: &Path, out: &Path, options: &[&str]) -> process::Finished {
    let mut command = Command::new(repository().join("deploy/package"));
    command.args(options).arg("--quick").arg("--out").arg(out);
    process::run(command.arg("--binaries").arg(programs), BUILDING)
}

#[test]
fn the_same_commit_gives_the_same_packages_byte_for_byte() {
    let built = built();
    let folder = rig::folder();
    // Another folder, another language and another clock zone.
    let mut command = Command::new(repository().join("deploy/package"));
    command
        .args(["all", "--quick", "--out"])
        .arg(folder.path().join("again"))
        .arg("--binaries")
        .arg(&built.programs)
        .env("TZ", "Pacific/Auckland")
        .env("LC_ALL", "C");
    let _ = process::run(&mut command, BUILDING).success();
    let mut compare = Command::new("diff");
    compare.arg("--recursive").arg(&built.now);
    let same = process::run(compare.arg(folder.path().join("again")), BUILDING);
    assert!(same.status.success(), "{}{}", same.stdout, same.stderr);
}

#[test]
fn packages_come_with_checksums_a_bill_of_materials_and_a_word_on_signatures() {
    let built = built();
    let mut check = Command::new("sha256sum");
    check
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&built.now);
    let checked = process::run(&mut check, BUILDING).success();
    for entry in fs::read_dir(&built.now).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let has_sum = checked.contains(&format!("{name}: OK"));
        assert!(
            has_sum || name == "SHA256SUMS" || name == "signed",
            "{name}: {checked}"
        );
    }
    let note = fs::read_to_string(built.now.join("README.txt")).unwrap();
    assert!(note.contains("NOT SIGNED") && built.now.join("signed").is_dir());
    let bill = fs::read(built.now("rollcall-agent-", ".cdx.json")).unwrap();
    let bill: Value = serde_json::from_slice(&bill).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["metadata"]["component"]["name"], "rollcall-agent");
    let components = bill["components"].as_array().unwrap();
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(has("rustls") && has("ring") && has("rollcall-shared"));
    assert!(
        !has("proptest") && !has("sled"),
        "nor tests' nor the collector's"
    );
    assert!(
        components
            .iter()
            .all(|component| component["purl"].is_string())
    );
}

#[test]
fn a_mistake_at_packaging_is_named() {
    let folder = rig::folder();
    let said = package(folder.path(), &folder.path().join("out"), &["deb"]).failure();
    assert!(said.contains("rollcall-agent"), "{said}");
    let said = package(
        folder.path(),
        folder.path(),
        &["deb", "--as-version", "1.2"],
    )
    .failure();
    assert!(said.contains("X.Y.Z"), "{said}");
}

#[test]
fn units_of_packages_are_sound_and_hardened() {
    let Some(analyze) = rig::program("systemd-analyze") else {
        return rig::skip("units of packages", "`systemd-analyze` is not installed");
    };
    for (folder, units) in [
        (
            "linux",
            ["rollcall-agent.service", "rollcall-agent-drives.service"],
        ),
        (
            "collector",
            [
                "rollcall-collector.service",
                "rollcall-collector-backup.service",
            ],
        ),
    ] {
        for unit in units {
            let unit = repository().join("deploy").join(folder).join(unit);
            let mut command = Command::new(&analyze);
            command
                .args(["security", "--offline=true", "--threshold=20"])
                .arg(&unit);
            let judged = process::run(&mut command, BUILDING);
            assert!(judged.status.success(), "above 2.0: {}", judged.stdout);
            let mut command = Command::new(&analyze);
            command.args(["verify", "--recursive-errors=no"]).arg(&unit);
            let said = process::run(&mut command, BUILDING).stderr;
            // The programs are not installed here.
            let wrong = said
                .lines()
                .find(|line| !line.contains("is not executable"));
            assert_eq!(wrong, None, "{said}");
        }
    }
}

#[test]
fn the_reader_of_drives_stands_in_for_smartctl_in_packages() {
    let folder = rig::folder();
    let read = |device: &str| {
        let mut command = Command::new(repository().join("deploy/linux/smartctl"));
        command.args(["--json", "--all", "--nocheck=standby", device]);
        process::run(command.env("ROLLCALL_DRIVES", folder.path()), BUILDING)
    };
    let missing = read("/dev/sda");
    assert_eq!(missing.status.code(), Some(2));
    let said: Value = serde_json::from_str(&missing.stdout).unwrap();
    assert!(said["smartctl"]["messages"][0]["string"].is_string());
    fs::write(folder.path().join("sda.json"), r#"{"model_name":"X"}"#).unwrap();
    assert_eq!(read("/dev/sda").success(), r#"{"model_name":"X"}"#);
}
