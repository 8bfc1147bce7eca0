//! Drives of a system that tells of them itself, completed by what `smartctl` says where it is installed.

use std::path::Path;

use rollcall_shared::metric;
use rollcall_shared::reading::{Reading, Value};

use super::smartctl::Outcome;
use super::{Awake, NOT_INSTALLED, ask_program, why_not};

/// Adds to what the system has `told` of its drives what `program` says of each. `device` gives the name by
/// which the program knows a drive; `None` where it knows none. `awake` holds what each said before.
pub async fn complete(
    program: Option<&Path>,
    told: Vec<Reading>,
    device: impl Fn(&str) -> Option<String>,
    awake: &mut Awake,
) -> Vec<Reading> {
    let drives: Vec<String> = told
        .iter()
        .filter(|reading| reading.metric() == &metric::DRIVE_KIND)
        .map(|reading| reading.instance().to_owned())
        .collect();
    awake.retain(|name, _| drives.contains(name));
    let mut readings = told;
    for drive in drives {
        let outcome = match (program, device(&drive)) {
            (Some(program), Some(device)) => ask_program(program, &device).await,
            (None, _) => Outcome::Failed(NOT_INSTALLED.to_owned()),
            (_, None) => Outcome::Failed("smartctl knows no such drive".to_owned()),
        };
        let health = health(&drive, outcome, awake);
        readings = fill(readings, health);
    }
    readings
}

/// Whether nobody but root could put another file in the place of this one, or of what it links to.
#[cfg(any(target_os = "macos", all(test, unix)))]
pub fn is_roots_alone(program: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    /// Write permission of group and others.
    const OTHERS_WRITE: u32 = 0o022;
    let Ok(program) = program.canonicalize() else {
        return false;
    };
    program.ancestors().all(|path| {
        path.metadata()
            .is_ok_and(|status| status.uid() == 0 && status.mode() & OTHERS_WRITE == 0)
    })
}

fn health(drive: &str, outcome: Outcome, awake: &mut Awake) -> Vec<Reading> {
    match outcome {
        Outcome::Health(health) => {
            let readings = health.readings(drive);
            awake.insert(drive.to_owned(), readings.clone());
            readings
        }
        Outcome::Asleep => awake.get(drive).cloned().unwrap_or_default(),
        outcome => {
            let why = why_not(outcome);
            let before = awake.get(drive).into_iter().flatten();
            let mut lost: Vec<Reading> = before
                .map(|told| Reading::unavailable(told.metric(), told.instance(), &why))
                .collect();
            // What every drive tells `smartctl` stands for the rest.
            if lost.is_empty() {
                lost.push(Reading::unavailable(
                    &metric::DRIVE_POWER_CYCLES,
                    drive,
                    &why,
                ));
            }
            lost
        }
    }
}

/// A number of the system's stays; what the system does not know is `smartctl`'s, and either may say that a
/// drive fails.
fn fill(mut told: Vec<Reading>, health: Vec<Reading>) -> Vec<Reading> {
    for reading in health {
        let same = told.iter_mut().find(|known| {
            known.metric() == reading.metric() && known.instance() == reading.instance()
        });
        let is_worse = reading.metric() == &metric::DRIVE_VERDICT
            && matches!(reading.value(), Value::Text(word) if word == "failed");
        match same {
            None => told.push(reading),
            Some(known) if is_worse || !known.value().is_available() => *known = reading,
            Some(_) => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::super::smartctl::parse;
    use super::*;
    use crate::collect::testing::{number, value};

    fn told(verdict: &str) -> Vec<Reading> {
        vec![
            Reading::text(&metric::DRIVE_KIND, "disk0", "nvme"),
            Reading::text(&metric::DRIVE_VERDICT, "disk0", verdict),
            Reading::number(&metric::DRIVE_TEMPERATURE, "disk0", 35.0),
            Reading::unavailable(&metric::DRIVE_POWER_ON, "disk0", "not told"),
        ]
    }

    #[test]
    fn what_the_system_does_not_know_is_filled() {
        let outcome = parse(include_bytes!("../fixtures/drive/nvme_healthy.json"));
        let mut awake = Awake::new();
        let all = fill(told("passed"), health("disk0", outcome, &mut awake));
        assert_eq!(
            number(&all, "hw.physical_disk.temperature", "disk0"),
            Some(35.0)
        );
        assert!(number(&all, "hw.physical_disk.power_on_time", "disk0").is_some());
        assert_eq!(
            number(&all, "hw.physical_disk.nvme.available_spare", "disk0"),
            Some(100.0)
        );
        let asleep = health("disk0", Outcome::Asleep, &mut awake);
        assert!(number(&asleep, "hw.physical_disk.nvme.available_spare", "disk0").is_some());
        let lost = health("disk0", Outcome::UnknownBridge, &mut awake);
        let lost = value(&lost, "hw.physical_disk.nvme.available_spare", "disk0");
        assert!(lost.contains("bridge"), "{lost}");
    }

    #[test]
    fn either_may_say_that_a_drive_fails() {
        let failing = || parse(include_bytes!("../fixtures/drive/sata_hdd_failing.json"));
        let verdict = |told: Vec<Reading>, outcome| {
            let all = fill(told, health("disk0", outcome, &mut Awake::new()));
            value(&all, "hw.physical_disk.verdict", "disk0")
        };
        assert_eq!(verdict(told("passed"), failing()), "failed");
        let healthy = parse(include_bytes!("../fixtures/drive/nvme_healthy.json"));
        assert_eq!(verdict(told("failed"), healthy), "failed");
    }

    #[cfg(unix)]
    #[test]
    fn a_program_that_others_could_replace_is_not_roots_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("smartctl");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_roots_alone(&program));
        assert!(!is_roots_alone(&folder.path().join("missing")));
        // The folder above is everybody's, whatever the file is.
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!is_roots_alone(&program));
    }

    #[tokio::test]
    async fn without_the_program_one_reading_says_so() {
        let all = complete(None, told("passed"), |_| None, &mut Awake::new()).await;
        let why = value(&all, "hw.physical_disk.power_cycles", "disk0");
        assert!(why.contains("smartmontools"), "{why}");
        assert_eq!(all.len(), 5);
    }
}
