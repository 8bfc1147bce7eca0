//! Physical drives: what sysfs says of each, and their health as `smartctl` reads it.
//!
//! A sleeping drive is not woken: `smartctl --nocheck=standby` leaves it alone, and its readings
//! stay as they were. Where `smartctl` does not know a USB bridge it is told to pass questions on as the
//! standard has it (SAT). The ways of single makers are not tried: their commands mean something else to
//! another maker's bridge. Logs that makers add to NVMe are not read: `smartctl` gives their bytes without
//! what they mean.

#[cfg(any(not(target_os = "linux"), test))]
mod beside;
mod smartctl;
mod text;
mod wear;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::child;
use super::source::{self, Sourced};
#[cfg(not(target_os = "linux"))]
pub use beside::complete;
use smartctl::Outcome;

/// Where `smartctl` is installed.
#[cfg(target_os = "linux")]
#[must_use]
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.find_map(|folder| Some(folder.join("smartctl")).filter(|program| program.is_file()))
}

/// Where `smartctl` is installed; the agent runs as root, so that a program which somebody else could
/// replace, as in Homebrew's folders, is not run.
#[cfg(target_os = "macos")]
#[must_use]
pub fn program() -> Option<PathBuf> {
    let places = ["/usr/local/sbin/smartctl", "/opt/homebrew/sbin/smartctl"];
    let mut programs = places.into_iter().map(PathBuf::from);
    programs.find(|program| program.is_file() && beside::is_roots_alone(program))
}

/// Where smartmontools' own installer puts it; only administrators write there.
#[cfg(windows)]
#[must_use]
pub fn program() -> Option<PathBuf> {
    let programs = std::env::var_os("ProgramFiles")?;
    let program = Path::new(&programs).join(r"smartmontools\bin\smartctl.exe");
    program.is_file().then_some(program)
}

/// Drives that are reported: a workstation has eight.
const DRIVES: usize = 8;

/// How long one drive may take: one that recovers from an error answers within about 7 s, and a
/// bridge that does not understand gives up after about 15 s.
const SMARTCTL_TIMEOUT: Duration = Duration::from_secs(20);

/// The readings of each drive when it was last awake.
pub type Awake = BTreeMap<String, Vec<Reading>>;

/// A drive as sysfs has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drive {
    name: String,
    kind: &'static str,
    is_virtual: bool,
    model: Sourced<String>,
    firmware: Sourced<String>,
    size_bytes: Sourced<f64>,
    io_errors: Sourced<f64>,
}

/// The drives of this machine; media that come and go are not its own.
#[must_use]
pub fn list(roots: &Roots) -> Vec<Drive> {
    let block = roots.sys.join("block");
    let names = source::names(&block)
        .into_iter()
        .filter(|name| is_physical(roots, name));
    names
        .take(DRIVES)
        .map(|name| describe(roots, name))
        .collect()
}

/// Asks `smartctl` about each drive. `awake` holds what each said before, and takes what it says.
pub async fn read(roots: &Roots, drives: Vec<Drive>, awake: &mut Awake) -> Vec<Reading> {
    awake.retain(|name, _| drives.iter().any(|drive| drive.name == *name));
    let mut readings = Vec::new();
    for drive in drives {
        let outcome = ask(roots, &drive).await;
        readings.extend(combine(&drive, outcome, awake));
    }
    readings
}

fn combine(drive: &Drive, outcome: Outcome, awake: &mut Awake) -> Vec<Reading> {
    match outcome {
        Outcome::Health(health) => {
            let mut readings = identity(drive, health.identity());
            readings.extend(health.readings(&drive.name));
            awake.insert(drive.name.clone(), readings.clone());
            readings
        }
        Outcome::Asleep => match awake.get(&drive.name) {
            Some(readings) => readings.clone(),
            None => unread(drive, "the drive sleeps and is not woken for this"),
        },
        Outcome::Failed(_) | Outcome::KnowsNoJson | Outcome::UnknownBridge => {
            let why = why_not(outcome);
            let mut readings = unread(drive, &why);
            // What it used to tell is not merely gone: the reason is known.
            let told = awake.get(&drive.name).into_iter().flatten();
            let told = told.filter(|told| {
                !readings
                    .iter()
                    .any(|reading| reading.metric() == told.metric())
            });
            let told: Vec<Reading> = told
                .map(|told| Reading::unavailable(told.metric(), told.instance(), &why))
                .collect();
            readings.extend(told);
            readings
        }
    }
}

