//! Memory, processor time, uptime and the battery saver, by kernel32.

use rollcall_shared::metric;
use rollcall_shared::reading::Reading;

use crate::collect::cpu::Times;
use crate::collect::source::{self, Sourced};

/// `GlobalMemoryStatusEx`, in bytes. Its "page file" is what may be committed: memory and page file together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Memory that Windows can use.
    pub total: u64,
    /// Memory that programs can have at once.
    pub available: u64,
    /// What may be committed.
    pub commit_limit: u64,
    /// What of it is free.
    pub commit_free: u64,
}

/// Memory and page file.
#[must_use]
pub fn memory_readings(memory: Sourced<Memory>) -> Vec<Reading> {
    let used = memory
        .clone()
        .and_then(|memory| share(memory.available, memory.total));
    let paging = memory.and_then(|memory| {
        let page_file = memory.commit_limit.saturating_sub(memory.total);
        if page_file == 0 {
            return Err("Windows has no page file".to_owned());
        }
        // What is committed beyond what lies in memory is in the page file, or would have to be.
        let committed = memory.commit_limit.saturating_sub(memory.commit_free);
        let in_memory = memory.total.saturating_sub(memory.available);
        share(
            page_file.saturating_sub(committed.saturating_sub(in_memory)),
            page_file,
        )
    });
    let mut readings = vec![
        source::number_or_why(&metric::MEMORY_UTILIZATION, "", used),
        source::number_or_why(&metric::PAGING_UTILIZATION, "", paging),
    ];
    let why = "Windows measures no such pressure";
    for metric in [
        &metric::PRESSURE_CPU,
        &metric::PRESSURE_MEMORY,
        &metric::PRESSURE_IO,
    ] {
        readings.push(Reading::unavailable(metric, "", why));
    }
    readings
}

fn share(free: u64, total: u64) -> Sourced<f64> {
    if total == 0 {
        return Err("Windows says that there is none".to_owned());
    }
    Ok((1.0 - free as f64 / total as f64).clamp(0.0, 1.0))
}

/// Counts of 100 ns of all processors. Windows counts idle time as kernel time too.
#[must_use]
pub fn times(idle: u64, kernel: u64, user: u64) -> Times {
    let all = kernel.saturating_add(user);
    Times::new(all.saturating_sub(idle), all)
}

#[cfg(windows)]
pub use self::native::{cpu_times, is_saving, memory, read_memory, uptime_s};

#[cfg(windows)]
mod native {
    use windows::Win32::Foundation::FILETIME;
    use windows::Win32::System::Power::{GetSystemPowerStatus, SYSTEM_POWER_STATUS};
    use windows::Win32::System::SystemInformation::{
        GetTickCount64, GlobalMemoryStatusEx, MEMORYSTATUSEX,
    };
    use windows::Win32::System::Threading::GetSystemTimes;

    use super::{Memory, memory_readings, times};
    use crate::collect::cpu::Times;
    use crate::collect::source::Sourced;
    use crate::collect::windows::failed;
    use rollcall_shared::reading::Reading;

    /// Reads memory and page file.
    pub fn read_memory() -> Vec<Reading> {
        memory_readings(memory())
    }

    #[expect(unsafe_code, reason = "kernel32 fills structures")]
    pub fn memory() -> Sourced<Memory> {
        let mut status = MEMORYSTATUSEX {
            dwLength: size_of::<MEMORYSTATUSEX>() as u32,
            ..MEMORYSTATUSEX::default()
        };
        // SAFETY: the structure tells its own length.
        unsafe { GlobalMemoryStatusEx(&raw mut status) }
            .map_err(|error| failed("GlobalMemoryStatusEx", &error))?;
        Ok(Memory {
            total: status.ullTotalPhys,
            available: status.ullAvailPhys,
            commit_limit: status.ullTotalPageFile,
            commit_free: status.ullAvailPageFile,
        })
    }

    #[expect(unsafe_code, reason = "kernel32 fills structures")]
    pub fn cpu_times() -> Sourced<Times> {
        let (mut idle, mut kernel, mut user) = Default::default();
        // SAFETY: three places that are valid for the call.
        unsafe {
            GetSystemTimes(
                Some(&raw mut idle),
                Some(&raw mut kernel),
                Some(&raw mut user),
            )
        }
        .map_err(|error| failed("GetSystemTimes", &error))?;
        let count =
            |time: FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
        Ok(times(count(idle), count(kernel), count(user)))
    }

    /// Seconds since the start, sleep included.
    #[expect(unsafe_code, reason = "kernel32")]
    pub fn uptime_s() -> f64 {
        // SAFETY: it takes nothing and cannot fail.
        unsafe { GetTickCount64() as f64 / 1e3 }
    }

    /// Whether the battery saver is on.
    #[expect(unsafe_code, reason = "kernel32 fills structures")]
    pub fn is_saving() -> bool {
        let mut status = SYSTEM_POWER_STATUS::default();
        // SAFETY: the place is valid for the call.
        let read = unsafe { GetSystemPowerStatus(&raw mut status) };
        read.is_ok() && status.SystemStatusFlag == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::{number, value};

    const GIB: u64 = 1 << 30;

    #[test]
    fn memory_and_page_file_are_told_apart() {
        let memory = Memory {
            total: 8 * GIB,
            available: 2 * GIB,
            commit_limit: 12 * GIB,
            commit_free: 5 * GIB,
        };
        let readings = memory_readings(Ok(memory));
        assert_eq!(
            number(&readings, "system.memory.utilization", ""),
            Some(0.75)
        );
        // 7 GiB are committed, 6 GiB lie in memory, and the page file has 4 GiB.
        assert_eq!(
            number(&readings, "system.paging.utilization", ""),
            Some(0.25)
        );
        let none = Memory {
            commit_limit: 8 * GIB,
            ..memory
        };
        let readings = memory_readings(Ok(none));
        assert!(value(&readings, "system.paging.utilization", "").contains("no page file"));
        let readings = memory_readings(Err("refused".to_owned()));
        assert_eq!(
            value(&readings, "system.memory.utilization", ""),
            "unavailable: refused"
        );
    }

    #[test]
    fn idle_time_is_part_of_kernel_time() {
        assert_eq!(times(700, 800, 200), Times::new(300, 1000));
    }

    #[cfg(windows)]
    #[test]
    fn this_machine_answers() {
        assert!(memory().unwrap().total > 100 << 20);
        assert!(uptime_s() > 0.0);
        assert!(cpu_times().is_ok());
    }
}
