//! The processors' counters, by the kernel's own call.

use libc::{HOST_CPU_LOAD_INFO, HOST_CPU_LOAD_INFO_COUNT, host_cpu_load_info, host_statistics64};

use crate::collect::cpu::Times;
use crate::collect::source::Sourced;

/// `CPU_STATE_IDLE` of mach/machine.h, beside user, system and nice.
const IDLE: usize = 2;

/// Busy and all time of the processors since the start.
#[expect(unsafe_code, reason = "the kernel fills a structure")]
#[expect(
    deprecated,
    reason = "libc points to another crate for this one number"
)]
pub fn times() -> Sourced<Times> {
    let mut load = host_cpu_load_info { cpu_ticks: [0; 4] };
    let mut count = HOST_CPU_LOAD_INFO_COUNT;
    // SAFETY: the structure has as many numbers as `count` says.
    let code = unsafe {
        host_statistics64(
            libc::mach_host_self(),
            HOST_CPU_LOAD_INFO,
            (&raw mut load).cast(),
            &raw mut count,
        )
    };
    if code != 0 {
        return Err(format!("host_statistics64 failed with {code}"));
    }
    let all = load.cpu_ticks.iter().map(|ticks| u64::from(*ticks)).sum();
    Ok(Times::new(all - u64::from(load.cpu_ticks[IDLE]), all))
}