fn why_not(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(why) => why,
        Outcome::UnknownBridge => {
            "the drive is behind a bridge that does not pass questions on".to_owned()
        }
        _ => "this smartctl knows neither JSON nor this drive".to_owned(),
    }
}

fn unread(drive: &Drive, why: &str) -> Vec<Reading> {
    let mut readings = identity(drive, smartctl::Identity::default());
    readings.push(Reading::unavailable(
        &metric::DRIVE_VERDICT,
        &drive.name,
        why,
    ));
    readings
}

/// Kernel and drive say the same in other words; the drive's own words are the fuller ones.
fn identity(drive: &Drive, told: smartctl::Identity) -> Vec<Reading> {
    let name = &drive.name;
    let kind = if drive.kind == "unknown" {
        told.kind.unwrap_or("unknown")
    } else {
        drive.kind
    };
    let or = |told: Option<String>, known: &Sourced<String>| told.map_or_else(|| known.clone(), Ok);
    vec![
        source::text_or_why(&metric::DRIVE_MODEL, name, or(told.model, &drive.model)),
        source::text_or_why(
            &metric::DRIVE_FIRMWARE,
            name,
            or(told.firmware, &drive.firmware),
        ),
        Reading::text(&metric::DRIVE_KIND, name, kind),
        source::number_or_why(&metric::DRIVE_SIZE, name, drive.size_bytes.clone()),
        source::number_or_why(&metric::DRIVE_IO_ERRORS, name, drive.io_errors.clone()),
    ]
}

fn is_physical(roots: &Roots, name: &str) -> bool {
    const OTHERS: [&str; 9] = ["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd", "zd"];
    let folder = roots.sys.join("block").join(name);
    let is_other = OTHERS.iter().any(|prefix| name.starts_with(prefix));
    let is_boot_area =
        name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    let is_removable = source::number(&folder.join("removable")) == Ok(1.0);
    !is_other && !is_boot_area && !is_removable && folder.join("device").is_dir()
}

fn describe(roots: &Roots, name: String) -> Drive {
    let folder = roots.sys.join("block").join(&name);
    let text = |file: &str| source::text(&folder.join("device").join(file));
    let rotates = source::number(&folder.join("queue/rotational"));
    let is_virtual = ["vd", "xvd"].iter().any(|prefix| name.starts_with(prefix));
    Drive {
        kind: kind(&name, rotates.ok(), is_virtual),
        is_virtual,
        model: text("model").or_else(|why| text("name").map_err(|_| why)),
        firmware: text("firmware_rev")
            .or_else(|why| text("rev").or_else(|_| text("fwrev")).map_err(|_| why)),
        // The kernel counts sectors of 512 bytes whatever the drive's own are.
        size_bytes: source::number(&folder.join("size")).map(|sectors| sectors * 512.0),
        io_errors: text("ioerr_cnt").and_then(|text| io_errors(&text)),
        name,
    }
}

/// SCSI and SATA drives count, in hexadecimal.
fn io_errors(text: &str) -> Sourced<f64> {
    let count = u64::from_str_radix(text.trim_start_matches("0x"), 16);
    count
        .map(|count| count as f64)
        .map_err(|_| "the kernel's count of errors is malformed".to_owned())
}

fn kind(name: &str, rotates: Option<f64>, is_virtual: bool) -> &'static str {
    match rotates {
        _ if name.starts_with("nvme") => "nvme",
        _ if name.starts_with("mmcblk") => "emmc",
        _ if is_virtual => "unknown",
        Some(1.0) => "hdd",
        Some(0.0) => "ssd",
        _ => "unknown",
    }
}

async fn ask(roots: &Roots, drive: &Drive) -> Outcome {
    if drive.is_virtual {
        return Outcome::Failed("a virtual drive has no health of its own".to_owned());
    }
    if drive.kind == "emmc" {
        return Outcome::Failed("smartctl does not read eMMC".to_owned());
    }
    let Some(program) = &roots.smartctl else {
        return Outcome::Failed(NOT_INSTALLED.to_owned());
    };
    ask_program(program, &format!("/dev/{}", drive.name)).await
}

/// Why `smartctl` tells nothing where it is not there.
const NOT_INSTALLED: &str = "smartctl is not installed (package smartmontools)";

/// Asks about a device; in text where the program knows no JSON, and through a bridge as the standard has
/// it where the program knows none of its own.
async fn ask_program(program: &Path, device: &str) -> Outcome {
    match ask_in_any_form(program, device, &[]).await {
        Outcome::UnknownBridge => ask_in_any_form(program, device, &["--device=sat"]).await,
        outcome => outcome,
    }
}

