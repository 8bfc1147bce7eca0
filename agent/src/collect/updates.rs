//! Pending and failed updates. APT by the files that it and its companions leave; asking a package
//! manager itself would cost seconds of processor and a network, so other families say that they
//! are not read.

use std::path::Path;

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;
use rollcall_shared::time::UnixMs;

use super::Roots;
use super::os;
use super::source::{self, Sourced};

/// Reads what is pending, when updates last succeeded, and how often they failed since.
#[must_use]
pub fn read(roots: &Roots, wall: UnixMs) -> Vec<Reading> {
    let family = os::family(roots);
    match &family {
        Ok(family) if family.split_whitespace().any(|id| id == "debian") => apt(roots, wall),
        Ok(family) => unavailable(&format!("updates of `{family}` are not collected yet")),
        Err(why) => unavailable(why),
    }
}

fn unavailable(why: &str) -> Vec<Reading> {
    let metrics = [
        &metric::UPDATES_PENDING,
        &metric::UPDATES_SECURITY_PENDING,
        &metric::UPDATES_LAST_AGE,
        &metric::UPDATES_FAILED,
    ];
    metrics
        .into_iter()
        .map(|metric| Reading::unavailable(metric, "", why))
        .collect()
}

fn apt(roots: &Roots, wall: UnixMs) -> Vec<Reading> {
    let notes = source::text(&roots.var.join("lib/update-notifier/updates-available"));
    let pending = notes
        .map(|text| parse_available(&text))
        .map_err(|why| format!("{why}, and working it out is too costly"));
    let log = source::tail(
        &roots
            .var
            .join("log/unattended-upgrades/unattended-upgrades.log"),
    );
    let failed = log.map(|log| failures(&String::from_utf8_lossy(&log)) as f64);
    vec![
        source::number_or_why(
            &metric::UPDATES_PENDING,
            "",
            pending.clone().map(|pending| pending.0),
        ),
        source::number_or_why(
            &metric::UPDATES_SECURITY_PENDING,
            "",
            pending.map(|pending| pending.1),
        ),
        source::number_or_why(&metric::UPDATES_LAST_AGE, "", age_days(roots, wall)),
        source::number_or_why(&metric::UPDATES_FAILED, "", failed),
    ]
}

/// (All, of which security) in the text that update-notifier keeps for the login message.
fn parse_available(text: &str) -> (f64, f64) {
    let count = |line: &str| {
        line.split_whitespace()
            .next()
            .and_then(source::parse_number)
    };
    let (mut all, mut security) = (0.0, 0.0);
    for line in text.lines() {
        let Some(count) = count(line).filter(|count| *count >= 0.0) else {
            continue;
        };
        // Updates that need a subscription cannot be installed, so they are not pending.
        if line.contains("ESM") && !line.contains("applied immediately") {
            continue;
        }
        if line.contains("security update") && !line.contains("applied") {
            security = count;
        } else if line.contains("can be applied")
            || line.contains("can be installed")
            || line.contains("can be updated")
        {
            all = count;
        } else if line.contains("security") {
            security = count;
        }
    }
    (all.max(security), security)
}

/// Days since the lists were last fetched with success. APT writes its stamps on success only, and
/// its folder of lists changes with each fetch that brought something.
fn age_days(roots: &Roots, wall: UnixMs) -> Sourced<f64> {
    let files = [
        "lib/apt/periodic/update-success-stamp",
        "lib/apt/periodic/update-stamp",
        "lib/apt/lists",
    ];
    let newest = files
        .iter()
        .filter_map(|file| modified_ms(&roots.var.join(file)))
        .max();
    let newest = newest.ok_or("APT has left no sign of having fetched its lists")?;
    let age_ms = wall.since(UnixMs(newest));
    if age_ms < 0 {
        return Err(
            "the lists were fetched in the future, so the clock is or was wrong".to_owned(),
        );
    }
    Ok(age_ms as f64 / 86_400_000.0)
}

fn modified_ms(path: &Path) -> Option<i64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

/// Runs of unattended-upgrades that failed since the last one that did not.
fn failures(log: &str) -> usize {
    let mut failures = 0;
    let mut run_failed: Option<bool> = None;
    for line in log.lines() {
        if line.contains("Starting unattended upgrades script") {
            failures = close(failures, run_failed);
            run_failed = Some(false);
        } else if is_error(line) {
            run_failed = run_failed.map(|_| true);
        }
    }
    close(failures, run_failed)
}

fn close(failures: usize, run_failed: Option<bool>) -> usize {
    match run_failed {
        None => failures,
        Some(true) => failures + 1,
        Some(false) => 0,
    }
}

fn is_error(line: &str) -> bool {
    line.split_whitespace().nth(2) == Some("ERROR")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{tree_copy, value};
    use proptest::prelude::*;

    const LOG: &str = "\
2026-08-20 06:01:00,001 INFO Starting unattended upgrades script
2026-08-20 06:01:09,101 ERROR Cache has broken packages, exiting
2026-08-21 06:01:00,001 INFO Starting unattended upgrades script
2026-08-21 06:02:00,001 INFO All upgrades installed
2026-08-22 06:01:00,001 INFO Starting unattended upgrades script
2026-08-22 06:01:01,001 ERROR Installing the upgrades failed!
2026-08-22 06:01:01,002 ERROR error message: installArchives() failed
2026-08-23 06:01:00,001 INFO Starting unattended upgrades script
2026-08-23 06:01:01,001 ERROR Lock file is already taken, exiting
";

    #[test]
    fn failures_count_from_the_last_good_run() {
        assert_eq!(failures(LOG), 2);
        assert_eq!(failures(""), 0);
        assert_eq!(
            failures("2026-08-23 06:01:01,001 ERROR of a run that began before the tail\n"),
            0
        );
    }

    #[test]
    fn the_login_message_in_its_forms() {
        let noble = "\nExpanded Security Maintenance for Applications is not enabled.\n\n12 updates can be applied immediately.\n5 of these updates are standard security updates.\nTo see these additional updates run: apt list --upgradable\n\n3 additional security updates can be applied with ESM Apps.\n";
        assert_eq!(parse_available(noble), (12.0, 5.0));
        assert_eq!(
            parse_available("7 packages can be updated.\n2 updates are security updates.\n"),
            (7.0, 2.0)
        );
        assert_eq!(
            parse_available("0 updates can be applied immediately.\n"),
            (0.0, 0.0)
        );
    }

    #[test]
    fn the_age_comes_from_the_stamp() {
        let (_folder, roots) = tree_copy();
        let stamp = roots.var.join("lib/apt/periodic/update-success-stamp");
        let written = modified_ms(&stamp).unwrap();
        let days = age_days(&roots, UnixMs(written + 3 * 86_400_000)).unwrap();
        assert!((2.9..=3.0).contains(&days), "{days}");
        assert!(age_days(&roots, UnixMs(0)).unwrap_err().contains("clock"));
    }

    #[test]
    fn another_family_says_so() {
        let (_folder, roots) = tree_copy();
        std::fs::write(roots.etc.join("os-release"), "ID=fedora\n").unwrap();
        let readings = read(&roots, UnixMs(0));
        assert_eq!(
            value(&readings, "os.updates.pending", ""),
            "unavailable: updates of `fedora` are not collected yet"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([0-9]{0,4} ?(updates|security|ERROR|Starting unattended upgrades script)?.{0,20}\n){0,10}") {
            let _ = (parse_available(&text), failures(&text));
        }
    }
}
