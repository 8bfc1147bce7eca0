//! Processor load from `/proc/stat` and `/proc/loadavg`.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use super::Roots;
use super::source::{self, Sourced};

/// Jiffies of all processors since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    busy: u64,
    all: u64,
}

impl Times {
    /// Counts of any unit.
    #[cfg(any(not(target_os = "linux"), test))]
    #[must_use]
    pub const fn new(busy: u64, all: u64) -> Self {
        Self { busy, all }
    }
}

/// Reads the counters.
///
/// # Errors
/// Why they could not be read.
pub fn read_times(roots: &Roots) -> Sourced<Times> {
    #[cfg(not(target_os = "linux"))]
    if roots.is_native() {
        return super::native::cpu_times();
    }
    let text = source::text(&roots.proc.join("stat"))?;
    parse(&text).ok_or_else(|| "/proc/stat has no line for all processors".to_owned())
}

/// Reads the load, and works out utilization between two readings of the counters.
#[must_use]
pub fn read(roots: &Roots, before: &Sourced<Times>, after: &Sourced<Times>) -> Vec<Reading> {
    let load = read_load(roots);
    let both = before
        .clone()
        .and_then(|before| Ok((before, after.clone()?)));
    let share = both.and_then(|(before, after)| utilization(before, after));
    vec![
        source::number_or_why(&metric::CPU_UTILIZATION, "", share),
        source::number_or_why(&metric::CPU_LOAD_15M, "", load),
    ]
}

fn read_load(roots: &Roots) -> Sourced<f64> {
    #[cfg(not(target_os = "linux"))]
    if roots.is_native() {
        return super::native::load_15m();
    }
    let text = source::text(&roots.proc.join("loadavg"))?;
    load_15m(&text).ok_or_else(|| "/proc/loadavg is malformed".to_owned())
}

/// The first line of `/proc/stat`. Fields by proc(5): user nice system idle iowait irq softirq
/// steal; guest time is in user already. Waiting for a disk is idle.
#[must_use]
pub fn parse(stat: &str) -> Option<Times> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Option<Vec<u64>> = line
        .split_whitespace()
        .take(8)
        .map(|field| field.parse().ok())
        .collect();
    let fields = fields.filter(|fields| fields.len() >= 5)?;
    let all = fields
        .iter()
        .fold(0_u64, |sum, field| sum.saturating_add(*field));
    let idle = fields[3].saturating_add(fields[4]);
    Some(Times {
        busy: all.saturating_sub(idle),
        all,
    })
}

fn utilization(before: Times, after: Times) -> Sourced<f64> {
    let all = after.all.saturating_sub(before.all);
    let busy = after.busy.saturating_sub(before.busy);
    if all == 0 {
        return Err("the counters did not move".to_owned());
    }
    Ok((busy as f64 / all as f64).clamp(0.0, 1.0))
}

fn load_15m(loadavg: &str) -> Option<f64> {
    loadavg
        .split_whitespace()
        .nth(2)
        .and_then(source::parse_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};
    use proptest::prelude::*;

    #[test]
    fn utilization_lies_between_two_readings() {
        let before = parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 1 1 1\n").unwrap();
        let after = parse("cpu  130 0 120 1200 150 0 0 0 0 0\n").unwrap();
        assert_eq!(utilization(before, after), Ok(50.0 / 600.0));
        assert!(utilization(after, after).is_err());
    }

    #[test]
    fn this_machine_has_a_load() {
        let roots = Roots::default();
        let times = read_times(&roots);
        let readings = read(&roots, &Ok(Times::default()), &times);
        if times.is_ok() {
            assert!(
                number(&readings, "system.cpu.utilization", "").is_some_and(|share| share > 0.0)
            );
        }
        let failed = read(&roots, &Err("gone".to_owned()), &times);
        assert_eq!(
            value(&failed, "system.cpu.utilization", ""),
            "unavailable: gone"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(cpu )?([0-9]{0,25} ?){0,12}.{0,20}") {
            let _ = (parse(&text), load_15m(&text));
        }
    }
}