async fn ask_in_any_form(program: &Path, device: &str, way: &[&str]) -> Outcome {
    match question(program, device, &[way, &["--json"]].concat()).await {
        Outcome::KnowsNoJson => question(program, device, way).await,
        outcome => outcome,
    }
}

async fn question(program: &Path, device: &str, form: &[&str]) -> Outcome {
    let mut command = tokio::process::Command::new(program);
    command
        .args(form)
        .args(["--all", "--nocheck=standby"])
        .arg(device);
    match tokio::time::timeout(SMARTCTL_TIMEOUT, child::answer(command)).await {
        Err(_) => Outcome::Failed(format!(
            "smartctl was cut off after {} s",
            SMARTCTL_TIMEOUT.as_secs()
        )),
        Ok(Err(error)) => Outcome::Failed(format!("smartctl failed: {error}")),
        Ok(Ok(answer)) => smartctl::parse(&answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(unix)]
    use crate::collect::testing::tree_copy;
    use crate::collect::testing::{number, tree, value};

    #[test]
    fn the_worn_laptop_has_one_drive_of_its_own() {
        let drives = list(&tree());
        assert_eq!(drives.len(), 1, "{drives:?}");
        let readings = unread(&drives[0], "why");
        assert_eq!(value(&readings, "hw.physical_disk.kind", "nvme0n1"), "nvme");
        assert_eq!(
            number(&readings, "hw.physical_disk.size", "nvme0n1"),
            Some(256_060_514_304.0)
        );
        assert_eq!(
            value(&readings, "hw.physical_disk.model", "nvme0n1"),
            "SAMSUNG MZVLB256HBHQ-000L7"
        );
    }

    #[test]
    fn errors_that_the_kernel_counted() {
        assert_eq!(io_errors("0x1f"), Ok(31.0));
        assert!(io_errors("many").is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_drive_that_falls_asleep_keeps_what_it_said() {
        use crate::collect::testing;
        let (folder, mut roots) = tree_copy();
        let mut awake = Awake::new();
        let say = |json: &str| testing::smartctl(folder.path(), json);
        roots.smartctl = Some(say("{}"));
        let asleep = r#"{"smartctl":{"exit_status":2,"messages":[{"string":"Device is in STANDBY mode, exit(2)","severity":"information"}]}}"#;
        say(asleep);
        let never = read(&roots, list(&roots), &mut awake).await;
        assert!(value(&never, "hw.physical_disk.verdict", "nvme0n1").contains("sleeps"));
        say(include_str!("fixtures/drive/nvme_healthy.json"));
        let healthy = read(&roots, list(&roots), &mut awake).await;
        assert_eq!(
            value(&healthy, "hw.physical_disk.verdict", "nvme0n1"),
            "passed"
        );
        say(asleep);
        assert_eq!(read(&roots, list(&roots), &mut awake).await, healthy);
        say("{}");
        let failed = read(&roots, list(&roots), &mut awake).await;
        assert!(value(&failed, "hw.physical_disk.verdict", "nvme0n1").starts_with("unavailable"));
        let spare = value(&failed, "hw.physical_disk.nvme.available_spare", "nvme0n1");
        assert!(spare.contains("tells nothing of its health"), "{spare}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn behind_an_unknown_bridge_the_standards_way_is_tried() {
        use crate::collect::testing;
        let (folder, mut roots) = tree_copy();
        let unknown = r#"{"smartctl":{"exit_status":1,"messages":[{"string":"Unknown USB bridge [0x152d:0x0583]"}]}}"#;
        roots.smartctl = Some(testing::smartctl(folder.path(), unknown));
        let told = read(&roots, list(&roots), &mut Awake::new()).await;
        assert!(value(&told, "hw.physical_disk.verdict", "nvme0n1").contains("bridge"));
        let answer = include_str!("fixtures/drive/sata_hdd_failing.json");
        std::fs::write(folder.path().join("smartctl.sat.json"), answer).unwrap();
        let told = read(&roots, list(&roots), &mut Awake::new()).await;
        assert_eq!(
            value(&told, "hw.physical_disk.verdict", "nvme0n1"),
            "failed"
        );
    }

    #[tokio::test]
    async fn without_smartctl_the_reason_is_told() {
        let readings = read(&tree(), list(&tree()), &mut Awake::new()).await;
        assert!(value(&readings, "hw.physical_disk.verdict", "nvme0n1").contains("smartmontools"));
    }
}
