//! What the system's own records tell of shutdowns and crashes. Counts only: no name leaves here.

use crate::collect::Roots;
use crate::collect::source::{self, Sourced};

/// Size of one record of wtmp in glibc on 64-bit Linux, by utmp(5).
const RECORD: usize = 384;
const RUN_LEVEL: i16 = 1;
const BOOT_TIME: i16 = 2;
/// Where the name lies in a record, and how long it is.
const NAME: std::ops::Range<usize> = 44..76;

/// Starts that no shutdown came before, by the last megabyte of wtmp.
///
/// # Errors
/// Why wtmp could not be read; newer systems have none.
pub fn unexpected_shutdowns(roots: &Roots) -> Sourced<f64> {
    let wtmp = source::tail(&roots.var.join("log/wtmp"))?;
    // A tail that does not begin at the file's start begins within a record.
    let whole = &wtmp[wtmp.len() % RECORD..];
    Ok(count_unexpected(whole) as f64)
}

fn count_unexpected(wtmp: &[u8]) -> usize {
    let mut unexpected = 0;
    // Of what was before the first record nothing is known.
    let mut is_shut_down = true;
    for record in wtmp.chunks_exact(RECORD) {
        match i16::from_le_bytes([record[0], record[1]]) {
            BOOT_TIME => {
                unexpected += usize::from(!is_shut_down);
                is_shut_down = false;
            }
            RUN_LEVEL if record[NAME].starts_with(b"shutdown\0") => is_shut_down = true,
            _ => {}
        }
    }
    unexpected
}

/// Crashes of the kernel that kdump kept in `/var/crash` or firmware kept in pstore. Reports about
/// single programs, which lie beside them, are not the system's.
///
/// # Errors
/// Why neither record could be read.
pub fn crashes(roots: &Roots) -> Sourced<f64> {
    let dumps = source::try_names(&roots.var.join("crash"));
    let kept = source::try_names(&roots.sys.join("fs/pstore"));
    if let (Err(why), Err(_)) = (&dumps, &kept) {
        return Err(why.clone());
    }
    let dumps = dumps
        .unwrap_or_default()
        .into_iter()
        .filter(|name| is_kernel_dump(name))
        .count();
    let kept = kept.unwrap_or_default();
    let parts = kept.iter().filter(|name| name.starts_with("dmesg-"));
    // One crash is kept in several parts, of which each has a first.
    let crashes = parts
        .filter(|name| name.ends_with("-1") || name.contains("ramoops"))
        .count();
    Ok((dumps + crashes) as f64)
}

/// kdump names a folder by its time, such as `202608240745` or `127.0.0.1-2026-08-24-07:45:00`.
fn is_kernel_dump(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit())
        || name.starts_with("linux-image")
        || name.starts_with("vmcore")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::tree_copy;

    fn record(kind: i16, name: &str) -> Vec<u8> {
        let mut record = vec![0; RECORD];
        record[..2].copy_from_slice(&kind.to_le_bytes());
        record[NAME.start..NAME.start + name.len()].copy_from_slice(name.as_bytes());
        record
    }

    #[test]
    fn a_start_without_a_shutdown_before_it_is_counted() {
        let boot = || record(BOOT_TIME, "reboot");
        let down = || record(RUN_LEVEL, "shutdown");
        let login = || record(7, "shutdown-is-not-my-name");
        let wtmp = [
            boot(),
            login(),
            down(),
            boot(),
            boot(),
            login(),
            boot(),
            down(),
        ]
        .concat();
        assert_eq!(count_unexpected(&wtmp), 2);
        assert_eq!(count_unexpected(&wtmp[..RECORD * 3 + 17]), 0);
    }

    #[test]
    fn only_crashes_of_the_system_count() {
        let (_folder, roots) = tree_copy();
        let crash = roots.var.join("crash");
        std::fs::create_dir_all(crash.join("202608240745")).unwrap();
        std::fs::write(crash.join("_usr_bin_game.1000.crash"), "").unwrap();
        assert_eq!(crashes(&roots), Ok(1.0));
    }
}
